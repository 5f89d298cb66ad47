"""Fixtures that start real servers and always end them, by their process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import Daemon


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start daemons: ``daemon()`` without a file, ``daemon(config)`` with one."""
    started: list[Daemon] = []

    def start(config: str | None = None, **env: str) -> Daemon:
        folder = tmp_path / f"responder-{len(started)}"
        folder.mkdir()
        started.append(Daemon(folder, config, **env))
        return started[-1].start()

    yield start
    for each in started:
        each.kill()
