"""When the state of a (rule, key) may go."""

from typing import TYPE_CHECKING

import msgspec

from responder.core.conditions import at_rest
from responder.core.desk import Desk
from responder.core.incident import Incident
from responder.core.rule import AbsenceWhen, MetricWhen, Rule

if TYPE_CHECKING:
    from responder.core.book import Book


def rest(desk: Desk, rule: Rule, key_hash: int) -> None:
    """Keep no row of a key that remembers nothing, unless to know the key is the point."""
    row = desk.states.get((rule.id, key_hash))
    if row is None or row.incident is not None or isinstance(rule.when, MetricWhen | AbsenceWhen):
        return
    if at_rest(row.state):
        desk.states.drop((rule.id, key_hash))


def release(desk: Desk, book: "Book", incident: Incident) -> None:
    """The incident takes no more alerts: its key waits for another, or is forgotten."""
    if incident.rule is None:
        return
    row = desk.states.get((incident.rule, incident.key_hash))
    if row is None or row.incident != incident.id:
        return
    desk.states.put((row.rule, row.key_hash), msgspec.structs.replace(row, incident=None, former=incident.id))
    rule = book.rules.get(incident.rule)
    if rule is not None:
        rest(desk, rule, row.key_hash)
