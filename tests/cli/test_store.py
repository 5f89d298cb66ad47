"""Commands that open the store: what is wrong with it is one sentence, never a traceback or its URL."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from responder.cli import main
from responder.store.lock import FileLock

URL = "postgresql+psycopg://ann:swordfish@127.0.0.1:1/db"


@pytest.mark.parametrize("arguments", [("db", "verify"), ("db", "upgrade"), ("run", "--listen", "127.0.0.1:0")])
def test_a_store_that_cannot_be_opened_is_one_sentence(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE", URL)
    Path("responder.yml").write_text("storage: {url_env: STORE}\n")
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "no traceback"
    [sentence] = [line for line in result.output.splitlines() if "Connection refused" in line]
    assert "the store can't be used" in sentence
    assert "swordfish" not in result.output


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("responder.yml").write_text("rules: []\n")
    Path("responder.db").write_text("not a database\n" * 100)
    said = "storage.url: responder.db is not an SQLite database\n"
    for arguments, speaker in (
        (["db", "verify"], "Error"),
        (["db", "upgrade"], "Error"),
        (["run", "--listen", "127.0.0.1:0"], "responder"),
    ):
        result = CliRunner().invoke(main, [*arguments])
        assert (result.exit_code, result.output) == (1, f"{speaker}: {said}"), arguments


@pytest.mark.parametrize("arguments", [("db", "verify"), ("db", "upgrade"), ("run", "--listen", "127.0.0.1:0")])
def test_a_driver_that_is_not_installed_is_said_with_the_command_that_installs_it(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE", URL)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    Path("responder.yml").write_text("storage: {url_env: STORE}\n")
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "PostgreSQL needs the package psycopg, which is not installed" in result.output
    assert "pip install '.[postgres]'" in result.output


def test_a_store_that_is_not_there_or_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["db", "verify"])
    assert (result.exit_code, result.output) == (1, "Error: responder.db does not exist\n")
    Path("responder.db").mkdir()
    result = CliRunner().invoke(main, ["run", "--listen", "127.0.0.1:0"])
    assert (result.exit_code, result.output) == (
        1, "responder: storage.url: responder.db is a folder, and should be a file\n",
    )  # fmt: skip


def test_an_upgrade_does_not_begin_beside_a_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    daemons = FileLock(Path("responder.db"))
    result = CliRunner().invoke(main, ["db", "upgrade"])
    assert result.exit_code == 1
    assert "responder.db is in use by another daemon" in result.output
    assert not Path("responder.db").exists()
    daemons.release()
    result = CliRunner().invoke(main, ["db", "upgrade"])
    assert (result.exit_code, result.output) == (0, "the schema is at revision 0002\n")
    FileLock(Path("responder.db")).release()


def test_a_folder_that_can_not_be_written_to_is_said_to_be_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("responder.yml").write_text("storage: {url: 'sqlite:///nowhere/responder.db'}\n")
    result = CliRunner().invoke(main, ["run", "--listen", "127.0.0.1:0"])
    assert result.exit_code == 1
    assert "nowhere/responder.db.lock can't be opened: No such file or directory\n  hint: storage.url" in result.output


@pytest.mark.parametrize("command", [["verify"], ["upgrade"], ["backup", "copy.db"]])
def test_a_store_whose_variable_is_not_set_is_said_to_be_that(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("responder.yml").write_text("storage: {url_env: NOT_SET_ANYWHERE}\n")
    result = CliRunner().invoke(main, ["db", *command])
    said = "Error: storage.url of responder.yml: the variable or file that it names is not there\n"
    assert (result.exit_code, result.output) == (1, said)


@pytest.mark.parametrize(
    "url", ["ftp://host", "http://:80", "http://host:99999", "https://host:port", "http://host:0", "unix:///socket"]
)
@pytest.mark.parametrize(
    "of", ["sources: {a: {kind: prometheus, url: URL}}", "channels: {a: {kind: webhook, url: URL}}"]
)
def test_a_url_that_is_not_of_an_http_server_is_found_by_check(
    of: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADDRESS", url)
    for written in (of.replace("URL", f'"{url}"'), of.replace("url: URL", "url_env: ADDRESS")):
        Path("responder.yml").write_text(written)
        result = CliRunner().invoke(main, ["check"])
        assert result.exit_code == 1
        assert "not an http:// or https:// URL with a host" in result.output


def test_a_url_whose_variable_is_not_set_is_a_warning_of_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("responder.yml").write_text("channels: {a: {kind: webhook, url_env: NOT_SET_ANYWHERE}}")
    result = CliRunner().invoke(main, ["check"])
    assert (result.exit_code, "NOT_SET_ANYWHERE is not set" in result.output) == (0, True)
