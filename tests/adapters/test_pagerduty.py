"""PagerDuty's events: strict in shape, lenient in values, one identity from trigger to resolve."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.pagerduty import PagerDuty
from responder.core.alert import observe
from responder.core.signal import MINUTE
from responder.ports import SECOND, Rejected, Signal, Webhook
from tests.adapters.conftest import AT, secret
from tests.adapters.test_pushed import json_values

PD = PagerDuty("pd", secret("R" * 32))


def event(**changes: Any) -> dict[str, Any]:
    return {
        "routing_key": "R" * 32, "event_action": "trigger", "dedup_key": "disk/db1",
        "payload": {
            "summary": "Disk full on db1", "source": "db1", "severity": "Critical", "timestamp": "2026-01-04T23:00:00Z",
            "component": "postgres", "group": "prod", "class": "disk", "custom_details": {"free": 1},
        },
        "client": "Zabbix", "client_url": "http://z/1",
    } | changes  # fmt: skip


def enqueue(value: Any) -> tuple[Signal, str, str]:
    parsed, key = PD.enqueue(json.dumps(value).encode(), AT)
    assert parsed.signal is not None
    return parsed.signal, key, parsed.ack


def test_a_trigger_fires_with_the_payload_as_labels() -> None:
    signal, key, ack = enqueue(event())
    assert (key, ack, signal.firing, signal.source) == ("disk/db1", "", True, "pd")
    assert signal.labels == {
        "alertname": "disk", "dedup_key": "disk/db1", "severity": "critical", "source": "db1", "component": "postgres",
        "group": "prod", "class": "disk",
    }  # fmt: skip
    assert signal.annotations["summary"] == "Disk full on db1"
    assert json.loads(signal.annotations["custom_details"]) == {"free": 1}
    assert (signal.starts_at, signal.url) == (AT - 3600 * SECOND, "http://z/1")


def test_a_trigger_that_comes_again_later_is_the_same_occurrence() -> None:
    payload = event()["payload"]
    stamps = ("2026-01-04T23:00:00Z", "2026-01-04T23:05:00Z")
    first, again = (enqueue(event(payload=payload | {"timestamp": stamp}))[0] for stamp in stamps)
    outcome, known = observe(None, first, AT)
    assert outcome == "opened" and again.starts_at > first.starts_at
    assert observe(known, again, AT + MINUTE)[0] == "repeated"


def test_a_resolve_knows_nothing_but_the_key_and_ends_the_same_alert() -> None:
    trigger, _, _ = enqueue(event())
    resolve, key, ack = enqueue({"routing_key": "R", "event_action": "resolve", "dedup_key": "disk/db1"})
    assert (resolve.identity, resolve.firing, key, ack) == (trigger.identity, False, "disk/db1", "")
    assert resolve.starts_at >= trigger.starts_at


def test_an_acknowledge_names_its_client() -> None:
    signal, _, ack = enqueue(event(event_action="acknowledge"))
    assert (signal.identity, ack) == (enqueue(event())[0].identity, "Zabbix")
    assert enqueue({"routing_key": "R", "event_action": "acknowledge", "dedup_key": "k"})[2] == "pd"


def test_a_trigger_without_a_key_gets_one() -> None:
    for missing in ({"dedup_key": None}, {"dedup_key": ""}):
        signal, key, _ = enqueue(event(**missing))
        assert len(key) == 32 and signal.labels["dedup_key"] == key


def test_two_sources_never_share_an_event() -> None:
    raw = json.dumps(event()).encode()
    first, second = (PagerDuty(name).enqueue(raw, AT)[0].signal for name in ("a", "b"))
    assert first is not None and second is not None and first.identity != second.identity


@pytest.mark.parametrize(
    "payload",
    [
        {"severity": "apocalyptic"}, {"timestamp": "noon"}, {"timestamp": 5}, {"summary": 17}, {"summary": "x" * 5000},
        {"source": {"host": "a"}}, {"custom_details": "text"}, {"class": None}, {"timestamp": "2099-01-01T00:00:00Z"},
    ],
)  # fmt: skip
def test_strange_values_are_taken(payload: dict[str, Any]) -> None:
    signal, _, _ = enqueue(event(payload=event()["payload"] | payload))
    assert signal.firing and signal.starts_at <= AT and len(signal.annotations["summary"]) <= 1024


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([], "must be a JSON object"),
        (event(routing_key=None), "'routing_key' is missing or blank"),
        (event(routing_key=5), "'routing_key' is missing or blank"),
        (event(event_action="page"), "'event_action' is invalid"),
        (event(event_action=[]), "'event_action' is invalid"),
        (event(dedup_key=5), "'dedup_key' is invalid"),
        (event(dedup_key="k" * 256), "'dedup_key' is invalid"),
        (event(event_action="resolve", dedup_key=""), "'dedup_key' is missing or blank"),
        (event(payload=None), "'payload' is missing or blank"),
        (event(payload=[]), "'payload' is missing or blank"),
        (event(payload={"summary": "", "source": "a", "severity": "info"}), "'payload.summary' is missing or blank"),
        (event(payload={"summary": ["\ud800"], "source": "a", "severity": "info"}), "surrogate"),
        (event(dedup_key="\ud800"), "surrogate"),
    ],
)
def test_a_wrong_shape_is_refused_in_pagerdutys_manner(value: Any, error: str) -> None:
    with pytest.raises(Rejected) as caught:
        PD.enqueue(json.dumps(value).encode(), AT)
    assert caught.value.status == 400 and error in "; ".join(caught.value.errors)
    assert json.loads(PD.refused(caught.value.errors))["status"] == "invalid event"


def test_every_error_of_an_event_is_told_at_once() -> None:
    with pytest.raises(Rejected) as caught:
        PD.enqueue(b"{}", AT)
    assert len(caught.value.errors) == 2


def test_the_answer_carries_the_key() -> None:
    assert json.loads(PD.accepted("k")) == {"status": "success", "message": "Event processed", "dedup_key": "k"}


def test_the_routing_key_says_whose_event_it_is() -> None:
    hook: Webhook = PD
    assert hook.authentic({}, json.dumps(event()).encode())
    assert not hook.authentic({}, json.dumps(event(routing_key="Q" * 32)).encode())
    assert not hook.authentic({}, json.dumps(event(routing_key=["\ud800"])).encode())
    assert not hook.authentic({}, json.dumps(event(routing_key="\ud800")).encode())
    assert PagerDuty("any").authentic({}, b"{}")


@given(
    value=json_values | st.builds(lambda payload, key: event(payload=payload, dedup_key=key), json_values, json_values)
)
def test_any_json_is_either_refused_or_taken(value: Any) -> None:
    try:
        PD.enqueue(json.dumps(value).encode(), AT)
    except Rejected as error:
        PD.refused(error.errors)
