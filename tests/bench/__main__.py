"""``python -m tests.bench [NAME...] [--quick]``: the table of SPEC 9, row by row as it is measured.

Everything is measured in one run on this machine; what is compared is measured in turns, and
the median is shown. Exit status 1 if something is short.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.bench import clocks, daemon, growth, ingest
from tests.bench.table import SHORT, SKIPPED, Row, Skip, show

Measurement = Callable[[Path, bool], Iterator[Row]]
MEASUREMENTS: Final[Mapping[str, Measurement]] = {
    "batches": ingest.batches,
    "singles": ingest.singles,
    "incidents": ingest.incidents,
    "open-alerts": growth.open_alerts,
    "joins": growth.joins,
    "matching": growth.matching,
    "polls": daemon.polls,
    "flood": daemon.flood,
    "loading": daemon.loading,
    "refold": clocks.refold,
    "due": clocks.due,
    "full-store": clocks.full_store,
    "install": daemon.install,
}


def main() -> int:
    """Run the measurements that were asked for; all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter: a look, no verdict to quote")
    args = parser.parse_args()
    unknown = set(args.names) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(MEASUREMENTS)}")
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    busy = "; others are at work here: trust CPU, not what the wall says" if load > cores / 2 else ""
    print(f"{cores} cores, load {load:.1f} before the start{busy}", flush=True)
    short = False
    for name in args.names or MEASUREMENTS:
        for row in _rows(name, args.quick):
            print(show([row]), flush=True)
            short = short or row.verdict == SHORT
    return 1 if short else 0


def _rows(name: str, quick: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            yield from MEASUREMENTS[name](Path(folder), quick)
        except Skip as missing:
            yield Row(name, str(missing), "", SKIPPED)


if __name__ == "__main__":
    sys.exit(main())
