"""Prometheus and what speaks its query API: Thanos, Mimir, VictoriaMetrics.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote_plus

import msgspec
from msgspec import Raw, Struct

from adapters._http import MEGABYTE, Answer, good, readable, said
from adapters._server import Every, ServerSettings
from responder.ports import (
    SECOND,
    Context,
    Instant,
    Permanent,
    Read,
    Sample,
    Signal,
    Span,
    Transient,
    identity,
    parse_instant,
)

_POINTS_PER_ASK: Final = 10_000
"""Prometheus refuses a range of over 11,000 points per series."""
_RANGE_TIMEOUT: Final[Span] = 120 * SECOND
_ERRORS: Final = ("timeout", "canceled", "execution", "internal", "unavailable")
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_WHOLE: Final = "partial_response=false"
"""Thanos: half an answer would be taken for series that are gone. Others do not know the word."""
_LIMIT: Final = 32 * MEGABYTE
_RANGE_LIMIT: Final = 256 * MEGABYTE
_quoted: Final = lru_cache(maxsize=4096)(quote_plus)
"""The texts of rules, asked over and over."""


class PrometheusSettings(ServerSettings):
    """A server that answers PromQL; ``url`` is what stands before ``/api/v1``."""

    kind: Literal["prometheus"] = "prometheus"

    def build(self, context: Context) -> "Prometheus":
        return Prometheus(self, context)


class PrometheusAlertsSettings(ServerSettings):
    """The alerts that a Prometheus fires itself; its ``external_labels`` are not on them, unlike on pushed ones."""

    kind: Literal["prometheus-alerts"] = "prometheus-alerts"
    every: Every = 30 * SECOND

    def build(self, context: Context) -> "PrometheusAlerts":
        return PrometheusAlerts(self, context)


class _Reply(Struct):
    status: str
    data: Raw = Raw(b"null")
    error: str = ""
    errorType: str = ""
    isPartial: bool = False
    """VictoriaMetrics: a part of its storage did not answer."""


class _Result(Struct):
    resultType: str
    result: Raw


class _Series(Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = []


class _Alert(Struct):
    labels: dict[str, str]
    state: str
    activeAt: str
    annotations: dict[str, str] = {}


class _Alerts(Struct):
    alerts: list[_Alert]


_reply = msgspec.json.Decoder(_Reply)
_result = msgspec.json.Decoder(_Result)
_vector = msgspec.json.Decoder(list[_Series])
_scalar = msgspec.json.Decoder(tuple[float, str])
_alerts = msgspec.json.Decoder(_Alerts)


class Prometheus:
    """Answers PromQL at an instant, and over the past."""

    def __init__(self, settings: PrometheusSettings, context: Context) -> None:
        self._client = settings.client(context)
        self._within, self._now = settings.timeout, context.now

    async def query(self, text: str, at: Instant, read: Read = "value", over: Span = 0) -> Sequence[Sample]:
        """Return the series of an instant query; NaN and infinities included, native histograms left out."""
        if read != "value":
            raise Permanent(f"{read} is for plain metric pages; write it in PromQL", "bad_query")
        kind, result = await self._ask("/api/v1/query", text, f"time={_seconds(at)}", self._within, _LIMIT)
        with _shape(self._client.origin):
            if kind == "vector":
                return [Sample(s.metric, float(s.value[1])) for s in _vector.decode(result) if s.value is not None]
            if kind == "scalar":
                return [Sample({}, float(_scalar.decode(result)[1]))]
        raise Permanent(f"the query gives a {kind}; a rule needs a vector or a scalar", "bad_query")

    async def query_range(
        self, text: str, start: Instant, end: Instant, step: Span
    ) -> Sequence[tuple[Instant, Sequence[Sample]]]:
        """Return what the query gave at start, start + step, ... up to *end*; an entry for each instant."""
        instants = range(start, end + 1, step)
        found: dict[Instant, list[Sample]] = {at: [] for at in instants}
        for first in range(0, len(instants), _POINTS_PER_ASK):
            part = instants[first : first + _POINTS_PER_ASK]
            when = f"start={_seconds(part[0])}&end={_seconds(part[-1])}&step={_seconds(step)}"
            within = max(self._within, _RANGE_TIMEOUT)
            kind, result = await self._ask("/api/v1/query_range", text, when, within, _RANGE_LIMIT)
            if kind != "matrix":
                raise Permanent(
                    f"the query gives a {kind} over a range; a rule needs a vector or a scalar", "bad_query"
                )
            with _shape(self._client.origin):
                for series in _vector.decode(result):
                    for seconds, value in series.values:
                        nearest = start + round((seconds * SECOND - start) / step) * step
                        found[nearest].append(Sample(series.metric, float(value)))
        return list(found.items())

    async def aclose(self) -> None:
        """Nothing to give back: connections belong to the daemon."""

    async def _ask(self, path: str, text: str, when: str, within: Span, limit: int) -> tuple[str, Raw]:
        body = f"query={_quoted(text)}&{when}&{_WHOLE}".encode()
        answer = await self._client.fetch("POST", path, body=body, headers=_FORM, within=within, limit=limit)
        data = _data(answer, self._client.origin, self._now)
        with _shape(self._client.origin):
            result = _result.decode(data)
            return result.resultType, result.result


class PrometheusAlerts:
    """Lists the alerts that fire on a Prometheus; pending ones are its own business."""

    def __init__(self, settings: PrometheusAlertsSettings, context: Context) -> None:
        self._client = settings.client(context)
        self._within, self._now, self._name = settings.timeout, context.now, context.name

    async def alerts(self, at: Instant) -> Sequence[Signal]:
        """Return the firing alerts; they started when their condition was first seen (``activeAt``)."""
        answer = await self._client.fetch("GET", "/api/v1/alerts", within=self._within, limit=128 * MEGABYTE)
        data = _data(answer, self._client.origin, self._now)
        with _shape(self._client.origin):
            return [self._signal(alert, at) for alert in _alerts.decode(data).alerts if alert.state == "firing"]

    async def aclose(self) -> None:
        """Nothing to give back: connections belong to the daemon."""

    def _signal(self, alert: _Alert, at: Instant) -> Signal:
        labels = {name: value for name, value in alert.labels.items() if value}
        return Signal(
            source=self._name, identity=identity(labels), labels=labels, annotations=alert.annotations,
            firing=True, starts_at=min(parse_instant(alert.activeAt), at),
        )  # fmt: skip


def _seconds(at: Instant) -> str:
    seconds, rest = divmod(at, SECOND)
    return f"{seconds}.{rest:06d}" if rest else str(seconds)


def _data(answer: Answer, origin: str, now: Callable[[], Instant]) -> Raw:
    """Return the ``data`` of a reply.

    Raises:
        Permanent: The query is refused, or this is no Prometheus.
        Transient: It could not be answered this time.
    """
    try:
        reply = _reply.decode(answer.body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        readable(answer, origin, now)
        message = f"{origin} does not answer as Prometheus does{said(answer)}; the url is what stands before /api/v1"
        raise Permanent(message, "not_prometheus") from None
    if reply.status == "success":
        good(answer, origin, now)
        if reply.isPartial:
            raise Transient(f"{origin}: a part of its storage does not answer, so the result is not whole", "partial")
        return reply.data
    if reply.errorType == "bad_data":
        raise Permanent(f"{origin} refuses the query: {reply.error}", "bad_query")
    if reply.errorType in _ERRORS:
        raise Transient(f"{origin}: {reply.errorType}: {reply.error}", reply.errorType)
    good(answer, origin, now)
    raise Transient(f"{origin}: {reply.errorType} {reply.error}", "error")


@contextmanager
def _shape(origin: str) -> Iterator[None]:
    """Turn what decoding may meet into one sentence."""
    try:
        yield
    except (msgspec.DecodeError, ValueError, KeyError, RecursionError) as error:
        raise Permanent(f"{origin} does not answer as Prometheus does: {error}", "not_prometheus") from None
