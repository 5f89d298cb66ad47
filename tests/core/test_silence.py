"""Silences: Alertmanager's rules of change, and who is silenced."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.config.regexes import compile_regex
from responder.core.matcher import matcher
from responder.core.signal import HOUR, MINUTE, SECOND
from responder.core.silence import (
    Silence,
    SilenceNotFound,
    Silences,
    Term,
    check_silence,
    expire,
    forgotten,
    set_silence,
)

NOW = 1_767_571_200_000_000
DISK = (Term("alertname", "Disk"),)


def silence(id="s1", matchers=DISK, starts_at=NOW, ends_at=NOW + HOUR, comment="why"):
    return Silence(id, matchers, starts_at, ends_at, "ann", comment)


@pytest.mark.parametrize(
    ("at", "state"), [(-1, "pending"), (0, "active"), (HOUR - 1, "active"), (HOUR, "expired")]
)  # fmt: skip
def test_the_state_is_pending_then_active_then_expired(at, state):
    assert silence().state(NOW + at) == state


def test_a_new_silence_gets_the_new_id_and_does_not_begin_in_the_past():
    [written], id = set_silence(None, silence(id="", starts_at=NOW - HOUR), NOW, "new")

    assert (id, written.id, written.starts_at, written.updated_at) == ("new", "new", NOW, NOW)


def test_a_silence_that_begins_later_keeps_its_start():
    [written], _ = set_silence(None, silence(id="", starts_at=NOW + MINUTE), NOW, "new")

    assert written.starts_at == NOW + MINUTE


def test_an_unknown_id_is_not_found():
    with pytest.raises(SilenceNotFound, match="silence not found"):
        set_silence(None, silence(id="gone"), NOW, "new")


@pytest.mark.parametrize(
    ("change", "at", "in_place"),
    [
        ({"ends_at": NOW + 2 * HOUR, "comment": "longer"}, MINUTE, True),
        ({"ends_at": NOW + 2 * MINUTE}, MINUTE, True),
        ({"starts_at": NOW + 999_000}, MINUTE, True),  # the second is what counts
        ({"starts_at": NOW + SECOND}, MINUTE, False),
        ({"matchers": (Term("alertname", "Other"),)}, MINUTE, False),
        ({"matchers": (Term("alertname", "Disk", is_equal=False),)}, MINUTE, False),
        ({"starts_at": NOW + 3 * MINUTE}, -MINUTE, True),  # pending: the start may move, but not into the past
        ({"starts_at": NOW - 2 * MINUTE}, -MINUTE, False),
        ({"ends_at": NOW + 3 * HOUR}, 2 * HOUR, False),  # expired: nothing can change
    ],
)
def test_a_change_that_rewrites_no_history_is_made_in_place(change, at, in_place):
    written, id = set_silence(silence(), silence(**change), NOW + at, "new")

    assert id == ("s1" if in_place else "new")
    assert [w.id for w in written][-1] == id


def test_a_replaced_silence_ends_when_the_new_one_begins():
    old, new = set_silence(silence(), silence(matchers=(Term("a", "b"),)), NOW + MINUTE, "new")[0]

    assert (old.id, old.ends_at, old.state(NOW + MINUTE)) == ("s1", NOW + MINUTE, "expired")
    assert (new.id, new.starts_at, new.state(NOW + MINUTE)) == ("new", NOW + MINUTE, "active")


def test_a_replaced_silence_that_has_expired_is_left_alone():
    [written], id = set_silence(silence(), silence(ends_at=NOW + 3 * HOUR), NOW + 2 * HOUR, "new")

    assert (written.id, id) == ("new", "new")


def test_the_order_of_matchers_is_part_of_a_silence():
    two = (Term("a", "1"), Term("b", "2"))

    assert set_silence(silence(matchers=two), silence(matchers=two[::-1]), NOW, "new")[1] == "new"


def test_expiring_ends_an_active_one_now_and_takes_a_pending_one_back():
    ended = expire(silence(), NOW + MINUTE)
    assert (ended.starts_at, ended.ends_at, ended.updated_at) == (NOW, NOW + MINUTE, NOW + MINUTE)

    never = expire(silence(starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR), NOW)
    assert (never.starts_at, never.ends_at, never.state(NOW)) == (NOW, NOW, "expired")

    assert expire(ended, NOW + HOUR) is ended


def test_an_expired_silence_is_kept_for_five_days():
    assert not forgotten(silence(), NOW + HOUR + 120 * HOUR - 1)
    assert forgotten(silence(), NOW + HOUR + 120 * HOUR)


@pytest.mark.parametrize(
    ("posted", "text"),
    [
        (silence(ends_at=NOW), "Failed to create silence: start time must be before end time"),
        (silence(starts_at=NOW - HOUR, ends_at=NOW - 1), "Failed to create silence: end time can't be in the past"),
        (silence(matchers=()), "silence invalid: at least one matcher required"),
        (silence(matchers=(Term("", "x"),)), 'silence invalid: invalid label matcher 0: invalid label name ""'),
        (
            silence(matchers=(*DISK, Term("a", "(", is_regex=True))),
            'silence invalid: invalid label matcher 1: invalid regular expression "(": ',
        ),
        (silence(matchers=(Term("a", ""),)), "silence invalid: at least one matcher must not match the empty string"),
        (
            silence(matchers=(Term("a", "x|", is_regex=True),)),
            "silence invalid: at least one matcher must not match the empty string",
        ),
    ],
)
def test_a_silence_that_cannot_be_is_refused_in_alertmanagers_words(posted, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        check_silence(posted, NOW, compile_regex)


@pytest.mark.parametrize(
    "matchers",
    [
        (Term("a", "", is_equal=False),),
        (Term("a", ".*", is_regex=True, is_equal=False),),
        (*DISK, Term("zone", "")),
        (Term("dotted.name", "x"),),
    ],
)
def test_negative_matchers_and_one_good_matcher_are_enough(matchers):
    check_silence(silence(matchers=matchers), NOW, compile_regex)


texts = st.sampled_from(["", "a", "b", "ab"])
terms = st.builds(
    Term,
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(["", "a", "b", "a.*", ".+", "a|b"]),
    st.booleans(),
    st.booleans(),
)
kept = st.lists(st.tuples(st.lists(terms, min_size=1, max_size=3), st.integers(-5, 5), st.integers(1, 5)), max_size=8)


@given(kept, st.lists(st.dictionaries(st.sampled_from(["x", "y"]), texts), min_size=1, max_size=5), st.integers(-6, 11))
def test_the_index_finds_what_looking_at_every_silence_finds(silences, label_sets, now):
    rows = [silence(str(n), tuple(ts), start, start + length) for n, (ts, start, length) in enumerate(silences)]
    indexed = Silences(rows, compile_regex)

    for labels in label_sets:
        everyone = [
            row.id
            for row in rows
            if row.state(now) == "active"
            and all(matcher(t.name, t.op, t.value, compile_regex).holds(labels.get(t.name, "")) for t in row.matchers)
        ]
        assert indexed.silencing(labels, now) == sorted(everyone)


def test_a_pending_silence_silences_once_its_time_has_come():
    silences = Silences([silence(starts_at=NOW + MINUTE)], compile_regex)

    assert silences.silencing({"alertname": "Disk"}, NOW) == []
    assert silences.silencing({"alertname": "Disk"}, NOW + MINUTE) == ["s1"]
    assert silences.silencing({"alertname": "Disk"}, NOW + HOUR) == []


def test_an_alert_is_looked_up_among_the_rarest_matchers():
    """A thousand silences of one alert name, one for each host: the name must not be what they are filed under."""
    asked = []

    def counting(regex):
        def holds(value):
            asked.append(value)
            return compile_regex(regex)(value)

        return holds

    rows = [
        silence(str(n), (*DISK, Term("instance", f"host{n}"), Term("mount", "/.+", is_regex=True))) for n in range(1000)
    ]
    silences = Silences(rows, counting)
    labels = {"alertname": "Disk", "instance": "host7", "mount": "/var"}

    assert silences.silencing(labels, NOW) == ["7"]
    assert len(asked) <= 1
