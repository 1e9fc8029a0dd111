"""Deferreds beside asyncio."""

import asyncio

import pytest
from deferreds import NOTHING, outcome
from marotte.defer import (
    AsyncioClock,
    CancelledError,
    Deferred,
    TimeoutError,
    ensureDeferred,
    fail,
    succeed,
)


async def turn():
    """Lets the loop go on."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_deferred_as_a_future():
    loop = asyncio.get_running_loop()
    assert await succeed(3).asFuture(loop) == 3
    with pytest.raises(ValueError, match="no"):
        await fail(ValueError("no")).asFuture(loop)
    d = Deferred()
    future = d.asFuture(loop)
    loop.call_soon(d.callback, "later")
    assert await future == "later"
    assert outcome(d) is None


async def test_many_futures():
    loop = asyncio.get_running_loop()
    ds = [Deferred() for _ in range(100)]
    futures = [d.asFuture(loop) for d in ds]
    for n, d in enumerate(ds):
        loop.call_soon(d.callback, n)
    assert await asyncio.gather(*futures) == list(range(100))


async def test_cancelling_the_future_cancels_the_deferred():
    asked = []
    d = Deferred(asked.append)
    future = d.asFuture(asyncio.get_running_loop())
    future.cancel()
    assert asked == []
    await turn()
    assert asked == [d]
    assert outcome(d) is None


async def test_a_timeout_of_asyncio_cancels_the_deferred():
    d = Deferred()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(d.asFuture(asyncio.get_running_loop()), 0.01)
    await turn()
    assert d.called


async def test_a_future_as_a_deferred():
    loop = asyncio.get_running_loop()
    for settle, expected in [
        (lambda future: future.set_result(3), 3),
        (lambda future: future.set_exception(ValueError("no")), (ValueError, "no")),
        (lambda future: future.cancel(), (asyncio.CancelledError, "")),
    ]:
        future = loop.create_future()
        d = Deferred.fromFuture(future)
        assert outcome(d) == NOTHING
        results = []
        d = Deferred.fromFuture(future)
        d.addBoth(results.append)
        settle(future)
        await turn()
        assert outcome(succeed(results[0])) == expected


async def test_a_task_as_a_deferred():
    async def work():
        await asyncio.sleep(0.001)
        return "done"

    async def wait():
        return await Deferred.fromFuture(asyncio.ensure_future(work()))

    d = ensureDeferred(wait())
    assert await d.asFuture(asyncio.get_running_loop()) == "done"


async def test_cancelling_the_deferred_cancels_the_future():
    future = asyncio.get_running_loop().create_future()
    d = Deferred.fromFuture(future)
    d.cancel()
    assert future.cancelled()
    # It is the future's own error, once that has told.
    await turn()
    assert outcome(d)[0] is asyncio.CancelledError


async def test_a_task_that_does_not_let_itself_be_cancelled():
    started = asyncio.Event()

    async def stubborn():
        started.set()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "all the same"

    d = Deferred.fromFuture(asyncio.ensure_future(stubborn()))
    await started.wait()
    d.cancel()
    assert await d.asFuture(asyncio.get_running_loop()) == "all the same"


async def test_a_subclass_from_a_future():
    class Mine(Deferred):
        pass

    future = asyncio.get_running_loop().create_future()
    d = Mine.fromFuture(future)
    assert type(d) is Mine
    future.set_result(3)
    await turn()
    assert outcome(d) == 3


async def test_a_timeout_by_the_loops_clock():
    d = Deferred().addTimeout(0.01, AsyncioClock())
    with pytest.raises(TimeoutError):
        await d.asFuture(asyncio.get_running_loop())
    d = Deferred().addTimeout(10, AsyncioClock())
    d.callback("in time")
    assert await d.asFuture(asyncio.get_running_loop()) == "in time"


# Either kind of coroutine may wait for the other's things.


async def wait(awaitable):
    return await awaitable


async def test_a_task_waits_for_a_deferred():
    loop = asyncio.get_running_loop()
    assert await succeed(3) == 3
    with pytest.raises(ValueError, match="no"):
        await fail(ValueError("no"))
    d = Deferred()
    loop.call_soon(d.callback, 4)
    assert await d == 4
    d = Deferred()
    loop.call_soon(d.errback, ValueError("later"))
    with pytest.raises(ValueError, match="later"):
        await d
    # The failure was handled here.
    assert outcome(d) is None


async def test_of_two_tasks_that_wait_the_first_gets_it():
    d = Deferred()
    tasks = [asyncio.ensure_future(wait(d)) for _ in range(2)]
    await turn()
    d.callback(7)
    assert await asyncio.gather(*tasks) == [7, None]


async def test_cancelling_a_task_cancels_what_it_waits_for():
    asked = []
    d = Deferred(asked.append)
    task = asyncio.ensure_future(wait(d))
    await turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turn()
    assert asked == [d]
    assert outcome(d) is None


async def test_a_coroutine_on_deferreds_waits_for_a_future():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    d = ensureDeferred(wait(future))
    assert outcome(d.addCallback(str)) == NOTHING
    d = ensureDeferred(wait(future))
    future.set_result(3)
    assert await d == 3
    assert await ensureDeferred(wait(future)) == 3
    future = loop.create_future()
    d = ensureDeferred(wait(future))
    future.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await d
    assert await ensureDeferred(wait(asyncio.sleep(0.001, "slept"))) == "slept"


async def test_cancelling_a_coroutine_cancels_the_future_it_waits_for():
    future = asyncio.get_running_loop().create_future()
    d = ensureDeferred(wait(future))
    d.cancel()
    assert future.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await d


async def test_cancelled_means_two_things():
    d = Deferred()
    future = d.asFuture(asyncio.get_running_loop())
    d.cancel()
    with pytest.raises(CancelledError):
        await future
    assert not issubclass(CancelledError, asyncio.CancelledError)
