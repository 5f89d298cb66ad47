"""A plain ``/metrics`` page, read without a Prometheus."""

import asyncio
from typing import Final, Literal

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from adapters._http import MEGABYTE, readable, said
from adapters._page import Page, PageSource, parse_selector
from adapters._server import ServerSettings
from responder.ports import Context, Permanent

_ACCEPT: Final = {"Accept": "text/plain;version=0.0.4"}
_SMALL: Final = 64 * 1024
"""A page up to this size is parsed in a few milliseconds, at once; a larger one in a thread."""


class ScrapeSettings(ServerSettings):
    """A page in Prometheus's text format or OpenMetrics; ``url`` is the page's own, such as http://host:8080/metrics."""

    kind: Literal["scrape"] = "scrape"

    @classmethod
    def check_query(cls, text: str) -> None:
        """Refuse what is not one selector.

        Raises:
            ValueError: Says what is wrong with it.
        """
        parse_selector(text)

    def build(self, context: Context) -> PageSource:
        return PageSource(_Scrape(self, context).page)


class _Scrape:
    def __init__(self, settings: ScrapeSettings, context: Context) -> None:
        self._client, self._within, self._now = settings.client(context), settings.timeout, context.now

    async def page(self) -> Page:
        answer = await self._client.fetch("GET", within=self._within, headers=_ACCEPT, limit=64 * MEGABYTE)
        origin = self._client.origin
        body = readable(answer, origin, self._now)
        kind = answer.headers.get("content-type", "")
        if "html" in kind or body.lstrip()[:1] in (b"<", b"{", b"["):
            raise Permanent(f"{origin} answered{said(answer) or ' something'}, not a page of metrics", "not_metrics")
        try:
            if len(body) <= _SMALL:
                return parse(body, "openmetrics" in kind)
            return await asyncio.to_thread(parse, body, "openmetrics" in kind)
        except (ValueError, KeyError, IndexError) as error:
            words = " ".join(str(error).split())[:200]
            raise Permanent(f"{origin} has a page that is no metrics format: {words}", "not_metrics") from None


def parse(body: bytes, openmetrics: bool) -> Page:
    """Return the samples of a page by name.

    Raises:
        ValueError, KeyError, IndexError: A line can't be read; the parser has no error of its own.
    """
    page: dict[str, list[tuple[dict[str, str], float]]] = {}
    families = openmetrics_families if openmetrics else text_families
    for family in families(body.decode()):
        for sample in family.samples:
            page.setdefault(sample.name, []).append((dict(sample.labels), float(sample.value)))
    return page
