"""Maintenance windows from the command line, against the real API."""

import json

import pytest

from tests.cli.conftest import Run, Running, lines

HOUR = "2999-01-05T00:00:00Z"


def test_a_window_is_announced_listed_and_ended(daemon: Running, run: Run) -> None:
    assert lines(run("maintenance", "list")) == ["no maintenance"]
    args = ("--service", "order", "--reason", "new\x1b[31m disks", "--for", "2h")
    assert lines(run("maintenance", "add", "disks", *args)) == ["disks is active"]
    _, row = lines(run("maintenance", "list"))
    assert row.split()[:4] == ["disks", "active", "ends", "in"]
    assert "order" in row and "\x1b" not in row
    assert lines(run("maintenance", "end", "disks")) == ["disks is ended"]
    assert lines(run("maintenance", "list")) == ["no maintenance"]
    _, row = lines(run("maintenance", "list", "--ended"))
    assert row.split()[:3] == ["disks", "ended", "ended"]


def test_scripts_get_what_the_api_says(daemon: Running, run: Run) -> None:
    added = json.loads(run("maintenance", "add", "m", "--match", '{host=~"db.*"}', "--reason", "r", "--start", HOUR,
                           "--json").stdout)  # fmt: skip
    assert (added["from"], added["to"], added["match"]) == (HOUR, "2999-01-05T01:00:00Z", '{host=~"db.*"}')
    assert [item["name"] for item in json.loads(run("maintenance", "list", "--json").stdout)] == ["m"]
    [ended] = json.loads(run("maintenance", "end", "m", "--json").stdout)
    assert ended["state"] == "ended"


def test_a_window_that_recurs_has_days_and_hours(daemon: Running, run: Run) -> None:
    hours = ("--days", "mon-fri", "--hours", "23:00-02:00", "--timezone", "Europe/Berlin")
    assert lines(run("maintenance", "add", "nightly", "--service", "order", "--reason", "backups", *hours))
    _, row = lines(run("maintenance", "list"))
    assert "23:00-02:00 Europe/Berlin" in row


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--reason", "r"), "give --service or --match"),
        (("--reason", "r", "--service", "order", "--match", "{}"), "give --service or --match"),
        (("--service", "order"), "Missing option '--reason'"),
        (("--reason", "r", "--service", "order", "--days", "sat"), "has --days and --hours"),
        (("--reason", "r", "--service", "order", "--for", "soon"), "'soon' is not a duration"),
        (("--reason", "r", "--service", "order", "--start", "now"), "--start"),
        (("--reason", "r", "--service", "shoop"), 'there is no service "shoop" in the catalogue'),
        (("--reason", "r", "--service", "oder"), 'in the catalogue; did you mean "order"?'),
        (("--reason", "r", "--service", "order", "--days", "sat", "--hours", "never"), "HTTP 422"),
        (("--reason", "r", "--service", "order", "--days", "sat", "--hours", "24:00-02:00"), "24:00 is only an end"),
        (("--reason", "r", "--match", "{host=~"), "HTTP 422"),
    ],
)
def test_a_window_that_can_not_be_is_refused_in_a_sentence(
    daemon: Running, run: Run, args: tuple[str, ...], words: str
) -> None:
    done = run("maintenance", "add", "m", *args)
    assert done.exit_code in (1, 2)
    assert words in done.stderr
    assert lines(run("maintenance", "list", "--ended")) == ["no maintenance"]


def test_any_name_that_can_be_announced_can_be_ended(daemon: Running, run: Run) -> None:
    run("maintenance", "add", "eu/db ?#%", "--service", "order", "--reason", "r")
    assert lines(run("maintenance", "end", "eu/db ?#%")) == ["eu/db ?#% is ended"]


def test_a_window_that_is_not_there_can_not_be_ended(daemon: Running, run: Run) -> None:
    done = run("maintenance", "end", "no/such")
    assert done.exit_code == 1
    assert "no maintenance" in done.stderr and "HTTP 404" in done.stderr
