"""amtool against the daemon: what people do with silences and alerts by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kit import Daemon, tool

pytestmark = pytest.mark.real


@pytest.fixture
def responder(daemon: Callable[..., Daemon]) -> Daemon:
    return daemon()


@pytest.fixture
def amtool(responder: Daemon, tmp_path: Path) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        return tool("amtool", f"--alertmanager.url={responder.url}", *arguments, home=tmp_path)

    return run


def queried(amtool: Callable[..., str], *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(amtool(*arguments, "-o", "json"))
    return found


def test_silences_are_added_queried_updated_and_expired(responder: Daemon, amtool: Callable[..., str]) -> None:
    id = amtool("silence", "add", "alertname=Disk", 'instance=~"a.*"', "-d", "1h", "-c", "move", "-a", "ann").strip()
    [silence] = queried(amtool, "silence", "query")
    assert (silence["id"], silence["createdBy"], silence["comment"]) == (id, "ann", "move")
    assert silence["status"] == {"state": "active"}
    responder.fire({"alertname": "Disk", "instance": "abc"}, {"alertname": "Disk", "instance": "b"})
    assert [a["labels"]["instance"] for a in queried(amtool, "alert", "query")] == ["b"]
    [silenced] = queried(amtool, "alert", "query", "--silenced")
    assert silenced["status"] == {"inhibitedBy": [], "silencedBy": [id], "state": "suppressed"}

    updated = amtool("silence", "update", "-d", "3h", "-c", "longer", id)
    assert id in updated
    [after] = queried(amtool, "silence", "query")
    assert (after["id"], after["comment"]) == (id, "longer") and after["endsAt"] > silence["endsAt"]

    amtool("silence", "expire", id)
    assert queried(amtool, "silence", "query") == []
    [expired] = queried(amtool, "silence", "query", "--expired")
    assert (expired["id"], expired["status"]) == (id, {"state": "expired"})
    assert len(queried(amtool, "alert", "query")) == 2

    exported = json.dumps([silence | {"id": "", "comment": "imported"}])
    (responder.folder / "silences.json").write_text(exported)
    imported = amtool("silence", "import", str(responder.folder / "silences.json")).strip()
    assert [s["comment"] for s in queried(amtool, "silence", "query")] == ["imported"]
    assert amtool("silence", "query", "-q").strip() in imported


def test_alerts_are_added_and_queried(responder: Daemon, amtool: Callable[..., str]) -> None:
    amtool("alert", "add", "Disk", "instance=a", "severity=critical", "--annotation=summary=full")
    amtool("alert", "add", "alertname=Load", "instance=b")
    assert {a["labels"]["alertname"] for a in queried(amtool, "alert", "query")} == {"Disk", "Load"}
    [disk] = queried(amtool, "alert", "query", "alertname=Disk")
    assert (disk["annotations"], disk["receivers"]) == ({"summary": "full"}, [{"name": "default-name"}])
    assert [a["labels"]["alertname"] for a in queried(amtool, "alert", "query", "instance!=a")] == ["Load"]
    assert [i["title"] for i in responder.incidents()] == ["full", "Load"]
    assert "full" in amtool("alert", "query", "-o", "extended")


def test_the_configuration_can_be_read_as_that_of_an_alertmanager(
    responder: Daemon, amtool: Callable[..., str]
) -> None:
    assert "receiver: none" in amtool("config", "show")
    assert "default-route  receiver: none" in amtool("config", "routes")
    names = [receiver["name"] for receiver in responder.get("/api/v2/receivers")]
    assert names[-1] == "none" and all(f"- name: {name}" in amtool("config", "show").replace('"', "") for name in names)
