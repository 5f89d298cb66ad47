"""Services, teams, flows, problems, maintenance and topology: checked models -> plain data."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec
from msgspec import Struct, field

from responder.config.checking import Place, attempt, check
from responder.config.draft import Draft, Entry
from responder.config.errors import Mark, Report
from responder.config.matching import compile_match
from responder.config.models import (
    CausesForm,
    ChannelRefs,
    EdgeForm,
    FlowForm,
    Level,
    PrioritiesForm,
    ProblemForm,
    RecurringForm,
    ServiceForm,
    StageForm,
    TeamForm,
    TopologyForm,
)
from responder.config.nodes import MAX_BYTES
from responder.config.promises import DAYS_HINT, check_zone, parse_days
from responder.config.rule_models import MaintenanceForm
from responder.core.calendar import parse_start, parse_wall
from responder.core.catalogue import (
    MATRIX,
    OCCASIONS,
    PRIORITIES,
    SEVERITY,
    ChannelRef,
    Depends,
    Flow,
    Group,
    MaintenanceSpec,
    PrioritySpec,
    ProblemSpec,
    Recur,
    Recurring,
    Service,
    Stage,
    Team,
    TopologySpec,
    meant_name,
)
from responder.core.causes import Weights
from responder.core.instant import format_span, parse_span
from responder.core.signal import Span

LEVELS: Final[tuple[str, ...]] = get_args(Level)


def compile_priorities(draft: Draft) -> PrioritySpec:
    """Return the matrix and the meaning of ``severity``; what is left out is the default."""
    entry = draft.once("priorities")
    form = check(PrioritiesForm, entry.raw, entry.place, draft.report) if entry is not None else None
    if entry is None or form is None:
        return PrioritySpec()
    rows = form.matrix.items() if form.matrix is not None else MATRIX.items()
    matrix: Mapping[str, Mapping[str, str]] = {str(impact): {str(u): p for u, p in row.items()} for impact, row in rows}
    for impact in LEVELS:
        missing = [urgency for urgency in LEVELS if urgency not in matrix.get(impact, {})]
        if missing:
            mark = entry.place.mark("matrix", impact)
            draft.report.error(mark, f"the matrix has no priority for impact {impact} and urgency {missing[0]}")
    return PrioritySpec(matrix, {**form.severity} if form.severity is not None else SEVERITY)


def compile_causes(draft: Draft) -> Weights:
    """Return what alerts weigh in the ranking of probable causes; what is left out is the default."""
    entry = draft.once("causes")
    form = check(CausesForm, entry.raw, entry.place, draft.report) if entry is not None else None
    if entry is None or form is None:
        return Weights()
    memory = form.memory
    if memory.fast >= memory.slow:
        draft.report.error(
            entry.place.mark("memory", "fast"),
            f"the fast memory ({format_span(memory.fast)}) must fade sooner than the slow one ({format_span(memory.slow)})",
        )
    return Weights(form.call, form.handed, form.specificity, form.earliness, memory.slow, memory.fast, memory.alone)


def compile_teams(draft: Draft) -> dict[str, Team]:
    teams = {}
    for entry in draft.named("teams"):
        form = check(TeamForm, entry.raw, entry.place, draft.report)
        if form is None:
            continue
        if form.calendar is not None:
            draft.refer("calendars", form.calendar, entry.place.at("calendar"))
        teams[entry.name] = Team(
            entry.name,
            form.lead,
            _channels(form.channels, entry.place.at("channels"), draft),
            _channels(form.lead_channels, entry.place.at("lead_channels"), draft),
            form.calendar,
        )
    return teams


def _channels(forms: ChannelRefs, place: Place, draft: Draft) -> tuple[ChannelRef, ...]:
    channels = []
    for i, form in enumerate(forms):
        if isinstance(form, str):
            draft.refer("channels", form, place.at(i))
            channels.append(ChannelRef(form))
        else:
            draft.refer("channels", form.channel, place.at(i, "channel"))
            priorities = PRIORITIES if form.priorities is None else tuple(form.priorities)
            channels.append(ChannelRef(form.channel, priorities, OCCASIONS if form.on is None else tuple(form.on)))
    return tuple(channels)


def compile_services(draft: Draft) -> dict[str, Service]:
    """Return the services; warns of one without an SLA."""
    services = {}
    for entry in draft.named("services"):
        with draft.report.entry():
            service = _service(entry, draft)
        if service is not None:
            services[entry.name] = service
    return services


def _service(entry: Entry, draft: Draft) -> Service | None:
    form = check(ServiceForm, entry.raw, entry.place, draft.report)
    if form is None:
        return None
    draft.refer("teams", form.team, entry.place.at("team"))
    if form.flow is not None:
        draft.refer("flows", form.flow, entry.place.at("flow"))
    for i, other in enumerate(form.depends_on):
        draft.refer("services", other, entry.place.at("depends_on", i))
    if form.sla is not None:
        draft.refer("slas", form.sla, entry.place.at("sla"))
    else:
        draft.report.warn(entry.place.key(), f'the service "{entry.name}" has no SLA', "add sla: NAME")
    return Service(
        entry.name, form.team, form.sla, form.availability, tuple(dict.fromkeys(form.depends_on)), form.org,
        form.supplier, form.users, form.runbook, form.flow, form.description,
    )  # fmt: skip


def compile_flows(draft: Draft) -> dict[str, Flow]:
    flows = {}
    for entry in draft.named("flows"):
        form = check(FlowForm, entry.raw, entry.place, draft.report)
        if form is None:
            continue
        names = [stage.stage for stage in form.root]
        for i, name in enumerate(names):
            if name in names[:i]:
                draft.report.error(entry.place.mark(i, "stage"), f'two stages are called "{name}"')
        flows[entry.name] = Flow(
            entry.name, tuple(_stage(stage, entry.place.at(i), draft) for i, stage in enumerate(form.root))
        )
    return flows


def _stage(form: StageForm, place: Place, draft: Draft) -> Stage:
    if form.owner != "service.team":
        draft.refer("teams", form.owner, place.at("owner"))
    return Stage(form.stage, form.owner, _within(form.within, place.at("within"), draft.report), form.collect)


def _within(text: str | None, place: Place, report: Report) -> Span | Literal["sla.response", "sla.resolution"] | None:
    if text is None or text == "sla.response" or text == "sla.resolution":
        return text  # type: ignore[return-value]
    return attempt(parse_span, text, place.mark, report, "a duration, sla.response or sla.resolution")


def compile_problems(draft: Draft) -> tuple[ProblemSpec, ...]:
    problems = []
    for entry in draft.named("problems"):
        form = check(ProblemForm, entry.raw, entry.place, draft.report)
        if form is None:
            continue
        draft.refer("teams", form.owner, entry.place.at("owner"))
        ways: list[Group | Depends | Recur] = []
        if form.group is not None:
            ways.append(Group(tuple(form.group.same), form.group.at_least, form.group.within))
        if form.depends is not None:
            ways.append(Depends(form.depends.within, tuple(form.depends.same), form.depends.hold_notifications))
        if form.recur is not None:
            ways.append(Recur(tuple(form.recur.same), form.recur.at_least, form.recur.within))
        if len(ways) != 1:
            draft.report.error(
                entry.place.mark(), f"exactly one of group, depends and recur is needed, found {len(ways)}"
            )
        problems += [ProblemSpec(form.id, form.owner, way, form.due) for way in ways]
    return tuple(problems)


def compile_maintenance(draft: Draft) -> tuple[MaintenanceSpec, ...]:
    windows = []
    for entry in draft.named("maintenance"):
        form = check(MaintenanceForm, entry.raw, entry.place, draft.report)
        if form is None:
            continue
        place, report = entry.place, draft.report
        for i, service in enumerate(form.services):
            draft.refer("services", service, place.at("services", i))
        if bool(form.services) is (form.match is not None):
            report.error(place.mark(), "exactly one of services and match is needed")
        if (form.recurring is not None) is (form.from_ is not None or form.to is not None):
            report.error(place.mark(), "exactly one of from with to, and recurring is needed")
        elif form.recurring is None and (form.from_ is None or form.to is None):
            report.error(place.mark(), f"{'from' if form.from_ is None else 'to'} is missing")
        elif form.from_ is not None and form.to is not None and form.from_ >= form.to:
            report.error(place.mark("to"), "the window ends before it begins")
        windows.append(
            MaintenanceSpec(
                form.name,
                form.reason,
                tuple(form.services),
                compile_match(form.match, place.at("match"), report) if form.match is not None else None,
                form.from_,
                form.to,
                _recurring(form.recurring, place.at("recurring"), report) if form.recurring is not None else None,
            )
        )
    return tuple(windows)


def _recurring(form: RecurringForm, place: Place, report: Report) -> Recurring:
    check_zone(form.timezone, place.at("timezone"), report)
    days = attempt(parse_days, form.days, place.at("days").mark, report, DAYS_HINT)
    start = attempt(parse_start, form.from_, place.at("from").mark, report)
    end = attempt(parse_wall, form.to, place.at("to").mark, report)
    if start is not None and start == end:
        report.error(place.mark("to"), "the window ends where it begins")
    return Recurring(tuple(sorted(set(days or ()))), start or 0, end or 0, form.timezone)


class _Edge(Struct, frozen=True, forbid_unknown_fields=True):
    from_: str = field(name="from")
    to: str


def compile_topology(draft: Draft, files: list[Path]) -> TopologySpec:
    """Return the edges of all files and of the files they name; those are added to *files*."""
    edges: list[tuple[str, str]] = []
    places: dict[str, Place] = {}
    learned: list[tuple[str, str]] = []
    scope: list[str] = []
    for entry in draft.many("topology"):
        form = check(TopologyForm, entry.raw, entry.place, draft.report)
        if form is None:
            continue
        edges += _pairs(form.edges)
        for i, edge in enumerate(form.edges):
            for end, name in (("from", edge.from_), ("to", edge.to)):
                places.setdefault(name, entry.place.at("edges", i, end))
        learned += _pairs(form.from_labels)
        scope += form.scope
        if form.file is not None:
            path = Path(entry.place.document.folder, form.file)
            files.append(path)
            edges += _edges(path, entry.place.at("file"), draft.report)
    misspelt = _lint_nodes(draft, edges, places)
    if not learned:  # what alerts teach may connect the rest
        _lint_islands(draft, edges, places, misspelt)
    return TopologySpec(tuple(dict.fromkeys(edges)), tuple(dict.fromkeys(learned)), tuple(dict.fromkeys(scope)))


def _lint_nodes(draft: Draft, edges: list[tuple[str, str]], places: Mapping[str, Place]) -> list[str]:
    """Warn of services that are misspelt, and return them.

    An edge may name anything, but a name that stands once is like no other.
    """
    services, misspelt = draft.names("services"), []
    counts = Counter(name for edge in edges for name in edge)
    for name, place in places.items():
        meant = meant_name(name, services) if counts[name] == 1 else None
        if meant is not None:
            hint = f'did you mean "{meant}"? A host or an instance of this name would be fine'
            draft.report.warn(place.mark(), f'there is no service "{name}"', hint)
            misspelt.append(name)
    return misspelt


def _lint_islands(
    draft: Draft, edges: list[tuple[str, str]], places: Mapping[str, Place], misspelt: Iterable[str]
) -> None:
    """Warn of edges from which no way leads to a service: hosts may be so, and services that nobody knows."""
    near: dict[str, list[str]] = {}
    for one, other in edges:
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    told = _reached(near, [*draft.names("services"), *misspelt])
    for one, other in edges:
        if one in told:
            continue
        told |= _reached(near, [one])
        if one in places:
            problem = f'neither "{one}" nor "{other}" is a service, and no edge leads from them to one'
            hint = "fine among hosts and instances; a service has to stand under services:"
            draft.report.warn(places[one].mark(), problem, hint)


def _reached(near: Mapping[str, list[str]], start: Iterable[str]) -> set[str]:
    """Return what is connected with the names, in either direction, and these."""
    found: set[str] = set()
    left = list(start)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += near.get(name, ())
    return found


def _pairs(forms: list[EdgeForm]) -> list[tuple[str, str]]:
    return [(form.from_, form.to) for form in forms]


def _edges(path: Path, place: Place, report: Report) -> list[tuple[str, str]]:
    """Return the edges of a JSON file: ``[{"from": ..., "to": ...}, ...]``."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        report.error(place.mark(), f"{path} can't be read: {error.strerror}")
        return []
    if len(raw) > MAX_BYTES:
        report.error(Mark(str(path)), f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB")
        return []
    try:
        return [(edge.from_, edge.to) for edge in msgspec.json.decode(raw, type=list[_Edge])]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        report.error(Mark(str(path)), f"not a list of edges: {error}", 'write [{"from": "a", "to": "b"}]')
        return []
