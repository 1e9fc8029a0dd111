"""Twisted's idea of time, over an asyncio loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["AsyncioClock"]


class DelayedCall:
    """A call that a clock will make; what :meth:`AsyncioClock.callLater` gives."""

    def __init__(
        self,
        calls: set[DelayedCall],
        loop: asyncio.AbstractEventLoop,
        when: float,
        call: Callable[[], object],
    ) -> None:
        # The clock's calls that are still to come, this one among them.
        self._calls = calls
        self._loop = loop
        # None once it has been made or cancelled: what was to be called is let go.
        self._call: Callable[[], object] | None = call
        calls.add(self)
        self._start(when)

    def _start(self, when: float) -> None:
        self._when = when
        self._timer = self._loop.call_at(when, self._run)

    def _run(self) -> None:
        self._end()()

    def _end(self) -> Callable[[], object]:
        call = self._pending()
        self._call = None
        self._calls.discard(self)
        return call

    def _pending(self) -> Callable[[], object]:
        if self._call is None:
            raise ValueError("this call has been made or cancelled already")
        return self._call

    def _move(self, when: float) -> None:
        self._pending()
        self._timer.cancel()
        self._start(when)

    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._call is not None

    def getTime(self) -> float:
        """When the call is made, on the clock of :meth:`AsyncioClock.seconds`."""
        return self._when

    def cancel(self) -> None:
        """Makes it not happen. :class:`ValueError` if it has happened, or was cancelled."""
        self._end()
        self._timer.cancel()

    def reset(self, secondsFromNow: float) -> None:
        """Lets the call come that much after now, instead of when it was to."""
        self._move(self._loop.time() + secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """Lets the call come that much later than it was to."""
        self._move(self._when + secondsLater)


class AsyncioClock:
    """An asyncio loop as Twisted's ``IReactorTime``: the clock for :meth:`Deferred.addTimeout`, and
    for whatever else wants one, in a program that runs on asyncio. By default it is the loop that
    is running.

    >>> import asyncio
    >>> async def main():
    ...     clock, called = AsyncioClock(), []
    ...     clock.callLater(0.01, called.append, "first")
    ...     clock.callLater(0.01, called.append, "never").cancel()
    ...     await asyncio.sleep(0.1)
    ...     return called
    >>> asyncio.run(main())
    ['first']
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._calls: set[DelayedCall] = set()

    def seconds(self) -> float:
        """The time, from some moment on that is the loop's own."""
        return self._loop.time()

    def callLater(
        self, delay: float, function: Callable[..., object], /, *args: Any, **kwargs: Any
    ) -> DelayedCall:
        """Calls ``function(*args, **kwargs)`` after that many seconds."""
        if delay < 0:
            raise ValueError(f"a call cannot be made {-delay} seconds ago")
        call = functools.partial(function, *args, **kwargs)
        return DelayedCall(self._calls, self._loop, self._loop.time() + delay, call)

    def getDelayedCalls(self) -> Sequence[DelayedCall]:
        """The calls that are still to come."""
        return list(self._calls)
