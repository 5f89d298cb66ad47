"""From settings to objects: the rule book and the sources, for the daemon and for replay."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from responder import plugins
from responder.config.settings import Settings
from responder.core.book import Book, FailurePromise, Tally
from responder.core.catalogue import ChannelSpec
from responder.dispatch import threads
from responder.poller import Polled
from responder.ports import AlertSource, Channel, ChannelSettings, Context, MetricSource, PolledSettings, Webhook


def book_of(settings: Settings, tally: Tally | None = None) -> Book:
    """Return the rule book of a configuration."""
    on_failure, polled = {}, []
    for name, source in settings.sources.items():
        if isinstance(source, PolledSettings):
            polled.append(name)
            if source.on_failure is not None:
                promise = source.on_failure
                on_failure[name] = FailurePromise(promise.hold, promise.priority, promise.service)
    return Book(
        settings.rules,
        services=settings.services,
        teams=settings.teams,
        calendars=settings.calendars.values(),
        slas=settings.slas.values(),
        flows=settings.flows.values(),
        priorities=settings.priorities,
        maintenance=settings.maintenance,
        problems=settings.problems,
        topology=settings.topology,
        causes=settings.causes,
        on_failure=on_failure,
        polled=polled,
        sources=settings.sources,
        channels=[_spec(name, channel) for name, channel in settings.channels.items()],
        external_url=settings.external_url,
        tally=tally,
    )


def _spec(name: str, channel: Any) -> ChannelSpec:
    return ChannelSpec(name, channel.bundle, channel.rate.count, channel.rate.within, channel.repeat)


class Source:
    """A source of the configuration, built."""

    def __init__(self, name: str, settings: Any, adapter: Any) -> None:
        self.name, self.kind = name, settings.kind
        self.settings, self._adapter = settings, adapter

    @property
    def webhook(self) -> Webhook | None:
        """Return what reads pushed bodies, if it is pushed."""
        return self._adapter if isinstance(self._adapter, Webhook) else None

    @property
    def hears(self) -> bool:
        """Say whether alerts come from it, pushed or polled."""
        return isinstance(self._adapter, Webhook | AlertSource)

    def polled(self, book: Book) -> Iterator[Polled]:
        """Yield what is to be asked of it under a rule book."""
        if isinstance(self._adapter, MetricSource):
            for query in book.queries:
                if query.source == self.name:
                    yield Polled(self.name, self._adapter, query.every, query)
        elif isinstance(self._adapter, AlertSource):
            yield Polled(self.name, self._adapter, self.settings.every)

    @property
    def adapter(self) -> Any:
        """Return the adapter itself."""
        return self._adapter

    async def aclose(self) -> None:
        """Give back what it holds."""
        if not isinstance(self._adapter, Webhook):
            await self._adapter.aclose()


def build_sources(
    settings: Settings, pool: Any, run_blocking: Callable[..., Awaitable[Any]], known: Mapping[str, Source] = {}
) -> dict[str, Source]:
    """Return the sources of a configuration by name; of *known* those whose settings are the same stay as they are.

    Raises:
        ValueError: One can't be made to work; says which.
    """
    found = {}
    for name, source in settings.sources.items():
        if name in known and known[name].settings == source:
            found[name] = known[name]
            continue
        try:
            found[name] = Source(name, source, plugins.build(source, Context(name, pool, run_blocking)))
        except ValueError as error:
            raise ValueError(f'source "{name}": {error}') from error
    return found


def build_channels(settings: Settings, pool: Any) -> dict[str, Channel]:
    """Return the channels of a configuration by name.

    Raises:
        ValueError: One can't be made to work; says which.
    """
    found: dict[str, Channel] = {}
    for name, channel in settings.channels.items():
        assert isinstance(channel, ChannelSettings)
        try:
            found[name] = plugins.build(channel, Context(name, pool, threads(name)))
        except ValueError as error:
            raise ValueError(f'channel "{name}": {error}') from error
    return found
