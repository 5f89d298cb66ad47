"""``responder incidents``, ``services`` and ``silences`` (``problems`` and ``maintenance`` stand beside), on a running daemon."""

import getpass
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import click

from responder.cli import words
from responder.cli.asking import connection, given, group, id_of, later, print_json
from responder.cli.maintenance import maintenance
from responder.cli.problems import problems
from responder.cli.server import Server
from responder.cli.tables import clean, show
from responder.clock import SystemClock
from responder.core.incident import Flag
from responder.core.instant import format_instant, parse_instant
from responder.core.matcher import Matcher, parse_matcher

LEVELS: Final = click.Choice(["high", "medium", "low"])
PRIORITIES: Final = click.Choice(["P1", "P2", "P3", "P4", "P5"], case_sensitive=False)
STATES: Final = ("open", "acknowledged", "in_progress", "paused", "resolved", "closed", "cancelled")


incidents = group("incidents", "List incidents, look at one, and act on it.")
services = group("services", "List services with their state and what was promised.")
silences = group("silences", "List, add and expire silences.")
GROUPS: Final[Mapping[str, click.Command]] = {
    "incidents": incidents, "problems": problems, "services": services, "silences": silences,
    "maintenance": maintenance,
}  # fmt: skip


# Incidents.


@incidents.command("list")
@click.option(
    "--state",
    multiple=True,
    type=click.Choice(["unresolved", *STATES]),
    help="Default: unresolved; of an owner resolved too.",
)
@click.option("--all", "every", is_flag=True, help="In whatever state.")
@click.option("--service", multiple=True)
@click.option("--priority", multiple=True, type=PRIORITIES)
@click.option("--rule", multiple=True)
@click.option("--team", multiple=True, help="Of the service.")
@click.option("--owner", multiple=True, help="The team or the person that has it now.")
@click.option("--problem", metavar="PRB-N")
@click.option("--flag", type=click.Choice(get_args(Flag)))
@click.option("-q", "--search", metavar="TEXT", help="Within the title, or the id.")
@click.option("--due", "by_due", is_flag=True, help="What is due first comes first, not the newest.")
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, help="0: all there are.")
@connection
def incidents_list(
    server: Server, *, as_json: bool, state: Sequence[str], every: bool, service: Sequence[str],
    priority: Sequence[str], rule: Sequence[str], team: Sequence[str], owner: Sequence[str], problem: str | None,
    flag: str | None, search: str | None, by_due: bool, limit: int,
) -> None:  # fmt: skip
    """Show incidents, newest first."""
    owed = ("unresolved", "resolved") if owner else ("unresolved",)  # to verify, to inform the customer
    states = () if every else state or owed
    query = [("state", s) for s in states] + [("service", s) for s in service] + [("rule", r) for r in rule]
    query += [("priority", p.upper()) for p in priority]
    query += [("team", t) for t in team] + [("owner", o) for o in owner]
    query += [(name, text) for name, text in (("problem", problem), ("flag", flag), ("q", search)) if text]
    found = list(server.items("/api/v1/incidents", query, 0 if by_due else limit))
    if by_due:
        found = sorted(found, key=words.first_due)[: limit or None]
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no incidents")
    else:
        now = SystemClock().now()
        show(words.INCIDENT_HEADERS, [words.incident_row(item, now) for item in found])
        if limit and len(found) == limit:
            click.echo(f"the {'first' if by_due else 'newest'} {limit}; --limit 0 shows all", err=True)


@incidents.command("show")
@click.argument("id")
@connection
def incidents_show(server: Server, *, as_json: bool, id: str) -> None:
    """Show one incident with its clocks and alerts."""
    found = server.get(f"/api/v1/incidents/{id_of(id, 'INC')}")
    if as_json:
        print_json(found)
        return
    for line in words.incident_page(found, SystemClock().now()):
        click.echo(line, color=True)


@incidents.command("timeline")
@click.argument("id")
@connection
def incidents_timeline(server: Server, *, as_json: bool, id: str) -> None:
    """Show what happened to an incident."""
    found = list(server.items(f"/api/v1/incidents/{id_of(id, 'INC')}/timeline", (), 0))
    if as_json:
        print_json(found)
    else:
        show(words.EVENT_HEADERS, [words.event_row(item) for item in found])


@incidents.command("open")
@click.option("--service", required=True)
@click.option("--title", required=True)
@click.option("--impact", type=LEVELS)
@click.option("--urgency", type=LEVELS)
@click.option("--priority", type=PRIORITIES, help="Instead of impact and urgency.")
@click.option("--description", default="")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE")
@click.option("--started", metavar="INSTANT", help="When the failure began, RFC 3339 with an offset.")
@click.option("--major", is_flag=True)
@connection
def incidents_open(
    server: Server, *, as_json: bool, service: str, title: str, impact: str | None, urgency: str | None,
    priority: str | None, description: str, labels: Sequence[str], started: str | None, major: bool,
) -> None:  # fmt: skip
    """Report an incident by hand."""
    body = given(
        service=service, title=title, impact=impact, urgency=urgency, priority=priority and priority.upper(),
        description=description, started_at=started, major=major,
    )  # fmt: skip
    found = server.post("/api/v1/incidents", body | {"labels": dict(_pairs(labels))})
    print_json(found) if as_json else click.echo(words.outcome(found))


def _pairs(labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in labels:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--label")
        yield name, value


def _act(server: Server, ids: Sequence[str], name: str, body: Mapping[str, Any], as_json: bool) -> None:
    """Send a command for each incident; one that is refused does not stop the others."""
    failed = False
    for id in ids:
        try:
            found = server.post(f"/api/v1/incidents/{id_of(id, 'INC')}/{name}", body)
        except click.ClickException as error:
            click.echo(f"Error: {id}: {error.message}", err=True)
            failed = True
            continue
        print_json(found) if as_json else click.echo(words.outcome(found))
    if failed:
        raise SystemExit(1)


_ids = click.argument("ids", nargs=-1, required=True, metavar="ID...")
_note = click.option("--note", metavar="TEXT")
_reason = click.option("--reason", required=True, metavar="TEXT")


def _plain(name: str, command: str, help_: str) -> None:
    """Add a command that needs nothing but incidents."""

    @incidents.command(name, help=help_)
    @_ids
    @connection
    def run(server: Server, *, as_json: bool, ids: Sequence[str]) -> None:
        _act(server, ids, command, {}, as_json)


_plain("ack", "acknowledge", "Take notice; ends the response clock.")
_plain("accept", "accept", "Accept the stage, and work on it.")
_plain("resume", "resume", "Let the resolution clock run on.")
_plain("close", "close", "Nothing more will happen to it.")
_plain("unmerge", "unmerge", "Let it stand alone again.")


@incidents.command("assign")
@click.argument("id")
@click.argument("to")
@connection
def incidents_assign(server: Server, *, as_json: bool, id: str, to: str) -> None:
    """Name another owner: a team or a person."""
    _act(server, [id], "assign", {"to": to}, as_json)


@incidents.command("note")
@click.argument("id")
@click.argument("text")
@click.option("--review", is_flag=True, help="It is the review that a major incident waits for.")
@connection
def incidents_note(server: Server, *, as_json: bool, id: str, text: str, review: bool) -> None:
    """Write a note into the timeline."""
    _act(server, [id], "note", {"text": text} | given(review=review), as_json)


@incidents.command("resolve")
@_ids
@click.option("--cause", metavar="TEXT")
@_note
@connection
def incidents_resolve(
    server: Server, *, as_json: bool, ids: Sequence[str], cause: str | None, note: str | None
) -> None:
    """The service is restored."""
    _act(server, ids, "resolve", given(cause=cause, note=note), as_json)


@incidents.command("reopen")
@_ids
@_reason
@connection
def incidents_reopen(server: Server, *, as_json: bool, ids: Sequence[str], reason: str) -> None:
    """It was not over."""
    _act(server, ids, "reopen", {"reason": reason}, as_json)


@incidents.command("cancel")
@_ids
@click.option("--reason", required=True, type=click.Choice(["false_positive", "duplicate", "exercise"]))
@_note
@connection
def incidents_cancel(server: Server, *, as_json: bool, ids: Sequence[str], reason: str, note: str | None) -> None:
    """It was a false positive, a duplicate or an exercise."""
    _act(server, ids, "cancel", given(reason=reason, note=note), as_json)


@incidents.command("pause")
@_ids
@click.option("--reason", required=True, type=click.Choice(["customer", "supplier", "change"]))
@_note
@connection
def incidents_pause(server: Server, *, as_json: bool, ids: Sequence[str], reason: str, note: str | None) -> None:
    """Stop the resolution clock while somebody else has to act."""
    _act(server, ids, "pause", given(reason=reason, note=note), as_json)


@incidents.command("handover")
@click.argument("id")
@click.option("--to", metavar="OWNER", help="Default: the owner of the next stage.")
@_note
@connection
def incidents_handover(server: Server, *, as_json: bool, id: str, to: str | None, note: str | None) -> None:
    """End the stage and name the owner of the next."""
    _act(server, [id], "handover", given(to=to, note=note), as_json)


@incidents.command("priority")
@click.argument("id")
@click.argument("priority", type=PRIORITIES, required=False)
@click.option("--impact", type=LEVELS)
@click.option("--urgency", type=LEVELS)
@_reason
@connection
def incidents_priority(
    server: Server,
    *,
    as_json: bool,
    id: str,
    priority: str | None,
    impact: str | None,
    urgency: str | None,
    reason: str,
) -> None:
    """Set the priority, or impact and urgency."""
    body = given(priority=priority and priority.upper(), impact=impact, urgency=urgency, reason=reason)
    _act(server, [id], "priority", body, as_json)


@incidents.command("exempt")
@_ids
@_reason
@connection
def incidents_exempt(server: Server, *, as_json: bool, ids: Sequence[str], reason: str) -> None:
    """Take it out of the ratios of its SLA."""
    _act(server, ids, "exempt", {"reason": reason}, as_json)


@incidents.command("snooze")
@_ids
@click.option("--for", "length", metavar="DURATION", help="Such as 2h.")
@click.option("--until", metavar="INSTANT", help="RFC 3339 with an offset.")
@connection
def incidents_snooze(
    server: Server, *, as_json: bool, ids: Sequence[str], length: str | None, until: str | None
) -> None:
    """Let messages wait; clocks run on."""
    if (length is None) == (until is None):
        raise click.UsageError("give --for or --until")
    at = later(SystemClock().now(), length, "--for") if length is not None else until
    _act(server, ids, "snooze", {"until": at}, as_json)


@incidents.command("merge")
@click.argument("id")
@click.argument("into")
@connection
def incidents_merge(server: Server, *, as_json: bool, id: str, into: str) -> None:
    """Make it part of another incident."""
    _act(server, [id], "merge", {"into": into.upper()}, as_json)


@incidents.command("major")
@click.argument("id")
@click.option("--lead", required=True, metavar="WHO")
@click.option("--every", default="30m", show_default=True, metavar="DURATION", help="How often there is news.")
@connection
def incidents_major(server: Server, *, as_json: bool, id: str, lead: str, every: str) -> None:
    """Declare a major incident."""
    _act(server, [id], "major", {"lead": lead, "every": every}, as_json)


# Services.


@services.command("list")
@connection
def services_list(server: Server, *, as_json: bool) -> None:
    """Show every service with its state."""
    found = list(server.items("/api/v1/services", (), 0))
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no services")
    else:
        show(words.SERVICE_HEADERS, [words.service_row(item) for item in found])


@services.command("show")
@click.argument("name")
@connection
def services_show(server: Server, *, as_json: bool, name: str) -> None:
    """Show one service: what is open, what was promised, what was kept."""
    found = server.get(f"/api/v1/services/{urllib.parse.quote(name, safe='')}")
    if as_json:
        print_json(found)
        return
    for line in words.service_page(found):
        click.echo(line, color=True)


# Silences, over Alertmanager's API.


@silences.command("list")
@click.argument("matchers", nargs=-1)
@click.option("--expired", is_flag=True, help="Those that are over, too.")
@connection
def silences_list(server: Server, *, as_json: bool, matchers: Sequence[str], expired: bool) -> None:
    """Show silences, those that end first on top. Matchers choose among them."""
    query = [("filter", str(_matcher(text))) for text in matchers]
    found = server.get("/api/v2/silences", query)
    found = [item for item in found if expired or item["status"]["state"] != "expired"]
    found.sort(key=lambda item: parse_instant(item["endsAt"]))
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no silences")
    else:
        now = SystemClock().now()
        show(words.SILENCE_HEADERS, [words.silence_row(item, now) for item in found])


@silences.command("add")
@click.argument("matchers", nargs=-1, required=True)
@click.option("--for", "length", default="1h", show_default=True, metavar="DURATION")
@click.option("--start", metavar="INSTANT", help="RFC 3339 with an offset; default: now.")
@click.option("--end", metavar="INSTANT", help="Instead of --for.")
@click.option("--comment", required=True)
@click.option("--author", help="Default: the user of this machine.")
@connection
def silences_add(
    server: Server, *, as_json: bool, matchers: Sequence[str], length: str, start: str | None, end: str | None,
    comment: str, author: str | None,
) -> None:  # fmt: skip
    """Add a silence for alerts that fit all matchers. Matchers are such as env!=dev and instance=~db.*

    A word without an operator is the name of an alert.
    """
    starts_at = start or format_instant(SystemClock().now())
    try:
        begin = parse_instant(starts_at)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--start") from None
    body = {
        "matchers": [_posted(_matcher(text)) for text in matchers],
        "startsAt": starts_at,
        "endsAt": end or later(begin, length, "--for"),
        "createdBy": author or getpass.getuser(),
        "comment": comment,
    }
    found = server.post("/api/v2/silences", body)
    print_json(found) if as_json else click.echo(found["silenceID"])


@silences.command("expire")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@connection
def silences_expire(server: Server, *, as_json: bool, ids: Sequence[str]) -> None:
    """End silences now."""
    for id in ids:
        server.delete(f"/api/v2/silence/{urllib.parse.quote(id, safe='')}")
        if not as_json:
            click.echo(f"{clean(id)} is expired")
    if as_json:
        print_json({"expired": list(ids)})


def _matcher(text: str) -> Matcher:
    """Read a matcher as amtool does; whether a regex is good is for the daemon to say."""
    try:
        return parse_matcher(text if set(text) & set("=~") else f"alertname={text}", lambda _: lambda _: False)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="MATCHERS") from None


def _posted(of: Matcher) -> dict[str, Any]:
    return {"name": of.name, "value": of.value, "isRegex": "~" in of.op, "isEqual": "!" not in of.op}
