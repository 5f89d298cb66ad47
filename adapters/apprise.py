"""Messages through apprise, which knows a hundred chat and paging services; an optional extra."""

from typing import Any, Literal

from responder.ports import ChannelSettings, Context, Delivery, Permanent, Transient, Url


class AppriseSettings(ChannelSettings):
    """An apprise URL, such as ``slack://token/channel``; it holds the service's secret."""

    kind: Literal["apprise"] = "apprise"
    url: Url

    def build(self, context: Context) -> "AppriseChannel":
        return AppriseChannel(self, context)


class AppriseChannel:
    """Sends through one service, in a thread: apprise blocks."""

    def __init__(self, settings: AppriseSettings, context: Context) -> None:
        try:
            import apprise
        except ImportError:
            raise ValueError('apprise is not installed: pip install "incident-responder[notify]"') from None
        self._service: Any = apprise.Apprise()
        if not self._service.add(settings.url.reveal()):
            raise ValueError("apprise knows no such service, or the URL lacks a part of it")
        self._run_blocking = context.run_blocking

    async def send(self, delivery: Delivery) -> None:
        """Hand the message over.

        Raises:
            Transient: The service did not take it; apprise does not say why.
            Permanent: Apprise found nothing to send.
        """
        taken = await self._run_blocking(self._notify, delivery.title, delivery.text)
        if taken is None:
            raise Permanent("apprise has nothing to send it with", "rejected")
        if not taken:
            raise Transient("apprise could not deliver it", "error")

    async def aclose(self) -> None:
        """Nothing to give back."""

    def _notify(self, title: str, text: str) -> bool | None:
        taken: bool | None = self._service.notify(title=title, body=text or title)
        return taken
