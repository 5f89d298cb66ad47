"""The deadline of every request, kept by one timer for all of them.

``asyncio.timeout`` arms a timer of its own each time: at ten thousand requests a second that is
a heap of half a million timers, nearly all of them for requests that were answered at once.
"""

import asyncio
from types import TracebackType


class Deadline:
    """``with deadline:`` around what one task does; it ends in TimeoutError when it takes longer.

    Args:
        seconds: What a task has; it may get up to an eighth more.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since: dict[asyncio.Task[object], float] = {}
        """Oldest first."""
        self._late: set[asyncio.Task[object]] = set()
        self._watching = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        self._since[task] = loop.time()
        if not self._watching:
            self._watching = True
            loop.call_later(self.seconds / 8, self._watch, loop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        del self._since[task]
        if self._late and task in self._late:
            self._late.remove(task)
            if task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        expired = loop.time() - self.seconds
        for task, since in self._since.items():
            if since > expired:
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        self._watching = bool(self._since)
        if self._watching:
            loop.call_later(self.seconds / 8, self._watch, loop)
