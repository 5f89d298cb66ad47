"""The hot path: the body of ``POST /api/v2/alerts`` becomes signals.

A body that is what Prometheus sends is decoded in one typed step, and label sets that were
seen before are known by their raw bytes. Anything else is decoded again alert by alert, by
code that finds out what is wrong and says it in Alertmanager's words.
"""

import re
from collections.abc import Iterator
from sys import intern
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from responder.core.instant import EARLIEST
from responder.core.signal import MINUTE, Instant, Labels, Signal, Span, identity
from responder.web.gojson import (
    BodyRequired,
    Unmarshal,
    clean,
    mismatch,
    openapi_error,
    parse_instant,
    parse_json,
    quoted,
)
from responder.web.http import Response, json_response

RESOLVE_TIMEOUT: Final[Span] = 5 * MINUTE
LABELS_LIMIT: Final = 65_536
"""Bytes of names and values of one alert; what exceeds it is no label set but a payload."""
_MEMO_ENTRIES, _MEMO_BYTES = 131_072, 32 * 1024 * 1024
_SMALL_MEMO = 8192

_HOST = r"(?:\[[^\]@/?]*\]|(?:[\w.~!$&'()*+,;=<>\"\[\]-]|[^\x00-\x7f]|%25|%[89A-Fa-f][0-9A-Fa-f])*)(?::\d*)?"
_USER = r"(?:[\w.~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*@"
_PATH = r"(?:[^\x00-\x1f\x7f%?]|%[0-9A-Fa-f]{2})*"
_REQUEST_URI = re.compile(
    rf"(?:\*|/{_PATH}|[A-Za-z][A-Za-z0-9+.-]*:(?://(?:{_USER})?{_HOST}(?:/{_PATH})?|/(?!/){_PATH}|(?!/)[^\x00-\x1f\x7f?]*))"
    r"(?:\?[^\x00-\x1f\x7f]*)?"
)
"""What Go's ``url.ParseRequestURI`` takes."""


class Decoded(Struct):
    """The signals of a body; with ``refusal``, what to answer once they are accepted."""

    signals: list[Signal]
    refusal: Response | None = None
    rejected: tuple[str, ...] = ()
    """What is wrong with each alert that its neighbours were taken without."""


class _Posted(Struct, gc=False, forbid_unknown_fields=True):
    """What Prometheus sends. One field more, and the slow path reads it."""

    labels: Raw
    annotations: dict[str, str] | None = None
    startsAt: str | None = None
    endsAt: str | None = None
    generatorURL: str | None = None


class _Odd(Exception):
    """The fast path does not know what to make of this."""


_posted = msgspec.json.Decoder(list[_Posted]).decode
_labels = msgspec.json.Decoder(dict[str, str]).decode


class Decoder:
    """Decodes bodies; remembers label sets, instants and URLs, all bounded.

    The memo of label sets has two generations: when the young one is full it becomes the
    old one, and what is asked for again moves over.
    """

    def __init__(self, source: str = "am-api", resolve_timeout: Span = RESOLVE_TIMEOUT) -> None:
        self._source, self._resolve_timeout = source, resolve_timeout
        self._young: dict[bytes, tuple[int, dict[str, str]]] = {}
        self._old: dict[bytes, tuple[int, dict[str, str]]] = {}
        self._young_bytes = 0
        self._instants: dict[str, Instant] = {}
        self._urls: set[str] = {""}

    def decode(self, body: bytes, now: Instant) -> Decoded:
        """Return the signals of a posted body.

        Body-level errors (shape, required fields, URLs) give no signals and
        ``{"code", "message"}``; errors of single alerts leave their neighbours and give a JSON
        string. Source: Alertmanager api/v2 and the go-openapi runtime.
        """
        signals = self.expected(body, now)
        return self._slow(body, now) if signals is None else Decoded(signals)

    def expected(self, body: bytes, now: Instant) -> list[Signal] | None:
        """Return the signals of a body that is what Prometheus sends; none if it is not."""
        try:
            return self._fast(body, now)
        except (_Odd, ValueError, RecursionError):
            return None

    def _fast(self, body: bytes, now: Instant) -> list[Signal]:
        posted = _posted(body)
        raws = [bytes(alert.labels) for alert in posted]
        known = self._known(raws)
        source, instants, urls = self._source, self._instants, self._urls
        timeout_at = now + self._resolve_timeout
        signals = []
        for alert, raw in zip(posted, raws, strict=True):
            annotations = alert.annotations or {}
            if "" in annotations:
                raise _Odd
            url = alert.generatorURL or ""
            if url not in urls:
                self._learn_url(url)
            text = alert.startsAt
            starts_at = None if text is None else instants.get(text)
            if starts_at is None and text is not None:
                starts_at = self._learn_instant(text)
            text = alert.endsAt
            ends_at = None if text is None else instants.get(text)
            if ends_at is None and text is not None:
                ends_at = self._learn_instant(text)
            implied = starts_at is None or starts_at == EARLIEST
            timeout = ends_at is None or ends_at == EARLIEST
            if timeout:
                ends_at = timeout_at
            if implied:
                starts_at = now if timeout else ends_at
            assert starts_at is not None and ends_at is not None
            if ends_at < starts_at:
                raise _Odd
            known_by, labels = known[raw]
            signals.append(
                Signal(
                    source,
                    known_by,
                    labels,
                    annotations,
                    ends_at > now,
                    starts_at,
                    ends_at,
                    url,
                    timeout,
                    implied=implied,
                )
            )
        return signals

    def _known(self, raws: list[bytes]) -> dict[bytes, tuple[int, dict[str, str]]]:
        """Return the memo, in which every one of these label sets is now."""
        if len(self._young) >= _MEMO_ENTRIES or self._young_bytes >= _MEMO_BYTES:
            self._young, self._old, self._young_bytes = {}, self._young, 0
        known, old = self._young, self._old
        for raw in raws:
            if raw in known:
                continue
            found = old.get(raw)
            if found is None:
                if len(raw) > LABELS_LIMIT:
                    raise _Odd
                labels = _interned(_labels(raw))
                if not labels or "" in labels:
                    raise _Odd
                found = identity(labels), labels
                self._young_bytes += len(raw)
            known[raw] = found
        return known

    def _learn_instant(self, text: str) -> Instant:
        at = parse_instant(text)
        if len(self._instants) >= _SMALL_MEMO:
            self._instants.clear()
        if len(text) <= 40:
            self._instants[text] = at
        return at

    def _learn_url(self, url: str) -> None:
        if not _REQUEST_URI.fullmatch(url):
            raise _Odd
        if len(self._urls) >= _SMALL_MEMO:
            self._urls.clear()
            self._urls.add("")
        if len(url) <= 4096:
            self._urls.add(url)

    def _slow(self, body: bytes, now: Instant) -> Decoded:
        try:
            posted = parse_json(body)
            if posted is None:
                return Decoded([])
            if not isinstance(posted, list):
                raise mismatch(posted, "value of type models.PostableAlerts")
            typed = [None if alert is None else _typed(alert, place) for alert, place in _placed(posted)]
        except Unmarshal as error:
            return Decoded([], error.response("alerts"))
        except BodyRequired:
            return Decoded([], openapi_error(602, "alerts in body is required"))
        for index, fields in enumerate(typed):
            if fields is not None and fields.url and not _REQUEST_URI.fullmatch(fields.url):
                return Decoded(
                    [], openapi_error(601, f"{index}.generatorURL in body must be of type uri: {quoted(fields.url)}")
                )
            if fields is not None and fields.labels is None:
                return Decoded([], openapi_error(602, f"{index}.labels in body is required"))
        signals, errors = [], []
        for fields, place in _placed(typed):
            try:
                signals.append(self._signal(fields, now))
            except ValueError as error:
                errors.append(f"{error}{place}")
        return Decoded(signals, json_response("; ".join(errors), 400) if errors else None, tuple(errors))

    def _signal(self, fields: "_Fields | None", now: Instant) -> Signal:
        """Return the signal of one alert; errors in the order in which Alertmanager finds them."""
        if fields is None:
            raise ValueError("alert is null")
        labels = _interned(fields.labels or {})
        implied, timeout = fields.starts_at == EARLIEST, fields.ends_at == EARLIEST
        ends_at = now + self._resolve_timeout if timeout else fields.ends_at
        starts_at = fields.starts_at if not implied else now if timeout else ends_at
        if ends_at < starts_at:
            raise ValueError("start time must be before end time")
        if "" in labels:
            raise ValueError('invalid label set: invalid name ""')
        if not labels:
            raise ValueError("at least one label pair required")
        if "" in fields.annotations:
            raise ValueError('invalid annotations: invalid name ""')
        size = sum(len(name.encode()) + len(value.encode()) for name, value in labels.items())
        if size > LABELS_LIMIT:
            raise ValueError(f"invalid label set: {size} bytes in {len(labels)} labels, the limit is {LABELS_LIMIT}")
        return Signal(
            source=self._source, identity=identity(labels), labels=labels, annotations=fields.annotations,
            firing=ends_at > now, starts_at=starts_at, ends_at=ends_at, url=fields.url, timeout=timeout, implied=implied,
        )  # fmt: skip


def _interned(labels: Labels) -> dict[str, str]:
    """Return the labels that have a value; equal values of many alerts are one object, as names are by their decoder."""
    return {name: intern(value) for name, value in labels.items() if value}


# The slow path, field by field.


_INSTANTS: Final = {"startsat": ".startsAt", "endsat": ".endsAt"}


class _Fields(Struct):
    labels: dict[str, str] | None
    annotations: dict[str, str]
    starts_at: Instant
    ends_at: Instant
    url: str


def _placed(alerts: list[Any]) -> Iterator[tuple[Any, str]]:
    """Yield each alert and how to name it; the only one needs no name."""
    if len(alerts) == 1:
        yield alerts[0], ""
        return
    for index, alert in enumerate(alerts):
        yield alert, f" (alert {index})"


def _typed(alert: object, place: str) -> _Fields:
    """Return the fields of one alert; names in any case, as Go takes them, and null is absent.

    Raises:
        Unmarshal: If a field has the wrong type; of several the one that Go finds first.
    """
    if not isinstance(alert, dict):
        raise mismatch(alert, "value of type models.PostableAlert", place)
    fields = {name.lower(): value for name, value in alert.items() if value is not None}
    at = {name: _instant(fields[name], _INSTANTS[name], place) for name in fields if name in _INSTANTS}
    annotations = _texts(fields.get("annotations", {}), ".annotations", place)
    url = fields.get("generatorurl", "")
    if not isinstance(url, str):
        raise mismatch(url, "struct field Alert.generatorURL of type string", place)
    labels = _texts(fields["labels"], "Alert.labels", place) if "labels" in fields else None
    return _Fields(labels, annotations, at.get("startsat", EARLIEST), at.get("endsat", EARLIEST), clean(url))


def _texts(value: object, field: str, place: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise mismatch(value, f"struct field {field} of type models.LabelSet", place)
    for name, text in value.items():
        if not isinstance(text, str | None):
            raise mismatch(text, f"struct field {field} of type string, at {quoted(name)}", place)
    return {clean(name): clean(text or "") for name, text in value.items()}


def _instant(value: object, field: str, place: str) -> Instant:
    if not isinstance(value, str):
        raise mismatch(value, f"struct field {field} of type string", place)
    try:
        return parse_instant(value)
    except ValueError as error:
        raise Unmarshal(f"{error}{place}") from None
