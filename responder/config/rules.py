"""Checked rule models -> :class:`responder.core.rule.Rule`."""

from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from msgspec import Struct

from responder.config import promql
from responder.config.checking import Place, check
from responder.config.draft import Draft, Entry
from responder.config.errors import Report, did_you_mean
from responder.config.matching import compile_match
from responder.config.rule_models import (
    AbsenceForm,
    AllForm,
    BoundForm,
    CountForm,
    EventForm,
    FlappingForm,
    IncidentForm,
    MemberForm,
    MetricForm,
    RuleForm,
    SequenceForm,
    StepForm,
)
from responder.config.settings import RESERVED_SOURCES
from responder.config.templates import LONG, SHORT, compile_template, is_plain, plain_keys
from responder.core.catalogue import PrioritySpec
from responder.core.rule import (
    AbsenceWhen,
    AllWhen,
    Bound,
    CountWhen,
    EventOf,
    EventWhen,
    FlappingWhen,
    Match,
    Member,
    MetricWhen,
    Priority,
    Render,
    Rule,
    SequenceWhen,
    When,
)
from responder.core.rule import IncidentForm as Incident
from responder.ports import PolledSettings, SourceSettings

KINDS: Final = ("metric", "event", "absence", "count", "all", "sequence", "flapping")
_BOUNDS: Final = ("above", "below", "outside", "equal", "not_equal")
_FALLBACK: Final = compile_template("")


SourceKinds: TypeAlias = Mapping[str, tuple[str, type[SourceSettings]]]
"""Source name -> (kind, model of its settings)."""


class Reference(Struct, frozen=True):
    """A rule that names another, and where."""

    rule: str
    names: str
    place: Place


def compile_rules(draft: Draft, kinds: SourceKinds, priorities: PrioritySpec) -> dict[str, tuple[Rule, Place]]:
    """Return the rules that have no mistakes, by id, in the order of files; mistakes go to the draft's report.

    Args:
        kinds: Of the sources, as far as known.
        priorities: For the levels that impact and urgency may have.
    """
    rules: dict[str, tuple[Rule, Place]] = {}
    waits: list[Reference] = []
    absorbs: list[Reference] = []
    absent: set[str] = set()
    for entry in draft.named("rules"):
        errors = len(draft.report.errors)
        with draft.report.entry():
            form = check(RuleForm, entry.raw, entry.place, draft.report)
            if form is None:
                continue
            compiler = _Compiler(draft, entry, form, kinds, priorities, absent)
            rule = compiler.rule()
        if len(draft.report.errors) == errors:
            rules[form.id] = rule, entry.place
        waits += compiler.waits
        absorbs += [Reference(form.id, other, entry.place.at("absorbs", i)) for i, other in enumerate(form.absorbs)]
    for reference in (*waits, *absorbs):
        draft.refer("rules", reference.names, reference.place)
    _refuse_loops(waits, "waits for", draft.report)
    _refuse_loops(absorbs, "absorbs", draft.report)
    return rules


def _refuse_loops(references: list[Reference], verb: str, report: Report) -> None:
    edges = {(reference.rule, reference.names): reference for reference in references}
    order = {reference.rule: i for i, reference in reversed(list(enumerate(references)))}
    while True:
        graph: dict[str, list[str]] = {}
        for rule, named in edges:
            graph.setdefault(named, []).append(rule)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            ring: list[str] = error.args[1][:-1]
            first = min(range(len(ring)), key=lambda i: order[ring[i]])
            ring = [*ring[first:], *ring[:first], ring[first]]
            reference = edges.pop((ring[0], ring[1]))
            report.error(reference.place.mark(), f"rules in a ring, each {verb} the next: {' -> '.join(ring)}")
        else:
            return


class _Compiler:
    """Compiles one rule."""

    def __init__(
        self, draft: Draft, entry: Entry, form: RuleForm, kinds: SourceKinds, priorities: PrioritySpec, absent: set[str]
    ) -> None:
        self.draft, self.report, self.place, self.form = draft, draft.report, entry.place, form
        self.kinds, self.priorities, self.absent = kinds, priorities, absent
        self.waits: list[Reference] = []

    def rule(self) -> Rule:
        form = self.form
        when, kind = self.when()
        if form.unclaimed and kind != "event":
            self.report.error(self.place.key("unclaimed"), "unclaimed is for event rules only")
        if form.max_age is not None and kind not in ("event", ""):
            problem = (
                f"max_age is for event rules only: an incident of a rule of kind {kind} lasts as its condition does"
            )
            hint = "to hear of it again while it is open, set repeat on a channel"
            self.report.error(self.place.key("max_age"), problem, hint)
        for i, name in enumerate(form.by):
            if name in form.by[:i]:
                self.report.error(self.place.mark("by", i), f'"{name}" stands twice in by')
        return Rule(
            id=form.id,
            by=tuple(form.by),
            when=when,
            incident=self.incident(form.incident) if form.incident is not None else None,
            by_missing=form.by_missing,
            unclaimed=form.unclaimed,
            mode=form.mode,
            reopen_within=form.reopen_within,
            max_age=form.max_age,
            absorbs=tuple(form.absorbs),
            description=form.description,
            digest=self.digest(kind, when),
            place=str(self.place.mark()),
        )

    def digest(self, kind: str, when: When) -> str:
        """Return what must not change if the state of the condition is to go on.

        States of ``all`` and ``sequence`` speak of members by number, so these count too.
        """
        parts = [kind, *self.form.by]
        if isinstance(when, AllWhen | SequenceWhen):
            members = when.of if isinstance(when, AllWhen) else when.steps
            parts += [f"{member.rule or (member.event and member.event.match.words)}" for member in members]
        return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()

    # Conditions

    def when(self) -> tuple[When, str]:
        place = self.place.at("when")
        given = [kind for kind in KINDS if getattr(self.form.when, kind) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            mark = place.key(given[1]) if given else place.mark()
            self.report.error(mark, f"when has exactly one kind, found {found}", "kinds: " + ", ".join(KINDS))
            return EventWhen(EventOf(Match())), ""
        [kind] = given
        build: Callable[[Any, Place], When] = getattr(self, kind)
        return build(getattr(self.form.when, kind), place.at(kind)), kind

    def metric(self, form: MetricForm, place: Place) -> MetricWhen:
        self.source(form.source, place.at("source"), asked=True)
        kind, settings = self.kinds.get(form.source, ("scrape", PolledSettings))
        if issubclass(settings, PolledSettings):
            self.query(form.query, settings, place.at("query"))
        if form.as_ != "value" and kind not in ("scrape", "probe"):
            self.report.error(place.mark("as"), "as is for scrape sources; a PromQL query says it itself")
        if (form.as_ == "rate") is not (form.over is not None):
            self.report.error(place.mark("as"), "as: rate and over: go together", "as: rate needs over: 5m")
        return MetricWhen(
            source=form.source,
            query=form.query,
            every=form.every,
            open=self.bound(form.open, place.at("open")),
            no_data=form.no_data,
            close=self.bound(form.close, place.at("close")) if form.close is not None else None,
            read=form.as_,
            over=form.over or 0,
        )

    def query(self, text: str, settings: type[PolledSettings], place: Place) -> None:
        try:
            settings.check_query(text)
        except ValueError as error:
            self.report.error(place.mark(), str(error), "PromQL is for sources of kind prometheus")
            return
        wrong = promql.mistake(text)
        if wrong is not None:
            at, said, hint = wrong
            self.report.error(place.inside(at), said, hint)

    def bound(self, form: BoundForm, place: Place) -> Bound:
        given = [op for op in _BOUNDS if getattr(form, op) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            mark = place.key(given[1]) if given else place.mark()
            self.report.error(mark, f"exactly one threshold is needed, found {found}", "one of " + ", ".join(_BOUNDS))
            return Bound("above", 0.0)
        if form.outside is not None:
            low, high = form.outside
            if low >= high:
                self.report.error(place.mark("outside"), "outside: the first number is the lower one")
            return Bound("outside", low, high, hold=form.for_)
        return Bound(given[0], getattr(form, given[0]), hold=form.for_)  # type: ignore[arg-type]

    def event(self, form: EventForm, place: Place) -> EventWhen:
        return EventWhen(self.event_of(form, place))

    def event_of(self, form: EventForm, place: Place) -> EventOf:
        if form.source is not None and form.source not in RESERVED_SOURCES:
            self.source(form.source, place.at("source"), asked=False)
        return EventOf(compile_match(form.match, place.at("match"), self.report), form.source, form.expire)

    def absence(self, form: AbsenceForm, place: Place) -> AbsenceWhen:
        for i, key in enumerate(form.expect):
            if set(key) != set(self.form.by):
                by = ", ".join(self.form.by)
                self.report.error(place.mark("expect", i), f"an expected key has the labels of by: [{by}]")
        return AbsenceWhen(self.member(form.of, place.at("of")), form.every, form.grace, tuple(form.expect))

    def count(self, form: CountForm, place: Place) -> CountWhen:
        return CountWhen(self.member(form.of, place.at("of")), form.at_least, form.within, form.distinct)

    def all(self, form: AllForm, place: Place) -> AllWhen:
        members = [self.member(of, place.at("of", i), str(i + 1)) for i, of in enumerate(form.of)]
        return AllWhen(tuple(members), form.within)

    def sequence(self, form: SequenceForm, place: Place) -> SequenceWhen:
        names = [step.name for step in form.steps]
        for i, step in enumerate(form.steps):
            if step.name in names[:i]:
                self.report.error(place.mark("steps", i, "name"), f'two steps are called "{step.name}"')
            if step.absent and i + 1 < len(form.steps):
                self.report.error(place.mark("steps", i, "absent"), "only the last step can be absent: true")
        return SequenceWhen(
            tuple(self.member(step, place.at("steps", i)) for i, step in enumerate(form.steps)), form.within
        )

    def flapping(self, form: FlappingForm, place: Place) -> FlappingWhen:
        if form.stop.changes >= form.start.changes and form.stop.within == form.start.within:
            self.report.error(place.mark("stop"), "flapping stops at fewer changes than it starts at")
        return FlappingWhen(
            self.member(form.of, place.at("of")),
            form.start.changes, form.start.within, form.stop.changes, form.stop.within,
        )  # fmt: skip

    def member(self, form: MemberForm, place: Place, number: str = "") -> Member:
        if (form.event is None) is (form.rule is None):
            found = "none" if form.event is None else "both"
            self.report.error(place.mark(), f"exactly one of event and rule is needed, found {found}")
        if form.rule is not None:
            self.waits.append(Reference(self.form.id, form.rule, place.at("rule")))
        event = self.event_of(form.event, place.at("event")) if form.event is not None else None
        if isinstance(form, StepForm):
            return Member(form.name, event, form.rule, form.absent)
        return Member(form.rule or number or "event", event, form.rule)

    def source(self, name: str, place: Place, asked: bool) -> None:
        """Check a reference to a source; *asked*: one that can be asked a query."""
        if not self.draft.names("sources"):  # a rule pack on its own
            if name not in self.absent:
                self.absent.add(name)
                hint = f"name it in the file that includes this one: sources: {{{name}: {{kind: ..., url: ...}}}}"
                self.report.warn(place.mark(), f'no source is configured: rules that name "{name}" hear nothing', hint)
            return
        self.draft.refer("sources", name, place)
        _, model = self.kinds.get(name, ("", None))
        if asked and model is not None and not issubclass(model, PolledSettings):
            self.report.error(place.mark(), f'the source "{name}" is told of alerts; it can\'t be asked a query')

    # Incidents

    def incident(self, form: IncidentForm) -> Incident:
        place = self.place.at("incident")
        service_name = form.service if is_plain(form.service) else None
        if service_name is not None:
            self.draft.refer("services", service_name, place.at("service"))
        described = form.description if form.description is not None else self.form.description
        description_place = place.at("description") if form.description is not None else self.place.at("description")
        labels = [(self.place.at("labels", name), name, text) for name, text in self.form.labels.items()]
        labels += [(place.at("labels", name), name, text) for name, text in form.labels.items()]
        return Incident(
            service=self.template(form.service, place.at("service")),
            title=self.template(form.title, place.at("title")),
            priority=self.priority(form, place),
            labels={name: self.template(text, where) for where, name, text in labels},
            description=self.template(described, description_place, LONG) if described else None,
            runbook=self.template(form.runbook, place.at("runbook")) if form.runbook else None,
            service_name=service_name,
            title_words=form.title,
            major=form.major,
        )

    def priority(self, form: IncidentForm, place: Place) -> Priority:
        if form.priority is not None and (form.impact or form.urgency):
            self.report.error(place.mark("priority"), "give a priority, or impact and urgency, not both")
        if (form.impact is None) is not (form.urgency is None):
            missing = "urgency" if form.urgency is None else "impact"
            self.report.error(place.mark(), f"{missing} is missing: a priority comes from impact and urgency")
        if isinstance(form.priority, str):
            return Priority(fixed=form.priority)
        if form.priority is not None:
            return Priority(label=form.priority.label, map=dict(form.priority.map), default=form.priority.default)
        if form.impact is None or form.urgency is None:
            return Priority()
        urgencies = {level for row in self.priorities.matrix.values() for level in row}
        return Priority(
            impact=self.level(form.impact, self.priorities.matrix.keys(), place.at("impact")),
            urgency=self.level(form.urgency, urgencies, place.at("urgency")),
        )

    def level(self, text: str, known: Any, place: Place) -> Render:
        if is_plain(text) and text not in known:
            self.report.error(place.mark(), f'"{text}" is not known here', did_you_mean(text, known, "one of"))
        return self.template(text, place)

    def template(self, text: str, place: Place, limit: int = SHORT) -> Render:
        if not text.strip():
            self.report.error(place.mark(), "must not be empty")
        for label in sorted({*plain_keys(text)} - {*self.form.by}):
            self.report.warn(place.mark(), f'the key has no label "{label}"', did_you_mean(label, self.form.by, "by"))
        try:
            return compile_template(text, limit)
        except ValueError as error:
            problem, _, hint = str(error).partition("\n")
            self.report.error(place.mark(), problem, hint)
            return _FALLBACK
