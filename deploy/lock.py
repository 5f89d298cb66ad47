"""Write the lock files: exact versions and the hashes of every file of them, and no host.

Run by ``make lock`` when a dependency changes. pip resolves for this machine; the hashes are
those of all files of a version, so that other machines install from the same lock.
"""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from pathlib import Path

from pip._internal.models.index import PyPI

ROOT = Path(__file__).resolve().parent.parent
BUILD = ["hatchling>=1.27", "editables"]
"""What `pip install -e .` needs of its own; part of no installed distribution."""
HEAD = "# Made by `make lock` from pyproject.toml. Versions and hashes; the index is your pip's own.\n"


def resolve(requirements: list[str]) -> dict[str, str]:
    """Return name -> version of everything that the requirements need."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--dry-run",
            "--ignore-installed",
            "--report",
            report.name,
        ]
        subprocess.run([*command, *requirements], check=True)
        found = json.loads(Path(report.name).read_text())
    return {
        item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"] for item in found["install"]
    }


def hashes(name: str, version: str) -> list[str]:
    """Return the SHA-256 of every file of a version that has not been withdrawn."""
    index = os.environ.get("PIP_INDEX_URL", PyPI.simple_url).rstrip("/")
    request = urllib.request.Request(f"{index}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 the index that pip itself uses
        files = json.load(answer)["files"]
    wheel, sdist = f"-{version}-", f"-{version}.tar.gz"
    return sorted(
        file["hashes"]["sha256"] for file in files if wheel in file["filename"] or file["filename"].endswith(sdist)
    )


def write(path: Path, packages: dict[str, str]) -> None:
    """Write one lock file."""
    lines = [HEAD]
    for name, version in sorted(packages.items()):
        known = " \\\n".join(f"    --hash=sha256:{value}" for value in hashes(name, version))
        lines.append(f"{name}=={version} \\\n{known}\n")
    path.write_text("".join(lines))


def main() -> None:
    """Resolve what runs and what tests, and write both."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    core = project["project"]["dependencies"]
    postgres = project["project"]["optional-dependencies"]["postgres"]
    write(ROOT / "deploy/requirements.lock", resolve([*core, *BUILD]))
    write(ROOT / "deploy/requirements-postgres.lock", resolve([*core, *BUILD, *postgres]))
    write(ROOT / "deploy/requirements-test.lock", resolve([*core, *BUILD, *project["dependency-groups"]["test"]]))


if __name__ == "__main__":
    main()
