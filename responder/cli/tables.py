"""Tables for people: aligned, cut to the width of the terminal, coloured only where somebody looks."""

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import Final

import click
from msgspec import Struct

GAP: Final = "  "


class Cell(Struct, frozen=True):
    """A text with a colour of :func:`click.style`."""

    text: str
    colour: str | None = None
    bold: bool = False


def clean(text: str) -> str:
    """Return the text on one line and without what a terminal would obey."""
    return "".join(char if char.isprintable() else " " if char in "\n\r\t" else "\ufffd" for char in text)


def width_of(text: str) -> int:
    """Return how many columns a text takes: Chinese takes two a character, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def cut(text: str, width: int) -> str:
    """Return the text in at most *width* columns, with an ellipsis where something is missing."""
    if width_of(text) <= width:
        return text
    kept, room = "", width - 1
    for char in text:
        room -= width_of(char)
        if room < 0:
            break
        kept += char
    return kept + "…" if width > 0 else ""


def table(
    headers: Sequence[str], rows: Sequence[Sequence[Cell | str]], width: int | None, *, colours: bool
) -> list[str]:
    """Return the lines of a table; the last column gives way when the width does not suffice.

    Args:
        width: In columns; None: nothing is cut.
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    cells = [[Cell(clean(cell.text), cell.colour, cell.bold) for cell in row] for row in cells]
    head = [Cell(name, bold=True) for name in headers]
    widths = [max(width_of(row[n].text) for row in (head, *cells)) for n in range(len(headers))]
    if width is not None:
        taken = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
        widths[-1] = max(min(widths[-1], width - taken), 8)
    return [_line(row, widths, colours) for row in (head, *cells)]


def show(headers: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> None:
    """Print a table for whoever reads standard output."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    for line in table(headers, rows, width, colours=coloured()):
        click.echo(line, color=True)


def paint(cell: Cell) -> str:
    """Return the text of a cell, coloured if somebody looks."""
    return _paint(clean(cell.text), cell, coloured())


def coloured() -> bool:
    """Say whether standard output takes colours. Source: https://no-color.org"""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _line(row: Sequence[Cell], widths: Sequence[int], colours: bool) -> str:
    parts = []
    for cell, width in zip(row, widths, strict=True):
        text = cut(cell.text, width)
        parts.append(_paint(text, cell, colours) + " " * (width - width_of(text)))
    return GAP.join(parts).rstrip()


def _paint(text: str, cell: Cell, colours: bool) -> str:
    return click.style(text, fg=cell.colour, bold=cell.bold or None) if colours and (cell.colour or cell.bold) else text
