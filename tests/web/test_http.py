"""Bodies within a limit, query strings as Go reads them."""

import gzip
import tracemalloc

import pytest

from responder.web.http import Disconnected, Refused, has_body, query_of, read_body, require_json


def scope(query="", **headers):
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "headers": given, "query_string": query.encode()}


def pieces(*bodies):
    """Return a client that sends these pieces, and how many of them were asked for."""
    asked = []
    messages = iter(
        [{"type": "http.request", "body": b, "more_body": n < len(bodies)} for n, b in enumerate(bodies, 1)]
    )

    async def receive():
        asked.append(1)
        return next(messages)

    return receive, asked


async def refusal(scope_, receive, limit):
    with pytest.raises(Refused) as refused:
        await read_body(scope_, receive, limit)
    return refused.value.status


def run(coroutine):
    """Drive a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def test_a_body_in_pieces_is_put_together():
    receive, _ = pieces(b"ab", b"", b"cd")
    assert run(read_body(scope(), receive)) == b"abcd"


def test_a_body_that_announces_too_much_is_refused_unread():
    receive, asked = pieces(b"x")
    assert run(refusal(scope(content_length="11"), receive, 10)) == 413
    assert asked == []


def test_a_body_that_says_nothing_of_its_size_is_refused_when_it_grows_too_large():
    receive, asked = pieces(*[b"x" * 4] * 100)
    assert run(refusal(scope(), receive, 10)) == 413
    assert len(asked) == 3


def test_a_body_of_exactly_the_limit_is_taken():
    receive, _ = pieces(b"x" * 10)
    assert len(run(read_body(scope(content_length="10"), receive, 10))) == 10


def test_gzip_is_undone():
    packed = gzip.compress(b"[]" * 100)
    receive, _ = pieces(packed[:7], packed[7:])
    assert run(read_body(scope(content_encoding="gzip"), receive)) == b"[]" * 100


def test_a_gzip_bomb_is_refused_without_growth_of_memory():
    bomb = gzip.compress(b"\0" * 50_000_000)
    receive, _ = pieces(bomb)
    tracemalloc.start()
    assert run(refusal(scope(content_encoding="gzip"), receive, 100_000)) == 413
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 400), ("br", 415)])
def test_a_broken_or_unknown_encoding_is_refused(encoding, status):
    receive, _ = pieces(b"[]")
    assert run(refusal(scope(content_encoding=encoding), receive, 100)) == status


def test_a_client_that_goes_away_is_no_request():
    async def receive():
        return {"type": "http.disconnect"}

    with pytest.raises(Disconnected):
        run(read_body(scope(), receive))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("a=1&a=2&b=", {"a": ["1", "2"], "b": [""]}),
        ("a=x+y%2B&b", {"a": ["x y+"], "b": [""]}),
        ("a=%zz&b=1", {"b": ["1"]}),
        ("a=1;b=2&c=3", {"c": ["3"]}),
        ("a=%ff", {"a": ["\udcff"]}),
    ],
)
def test_a_query_is_read_as_go_reads_it(query, expected):
    assert query_of(scope(query)) == expected


@pytest.mark.parametrize("given", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_json_whatever_its_parameters(given):
    require_json(scope(content_type=given, content_length="2"))


@pytest.mark.parametrize(("given", "said"), [("text/plain", "text/plain"), ("", "application/octet-stream")])
def test_another_content_type_is_refused_by_name(given, said):
    with pytest.raises(Refused, match=f'unsupported media type "{said}", only') as refused:
        require_json(scope(content_type=given, content_length="2"))
    assert refused.value.status == 415


def test_a_request_without_a_body_needs_no_content_type():
    require_json(scope(content_type="text/plain", content_length="0"))
    assert not has_body(scope())
    assert has_body(scope(transfer_encoding="chunked"))
