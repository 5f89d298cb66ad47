"""Random rules, rules that refer to rules, and random histories: the product and a naive model tell the same incidents.

Spans are whole minutes, so that ends of windows and observations fall together as often as not.
"""

import json
from random import Random
from typing import Any

import pytest

from responder.core.signal import MINUTE
from tests.core.model import History, Key, Model, Rule, Seen
from tests.story import Story, alert

END = 60
TOLD = {"opened", "reopened", "resolved", "closed"}


def some_rules(random: Random) -> list[Rule]:
    rules: list[Rule] = []
    for number in range(random.randint(1, 4)):
        kind = random.choice(("event", "absence", "count", "all", "flapping"))
        by: list[str] = random.choice((["host"], []))
        fed = [rule["id"] for rule in rules if set(by) <= set(rule["by"])]
        stateful = [rule["id"] for rule in rules if rule["id"] in fed and "event" in rule["when"]]

        def span(low: int, high: int) -> str:
            return f"{random.randint(low, high)}m"

        def member(known: list[str]) -> dict[str, Any]:
            if known and random.random() < 0.5:
                return {"rule": random.choice(known)}
            return {"event": {"match": {"labels": {"alertname": random.choice("ABM")}}}}

        changes = random.randint(1, 5)
        when: dict[str, Any] = {
            "event": member([])["event"],
            "absence": {"of": member(fed), "every": span(1, 8), "grace": span(0, 3)},
            "count": {"of": member(fed), "at_least": random.randint(1, 4), "within": span(1, 15)},
            "all": {"of": [member(stateful) for _ in range(random.randint(2, 3))], "within": span(1, 15)},
            "flapping": {
                "of": member(fed),
                "start": {"changes": changes, "within": span(2, 20)},
                "stop": {"changes": random.randrange(changes), "within": span(2, 20)},
            },
        }[kind]
        rule = {
            "id": f"r{number}", "by": by, "when": {kind: when}, "reopen_within": span(0, 12),
            "incident": {"service": "shop", "title": kind, "priority": "P3"},
        }  # fmt: skip
        if kind == "event" and random.random() < 0.4:
            rule["max_age"] = span(2, 15)
        rules.append(rule)
    return rules


def a_history(random: Random) -> list[Seen]:
    history: list[Seen] = []
    fires: dict[tuple[str, str], tuple[int, bool]] = {}
    minute = 0
    while (minute := minute + random.choice((0, 0, 1, 1, 1, 2, 3, 5, 8))) < END - 5 and len(history) < 30:
        name, host = random.choice("ABM"), random.choice(("x", "y"))
        starts, lapses = fires.get((name, host), (minute, random.random() < 0.4))
        if name == "M":
            history.append(Seen(minute, "occurs", name, host, minute))
        elif (name, host) in fires and random.random() < 0.6:
            history.append(Seen(minute, "ends", name, host, starts))
            del fires[name, host]
        else:
            fires[name, host] = (starts, lapses)
            history.append(Seen(minute, "fires", name, host, starts, minute + random.randint(1, 8) if lapses else None))
    return history


def told(rules: list[Rule], history: list[Seen]) -> dict[tuple[str, Key], list[History]]:
    """Return what the product made of it."""
    story = Story(json.dumps({"rules": rules})[1:-1])
    for number, seen in enumerate(history):
        story.until(seen.minute * MINUTE)
        lapses = None if seen.lapses is None else seen.lapses * MINUTE
        occurs = f"id-{number}" if seen.what == "occurs" else ""
        story.push(
            alert(seen.name, seen.minute * MINUTE, firing=seen.what != "ends", starts=seen.starts * MINUTE,
                  ends=lapses, momentary=occurs, host=seen.host)
        )  # fmt: skip
    story.until(END * MINUTE)
    found: dict[tuple[str, Key], list[History]] = {}
    for row in story.incidents():
        happened = [e for e in story.events if e.subject_kind == "incident" and e.subject == row.id and e.kind in TOLD]
        known = [(e.kind, (story.at(e.at) or 0) // MINUTE) for e in happened]
        found.setdefault((row.rule or "", tuple(row.key.items())), []).append(known)
    return found


@pytest.mark.parametrize("batch", range(6))
def test_rules_and_a_naive_model_tell_the_same_incidents(batch: int) -> None:
    for seed in range(batch * 20, batch * 20 + 20):
        random = Random(seed)
        rules, history = some_rules(random), a_history(random)
        assert told(rules, history) == Model(rules, history, END).incidents(), f"seed {seed}"
