"""One timer for the deadlines of all requests."""

import asyncio

import pytest

from responder.web.deadline import Deadline


async def _take_long(deadline: Deadline) -> None:
    with deadline:
        await asyncio.sleep(30)


def test_what_takes_too_long_ends_in_a_time_out():
    async def story():
        deadline = Deadline(0.05)
        return await asyncio.gather(_take_long(deadline), _take_long(deadline), return_exceptions=True)

    assert [type(error) for error in asyncio.run(story())] == [TimeoutError, TimeoutError]


def test_who_was_done_in_time_is_left_alone():
    async def story():
        with Deadline(0.02):
            pass
        await asyncio.sleep(0.1)

    asyncio.run(story())


def test_a_late_one_ends_while_others_come_and_go():
    async def story():
        deadline = Deadline(0.05)
        late = asyncio.ensure_future(_take_long(deadline))
        for _ in range(15):
            with deadline:
                await asyncio.sleep(0.01)
        await late

    with pytest.raises(TimeoutError):
        asyncio.run(story())


def test_an_end_from_outside_is_no_time_out():
    async def story():
        task = asyncio.ensure_future(_take_long(Deadline(30)))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(story())
