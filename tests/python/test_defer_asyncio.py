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


# What is not possible: the two kinds of coroutines do not wait for the other's things directly.


async def test_a_task_gets_results_that_are_there():
    assert await succeed(3) == 3
    with pytest.raises(ValueError, match="no"):
        await fail(ValueError("no"))


async def test_a_task_cannot_wait_for_a_deferred_itself():
    d = Deferred()
    with pytest.raises(RuntimeError, match="Task got bad yield: <Deferred"):
        await d
    d.callback(3)
    assert outcome(d) == 3


async def test_a_coroutine_on_deferreds_cannot_wait_for_a_future_itself():
    async def wait():
        await asyncio.get_running_loop().create_future()

    assert outcome(ensureDeferred(wait())) == (RuntimeError, "await wasn't used with future")


async def test_cancelled_means_two_things():
    d = Deferred()
    future = d.asFuture(asyncio.get_running_loop())
    d.cancel()
    with pytest.raises(CancelledError):
        await future
    assert not issubclass(CancelledError, asyncio.CancelledError)
