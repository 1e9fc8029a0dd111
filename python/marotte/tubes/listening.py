"""Connections as items of a flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marotte.tubes import _support
from marotte.tubes._zope import implementedBy, implementer
from marotte.tubes.itube import IDrain
from marotte.tubes.kit import beginFlowingFrom
from marotte.tubes.tube import series, tube

__all__ = ["Flow", "Listener"]


class Flow:
    """Both ways of a connection: what comes in is the ``fount``, what goes out flows to the ``drain``."""

    def __init__(self, fount: Any, drain: Any) -> None:
        self.fount = fount
        self.drain = drain


@implementer(IDrain)
class Listener:
    """A drain of connections: calls ``flowConnector(flow)`` with each. While ``maxConnections`` are
    open its fount is held back."""

    inputType = implementedBy(Flow)

    def __init__(self, flowConnector: Callable[[Flow], Any], maxConnections: int = 100) -> None:
        self.fount: Any = None
        self._connect = flowConnector
        self._most = maxConnections
        self._open = 0
        self._pause: Any = None

    def flowingFrom(self, fount: Any) -> None:
        """See `IDrain`."""
        pause, self._pause = self._pause, None
        beginFlowingFrom(self, fount)
        if pause is not None:
            if fount is not None:
                self._pause = fount.pauseFlow()
            pause.unpause()

    def receive(self, item: Flow) -> None:
        """Connects one. If the connector raises, that connection is stopped and the others go on."""
        self._open += 1
        if self._open >= self._most and self._pause is None and self.fount is not None:
            self._pause = self.fount.pauseFlow()
        fount = item.fount.flowTo(series(_OnStop(self._closed)))
        try:
            self._connect(Flow(fount, item.drain))
        except Exception as error:  # noqa: BLE001 - it is somebody else's, and is logged
            _support.report(error)
            fount.stopFlow()

    def _closed(self) -> None:
        self._open -= 1
        if self._open < self._most:
            pause, self._pause = self._pause, None
            if pause is not None:
                pause.unpause()

    def flowStopped(self, reason: Any) -> None:
        """No more connections come; those that are open go on."""


@tube
class _OnStop:
    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def received(self, item: Any) -> Any:
        return (item,)

    def stopped(self, reason: Any) -> None:
        self._callback()
