"""``responder check --prometheus``: the server that will be asked says whether it understands each query."""

import asyncio
import re
from collections.abc import Sequence

from responder import plugins
from responder.clock import SystemClock
from responder.config.settings import Settings
from responder.core.rule import MetricWhen, Rule
from responder.ports import Context, MetricSource, Permanent, Transient

AT_ONCE = 4


class ParsingError(Exception):
    """The server can't be asked; the sentence says why."""


_WHERE = re.compile(r"\b(\d+):(\d+): parse error")
"""Line and column as Prometheus says them: from 1, columns in bytes."""


def refused(settings: Settings, url: str) -> list[tuple[str, str, str]]:
    """Return (rule, query, what the server says) of each PromQL query that it can't evaluate.

    Each query is asked once, at the present instant. Rules of sources that are no Prometheus
    (``scrape``, ``probe``) have no PromQL and are passed over.

    Raises:
        ParsingError: The server does not answer.
    """
    rules = [(rule, rule.when) for rule in settings.rules if isinstance(rule.when, MetricWhen)]
    return asyncio.run(_judge([(rule, when) for rule, when in rules if _takes_promql(when.source, settings)], url))


def _takes_promql(source: str, settings: Settings) -> bool:
    known = settings.sources.get(source)  # a pack on its own has none
    return known is None or known.kind == "prometheus"


async def _judge(rules: Sequence[tuple[Rule, MetricWhen]], url: str) -> list[tuple[str, str, str]]:
    pool = plugins.http_pool()
    settings = plugins.source_settings("prometheus")(kind="prometheus", url=url)  # type: ignore[call-arg]
    source = plugins.build(settings, Context("prometheus", pool, plugins.inline))
    assert isinstance(source, MetricSource)
    at, slots = SystemClock().now(), asyncio.Semaphore(AT_ONCE)

    async def verdict(text: str) -> str | None:
        async with slots:
            try:
                await source.query(text, at)
            except Permanent as error:
                if error.reason != "bad_query":
                    raise ParsingError(str(error)) from error
                return str(error)
            except Transient as error:
                if error.reason != "execution":
                    raise ParsingError(str(error)) from error
                return str(error)
        return None

    try:
        texts = {when.query: None for _, when in rules}
        verdicts = dict(zip(texts, await asyncio.gather(*map(verdict, texts)), strict=True))
    finally:
        await pool.aclose()
    return [(rule.id, when.query, problem) for rule, when in rules if (problem := verdicts[when.query]) is not None]


def offset_of(query: str, said: str) -> int | None:
    """Return which character of a query an error of the server points to, if it says so."""
    found = _WHERE.search(said)
    lines = query.splitlines(keepends=True)
    line, column = (int(found[1]), int(found[2])) if found is not None else (0, 0)
    if not 0 < line <= len(lines):
        return None
    before = lines[line - 1].encode()[: max(0, column - 1)].decode(errors="ignore")
    return len("".join(lines[: line - 1])) + len(before)
