"""An incident that becomes graver is told again, also to those who know of it."""

from responder.core.catalogue import ChannelSpec
from responder.core.signal import SECOND, Signal, identity
from responder.handlers.signals import Pushed
from tests.post import AT_ONCE, Post


def test_a_worse_alert_that_joins_is_told_to_those_who_know_of_the_incident() -> None:
    post = Post(AT_ONCE)
    post.fire("a")
    post.at(60).do("acknowledge")
    post.at(120).fire("a", severity="critical")
    _, raised = post.sent[-1]
    assert (raised.part.event, raised.title) == ("opened", "[P1] raised from P3: shop: a is down (INC-1)")
    post.at(180).clear("a")
    post.clear("a", severity="critical")
    assert post.kinds() == ["opened", "stage", "opened", "resolved"]


def test_a_person_who_raises_it_says_why_and_to_lower_it_wakes_nobody() -> None:
    post = Post(AT_ONCE)
    post.fire("a")
    post.at(10).do("priority", priority="P2", reason="many customers")
    assert "a is down - raised from P3, many customers\n" in post.sent[-1][1].text
    post.at(20).do("priority", priority="P4", reason="few customers")
    assert post.kinds() == ["opened", "opened"]


def test_what_opens_and_is_raised_in_one_moment_is_told_once() -> None:
    post = Post(AT_ONCE)
    sets = [{"alertname": "Down", "host": "a", "severity": severity} for severity in ("warning", "critical")]
    signals = [Signal("am-api", identity(s), s, {}, True, post.stage.now) for s in sets]
    post.stage.take(Pushed("am-api", signals))
    post.at(5)
    assert post.kinds() == ["opened"]
    assert post.sent[0][1].title.startswith("[P1]")


def test_what_was_lowered_again_before_it_could_be_told_is_not() -> None:
    post = Post(ChannelSpec("chat", bundle=30 * SECOND))
    post.fire("a")
    post.at(5).do("priority", priority="P1", reason="many customers")
    post.at(10).do("priority", priority="P3", reason="few customers")
    post.at(60)
    assert post.kinds() == ["opened"]


def test_a_raise_begins_no_second_row_of_repeats() -> None:
    post = Post(ChannelSpec("chat", bundle=0, rate=1000, repeat=100 * SECOND))
    post.fire("a")
    post.at(50).do("priority", priority="P2", reason="many customers")
    post.at(390)
    assert [(at, kind) for at, kind, _, _ in post.said()] == [
        (0, "opened"), (50, "opened"), (100, "repeat"), (200, "repeat"), (300, "repeat"),
    ]  # fmt: skip
