"""Messages that have to leave, and the lanes in which they wait: one lane for each channel.

A message is a row, born in the transaction of the change that it speaks of. A lane is what
this process derives from the rows of one channel: in what order they are due, and when the
channel may be used again. Lanes are touched by the writer's thread only.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Sequence, Set
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct

from responder.core.catalogue import ChannelSpec
from responder.core.signal import SECOND, Instant, Span

if TYPE_CHECKING:
    from responder.core.book import Book

Kind: TypeAlias = Literal["opened", "stage", "warned", "breached", "overdue", "repeat", "resolved"]
LEASE: Final[Span] = 30 * SECOND
"""An attempt that nobody reported on for so long is made again."""
FROM_BIRTH: Final[Instant] = 0
"""Due from birth on: what it speaks of is true, though the clock may have been set back behind it."""
_NOW: Final = -(2**63)


Subject: TypeAlias = tuple[Literal["incident", "problem"], int]


class Part(Struct, frozen=True):
    """One change of one incident, or of one problem, that somebody is told of."""

    event: Kind
    incident: int
    """0 when it is of a problem."""
    at: Instant
    """When it was true."""
    about: dict[str, Any] = {}
    """Data of the event: the target, the stage, the reason."""
    problem: int | None = None
    to: tuple[str, ...] = ()
    """Channels that have a message of their own about it."""
    instead: bool = False
    """Another channel, which was to hear of it, could not be reached."""

    @property
    def subject(self) -> Subject:
        """Return what it speaks of."""
        return ("incident", self.incident) if self.problem is None else ("problem", self.problem)


class Message(Struct, frozen=True):
    """One row of the outbox; from the first claim on, the same id and bytes at every attempt."""

    id: int
    channel: str
    part: Part
    not_before: Instant
    """When it is due: for the next attempt, at the end of a lease, or to be looked at again; :data:`FROM_BIRTH` at birth."""
    since: Instant
    """Since when it could leave: its birth, or the end of what suppressed it."""
    state: Literal["waiting", "sent", "failed", "dropped", "bundled"] = "waiting"
    bundle: tuple[Part, ...] = ()
    """What leaves with it; the rows of these are ``bundled``."""
    attempt: int = 0
    claimed_at: Instant | None = None
    """When it was claimed first."""
    leased: bool = False
    """An attempt is under way, or was when the process died."""
    perhaps: bool = False
    """An attempt ended without an answer: it may have arrived."""
    asked: bool = False
    """The other side named ``not_before``: nothing else goes there before."""
    held: str = ""
    """Why it is suppressed."""
    held_by: int | None = None
    """The incident whose end will end that."""
    tried: tuple[str, ...] = ()
    """Channels that it was given up on."""
    notification_id: str = ""
    title: str = ""
    text: str = ""
    body: str = ""
    last_error: str = ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return everything it speaks of, the most urgent first."""
        return (self.part, *self.bundle)


class Lane:
    """The waiting messages of one channel."""

    def __init__(self) -> None:
        self.rows: dict[int, Message] = {}
        self.of: dict[Subject, set[int]] = {}
        """Incident or problem -> its waiting messages."""
        self._fresh: list[tuple[Instant, int]] = []
        self._again: list[tuple[Instant, int]] = []
        self._woken: set[int] = set()
        self._sent: deque[Instant] = deque()
        self._paused_until: Instant = _NOW

    def put(self, row: Message) -> None:
        """Take a stored row over."""
        before = self.rows.get(row.id)
        if row.claimed_at is not None and (before is None or before.claimed_at is None):
            self._sent.append(row.claimed_at)
        if row.asked:
            self._paused_until = max(self._paused_until, row.not_before)
        if before is not None:
            self._remove(before)
        if row.state != "waiting":
            return
        self.rows[row.id] = row
        for part in row.parts:
            self.of.setdefault(part.subject, set()).add(row.id)
        heapq.heappush(self._again if row.attempt else self._fresh, (row.not_before, row.id))

    def wake(self, id: int, at: Instant = _NOW) -> None:
        """Have a row looked at as soon as may be, or at *at*, whatever its own instant."""
        row = self.rows.get(id)
        if row is not None:
            self._woken.add(id)
            heapq.heappush(self._again if row.attempt else self._fresh, (at, id))

    def set_back(self, now: Instant) -> None:
        """Wait for nothing that was reckoned from instants still to come: the clock was ahead and was set back."""
        if self._sent and self._sent[-1] > now:
            self._sent = deque(at for at in self._sent if at <= now)
            self._paused_until = _NOW
            for id in [id for id, row in self.rows.items() if row.not_before > now]:
                self.wake(id)

    def free_at(self, spec: ChannelSpec) -> Instant:
        """Return when a message that has not been tried may leave: after the bundle's wait, within the rate."""
        sent = self._sent
        free = self._paused_until
        if sent:
            free = max(free, sent[-1] + spec.bundle)
        if len(sent) >= spec.rate:
            free = max(free, sent[-spec.rate] + spec.per)
        return free

    def left(self, spec: ChannelSpec, now: Instant) -> int:
        """Return how many messages the rate allows now."""
        sent = self._sent
        while sent and sent[0] <= now - max(spec.per, spec.bundle):
            sent.popleft()
        return spec.rate - sum(1 for at in sent if at > now - spec.per)

    def bundles(self, spec: ChannelSpec, row: Message) -> bool:
        """Say whether a message had to wait for others to leave with it."""
        return spec.bundle > 0 and bool(self._sent) and row.since < self._sent[-1] + spec.bundle

    def next_due(self, spec: ChannelSpec) -> Instant | None:
        """Return when somebody has to look; perhaps too early, never too late."""
        dues = []
        if self._fresh:
            dues.append(max(self._fresh[0][0], self.free_at(spec)))
        if self._again:
            dues.append(max(self._again[0][0], self._paused_until))
        return min(dues, default=None)

    def take(self, spec: ChannelSpec, now: Instant, fresh: int, again: int) -> tuple[list[int], list[int]]:
        """Take due rows, at most so many: those that were never tried, and those to be tried again."""
        return (
            self._take(self._fresh, now, fresh) if self.free_at(spec) <= now else [],
            self._take(self._again, now, again) if self._paused_until <= now else [],
        )

    def _take(self, heap: list[tuple[Instant, int]], now: Instant, limit: int) -> list[int]:
        found: dict[int, None] = {}
        while heap and heap[0][0] <= now and len(found) < limit:
            id = heapq.heappop(heap)[1]
            row = self.rows.get(id)
            if row is not None and (row.not_before <= now or id in self._woken):
                found[id] = None
                self._woken.discard(id)
        return list(found)

    def _remove(self, row: Message) -> None:
        del self.rows[row.id]
        self._woken.discard(row.id)
        for part in row.parts:
            known = self.of.get(part.subject)
            if known is not None:
                known.discard(row.id)
                if not known:
                    del self.of[part.subject]


class Lanes:
    """All lanes, and who waits for the end of what suppresses it."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._watched: dict[int, set[tuple[str, int]]] = {}
        self._silenced: set[tuple[str, int]] = set()
        self.stirred: deque[str] = deque()
        """Channels in which something changed; the dispatcher, in another thread, empties it."""

    def rebuild(self, waiting: Iterable[Message], sent: Sequence[Message]) -> None:
        """Build the lanes from the stored rows: what was under way is made again, what is held is looked at.

        *sent*: the latest that left, so that bundles and rates outlive a restart.
        """
        self._lanes, self._watched, self._silenced = {}, {}, set()
        everything = sorted([*sent, *waiting], key=lambda row: (row.claimed_at or 0, row.id))
        for row in everything:
            self.put(row)
            if row.state == "waiting" and (row.leased or row.held):
                self._wake(row.channel, row.id)

    def lane(self, channel: str) -> Lane:
        """Return the lane of a channel."""
        known = self._lanes.get(channel)
        if known is None:
            known = self._lanes[channel] = Lane()
        return known

    def next_due(self, book: "Book") -> Instant | None:
        """Return when somebody has to look at any of the lanes."""
        dues = (lane.next_due(book.channel(channel)) for channel, lane in self._lanes.items())
        return min((due for due in dues if due is not None), default=None)

    def next_channel(self, book: "Book", now: Instant) -> str | None:
        """Return a channel of which something is due."""
        for channel, lane in self._lanes.items():
            due = lane.next_due(book.channel(channel))
            if due is not None and due <= now:
                return channel
        return None

    def pending(self) -> dict[str, int]:
        """Return how many messages wait for each channel."""
        return {channel: len(lane.rows) for channel, lane in list(self._lanes.items())}

    def put(self, row: Message) -> None:
        """Take a stored row over."""
        lane = self.lane(row.channel)
        self._unwatch(lane.rows.get(row.id))
        lane.put(row)
        if row.held and row.state == "waiting":
            for incident in self._waits_for(row):
                self._watched.setdefault(incident, set()).add((row.channel, row.id))
            if row.held == "silenced":
                self._silenced.add((row.channel, row.id))
        self.stirred.append(row.channel)

    def incidents_changed(self, ids: Set[int]) -> None:
        """Have messages looked at that are suppressed because of how an incident was."""
        for id in self._watched.keys() & ids if self._watched else ():
            for channel, message in list(self._watched.get(id, ())):
                self._wake(channel, message)

    def silences_changed(self) -> None:
        """Have messages looked at that a silence suppresses."""
        for channel, message in list(self._silenced):
            self._wake(channel, message)

    def _wake(self, channel: str, id: int) -> None:
        self.lane(channel).wake(id)
        self.stirred.append(channel)

    @staticmethod
    def _waits_for(row: Message) -> set[int]:
        return {part.incident for part in row.parts if part.problem is None} | (
            {row.held_by} if row.held_by is not None else set()
        )

    def _unwatch(self, row: Message | None) -> None:
        if row is None or not row.held:
            return
        entry = (row.channel, row.id)
        self._silenced.discard(entry)
        for incident in self._waits_for(row):
            known = self._watched.get(incident)
            if known is not None:
                known.discard(entry)
                if not known:
                    del self._watched[incident]
