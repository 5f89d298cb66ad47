"""Files -> settings, or everything that is wrong with them."""

import gc
import glob
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from responder.config.catalogue import (
    compile_causes,
    compile_flows,
    compile_maintenance,
    compile_priorities,
    compile_problems,
    compile_services,
    compile_teams,
    compile_topology,
)
from responder.config.checking import Place, shown
from responder.config.draft import Draft
from responder.config.errors import ConfigError, Mark, Report, did_you_mean
from responder.config.lint import lint_deliveries, lint_rules
from responder.config.nodes import MAX_BYTES, Document, decode, read
from responder.config.promises import compile_calendars, compile_slas
from responder.config.rules import compile_rules
from responder.config.secrets import Vault
from responder.config.server import (
    compile_adapters,
    compile_auth,
    compile_external_url,
    compile_grace,
    compile_listen,
    compile_retention,
    compile_storage,
)
from responder.config.settings import Auth, Kinds, Loaded, Settings
from responder.config.tests import compile_tests, written_tests
from responder.core.signal import Instant

MAX_FILES: Final = 1_000
_HERE = Path(__file__).resolve().parent.parent
_PACKS: Final = (_HERE / "packs", _HERE.parent / "rules")
"""In a wheel, in a checkout."""
_PLACED: Final = ("sources", "channels", "rules")
"""What can turn out not to work only when it is tried."""


def load(
    paths: Sequence[Path],
    *,
    kinds: Kinds,
    env: Mapping[str, str],
    strict_secrets: bool,
    now: Instant,
    listen: str | None = None,
) -> Loaded:
    """Return the configuration of these files and what they include, or all their mistakes.

    Args:
        paths: Taken together, as if one included the others.
        kinds: The sources and channels there are; see :mod:`responder.plugins`.
        env: Where ``token_env:`` looks.
        strict_secrets: A secret that is not set is an error, not a warning. Without it, an
            adapter whose settings make no sense without the secret is left out.
        now: For the warning of holidays that end.
        listen: An address that stands instead of the files'.
    """
    with _without_gc():
        files = _Files(Report())
        for path in paths:
            files.read(path, str(path), None)
        return _compiled(files, kinds, Vault(env, strict_secrets), now, listen)


def load_text(
    text: str,
    *,
    kinds: Kinds,
    env: Mapping[str, str] = {},
    strict_secrets: bool = False,
    now: Instant = 0,
    file: str = "responder.yml",
    listen: str | None = None,
) -> Loaded:
    """Return the configuration of a text as :func:`load` does; *file* is what its marks say."""
    with _without_gc():
        files = _Files(Report())
        files.take(text, file, str(Path(file).parent))
        return _compiled(files, kinds, Vault(env, strict_secrets), now, listen)


def defaults(*, kinds: Kinds, now: Instant = 0, listen: str | None = None) -> Loaded:
    """Return what holds without any file: all push inputs, no polling, and the default pack."""
    return load_text('include: ["pack:default"]', kinds=kinds, now=now, listen=listen, file="built-in")


def packs() -> dict[str, Path]:
    """Return the shipped rule packs by name."""
    return {path.stem: path for folder in _PACKS if folder.is_dir() for path in sorted(folder.glob("*.yml"))}


@contextmanager
def _without_gc() -> Iterator[None]:
    """Keep the collector from walking the growing tree of nodes again and again: half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Files:
    """Reads files and what they include, each once."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.documents: list[Document] = []
        self.paths: list[Path] = []
        self.digest = sha256()

    def read(self, path: Path, name: str, asked: Mark | None) -> None:
        """Read a file; *asked* is where it was included."""
        resolved = path.resolve()
        if resolved in self.paths:
            return
        self.paths.append(resolved)
        try:
            with path.open("rb") as file:
                text = decode(file.read(MAX_BYTES + 1), name)
        except OSError as error:
            which = "the file" if asked is None else name
            self.report.error(asked or Mark(name), f"{which} can't be read: {error.strerror}")
        except ConfigError as error:
            self.report.errors.append(error)
        else:
            self.take(text, name, str(path.parent))

    def take(self, text: str, name: str, folder: str) -> None:
        """Take over a text and what it includes."""
        self.digest.update(f"{name}\0{len(text)}\0".encode())
        self.digest.update(text.encode("utf-8", "surrogatepass"))
        document, errors = read(text, name)
        self.report.errors += errors
        self.report.veil(error.mark for error in errors)
        if document is not None:
            document.folder = folder
            self.documents.append(document)
            self._include(document)

    def _include(self, document: Document) -> None:
        included = document.data.get("include")
        place = Place(document, ("include",))
        if included is None:
            return
        if not isinstance(included, list):
            self.report.error(place.mark(), f"expected a list, found {shown(included)}")
            return
        for i, pattern in enumerate(included):
            if not isinstance(pattern, str) or not pattern:
                self.report.error(place.mark(i), f"expected text, found {shown(pattern)}")
            elif len(self.paths) > MAX_FILES:
                self.report.error(place.mark(i), f"more than {MAX_FILES} files")
            elif pattern.startswith("pack:"):
                self._pack(pattern, place.mark(i))
            else:
                self._glob(pattern, document.folder, place.mark(i))

    def _pack(self, pattern: str, mark: Mark) -> None:
        name = pattern.removeprefix("pack:")
        known = packs()
        if name in known:
            self.read(known[name], pattern, mark)
        else:
            self.report.error(mark, f'there is no rule pack "{name}"', did_you_mean(name, known, "packs"))

    def _glob(self, pattern: str, folder: str, mark: Mark) -> None:
        found = sorted(glob.glob(str(Path(folder, pattern)), recursive=True))  # noqa: PTH207 - absolute patterns too
        if not found and glob.has_magic(pattern):
            self.report.warn(mark, f'no file matches "{pattern}"')
        elif not found:
            self.report.error(mark, f'there is no file "{pattern}"', f"paths are relative to {folder}")
        for path in found:
            if Path(path).is_file():
                self.read(Path(path), path, mark)


def _compiled(files: _Files, kinds: Kinds, vault: Vault, now: Instant, listen: str | None) -> Loaded:
    report = files.report
    draft = Draft(report)
    for document in files.documents:
        draft.add(document)
    settings = _settings(draft, kinds, vault, now, files, listen)
    order = {document.file: i for i, document in enumerate(files.documents)}
    for found in (report.errors, report.warnings):
        found.sort(key=lambda error: (order.get(error.mark.file, -1), error.mark.line, error.mark.column))
    digest = files.digest.hexdigest()
    return Loaded(
        None if report.errors else msgspec.structs.replace(settings, digest=digest),
        report.errors, report.warnings, digest, tuple(files.paths),
        {(section, entry.name): entry.place for section in _PLACED for entry in draft.named(section)},
        tuple(place for _, place in written_tests(draft)),
    )  # fmt: skip


def _momentary(draft: Draft) -> set[str]:
    """Return the sources whose deliveries open and close at once: webhooks whose ``map`` names no ``status``."""
    raws = {entry.name: entry.raw for entry in draft.named("sources") if isinstance(entry.raw, dict)}
    maps = {name: raw.get("map") for name, raw in raws.items() if raw.get("kind") == "webhook"}
    return {name for name, map_ in maps.items() if isinstance(map_, dict) and not map_.get("status")}


def _settings(
    draft: Draft, kinds: Kinds, vault: Vault, now: Instant, files: _Files, listen_instead: str | None
) -> Settings:
    """Compile every section; what is faulty is left out and reported."""
    auth = compile_auth(draft, vault)
    listen = compile_listen(draft, auth, listen_instead)
    sources, source_kinds = compile_adapters("sources", kinds.sources, draft, vault)
    channels, _ = compile_adapters("channels", kinds.channels, draft, vault)
    calendars = compile_calendars(draft, now)
    priorities = compile_priorities(draft)
    rules = compile_rules(draft, source_kinds, priorities)
    lint_rules(rules, draft.report)
    lint_deliveries(rules, _momentary(draft), draft.report)
    return Settings(
        storage=compile_storage(draft, vault),
        listen=listen,
        external_url=compile_external_url(draft, listen),
        auth=auth or Auth(),
        sources=sources,
        channels=channels,
        teams=compile_teams(draft),
        calendars=calendars,
        slas=compile_slas(draft, calendars),
        priorities=priorities,
        services=compile_services(draft),
        flows=compile_flows(draft),
        topology=compile_topology(draft, files.paths),
        rules=tuple(rule for rule, _ in rules.values()),
        problems=compile_problems(draft),
        maintenance=compile_maintenance(draft),
        retention=compile_retention(draft),
        tests=compile_tests(draft),
        startup_grace=compile_grace(draft),
        causes=compile_causes(draft),
    )
