"""What a configuration is once it has been checked: immutable, and all that the daemon starts from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from responder.config.checking import Place
from responder.config.errors import ConfigError
from responder.core.catalogue import (
    CalendarSpec,
    Flow,
    MaintenanceSpec,
    PrioritySpec,
    ProblemSpec,
    Retention,
    Service,
    SlaSpec,
    Team,
    TopologySpec,
)
from responder.core.causes import Weights
from responder.core.rule import Rule
from responder.core.signal import MINUTE, Instant, Span
from responder.ports import ChannelSettings, Secret, SourceSettings

Role: TypeAlias = Literal["viewer", "ingest", "responder", "admin"]
RESERVED_SOURCES: Final = ("am-api", "am-webhook", "grafana")
"""Names under which signals arrive without a source of the configuration."""


class Kinds(Struct, frozen=True):
    """The kinds of sources and channels there are, with the models of their settings."""

    sources: Mapping[str, type[SourceSettings]] = {}
    channels: Mapping[str, type[ChannelSettings]] = {}


class Storage(Struct, frozen=True):
    url: Secret = Secret("sqlite:///responder.db")
    """Hidden, because it may carry a password."""
    schema: str | None = None


class Listen(Struct, frozen=True):
    host: str = "127.0.0.1"
    port: int = 9920

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Token(Struct, frozen=True):
    name: str
    token: Secret
    role: Role


class Auth(Struct, frozen=True):
    mode: Literal["none", "tokens"] = "none"
    tokens: tuple[Token, ...] = ()


class InputSeries(Struct, frozen=True):
    """Samples of a rule test in promtool's notation, as written."""

    series: str
    interval: Span
    values: str


class InputAlert(Struct, frozen=True):
    """An alert of a rule test; ``at`` counts from the test's start."""

    at: Span
    labels: dict[str, str]
    annotations: dict[str, str]
    source: str | None
    hold: Span | None
    """Resolved so long after it fired; none: fires to the end."""


class Expectation(Struct, frozen=True):
    """What there is at an instant; None is not looked at, values are text as written."""

    eval_time: Span
    incidents: tuple[dict[str, Any], ...] | None
    problems: tuple[dict[str, Any], ...] | None
    notifications: tuple[dict[str, Any], ...] | None
    place: str


class RuleTest(Struct, frozen=True):
    name: str
    rules: tuple[str, ...]
    """Empty: all rules."""
    start: Instant
    series: tuple[InputSeries, ...]
    alerts: tuple[InputAlert, ...]
    expect: tuple[Expectation, ...]
    place: str


class Settings(Struct, frozen=True):
    """A whole configuration without mistakes; names that refer to entries are known to exist."""

    storage: Storage
    listen: Listen
    external_url: str
    """Without a slash at the end."""
    auth: Auth
    sources: Mapping[str, SourceSettings]
    channels: Mapping[str, ChannelSettings]
    teams: Mapping[str, Team]
    calendars: Mapping[str, CalendarSpec]
    slas: Mapping[str, SlaSpec]
    priorities: PrioritySpec
    services: Mapping[str, Service]
    flows: Mapping[str, Flow]
    topology: TopologySpec
    rules: tuple[Rule, ...]
    problems: tuple[ProblemSpec, ...]
    maintenance: tuple[MaintenanceSpec, ...]
    retention: Retention
    tests: tuple[RuleTest, ...]
    startup_grace: Span = 5 * MINUTE
    causes: Weights = Weights()
    digest: str = ""
    """Of all texts of the configuration."""


class Loaded(Struct, frozen=True):
    """What came of reading a configuration."""

    settings: Settings | None
    """None if there are errors."""
    errors: list[ConfigError]
    """In the order of files and lines, each with its place."""
    warnings: list[ConfigError]
    digest: str
    files: tuple[Path, ...]
    """Every file that was read, secrets excepted."""
    places: Mapping[tuple[str, str], Place] = {}
    """Where each source, channel and rule stands, by section and name."""
    tests: tuple[Place, ...] = ()
    """Where each test stands, in their order."""
