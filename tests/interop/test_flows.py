"""Flows between Python and JavaScript: streams there are founts and drains here."""

import asyncio
import pathlib
import shutil
import subprocess

import marotte
import pytest
from marotte.tubes import collect, drainOf, fountOf, framing, iteratorFount, series, sink

PEER = pathlib.Path(__file__).with_name("peers") / "flows.mjs"
WINDOW = 1024


@pytest.fixture
def serving():
    node = shutil.which("node") or "node"
    with subprocess.Popen([node, str(PEER)], stdout=subprocess.PIPE, text=True) as program:
        yield program
        program.kill()


@pytest.fixture
def uri(serving):
    return serving.stdout.readline().strip()


def using(uri, work):
    async def main():
        with marotte.Tub() as tub:
            await work(await tub.getReference(uri))

    asyncio.run(main())


def test_a_stream_is_a_fount(uri):
    async def work(streams):
        assert await collect(fountOf(streams.numbers(3000))) == list(range(3000))

    using(uri, work)


def test_a_fount_is_a_stream(uri):
    async def work(streams):
        text = [b"one\ntwo\n", b"three\n"]
        lines = iteratorFount(text).flowTo(series(framing.bytesToLines(), framing.bytesToText()))
        assert await streams.all(lines) == ["one", "two", "three"]

    using(uri, work)


def test_done_is_when_the_stream_has_closed(uri):
    async def work(streams):
        far = drainOf(streams.saves())
        iteratorFount(range(2000)).flowTo(far)
        await far.waitDone()
        assert await streams.kept() == [*range(2000), "closed"]

    using(uri, work)


def test_a_slow_drain_holds_the_stream(uri):
    async def work(streams):
        gate = asyncio.get_running_loop().create_future()
        taken = []

        async def slow(item):
            taken.append(item)
            await gate

        slowly = sink(slow)
        fountOf(streams.endless()).flowTo(slowly)
        await asyncio.sleep(0.3)
        made = await streams.count()
        assert (taken, made <= WINDOW + 70) == ([1], True)
        await asyncio.sleep(0.1)
        assert await streams.count() == made
        gate.set_result(None)
        while len(taken) < 3 * WINDOW:
            await asyncio.sleep(0.01)
        assert taken == list(range(1, len(taken) + 1))
        slowly.stop()
        await slowly.waitDone()

    using(uri, work)


def test_an_error_there_is_one_here(uri):
    async def work(streams):
        with pytest.raises(marotte.RemoteError, match="the disk is full"):
            await collect(fountOf(streams.failing()))

    using(uri, work)


def test_a_peer_that_dies_ends_the_flow(uri, serving):
    async def work(streams):
        slowly = sink(lambda item: asyncio.sleep(0.001))
        fountOf(streams.endless()).flowTo(slowly)
        await asyncio.sleep(0.1)
        serving.kill()
        with pytest.raises(marotte.DisconnectedError):
            await asyncio.wait_for(asyncio.shield(_done(slowly)), 10)

    using(uri, work)


async def _done(drain):
    await drain.waitDone()
