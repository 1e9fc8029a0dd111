"""Between flows and things that are not there yet."""

from __future__ import annotations

from typing import Any

from marotte import defer
from marotte.tubes._zope import implementer
from marotte.tubes.itube import ITube

__all__ = ["deferredToResult", "fountToDeferred"]


@implementer(ITube)
class _Results:
    inputType = outputType = None

    def __repr__(self) -> str:
        return "deferredToResult()"

    def started(self) -> None:
        """Has nothing to say."""

    def received(self, item: Any) -> Any:
        if hasattr(item, "addCallbacks"):
            return item.addCallback(lambda result: (result,))
        if hasattr(item, "__await__"):
            return _one(item)
        return (item,)

    def stopped(self, reason: Any) -> None:
        """Has nothing to say."""


async def _one(awaitable: Any) -> tuple[Any]:
    return (await awaitable,)


def deferredToResult() -> Any:
    """A tube that waits for each item that is a Deferred, a coroutine or a future, and gives its
    result; one after the other, in order. One that fails stops the flow. For several at once see
    `marotte.tubes.mapAsync`."""
    return _Results()


def fountToDeferred(fount: Any) -> Any:
    """A Deferred for the list of all items of a fount, whatever the reason with which it stops.
    Cancelling it stops the flow."""
    deferred: Any = defer.Deferred(lambda _: fount.stopFlow())

    def done(items: list[Any], reason: Any) -> None:
        if not deferred.called:
            deferred.callback(items)

    from marotte.tubes.sinks import _Collector

    fount.flowTo(_Collector(done, None))
    return deferred
