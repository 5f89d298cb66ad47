"""The careful second look: a rule that fails harms only itself."""

import logging
from collections.abc import Callable
from typing import Any

from responder.core.book import Book
from responder.core.desk import Desk
from responder.store.engine import DatabaseError

log = logging.getLogger(__name__)


def careful_desk(desk: Desk, book: Book) -> Desk:
    """Return a desk on which each rule decides on a desk of its own; one that fails is logged, counted and shown."""

    def guard(below: Desk, rule: str, work: Callable[[Desk], Any]) -> Any:
        own = Desk(below)
        own.guard = guard
        try:
            found = work(own)
        except DatabaseError:  # what could not be read is not the rule's fault
            raise
        except Exception as error:
            log.exception("a rule could not be evaluated", extra={"rule": rule})
            book.failed(rule, repr(error))
            return None
        below.merge(own)
        return found

    own = Desk(desk)
    own.guard = guard
    return own
