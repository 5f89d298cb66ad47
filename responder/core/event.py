"""The timeline: what happened to an incident or a problem, in the past tense, append-only."""

from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from responder.core.signal import Instant

ActorKind: TypeAlias = Literal["person", "rule", "timer", "source"]
SubjectKind: TypeAlias = Literal["incident", "problem", "silence", "config", "maintenance"]

KINDS: Final[dict[str, str]] = {
    "opened": "the incident began: by a rule's open edge or by a person's hand",
    "alert_cleared": "the condition cleared after a person had resolved or cancelled the incident",
    "recovered": "the condition cleared",
    "acknowledged": "somebody took notice; ends the response clock",
    "assigned": "another owner was named",
    "handed_over": "a stage ended and the next owner was named",
    "accepted": "the owner of the stage accepted it",
    "paused": "the resolution clock stands still, with the reason",
    "resumed": "the resolution clock runs on",
    "resolved": "the service is restored",
    "verified": "the monitor or a team found that it stays restored",
    "customer_informed": "the customer was told",
    "satisfaction_rated": "the customer gave a score",
    "closed": "nothing more will happen to it",
    "reopened": "the condition returned, or a person reopened it",
    "cancelled": "it was a false positive, a duplicate or an exercise",
    "priority_changed": "by the worst alert that joined, or by a person",
    "noted": "a person wrote a note",
    "snoozed": "messages wait until an instant",
    "merged": "it became part of another incident",
    "unmerged": "it stands alone again",
    "linked": "it was linked to a problem",
    "change_linked": "a change to its service was found near its beginning",
    "sla_warned": "a share of the target has been used",
    "sla_breached": "a target was missed",
    "sla_exempted": "a person took it out of the ratios, with the reason",
    "stage_overdue": "a stage passed its limit",
    "update_overdue": "of a major incident there was no news within the interval that was promised",
    "notified": "a message was delivered",
    "notification_failed": "a message could not be delivered and was given up",
    "orphaned": "its rule was removed or asks for another key; a person has to end it",
    "flagged": "`flag` says what was set or fell (`on`): `major` (declared, with lead and interval), `planned`, `taking` new alerts, its condition `holds` again",
    "unlinked": "it was taken out of a problem",
    "known_error_found": "an incident looks like a known error, whose workaround it shows",
    "state_changed": "a problem went to another state",
    "workaround_changed": "a problem has another workaround",
    "cause_changed": "a problem has another root cause",
    "recurred": "the problem was said to be over, and an incident like its own came, or one of its own was reopened",
    "reviewed": "a person looked back: did the solution hold, what is to be learned",
    "action_added": "a problem has another action item",
    "action_done": "an action item is done",
    "due_changed": "a problem is due at another time",
    "overdue": "a problem was not resolved when it was due, or an action item of it (`action`, from 1) was not done",
    "loaded": "the configuration was loaded",
    "created": "a silence or a maintenance window was made or changed",
    "expired": "a silence ended before its time",
}
"""Every kind of event with its meaning; the documentation and a test hold on to it."""

INSTANTS: Final = frozenset(
    {"until", "from", "at", "due_at", "news_at", "next_from", "started_at", "recovered_at", "planned_until", "accepted_at",
     "ended_at", "overdue_at", "begun_at", "breached_at"}
)  # fmt: skip
"""Fields of events that hold an instant, when they hold a number."""
SPANS: Final = frozenset({"every", "update_every", "reopen_within", "max_age", "target", "elapsed", "remaining"})
"""Fields of events that hold a span, when they hold a number."""


class Actor(Struct, frozen=True):
    """Who did it."""

    kind: ActorKind
    name: str


TIMER: Final = Actor("timer", "clock")


class Event(Struct, frozen=True):
    """One entry of the timeline; ``seq`` is 0 until the transaction numbers it."""

    at: Instant
    """When it was true; for a timer its due instant, however late it was found."""
    kind: str
    subject_kind: SubjectKind
    subject: int
    actor: Actor
    data: dict[str, Any] = {}
    seq: int = 0
