import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.core import match as match_module
from responder.core.match import Index, canonical, explain, holds, key_for, opens
from responder.core.rule import (
    AllWhen,
    Bound,
    CountWhen,
    EventOf,
    EventWhen,
    Match,
    Member,
    MetricWhen,
    Rule,
    SequenceWhen,
    Test,
)
from responder.core.signal import Signal, fingerprint, fingerprint_text, identity

Test.__test__ = False  # type: ignore[attr-defined]  # a condition, not a test of ours


def one_of(name: str, *values: str) -> Test:
    words = f'{name}="{values[0]}"' if len(values) == 1 else f"{name} in {list(values)}"
    return Test(name, frozenset(values).__contains__, words, values)


def like(name: str, pattern: str) -> Test:
    return Test(name, lambda value: re.fullmatch(pattern, value) is not None, f'{name}=~"{pattern}"')


def unlike(name: str, value: str) -> Test:
    return Test(name, lambda given: given != value, f'{name}!="{value}"')


def labels(*tests: Test, **fields: Any) -> Match:
    return Match(labels=tests, words=", ".join(t.words for t in tests), **fields)


def event(id: str, match: Match, *by: str, source: str | None = None, **fields: Any) -> Rule:
    return Rule(id, by, EventWhen(EventOf(match, source)), **fields)


def signal(firing: bool = True, source: str = "am-api", annotations: dict[str, str] | None = None, **of: str) -> Signal:
    return Signal(source, identity(of), of, annotations or {}, firing, 1)


def hit_ids(index: Index, signal: Signal) -> list[str]:
    """Ask twice: the second answer comes from memory and must be the same."""
    first, again = index.hits(signal), index.hits(signal)
    assert first == again
    return [hit.rule.id for hit in first]


DOWN = one_of("alertname", "Down")


def test_finds_rules_by_equal_value_and_by_anything_else_in_the_order_of_the_rules() -> None:
    index = Index([
        event("regex", labels(like("alertname", "D.*"))),
        event("equal", labels(DOWN)),
        event("list", labels(one_of("alertname", "Up", "Down"))),
        event("other", labels(one_of("alertname", "Up"))),
        event("every", Match()),
    ])  # fmt: skip
    assert hit_ids(index, signal(alertname="Down")) == ["regex", "equal", "list", "every"]
    assert hit_ids(index, signal(job="x")) == ["every"]


def test_a_missing_label_is_the_empty_string() -> None:
    index = Index([event("no env", labels(one_of("env", ""))), event("no or dev", labels(one_of("env", "", "dev"))),
                   event("not prod", labels(unlike("env", "prod")))])  # fmt: skip
    assert hit_ids(index, signal(alertname="x")) == ["no env", "no or dev", "not prod"]
    assert hit_ids(index, signal(env="dev")) == ["no or dev", "not prod"]
    assert hit_ids(index, signal(env="prod")) == []


def test_the_source_counts_and_one_label_set_may_come_from_several() -> None:
    index = Index([event("jobs", labels(DOWN), source="jobs"), event("any", labels(DOWN))])
    assert hit_ids(index, signal(alertname="Down")) == ["any"]
    assert hit_ids(index, signal(source="jobs", alertname="Down")) == ["jobs", "any"]


def test_annotations_are_looked_at_each_time() -> None:
    index = Index([event("runbook", Match(labels=(DOWN,), annotations=(one_of("page", "yes"),)))])
    with_page, without = signal(alertname="Down", annotations={"page": "yes"}), signal(alertname="Down")
    assert [hit_ids(index, s) for s in (with_page, without, with_page)] == [["runbook"], [], ["runbook"]]


def test_any_and_none() -> None:
    index = Index([
        event("any", labels(any=(labels(DOWN), labels(one_of("job", "node"))))),
        event("none", labels(like("alertname", ".+"), none=(labels(one_of("env", "dev")), labels(one_of("env", "test"))))),
    ])  # fmt: skip
    assert hit_ids(index, signal(alertname="Down", job="node")) == ["any", "none"]
    assert hit_ids(index, signal(alertname="Down", env="dev")) == ["any"]
    assert hit_ids(index, signal(alertname="Up", env="test")) == []


def test_an_alert_ends_silently_unless_a_rule_asks_for_resolutions() -> None:
    index = Index([event("plain", labels(DOWN)), event("firing", labels(DOWN, status="firing")),
                   event("resolved", labels(DOWN, status="resolved")),
                   event("mixed", Match(any=(labels(DOWN), labels(one_of("job", "node"), status="resolved"))))])  # fmt: skip
    assert hit_ids(index, signal(alertname="Down")) == ["plain", "firing", "mixed"]
    assert hit_ids(index, signal(firing=False, alertname="Down")) == ["resolved"]
    assert hit_ids(index, signal(firing=False, alertname="Down", job="node")) == ["resolved"]  # mixed opened by firing
    assert hit_ids(index, signal(firing=False, alertname="Up", job="node")) == ["mixed"]


def test_the_key_is_canonical_and_shared_by_its_alerts() -> None:
    index = Index([event("r", labels(DOWN), "service", "env")])
    [hit] = index.hits(signal(alertname="Down", service="shöp", env="a", instance="1"))
    assert hit.key == {"service": "shöp", "env": "a"}
    digest = blake2b('{"env":"a","service":"shöp"}'.encode(), digest_size=8).digest()
    assert hit.key_hash == int.from_bytes(digest, "big", signed=True)
    assert index.hits(signal(alertname="Down", service="shöp", env="a", instance="2"))[0] is hit
    [other] = index.hits(signal(alertname="Down", service="shöp", env="b"))
    assert other.key_hash != hit.key_hash


def test_a_rule_without_by_has_one_key() -> None:
    [hit] = Index([event("r", Match())]).hits(signal(alertname="x"))
    assert (hit.key, hit.key_hash) == ({}, canonical({}).hash)


def test_alerts_without_a_by_label_never_share_a_key() -> None:
    index = Index([event("r", labels(DOWN), "service", "env")])
    keys = []
    for instance in ("1", "2"):
        alert = signal(alertname="Down", env="a", instance=instance)
        [hit] = index.hits(alert)
        assert hit.key == {"service": "", "env": "a", "fingerprint": fingerprint_text(fingerprint(alert.labels))}
        keys.append(hit.key_hash)
    assert len({*keys}) == 2


def test_or_are_skipped() -> None:
    index = Index([event("r", labels(DOWN), "service", by_missing="skip")])
    assert hit_ids(index, signal(alertname="Down")) == []
    assert hit_ids(index, signal(alertname="Down", service="a")) == ["r"]


def test_key_for_computes_the_fingerprint_if_it_is_not_given() -> None:
    rule = event("r", Match(), "service")
    of = {"alertname": "x"}
    assert key_for(rule, of) == key_for(rule, of, identity(of))
    assert key_for(msgspec.structs.replace(rule, by_missing="skip"), of) is None
    assert key_for(rule, {"service": "a"}) == canonical({"service": "a"})


def test_members_of_compound_rules_are_found_the_later_one_first() -> None:
    steps = (
        Member("a", event=EventOf(labels(DOWN))),
        Member("b", rule="other"),
        Member("c", event=EventOf(labels(DOWN))),
    )
    index = Index([Rule("seq", (), SequenceWhen(steps, 1)), Rule("count", (), CountWhen(steps[0], 2, 1)),
                   Rule("all", (), AllWhen(steps[:2], 1))])  # fmt: skip
    found = [(hit.rule.id, hit.member) for hit in index.hits(signal(alertname="Down"))]
    assert found == [("seq", 2), ("seq", 0), ("count", 0), ("all", 0)]


def test_unclaimed_takes_what_no_other_event_rule_takes() -> None:
    default = event("default", Match(), unclaimed=True)
    claim, other = signal(alertname="Down"), signal(alertname="Up")
    for claims, rule in [
        (True, event("r", labels(DOWN))),
        (True, event("r", labels(DOWN, status="firing"))),
        (False, event("r", labels(DOWN), mode="observe")),
        (False, event("r", labels(DOWN), unclaimed=True)),  # else two of them would leave it to each other
        (False, event("r", labels(DOWN), source="jobs")),
        (False, event("r", labels(DOWN, status="resolved"))),
        (False, event("r", labels(DOWN), "service", by_missing="skip")),
        (False, Rule("r", (), CountWhen(Member("m", event=EventOf(labels(DOWN))), 2, 1))),
    ]:
        index = Index([default, rule])
        assert ("default" not in hit_ids(index, claim)) is claims, rule
        assert hit_ids(index, other) == ["default"]


def test_a_claim_by_annotation_is_looked_at_each_time() -> None:
    index = Index([event("default", Match(), unclaimed=True), event("r", Match(annotations=(one_of("page", "yes"),)))])
    assert hit_ids(index, signal(alertname="x")) == ["default"]
    assert hit_ids(index, signal(alertname="x", annotations={"page": "yes"})) == ["r"]


def test_the_memory_is_bounded_and_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match_module, "MEMO", 10)
    index = Index([event("r", Match(), "instance")])
    for n in range(100):
        assert index.hits(signal(instance=str(n)))[0].key == {"instance": str(n)}
        kept = sum(map(len, index._firing.values())) + sum(len(entry.hits) for entry in index._entries)
        assert kept <= 11


def test_what_cannot_match_is_not_asked() -> None:
    asked = list[str]()

    def counted(name: str, value: str) -> Test:
        def holds(given: str) -> bool:
            asked.append(given)
            return given == value

        return Test(name, holds, "", (value,))

    crowd = [event(f"r{n}", labels(one_of("severity", "critical"), counted("alertname", f"A{n}"))) for n in range(1000)]
    assert hit_ids(Index(crowd), signal(alertname="A7", severity="critical")) == ["r7"]
    assert asked == ["A7"]


NAMES, VALUES = st.sampled_from(["a", "b", "c"]), st.sampled_from(["", "x", "y"])
TESTS = st.one_of(
    st.builds(one_of, NAMES, VALUES),
    st.builds(one_of, NAMES, VALUES, VALUES),
    st.builds(unlike, NAMES, VALUES),
    st.builds(like, NAMES, st.sampled_from(["x?", "x|y", ".*"])),
)
PLAIN = st.builds(
    Match, st.lists(TESTS, max_size=3).map(tuple), st.lists(TESTS, max_size=1).map(tuple),
    st.sampled_from([None, None, "firing", "resolved"]),
)  # fmt: skip
NESTED = st.builds(
    lambda match, any_, none: msgspec.structs.replace(match, any=tuple(any_), none=tuple(none)),
    PLAIN, st.lists(PLAIN, max_size=2), st.lists(PLAIN, max_size=1),
)  # fmt: skip
RULES = st.lists(
    st.builds(
        lambda match, by, fields: event("", match, *by, **fields),
        NESTED, st.lists(NAMES, unique=True, max_size=2),
        st.fixed_dictionaries({
            "unclaimed": st.booleans(), "mode": st.sampled_from(["notify", "observe"]),
            "by_missing": st.sampled_from(["separate", "skip"]), "source": st.sampled_from([None, "jobs"]),
        }),
    ),
    max_size=6,
).map(lambda rules: [msgspec.structs.replace(rule, id=str(n)) for n, rule in enumerate(rules)])  # fmt: skip
PAIRS = st.dictionaries(NAMES, st.sampled_from(["x", "y"]))
SIGNALS = st.builds(
    lambda of, annotations, firing, source: Signal(source, identity(of), of, annotations, firing, 1),
    PAIRS, PAIRS, st.booleans(), st.sampled_from(["jobs", "am-api"]),
)  # fmt: skip


@given(RULES, st.lists(SIGNALS, max_size=10))
def test_finds_the_same_as_asking_every_rule(rules: list[Rule], signals: list[Signal]) -> None:
    index = Index(rules)
    for alert in signals:
        takes = [
            rule
            for rule in rules
            if isinstance(rule.when, EventWhen)
            and rule.when.of.source in (None, alert.source)
            and opens(rule.when.of.match, alert)
            and key_for(rule, alert.labels) is not None
        ]
        claimed = any(rule.mode != "observe" and not rule.unclaimed for rule in takes)
        expected = [rule.id for rule in takes if not (rule.unclaimed and claimed)]
        assert hit_ids(index, alert) == expected
        for rule in rules:
            if alert.firing:
                assert (index.explain(rule, alert) is None) is (rule.id in expected)


REASONS: list[tuple[str, Callable[[], Rule], str]] = [
    ("a label", lambda: event("r", labels(DOWN)), 'label alertname is "Up": alertname="Down" does not hold'),
    ("a missing label", lambda: event("r", labels(one_of("job", "x"))), 'label job is missing: job="x" does not hold'),
    (
        "an annotation",
        lambda: event("r", Match(annotations=(one_of("page", "yes"),))),
        'annotation page is missing: page="yes" does not hold',
    ),
    ("the source", lambda: event("r", labels(DOWN), source="jobs"), "source is am-api, not jobs"),
    ("the status", lambda: event("r", labels(DOWN, status="resolved")), "status is firing, not resolved"),
    (
        "no alternative",
        lambda: event("r", labels(any=(labels(DOWN), labels(one_of("job", "x"))))),
        'none of any holds: label alertname is "Up": alertname="Down" does not hold; '
        'label job is missing: job="x" does not hold',
    ),
    (
        "an exclusion",
        lambda: event("r", labels(none=(labels(like("alertname", "U.*")),))),
        'excluded by none: alertname=~"U.*" holds',
    ),
    (
        "a missing key",
        lambda: event("r", Match(), "service", by_missing="skip"),
        "by: label service is missing, and by_missing is skip",
    ),
    (
        "no member",
        lambda: Rule("r", (), AllWhen((Member("a", event=EventOf(labels(DOWN))), Member("b", rule="x")), 1)),
        'a: label alertname is "Up": alertname="Down" does not hold',
    ),
    (
        "no alerts at all",
        lambda: Rule("r", (), MetricWhen("p", "q", 1, Bound("above", 1), "keep")),
        "a rule of kind metric looks at no alerts itself",
    ),
]


@pytest.mark.parametrize(("rule", "words"), [r[1:] for r in REASONS], ids=[r[0] for r in REASONS])
def test_explains_the_first_condition_that_does_not_hold(rule: Callable[[], Rule], words: str) -> None:
    assert explain(rule(), signal(alertname="Up")) == words


def test_explains_nothing_when_it_matches() -> None:
    members = (Member("a", event=EventOf(labels(DOWN))), Member("b", event=EventOf(Match())))
    for rule in (event("r", Match()), Rule("r", (), AllWhen(members, 1))):
        assert explain(rule, signal(alertname="Up")) is None


def test_explains_who_claims_an_alert() -> None:
    default = event("default", Match(), unclaimed=True)
    index = Index([default, event("down", labels(DOWN))])
    assert index.explain(default, signal(alertname="Down")) == 'unclaimed: rule "down" matches it'
    assert index.explain(default, signal(alertname="Up")) is None


def test_a_long_value_is_cut_in_the_explanation() -> None:
    words = explain(event("r", labels(DOWN)), signal(alertname="x" * 10_000))
    assert words is not None and len(words) < 200


def test_holds_takes_the_status_that_is_asked_about() -> None:
    match = labels(DOWN, status="resolved")
    assert [holds(match, signal(alertname="Down"), firing) for firing in (True, False)] == [False, True]
