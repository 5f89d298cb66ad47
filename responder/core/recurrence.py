"""An incident that comes when its problem was said to be over: the solution did not hold.

It may be a new one that looks like those of the problem, or one of them that is reopened.
"""

from typing import Final

import msgspec

from responder.core import problem
from responder.core.desk import Desk, ProblemRow
from responder.core.event import Actor, Event
from responder.core.problem import UNRESOLVED
from responder.core.signal import Instant

CORRELATION: Final = Actor("rule", "correlation")


def came(desk: Desk, row: ProblemRow, incident: int, at: Instant, *, again: bool = False) -> ProblemRow:
    """Write the review that an incident itself is, once; a problem that is not over stays as it is.

    Args:
        again: It was reopened.
    """
    if row.problem.state in UNRESOLVED:
        return row
    after = problem.recurred(row.problem, incident, at, again=again)
    if after == row.problem:
        return row
    new = msgspec.structs.replace(row, problem=after, version=row.version + 1)
    desk.problems.put(after.id, new)
    desk.events.append(Event(at, "recurred", "problem", after.id, CORRELATION, {"incident": incident}))
    return new
