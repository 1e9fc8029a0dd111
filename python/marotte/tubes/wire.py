"""Flows between programs.

A fount or a drain may be an argument or a result of a call like any other object. The other side gets a reference to
it:

- ``reference.flowTo(drain)`` lets a far fount flow to a near drain, ``fount.flowTo(reference)`` a near fount to a far
  drain;
- `fountOf` and `drainOf` make a fount or a drain of a reference, for `series` and all else.

The drain says how much may come, and says so again when it has taken some: a slow reader holds the far fount back, and
between the two there is never more than one window of items. A stop, an end and their reasons go through, and a
connection that is lost stops both sides.

What goes over the wire are ordinary messages, so that any peer can take part::

    to a fount    flowTo(drain)
    to a drain    flowingFrom(control) -> inlet
    to an inlet   receive([item, ...])    flowStopped(kind, error)    done() -> null, when the drain has stopped
    to a control  grant(items, bytes)     stopFlow()                  done() -> null, when the fount has stopped

``kind`` is ``"end"``, ``"stop"`` or ``"error"``. Before the first grant 64 items of 65,536 bytes may come.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

from marotte import _core, defer
from marotte._core import Promise, Referenceable, RemoteReference
from marotte._eventual import send, sendOnly, when
from marotte.failure import Failure
from marotte.tubes import _support
from marotte.tubes._zope import implementer
from marotte.tubes.errors import FlowOverrun, StopFlowCalled
from marotte.tubes.itube import IDrain, IFount
from marotte.tubes.kit import OncePause, Pauser, beginFlowingFrom
from marotte.tubes.sinks import Sink, _Done

__all__ = ["drainOf", "fountOf"]

#: How many items, and how many bytes of them, may wait at the receiver of a flow.
WINDOW = (1024, 1 << 20)


def is_reference(value: Any) -> bool:
    """Whether something may stand for a fount or drain elsewhere."""
    return isinstance(value, (RemoteReference, Promise))


def fountOf(reference: Any, window: tuple[int, int] = WINDOW) -> Any:
    """A fount of what a far fount gives. It is asked to flow when this one has a drain.

    ``window`` is how many items, and how many bytes, may wait here. A fount of this program is
    returned as it is.
    """
    if not is_reference(reference):
        return reference.fount if isinstance(reference, _Fount) else reference
    return _FarFount(reference, window)


def drainOf(reference: Any) -> Any:
    """A drain whose items go to a far drain. Its ``waitDone()`` is that of the far drain, if it has
    one; else it says that the far drain has been told of the end. A drain of this program is returned as it is."""
    if not is_reference(reference):
        return reference.drain if isinstance(reference, _Drain) else reference
    siphon = _core._Siphon()
    siphon.describe(name=f"drain to {reference!r}")
    outlet = _Outlet(reference)
    siphon._tfount.flowTo(outlet)
    drain = Sink(siphon)
    drain.adopt()
    drain._done = outlet.finished
    return drain


# Exporting: what the extension puts into a message in the place of a fount or drain.

_exported: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def export(value: Any) -> Any:
    """The object that peers get a reference to; None if the value is neither fount nor drain."""
    if hasattr(value, "flowTo") and hasattr(value, "pauseFlow"):
        make: Any = _Fount
    elif hasattr(value, "flowingFrom") and hasattr(value, "flowStopped"):
        make = _Drain
    else:
        return None
    known = _exported.get(id(value))
    if known is None or known.target is not value:
        known = _exported[id(value)] = make(value)
    return known


class _Fount(Referenceable):
    """A fount of ours, as peers see it."""

    def __init__(self, fount: Any) -> None:
        self.target = self.fount = fount

    def remote_flowTo(self, drain: Any) -> None:
        self.fount.flowTo(drainOf(drain))


class _Drain(Referenceable):
    """A drain of ours, as peers see it."""

    def __init__(self, drain: Any) -> None:
        self.target = self.drain = drain

    def remote_flowingFrom(self, control: Any) -> Any:
        inlet = _Inlet(WINDOW, f"what comes from {control!r}")
        inlet.finish = getattr(self.drain, "waitDone", None)
        inlet.fount.flowTo(self.drain)
        inlet.begin(control)
        return inlet


# Sending


@implementer(IDrain)
class _Outlet:
    """Sends what it receives to a far drain, as far as it may."""

    inputType = None
    fount: Any = None

    def __init__(self, reference: Any) -> None:
        self._reference = reference
        self._inlet: Any = None
        self._allowance = _core._Allowance()
        # At most one batch; the fount is held back while there is any.
        self._waiting: deque[tuple[Any, int]] = deque()
        self._pause: OncePause | None = None
        self._reason: Any = None
        self._over = False
        self._done: defer.Deferred[None] = defer.Deferred()
        self.finished = _Done()

    def __repr__(self) -> str:
        return f"<outlet to {self._reference!r}>"

    def flowingFrom(self, fount: Any) -> None:
        old, self._pause = self._pause, None
        beginFlowingFrom(self, fount)
        if fount is None:
            return
        self._pause = OncePause(_Pausing(fount))
        if self._over:
            fount.stopFlow()
        elif self._inlet is None:
            self._begin()
        else:
            self._settle()
        if old is not None:
            old.maybeUnpause()

    def _begin(self) -> None:
        # Nothing is waited for: what follows travels along with it.
        self._inlet = send(self._reference).flowingFrom(_Control(self))
        # Breaks with the connection, or if there is no such drain.
        when(send(self._inlet).done()).addCallbacks(self._ended, self._broke)

    def receive(self, item: Any) -> None:
        self.receiveBatch([item])

    def receiveBatch(self, items: list[Any]) -> None:
        if not self._over:
            self._waiting.extend((item, _core._sizeOf(item)) for item in items)
            self._settle()

    def grant(self, items: int, size: int) -> None:
        """More may be sent."""
        self._allowance.grant(items, size)
        self._settle()

    def _settle(self) -> None:
        items = []
        while self._waiting and self._allowance.spend(self._waiting[0][1]):
            items.append(self._waiting.popleft()[0])
        if items:
            sendOnly(self._inlet).receive(items)
        if self._reason is not None and not self._waiting and not self._over:
            self._tell(self._reason)
        if self._pause is None:
            return
        if not self._over and (self._waiting or not self._allowance.isOpen()):
            self._pause.pauseOnce()
        else:
            self._pause.maybeUnpause()

    def flowStopped(self, reason: Any) -> None:
        if self._inlet is None:
            # It has ended before it began to flow.
            self._begin()
        self._reason = reason if reason is not None else Failure(StopIteration())
        self._settle()

    def _tell(self, reason: Any) -> None:
        self._over = True
        sendOnly(self._inlet).flowStopped(*_to_wire(reason))
        if not self._done.called:
            self._done.callback(None)

    def stop(self) -> None:
        """The far drain wants no more."""
        self._waiting.clear()
        if self.fount is not None and not self._over:
            self.fount.stopFlow()

    def done(self) -> Any:
        """For the receiver: fires when the fount has stopped; breaks with the connection."""
        return self._done

    def _ended(self, _: Any) -> None:
        self.finished.fire(None)
        if not self._over:
            self._cut(None)

    def _broke(self, failure: Any) -> None:
        self.finished.fire(failure)
        if not self._over:
            self._cut(failure)

    def _cut(self, failure: Any) -> None:
        # Nobody is there any more to be told.
        self._over = True
        self._waiting.clear()
        if failure is not None:
            _support.logger.info("a flow to a peer was cut: %s", failure.getErrorMessage())
        if not self._done.called:
            self._done.callback(None)
        if self.fount is not None:
            self.fount.stopFlow()
        if self._pause is not None:
            self._pause.maybeUnpause()


class _Pausing:
    def __init__(self, fount: Any) -> None:
        self.pause = fount.pauseFlow


class _Control(Referenceable):
    """What the receiver tells the sender."""

    def __init__(self, outlet: _Outlet) -> None:
        self._outlet = outlet

    def remote_grant(self, items: int, size: int) -> None:
        if not (isinstance(items, int) and isinstance(size, int) and items >= 0 and size >= 0):
            raise ValueError("a grant is of a number of items and of bytes")
        self._outlet.grant(min(items, 2**62), min(size, 2**62))

    def remote_stopFlow(self) -> None:
        self._outlet.stop()

    def remote_done(self) -> Any:
        return self._outlet.done()


def _to_wire(reason: Any) -> tuple[str, Any]:
    kind = _support.kind_of(reason)
    if kind == 2:
        return "error", getattr(reason, "value", reason)
    return ("end" if kind == 0 else "stop"), None


def _from_wire(kind: Any, error: Any) -> Any:
    if kind == "end":
        return Failure(StopIteration())
    if kind == "stop":
        return Failure(StopFlowCalled())
    if isinstance(error, BaseException):
        return Failure(error)
    from marotte import RemoteError

    return Failure(RemoteError(str(error)))


# Receiving


class _Inlet(Referenceable):
    """What the sender tells the receiver. What comes goes into a siphon, which keeps what the drain does not take."""

    outputType = None
    drain: Any = None

    def __init__(self, window: tuple[int, int], name: str) -> None:
        items, size = window
        self._window = _core._Window(items, size)
        self._control: Any = None
        # As many may wait before the fount is held back, so that it is let go on early enough.
        self._siphon = _core._Siphon(capacity=max(1, min(items, 64) // 2))
        self._siphon.describe(name=name)
        self._sizes: deque[int] = deque()
        self._ended = False
        #: What says that the drain has finished.
        self.finish: Any = None
        self._done: defer.Deferred[None] = defer.Deferred()
        self._pauser = Pauser(lambda: None, self._take)
        self.drain = self._siphon._tdrain
        self.drain.flowingFrom(self)
        self.fount = self._siphon._tfount

    def begin(self, control: Any) -> None:
        """The sender is known."""
        if self._ended:
            sendOnly(control).stopFlow()
            return
        self._control = control
        more = self._window.open()
        if more is not None:
            sendOnly(control).grant(*more)
        # Breaks with the connection.
        when(send(control).done()).addErrback(self._broke)

    # The siphon's fount

    def flowTo(self, drain: Any) -> None:
        """It flows to its siphon only."""

    def pauseFlow(self) -> Any:
        return self._pauser.pause()

    def stopFlow(self) -> None:
        if self._control is not None and not self._ended:
            sendOnly(self._control).stopFlow()
        # The sender's answer may take its time, or never come.
        self._end(Failure(StopFlowCalled()))

    # The sender's messages

    def remote_receive(self, items: Any) -> None:
        if self._ended:
            return
        if not isinstance(items, list):
            raise TypeError("a flow receives lists of items")
        for item in items:
            size = _core._sizeOf(item)
            if not self._window.arrived(size):
                self.stopFlow()
                raise FlowOverrun("more came than was granted")
            self._sizes.append(size)
            self.drain.receive(item)
            if self._ended:
                return
        self._take()

    def remote_flowStopped(self, kind: Any, error: Any = None) -> None:
        self._end(_from_wire(kind, error))

    def remote_done(self) -> Any:
        return self._done

    def _take(self) -> None:
        """Grants what the drain has taken."""
        waiting = self._siphon.waiting()
        items = size = 0
        while len(self._sizes) > waiting:
            items += 1
            size += self._sizes.popleft()
        if items and not self._ended:
            more = self._window.taken(items, size)
            if more is not None and self._control is not None:
                sendOnly(self._control).grant(*more)

    def _end(self, reason: Any) -> None:
        if self._ended:
            return
        self._ended = True
        self._control = None
        self.drain.flowStopped(reason)
        done = self._done
        if self.finish is None:
            done.callback(None)
        else:
            self.finish().addCallbacks(done.callback, done.errback)

    def _broke(self, failure: Any) -> None:
        self._end(failure)


@implementer(IFount)
class _FarFount:
    """A fount that asks a far one to flow here when there is a drain."""

    outputType = None

    def __init__(self, reference: Any, window: tuple[int, int]) -> None:
        self._reference = reference
        self._asked = False
        self._inlet = _Inlet(window, f"fount of {reference!r}")
        self._fount = self._inlet.fount

    def __repr__(self) -> str:
        return f"<fount of {self._reference!r}>"

    @property
    def drain(self) -> Any:
        return self._fount.drain

    def flowTo(self, drain: Any) -> Any:
        result = self._fount.flowTo(drain)
        if drain is not None and not self._asked:
            self._asked = True
            asked = send(self._reference).flowTo(_Entrance(self._inlet))
            when(asked).addErrback(self._inlet._broke)
        return result

    def pauseFlow(self) -> Any:
        return self._fount.pauseFlow()

    def stopFlow(self) -> None:
        self._fount.stopFlow()


class _Entrance(Referenceable):
    """The drain that a far fount is asked to flow to."""

    def __init__(self, inlet: _Inlet) -> None:
        self._inlet = inlet

    def remote_flowingFrom(self, control: Any) -> Any:
        self._inlet.begin(control)
        return self._inlet
