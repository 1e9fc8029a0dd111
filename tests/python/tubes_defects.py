"""What is wrong with Tubes 0.2.1, each as a function that fails there and passes with ours."""

import gc

from tubes_kit import passing
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

DEFECTS = []


def defect(function):
    DEFECTS.append(function)
    return function


class Wrong(Exception):
    pass


def ended(reason=None):
    return Failure(reason or Wrong("the end"))


def types(reasons):
    return [reason.type for reason in reasons]


# Stopping


@defect
def a_tube_without_stopped_passes_the_end_on(T):
    @T.tube.tube
    class Plain:
        def received(self, item):
            yield item

    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(Plain())).flowTo(drain)
    reason = ended()
    fount.drain.flowStopped(reason)
    assert drain.stopped == [reason]


@defect
def every_framing_tube_passes_the_end_on(T):
    f = T.framing
    makers = [
        f.bytesToLines,
        f.linesToBytes,
        f.netstringsToBytes,
        f.bytesToNetstrings,
        lambda: f.bytesToIntPrefixed(8),
        lambda: f.intPrefixedToBytes(16),
        lambda: f.bytesDelimitedBy(b"x"),
    ]
    for make in makers:
        fount, drain = T.Fount(), T.Drain()
        fount.flowTo(T.tube.series(make())).flowTo(drain)
        reason = ended()
        fount.drain.flowStopped(reason)
        assert drain.stopped == [reason], make


@defect
def the_end_is_told_once(T):
    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(passing(T))).flowTo(drain)
    first = ended()
    fount.drain.flowStopped(first)
    fount.drain.flowStopped(ended())
    assert drain.stopped == [first]


@defect
def nothing_is_received_after_the_end(T):
    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(passing(T))).flowTo(drain)
    fount.drain.flowStopped(ended())
    fount.drain.receive(1)
    assert drain.received == []


@defect
def a_stop_without_a_fount_is_told(T):
    drain = T.Drain()
    series = T.tube.series(passing(T), drain)
    drain.fount.stopFlow()
    assert types(drain.stopped) == [T.itube.StopFlowCalled], series


@defect
def what_a_tube_says_at_its_end_does_not_follow_a_stop(T):
    @T.tube.tube
    class Last:
        def stopped(self, reason):
            yield "last"

    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(Last())).flowTo(drain)
    drain.fount.stopFlow()
    fount.drain.flowStopped(ended())
    assert drain.received == [] and len(drain.stopped) == 1


@defect
def an_exhausted_fount_does_not_pretend_to_flow(T):
    fount = T.memory.iteratorFount([])
    fount.flowTo(T.Drain())
    late = T.Drain()
    assert fount.flowTo(late) is None
    assert late.fount is None


# Exceptions


@defect
def an_exception_in_a_generator_stops_the_flow_both_ways(T):
    @T.tube.receiver()
    def broken(item):
        yield item
        raise Wrong("in a generator")

    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(broken)).flowTo(drain)
    fount.drain.receive(1)
    assert (drain.received, types(drain.stopped), fount.stops) == ([1], [Wrong], 1)


@defect
def an_exception_when_called_is_told_once_with_its_cause(T):
    @T.tube.tube
    class Broken:
        def received(self, item):
            raise Wrong("when called")

        def stopped(self, reason):
            return ()

    class Answering(T.Fount):
        def stopFlow(self):
            super().stopFlow()
            self.drain.flowStopped(Failure(T.itube.StopFlowCalled()))

    fount, drain = Answering(), T.Drain()
    fount.flowTo(T.tube.series(Broken())).flowTo(drain)
    fount.drain.receive(1)
    assert (types(drain.stopped), fount.stops) == ([Wrong], 1)


@defect
def a_failed_deferred_stops_the_flow_both_ways(T):
    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(T.undefer.deferredToResult())).flowTo(drain)
    fount.drain.receive(fail(Wrong("in a Deferred")))
    assert (types(drain.stopped), fount.stops, fount.paused) == ([Wrong], 1, 0)


@defect
def a_drain_that_raises_stops_the_flow_and_nobody_else(T):
    class Broken(T.Drain):
        def receive(self, item):
            raise Wrong("in a drain")

    fount, drain = T.Fount(), Broken()
    fount.flowTo(T.tube.series(passing(T))).flowTo(drain)
    fount.drain.receive(1)
    assert (types(drain.stopped), fount.stops) == ([Wrong], 1)


@defect
def a_source_that_raises_ends_with_its_cause(T):
    def source():
        yield 1
        raise Wrong("in the source")

    drain = T.Drain()
    T.memory.iteratorFount(source()).flowTo(drain)
    assert (drain.received, types(drain.stopped)) == ([1], [Wrong])


@defect
def a_string_that_is_returned_is_not_taken_apart(T):
    @T.tube.receiver()
    def careless(item):
        return item

    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(careless)).flowTo(drain)
    fount.drain.receive("abc")
    assert (drain.received, types(drain.stopped)) == ([], [TypeError])


@defect
def async_received_is_waited_for(T):
    @T.tube.receiver()
    async def later(item):
        await succeed(None)
        return [item]

    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(later)).flowTo(drain)
    fount.drain.receive(1)
    assert drain.received == [1]


# Bounds


@defect
def ten_thousand_tubes_in_a_series(T):
    drain = T.Drain()
    tubes = [passing(T) for _ in range(10_000)]
    T.memory.iteratorFount([1, 2]).flowTo(T.tube.series(*tubes)).flowTo(drain)
    assert (drain.received, types(drain.stopped)) == ([1, 2], [StopIteration])


@defect
def a_fount_that_ignores_its_pause_is_stopped(T):
    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(passing(T))).flowTo(drain)
    drain.fount.pauseFlow()
    for n in range(150_000):
        fount.drain.receive(n)
    assert fount.stops == 1


@defect
def flowing_to_nothing_with_items_waiting(T):
    fount, drain = T.Fount(), T.Drain()
    end = fount.flowTo(T.tube.series(passing(T)))
    fount.drain.receive(1)
    end.flowTo(None)
    end.flowTo(drain)
    assert drain.received == [1]


# Types


class IBase(Interface):
    pass


class IDerived(IBase):
    pass


@defect
def what_gives_more_than_is_wanted_fits(T):
    T.Fount(IDerived).flowTo(T.Drain(IBase))


@defect
def what_gives_less_than_is_wanted_does_not_fit(T):
    fount = T.Fount(IBase)
    try:
        fount.flowTo(T.tube.series(T.Drain(IDerived)))
    except TypeError:
        assert fount.drain is None
    else:
        raise AssertionError("accepted")


@defect
def classes_are_types(T):
    @T.tube.receiver(inputType=int, outputType=bool)
    def truth(item):
        yield bool(item)

    @T.tube.receiver(inputType=int, outputType=int)
    def number(item):
        yield int(item)

    T.tube.series(truth, number)


@defect
def the_message_says_what_does_not_fit(T):
    try:
        T.tube.series(T.framing.linesToBytes(), passing(T), T.framing.bytesToLines())
        T.tube.series(T.framing.bytesToLines(), T.framing.bytesToLines())
    except TypeError as error:
        text = str(error)
        assert "IFrame" in text and "ISegment" in text and "bytesToLines" in text, text
    else:
        raise AssertionError("accepted")


@defect
def a_terminal_drain_in_the_middle_is_a_type_error(T):
    try:
        T.tube.series(T.Drain(), passing(T))
    except TypeError:
        return
    raise AssertionError("accepted")


# Fans


@defect
def a_fan_in_ends_with_its_last_input(T):
    into, drain = T.fan.In(), T.Drain()
    into.fount.flowTo(drain)
    founts = [T.Fount(), T.Fount()]
    for fount in founts:
        fount.flowTo(into.newDrain())
    founts[0].drain.flowStopped(ended(StopIteration()))
    assert drain.stopped == []
    reason = ended()
    founts[1].drain.flowStopped(reason)
    assert drain.stopped == [reason]


@defect
def a_stopped_fan_in_tells_its_drain(T):
    into, drain = T.fan.In(), T.Drain()
    into.fount.flowTo(drain)
    T.Fount().flowTo(into.newDrain())
    drain.fount.stopFlow()
    assert types(drain.stopped) == [T.itube.StopFlowCalled]


@defect
def an_input_that_nothing_flows_to_yet_is_no_harm(T):
    into, drain = T.fan.In(), T.Drain()
    into.newDrain()
    into.fount.flowTo(drain)
    drain.fount.pauseFlow().unpause()


@defect
def thru_passes_the_end_on(T):
    fount, drain = T.Fount(), T.Drain()
    thru = T.fan.Thru([T.tube.series(passing(T)), T.tube.series(passing(T))])
    fount.flowTo(thru).flowTo(drain)
    reason = ended()
    fount.drain.flowStopped(reason)
    assert drain.stopped == [reason]


@defect
def a_fan_out_loses_nothing_after_a_pause(T):
    fount, out, drain = T.Fount(), T.fan.Out(), T.Drain()
    fount.flowTo(out.drain)
    out.newFount().flowTo(drain)
    pause = drain.fount.pauseFlow()
    for n in range(3):
        fount.drain.receive(n)
    fount.drain.flowStopped(ended())
    assert (drain.received, drain.stopped) == ([], [])
    pause.unpause()
    assert (drain.received, types(drain.stopped)) == ([0, 1, 2], [Wrong])


@defect
def a_branch_that_stops_is_told_and_holds_nobody(T):
    fount, out, drain, other = T.Fount(), T.fan.Out(), T.Drain(), T.Drain()
    fount.flowTo(out.drain)
    out.newFount().flowTo(drain)
    out.newFount().flowTo(other)
    drain.fount.pauseFlow()
    drain.fount.stopFlow()
    drain.fount.stopFlow()
    assert (types(drain.stopped), fount.paused) == ([T.itube.StopFlowCalled], 0)


@defect
def the_last_branch_that_stops_stops_the_fount(T):
    fount, out, drain = T.Fount(), T.fan.Out(), T.Drain()
    fount.flowTo(out.drain)
    out.newFount().flowTo(drain)
    drain.fount.stopFlow()
    assert fount.stops == 1


@defect
def a_paused_route_holds_the_others_only_when_it_is_its_turn(T):
    router, one, two = T.routing.Router(), T.Drain(), T.Drain()
    fount = T.Fount()
    first, second = router.newRoute("first"), router.newRoute("second")
    first.flowTo(one)
    second.flowTo(two)
    fount.flowTo(router.drain)
    one.fount.pauseFlow()
    assert fount.paused == 0
    fount.drain.receive(T.routing.to(second, 2))
    assert (two.received, fount.paused) == ([2], 0)
    fount.drain.receive(T.routing.to(first, 1))
    assert fount.paused == 1


@defect
def what_is_not_routed_stops_the_flow(T):
    router, drain, fount = T.routing.Router(), T.Drain(), T.Fount()
    router.newRoute().flowTo(drain)
    fount.flowTo(router.drain)
    fount.drain.receive("nowhere")
    assert (fount.stops, types(drain.stopped)) == (1, [TypeError])


# Waiting for all


@defect
def waiting_for_a_fount_can_be_cancelled(T):
    fount = T.Fount()
    waiting = T.undefer.fountToDeferred(fount)
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    assert fount.stops == 1


# Framing


def framed(T, tube, *chunks):
    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(tube)).flowTo(drain)
    for chunk in chunks:
        fount.drain.receive(chunk)
    fount.drain.flowStopped(Failure(ConnectionDone()))
    return fount, drain


@defect
def a_line_that_is_too_long_is_said_to_be(T):
    fount, drain = framed(T, T.framing.bytesToLines(), b"x" * 20_000)
    assert [reason.type.__name__ for reason in drain.stopped] == ["FrameTooLong"]
    assert "16384" in drain.stopped[0].getErrorMessage() and fount.stops == 1


@defect
def a_netstring_that_is_too_long_is_said_to_be(T):
    _, drain = framed(T, T.framing.netstringsToBytes(), b"1000000:")
    assert [reason.type.__name__ for reason in drain.stopped] == ["FrameTooLong"]


@defect
def a_frame_that_is_cut_off_is_an_error(T):
    for tube, chunk in (
        (T.framing.bytesToLines(), b"whole\nhal"),
        (T.framing.netstringsToBytes(), b"5:whole,5:ha"),
        (T.framing.bytesToIntPrefixed(8), b"\x05whole\x05ha"),
        (T.framing.bytesDelimitedBy(b"--"), b"whole--ha-"),
    ):
        _, drain = framed(T, tube, chunk)
        assert drain.received == [b"whole"]
        assert [reason.type.__name__ for reason in drain.stopped] == ["TruncatedFrame"]


@defect
def a_line_with_a_line_feed_in_it_is_refused(T):
    _, drain = framed(T, T.framing.linesToBytes(), b"two\nlines")
    assert drain.received == []


@defect
def any_framing_can_be_diverted(T):
    for tube, first, rest in (
        (T.framing.netstringsToBytes(), b"2:go,", b"3:abc,1"),
        (T.framing.bytesToIntPrefixed(8), b"\x02go", b"\x03abc\x09"),
        (T.framing.bytesDelimitedBy(b"\r\n"), b"go\r\n", b"abc\r\nx"),
    ):
        fount, drain, other = T.Fount(), T.Drain(), T.Drain()
        diverter = T.tube.Diverter(tube)

        @T.tube.receiver()
        def switch(item, diverter=diverter, other=other):
            diverter.divert(other)
            yield item

        fount.flowTo(T.tube.series(diverter, switch)).flowTo(drain)
        fount.drain.receive(first + rest)
        fount.drain.receive(b"more")
        assert drain.received == [b"go"]
        assert b"".join(other.received) == rest + b"more", other.received


@defect
def nothing_is_not_undone(T):
    undone = []

    @implementer(T.itube.IDivertable)
    @T.tube.tube
    class Skipping:
        def received(self, item):
            yield T.tube.skip
            yield item

        def reassemble(self, items):
            undone.extend(items)
            return items

    fount = T.Fount()
    diverter = T.tube.Diverter(Skipping())
    fount.flowTo(diverter)
    fount.drain.receive(1)
    diverter.divert(T.Drain())
    assert undone == [1]


# Connections


class Endpoint:
    """Connects to a transport in memory."""

    def connect(self, factory):
        self.protocol = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        return succeed(self.protocol)


def connected(T):
    endpoint, flows = Endpoint(), []
    T.protocol.flowFromEndpoint(endpoint).addCallback(flows.append)
    return endpoint, flows[0]


@defect
def a_connection_that_was_lost_tells_a_later_drain(T):
    endpoint, flow = connected(T)
    reason = ended()
    endpoint.protocol.connectionLost(reason)
    drain = T.Drain()
    flow.fount.flowTo(drain)
    assert drain.stopped == [reason]


@defect
def an_end_of_file_before_there_is_a_drain(T):
    endpoint, flow = connected(T)
    endpoint.protocol.readConnectionLost()
    drain = T.Drain()
    flow.fount.flowTo(drain)
    assert types(drain.stopped) == [ConnectionDone]


@defect
def chunks_before_there_is_a_drain_are_kept(T):
    endpoint, flow = connected(T)
    endpoint.protocol.dataReceived(b"one")
    endpoint.protocol.dataReceived(b"two")
    drain = T.Drain()
    flow.fount.flowTo(drain)
    assert (drain.received, endpoint.transport.producerState) == ([b"one", b"two"], "producing")


@defect
def a_transport_may_ask_twice_to_pause(T):
    endpoint, flow = connected(T)
    fount = T.Fount()
    fount.flowTo(flow.drain)
    producer = endpoint.transport.producer
    producer.resumeProducing()
    producer.pauseProducing()
    producer.pauseProducing()
    producer.resumeProducing()
    assert fount.paused == 0


@defect
def listening_can_be_stopped_without_a_drain(T):
    class Port:
        stopped = False

        def pauseProducing(self):
            pass

        def resumeProducing(self):
            pass

    class Listening:
        def listen(self, factory):
            return succeed(Port())

    founts = []
    T.protocol.flowFountFromEndpoint(Listening()).addCallback(founts.append)
    founts[0].stopFlow()
    drain = T.Drain()
    founts[0].flowTo(drain)
    assert len(drain.stopped) == 1


def a_flow(T):
    return T.listening.Flow(T.Fount(), T.Drain())


@defect
def a_connector_that_raises_costs_no_place(T):
    def broken(flow):
        raise Wrong("in a connector")

    fount, listener = T.Fount(), T.listening.Listener(broken, maxConnections=2)
    fount.flowTo(listener)
    for _ in range(5):
        flow = a_flow(T)
        fount.drain.receive(flow)
        flow.fount.drain.flowStopped(ended())
    assert fount.paused == 0


@defect
def connections_past_the_limit_do_not_pause_for_ever(T):
    fount, listener = T.Fount(), T.listening.Listener(lambda flow: None, maxConnections=1)
    fount.flowTo(listener)
    flows = [a_flow(T) for _ in range(3)]
    for flow in flows:
        fount.drain.receive(flow)
    for flow in flows:
        flow.fount.drain.flowStopped(ended())
    assert fount.paused == 0


@defect
def a_series_that_is_refused_leaves_nothing_behind(T):
    try:
        T.tube.series(object())
    except TypeError:
        pass
    tube = passing(T)
    try:
        T.itube.IDrain(tube)
    except TypeError:
        return
    raise AssertionError("tubes are drains for the whole program now")


@defect
def a_deferred_that_nobody_fires_does_not_swallow_the_stop(T):
    fount, drain = T.Fount(), T.Drain()
    fount.flowTo(T.tube.series(T.undefer.deferredToResult())).flowTo(drain)
    waiting = Deferred(lambda d: cancelled.append(d))
    cancelled = []
    fount.drain.receive(waiting)
    drain.fount.stopFlow()
    fount.drain.flowStopped(Failure(T.itube.StopFlowCalled()))
    gc.collect()
    assert (types(drain.stopped), len(cancelled)) == ([T.itube.StopFlowCalled], 1)
