"""``responder problems``: list, look at one, and act on a running daemon."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from responder.cli import words
from responder.cli.asking import connection, given, group, id_of, print_json
from responder.cli.server import Server
from responder.cli.tables import show
from responder.clock import SystemClock

STATES: Final = ("open", "investigating", "known_error", "resolved", "closed")
problems = group("problems", "List problems, look at one, and act on it.")


@problems.command("list")
@click.option("--state", multiple=True, type=click.Choice(["unresolved", *STATES]), help="Default: unresolved.")
@click.option("--all", "every", is_flag=True, help="In whatever state.")
@click.option("--service", multiple=True)
@click.option("--origin", multiple=True, type=click.Choice(["group", "depends", "recur", "manual"]))
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, help="0: all there are.")
@connection
def problems_list(
    server: Server, *, as_json: bool, state: Sequence[str], every: bool, service: Sequence[str], origin: Sequence[str],
    limit: int,
) -> None:  # fmt: skip
    """Show problems, newest first."""
    states = () if every else state or ("unresolved",)
    query = [("state", s) for s in states] + [("service", s) for s in service] + [("origin", o) for o in origin]
    found = list(server.items("/api/v1/problems", query, limit))
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no problems")
    else:
        now = SystemClock().now()
        show(words.PROBLEM_HEADERS, [words.problem_row(item, now) for item in found])


@problems.command("show")
@click.argument("id")
@connection
def problems_show(server: Server, *, as_json: bool, id: str) -> None:
    """Show one problem. It says what probably broke first, and what belongs to it."""
    found = server.get(f"/api/v1/problems/{id_of(id, 'PRB')}")
    if as_json:
        print_json(found)
        return
    for line in words.problem_page(found, SystemClock().now()):
        click.echo(line, color=True)


@problems.command("timeline")
@click.argument("id")
@connection
def problems_timeline(server: Server, *, as_json: bool, id: str) -> None:
    """Show what happened to a problem."""
    found = list(server.items(f"/api/v1/problems/{id_of(id, 'PRB')}/timeline", (), 0))
    if as_json:
        print_json(found)
    else:
        show(words.EVENT_HEADERS, [words.event_row(item) for item in found])


@problems.command("open")
@click.argument("incidents", nargs=-1, metavar="INCIDENT...")
@click.option("--title", required=True)
@click.option("--owner", metavar="WHO", help="Default: the team of the first incident.")
@click.option("--service")
@click.option("--due", metavar="INSTANT", help="RFC 3339 with an offset.")
@connection
def problems_open(
    server: Server, *, as_json: bool, incidents: Sequence[str], title: str, owner: str | None, service: str | None,
    due: str | None,
) -> None:  # fmt: skip
    """Report one cause behind incidents."""
    body = given(title=title, owner=owner, service=service, due=due)
    found = server.post("/api/v1/problems", body | {"incidents": _names(incidents)})
    print_json(found) if as_json else click.echo(words.problem_outcome(found))


def _names(incidents: Sequence[str]) -> list[str]:
    return [name.upper() for name in incidents]


def _act(server: Server, id: str, name: str, body: Mapping[str, Any], as_json: bool) -> None:
    found = server.post(f"/api/v1/problems/{id_of(id, 'PRB')}/{name}", body)
    print_json(found) if as_json else click.echo(words.problem_outcome(found))


def _with_text(name: str, help_: str) -> None:
    """Add a command that needs nothing but a text."""

    @problems.command(name, help=help_)
    @click.argument("id")
    @click.argument("text")
    @connection
    def run(server: Server, *, as_json: bool, id: str, text: str) -> None:
        _act(server, id, name, {"text": text}, as_json)


_with_text("note", "Write a note into the timeline.")
_with_text("workaround", "Say what helps until it is solved.")


@problems.command("state")
@click.argument("id")
@click.argument("state", type=click.Choice(STATES))
@connection
def problems_state(server: Server, *, as_json: bool, id: str, state: str) -> None:
    """Say how far it has come."""
    _act(server, id, "state", {"state": state}, as_json)


@problems.command("cause")
@click.argument("id")
@click.argument("text")
@click.option("--service", help="That the cause lies in.")
@connection
def problems_cause(server: Server, *, as_json: bool, id: str, text: str, service: str | None) -> None:
    """Name the root cause."""
    _act(server, id, "cause", given(text=text, service=service), as_json)


@problems.command("assign")
@click.argument("id")
@click.argument("to")
@connection
def problems_assign(server: Server, *, as_json: bool, id: str, to: str) -> None:
    """Name another owner: a team or a person."""
    _act(server, id, "assign", {"to": to}, as_json)


@problems.command("link")
@click.argument("id")
@click.argument("incidents", nargs=-1, required=True, metavar="INCIDENT...")
@connection
def problems_link(server: Server, *, as_json: bool, id: str, incidents: Sequence[str]) -> None:
    """Add incidents."""
    for name in _names(incidents):
        _act(server, id, "link", {"incident": name}, as_json)


@problems.command("unlink")
@click.argument("id")
@click.argument("incidents", nargs=-1, required=True, metavar="INCIDENT...")
@connection
def problems_unlink(server: Server, *, as_json: bool, id: str, incidents: Sequence[str]) -> None:
    """Take incidents out."""
    for name in _names(incidents):
        _act(server, id, "unlink", {"incident": name}, as_json)


@problems.command("merge")
@click.argument("id")
@click.argument("into")
@connection
def problems_merge(server: Server, *, as_json: bool, id: str, into: str) -> None:
    """Both are one: the other problem has both histories."""
    _act(server, id, "merge", {"into": into.upper()}, as_json)


@problems.command("due")
@click.argument("id")
@click.argument("due", metavar="INSTANT")
@connection
def problems_due(server: Server, *, as_json: bool, id: str, due: str) -> None:
    """Say until when it is to be resolved: RFC 3339 with an offset."""
    _act(server, id, "due", {"due": due}, as_json)


@problems.command("split")
@click.argument("id")
@click.argument("incidents", nargs=-1, required=True, metavar="INCIDENT...")
@connection
def problems_split(server: Server, *, as_json: bool, id: str, incidents: Sequence[str]) -> None:
    """Move incidents into a new problem."""
    _act(server, id, "split", {"incidents": _names(incidents)}, as_json)


@problems.command("review")
@click.argument("id")
@click.argument("text")
@click.option("--effective/--not-effective", required=True, help="Did the solution hold?")
@click.option("--incident", metavar="INC-N", help="That was looked back at.")
@connection
def problems_review(
    server: Server, *, as_json: bool, id: str, text: str, effective: bool, incident: str | None
) -> None:
    """Look back: did the solution hold, what is to be learned."""
    body = given(text=text, incident=incident and incident.upper())
    _act(server, id, "review", body | {"effective": effective}, as_json)


@problems.command("action")
@click.argument("id")
@click.argument("text")
@click.option("--owner", required=True, metavar="WHO")
@click.option("--due", required=True, metavar="INSTANT", help="RFC 3339 with an offset.")
@connection
def problems_action(server: Server, *, as_json: bool, id: str, text: str, owner: str, due: str) -> None:
    """Add an action item."""
    _act(server, id, "action", {"text": text, "owner": owner, "due": due}, as_json)


@problems.command("done")
@click.argument("id")
@click.argument("number", type=click.IntRange(min=1))
@connection
def problems_done(server: Server, *, as_json: bool, id: str, number: int) -> None:
    """An action item is done."""
    _act(server, id, "done", {"action": number}, as_json)
