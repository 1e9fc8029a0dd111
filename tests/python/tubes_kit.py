"""Founts and drains for tests, written as a user of Tubes would, for either implementation."""

import importlib
from types import SimpleNamespace

from zope.interface import implementer

NAMES = (
    "itube",
    "kit",
    "tube",
    "fan",
    "routing",
    "memory",
    "framing",
    "undefer",
    "listening",
    "protocol",
)


def load(package):
    """The modules of ``tubes`` or ``marotte.tubes``, and classes of founts and drains made with them."""
    T = SimpleNamespace(
        package=package, **{name: importlib.import_module(f"{package}.{name}") for name in NAMES}
    )

    @implementer(T.itube.IDrain)
    class Drain:
        """Keeps what it is told."""

        inputType = None
        fount = None

        def __init__(self, inputType=None):
            self.inputType = inputType
            self.received = []
            self.stopped = []

        def flowingFrom(self, fount):
            T.kit.beginFlowingFrom(self, fount)

        def receive(self, item):
            self.received.append(item)

        def flowStopped(self, reason):
            self.stopped.append(reason)

    @implementer(T.itube.IFount)
    class Fount:
        """Sends what it is told to, whatever its state; counts pauses and stops."""

        outputType = None
        drain = None

        def __init__(self, outputType=None):
            self.outputType = outputType
            self.paused = 0
            self.stops = 0
            self.pauser = T.kit.Pauser(self.pause, self.resume)

        def pause(self):
            self.paused += 1

        def resume(self):
            self.paused -= 1

        def flowTo(self, drain):
            return T.kit.beginFlowingTo(self, drain)

        def pauseFlow(self):
            return self.pauser.pause()

        def stopFlow(self):
            self.stops += 1

    T.Drain, T.Fount = Drain, Fount
    return T


def passing(T):
    """A tube that passes on what it receives."""

    @T.tube.receiver()
    def same(item):
        yield item

    return same
