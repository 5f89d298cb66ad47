"""``responder check``: what keeps the daemon from starting is said with its place."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from responder.cli import main


def check(folder: Path, text: str, *options: str) -> tuple[int, str]:
    file = folder / "responder.yml"
    file.write_text(text)
    result = CliRunner().invoke(main, ["check", str(file), *options])
    return result.exit_code, result.output.replace(str(folder), "")


def test_a_source_that_cannot_be_made_to_work_here_is_a_warning_with_its_place(tmp_path: Path):
    text = 'sources:\n  p: {kind: prometheus, url: "https://x", tls: {ca_file: /none/ca.pem}}\n'
    code, output = check(tmp_path, text)
    assert code == 0
    told = "warning: /responder.yml:2:3: the daemon would not start here: TLS files ca.pem: No such file or directory"
    assert told in output
    assert "1 warning" in output
    assert check(tmp_path, text, "--lint-fatal")[0] == 3


def test_an_address_or_a_header_that_no_server_takes_is_an_error(tmp_path: Path):
    code, output = check(tmp_path, 'sources:\n  p: {kind: prometheus, url: "https://x/\u00e4", headers: {"a b": c}}\n')
    assert code == 1
    assert "/responder.yml:2:30: the path of the URL has characters that no server takes" in output
    assert "/responder.yml:2:54: header 'a b' has characters that no header may have" in output


def test_the_files_that_were_included_are_counted_each_once(tmp_path: Path):
    (tmp_path / "branches").mkdir()
    for branch in ("east", "west"):
        (tmp_path / "branches" / f"{branch}.yml").write_text(f"teams: {{{branch}: {{lead: Ada}}}}\n")
    status, said = check(tmp_path, 'include: ["branches/*.yml", "branches/east.yml"]\n')
    assert (status, said.splitlines()[-1]) == (0, "good: 3 files, 0 rules, 0 warnings")


def test_a_secret_that_is_not_set_is_told_once(tmp_path: Path):
    code, output = check(tmp_path, "sources:\n  p: {kind: prometheus, url_env: NOT_SET_HERE}\n")
    assert (code, output.count("warning: ")) == (0, 1)


@pytest.mark.parametrize(("said", "meant"), [("incident", "incidents"), ("chek", "check"), ("silence", "silences")])
def test_a_misspelt_command_is_told_which_was_meant(said: str, meant: str) -> None:
    answer = CliRunner().invoke(main, [said])
    assert (answer.exit_code, f"No such command '{said}'.\n  hint: did you mean '{meant}'?" in answer.output) == (
        2,
        True,
    )
