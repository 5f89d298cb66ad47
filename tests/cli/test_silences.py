"""Silences over Alertmanager's API, and what the client sends and refuses to follow."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from tests.cli.conftest import Run, lines

SILENCES = [
    {
        "id": "late", "status": {"state": "active"}, "startsAt": "2026-01-05T00:00:00Z", "endsAt": "2999-01-05T00:00:00.5Z",
        "updatedAt": "2026-01-05T00:00:00Z", "createdBy": "ann", "comment": "peak\x1b[31m rehearsal",
        "matchers": [{"name": "env", "value": "prod|dev", "isRegex": True, "isEqual": False}],
    },
    {
        "id": "over", "status": {"state": "expired"}, "startsAt": "2026-01-05T00:00:00Z", "endsAt": "2026-01-05T01:00:00Z",
        "updatedAt": "2026-01-05T00:00:00Z", "createdBy": "bob", "comment": "done",
        "matchers": [{"name": "alertname", "value": "X", "isRegex": False, "isEqual": True}],
    },
]  # fmt: skip


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Stub(ThreadingHTTPServer):
    """Answers as it is told and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Asked] = []
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"null")
        self.url = f"http://127.0.0.1:{self.server_port}"

    def give(self, value: Any, status: int = 200, **headers: str) -> None:
        self.answer = (status, headers, value if isinstance(value, bytes) else json.dumps(value).encode())


class _Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_GET(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append(Asked(self.command, self.path, dict(self.headers), json.loads(content or b"null")))
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    server = Stub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("RESPONDER_URL", server.url)
    yield server
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_a_list_shows_what_still_silences_and_obeys_no_escape_sequence(stub: Stub, run: Run) -> None:
    stub.give(SILENCES)
    _, row = lines(run("silences", "list"))
    assert row.split()[:2] == ["late", "active"]
    assert 'env!~"prod|dev"' in row
    assert "\x1b" not in row
    assert len(lines(run("silences", "list", "--expired"))) == 3


def test_matchers_choose_among_silences(stub: Stub, run: Run) -> None:
    stub.give([])
    assert lines(run("silences", "list", "DiskFull", "env!=dev")) == ["no silences"]
    assert stub.asked[0].path == "/api/v2/silences?filter=alertname%3D%22DiskFull%22&filter=env%21%3D%22dev%22"


def test_a_silence_is_added_with_matchers_as_amtool_writes_them(stub: Stub, run: Run) -> None:
    stub.give({"silenceID": "abc"})
    args = ["DiskFull", "instance=~db.*", 'env!="dev"', "x!~y", "--comment", "peak", "--author", "ann"]
    assert lines(run("silences", "add", *args, "--start", "2026-01-05T00:00:00Z", "--for", "90m")) == ["abc"]
    [asked] = stub.asked
    assert (asked.method, asked.path) == ("POST", "/api/v2/silences")
    assert asked.body == {
        "matchers": [
            {"name": "alertname", "value": "DiskFull", "isRegex": False, "isEqual": True},
            {"name": "instance", "value": "db.*", "isRegex": True, "isEqual": True},
            {"name": "env", "value": "dev", "isRegex": False, "isEqual": False},
            {"name": "x", "value": "y", "isRegex": True, "isEqual": False},
        ],
        "startsAt": "2026-01-05T00:00:00Z",
        "endsAt": "2026-01-05T01:30:00Z",
        "createdBy": "ann",
        "comment": "peak",
    }


def test_silences_are_expired_by_their_ids(stub: Stub, run: Run) -> None:
    stub.give(b"")
    assert lines(run("silences", "expire", "a", "b/c")) == ["a is expired", "b/c is expired"]
    assert [asked.path for asked in stub.asked] == ["/api/v2/silence/a", "/api/v2/silence/b%2Fc"]
    assert {asked.method for asked in stub.asked} == {"DELETE"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("silence not found", "silence not found (HTTP 404)"),
        ({"code": 602, "message": "matchers in body\nis required"}, "matchers in body is required (HTTP 404)"),
    ],
)
def test_whatever_shape_an_error_has_it_is_one_line(stub: Stub, run: Run, answer: Any, words: str) -> None:
    stub.give(answer, 404)
    done = run("silences", "expire", "x")
    assert (done.exit_code, done.stderr) == (1, f"Error: {words}\n")


@pytest.mark.parametrize(
    ("answer", "words"), [(b"404 page\nnot found", "404 page not found (HTTP 404)"), (b"", "Not Found (HTTP 404)")]
)
def test_an_error_that_no_responder_answers_asks_whether_the_url_is_right(
    stub: Stub, run: Run, answer: Any, words: str
) -> None:
    stub.give(answer, 404)
    said = run("silences", "list").stderr
    assert said.startswith(f"Error: {words}\n  hint: is http://127.0.0.1:")
    assert said.endswith(" of a responder? --url or RESPONDER_URL says where it is\n")


def test_a_token_that_is_missing_or_wrong_is_said_with_where_to_give_it(stub: Stub, run: Run) -> None:
    stub.give({"detail": "the token is not known here"}, 401)
    said = run("silences", "list").stderr
    assert said.startswith("Error: the token is not known here (HTTP 401)\n  hint: ")
    assert "--token or RESPONDER_TOKEN" in said


def test_an_answer_that_is_no_json_is_told(stub: Stub, run: Run) -> None:
    stub.give(b"<html>")
    done = run("silences", "list")
    assert done.exit_code == 1
    assert "is this a responder" in done.stderr


def test_a_token_comes_from_the_environment_or_the_option_and_follows_no_redirect(stub: Stub, run: Run) -> None:
    stub.give(b"", 307, location="http://elsewhere.invalid/")
    done = run("silences", "list", env={"RESPONDER_TOKEN": "env-token"})
    assert "(HTTP 307)" in done.stderr
    run("silences", "list", "--token", "own-token", env={"RESPONDER_TOKEN": "env-token"})
    sent = [asked.headers.get("Authorization") for asked in stub.asked]
    assert sent == ["Bearer env-token", "Bearer own-token"]


def test_this_machine_is_asked_without_the_proxy_of_the_environment(stub: Stub, run: Run) -> None:
    stub.give([])
    proxy = "http://127.0.0.1:9"
    assert lines(run("silences", "list", env={"http_proxy": proxy, "HTTP_PROXY": proxy})) == ["no silences"]
