"""``responder test``: the rule tests of a configuration, on the daemon's handlers and a virtual clock (SPEC 3.2).

A series of a test stands for what the query of its rule returns, so nothing here knows PromQL:
each metric rule is evaluated at the multiples of its interval, as the poller does it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import groupby
from time import perf_counter
from typing import Any, Final, Literal, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Struct

from responder.config.checking import Place, attempt
from responder.config.errors import Report, did_you_mean
from responder.config.settings import RESERVED_SOURCES, Expectation, InputAlert, InputSeries, RuleTest, Settings
from responder.core.book import QueryKey
from responder.core.instant import format_instant, format_span, parse_instant, parse_span
from responder.core.matcher import Misread
from responder.core.outbox import Kind, Message
from responder.core.rule import MetricWhen, Rule, members
from responder.core.signal import Instant, Signal, identity
from responder.handlers.signals import MetricPolled, Pushed
from responder.house import book_of
from responder.notation import Series, parse_labels, parse_series, parse_values
from responder.rehearsal import Rehearsal
from responder.web import views
from responder.web.shapes import ClockShape, IncidentShape, ProblemShape

PUSHED_BY: Final = "am-api"
"""The source of alerts that name none."""
Thing: TypeAlias = Mapping[str, Any]
Section: TypeAlias = Literal["incidents", "problems", "notifications"]
_CLOCKS: Final = {
    f"{which}_{part}": (which, name)
    for which in ("response", "resolution")
    for part, name in (("due", "due_at"), ("breached", "breached_at"), ("state", "state"))
}
"""``response_due`` is ``sla: {response: {due_at}}``."""
_FIELDS: Final[Mapping[Section, Mapping[str, Any]]] = {
    "incidents": IncidentShape.__annotations__
    | {name: ClockShape.__annotations__[part] for name, (_, part) in _CLOCKS.items()},
    "problems": ProblemShape.__annotations__,
    "notifications": dict.fromkeys(("channel", "at", "title", "text", "subject", "incident", "problem", "more"), Any)
    | {"event": Kind},
}
"""What may be expected, and of what type it is."""
_NAMING: Final[Mapping[Section, tuple[str, ...]]] = {
    "incidents": ("rule", "key", "state", "priority", "service", "title"),
    "problems": ("id", "origin", "state", "service", "incidents"),
    "notifications": ("channel", "event", "at", "title"),
}
"""What is shown of a thing that nobody expected."""


class Difference(Struct, frozen=True):
    """Something that is not as expected; None: there is no such thing."""

    exp: str | None
    got: str | None


class Miss(Struct, frozen=True):
    """An expectation that did not hold."""

    words: str
    """At what instant, of what."""
    place: str
    differences: tuple[Difference, ...] = ()


class Outcome(Struct, frozen=True):
    """What came of one test."""

    test: RuleTest
    misses: tuple[Miss, ...]
    seconds: float

    @property
    def good(self) -> bool:
        return not self.misses


def run(settings: Settings, tests: Iterable[RuleTest]) -> Iterator[Outcome]:
    """Run tests that have no :func:`mistakes` one after the other, each with an empty store."""
    for test in tests:
        began = perf_counter()
        misses = tuple(_misses(settings, test))
        yield Outcome(test, misses, perf_counter() - began)


def _misses(settings: Settings, test: RuleTest) -> Iterator[Miss]:
    rules = _rules(settings, test)
    sent: list[Thing] = []
    rehearsal: Rehearsal

    def deliver(message: Message) -> None:
        body = msgspec.json.decode(message.body)
        about = {"channel": message.channel, "title": message.title, "text": message.text}
        sent.append({**body, **about, "at": format_instant(rehearsal.now)})

    told = any(expect.notifications is not None for expect in test.expect)
    book = book_of(msgspec.structs.replace(settings, rules=tuple(rules)))
    rehearsal = Rehearsal(book, test.start, deliver=deliver if told else None)
    steps = _Ahead(_steps(settings, test, rules))
    for expect in sorted(test.expect, key=lambda expect: expect.eval_time):
        at = test.start + expect.eval_time
        for instant, item in steps.until(at):
            rehearsal.at(instant, item)
        rehearsal.advance(at)
        yield from _judge(expect, test, _found(rehearsal, test, sent))


# What is wrong with a test before it runs


def mistakes(settings: Settings, places: Iterable[Place]) -> Report:
    """Return what is wrong with the tests of a configuration; *places* are where they stand, in their order."""
    report = Report()
    for test, place in zip(settings.tests, places, strict=True):
        rules = _rules(settings, test)
        metric = [rule.id for rule in rules if isinstance(rule.when, MetricWhen)]
        for i, series in enumerate(test.series):
            _check_series(series, metric, place.at("input_series", i), report)
        for i, alert in enumerate(test.alerts):
            _check_alert(alert, settings, place.at("input_alerts", i), report)
        for i, expect in enumerate(test.expect):
            for section, things in _sections(expect):
                for j, thing in enumerate(things or ()):
                    _check_thing(section, thing, settings, place.at("expect", i, section, j), report)
    return report


def _check_series(given: InputSeries, metric: Collection[str], place: Place, report: Report) -> None:
    try:
        rule, _ = parse_labels(given.series)
        if rule not in metric:
            hint = did_you_mean(rule, metric, "metric rules of this test")
            report.error(place.mark("series"), f'there is no metric rule "{rule}" in this test', hint)
    except Misread as error:
        report.error(place.at("series").inside(error.offset), str(error))
    except ValueError as error:
        report.error(place.mark("series"), str(error))
    attempt(parse_values, given.values, lambda: place.mark("values"), report)


def _check_alert(given: InputAlert, settings: Settings, place: Place, report: Report) -> None:
    known = [*settings.sources, *RESERVED_SOURCES]
    if given.source is not None and given.source not in known:
        hint = did_you_mean(given.source, known, "sources")
        report.error(place.mark("source"), f'there is no source "{given.source}"', hint)
    if given.hold is not None and _is_momentary(settings, given.source or PUSHED_BY):
        problem = f'the source "{given.source}" maps no status: its occurrences are over at once'
        report.error(place.mark("for"), problem)
    if not any(given.labels.values()):
        report.error(place.mark("labels"), "an alert has at least one label")


def _check_thing(section: Section, thing: Thing, settings: Settings, place: Place, report: Report) -> None:
    fields = _FIELDS[section]
    for name, value in thing.items():
        if name not in fields:
            report.error(place.key(name), f'unknown field "{name}"', did_you_mean(name, fields, "known fields"))
        elif isinstance(value, str):
            known = [rule.id for rule in settings.rules] if name == "rule" else _choices(fields[name])
            if known and value not in known:
                hint = did_you_mean(value, known, "rules" if name == "rule" else "one of")
                report.error(place.mark(name), f'"{value}" is not known here', hint)


def _choices(annotation: Any) -> list[str]:
    """Return the values that a field may have, if they are few."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [choice for inner in get_args(annotation) if inner is not None for choice in _choices(inner)]


def _sections(expect: Expectation) -> Iterator[tuple[Section, tuple[Thing, ...] | None]]:
    yield "incidents", expect.incidents
    yield "problems", expect.problems
    yield "notifications", expect.notifications


# What happens


def _rules(settings: Settings, test: RuleTest) -> list[Rule]:
    """Return the rules that a test names and those that feed them, each with a query of its own."""
    known = {rule.id: rule for rule in settings.rules}
    wanted = list(test.rules or known)
    for id in wanted:
        wanted += [member.rule for member in members(known[id]) if member.rule and member.rule not in wanted]
    return [_asking_alone(rule) for id, rule in known.items() if id in wanted]


def _asking_alone(rule: Rule) -> Rule:
    """Rules may share a query; the series of a test belong to one."""
    if not isinstance(rule.when, MetricWhen):
        return rule
    return msgspec.structs.replace(rule, when=msgspec.structs.replace(rule.when, query=rule.id))


Step: TypeAlias = tuple[Instant, Any]
"""When something is to be handled, and what."""


class _Ahead:
    """Steps in their order, taken bit by bit."""

    def __init__(self, steps: Iterator[Step]) -> None:
        self._steps, self._next = steps, next(steps, None)

    def until(self, at: Instant) -> Iterator[Step]:
        """Yield what happens until *at*, that instant included."""
        while self._next is not None and self._next[0] <= at:
            yield self._next
            self._next = next(self._steps, None)


def _steps(settings: Settings, test: RuleTest, rules: Sequence[Rule]) -> Iterator[Step]:
    """Return all that happens, by time; of one instant, alerts end first, others begin, then rules are evaluated."""
    by_rule: dict[str, list[Series]] = {rule.id: [] for rule in rules if isinstance(rule.when, MetricWhen)}
    for given in test.series:
        series = parse_series(given.series, given.interval, given.values)
        by_rule[series.rule].append(series)
    evaluations = [_evaluations(rule, by_rule[rule.id], test.start) for rule in rules if rule.id in by_rule]
    return merge(_alerts(settings, test), *evaluations, key=lambda step: step[0])


def _alerts(settings: Settings, test: RuleTest) -> Iterator[Step]:
    found: list[tuple[Instant, bool, str, Signal]] = []
    for number, given in enumerate(test.alerts):
        source = given.source or PUSHED_BY
        momentary = _is_momentary(settings, source)
        begins = test.start + given.at
        signal = _signal(given, source, begins, f"test:{number}" if momentary else "")
        found.append((begins, True, source, signal))
        if given.hold is not None:
            ends = begins + given.hold
            found.append((ends, False, source, msgspec.structs.replace(signal, firing=False, ends_at=ends)))
    found.sort(key=lambda entry: entry[:2])
    for (at, _, source), batch in groupby(found, key=lambda entry: entry[:3]):
        yield at, Pushed(source, [entry[3] for entry in batch])


def _signal(given: InputAlert, source: str, at: Instant, dedup: str) -> Signal:
    labels = {name: value for name, value in given.labels.items() if value}
    return Signal(
        source, identity(labels), labels, given.annotations, True, at, momentary=bool(dedup), dedup=dedup
    )  # fmt: skip


def _is_momentary(settings: Settings, source: str) -> bool:
    """Say whether a source tells of occurrences only, never of an end: a webhook without a mapped status."""
    mapped = getattr(settings.sources.get(source), "map", None)
    return mapped is not None and getattr(mapped, "status", None) is None


def _evaluations(rule: Rule, series: Sequence[Series], start: Instant) -> Iterator[Step]:
    when = rule.when
    assert isinstance(when, MetricWhen)
    query = QueryKey(when.source, when.query, when.every, when.read, when.over)
    at, last_at = -(-start // when.every) * when.every, None
    while True:
        samples = [sample for one in series if (sample := one.sample(at - start)) is not None]
        yield at, MetricPolled(when.source, query, at, samples, last_at)
        at, last_at = at + when.every, at


# What came of it


def _found(rehearsal: Rehearsal, test: RuleTest, sent: list[Thing]) -> Mapping[Section, Any]:
    """Return how to get what there is now; of the rules that the test names, if it does."""
    return {
        "incidents": lambda: [*_incidents(rehearsal, test.rules)],
        "problems": lambda: [views.problem(row) for row in rehearsal.problems()],
        "notifications": lambda: list(sent),
    }


def _incidents(rehearsal: Rehearsal, rules: Sequence[str]) -> Iterator[Thing]:
    book, reader = rehearsal.book, rehearsal.reader
    for row in rehearsal.incidents():
        if rules and row.rule not in rules:
            continue
        alerts = reader.alerts_of(row.id, None)
        shown: Any = views.incident(row, alerts, len(alerts), book.terms(row.service), rehearsal.now)
        yield shown | {name: shown["sla"][which][part] for name, (which, part) in _CLOCKS.items()}


def _judge(expect: Expectation, test: RuleTest, found: Mapping[Section, Any]) -> Iterator[Miss]:
    for section, expected in _sections(expect):
        if expected is None:
            continue
        words = f"at {format_span(expect.eval_time)}, {section}"
        differences = _differences(section, expected, found[section](), test.start)
        if differences:
            yield Miss(words, expect.place, tuple(differences))


def _differences(
    section: Section, expected: Sequence[Thing], found: Sequence[Thing], start: Instant
) -> list[Difference]:
    """Compare two sets; what is left over on both sides is paired by likeness, so that it can be read."""
    pairs = _pairs(expected, found, start)
    missing = [thing for number, thing in enumerate(expected) if number not in pairs]
    surplus = [thing for number, thing in enumerate(found) if number not in pairs.values()]
    differences = []
    for thing in missing:
        near = max(surplus, key=lambda other: _likeness(thing, other, start), default=None)
        got = None
        if near is not None:
            surplus = [other for other in surplus if other is not near]
            got = _shown({name: _as_said(near.get(name), value, start) for name, value in thing.items()})
        differences.append(Difference(_shown(thing), got))
    return differences + [
        Difference(None, _shown({name: thing[name] for name in _NAMING[section]})) for thing in surplus
    ]


def _pairs(expected: Sequence[Thing], found: Sequence[Thing], start: Instant) -> dict[int, int]:
    """Return which expected thing is which found one, as many as can be (augmenting paths)."""
    fits = [[j for j, thing in enumerate(found) if _same(wanted, thing, start)] for wanted in expected]
    owner: dict[int, int] = {}

    def place(i: int, seen: set[int]) -> bool:
        for j in fits[i]:
            if j not in seen:
                seen.add(j)
                if j not in owner or place(owner[j], seen):
                    owner[j] = i
                    return True
        return False

    for i in range(len(expected)):
        place(i, set())
    return {i: j for j, i in owner.items()}


def _likeness(expected: Thing, found: Thing, start: Instant) -> int:
    return sum(_same(value, found.get(name), start) for name, value in expected.items())


def _same(expected: Any, found: Any, start: Instant) -> bool:
    """Compare a value as written with what there is: mappings by the names given, all else whole."""
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(_same(v, found.get(name), start) for name, v in expected.items())
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return isinstance(found, Sequence) and len(expected) == len(found) and all(
            _same(e, f, start) for e, f in zip(expected, found, strict=True)
        )  # fmt: skip
    return _text(expected) == _text(_as_said(found, expected, start))


def _as_said(found: Any, expected: Any, start: Instant) -> Any:
    """Return what there is in the form in which it was expected: instants as durations, numbers as text."""
    if not isinstance(expected, str):
        if isinstance(expected, Mapping) and isinstance(found, Mapping):
            return {name: _as_said(found.get(name), value, start) for name, value in expected.items()}
        return found
    if isinstance(found, str):
        try:
            wanted, passed = parse_span(expected), parse_instant(found) - start
        except ValueError:
            return found
        return expected if passed == wanted else _span(passed)
    if isinstance(found, float | int) and not isinstance(found, bool):
        try:
            return expected if float(expected) == found else found
        except ValueError:
            return found
    return found


def _span(passed: int) -> str:
    """Return a span with its milliseconds, if it has such."""
    rest = abs(passed) // 1000 % 1000
    return format_span(passed - passed % 1_000_000) + (f"{rest}ms" if rest else "")


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _shown(value: Any) -> str:
    """Return a value as one would write it in the test."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_shown(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_shown, value)) + "]"
    text = _text(value)
    plain = (
        text and text.isprintable() and text == text.strip() and not set(text) & set("{}[],#\"'") and ": " not in text
    )
    return text if plain else "null" if value is None else msgspec.json.encode(text).decode()
