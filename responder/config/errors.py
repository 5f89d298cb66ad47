"""Mistakes of a configuration: where, what, and the way out."""

import difflib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct


class Mark(Struct, frozen=True):
    """A place in a file; lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ConfigError(Exception):
    """One mistake; its text is ``file:line:column: what is wrong`` and, if there is a way out, a hint."""

    def __init__(self, mark: Mark, problem: str, hint: str = "") -> None:
        super().__init__(f"{mark}: {problem}" + (f"\n  hint: {hint}" if hint else ""))
        self.mark, self.problem, self.hint = mark, problem, hint


class Report:
    """Collects what is wrong (errors) and what looks wrong (warnings), so that all is told at once."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []
        self.warnings: list[ConfigError] = []
        self._veiled: set[Mark] = set()

    def error(self, mark: Mark, problem: str, hint: str = "") -> None:
        if mark not in self._veiled:
            self.errors.append(ConfigError(mark, problem, hint))

    def warn(self, mark: Mark, problem: str, hint: str = "") -> None:
        if mark not in self._veiled:
            self.warnings.append(ConfigError(mark, problem, hint))

    @contextmanager
    def entry(self) -> Iterator[None]:
        """Take the mistakes of one entry; of one that has errors no warnings, which would follow from these."""
        errors, warnings = len(self.errors), len(self.warnings)
        yield
        if len(self.errors) > errors:
            del self.warnings[warnings:]

    def veil(self, marks: Iterable[Mark]) -> None:
        """Take nothing more for these places: what is found there follows from a mistake that was told."""
        self._veiled.update(marks)


def did_you_mean(word: str, known: Collection[str], words: str) -> str:
    """Return a hint: the nearest known word, or all of them after *words* (``known keys``)."""
    near = nearest(word, known)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"{words}: " + ", ".join(sorted(known)) if known else f"{words}: none"


def nearest(word: str, known: Collection[str]) -> list[str]:
    """Return the known word that *word* was meant to be, if one is near."""
    return difflib.get_close_matches(word, known, n=1)
