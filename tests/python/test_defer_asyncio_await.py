"""Deferreds awaited in tasks of asyncio's, and asyncio's futures in coroutines on Deferreds."""

import asyncio

import pytest
from marotte import defer


def test_a_task_awaits_deferreds():
    async def main():
        later = defer.Deferred()
        asyncio.get_running_loop().call_soon(later.callback, 5)
        return await later, await defer.succeed(6)

    assert asyncio.run(main()) == (5, 6)


def test_a_failure_is_raised_in_the_task():
    async def main():
        later = defer.Deferred()
        asyncio.get_running_loop().call_soon(later.errback, KeyError("no"))
        with pytest.raises(KeyError, match="no"):
            await later

    asyncio.run(main())


def test_cancelling_the_task_cancels_the_deferred():
    cancelled = []

    async def wait(deferred):
        await deferred

    async def main():
        later = defer.Deferred(cancelled.append)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wait(later), 0.01)
        await asyncio.sleep(0)
        assert cancelled == [later]

    asyncio.run(main())


def test_a_coroutine_on_deferreds_awaits_futures():
    async def on_deferreds(loop):
        await asyncio.sleep(0.001)
        future = loop.create_future()
        loop.call_soon(future.set_result, 7)
        return await future

    async def main():
        return await defer.ensureDeferred(on_deferreds(asyncio.get_running_loop()))

    assert asyncio.run(main()) == 7


def test_cancelling_such_a_coroutine_cancels_the_future():
    async def on_deferreds(future):
        await future

    async def main():
        future = asyncio.get_running_loop().create_future()
        deferred = defer.ensureDeferred(on_deferreds(future))
        deferred.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deferred
        assert future.cancelled()

    asyncio.run(main())


def test_inline_callbacks_wait_for_futures():
    @defer.inlineCallbacks
    def on_deferreds(loop):
        result = yield defer.succeed(1)
        future = loop.create_future()
        loop.call_soon(future.set_result, 2)
        return result + (yield from future)

    async def main():
        return await on_deferreds(asyncio.get_running_loop())

    assert asyncio.run(main()) == 3
