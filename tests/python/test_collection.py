"""What nobody holds any more is let go, at both ends."""

import asyncio
import gc
import os
import resource
import weakref

import marotte
import pytest
from support import EMPTY, Echo, meet, tables, until
from twisted.internet.defer import Deferred


class Maker(Echo):
    def __init__(self):
        self.made = weakref.WeakSet()
        self.kept = []

    def remote_make(self):
        thing = Echo()
        self.made.add(thing)
        return thing

    def remote_make_many(self, n):
        return [self.remote_make() for _ in range(n)]

    def remote_keep(self, thing):
        self.kept.append(thing)

    def remote_drop(self):
        self.kept.clear()


def settled(*tubs, **left):
    return lambda: all(tables(tub) == {**EMPTY, **left} for tub in tubs)


async def test_dropped_reference_frees_the_export():
    maker = Maker()
    with meet(maker) as link:
        remote = await link.remote
        thing = await remote.make()
        assert len(maker.made) == 1
        assert tables(link.server)["exports"] == 2
        del thing
        await until(lambda: len(maker.made) == 0)
        await until(lambda: tables(link.server)["exports"] == 1)
        assert tables(link.client) == {**EMPTY, "imports": 1}
        assert await remote.echo(1) == 1


async def test_kept_reference_keeps_the_export():
    maker = Maker()
    with meet(maker) as link:
        thing, other = await link.remote.make_many(2)
        del other
        await until(lambda: len(maker.made) == 1)
        gc.collect()
        assert await thing.echo("alive") == "alive"


async def test_callback_is_released_by_the_server():
    maker = Maker()
    with meet(maker) as link:

        def callback():
            pass

        alive = weakref.ref(callback)
        await link.remote.keep(callback)
        del callback
        gc.collect()
        assert alive() is not None
        await link.remote.drop()
        await until(lambda: alive() is None)


async def test_callback_that_is_not_kept_is_released():
    with meet() as link:

        def callback():
            return 1

        alive = weakref.ref(callback)
        await link.remote.call(callback)
        del callback
        await until(lambda: alive() is None)


async def test_tables_are_empty_when_all_is_dropped():
    with meet(Maker()) as link:
        things = await link.remote.make_many(100)
        for thing in things:
            await thing.echo(lambda: 1)
        del things, thing
        await link.remote
        del link.remote
        await until(settled(link.client, link.server))


async def test_ten_thousand_calls_leave_the_tables_empty():
    with meet(Maker()) as link:
        remote = await link.remote
        for _ in range(100):
            promises = [remote.echo(n) for n in range(50)]
            promises += [remote.make() for _ in range(50)]
            for promise in promises:
                await promise
        del promises, promise
        await until(settled(link.client, imports=1))
        await until(settled(link.server, exports=1))


@pytest.mark.parametrize("shape", ["chain", "fan"])
async def test_a_hundred_thousand_pipelined_calls_leave_the_tables_empty(shape):
    """Each on the result of the one before; or pairs, the second on the result of the first."""
    count = 100_000
    with meet(Maker()) as link:
        remote = await link.remote
        if shape == "chain":
            last = remote
            for _ in range(count):
                last = last.self()
            assert await last.echo(5) == 5
            del last
        else:
            answers = [remote.make().echo(n) for n in range(count // 2)]
            assert await answers[-1] == count // 2 - 1
            del answers
        assert link.client.stats()["calls_sent"] >= count
        await until(settled(link.client, imports=1))
        await until(settled(link.server, exports=1))
        del remote, link.remote
        await until(settled(link.client, link.server))


def resident():
    """Bytes of memory that this process has now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="only Linux tells it there")
async def test_memory_does_not_grow_with_calls():
    async def work():
        for _ in range(40):
            promises = [remote.call(lambda: 1) for _ in range(50)]
            for promise in promises:
                await promise

    with meet(Maker()) as link:
        remote = await link.remote
        await work()
        await until(settled(link.client, imports=1))
        before = resident()
        for _ in range(4):
            await work()
            await until(settled(link.client, imports=1))
        # 8,000 calls that stayed, with a callback each, would be more.
        assert resident() - before < 2 << 20


async def test_answers_that_nobody_wants_are_collected():
    with meet(Maker()) as link:
        await link.remote
        for _ in range(100):
            link.remote.make()
        await until(settled(link.server, exports=1))


async def test_connection_that_ends_lets_go_of_all():
    maker = Maker()
    with meet(maker) as link:
        things = await link.remote.make_many(10)
        await link.remote.keep(lambda: 1)
        link.client.close()
        await until(lambda: len(maker.made) == 0)
        await until(settled(link.client, link.server))
        assert len(things) == 10


class Witness:
    """Tells by its death that a cycle was collected."""


async def test_cycle_of_a_fulfilled_promise_is_collected():
    def build():
        witness = Witness()
        holder = [witness]
        # Fulfilled with something that leads back to it.
        holder.append(link.remote.echo(1)._then(lambda _: holder))
        return holder[1], weakref.ref(witness)

    with meet() as link:
        promise, alive = build()
        assert (await promise)[1] is promise
        del promise
        await until(lambda: alive() is None)


async def test_cycle_of_a_pending_promise_and_its_callback_is_collected():
    class Never(marotte.Referenceable):
        def remote_never(self):
            holder.append(Deferred())
            return holder[-1]

    with marotte.Tub() as tub:
        tub.listen("tcp://127.0.0.1:0")
        never = tub.getReference(tub.registerReference(Never()))
        holder = [Witness()]
        alive = weakref.ref(holder[0])
        # It never settles, and its callback leads back to the Deferred that it waits for.
        never.never()._then(lambda _, h=holder: h)
        await until(lambda: len(holder) == 2)
        holder = []
        await until(lambda: alive() is None)


async def test_promise_can_be_weakly_referenced():
    with meet() as link:
        promise = link.remote.echo(1)
        alive = weakref.ref(promise)
        await promise
        del promise
        await until(lambda: alive() is None)


async def test_closed_tub_is_collected():
    def use():
        tub = marotte.Tub()
        tub.listen("tcp://127.0.0.1:0")
        tub.registerReference(Echo())
        tub.close()
        return weakref.ref(tub)

    alive = use()
    await until(lambda: alive() is None)


async def test_registered_object_dies_with_its_tub():
    thing = Echo()
    alive = weakref.ref(thing)
    tub = marotte.Tub()
    tub.listen("tcp://127.0.0.1:0")
    tub.registerReference(thing)
    del thing
    tub.close()
    del tub
    await until(lambda: alive() is None)


async def test_registered_object_dies_with_its_tub_after_traffic():
    with meet(Maker()) as link:
        thing = Echo()
        alive = weakref.ref(thing)
        link.server.registerReference(thing, name="other")
        other = link.client.getReference(link.listener.uriFor("other"))
        assert await other.echo(1) == 1
        del thing, other
    del link
    await until(lambda: alive() is None)


async def test_a_failure_that_the_collector_finds_is_whole_when_it_is_reported(log):
    """The exception is part of the cycle, too: what is logged must not have been taken apart."""
    gc.collect()

    def make():
        class Node:
            pass

        async def fail():
            node = Node()
            promise = node.promise = marotte.Promise(wrong())
            node.more = [node, promise]
            try:
                await promise
            except ValueError:
                # A second promise for the same exception, whose traceback leads to this frame.
                node.unseen = promise._then(lambda value: None)
                raise

        async def wrong():
            raise ValueError("whole")

        return fail()

    try:
        await make()
    except ValueError:
        pass
    await asyncio.sleep(0)
    await marotte.flushEventualQueue()
    gc.collect()
    assert log.texts() == ["a promise broke and nobody looked at it"]
    error = log.records[0].exc_info[1]
    assert repr(error) == "ValueError('whole')"
