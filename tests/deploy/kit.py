"""What the tests of deploy/ share."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def tool(name: str, *arguments: str, cwd: Path, home: Path, feed: str | None = None) -> str:
    """Run a tool of the machine's packages and return all it prints; skips when it is not there."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed on this machine")
    done = subprocess.run(
        [path, *arguments],
        cwd=cwd,
        env=os.environ | {"HOME": str(home)},
        input=feed,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def metric_names(expr: str) -> set[str]:
    """Return our metrics that an expression asks for."""
    return set(re.findall(r"\bresponder_[a-z_]+\b", expr))
