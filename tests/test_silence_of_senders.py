"""When an alert ends by silence: at its sender's end, else when its rule says, else as its source is polled."""

import msgspec

from responder.core.signal import HOUR, MINUTE, SECOND, Signal
from tests.story import EACH, START, Story, alert

PATIENT = EACH.replace("shop}}}}", "shop}}, expire: 1h}}")


def ends(story: Story) -> list[tuple[int | None, str]]:
    return [(story.at(row.resolved_at), row.resolution) for row in story.incidents()]


def timed_out(at: int) -> Signal:
    """Return what ``/api/v2`` makes of an alert without an end: Alertmanager's own time-out."""
    return msgspec.structs.replace(alert("A", at, starts=0), ends_at=START + at + 5 * MINUTE, timeout=True)


def test_expire_of_a_rule_counts_from_when_the_alert_was_last_seen() -> None:
    story = Story(PATIENT)
    story.fire()
    story.until(55 * MINUTE)
    story.push(alert("A", story.now, starts=0))
    story.until(55 * MINUTE + HOUR - SECOND)
    assert story.states() == ["open"]
    story.until(2 * HOUR)
    assert ends(story) == [(55 * MINUTE + HOUR, "expired")]


def test_expire_of_a_rule_goes_before_the_time_out_that_the_server_gives() -> None:
    story = Story(PATIENT)
    for minute in (0, 1, 2):
        story.until(minute * MINUTE)
        story.push(timed_out(story.now))
    story.until(2 * HOUR)
    assert ends(story) == [(2 * MINUTE + HOUR, "expired")]


def test_an_end_that_the_sender_gives_goes_before_expire() -> None:
    story = Story(PATIENT)
    story.fire(ends=4 * MINUTE)
    story.push(alert("A", 0, starts=0))
    story.until(2 * HOUR)
    assert ends(story) == [(4 * MINUTE, "expired")]


def test_a_polled_alert_expires_after_the_last_poll_that_showed_it() -> None:
    story = Story('sources: {prom: {kind: prometheus, url: "http://x"}}' + PATIENT)
    for minute in (0, 30):
        story.until(minute * MINUTE)
        story.poll("prom", alert("A", story.now, starts=0, source="prom"))
    story.until(31 * MINUTE)
    story.poll("prom")
    story.until(3 * HOUR)
    assert ends(story) == [(30 * MINUTE + HOUR, "expired")]


def test_a_polled_alert_without_an_end_lapses_5m_after_it_is_missing() -> None:
    story = Story('sources: {prom: {kind: prometheus, url: "http://x"}}' + EACH)
    story.poll("prom", alert("A", 0, source="prom"))
    story.until(10 * MINUTE)
    story.poll("prom")
    story.until(HOUR)
    assert ends(story) == [(15 * MINUTE, "expired")]
