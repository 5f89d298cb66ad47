"""The little of PromQL that can be told without a server; parsing it whole is Prometheus's business."""

import re
from typing import Final

_AGGREGATIONS: Final = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile")
"""Those that keep only the labels of their ``by``; topk and its like keep all."""
_TOKEN = re.compile(
    r"""\s*(?: (?P<text>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `[^`]*`) | (?P<comment>\#[^\n]*)
    | (?P<word>[A-Za-z_:][A-Za-z0-9_:]*) | (?P<number>\d[\w.]*) | (?P<sign>==|!=|>=|<=|=~|!~|.) )""",
    re.VERBOSE | re.DOTALL,
)
_COMPARISONS: Final = ("==", "!=", ">", "<", ">=", "<=")
_OPEN, _CLOSE = "([{", ")]}"


def mistake(query: str) -> tuple[int, str, str] | None:
    """Return where no dialect can read the query, why, and a hint; None if that is for its server to say."""
    opened: list[tuple[str, int]] = []
    names = {token.lower() for token in _tokens(query)}
    for match in _TOKEN.finditer(query):
        if match.lastgroup != "sign":
            continue
        sign, at = match["sign"], match.start("sign")
        if sign in _OPEN:
            opened.append((sign, at))
        elif sign in _CLOSE:
            if not opened or _OPEN.index(opened.pop()[0]) != _CLOSE.index(sign):
                return at, f"the query closes a {sign} that it did not open", ""
        elif sign in "\"'`":
            return at, "a quoted text of the query does not end", ""
        elif sign in ("=", "=~", "!~") and "{" not in [bracket for bracket, _ in opened] and "with" not in names:
            return at, f"{sign} stands outside of {{}} in the query", "compare with ==" if sign == "=" else ""
    return (opened[-1][1], f"the query does not close its {opened[-1][0]}", "") if opened else None


def kept_labels(query: str) -> set[str] | None:
    """Return the only labels that series of the query can have; None if that can't be told.

    It is told when the query, past a scalar on its left, begins with an aggregation: then
    the left side names the labels of the result, whatever ``and`` or ``>`` follow.
    """
    tokens = _past_scalar(_unwrapped(_tokens(query)))
    if not tokens or tokens[0] not in _AGGREGATIONS:
        return None
    clause, rest = _clause(tokens[1:])
    arguments = _closing(rest)
    if not rest or rest[0] != "(" or arguments is None:
        return None
    if clause is None:
        clause, after = _clause(rest[arguments + 1 :])
    else:
        after = rest[arguments + 1 :]
    if any(word in after for word in ("or", "group_left", "group_right")):
        return None
    if clause is None:
        return set()
    return set(clause[1:]) if clause[0] == "by" else None


def filters(query: str) -> bool:
    """Say whether the query drops series that it compares: ``up == 0``, not ``up == bool 0``."""
    tokens = _unwrapped(_tokens(query))
    depth = 0
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        depth += token in _OPEN
        depth -= token in _CLOSE
        if depth == 0 and token in _COMPARISONS and following != "bool":
            return True
    return False


def _tokens(query: str) -> list[str]:
    found = []
    for match in _TOKEN.finditer(query):
        if match.lastgroup in ("word", "number", "sign"):
            found.append(match[match.lastgroup])
        elif match.lastgroup == "text":
            found.append('""')
    return [token for token in found if token.strip()]


def _closing(tokens: list[str]) -> int | None:
    """Return where the bracket closes that the first token opens."""
    depth = 0
    for i, token in enumerate(tokens):
        depth += token in _OPEN
        depth -= token in _CLOSE
        if depth == 0:
            return i
    return None


def _unwrapped(tokens: list[str]) -> list[str]:
    while tokens and tokens[0] == "(" and _closing(tokens) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def _past_scalar(tokens: list[str]) -> list[str]:
    """Return what follows ``time() -`` or ``100 *``, else all."""
    if tokens[:3] == ["time", "(", ")"] and len(tokens) > 4 and tokens[3] in "+-*/":
        return _unwrapped(tokens[4:])
    if len(tokens) > 2 and tokens[0][0].isdigit() and tokens[1] in "+-*/":
        return _unwrapped(tokens[2:])
    return tokens


def _clause(tokens: list[str]) -> tuple[list[str] | None, list[str]]:
    """Return (``by`` or ``without`` and its labels, what follows), if a clause stands first."""
    if len(tokens) < 3 or tokens[0] not in ("by", "without") or tokens[1] != "(":
        return None, tokens
    end = _closing(tokens[1:])
    if end is None:
        return None, tokens
    return [tokens[0], *(word for word in tokens[2 : end + 1] if word != ",")], tokens[end + 2 :]
