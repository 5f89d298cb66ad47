"""The only reader of time."""

import time
from typing import Protocol

from responder.core.signal import Instant


class Clock(Protocol):
    """Tells the present instant."""

    def now(self) -> Instant:
        """Return microseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> Instant:
        """Return microseconds since the epoch, UTC."""
        return time.time_ns() // 1000
