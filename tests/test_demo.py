"""``responder demo`` as a new user runs it: in a process of its own, to its end."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from responder.demo import REGIONS, Shop
from tests.adapters.conftest import fetch, free_port, wait_until

START = 1_767_571_200.0


def value(page: str, name: str, **labels: str) -> float:
    wanted = ",".join(f'{label}="{text}"' for label, text in labels.items())
    series = f"{name}{{{wanted}}}" if wanted else name
    return float(next(line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(series + " ")))


def lived(shop: Shop, start: int, seconds: int) -> str:
    page = ""
    for second in range(start, start + seconds):
        page = shop.page(START + second)
    return page


def test_a_shop_that_is_well_answers_its_orders_and_its_telephone() -> None:
    page = lived(Shop(START), 0, 60)
    for region in REGIONS:
        assert value(page, "shop_orders_pending", region=region) < 10
        assert START + 59 - value(page, "shop_order_oldest_pending_timestamp_seconds", region=region) < 60
    assert value(page, "hotline_calls_waiting") < 10


def test_from_one_broken_interface_everything_follows_and_all_of_it_heals() -> None:
    shop = Shop(START)
    lived(shop, 0, 10)
    shop.compatible = False
    page = lived(shop, 10, 20)
    now = START + 29
    assert now - value(page, "logistics_last_sync_timestamp_seconds", carrier="north") > 900
    assert now - value(page, "logistics_last_sync_timestamp_seconds", carrier="south") == 0
    assert now - value(page, "shop_order_oldest_pending_timestamp_seconds", region="eu") > 600
    assert now - value(page, "shop_order_oldest_pending_timestamp_seconds", region="asia") < 60
    assert value(page, "shop_orders_pending", region="eu") > 500
    assert value(page, "hotline_calls_waiting") > 50
    shop.compatible = True
    page = lived(shop, 30, 20)
    assert value(page, "shop_orders_pending", region="eu") < 10
    assert value(page, "hotline_calls_waiting") < 10


def test_counters_never_fall() -> None:
    shop = Shop(START)
    before: dict[str, float] = {}
    for second in range(120):
        shop.compatible = not 20 < second < 60
        for line in shop.page(START + second).splitlines():
            name, _, text = line.rpartition(" ")
            if "_total" in name and not line.startswith("#"):
                assert float(text) >= before.get(name, 0), name
                before[name] = float(text)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []

    def start(port: int, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-u", "-m", "responder", "demo", "--listen", f"127.0.0.1:{port}", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, env={"TMPDIR": str(tmp_path), "PATH": ""}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_incidents_a_problem_behind_three_services_a_missed_promise_and_recovery_in_one_act(
    demo: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    process = demo(free_port())
    assert process.stdout is not None
    watch = threading.Timer(100, process.kill)
    watch.start()
    told = []
    for line in process.stdout:
        told.append(line)
        if "(hotline) resolved" in line:
            break
    watch.cancel()
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    out = "".join(told) + rest
    said = [
        r"shop +release 4\.2\.0 of logistics-api",
        r"incident +INC-\d opened, P2 for logistics-api: No news from north for \d+m",
        r"http://127\.0\.0\.1:\d+/api/v1/incidents/INC-1",
        r"\(logistics-api\) began soon after version 4\.2\.0",
        r"opened, P1 for order: Orders in eu stand still",
        r"problem +PRB-1: these incidents have one cause",
        r"PRB-1: the likeliest cause is logistics-api",
        r"opened, P3 for hotline: \d+ customers wait",
        r"clock +INC-\d \(order\): the response target is missed",
        r"\(logistics-api\) resolved: by itself",
        r"PRB-1 is a known error now",
        r"Incidents: 4 at 3 services, 4 resolved\. Problems behind them: 1\.",
        r"Promises missed: [12]\. Messages sent: \d+\.",
    ]
    missing = [line for line in said if not re.search(line, out)]
    assert not missing, out
    assert list(tmp_path.iterdir()) == [], "something was left behind"


def test_after_so_many_seconds_it_ends_by_itself(demo: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    process = demo(free_port(), "--seconds", "2")
    out, err = process.communicate(timeout=40)
    assert (process.returncode, err) == (0, "") and "Nothing is left behind." in out
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_it_and_leaves_nothing_behind(demo: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    port = free_port()
    process = demo(port)
    wait_until(lambda: fetch(f"http://127.0.0.1:{port}/-/ready") != b"")
    assert any(tmp_path.iterdir())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, ""), out
    assert "Nothing is left behind." in out
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="refused"):
        fetch(f"http://127.0.0.1:{port}/-/ready")


def test_an_address_that_is_taken_is_told_with_the_way_out(demo: Callable[..., "subprocess.Popen[str]"]) -> None:
    port = free_port()
    demo(port)
    wait_until(lambda: fetch(f"http://127.0.0.1:{port}/-/ready") != b"")
    second = demo(port)
    out, err = second.communicate(timeout=30)
    assert second.returncode == 1
    assert (
        err
        == f"Error: 127.0.0.1:{port} can't be used: Address already in use; choose another with --listen 127.0.0.1:PORT\n"
    )
    assert out == ""
