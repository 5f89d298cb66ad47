"""Tokens, roles, and what a request without them gets."""

from base64 import b64encode
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.ports import Secret
from responder.web.auth import MAY, Guard, Principal, Refusal, Role


class Token(NamedTuple):
    name: str
    token: Secret
    role: Role


TOKENS = [Token(f"{role}-token", Secret(f"secret of the {role}"), role) for role in MAY]
GUARD = Guard("tokens", TOKENS)


def bearer(role: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"localhost"), (b"authorization", b"Bearer secret of the " + role.encode())]


def basic(user: str, password: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Basic " + b64encode(f"{user}:{password}".encode()))]


def role_of(found: Principal | Refusal) -> str | int:
    return found.role if isinstance(found, Principal) else found.status


def test_without_auth_everybody_is_an_anonymous_admin() -> None:
    assert Guard().authorize([], "POST", "/-/reload") == Principal("anonymous", "admin")


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
def test_probes_need_no_token(path: str) -> None:
    assert isinstance(GUARD.authorize([], "GET", path), Principal)
    assert isinstance(GUARD.authorize(bearer("nobody"), "HEAD", path), Principal)


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        ("GET", "/metrics", {"viewer", "ingest", "responder", "admin"}),
        ("GET", "/api/v2/status", {"viewer", "ingest", "responder", "admin"}),
        ("GET", "/api/v1/incidents", {"viewer", "responder", "admin"}),
        ("GET", "/api/v2/alerts", {"viewer", "responder", "admin"}),
        ("GET", "/openapi.json", {"viewer", "responder", "admin"}),
        ("POST", "/api/v2/alerts", {"ingest", "responder", "admin"}),
        ("POST", "/webhooks/jobs", {"ingest", "responder", "admin"}),
        ("POST", "/v2/enqueue", {"ingest", "responder", "admin"}),
        ("POST", "/api/v1/changes", {"ingest", "responder", "admin"}),
        ("POST", "/api/v2/silences", {"responder", "admin"}),
        ("DELETE", "/api/v2/silence/1", {"responder", "admin"}),
        ("POST", "/api/v1/incidents/1/resolve", {"responder", "admin"}),
        ("POST", "/nowhere", {"responder", "admin"}),
        ("POST", "/-/reload", {"admin"}),
        ("POST", "/-/healthy", {"admin"}),
    ],
)
def test_each_role_may_what_it_is_for_and_nothing_else(method: str, path: str, may: set[str]) -> None:
    found = {role: role_of(GUARD.authorize(bearer(role), method, path)) for role in MAY}
    assert found == {role: role if role in may else 403 for role in MAY}
    assert role_of(GUARD.authorize([], method, path)) == 401


def test_basic_authentication_takes_the_token_as_password_and_any_user() -> None:
    found = GUARD.authorize(basic("grafana", "secret of the viewer"), "GET", "/metrics")
    assert found == Principal("viewer-token", "viewer")


@pytest.mark.parametrize(
    "written",
    [b"", b"Bearer", b"Bearer ", b"Basic", b"Basic !!", b"Basic " + b64encode(b"user:"), b"Basic " + b64encode(b"nocolon"),
     b"Digest secret of the admin", b"secret of the admin", b"Bearer \xff\xfe", b"Bearer secret of the admi"],
)  # fmt: skip
def test_what_is_no_token_of_ours_is_refused(written: bytes) -> None:
    found = GUARD.authorize([(b"authorization", written)], "GET", "/metrics")
    assert isinstance(found, Refusal)
    assert found.status == 401
    assert "secret" not in found.detail


def test_an_empty_token_in_the_configuration_opens_nothing() -> None:
    guard = Guard("tokens", [Token("empty", Secret(""), "admin")])
    assert role_of(guard.authorize([(b"authorization", b"Bearer ")], "GET", "/metrics")) == 401
    assert role_of(guard.authorize(basic("", ""), "GET", "/metrics")) == 401


def test_refusals_challenge_as_the_rfcs_ask() -> None:
    missing: Any = GUARD.authorize([], "GET", "/metrics")
    wrong: Any = GUARD.authorize(bearer("stranger"), "GET", "/metrics")
    short: Any = GUARD.authorize(bearer("viewer"), "POST", "/-/reload")
    assert missing.challenge.startswith("Bearer realm=") and "Basic realm=" in missing.challenge
    assert 'error="invalid_token"' in wrong.challenge
    assert 'error="insufficient_scope"' in short.challenge
    assert "viewer" in short.detail


@given(st.binary(max_size=60))
def test_no_header_is_answered_with_a_crash_or_with_a_principal(written: bytes) -> None:
    assert role_of(GUARD.authorize([(b"authorization", written)], "GET", "/metrics")) == 401


@given(st.text(max_size=40), st.sampled_from(sorted(MAY)))
def test_every_token_is_its_own_principal_under_any_user(user: str, role: str) -> None:
    found = GUARD.authorize(
        basic(user.replace(":", ""), f"secret of the {role}"), "GET", "/-/x" if role == "admin" else "/metrics"
    )
    assert role_of(found) == role
