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
        self.shared, self.resolver = makePromise()

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


class Chain(marotte.Referenceable):
    """What stands between the caller and a worker."""

    def __init__(self, worker):
        self.worker = worker
        self.kept = worker.coroutine()

    def remote_pass(self):
        return self.worker.coroutine()

    def remote_then(self):
        return self.worker.coroutine()._then(lambda value: value)

    def remote_shielded(self):
        return marotte.Promise(self.kept)


def resolved_to(call):
    promise, resolver = makePromise()
    resolver(call)
    return promise


COMPOSITIONS = {
    "then": lambda far: far.coroutine()._then(lambda value: value),
    "except": lambda far: far.coroutine()._except(lambda error: error),
    "both": lambda far: far.coroutine()._then(print)._except(print)._then(print),
    "resolved to it": lambda far: resolved_to(far.coroutine()),
    "of one resolved to it": lambda far: resolved_to(far.coroutine()._then(print)),
    "near": lambda far: send(far).coroutine()._then(print),
}


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_cancelling_reaches_back_through_what_a_promise_was_made_from(composition):
    async def test():
        worker = Worker()
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            far = await client.getReference(server.registerReference(worker))
            promise = COMPOSITIONS[composition](far)
            await until(lambda: worker.begun)
            promise._cancel()
            with pytest.raises(CancelledError):
                await promise
            await until(lambda: worker.ended)
            await until(lambda: client.stats()["questions"] == 0)
            await until(lambda: server.stats()["answers"] == 0)

    run(test)


@pytest.mark.parametrize("method", ["pass", "then"])
def test_cancelling_reaches_through_a_method_that_returns_a_promise(method):
    async def test():
        worker = Worker()
        with marotte.Tub() as last, marotte.Tub() as middle, marotte.Tub() as client:
            last.listen("tcp://127.0.0.1:0")
            middle.listen("tcp://127.0.0.1:0")
            chain = Chain(await middle.getReference(last.registerReference(worker)))
            far = await client.getReference(middle.registerReference(chain))
            await until(lambda: worker.begun == 1)
            calls = [getattr(far, method)() for _ in range(3)]
            await until(lambda: worker.begun == 4)
            for call in calls:
                call._cancel()
            await until(lambda: len(worker.ended) == 3)
            # One that the object keeps goes on if it is given out as a promise of its own.
            call = far.shielded()
            await asyncio.sleep(0.01)
            call._cancel()
            await until(lambda: client.stats()["questions"] == 0)
            assert marotte.state(chain.kept) == "remote"
            assert len(worker.ended) == 3
            chain.kept._cancel()

    run(test)


def test_cancelling_reaches_the_calls_of_a_map():
    async def test():
        worker = Worker()

        class Workers(marotte.Referenceable):
            def remote_all(self):
                return [worker] * 5

        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            far = client.getReference(server.registerReference(Workers()))
            results = far.all()._map(lambda each: each.coroutine())
            await until(lambda: worker.begun == 5)
            results._cancel()
            await until(lambda: len(worker.ended) == 5)
            await until(lambda: client.stats()["questions"] == 0)
            await until(lambda: server.stats()["answers"] == 0)

    run(test)


def test_what_somebody_else_uses_is_not_cancelled_with_what_was_made_from_it():
    async def test():
        worker = Worker()
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            far = await client.getReference(server.registerReference(worker))
            waited, asked, messaged, passed = (far.coroutine() for _ in range(4))
            task = asyncio.ensure_future(asyncio.wait([waited._when()]))
            asked._then(print, print)
            messaged.method()._except(print)
            far.take(passed)._except(print)
            made = [call._then(lambda v: v) for call in (waited, asked, messaged, passed)]
            await until(lambda: worker.begun == 4)
            for promise in made:
                promise._cancel()
            await far.here()
            assert [marotte.state(p) for p in (waited, asked, messaged, passed)] == ["remote"] * 4
            assert worker.ended == []
            task.cancel()

    run(test)


def test_a_function_is_not_called_for_a_promise_that_is_cancelled():
    async def test():
        called = []
        promise, resolver = makePromise()
        waiting = promise._then(called.append)
        resolver(1)
        late = promise._then(called.append)
        for cancelled in (waiting, late):
            cancelled._cancel()
        await flushEventualQueue()
        assert called == []
        # A promise that has a resolver is broken by none but that.
        promise, resolver = makePromise()
        promise._then(called.append)._cancel()
        resolver(2)
        assert await promise == 2

    run(test)


def test_tables_are_empty_after_calls_are_cancelled_that_others_hold_up():
    async def test():
        worker = Worker()
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            far = await client.getReference(server.registerReference(worker))
            for _ in range(1000):
                far.shared()._cancel()
                far.coroutine()._then(print)._cancel()
            await until(lambda: client.stats()["questions"] == 0)
            await until(lambda: server.stats()["answers"] == 0)
            assert marotte.state(worker.shared) == "eventual"

    run(test)


@pytest.mark.parametrize("kind", ["coroutine", "deferred", "future", "cleanup"])
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_call_that_is_cancelled_as_soon_as_it_has_begun_is_told(kind, steps):
    class Cleaner(Worker):
        async def remote_cleanup(self):
            self.begun += 1
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                self.ended.append("cleanup")

    async def test():
        worker = Cleaner()
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            far = await client.getReference(server.registerReference(worker))
            call = getattr(far, kind)()
            for _ in range(steps):
                await asyncio.sleep(0)
            call._cancel()
            with pytest.raises(CancelledError):
                await call
            # Before it has begun is right, too.
            assert await far.here() == "here"
            await until(lambda: len(worker.ended) == worker.begun)
            assert worker.ended == [kind] * worker.begun

    run(test)
