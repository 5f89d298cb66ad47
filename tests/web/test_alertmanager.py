"""The Alertmanager API against what a real one answered.

``tests/cases/alertmanager_api.json`` holds recorded request/answer pairs (its language: ``$re``,
``$time`` and so on, see :func:`differs`); the tables below were recorded from 0.25 too.
"""

import asyncio
import json
import re
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest

from responder import metrics
from responder.core.instant import format_instant, parse_instant, parse_span
from responder.core.signal import HOUR, MINUTE, SECOND, fingerprint, fingerprint_text
from responder.web import alertmanager as alertmanager_module
from responder.web import alerts as alerts_module
from responder.web.alerts import instant_text
from responder.web.http import Disconnected
from tests.web.memory import START, Client, Memory

CASES = json.loads((Path(__file__).parents[1] / "cases" / "alertmanager_api.json").read_text())


def ask(client, method, path, json=None, **more):
    return asyncio.run(client(method, path, json, **more))


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def client(memory):
    return Client(memory)


# The recorded cases.


class Replay:
    """Fills in placeholders and compares answers."""

    def __init__(self, memory):
        self.memory, self.saved, self.run = memory, {}, uuid.uuid4().hex[:8]

    def at(self, expression):
        sign, length = re.fullmatch(r"now(?:([+-])(\w+))?", expression).groups()
        return self.memory.at + (parse_span(length) if length else 0) * (-1 if sign == "-" else 1)

    def fill(self, value):
        if isinstance(value, str):
            return re.sub(r"\{\{([^{}]+)\}\}", lambda m: self.placeholder(m[1]), value)
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        if isinstance(value, dict):
            return {self.fill(k): self.fill(v) for k, v in value.items()}
        return value

    def placeholder(self, name):
        if name.startswith("now"):
            return format_instant(self.at(name))
        if name.startswith("fp:"):
            labels = dict(pair.split("=", 1) for pair in name[3:].replace("<run>", self.run).split(","))
            return fingerprint_text(fingerprint(labels))
        return {"uuid": str(uuid.uuid4()), "run": self.run, **self.saved}[name]

    def differs(self, want, got):
        """Return why *got* is not what is wanted; None if it is."""
        match want:
            case {"$re": regex}:
                return None if isinstance(got, str) and re.search(regex, got) else f"{got!r} !~ {regex}"
            case {"$len": length}:
                return None if len(got) == length else f"{len(got)} elements, not {length}"
            case {"$time": expression, "tol": tolerance}:
                off = abs(parse_instant(got) - self.at(expression))
                return None if off <= tolerance * SECOND else f"{got} is not {expression}"
            case {"$absent": _} | {"$empty": _}:
                return None if got in (None, "") else f"{got!r} is there"
            case {"$any": _}:
                return None
            case dict():
                return next(filter(None, (self.differs(v, got.get(k)) for k, v in want.items())), None)
            case list():
                if len(want) != len(got):
                    return f"{len(got)} elements, not {len(want)}"
                return next(filter(None, map(self.differs, want, got)), None)
        return None if want == got else f"{got!r} != {want!r}"


def test_every_recorded_request_is_answered_as_recorded(memory, client):
    replay = Replay(memory)
    wrong = {}
    ours = [case for case in CASES if case["path"].startswith("/api/v2/")]
    for case in ours:
        memory.at += SECOND
        body = json.dumps(replay.fill(case["body"])) if "body" in case else replay.fill(case.get("body_raw", ""))
        answer = ask(client, case["method"], replay.fill(case["path"]), body=body.encode(), headers=case.get("headers"))
        got = answer.json if answer.body else None
        statuses = case["expect_status"] if isinstance(case["expect_status"], list) else [case["expect_status"]]
        if answer.status not in statuses:
            wrong[case["name"]] = f"{answer.status} {got}"
        elif "expect" in case and (why := replay.differs(replay.fill(case["expect"]), got)):
            wrong[case["name"]] = why
        for name, path in case.get("save", {}).items():
            replay.saved[name] = got[path]

    assert wrong == {}
    assert len(ours) > 45


# Alerts.

TEAMS = [
    {"alertname": f"n{n}", "cluster": "x", "instance": f"h{n}", **({"team": team} if team else {})}
    for team in ("a", "b", "c", "")
    for n in (1, 2)
]


@pytest.fixture
def teams(memory, client):
    """Eight alerts; team a and team b have a receiver each."""
    memory.names = {"a": "team-a", "b": "team-b"}
    assert ask(client, "POST", "/api/v2/alerts", [{"labels": labels} for labels in TEAMS]).status == 200
    return client


def found(client, query):
    answer = ask(client, "GET", f"/api/v2/alerts?{query}")
    assert answer.status == 200, answer.json
    return sorted(a["labels"]["alertname"] + a["labels"].get("team", "-") for a in answer.json)


ALL = ["n1-", "n1a", "n1b", "n1c", "n2-", "n2a", "n2b", "n2c"]
WITHOUT_TEAM = ["n1-", "n2-"]
WITH_TEAM = [name for name in ALL if name not in WITHOUT_TEAM]


# recorded
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ALL),
        ("filter=nonsense%3D", ALL),
        ("filter=team%3D", WITHOUT_TEAM),
        ("filter=team%21%3D", WITH_TEAM),
        ("filter=team%3D~.*", ALL),
        ("filter=team%3D~", WITHOUT_TEAM),
        ("filter=team%21~.%2B", WITHOUT_TEAM),
        ("filter=team%3D%22a%22&filter=alertname%3D~%22n(1%7C3)%22", ["n1a"]),
        ("filter=alertname%3D~n1.*&filter=alertname%3D~n1", ["n1-", "n1a", "n1b", "n1c"]),
        ("filter=team%3D~%22(%3Fi)A%22", ["n1a", "n2a"]),
        ("filter=%20team%20%3D%20%20%22a%22%20", ["n1a", "n2a"]),
        ("filter=team%3D%20a%20", ["n1a", "n2a"]),
        ("filter=team%3D'a'", []),
        ("filter=team%3D%3Da", []),
        ("filter=team%3D%5C%22a", []),
        ("filter=team%zz", ALL),
        ("filter=team%3Da;active=false", ALL),
        ("nonsense=1", ALL),
        ("active=foo", []),
        ("active=", ALL),
        ("active=1", ALL),
        ("active=TRUE", ALL),
        ("active=yes", ALL),
        ("active=false&active=true", ALL),
        ("silenced=0", ALL),
        ("inhibited=false", ALL),
        ("unprocessed=false", ALL),
        ("receiver=", ALL),
        ("receiver=team-a", ["n1a", "n2a"]),
        ("receiver=team-.", ["n1a", "n1b", "n2a", "n2b"]),
        ("receiver=team", []),
    ],
)
def test_alerts_are_selected_as_alertmanager_selects_them(teams, query, names):
    assert found(teams, query) == names


# recorded
@pytest.mark.parametrize("path", ["/api/v2/alerts", "/api/v2/alerts/groups"])
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("filter=bad", "^bad matcher format: bad$"),
        ("filter=", "^bad matcher format: $"),
        ("filter=team%3D%22a", '^matcher value contains unescaped double quote: "a$'),
        ("filter=team%3Da%22", '^matcher value contains unescaped double quote: a"$'),
        ("filter=team%3D%22a%22%2Cb%3D%22c%22", "^matcher value contains unescaped double quote: "),
        ("filter=team%3D~%22%5B%22", r"^error parsing regexp: missing closing ]: `\[`$"),
        ("filter=team%3D~(%3F%3Da)", "^error parsing regexp: invalid or unsupported Perl syntax: `[(][?]=`$"),
        ("filter=team%3D~a%7B2%2C1%7D", "^error parsing regexp: invalid repeat count: `[{]2,1[}]`$"),
        ("filter=team%3D~%5Cy", r"^error parsing regexp: invalid escape sequence: `\\y`$"),
        ("filter=a%3Db%ff", "^matcher value not valid UTF-8: "),
        ("receiver=%5B", "^failed to parse receiver param: error parsing regexp: "),
        ("receiver=*", "^failed to parse receiver param: error parsing regexp: "),
        ("receiver=a%7B1001%7D", "^failed to parse receiver param: error parsing regexp: "),
        ("filter=bad&receiver=%5B", "^bad matcher format: bad$"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_a_400_with_text(teams, path, query, said):
    answer = ask(teams, "GET", f"{path}?{query}")

    assert answer.status == 400
    assert re.search(said, answer.json)


def test_an_alert_looks_as_alertmanager_shows_it(memory, client):
    alert = {
        "labels": {"alertname": "Disk", "team": "a"}, "annotations": {"summary": "s"}, "generatorURL": "http://p/g",
        "startsAt": "2026-01-04T23:00:00.123456Z", "endsAt": "2026-01-05T01:00:00+01:00",
    }  # fmt: skip
    memory.names, memory.at = {"a": "team-a"}, START - HOUR
    ask(client, "POST", "/api/v2/alerts", [alert])

    assert ask(client, "GET", "/api/v2/alerts").json == [
        {
            "annotations": {"summary": "s"},
            "endsAt": "2026-01-05T00:00:00.000Z",
            "fingerprint": fingerprint_text(fingerprint(alert["labels"])),
            "receivers": [{"name": "team-a"}],
            "startsAt": "2026-01-04T23:00:00.123Z",
            "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []},
            "updatedAt": "2026-01-04T23:00:00.000Z",
            "labels": alert["labels"],
            "generatorURL": "http://p/g",
        }
    ]


def test_alerts_come_in_the_order_of_their_fingerprints(teams):
    prints = [a["fingerprint"] for a in ask(teams, "GET", "/api/v2/alerts").json]

    assert prints == sorted(prints)
    assert {p[0] < "8" for p in prints} == {True, False}  # both signs of the stored number


def test_an_alert_is_gone_once_its_end_has_passed_and_when_it_is_resolved(memory, teams):
    ask(teams, "POST", "/api/v2/alerts", [{"labels": TEAMS[0], "endsAt": "2026-01-05T00:00:00Z"}])
    assert len(found(teams, "")) == 7

    memory.at += 5 * MINUTE
    assert len(found(teams, "")) == 7
    memory.at += 1
    assert found(teams, "") == []


def test_an_alert_that_never_ends_by_itself_shows_the_end_of_one_seen_now(memory, client):
    from msgspec.structs import replace

    ask(client, "POST", "/api/v2/alerts", [{"labels": {"a": "b"}}])
    memory.known = {fp: replace(alert, ends_at=None) for fp, alert in memory.known.items()}
    memory.at += HOUR

    [alert] = ask(client, "GET", "/api/v2/alerts").json
    assert alert["endsAt"] == "2026-01-05T01:05:00.000Z"


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (START + 1999, "2026-01-05T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-(10**18), "0001-01-01T00:00:00.000Z"),
        (10**18, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_instants_show_milliseconds_and_never_overflow(at, text):
    assert instant_text(at) == text


def test_many_alerts_come_in_pieces(monkeypatch, teams):
    whole = ask(teams, "GET", "/api/v2/alerts")
    groups = ask(teams, "GET", "/api/v2/alerts/groups")
    monkeypatch.setattr(alerts_module, "PAGE", 3)
    together = ask(teams, "GET", "/api/v2/alerts")
    monkeypatch.setattr(alertmanager_module, "CHUNK", 1)
    paged = ask(teams, "GET", "/api/v2/alerts")

    assert (whole.pieces, paged.pieces) == (1, 5)  # three pages, the end of the array, the end of the answer
    assert together.pieces == 2, "small ones leave together"
    assert paged.json == together.json == whole.json
    assert "content-length" not in paged.headers
    assert ask(teams, "GET", "/api/v2/alerts/groups").json == groups.json


def test_silenced_alerts_are_suppressed_and_can_be_left_out(memory, teams):
    id = silence(teams, matchers=[{"name": "team", "value": "a", "isRegex": False}])

    [shown] = [a for a in ask(teams, "GET", "/api/v2/alerts").json if a["labels"] == TEAMS[0]]
    assert shown["status"] == {"state": "suppressed", "silencedBy": [id], "inhibitedBy": [], "mutedBy": []}
    assert found(teams, "silenced=false") == [name for name in ALL if not name.endswith("a")]
    assert found(teams, "active=false") == ["n1a", "n2a"]
    assert found(teams, "active=false&silenced=false") == []


def groups(client, query=""):
    return [
        (g["receiver"]["name"], g["labels"], [a["labels"]["alertname"] for a in g["alerts"]])
        for g in ask(client, "GET", f"/api/v2/alerts/groups?{query}").json
    ]


def test_groups_are_by_receiver_and_its_labels(teams):
    assert [(name, labels) for name, labels, _ in groups(teams)] == [
        ("none", {}),
        ("team-a", {"cluster": "x", "team": "a"}),
        ("team-b", {"cluster": "x", "team": "b"}),
    ]
    assert [len(names) for _, _, names in groups(teams)] == [4, 2, 2]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("receiver=team-b", ["team-b"]),
        ("filter=team%3Da", ["team-a"]),
        ("filter=team%3Dzzz", []),
        ("active=false", []),
        ("muted=false", ["none", "team-a", "team-b"]),
    ],
)
def test_groups_can_be_filtered(teams, query, names):
    assert [name for name, _, _ in groups(teams, query)] == names


def test_the_store_that_does_not_answer_is_a_503(memory, client):
    memory.down = True
    answer = ask(client, "POST", "/api/v2/alerts", [{"labels": {"a": "b"}}, {"labels": {}}])

    assert (answer.status, answer.json) == (503, "the store does not answer")


def test_each_alert_that_is_refused_is_counted_and_none_of_a_batch_that_will_come_again(memory, client):
    def rejected():
        labels = {"source": "am-api", "result": "rejected"}
        return metrics.REGISTRY.get_sample_value("responder_signals_received_total", labels) or 0

    before = rejected()
    batch = [{"labels": {}}, {"labels": {"alertname": "T"}}, {"labels": {"a": "b"}, "annotations": {"": "x"}}]
    answer = ask(client, "POST", "/api/v2/alerts", batch)
    assert (answer.status, len(memory.known), rejected() - before) == (400, 1, 2)
    ask(client, "POST", "/api/v2/alerts", [{"labels": {"alertname": "T"}}])
    memory.down = True
    ask(client, "POST", "/api/v2/alerts", batch)
    assert rejected() - before == 2


def test_a_large_body_is_decoded_too(memory, client):
    many = [{"labels": {"alertname": "many", "n": str(n)}, "annotations": {"text": "x" * 100}} for n in range(3000)]

    assert ask(client, "POST", "/api/v2/alerts", many).status == 200
    assert len(memory.known) == 3000


def test_a_body_over_ten_megabytes_is_413(client):
    answer = ask(client, "POST", "/api/v2/alerts", body=b" " * (10 * 1024 * 1024 + 1))

    assert (answer.status, answer.json["code"]) == (413, 413)


def test_a_client_that_goes_away_gets_no_answer(client):
    async def receive():
        return {"type": "http.disconnect"}

    scope = {
        "type": "http", "method": "POST", "path": "/api/v2/alerts", "query_string": b"", "headers": [],
    }  # fmt: skip
    with pytest.raises(Disconnected):
        asyncio.run(client.api.respond(scope, receive))


# Silences.


def posted(**change):
    body = {
        "matchers": [{"name": "alertname", "value": "n1", "isRegex": False}],
        "startsAt": "2026-01-05T00:00:00Z", "endsAt": "2026-01-05T01:00:00Z", "createdBy": "me", "comment": "c",
    }  # fmt: skip
    body.update(change)
    return {name: value for name, value in body.items() if value != "left out"}


def silence(client, **change):
    answer = ask(client, "POST", "/api/v2/silences", posted(**change))
    assert answer.status == 200, answer.json
    return answer.json["silenceID"]


def test_a_silence_looks_as_alertmanager_shows_it(client):
    id = silence(client)

    assert ask(client, "GET", f"/api/v2/silence/{id}").json == {
        "id": id,
        "status": {"state": "active"},
        "updatedAt": "2026-01-05T00:00:00.000Z",
        "comment": "c",
        "createdBy": "me",
        "endsAt": "2026-01-05T01:00:00.000Z",
        "matchers": [{"name": "alertname", "value": "n1", "isRegex": False, "isEqual": True}],
        "startsAt": "2026-01-05T00:00:00.000Z",
    }


# recorded
@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        *(({name: missing}, 422, f"{name} in body is required") for missing in ("left out", None)
          for name in ("comment", "createdBy", "endsAt", "matchers", "startsAt")),
        ({"matchers": []}, 422, "matchers in body should have at least 1 items"),
        ({"matchers": [{"name": "a", "value": "x"}]}, 422, "matchers.0.isRegex in body is required"),
        ({"matchers": [{"name": "a", "isRegex": False}]}, 422, "matchers.0.value in body is required"),
        ({"matchers": [{"value": "a", "isRegex": False}]}, 422, "matchers.0.name in body is required"),
        ({"matchers": [None]}, 422, "matchers.0 in body is required"),  # it crashes there
        ({"matchers": [{"name": "", "value": "x", "isRegex": False}]}, 400, 'silence invalid: invalid label matcher 0: invalid label name ""'),
        ({"matchers": [{"name": "a", "value": "", "isRegex": False}]}, 400, "silence invalid: at least one matcher must not match the empty string"),
        ({"matchers": [{"name": "a", "value": "(", "isRegex": True}]}, 400, 'silence invalid: invalid label matcher 0: invalid regular expression "(": error parsing regexp: missing closing ): `(`'),
        ({"matchers": [{"name": "a", "value": "\\", "isRegex": True}]}, 400, r'silence invalid: invalid label matcher 0: invalid regular expression "\\": error parsing regexp: trailing backslash'),
        ({"endsAt": "2026-01-04T00:00:00Z", "startsAt": "2026-01-03T00:00:00Z"}, 400, "Failed to create silence: end time can't be in the past"),
        ({"endsAt": "2026-01-05T00:00:00Z"}, 400, "Failed to create silence: start time must be before end time"),
        ({"endsAt": "0001-01-01T00:00:00Z"}, 400, "Failed to create silence: start time must be before end time"),
        ({"endsAt": ""}, 400, "Failed to create silence: start time must be before end time"),
        ({"id": "abc"}, 404, "silence not found"),
        ({"id": "00000000-0000-0000-0000-000000000000"}, 404, "silence not found"),
    ],
)  # fmt: skip
def test_a_silence_that_cannot_be_is_refused(client, change, status, said):
    answer = ask(client, "POST", "/api/v2/silences", posted(**change))

    assert answer.status == status
    assert (answer.json["message"] if status == 422 else answer.json).startswith(said)


# recorded
@pytest.mark.parametrize(
    "change",
    [
        {"comment": ""}, {"createdBy": ""}, {"id": ""}, {"id": None}, {"startsAt": ""}, {"startsAt": "0001-01-01T00:00:00Z"},
        {"matchers": [{"name": "a", "value": "", "isRegex": False, "isEqual": False}]},
        {"matchers": [{"name": "a", "value": "x", "isRegex": False, "isEqual": None}]},
        {"matchers": [{"name": "a", "value": "x", "isRegex": False}, {"name": "b", "value": "", "isRegex": False}]},
        {"endsAt": "9999-12-31T23:59:59Z"},
    ],
)  # fmt: skip
def test_a_silence_may_be_without_words(client, change):
    silence(client, **change)


# recorded
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("", 422, "silence in body is required"),
        ("null", 422, "comment in body is required"),
        ("{}", 422, "comment in body is required"),
        ("[]", 400, "cannot unmarshal array into Go value"),
        ("{", 400, "unexpected EOF"),
        ('{"id":1}', 400, "cannot unmarshal number into Go struct field .id of type string"),
        ('{"matchers":1}', 400, "cannot unmarshal number into Go struct field Silence.matchers of type models.Matchers"),
        ('{"matchers":[1]}', 400, "cannot unmarshal number into Go struct field Silence.matchers of type models.Matcher"),
        ('{"matchers":[{"name":1}]}', 400, "cannot unmarshal number into Go struct field Matcher.matchers.name of type string"),
        ('{"matchers":[{"isRegex":"x"}]}', 400, "cannot unmarshal string into Go struct field Matcher.matchers.isRegex of type bool"),
        ('{"matchers":[{"name":1}],"comment":1}', 400, "cannot unmarshal number into Go struct field Matcher.matchers.name of type string"),
        ('{"comment":1,"startsAt":"x"}', 400, 'because parsing time "x"'),
        ('{"startsAt":"x"}', 400, 'parsing silence body from "" failed, because parsing time "x"'),
        ('{"startsAt":1}', 400, "cannot unmarshal number into Go struct field Silence.startsAt of type string"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_silence_is_refused_by_the_framework(client, body, status, said):
    answer = ask(client, "POST", "/api/v2/silences", body=body.encode())

    assert answer.status == status
    assert said in answer.json["message"]


def test_an_invalid_change_leaves_the_old_silence_alone(client):
    """Unlike Alertmanager 0.25, which ends it: newer ones look before they change anything."""
    id = silence(client)
    bad = posted(id=id, matchers=[{"name": "a", "value": "(", "isRegex": True}])

    assert ask(client, "POST", "/api/v2/silences", bad).status == 400
    assert ask(client, "GET", f"/api/v2/silence/{id}").json["status"] == {"state": "active"}


def test_silences_are_listed_active_pending_expired(memory, client):
    ends = {name: f"2026-01-05T0{n}:00:00Z" for n, name in enumerate(("gone", "sooner", "later"), 1)}
    ids = {name: silence(client, endsAt=end, comment=name) for name, end in ends.items()}
    for name, start in (("pending2", "05:00"), ("pending1", "04:00")):
        ids[name] = silence(client, startsAt=f"2026-01-05T{start}:00Z", endsAt="2026-01-05T06:00:00Z", comment=name)
    ids["gone2"] = silence(client, endsAt="2026-01-05T01:10:00Z", comment="gone2")
    memory.at += HOUR + 20 * MINUTE

    listed = [s["comment"] for s in ask(client, "GET", "/api/v2/silences").json]
    assert listed == ["sooner", "later", "pending1", "pending2", "gone2", "gone"]


# recorded
@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 2), ("filter=alertname%3Dn1", 2), ("filter=alertname%3D%22n1%22&filter=b%3D1", 1), ("filter=alertname%3D~%22n1%22", 0),
        ("filter=b%3D", 0), ("filter=b%21%3D1", 0), ("receiver=%5B", 2),
    ],
)  # fmt: skip
def test_a_list_of_silences_is_filtered_by_equal_matchers(client, query, count):
    silence(client)
    silence(client, matchers=[{"name": n, "value": v, "isRegex": False} for n, v in (("alertname", "n1"), ("b", "1"))])

    assert len(ask(client, "GET", f"/api/v2/silences?{query}").json) == count


def test_deleting_expires_and_may_be_repeated(memory, client):
    id = silence(client)
    memory.at += MINUTE

    assert [ask(client, "DELETE", f"/api/v2/silence/{id}").status for _ in range(2)] == [200, 200]
    shown = ask(client, "GET", f"/api/v2/silence/{id}").json
    assert (shown["status"]["state"], shown["endsAt"]) == ("expired", "2026-01-05T00:01:00.000Z")


def test_a_silence_that_is_not_there_is_404(client):
    unknown = f"/api/v2/silence/{uuid.uuid4()}"

    assert (ask(client, "GET", unknown).status, ask(client, "GET", unknown).body) == (404, b"")
    assert ask(client, "DELETE", unknown).status == 404


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("id", ["abc", "*", "00000000-0000-0000-0000-00000000000g"])
def test_an_id_that_is_no_uuid_is_422(client, method, id):
    answer = ask(client, method, f"/api/v2/silence/{id}")

    assert answer.status == 422
    assert answer.json == {"code": 601, "message": f'silenceID in path must be of type uuid: "{id}"'}


# The frame.


# recorded
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v2/alerts", "GET,POST"),
        ("HEAD", "/api/v2/alerts", "GET,POST"),
        ("OPTIONS", "/api/v2/alerts", "GET,POST"),
        ("PATCH", "/api/v2/silences", "GET,POST"),
        ("POST", "/api/v2/status", "GET"),
        ("POST", "/api/v2/silence/x", "DELETE,GET"),
    ],
)
def test_a_method_that_is_not_there_is_405_and_says_which_are(client, method, path, allowed):
    answer = ask(client, method, path)

    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert answer.json == {"code": 405, "message": f"method {method} is not allowed, but [{allowed}] are"}


# recorded
@pytest.mark.parametrize(
    "path", ["/api/v2", "/api/v2/", "/api/v2/nope", "/api/v2/ALERTS", "/api/v2/silence/", "/api/v2/silence/a/b"]
)
def test_a_path_that_is_not_there_is_404_and_named(client, path):
    answer = ask(client, "GET", path)

    assert (answer.status, answer.json) == (404, {"code": 404, "message": f"path {path} was not found"})


def test_a_slash_at_the_end_does_not_hurt(client):
    assert ask(client, "GET", "/api/v2/alerts/").json == []


# recorded
@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/html", 406), ("application/xml", 406), ("", 200), ("*/*", 200), ("application/json", 200),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 200), ("application/*", 200),
    ],
)  # fmt: skip
def test_who_does_not_take_json_gets_406(client, accept, status):
    assert ask(client, "GET", "/api/v2/status", headers={"accept": accept}).status == status
    assert ask(client, "POST", "/api/v2/alerts", [], headers={"accept": accept}).status == 200


# recorded
@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        ("text/plain", "text/plain"),
        ("", "application/octet-stream"),
        ("application/x-yaml", "application/x-yaml"),
        ("*/*", "*/*"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v2/alerts", "/api/v2/silences"])
def test_another_content_type_is_415(client, path, content_type, said):
    answer = ask(client, "POST", path, body=b"[]", headers={"content-type": content_type})

    assert answer.status == 415
    assert answer.json == {
        "code": 415,
        "message": f'unsupported media type "{said}", only [application/json] are allowed',
    }


def test_status_and_receivers(memory, client):
    memory.names = {"a": "team-a"}

    assert ask(client, "GET", "/api/v2/receivers").json == [{"name": "team-a"}, {"name": "none"}]
    assert ask(client, "GET", "/api/v2/status").json == {
        "cluster": {"peers": [], "status": "disabled"},
        "config": {"original": "rules: []\n"},
        "uptime": "2026-01-05T00:00:00.000Z",
        "versionInfo": {
            "branch": "", "buildDate": "", "buildUser": "", "goVersion": "", "revision": "abc", "version": "1.2.3",
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('q="a\\"b"', ['a"b']), ('q=a\\"b', ['a"b']), ("q=\\", ["\\"]), ('q="\\\\"', ["\\"]), ('q="\\x"', ["\\x"]), ('q="\\n"', ["\n"]),
        ('q="\n"', ["\n"]), ("q=a\\nb", ["a\nb"]), ('q="\\""', ['"']), ('q=" a "', [" a "]), ("q==b", ["=b"]), ("q=~\\~b", ["~b"]),
        ("q='a'", ["'a'"]), ('q=~"a\\\\\\"b"', ['a"b']), ('q=~"^a$"', ["a"]), ("q=~a|=b", ["=b", "a"]), ("q=a,", []), ("q=~", []),
    ],
)  # fmt: skip
def test_odd_quoting_is_read_as_alertmanager_reads_it(client, text, values):
    """Recorded."""
    odd = ["a", 'a"b', "a\\", "\\", "\\x", "\n", "a\nb", '"', " a ", "=b", "~b", "'a'"]
    ask(client, "POST", "/api/v2/alerts", [{"labels": {"q": value}} for value in odd])

    answer = ask(client, "GET", "/api/v2/alerts?filter=" + quote(text))
    assert sorted(a["labels"]["q"] for a in answer.json) == values
