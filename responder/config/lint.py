"""What is allowed and looks wrong all the same: warnings of ``responder check``."""

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Final

from responder.config.checking import Place
from responder.config.errors import Report
from responder.config.promql import filters, kept_labels
from responder.core.conditions.metric import meets
from responder.core.rule import EventOf, EventWhen, Match, MetricWhen, Rule, members

_LABEL: Final = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")


def lint_rules(rules: Mapping[str, tuple[Rule, Place]], report: Report) -> None:
    """Warn of rules that can never close, cost every signal, repeat each other, or split by what is not there."""
    same: dict[tuple[str | None, str, bool], str] = {}
    for rule, place in rules.values():
        when = place.at("when")
        for i, label in enumerate(rule.by):
            if not _LABEL.fullmatch(label):
                hint = "names are of letters, digits and _, unless the sender knows UTF-8 names"
                report.warn(place.mark("by", i), f'"{label}" is no usual name of a label', hint)
        if isinstance(rule.when, MetricWhen):
            _lint_metric(rule, rule.when, place, report)
        for event, where in _events(rule, when):
            if not rule.unclaimed and event.source is None and not _indexable(event.match):
                report.warn(
                    where.mark(),
                    f'rule "{rule.id}" is tried on every signal: no label of its match is compared for equality',
                    "add a label that is equal to something, such as alertname",
                )
        if isinstance(rule.when, EventWhen):
            of = rule.when.of
            first = same.setdefault((of.source, of.match.words, rule.unclaimed), rule.id)
            if first != rule.id:
                there = rules[first][1].mark()
                report.warn(
                    when.at("event").mark(),
                    f'rule "{rule.id}" has the same match as rule "{first}"',
                    f"it stands at {there}",
                )


def lint_deliveries(rules: Mapping[str, tuple[Rule, Place]], momentary: Collection[str], report: Report) -> None:
    """Warn of deliveries that are counted or awaited, and for each of which an incident opens beside that.

    A rule that looks at them as members takes none from the rules for what is unclaimed.
    """
    told: set[str | None] = set()
    heard = [(rule, rule.when.of) for rule, _ in rules.values() if isinstance(rule.when, EventWhen)]
    for rule, place in rules.values():
        if isinstance(rule.when, EventWhen):
            continue
        for event, where in _events(rule, place.at("when")):
            takers = [other for other, of in heard if other.mode != "observe" and _may_take(of, event)]
            opens = next((other.id for other in takers if other.incident is not None), None)
            if event.source in momentary and event.source not in told and opens and all(t.unclaimed for t in takers):
                told.add(event.source)
                report.warn(
                    where.at("source").mark(),
                    f'each delivery of "{event.source}" opens an incident of its own too, by rule "{opens}" or its like',
                    "take them with a rule without incident: "
                    f"{{id: of-{event.source}, by: [], when: {{event: {{source: {event.source}}}}}}}",
                )


def _may_take(of: EventOf, event: EventOf) -> bool:
    """Say whether a rule may hear what a member hears: it asks for the same source, or of all for no other label."""
    if of.source is not None:
        return of.source == event.source
    asked = {test.name for test in of.match.labels if test.equals and "" not in test.equals}
    return asked <= {test.name for test in event.match.labels}


def _lint_metric(rule: Rule, when: MetricWhen, place: Place, report: Report) -> None:
    if when.no_data == "keep" and when.read == "value" and filters(when.query):
        report.warn(
            place.mark("when", "metric", "no_data"),
            f'rule "{rule.id}" can never close: its query drops what does not compare, and no_data keeps what is dropped',
            "write no_data: close, or move the threshold from the query to open:",
        )
    both = _meets_both(when)
    if both is not None:
        report.warn(
            place.mark("when", "metric", "close"),
            f'rule "{rule.id}" opens and closes at the same value, such as {both:g}: it would do so again and again',
            "let close begin where open ends, or further away",
        )
    kept = kept_labels(when.query) if when.read == "value" else None
    for i, label in enumerate(rule.by if kept is not None else ()):
        if kept is not None and label not in kept:
            report.warn(
                place.mark("by", i),
                f'rule "{rule.id}": the query drops the label "{label}"',
                f"aggregate by ({', '.join(rule.by)})",
            )


def _meets_both(when: MetricWhen) -> float | None:
    """Return a value that meets both thresholds, if there is one: at a threshold, beside it or between two.

    Of thresholds that are whole numbers only whole values are tried: above 0 and below 1 of what is counted never meet.
    """
    bounds = [bound for bound in (when.open, when.close) if bound is not None]
    ends = sorted({end for bound in bounds for end in (bound.a, bound.b if bound.op == "outside" else bound.a)})
    whole = all(end.is_integer() for end in ends)
    between = [(low + high) // 2 if whole else (low + high) / 2 for low, high in pairwise(ends)]
    tried = sorted({*ends, *between, ends[0] - 1, ends[-1] + 1})
    return next((value for value in tried if len(bounds) > 1 and all(meets(bound, value) for bound in bounds)), None)


def _events(rule: Rule, when: Place) -> Iterator[tuple[EventOf, Place]]:
    """Yield what the rule waits for among alerts, and where that stands."""
    if isinstance(rule.when, EventWhen):
        yield rule.when.of, when.at("event")
    many = "steps" if rule.kind == "sequence" else "of"
    for i, member in enumerate(members(rule)):
        if member.event is not None:
            where = when.at(rule.kind, many)
            yield member.event, (where.at(i) if rule.kind in ("all", "sequence") else where).at("event")


def _indexable(match: Match) -> bool:
    """Say whether some label must have one of a few values, so that other alerts never ask the rule."""
    if any(test.equals for test in match.labels):
        return True
    return bool(match.any) and all(_indexable(inner) for inner in match.any)
