"""What an alert is known by, in here and by others; many fingerprints at once are those one by one."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from responder.core.alert import Alert
from responder.core.fingerprints import Shown, fingerprints
from responder.core.signal import fingerprint, fingerprint_text, identity, shown_fingerprint

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(["\0", "é", "x" * 600, ""])
label_sets = st.lists(st.dictionaries(words, words, max_size=6), max_size=20)


@given(label_sets)
def test_many_at_once_are_the_same_as_one_by_one(many):
    assert fingerprints(many) == [fingerprint(labels) for labels in many]


def test_more_label_sets_than_lanes():
    many = [{"alertname": f"a{i}", "instance": "h" * (i % 70)} for i in range(700)]

    assert fingerprints(many) == [fingerprint(labels) for labels in many]


def test_an_identity_is_the_same_in_each_version():
    """A store outlives the program and its libraries: who writes another number opens each alert again."""
    assert identity({"alertname": "Disk", "instance": "a:9100"}) == identity(
        {"instance": "a:9100", "alertname": "Disk"}
    )
    assert identity({"alertname": "Disk", "instance": "a:9100"}) == 3642888311173712581
    assert identity({"b": 'q"\\/', "a": "\0\n\x1f\x7fé\u2028\U0001f600"}) == 3615471325990363664


@given(label_sets)
def test_label_sets_that_differ_have_identities_that_differ(many):
    assert len({identity(labels) for labels in many}) == len({frozenset(labels.items()) for labels in many})


def test_others_see_the_fingerprint_unless_the_source_has_a_name_of_its_own():
    labels = {"alertname": "Disk"}
    assert shown_fingerprint(labels, identity(labels)) == f"{fingerprint(labels) & (1 << 64) - 1:016x}"
    assert shown_fingerprint(labels, -1) == "f" * 16


def alert(known_by, labels):
    return Alert(0, known_by, "am-api", labels, {}, 1, None, 1)


@given(st.lists(label_sets, max_size=4), st.integers(0, 6))
def test_what_is_shown_of_many_is_what_is_shown_of_each(calls, limit):
    """Whatever was asked for before, and however little is remembered."""
    shown = Shown()
    with patch("responder.core.fingerprints.REMEMBERED", limit):
        for many in calls:
            alerts = [alert(identity(labels), labels) for labels in many] + [alert(7, {"dedup_key": "k"})]
            told = [fingerprint_text(fp) for fp in shown.of(alerts)]
            assert told == [shown_fingerprint(a.labels, a.identity) for a in alerts]
            assert len(shown._known) <= limit
