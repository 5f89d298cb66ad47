"""Entry points to adapters, one group per port; a module is imported when its kind is used.

``responder`` never imports ``adapters`` by name, so that other distributions can bring
kinds of their own under the same groups.
"""

import importlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points, packages_distributions
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

from responder.ports import UNSET, ChannelSettings, Context, SourceSettings, Webhook

Port: TypeAlias = Literal["sources", "webhooks", "channels"]

DISTRIBUTION: Final = "incident-responder"
_PACKAGE: Final = "adapters"


class PluginError(Exception):
    """An adapter can't be had: unknown, provided twice, broken, or overwritten by another package."""


class HttpPool(Protocol):
    """The ``Context.http`` of one loaded configuration."""

    def __call__(self, name: str, url: Any, **options: Any) -> Any: ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


@lru_cache(maxsize=1)
def check_owner() -> None:
    """Make sure that the package ``adapters`` is ours; other distributions use that name too.

    Raises:
        PluginError: It is another's; names both owners.
    """
    try:
        package = importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise PluginError(f"{DISTRIBUTION} is not whole: {error}; install it again") from None
    if getattr(package, "OWNER", None) == DISTRIBUTION:
        return
    owners = sorted(set(packages_distributions().get(_PACKAGE, ())) - {DISTRIBUTION}) or ["an unknown package"]
    place = getattr(package, "__file__", None) or "a folder without __init__.py"
    raise PluginError(
        f'the package "{_PACKAGE}" belongs to {", ".join(owners)}, not to {DISTRIBUTION} ({place})\n'
        f"  hint: remove {owners[0]}, or give {DISTRIBUTION} a virtual environment of its own, and install it again"
    )


@lru_cache(maxsize=3)
def kinds(port: Port) -> Mapping[str, EntryPoint]:
    """Return what is installed for a port, by kind.

    Raises:
        PluginError: Two distributions provide the same kind.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=f"responder.{port}"), key=lambda point: point.name):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise PluginError(f'{port} "{point.name}" is provided by both {_owner(known)} and {_owner(point)}')
    return found


def source_settings(kind: str) -> type[SourceSettings]:
    """Return the settings model of a kind of source; ``build(context)`` makes a source or a webhook of it.

    Raises:
        PluginError: There is no such kind.
    """
    return cast("type[SourceSettings]", _load("sources", kind))


def channel_settings(kind: str) -> type[ChannelSettings]:
    """Return the settings model of a kind of channel; ``build(context)`` makes a channel of it.

    Raises:
        PluginError: There is no such kind.
    """
    return cast("type[ChannelSettings]", _load("channels", kind))


def webhook(name: str) -> Webhook:
    """Return a webhook that needs no settings: ``am-webhook``, ``grafana``.

    Raises:
        PluginError: There is no such one.
    """
    return cast("Webhook", _load("webhooks", name)(name))


def build(settings: SourceSettings | ChannelSettings, context: Context) -> Any:
    """Return the MetricSource, AlertSource, Webhook or Channel that settings describe.

    Raises:
        ValueError: They can't be made to work: a TLS file is missing, an extra is not installed.
    """
    return cast("Any", settings).build(context)


async def inline(function: Callable[..., Any], *args: Any) -> Any:
    """Call what blocks where it stands: for commands, in which nothing else waits."""
    return function(*args)


def unbuildable(adapters: Mapping[str, SourceSettings] | Mapping[str, ChannelSettings]) -> dict[str, str]:
    """Return which of these sources or channels can't be made to work on this machine, and why.

    Those whose secrets are not known can't be tried.
    """
    pool, found = http_pool(), {}
    for name, settings in adapters.items():
        if any(value == UNSET for _, value in settings):
            continue
        try:
            build(settings, Context(name, pool, inline))
        except ValueError as error:
            found[name] = str(error)
    return found


def http_pool() -> HttpPool:
    """Return the HTTP client of all adapters: one per loaded configuration, closed when its sources are."""
    check_owner()
    return cast("HttpPool", importlib.import_module(f"{_PACKAGE}._http").Pool())


def _load(port: Port, kind: str) -> Any:
    check_owner()
    point = kinds(port).get(kind)
    if point is None:
        raise PluginError(f'no {port.removesuffix("s")} is called "{kind}"; known: {", ".join(kinds(port))}')
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{kind} of {_owner(point)} can't be loaded: {error}") from error


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
