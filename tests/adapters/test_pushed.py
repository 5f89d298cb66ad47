"""Pushed payloads of Alertmanager, Grafana and anything: one bad alert never harms its neighbours."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.alertmanager import AlertmanagerWebhook
from adapters.grafana import GrafanaWebhook
from adapters.json_webhook import JsonWebhook, JsonWebhookSettings
from responder.core.alert import Alert, observe
from responder.core.signal import MINUTE
from responder.ports import SECOND, Parsed, Rejected, Webhook, identity
from tests.adapters.conftest import AT, secret

NEVER = "0001-01-01T00:00:00Z"


def alert(**changes: Any) -> dict[str, Any]:
    return {
        "status": "firing", "labels": {"alertname": "A", "empty": ""}, "annotations": {"summary": "s"},
        "startsAt": "2026-01-04T23:59:00.5+00:00", "endsAt": NEVER, "generatorURL": "http://p/graph",
        "fingerprint": "0000000000000000",
    } | changes  # fmt: skip


def body(*alerts: Any, **more: Any) -> bytes:
    return json.dumps({"version": "4", "status": "firing", "receiver": "r", "alerts": alerts, **more}).encode()


def parse(webhook: Webhook, raw: bytes) -> list[Parsed]:
    return list(webhook.parse({}, raw, AT))


AM = AlertmanagerWebhook()


def test_a_firing_alert_has_no_end_and_its_identity_is_computed_here() -> None:
    [parsed] = parse(AM, body(alert()))
    assert parsed.signal is not None
    signal = parsed.signal
    assert (signal.source, signal.firing, signal.ends_at) == ("am-webhook", True, None)
    assert (signal.labels, signal.identity) == ({"alertname": "A"}, identity({"alertname": "A"}))
    assert (signal.starts_at, signal.url) == (AT - 59_500_000, "http://p/graph")


def test_a_resolved_alert_keeps_its_end() -> None:
    [parsed] = parse(AM, body(alert(status="resolved", endsAt="2026-01-05T01:00:00+01:00")))
    assert parsed.signal is not None
    assert (parsed.signal.firing, parsed.signal.ends_at) == (False, AT)


def test_a_start_that_lies_ahead_is_now() -> None:
    """A sender's clock may be ahead of ours; the resolution must still be the later one."""
    [parsed] = parse(AM, body(alert(startsAt="2026-01-05T00:05:00Z")))
    assert parsed.signal is not None and parsed.signal.starts_at == AT


def test_an_alert_without_a_start_starts_now() -> None:
    [parsed] = parse(AM, body(alert(startsAt=NEVER)))
    assert parsed.signal is not None and parsed.signal.implied, "said again, it is the same occurrence"
    assert parsed.signal is not None and parsed.signal.starts_at == AT


def test_the_status_beats_an_end_in_the_past() -> None:
    [parsed] = parse(AM, body(alert(endsAt="2026-01-01T00:00:00Z")))
    assert parsed.signal is not None and (parsed.signal.firing, parsed.signal.ends_at) == (True, None)


BAD: list[Any] = [
    None, 1, [], {}, alert(labels=None), alert(labels={}), alert(labels={"a": ""}), alert(labels={"a": 1}),
    alert(labels={"": "x"}), alert(labels={"alertname": "\ud800"}), alert(status="odd"), alert(status=None),
    alert(startsAt="yesterday"), alert(startsAt=5), alert(startsAt="2026-01-05T00:00:00"),
    alert(annotations={"a": []}), alert(annotations={"a": "\udfff"}),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: json.dumps(bad)[:40])
def test_one_bad_alert_never_affects_its_neighbours(bad: Any) -> None:
    first, second, third = parse(AM, body(alert(), bad, alert(labels={"alertname": "B"})))
    assert (first.signal is not None, third.signal is not None) == (True, True)
    assert second.signal is None and second.error


@pytest.mark.parametrize("webhook", [AM, GrafanaWebhook()])
def test_alerts_that_the_sender_cut_off_are_refused(webhook: Webhook) -> None:
    """As Alertmanager 0.25 posts three alerts with ``max_alerts: 2``."""
    first, second, rest = parse(webhook, body(alert(), alert(labels={"alertname": "B"}), truncatedAlerts=1))
    assert first.signal is not None and second.signal is not None
    assert (rest.signal, rest.error) == (None, "the sender left out alerts: its `max_alerts` must be 0")
    odd: list[Any] = [0, None, "1", [], -1]
    assert [len(parse(webhook, body(alert(), truncatedAlerts=none))) for none in odd] == [1] * 5


@pytest.mark.parametrize(
    "labels", [{"a": "x" * 1_000_000}, {f"l{n}": "v" for n in range(10_000)}, {"a": "\0"}, {"名": "值"}]
)
def test_large_and_strange_labels_are_taken_as_they_are(labels: dict[str, str]) -> None:
    [parsed] = parse(AM, body(alert(labels=labels)))
    assert parsed.signal is not None and parsed.signal.labels == labels


@pytest.mark.parametrize("year", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_the_ends_of_time_are_instants(year: str) -> None:
    [parsed] = parse(AM, body(alert(startsAt=year)))
    assert parsed.signal is not None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "line 1, column 1"),
        (b'{\n  "alerts": nope}', "line 2, column 13"),
        (b'{"alerts": [NaN]}', "NaN"),
        (b"\xff", "UTF-8|line 1"),
        (b"[" * 100_000, "deep"),
        (b"[]", "list `alerts`"),
        (b'{"alerts": {}}', "list `alerts`"),
        (b"null", "list `alerts`"),
    ],
)
def test_a_body_that_is_no_payload_is_refused_with_the_place(raw: bytes, words: str) -> None:
    with pytest.raises(Rejected, match=words) as caught:
        parse(AM, raw)
    assert caught.value.status == 400


def test_duplicate_keys_are_no_crash() -> None:
    assert parse(AM, b'{"alerts": [1], "alerts": []}') == []


def test_grafana_tells_links_and_values_beside_the_annotations() -> None:
    extra = alert(
        dashboardURL="http://g/d", panelURL="", silenceURL="http://g/s", valueString="[ x ]", values={"B": 22.5}
    )
    [parsed] = parse(GrafanaWebhook(), body(extra, version="1", orgId=1))
    assert parsed.signal is not None
    assert parsed.signal.source == "grafana"
    assert parsed.signal.annotations == {
        "summary": "s", "dashboardURL": "http://g/d", "silenceURL": "http://g/s", "valueString": "[ x ]", "values.B": "22.5",
    }  # fmt: skip
    assert parsed.signal.identity == identity({"alertname": "A"})


def test_grafana_without_values_is_taken_too() -> None:
    [parsed] = parse(GrafanaWebhook(), body(alert(values=None, dashboardURL=None)))
    assert parsed.signal is not None and parsed.signal.annotations == {"summary": "s"}


# Any JSON.


def hook(name: str = "jobs", **settings: Any) -> JsonWebhook:
    settings.setdefault("map", {"labels": {"type": "type", "ip": "client.ip"}})
    model = JsonWebhookSettings.model_validate({"kind": "webhook", **settings})
    return JsonWebhook(model, name)


def test_without_a_status_each_delivery_is_a_moment_known_by_its_id() -> None:
    jobs = hook(map={"labels": {"type": "type", "ip": "client.ip"}, "annotations": {"t": "text"}, "id": "event_id"})
    [parsed] = parse(jobs, b'{"type": "login", "client": {"ip": "10.0.0.1"}, "event_id": 7, "text": "hi"}')
    assert parsed.signal is not None
    assert (parsed.signal.momentary, parsed.signal.dedup, parsed.signal.firing) == (True, "id:7", True)
    assert parsed.signal.labels == {"type": "login", "ip": "10.0.0.1"}
    assert (parsed.signal.annotations, parsed.signal.starts_at) == ({"t": "hi"}, AT)


def test_without_an_id_the_body_is_what_tells_deliveries_apart() -> None:
    first, again, other = (
        parse(hook(), raw)[0].signal
        for raw in (b'{"type": "a", "n": 1}', b'{ "n": 1, "type": "a" }', b'{"type": "a", "n": 2}')
    )
    assert first is not None and again is not None and other is not None
    assert first.dedup.startswith("body:")
    assert (first.dedup == again.dedup, first.dedup == other.dedup) == (True, False)


STATUS = {"labels": {"a": "a"}, "status": "state"}


@pytest.mark.parametrize(
    ("word", "firing"),
    [("firing", True), ("OPEN", True), (True, True), ("true", True), ("resolved", False), ("Closed", False), ("ok", False),
     (False, False)],
)  # fmt: skip
def test_a_status_says_whether_it_fires(word: object, firing: bool) -> None:
    [parsed] = parse(hook(map=STATUS), json.dumps({"a": "1", "state": word}).encode())
    assert parsed.signal is not None
    assert (parsed.signal.firing, parsed.signal.momentary) == (firing, False)
    assert parsed.signal.ends_at == (None if firing else AT)


@pytest.mark.parametrize("word", ["maybe", None, 3, [], {}])
def test_a_status_that_is_no_known_word_is_an_error_that_names_them(word: object) -> None:
    [parsed] = parse(hook(map=STATUS), json.dumps({"a": "1", "state": word}).encode())
    assert parsed.signal is None and "firing" in parsed.error and "resolved" in parsed.error


def test_what_is_said_again_without_a_start_is_the_same_occurrence() -> None:
    webhook = hook(map={"labels": {"alertname": "name"}, "status": "state"})
    known: Alert | None = None
    outcomes = []
    for minute in range(3):
        now = AT + minute * MINUTE
        [parsed] = webhook.parse({}, b'{"name": "disk", "state": "firing"}', now)
        assert parsed.signal is not None
        outcome, known = observe(known, parsed.signal, now, next_id=minute)
        outcomes.append(outcome)
    assert outcomes == ["opened", "repeated", "repeated"]


def test_a_list_is_taken_item_by_item() -> None:
    good, bad, empty = parse(hook(), b'[{"type": "a"}, 5, {"other": 1}]')
    assert good.signal is not None
    assert (bad.error, empty.error) == ("an item must be an object", "the alert has no label with a value")


def test_values_that_are_no_text_become_text() -> None:
    [parsed] = parse(
        hook(map={"labels": {"a": "a", "b": "b", "c": "c", "d": "d"}}), b'{"a":1,"b":true,"c":[1,2],"d":null}'
    )
    assert parsed.signal is not None and parsed.signal.labels == {"a": "1", "b": "true", "c": "[1,2]"}


def test_an_expression_that_fails_on_a_value_harms_that_item_only() -> None:
    bad, good = parse(hook(map={"labels": {"a": "length(a)"}}), b'[{"a": 5}, {"a": "xyz"}]')
    assert bad.signal is None and "length" in bad.error
    assert good.signal is not None and good.signal.labels == {"a": "3"}


@pytest.mark.parametrize("raw", [b"5", b'"x"', b"null"])
def test_a_body_that_is_neither_object_nor_list_is_refused(raw: bytes) -> None:
    with pytest.raises(Rejected, match="object or a list"):
        parse(hook(), raw)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"map": {"labels": {"a": "a["}}}, "not a JMESPath expression"),
        ({"map": {"labels": {}}}, "at least 1"),
        ({"map": {"labels": {"a": "a"}, "sattus": "b"}}, "Extra inputs"),
        ({"map": STATUS, "token": secret("a"), "hmac": {"header": "X", "secret": secret("b")}}, "not both"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused_at_load(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        JsonWebhookSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({"authorization": "Bearer t0k"}, True), ({"authorization": "bearer t0k"}, True), ({"x-responder-token": "t0k"}, True),
        ({"authorization": "Bearer tok"}, False), ({"authorization": "Basic t0k"}, False), ({}, False),
        ({"x-responder-token": "t\udcff"}, False),
    ],
)  # fmt: skip
def test_a_token_is_asked_for(headers: dict[str, str], known: bool) -> None:
    assert hook(token=secret("t0k")).authentic(headers, b"") is known


def test_a_signature_covers_the_body() -> None:
    signed = hook(hmac={"header": "X-Hub-Signature-256", "secret": secret("k"), "prefix": "sha256="})
    digest = hmac.new(b"k", b'{"a":1}', hashlib.sha256).hexdigest()
    right = {"x-hub-signature-256": f"sha256={digest}"}
    assert signed.authentic(right, b'{"a":1}')
    assert not signed.authentic(right, b'{"a":2}')
    assert not signed.authentic({"x-hub-signature-256": digest}, b'{"a":1}')
    assert not signed.authentic({}, b'{"a":1}')


def test_a_source_without_a_secret_leaves_it_to_the_daemon() -> None:
    assert hook().authentic({}, b"")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=json_values | st.fixed_dictionaries({"alerts": st.lists(json_values)}))
def test_any_json_is_either_refused_or_parsed(value: Any) -> None:
    raw = json.dumps(value).encode()
    for webhook in (AM, GrafanaWebhook(), hook(), hook(map=STATUS)):
        try:
            assert all((p.signal is None) == bool(p.error) for p in webhook.parse({}, raw, AT))
        except Rejected:
            pass


@given(raw=st.binary(max_size=80))
def test_any_bytes_are_either_refused_or_parsed(raw: bytes) -> None:
    for webhook in (AM, hook()):
        try:
            webhook.parse({}, raw, AT + SECOND)
        except Rejected:
            pass
