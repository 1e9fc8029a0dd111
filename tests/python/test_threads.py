"""Other threads than the loop's may send, chain and drop."""

import asyncio
import threading

import marotte
from support import EMPTY, Echo, meet, tables, until


def in_thread(function, *args):
    return asyncio.get_running_loop().run_in_executor(None, function, *args)


async def test_call_from_another_thread(scheme):
    with meet(scheme=scheme) as link:
        remote = await link.remote
        promise = await in_thread(lambda: remote.echo("sent from afar"))
        assert await promise == "sent from afar"


async def test_chain_from_another_thread():
    with meet() as link:
        await link.remote
        promise = await in_thread(lambda: link.remote.self().self().echo(1))
        assert await promise == 1


async def test_callback_added_in_another_thread_runs_on_the_loop():
    ran_on = []
    with meet() as link:
        promise = link.remote.echo(1)
        await promise
        chained = await in_thread(
            lambda: promise._then(lambda _: ran_on.append(threading.current_thread()))
        )
        await chained
        assert ran_on == [threading.current_thread()]


async def test_many_threads_at_once():
    def work(n):
        return [remote.echo([n, i]) for i in range(200)]

    with meet() as link:
        remote = await link.remote
        batches = await asyncio.gather(*(in_thread(work, n) for n in range(8)))
        for n, batch in enumerate(batches):
            assert [await promise for promise in batch] == [[n, i] for i in range(200)]


async def test_calls_of_one_thread_keep_their_order():
    order = []

    class Noter(marotte.Referenceable):
        def remote_note(self, n):
            order.append(n)

    with meet(Noter()) as link:
        remote = await link.remote
        await in_thread(lambda: [remote.note(n) for n in range(100)])
        await remote.note(100)
        assert order == list(range(101))


async def test_reference_dropped_in_another_thread_is_released():
    with meet() as link:
        remote = await link.remote
        holder = [await remote.echo(Echo()), await remote.self()]
        del remote, link.remote
        await in_thread(holder.clear)
        await until(lambda: tables(link.client) == EMPTY)
        await until(lambda: tables(link.server) == EMPTY)


async def test_methods_run_on_the_loops_thread():
    class Where(marotte.Referenceable):
        def remote_where(self):
            return threading.current_thread() is main

    main = threading.current_thread()
    with meet(Where()) as link:
        remote = await link.remote
        assert await (await in_thread(lambda: remote.where())) is True


def test_thread_wakes_a_waiting_tub():
    with marotte.Tub(runner="blocking") as tub:
        tub.listen("tcp://127.0.0.1:0")
        called = []
        noter = tub.getReference(tub.registerReference(lambda x: called.append(x)))
        timer = threading.Timer(0.05, lambda: noter("from a thread"))
        timer.start()
        tub.run(seconds=0.5)
        timer.join()
        assert called == ["from a thread"]
