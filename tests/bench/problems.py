"""Problems of a file of alerts, without the daemon: the pure correlation, driven by the plainest of engines.

    python tests/bench/problems.py BUNDLE [--noise N] [--twice] [--out FILE]

One event rule by the given labels: alerts join while the incident fires, lapse at their
endsAt, reopen inside the window. Prints the time taken; the output is that of ``responder
replay``, to be scored with the bundle's scorer. ``--noise`` mixes in N flapping alerts a
minute, ``--twice`` a second, renamed and shifted copy of the system.
"""

import argparse
import gzip
import heapq
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from responder.core.board import Board, Join, Merge, Onset, Part, Start
from responder.core.catalogue import Depends, ProblemSpec
from responder.core.causes import Cause, Weights, fact, rank
from responder.core.correlation import consider
from responder.core.instant import format_instant, parse_instant, parse_span
from responder.core.signal import HOUR, MINUTE, Instant
from responder.core.topology import Topology

Alert = tuple[Instant, Instant, dict[str, str], dict[str, str]]


class Desk:
    """Incidents by key, problems by number; what the daemon's engine does, without its promises."""

    def __init__(self, config: dict[str, Any], topology: Topology, weights: Weights, parting: bool = True) -> None:
        [rule] = config["rules"]
        self.rule, self.by = rule["id"], rule["by"]
        self.max_age = parse_span(rule.get("max_age", "52w"))
        self.reopen = parse_span(rule.get("reopen_within", "30m"))
        how = config["problems"][0]["depends"]
        self.specs = [ProblemSpec("cause", "ops", Depends(parse_span(how["within"]), tuple(how.get("same", ()))))]
        self.topology, self.weights, self.board, self.parting = topology, weights, Board(), parting
        self.taking: dict[tuple[str, ...], int] = {}
        self.incidents: dict[int, dict[str, Any]] = {}
        self.problems: dict[int, list[int]] = {}
        self.into: dict[int, int] = {}
        self.facts: dict[tuple[str, ...], Any] = {}
        self.cpu: list[float] = []

    def take(self, alert: Alert) -> None:
        at, ends_at, labels, annotations = alert
        self.topology.remember(self.topology.shown_by(labels, at))
        key = tuple(labels.get(name, "") for name in self.by)
        number = self.taking.get(key)
        known = self.incidents[number] if number else None
        opens = known is None or at > known["end"] + self.reopen or at > known["opened"] + self.max_age
        begun = time.perf_counter()
        found = fact(labels, labels.get("service", ""), self.topology, self.rule)
        onset = Onset(
            incident=len(self.incidents) + 1 if opens or number is None else number,
            opens=opens, rule=self.rule, service=labels.get("service", ""),
            labels={n: v for n, v in zip(self.by, key, strict=True) if v}, fact=found, at=at,
            next_problem=len(self.problems) + 1, next_incident=0 if opens or not self.parting else len(self.incidents) + 1,
        )  # fmt: skip
        turn = consider(self.specs, onset, self.board, self.topology, self.weights, lambda id: self.lives(id, at))
        self.board.apply(turn.rows)
        self.cpu.append(time.perf_counter() - begun)
        joined = onset.incident
        for one in turn.decisions:
            match one:
                case Start(problem=problem, incidents=incidents, after=after):
                    self.problems[problem] = list(incidents)
                    if after:
                        self.problems[after] = [i for i in self.problems[after] if i not in incidents]
                case Join(problem=problem, incident=incident):
                    self.problems[problem].append(incident)
                case Merge(problem=problem, into=into):
                    self.problems[into] += self.problems.pop(problem)
                    self.problems[problem] = []
                case Part(new=new, problem=problem):
                    joined = new
                    self.problems[problem].append(new)
        if joined not in self.incidents:
            self.incidents[joined] = {"opened": at, "end": ends_at, "service": onset.service, "alerts": []}
        self.taking[key] = joined
        incident = self.incidents[joined]
        incident["end"] = max(incident["end"], ends_at)
        incident["alerts"].append({"labels": labels, "annotations": annotations})

    def lives(self, incident: int, at: Instant) -> bool:
        return at <= self.incidents[incident]["end"] + self.reopen

    def causes(self, problem: int) -> tuple[Cause, ...]:
        return rank(self.board.evidence(self.problems[problem]), self.topology, self.weights)

    def replay(self) -> dict[str, Any]:
        of = {incident: problem for problem, incidents in self.problems.items() for incident in incidents}
        return {
            "from": None, "to": None,
            "incidents": [
                {"id": f"INC-{n}", "service": i["service"], "opened_at": format_instant(i["opened"]),
                 "problem": f"PRB-{of[n]}" if n in of else None, "alerts": i["alerts"]}
                for n, i in self.incidents.items()
            ],
            "problems": [
                {"id": f"PRB-{n}", "probable_causes": [
                    {"service": c.service or None, "entity": c.entity, "score": c.score, "reason": c.reason} for c in self.causes(n)]}
                for n, incidents in self.problems.items() if incidents
            ],
        }  # fmt: skip


def read(bundle: Path) -> Iterator[Alert]:
    with gzip.open(bundle / "alerts.jsonl.gz", "rt") as lines:
        for line in lines:
            for alert in json.loads(line)["alerts"]:
                yield (
                    parse_instant(alert["startsAt"]), parse_instant(alert["endsAt"]), alert["labels"], alert["annotations"],
                )  # fmt: skip


def noise(alerts: list[Alert], rate: int, pool: int, seed: int) -> Iterator[Alert]:
    """Yield *rate* flapping alerts a minute, drawn from *pool* label sets (0: from those of the stream)."""
    chance = random.Random(seed)
    sets = [dict(a[2]) for a in alerts]
    if pool:
        sets = [
            {**chance.choice(sets), "alertname": "MetricAnomaly", "metric": f"noise-{chance.randrange(40)}"}
            for _ in range(pool)
        ]
    at = alerts[0][0]
    while at < alerts[-1][0]:
        at += round(chance.expovariate(rate) * MINUTE)
        yield at, at + chance.randrange(10, 90) * MINUTE // 60, chance.choice(sets), {"replay_id": f"n{at}"}


def twin(alerts: list[Alert], nodes: bool) -> Iterator[Alert]:
    """Yield the stream again as another system: renamed, and shifted so that it overlaps."""
    for at, ends_at, labels, annotations in alerts:
        named = {"service", "instance", "caller", *(["node"] if nodes else [])}
        renamed = {n: f"b-{v}" if n in named and (nodes or not v.startswith("node-")) else v for n, v in labels.items()}
        yield at + HOUR // 12, ends_at + HOUR // 12, renamed, {"replay_id": "b" + annotations["replay_id"]}


def topology_of(config: dict[str, Any], double: bool, nodes: bool) -> Topology:
    depends = {name: list(one["depends_on"]) for name, one in config["services"].items()}
    edges = [(edge["from"], edge["to"]) for edge in config["topology"]["edges"]]
    if double:

        def b(name: str) -> str:
            return f"b-{name}" if nodes or not name.startswith("node-") else name

        depends |= {b(name): [b(other) for other in beneath] for name, beneath in depends.items()}
        edges += [(b(upper), b(lower)) for upper, lower in edges]
    labels = tuple((pair["from"], pair["to"]) for pair in config["topology"]["from_labels"])
    return Topology(depends, edges, labels, tuple(config["topology"].get("scope", ())))


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("bundle", type=Path)
    args.add_argument("--noise", type=int, default=0)
    args.add_argument("--pool", type=int, default=30)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--twice", action="store_true")
    args.add_argument("--shared-hosts", action="store_true")
    args.add_argument("--keep", action="store_true", help="never part an incident")
    args.add_argument("--out", type=Path)
    given = args.parse_args()
    config = yaml.safe_load((given.bundle / "responder.yml").read_text())
    alerts = list(read(given.bundle))
    streams = [alerts]
    if given.noise:
        streams.append(list(noise(alerts, given.noise, given.pool, given.seed)))
    if given.twice:
        streams.append(list(twin(alerts, not given.shared_hosts)))
        streams = [[(a, e, {n: v for n, v in x.items() if n != "cluster"}, y) for a, e, x, y in s] for s in streams]
        config["rules"][0]["by"] = [name for name in config["rules"][0]["by"] if name != "cluster"]
        config["problems"][0]["depends"].pop("same", None)
    topology = topology_of(config, given.twice, not given.shared_hosts)
    desk = Desk(config, topology, Weights(), parting=not given.keep)
    begun = time.perf_counter()
    for alert in heapq.merge(*streams, key=lambda one: one[0]):
        desk.take(alert)
    print(f"{time.perf_counter() - begun:.1f} s; {sum(desk.cpu) / len(desk.cpu) * 1e6:.0f} us an alert;", end=" ")
    print(f"{len(desk.incidents)} incidents, {sum(1 for i in desk.problems.values() if i)} problems")
    if given.out:
        given.out.write_text(json.dumps(desk.replay()))


if __name__ == "__main__":
    main()
