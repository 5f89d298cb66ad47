"""A real Prometheus without targets: it parses queries."""

from collections.abc import Iterator

import pytest

from tests.adapters.conftest import end, free_port, real


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    (folder / "p.yml").write_text("")
    arguments = [
        f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    process = real("prometheus", arguments, port, folder / "log")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)
