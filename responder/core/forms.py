"""What the form of a rule's incident says of what was seen: its texts, its priority.

A text that can't be filled harms only itself: the rule shows why, and the incident opens all the same.
"""

from typing import Any

from responder.core.book import Book
from responder.core.desk import KeyState
from responder.core.rule import IncidentForm, Rule, TemplateError


def plain_title(rule: Rule, row: KeyState) -> str:
    """Return the title of an incident whose own could not be filled."""
    values = ", ".join(f"{name}={value}" for name, value in row.key.items() if value)
    return f"{rule.id}: {values}" if values else rule.id


def text_of(book: Book, rule: Rule, render: Any, context: dict[str, Any], plain: str) -> str:
    """Return a filled text, or *plain* when it can't be filled."""
    try:
        text: str = render(context)
    except TemplateError as error:
        book.unfilled(rule.id, str(error))
        return plain
    return text.strip()


def priority_of(
    book: Book, rule: Rule, form: IncidentForm, context: dict[str, Any]
) -> tuple[str, str | None, str | None]:
    """Return (priority, impact, urgency) of what the context describes (SPEC 3.4)."""
    way = form.priority
    if way.fixed is not None:
        return way.fixed, None, None
    labels: dict[str, str] = context["labels"]
    if way.label is not None:
        return way.map.get(labels.get(way.label, ""), way.default or "P4"), None, None
    if way.impact is not None and way.urgency is not None:
        impact, urgency = (text_of(book, rule, level, context, "") for level in (way.impact, way.urgency))
        given = book.priority(impact, urgency)
        if given is not None:
            return given, impact, urgency
    return book.severity.get(labels.get("severity", ""), "P4"), None, None
