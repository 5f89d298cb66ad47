"""The packs of three kinds of house: sound, tested, and run end to end in a real daemon."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from responder.cli import main
from responder.cli.loading import kinds
from responder.config.loader import load, packs
from tests.adapters.conftest import Loopback, Request, reply, wait_until
from tests.e2e.conftest import daemon
from tests.e2e.kit import Daemon

__all__ = ["daemon"]
HOUSES = ("ecommerce", "government", "software-house")
SECRETS = dict.fromkeys(("COMPLAINTS_TOKEN", "PIPELINE_TOKEN", "JOBS_TOKEN", "FEEDBACK_TOKEN", "DESK_TOKEN"), "s")
HURRY = {
    "every: 30s": "every: 1s",
    "every: 1m": "every: 1s",
    "for: 2m": "for: 1s",
    "for: 3m": "for: 1s",
    "for: 5m": "for: 1s",
}


@pytest.mark.parametrize("name", (*HOUSES, "demo"))
def test_a_pack_passes_check_and_its_own_tests(name: str) -> None:
    file = str(packs()[name])
    checked = CliRunner().invoke(main, ["check", file], env=SECRETS | {"PROMETHEUS_URL": "http://127.0.0.1:9090"})
    assert checked.exit_code == 0, checked.output
    assert name == "demo" or " 0 warnings" in checked.output, checked.output
    tested = CliRunner().invoke(main, ["test", file])
    assert tested.exit_code == 0 and " 0 failed" in tested.output, tested.output


@pytest.mark.parametrize("name", HOUSES)
def test_every_rule_of_a_house_has_a_test_and_every_service_a_promise(name: str) -> None:
    loaded = load(
        [packs()[name]],
        kinds=kinds(),
        env=SECRETS | {"PROMETHEUS_URL": "http://127.0.0.1:9090"},
        strict_secrets=True,
        now=0,
    )
    assert loaded.settings is not None
    tested = {rule for test in loaded.settings.tests for rule in test.rules}
    untested = {rule.id for rule in loaded.settings.rules} - tested
    assert len(untested) <= 4, untested
    for service in loaded.settings.services.values():
        assert service.sla is not None and service.org is not None
    assert loaded.settings.problems


@pytest.mark.real
@pytest.mark.parametrize("name", HOUSES)
def test_a_real_prometheus_understands_every_query_of_a_house(prometheus: str, name: str) -> None:
    result = CliRunner().invoke(main, ["check", str(packs()[name]), "--prometheus", prometheus])
    assert result.exit_code == 0, result.output


class House:
    """A pack in a hurry, with a Prometheus that answers each query by what it contains."""

    def __init__(self, name: str, start: Callable[..., Daemon]) -> None:
        self.answers: dict[str, list[tuple[dict[str, str], float]]] = {}
        self.prometheus = Loopback(self._answer)
        text = packs()[name].read_text()
        for slow, quick in HURRY.items():
            text = text.replace(slow, quick)
        self.daemon = start(text, PROMETHEUS_URL=self.prometheus.url, **SECRETS)

    def _answer(self, request: Request) -> bytes:
        from urllib.parse import unquote_plus

        asked = unquote_plus(request.target + request.body.decode())
        found = next((series for part, series in self.answers.items() if part in asked), [])
        result = [{"metric": labels, "value": [0, str(value)]} for labels, value in found]
        return reply(json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}))

    def tell(self, source: str, body: dict[str, Any]) -> None:
        """Post to a webhook source."""
        self.daemon.post(f"/webhooks/{source}", body, headers={"Authorization": "Bearer s"})

    def by_rule(self) -> dict[str, dict[str, Any]]:
        return {incident["rule"]: incident for incident in self.daemon.incidents()}


@pytest.fixture
def house(daemon: Callable[..., Daemon], tmp_path: Path) -> Any:
    started: list[House] = []

    def start(name: str) -> House:
        started.append(House(name, daemon))
        return started[-1]

    yield start
    for each in started:
        each.prometheus.close()


def test_a_shop_opens_one_incident_for_each_of_three_faults_of_three_sources(house: Callable[[str], House]) -> None:
    shop = house("ecommerce")
    shop.answers = {
        "logistics_last_sync": [({"carrier": "north"}, 1200)],
        "shop_orders_processed_total": [({"region": "eu"}, 40)],
    }
    shop.tell(
        "complaints",
        {"id": "C-7", "topic": "delivery", "text": "A parcel is missing", "status": "firing", "event_id": "1"},
    )
    wait_until(lambda: set(shop.by_rule()) == {"logistics-stale", "order-stalled", "complaint"})
    found = shop.by_rule()
    assert found["order-stalled"]["priority"] == "P1" and found["order-stalled"]["sla"]["response"]["target_s"] == 600
    assert found["logistics-stale"]["problem"] == found["order-stalled"]["problem"] == "PRB-1", "one cause"
    assert (found["complaint"]["owner"], found["complaint"]["problem"]) == ("service-desk", None)
    assert found["complaint"]["title"] == "Complaint C-7: A parcel is missing"
    shop.answers = {"logistics_last_sync": [({"carrier": "north"}, 5)]}
    shop.tell("complaints", {"id": "C-7", "topic": "delivery", "status": "resolved", "event_id": "2"})
    wait_until(lambda: {i["state"] for i in shop.daemon.incidents()} == {"resolved"})


def test_a_platform_weighs_the_same_failure_by_the_people_it_hits(house: Callable[[str], House]) -> None:
    platform = house("government")
    platform.answers = {
        "platform_service_users": [({"service": "social-insurance"}, 5_000_000), ({"service": "archive"}, 10)],
    }
    wait_until(lambda: len(platform.daemon.incidents()) == 2)
    found = {i["service"]: (i["priority"], i["impact"], i["title"]) for i in platform.daemon.incidents()}
    assert found == {
        "social-insurance": ("P1", "high", "social-insurance fails for 5000000 people"),
        "archive": ("P3", "low", "archive fails for 10 people"),
    }
    assert "稍后再试" in platform.daemon.incidents()[0]["description"]
    calendars = platform.daemon.ask("GET", "/metrics").text
    assert 'responder_calendar_open{calendar="office"}' in calendars


def test_a_customers_report_goes_round_the_closed_loop(house: Callable[[str], House]) -> None:
    firm = house("software-house")
    report = {
        "id": "R-1",
        "customer": "Acme",
        "product": "product",
        "severity": "major",
        "subject": "Export is empty",
        "event_id": "1",
    }
    firm.tell("desk", report | {"status": "firing"})
    [incident] = firm.daemon.incidents()
    assert (incident["stage"], incident["priority"], incident["title"]) == ("register", "P2", "Acme: Export is empty")
    assert incident["stages"][0]["owner"] == "service-desk"

    def command(name: str, **args: str) -> dict[str, Any]:
        return dict(firm.daemon.post(f"/api/v1/incidents/INC-1/{name}", args))

    command("acknowledge")
    fix = command("handover", note="reproduced")
    assert (fix["stage"], fix["owner"]) == ("fix", "engineering")
    command("accept")
    verify = command("resolve", cause="an empty template", note="fixed in 7.2")
    assert (verify["state"], verify["stage"], verify["owner"]) == ("resolved", "verify", "test-team")
    inform = command("handover", note="verified")
    assert (inform["stage"], inform["owner"]) == ("inform", "service-desk")
    firm.tell("desk", report | {"status": "resolved", "event_id": "2"})
    done = command("close")
    assert done["state"] == "closed"
    assert [stage["stage"] for stage in done["stages"]] == ["register", "fix", "verify", "inform"]
    assert all(stage["ended_at"] for stage in done["stages"])
