"""PagerDuty's Events API v2, so that what can page there can report here.

A resolve carries nothing but its ``dedup_key``; so the identity of an event is that key
(with the source's name), while its labels tell the rest of the payload.
Source: https://developer.pagerduty.com/docs/events-api-v2-overview
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from adapters._push import decode, signal
from responder.ports import (
    Context,
    Instant,
    Parsed,
    Rejected,
    Secret,
    Signal,
    SourceSettings,
    fingerprint,
    parse_instant,
)

_ACTIONS: Final = ("trigger", "acknowledge", "resolve")
_REQUIRED: Final = ("summary", "source", "severity")
_KEY_LENGTH: Final = 255
_SUMMARY_LENGTH: Final = 1024


class PagerDutySettings(SourceSettings):
    """``POST /v2/enqueue`` with this ``routing_key``; without one, any is taken."""

    kind: Literal["pagerduty"] = "pagerduty"
    routing_key: Secret | None = None

    def build(self, context: Context) -> "PagerDuty":
        return PagerDuty(context.name, self.routing_key)


class PagerDuty:
    """Reads the events of one routing key."""

    def __init__(self, source: str, routing_key: Secret | None = None) -> None:
        self._source, self._key = source, routing_key

    def authentic(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Say whether the event's ``routing_key`` is this source's.

        Raises:
            Rejected: The body is no object.
        """
        if self._key is None:
            return True
        given = _object(body).get("routing_key")
        return isinstance(given, str) and hmac.compare_digest(
            given.encode("utf-8", "replace"), self._key.reveal().encode()
        )

    def parse(self, headers: Mapping[str, str], body: bytes, at: Instant) -> Sequence[Parsed]:
        """Return the one event of the body."""
        return [self.enqueue(body, at)[0]]

    def enqueue(self, body: bytes, at: Instant) -> tuple[Parsed, str]:
        """Return the event and its ``dedup_key``, made up when a trigger has none.

        ``Parsed.ack`` names the client of an ``acknowledge``; its signal only says of which alert.

        Raises:
            Rejected: The event's shape is wrong; ``errors`` says why in PagerDuty's manner.
        """
        event = _object(body)
        try:
            errors = _errors(event)
            if not errors:
                made_up = hashlib.blake2b(b"%d %b" % (at, body), digest_size=16).hexdigest()
                key = event.get("dedup_key") or made_up
                return self._event(event, key, at), key
        except (ValueError, RecursionError) as error:
            errors = [str(error)[:300]]
        raise Rejected("Event object is invalid", errors=errors)

    @staticmethod
    def accepted(dedup_key: str) -> bytes:
        """Return the body of the 202 answer."""
        return msgspec.json.encode({"status": "success", "message": "Event processed", "dedup_key": dedup_key})

    @staticmethod
    def refused(errors: Sequence[str]) -> bytes:
        """Return the body of the 400 answer."""
        return msgspec.json.encode({"status": "invalid event", "message": "Event object is invalid", "errors": errors})

    def _event(self, event: Mapping[str, Any], key: str, at: Instant) -> Parsed:
        if event["event_action"] == "trigger":
            return Parsed(self._trigger(event, key, at))
        acknowledged = event["event_action"] == "acknowledge"
        bare = self._signal({"dedup_key": key}, {}, at, firing=acknowledged)
        return Parsed(bare, ack=(_text(event.get("client")) or self._source) if acknowledged else "")

    def _trigger(self, event: Mapping[str, Any], key: str, at: Instant) -> Signal:
        payload = event["payload"]
        summary = _text(payload["summary"])[:_SUMMARY_LENGTH]
        labels = {name: _text(payload.get(name)) for name in ("source", "component", "group", "class")}
        labels |= {
            "alertname": labels["class"] or summary,
            "dedup_key": key,
            "severity": _text(payload["severity"]).lower(),
        }
        annotations = {
            "summary": summary,
            "custom_details": _text(payload.get("custom_details")),
            "client": _text(event.get("client")),
            "links": _text(event.get("links")),
            "images": _text(event.get("images")),
        }
        return self._signal(
            labels, {k: v for k, v in annotations.items() if v}, _instant(payload.get("timestamp"), at), firing=True,
            url=_text(event.get("client_url")),
        )  # fmt: skip

    def _signal(
        self, labels: Mapping[str, str], annotations: Mapping[str, str], starts_at: Instant, *, firing: bool,
        url: str = "",
    ) -> Signal:  # fmt: skip
        # Each trigger of a key has a timestamp of its own; it is still the same occurrence.
        read = signal(self._source, labels, annotations, firing=firing, starts_at=starts_at, url=url, implied=True)
        named = fingerprint({"dedup_key": labels["dedup_key"], "pagerduty": self._source})
        return msgspec.structs.replace(read, identity=named, ends_at=None if firing else starts_at)


def _object(body: bytes) -> dict[str, Any]:
    event = decode(body)
    if not isinstance(event, dict):
        raise Rejected("Event object is invalid", errors=["the event must be a JSON object"])
    return event


def _errors(event: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong with the shape of an event; values may be anything."""
    errors = []
    if not isinstance(event.get("routing_key"), str) or not event["routing_key"]:
        errors.append("'routing_key' is missing or blank")
    action, key, payload = event.get("event_action"), event.get("dedup_key"), event.get("payload")
    if action not in _ACTIONS:
        errors.append("'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')")
    if key is not None and (not isinstance(key, str) or len(key) > _KEY_LENGTH):
        errors.append(f"'dedup_key' is invalid (must be a string of at most {_KEY_LENGTH} characters)")
    elif not key and action in ("acknowledge", "resolve"):
        errors.append("'dedup_key' is missing or blank")
    if action == "trigger" and not isinstance(payload, dict):
        errors.append("'payload' is missing or blank")
    elif action == "trigger" and isinstance(payload, dict):
        errors += [f"'payload.{name}' is missing or blank" for name in _REQUIRED if not _text(payload.get(name))]
    return errors


def _text(value: object) -> str:
    """Return a value as text; lenient, because a page must not be lost over a number."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else msgspec.json.encode(value).decode()


def _instant(value: object, at: Instant) -> Instant:
    """Return the event's own time, at most now: a resolve that follows must not be older. Unreadable: now."""
    if not isinstance(value, str):
        return at
    try:
        return min(parse_instant(value), at)
    except ValueError:
        return at
