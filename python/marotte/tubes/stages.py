"""Stages: buffers, batches, rates, work that takes its time, confirmations.

What is in here goes into a `series`. It is safe to put one object into several: each series makes its
own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import sys
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from marotte import _core, defer
from marotte.tubes.fan import _policy

__all__ = [
    "SubprocessTube",
    "ThreadTube",
    "batch",
    "buffer",
    "confirming",
    "conflate",
    "mapAsync",
    "throttle",
    "timeout",
]


def buffer(capacity: int, policy: str = "pause") -> Any:
    """Lets ``capacity`` items wait here, so that the fount goes on while the drain is paused.

    ``policy`` says what is done when that is not enough: ``"pause"`` the fount; ``"drop"`` the item;
    ``"dropOldest"``; keep only the ``"latest"``; or ``"stop"`` the flow with `BranchTooSlow`. Raises ``ValueError`` for any
    other.
    """
    siphon = _core._Siphon(**_policy("slowest" if policy == "pause" else policy, capacity, None))
    siphon.describe(name=f"buffer({capacity}, {policy!r})")
    return siphon._tdrain


def conflate(merge: Callable[[Any, Any], Any]) -> Any:
    """Never holds the fount back: while the drain is paused, what waits and the next item become
    ``merge(waiting, item)``."""
    siphon = _core._Siphon(capacity=1, overflow="merge", merge=merge)
    siphon.describe(name=f"conflate({merge!r})")
    return siphon._tdrain


def batch(count: int, seconds: float | None = None) -> Any:
    """Makes lists of at most ``count`` items. One that is not full waits for ``seconds`` after its first
    item, or for ever; with 0 what comes at once makes a list.

    >>> from marotte.tubes import fountToList, iteratorFount, series
    >>> fountToList(iteratorFount(range(5)).flowTo(series(batch(2))))
    [[0, 1], [2, 3], [4]]
    """
    return _core._StageTube(
        "batch", name=f"batch({count})", count=count, seconds=seconds, outputType=list
    )


def throttle(count: int, seconds: float) -> Any:
    """Lets at most ``count`` items through in any ``seconds``, and holds the fount back meanwhile."""
    name = f"throttle({count}, {seconds})"
    return _core._StageTube("throttle", name=name, count=count, seconds=seconds)


def timeout(seconds: float) -> Any:
    """Stops the flow with `FlowTimedOut` if the fount sends nothing for ``seconds``. Time in which it is held
    back from below does not count."""
    return _core._StageTube("timeout", name=f"timeout({seconds})", seconds=seconds)


def mapAsync(
    function: Callable[[Any], Awaitable[Any] | Any], atOnce: int = 1, ordered: bool = True
) -> Any:
    """Gives what ``function(item)`` returns, or what that becomes if it is a coroutine, a Deferred
    or a future. At most ``atOnce`` are at work; their results come in the order of the items, or, if not
    ``ordered``, as they are there. One that fails stops the flow both ways; the others are cancelled.

    >>> import asyncio
    >>> from marotte.tubes import collect, iteratorFount, series
    >>> async def look_up(n):
    ...     await asyncio.sleep(0.01 / n)
    ...     return n * n
    >>> async def main():
    ...     print(await collect(iteratorFount([1, 2, 3]).flowTo(series(mapAsync(look_up, 3)))))
    >>> asyncio.run(main())
    [1, 4, 9]
    """
    return _core._StageTube(
        "map",
        name=f"mapAsync({getattr(function, '__name__', function)})",
        function=function,
        count=atOnce,
        ordered=ordered,
    )


def _wait_for(future: concurrent.futures.Future[Any]) -> Any:
    """A future of another thread as something that this one can wait for."""
    loop = asyncio._get_running_loop()
    if loop is not None:
        return asyncio.wrap_future(future, loop=loop)
    reactor = sys.modules.get("twisted.internet.reactor")
    if reactor is None:
        raise RuntimeError(
            "a tube of threads or processes needs an event loop that is told when they are done: "
            "asyncio's or Twisted's"
        )
    deferred: defer.Deferred[Any] = defer.Deferred(lambda _: future.cancel())

    def settle() -> None:
        if deferred.called:
            return
        error = None if future.cancelled() else future.exception()
        if future.cancelled():
            deferred.cancel()
        elif error is not None:
            deferred.errback(error)
        else:
            deferred.callback(future.result())

    future.add_done_callback(lambda _: reactor.callFromThread(settle))  # type: ignore[attr-defined]
    return deferred


def ThreadTube(function: Callable[[Any], Any], threads: int = 1, ordered: bool = True) -> Any:
    """Calls ``function(item)``, which may block, in one of ``threads`` threads of its own, and gives what
    it returns. Needs an event loop. What a thread has begun is finished even if the flow is
    stopped; its result is dropped then."""
    pool = concurrent.futures.ThreadPoolExecutor(threads, "ThreadTube")

    def begin(item: Any) -> Any:
        return _wait_for(pool.submit(function, item))

    return _pooled(begin, pool, threads, ordered, f"ThreadTube({_name(function)})")


def SubprocessTube(function: Callable[[Any], Any], processes: int = 1, ordered: bool = True) -> Any:
    """Calls ``function(item)`` in one of ``processes`` other processes and gives what it returns. Needs an
    event loop. The processes are started when the first item comes, stay, and end with this program.

    The function has to be one that can be imported, items and results what pickle can write. A
    process that dies fails the item, and so the flow; the next flow gets new processes.
    """
    workers = _Workers(processes)

    def begin(item: Any) -> Any:
        return _wait_for(workers.submit(function, item))

    return _pooled(begin, workers, processes, ordered, f"SubprocessTube({_name(function)})")


class _Workers:
    """Processes, and others when those have died."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None

    def submit(self, function: Any, item: Any) -> concurrent.futures.Future[Any]:
        pool = self._pool
        if pool is None:
            # Not forked: a copy of the event loop and of others' sockets would be in it.
            pool = self._pool = concurrent.futures.ProcessPoolExecutor(
                self._processes, multiprocessing.get_context("spawn")
            )
        try:
            return pool.submit(function, item)
        except concurrent.futures.BrokenExecutor:
            self._pool = None
            return self.submit(function, item)

    def shutdown(self, wait: bool = False) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=wait, cancel_futures=True)


def _name(function: Any) -> str:
    return getattr(function, "__name__", None) or repr(function)


def _pooled(begin: Any, pool: Any, count: int, ordered: bool, name: str) -> Any:
    tube = _core._StageTube("map", name=name, function=begin, count=count, ordered=ordered)
    # When nobody can give it anything to do any more.
    weakref.finalize(begin, pool.shutdown, wait=False).atexit = False
    return tube


def confirming(confirmed: Callable[[Any, Any], Any]) -> Any:
    """Calls ``confirmed(item, failure)`` once for each item that flows through here.

    ``failure`` is None when everything that was made of the item has been taken: outputs of the
    tubes behind, the batches that they went into, the copies in the branches of a fan-out. A drain has taken what it
    was given when its ``receive`` returns, a `sink` when its work is done. Otherwise it is a Failure: what a stage or
    drain raised, or `NotConfirmed` if something was dropped or the flow stopped before.

    Put it behind framing: what a decoder of bytes keeps for the next chunk counts as taken.
    """
    return _core._StageTube("confirming", name="confirming()", function=confirmed)
