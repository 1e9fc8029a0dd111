"""Tools for those who write founts and drains of their own."""

from __future__ import annotations

from typing import Any

from marotte import _core
from marotte.tubes._support import check_types
from marotte.tubes._zope import implementer
from marotte.tubes.itube import IPause

__all__ = ["NoPause", "OncePause", "Pauser", "beginFlowingFrom", "beginFlowingTo"]

Pauser = _core._Pauser


def beginFlowingTo(fount: Any, drain: Any) -> Any:
    """For ``IFount.flowTo``: makes ``drain`` the fount's drain, tells an old one that it has been left, and
    returns what ``drain.flowingFrom(fount)`` returns. If that raises, the fount has no drain."""
    old = fount.drain
    fount.drain = drain
    if old is not None and old is not drain and old.fount is fount:
        old.flowingFrom(None)
    # The old one may have sent the flow elsewhere.
    if drain is None or fount.drain is not drain:
        return None
    try:
        return drain.flowingFrom(fount)
    except TypeError:
        if fount.drain is drain:
            fount.drain = None
        raise


def beginFlowingFrom(drain: Any, fount: Any) -> None:
    """For ``IDrain.flowingFrom``: makes ``fount`` the drain's fount and tells an old one that it has been left.
    Raises TypeError, before it changes anything, if the types do not fit."""
    if fount is not None:
        output, wanted = fount.outputType, drain.inputType
        if output is not None and wanted is not None:
            check_types(fount, output, drain, wanted)
    old = drain.fount
    drain.fount = fount
    if old is not None and old is not fount and old.drain is drain:
        old.flowTo(None)


@implementer(IPause)
class NoPause:
    """A pause of nothing."""

    def unpause(self) -> None:
        """Does nothing."""


class OncePause:
    """One pause of a `Pauser`, or none."""

    def __init__(self, pauser: Any) -> None:
        self._pauser = pauser
        self._pause: Any = None

    def __repr__(self) -> str:
        return f"<OncePause of {self._pauser!r}, paused={self._pause is not None}>"

    def pauseOnce(self) -> None:
        """Pauses, unless it holds a pause."""
        if self._pause is None:
            self._pause = self._pauser.pause()

    def maybeUnpause(self) -> None:
        """Takes the pause back, if it holds one."""
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.unpause()
