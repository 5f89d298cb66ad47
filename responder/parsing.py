"""``responder check --prometheus``: the server that will be asked says whether it understands each query."""

import asyncio
from collections.abc import Sequence
from typing import Any

from responder import plugins
from responder.clock import SystemClock
from responder.config.settings import Settings
from responder.core.rule import MetricWhen, Rule
from responder.ports import Context, MetricSource, Permanent, Transient

AT_ONCE = 4


class ParsingError(Exception):
    """The server can't be asked; the sentence says why."""


def refused(settings: Settings, url: str) -> list[tuple[str, str]]:
    """Return (place of the rule, what the server says) of each PromQL query that it can't evaluate.

    Each query is asked once, at the present instant. Rules of sources that are no Prometheus
    (``scrape``, ``probe``) have no PromQL and are passed over.

    Raises:
        ParsingError: The server does not answer.
    """
    rules = [rule for rule in settings.rules if _asks_promql(rule, settings)]
    return asyncio.run(_judge(rules, url))


def _asks_promql(rule: Rule, settings: Settings) -> bool:
    if not isinstance(rule.when, MetricWhen):
        return False
    source = settings.sources.get(rule.when.source)  # a pack on its own has none
    return source is None or source.kind == "prometheus"


async def _judge(rules: Sequence[Rule], url: str) -> list[tuple[str, str]]:
    pool = plugins.http_pool()
    settings = plugins.source_settings("prometheus")(kind="prometheus", url=url)  # type: ignore[call-arg]
    source = plugins.build(settings, Context("prometheus", pool, _inline))
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
        texts = {rule.when.query: None for rule in rules if isinstance(rule.when, MetricWhen)}
        verdicts = dict(zip(texts, await asyncio.gather(*map(verdict, texts)), strict=True))
    finally:
        await pool.aclose()
    return [
        (rule.place, f'rule "{rule.id}": {problem}')
        for rule in rules
        if isinstance(rule.when, MetricWhen) and (problem := verdicts[rule.when.query]) is not None
    ]


async def _inline(function: Any, *args: Any) -> Any:
    return function(*args)
