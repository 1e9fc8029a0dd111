"""Cancelling reaches whoever works on a promise, in every kind of method."""

import asyncio

import marotte
import pytest
from marotte import defer, flushEventualQueue, makePromise, send
from marotte.defer import CancelledError


class Worker(marotte.Referenceable):
    def __init__(self):
        self.begun = 0
        self.ended = []
        self.shared, _ = makePromise()

    async def remote_coroutine(self):
        self.begun += 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.ended.append("coroutine")
            raise

    def remote_deferred(self):
        self.begun += 1
        return defer.Deferred(lambda _: self.ended.append("deferred"))

    def remote_future(self):
        self.begun += 1
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(
            lambda future: self.ended.append("future" if future.cancelled() else "no")
        )
        return future

    def remote_shared(self):
        self.begun += 1
        return self.shared

    def remote_here(self):
        return "here"


def run(test):
    async def within():
        await asyncio.wait_for(test(), 10)

    asyncio.run(within())


async def until(true):
    while not true():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("kind", ["coroutine", "deferred", "future"])
@pytest.mark.parametrize("how", ["promise", "callRemote", "near"])
def test_a_method_is_told_that_its_caller_has_cancelled(kind, how):
    async def test():
        worker = Worker()
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            far = await client.getReference(server.registerReference(worker))
            if how == "callRemote":
                call = far.callRemote(kind)
            elif how == "promise":
                call = getattr(far, kind)()
            else:
                call = getattr(send(worker), kind)()
            await until(lambda: worker.begun)
            (call.cancel if how == "callRemote" else call._cancel)()
            with pytest.raises(CancelledError):
                await call
            await until(lambda: worker.ended)
            assert worker.ended == [kind]
            # The session goes on.
            assert await far.here() == "here"
            await until(lambda: client.stats()["questions"] == 0)
            await until(lambda: server.stats()["answers"] == 0)

    run(test)


def test_a_promise_breaks_with_the_reason_given():
    async def test():
        promise, resolver = makePromise()
        after = promise._then(lambda value: value)
        promise._cancel(KeyError("enough"))
        for broken in (promise, after):
            with pytest.raises(KeyError, match="enough"):
                await broken
        resolver(5)
        promise._cancel()
        with pytest.raises(KeyError, match="enough"):
            await promise
        with pytest.raises(TypeError, match="with an exception or a Failure, not with str"):
            makePromise()[0]._cancel("no")

    run(test)


def test_what_others_have_too_goes_on():
    async def test():
        worker = Worker()
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            far = await client.getReference(server.registerReference(worker))
            one, other = far.shared(), far.shared()
            await until(lambda: worker.begun == 2)
            one._cancel()
            await far.here()
            assert marotte.state(worker.shared) == "eventual"
            assert marotte.state(other) == "remote"
            other._cancel()

    run(test)


def test_a_message_that_waits_is_not_delivered():
    async def test():
        worker = Worker()
        call = send(worker).coroutine()
        call._cancel()
        with pytest.raises(CancelledError):
            await call
        await flushEventualQueue()
        assert worker.begun == 0

    run(test)


def test_a_promise_for_a_deferred_cancels_it():
    async def test():
        ended = []
        promise = marotte.Promise(defer.Deferred(lambda _: ended.append("told")))
        promise._cancel()
        with pytest.raises(CancelledError):
            await promise
        await until(lambda: ended)
        assert ended == ["told"]

    run(test)
