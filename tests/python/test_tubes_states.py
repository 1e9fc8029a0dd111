"""Flows in rare states: at work, held back, left, stopped or over, or several of these at once."""

import asyncio
import gc
import subprocess
import sys
import weakref

import pytest
import tubes_kit
from marotte.defer import Deferred
from marotte.failure import Failure
from marotte.tubes import (
    BranchTooSlow,
    Diverter,
    FrameTooLong,
    Out,
    Router,
    StopFlowCalled,
    TruncatedFrame,
    UnframeableItem,
    _support,
    fountToList,
    framing,
    iteratorFount,
    receiver,
    series,
    tube,
)
from marotte.tubes.protocol import flowFromEndpoint
from support import until
from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionAborted
from twisted.internet.testing import StringTransport

T = tubes_kit.load("marotte.tubes")


class Wrong(Exception):
    pass


class Watched(T.Drain):
    """Calls a function with itself and each item."""

    def __init__(self, watch):
        super().__init__()
        self.watch = watch

    def receive(self, item):
        super().receive(item)
        self.watch(self, item)


class Many(T.Drain):
    """Would rather have many items at once."""

    def receiveBatch(self, items):
        self.received.extend(items)


class Answering(T.Fount):
    """Stops as soon as it is asked to."""

    def stopFlow(self):
        super().stopFlow()
        self.drain.flowStopped(Failure(StopFlowCalled()))


@tube
class Acting:
    """Does something between its outputs."""

    def received(self, item):
        for n in range(4):
            if n == 2:
                self.act()
            yield n


@pytest.fixture
def expected(monkeypatch):
    """The exceptions that tubes raise are kept here instead of being logged."""
    kept = []

    class Log:
        def error(self, message, exc_info):
            kept.append(type(exc_info))

    monkeypatch.setattr(_support, "logger", Log())
    monkeypatch.delitem(sys.modules, "twisted.python.log", raising=False)
    return kept


def same():
    return tubes_kit.passing(T)


def connect(*parts, drain=None, fount=None):
    fount = T.Fount() if fount is None else fount
    drain = T.Drain() if drain is None else drain
    fount.flowTo(series(*parts)).flowTo(drain)
    return fount, drain


def end(fount):
    fount.drain.flowStopped(Failure(StopIteration()))


def kinds(reasons):
    return [reason.type for reason in reasons]


def fail(drain, item):
    raise Wrong


def test_a_collection_while_a_stage_is_made():
    program = """
import gc
from marotte.tubes import framing
for threshold in range(1, 60):
    gc.set_threshold(threshold)
    kept = [framing.bytesToLines() for _ in range(200)]
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# Held back


def test_all_of_many_lines_arrive():
    lines = fountToList(iteratorFount([b"1\n2\n3\n4\n"]).flowTo(series(framing.bytesToLines())))
    assert lines == [b"1", b"2", b"3", b"4"]


def test_all_of_many_lines_wait_for_a_drain():
    fount, drain = T.Fount(), T.Drain()
    end_of_series = fount.flowTo(series(framing.bytesToLines()))
    fount.drain.receive(b"a\nb\nc\n")
    end_of_series.flowTo(drain)
    assert drain.received == [b"a", b"b", b"c"]


def test_an_output_during_a_pause_is_for_the_next_drain():
    pauses = []

    @receiver()
    def pausing(item):
        pauses.append(middle.pauseFlow())
        yield item

    fount, one, two = T.Fount(), T.Drain(), T.Drain()
    middle = fount.flowTo(series(pausing))
    middle.flowTo(one)
    fount.drain.receive(1)
    middle.flowTo(None)
    pauses.pop().unpause()
    middle.flowTo(two)
    assert (one.received, two.received) == ([], [1])


@pytest.mark.parametrize(
    ("stage", "made"), [(framing.linesToBytes, b"x\r\n"), (framing.bytesToNetstrings, b"1:x,")]
)
def test_what_has_gathered_during_a_pause_comes_before_the_end(stage, made):
    fount, drain = connect(stage())
    pause = drain.fount.pauseFlow()
    fount.drain.receive(b"x")
    end(fount)
    pause.unpause()
    assert (drain.received, kinds(drain.stopped)) == ([made], [StopIteration])


def test_a_fount_that_is_paused_while_it_resumes():
    class Greedy:
        """Sends to a drain that pauses it at every item."""

        sent = 0
        paused = False

        def __init__(self):
            self.pauser = T.kit.Pauser(self.pause, self.resume)

        def pause(self):
            self.paused = True

        def resume(self):
            self.paused = False
            while not self.paused and self.sent < 100:
                self.sent += 1
                self.pauser.pause()

    greedy = Greedy()
    greedy.pauser.pause().unpause()
    assert greedy.sent == 1


def test_a_result_that_comes_while_its_fount_is_being_paused():
    result = Deferred()

    class Firing(T.Fount):
        def pauseFlow(self):
            pause = super().pauseFlow()
            if not result.called:
                result.callback(["x"])
            return pause

    fount, drain = connect(receiver()(lambda item: result), fount=Firing())
    fount.drain.receive(1)
    assert (drain.received, fount.paused) == (["x"], 0)


@pytest.mark.parametrize("how", ["paused", "left", "for another drain", "for a series"])
def test_a_change_between_two_outputs_is_not_too_late(how):
    fount, one, two, acting, pauses = T.Fount(), Many(), T.Drain(), Acting(), []
    middle = fount.flowTo(series(acting))
    middle.flowTo(one)
    acting.act = {
        "paused": lambda: pauses.append(middle.pauseFlow()),
        "left": lambda: middle.flowTo(None),
        "for another drain": lambda: middle.flowTo(two),
        "for a series": lambda: middle.flowTo(series(same())).flowTo(two),
    }[how]
    fount.drain.receive("go")
    assert one.received == []
    for pause in pauses:
        pause.unpause()
    if middle.drain is None:
        middle.flowTo(two)
    assert one.received + two.received == [0, 1, 2, 3]
    assert (one if pauses else two).received == [0, 1, 2, 3]


# Asynchronous tubes


@pytest.mark.parametrize("start", ["in a task", "in a callback"])
async def test_coroutines_begin_wherever_the_flow_does(start):
    async def wait(item):
        await asyncio.sleep(0)
        return [item]

    drain = T.Drain()
    fount = iteratorFount([1, 2, 3]).flowTo(series(receiver()(wait)))
    if start == "in a task":
        fount.flowTo(drain)
    else:
        asyncio.get_running_loop().call_soon(fount.flowTo, drain)
    await until(lambda: drain.stopped)
    assert (drain.received, kinds(drain.stopped)) == ([1, 2, 3], [StopIteration])


def test_a_stop_cancels_a_deferred():
    cancelled = []
    waiting = Deferred(cancelled.append)
    fount, drain = connect(receiver()(lambda item: waiting), fount=Answering())
    fount.drain.receive(1)
    drain.fount.stopFlow()
    assert (kinds(drain.stopped), cancelled) == ([StopFlowCalled], [waiting])


async def test_a_stop_cancels_a_coroutine():
    told = []

    async def work(item):
        told.append("began")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    fount, drain = connect(receiver()(work), fount=Answering())
    fount.drain.receive(1)
    await until(lambda: told)
    drain.fount.stopFlow()
    assert kinds(drain.stopped) == [StopFlowCalled]
    await until(lambda: len(told) > 1)
    assert told == ["began", "cancelled"]


async def test_a_stop_cancels_a_future():
    future = asyncio.get_running_loop().create_future()
    fount, drain = connect(receiver()(lambda item: future), fount=Answering())
    fount.drain.receive(1)
    drain.fount.stopFlow()
    assert kinds(drain.stopped) == [StopFlowCalled]
    await until(future.cancelled)


async def test_a_stop_closes_a_generator():
    closed = []

    def items():
        try:
            yield from range(9)
        finally:
            closed.append("generator")

    async def later():
        try:
            for n in range(9):
                yield n
        finally:
            closed.append("asynchronous generator")

    for source in (items, later):
        drain = Watched(lambda drain, item: drain.fount.stopFlow())
        iteratorFount(source()).flowTo(drain)
        await until(lambda drain=drain: drain.stopped)
        assert (drain.received, kinds(drain.stopped)) == ([0], [StopFlowCalled])
    await until(lambda: len(closed) == 2)
    assert closed == ["generator", "asynchronous generator"]


def test_what_comes_after_the_end_while_a_tube_finishes():
    result = Deferred()

    @tube
    class Slow:
        def received(self, item):
            yield item

        def stopped(self, reason):
            return result

    drain, late = series(Slow()), T.Fount()
    one, below = T.Fount(), T.Drain()
    one.flowTo(drain).flowTo(below)
    end(one)
    late.flowTo(drain)
    late.drain.receive("lost")
    result.callback(["bye"])
    late.drain.receive("lost, too")
    assert (below.received, kinds(below.stopped)) == (["bye"], [StopIteration])
    assert (one.stops, late.stops, late.paused) == (0, 1, 0)


# Failures, and the first cause


def test_a_pause_that_raises_while_a_tube_is_at_work(expected):
    class Broken(T.Fount):
        def pauseFlow(self):
            raise Wrong

    @receiver()
    def again(item):
        if item == 1:
            fount.drain.receive(2)
        yield item

    fount, drain = connect(again, fount=Broken())
    fount.drain.receive(1)
    assert (drain.received, kinds(drain.stopped), fount.stops) == ([1], [Wrong], 1)


def test_what_a_drain_raised_comes_before_the_answer_to_the_stop(expected):
    fount, drain = connect(same(), fount=Answering(), drain=Watched(fail))
    fount.drain.receive(1)
    assert (drain.received, kinds(drain.stopped), fount.stops) == ([1], [Wrong], 1)
    drain = Watched(fail)
    iteratorFount([1, 2]).flowTo(series(same())).flowTo(drain)
    assert (drain.received, kinds(drain.stopped)) == ([1], [Wrong])


def test_a_laggard_alone_hears_why():
    fan, fount, drain = Out(), Answering(), T.Drain()
    fount.flowTo(fan.drain)
    branch = fan.newFount("stop", 2)
    branch.flowTo(drain)
    pause = branch.pauseFlow()
    for n in range(3):
        fount.drain.receive(n)
    pause.unpause()
    assert (kinds(drain.stopped), fount.stops) == ([BranchTooSlow], 1)


def test_a_route_hears_what_its_router_failed_with(expected):
    router, fount, drain = Router(), Answering(), T.Drain()
    router.newRoute("a").flowTo(drain)
    fount.flowTo(router.drain)
    fount.drain.receive("not for any route")
    assert (kinds(drain.stopped), fount.stops, expected) == ([TypeError], 1, [TypeError])


def test_a_stop_iteration_is_no_end(expected):
    @receiver()
    def careless(item):
        if item == 3:
            return [next(iter(()))]
        return [item]

    drain = T.Drain()
    iteratorFount([1, 2, 3, 4]).flowTo(series(careless)).flowTo(drain)
    assert (drain.received, kinds(drain.stopped)) == ([1, 2], [RuntimeError])
    assert isinstance(drain.stopped[0].value.__cause__, StopIteration)


def test_those_below_one_that_cannot_start_have_their_say(expected):
    @tube
    class Polite:
        def started(self):
            return ["hello"]

        def stopped(self, reason):
            return ["bye"]

    @tube
    class Broken:
        def started(self):
            raise Wrong

    drain = T.Drain()
    iteratorFount([1]).flowTo(series(Broken(), Polite())).flowTo(drain)
    assert (drain.received, kinds(drain.stopped)) == (["hello", "bye"], [Wrong])


def test_a_zstandard_frame_that_ends_too_early(expected):
    plain = bytes(range(256)) * 2000
    packed = b"".join(fountToList(iteratorFount([plain]).flowTo(series(framing.bytesToZstd()))))
    for missing in (0, 1, len(packed) // 2, len(packed) - 3):
        fount, drain = connect(framing.zstdToBytes())
        fount.drain.receive(packed[: len(packed) - missing])
        end(fount)
        assert kinds(drain.stopped) == [TruncatedFrame if missing else StopIteration]
        taken = b"".join(drain.received)
        assert taken == plain if missing < 2 else plain.startswith(taken)


def test_a_line_that_would_come_out_as_another(expected):
    fount, drain = connect(framing.linesToBytes(b"\n"), framing.bytesToLines())
    fount.drain.receive(b"a\r")
    assert (drain.received, kinds(drain.stopped), fount.stops) == ([], [UnframeableItem], 1)


def test_a_last_line_that_is_too_long(expected):
    fount, drain = connect(framing.bytesToLines(maxLength=3, lastLine=True))
    fount.drain.receive(b"abcd")
    end(fount)
    assert (drain.received, kinds(drain.stopped)) == ([], [FrameTooLong])


# Left, and given another drain


def test_what_has_waited_comes_when_the_drain_knows_where_from():
    fount = T.Fount()
    middle = fount.flowTo(series(same()))
    below = middle.flowTo(series(same()))
    below.flowTo(T.Drain())
    below.pauseFlow()
    fount.drain.receive(1)
    fount.drain.receive(2)
    founts = []
    drain = Watched(lambda drain, item: founts.append(drain.fount))
    middle.flowTo(drain)
    assert (drain.received, founts) == ([1, 2], [middle, middle])


def test_what_has_waited_comes_as_the_drain_wants_it():
    fount, pauses = T.Fount(), []
    middle = fount.flowTo(series(same()))
    below = middle.flowTo(series(same()))
    below.flowTo(T.Drain())
    below.pauseFlow()
    fount.drain.receive(1)
    fount.drain.receive(2)
    drain = Watched(lambda drain, item: pauses.append(drain.fount.pauseFlow()))
    middle.flowTo(drain)
    assert drain.received == [1]
    pauses.pop().unpause()
    assert drain.received == [1, 2]


def test_what_has_waited_comes_after_the_greeting():
    @tube
    class Polite:
        def started(self):
            yield "hello"

        def received(self, item):
            yield item

    fount, drain = T.Fount(), T.Drain()
    middle = fount.flowTo(series(same()))
    below = middle.flowTo(series(same()))
    below.flowTo(T.Drain())
    below.pauseFlow()
    fount.drain.receive(1)
    fount.drain.receive(2)
    polite = series(Polite())
    polite.flowingFrom(None).flowTo(drain)
    middle.flowTo(polite)
    assert drain.received == ["hello", 1, 2]


def test_a_fount_that_is_over_takes_no_other_drain():
    fount, one, two = iteratorFount([1]), T.Drain(), T.Drain()
    fount.flowTo(one)
    fount.flowTo(two)
    assert (one.received, kinds(one.stopped)) == ([1], [StopIteration])
    assert (two.received, two.stopped, two.fount) == ([], [], None)


def test_a_series_does_not_flow_to_itself():
    drain = series(same())
    with pytest.raises(ValueError, match="itself"):
        drain.flowingFrom(None).flowTo(drain)


def test_a_stop_is_over_when_nobody_is_left_to_answer():
    fount, drain = connect(same())
    drain.fount.stopFlow()
    assert drain.stopped == []
    fount.flowTo(None)
    assert (kinds(drain.stopped), fount.stops) == ([StopFlowCalled], 1)


@pytest.mark.parametrize("fan", [Out, Router])
def test_a_branch_that_comes_after_the_end_hears_of_it(fan):
    fan, fount, drain = fan(), T.Fount(), T.Drain()
    fount.flowTo(fan.drain)
    end(fount)
    new = fan.newFount() if isinstance(fan, Out) else fan.newRoute()
    new.flowTo(drain)
    assert kinds(drain.stopped) == [StopIteration]


def test_a_branch_that_comes_after_all_have_stopped():
    fan, fount, drain = Out(), T.Fount(), T.Drain()
    fount.flowTo(fan.drain)
    branch = fan.newFount()
    branch.flowTo(T.Drain())
    branch.stopFlow()
    fan.newFount().flowTo(drain)
    assert (fount.stops, kinds(drain.stopped)) == (1, [StopFlowCalled])


def test_a_lost_connection_stops_what_is_sent_once():
    class Endpoint:
        def connect(self, factory):
            self.protocol = factory.buildProtocol(None)
            self.protocol.makeConnection(StringTransport())
            return succeed(self.protocol)

    endpoint, fount, flows = Endpoint(), T.Fount(), []
    flowFromEndpoint(endpoint).addCallback(flows.append)
    fount.flowTo(flows[0].drain)
    # A transport tells its producer first.
    endpoint.protocol.transport.producer.stopProducing()
    endpoint.protocol.connectionLost(Failure(ConnectionAborted()))
    assert fount.stops == 1


# Diverted


def diverting(drain):
    """Lines to a first drain, then the rest to another."""
    fount, old, lines = T.Fount(), T.Drain(), framing.bytesToLines()
    fount.flowTo(series(lines)).flowTo(old)
    fount.drain.receive(b"a\nre")
    lines.divert(drain)
    return fount, old


def test_a_flow_is_diverted_to_one_that_is_paused():
    target, drain = series(same()), T.Drain()
    below = target.flowingFrom(None)
    below.flowTo(drain)
    pause = below.pauseFlow()
    fount, old = diverting(target)
    fount.drain.receive(b"st\n")
    assert drain.received == []
    pause.unpause()
    assert (old.received, drain.received) == ([b"a"], [b"re", b"st\n"])


def test_a_flow_is_diverted_to_one_that_stops_it():
    drain = Watched(lambda drain, item: drain.fount.stopFlow())
    fount, old = diverting(drain)
    assert (drain.received, fount.stops) == ([b"re"], 1)
    fount.drain.receive(b"more")
    fount.drain.flowStopped(Failure(StopFlowCalled()))
    assert (old.received, old.stopped) == ([b"a"], [])
    assert (drain.received, kinds(drain.stopped)) == ([b"re"], [StopFlowCalled])


def test_a_flow_is_diverted_to_one_that_raises(expected):
    drain = Watched(fail)
    fount, old = diverting(drain)
    fount.drain.receive(b"more")
    assert (old.received, old.stopped, fount.stops) == ([b"a"], [], 1)
    assert (drain.received, kinds(drain.stopped), expected) == ([b"re"], [Wrong], [Wrong])


@pytest.mark.parametrize("how", ["by the stage", "by a Diverter"])
def test_the_end_goes_where_the_rest_of_a_flow_is_diverted_to(how):
    fount, new, lines = T.Fount(), T.Drain(), framing.bytesToLines()
    diverter = lines if how == "by the stage" else Diverter(lines)
    old = Watched(lambda drain, item: diverter.divert(new) if item == b"b" else None)
    below = fount.flowTo(series(diverter))
    below.flowTo(old)
    pause = below.pauseFlow()
    fount.drain.receive(b"a\nb\nREST")
    end(fount)
    pause.unpause()
    assert (old.received, old.stopped) == ([b"a", b"b"], [])
    assert (new.received, kinds(new.stopped)) == ([b"REST"], [StopIteration])


def test_half_a_character_is_diverted():
    fount, old, new, text = T.Fount(), T.Drain(), T.Drain(), framing.bytesToText()
    fount.flowTo(series(text)).flowTo(old)
    fount.drain.receive(b"h\xc3")
    text.divert(new)
    fount.drain.receive(b"\xa9")
    assert (old.received, new.received) == (["h"], [b"\xc3", b"\xa9"])


# What goes away


def test_a_series_that_nobody_has_is_collected():
    stage = same()
    kept = weakref.ref(stage)
    drain = series(stage)
    del stage, drain
    gc.collect()
    assert kept() is None


class Pausing:
    """Pauses a flow when it goes away."""

    def __init__(self, fount, pauses):
        self.fount = fount
        self.pauses = pauses

    def __del__(self):
        self.pauses.append(self.fount.pauseFlow())


class PausingError(Pausing, Exception):
    pass


def test_an_item_that_looks_at_the_flow_as_it_is_dropped():
    pauses = []

    @receiver()
    def stopping(item):
        drain.fount.stopFlow()
        yield Pausing(drain.fount, pauses)

    fount, drain = connect(stopping)
    fount.drain.receive(1)
    assert (drain.received, len(pauses)) == ([], 1)
    fount.drain.flowStopped(Failure(StopFlowCalled()))
    assert kinds(drain.stopped) == [StopFlowCalled]


def test_an_item_that_looks_at_the_flow_as_it_comes_too_late():
    pauses = []
    fount, drain = connect(same())
    end(fount)
    fount.drain.receive(Pausing(drain.fount, pauses))
    assert (drain.received, len(pauses)) == ([], 1)


def test_an_item_that_looks_at_the_flow_as_it_waits_in_vain():
    pauses = []
    fount, drain = connect(same())
    drain.fount.pauseFlow()
    fount.drain.receive(Pausing(drain.fount, pauses))
    assert pauses == []
    drain.fount.stopFlow()
    assert (drain.received, len(pauses), fount.stops) == ([], 1, 1)


def test_a_reason_that_looks_at_the_flow_as_another_takes_its_place():
    pauses = []
    fount, drain = connect(same())
    pause = drain.fount.pauseFlow()
    fount.drain.receive(1)
    for _ in range(2):
        fount.drain.flowStopped(Failure(PausingError(drain.fount, pauses)))
    assert len(pauses) == 1
    pause.unpause()
    pauses.pop().unpause()
    assert (drain.received, kinds(drain.stopped)) == ([1], [PausingError])


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_reaches_whoever_called(exception, expected):
    @receiver()
    def ending(item):
        raise exception

    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(series(ending)).flowTo(drain)
    with pytest.raises(exception):
        fount.drain.receive(1)
    assert ([reason.type for reason in drain.stopped], fount.stops) == ([exception], 1)
    # Once.
    fount.drain.receive(2)


@pytest.mark.parametrize("size", [0, 1, 1 << 14, 1 << 15, 1 << 17, 1 << 18])
def test_a_whole_zstandard_stream_of_any_size(size):
    whole = fountToList(
        iteratorFount([bytes(size)]).flowTo(series(framing.bytesToZstd(), framing.zstdToBytes()))
    )
    assert b"".join(whole) == bytes(size)
