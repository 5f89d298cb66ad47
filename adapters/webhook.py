"""Messages as JSON to a URL, signed: the contract that others build against (SPEC 3.6)."""

import hashlib
import hmac
from typing import Final, Literal

from adapters._http import MEGABYTE, Client, good
from responder.ports import SECOND, ChannelSettings, Context, Delivery, HttpUrl, Secret, Span

_TIMEOUT: Final[Span] = 10 * SECOND


class WebhookSettings(ChannelSettings):
    """Where messages are posted, and the secret that signs them."""

    kind: Literal["webhook"] = "webhook"
    url: HttpUrl
    secret: Secret | None = None

    def build(self, context: Context) -> "WebhookChannel":
        return WebhookChannel(self, context)


class WebhookChannel:
    """Posts each message once per attempt; only 2xx is an acceptance, redirects are not followed."""

    def __init__(self, settings: WebhookSettings, context: Context) -> None:
        self._client: Client = context.http(context.name, settings.url, apart=True)
        self._secret, self._now = settings.secret, context.now

    async def send(self, delivery: Delivery) -> None:
        """Post the message.

        Raises:
            Transient: No head of an answer in 10 s, 408, 425, 429 or 5xx, with their ``Retry-After``.
            Permanent: Any other answer than 2xx.
        """
        headers = {
            "Content-Type": "application/json",
            "X-Responder-Notification-Id": delivery.notification_id,
            "Idempotency-Key": delivery.notification_id,
            "X-Responder-Attempt": str(delivery.attempt),
        }
        if self._secret is not None:
            headers["X-Responder-Signature"] = sign(self._secret, delivery.body, self._now() // SECOND)
        answer = await self._client.fetch(
            "POST", body=delivery.body, headers=headers, within=_TIMEOUT, limit=MEGABYTE, cut=True, told=True
        )
        good(answer, self._client.origin, self._now)

    async def aclose(self) -> None:
        """Nothing to give back: connections belong to the daemon."""


def sign(secret: Secret, body: bytes, seconds: int) -> str:
    """Return ``t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">``; *t* lets the receiver refuse old copies."""
    digest = hmac.new(secret.reveal().encode(), b"%d.%b" % (seconds, body), hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"
