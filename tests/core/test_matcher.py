import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.core import matcher as m
from responder.core.rule import Holds


def compile_regex(pattern: str) -> Holds:
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"refused: {error}") from None
    return lambda value: compiled.fullmatch(value) is not None


def parts(text: str) -> tuple[str, str, str]:
    found = m.parse_matcher(text, compile_regex)
    return found.name, found.op, found.value


@pytest.mark.parametrize(
    ("text", "name", "op", "value"),
    [
        ("a=b", "a", "=", "b"),
        (' a = "b" ', "a", "=", "b"),
        ('a=~"x|y.*"', "a", "=~", "x|y.*"),
        ("a!~b", "a", "!~", "b"),
        ("a!=", "a", "!=", ""),
        ("a==b", "a", "=", "=b"),
        ("a=b c", "a", "=", "b c"),
        ("a='b'", "a", "=", "'b'"),
        ("a=b}", "a", "=", "b}"),
        ("a=b,c=d", "a", "=", "b,c=d"),
        (r'a="x\"y\\\n"', "a", "=", 'x"y\\\n'),
        (r'a="\t"', "a", "=", r"\t"),  # both notations can read it: the classic reading stands
        ("a=x\\", "a", "=", "x\\"),
        ('"a b"="c"', "a b", "=", "c"),
        (r'"\u00e9\x41\101"=x', "éAA", "=", "x"),
        ("é=b", "é", "=", "b"),
    ],
)
def test_a_single_matcher_is_read_as_alertmanager_reads_its_filter(text: str, name: str, op: str, value: str):
    assert parts(text) == (name, op, value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "bad matcher format: "),
        ("a", "bad matcher format: a"),
        ("=b", "bad matcher format: =b"),
        ("a b=c", "bad matcher format: a b=c"),
        ('a="b', 'matcher value contains unescaped double quote: "b'),
        ('a=b"', 'matcher value contains unescaped double quote: b"'),
        ("{a=b}", "bad matcher format: {a=b}"),
        ('a=~"("', "refused: missing ), unterminated subpattern at position 0"),
    ],
)
def test_what_is_no_matcher_is_refused_in_alertmanagers_words(text: str, said: str):
    with pytest.raises(ValueError, match=re.escape(said) + "$"):
        m.parse_matcher(text, compile_regex)


def test_a_selector_takes_every_quote_of_promql():
    found = m.parse_selector("""{a="b", c='d', e=~`f\\d`, "g h"!="i",}""", compile_regex)
    assert [(one.name, one.op, one.value) for one in found] == [
        ("a", "=", "b"), ("c", "=", "d"), ("e", "=~", "f\\d"), ("g h", "!=", "i"),
    ]  # fmt: skip


def test_a_colon_is_part_of_a_name():
    [found] = m.parse_selector('{a:="b"}', compile_regex)
    assert (found.name, found.op) == ("a:", "=")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('up{a="b"}', "stands in braces"),
        ("{a=b}", "at character 4: expected a quoted value after a="),
        ('{a="b" c="d"}', "at character 8: expected a comma or a closing brace"),
        ('{a="b"', "at character 7: expected a comma or a closing brace"),
        ('{a="b"} x', "at character 9: unexpected 'x'"),
        ('{a "b"}', "at character 4: expected one of = != =~ !~ after 'a'"),
        (r'{a="\q"}', r"\\q is not an escape"),
        (r'{a="\xff"}', "not UTF-8"),
        (r'{a="\U00110000"}', "no character"),
    ],
)
def test_what_is_no_selector_is_refused_with_the_character(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        m.parse_selector(text, compile_regex)


@pytest.mark.parametrize(
    ("op", "value", "holds", "fails"),
    [
        ("=", "x", ["x"], ["", "xx"]),
        ("!=", "x", ["", "xx"], ["x"]),
        ("=~", "x|y", ["x", "y"], ["", "xy"]),
        ("=~", "x.*", ["x", "xyz", "x\ny"], ["", "yx"]),
        ("!~", "x.*", ["", "yx"], ["x", "xyz"]),
        ("=~", "", [""], ["x"]),
        ("=", "", [""], ["x"]),
    ],
)
def test_matchers_hold_for_the_whole_value(op: str, value: str, holds: list[str], fails: list[str]):
    one = m.matcher("a", op, value, compile_regex)
    assert all(one.holds(text) for text in holds)
    assert not any(one.holds(text) for text in fails)


@pytest.mark.parametrize(
    ("op", "value", "equals"),
    [
        ("=", "x", ("x",)),
        ("=", "", ()),  # a missing label is the empty string: nothing to look up
        ("=~", "x|y|x", ("x", "y")),
        ("=~", r"a\.b|c", ("a.b", "c")),
        ("=~", "x", ("x",)),
        ("=~", "x|", ()),
        ("=~", "(x|y)", ()),
        ("=~", "x.*", ()),
        ("!=", "x", ()),
        ("!~", "x|y", ()),
    ],
)
def test_a_test_knows_the_only_values_that_can_hold(op: str, value: str, equals: tuple[str, ...]):
    assert m.as_test(m.matcher("a", op, value, compile_regex)).equals == equals


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_the_regex_of_values_matches_these_and_is_read_back(values: list[str]):
    regex = m.regex_of(tuple(values))
    assert m.alternatives(regex) == tuple(values)
    assert all(re.compile(regex).fullmatch(value) for value in values)


@given(st.text(min_size=1), st.sampled_from(["=", "!=", "=~", "!~"]), st.text())
def test_the_text_of_a_matcher_gives_the_matcher_again(name: str, op: str, value: str):
    one = m.matcher(name, op, m.regex_of((value,)), compile_regex)
    [again] = m.parse_selector("{" + str(one) + "}", compile_regex)
    assert (again.name, again.op, again.value) == (one.name, one.op, one.value)


@given(st.text(alphabet="ab=!~\"'`\\{},. \n"))
def test_any_text_is_read_or_refused(text: str):
    for read in (m.parse_matcher, m.parse_selector):
        try:
            read(text, compile_regex)
        except ValueError as error:
            assert str(error)
