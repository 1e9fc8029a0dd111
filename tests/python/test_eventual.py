"""Eventual sends, promises and turns without a tub; the examples that the project comes from."""

import asyncio
import gc
import subprocess
import sys
import traceback
import weakref

import marotte
import pytest
from marotte import (
    Promise,
    defer,
    eventually,
    fireEventually,
    flushEventualQueue,
    makePromise,
    send,
    sendOnly,
    state,
    when,
)

SUCCESS = "success"


class Adder:
    def __init__(self):
        self.calls = []

    def add(self, n):
        self.calls.append(n)
        return n + 1

    def boom(self):
        raise ValueError("boom")


def run(test):
    """Runs an asynchronous test on asyncio."""
    return asyncio.run(test())


def test_a_send_happens_in_a_later_turn_and_in_order():
    async def test():
        adder = Adder()
        promises = [send(adder).add(n) for n in range(5)]
        assert adder.calls == []
        assert [await promise for promise in promises] == [1, 2, 3, 4, 5]
        assert adder.calls == [0, 1, 2, 3, 4]

    run(test)


def test_sends_to_a_promise_wait_for_it_in_order():
    async def test():
        promise, resolver = makePromise()
        adder = Adder()
        last = [send(promise).add(n) for n in range(4)][-1]
        assert state(promise) == "eventual"
        resolver(adder)
        late = send(promise).add(9)
        assert await last == 4
        assert await late == 10
        assert adder.calls == [0, 1, 2, 3, 9]
        assert state(promise) == "near"

    run(test)


def test_a_smashed_promise_breaks_what_was_sent_to_it_before_and_after():
    async def test():
        promise, resolver = makePromise()
        before = send(send(promise).add(1)).add(2)
        resolver.smash(KeyError("smashed"))
        after = send(promise).add(3)
        for broken in (before, after):
            with pytest.raises(KeyError, match="smashed"):
                await broken
        assert state(promise) == state(before) == "broken"

    run(test)


def test_a_resolver_resolves_once():
    async def test():
        promise, resolver = makePromise()
        resolver(1)
        with pytest.raises(RuntimeError, match="resolved before"):
            resolver(2)
        with pytest.raises(RuntimeError, match="resolved before"):
            resolver.smash(ValueError())
        assert await promise == 1

    run(test)


def test_a_promise_resolved_to_another_is_what_that_one_becomes():
    async def test():
        outer, resolve_outer = makePromise()
        inner, resolve_inner = makePromise()
        result = send(outer).add(1)
        resolve_outer(inner)
        assert state(outer) == "eventual"
        resolve_inner(Adder())
        assert await result == 2

    run(test)


def test_a_circle_of_promises_breaks():
    async def test():
        one, resolve_one = makePromise()
        two, resolve_two = makePromise()
        resolve_one(two)
        resolve_two(one)
        with pytest.raises(RuntimeError, match="to itself"):
            await one

    run(test)


@pytest.mark.parametrize("kind", ["deferred", "future", "coroutine", "promise", "value"])
def test_a_promise_adopts(kind):
    async def test():
        adder = Adder()

        async def coroutine():
            await asyncio.sleep(0)
            return adder

        future = asyncio.get_running_loop().create_future()
        future.set_result(adder)
        adopted = {
            "deferred": lambda: fireEventually(adder),
            "future": lambda: future,
            "coroutine": coroutine,
            "promise": lambda: Promise(adder),
            "value": lambda: adder,
        }[kind]()
        assert await Promise(adopted).add(4) == 5

    run(test)


def test_send_turns_the_magic_of_a_promise_off():
    async def test():
        promise, resolver = makePromise()
        magic, _ = makePromise()
        send(promise)
        with pytest.raises(AttributeError, match=r"write send\(p\).add"):
            promise.add(1)
        assert callable(magic.add)
        resolver(Adder())
        assert await when(send(promise).add(1)) == 2

    run(test)


@pytest.mark.parametrize(
    "use",
    [
        lambda p: p + 1,
        lambda p: 1 + p,
        lambda p: 2**p,
        lambda p: -p,
        len,
        iter,
        bool,
        int,
        float,
        lambda p: p == 1,
        lambda p: p != 1,
        lambda p: p < 1,
        lambda p: p[0],
        lambda p: 1 in p,
        lambda p: f"{p}",
        lambda p: "abc"[p],
    ],
)
def test_a_promise_is_not_its_value(use):
    promise, _ = makePromise()
    with pytest.raises(TypeError, match="a promise is not its value.*await"):
        use(promise)


def test_what_python_looks_for_is_harmless():
    promise, _ = makePromise()
    assert {promise: 1}[promise] == 1
    assert "Promise eventual" in repr(promise) and "Promise eventual" in str(promise)
    for name in ("__conform__", "__array__", "_ipython_display_", "__wrapped__"):
        assert not hasattr(promise, name)


def test_when_gives_deferreds():
    async def test():
        got = []
        when(send(Adder()).add(1)).addCallback(got.append)
        when(7).addCallback(got.append)
        when(send(Adder()).boom()).addErrback(lambda f: got.append(f.type))
        assert got == [7]
        await flushEventualQueue()
        assert got == [7, 2, ValueError]

    run(test)


def test_a_turn_that_raises_is_reported_and_the_next_one_runs(log):
    async def test():
        log = []
        eventually(lambda: 1 / 0)
        sendOnly(Adder()).boom()
        eventually(log.append, "next")
        await flushEventualQueue()
        assert log == ["next"]

    run(test)
    assert [record.exc_info[0] for record in log.records] == [ZeroDivisionError, ValueError]
    assert all("nobody waits for it" in text for text in log.texts())


def test_a_turn_runs_to_its_end_before_the_next():
    async def test():
        log = []

        def first():
            log.append("begin")
            eventually(log.append, "caused")
            log.append("end")

        eventually(first)
        eventually(log.append, "second")
        await flushEventualQueue()
        assert log == ["begin", "end", "second", "caused"]

    run(test)


def test_turns_do_not_starve_the_event_loop():
    async def test():
        ticks = []
        stop = False

        def again():
            if not stop:
                eventually(again)

        eventually(again)
        for _ in range(3):
            await asyncio.sleep(0.001)
            ticks.append(1)
        stop = True
        assert len(ticks) == 3

    run(test)


def test_promises_are_collected():
    async def test():
        promise, resolver = makePromise()
        kept = weakref.ref(promise)
        # With a resolver that is dropped first, it would break.
        promise._then(lambda value, own=(promise, resolver): own)
        del promise, resolver
        gc.collect()
        assert kept() is None

    run(test)


class Failing(marotte.Referenceable):
    def remote_fail(self):
        raise ValueError("no")

    fail = remote_fail


async def awaits(far):
    promise = far.fail()
    with pytest.raises(marotte.RemoteError):
        await promise


async def waits_for_a_future(far):
    promise = far.fail()
    with pytest.raises(marotte.RemoteError):
        await promise._when()


async def awaits_a_near_one(far):
    promise = send(Failing()).fail()
    with pytest.raises(ValueError):
        await promise


async def passes_a_caught_one_on(far):
    promise, resolver = makePromise()
    try:
        raise ValueError("caught")
    except ValueError as error:
        resolver.smash(error)
    with pytest.raises(ValueError):
        await promise


@pytest.mark.parametrize(
    "catch", [awaits, waits_for_a_future, awaits_a_near_one, passes_a_caught_one_on]
)
def test_broken_promises_are_collected_with_the_frames_that_caught_them(catch):
    class Witness:
        pass

    async def test():
        seen = []

        async def frame(far):
            witness = Witness()
            seen.append(weakref.ref(witness))
            await catch(far)

        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            far = await client.getReference(server.registerReference(Failing()))
            for _ in range(20):
                await frame(far)
            await asyncio.sleep(0.01)
            gc.collect()
            assert [one() for one in seen] == [None] * 20

    run(test)


def test_an_exception_that_is_raised_often_keeps_its_first_traceback():
    async def test():
        promise, resolver = makePromise()
        resolver.smash(KeyError("once"))
        for _ in range(100):
            with pytest.raises(KeyError) as caught:
                await promise
        assert len(traceback.extract_tb(caught.value.__traceback__)) < 5

    run(test)


def test_a_promise_breaks_when_its_resolver_is_dropped():
    async def test():
        promise, resolver = makePromise()
        then = promise._then(lambda value: value)
        del resolver
        for broken in (promise, then):
            with pytest.raises(marotte.RemoteError, match="the resolver was dropped"):
                await broken
        # One that nobody waits for is nobody's failure.
        del promise, then, broken
        promise, resolver = makePromise()
        del promise, resolver
        gc.collect()
        await flushEventualQueue()

    run(test)
    # Nor is it one after the event loop has ended.
    kept = []

    async def ends():
        kept.extend(makePromise())
        kept[0]._then(print)._except(print)

    asyncio.run(ends())
    del kept[:]
    gc.collect()


def test_what_is_dropped_while_an_exception_is_raised_leaves_that_alone(log):
    def fails(broken):
        # The promise goes with the frame, and is reported in the middle of this.
        raise LookupError("on its way")

    def breaks():
        promise, resolver = makePromise()
        resolver.smash(KeyError("unseen"))
        return promise

    for _ in range(3):
        with pytest.raises(LookupError, match="on its way"):
            fails(breaks())
        with pytest.raises(LookupError, match="on its way"):
            fails(makePromise()[1])
    gc.collect()
    assert log.texts() == ["a promise broke and nobody looked at it"] * 3


# The examples of the notes from 2006 that this project comes from. The names are those of the notes.


class Build(marotte.Referenceable):
    def remote_getResults(self):
        return SUCCESS


class Builder(marotte.Referenceable):
    def remote_getBuild(self, number):
        assert number == -1
        return Build()


class Status(marotte.Referenceable):
    def remote_getBuilder(self, name):
        assert name == "python-2.4-full"
        return Builder()


def with_status(example):
    async def test():
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            uri = server.registerReference(Status())
            done = asyncio.get_running_loop().create_future()

            def check_results(results):
                done.set_result("yay!" if results == SUCCESS else "nay")

            def oops(failure):
                done.set_result(failure)

            example(lambda: client.getReference(uri), check_results, oops)
            assert await asyncio.wait_for(done, 10) == "yay!"
            return client.stats()["round_trips"]

    return run(test)


def test_example_2_send_and_when():
    def example(get_status, check_results, oops):
        s = get_status()
        b = send(s).getBuilder("python-2.4-full")
        b1 = send(b).getBuild(-1)
        r = send(b1).getResults()
        when(r).addCallback(check_results).addErrback(oops)

    assert with_status(example) == 1


def test_example_3_as_if_it_were_here():
    def example(get_status, check_results, oops):
        s = get_status()
        b = s.getBuilder("python-2.4-full")
        b1 = b.getBuild(-1)
        r = b1.getResults()
        r._then(check_results)._except(oops)

    assert with_status(example) == 1


def test_example_4_in_one_column():
    def example(get_status, check_results, oops):
        (
            get_status()
            .getBuilder("python-2.4-full")
            .getBuild(-1)
            .getResults()
            ._then(check_results)
            ._except(oops)
        )

    assert with_status(example) == 1


def test_example_5_in_one_expression():
    def example(get_status, check_results, oops):
        when(
            send(send(send(get_status()).getBuilder("python-2.4-full")).getBuild(-1)).getResults()
        ).addCallback(check_results).addErrback(oops)

    assert with_status(example) == 1


def test_a_promise_for_a_deferred_takes_calls_before_it_fires():
    async def test():
        d1 = defer.Deferred()
        p2 = Promise(d1)
        p3 = p2.add(4)
        d2 = when(p3)
        d1.callback(Adder())
        assert await d2 == 5

    run(test)


def test_example_1_call_remote_and_deferreds_on_the_same_reference():
    async def test():
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            s = await client.getReference(server.registerReference(Status()))
            d = s.callRemote("getBuilder", "python-2.4-full")
            d.addCallback(lambda builder: builder.callRemote("getBuild", -1))
            d.addCallback(lambda build: build.callRemote("getResults"))
            assert await d == SUCCESS
            assert await s.getBuilder("python-2.4-full").getBuild(-1).getResults() == SUCCESS
            assert await s.callRemote("noSuchMethod").addErrback(lambda f: f.type) is (
                marotte.RemoteError
            )

    run(test)


def test_a_message_without_an_answer_has_none_on_the_wire():
    async def test():
        heard = []

        class Ear(marotte.Referenceable):
            def remote_hear(self, word):
                heard.append(word)
                return "an answer"

        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            ear = await client.getReference(server.registerReference(Ear()))
            before = server.stats()["messages_sent"]
            for _ in range(100):
                sendOnly(ear).hear("psst")
            ear.callRemoteOnly("hear", "last")
            while len(heard) < 101:
                await asyncio.sleep(0.001)
            assert server.stats()["messages_sent"] == before
            assert heard[-1] == "last"

    run(test)


def test_the_end_of_a_connection_is_told_once():
    async def test():
        told = []
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            far = await client.getReference(server.registerReference(Status()))
            assert state(far) == "far"
            far.notifyOnDisconnect(told.append, "lost")
            far.dontNotifyOnDisconnect(far.notifyOnDisconnect(told.append, "not told"))
            server.close()
            while not told:
                await asyncio.sleep(0.001)
            far.notifyOnDisconnect(told.append, "late")
            await flushEventualQueue()
            await asyncio.sleep(0.01)
            assert told == ["lost", "late"]
            assert state(far) == "broken"
            with pytest.raises(marotte.DisconnectedError):
                await far.getBuilder("x")

    run(test)


def test_states_of_what_is_far():
    async def test():
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            promise = client.getReference(server.registerReference(Status()))
            builder = promise.getBuilder("python-2.4-full")
            assert state(promise) == state(builder) == "remote"
            await builder
            assert state(promise) == state(builder) == "far"
            results = builder.getBuild(-1).getResults()
            await results
            assert state(results) == "near"

    run(test)


def test_turns_that_a_test_of_trial_leaves_behind_stop_no_other_test(tmp_path):
    (tmp_path / "test_left.py").write_text(
        "import marotte\n"
        "from twisted.internet import defer\n"
        "from twisted.trial import unittest\n"
        "class Left(unittest.TestCase):\n"
        "    timeout = 10\n"
        "    def test_a(self):\n"
        "        marotte.eventually(lambda: None)\n"
        "    def test_b(self):\n"
        "        d = defer.ensureDeferred(self.b())\n"
        "        return d.addCallback(self.assertEqual, 5)\n"
        "    async def b(self):\n"
        "        return await marotte.fireEventually(5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "twisted.trial", "test_left"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "successes=2" in done.stdout


def test_inline_callbacks_wait_for_promises():
    async def test():
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            status = client.getReference(server.registerReference(Status()))

            @defer.inlineCallbacks
            def results():
                build = yield status.getBuilder("python-2.4-full").getBuild(-1)
                try:
                    yield build.noSuchMethod()
                except marotte.RemoteError as error:
                    failed = error.type
                return (yield build.getResults()), failed, (yield marotte.Promise(5))

            assert await results() == (SUCCESS, "AttributeError", 5)

    run(test)


def test_a_circle_over_two_tubs_breaks():
    class Echo(marotte.Referenceable):
        def __init__(self):
            self.later, self.resolve = makePromise()

        def remote_echo(self, value):
            return value

        def remote_later(self):
            return self.later

        def remote_resolve(self, value):
            self.resolve(value)

    async def test():
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            far = await client.getReference(server.registerReference(Echo()))
            promise, resolver = makePromise()
            resolver(far.echo(promise))
            with pytest.raises(RuntimeError, match="a promise cannot be resolved to itself"):
                await asyncio.wait_for(promise, 5)
            # And when the peer finds out later what it has promised.
            promise, resolver = makePromise()
            resolver(far.later())
            await far.resolve(promise)
            # Whoever finds out first tells the other.
            with pytest.raises(Exception, match="a promise cannot be resolved to itself"):
                await asyncio.wait_for(promise, 5)

    run(test)


def test_a_failure_that_the_garbage_collector_finds_is_reported(log):
    async def test():
        for _ in range(3):
            promise, resolver = makePromise()
            circle = [promise]
            circle.append(circle)
            resolver.smash(KeyError("unseen"))
            del promise, resolver, circle
        await asyncio.sleep(0)
        gc.collect()

    run(test)
    assert log.texts() == ["a promise broke and nobody looked at it"] * 3


def test_stop_iteration_does_not_leave_its_waiter_behind():
    class Empty:
        def first(self):
            return next(iter(()))

    async def test():
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await asyncio.wait_for(send(Empty()).first(), 5)
        assert isinstance(caught.value.__cause__, StopIteration)

    run(test)


@pytest.mark.parametrize("seconds", [float("inf"), 1e300])
def test_a_wait_of_whatever_length_ends_with_the_promise(seconds):
    assert send(Adder()).add(1)._wait(seconds) == 2
