"""Flows between programs: credit, ends, stops, lost connections."""

import asyncio

import marotte
import pytest
import tubes_kit
from marotte import tubes
from marotte.failure import Failure
from marotte.tubes import collect, drainOf, fountOf, framing, iteratorFount, series, sink
from support import Echo, meet, until

T = tubes_kit.load("marotte.tubes")
WINDOW = 1024


class Wrong(Exception):
    pass


class Flows(Echo):
    """Offers founts and drains."""

    def __init__(self):
        self.made = 0
        self.founts = []
        self.saved = []
        self.kept = []
        self.gate = None

    def source(self, size):
        while True:
            self.made += 1
            yield b"x" * size if size else self.made

    def remote_numbers(self, count):
        return iteratorFount(range(count))

    def remote_endless(self, size=0):
        return iteratorFount(self.source(size))

    def remote_sends(self):
        self.founts.append(T.Fount())
        return self.founts[-1]

    def remote_keeps(self):
        self.kept.append(T.Drain())
        return self.kept[-1]

    def remote_saves(self):
        async def save(item):
            if item == "bad":
                raise Wrong("it is bad")
            if self.gate is not None:
                await self.gate
            self.saved.append(item)

        return sink(save)

    def remote_all(self, fount):
        return collect(fountOf(fount))

    def remote_give(self, drain, count):
        iteratorFount(range(count)).flowTo(drain)


class Pausing(T.Drain):
    """Takes so many items, then pauses."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def receive(self, item):
        super().receive(item)
        if len(self.received) == self.most:
            self.pause = self.fount.pauseFlow()


def kinds(reasons):
    return [reason.type for reason in reasons]


async def test_a_fount_as_a_result(scheme):
    with meet(Flows(), scheme) as link:
        assert await collect(fountOf(link.remote.numbers(3000))) == list(range(3000))


async def test_a_fount_as_an_argument(scheme):
    with meet(Flows(), scheme) as link:
        assert await link.remote.all(iteratorFount(range(3000))) == list(range(3000))


async def test_a_drain_as_a_result_and_as_an_argument():
    flows = Flows()
    with meet(flows) as link:
        iteratorFount(range(3000)).flowTo(series(link.remote.saves()))
        await until(lambda: len(flows.saved) == 3000)
        assert flows.saved == list(range(3000))
        drain = T.Drain()
        await link.remote.give(drain, 50)
        await until(lambda: drain.stopped)
        assert (drain.received, kinds(drain.stopped)) == (list(range(50)), [StopIteration])


async def test_what_is_asked_for_comes_without_a_round_trip_more():
    flows = Flows()
    with meet(flows) as link:
        await link.remote.echo(1)
        # Nothing of this waits for an answer: the fount of a promise, and a flow from it.
        drain = T.Drain()
        fountOf(link.remote.numbers(3)).flowTo(drain)
        await until(lambda: drain.stopped)
        assert drain.received == [0, 1, 2]


async def test_far_flows_home_again():
    keeper = Flows()
    with meet(keeper) as link:
        fount = iteratorFount([1])
        # Its own fount comes home as something that is that fount.
        back = await link.remote.echo(fount)
        assert fountOf(back) is fount
        drain = T.Drain()
        assert drainOf(await link.remote.echo(drain)) is drain


async def test_a_slow_reader_holds_the_writer():
    flows = Flows()
    with meet(flows) as link:
        drain = Pausing(10)
        fountOf(link.remote.endless()).flowTo(drain)
        await asyncio.sleep(0.3)
        assert len(drain.received) == 10 and flows.made <= WINDOW + 70
        made = flows.made
        await asyncio.sleep(0.1)
        assert flows.made == made
        drain.most = -1
        drain.pause.unpause()
        await until(lambda: len(drain.received) > 5 * WINDOW)
        assert drain.received == list(range(1, len(drain.received) + 1))
        drain.fount.stopFlow()


async def test_bytes_count_too():
    flows = Flows()
    with meet(flows) as link:
        drain = Pausing(1)
        fountOf(link.remote.endless(100_000)).flowTo(drain)
        await asyncio.sleep(0.3)
        # A window of a megabyte and the first 64 KiB, each overdrawn by one item.
        assert flows.made <= 14
        drain.fount.stopFlow()


async def test_an_item_larger_than_the_window():
    with meet(Flows()) as link:
        big = [b"a" * 3_000_000, b"b" * 3_000_000]
        assert await link.remote.all(iteratorFount(big)) == big


async def test_a_stalled_flow_stalls_no_other():
    flows = Flows()
    with meet(flows) as link:
        stalled = [Pausing(1) for _ in range(5)]
        for drain in stalled:
            fountOf(link.remote.endless(20_000)).flowTo(drain)
        await asyncio.sleep(0.2)
        assert await collect(fountOf(link.remote.numbers(20_000))) == list(range(20_000))
        assert [len(drain.received) for drain in stalled] == [1] * 5
        for drain in stalled:
            drain.fount.stopFlow()


async def test_the_end_and_its_reason():
    flows = Flows()
    with meet(flows) as link:
        drain = T.Drain()
        fountOf(link.remote.sends()).flowTo(drain)
        await until(lambda: flows.founts and flows.founts[0].drain)
        fount = flows.founts[0]
        fount.drain.receive("last")
        fount.drain.flowStopped(Failure(Wrong("the disk is full")))
        fount.drain.flowStopped(Failure(StopIteration()))
        await until(lambda: drain.stopped)
        await asyncio.sleep(0.05)
        assert (drain.received, kinds(drain.stopped)) == (["last"], [marotte.RemoteError])
        assert "the disk is full" in str(drain.stopped[0].value)
        assert fount.stops == 0


async def test_the_end_waits_for_what_is_held_back():
    flows = Flows()
    with meet(flows) as link:
        drain = Pausing(1)
        fountOf(link.remote.numbers(100)).flowTo(drain)
        await asyncio.sleep(0.1)
        assert (drain.received, drain.stopped) == ([0], [])
        drain.pause.unpause()
        await until(lambda: drain.stopped)
        assert (drain.received, kinds(drain.stopped)) == (list(range(100)), [StopIteration])


async def test_a_stop_reaches_the_fount_once():
    flows = Flows()
    with meet(flows) as link:
        drain = T.Drain()
        fountOf(link.remote.sends()).flowTo(series(drain))
        await until(lambda: flows.founts and flows.founts[0].drain)
        drain.fount.stopFlow()
        drain.fount.stopFlow()
        await until(lambda: flows.founts[0].stops)
        await asyncio.sleep(0.05)
        assert (flows.founts[0].stops, kinds(drain.stopped)) == (1, [tubes.StopFlowCalled])


async def test_a_lost_connection_stops_both_sides_once():
    flows = Flows()
    with meet(flows) as link:
        drain, near = T.Drain(), T.Fount()
        fountOf(link.remote.sends()).flowTo(drain)
        far = drainOf(link.remote.keeps())
        near.flowTo(far)
        near.drain.receive("before")
        await until(lambda: flows.founts and flows.founts[0].drain and flows.kept)
        await until(lambda: flows.kept[0].received)
        link.listener.stop() if hasattr(link.listener, "stop") else None
        link.client.close()
        await until(lambda: drain.stopped and flows.founts[0].stops and near.stops)
        await until(lambda: flows.kept[0].stopped)
        await asyncio.sleep(0.05)
        assert (len(drain.stopped), flows.founts[0].stops, near.stops) == (1, 1, 1)
        assert (flows.kept[0].received, len(flows.kept[0].stopped)) == (["before"], 1)
        assert issubclass(flows.kept[0].stopped[0].type, marotte.DisconnectedError)
        with pytest.raises(marotte.DisconnectedError):
            await far.waitDone()
        # It goes nowhere, and says so.
        near.drain.receive("after")


async def test_done_is_when_the_far_drain_is_done():
    flows = Flows()
    with meet(flows) as link:
        flows.gate = asyncio.get_running_loop().create_future()
        far = drainOf(link.remote.saves())
        iteratorFount(["a", "b"]).flowTo(far)
        done = far.waitDone()
        await asyncio.sleep(0.1)
        assert not done.called
        flows.gate.set_result(None)
        await done
        assert flows.saved == ["a", "b"]


async def test_a_far_drain_that_fails(caplog):
    flows = Flows()
    with meet(flows) as link:
        far = drainOf(link.remote.saves())
        near = T.Fount()
        near.flowTo(far)
        near.drain.receive("bad")
        await until(lambda: near.stops)
        with pytest.raises(marotte.RemoteError, match="it is bad"):
            await far.waitDone()


async def test_what_is_no_fount():
    with meet(Echo()) as link:
        drain = T.Drain()
        fountOf(link.remote.self()).flowTo(drain)
        await until(lambda: drain.stopped)
        assert kinds(drain.stopped) == [marotte.RemoteError]
        near = T.Fount()
        near.flowTo(drainOf(link.remote.self()))
        await until(lambda: near.stops)


async def test_native_stages_on_both_sides():
    with meet(Flows()) as link:
        text = b"".join(b"line %d\r\n" % n for n in range(5000))
        chunks = [text[n : n + 1000] for n in range(0, len(text), 1000)]
        lines = await link.remote.all(
            iteratorFount(chunks).flowTo(series(framing.bytesToLines(), framing.bytesToText()))
        )
        assert lines == [f"line {n}" for n in range(5000)]


class Liar(Echo):
    """A peer that sends more than it may."""

    def __init__(self):
        self.stops = 0

    def remote_flowTo(self, drain):
        inlet = marotte.send(drain).flowingFrom(self)
        for _ in range(10):
            marotte.sendOnly(inlet).receive([b"x"] * 1000)

    def remote_grant(self, items, size):
        """It does not care."""

    def remote_stopFlow(self):
        self.stops += 1

    def remote_done(self):
        return asyncio.get_running_loop().create_future()


async def test_more_than_was_granted_stops_that_flow_only():
    liar = Liar()
    with meet(liar) as link:
        drain = Pausing(1)
        fountOf(link.remote).flowTo(drain)
        await until(lambda: liar.stops)
        assert len(drain.received) == 1
        assert await marotte.send(link.remote).echo("still there") == "still there"
        drain.pause.unpause()
        await until(lambda: drain.stopped)
        assert len(drain.received) <= WINDOW + 64 and kinds(drain.stopped) == [tubes.StopFlowCalled]


@pytest.mark.parametrize("message", [("grant", -1, 0), ("grant", "a", 1), ("grant", 1, None)])
async def test_grants_that_are_none(message):
    class Odd(Echo):
        def remote_flowingFrom(self, control):
            self.control = control
            return self

        def remote_receive(self, items):
            pass

        def remote_done(self):
            return asyncio.get_running_loop().create_future()

    odd = Odd()
    with meet(odd) as link:
        iteratorFount(range(10)).flowTo(drainOf(link.remote))
        await until(lambda: hasattr(odd, "control"))
        name, *args = message
        with pytest.raises(marotte.RemoteError):
            await getattr(odd.control, name)(*args)


async def test_nothing_is_left_in_the_tables():
    flows = Flows()
    with meet(flows) as link:
        await link.remote.echo(None)
        before = {name: link.server.stats()[name] for name in ("exports", "answers")}
        for _ in range(20):
            await collect(fountOf(link.remote.numbers(10)))
            far = drainOf(link.remote.saves())
            iteratorFount(range(3)).flowTo(far)
            await far.waitDone()
        del far

        def empty():
            stats = link.server.stats()
            return all(stats[name] <= before[name] + 1 for name in before)

        await until(empty)
