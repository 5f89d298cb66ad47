"""The house stands as its plan says: who imports whom, each outside package in its room, what is shipped."""

import os
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS: dict[str, tuple[str, ...]] = {
    "alembic": ("responder.store",),
    "apprise": ("adapters.apprise",),
    "apscheduler": ("responder.poller",),
    "click": ("responder.cli",),
    "fastapi": ("responder.web",),
    "httpcore": ("adapters",),
    "httptools": ("adapters", "responder.web.protocol"),
    "httpx": ("adapters",),
    "jinja2": ("responder.config",),
    "jmespath": ("adapters.json_webhook",),
    "msgspec": ("responder", "adapters"),
    "prometheus_client": ("responder.metrics", "adapters._page", "adapters.scrape"),
    "psycopg": (),
    "pydantic": ("responder.config", "responder.ports", "responder.web", "adapters"),
    "pydantic_core": ("responder.config", "responder.ports"),
    "re2": ("responder.config", "adapters._page"),
    "sqlalchemy": ("responder.store",),
    "starlette": ("responder.web",),
    "typing_extensions": ("responder.web",),
    "uvicorn": ("responder.daemon", "responder.web.protocol"),
    "yaml": ("responder.config",),
}
IMPURE = frozenset(
    {"asyncio", "concurrent", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
     "select", "shutil", "signal", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading",
     "time", "urllib", "uuid"}
)  # fmt: skip
"""What reads a clock, a file or a network, draws lots, logs, or starts a thread."""


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("responder", "adapters", include_external_packages=True)


def imports() -> list[tuple[str, str]]:
    """Return (module of ours, outside package) for every import."""
    house = graph()
    own = [name for name in house.modules if name.split(".")[0] in ("responder", "adapters")]
    return [(name, seen) for name in own for seen in house.find_modules_directly_imported_by(name)]


def test_the_import_contracts_are_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 kept, 0 broken" in done.stdout


def test_each_outside_package_is_imported_in_its_room_only() -> None:
    wrong = []
    for name, seen in imports():
        package = seen.split(".")[0]
        if package in ("responder", "adapters") or package in sys.stdlib_module_names:
            continue
        rooms = ROOMS.get(package)
        if rooms is None or not any(name == room or name.startswith(room + ".") for room in rooms):
            wrong.append(f"{name} imports {seen}")
    assert not wrong, "\n".join(sorted(wrong))


def test_the_core_is_pure() -> None:
    wrong = [
        f"{name} imports {seen}"
        for name, seen in imports()
        if name.startswith("responder.core")
        and not seen.startswith("responder.core")
        and (seen.split(".")[0] in IMPURE or seen.split(".")[0] not in sys.stdlib_module_names | {"msgspec"})
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_a_folder_is_a_room_and_a_file_is_readable_in_one_sitting() -> None:
    long = {
        str(file.relative_to(ROOT)): lines
        for folder in ("responder", "adapters")
        for file in (ROOT / folder).rglob("*.py")
        if (lines := len(file.read_text().splitlines())) > 560
    }
    assert not long, long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-q",
        "-w",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=os.environ | {"PIP_NO_CACHE_DIR": "1"}
    )
    if "BackendUnavailable" in done.stderr or "No module named 'hatchling'" in done.stderr:
        pytest.skip("hatchling is not installed here: the wheel can't be built without an index")
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("incident_responder-*.whl")
    return zipfile.ZipFile(built).namelist()


def test_the_wheel_has_everything_that_runs(wheel: list[str]) -> None:
    names = set(wheel)
    for folder in ("responder", "adapters"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert str(file.relative_to(ROOT)) in names
    for pack in (ROOT / "rules").glob("*.yml"):
        assert f"responder/packs/{pack.name}" in names
    assert {"responder/py.typed", "adapters/py.typed"} <= names
    assert [name for name in wheel if name.startswith("responder/store/migrations/versions/")]


def test_the_wheel_has_nothing_else(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"responder", "adapters"}
    assert not [name for name in wheel if "test_" in name or "__pycache__" in name or name.endswith((".db", ".log"))]
    assert len(wheel) == len(set(wheel)), "a file stands in it twice"
