"""A real Prometheus without targets: it parses queries."""

from collections.abc import Iterator

import pytest

from tests.adapters.conftest import prometheus_on


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus_on(tmp_path_factory.mktemp("prometheus")) as url:
        yield url
