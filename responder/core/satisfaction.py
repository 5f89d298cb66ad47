"""The customer is asked once: a link with a token, a score of 1 to 5, a comment (SPEC 3.4, flows).

A token is made from a secret of the store, so that a stage which ends by itself can ask as
well as a person, and who works on the incident can read the link again; the store keeps
only its digest to recognise it by.
"""

import base64
import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from responder.core.desk import Asked, Desk
from responder.core.event import Actor
from responder.core.signal import DAY, Span

if TYPE_CHECKING:
    from responder.core.book import Book
    from responder.core.incident import Incident

VALID: Final[Span] = 30 * DAY
SCORES: Final = (1, 2, 3, 4, 5)
CUSTOMER: Final = Actor("person", "customer")


def token_of(book: "Book", row: "Incident") -> str | None:
    """Return the token of the newest request to the customer, if there was one."""
    if row.asked_at is None:
        return None
    made = hmac.new(book.secret, b"satisfaction %d %d" % (row.id, row.asked_at), sha256).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def link(book: "Book", row: "Incident") -> str | None:
    """Return what the customer opens in a browser."""
    token = token_of(book, row)
    return f"{book.external_url.rstrip('/')}/s/{token}" if token is not None else None


def digest(token: str) -> str:
    """Return what the store knows a token by."""
    return sha256(token.encode(errors="replace")).hexdigest()


def ask(desk: Desk, book: "Book", row: "Incident") -> None:
    """Let the link of the incident work from now on."""
    token = token_of(book, row)
    assert token is not None and row.asked_at is not None
    found = digest(token)
    desk.asked[found] = Asked(found, row.id, row.asked_at, row.asked_at + VALID)
