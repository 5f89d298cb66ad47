"""What the tests of the configuration share: kinds without adapters, and short ways to load."""

from typing import Any

from pydantic import Field

from responder.config import Kinds, Loaded, load_text
from responder.ports import (
    SECOND,
    ChannelSettings,
    Duration,
    PolledSettings,
    Secret,
    SettingsModel,
    SourceSettings,
    Url,
)


class Server(PolledSettings):
    url: Url
    every: Duration = 15 * SECOND
    username: str | None = None
    password: Secret | None = None
    headers: dict[str, str] = {}


class Map(SettingsModel):
    labels: dict[str, str]
    id: str | None = None
    status: str | None = None


class Hmac(SettingsModel):
    secret: Secret


class Hook(SourceSettings):
    map: Map
    token: Secret | None = None
    hmac: Hmac | None = None


class Post(ChannelSettings):
    url: Url
    secret: Secret | None = None


class Mail(ChannelSettings):
    to: list[str] = Field(min_length=1)
    smtp: Url


KINDS = Kinds(
    {"prometheus": Server, "alertmanager": Server, "probe": Server, "scrape": Server, "webhook": Hook},
    {"webhook": Post, "email": Mail, "apprise": Post},
)


def load(text: str, **options: Any) -> Loaded:
    return load_text(text, kinds=KINDS, **options)


def errors(text: str, **options: Any) -> list[str]:
    """Return the errors of a text, each as a person sees it."""
    return [str(error) for error in load(text, **options).errors]


def warnings(text: str, **options: Any) -> list[str]:
    loaded = load(text, **options)
    assert loaded.errors == [], loaded.errors
    return [str(warning) for warning in loaded.warnings]


def rules(text: str) -> Any:
    """Return the rules of a sound text by id."""
    loaded = load(text)
    assert loaded.settings is not None, loaded.errors
    return {rule.id: rule for rule in loaded.settings.rules}
