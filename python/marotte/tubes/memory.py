"""Founts and drains of things in memory."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any

from marotte import _core
from marotte.failure import Failure
from marotte.tubes._zope import implementer
from marotte.tubes.itube import ITube

__all__ = ["iteratorFount"]


@implementer(ITube)
class _Source:
    inputType = outputType = None

    def __init__(self, iterable: Any) -> None:
        self._iterable = iterable

    def __repr__(self) -> str:
        return f"the items of {self._iterable!r}"

    def started(self) -> Any:
        iterable = self._iterable
        if hasattr(iterable, "__aiter__"):
            return aiter(iterable)
        return iter(iterable)

    def received(self, item: Any) -> None:
        """Nothing is."""

    def stopped(self, reason: Any) -> None:
        """Has nothing to say."""


def iteratorFount(iterable: Iterable[Any] | AsyncIterable[Any]) -> Any:
    """A fount of the items of an iterable, which may be asynchronous. They are asked for one by one, when the
    drain wants them; after the last the flow stops with ``StopIteration``.

    >>> from marotte.tubes import fountToList
    >>> fountToList(iteratorFount(range(3)))
    [0, 1, 2]
    """
    siphon = _core._Siphon(_Source(iterable))
    siphon.beSource(Failure(StopIteration()))
    return siphon._tfount
