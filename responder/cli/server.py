"""The running daemon as the command line sees it: requests over HTTP, mistakes as one sentence."""

import ipaddress
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPException
from typing import IO, Any, Final

import click
from msgspec import Struct

DEFAULT_URL: Final = "http://127.0.0.1:9920"
TIMEOUT: Final = 30.0
"""Seconds."""


_WHERE: Final = "\n  hint: start one with `responder run`, or say where it is with --url or RESPONDER_URL"
_SHOW_ONE: Final = "\n  hint: show one that stands under auth.tokens of the daemon, with --token or RESPONDER_TOKEN"


class Server(Struct, frozen=True):
    """Where the daemon listens, and the token to show there."""

    url: str = DEFAULT_URL
    token: str | None = None

    def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        """Return the JSON at a path."""
        return self._ask("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON of the answer to a posted body."""
        return self._ask("POST", path, body)

    def delete(self, path: str) -> Any:
        """Delete what is at a path; return the JSON of the answer, if it has any."""
        return self._ask("DELETE", path)

    def items(self, path: str, query: Sequence[tuple[str, str]], limit: int) -> Iterator[Any]:
        """Yield at most *limit* items of a list, page after page; as many as there are when it is 0."""
        cursor, left = "", limit
        while True:
            size = min(left, 500) if limit else 500
            page = self.get(path, [*query, ("limit", str(size)), ("cursor", cursor)])
            yield from page["items"]
            left -= len(page["items"])
            if page["next"] is None or (limit and left <= 0):
                return
            cursor = page["next"]

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "User-Agent": "responder"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        url = self.url.rstrip("/") + path
        try:
            request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 checked by server_at
            with _opener(self.url).open(request, timeout=TIMEOUT) as answer:
                return _read(answer)
        except urllib.error.HTTPError as error:
            raise click.ClickException(_told(error)) from None
        except (OSError, HTTPException, UnicodeError) as error:
            raise click.ClickException(f"no daemon answers at {self.url}: {_reason(error)}{_WHERE}") from None


def server_at(url: str, token: str | None) -> Server:
    """Return the server of a URL.

    Raises:
        click.BadParameter: If it is no URL of HTTP.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.BadParameter(f"{url!r} is not a URL such as {DEFAULT_URL}", param_hint="--url")
    return Server(url, token)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to whoever it names."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Return what opens a URL: through the environment's proxies, but never to this machine."""
    proxies = [urllib.request.ProxyHandler({})] if _is_loopback(urllib.parse.urlsplit(url).hostname or "") else []
    return urllib.request.build_opener(_NoRedirect, *proxies)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read(answer: IO[bytes]) -> Any:
    content = answer.read()
    try:
        return json.loads(content) if content else None
    except ValueError:
        raise click.ClickException("the answer is not JSON: is this a responder?") from None


def _reason(error: Exception) -> str:
    """Return why nothing answers, without the number that the system has for it."""
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or str(cause) or type(error).__name__


def _told(error: urllib.error.HTTPError) -> str:
    """Return what an error answer says on one line, and the way out where the line alone does not show it."""
    content = error.read(65_536).decode("utf-8", "replace")
    try:
        said, doubt = json.loads(content), ""
    except ValueError:
        said, doubt = content[:300], f"\n  hint: is {error.url} of a responder? --url or RESPONDER_URL says where it is"
    if isinstance(said, dict):
        said = said.get("detail") or said.get("message") or said.get("title")
    hint = _SHOW_ONE if error.code == HTTPStatus.UNAUTHORIZED else doubt
    return " ".join(str(said or error.reason).split()) + f" (HTTP {error.code})" + hint
