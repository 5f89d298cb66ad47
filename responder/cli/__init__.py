"""The command line. Each command imports what it needs when it runs, so that ``--help`` is fast."""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from responder import __version__

if TYPE_CHECKING:
    from responder.config.settings import Loaded

CLIENT = ("incidents", "problems", "services", "silences")
LINT = 3
"""Exit status of ``check --lint-fatal`` when there are warnings."""


class _Group(click.Group):
    """Finds the client's commands only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_client_names()})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in CLIENT:
            groups: dict[str, click.Command] = importlib.import_module("responder.cli.client").GROUPS
            return groups.get(name)
        return super().get_command(ctx, name)


def _client_names() -> list[str]:
    return [*importlib.import_module("responder.cli.client").GROUPS]


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
    """Run the daemon. SIGTERM drains and ends it, SIGHUP loads the configuration again."""
    from responder import log as logs
    from responder.plugins import PluginError, check_owner

    logs.set_up(log_level.upper(), text=None if log is None else log == "text")
    try:
        check_owner()
    except PluginError as error:
        raise click.ClickException(str(error)) from None
    where = _file_or_default(config)

    def load() -> "Loaded":
        return _load([where] if where else [], strict=True, listen=listen)

    loaded = load()
    _print_findings(loaded, warnings=True)
    if loaded.settings is None:
        raise click.ClickException("the configuration has errors; nothing was started")
    from responder import daemon

    sys.exit(daemon.run(loaded.settings, load))


@main.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--lint-fatal", is_flag=True, help="Exit 3 when there are warnings.")
def check(files: tuple[Path, ...], lint_fatal: bool) -> None:
    """Report every mistake of configuration and rules with its place and a hint."""
    given = list(files) or [where for where in [_file_or_default(None)] if where]
    if not given:
        raise click.ClickException("there is no responder.yml here; name a file")
    errors = warnings = rules = 0
    for file in given:
        loaded = _load([file], strict=False)
        _print_findings(loaded, warnings=True)
        errors, warnings = errors + len(loaded.errors), warnings + len(loaded.warnings)
        rules += len(loaded.settings.rules) if loaded.settings else 0
    if errors:
        click.echo(f"{_number(errors, 'error')}, {_number(warnings, 'warning')}", err=True)
        sys.exit(1)
    click.echo(f"good: {_number(len(given), 'file')}, {_number(rules, 'rule')}, {_number(warnings, 'warning')}")
    if warnings and lint_fatal:
        sys.exit(LINT)


@main.command()
@click.option("--config", type=click.Path(path_type=Path), required=True)
@click.option("--prometheus", metavar="URL", help="Judge the metric rules over what this Prometheus remembers.")
@click.option("--alerts", type=click.Path(path_type=Path), help='Lines of {"at": ..., "alerts": [...]}.')
@click.option("--from", "start", metavar="T", help="RFC 3339.")
@click.option("--to", "end", metavar="T", help="RFC 3339; without it a file is replayed to its end.")
def replay(config: Path, prometheus: str | None, alerts: Path | None, start: str | None, end: str | None) -> None:
    """Run a history through the daemon's handlers and print what would have happened, as JSON."""
    from responder import replay as history
    from responder.core.instant import parse_instant

    if (prometheus is None) == (alerts is None):
        raise click.UsageError("give --prometheus or --alerts")
    if prometheus is not None and (start is None or end is None):
        raise click.UsageError("--prometheus needs --from and --to")
    loaded = _load([config], strict=False)
    _print_findings(loaded, warnings=False)
    if loaded.settings is None:
        sys.exit(1)
    try:
        begin, until = (parse_instant(text) if text is not None else None for text in (start, end))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        with _Bar() as bar:
            if alerts is not None:
                found = history.replay_alerts(loaded.settings, alerts, until, bar)
            else:
                assert prometheus is not None and begin is not None and until is not None
                found = history.replay_metrics(loaded.settings, prometheus, begin, until, bar)
            for piece in found:
                sys.stdout.buffer.write(piece)
    except history.ReplayError as error:
        raise click.ClickException(str(error)) from None


class _Bar:
    """On a terminal: how far a replay has come, on one line that goes away."""

    def __init__(self) -> None:
        self._on, self._count = sys.stderr.isatty(), 0

    def __enter__(self) -> "_Bar":
        return self

    def __call__(self, at: int) -> None:
        self._count += 1
        if self._on and self._count % 500 == 0:
            from responder.core.instant import format_instant

            click.echo(f"\r{format_instant(at)[:19]}  {self._count} steps", nl=False, err=True)

    def __exit__(self, *_: object) -> None:
        if self._on:
            click.echo("\r" + " " * 60 + "\r", nl=False, err=True)


@main.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from responder.config.schema import json_schema

    click.echo(json.dumps(json_schema(_kinds()), indent=2))


@main.group()
def db() -> None:
    """Look after the store."""


_config = click.option("--config", type=click.Path(path_type=Path), help="Default: responder.yml here.")


@db.command("upgrade")
@_config
def db_upgrade(config: Path | None) -> None:
    """Bring the schema to this version; the daemon does it at start as well."""
    from responder.store import migrate
    from responder.store.engine import open_engine

    done = migrate.upgrade(open_engine(*_storage(config)))
    click.echo(f"the schema is at revision {migrate.HEAD}" + ("" if done else " already"))


@db.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@_config
def db_backup(target: Path, config: Path | None) -> None:
    """Copy the SQLite file while the daemon uses it, and print the anchor of its timeline."""
    from responder.store.engine import StorageError
    from responder.store.upkeep import backup

    try:
        head = backup(_storage(config)[0], target)
    except StorageError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{target}: anchor {head}")


@db.command("verify")
@click.option("--anchor", metavar="SEQ:HASH", help="Noted at a backup or from the log; shows a timeline rewritten whole.")
@_config
def db_verify(anchor: str | None, config: Path | None) -> None:
    """Check the timeline's chain of hashes, and that incidents are what their events say."""
    from responder.core.incident import apply
    from responder.store.engine import open_engine
    from responder.store.reader import Reader
    from responder.store.upkeep import count, head, verify

    noted = None
    if anchor is not None:
        seq, colon, hash = anchor.partition(":")
        if not colon or not seq.isdigit():
            raise click.ClickException("--anchor is SEQ:HASH, as db backup prints it")
        noted = (int(seq), hash)
    engine = open_engine(*_storage(config), read_only=True)
    faults = list(verify(engine, apply, noted))
    for fault in faults:
        click.echo(fault, err=True)
    with Reader(engine).connect() as connection:
        click.echo(f"{_number(count(connection), 'event')}, head {head(connection)}: " + ("bad" if faults else "good"))
    sys.exit(1 if faults else 0)


def _kinds() -> Any:
    from responder.config.settings import Kinds
    from responder.plugins import channel_settings, kinds, source_settings

    return Kinds(
        {name: source_settings(name) for name in kinds("sources")},
        {name: channel_settings(name) for name in kinds("channels")},
    )


def _load(files: list[Path], *, strict: bool, listen: str | None = None) -> "Loaded":
    from responder.clock import SystemClock
    from responder.config.loader import defaults, load

    now = SystemClock().now()
    return (
        load(files, kinds=_kinds(), env=os.environ, strict_secrets=strict, now=now, listen=listen)
        if files
        else defaults(kinds=_kinds(), now=now, listen=listen)
    )


def _storage(config: Path | None) -> tuple[str, str | None]:
    where = _file_or_default(config)
    if where is None:
        return "sqlite:///responder.db", None
    loaded = _load([where], strict=False)
    if loaded.settings is None:
        _print_findings(loaded, warnings=False)
        raise click.ClickException("the configuration has errors")
    storage = loaded.settings.storage
    return storage.url.reveal(), storage.schema


def _file_or_default(config: Path | None) -> Path | None:
    if config is not None:
        if not config.exists():
            raise click.ClickException(f"{config} does not exist")
        return config
    default = Path("responder.yml")
    return default if default.exists() else None


def _print_findings(loaded: "Loaded", *, warnings: bool) -> None:
    for error in loaded.errors:
        click.echo(str(error), err=True)
    for warning in loaded.warnings if warnings else ():
        click.echo(f"warning: {warning}", err=True)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
