"""``POST /api/v2/alerts``: bodies to signals, in Alertmanager's words when they can't be.

Answers marked "recorded" are those of Alertmanager 0.25.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.core.instant import parse_instant as at
from responder.core.signal import MINUTE, identity
from responder.web import decode as decode_module
from responder.web.decode import LABELS_LIMIT, Decoder

NOW = at("2026-01-05T00:00:00Z")
LATER = "2026-01-05T01:00:00Z"
DISK = {"alertname": "Disk", "instance": "h1"}


def decode(alerts, decoder=None):
    body = (
        alerts
        if isinstance(alerts, bytes)
        else alerts.encode()
        if isinstance(alerts, str)
        else json.dumps(alerts).encode()
    )
    return (decoder or Decoder()).decode(body, NOW)


def one(**fields):
    [signal] = decode([{"labels": DISK, **fields}]).signals
    return signal


def refusal(alerts):
    decoded = decode(alerts)
    assert decoded.signals == []
    return decoded.refusal.status, json.loads(decoded.refusal.body)


def test_what_prometheus_sends_becomes_a_signal():
    signal = one(
        annotations={"summary": "full"},
        startsAt="2026-01-04T23:00:00.123456789Z",
        endsAt=LATER,
        generatorURL="http://p/graph?g=1",
    )

    assert (signal.source, signal.identity, signal.labels) == ("am-api", identity(DISK), DISK)
    assert (signal.annotations, signal.url) == ({"summary": "full"}, "http://p/graph?g=1")
    assert (signal.starts_at, signal.ends_at) == (at("2026-01-04T23:00:00.123456Z"), at(LATER))
    assert (signal.firing, signal.timeout, signal.implied) == (True, False, False)


@pytest.mark.parametrize("null", [{}, {"startsAt": None, "endsAt": None}, {"startsAt": "0001-01-01T00:00:00Z"}])
def test_without_instants_it_starts_now_and_times_out_in_five_minutes(null):
    signal = one(**null)

    assert (signal.starts_at, signal.ends_at, signal.firing) == (NOW, NOW + 5 * MINUTE, True)
    assert (signal.timeout, signal.implied) == (True, True)


def test_with_an_end_alone_it_starts_at_its_end():
    signal = one(endsAt=LATER)

    assert (signal.starts_at, signal.ends_at, signal.implied, signal.timeout) == (at(LATER), at(LATER), True, False)


@pytest.mark.parametrize("end", ["2026-01-05T00:00:00Z", "2026-01-04T00:00:00Z"])
def test_an_end_that_is_not_ahead_resolves(end):
    assert not one(startsAt="2026-01-03T00:00:00Z", endsAt=end).firing


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-05T08:00:00+08:00", "2026-01-05T00:00:00Z"),
        ("2026-01-04T16:30:00.5-07:30", "2026-01-05T00:00:00.5Z"),
        ("2026-01-06T01:00:00+25:00", "2026-01-05T00:00:00Z"),
        ("2026-01-04T00:00:00,5-24:00", "2026-01-05T00:00:00.5Z"),
        ("2026-01-05T08:00:00.250000+0800", "2026-01-05T00:00:00.25Z"),
        ("2026-01-04T16:30:00.250-0730", "2026-01-05T00:00:00.25Z"),
        ("2026-01-05T00:00:00", "2026-01-05T00:00:00Z"),
        ("2026-01-05 00:00:00", "2026-01-05T00:00:00Z"),
        ("2026-01-05T00:00Z", "2026-01-05T00:00:00Z"),
        ("2026-01-05T00:00:00,25Z", "2026-01-05T00:00:00.25Z"),
        ("", "1970-01-01T00:00:00Z"),
        ("0001-01-01T00:00:01Z", "0001-01-01T00:00:01Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_instants_are_read_as_alertmanager_reads_them(text, instant):
    assert one(startsAt=text, endsAt="9999-12-31T23:59:59Z").starts_at == at(instant)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00"])
def test_the_ends_of_time_do_not_overflow(text):
    assert one(startsAt=text, endsAt=text).ends_at is not None


@pytest.mark.parametrize(
    "text",
    [
        "yesterday", "2026-01-01", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z",
        "2026-01-01T00:00:60Z", "2026-01-01t00:00:00z", "2026-01-01T00:00:00Zx", " 2026-01-01T00:00:00Z",
        "2026-1-1T00:00:00Z", "2026-01-01T00:00:00+0800", "2026-01-01T00:00:00.5+0800", "2026-W01-1T00:00:00Z", "20260101T000000Z", "10000-01-01T00:00:00Z", "２０２６-01-01T00:00:00Z", "\ud800",
    ],
)  # fmt: skip
def test_other_instants_are_refused_by_name(text):
    status, error = refusal([{"labels": DISK, "startsAt": text}, {"labels": DISK}])

    assert (status, error["code"]) == (400, 400)
    assert error["message"].startswith('parsing alerts body from "" failed, because parsing time "')
    assert text.replace("\ud800", "\ufffd") in error["message"]
    assert "cannot parse" in error["message"] and "timedelta" not in error["message"]


def test_labels_without_a_value_are_dropped():
    [signal] = decode([{"labels": {"alertname": "a", "zone": ""}}]).signals
    assert (signal.labels, signal.identity) == ({"alertname": "a"}, identity({"alertname": "a"}))

    [signal] = decode('[{"labels":{"alertname":"a","zone":null},"annotations":{"x":null,"y":""}}]').signals
    assert (signal.labels, signal.annotations) == ({"alertname": "a"}, {"x": "", "y": ""})


# recorded
@pytest.mark.parametrize(
    ("alert", "said"),
    [
        ({"labels": {}}, "at least one label pair required"),
        ({"labels": {"alertname": ""}}, "at least one label pair required"),
        ({"labels": {"": "x"}, "annotations": {"": "y"}}, 'invalid label set: invalid name ""'),
        ({"labels": {}, "annotations": {"": "y"}}, "at least one label pair required"),
        ({"labels": DISK, "annotations": {"": "y"}}, 'invalid annotations: invalid name ""'),
        ({"labels": {}, "startsAt": LATER, "endsAt": "2026-01-05T00:59:59Z"}, "start time must be before end time"),
    ],
)
def test_an_alert_that_is_not_valid_is_refused_and_its_neighbours_kept(alert, said):
    assert refusal([alert]) == (400, said)

    decoded = decode([{"labels": {"a": "1"}}, alert, {"labels": {"b": "2"}}])
    assert [s.labels for s in decoded.signals] == [{"a": "1"}, {"b": "2"}]
    assert json.loads(decoded.refusal.body) == f"{said} (alert 1)"


def test_each_bad_alert_of_a_batch_is_named():
    decoded = decode('[{"labels":{}},null,{"labels":{"a":"1"}}]')

    assert [s.labels for s in decoded.signals] == [{"a": "1"}]
    assert json.loads(decoded.refusal.body) == "at least one label pair required (alert 0); alert is null (alert 1)"


# recorded, up to the place at the end
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{}", "json: cannot unmarshal object into Go value of type models.PostableAlerts"),
        ('"x"', "json: cannot unmarshal string into Go value of type models.PostableAlerts"),
        ("[1]", "json: cannot unmarshal number into Go value of type models.PostableAlert"),
        (
            '[{"labels":{"a":1}}]',
            'json: cannot unmarshal number into Go struct field Alert.labels of type string, at "a"',
        ),
        (
            '[{"labels":{"a":true}}]',
            'json: cannot unmarshal bool into Go struct field Alert.labels of type string, at "a"',
        ),
        ('[{"labels":[]}]', "json: cannot unmarshal array into Go struct field Alert.labels of type models.LabelSet"),
        (
            '[{"annotations":{"x":1}}]',
            'json: cannot unmarshal number into Go struct field .annotations of type string, at "x"',
        ),
        ('[{"startsAt":1}]', "json: cannot unmarshal number into Go struct field .startsAt of type string"),
        (
            '[{"generatorURL":1}]',
            "json: cannot unmarshal number into Go struct field Alert.generatorURL of type string",
        ),
        # of several the one that Go finds first
        (
            '[{"annotations":1,"startsAt":1}]',
            "json: cannot unmarshal number into Go struct field .startsAt of type string",
        ),
        (
            '[{"labels":[],"generatorURL":1}]',
            "json: cannot unmarshal number into Go struct field Alert.generatorURL of type string",
        ),
        ("[{]", "invalid character ']' looking for beginning of object key string, line 1 column 3"),
        (
            '[\n{"labels":{"a":"b"},x}]',
            "invalid character 'x' looking for beginning of object key string, line 2 column 21",
        ),
        ('[{"labels":{"a":"x\ty"}}]', "invalid character '\\t' in string literal, line 1 column 19"),
        ('[{"labels":{"a":"b"}}', "unexpected EOF"),
        ('[{"labels":{"a":"b', "unexpected EOF"),
        ("[NaN]", "invalid character 'N' looking for beginning of value"),
    ],
)
def test_a_body_of_the_wrong_shape_applies_nothing(body, said):
    assert refusal(body) == (400, {"code": 400, "message": f'parsing alerts body from "" failed, because {said}'})


def test_a_wrong_type_within_a_batch_says_which_alert_and_applies_nothing():
    _, error = refusal('[{"labels":{"good":"1"}},{"labels":{"a":1}}]')

    assert error["message"].endswith(
        'cannot unmarshal number into Go struct field Alert.labels of type string, at "a" (alert 1)'
    )


# recorded
@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("", 602, "alerts in body is required"),
        (" \n", 602, "alerts in body is required"),
        ("[{}]", 602, "0.labels in body is required"),
        ('[{"labels":{"a":"b"}},{"labels":null}]', 602, "1.labels in body is required"),
        ('[{"generatorURL":"foo"}]', 601, '0.generatorURL in body must be of type uri: "foo"'),
        ('[{},{"generatorURL":"foo"}]', 602, "0.labels in body is required"),
    ],
)
def test_what_the_framework_misses_is_422(body, code, said):
    assert refusal(body) == (422, {"code": code, "message": said})


# recorded
@pytest.mark.parametrize("body", ["null", "[]", "[] []", "[] trash"])
def test_nothing_is_fine_and_so_is_what_follows_the_first_value(body):
    decoded = decode(body)
    assert (decoded.signals, decoded.refusal) == ([], None)


# recorded
@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("", True), ("http://a/ b", True), ("/foo", True), ("foo:bar", True), ("http://", True), ("*", True),
        ("http://user:pw@host:9090/a%20b?x=%zz#y", True), ("http://[::1]:80/", True), ("http://ü/", True),
        ("foo", False), ("not a url", False), ("http://[::1", False), ("http://a b/", False), ("http://a/%zz", False),
        ("http://a:b/", False), (":foo", False), ("http://a\nb", False),
    ],
)  # fmt: skip
def test_a_generator_url_is_what_go_takes_as_one(url, good):
    decoded = decode([{"labels": DISK, "generatorURL": url}])
    assert (decoded.refusal is None) == good


def test_field_names_in_another_case_and_unknown_fields_do_not_hurt():
    [signal] = decode('[{"Labels":{"a":"b"},"STARTSAT":"2026-01-04T00:00:00Z","foo":[1e999,{}]}]').signals

    assert (signal.labels, signal.starts_at) == ({"a": "b"}, at("2026-01-04T00:00:00Z"))


def test_of_a_label_given_twice_the_last_counts():
    [signal] = decode('[{"labels":{"a":"b","a":"c"}}]').signals
    assert signal.labels == {"a": "c"}


@pytest.mark.parametrize("raw", [b'"\\ud800"', b'"\xff"', b'"\xed\xa0\x80"'])
def test_what_is_not_utf8_is_replaced(raw):
    [signal] = decode(b'[{"labels":{"a":' + raw + b'},"annotations":{"b":' + raw + b"}}]").signals

    assert "\ufffd" in signal.labels["a"]
    assert "\ufffd" in signal.annotations["b"]
    assert signal.identity == identity(signal.labels)


@pytest.mark.parametrize("name", ["dotted.name", "1a", "名", "a\0b"])
def test_utf8_label_names_are_names(name):
    [signal] = decode([{"labels": {name: "x"}}]).signals
    assert signal.identity == identity({name: "x"})


@pytest.mark.parametrize("body", ["[" * 200_000, '[{"labels":{"a":"b"},"x":' + "[" * 100_000 + "]" * 100_000 + "}]"])
def test_deep_nesting_gets_an_answer(body):
    status, error = refusal(body)

    assert status == 400
    assert error["message"].endswith("exceeded max depth")


@pytest.mark.parametrize(
    "labels", [{"a": "x" * 1_000_000}, {f"l{i}": "v" * 4 for i in range(10_000)}], ids=["1 MB", "10,000 labels"]
)
def test_a_label_set_that_is_a_payload_is_refused_and_its_neighbours_kept(labels):
    decoded = decode([{"labels": DISK}, {"labels": labels}])

    assert [s.labels for s in decoded.signals] == [DISK]
    said = json.loads(decoded.refusal.body)
    assert said.startswith("invalid label set: ")
    assert said.endswith(f"{len(labels)} labels, the limit is {LABELS_LIMIT} (alert 1)")


def test_a_number_of_a_million_digits_gets_an_answer():
    assert refusal('[{"labels":{"a":' + "9" * 1_000_000 + "}}]")[0] == 400


def test_a_repeat_is_known_by_its_bytes():
    decoder = Decoder()
    [first] = decode([{"labels": DISK}], decoder).signals
    [again] = decode([{"labels": DISK, "endsAt": LATER}], decoder).signals

    assert again.labels is first.labels


def test_the_memo_is_bounded_and_forgets_only_what_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(decode_module, "_MEMO_ENTRIES", 10)
    decoder = Decoder()
    [first] = decode([{"labels": DISK}], decoder).signals
    for n in range(100):
        decode([{"labels": {"n": str(n)}}, {"labels": DISK}], decoder)

    [again] = decode([{"labels": DISK}], decoder).signals
    assert again.labels is first.labels
    assert len(decoder._young) + len(decoder._old) <= 22


def test_the_memo_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(decode_module, "_MEMO_BYTES", 10_000)
    decoder = Decoder()
    for n in range(100):
        decode([{"labels": {"n": str(n) * 500}}], decoder)

    assert sum(map(len, (*decoder._young, *decoder._old))) < 25_000


def test_the_memo_is_bounded_when_each_batch_has_an_alert_that_is_refused(monkeypatch):
    monkeypatch.setattr(decode_module, "_MEMO_ENTRIES", 10)
    decoder = Decoder()
    for n in range(100):
        assert decode([{"labels": {"n": str(n)}}, {"labels": {}}], decoder).rejected

    assert len(decoder._young) + len(decoder._old) <= 22


# The fast path and the slow path say the same.

anything = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
instants = st.sampled_from([None, "", LATER, "2026-01-04T00:00:00.5+01:00", "0001-01-01T00:00:00Z", "x"])
alerts = st.fixed_dictionaries(
    {"labels": st.dictionaries(names, names, max_size=3)},
    optional={
        "annotations": st.dictionaries(names, names, max_size=2),
        "startsAt": instants,
        "endsAt": instants,
        "generatorURL": st.sampled_from(["", "http://x/y", "foo"]),
    },
)


@settings(max_examples=200)
@given(st.lists(alerts, max_size=6))
def test_a_batch_means_the_same_to_both_paths(batch):
    body = json.dumps(batch, ensure_ascii=False).encode()
    decoder = Decoder()
    slow = decoder._slow(body, NOW)

    assert decoder.decode(body, NOW) == slow
    assert decoder.decode(body, NOW) == slow
    assert all(s.identity == identity(s.labels) for s in slow.signals)


@settings(max_examples=200)
@given(st.lists(st.one_of(alerts, anything), max_size=4) | anything)
def test_any_json_gets_an_answer(body):
    decoded = decode(body)
    assert decoded.refusal is None or decoded.refusal.status in (400, 422)


@given(st.binary(max_size=60))
def test_any_bytes_get_an_answer(body):
    decoded = decode(body)
    assert decoded.refusal is None or decoded.refusal.status in (400, 422)
