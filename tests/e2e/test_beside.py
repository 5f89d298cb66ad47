"""The daemon and a real Alertmanager, asked the same: what is generated here is answered alike.

Left out, because we differ on purpose: names of labels beyond ASCII words (taken here, as by
Alertmanager from 0.27 on), ``null`` for an alert (there it is a crash), and repeats of an alert
(an old end does not end a firing here). Texts are compared up to what we add: where it is wrong.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from responder.clock import SystemClock
from responder.core.instant import format_instant
from responder.core.signal import HOUR, MINUTE, SECOND, Span
from responder.web.gojson import parse_instant
from tests.adapters.conftest import end, free_port, real
from tests.e2e.kit import Daemon

pytestmark = pytest.mark.real
RULES = """
teams: {ops: {lead: ann}}
services: {shop: {team: ops}}
rules:
  - {id: team-a, by: [team], when: {event: {match: {labels: {team: a}}}}, incident: {service: shop, title: t}}
"""
ROUTES = """
route: {receiver: none, routes: [{receiver: team-a, matchers: ['team="a"'], group_by: [team]}]}
receivers: [{name: none}, {name: team-a}]
"""
ALIKE = settings(
    max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


class Pair:
    """The two servers."""

    def __init__(self, *urls: str) -> None:
        self._clients = [httpx.Client(base_url=url, timeout=20, trust_env=False) for url in urls]
        self.asked = 0

    def ask(self, method: str, path: str, body: Any = None) -> tuple[httpx.Response, httpx.Response]:
        """Return the answers of Alertmanager and of the daemon."""
        self.asked += 1
        options: dict[str, Any] = {} if body is None else {"json": body}
        first, second = (client.request(method, path, **options) for client in self._clients)
        return first, second

    def ask_each(self, method: str, paths: Sequence[str], bodies: Sequence[Any] = (None, None)) -> list[Any]:
        """Ask each for what it calls by a name of its own; returns status and JSON of both."""
        answers = [c.request(method, p, json=b) for c, p, b in zip(self._clients, paths, bodies, strict=True)]
        return [(answer.status_code, json.loads(answer.content) if answer.content else None) for answer in answers]

    def alike(self, method: str, path: str, body: Any = None) -> tuple[Any, Any]:
        """Ask both; their answers have the same frame. Returns the JSON of each."""
        theirs, ours = self.ask(method, path, body)
        assert frame(ours) == frame(theirs), (body, theirs.text, ours.text)
        said = [json.loads(answer.content) if answer.content else None for answer in (theirs, ours)]
        if theirs.status_code >= 400:
            for one in comparable(message(said[0])):
                assert one in message(said[1]), (body, said)
        return said[0], said[1]

    def close(self) -> None:
        for client in self._clients:
            client.close()


def frame(answer: httpx.Response) -> Any:
    """Return what a client looks at first."""
    body = json.loads(answer.content) if answer.content else None
    code = body.get("code") if isinstance(body, dict) else None
    return answer.status_code, answer.headers.get("content-type"), type(body), code


def message(said: Any) -> str:
    return str(said["message"] if isinstance(said, dict) else said)


def comparable(text: str) -> list[str]:
    """Return the parts of a message of which ours has each: one for each alert that is wrong."""
    if "parsing time" in text:
        return ["parsing time"]
    if "into Go value" in text:
        return [text.partition(" into Go value")[0]]
    if "error parsing regexp" in text:
        return [text.partition(": `")[0]]
    return text.split("; ")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder, port = tmp_path_factory.mktemp("beside"), free_port()
    (folder / "am.yml").write_text(ROUTES)
    alertmanager = real(
        "prometheus-alertmanager",
        [f"--config.file={folder}/am.yml", f"--storage.path={folder}/data",
         f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
        port, folder / "am.log",
    )  # fmt: skip
    responder = Daemon(folder, RULES)
    try:
        found = Pair(f"http://127.0.0.1:{port}", responder.start().url)
        yield found
        found.close()
    finally:
        responder.kill()
        end(alertmanager)


def ahead(span: Span) -> str:
    return format_instant((SystemClock().now() + span) // SECOND * SECOND)


odd: st.SearchStrategy[Any] = st.sampled_from([None, 1, 1.5, True, "", "x", [], {}, [1], {"a": 1}, {"a": "b"}])
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(["a", "b", 'a"b', "a\\b", " "])
names = st.from_regex(r"[a-z_][a-z0-9_]{0,3}", fullmatch=True)
instants = st.sampled_from(
    ["", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.123456789+25:00", "2026-01-01T00:00:00,5-08:00",
     "2026-01-01 00:00:00", "2026-01-01t00:00:00z", "2026-W01-1T00:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01", "soon",
     "9999-12-31T23:59:59Z", "2026-02-29T00:00:00Z", "2026-01-01T00:00Z", "2026-01-01T00:00:00+0800",
     "2026-01-01T00:00:00.000000+0800", "2026-01-01T00:00:00.000-0800"]
) | st.sampled_from([-HOUR, -MINUTE, MINUTE, HOUR]).map(ahead)  # fmt: skip
urls = st.sampled_from(["", "http://x/y?z#w", "x", "/x", "a:b", "http://a b/", "http://[::1", "*", "http://ü/%zz"])
alerts = st.fixed_dictionaries(
    {"labels": st.dictionaries(names, words, max_size=3)},
    optional={
        "annotations": st.dictionaries(names | st.just(""), words, max_size=2) | odd,
        "startsAt": instants | odd, "endsAt": instants | odd, "generatorURL": urls | odd, "foo": odd,
    },
)  # fmt: skip


@ALIKE
@given(st.lists(alerts, max_size=3) | st.lists(alerts, max_size=1) | odd, st.booleans())
def test_what_is_posted_is_taken_or_refused_alike(pair: Pair, batch: Any, named: bool) -> None:
    if isinstance(batch, list):
        for n, alert in enumerate(one for one in batch if named and isinstance(one, dict) and one.get("labels")):
            alert["labels"]["run"] = f"{pair.asked}-{n}"
    pair.alike("POST", "/api/v2/alerts", batch)


@ALIKE
@given(alerts)
def test_what_is_taken_is_shown_alike(pair: Pair, alert: dict[str, Any]) -> None:
    alert["labels"]["once"] = str(pair.asked)
    if pair.alike("POST", "/api/v2/alerts", [alert])[0] is not None:
        return
    theirs, ours = pair.alike("GET", f"/api/v2/alerts?filter=once%3D{pair.asked - 1}")
    assert [shown(one) for one in ours] == [shown(one) for one in theirs]
    for us, them in zip(ours, theirs, strict=True):
        for field in ("startsAt", "endsAt", "updatedAt"):
            assert abs(parse_instant(us[field]) - parse_instant(them[field])) < 2 * SECOND


def shown(alert: dict[str, Any]) -> Any:
    alert["status"].pop("mutedBy", None)
    return {
        name: alert.get(name)
        for name in ("labels", "annotations", "fingerprint", "generatorURL", "status", "receivers")
    }


@pytest.fixture(scope="module")
def known(pair: Pair) -> Pair:
    values = ["a", "b", 'a"b', "a\\b", "{a}", "a,b", "'a'", "ü", " a ", "=b", "1", "A", ""]
    pair.alike("POST", "/api/v2/alerts", [{"labels": {"known": "x", "q": v, "team": v}} for v in values])
    matchers = [{"name": "q", "value": "a|1", "isRegex": True}, {"name": "known", "value": "x", "isRegex": False}]
    silence = {
        "matchers": matchers,
        "startsAt": ahead(-MINUTE),
        "endsAt": ahead(HOUR),
        "createdBy": "t",
        "comment": "c",
    }
    pair.alike("POST", "/api/v2/silences", silence)
    return pair


operands = st.sampled_from(
    ["a", '"a"', '"a', 'a"', "'a'", '"a\\"b"', 'a\\"b', "a\\b", '"a\\\\b"', "{a}", "a,b", " a ", '" a "', "", '""', "a|b", '"a|1"',
     ".*", ".+", "^a$", "(?i)a", "[", "(", "a{2,1}", "(?=a)", "\\d", '"\\\\d"', "ü", "=b", "==b", "~a", "[[:alpha:]]", "a?"]
)  # fmt: skip
filters = st.tuples(
    st.sampled_from(["q", " q ", "nosuch", "q{", "", "{q"]),
    st.sampled_from(["=", "!=", "=~", "!~", "<", " = "]),
    operands,
)
flags = st.sampled_from(["true", "false", "1", "0", "", "no", "x", "TRUE"])
queries = st.fixed_dictionaries(
    {"filter": st.lists(filters.map("".join) | st.sampled_from(["", "a", "bad", "{}"]), max_size=2).map(lambda more: ["known=x", *more])},
    optional={
        "active": flags, "silenced": flags, "inhibited": flags,
        "receiver": st.sampled_from(["team-a", "team", "team-.", "none", ".*", "[", "", "(?i)TEAM-A|x"]),
    },
)  # fmt: skip


@ALIKE
@given(queries, st.sampled_from(["/api/v2/alerts", "/api/v2/alerts", "/api/v2/alerts/groups"]))
def test_alerts_are_selected_alike(known: Pair, query: dict[str, Any], path: str) -> None:
    theirs, ours = known.alike("GET", f"{path}?{httpx.QueryParams(query)}")
    if isinstance(theirs, list):
        assert list(map(outline, ours)) == list(map(outline, theirs)), query


def outline(one: dict[str, Any]) -> Any:
    """Return what can be compared of an alert or a group; the order inside of a group is nobody's."""
    if "alerts" in one:
        return one["receiver"], one["labels"], sorted(map(outline, one["alerts"]))
    return (
        one["fingerprint"],
        one["status"]["state"],
        len(one["status"]["silencedBy"]),
        [r["name"] for r in one["receivers"]],
    )


terms = st.fixed_dictionaries(
    {"name": names | st.just(""), "value": operands, "isRegex": st.booleans()},
    optional={"isEqual": st.booleans() | st.none(), "foo": odd},
)  # fmt: skip
posted = st.fixed_dictionaries(
    {},
    optional={
        "matchers": st.lists(terms, min_size=1, max_size=3) | st.lists(terms | odd.filter(lambda one: one is not None), max_size=2) | odd,
        "startsAt": instants | odd, "endsAt": instants.filter(lambda text: not text.startswith("9999")) | odd,
        "createdBy": words | odd, "comment": words | odd, "id": odd,
    },
)  # fmt: skip
whole = st.fixed_dictionaries(
    {"matchers": st.lists(terms, min_size=1, max_size=3), "createdBy": words, "comment": words,
     "startsAt": st.sampled_from([-HOUR, MINUTE]).map(ahead), "endsAt": st.sampled_from([-MINUTE, HOUR]).map(ahead)}
)  # fmt: skip


@ALIKE
@given(posted | whole)
def test_silences_are_taken_refused_and_shown_alike(pair: Pair, silence: dict[str, Any]) -> None:
    theirs, ours = pair.alike("POST", "/api/v2/silences", silence)
    if isinstance(theirs, dict) and "silenceID" in theirs:
        seen = [
            pair.ask("GET", f"/api/v2/silence/{said['silenceID']}")[n].json() for n, said in enumerate((theirs, ours))
        ]
        fields = ("status", "comment", "createdBy", "matchers")
        assert [seen[1][f] for f in fields] == [seen[0][f] for f in fields]
        for n, said in enumerate((theirs, ours)):  # silences of one example must not reach the next
            assert pair.ask("DELETE", f"/api/v2/silence/{said['silenceID']}")[n].status_code == 200


MATCHERS = [
    [{"name": "life", "value": "a", "isRegex": False}],
    [{"name": "life", "value": "a", "isRegex": False, "isEqual": True}],
    [{"name": "life", "value": "a|b", "isRegex": True}, {"name": "q", "value": "", "isRegex": False, "isEqual": False}],
    [{"name": "q", "value": "", "isRegex": False, "isEqual": False}, {"name": "life", "value": "a|b", "isRegex": True}],
]
starts = st.sampled_from([-HOUR, -MINUTE, MINUTE, HOUR]).map(ahead)
ends = st.sampled_from([-MINUTE, MINUTE // 2, 2 * MINUTE, 2 * HOUR]).map(ahead)
steps = st.lists(
    st.fixed_dictionaries(
        {},
        optional={"matchers": st.sampled_from(MATCHERS), "startsAt": starts, "endsAt": ends, "comment": st.sampled_from(["", "c"])},
    )
    | st.none(),
    min_size=1, max_size=4,
)  # fmt: skip


@ALIKE
@given(steps)
def test_a_silence_is_changed_replaced_and_ended_alike(pair: Pair, steps: list[dict[str, Any] | None]) -> None:
    first = {"matchers": MATCHERS[2], "startsAt": ahead(-MINUTE), "endsAt": ahead(HOUR)} | {
        "createdBy": "t",
        "comment": "c",
    }
    current = [said["silenceID"] for _, said in pair.ask_each("POST", ["/api/v2/silences"] * 2, [first, first])]
    known: list[list[str]] = [[id] for id in current]
    for step in steps:  # none: it is deleted
        shown = [said for _, said in pair.ask_each("GET", [f"/api/v2/silence/{id}" for id in current])]
        if step is None:
            theirs, ours = pair.ask_each("DELETE", [f"/api/v2/silence/{id}" for id in current])
            assert ours == theirs
        else:
            theirs, ours = pair.ask_each("POST", ["/api/v2/silences"] * 2, [one | step for one in shown])
            if theirs[0] == ours[0] == 200:
                new = [said["silenceID"] for _, said in (theirs, ours)]
                assert (new[1] == current[1]) is (new[0] == current[0]), "both change it, or both replace it"
                current = new
                for ids, id in zip(known, new, strict=True):
                    ids += [] if id in ids else [id]
            else:
                assert ours == theirs, step
        for alike in zip(*known, strict=True):
            (_, them), (_, us) = pair.ask_each("GET", [f"/api/v2/silence/{id}" for id in alike])
            for field in ("status", "comment", "createdBy", "matchers"):
                assert us[field] == them[field], (steps, field)
            for field in ("startsAt", "endsAt", "updatedAt"):
                assert abs(parse_instant(us[field]) - parse_instant(them[field])) < 2 * SECOND, (steps, field)
    paths = [f"/api/v2/silence/{id}" for id in current]
    assert [pair.ask_each("DELETE", paths) for _ in range(2)] == [[(200, None), (200, None)]] * 2
