"""The rule book: everything that decisions look up, compiled once per load of the configuration."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from responder.core import stages
from responder.core.availability import Meter
from responder.core.calendar import Calendar, compile_calendar
from responder.core.catalogue import (
    CalendarSpec,
    ChannelSpec,
    Depends,
    Flow,
    MaintenanceSpec,
    PrioritySpec,
    ProblemSpec,
    Recur,
    Service,
    SlaSpec,
    Team,
    TopologySpec,
)
from responder.core.causes import Weights
from responder.core.clocks import Terms
from responder.core.maintenance import Window, latest_end, united, window_of
from responder.core.match import Index
from responder.core.rule import AbsenceWhen, EventWhen, MetricWhen, Rule, members
from responder.core.signal import HOUR, MINUTE, SECOND, Instant, Span
from responder.core.sla import Alarm, ClockInputs, Sla
from responder.core.topology import Topology

if TYPE_CHECKING:
    from responder.core.incident import Incident

UNCATALOGUED: Final = "uncatalogued"
UNKNOWN: Final = "unknown"
"""The service of an incident of which nothing says a service."""
DEFAULT_TEAM: Final = Team("default", lead="default")
DEFAULT_SLA: Final = SlaSpec(
    "default",
    "24x7",
    {
        "P1": (15 * MINUTE, 4 * HOUR),
        "P2": (30 * MINUTE, 8 * HOUR),
        "P3": (4 * HOUR, 24 * HOUR),
    },
    0.95,
    0.95,
)
"""For services that arrive in a label and are not in the catalogue, and for those that name no SLA."""
DEFAULT_CALENDAR: Final = CalendarSpec("24x7", "UTC", always=True)


class QueryKey(Struct, frozen=True):
    """What is asked of a source once per interval, however many rules use it."""

    source: str
    text: str
    every: Span
    read: str = "value"
    over: Span = 0


class FailurePromise(Struct, frozen=True):
    """``on_failure`` of a source."""

    hold: Span
    priority: str
    service: str


class Tally(Struct):
    """What happened to rules and sources since the start: counts for ``/metrics`` and ``/api/v1/rules``."""

    matches: Counter[str] = msgspec.field(default_factory=Counter)
    evaluations: Counter[str] = msgspec.field(default_factory=Counter)
    failures: Counter[str] = msgspec.field(default_factory=Counter)
    unmatched: Counter[str] = msgspec.field(default_factory=Counter)
    would_open: Counter[str] = msgspec.field(default_factory=Counter)
    last_match: dict[str, Instant] = {}
    last_error: dict[str, str] = {}
    """Of evaluations, until one goes well."""
    unfilled: dict[str, str] = {}
    """Of templates, until an incident opens without such an error."""
    unanswered: dict[str, str] = {}
    """Why the source of a rule does not answer, until its query is answered or refused."""
    heard: set[str] = msgspec.field(default_factory=set)
    """Polled sources that answered since the start."""


class Book:
    """Looked up by decisions; replaced as a whole when the configuration is loaded again."""

    def __init__(
        self,
        rules: Sequence[Rule] = (),
        *,
        services: Mapping[str, Service] | None = None,
        teams: Mapping[str, Team] | None = None,
        calendars: Iterable[CalendarSpec] = (),
        slas: Iterable[SlaSpec] = (),
        flows: Iterable[Flow] = (),
        priorities: PrioritySpec | None = None,
        maintenance: Iterable[MaintenanceSpec] = (),
        problems: Sequence[ProblemSpec] = (),
        topology: TopologySpec | None = None,
        causes: Weights | None = None,
        on_failure: Mapping[str, FailurePromise] | None = None,
        polled: Iterable[str] = (),
        sources: Iterable[str] = (),
        channels: Iterable[ChannelSpec] = (),
        external_url: str = "http://localhost:9920",
        tally: Tally | None = None,
    ) -> None:
        spec = priorities or PrioritySpec()
        self.rules = {rule.id: rule for rule in rules}
        self.index = Index([*self.rules.values()])
        self.services = dict(services or {})
        self.teams = {DEFAULT_TEAM.name: DEFAULT_TEAM} | dict(teams or {})
        self.severity, self.matrix = spec.severity, spec.matrix
        self.on_failure = dict(on_failure or {})
        self.polled = frozenset(polled)
        self.sources = frozenset(sources)
        """Names of all that the configuration lets signals come from."""
        self.channels = {channel.name: channel for channel in channels}
        self.external_url = external_url
        self.specs = tuple(sorted(problems, key=lambda spec: isinstance(spec.how, Recur)))
        """What recurs comes last: what the others hold for one came once."""
        self.holds = any(isinstance(spec.how, Depends) and spec.how.hold_notifications for spec in self.specs)
        """Messages of symptoms may wait for a root."""
        self.weights = causes or Weights()
        self.topology = _topology(topology or TopologySpec(), self.services)
        self.tally = tally or Tally()
        self.windows: list[Window] = [window_of(entry) for entry in maintenance]
        self.posted: Mapping[str, Window] = {}
        """Windows announced over the API: the mapping that the resident rows keep up to date."""
        specs = {c.name: c for c in (DEFAULT_CALENDAR, *calendars)}
        self.calendars = {name: _compiled(c) for name, c in specs.items()}
        self._terms = {s.name: _terms(s, self.calendars[s.calendar]) for s in (DEFAULT_SLA, *slas)}
        self._promises = {s.name: _digest(s, specs[s.calendar]) for s in (DEFAULT_SLA, *slas)}
        self._dated: dict[str, Terms] = {}
        self.alarms: dict[int, tuple[ClockInputs, Terms, list[Alarm]]] = {}
        """By incident: what its clocks will have to say; for the writer's thread only."""
        self.dues: dict[int, tuple[Incident, tuple[Instant, Any] | None]] = {}
        """By incident: what time does to it next, and when; likewise."""
        self.secret = b""
        """Of the store; what customers are sent is made with it."""
        self._flows = {flow.name: _steps(flow) for flow in flows}
        self.dependents: dict[str, list[tuple[Rule, int]]] = {}
        self.expires: dict[tuple[str, int], Span] = {}
        self.queries: dict[QueryKey, list[Rule]] = {}
        self.absences = False
        for rule in self.rules.values():
            self._file(rule)

    def _file(self, rule: Rule) -> None:
        when = rule.when
        if isinstance(when, EventWhen) and when.of.expire is not None:
            self.expires[rule.id, 0] = when.of.expire
        if isinstance(when, MetricWhen):
            query = QueryKey(when.source, when.query, when.every, when.read, when.over)
            self.queries.setdefault(query, []).append(rule)
        if isinstance(when, AbsenceWhen):
            self.absences = True
        # The later member first: one edge must not be two steps of a sequence.
        for number, member in reversed([*enumerate(members(rule))]):
            if member.rule is not None:
                self.dependents.setdefault(member.rule, []).append((rule, number))
            elif member.event is not None and member.event.expire is not None:
                self.expires[rule.id, number] = member.event.expire

    def service(self, name: str) -> Service:
        """Return a service of the catalogue, or the built-in default under its name."""
        return self.services.get(name) or Service(name, DEFAULT_TEAM.name)

    def metric_service(self, name: str) -> str:
        """Return the name that metrics give a service: what labels bring must not make series without end."""
        return name if name in self.services else UNCATALOGUED

    def team(self, name: str) -> Team:
        """Return a team, or the built-in one."""
        return self.teams.get(name, DEFAULT_TEAM)

    def channel(self, name: str) -> ChannelSpec:
        """Return how much a channel takes; what still waits for one that is gone has no reason to wait longer."""
        return self.channels.get(name) or ChannelSpec(name, bundle=0)

    def lead(self, team: str) -> str:
        """Return who leads a team."""
        return self.team(team).lead

    def terms(self, service: str) -> Terms:
        """Return what is promised for a service."""
        dated = self._dated.get(service)
        if dated is not None:
            return dated
        known = self.services.get(service)
        return self._terms[known.sla if known is not None and known.sla is not None else DEFAULT_SLA.name]

    def calendar_of(self, team: str, service: str) -> Calendar:
        """Return the calendar of a team, which is that of the service's SLA unless it has its own."""
        known = self.teams.get(team)
        if known is not None and known.calendar is not None:
            return self.calendars[known.calendar]
        return self.terms(service).calendar

    def flow(self, service: str) -> tuple[stages.Step, ...]:
        """Return the steps that incidents of a service go through."""
        name = self.service(service).flow
        return self._flows[name] if name is not None else stages.DEFAULT

    def priority(self, impact: str | None, urgency: str | None) -> str | None:
        """Return the priority of an impact and an urgency, or none if either is unknown."""
        return self.matrix.get(impact or "", {}).get(urgency or "")

    def planned_until(self, service: str, labels: Mapping[str, str], at: Instant) -> Instant | None:
        """Return until when maintenance covers a service or labels, or none."""
        return latest_end((*self.windows, *self.posted.values()), service, labels, at)

    def maintenance_of(self, service: str, since: Instant, until: Instant) -> Iterator[tuple[Instant, Instant]]:
        """Yield when a service is in maintenance between two instants, in order and without overlaps."""
        windows = [window for window in (*self.windows, *self.posted.values()) if service in window.services]
        return united(stretch for window in windows for stretch in window.stretches(since, until))

    def promise(self, service: str) -> str:
        """Return the digest of what is promised for a service, and when it counts."""
        known = self.services.get(service)
        return self._promises[known.sla if known is not None and known.sla is not None else DEFAULT_SLA.name]

    def date_promises(self, meters: Iterable[Meter]) -> None:
        """Date no breach before the promise that it is one of; how old each promise is, the store knows."""
        self.alarms.clear()
        self.dues.clear()
        for meter in meters:
            if meter.promise == self.promise(meter.service):
                terms = self.terms(meter.service)
                sla = msgspec.structs.replace(terms.sla, since=meter.promised_at)
                self._dated[meter.service] = msgspec.structs.replace(terms, sla=sla)

    # What happens is tallied here, so that the engine needs no metrics.

    def matched(self, rule: str, at: Instant) -> None:
        self.tally.matches[rule] += 1
        self.tally.last_match[rule] = at

    def would_open(self, rule: str, at: Instant) -> None:
        self.tally.would_open[rule] += 1

    def evaluated(self, rule: str) -> None:
        self.tally.evaluations[rule] += 1
        self.tally.last_error.pop(rule, None)
        self.tally.unanswered.pop(rule, None)

    def failed(self, rule: str, why: str) -> None:
        self.tally.unanswered.pop(rule, None)
        self.tally.failures[rule] += 1
        self.tally.last_error[rule] = why

    def unanswered(self, rule: str, why: str) -> None:
        self.tally.unanswered[rule] = why

    def unfilled(self, rule: str, why: str | None) -> None:
        """A template failed, or (None) another try begins."""
        if why is None:
            self.tally.unfilled.pop(rule, None)
        else:
            self.tally.failures[rule] += 1
            self.tally.unfilled[rule] = why

    def unmatched(self, source: str) -> None:
        self.tally.unmatched[source] += 1


def _topology(spec: TopologySpec, services: Mapping[str, Service]) -> Topology:
    depends_on = {name: service.depends_on for name, service in services.items()}
    return Topology(depends_on, spec.edges, spec.from_labels, spec.scope)


def _compiled(spec: CalendarSpec) -> Calendar:
    return compile_calendar(spec.timezone, spec.weekly, spec.holidays, spec.overrides, always=spec.always)


def _terms(spec: SlaSpec, calendar: Calendar) -> Terms:
    objective = {
        which: ratio
        for which, ratio in (("response", spec.response_objective), ("resolution", spec.resolution_objective))
        if ratio is not None
    }
    digest = blake2b(repr((sorted(spec.targets.items()), spec.calendar)).encode(), digest_size=6).digest()
    version = int.from_bytes(digest, "big")
    warn_at = tuple(round(percent) for percent in spec.warn_at)
    return Terms(Sla(spec.name, spec.calendar, spec.targets, objective, warn_at, version), calendar)


def _digest(spec: SlaSpec, calendar: CalendarSpec) -> str:
    hours = [
        sorted((day, sorted(open)) for day, open in days.items()) for days in (calendar.weekly, calendar.overrides)
    ]
    promised = (sorted(spec.targets.items()), calendar.timezone, calendar.always, hours, sorted(calendar.holidays))
    return blake2b(repr(promised).encode(), digest_size=8).hexdigest()


def _steps(flow: Flow) -> tuple[stages.Step, ...]:
    steps, resolved = [], False
    for stage in flow.stages:
        resolved = resolved or stage.name == "verify"
        steps.append(stages.Step(stage.name, stage.owner, stage.within, stage.collect, resolved))
    return tuple(steps)


PATIENCE: Final = 15 * SECOND
"""How soon a row is looked at again that waits for a source to answer."""
