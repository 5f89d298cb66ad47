"""``responder problems`` against the real API."""

import json

from tests.cli.conftest import Run, Running, lines


def test_a_problem_is_opened_shown_and_worked_on(daemon: Running, run: Run) -> None:
    for name in "abc":
        daemon.fire(name)
    assert lines(run("problems", "list")) == ["no problems"]
    [made] = lines(run("problems", "open", "inc-1", "2", "--title", "The switch"))
    assert made == "PRB-1 is open (owner order-ops): The switch"
    for args, said in {
        ("note", "PRB-1", "red lamp"): "open",
        ("state", "1", "investigating"): "investigating",
        ("cause", "prb-1", "a fan", "--service", "db"): "investigating",
        ("workaround", "1", "turn it by hand"): "investigating",
        ("assign", "1", "noc"): "investigating (owner noc)",
        ("due", "1", "2039-01-01T00:00:00Z"): "investigating",
        ("link", "1", "inc-3"): "investigating",
        ("action", "1", "buy a fan", "--owner", "noc", "--due", "2040-01-01T00:00:00Z"): "investigating",
        ("review", "1", "no fan, no news", "--not-effective", "--incident", "inc-3"): "investigating",
        ("state", "1", "known_error"): "known_error",
    }.items():
        [line] = lines(run("problems", *args))
        assert line.startswith(f"PRB-1 is {said}"), args
    page = "\n".join(lines(run("problems", "show", "1")))
    said = "did not hold, INC-3  anonymous: no fan, no news"
    for words in ("turn it by hand", "a fan", "3 incidents", "INC-3", "1  due 2040-01-01T00:00:00Z (in ", said):
        assert words in page
    assert lines(run("problems", "done", "1", "1"))
    assert "1  done 20" in "\n".join(lines(run("problems", "show", "1")))
    [row] = lines(run("problems", "list", "--service", "db"))[1:]
    assert row.split()[:2] == ["PRB-1", "known_error"]
    kinds = [line.split()[1] for line in lines(run("problems", "timeline", "1"))[1:]]
    assert kinds[0] == "opened" and kinds[-1] == "action_done"


def test_a_list_of_problems_says_when_each_is_due(daemon: Running, run: Run) -> None:
    daemon.fire("a")
    for due in ("2026-01-01T00:00:00Z", "2040-01-01T00:00:00Z", None):
        lines(run("problems", "open", "1", "--title", "t", *(("--due", due) if due else ())))
    lines(run("problems", "open", "1", "--title", "t", "--due", "2040-01-01T00:00:00Z"))
    lines(run("problems", "state", "4", "resolved"))
    header, *rows = lines(run("problems", "list", "--all"))
    column = header.index("DUE")
    assert [row[column:].split()[0] for row in rows[:3]] == ["-", "-", "in"]
    assert " ago" in rows[3][column:]


def test_problems_are_split_merged_and_given_to_scripts(daemon: Running, run: Run) -> None:
    for name in "ab":
        daemon.fire(name)
    lines(run("problems", "open", "1", "2", "--title", "t"))
    [split] = lines(run("problems", "split", "1", "inc-2"))
    assert split.startswith("PRB-2 is open")
    merged = json.loads("\n".join(lines(run("problems", "merge", "2", "prb-1", "--json"))))
    assert merged["incidents"] == ["INC-1", "INC-2"]
    assert lines(run("problems", "unlink", "1", "inc-2"))[0].startswith("PRB-1 is open")
    found = json.loads("\n".join(lines(run("problems", "list", "--all", "--json"))))
    assert [item["id"] for item in found] == ["PRB-2", "PRB-1"]
    refused = run("problems", "link", "2", "1")
    assert refused.exit_code == 1
    assert "part of PRB-1 takes no link" in refused.output


def test_one_incident_is_no_plural(daemon: Running, run: Run) -> None:
    daemon.fire("a")
    run("problems", "open", "1", "--title", "The switch")
    assert "1 incident" in lines(run("problems", "show", "1"))
