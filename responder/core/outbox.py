"""A message that has to leave: born with the state change it speaks of."""

from typing import Literal

from msgspec import Struct

from responder.core.signal import Instant


class Message(Struct, frozen=True):
    """One row of the outbox; the same id and, from the first claim, the same bytes at every attempt."""

    id: int
    channel: str
    event: str
    """opened, stage, warned, breached, resolved, announced, problem."""
    incident: int
    at: Instant
    not_before: Instant
    """When it is due: at birth, after a bundle's wait, or for the next attempt."""
    state: Literal["waiting", "sent", "failed", "dropped"] = "waiting"
    attempt: int = 0
    body: str = ""
    title: str = ""
    text: str = ""
    last_error: str = ""
