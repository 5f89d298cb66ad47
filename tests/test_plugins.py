"""Kinds are found by their entry points, and nobody else's package passes for ours."""

from importlib.metadata import EntryPoint

import pytest

import adapters
from responder import plugins
from responder.ports import ChannelSettings, SourceSettings


@pytest.mark.parametrize(
    "kind", ["prometheus", "prometheus-alerts", "alertmanager", "scrape", "probe", "webhook", "pagerduty"]
)
def test_every_source_kind_has_a_settings_model(kind: str) -> None:
    model = plugins.source_settings(kind)
    assert issubclass(model, SourceSettings) and model.model_config["extra"] == "forbid"
    assert model.model_fields["kind"].default == kind and callable(model.build)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["webhook", "email", "apprise"])
def test_every_channel_kind_has_a_settings_model(kind: str) -> None:
    model = plugins.channel_settings(kind)
    assert issubclass(model, ChannelSettings) and model.model_fields["kind"].default == kind


@pytest.mark.parametrize("name", ["am-webhook", "grafana"])
def test_the_reserved_webhooks_need_no_settings(name: str) -> None:
    assert plugins.webhook(name).authentic({}, b"")


def test_an_unknown_kind_is_told_with_the_known_ones() -> None:
    with pytest.raises(
        plugins.PluginError, match=r'no source is called "prometeus"; known: alertmanager, .*prometheus'
    ):
        plugins.source_settings("prometeus")


def test_every_settings_model_has_a_json_schema() -> None:
    for kind in plugins.kinds("sources"):
        assert plugins.source_settings(kind).model_json_schema()["additionalProperties"] is False
    for kind in plugins.kinds("channels"):
        assert plugins.channel_settings(kind).model_json_schema()["additionalProperties"] is False


def test_a_foreign_package_over_ours_is_refused_with_both_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "OWNER", "somebody")
    monkeypatch.setattr(plugins, "packages_distributions", lambda: {"adapters": ["incident-responder", "adapters-py"]})
    plugins.check_owner.cache_clear()
    with pytest.raises(plugins.PluginError, match="belongs to adapters-py, not to incident-responder"):
        plugins.http_pool()


def test_a_kind_that_two_distributions_provide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("mail", "ours:Mail", "g"), EntryPoint("mail", "theirs:Mail", "g")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    plugins.kinds.cache_clear()
    try:
        with pytest.raises(plugins.PluginError, match="provided by both ours:Mail and theirs:Mail"):
            plugins.kinds("channels")
    finally:
        plugins.kinds.cache_clear()
