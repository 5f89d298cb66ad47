"""What commands share: configurations from files, and their mistakes in print."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from responder.config.settings import Kinds, Loaded, Settings


class Group(click.Group):
    """Says which command was meant: ``incident`` is ``incidents``, ``acknowledge``, as the API calls it, ``ack``."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from responder.config.errors import nearest

            names = self.list_commands(ctx)
            meant = [name for name in names if args[0].startswith(name)] or nearest(args[0], names)
            hint = f"\n  hint: did you mean {meant[0]!r}?" if meant else ""
            raise click.UsageError(error.message + hint, ctx) from None


def kinds() -> "Kinds":
    """Return the installed kinds of sources and channels."""
    from responder.config.settings import Kinds
    from responder.plugins import channel_settings, kinds, source_settings

    return Kinds(
        {name: source_settings(name) for name in kinds("sources")},
        {name: channel_settings(name) for name in kinds("channels")},
    )


def load(files: list[Path], *, strict: bool, listen: str | None = None) -> "Loaded":
    """Return the configuration of these files, or the built-in one without any."""
    from responder.clock import SystemClock
    from responder.config import loader

    now = SystemClock().now()
    if not files:
        return loader.defaults(kinds=kinds(), now=now, listen=listen)
    return loader.load(files, kinds=kinds(), env=os.environ, strict_secrets=strict, now=now, listen=listen)


def sound(config: Path | None) -> "Settings":
    """Return the settings of a file, of ``responder.yml`` here or the built-in ones; ends the command at mistakes."""
    where = file_or_default(config)
    loaded = load([where] if where else [], strict=False)
    if loaded.settings is None:
        print_findings(loaded, warnings=False)
        raise click.ClickException("the configuration has errors")
    return loaded.settings


def file_or_default(config: Path | None) -> Path | None:
    """Return the file that was named, else ``responder.yml`` if there is one here."""
    if config is not None:
        if not config.exists():
            raise click.ClickException(f"{config} does not exist")
        return config
    default = Path("responder.yml")
    return default if default.exists() else None


def files_or_default(files: tuple[Path, ...]) -> list[Path]:
    """Return the files that were named, else ``responder.yml``, which has to be here then."""
    given = list(files) or [where for where in [file_or_default(None)] if where]
    if not given:
        raise click.ClickException("there is no responder.yml here; name a file")
    return given


def print_findings(loaded: "Loaded", *, warnings: bool) -> None:
    """Print mistakes, and warnings when wanted, to standard error."""
    for error in loaded.errors:
        click.echo(str(error), err=True)
    for warning in loaded.warnings if warnings else ():
        click.echo(f"warning: {warning}", err=True)


def number(count: int, noun: str) -> str:
    """Return ``1 file``, ``2 files``."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
