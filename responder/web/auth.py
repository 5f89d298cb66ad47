"""Who asks, and whether they may: tokens with roles, compared in constant time.

What each role may do:

- ``viewer`` reads everything.
- ``ingest`` pushes alerts and announces changes, and reads only what a Prometheus that
  pushes and scrapes asks for: ``/metrics`` and ``/api/v2/status``.
- ``responder`` does both, and commands incidents and silences.
- ``admin`` does everything, reload included.

``/-/healthy`` and ``/-/ready`` answer everybody: what probes them has no token.
"""

import binascii
import re
import secrets
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, Literal, Protocol, TypeAlias

from msgspec import Struct

Role: TypeAlias = Literal["viewer", "ingest", "responder", "admin"]
Need: TypeAlias = Literal["nothing", "scrape", "read", "push", "command", "administer"]

MAY: Final[Mapping[Role, frozenset[Need]]] = {
    "viewer": frozenset({"scrape", "read"}),
    "ingest": frozenset({"scrape", "push"}),
    "responder": frozenset({"scrape", "read", "push", "command"}),
    "admin": frozenset({"scrape", "read", "push", "command", "administer"}),
}
PROBES: Final = frozenset({"/-/healthy", "/-/ready"})
SCRAPES: Final = frozenset({"/metrics", "/api/v2/status"})
PUSHES: Final = frozenset({"/api/v2/alerts", "/v2/enqueue", "/api/v1/changes"})

_REALM: Final = 'realm="responder"'
_SPACE = re.compile(rb"[ \t]+")


class Token(Protocol):
    """One entry of ``auth.tokens``."""

    @property
    def name(self) -> str: ...
    @property
    def role(self) -> Role: ...
    @property
    def token(self) -> "Hidden": ...


class Hidden(Protocol):
    """A secret value: :class:`responder.ports.Secret`."""

    def reveal(self) -> str: ...


class Principal(Struct, frozen=True):
    """Who asks: the name of the token, and what it may do."""

    name: str
    role: Role


ANONYMOUS: Final = Principal("anonymous", "admin")
"""Everybody, when ``auth.mode`` is ``none``; the daemon listens on loopback only then."""


class Refusal(Struct, frozen=True):
    """The request is not answered: 401 without a known token, 403 when its role does not reach so far."""

    status: Literal[401, 403]
    detail: str
    challenge: str
    """For ``WWW-Authenticate``."""


class Guard:
    """Judges every request; made anew when the configuration is loaded."""

    def __init__(self, mode: Literal["none", "tokens"] = "none", tokens: Sequence[Token] = ()) -> None:
        self._open = mode == "none"
        self._key = secrets.token_bytes(32)
        self._known = [(self._digest(t.token.reveal().encode()), Principal(t.name, t.role)) for t in tokens]

    def authorize(self, headers: Iterable[tuple[bytes, bytes]], method: str, path: str) -> Principal | Refusal:
        """Return who asks, or why they get no answer.

        Args:
            headers: As in an ASGI scope: names in lower case.
            path: As routed, without its query.
        """
        if self._open:
            return ANONYMOUS
        need = need_of(method, path)
        if need == "nothing":
            return Principal("anonymous", "viewer")
        written = next((value for name, value in headers if name == b"authorization"), None)
        if written is None:
            challenge = f'Bearer {_REALM}, Basic {_REALM}, charset="UTF-8"'
            return Refusal(401, "this daemon asks for a token: Authorization: Bearer TOKEN", challenge)
        principal = self._owner(_token_of(written))
        if principal is None:
            return Refusal(401, "the token is not known here", f'Bearer {_REALM}, error="invalid_token"')
        if need not in MAY[principal.role]:
            detail = f"the token {principal.name!r} has the role {principal.role}, which may not {need} here"
            return Refusal(403, detail, f'Bearer {_REALM}, error="insufficient_scope"')
        return principal

    def _owner(self, token: bytes) -> Principal | None:
        """Compare with every token, whichever fits, so that the time tells nothing."""
        given, found = self._digest(token), None
        for digest, principal in self._known:
            if compare_digest(digest, given):
                found = principal
        return found if token else None

    def _digest(self, token: bytes) -> bytes:
        return blake2b(token, key=self._key, digest_size=32).digest()


def need_of(method: str, path: str) -> Need:
    """Return what a request asks for."""
    if method in ("GET", "HEAD", "OPTIONS"):
        if path in PROBES:
            return "nothing"
        return "scrape" if path in SCRAPES else "read"
    if path in PUSHES or path.startswith("/webhooks/"):
        return "push"
    return "administer" if path.startswith("/-/") else "command"


def _token_of(written: bytes) -> bytes:
    """Return the bearer token, or the password of basic authentication; nothing if it is neither."""
    scheme, *rest = _SPACE.split(written.strip(), maxsplit=1)
    if not rest:
        return b""
    if scheme.lower() == b"bearer":
        return rest[0]
    if scheme.lower() != b"basic":
        return b""
    try:
        _, _, password = b64decode(rest[0], validate=True).partition(b":")
    except binascii.Error:
        return b""
    return password
