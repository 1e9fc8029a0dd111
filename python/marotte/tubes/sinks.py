"""Ends of flows: drains that do something, and knowing when they have done it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from marotte import _core, defer
from marotte.tubes import _support
from marotte.tubes._zope import implementer
from marotte.tubes.errors import TubeError
from marotte.tubes.itube import IDrain
from marotte.tubes.kit import beginFlowingFrom
from marotte.tubes.stages import mapAsync
from marotte.tubes.tube import is_tube

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Sink", "collect", "sink"]


class _Done:
    """Something that happens once, and any number that wait for it."""

    def __init__(self) -> None:
        self._waiting: list[Any] = []
        self._outcome: list[Any] = []

    def fire(self, outcome: Any) -> None:
        """Tells all, and those to come."""
        if self._outcome:
            return
        self._outcome.append(outcome)
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if not deferred.called:
                deferred.callback(outcome)

    def wait(self) -> Any:
        """A Deferred of its own, which may be cancelled without any consequence."""
        if self._outcome:
            return defer.succeed(None).addCallback(lambda _: self._outcome[0])
        deferred: Any = defer.Deferred()
        self._waiting.append(deferred)
        return deferred


@implementer(IDrain)
class _End:
    inputType = None
    fount: Any = None

    def __init__(self, done: _Done) -> None:
        self._done = done

    def flowingFrom(self, fount: Any) -> None:
        beginFlowingFrom(self, fount)

    def receive(self, item: Any) -> None:
        """What comes out at the end is of no interest."""

    def receiveBatch(self, items: list[Any]) -> None:
        """Nor is this."""

    def flowStopped(self, reason: Any) -> None:
        self._done.fire(None if _support.is_end(reason) else reason)


class Sink(_core._SiphonDrain):
    """A drain that works on items and says when it has finished. Made by `sink`."""

    _done: _Done

    def waitDone(self) -> defer.Deferred[None]:
        """A Deferred that fires when the flow has ended and all work on what has come is done, that
        of ``stopped`` included; it fails with what the flow failed with. Each call gives one of its own; they can be
        awaited, too."""
        return self._done.wait()

    @property
    def done(self) -> defer.Deferred[None]:
        """What `waitDone` returns."""
        return self._done.wait()

    def stop(self) -> None:
        """Ends the flow: what is at work is cancelled, what waits is dropped."""
        self._siphon._tfount.stopFlow()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # All that has come is worked on, or, if the body has failed, nothing more.
        if kind is not None:
            self.stop()
            return
        await self._done.wait()


def sink(work: Any, atOnce: int = 1) -> Sink:
    """A drain that does something with each item. ``work`` is a function, which may be asynchronous; at
    most ``atOnce`` items are at work at a time, and while that many are the fount is held back. Or it is
    a tube: its ``received``, or ``receivedBatch``, and its ``stopped`` may be asynchronous, and what they give is
    dropped.

    >>> import asyncio
    >>> from marotte.tubes import iteratorFount
    >>> async def save(item):
    ...     await asyncio.sleep(0.001)
    ...     print("saved", item)
    >>> async def main():
    ...     saving = sink(save)
    ...     iteratorFount([1, 2]).flowTo(saving)
    ...     await saving.waitDone()
    >>> asyncio.run(main())
    saved 1
    saved 2
    """
    tube = work if is_tube(work) else mapAsync(work, atOnce, ordered=False)
    siphon = _core._Siphon(tube)
    siphon.settle()
    drain = Sink(siphon)
    drain.adopt()
    drain._done = _Done()
    siphon._tfount.flowTo(_End(drain._done))
    return drain


@implementer(IDrain)
class _Collector:
    inputType = None
    fount: Any = None

    def __init__(self, done: Callable[[list[Any], Any], None], limit: int | None) -> None:
        self._items: list[Any] = []
        self._done = done
        self._limit = limit

    def flowingFrom(self, fount: Any) -> None:
        beginFlowingFrom(self, fount)

    def receive(self, item: Any) -> None:
        self._items.append(item)
        if self._limit is not None and len(self._items) > self._limit:
            raise TubeError(f"more than {self._limit} items came")

    def flowStopped(self, reason: Any) -> None:
        self._done(self._items, reason)


def collect(fount: Any, limit: int | None = None) -> defer.Deferred[list[Any]]:
    """A Deferred for the list of all items of a fount. It fails with what the flow failed with, and with `TubeError` if
    more than ``limit`` items come. Cancelling it stops the flow."""
    deferred: Any = defer.Deferred(lambda _: fount.stopFlow())

    def done(items: list[Any], reason: Any) -> None:
        if deferred.called:
            return
        if _support.is_end(reason):
            deferred.callback(items)
        else:
            deferred.errback(reason)

    fount.flowTo(_Collector(done, limit))
    return deferred
