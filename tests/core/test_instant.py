"""Instants as people and senders write them."""

import pytest

from responder.core.instant import EARLIEST, format_instant, parse_instant


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-01-05T00:00:00Z", "2026-01-05T00:00:00Z"),
        ("2026-01-05t00:00:00z", "2026-01-05T00:00:00Z"),
        ("2026-01-05 08:00:00+08:00", "2026-01-05T00:00:00Z"),
        ("2026-01-05T00:00:00.123456789-00:30", "2026-01-05T00:30:00.123456Z"),
        ("2026-01-05T00:00:00.5+0000", "2026-01-05T00:00:00.500000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_an_instant_is_read_with_its_offset(text: str, same: str) -> None:
    assert format_instant(parse_instant(text)) == same


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-01-05", "2026-W02-1T00:00:00Z", "2026-005T00:00:00Z", "20260105T000000+00:00", "2026-01-05T00:00:00",
        "2026-01-05T00:00+01:00", "2026-01-05T00:00:00+25:00", "2026-01-05T00:00:00+01:00:30", "2026-01-05T00:00:60Z",
        "2026-02-30T00:00:00Z", "2026-01-05T00:00:00Z ", "２０２６-01-05T00:00:00Z", "10000-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_words_of_ours(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_instant(text)
    assert "timedelta" not in str(refused.value)


def test_the_ends_of_time_do_not_overflow() -> None:
    assert parse_instant("0001-01-01T00:00:00+14:00") <= EARLIEST
    assert format_instant(parse_instant("9999-12-31T23:59:59.999999999-14:00")) == "9999-12-31T23:59:59Z"
