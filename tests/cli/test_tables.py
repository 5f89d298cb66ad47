"""Tables: aligned for every script, cut to the terminal, coloured only where it is wanted."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.cli.tables import Cell, clean, coloured, cut, table, width_of

TEXTS = st.text(max_size=30)


def test_columns_are_aligned_for_chinese_too() -> None:
    lines = table(["A", "B"], [["订单", "x"], ["ab", "y"]], None, colours=False)
    assert lines == ["A     B", "订单  x", "ab    y"]


def test_the_last_column_gives_way_to_the_width() -> None:
    lines = table(["ID", "TITLE"], [["INC-1", "orders stand still in the east"]], 20, colours=False)
    assert lines == ["ID     TITLE", "INC-1  orders stand…"]


def test_without_a_terminal_nothing_is_cut() -> None:
    assert table(["T"], [["x" * 500]], None, colours=False)[1] == "x" * 500


def test_colours_do_not_count_as_columns() -> None:
    plain = table(["A", "B"], [[Cell("P1", "red"), "x"]], None, colours=False)
    painted = table(["A", "B"], [[Cell("P1", "red"), "x"]], None, colours=True)
    assert "\x1b[31m" in painted[1]
    assert "\x1b" not in plain[1]


def test_colours_need_a_terminal_and_no_objection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured()
    monkeypatch.setenv("NO_COLOR", "")
    assert coloured()
    monkeypatch.setenv("TERM", "dumb")
    assert not coloured()


@given(TEXTS, st.integers(1, 20))
def test_a_cut_text_fits_its_width(text: str, width: int) -> None:
    assert width_of(cut(text, width)) <= width


@given(TEXTS)
def test_a_clean_text_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    assert clean(text).isprintable()


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5), st.integers(20, 80))
def test_no_line_is_wider_than_the_terminal_when_the_first_columns_leave_room(
    rows: list[tuple[str, str]], width: int
) -> None:
    short = [(first[:4], second) for first, second in rows]
    for line in table(["A", "B"], short, width, colours=False):
        assert width_of(line) <= max(width, 18)
