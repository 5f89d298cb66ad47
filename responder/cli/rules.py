"""Commands that make rules trustworthy: check, test, explain, replay, import."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from responder.cli.loading import file_or_default, files_or_default, load, number, print_findings, sound

if TYPE_CHECKING:
    from responder.config import Loaded

LINT = 3
"""Exit status of ``check --lint-fatal`` when there are warnings."""
_path = click.Path(path_type=Path)
_readable = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("files", nargs=-1, type=_path)
@click.option("--lint-fatal", is_flag=True, help="Exit 3 when there are warnings.")
@click.option("--prometheus", metavar="URL", help="Have this server parse the query of every rule.")
def check(files: tuple[Path, ...], lint_fatal: bool, prometheus: str | None) -> None:
    """Report every mistake of configuration and rules. Each has its place and a hint. FILES default to responder.yml."""
    given = files_or_default(files)
    errors = warnings = rules = 0
    read: set[Path] = set()
    for file in given:
        loaded = load([file], strict=False)
        print_findings(loaded, warnings=True)
        read.update(loaded.files)
        errors, warnings = errors + len(loaded.errors), warnings + len(loaded.warnings)
        if loaded.settings is not None:
            rules += len(loaded.settings.rules)
            warnings += _unbuildable(loaded)
            errors += _untestable(loaded)
            errors += _refused(loaded, prometheus) if prometheus is not None else 0
    if errors:
        click.echo(f"{number(errors, 'error')}, {number(warnings, 'warning')}", err=True)
        sys.exit(1)
    click.echo(f"good: {number(len(read), 'file')}, {number(rules, 'rule')}, {number(warnings, 'warning')}")
    if warnings and lint_fatal:
        sys.exit(LINT)


def _untestable(loaded: "Loaded") -> int:
    """Print what is wrong with the tests; return how much."""
    from responder.trial import mistakes

    if not loaded.tests:
        return 0
    assert loaded.settings is not None
    found = mistakes(loaded.settings, loaded.tests).errors
    for error in found:
        click.echo(str(error), err=True)
    return len(found)


def _unbuildable(loaded: "Loaded") -> int:
    """Print which sources and channels would keep the daemon from starting here; return how many.

    A warning, as with a secret that is not set: the daemon may run on another machine.
    """
    from responder.plugins import unbuildable

    settings = loaded.settings
    assert settings is not None
    found = [("sources", *one) for one in unbuildable(settings.sources).items()]
    found += [("channels", *one) for one in unbuildable(settings.channels).items()]
    for section, name, why in found:
        mark = loaded.places[section, name].key()
        click.echo(f"warning: {mark}: the daemon would not start here: {why}", err=True)
    return len(found)


def _refused(loaded: "Loaded", url: str) -> int:
    """Print which queries the server refuses, and where it stumbles; return how many."""
    from responder.parsing import ParsingError, offset_of, refused

    assert loaded.settings is not None
    try:
        found = refused(loaded.settings, url)
    except ParsingError as error:
        raise click.ClickException(str(error)) from None
    for rule, query, problem in found:
        place, offset = loaded.places["rules", rule].at("when", "metric", "query"), offset_of(query, problem)
        mark = place.mark() if offset is None else place.inside(offset)
        click.echo(f'{mark}: rule "{rule}": {problem}', err=True)
    return len(found)


@click.command()
@click.argument("files", nargs=-1, type=_path)
@click.option("--run", "wanted", metavar="REGEX", default="", help="Only tests whose name matches.")
@click.option("--junit", type=_path, metavar="FILE", help="Write the results as JUnit XML too.")
def test(files: tuple[Path, ...], wanted: str, junit: Path | None) -> None:
    """Run the rule tests of the files on a virtual clock. Packs that a file includes are tested by themselves."""
    from responder.cli import report
    from responder.trial import run

    try:
        named = re.compile(wanted).search
    except re.error as error:
        raise click.UsageError(f"--run: {error}") from None
    outcomes: dict[str, list[Any]] = {}
    for file in files_or_default(files):
        loaded = load([file], strict=False)
        print_findings(loaded, warnings=False)
        if loaded.settings is None or _untestable(loaded):
            raise click.ClickException(f"{file} has errors; none of its tests was run")
        tests = [one for one in loaded.settings.tests if not one.place.startswith("pack:")]
        chosen = [one for one in tests if named(one.name)]
        if not chosen:
            click.echo(f"{file}: no test" + (f" of {len(tests)} matches {wanted}" if tests else "s"))
        outcomes[str(file)] = []
        for outcome in run(loaded.settings, chosen):
            outcomes[str(file)].append(outcome)
            click.echo("\n".join(report.lines(outcome)))
    everything = [outcome for found in outcomes.values() for outcome in found]
    failed = sum(not outcome.good for outcome in everything)
    if junit is not None:
        _write(junit, report.junit(outcomes))
    if everything:
        click.echo(f"{number(len(everything), 'test')}: {len(everything) - failed} passed, {failed} failed")
    if failed:
        sys.exit(1)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"{path} can't be written: {error.strerror}") from None


@click.command()
@click.argument("signal", type=click.File("rb"))
@click.option("--config", type=_path, help="Default: responder.yml here, else built-in defaults.")
@click.option("--source", metavar="NAME", help="By which push source it would come. Default: the Alertmanager API.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def explain(signal: BinaryIO, config: Path | None, source: str | None, as_json: bool) -> None:
    """Say for each rule whether it matches an alert. If it does not, the first condition that fails is told.

    The file (- is standard input) holds one alert as Prometheus posts it, a list of such, or the body of a webhook.
    """
    from responder import explain as explaining
    from responder.clock import SystemClock
    from responder.house import book_of

    settings = sound(config)
    try:
        signals = explaining.read_signals(signal.read(), settings, source, SystemClock().now())
    except explaining.ExplainError as error:
        raise click.ClickException(f"{signal.name}: {error}") from None
    book = book_of(settings)
    found = [(one, explaining.explain(book, one)) for one in signals]
    (_explain_as_json if as_json else _explain_for_people)(found)


def _explain_as_json(found: Any) -> None:
    import msgspec

    shown = [
        {
            "labels": signal.labels,
            "status": "firing" if signal.firing else "resolved",
            "source": signal.source,
            "rules": rules,
        }
        for signal, rules in found
    ]
    click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2))


def _explain_for_people(found: Any) -> None:
    from responder.cli.tables import Cell, clean, paint, show

    for signal, rules in found:
        status = "firing" if signal.firing else "resolved"
        labels = ", ".join(f'{name}="{value}"' for name, value in sorted(signal.labels.items()))
        click.echo(paint(Cell(f"{{{clean(labels)}}} {status}, from {signal.source}", bold=True)))
        rows = []
        for rule in rules:
            key = (
                ""
                if rule.key is None
                else ", ".join(f"{name}={value}" for name, value in rule.key.items()) or "(one for all)"
            )
            words = "; ".join(filter(None, (rule.matches and f"key {key}", rule.why)))
            rows.append([rule.rule, rule.kind, Cell("yes", "green") if rule.matches else Cell("no"), words])
        show(("RULE", "KIND", "MATCHES", "WHY"), rows)


@click.command()
@click.option("--config", type=_path, required=True)
@click.option("--prometheus", metavar="URL", help="Judge the metric rules over what this Prometheus remembers.")
@click.option("--alerts", type=_path, help='Lines of {"at": ..., "alerts": [...]}.')
@click.option("--from", "start", metavar="T", help="RFC 3339.")
@click.option("--to", "end", metavar="T", help="RFC 3339; without it a file is replayed to its end.")
def replay(config: Path, prometheus: str | None, alerts: Path | None, start: str | None, end: str | None) -> None:
    """Print what a history would have led to, as JSON. The daemon's handlers decide, on a virtual clock."""
    from responder import replay as history
    from responder.core.instant import parse_instant

    if (prometheus is None) == (alerts is None):
        raise click.UsageError("give --prometheus or --alerts" + (", not both" if prometheus is not None else ""))
    if prometheus is not None and (start is None or end is None):
        raise click.UsageError("--prometheus needs --from and --to")
    try:
        begin, until = (parse_instant(text) if text is not None else None for text in (start, end))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if begin is not None and until is not None and until < begin:
        raise click.UsageError("--to is before --from")
    loaded = load([where for where in [file_or_default(config)] if where], strict=False)
    print_findings(loaded, warnings=False)
    if loaded.settings is None:
        sys.exit(1)
    try:
        with _Bar() as bar:
            if alerts is not None:
                found = history.replay_alerts(loaded.settings, alerts, until, bar, bar.say)
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

    def say(self, words: str) -> None:
        """Print a line of its own."""
        self._clear()
        click.echo(words, err=True)

    def _clear(self) -> None:
        if self._on:
            click.echo("\r" + " " * 60 + "\r", nl=False, err=True)

    def __exit__(self, *_: object) -> None:
        self._clear()


@click.group(name="import")
def imports() -> None:
    """Turn the rules of other systems into ours."""


@imports.command("prometheus-rules")
@click.argument("files", nargs=-1, required=True, type=_readable)
@click.option("--source", default="prometheus", show_default=True, help="The source that the rules ask.")
def prometheus_rules(files: tuple[Path, ...], source: str) -> None:
    """Turn Prometheus alerting rules into ours. They are printed; what does not translate goes to standard error."""
    from responder.importer import RuleFileError, translate

    try:
        translated = translate(files, source)
    except RuleFileError as error:
        raise click.ClickException(str(error)) from None
    for remark in translated.remarks:
        click.echo(remark, err=True)
    click.echo(translated.text, nl=False)


COMMANDS: dict[str, click.Command] = {
    "check": check, "test": test, "explain": explain, "replay": replay, "import": imports,
}  # fmt: skip
