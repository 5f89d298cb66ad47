"""Both notations of ``match:`` -> :class:`responder.core.rule.Match`; equal meaning, equal words."""

import re
from collections.abc import Callable, Iterator

from responder.config.checking import Place
from responder.config.errors import Report
from responder.config.regexes import compile_regex
from responder.config.rule_models import AnyMatch, MatchForm, Value, ValueForm
from responder.core.matcher import Misread, as_test, matcher, parse_selector, quote, regex_of
from responder.core.rule import Holds, Match, Test

_CONDITIONS = ("not_", "regex", "prefix", "exists", "above", "below")


def compile_match(form: AnyMatch, place: Place, report: Report) -> Match:
    """Return what an alert must look like; mistakes are reported where they stand."""
    if isinstance(form, str):
        try:
            labels = [as_test(found) for found in parse_selector(form, compile_regex)]
        except ValueError as error:
            mark = place.inside(error.offset) if isinstance(error, Misread) else place.mark()
            report.error(mark, f"not a selector: {error}", """write '{alertname=~"Disk.*", env!="dev"}'""")
            labels = []
        return _match(MatchForm(), labels, [], (), ())
    return _match(
        form,
        [test for name, value in form.labels.items() for test in _tests(name, value, place.at("labels", name), report)],
        [
            test
            for name, value in form.annotations.items()
            for test in _tests(name, value, place.at("annotations", name), report)
        ],
        tuple(compile_match(inner, place.at("any", i), report) for i, inner in enumerate(form.any)),
        tuple(compile_match(inner, place.at("none", i), report) for i, inner in enumerate(form.none)),
    )


def _match(
    form: MatchForm, labels: list[Test], annotations: list[Test], any_of: tuple[Match, ...], none_of: tuple[Match, ...]
) -> Match:
    words = sorted(test.words for test in labels)
    words += sorted(f"annotation {test.words}" for test in annotations)
    words += [f"status = {quote(form.status)}"] if form.status else []
    for title, inner in (("any", any_of), ("none", none_of)):
        words += [f"{title} of ({'; '.join(sorted(match.words for match in inner))})"] if inner else []
    return Match(tuple(labels), tuple(annotations), form.status, any_of, none_of, ", ".join(words) or "every alert")


def _tests(name: str, value: Value, place: Place, report: Report) -> Iterator[Test]:
    try:
        yield from _conditions(name, value, negated=False)
    except ValueError as error:
        report.error(place.mark(), str(error))


def _conditions(name: str, value: Value, negated: bool) -> Iterator[Test]:
    """Yield the conditions of a VALUE.

    Raises:
        ValueError: If a regex is refused, or a mapping says nothing, or ``not`` too much.
    """
    if isinstance(value, str):
        yield as_test(matcher(name, "!=" if negated else "=", value, compile_regex))
    elif isinstance(value, list):
        values = tuple(sorted(set(value)))
        if len(values) == 1:
            yield from _conditions(name, values[0], negated)
        else:
            yield as_test(matcher(name, "!~" if negated else "=~", regex_of(values), compile_regex))
    else:
        yield from _mapping(name, value, negated)


def _mapping(name: str, value: ValueForm, negated: bool) -> Iterator[Test]:
    given = [condition for condition in _CONDITIONS if getattr(value, condition) is not None]
    if not given:
        raise ValueError("a condition is missing: one of not, regex, prefix, exists, above, below")
    if negated and len(given) > 1:
        raise ValueError("not takes one condition")
    if value.not_ is not None:
        yield from _conditions(name, value.not_, not negated)
    if value.regex is not None:
        yield as_test(matcher(name, "!~" if negated else "=~", value.regex, compile_regex))
    if value.prefix is not None:
        written = quote(regex_of((value.prefix,)) + ".*")
        yield _test(name, "!~" if negated else "=~", written, _starts_with(value.prefix), negated)
    if value.exists is not None:
        yield as_test(matcher(name, "!=" if value.exists is not negated else "=", "", compile_regex))
    if value.above is not None:
        limit = value.above
        yield _test(name, "not >" if negated else ">", f"{limit:g}", _number(lambda number: number > limit), negated)
    if value.below is not None:
        bound = value.below
        yield _test(name, "not <" if negated else "<", f"{bound:g}", _number(lambda number: number < bound), negated)


def _test(name: str, op: str, written: str, holds: Holds, negated: bool) -> Test:
    return Test(name, (lambda value: not holds(value)) if negated else holds, f"{name} {op} {written}")


def _starts_with(prefix: str) -> Holds:
    return lambda value: value.startswith(prefix)


_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


def _number(judge: Callable[[float], bool]) -> Holds:
    """Return a condition on a number; what is none fails it."""
    return lambda value: _NUMBER.fullmatch(value) is not None and judge(float(value))
