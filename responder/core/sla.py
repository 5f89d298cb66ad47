"""The clocks that were promised to a customer: response and resolution.

The timeline is folded into :class:`ClockInputs`: instants and priorities, no target and no
service time. What a clock reads is worked out with the SLA and the calendar when somebody
asks, so newer ones re-read no events, and the fold does not depend on the configuration.

Source: SPEC 3.5, points 7 to 18.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from responder.core.calendar import Calendar
from responder.core.signal import Instant, Span

Which: TypeAlias = Literal["response", "resolution"]
WHICH: Final[tuple[Which, Which]] = ("response", "resolution")
ClockState: TypeAlias = Literal["running", "paused", "met", "breached", "exempt", "none"]
Runs: TypeAlias = tuple[tuple[Instant, Instant], ...]
"""Where a clock has run: [start, end), in order."""
InForce: TypeAlias = tuple[tuple[Instant, str], ...]
"""Whose target a clock has had, and since when: (instant, priority), in order."""


class Sla(Struct, frozen=True):
    """What is promised for each priority, in service time of the calendar."""

    name: str
    calendar: str
    targets: Mapping[str, tuple[Span | None, Span | None]]
    """Priority -> (response, resolution); none, or a priority that is missing: no target."""
    objective: Mapping[str, float] = {}
    """``response``, ``resolution`` -> the ratio of incidents that must meet their target."""
    warn_at: tuple[int, ...] = ()
    """Percent of a target."""
    version: int = 1
    since: Instant = 0
    """When this version's targets came into force; no breach of them is dated before. 0: always were."""


class Reading(Struct, frozen=True, gc=False):
    """What one clock shows; spans in microseconds of service time."""

    target: Span | None
    elapsed: Span
    due_at: Instant | None
    """First instant at which the clock reads the target, past or to come."""
    breached_at: Instant | None
    met: bool | None
    """False once breached, True when stopped in time; None: undecided, no target, or exempt."""
    remaining: Span | None
    """Negative after a breach."""
    state: ClockState


class ClockInputs(Struct, frozen=True, gc=False, omit_defaults=True):
    """What both clocks of one incident need from its timeline. JSON through msgspec."""

    opened_at: Instant
    """When both clocks start."""
    priority: str
    response: InForce
    resolution: InForce
    runs: Runs = ()
    """Where the resolution clock has run and was stopped."""
    spent: Span = 0
    """Service time of runs longer ago, settled with the calendar of its day (:func:`settle`)."""
    running_since: Instant | None = None
    """Of the resolution clock; None: paused, resolved, or not started."""
    acknowledged_at: Instant | None = None
    responded_at: Instant | None = None
    """First acknowledge or resolve: the response clock has stopped."""
    paused_since: Instant | None = None
    resolved_at: Instant | None = None
    response_breached_at: Instant | None = None
    """As recorded in the timeline; it stays for ever."""
    resolution_breached_at: Instant | None = None
    planned: bool = False
    """Opened inside maintenance that has not ended: no clock has started."""
    exempt: bool = False
    closed: bool = False
    verdict: tuple[Reading, Reading] | None = None
    """What (response, resolution) showed at the close, under the SLA and the calendar of that time."""


class ClockEvent(Struct, frozen=True):
    """One event of the timeline, as far as clocks need it; the fields are those of :func:`apply`."""

    at: Instant
    seq: int
    kind: str
    priority: str | None = None
    planned: bool = False
    breach: Which | None = None
    verdict: tuple[Reading, Reading] | None = None


class Alarm(Struct, frozen=True):
    """An instant at which somebody must be told about a clock."""

    acts_at: Instant
    """When to look: a clock that reads its target exactly has not breached it yet, so one microsecond later."""
    at: Instant
    """The true instant, which the event carries."""
    which: Which
    percent: int | None
    """Of a warning; None is the breach."""


def apply(
    inputs: ClockInputs | None,
    kind: str,
    at: Instant,
    priority: str | None = None,
    *,
    planned: bool = False,
    breach: Which | None = None,
    verdict: tuple[Reading, Reading] | None = None,
    continuous: bool = False,
) -> ClockInputs:
    """Return the inputs after one event; repeats, and kinds that no clock knows, change nothing.

    Args:
        inputs: None before ``opened``.
        kind: Of the timeline, or ``restarted``: the maintenance of a planned incident has ended
            before the incident, both clocks start.
        at: Not before the event that was applied last.
        priority: Of ``opened`` and ``priority_changed``; other kinds don't look at it.
        planned: Of ``opened``: inside maintenance, the clocks wait for ``restarted``.
        breach: Of ``sla_breached``: the clock; *at* is its true instant, be it long ago.
        verdict: Of ``closed`` and ``cancelled``: the readings at that instant, to be kept.
        continuous: Of ``reopened``: the time since the resolve counts as well.

    Raises:
        ValueError: If the first event does not open, or a priority is missing.
    """
    if inputs is None:
        if kind != "opened" or priority is None:
            raise ValueError(f"clocks begin with an opening and its priority, not with {kind!r}")
        in_force = ((at, priority),)
        return ClockInputs(at, priority, in_force, in_force, running_since=None if planned else at, planned=planned)
    if kind == "sla_exempted":
        return _exempted(inputs)
    if inputs.closed:
        return inputs
    resolved, paused = inputs.resolved_at is not None, inputs.paused_since is not None
    match kind:
        case "acknowledged" if not resolved and inputs.acknowledged_at is None:
            responded_at = at if inputs.responded_at is None else inputs.responded_at
            return replace(inputs, acknowledged_at=at, responded_at=responded_at)
        case "paused" if not resolved and not paused:
            return replace(_stopped(inputs, at), paused_since=at)
        case "resumed" if paused:
            return replace(inputs, paused_since=None, running_since=None if inputs.planned else at)
        case "resolved" if not resolved:
            return _resolved(inputs, at)
        case "reopened" if resolved:
            since = inputs.resolved_at if continuous else at
            inputs = replace(inputs, resolved_at=None, running_since=None if inputs.planned else since)
            return _prioritised(inputs, at, inputs.priority)
        case "priority_changed":
            if priority is None:
                raise ValueError("a change of priority names no priority")
            return _prioritised(inputs, at, priority)
        case "restarted" if inputs.planned and not resolved:
            return _restarted(inputs, at)
        case "sla_breached" if breach is not None:
            return _breached(inputs, breach, at)
        case "closed":
            return replace(_resolved(inputs, at), closed=True, verdict=verdict)
        case "cancelled":
            return _exempted(replace(_resolved(inputs, at), closed=True, verdict=verdict))
        case _:
            return inputs


def settle(inputs: ClockInputs, runs: int, spent: Span) -> ClockInputs:
    """Return the inputs with their first *runs* runs as a sum: an incident that reopens for ever stays small.

    The sum comes with an event of the timeline, so a fold gives the same; a breach within
    those runs has been recorded by then.
    """
    return replace(inputs, runs=inputs.runs[runs:], spent=inputs.spent + spent)


def fold(events: Iterable[ClockEvent], as_of: Instant, *, continuous: bool = False) -> ClockInputs | None:
    """Return the inputs that a timeline gives, in whatever order, up to an instant; None before it opens."""
    inputs: ClockInputs | None = None
    for event in sorted(events, key=lambda event: (event.at, event.seq)):
        if event.at > as_of:
            break
        if inputs is not None or event.kind == "opened":
            inputs = apply(
                inputs, event.kind, event.at, event.priority,
                planned=event.planned, breach=event.breach, verdict=event.verdict, continuous=continuous,
            )  # fmt: skip
    return inputs


def reading(inputs: ClockInputs, which: Which, sla: Sla, calendar: Calendar, as_of: Instant) -> Reading:
    """Return what a clock shows at an instant that is not before the last event applied.

    *sla* and *calendar* are the newest; a closed incident shows the verdict it was closed with.
    """
    if inputs.verdict is not None:
        return inputs.verdict[WHICH.index(which)]
    clock = _clock(inputs, which)
    target = clock.target(sla)
    elapsed = clock.elapsed(calendar, as_of)
    breached_at = clock.breached_at(sla, calendar, as_of)
    paused = which == "resolution" and inputs.paused_since is not None
    met: bool | None = None
    state: ClockState = "paused" if paused else "running"
    if target is None or inputs.planned:
        state = "none"
    elif clock.stopped_at is not None:
        met, state = True, "met"
    if breached_at is not None:
        met, state = False, "breached"
    if inputs.exempt or (inputs.planned and inputs.resolved_at is not None):
        met, state = None, "exempt"
    return Reading(
        target=target,
        elapsed=elapsed,
        due_at=None if target is None or paused or inputs.planned else clock.reaches(target, calendar, project=True),
        breached_at=breached_at,
        met=met,
        remaining=None if target is None else target - elapsed,
        state=state,
    )


def due_at(inputs: ClockInputs, which: Which, sla: Sla, calendar: Calendar) -> Instant | None:
    """Return when a clock reads its target, as :func:`reading` does; for those who ask nothing else."""
    clock = _clock(inputs, which)
    target = clock.target(sla)
    if target is None or inputs.planned or (which == "resolution" and inputs.paused_since is not None):
        return None
    return clock.reaches(target, calendar, project=True)


def next_alarms(inputs: ClockInputs, sla: Sla, calendar: Calendar, after: Instant) -> list[Alarm]:
    """Return the warnings and breaches to act on later than *after*, earliest first.

    As if the running clocks ran on. *after* is when one last looked, so what came due in
    between is among them; on a change of target it is one microsecond before the change,
    since a warning whose time has gone by is dated when the target came into force. Of
    several of one clock at one instant only the gravest is named.
    """
    if inputs.closed or inputs.exempt or inputs.planned:
        return []
    alarms: dict[tuple[Which, Instant], Alarm] = {}
    for which in WHICH:
        clock = _clock(inputs, which)
        target = clock.target(sla)
        if clock.was_short(inputs.opened_at, target, sla):
            continue
        breached_at = clock.breached_at(sla, calendar, None)
        if target is not None:
            for percent in sorted(sla.warn_at):
                reached = clock.reaches(-(-target * percent // 100), calendar, project=False)
                if reached is not None:
                    at = max(reached, clock.in_force[-1][0], sla.since)
                    alarms[which, at] = Alarm(at, at, which, percent)
        if breached_at is not None:
            alarms = {key: alarm for key, alarm in alarms.items() if key[0] != which or key[1] < breached_at}
            shows = clock.breached_at(sla, calendar, breached_at) is not None  # a target that came too late
            alarms[which, breached_at] = Alarm(breached_at + (not shows), breached_at, which, None)
    return sorted((alarm for alarm in alarms.values() if alarm.acts_at > after), key=lambda alarm: alarm.acts_at)


class _Clock(Struct, frozen=True, gc=False):
    """One clock: where it has run, since when it runs, when it was stopped."""

    which: Which
    in_force: InForce
    recorded: Instant | None
    spent: Span
    runs: Runs
    running_since: Instant | None
    stopped_at: Instant | None

    def target(self, sla: Sla) -> Span | None:
        """Return the target in force; a stopped clock keeps its own."""
        return self._of(sla, self.in_force[-1][1])

    def was_short(self, opened_at: Instant, target: Span | None, sla: Sla) -> bool:
        """Say at a glance that the clock has stopped before any warning: not even so much real time had passed."""
        if self.stopped_at is None or self.recorded is not None or target is None or len(self.in_force) > 1:
            return False
        return (self.stopped_at - opened_at) * 100 < target * min((*sla.warn_at, 100))

    def elapsed(self, calendar: Calendar, as_of: Instant) -> Span:
        elapsed = self.spent
        if self.running_since is not None:
            elapsed += calendar.service_time(self.running_since, as_of)
        for start, end in self.runs:
            elapsed += calendar.service_time(start, end)
        return elapsed

    def reaches(self, span: Span, calendar: Calendar, *, project: bool) -> Instant | None:
        """Return the first instant at which the clock reads *span*; a stopped one runs on if *project*."""
        span = max(span - self.spent, 0)
        for start, end in self.runs:
            length = calendar.service_time(start, end)
            if span <= length:
                return calendar.advance(start, span)
            span -= length
        onward = self.stopped_at if project and self.running_since is None else self.running_since
        return None if onward is None else calendar.advance(onward, span)

    def breached_at(self, sla: Sla, calendar: Calendar, as_of: Instant | None) -> Instant | None:
        """Return when the clock first exceeded a target in force, up to an instant or (None) ever."""
        if self.recorded is not None:
            return self.recorded
        for i, (since, priority) in enumerate(self.in_force, 1):
            target = self._of(sla, priority)
            last = None if target is None else self._passes(target, calendar)
            if last is None:
                continue
            until = self.in_force[i][0] if i < len(self.in_force) else as_of
            at = max(last, since, sla.since)
            if until is not None and (last >= until or at > until):
                continue
            if self.stopped_at is None or at <= self.stopped_at:  # else it stopped before this version
                return at
        return None

    def _passes(self, span: Span, calendar: Calendar) -> Instant | None:
        """Return the last instant at which the clock reads no more than *span*; None if it never will."""
        span -= self.spent
        if span < 0:
            return self.runs[0][0] if self.runs else self.running_since
        for start, end in self.runs:
            length = calendar.service_time(start, end)
            if span < length:
                return calendar.last_at(start, span)
            span -= length
        return None if self.running_since is None else calendar.last_at(self.running_since, span)

    def _of(self, sla: Sla, priority: str) -> Span | None:
        return sla.targets.get(priority, (None, None))[WHICH.index(self.which)]


def _clock(inputs: ClockInputs, which: Which) -> _Clock:
    if which == "resolution":
        return _Clock(
            which, inputs.resolution, inputs.resolution_breached_at, inputs.spent,
            inputs.runs, inputs.running_since, inputs.resolved_at,
        )  # fmt: skip
    stopped_at = inputs.responded_at
    runs: Runs = () if stopped_at is None or inputs.planned else ((inputs.opened_at, stopped_at),)
    running_since = inputs.opened_at if stopped_at is None and not inputs.planned else None
    return _Clock(which, inputs.response, inputs.response_breached_at, 0, runs, running_since, stopped_at)


def _stopped(inputs: ClockInputs, at: Instant) -> ClockInputs:
    """Return the inputs with the resolution clock at rest."""
    if inputs.running_since is None:
        return inputs
    return replace(inputs, running_since=None, runs=(*inputs.runs, (inputs.running_since, at)))


def _resolved(inputs: ClockInputs, at: Instant) -> ClockInputs:
    if inputs.resolved_at is not None:
        return inputs
    responded_at = at if inputs.responded_at is None else inputs.responded_at
    return replace(_stopped(inputs, at), resolved_at=at, paused_since=None, responded_at=responded_at)


def _prioritised(inputs: ClockInputs, at: Instant, priority: str) -> ClockInputs:
    """Return the inputs with a priority whose targets the clocks take that have not stopped."""
    response, resolution = inputs.response, inputs.resolution
    if inputs.responded_at is None and response[-1][1] != priority:
        response = (*response, (at, priority))
    if inputs.resolved_at is None and resolution[-1][1] != priority:
        resolution = (*resolution, (at, priority))
    return replace(inputs, priority=priority, response=response, resolution=resolution)


def _restarted(inputs: ClockInputs, at: Instant) -> ClockInputs:
    """Return the inputs with both clocks at zero; what was acknowledged stays so, at zero."""
    return replace(
        inputs,
        opened_at=at,
        planned=False,
        spent=0,
        response=((at, inputs.response[-1][1]),),
        resolution=((at, inputs.resolution[-1][1]),),
        responded_at=None if inputs.responded_at is None else at,
        running_since=at if inputs.paused_since is None else None,
    )


def _breached(inputs: ClockInputs, which: Which, at: Instant) -> ClockInputs:
    """Return the inputs with a recorded breach; of two the earlier stays, so order means nothing."""
    if which == "response":
        return replace(inputs, response_breached_at=_earlier(inputs.response_breached_at, at))
    return replace(inputs, resolution_breached_at=_earlier(inputs.resolution_breached_at, at))


def _earlier(known: Instant | None, at: Instant) -> Instant:
    return at if known is None else min(known, at)


def _exempted(inputs: ClockInputs) -> ClockInputs:
    verdict = inputs.verdict
    if verdict is not None:
        response, resolution = (replace(shown, met=None, state="exempt") for shown in verdict)
        verdict = (response, resolution)
    return replace(inputs, exempt=True, verdict=verdict)
