"""``responder explain``: which rules an alert concerns, and why the others are not concerned."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from responder import plugins
from responder.config.errors import did_you_mean
from responder.config.settings import Settings
from responder.core.book import Book
from responder.core.match import key_for
from responder.core.signal import Instant, Signal
from responder.ports import Context, Rejected, Webhook
from responder.web.decode import Decoder


class ExplainError(Exception):
    """The text holds no alert; the sentence says why."""


class Explained(Struct, frozen=True):
    """What one rule makes of one alert."""

    rule: str
    kind: str
    matches: bool
    key: Mapping[str, str] | None
    """Under which key; none if it does not match."""
    why: str
    """The first condition that does not hold, in words; of a match, what is worth knowing."""


def explain(book: Book, signal: Signal) -> list[Explained]:
    """Return what each rule makes of an alert, in the order of the rules."""
    found = []
    for rule in book.rules.values():
        reason = book.index.explain(rule, signal)
        key = key_for(rule, signal.labels, signal.identity) if reason is None else None
        why = reason or ("" if rule.mode == "notify" else "observes only: it opens no incident")
        found.append(Explained(rule.id, rule.kind, reason is None, key.values if key else None, why))
    return found


def read_signals(body: bytes, settings: Settings, source: str | None, at: Instant) -> Sequence[Signal]:
    """Return the alerts of a text: one postable alert, a list of them, or what a webhook receives.

    Args:
        source: The push source that the text would come by; without it the Alertmanager API,
            or the webhook for Alertmanager if the text is such a payload.
        at: What counts as now.

    Raises:
        ExplainError: There is no alert in it.
    """
    if source is not None and source != "am-api":
        return _parsed(_webhook(settings, source), body, at)
    try:
        payload = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ExplainError(f"not JSON: {error}") from None
    if isinstance(payload, dict) and "alerts" in payload and "labels" not in payload:
        return _parsed(plugins.webhook("am-webhook"), body, at)
    decoded = Decoder().decode(body if isinstance(payload, list) else b"[" + body + b"]", at)
    if decoded.refusal is not None:
        assert isinstance(decoded.refusal.body, bytes)
        said: Any = msgspec.json.decode(decoded.refusal.body)
        raise ExplainError(said["message"] if isinstance(said, dict) else str(said))
    if not decoded.signals:
        raise ExplainError("there is no alert in it")
    return decoded.signals


def _webhook(settings: Settings, name: str) -> Webhook:
    if name in plugins.kinds("webhooks"):
        return plugins.webhook(name)
    adapter = None
    if name in settings.sources:
        adapter = plugins.build(settings.sources[name], Context(name, plugins.http_pool(), _unused))
    if not isinstance(adapter, Webhook):
        known = ["am-api", *plugins.kinds("webhooks"), *settings.sources]
        raise ExplainError(f'there is no push source "{name}"; {did_you_mean(name, known, "sources")}')
    return adapter


def _parsed(webhook: Webhook, body: bytes, at: Instant) -> Sequence[Signal]:
    try:
        parsed = webhook.parse({"content-type": "application/json"}, body, at)
    except Rejected as error:
        raise ExplainError(str(error)) from None
    if not parsed:
        raise ExplainError("there is no alert in it")
    for one in parsed:
        if one.signal is None:
            raise ExplainError(one.error or "an acknowledgement is no alert")
    return [one.signal for one in parsed if one.signal is not None]


async def _unused(*_: Any) -> Any:
    raise AssertionError("reading a pushed text blocks on nothing")
