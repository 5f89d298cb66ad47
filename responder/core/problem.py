"""A problem from open to closed: its states, its known error, and what people do to it by hand.

    open -> investigating -> known_error -> resolved -> closed

Any later state may be reached directly; from ``resolved`` it goes back to ``investigating``
when the incidents return. How incidents come to a problem is decided in
:mod:`responder.core.correlation`; which service broke first in :mod:`responder.core.causes`.

Source: ISO/IEC 20000-1:2018, 8.6.3 (problem management).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from responder.core.board import Board, Held, Join, Linked, Merge, Rows, Start, Turn
from responder.core.catalogue import Depends, ProblemSpec
from responder.core.causes import Cause
from responder.core.signal import DAY, Instant, Labels, Span
from responder.core.topology import Node, Topology

State: TypeAlias = Literal["open", "investigating", "known_error", "resolved", "closed"]
Origin: TypeAlias = Literal["group", "depends", "recur", "manual"]

UNRESOLVED: Final[tuple[State, ...]] = ("open", "investigating", "known_error")
WATCHED: Final[Span] = 90 * DAY
"""An incident like those of a problem that was closed since then is told as a recurrence."""
KEPT: Final = 50
"""Reviews, action items and merged problems that a problem keeps."""
ALLOWED: Final[Mapping[State, tuple[State, ...]]] = {
    "open": ("investigating", "known_error", "resolved", "closed"),
    "investigating": ("known_error", "resolved", "closed"),
    "known_error": ("investigating", "resolved", "closed"),
    "resolved": ("investigating", "closed"),
    "closed": (),
}
"""Where each state may go."""


class Unlawful(Exception):
    """A step that the state does not allow; *allowed* is what is."""

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"{message}; allowed now: {', '.join(allowed) or 'nothing'}")
        self.allowed = allowed


class Action(Struct, frozen=True):
    """What a review asks for."""

    text: str
    owner: str
    due_at: Instant
    done_at: Instant | None = None
    overdue: bool = False
    """It was not done when it was due, and that was said."""


class Review(Struct, frozen=True):
    """Whether the solution held: made at each recurrence after the resolution, and by a person."""

    at: Instant
    effective: bool
    words: str
    by: str = ""
    """Empty: the incident itself says it."""
    incident: int | None = None
    """The incident that came again, or that a person looked back at."""


class Problem(Struct, frozen=True):
    """Resident and stored; replaced, never changed. Its incidents are links."""

    id: int
    origin: Origin
    owner: str
    opened_at: Instant
    spec: str = ""
    """The entry of ``problems:`` that opened it; empty when a person did."""
    state: State = "open"
    title: str = ""
    service: str = ""
    causes: tuple[Cause, ...] = ()
    root_cause: str = ""
    workaround: str = ""
    due_at: Instant | None = None
    overdue: bool = False
    """It was not resolved when it was due, and that was said."""
    resolved_at: Instant | None = None
    closed_at: Instant | None = None
    merged_into: int | None = None
    merged: tuple[int, ...] = ()
    """The problems that turned out to be this one."""
    reviews: tuple[Review, ...] = ()
    """The newest."""
    actions: tuple[Action, ...] = ()


class KnownError(Struct, frozen=True):
    """What a new incident is compared with at the moment it opens: what incidents of a problem look like."""

    problem: int
    rules: frozenset[str]
    labels: Labels
    """Equal on all incidents of the problem; how severe they were says nothing of what they are."""
    until: Instant | None = None
    """How long a problem that is closed is watched."""


def begun(spec: ProblemSpec | None, number: int, owner: str, at: Instant) -> Problem:
    """Return a new problem, opened by an entry of the configuration or (None) by a person."""
    if spec is None:
        return Problem(number, "manual", owner, at)
    return Problem(
        number, spec.origin, spec.owner, at, spec=spec.id, due_at=None if spec.due is None else at + spec.due
    )


def next_due(problem: Problem) -> Instant | None:
    """Return when the problem, or the first of its action items, will be overdue."""
    return min((due for due, _ in _owed(problem)), default=None)


def overdue(problem: Problem, at: Instant) -> tuple[Problem, list[tuple[Instant, int]]]:
    """Return the problem with what is overdue by *at* marked, and that: (when it was due, action item or 0 for itself)."""
    passed = [(due, number) for due, number in _owed(problem) if due <= at]
    numbers = {number for _, number in passed}
    actions = tuple(
        replace(one, overdue=True) if number in numbers else one for number, one in enumerate(problem.actions, 1)
    )
    return replace(problem, overdue=problem.overdue or 0 in numbers, actions=actions), passed


def _owed(problem: Problem) -> Iterator[tuple[Instant, int]]:
    if problem.merged_into is not None:
        return  # the other has its action items
    if problem.due_at is not None and problem.state in UNRESOLVED and not problem.overdue:
        yield problem.due_at, 0
    for number, one in enumerate(problem.actions, 1):
        if one.done_at is None and not one.overdue:
            yield one.due_at, number


def move(problem: Problem, to: State, at: Instant) -> Problem:
    """Return the problem in another state; the state that it is in already changes nothing.

    Raises:
        Unlawful: The state can't be reached from here, or a known error has no workaround.
    """
    if to == problem.state:
        return problem
    allowed = ALLOWED[problem.state]
    if to not in allowed:
        raise Unlawful(f"a problem that is {problem.state} can't become {to}", allowed)
    if to == "known_error" and not (problem.root_cause or problem.workaround):
        raise Unlawful("a known error needs a root cause or a workaround first", allowed)
    return replace(
        problem,
        state=to,
        resolved_at=at if to in ("resolved", "closed") and problem.resolved_at is None else
        problem.resolved_at if to in ("resolved", "closed") else None,
        closed_at=at if to == "closed" else None,
    )  # fmt: skip


def rated(problem: Problem, causes: tuple[Cause, ...], incidents: int) -> Problem:
    """Return the problem with its causes ranked anew.

    The likeliest names it, unless a person has named it or the service that its root cause lies in.
    """
    if not causes:
        return problem
    if problem.origin == "manual":
        return replace(problem, causes=causes)
    service = problem.service if problem.root_cause else causes[0].service or problem.service
    entity = service if problem.root_cause else causes[0].service or causes[0].entity
    alike = " that are alike" if problem.origin == "recur" else " with one cause"
    title = f"{entity}: 1 incident" if incidents == 1 else f"{entity}: {incidents} incidents{alike}"
    return replace(problem, causes=causes, service=service, title=title)


def recurred(problem: Problem, incident: int, at: Instant, *, again: bool = False) -> Problem:
    """Return the resolved or closed problem after an incident like its own, or one of its own *again*."""
    if any(review.incident == incident and not review.by for review in problem.reviews):
        return problem
    words = f"INC-{incident} came {'again ' if again else ''}after it was {problem.state}"
    return reviewed(problem, Review(at, False, words, incident=incident))


def reviewed(problem: Problem, review: Review) -> Problem:
    """Return the problem with one more review; the oldest give way."""
    return replace(problem, reviews=(*problem.reviews, review)[-KEPT:])


def absorbed(problem: Problem, other: Problem) -> Problem:
    """Return a problem after another turned out to be it: what people wrote of either is kept, and how far they came."""
    unresolved = [one.state for one in (problem, other) if one.state in UNRESOLVED]
    return replace(
        problem,
        state=max(unresolved, key=UNRESOLVED.index) if problem.state in UNRESOLVED else problem.state,
        due_at=min((due for due in (problem.due_at, other.due_at) if due is not None), default=None),
        overdue=problem.overdue or other.overdue,
        merged=(*problem.merged, other.id, *other.merged)[-KEPT:],
        root_cause=problem.root_cause or other.root_cause,
        workaround=problem.workaround or other.workaround,
        reviews=(*other.reviews, *problem.reviews)[-KEPT:],
        actions=(*problem.actions, *other.actions)[:KEPT],
    )


def known_error(problem: Problem, incidents: Iterable[tuple[str, Labels]]) -> KnownError | None:
    """Return what new incidents are compared with; None while nobody claims to know the problem.

    A known error is offered to incidents like its own; one like those of a problem that was
    resolved or closed says that the solution did not hold.

    Args:
        incidents: Rule and labels, among them ``service``, of each of its incidents.
    """
    pairs = list(incidents)
    if problem.state not in ("known_error", "resolved", "closed") or not pairs:
        return None
    if problem.origin == "depends":  # symptoms look like anything: what broke first is what comes again
        pairs = [pair for pair in pairs if pair[1].get("service") == problem.service] or pairs
    equal = {
        name: value
        for name, value in pairs[0][1].items()
        if name != "severity" and all(labels.get(name) == value for _, labels in pairs)
    }
    until = problem.closed_at + WATCHED if problem.closed_at is not None else None
    return KnownError(problem.id, frozenset(rule for rule, _ in pairs), equal, until)


def matches(error: KnownError, rule: str, labels: Labels) -> bool:
    """Say whether a new incident looks like the known error: one of its rules, all of its labels."""
    return rule in error.rules and all(labels.get(name) == value for name, value in error.labels.items())


def hold_until(
    spec: ProblemSpec, priority: str, nodes: Collection[Node], topology: Topology, at: Instant
) -> Instant | None:
    """Return until when the message of a new incident waits for a root; None: it goes at once.

    A P1 never waits, nor does an incident with nothing beneath it: it may be the root.
    """
    if not isinstance(spec.how, Depends) or not spec.how.hold_notifications or priority == "P1":
        return None
    if not any(topology.under(node) for node in nodes):
        return None
    return at + spec.how.hold_notifications


# By hand. Each gives the same decisions and rows as correlation does.


def link(problem: int, spec: str, incident: int, at: Instant, board: Board) -> Turn:
    """Put an incident into a problem; the one that it was in loses it."""
    rows = Rows(linked={(spec, incident): Linked(problem, at)})
    if (held := board.held(problem)) is not None:
        without = tuple(one for one in held.without if one != incident)
        rows.held[held.id] = replace(held, recent=(*held.recent, (incident, at))[-32:], without=without)
    return Turn((Join(problem, incident, "by hand", 1.0, spec),), rows)


def unlink(problem: int, incident: int, specs: Iterable[str], board: Board) -> Rows:
    """Take an incident out of its problem, of whichever entries it is in it; only a person puts it back."""
    rows = Rows(linked={(spec, incident): None for spec in specs if problem_of(spec, incident, board) == problem})
    if (held := board.held(problem)) is not None:
        recent = tuple(one for one in held.recent if one[0] != incident)
        rows.held[held.id] = replace(held, recent=recent, without=(*held.without, incident)[-KEPT:])
    return rows


def problem_of(spec: str, incident: int, board: Board) -> int | None:
    """Return the problem that an entry of the configuration, or (empty) a person, has the incident in."""
    link = board.linked(spec, incident)
    held = board.held(link.problem) if link is not None else None
    return held.id if held is not None else link.problem if link is not None else None


def split(problem: int, spec: str, incidents: Sequence[int], number: int, at: Instant, board: Board) -> Turn:
    """Move incidents of a problem into a new one; both go on."""
    rows = Rows(linked={(spec, incident): Linked(number, at) for incident in incidents})
    old = board.held(problem)
    apart = (problem, *old.apart) if old is not None else (problem,)
    recent = tuple((incident, at) for incident in incidents)[-32:]
    rows.held[number] = Held(number, spec, at, at, recent=recent, apart=apart)
    if old is not None:
        rest = tuple(one for one in old.recent if one[0] not in incidents)
        rows.held[old.id] = replace(old, recent=rest, apart=(*old.apart, number))
    return Turn((Start(number, spec, tuple(incidents), "split by hand", after=problem),), rows)


def merge(problem: int, into: int, incidents: Iterable[int], at: Instant, board: Board) -> Turn:
    """Make two problems one; *into* keeps both histories, and takes what either would have taken.

    Args:
        incidents: Of the one that is no more.

    Raises:
        Unlawful: They are one already.
    """
    held, target = board.held(problem), board.held(into)
    if problem == into or (target is not None and target.id == problem):
        raise Unlawful(f"problem {problem} can't be merged into itself", ())
    rows = Rows()
    if held is not None:
        rows.held[held.id] = replace(held, into=into)
        target = (
            replace(held, id=into) if target is None else replace(target, last_at=max(held.last_at, target.last_at))
        )
        rows.held[into] = target
    if target is not None:
        rows.linked = {(target.spec, incident): Linked(into, at) for incident in incidents}
    return Turn((Merge(problem, into, "by hand"),), rows)


def ended(problem: int, board: Board) -> Rows:
    """Return the rows of a problem that was resolved or closed: it takes no more incidents."""
    held = board.held(problem)
    return Rows(held={problem: replace(held, over=True)} if held is not None and held.id == problem else {})


def resumed(problem: int, at: Instant, board: Board) -> Rows:
    """Return the rows of a problem that was not over after all: it takes incidents again."""
    held = board.held(problem)
    return Rows(
        held={problem: replace(held, over=False, last_at=at)} if held is not None and held.id == problem else {}
    )
