"""The hand-over steps of an incident: each with one owner and one limit (SPEC 3.4, flows)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from responder.core import facts, plan, sla
from responder.core.event import TIMER, Event
from responder.core.signal import MINUTE, SECOND, Instant, Span
from responder.core.sla import WHICH, ClockInputs, Which

if TYPE_CHECKING:
    from responder.core.book import Book
    from responder.core.clocks import Terms
    from responder.core.desk import Desk
    from responder.core.incident import Incident, Stage

Limit = Span | Literal["sla.response", "sla.resolution"] | None


class Step(Struct, frozen=True):
    """One step of a flow as it is configured."""

    name: str
    owner: str
    """A team, or ``service.team``."""
    within: Limit = None
    collect: Literal["satisfaction"] | None = None
    runs_resolved: bool = False
    """``verify`` and what comes after it: these run in ``resolved``."""


LATE: Final = MINUTE
"""What is found so long after its instant is marked late."""
DEFAULT: Final = (
    Step("respond", "service.team", "sla.response"),
    Step("restore", "service.team", "sla.resolution"),
)


def first(book: "Book", service: str, priority: str, at: Instant, *, planned: bool) -> list[dict[str, Any]]:
    """Return the first stage of a service's incident, as data of its ``opened`` event."""
    flow = book.flow(service)
    if not flow:
        return []
    owner = owner_of(book, service, flow[0])
    limits = {} if planned else {"due_at": limit(book, service, priority, flow[0], owner, at)}
    return [{"name": flow[0].name, "owner": owner, "started_at": at} | limits | follows(flow[0])]


def follows(step: Step) -> dict[str, Any]:
    """Return what an event says of a step whose limit is that of a promised clock."""
    return {"follows": _which(step.within)} if isinstance(step.within, str) else {}


def owner_of(book: "Book", service: str, step: Step) -> str:
    """Return the team that owns a step."""
    return book.service(service).team if step.owner == "service.team" else step.owner


def current(book: "Book", row: "Incident") -> Step | None:
    """Return the step whose stage the incident is in; none: the flow is another one now."""
    return next((step for step in book.flow(row.service) if step.name == row.stage), None)


def is_working(book: "Book", row: "Incident") -> bool:
    """Say whether who accepts the stage works on the incident: to register it is no work on it."""
    working = [step.name for step in book.flow(row.service) if not step.runs_resolved]
    return len(working) < 2 or row.stage != working[0]


def running(row: "Incident") -> "Stage | None":
    """Return the stage that has not ended."""
    return row.stages[-1] if row.stages and row.stages[-1].ended_at is None else None


def began(stage: "Stage") -> Instant:
    """Return when a stage began, whoever had it first."""
    return stage.started_at if stage.begun_at is None else stage.begun_at


def passed_on(stage: "Stage", to: str) -> dict[str, Any]:
    """Return what an event says of a stage that goes on with another owner: its limit runs on."""
    limits = {"follows": stage.follows} if stage.follows else {}
    return {"stage": stage.name, "owner": to, "due_at": stage.due_at, "begun_at": began(stage)} | limits


def after(book: "Book", row: "Incident") -> Step | None:
    """Return the step after the one that runs."""
    flow = book.flow(row.service)
    names = [step.name for step in flow]
    if row.stage not in names:
        return None
    number = names.index(row.stage) + 1
    return flow[number] if number < len(flow) else None


def on_acknowledge(book: "Book", row: "Incident") -> Step | None:
    """Return the step that an acknowledgement begins: only ``respond`` ends by it."""
    step = after(book, row)
    return step if row.stage == "respond" and step is not None and not step.runs_resolved else None


def on_resolve(book: "Book", row: "Incident") -> Step | None:
    """Return the step that begins when the incident is resolved."""
    return next((step for step in book.flow(row.service) if step.runs_resolved), None)


def on_reopen(book: "Book", row: "Incident") -> Step | None:
    """Return the working step that a reopened incident goes back to."""
    working = [step for step in book.flow(row.service) if not step.runs_resolved]
    ran = {stage.name for stage in row.stages}
    return next((step for step in reversed(working) if step.name in ran), working[0] if working else None)


def waits_for_people(book: "Book", row: "Incident") -> bool:
    """Say whether a stage after the resolution has to be ended by its owner."""
    return any(step.name == row.stage and step.runs_resolved for step in book.flow(row.service))


def limit(
    book: "Book", service: str, priority: str, step: Step, owner: str, at: Instant, clock: ClockInputs | None = None
) -> Instant | None:
    """Return when a step that begins at *at* is overdue, as far as can be said then.

    Its own length runs on its owner's calendar. One that follows a promised clock is due with
    it: *clock*; None: the clock starts at *at*.
    """
    if step.within is None or isinstance(step.within, int):
        return book.calendar_of(owner, service).advance(at, step.within) if step.within is not None else None
    terms, which = book.terms(service), _which(step.within)
    if clock is not None:
        return sla.due_at(clock, which, terms.sla, terms.calendar)
    target = terms.sla.targets.get(priority, (None, None))[WHICH.index(which)]
    return terms.calendar.advance(at, target) if target is not None else None


def _which(within: str) -> Which:
    return "response" if within == "sla.response" else "resolution"


def shown(terms: "Terms", row: "Incident") -> list[tuple["Stage", Instant | None]]:
    """Return the stages that have begun, each with its limit as it is now or was at the beginning."""
    now = running(row)
    return [(stage, due_at(terms, row) if stage is now else stage.due_at) for stage in row.stages]


def due_at(terms: "Terms", row: "Incident") -> Instant | None:
    """Return when the running stage is overdue, or none.

    A stage that follows a clock is due when that clock is: pauses, another priority and
    another SLA move it, and a target that does not exist is no limit.
    """
    stage = running(row)
    if stage is None or not stage.follows:
        return stage.due_at if stage is not None else None
    responded_at = row.clock.responded_at
    if stage.follows == "response" and responded_at is not None and responded_at <= began(stage) != row.opened_at:
        return None  # the response is not asked again
    due = sla.due_at(row.clock, stage.follows, terms.sla, terms.calendar)
    return max(due, began(stage)) if due is not None else None


def due(book: "Book", row: "Incident") -> list[tuple[Instant, Callable[..., "Incident"]]]:
    """Return when the running stage is overdue, if that has not been told."""
    stage = running(row)
    if stage is None or stage.overdue_at is not None:
        return []
    missed = [before for before in row.stages if before.overdue_at is not None and before.name == stage.name]
    if any(stage.follows or began(before) == stage.begun_at for before in missed):
        return []  # the same clock, missed before it was reopened; the same stage, missed by a former owner
    at = due_at(book.terms(row.service), row)
    return [(at + 1, _overdue)] if at is not None else []


def _overdue(desk: "Desk", book: "Book", row: "Incident", at: Instant, now: Instant) -> "Incident":
    stage = row.stages[-1]
    desk.count("incident_stages_overdue_total", (*facts.of(book, row, "service"), ("stage", stage.name)))
    data: dict[str, Any] = {"stage": stage.name, "owner": stage.owner}
    if now - at > LATE:
        data["late"] = True
    return plan.record(desk, book, row, Event(at - 1, "stage_overdue", "incident", row.id, TIMER, data))


def count_end(desk: "Desk", row: "Incident", at: Instant) -> None:
    """Note how long the running stage took, in real time, through all hands."""
    stage = running(row)
    if stage is not None:
        facts.observe(desk, "incident_stage_seconds", (("stage", stage.name),), (at - began(stage)) / SECOND)
