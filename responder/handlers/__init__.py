"""The four things that can happen: signals arrive, people command, time passes, deliveries report back.

Each handler reads, decides and writes on a desk; :mod:`responder.intake` commits it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from responder.core.book import Book
from responder.core.desk import Desk
from responder.core.signal import Instant
from responder.handlers import commands, deliveries, signals, ticks, upkeep
from responder.resident import Resident

HANDLERS: Final[Mapping[type, Callable[[Any, Desk, Book, Instant, bool], Any]]] = {
    signals.Pushed: signals.pushed,
    signals.AlertsPolled: signals.alerts_polled,
    signals.PollFailed: signals.poll_failed,
    commands.Command: commands.command,
    commands.OpenByHand: commands.open_by_hand,
    commands.ProblemCommand: commands.problem_command,
    commands.OpenProblem: commands.open_problem,
    commands.SetSilence: commands.silence,
    commands.ExpireSilence: commands.end_silence,
    commands.RecordChange: commands.record_change,
    commands.Announce: commands.announce,
    commands.EndMaintenance: commands.end_maintenance,
    commands.Rate: commands.rate,
    commands.Loaded: commands.loaded,
    upkeep.Offer: upkeep.offer,
    upkeep.Settle: upkeep.settle,
    upkeep.Heartbeat: upkeep.heartbeat,
    deliveries.Delivered: deliveries.delivered,
    deliveries.Failed: deliveries.failed,
}


def handle(
    item: Any, desk: Desk, book: Book, now: Instant, resident: Resident, away: ticks.Away, careful: bool = False
) -> Any:
    """Decide one item; *careful*: each part of it on a desk of its own."""
    if isinstance(item, ticks.Tick):
        ticks.tick(item, desk, book, now, resident, away)
        return None
    if isinstance(item, signals.MetricPolled):
        signals.metric_polled(item, desk, book, now, away)
        return None
    if isinstance(item, deliveries.Claim):
        return deliveries.claim(item, desk, book, now, resident)
    if isinstance(item, upkeep.Forget):
        return upkeep.forget(item, desk, book, now, resident)
    if isinstance(item, upkeep.Sweep):
        return upkeep.sweep(item, book, resident)
    return HANDLERS[type(item)](item, desk, book, now, careful)
