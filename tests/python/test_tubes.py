"""Tubes: errors, policies, time, confirmations, types, and bounds."""

import asyncio
import dataclasses
import datetime
import gc
import logging
import threading
import time
import weakref
from typing import Literal

import pytest
import tubes_kit
from marotte import defer, tubes
from marotte.failure import Failure
from marotte.tubes import (
    BranchTooSlow,
    FlowTimedOut,
    In,
    NotConfirmed,
    Out,
    StopFlowCalled,
    SubprocessTube,
    ThreadTube,
    TubeError,
    WrongItemType,
    batch,
    buffer,
    checked,
    collect,
    confirming,
    conflate,
    fountToList,
    framing,
    iteratorFount,
    mapAsync,
    parallel,
    receiver,
    record,
    series,
    sink,
    skip,
    throttle,
    timeout,
    tube,
)

T = tubes_kit.load("marotte.tubes")


class Wrong(Exception):
    pass


@pytest.fixture
def expected(monkeypatch):
    """The exceptions that tubes raise are kept here instead of being logged."""
    kept = []
    from marotte.tubes import _support

    class Log:
        def error(self, message, exc_info):
            kept.append(type(exc_info))

    monkeypatch.setattr(_support, "logger", Log())
    monkeypatch.delitem(__import__("sys").modules, "twisted.python.log", raising=False)
    return kept


def connect(*parts, drain=None):
    fount, drain = T.Fount(), T.Drain() if drain is None else drain
    fount.flowTo(series(*parts)).flowTo(drain)
    return fount, drain


def kinds(reasons):
    return [reason.type for reason in reasons]


# What the six tests that Tubes has still to write are called


@tube
class Starting:
    def started(self):
        raise Wrong


def test_started_raises(expected):
    fount, drain = connect(Starting())
    assert (kinds(drain.stopped), fount.stops, expected) == ([Wrong], 1, [Wrong])


def test_received_raises(expected):
    @receiver()
    def broken(item):
        raise Wrong

    fount, drain = connect(broken)
    fount.drain.receive(1)
    fount.drain.flowStopped(Failure(StopFlowCalled()))
    assert (kinds(drain.stopped), fount.stops, expected) == ([Wrong], 1, [Wrong])


def test_stopped_raises(expected):
    @tube
    class Broken:
        def stopped(self, reason):
            raise Wrong

    fount, drain = connect(Broken())
    fount.drain.flowStopped(Failure(StopIteration()))
    assert (kinds(drain.stopped), fount.stops, expected) == ([Wrong], 0, [Wrong])


def test_iter_on_result_raises(expected):
    class Result:
        def __iter__(self):
            raise Wrong

    fount, drain = connect(receiver()(lambda item: Result()))
    fount.drain.receive(1)
    assert (kinds(drain.stopped), fount.stops, expected) == ([Wrong], 1, [Wrong])


def test_next_on_iterator_raises(expected):
    class Iterator:
        def __iter__(self):
            return self

        def __next__(self):
            raise Wrong

    fount, drain = connect(receiver()(lambda item: Iterator()))
    fount.drain.receive(1)
    assert (kinds(drain.stopped), fount.stops, expected) == ([Wrong], 1, [Wrong])


def test_deferred_from_next_on_iterator_fails(expected):
    waiting = defer.Deferred()

    @receiver()
    def deferring(item):
        yield waiting

    fount, drain = connect(deferring, tubes.deferredToResult())
    fount.drain.receive(1)
    waiting.errback(Wrong())
    assert (kinds(drain.stopped), fount.stops, expected) == ([Wrong], 1, [Wrong])


def test_reassemble_raises():
    @tube
    class Broken:
        def received(self, item):
            yield item

        def reassemble(self, items):
            raise Wrong

    from zope.interface import directlyProvides

    broken = Broken()
    directlyProvides(broken, tubes.IDivertable)
    fount = T.Fount()
    diverter = tubes.Diverter(broken)
    fount.flowTo(diverter)
    fount.drain.receive(1)
    with pytest.raises(Wrong):
        diverter.divert(T.Drain())


# Errors


def test_the_stages_above_are_told_and_those_below_finish(expected):
    told = []

    def stage(name):
        @tube
        class Stage:
            def received(self, item):
                if name == "b" and item == 2:
                    raise Wrong
                yield item

            def stopped(self, reason):
                told.append((name, reason.type))
                yield f"end of {name}"

        return Stage()

    fount, drain = connect(stage("a"), stage("b"), stage("c"))
    fount.drain.receive(1)
    fount.drain.receive(2)
    assert drain.received == [1, "end of c"]
    assert told == [("a", Wrong), ("c", Wrong)]
    assert kinds(drain.stopped) == [Wrong]


def test_a_fount_whose_pause_raises_stops_the_flow(expected):
    class Broken(T.Fount):
        def pauseFlow(self):
            raise Wrong

    fount, drain = Broken(), T.Drain()
    fount.flowTo(series(tubes_kit.passing(T))).flowTo(drain)
    drain.fount.pauseFlow().unpause()
    assert (kinds(drain.stopped), fount.stops) == ([Wrong], 1)


def test_exceptions_are_logged_without_twisted(expected):
    with pytest.raises(Wrong):
        fountToList(
            iteratorFount([1]).flowTo(series(mapAsync(lambda item: 1 / 0 if 0 else _raise())))
        )
    assert expected == [Wrong]


def _raise():
    raise Wrong


# Policies


def out(policy, capacity=None, merge=None):
    fan = Out(policy, capacity, merge)
    fount, slow, fast = T.Fount(), T.Drain(), T.Drain()
    fount.flowTo(fan.drain)
    fan.newFount().flowTo(slow)
    fan.newFount().flowTo(fast)
    pause = slow.fount.pauseFlow()
    return fount, slow, fast, pause


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        ("drop", [0, 1, 2]),
        ("dropOldest", [7, 8, 9]),
        ("latest", [9]),
        ("merge", [0, 1, 44 - 1 - 0]),
    ],
)
def test_a_slow_branch_costs_the_others_nothing(policy, left):
    fount, slow, fast, pause = out(policy, 3, lambda one, two: one + two)
    for n in range(10):
        fount.drain.receive(n)
    assert (fast.received, fount.paused) == (list(range(10)), 0)
    pause.unpause()
    if policy == "merge":
        left = [0, 1, sum(range(2, 10))]
    assert slow.received == left


def test_a_laggard_is_stopped(expected):
    fount, slow, fast, _pause = out("stop", 3)
    for n in range(10):
        fount.drain.receive(n)
    assert (kinds(slow.stopped), fast.received) == ([BranchTooSlow], list(range(10)))
    assert (fount.stops, fount.paused) == (0, 0)
    fount.drain.flowStopped(Failure(StopIteration()))
    assert (kinds(slow.stopped), kinds(fast.stopped)) == ([BranchTooSlow], [StopIteration])


def test_the_slowest_may_fall_behind_by_as_much_as_it_may():
    fount, slow, _fast, pause = out("slowest", 3)
    for n in range(2):
        fount.drain.receive(n)
    assert fount.paused == 0
    fount.drain.receive(2)
    assert fount.paused == 1
    pause.unpause()
    assert (slow.received, fount.paused) == ([0, 1, 2], 0)


def test_policies_that_there_are_not():
    with pytest.raises(ValueError, match="slowest"):
        Out("fastest")
    with pytest.raises(TypeError, match="merge"):
        Out("merge")
    with pytest.raises(ValueError, match="concat"):
        In("random")
    with pytest.raises(ValueError, match="never"):
        In(ends="soon")


def fan_in(**how):
    fan = In(**how)
    drain = T.Drain()
    fan.fount.flowTo(drain)
    founts = [T.Fount(), T.Fount()]
    for fount in founts:
        fount.flowTo(fan.newDrain())
    return fan, drain, *founts


def test_concat_holds_the_second_until_the_first_has_ended():
    _fan, drain, one, two = fan_in(order="concat")
    assert (one.paused, two.paused) == (0, 1)
    one.drain.receive(1)
    one.drain.flowStopped(Failure(StopIteration()))
    assert two.paused == 0
    two.drain.receive(2)
    two.drain.flowStopped(Failure(StopIteration()))
    assert (drain.received, kinds(drain.stopped)) == ([1, 2], [StopIteration])


def test_zip_takes_one_of_each_and_ends_with_the_first_that_has_none():
    _fan, drain, one, two = fan_in(order="zip")
    one.drain.receive(1)
    assert (one.paused, two.paused, drain.received) == (1, 0, [])
    two.drain.receive("a")
    assert (one.paused, two.paused, drain.received) == (0, 0, [(1, "a")])
    one.drain.flowStopped(Failure(StopIteration()))
    assert (two.stops, kinds(drain.stopped)) == (1, [StopIteration])


def test_priority_goes_first_when_several_wait():
    class Waiting(T.Fount):
        """Sends one item whenever it may."""

        def __init__(self, items):
            super().__init__()
            self.items = items

        def flowTo(self, drain):
            result = super().flowTo(drain)
            self.resume_sending()
            return result

        def resume(self):
            super().resume()
            self.resume_sending()

        def resume_sending(self):
            while self.items and not self.paused and self.drain is not None:
                self.drain.receive(self.items.pop(0))

    class OneByOne(T.Drain):
        def receive(self, item):
            super().receive(item)
            self.pause = self.fount.pauseFlow()

    fan, drain = In("priority"), OneByOne()
    fan.fount.flowTo(drain)
    Waiting(["low 1", "low 2"]).flowTo(fan.newDrain(priority=0))
    Waiting(["high 1", "high 2"]).flowTo(fan.newDrain(priority=5))
    for _ in range(4):
        drain.pause.unpause()
    assert drain.received == ["low 1", "high 1", "high 2", "low 2"]


def test_ends_with_the_first_stops_the_others():
    _fan, drain, one, two = fan_in(ends="first")
    one.drain.flowStopped(Failure(StopIteration()))
    assert (two.stops, kinds(drain.stopped)) == (1, [StopIteration])


def test_never_ends_until_it_is_stopped():
    fan, drain, one, two = fan_in(ends="never")
    for fount in (one, two):
        fount.drain.flowStopped(Failure(StopIteration()))
    assert drain.stopped == []
    late = T.Fount()
    late.flowTo(fan.newDrain())
    late.drain.receive("late")
    assert drain.received == ["late"]


def test_the_first_error_is_the_reason_and_all_are_kept():
    fan, drain, one, two = fan_in()
    one.drain.flowStopped(Failure(Wrong()))
    two.drain.flowStopped(Failure(StopIteration()))
    assert kinds(drain.stopped) == [Wrong]
    assert [(n, reason.type) for n, reason in fan.reasons] == [(0, Wrong), (1, StopIteration)]


def test_merge_is_fair():
    class Endless(T.Fount):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def resume(self):
            super().resume()
            if not self.paused:
                self.drain.receive(self.name)

    class OneByOne(T.Drain):
        pause = None

        def receive(self, item):
            super().receive(item)
            self.pause = self.fount.pauseFlow()

    fan, drain = In(), OneByOne()
    fan.fount.flowTo(drain)
    for name in "abc":
        fount = Endless(name)
        fount.flowTo(fan.newDrain())
    fount.drain.receive("c")
    for _ in range(30):
        drain.pause.unpause()
    assert {drain.received.count(name) for name in "abc"} <= {10, 11}


def test_parallel_is_a_part_of_a_series():
    double = receiver()(lambda item: (item * 2,))
    items = fountToList(
        iteratorFount([1, 2]).flowTo(series(double, parallel(double, double), double))
    )
    assert items == [8, 8, 16, 16]


# Buffers


def test_a_buffer_lets_the_fount_run_ahead_by_its_capacity():
    taken = []

    def source():
        for n in range(100):
            taken.append(n)
            yield n

    drain = T.Drain()
    end = iteratorFount(source()).flowTo(series(buffer(10)))
    pause = end.pauseFlow()
    end.flowTo(drain)
    assert len(taken) == 10
    pause.unpause()
    assert (drain.received, kinds(drain.stopped)) == (list(range(100)), [StopIteration])


@pytest.mark.parametrize(
    ("policy", "left"), [("drop", [0, 1]), ("dropOldest", [8, 9]), ("latest", [9])]
)
def test_a_buffer_that_drops_never_holds_the_fount(policy, left):
    fount, drain = connect(buffer(2, policy))
    pause = drain.fount.pauseFlow()
    for n in range(10):
        fount.drain.receive(n)
    assert fount.paused == 0
    pause.unpause()
    assert drain.received == left


def test_conflate():
    fount, drain = connect(conflate(lambda waiting, item: waiting + item))
    pause = drain.fount.pauseFlow()
    for n in range(5):
        fount.drain.receive(n)
    pause.unpause()
    fount.drain.receive(7)
    assert drain.received == [10, 7]


# Time


def test_batches():
    assert fountToList(iteratorFount(range(5)).flowTo(series(batch(2)))) == [[0, 1], [2, 3], [4]]
    with pytest.raises(ValueError, match="at least 1"):
        batch(0)


def test_what_comes_at_once_is_a_batch():
    fount, drain = connect(framing.bytesToLines(), batch(10, 0))
    fount.drain.receive(b"a\nb\n")
    fount.drain.receive(b"c\n")
    assert drain.received == [[b"a", b"b"], [b"c"]]


def test_a_batch_waits_so_long():
    async def main():
        fount, drain = connect(batch(10, 0.05))
        fount.drain.receive(1)
        fount.drain.receive(2)
        assert drain.received == []
        await asyncio.sleep(0.15)
        assert drain.received == [[1, 2]]
        fount.drain.receive(3)
        fount.drain.flowStopped(Failure(StopIteration()))
        assert drain.received == [[1, 2], [3]]

    asyncio.run(main())


def test_throttle():
    async def main():
        began = time.monotonic()
        items = await collect(iteratorFount(range(7)).flowTo(series(throttle(2, 0.1))))
        assert items == list(range(7))
        assert time.monotonic() - began >= 0.29

    asyncio.run(main())


def test_timeout(expected):
    async def main():
        fount, drain = connect(timeout(0.05))
        fount.drain.receive(1)
        pause = drain.fount.pauseFlow()
        await asyncio.sleep(0.15)
        # It was held back: that is not the fount's doing.
        pause.unpause()
        assert drain.stopped == []
        await asyncio.sleep(0.15)
        assert (kinds(drain.stopped), fount.stops) == ([FlowTimedOut], 1)

    asyncio.run(main())


# Work that takes its time


@pytest.mark.parametrize("ordered", [True, False])
def test_map_async(ordered):
    async def main():
        now, most = [0], [0]

        async def work(item):
            now[0] += 1
            most[0] = max(most[0], now[0])
            await asyncio.sleep(0.05 if item == 0 else 0.01)
            now[0] -= 1
            return item

        items = await collect(iteratorFount(range(9)).flowTo(series(mapAsync(work, 3, ordered))))
        assert most == [3]
        assert sorted(items) == list(range(9))
        assert (items == list(range(9))) is ordered

    asyncio.run(main())


def test_map_async_takes_no_more_than_it_may():
    async def main():
        taken = []

        def source():
            for n in range(100):
                taken.append(n)
                yield n

        waiting = [asyncio.get_running_loop().create_future() for _ in range(100)]
        drain = T.Drain()
        iteratorFount(source()).flowTo(series(mapAsync(lambda n: waiting[n], 4))).flowTo(drain)
        assert len(taken) <= 5
        waiting[0].set_result("first")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (drain.received, len(taken) <= 6) == (["first"], True)
        drain.fount.stopFlow()
        await asyncio.sleep(0)
        assert waiting[1].cancelled() and kinds(drain.stopped) == [StopFlowCalled]

    asyncio.run(main())


def test_one_that_fails_stops_the_flow_and_cancels_the_others(expected):
    async def main():
        cancelled = []

        async def work(item):
            if item == 1:
                await asyncio.sleep(0.01)
                raise Wrong
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                cancelled.append(item)
                raise

        fount, drain = connect(mapAsync(work, 3))
        for n in range(3):
            fount.drain.receive(n)
        await asyncio.sleep(0.1)
        # In order: the first comes first, and it would take ten seconds.
        assert drain.stopped == []
        drain.fount.stopFlow()
        fount.drain.flowStopped(Failure(StopFlowCalled()))
        await asyncio.sleep(0.05)
        assert sorted(cancelled) == [0, 2]

        fount, drain = connect(mapAsync(work, 3, ordered=False))
        for n in range(3):
            fount.drain.receive(n)
        await asyncio.sleep(0.1)
        assert (kinds(drain.stopped), fount.stops, sorted(cancelled)) == ([Wrong], 1, [0, 0, 2, 2])

    asyncio.run(main())


def test_async_tubes():
    @tube
    class Slow:
        async def started(self):
            await asyncio.sleep(0)
            return ["started"]

        async def received(self, item):
            for n in range(item):
                await asyncio.sleep(0)
                yield n

        async def stopped(self, reason):
            await asyncio.sleep(0)
            return ["stopped"]

    async def items():
        for n in (1, 2):
            await asyncio.sleep(0)
            yield n

    async def main():
        got = await collect(iteratorFount(items()).flowTo(series(Slow())))
        assert got == ["started", 0, 0, 1, "stopped"]

    asyncio.run(main())


def test_threads():
    async def main():
        threads = set()

        def work(item):
            threads.add(threading.current_thread())
            time.sleep(0.01)
            return -item

        began = asyncio.get_running_loop().time()
        items = await collect(iteratorFount(range(8)).flowTo(series(ThreadTube(work, 4))))
        assert items == [-n for n in range(8)]
        assert threading.main_thread() not in threads and len(threads) == 4
        assert asyncio.get_running_loop().time() - began < 5

    asyncio.run(main())


def square(item):
    import os

    if item == "die":
        os._exit(3)
    return os.getpid(), item * item


def test_processes(expected):
    import os

    async def main():
        squares = SubprocessTube(square, 2)
        items = await collect(iteratorFount(range(6)).flowTo(series(squares)))
        assert [item for _, item in items] == [n * n for n in range(6)]
        pids = {pid for pid, _ in items}
        assert os.getpid() not in pids and 1 <= len(pids) <= 2
        with pytest.raises(Exception, match="terminated"):
            await collect(iteratorFount(["die"]).flowTo(series(squares)))
        [(_, again)] = await collect(iteratorFount([5]).flowTo(series(squares)))
        assert again == 25

    asyncio.run(main())


# Knowing that it is done


def test_done_is_when_the_last_work_is_done():
    async def main():
        saved = []

        @tube
        class Database:
            async def receivedBatch(self, items):
                await asyncio.sleep(0.01)
                saved.extend(items)

            def received(self, item):
                raise AssertionError("it would rather have many")

            async def stopped(self, reason):
                await asyncio.sleep(0.01)
                saved.append("committed")

        database = sink(Database())
        iteratorFount([b"a\nb\n", b"c\n"]).flowTo(series(framing.bytesToLines(), database))
        assert saved == []
        await database.waitDone()
        assert saved == [b"a", b"b", b"c", "committed"]
        await database.done

    asyncio.run(main())


def test_done_fails_with_what_the_flow_failed_with(expected):
    async def main():
        async def save(item):
            raise Wrong(item)

        saving = sink(save)
        iteratorFount([1, 2]).flowTo(saving)
        with pytest.raises(Wrong):
            await saving.waitDone()
        with pytest.raises(Wrong):
            await saving.done

    asyncio.run(main())


def test_a_sink_as_a_context():
    async def main():
        saved = []

        async def save(item):
            await asyncio.sleep(0.001)
            saved.append(item)

        async with sink(save, atOnce=2) as saving:
            iteratorFount(range(10)).flowTo(saving)
        assert saved == list(range(10))

        cancelled = []

        async def slow(item):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                cancelled.append(item)
                raise

        with pytest.raises(Wrong):
            async with sink(slow) as saving:
                iteratorFount(range(10)).flowTo(saving)
                await asyncio.sleep(0)
                raise Wrong
        await saving.waitDone()
        await asyncio.sleep(0.02)
        assert cancelled == [0]

    asyncio.run(main())


def test_one_who_stops_waiting_disturbs_nobody():
    async def main():
        gate = asyncio.get_running_loop().create_future()
        saving = sink(lambda item: gate)
        iteratorFount([1]).flowTo(saving)
        one, two = saving.waitDone(), saving.waitDone()
        one.addErrback(lambda _: None)
        one.cancel()
        gate.set_result(None)
        await two

    asyncio.run(main())


def test_collect_has_a_limit():
    async def main():
        with pytest.raises(TubeError, match="more than 3"):
            await collect(iteratorFount(range(10)), limit=3)

    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(main())
    finally:
        logging.disable(logging.NOTSET)


# Confirmations


def confirmations():
    told = []
    return told, confirming(lambda item, failure: told.append((item, failure and failure.type)))


def test_confirmations_survive_batches_and_fans():
    async def main():
        told, tag = confirmations()
        gate = asyncio.get_running_loop().create_future()
        written = []

        async def write(items):
            await gate
            written.append(items)

        expand = receiver()(lambda item: [item] * item)
        database = sink(write)
        iteratorFount([0, 1, 2, 3]).flowTo(
            series(tag, expand, parallel(expand, batch(2)), database)
        )
        # Of 0 nothing comes, so all of it has been taken. The others wait for the database.
        assert told == [(0, None)]
        gate.set_result(None)
        await database.waitDone()
        assert sorted(told) == [(0, None), (1, None), (2, None), (3, None)]

    asyncio.run(main())


def test_a_failure_is_told_to_whoever_waits(expected):
    told, tag = confirmations()

    @receiver()
    def broken(item):
        if item == 2:
            raise Wrong
        yield item

    fount, _drain = connect(tag, broken)
    for n in (1, 2, 3):
        fount.drain.receive(n)
    assert told == [(1, None), (2, Wrong)]


def test_what_is_dropped_is_not_confirmed():
    told, tag = confirmations()
    fount, drain = connect(tag, buffer(1, "dropOldest"))
    pause = drain.fount.pauseFlow()
    for n in range(3):
        fount.drain.receive(n)
    assert told == [(0, NotConfirmed), (1, NotConfirmed)]
    pause.unpause()
    assert told[2:] == [(2, None)]


def test_what_waits_when_the_flow_stops_is_not_confirmed():
    told, tag = confirmations()
    fount, drain = connect(tag, batch(10))
    fount.drain.receive(1)
    drain.fount.stopFlow()
    fount.drain.flowStopped(Failure(StopFlowCalled()))
    assert told == [(1, NotConfirmed)]


# Types


@dataclasses.dataclass
class Place:
    name: str
    height: float | None = None


@dataclasses.dataclass
class Trip:
    day: datetime.date
    places: list[Place]
    mode: Literal["foot", "train"] = "foot"
    extra: dict[str, int] = dataclasses.field(default_factory=dict)


def test_records():
    trip = record(
        Trip,
        {
            "day": "2026-11-28",
            "places": [{"name": "Basel", "height": "260"}, ["Bern"]],
            "mode": "train",
            "extra": {"n": "3"},
        },
    )
    assert trip == Trip(
        datetime.date(2026, 11, 28), [Place("Basel", 260.0), Place("Bern")], "train", {"n": 3}
    )
    assert record(Trip, trip) is trip


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"day": "yesterday", "places": []}, "Trip.day"),
        ({"day": "2026-11-28", "places": [{"name": 3}]}, r"Trip.places\[0\].name"),
        ({"day": "2026-11-28", "places": [], "mode": "car"}, "Trip.mode"),
        ({"day": "2026-11-28", "places": [], "colour": "red"}, "colour"),
        ({"day": "2026-11-28"}, "places"),
        (7, "Trip"),
        ([1, 2, 3, 4, 5], "5 values for 4 fields"),
        ({"day": "2026-11-28", "places": [], "extra": {"n": True}}, "extra"),
    ],
)
def test_records_that_do_not_fit(value, where):
    with pytest.raises(WrongItemType, match=where):
        record(Trip, value)


def test_attrs_and_named_tuples():
    import typing

    import attrs

    @attrs.define
    class Point:
        x: int
        _y: float = 0.0

    class Pair(typing.NamedTuple):
        one: int
        two: str

    assert record(Point, {"x": "1", "y": 2}) == Point(1, 2.0)
    assert record(Pair, ["1", "b"]) == Pair(1, "b")


def test_checked(expected):
    fount, drain = connect(checked(Place))
    fount.drain.receive(Place("Basel"))
    fount.drain.receive("Basel")
    assert (drain.received, kinds(drain.stopped)) == ([Place("Basel")], [WrongItemType])
    fount, drain = connect(framing.jsonToValues(), checked(Place, convert=True))
    fount.drain.receive(b'{"name": "Bern", "height": "540"}')
    assert drain.received == [Place("Bern", 540.0)]
    with pytest.raises(TypeError, match="Place"):
        series(checked(Place), framing.linesToBytes())


# Bounds and memory


def run_ahead(*parts):
    """How many items are taken from the source when the drain pauses at the first."""
    taken = []

    def source():
        for n in range(100_000):
            taken.append(n)
            yield b"%d\n" % n

    class OneOnly(T.Drain):
        def receive(self, item):
            super().receive(item)
            self.pause = self.fount.pauseFlow()

    drain = OneOnly()
    iteratorFount(source()).flowTo(series(*parts)).flowTo(drain)
    assert len(drain.received) == 1
    return len(taken)


def same():
    return tubes_kit.passing(T)


def batching():
    @tube
    class Batching:
        def receivedBatch(self, items):
            return items

    return Batching()


@pytest.mark.parametrize(
    ("parts", "most"),
    [
        (lambda: [same()], 2),
        (lambda: [same() for _ in range(10)], 2),
        (lambda: [part for _ in range(5) for part in (same(), buffer(0))], 12),
        (lambda: [framing.bytesToLines()], 2),
        (lambda: [framing.bytesToLines(), same(), framing.linesToBytes()], 4),
        (lambda: [framing.bytesToLines(), framing.bytesToText(), framing.textToBytes()], 2),
        (lambda: [parallel(same(), same())], 4),
        (lambda: [mapAsync(lambda item: item, 4)], 5),
        (lambda: [buffer(7)], 9),
        (lambda: [batch(3)], 5),
        (lambda: [batching()], 1025),
        (lambda: [checked(bytes)], 2),
        (lambda: [confirming(lambda item, failure: None)], 2),
        (lambda: [throttle(100_000, 1)], 2),
        (lambda: [tubes.deferredToResult()], 2),
        (lambda: [tubes.Thru([series(same()), series(buffer(3))])], 5),
    ],
)
def test_the_source_runs_ahead_only_so_far(parts, most):
    assert 1 <= run_ahead(*parts()) <= most


def test_an_output_is_made_when_it_is_wanted():
    made = []

    @receiver()
    def many(item):
        for n in range(1000):
            made.append(n)
            yield n

    fount, drain = connect(many)
    pause = drain.fount.pauseFlow()
    fount.drain.receive("go")
    assert made == []
    pause.unpause()
    assert len(drain.received) == 1000


def test_a_batch_is_not_endless():
    sizes = []

    @tube
    class Batching:
        def receivedBatch(self, items):
            sizes.append(len(items))
            return items

    items = fountToList(
        iteratorFount([b"x\n" * 5000]).flowTo(series(framing.bytesToLines(), Batching()))
    )
    assert len(items) == 5000 and max(sizes) <= 1024 and len(sizes) <= 6


def test_a_drain_may_take_many_at_once():
    class Many(T.Drain):
        def receiveBatch(self, items):
            self.received.append(items)

    drain = Many()
    iteratorFount([b"a\nb\n", b"c\n"]).flowTo(series(framing.bytesToLines())).flowTo(drain)
    assert drain.received == [[b"a", b"b"], [b"c"]]
    assert kinds(drain.stopped) == [StopIteration]


def test_cycles_are_collected():
    class Drain(T.Drain):
        pass

    def make():
        fount, drain = T.Fount(), Drain()
        drain.fan = Out()
        waiting = receiver()(lambda item: iter([item, drain]))
        fount.flowTo(series(same(), waiting, drain.fan.drain))
        drain.fan.newFount().flowTo(drain)
        drain.into = In()
        drain.into.newDrain()
        pause = drain.fount.pauseFlow()
        fount.drain.receive(drain)
        drain.kept = pause
        return weakref.ref(drain), weakref.ref(fount)

    gc.collect()
    one, two = make()
    gc.collect()
    assert one() is None and two() is None


def test_skip_is_no_item():
    assert repr(skip) == "skip"
    assert fountToList(
        iteratorFount([1]).flowTo(series(receiver()(lambda item: (skip, item, None))))
    ) == [
        1,
        None,
    ]


def test_ten_thousand_series_one_after_another():
    drain = T.Drain()
    fount = iteratorFount([1, 2])
    source = fount
    head = T.Fount()
    end = head
    for _ in range(10_000):
        end = end.flowTo(series(same()))
    end.flowTo(drain)
    head.drain.receive(1)
    pause = drain.fount.pauseFlow()
    assert head.paused == 1
    pause.unpause()
    drain.fount.stopFlow()
    head.drain.flowStopped(Failure(StopFlowCalled()))
    assert (drain.received, kinds(drain.stopped), head.stops) == ([1], [StopFlowCalled], 1)
    del head, end, drain, source
    gc.collect()


def skipping(item):
    return skip if item % 2 else item


@pytest.mark.parametrize("make", [ThreadTube, SubprocessTube])
def test_workers_take_no_more_than_they_may(make):
    async def main():
        taken = []

        def source():
            for n in range(1000):
                taken.append(n)
                yield n

        class OneOnly(T.Drain):
            def receive(self, item):
                super().receive(item)
                self.pause = self.fount.pauseFlow()

        drain = OneOnly()
        iteratorFount(source()).flowTo(series(make(skipping, 3))).flowTo(drain)
        while not drain.received:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert (drain.received, len(taken) <= 6) == ([0], True)
        drain.pause.unpause()
        while len(drain.received) < 2:
            await asyncio.sleep(0.01)
        assert drain.received == [0, 2]
        drain.fount.stopFlow()

    asyncio.run(main())
