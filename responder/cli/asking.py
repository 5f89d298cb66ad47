"""What every command has that asks a running daemon: where it is, and how the answer is printed."""

import json
import os
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from responder.cli.loading import Group
from responder.cli.server import DEFAULT_URL, server_at
from responder.core.instant import format_instant, parse_span
from responder.core.signal import Instant


def connection(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--url``, ``--token`` and ``--json``; a group's own are the default."""

    @wraps(function)
    def run(*, url: str | None, token: str | None, as_json: bool, **rest: Any) -> None:
        above = click.get_current_context().find_object(dict) or {}
        where = url or above.get("url") or os.environ.get("RESPONDER_URL") or DEFAULT_URL
        shown = token or above.get("token") or os.environ.get("RESPONDER_TOKEN")
        function(server_at(where, shown), as_json=as_json or bool(above.get("as_json")), **rest)

    return _options(run)


def _options(function: Callable[..., None]) -> Callable[..., None]:
    url = click.option("--url", metavar="URL", help=f"Of the daemon; default: RESPONDER_URL, else {DEFAULT_URL}.")
    token = click.option("--token", metavar="TOKEN", help="Default: RESPONDER_TOKEN.")
    as_json = click.option("--json", "as_json", is_flag=True, help="JSON, for scripts.")
    return url(token(as_json(function)))


def group(name: str, help_: str) -> click.Group:
    def group(url: str | None, token: str | None, as_json: bool) -> None:
        click.get_current_context().obj = {"url": url, "token": token, "as_json": as_json}

    return click.group(name, help=help_, cls=Group)(_options(group))


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def id_of(text: str, kind: str) -> str:
    """Return ``12``, ``inc-12`` or ``INC-12`` as a segment of a path; *kind* is ``INC`` or ``PRB``."""
    if not re.fullmatch(rf"({kind}-)?[0-9]+", text, re.ASCII | re.IGNORECASE):
        raise click.BadParameter(f"{text!r} is no id such as 12 or {kind}-12")
    return text.upper()


def later(at: Instant, length: str, option: str) -> str:
    """Return the instant so much later, as the API takes it; *option* is where the length was given."""
    try:
        return format_instant(at + parse_span(length))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
