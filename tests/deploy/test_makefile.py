"""The first command of a newcomer."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.kit import ROOT


def test_a_python_that_is_too_old_is_named_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    for file in ("Makefile", "pyproject.toml", "deploy/requirements.lock"):
        shutil.copy(ROOT / file, tmp_path / file)
    old = tmp_path / "python3.9"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'import sys; sys.version_info = (3, 9, 1); exec(sys.argv[2])' \"$@\"\n"
    )
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "run", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    said = f"responder needs Python 3.11 or later, and {old} is 3.9: make PYTHON=python3.11 TARGET"
    assert done.stderr.splitlines()[0] == said
    assert not (tmp_path / ".venv").exists()
