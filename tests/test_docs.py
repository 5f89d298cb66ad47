"""What users can meet is documented: undocumented means failing."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = (ROOT / "responder" / "REFERENCE.md").read_text()


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "deploy" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_make_docs_writes(reference: ModuleType) -> None:
    """Each setting needs words there, else it can't be written at all."""
    assert reference.write() == REFERENCE, "run: make docs"


def test_help_lists_commands_in_whole_sentences() -> None:
    """On a terminal of 80 columns none of them ends in dots."""
    import click

    from responder.cli import main

    def listings(command: click.Command, name: str) -> Iterator[str]:
        if isinstance(command, click.Group):
            yield command.get_help(click.Context(command, info_name=name, terminal_width=80)).partition("Commands:")[2]
            for inner in command.commands.values():
                yield from listings(inner, str(inner.name))

    assert not [line for text in listings(main, "responder") for line in text.splitlines() if line.endswith("...")]


def test_every_kind_of_event_is_documented() -> None:
    from responder.core.event import KINDS

    assert not [kind for kind in KINDS if f"| `{kind}` |" not in REFERENCE]


def test_every_kind_of_event_that_the_code_writes_is_known() -> None:
    """A kind that is spelt in a call and not in the table would be refused by no other test."""
    from responder.core.event import KINDS

    written = set()
    for file in (ROOT / "responder").rglob("*.py"):
        text = file.read_text()
        written |= set(re.findall(r'record\(desk, book, [\w.]+, "(\w+)"', text))
        written |= set(re.findall(r'Event\([^"()]*(?:\([^()]*\))?[^"()]*, "(\w+)", "(?:incident|problem)"', text))
    assert written
    assert not written - set(KINDS)


def test_every_metric_has_its_words(reference: ModuleType) -> None:
    names = reference.metric_names()
    assert len(names) > 50
    assert not [name for name, text in names.items() if not text or f"| `{name}` |" not in REFERENCE]


def test_every_command_says_what_it_does(reference: ModuleType) -> None:
    lines = [line for line in reference.commands() if line.startswith("| `responder ")]
    assert len(lines) > 20
    assert not [line for line in lines if line.split("|")[2].strip() == ""]


def test_every_pack_is_named_in_the_rules_readme() -> None:
    readme = (ROOT / "rules" / "README.md").read_text()
    assert not [pack.stem for pack in (ROOT / "rules").glob("*.yml") if pack.stem not in readme]


def test_the_labels_of_every_fact_are_those_of_its_series(reference: ModuleType) -> None:
    """What a house shows that has an open incident, holidays, objectives and availability."""
    from responder.core import gauges
    from tests.shop import HOUSE, Shop

    shop = Shop(
        house=HOUSE.replace("  always: {timezone: UTC", "  always: {holidays: ['2026-12-25'], timezone: UTC").replace(
            "warn_at: [50]", "objective: {response: 0.9}"
        )
    )
    shop.fire()
    shown = set(gauges.zeros(shop.book))
    for name, series in gauges.now(shop.book, shop.resident.incidents.values(), [], shop.now).items():
        shown |= {(name, labels) for labels in series}
    found = {(re.sub("_(count|sum)$", "", name), " ".join(label for label, _ in labels)) for name, labels in shown}
    assert found == set(reference.FACT_LABELS.items())
