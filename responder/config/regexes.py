"""Regexes of rules and matchers: RE2, so that no label value can make one slow."""

from functools import lru_cache

import re2

from responder.core.rule import Holds

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.dot_nl = True  # as Prometheus: a dot is any character


@lru_cache(maxsize=20_000)
def compile_regex(pattern: str) -> Holds:
    """Return the test "the whole value matches"; equal patterns share one.

    Raises:
        ValueError: What RE2 refuses: back-references, look-around, huge repetitions.
    """
    try:
        fullmatch = re2.compile(pattern, _OPTIONS).fullmatch
    except re2.error as error:
        [said] = error.args
        raise ValueError(f"RE2 refuses the regex: {said.decode('utf-8', 'replace')}") from None
    except UnicodeEncodeError:
        raise ValueError("RE2 refuses the regex: not UTF-8") from None
    return lambda value: fullmatch(value) is not None
