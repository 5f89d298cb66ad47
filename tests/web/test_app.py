"""What the dispatcher does for every answer."""

import asyncio
from typing import Any

import pytest

from responder.web.app import PIECE, Sender


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
@pytest.mark.parametrize("more", [False, True])
def test_a_long_body_leaves_piece_by_piece_and_whole(size: int, more: bool) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    body = bytes(n % 251 for n in range(size))
    asyncio.run(Sender(send)({"type": "http.response.body", "body": body, "more_body": more}))
    assert b"".join(message["body"] for message in sent) == body
    assert max(len(message["body"]) for message in sent) <= PIECE
    assert [message["more_body"] for message in sent[:-1]] == [True] * (len(sent) - 1)
    assert sent[-1]["more_body"] is more
