"""Where the daemon listens and stores, who may speak to it, and the settings of its adapters."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, RootModel

from responder.config.checking import Place, attempt, check, shown
from responder.config.draft import Draft
from responder.config.errors import Mark, Report, did_you_mean
from responder.config.models import STARTUP_GRACE, AuthForm, RetentionForm, StorageForm
from responder.config.secrets import Vault
from responder.config.settings import RESERVED_SOURCES, Auth, Listen, Storage, Token
from responder.core.catalogue import Retention
from responder.core.signal import Span
from responder.ports import Duration

_SET_AUTH = "set auth: {mode: tokens, tokens: [{name: ops, token_env: RESPONDER_TOKEN, role: responder}]}"
_SCHEMA: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_POSTGRES: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/?\[\]]*)(:\d+)?([/?].*)?")
"""What stands behind the user: host, port, database."""
_HOST: Final = re.compile(r"(?!.*\.\d+\.?$|\d+\.?$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
"""A name; what ends in a number must be an address."""
M = TypeVar("M", bound=BaseModel)


class _Text(RootModel[str]):
    pass


class _Grace(RootModel[Duration]):
    pass


def compile_storage(draft: Draft, vault: Vault) -> Storage:
    """Return the database; one that can't be opened on any machine is an error, a folder missing on this one a warning."""
    entry, form = draft.once("storage"), _with_secrets(StorageForm, "storage", draft, vault)
    if entry is None or form is None:
        return Storage()
    url, mark = form.url.reveal(), entry.place.mark
    folder = attempt(
        _folder_of, url, lambda: mark("url"), draft.report, "sqlite:///FILE or postgresql+psycopg://user@host/db"
    )
    if folder is not None and not folder.is_dir():
        draft.report.warn(mark("url"), f"the folder {folder} does not exist here, so that nothing would start")
    if form.schema_ is not None and url.startswith("sqlite"):
        draft.report.error(mark("schema"), "schema is for PostgreSQL")
    elif form.schema_ is not None and not _SCHEMA.fullmatch(form.schema_):
        draft.report.error(mark("schema"), f"{shown(form.schema_)} is not a plain name", "letters, digits and _")
    return Storage(form.url, form.schema_)


def _folder_of(url: str) -> Path | None:
    """Return where the file of a database lies, if it has one.

    Raises:
        ValueError: No database that we know has such a URL; does not repeat it, because it may hold a password.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "unset":  # a variable that is not set has been told
        return None
    if scheme.partition("+")[0] not in ("sqlite", "postgresql"):
        raise ValueError(f"{scheme} is not supported")
    if scheme not in ("sqlite", "postgresql", "postgresql+psycopg"):
        raise ValueError(f"the driver {scheme.partition('+')[2]} is not supported")
    if scheme != "sqlite":
        if not _POSTGRES.fullmatch(rest.rpartition("@")[2]):
            raise ValueError("not a URL of a PostgreSQL database")
        return None
    file = rest.removeprefix("/").partition("?")[0]
    if not rest.startswith("/") or not file:
        raise ValueError("not a URL of a SQLite file")
    if file == ":memory:":
        raise ValueError("a database in memory would be lost")
    return Path(file).parent


def compile_auth(draft: Draft, vault: Vault) -> Auth | None:
    """Return who may speak to the daemon, or None if that can't be told."""
    entry = draft.once("auth")
    if entry is None:
        return Auth()
    form = _with_secrets(AuthForm, "auth", draft, vault)
    if form is None:
        return None
    names = [token.name for token in form.tokens]
    for i, name in enumerate(names):
        if name in names[:i]:
            draft.report.error(entry.place.mark("tokens", i, "name"), f'token "{name}" is defined twice')
    if form.mode == "tokens" and not names:
        draft.report.error(entry.place.mark("mode"), "mode: tokens without a token lets nobody in", _SET_AUTH)
    if form.mode == "none" and names:
        draft.report.error(entry.place.mark(), "tokens are given, but the mode is none", "add mode: tokens")
    return Auth(form.mode, tuple(Token(token.name, token.token, token.role) for token in form.tokens))


def compile_listen(draft: Draft, auth: Auth | None, override: str | None) -> Listen:
    """Return the address to listen on; one that others can reach needs authentication.

    Args:
        auth: None if it has mistakes of its own.
        override: ``--listen``; it stands instead of the file's.
    """
    entry = draft.once("listen")
    form = check(_Text, entry.raw, entry.place, draft.report) if entry is not None else None
    mark: Callable[[], Mark]
    if override is not None:
        text, mark = override, lambda: Mark("--listen")
    elif entry is not None and form is not None:
        text, mark = form.root, entry.place.mark
    else:
        return Listen()
    listen = attempt(parse_listen, text, mark, draft.report)
    problem = unguarded(listen, auth) if listen is not None and auth is not None else ""
    if problem:
        draft.report.error(mark(), problem, _SET_AUTH)
    return listen or Listen()


def parse_listen(text: str) -> Listen:
    """Return the address of ``HOST:PORT``; an empty host is every address of the machine.

    Raises:
        ValueError: If it is no address.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535 or (host and not _is_host(host)):
        raise ValueError(f'"{text}" is not an address such as 127.0.0.1:9920 or [::1]:9920')
    return Listen(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - refused unless auth is set


def _is_host(text: str) -> bool:
    """Say whether this is an address, one of IPv6 in brackets, or could be the name of a machine."""
    bracketed = text.startswith("[") and text.endswith("]")
    try:
        return (ipaddress.ip_address(text.strip("[]")).version == 6) is bracketed
    except ValueError:
        return not bracketed and _HOST.fullmatch(text) is not None


def unguarded(listen: Listen, auth: Auth) -> str:
    """Return why the daemon must not listen there, or nothing."""
    if auth.mode == "tokens" or listen.host == "localhost":
        return ""
    try:
        loopback = ipaddress.ip_address(listen.host).is_loopback
    except ValueError:
        loopback = False
    return "" if loopback else f"{listen} can be reached by others, and auth is not set"


def compile_external_url(draft: Draft, listen: Listen) -> str:
    """Return the URL that links carry, without a slash at the end."""
    entry = draft.once("external_url")
    form = check(_Text, entry.raw, entry.place, draft.report) if entry is not None else None
    if entry is None or form is None:
        return f"http://{listen}"
    return attempt(_external_url, form.root, entry.place.mark, draft.report) or ""


def _external_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise ValueError(f'"{text}" is not a URL such as https://responder.example')
    return text.rstrip("/")


def compile_retention(draft: Draft) -> Retention:
    entry = draft.once("retention")
    form = check(RetentionForm, entry.raw, entry.place, draft.report) if entry is not None else None
    return Retention(form.signals, form.closed_incidents) if form is not None else Retention()


def compile_grace(draft: Draft) -> Span:
    """Return how long silence is not news after a start."""
    entry = draft.once("startup_grace")
    form = check(_Grace, entry.raw, entry.place, draft.report) if entry is not None else None
    return form.root if form is not None else STARTUP_GRACE


def compile_adapters(
    section: str, models: Mapping[str, type[M]], draft: Draft, vault: Vault
) -> tuple[dict[str, M], dict[str, tuple[str, type[M]]]]:
    """Return the settings of sources or channels by name, and (kind, model) of each."""
    settings: dict[str, M] = {}
    kinds: dict[str, tuple[str, type[M]]] = {}
    for entry in draft.named(section):
        if section == "sources" and entry.name in RESERVED_SOURCES:
            draft.report.error(entry.place.key(), f'"{entry.name}" is the name of a source that is always there')
        kind = _kind(entry.raw, models, entry.place, draft.report)
        if kind is None:
            continue
        kinds[entry.name] = kind, models[kind]
        raw, unknown = vault.resolve(models[kind], entry.raw, entry.place, draft.report)
        found = check(models[kind], raw, entry.place, draft.report, excused=unknown)
        if found is None:
            continue
        settings[entry.name] = found
        service = getattr(getattr(found, "on_failure", None), "service", None)
        if isinstance(service, str):
            draft.refer("services", service, entry.place.at("on_failure", "service"))
    return settings, kinds


def _kind(raw: Any, models: Mapping[str, type[BaseModel]], place: Place, report: Report) -> str | None:
    if not isinstance(raw, dict):
        report.error(place.mark(), f"expected a mapping, found {shown(raw)}")
        return None
    kind = raw.get("kind")
    if kind in models:
        return str(kind)
    if kind is None:
        report.error(place.mark(), 'missing key "kind"', "kinds: " + ", ".join(sorted(models)))
    else:
        report.error(place.mark("kind"), f"{shown(kind)} is not known here", did_you_mean(str(kind), models, "kinds"))
    return None


def _with_secrets(model: type[M], key: str, draft: Draft, vault: Vault) -> M | None:
    entry = draft.once(key)
    if entry is None:
        return None
    raw, unknown = vault.resolve(model, entry.raw, entry.place, draft.report)
    return check(model, raw, entry.place, draft.report, excused=unknown)
