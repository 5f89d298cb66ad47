"""Grafana's unified alerting: what its webhook contact point posts.

Like Alertmanager's payload, with links and values beside each alert. Its ``fingerprint``
covers labels that it does not send, so the identity is computed here, as everywhere.
Source: https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from adapters._push import parse_alerts
from responder.ports import Instant, Parsed

_BESIDE: Final = ("dashboardURL", "panelURL", "silenceURL", "imageURL", "valueString")


class GrafanaWebhook:
    """The payload of Grafana's webhook contact point."""

    def __init__(self, source: str = "grafana") -> None:
        self._source = source

    def authentic(self, headers: Mapping[str, str], body: bytes) -> bool:
        """The daemon's own ``auth`` says who may post."""
        return True

    def parse(self, headers: Mapping[str, str], body: bytes, at: Instant) -> Sequence[Parsed]:
        """Return the alerts; what stands beside their annotations joins them under its own name."""
        return parse_alerts(body, self._source, at, _beside)


def _beside(alert: Mapping[str, Any]) -> dict[str, str]:
    found = {name: alert[name] for name in _BESIDE if isinstance(alert.get(name), str) and alert[name]}
    if isinstance(alert.get("values"), dict):
        found |= {
            f"values.{name}": str(value)
            for name, value in alert["values"].items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
    return found
