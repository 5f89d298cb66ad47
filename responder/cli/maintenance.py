"""``responder maintenance``: list, add and end planned windows on a running daemon."""

import urllib.parse
from collections.abc import Sequence
from typing import Any

import click

from responder.cli import words
from responder.cli.asking import connection, given, group, later, print_json
from responder.cli.server import Server
from responder.cli.tables import clean, show
from responder.clock import SystemClock
from responder.core.instant import format_instant, parse_instant

PATH = "/api/v1/maintenance"
maintenance = group("maintenance", "List, add and end maintenance windows.")


@maintenance.command("list")
@click.option("--ended", is_flag=True, help="Those that are over, too.")
@connection
def maintenance_list(server: Server, *, as_json: bool, ended: bool) -> None:
    """Show maintenance windows by their names. There are those of the configuration and those that were announced."""
    found = [item for item in server.items(PATH, (), 0) if ended or item["state"] != "ended"]
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no maintenance")
    else:
        now = SystemClock().now()
        show(words.WINDOW_HEADERS, [words.window_row(item, now) for item in found])


@maintenance.command("add")
@click.argument("name")
@click.option("--service", "services", multiple=True, help="Whose incidents are planned; may be given again.")
@click.option("--match", metavar="SELECTOR", help="Instead of --service: of alerts such as '{host=~\"db.*\"}'.")
@click.option("--reason", required=True)
@click.option("--for", "length", default="1h", show_default=True, metavar="DURATION")
@click.option("--start", metavar="INSTANT", help="RFC 3339 with an offset; default: now.")
@click.option("--end", metavar="INSTANT", help="Instead of --for.")
@click.option("--days", metavar="DAYS", help="For one that recurs: mon-fri, or sat,sun; needs --hours.")
@click.option("--hours", metavar="FROM-TO", help="Such as 02:00-04:00; a TO before FROM is past midnight.")
@click.option("--timezone", metavar="ZONE", default="UTC", show_default=True, help="Of --hours.")
@connection
def maintenance_add(
    server: Server, *, as_json: bool, name: str, services: Sequence[str], match: str | None, reason: str, length: str,
    start: str | None, end: str | None, days: str | None, hours: str | None, timezone: str,
) -> None:  # fmt: skip
    """Announce a window, or change the one of that name. What opens inside is planned, and messages wait."""
    if bool(services) is (match is not None):
        raise click.UsageError("give --service or --match")
    body: dict[str, Any] = {"name": name, "reason": reason} | given(services=list(services), match=match)
    if days is None and hours is None:
        body |= _once(start, end, length)
    elif days is None or hours is None or start is not None or end is not None:
        raise click.UsageError("a window that recurs has --days and --hours, and neither --start nor --end")
    else:
        first, _, last = hours.partition("-")
        body["recurring"] = {"days": days, "from": first.strip(), "to": last.strip(), "timezone": timezone}
    found = server.post(PATH, body)
    print_json(found) if as_json else click.echo(f"{clean(found['name'])} is {found['state']}")


def _once(start: str | None, end: str | None, length: str) -> dict[str, str]:
    begins = start or format_instant(SystemClock().now())
    try:
        begin = parse_instant(begins)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--start") from None
    return {"to": end or later(begin, length, "--for")} | given(**{"from": start})


@maintenance.command("end")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@connection
def maintenance_end(server: Server, *, as_json: bool, names: Sequence[str]) -> None:
    """End announced windows now, or take them back before they begin."""
    found: list[Any] = []
    for name in names:
        found.append(server.delete(f"{PATH}/{urllib.parse.quote(name, safe='')}"))
        if not as_json:
            click.echo(f"{clean(name)} is ended")
    if as_json:
        print_json(found)
