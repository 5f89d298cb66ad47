"""Alertmanager: the alerts of a running one, and what it posts to a webhook receiver.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config and its API v2.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from adapters._http import MEGABYTE, readable, said
from adapters._push import parse_alerts
from adapters._server import Every, ServerSettings
from responder.ports import SECOND, Context, Instant, Parsed, Permanent, Signal, identity, parse_instant

_ALL: Final = "/api/v2/alerts?active=true&silenced=true&inhibited=true&unprocessed=true"


class AlertmanagerSettings(ServerSettings):
    """A running Alertmanager; ``url`` is what stands before ``/api/v2``."""

    kind: Literal["alertmanager"] = "alertmanager"
    every: Every = 30 * SECOND

    def build(self, context: Context) -> "Alertmanager":
        return Alertmanager(self, context)


class _Alert(Struct):
    labels: dict[str, str]
    startsAt: str
    endsAt: str
    annotations: dict[str, str] = {}
    generatorURL: str = ""


_alerts = msgspec.json.Decoder(list[_Alert])


class Alertmanager:
    """Lists the alerts of an Alertmanager, silenced and inhibited ones too: whether it tells others is not our state."""

    def __init__(self, settings: AlertmanagerSettings, context: Context) -> None:
        self._client = settings.client(context)
        self._within, self._now, self._name = settings.timeout, context.now, context.name

    async def alerts(self, at: Instant) -> Sequence[Signal]:
        """Return the alerts that it holds as firing; it leaves resolved ones out by itself."""
        answer = await self._client.fetch("GET", _ALL, within=self._within, limit=256 * MEGABYTE)
        origin = self._client.origin
        try:
            return [self._signal(alert, at) for alert in _alerts.decode(readable(answer, origin, self._now))]
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            words = said(answer) or f": {error}"
            message = f"{origin} does not answer as Alertmanager does{words}; the url is what stands before /api/v2"
            raise Permanent(message, "not_alertmanager") from None

    async def aclose(self) -> None:
        """Nothing to give back: connections belong to the daemon."""

    def _signal(self, alert: _Alert, at: Instant) -> Signal:
        labels = {name: value for name, value in alert.labels.items() if value}
        return Signal(
            source=self._name, identity=identity(labels), labels=labels, annotations=alert.annotations, firing=True,
            starts_at=min(parse_instant(alert.startsAt), at), ends_at=parse_instant(alert.endsAt), url=alert.generatorURL,
        )  # fmt: skip


class AlertmanagerWebhook:
    """The payload of Alertmanager's webhook receiver, version 4."""

    def __init__(self, source: str = "am-webhook") -> None:
        self._source = source

    def authentic(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Alertmanager signs nothing; the daemon's own ``auth`` says who may post."""
        return True

    def parse(self, headers: Mapping[str, str], body: bytes, at: Instant) -> Sequence[Parsed]:
        """Return the alerts; a firing one has no end, it lasts until its resolution is posted."""
        return parse_alerts(body, self._source, at, lambda alert: {})
