"""One HTTP check, told in the metric names of blackbox_exporter; a failed check is a sample, not a failed poll.

Source: https://github.com/prometheus/blackbox_exporter, prober/http.go
"""

import asyncio
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from adapters._http import MEGABYTE, Answer
from adapters._page import Page, PageSource, compile_regex, parse_selector
from adapters._server import Every, ServerSettings
from responder.ports import SECOND, Context, Permanent, Transient


def _regex(text: str) -> str:
    compile_regex(text)
    return text


class ProbeSettings(ServerSettings):
    """What is asked, and what answer is a good one. Redirects are not followed."""

    kind: Literal["probe"] = "probe"
    every: Every = 30 * SECOND
    """Rules that ask more often see the same check again."""
    method: Literal["GET", "HEAD", "POST"] = "GET"
    valid_status: list[Annotated[int, Field(ge=100, le=599)]] = []
    """Empty: 200 to 299."""
    body_regex: Annotated[str, AfterValidator(_regex)] | None = None
    """RE2, found anywhere in the first megabyte of the body."""

    @model_validator(mode="after")
    def _never_fails(self) -> Self:
        if self.on_failure is not None:
            raise ValueError("a probe that fails is a sample: write a rule on probe_success instead of on_failure")
        return self

    @classmethod
    def check_query(cls, text: str) -> None:
        """Refuse what is not one selector over the metrics of a probe.

        Raises:
            ValueError: Says what is wrong with it.
        """
        name = parse_selector(text).name
        if name not in METRICS:
            raise ValueError(f"a probe has no metric {name}; it has " + ", ".join(METRICS))

    def build(self, context: Context) -> PageSource:
        return PageSource(_Probe(self, context).check, self.every)


METRICS: Final = (
    "probe_success",
    "probe_duration_seconds",
    "probe_dns_lookup_time_seconds",
    "probe_http_status_code",
    "probe_http_ssl",
    "probe_http_content_length",
    "probe_http_duration_seconds",
    "probe_ssl_earliest_cert_expiry",
    "probe_failed_due_to_regex",
)


class _Probe:
    def __init__(self, settings: ProbeSettings, context: Context) -> None:
        self._settings = settings
        self._client = settings.client(context, apart=True)
        self._pattern = compile_regex(settings.body_regex) if settings.body_regex else None
        self._labels = {"instance": self._client.origin, "job": context.name}

    async def check(self) -> Page:
        """Ask once. Samples carry the labels ``instance`` (the origin) and ``job`` (the source's name)."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        answer: Answer | None = None
        try:
            answer = await self._client.fetch(
                self._settings.method, within=self._settings.timeout, limit=MEGABYTE, cut=True
            )
        except (Transient, Permanent):
            pass  # that is the finding
        values = {"probe_duration_seconds": loop.time() - started, "probe_http_status_code": 0.0}
        page = {}
        if answer is not None:
            values |= self._read(answer)
            page["probe_http_duration_seconds"] = [
                (self._labels | {"phase": phase}, seconds) for phase, seconds in answer.phases.items()
            ]
        missed = values.get("probe_failed_due_to_regex", 0.0)
        values["probe_success"] = float(answer is not None and self._valid(answer.status) and not missed)
        return page | {name: [(self._labels, value)] for name, value in values.items()}

    def _read(self, answer: Answer) -> dict[str, float]:
        length = answer.headers.get("content-length", "")
        values = {
            "probe_http_status_code": float(answer.status),
            "probe_dns_lookup_time_seconds": answer.phases["resolve"],
            "probe_http_content_length": float(length) if length.isdecimal() else -1.0,
            "probe_http_ssl": float(self._client.origin.startswith("https:")),
        }
        if answer.certificate_ends is not None:
            values["probe_ssl_earliest_cert_expiry"] = answer.certificate_ends
        if self._pattern is not None:
            values["probe_failed_due_to_regex"] = float(
                not self._pattern.search(answer.body.decode("utf-8", "replace"))
            )
        return values

    def _valid(self, status: int) -> bool:
        return status in self._settings.valid_status if self._settings.valid_status else 200 <= status < 300
