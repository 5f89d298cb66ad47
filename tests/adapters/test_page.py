"""Plain pages and probes: one fetch per instant, selectors, ages and rates."""

import asyncio
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._page import Page, PageSource, parse_selector
from adapters.probe import ProbeSettings
from adapters.scrape import ScrapeSettings
from responder.cli.loading import kinds
from responder.config import load_text
from responder.ports import SECOND, Context, MetricSource, Permanent, Sample, Transient
from tests.adapters.conftest import AT, Loopback, Request, reply, with_context

Serve = Callable[[Callable[[Request], bytes | None]], Loopback]

PAGE = """# HELP queue_length Waiting.
# TYPE queue_length gauge
queue_length{queue="mail",host="a"} 3
queue_length{queue="sms",host="a"} NaN
queue_length{queue="say \\"hi\\"\\n"} +Inf
# TYPE sent counter
sent_total 12 1700000000000
last_sync_timestamp_seconds{carrier="x"} 1767571140
"""
OPENMETRICS = """# TYPE sent counter
sent_total{a="b"} 12.0 # {trace="x"} 1.0
# EOF
"""


@pytest.mark.parametrize(
    ("text", "labels", "meant"),
    [
        ("a", {}, True),
        (" a { } ", {}, True),
        ('a{b="c"}', {"b": "c"}, True),
        ('a{b="c"}', {}, False),
        ('a{b=""}', {}, True),
        ('a{b!="c"}', {}, True),
        ('a{b=~"c.*", d!~"e|f",}', {"b": "cx", "d": "g"}, True),
        ('a{b=~"c.*", d!~"e|f"}', {"b": "cx", "d": "f"}, False),
        ('a{b=~"c"}', {"b": "xcx"}, False),
        ('a{b="}\\"\\n,"}', {"b": '}"\n,'}, True),
    ],
)
def test_a_selector_matches_as_in_prometheus(text: str, labels: dict[str, str], meant: bool) -> None:
    assert parse_selector(text).matches(labels) is meant


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{a="b"}', "rate(a[5m])", "a > 1", "a[5m]", "a{b}", "a{b=c}", 'a{b="c" d="e"}', 'a{b="c"', 'a{b=~"("}'],
)
def test_what_is_more_or_less_than_one_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"selector|RE2"):
        parse_selector(text)


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), st.text(), max_size=4))
def test_a_selector_of_a_series_own_labels_finds_it(labels: dict[str, str]) -> None:
    def quote(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    text = "a{" + ",".join(f'{name}="{quote(value)}"' for name, value in labels.items()) + "}"
    assert parse_selector(text).matches(labels)


def scrape(context: Context, url: str, **settings: Any) -> PageSource:
    source = ScrapeSettings.model_validate({"url": url, **settings}).build(context)
    assert isinstance(source, MetricSource)
    return source


def query(url: str, text: str, **more: Any) -> Sequence[Sample]:
    async def work(context: Context) -> Any:
        return await scrape(context, url).query(text, AT, **more)

    found: Sequence[Sample] = with_context(work)
    return found


def test_a_selector_picks_its_series(serve: Serve) -> None:
    server = serve(lambda r: reply(PAGE, Content_Type="text/plain; version=0.0.4"))
    assert query(server.url + "/metrics", 'queue_length{queue="mail"}') == [Sample({"queue": "mail", "host": "a"}, 3.0)]
    assert server.requests[0].target == "/metrics"
    assert len(query(server.url, "queue_length")) == 3
    assert query(server.url, "sent_total") == [Sample({}, 12.0)]
    assert query(server.url, "sent") == []


def test_openmetrics_is_read_too(serve: Serve) -> None:
    server = serve(lambda r: reply(OPENMETRICS, Content_Type="application/openmetrics-text; version=1.0.0"))
    assert query(server.url, "sent_total") == [Sample({"a": "b"}, 12.0)]


def test_an_age_counts_from_the_value_to_the_instant(serve: Serve) -> None:
    assert query(serve(lambda r: reply(PAGE)).url, "last_sync_timestamp_seconds", read="age") == [
        Sample({"carrier": "x"}, 60.0)
    ]


def test_a_large_page_is_read_as_a_small_one(serve: Serve) -> None:
    page = "".join(f'm{{n="{n}"}} {n}\n' for n in range(20_000))
    assert query(serve(lambda r: reply(page)).url, 'm{n="19999"}') == [Sample({"n": "19999"}, 19999.0)]


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (reply("<html>", Content_Type="text/html"), Permanent, "not_metrics"),
        (reply('{"a": 1}'), Permanent, "not_metrics"),
        (reply("a b c d"), Permanent, "not_metrics"),
        (reply('a{b="c} 1'), Permanent, "not_metrics"),
        (reply(b"\xff\xff 1"), Permanent, "not_metrics"),
        (reply("a 1", Content_Type="application/openmetrics-text"), Permanent, "not_metrics"),
        (reply("a 1", Content_Encoding="gzip"), Permanent, "protocol"),
        (reply("", "500 X"), Transient, "http_500"),
        (reply("", "404 X"), Permanent, "http_404"),
    ],
)
def test_what_is_no_page_is_an_error(serve: Serve, answer: bytes, kind: type[Exception], reason: str) -> None:
    with pytest.raises(kind) as caught:
        query(serve(lambda r: answer).url, "a")
    assert caught.value.reason == reason  # type: ignore[attr-defined]


def test_the_page_is_fetched_once_per_instant_however_many_ask(serve: Serve) -> None:
    server = serve(lambda r: reply(PAGE))

    async def work(context: Context) -> None:
        source = scrape(context, server.url)
        await asyncio.gather(*(source.query(text, AT) for text in ("queue_length", "sent_total", "nothing") * 5))
        assert len(server.requests) == 1
        await source.query("sent_total", AT + SECOND)
        await source.query("sent_total", AT)
        assert len(server.requests) == 2

    with_context(work)


def test_a_page_that_fails_is_not_asked_for_again_at_the_same_instant(serve: Serve) -> None:
    server = serve(lambda r: reply("", "500 X"))

    async def work(context: Context) -> None:
        source = scrape(context, server.url)
        failures = await asyncio.gather(*(source.query("a", AT) for _ in range(5)), return_exceptions=True)
        assert {type(f) for f in failures} == {Transient}
        assert len(server.requests) == 1

    with_context(work)


def rates(points: Sequence[tuple[int, float]], over: int) -> list[float | None]:
    """Return the rate at each (instant, counter value)."""

    async def main() -> list[float | None]:
        values = iter(points)

        async def get() -> Page:
            return {"c": [({}, next(values)[1])]}

        source = PageSource(get)
        found = [await source.query("c", at, "rate", over) for at, _ in points]
        return [samples[0].value if samples else None for samples in found]

    return asyncio.run(main())


def test_a_rate_is_the_increase_per_second_over_what_was_seen() -> None:
    steady = [(AT + n * 30 * SECOND, n * 60.0) for n in range(20)]
    assert rates(steady, 300 * SECOND) == [None, *[2.0] * 19]


def test_a_counter_that_restarts_begins_at_zero() -> None:
    assert rates([(AT, 100.0), (AT + 10 * SECOND, 10.0)], 60 * SECOND) == [None, 1.0]


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_has_no_part_in_a_rate(nothing: float) -> None:
    """Exporters show NaN before their first measurement, and while they have none."""
    at = [AT + n * 10 * SECOND for n in range(5)]
    values = [nothing, 1e9, 1e9 + 50, nothing, 1e9 + 100]
    assert rates(list(zip(at, values, strict=True)), 60 * SECOND) == [None, None, 5.0, None, pytest.approx(10 / 3)]


def test_a_gap_longer_than_the_span_gives_no_rate() -> None:
    assert rates([(AT, 1.0), (AT + 61 * SECOND, 10.0)], 60 * SECOND) == [None, None]


@given(
    steps=st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1e6)), min_size=2, max_size=60),
    over=st.integers(10, 100),
)
def test_a_rate_is_what_all_points_of_its_window_say(steps: list[tuple[int, float]], over: int) -> None:
    instants = itertools.accumulate((step * SECOND for step, _ in steps), initial=AT)
    points = [(at, value) for at, (_, value) in zip(instants, steps, strict=False)]
    last = points[-1][0]
    window = [point for point in points if point[0] >= last - over * SECOND]
    grown = sum(b - a if b >= a else b for (_, a), (_, b) in itertools.pairwise(window))
    found = rates(points, over * SECOND)[-1]
    if len(window) == 1:
        assert found is None
    else:
        assert found == pytest.approx(grown * SECOND / (last - window[0][0]), abs=1e-3)


def test_what_a_rate_keeps_does_not_grow_with_how_often_it_is_asked() -> None:
    async def main() -> tuple[int, float]:
        count = 0

        async def get() -> Page:
            return {"c": [({"a": "b"}, count * 5.0)]}

        source = PageSource(get)
        for count in range(5000):
            found = await source.query("c", AT + count * SECOND, "rate", 3600 * SECOND)
        [counters] = source._rates.values()
        [counter] = counters.values()
        return len(counter.points), found[0].value

    kept, rate = asyncio.run(main())
    assert kept <= 202 and rate == pytest.approx(5.0)


def test_a_clock_that_is_set_back_does_not_stop_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not got again until the clock had come as far again: hours in which a page that broke looked well."""

    async def main() -> list[list[float]]:
        loop, passed = asyncio.get_running_loop(), 0
        began = loop.time()
        monkeypatch.setattr(loop, "time", lambda: began + passed)

        async def get() -> Page:
            return {"c": [({}, passed * 2.0)]}

        source = PageSource(get)
        found = []
        for passed in (0, 30, 60, 90, 120, 150, 180, 210):
            at = AT + passed * SECOND + (7200 * SECOND if passed < 60 else 0)
            asked = [await source.query("c", at), await source.query("c", at, "rate", 90 * SECOND)]
            found.append([samples[0].value for samples in asked if samples])
        return found

    found = asyncio.run(main())
    assert found[-1] == [420.0, 2.0]
    assert [values[0] for values in found] == [0.0, 60.0, 60.0, 60.0, 240.0, 300.0, 360.0, 420.0]


def test_a_series_that_is_gone_is_forgotten() -> None:
    async def main() -> int:
        label = 0

        async def get() -> Page:
            return {"c": [({"a": str(label)}, 1.0)]}

        source = PageSource(get)
        for label in range(100):
            await source.query("c", AT + label * SECOND, "rate", 10 * SECOND)
        [counters] = source._rates.values()
        return len(counters)

    assert asyncio.run(main()) <= 11


# Probes.


def probe(url: str, text: str, **settings: Any) -> dict[str, float]:
    """Return the probed values by phase, or by name for the metrics that have none."""

    async def work(context: Context) -> Any:
        source = ProbeSettings.model_validate({"url": url, **settings}).build(context)
        assert isinstance(source, MetricSource)
        return await source.query(text, AT)

    found = with_context(work, "carrier")
    assert all(s.labels["instance"] == url.rsplit("/h", 1)[0] and s.labels["job"] == "carrier" for s in found)
    return {sample.labels.get("phase", text): sample.value for sample in found}


def test_a_good_answer_is_a_success(serve: Serve) -> None:
    url = serve(lambda r: reply("fine")).url + "/health"
    assert probe(url, "probe_success") == {"probe_success": 1.0}
    assert probe(url, "probe_http_status_code") == {"probe_http_status_code": 200.0}
    assert probe(url, "probe_http_content_length") == {"probe_http_content_length": 4.0}
    assert probe(url, "probe_duration_seconds")["probe_duration_seconds"] > 0
    assert set(probe(url, "probe_http_duration_seconds")) == {"resolve", "connect", "tls", "processing", "transfer"}
    assert probe(url, "probe_ssl_earliest_cert_expiry") == {}


@pytest.mark.parametrize(
    ("answer", "settings", "success", "code"),
    [
        (reply("", "500 X"), {}, 0.0, 500.0),
        (reply("", "302 X"), {}, 0.0, 302.0),
        (reply("", "302 X"), {"valid_status": [302]}, 1.0, 302.0),
        (reply("status: up"), {"body_regex": "up|ready"}, 1.0, 200.0),
        (reply("status: down"), {"body_regex": "up|ready"}, 0.0, 200.0),
        (b"", {}, 0.0, 0.0),
        (None, {"timeout": "100ms"}, 0.0, 0.0),
    ],
)
def test_a_failed_check_is_a_sample(
    serve: Serve, answer: bytes | None, settings: dict[str, Any], success: float, code: float
) -> None:
    url = serve(lambda r: answer).url
    assert probe(url, "probe_success", **settings) == {"probe_success": success}
    assert probe(url, "probe_http_status_code", **settings) == {"probe_http_status_code": code}


def test_a_probe_checks_once_in_its_interval(serve: Serve) -> None:
    server = serve(lambda r: reply())

    async def work(context: Context) -> None:
        source = ProbeSettings.model_validate({"url": server.url, "every": "30s", "method": "HEAD"}).build(context)
        for seconds in (0, 0, 15, 29, 30, 59):
            await source.query("probe_success", AT + seconds * SECOND)

    with_context(work)
    assert [r.method for r in server.requests] == ["HEAD", "HEAD"]


def test_a_query_that_a_probe_or_page_cannot_answer_is_found_at_load() -> None:
    settings = ProbeSettings.model_validate({"url": "http://a"})
    settings.check_query('probe_http_duration_seconds{phase="tls"}')
    with pytest.raises(ValueError, match="no metric up"):
        settings.check_query("up")
    with pytest.raises(ValueError, match="one selector"):
        ScrapeSettings.model_validate({"url": "http://a"}).check_query("rate(a[5m])")


@pytest.mark.parametrize(
    ("kind", "query", "told"),
    [
        ("scrape", "sum(up)", "'(up)' after sum: this source takes one selector, no functions and no arithmetic"),
        ("scrape", "up > 1", "'> 1' after up: this source takes one selector, no functions and no arithmetic"),
        ("scrape", 'up{job="api"}', ""),
        ("probe", "up", "a probe has no metric up; it has"),
        ("probe", "probe_success", ""),
        ("prometheus", "sum(up)", ""),
    ],
)
def test_check_points_to_a_query_that_the_kind_of_source_can_not_answer(kind: str, query: str, told: str) -> None:
    text = f"""
sources: {{page: {{kind: {kind}, url: "http://a"}}}}
rules:
  - id: r
    by: []
    when: {{metric: {{source: page, query: '{query}', every: 30s, open: {{above: 1}}, no_data: keep}}}}
"""
    found = [str(error) for error in load_text(text, kinds=kinds()).errors]
    if not told:
        assert found == []
        return
    [error] = found
    assert error.startswith(f"responder.yml:6:42: {told}")
    assert error.endswith("\n  hint: PromQL is for sources of kind prometheus")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"on_failure": {"for": "5m", "service": "a"}}, "probe_success"),
        ({"body_regex": "("}, "RE2"),
        ({"valid_status": [2000]}, "599"),
        ({"every": "1ms"}, "at least 1s"),
    ],
)
def test_a_probe_that_makes_no_sense_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ProbeSettings.model_validate({"url": "http://a", **settings})
