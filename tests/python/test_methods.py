"""Methods that wait: coroutines, Deferreds, futures."""

import asyncio
import sys

import marotte
import pytest
from support import failure, meet
from twisted.internet.defer import Deferred, fail, succeed

needs_3_11 = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="asyncio.timeout and TaskGroup came with Python 3.11"
)


class Waiter(marotte.Referenceable):
    def __init__(self):
        self.tasks = []
        self.deferred = Deferred()
        self.notes = []

    async def remote_at_once(self, value):
        return value

    async def remote_raise_at_once(self):
        raise LookupError("at once")

    async def remote_sleep(self, value):
        await asyncio.sleep(0.01)
        return value

    async def remote_raise_later(self):
        await asyncio.sleep(0.001)
        raise LookupError("later")

    async def remote_yield(self):
        for _ in range(5):
            await asyncio.sleep(0)
        return "yielded"

    async def remote_nested(self):
        return await self.remote_sleep(await self.remote_at_once(3))

    async def remote_returns_coroutine(self):
        return self.remote_sleep("inner")

    async def remote_gather(self):
        return list(await asyncio.gather(self.remote_sleep(1), self.remote_sleep(2)))

    async def remote_wait_for(self):
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        except asyncio.TimeoutError:
            return "timed out"

    async def remote_task_names(self):
        first = asyncio.current_task()
        name = first.get_name()
        await asyncio.sleep(0)
        second = asyncio.current_task()
        return [name is not None, isinstance(second, asyncio.Task), first.done()]

    async def remote_count_tasks(self):
        return len(asyncio.all_tasks())

    async def remote_forever(self):
        self.tasks.append(asyncio.current_task())
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.notes.append("cancelled")
            raise

    async def remote_cancel_itself(self):
        asyncio.current_task().cancel()
        await asyncio.sleep(0.001)
        return "not cancelled"

    async def remote_forever_stubborn(self):
        self.tasks.append(asyncio.current_task())
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "went on"

    async def remote_ask(self, reference):
        return await reference(1) + await reference(2)

    async def remote_note(self, n):
        self.notes.append(n)
        if n % 2:
            await asyncio.sleep(0.001)
        return n

    def remote_future(self):
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.001, future.set_result, "future")
        return future

    def remote_task(self):
        return asyncio.get_running_loop().create_task(self.remote_sleep("task"))

    def remote_deferred(self):
        return self.deferred

    def remote_succeeded(self):
        return succeed([1])

    def remote_failed(self):
        return fail(LookupError("deferred"))

    def remote_awaitable(self):
        class Awaitable:
            def __await__(self):
                yield from asyncio.sleep(0).__await__()
                return "awaited"

        return Awaitable()


if sys.version_info >= (3, 11):

    class Newer(marotte.Referenceable):
        async def remote_timeout(self, seconds):
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.sleep(0.05)
            except TimeoutError:
                return "timed out"
            return "in time"

        async def remote_group(self):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(asyncio.sleep(0.001, n)) for n in range(3)]
            return [task.result() for task in tasks]

        async def remote_failing_group(self):
            async def fail():
                raise LookupError("in a group")

            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.sleep(10)


async def test_coroutine_that_does_not_wait_makes_no_task():
    with meet(Waiter()) as link:
        before = len(asyncio.all_tasks())
        assert await link.remote.count_tasks() == before


@pytest.mark.parametrize(
    ("method", "args", "result"),
    [
        ("at_once", [1], 1),
        ("sleep", ["slept"], "slept"),
        ("yield", [], "yielded"),
        ("nested", [], 3),
        ("returns_coroutine", [], "inner"),
        ("gather", [], [1, 2]),
        ("wait_for", [], "timed out"),
        ("task_names", [], [True, True, False]),
        ("future", [], "future"),
        ("task", [], "task"),
        ("succeeded", [], [1]),
        ("awaitable", [], "awaited"),
    ],
)
async def test_awaited_result_arrives(method, args, result):
    with meet(Waiter()) as link:
        assert await getattr(link.remote, method)(*args) == result


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("raise_at_once", "LookupError: at once"),
        ("raise_later", "LookupError: later"),
        ("failed", "LookupError: deferred"),
    ],
)
async def test_awaited_failure_arrives(method, text):
    with meet(Waiter()) as link:
        error = await failure(getattr(link.remote, method)())
        assert isinstance(error, marotte.RemoteError)
        assert str(error) == text


async def test_deferred_that_fires_later():
    waiter = Waiter()
    with meet(waiter) as link:
        promise = link.remote.deferred()
        await link.remote.at_once(None)
        waiter.deferred.callback({"fired": True})
        assert await promise == {"fired": True}


@needs_3_11
@pytest.mark.parametrize(("seconds", "result"), [(0.001, "timed out"), (30, "in time")])
async def test_timeout_in_a_first_step(seconds, result):
    with meet(Newer()) as link:
        assert await link.remote.timeout(seconds) == result


@needs_3_11
async def test_task_group_in_a_first_step():
    with meet(Newer()) as link:
        assert await link.remote.group() == [0, 1, 2]


@needs_3_11
async def test_failing_task_group_in_a_first_step():
    with meet(Newer()) as link:
        error = await failure(link.remote.failing_group())
        assert "ExceptionGroup" in str(error)


async def test_method_cancelled_through_its_first_task():
    waiter = Waiter()
    with meet(waiter) as link:
        promise = link.remote.forever()
        await link.remote.at_once(None)
        waiter.tasks[0].cancel()
        error = await failure(promise)
        assert "CancelledError" in str(error)
        assert waiter.notes == ["cancelled"]


async def test_method_that_cancels_itself_before_it_waits():
    with meet(Waiter()) as link:
        assert "CancelledError" in str(await failure(link.remote.cancel_itself()))


async def test_method_that_survives_its_cancellation():
    waiter = Waiter()
    with meet(waiter) as link:
        promise = link.remote.forever_stubborn()
        await link.remote.at_once(None)
        waiter.tasks[0].cancel()
        assert await promise == "went on"


async def test_method_that_calls_its_caller_back():
    with meet(Waiter()) as link:
        assert await link.remote.ask(lambda n: n * 10) == 30


async def test_methods_begin_in_order_and_overlap():
    waiter = Waiter()
    with meet(waiter) as link:
        results = await asyncio.gather(*(link.remote.note(n) for n in range(20)))
        assert results == list(range(20))
        assert waiter.notes == list(range(20))


async def test_our_own_current_task_is_kept():
    with meet(Waiter()) as link:
        task = asyncio.current_task()
        await link.remote.sleep(1)
        assert asyncio.current_task() is task


async def test_context_of_a_method_is_not_the_callers():
    # contextvars set in a method stay in its task.
    import contextvars

    variable = contextvars.ContextVar("variable", default="unset")

    class Setter(marotte.Referenceable):
        async def remote_set(self):
            await asyncio.sleep(0)
            variable.set("set")
            await asyncio.sleep(0)
            return variable.get()

    with meet(Setter()) as link:
        assert await link.remote.set() == "set"
        assert variable.get() == "unset"


async def test_method_left_waiting_when_the_tub_closes():
    waiter = Waiter()
    with meet(waiter) as link:
        promise = link.remote.forever()
        await link.remote.at_once(None)
        link.client.close()
        assert isinstance(await failure(promise), marotte.DisconnectedError)
        for task in waiter.tasks:
            task.cancel()
        await asyncio.sleep(0.01)
