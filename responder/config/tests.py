"""The rule tests of the configuration; ``responder test`` runs them."""

from collections.abc import Iterator, Sequence
from typing import Any

from responder.config.checking import Place, check, shown
from responder.config.draft import Draft
from responder.config.rule_models import AlertForm, ExpectForm, TestForm
from responder.config.settings import Expectation, InputAlert, InputSeries, RuleTest


def compile_tests(draft: Draft) -> tuple[RuleTest, ...]:
    """Return the tests of all files in their order, each with the places of its parts."""
    for part in draft.many("tests"):
        if not isinstance(part.raw, list):
            draft.report.error(part.place.mark(), f"expected a list, found {shown(part.raw)}")
    tests = []
    first: dict[tuple[str, str], Place] = {}
    for raw, place in written_tests(draft):
        form = check(TestForm, raw, place, draft.report)
        if form is None:
            continue
        there = first.setdefault((place.document.file, form.name), place)
        if there is not place:
            hint = f"it stands at {there.mark('name')} already"
            draft.report.error(place.mark("name"), f'test "{form.name}" is defined twice', hint)
        tests.append(_test(form, place, draft))
    return tuple(tests)


def written_tests(draft: Draft) -> Iterator[tuple[Any, Place]]:
    """Yield what stands under ``tests:`` of all files, and where."""
    for part in draft.many("tests"):
        if isinstance(part.raw, list):
            yield from ((raw, part.place.at(i)) for i, raw in enumerate(part.raw))


def _test(form: TestForm, place: Place, draft: Draft) -> RuleTest:
    for i, rule in enumerate(form.rules):
        draft.refer("rules", rule, place.at("rules", i))
    return RuleTest(
        form.name,
        tuple(form.rules),
        form.start,
        tuple(InputSeries(series.series, series.interval, series.values) for series in form.input_series),
        tuple(_alert(alert) for alert in form.input_alerts),
        tuple(_expect(expect, place.at("expect", i), draft) for i, expect in enumerate(form.expect)),
        str(place.mark()),
    )


def _alert(form: AlertForm) -> InputAlert:
    return InputAlert(form.at, dict(form.labels), dict(form.annotations), form.source, form.for_)


def _expect(form: ExpectForm, place: Place, draft: Draft) -> Expectation:
    if form.incidents is None and form.problems is None and form.notifications is None:
        draft.report.error(place.mark(), "nothing is expected", "give incidents, problems or notifications; [] is none")
    return Expectation(
        form.eval_time, _things(form.incidents), _things(form.problems), _things(form.notifications), str(place.mark())
    )


def _things(things: Sequence[dict[str, Any]] | None) -> tuple[dict[str, Any], ...] | None:
    return None if things is None else tuple(things)
