"""The deadline of every request, kept by one timer for all of them.

``asyncio.timeout`` arms a timer of its own each time: at ten thousand requests a second that is
a heap of half a million timers, nearly all of them for requests that were answered at once.
"""

import asyncio
from types import TracebackType
from typing import Protocol


class Cancellable(Protocol):
    """A task, or what is as one."""

    def cancel(self) -> object: ...


class Deadline:
    """``with deadline:`` around what one task does; it ends in TimeoutError when it takes longer.

    Args:
        seconds: What a task has; it may get up to an eighth more.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since: dict[Cancellable, float] = {}
        """Oldest first."""
        self._late: set[Cancellable] = set()
        self._watching = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.begin(task)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self.end(task) and task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def begin(self, work: Cancellable) -> None:
        """Cancel what takes longer than it has."""
        loop = asyncio.get_running_loop()
        self._since[work] = loop.time()
        if not self._watching:
            self._watching = True
            loop.call_later(self.seconds / 8, self._watch, loop)

    def end(self, work: Cancellable) -> bool:
        """Watch it no longer; return whether it was cancelled for its lateness."""
        del self._since[work]
        late = work in self._late
        self._late.discard(work)
        return late

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        expired = loop.time() - self.seconds
        for work, since in self._since.items():
            if since > expired:
                break
            if work not in self._late:
                self._late.add(work)
                work.cancel()
        self._watching = bool(self._since)
        if self._watching:
            loop.call_later(self.seconds / 8, self._watch, loop)
