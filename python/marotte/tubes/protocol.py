"""Twisted's endpoints, transports and producers as founts and drains. Needs Twisted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IListeningPort,
    IPushProducer,
)
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementedBy, implementer

from marotte import _core
from marotte.failure import Failure
from marotte.tubes import _support
from marotte.tubes.errors import StopFlowCalled
from marotte.tubes.itube import IDrain, ISegment
from marotte.tubes.kit import OncePause, Pauser, beginFlowingFrom
from marotte.tubes.listening import Flow

__all__ = ["ConsumerFount", "consumerDrain", "flowFountFromEndpoint", "flowFromEndpoint"]


@implementer(IPushProducer)
class _FountProducer:
    """A fount as what a transport asks to pause when it has more than it can send."""

    def __init__(self, fount: Any, lost: Callable[[], None]) -> None:
        self._fount = fount
        self._lost = lost
        # A transport may ask twice, or to go on when it has not asked to pause.
        self._pause = OncePause(_Pausing(fount))

    def pauseProducing(self) -> None:
        self._pause.pauseOnce()

    def resumeProducing(self) -> None:
        self._pause.maybeUnpause()

    def stopProducing(self) -> None:
        self._lost()


class _Pausing:
    def __init__(self, fount: Any) -> None:
        self.pause = fount.pauseFlow


@implementer(IDrain)
class _TransportDrain:
    """What is received is written to a transport."""

    inputType = ISegment
    fount: Any = None

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._producer: _FountProducer | None = None
        self._over = False
        self._ended = False

    def __repr__(self) -> str:
        return f"<drain to {self._transport!r}>"

    def flowingFrom(self, fount: Any) -> None:
        old, self._producer = self._producer, None
        if old is not None:
            self._transport.unregisterProducer()
        beginFlowingFrom(self, fount)
        if old is not None:
            old.resumeProducing()
        if fount is None:
            return
        if self._over:
            fount.stopFlow()
            return
        self._producer = _FountProducer(fount, self.lost)
        self._transport.registerProducer(self._producer, True)

    def receive(self, item: bytes) -> None:
        self._transport.write(item)

    def receiveBatch(self, items: list[bytes]) -> None:
        self._transport.writeSequence(items)

    def flowStopped(self, reason: Any) -> None:
        # Twisted closes when all has been written; of a half-close the other end need not hear. TLS
        # does so only when there is no producer any more.
        self._over = self._ended = True
        if self._producer is not None:
            self._producer = None
            self._transport.unregisterProducer()
        self._transport.loseConnection()

    def lost(self) -> None:
        """The transport takes no more."""
        self._over = True
        fount, producer = self.fount, self._producer
        self._producer = None
        if fount is not None and not self._ended:
            self._ended = True
            fount.stopFlow()
        if producer is not None:
            producer.resumeProducing()


class _Source:
    """What pauses and stops whatever feeds a siphon. The siphon keeps what comes before there is a
    drain, and tells one that comes late."""

    drain: Any = None

    def __init__(self, pause: Any, resume: Any, stop: Any, outputType: Any) -> None:
        self._pauser = Pauser(pause, resume)
        self._stop = stop
        self.outputType = outputType
        self.siphon = _core._Siphon()

    @property
    def isPaused(self) -> bool:
        """Whether the siphon holds it back."""
        return self._pauser.isPaused

    def begin(self, name: str) -> Any:
        """Starts; returns the fount."""
        self.siphon.describe(name=name, outputType=self.outputType)
        self.drain = self.siphon._tdrain
        self.drain.flowingFrom(self)
        return self.siphon._tfount

    def flowTo(self, drain: Any) -> None:
        """It flows to its siphon only."""

    def pauseFlow(self) -> Any:
        return self._pauser.pause()

    def stopFlow(self) -> None:
        self._stop()


@implementer(IHalfCloseableProtocol)
class _Plumbing(Protocol):
    """Both ways of one connection."""

    def __init__(self, connected: Callable[[Any, Any], Any]) -> None:
        self._connected = connected

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._source = _Source(
            transport.pauseProducing,
            transport.resumeProducing,
            transport.loseConnection,
            ISegment,
        )
        self._drain = _TransportDrain(transport)
        self._connected(self._source.begin(f"what comes from {transport!r}"), self._drain)

    def dataReceived(self, data: bytes) -> None:
        self._source.drain.receive(data)

    def connectionLost(self, reason: Any = None) -> None:
        self._source.drain.flowStopped(reason)
        self._drain.lost()

    def readConnectionLost(self) -> None:
        self._source.drain.flowStopped(Failure(ConnectionDone()))

    def writeConnectionLost(self) -> None:
        self._drain.lost()


def _factoryFromFlow(flow: Callable[[Any, Any], Any]) -> Any:
    """A factory of protocols that call ``flow(fount, drain)`` for each connection."""
    return Factory.forProtocol(lambda: _Plumbing(flow))


def flowFountFromEndpoint(endpoint: Any) -> Any:
    """Listens on a server endpoint. A Deferred for a fount of `Flow` objects, one for each connection. While the fount
    is paused no connection is accepted; stopping it ends listening.

    Raises what ``endpoint.listen`` raises, through the Deferred.
    """
    ports: list[Any] = []
    wanted = [True]

    def pause(on: bool) -> None:
        wanted[0] = not on
        if ports:
            _call(ports[0], "pauseProducing" if on else "resumeProducing")

    def stop() -> None:
        if ports and IListeningPort.providedBy(ports[0]):
            stopping = ports[0].stopListening()
            if hasattr(stopping, "addErrback"):
                stopping.addErrback(_support.report)
        source.drain.flowStopped(Failure(StopFlowCalled()))

    source = _Source(lambda: pause(True), lambda: pause(False), stop, implementedBy(Flow))
    fount = source.begin(f"connections to {endpoint!r}")

    def listening(port: Any) -> Any:
        ports.append(port)
        if not wanted[0]:
            _call(port, "pauseProducing")
        return fount

    def connected(incoming: Any, outgoing: Any) -> None:
        source.drain.receive(Flow(incoming, outgoing))

    return endpoint.listen(_factoryFromFlow(connected)).addCallback(listening)


def _call(port: Any, name: str) -> None:
    # Ports of Twisted's can be paused, though their interface does not say so.
    method = getattr(port, name, None)
    if method is not None:
        method()


def flowFromEndpoint(endpoint: Any) -> Any:
    """Connects to a client endpoint. A Deferred for the connection, as a `Flow`."""
    flows: list[Flow] = []

    def connected(fount: Any, drain: Any) -> None:
        flows.append(Flow(fount, drain))

    return endpoint.connect(_factoryFromFlow(connected)).addCallback(lambda _: flows[0])


@implementer(IDrain)
class _ConsumerDrain(_TransportDrain):
    # A consumer takes one write at a time.
    receiveBatch = None  # type: ignore[assignment]

    def flowStopped(self, reason: Any) -> None:
        self._over = self._ended = True
        if self._producer is not None:
            self._producer = None
            self._transport.unregisterProducer()


def consumerDrain(consumer: Any) -> Any:
    """A drain that writes to one of Twisted's consumers, which pauses the flow when it has enough. The end of the flow
    is told to it by ``unregisterProducer``."""
    return _ConsumerDrain(consumer)


@implementer(IConsumer)
class ConsumerFount:
    """One of Twisted's consumers whose ``fount`` gives what a producer writes to it: a push producer is
    paused while the drain is, a pull producer asked for more while it is not. `finish` ends the flow."""

    def __init__(self) -> None:
        self._producer: Any = None
        self._streaming = True
        self._asking = False
        self._wrote = False
        self._source = _Source(self._pause, self._resume, self._stop, ISegment)
        #: What is written.
        self.fount = self._source.begin("what a producer writes")

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See Twisted's ``IConsumer``."""
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        self._producer, self._streaming = producer, streaming
        if self._source.isPaused:
            if streaming:
                producer.pauseProducing()
        else:
            self._ask()

    def unregisterProducer(self) -> None:
        """See Twisted's ``IConsumer``."""
        self._producer = None

    def write(self, data: bytes) -> None:
        """See Twisted's ``IConsumer``."""
        self._wrote = True
        self._source.drain.receive(data)
        self._ask()

    def finish(self, reason: Any = None) -> None:
        """No more is written; ``reason`` is a Failure, or None for a regular end."""
        self._source.drain.flowStopped(Failure(StopIteration()) if reason is None else reason)

    def _ask(self) -> None:
        # A pull producer writes once each time that it is asked; it may do so at once.
        if self._asking:
            return
        self._asking = True
        try:
            while self._producer is not None and not self._streaming and not self._source.isPaused:
                self._wrote = False
                self._producer.resumeProducing()
                if not self._wrote:
                    # It writes later, and is asked again then.
                    return
        finally:
            self._asking = False

    def _pause(self) -> None:
        if self._producer is not None and self._streaming:
            self._producer.pauseProducing()

    def _resume(self) -> None:
        if self._producer is None:
            return
        if self._streaming:
            self._producer.resumeProducing()
        else:
            self._ask()

    def _stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        self._source.drain.flowStopped(Failure(StopFlowCalled()))
