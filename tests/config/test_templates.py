import json
import re
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.config import templates
from responder.config.templates import compile_template
from responder.core.instant import parse_instant
from responder.core.rule import TemplateError
from responder.core.signal import MINUTE

START = parse_instant("2026-01-05T00:00:00Z")
CONTEXT: dict[str, Any] = {
    "key": {"region": "eu", "a.b": "dot"},
    "labels": {
        "alertname": "DiskFull",
        "path": r"C:\x",
        "braces": "{{ value }}{% if",
        "items": "I",
        "big": "z" * 10_000,
    },
    "annotations": {"summary": "full"},
    "value": 742.0,
    "count": 20,
    "steps": {"release": START, "stall": START + MINUTE},
}


def fill(text: str, **context: Any) -> str:
    return compile_template(text)({**CONTEXT, **context})


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain text", "plain text"),
        ("Orders in {{ key.region }} wait {{ value | duration }}", "Orders in eu wait 12m22s"),
        ('{{ key["a.b"] }}{{labels.alertname}}', "dotDiskFull"),
        ("{{ labels.path }} {{ labels.braces }}", r"C:\x {{ value }}{% if"),
        ("{{ labels.items }} {{ labels.keys }}.", "I ."),
        ("{{ value }} {{ count }}", "742 20"),
        (
            "{{ labels.none }}|{{ labels.none | default('d') }}|{{ labels.none or 'e' }}|{{ labels.none == '' }}",
            "|d|e|True",
        ),
        ("{% for step in steps %}{{ loop.index }}:{{ step }} {% endfor %}", "1:release 2:stall "),
        ("{{ steps.release }}", "2026-01-05T00:00:00Z"),
        ("{{ steps }}", "release=2026-01-05T00:00:00Z, stall=2026-01-05T00:01:00Z"),
        ("{{ steps.none }}|{{ steps.stall.at }}|{{ steps.none | default('never') }}", "||never"),
        ("{{ key }}, {{ annotations }}", "region=eu, a.b=dot, summary=full"),
        ("{% if value > 700 %}high{% else %}low{% endif %}", "high"),
        ("{{ value * 2 + 1 }}", "1485"),
        ("{{ 'x' ~ labels.alertname | upper }}", "xDISKFULL"),
        ("{{ labels | length }} {{ key | join(',') }}", "5 region,a.b"),
        ("{% raw %}{{ key }}{% endraw %}", "{{ key }}"),
        ("two\nlines\n", "two\nlines"),
    ],
)
def test_templates_fill_in(text: str, filled: str):
    assert fill(text) == filled


@pytest.mark.parametrize(
    "text", ["{{ value }}", "{{ value | duration }}", "{{ value | bytes }}", "{{ (value) | percent }}", "{{ (value) }}"]
)
def test_a_value_that_is_none_prints_no_data(text: str):
    assert fill(text, value=None) == "no data"


@pytest.mark.parametrize(
    ("filter", "value", "shown"),
    [
        ("duration", 0, "0s"), ("duration", 0.25, "250ms"), ("duration", 0.9999, "1s"), ("duration", 5400, "1h30m"),
        ("duration", -90, "-1m30s"), ("duration", float("nan"), "NaN"), ("duration", float("inf"), "+Inf"),
        ("duration", "90", "1m30s"), ("duration", "soon", "soon"), ("bytes", 0, "0 B"), ("bytes", 1536, "1.5 KiB"),
        ("bytes", 3 * 2**30, "3 GiB"), ("percent", 0.953, "95.3%"), ("percent", 36, "3600%"), ("percent", "x", "x"),
    ],
)  # fmt: skip
def test_filters_show_numbers_as_people_say_them(filter: str, value: object, shown: str):
    assert fill("{{ value | " + filter + " }}", value=value) == shown
    assert fill("{{ (value) | " + filter + " }}", value=value) == shown  # the long way through Jinja


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (5.0, "5"),
        (0.1 + 0.2, "0.3"),
        (1234567.8, "1234568"),
        (1e-7, "1e-07"),
        (1e300, "1e+300"),
        (float("-inf"), "-Inf"),
    ],
)
def test_numbers_are_short(number: float, shown: str):
    assert fill("{{ value }}", value=number) == shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ vlaue }}", 'unknown name "vlaue" in the template\ndid you mean "value"?'),
        (
            "{{ self }}",
            'unknown name "self" in the template\nknown names: annotations, count, key, labels, steps, value',
        ),
        ("{{ range(10) }}", "call is not allowed in a template"),
        ("{{ labels.items() }}", "call is not allowed in a template"),
        ("{{ value | shell }}", 'unknown filter "shell" in the template'),
        ("{% if value is evil %}{% endif %}", 'unknown test "evil" in the template'),
        ("{% set x = 1 %}", "assign is not allowed in a template"),
        ("{% include 'x' %}", "include is not allowed in a template"),
        ("{% macro x() %}{% endmacro %}", "macro is not allowed in a template"),
        ("{{ 10 ** 10 }}", "pow is not allowed in a template"),
        ("{% for a in labels %}{% for b in labels %}{% endfor %}{% endfor %}", "a loop inside a loop"),
        ("{{ value ", "the template is broken: unexpected end of template"),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "nested too deeply"),
        ("{{ " + "+".join("1" * 1000) + " }}", "nested too deeply"),
        ("{{ value }}" + "x" * 9000, "longer than 8192 characters"),
    ],
)
def test_what_can_never_be_filled_or_is_not_bounded_is_refused(text: str, said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        compile_template(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' * 1000000000 }}",
        "{{ '%1000000000s' % 1 }}",
        "{{ 1 / 0 }}",
        "{{ labels.big | replace('z', labels.big) }}",
        "{% for c in labels.big %}{{ c }}{% endfor %}",
        "{{ value + labels.path }}",
        "{{ labels + 1 }}",
    ],
)
def test_what_goes_wrong_while_filling_harms_only_itself(text: str):
    with pytest.raises(TemplateError):
        fill(text)


def test_what_is_too_long_is_cut():
    assert fill("{{ labels.big }}") == "z" * (templates.SHORT - 1) + "…"
    assert len(fill("{{ labels.big ~ labels.big }}")) == templates.SHORT
    assert len(compile_template("{{ labels.big ~ labels.big }}", templates.LONG)(CONTEXT)) == templates.LONG


@pytest.mark.parametrize(
    "text", ["{{ ''.__class__.__mro__ }}", "{{ labels.__class__.__init__.__globals__ }}", "{{ value.__class__ }}"]
)
def test_nothing_but_data_can_be_reached(text: str):
    assert fill(text) == ""


def test_equal_texts_share_one_template():
    assert compile_template("{{ key.region }}!") is compile_template("{{ key.region }}!")


_labels = st.dictionaries(st.sampled_from(["a", "b", "items", "x_1"]), st.text(max_size=20), max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(alphabet=string.ascii_letters + " {}%#'\n", max_size=6)
        | st.sampled_from(
            [
                "{{ key.a }}",
                "{{labels.items}}",
                '{{ annotations["b"] }}',
                "{{ value }}",
                "{{ value|percent }}",
                "{{ count }}",
                "{{ key.x_1 | duration }}",
            ]
        ),
        max_size=6,
    ),
    _labels,
    st.none() | st.floats() | st.integers(),
)
def test_the_short_way_and_jinja_fill_alike(parts: list[str], labels: dict[str, str], value: Any):
    text = "".join(parts)
    context = {"key": labels, "labels": labels, "annotations": labels, "value": value, "count": value}
    try:
        short = compile_template(text)(context)
        template = templates._parse(text.removesuffix("\n"))
    except ValueError:
        return
    assert template is not None
    assert short == templates._Lazy(text.removesuffix("\n"), templates.SHORT)(context)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="{}%#| labeskyvu.[]()'\"x1+*-~\n", max_size=40), _labels)
def test_any_template_is_refused_or_filled_or_fails_as_a_template(text: str, labels: dict[str, str]):
    try:
        compile_template(text)({"key": labels, "labels": labels, "annotations": labels})
    except (ValueError, TemplateError) as error:
        assert json.dumps(str(error))
