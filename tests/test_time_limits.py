import asyncio

import pytest

from app.time_limits import TimeLimits

pytestmark = pytest.mark.anyio

LONG_S, SHORT_S = 30.0, 0.02


async def test_what_ends_in_time_is_left_alone() -> None:
    limits = TimeLimits()
    with limits.within(SHORT_S):
        await asyncio.sleep(0)
    await asyncio.sleep(3 * SHORT_S)


async def test_what_takes_longer_ends_with_a_timeout() -> None:
    limits = TimeLimits()
    with pytest.raises(TimeoutError), limits.within(SHORT_S):
        await asyncio.sleep(LONG_S)
    await asyncio.sleep(0)  # the task is as whole as before


async def test_each_of_many_has_its_own_time() -> None:
    limits = TimeLimits()

    async def work(seconds: float) -> str:
        try:
            with limits.within(SHORT_S):
                await asyncio.sleep(seconds)
        except TimeoutError:
            return "late"
        return "done"

    first = [asyncio.create_task(work(LONG_S)), asyncio.create_task(work(0))]
    await asyncio.sleep(SHORT_S / 2)
    second = [asyncio.create_task(work(LONG_S)), asyncio.create_task(work(0))]
    assert await asyncio.gather(*first, *second) == ["late", "done", "late", "done"]


async def test_limits_of_different_lengths_do_not_wait_for_each_other() -> None:
    limits = TimeLimits()
    with limits.within(LONG_S), pytest.raises(TimeoutError), limits.within(SHORT_S):
        await asyncio.sleep(LONG_S)


async def test_an_outer_limit_ends_the_inner_block_as_its_own_timeout() -> None:
    limits = TimeLimits()
    with pytest.raises(TimeoutError), limits.within(SHORT_S), limits.within(LONG_S):
        await asyncio.sleep(LONG_S)


async def test_a_cancelled_task_is_cancelled_and_not_late() -> None:
    limits = TimeLimits()

    async def work() -> None:
        with limits.within(LONG_S):
            await asyncio.sleep(LONG_S)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_in_the_block_is_that_error() -> None:
    with pytest.raises(ValueError, match="odd"), TimeLimits().within(LONG_S):
        raise ValueError("odd")


async def test_nothing_is_kept_of_lengths_that_are_over() -> None:
    limits = TimeLimits()
    for number in range(20):
        with limits.within(SHORT_S / (number + 1)):
            await asyncio.sleep(0)
    await asyncio.sleep(3 * SHORT_S)
    assert limits.lengths == 0
