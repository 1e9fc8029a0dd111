"""Promises: callbacks, awaiting, failures that nobody sees."""

import asyncio
import gc

import marotte
import pytest
from support import Echo, failure, meet


async def test_then_is_called_with_the_value():
    with meet() as link:
        assert await link.remote.echo(20)._then(lambda value: value + 1) == 21


async def test_then_is_not_called_before_it_returns():
    with meet() as link:
        settled = link.remote.echo(1)
        await settled
        called = []
        promise = settled._then(called.append)
        assert called == []
        await promise
        assert called == [1]


async def test_then_follows_a_returned_promise():
    with meet() as link:
        assert await link.remote.echo(1)._then(lambda n: link.remote.echo(n + 1)) == 2


async def test_then_follows_a_returned_coroutine():
    async def later(value):
        await asyncio.sleep(0.001)
        return value * 2

    with meet() as link:
        assert await link.remote.echo(4)._then(later) == 8


async def test_then_passes_a_failure_on():
    with meet() as link:
        error = await failure(link.remote.fail("x")._then(lambda _: "never"))
        assert str(error) == "ValueError: x"


async def test_then_calls_its_second_function_on_failure():
    with meet() as link:
        promise = link.remote.fail("x")._then(lambda _: "never", lambda error: [str(error)])
        assert await promise == ["ValueError: x"]


async def test_except_replaces_a_failure():
    with meet() as link:
        assert await link.remote.fail("x")._except(lambda error: type(error).__name__) == (
            "RemoteError"
        )


async def test_except_lets_a_value_by():
    with meet() as link:
        assert await link.remote.echo(1)._except(lambda _: "never") == 1


async def test_callback_that_raises_breaks_the_next_promise():
    def callback(_):
        raise KeyError("here")

    with meet() as link:
        error = await failure(link.remote.echo(1)._then(callback))
        assert isinstance(error, KeyError)


async def test_callbacks_run_in_the_order_they_were_added():
    order = []
    with meet() as link:
        promise = link.remote.echo(None)
        promises = [promise._then(lambda _, n=n: order.append(n)) for n in range(10)]
        for each in promises:
            await each
        assert order == list(range(10))


async def test_chain_of_a_thousand_callbacks():
    with meet() as link:
        promise = link.remote.echo(0)
        for _ in range(1000):
            promise = promise._then(lambda n: n + 1)
        assert await promise == 1000


async def test_promise_resolved_to_itself_breaks():
    with meet() as link:
        first = link.remote.echo(0)
        holder = []
        second = first._then(lambda _: holder[0])
        holder.append(second)
        assert "itself" in str(await failure(second))


async def test_await_after_it_settled():
    with meet() as link:
        promise = link.remote.echo([1])
        assert await promise == [1]
        assert await promise == [1]


async def test_tuple_and_none_are_awaited_whole():
    with meet() as link:
        assert await link.remote.echo(1)._then(lambda _: (1, 2)) == (1, 2)
        promise = link.remote.echo(1)._then(lambda _: (1, 2))
        await promise
        assert await promise == (1, 2)
        assert await link.remote.none() is None


async def test_exception_as_a_value_is_a_value():
    with meet() as link:
        promise = link.remote.echo(ValueError("v"))
        assert isinstance(await promise, marotte.RemoteError)
        assert isinstance(await promise, marotte.RemoteError)


async def test_two_tasks_await_one_promise():
    async def wait(promise):
        return await promise

    with meet() as link:
        promise = link.remote.echo("both")
        assert await asyncio.gather(wait(promise), wait(promise)) == ["both", "both"]


async def test_two_tasks_await_one_broken_promise():
    with meet() as link:
        promise = link.remote.fail("both")
        errors = await asyncio.gather(failure(promise), failure(promise))
        assert [str(error) for error in errors] == ["ValueError: both"] * 2


async def test_gather_takes_promises():
    with meet() as link:
        assert await asyncio.gather(*(link.remote.echo(n) for n in range(5))) == [0, 1, 2, 3, 4]


async def test_cancelled_waiter_leaves_the_promise_usable():
    async def wait(promise):
        return await promise

    held = asyncio.get_running_loop().create_future()
    with meet() as link:
        promise = link.remote.call(lambda: held)
        waiter = asyncio.create_task(wait(promise))
        await link.remote.echo(None)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        held.set_result("still")
        assert await promise == "still"


async def test_timeout_while_waiting():
    with meet() as link:
        promise = link.remote.forever()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(promise._when(), 0.01)
        assert repr(promise) == "<Promise remote>"
        link.client.close()
        assert isinstance(await failure(promise), marotte.DisconnectedError)


async def test_when_is_an_asyncio_future():
    with meet() as link:
        future = link.remote.echo(3)._when()
        assert isinstance(future, asyncio.Future)
        assert await future == 3


async def test_waiting_on_a_loop_is_refused():
    with meet() as link:
        with pytest.raises(RuntimeError, match="await the promise"):
            promise = link.remote.echo(1)
            promise._wait(timeout=1)
        await promise
        with pytest.raises(RuntimeError, match="event loop"):
            link.client.run(1)


async def test_settled_promise_can_be_waited_for_anywhere():
    with meet() as link:
        promise = link.remote.echo(1)
        await promise
        assert promise._wait() == 1


async def test_promise_has_no_truth():
    with meet() as link:
        promise = link.remote.echo(1)
        with pytest.raises(TypeError, match="true or false: a promise is not its value"):
            bool(promise)
        await promise


async def test_method_on_a_value_that_is_no_object():
    with meet() as link:
        promise = link.remote.echo(5)
        pipelined = str(await failure(promise.anything()))
        assert "TypeError" in pipelined
        # Known to be a number by now, so nothing is sent; the answer is the same.
        assert pipelined == str(await failure(promise.anything()))


async def test_unseen_failure_is_logged_once(log):
    with meet() as link:
        promise = link.remote.fail("unseen")
        await link.remote.echo(None)
        del promise
        gc.collect()
        assert log.texts() == ["a promise broke and nobody looked at it"]
        assert str(log.records[0].exc_info[1]) == "ValueError: unseen"
    gc.collect()
    assert len(log.records) == 1


async def test_unseen_failure_of_a_chain_is_logged_once(log):
    with meet() as link:
        promise = link.remote.fail("unseen").one().two()._then(lambda _: None)
        await link.remote.echo(None)
        await asyncio.sleep(0.01)
        del promise
        gc.collect()
        assert len(log.records) == 1


async def test_seen_failure_of_a_pipelined_chain_is_not_logged(log):
    with meet() as link:
        await failure(link.remote.fail("seen").one().two())
        gc.collect()
    assert log.texts() == []


async def test_failing_listener_is_not_forgotten(log):
    def fail(_):
        raise LookupError("in the callback")

    with meet() as link:
        link.remote.echo(1)._then(fail)
        await link.remote.echo(None)
        await asyncio.sleep(0.01)
        gc.collect()
        assert [str(r.exc_info[1]) for r in log.records] == ["in the callback"]


async def test_ignored_result_is_not_an_error(log):
    with meet(Echo()) as link:
        for _ in range(10):
            link.remote.echo(1)
        await link.remote.echo(None)
        gc.collect()
    assert log.texts() == []
