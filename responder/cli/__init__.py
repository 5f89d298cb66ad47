"""The command line. Each command imports what it needs when it runs, so that ``--help`` is fast."""

import importlib
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from responder import __version__
from responder.cli.loading import Group, file_or_default, kinds, number, print_findings, sound
from responder.cli.loading import load as load_files

if TYPE_CHECKING:
    from responder.config.settings import Loaded

ELSEWHERE = dict.fromkeys(
    ("incidents", "problems", "services", "silences", "maintenance"), ("responder.cli.client", "GROUPS")
)
ELSEWHERE |= dict.fromkeys(("check", "test", "explain", "replay", "import"), ("responder.cli.rules", "COMMANDS"))
"""Commands of other modules: where each stands in which mapping."""


class _Group(Group):
    """Finds the commands of other modules only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *ELSEWHERE})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in ELSEWHERE:
            return super().get_command(ctx, name)
        module, mapping = ELSEWHERE[name]
        found: click.Command | None = getattr(importlib.import_module(module), mapping).get(name)
        return found


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="responder")
def main() -> None:
    """Turns the signals of a monitoring stack into incidents, and runs every promised clock."""


@main.command()
@click.option("--config", type=click.Path(path_type=Path), help="Default: responder.yml here, else built-in defaults.")
@click.option("--listen", metavar="HOST:PORT", help="Instead of the configuration's.")
@click.option("--log", type=click.Choice(["text", "json"]), help="Default: text on a terminal, else JSON lines.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def run(config: Path | None, listen: str | None, log: str | None, log_level: str) -> None:
    """Run the daemon. SIGTERM ends it, SIGHUP loads again. Status 1: can't start; 3: its database went on without it."""
    from responder import log as logs
    from responder.plugins import PluginError, check_owner

    logs.set_up(log_level.upper(), text=None if log is None else log == "text")
    try:
        check_owner()
    except PluginError as error:
        raise click.ClickException(str(error)) from None
    where = file_or_default(config)

    def load() -> "Loaded":
        return load_files([where] if where else [], strict=True, listen=listen)

    loaded = load()
    print_findings(loaded, warnings=True)
    settings = loaded.settings
    del loaded  # it holds the trees of all files, which the daemon would never let go
    if settings is None:
        raise click.ClickException("the configuration has errors; nothing was started")
    from responder import daemon

    sys.exit(daemon.run(settings, load))


@main.command()
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:9920", show_default=True)
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after so long.")
def demo(listen: str, seconds: float | None) -> None:
    """Run the daemon on a simulated shop that breaks and heals. It needs nothing else and leaves nothing behind."""
    from responder import demo as shop
    from responder import log as logs

    logs.set_up("WARNING", text=True)
    try:
        shop.run(kinds(), listen, seconds, click.echo)
    except shop.CannotStart as error:
        raise click.ClickException(str(error)) from None


@main.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from responder.config.schema import json_schema

    click.echo(json.dumps(json_schema(kinds()), indent=2))


class _OfStore(click.Group):
    """Commands that end with one sentence when the store can't be opened."""

    def invoke(self, ctx: click.Context) -> Any:
        from responder.store.engine import DatabaseError, StorageError, sentence

        try:
            return super().invoke(ctx)
        except (DatabaseError, StorageError) as error:
            raise click.ClickException(sentence(error)) from None


@main.group(cls=_OfStore)
def db() -> None:
    """Look after the store."""


_config = click.option("--config", type=click.Path(path_type=Path), help="Default: responder.yml here.")


@db.command("upgrade")
@_config
def db_upgrade(config: Path | None) -> None:
    """Bring the schema to this version, while no daemon uses the file. The daemon does it at its start as well."""
    from responder.store import migrate
    from responder.store.engine import open_engine, path_of
    from responder.store.lock import FileLock

    url, schema = _storage(config)
    file = path_of(url)
    with ExitStack() as after:
        if file is not None:
            after.callback(FileLock(file).release)
        done = migrate.upgrade(open_engine(url, schema))
    click.echo(f"the schema is at revision {migrate.HEAD}" + ("" if done else " already"))


@db.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@_config
def db_backup(target: Path, config: Path | None) -> None:
    """Copy the SQLite file while the daemon uses it. Prints the anchor of its timeline."""
    from responder.store.upkeep import backup

    head = backup(_storage(config)[0], target)
    click.echo(f"{target}: anchor {head}")


@db.command("verify")
@click.option(
    "--anchor", metavar="SEQ:HASH", help="Noted at a backup or from the log; shows a timeline rewritten whole."
)
@_config
def db_verify(anchor: str | None, config: Path | None) -> None:
    """Check the timeline's chain of hashes. Incidents must be what their events say."""
    from responder.core.incident import apply
    from responder.store.engine import open_engine, path_of
    from responder.store.reader import Reader
    from responder.store.upkeep import count, head, verify

    noted = None
    if anchor is not None:
        seq, colon, hash = anchor.partition(":")
        if not colon or not seq.isdigit():
            raise click.ClickException("--anchor is SEQ:HASH, as db backup prints it")
        noted = (int(seq), hash)
    url, schema = _storage(config)
    file = path_of(url)
    if file is not None and not file.exists():
        raise click.ClickException(f"{file} does not exist")
    engine = open_engine(url, schema, read_only=True)
    faults = list(verify(engine, apply, noted))
    for fault in faults:
        click.echo(fault, err=True)
    with Reader(engine).connect() as connection:
        click.echo(f"{number(count(connection), 'event')}, head {head(connection)}: " + ("bad" if faults else "good"))
    sys.exit(1 if faults else 0)


def _storage(config: Path | None) -> tuple[str, str | None]:
    where = file_or_default(config)
    if where is None:
        return "sqlite:///responder.db", None
    from responder.ports import UNSET

    storage = sound(where).storage
    url = storage.url.reveal()
    if url == UNSET.reveal():
        raise click.ClickException(f"storage.url of {where}: the variable or file that it names is not there")
    return url, storage.schema
