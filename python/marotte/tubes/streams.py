"""Between flows and Python's own streams: asynchronous iteration, and asyncio's readers and writers.

(A fount of an asynchronous iterable is `iteratorFount`.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from marotte import defer
from marotte.tubes import _support
from marotte.tubes._zope import implementer
from marotte.tubes.itube import IDrain
from marotte.tubes.kit import OncePause, beginFlowingFrom
from marotte.tubes.memory import iteratorFount
from marotte.tubes.sinks import Sink, sink
from marotte.tubes.tube import tube

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["itemsOf", "readerFount", "writerDrain"]


@implementer(IDrain)
class _Items(AsyncIterator[Any]):
    """A drain that takes an item when somebody asks for one."""

    inputType = None
    fount: Any = None

    def __init__(self) -> None:
        # More than one only of founts that go on although they are paused.
        self._waiting: deque[Any] = deque()
        self._asker: defer.Deferred[None] | None = None
        self._pause: OncePause | None = None
        self._over = False
        self._reason: Any = None

    def flowingFrom(self, fount: Any) -> None:
        beginFlowingFrom(self, fount)
        if fount is not None:
            self._pause = OncePause(_Pausing(fount))
            self._settle()

    def receive(self, item: Any) -> None:
        self._waiting.append(item)
        self._settle()

    def flowStopped(self, reason: Any) -> None:
        self._over, self._reason = True, reason
        self._settle()

    def _settle(self) -> None:
        asker = self._asker
        if asker is not None and (self._waiting or self._over):
            self._asker = None
            asker.callback(None)
        if self._pause is None or self._over:
            return
        if self._asker is None or self._waiting:
            self._pause.pauseOnce()
        else:
            self._pause.maybeUnpause()

    async def __anext__(self) -> Any:
        if self._asker is not None:
            raise RuntimeError("somebody waits for the next item already")
        if not self._waiting and not self._over:
            asker: defer.Deferred[None] = defer.Deferred()
            self._asker = asker
            self._settle()
            try:
                await asker
            finally:
                # If it was cancelled.
                if self._asker is asker:
                    self._asker = None
                    self._settle()
        if self._waiting:
            return self._waiting.popleft()
        reason, self._reason = self._reason, None
        if reason is not None and not _support.is_end(reason):
            reason.raiseException()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stops the flow; what has come and was not taken is dropped."""
        self._waiting.clear()
        if self.fount is not None and not self._over:
            self.fount.stopFlow()
            if self._pause is not None:
                self._pause.maybeUnpause()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class _Pausing:
    def __init__(self, fount: Any) -> None:
        self.pause = fount.pauseFlow


def itemsOf(fount: Any) -> _Items:
    """The items of a fount, for ``async for``: the fount goes on when the next one is asked for. What the flow failed with is
    raised. As a context it stops the flow at its end.

    >>> import asyncio
    >>> from marotte.tubes import iteratorFount
    >>> async def main():
    ...     async with itemsOf(iteratorFount("abc")) as items:
    ...         async for item in items:
    ...             print(item)
    ...             if item == "b":
    ...                 break
    >>> asyncio.run(main())
    a
    b
    """
    items = _Items()
    fount.flowTo(items)
    return items


def readerFount(reader: asyncio.StreamReader, size: int = 1 << 16) -> Any:
    """A fount of what an asyncio reader reads, in chunks of at most ``size`` bytes, until its end. It is read when the drain wants
    more."""

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await reader.read(size):
            yield chunk

    return iteratorFount(chunks())


@tube
class _Writes:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def receivedBatch(self, chunks: list[bytes]) -> None:
        self._writer.writelines(chunks)
        await self._writer.drain()

    async def stopped(self, reason: Any) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def writerDrain(writer: asyncio.StreamWriter) -> Sink:
    """A drain that writes chunks to an asyncio writer, and waits while that has enough. At the end of the flow it closes
    the writer; ``waitDone()`` says when that is closed."""
    return sink(_Writes(writer))
