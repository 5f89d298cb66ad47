"""Many fingerprints at once are the fingerprints one by one."""

from hypothesis import given
from hypothesis import strategies as st

from responder.core.fingerprints import fingerprints
from responder.core.signal import fingerprint

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(["\0", "é", "x" * 600, ""])
label_sets = st.lists(st.dictionaries(words, words, max_size=6), max_size=20)


@given(label_sets)
def test_many_at_once_are_the_same_as_one_by_one(many):
    assert fingerprints(many) == [fingerprint(labels) for labels in many]


def test_more_label_sets_than_lanes():
    many = [{"alertname": f"a{i}", "instance": "h" * (i % 70)} for i in range(700)]

    assert fingerprints(many) == [fingerprint(labels) for labels in many]
