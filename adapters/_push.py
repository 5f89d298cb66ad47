"""What pushed bodies have in common: JSON with positions, and alerts as Alertmanager writes them."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn

import msgspec

from responder.ports import Instant, Parsed, Rejected, Signal, identity, parse_instant

_NEVER: Final = -62_135_596_800_000_000
"""The zero time of Go, 0001-01-01T00:00:00Z: no instant was set."""


def decode(body: bytes) -> Any:
    """Return the JSON value of a body.

    What msgspec refuses gets a second opinion from the slower standard parser, which keeps
    lone surrogates: then only the alert that has one is rejected, not its neighbours.

    Raises:
        Rejected: The body is no JSON; says where.
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise Rejected("the JSON is nested too deeply") from None
    except (msgspec.DecodeError, ValueError):
        pass
    try:
        return json.loads(body, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Rejected(f"bad JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise Rejected(f"bad JSON: byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise Rejected("the JSON is nested too deeply") from None
    except ValueError as error:
        raise Rejected(f"bad JSON: {error}") from None


def parse_alerts(
    body: bytes, source: str, at: Instant, annotate: Callable[[Mapping[str, Any]], dict[str, str]]
) -> Sequence[Parsed]:
    """Return the alerts of a payload in Alertmanager's form; one that is no alert has its error.

    So have those that the sender cut off by its ``max_alerts``, as one: a resolution may be among them, and then
    what it would have ended fires for ever.

    Args:
        annotate: Gives what the payload says of an alert beside its annotations.

    Raises:
        Rejected: The body is no JSON object with a list ``alerts``.
    """
    payload = decode(body)
    if not isinstance(payload, dict) or not isinstance(payload.get("alerts"), list):
        raise Rejected("the body must be an object with a list `alerts`")
    parsed = [one(partial(_alert, alert, source, at, annotate)) for alert in payload["alerts"]]
    cut_off = payload.get("truncatedAlerts")
    if isinstance(cut_off, int | float) and cut_off > 0:
        parsed.append(Parsed(None, "the sender left out alerts: its `max_alerts` must be 0"))
    return parsed


def one(read: Callable[[], Signal]) -> Parsed:
    """Return a signal, or why there is none; an error of one alert stays with it."""
    try:
        return Parsed(read())
    except (ValueError, RecursionError) as error:
        return Parsed(None, str(error)[:300])


def signal(
    source: str, labels: Mapping[str, str], annotations: Mapping[str, str], *, firing: bool, starts_at: Instant,
    ends_at: Instant | None = None, url: str = "", implied: bool = False,
) -> Signal:  # fmt: skip
    """Return a checked signal; labels without a value are left out. *implied*: the sender gave no start to tell occurrences by.

    Raises:
        ValueError: No label has a value, a name is empty, or a text can't be UTF-8.
    """
    kept = {name: value for name, value in labels.items() if value}
    if not kept:
        raise ValueError("the alert has no label with a value")
    if "" in kept:
        raise ValueError("a label has an empty name")
    for text in (*kept, *kept.values(), *annotations, *annotations.values(), url):
        if not text.isascii():
            _encodable(text)
    return Signal(
        source=source, identity=identity(kept), labels=kept, annotations=dict(annotations), firing=firing,
        starts_at=starts_at, ends_at=ends_at, url=url, implied=implied,
    )  # fmt: skip


def texts(value: object, what: str) -> dict[str, str]:
    """Return a mapping of texts; null is none.

    Raises:
        ValueError: It is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError(f"`{what}` must be an object with text values")
    return value


def _alert(alert: object, source: str, at: Instant, annotate: Callable[[Mapping[str, Any]], dict[str, str]]) -> Signal:
    if not isinstance(alert, dict):
        raise ValueError("an alert must be an object")
    status = alert.get("status")
    if status not in ("firing", "resolved"):
        raise ValueError(f"`status` must be firing or resolved, not {status!r}"[:200])
    firing = status == "firing"
    ends_at = _instant(alert, "endsAt")
    if firing and ends_at is not None and ends_at <= at:
        ends_at = None  # the status speaks of now
    given = _instant(alert, "startsAt")
    starts_at = at if given is None else min(given, at)  # a clock ahead of ours must not make its resolution look old
    url = alert.get("generatorURL")
    return signal(
        source, texts(alert.get("labels"), "labels"), texts(alert.get("annotations"), "annotations") | annotate(alert),
        firing=firing, starts_at=starts_at, ends_at=ends_at,
        url=url if isinstance(url, str) else "", implied=given is None,
    )  # fmt: skip


def _instant(alert: Mapping[str, Any], name: str) -> Instant | None:
    text = alert.get(name)
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise ValueError(f"`{name}` must be an RFC 3339 text")
    at = parse_instant(text)
    return None if at == _NEVER else at


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text has a lone surrogate, which UTF-8 can't carry") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
