"""The hand-over steps of an incident: each with one owner and one limit (SPEC 3.4, flows)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from responder.core import facts, plan
from responder.core.event import TIMER, Event
from responder.core.signal import SECOND, Instant, Span

if TYPE_CHECKING:
    from responder.core.book import Book
    from responder.core.desk import Desk
    from responder.core.incident import Incident

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


DEFAULT: Final = (
    Step("respond", "service.team", "sla.response"),
    Step("restore", "service.team", "sla.resolution"),
)


def first(book: "Book", service: str, priority: str, at: Instant) -> list[dict[str, Any]]:
    """Return the first stage of a service's incident, as data of its ``opened`` event."""
    flow = book.flow(service)
    if not flow:
        return []
    return [
        {
            "name": flow[0].name,
            "owner": owner_of(book, service, flow[0]),
            "started_at": at,
            "due_at": _limit(book, service, priority, flow[0], at),
        }
    ]


def owner_of(book: "Book", service: str, step: Step) -> str:
    """Return the team that owns a step."""
    return book.service(service).team if step.owner == "service.team" else step.owner


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
    if not working or any(step.name == row.stage for step in working):
        return None
    ran = {stage.name for stage in row.stages}
    return next((step for step in reversed(working) if step.name in ran), working[0])


def waits_for_people(book: "Book", row: "Incident") -> bool:
    """Say whether a stage after the resolution has to be ended by its owner."""
    return any(step.name == row.stage and step.runs_resolved for step in book.flow(row.service))


def limit(book: "Book", row: "Incident", step: Step, at: Instant) -> Instant | None:
    """Return when a step that begins at *at* is overdue, on its owner's calendar."""
    return _limit(book, row.service, row.priority, step, at, row)


def _limit(
    book: "Book", service: str, priority: str, step: Step, at: Instant, row: "Incident | None" = None
) -> Instant | None:
    terms = book.terms(service)
    within = step.within
    if within is None:
        return None
    if isinstance(within, str):
        response, resolution = terms.sla.targets.get(priority, (None, None))
        target = response if within == "sla.response" else resolution
        start = row.opened_at if row is not None else at
        return terms.calendar.advance(start, target) if target is not None else None
    return book.calendar_of(owner_of(book, service, step), service).advance(at, within)


def due(book: "Book", row: "Incident") -> list[tuple[Instant, Callable[..., "Incident"]]]:
    """Return when the running stage is overdue, if that is ahead."""
    if not row.stages:
        return []
    stage = row.stages[-1]
    if stage.ended_at is not None or stage.overdue_at is not None or stage.due_at is None:
        return []
    if row.resolved_at is not None and not waits_for_people(book, row):
        return []
    return [(stage.due_at + 1, _overdue)]


def _overdue(desk: "Desk", book: "Book", row: "Incident", at: Instant, now: Instant) -> "Incident":
    stage = row.stages[-1]
    assert stage.due_at is not None
    desk.count("incident_stages_overdue_total", (*facts.of(book, row, "service"), ("stage", stage.name)))
    data = {"stage": stage.name, "owner": stage.owner}
    return plan.record(desk, book, row, Event(stage.due_at, "stage_overdue", "incident", row.id, TIMER, data))


def count_end(desk: "Desk", row: "Incident", at: Instant) -> None:
    """Note how long the running stage took, in real time."""
    if row.stages and row.stages[-1].ended_at is None:
        stage = row.stages[-1]
        facts.observe(desk, "incident_stage_seconds", (("stage", stage.name),), (at - stage.started_at) / SECOND)

