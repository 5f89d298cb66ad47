"""What the writer does between batches: retention, and putting another rule book in force."""

from msgspec import Struct
from sqlalchemy import Engine

from responder.core.book import Book
from responder.core.signal import Instant
from responder.handlers.commands import Loaded
from responder.store import upkeep


class Retain(Struct, frozen=True):
    """Delete what is older than its retention, one slice at a time."""

    signals_before: Instant
    closed_before: Instant
    at: Instant
    urgent: bool = True
    weight: int = 0


class Heartbeat(Struct, frozen=True):
    """Note in the store that somebody is there; pending times survive a short absence by it."""

    urgent: bool = True
    weight: int = 0


class Replace(Struct, frozen=True):
    """Another configuration is in force from now on."""

    book: Book
    loaded: Loaded
    urgent: bool = True
    weight: int = 0


def retain(item: Retain, engine: Engine) -> int:
    """Returns how many rows were touched; 0: there is nothing left to do."""
    return upkeep.retain(engine, item.signals_before, item.closed_before)
