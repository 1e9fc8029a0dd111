"""The interfaces of founts, drains and tubes. With zope.interface installed they are zope's."""

from __future__ import annotations

from typing import Any

from marotte import _core
from marotte.tubes import _zope
from marotte.tubes._zope import Attribute, Interface
from marotte.tubes.errors import AlreadyDraining, AlreadyUnpaused, StopFlowCalled

__all__ = [
    "AlreadyDraining",
    "AlreadyUnpaused",
    "IDivertable",
    "IDrain",
    "IFount",
    "IFrame",
    "IPause",
    "ISegment",
    "ITube",
    "StopFlowCalled",
]

# Interfaces have no self.


class IPause(Interface):
    """Holds a fount back, until it is taken back."""

    def unpause() -> None:  # type: ignore[misc]
        """Takes this pause back. When no pause is left, the fount goes on."""


class IFount(Interface):
    """Where items come from."""

    outputType: Any = Attribute("What the items provide or are instances of; None if anything.")
    drain: Any = Attribute("The drain that it flows to, or None.")

    def flowTo(drain: Any) -> Any:  # type: ignore[misc]
        """Flows to a drain: calls its ``flowingFrom`` and returns what that returns, the fount at
        the end of what the drain flows through."""

    def pauseFlow() -> Any:  # type: ignore[misc]
        """Sends nothing until ``unpause`` of what is returned is called."""

    def stopFlow() -> None:  # type: ignore[misc]
        """Ends the flow. The drain hears nothing more but ``flowStopped``, once."""


class IDrain(Interface):
    """Where items go to."""

    inputType: Any = Attribute("What items have to provide or be instances of; None if anything.")
    fount: Any = Attribute("The fount that flows to it, or None.")

    def flowingFrom(fount: Any) -> Any:  # type: ignore[misc]
        """A fount flows to it from now on; or, with None, none does. Returns the fount of what
        comes out, or None."""

    def receive(item: Any) -> Any:  # type: ignore[misc]
        """Takes an item."""

    def flowStopped(reason: Any) -> None:  # type: ignore[misc]
        """The flow has ended; ``reason`` is a Failure."""


class ITube(Interface):
    """Turns items into other items. Takes no part in flow control."""

    inputType: Any = Attribute("See `IDrain`.")
    outputType: Any = Attribute("See `IFount`.")

    def started() -> Any:  # type: ignore[misc]
        """The flow starts. Returns an iterable of outputs, or None."""

    def received(item: Any) -> Any:  # type: ignore[misc]
        """Takes an item. Returns an iterable of outputs, or None; or something to await that
        becomes one; or an asynchronous generator."""

    def stopped(reason: Any) -> Any:  # type: ignore[misc]
        """The flow has ended. Returns an iterable of last outputs, or None."""


class IDivertable(ITube):
    """A tube whose outputs can be undone, so that its input can be diverted."""

    def reassemble(data: Any) -> Any:  # type: ignore[misc]
        """Given outputs that nobody has taken, returns an iterable of what would have to be
        received to make them, and of all else that it keeps."""


class ISegment(Interface):
    """A piece of a stream of bytes, cut anywhere."""


class IFrame(Interface):
    """Bytes that are one message."""


if _zope.present:
    from zope.interface import classImplements

    classImplements(_core._SiphonDrain, IDrain)
    classImplements(_core._SiphonFount, IFount)
    classImplements(_core._Pause, IPause)
    classImplements(_core._NativeTube, IDivertable)
