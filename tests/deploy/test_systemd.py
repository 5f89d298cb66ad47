"""The units of systemd, and what the daemon tells it and takes from it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from responder import notify
from responder.cli import main
from tests.adapters.conftest import fetch, free_port, wait_until
from tests.deploy.kit import DEPLOY, tool

UNITS = DEPLOY / "systemd"


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return parser


def test_systemd_accepts_the_units_and_finds_them_confined(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed on this machine")
    for name in ("responder.service", "responder.socket"):
        text = (UNITS / name).read_text().replace("/opt/responder/bin/responder", shutil.which("true") or "/bin/true")
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in ("responder.service", "responder.socket")]
    assert tool("systemd-analyze", "verify", *files, cwd=tmp_path, home=tmp_path).strip() == ""
    # the exposure level, times ten: 20 is far below what is called exposed
    tool("systemd-analyze", "security", "--offline=true", "--threshold=20", files[0], cwd=tmp_path, home=tmp_path)


def test_the_units_agree_with_the_daemon() -> None:
    service = unit("responder.service")["Service"]
    assert service["Type"] == "notify" and service["ExecReload"].endswith("-HUP $MAINPID")
    assert int(service["TimeoutStopSec"]) >= 30, "the daemon drains for up to 30 s"
    assert unit("responder.socket")["Socket"]["ListenStream"] == "127.0.0.1:9920"


def test_the_first_configuration_is_sound_and_is_what_the_manual_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "install -D -m 0644 deploy/systemd/responder.yml /etc/responder/responder.yml"
    assert line in (DEPLOY / "README.md").read_text()
    monkeypatch.setenv("RESPONDER_STORAGE_URL", "sqlite:////tmp/responder.db")
    result = CliRunner().invoke(main, ["check", "--lint-fatal", str(UNITS / "responder.yml")])
    assert (result.exit_code, "0 warnings" in result.output) == (0, True), result.output


def test_nothing_is_told_outside_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.tell("READY=1")


@pytest.mark.parametrize("abstract", [False, True])
def test_states_arrive_at_the_managers_socket(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"\0responder-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        notify.tell("STATUS=well")
        assert manager.recv(100) == b"STATUS=well"


def test_sockets_of_another_process_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert notify.inherited("127.0.0.1", 9920) is None


def start(folder: Path, port: int, listener: socket.socket, manager: Path) -> "subprocess.Popen[bytes]":
    """Start the daemon as systemd does: the socket is descriptor 3, and the process says who it is."""
    become = (
        f"import os, sys; os.dup2({listener.fileno()}, 3); os.environ |= {{'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}}; "
        f"os.execv(sys.executable, [sys.executable, '-m', 'responder', 'run', '--listen', '127.0.0.1:{port}'])"
    )
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", become], cwd=folder, stdout=log, stderr=log,
            pass_fds=[listener.fileno()], env=os.environ | {"NOTIFY_SOCKET": str(manager)},
        )  # fmt: skip


def test_over_a_restart_connections_wait_in_the_socket_and_the_manager_hears_of_each_state(tmp_path: Path) -> None:
    port = free_port()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.create_server(("127.0.0.1", port)) as listener,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        first = start(tmp_path, port, listener, tmp_path / "notify")
        second = None
        try:
            assert manager.recv(100) == b"READY=1"
            assert fetch(f"http://127.0.0.1:{port}/-/ready")
            assert manager.recv(100) == b"WATCHDOG=1"
            first.send_signal(signal.SIGTERM)
            assert first.wait(30) == 0
            while manager.recv(100) != b"STOPPING=1":
                pass
            with socket.create_connection(("127.0.0.1", port), timeout=20) as waiting:  # nobody serves, nobody refuses
                waiting.sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                second = start(tmp_path, port, listener, tmp_path / "notify")
                assert waiting.recv(15) == b"HTTP/1.1 200 OK"
        finally:
            for process in (first, second):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait()


def test_a_socket_of_another_address_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start(tmp_path, free_port(), listener, tmp_path / "nobody")
        try:
            assert process.wait(30) == 1
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wait_until(lambda: "systemd listens on" in (tmp_path / "log").read_text())
