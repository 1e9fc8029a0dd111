"""What type checkers make of `marotte.defer`. Never run: `tools/test.d/70-types` has it checked.

Each line with an `ignore` comment is an error, which both checkers must find.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, NoReturn, TypeVar

from marotte.defer import (
    AsyncioClock,
    CancelledError,
    Deferred,
    DeferredFilesystemLock,
    DeferredList,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    FailureGroup,
    FirstError,
    ensureDeferred,
    execute,
    fail,
    gatherResults,
    getDebugging,
    inlineCallbacks,
    logError,
    maybeDeferred,
    passthru,
    race,
    returnValue,
    setDebugging,
    succeed,
)
from marotte.failure import Failure
from typing_extensions import assert_type

T = TypeVar("T")


def plain(n: int) -> str:
    return str(n)


def later(n: int) -> Deferred[str]:
    return succeed(str(n))


def either(n: int) -> str | Deferred[str]:
    return later(n) if n else ""


def may_fail(n: int) -> str | Failure:
    return str(n) if n else Failure(ValueError())


def later_may_fail(n: int) -> Deferred[str] | Failure:
    return later(n) if n else Failure(ValueError())


def any_of_them(n: int) -> str | Deferred[str] | Failure:
    return either(n) if n else Failure(ValueError())


def nothing(n: int) -> None:
    pass


def fails(n: int) -> Failure:
    return Failure(ValueError())


def raises(n: int) -> NoReturn:
    raise ValueError


def more(n: int, text: str, *, twice: bool = False) -> list[str]:
    return [text] * n


def optional(n: int) -> int | None:
    return n or None


def untyped(n: Any) -> Any:
    return n


def same(value: T) -> T:
    return value


def handle(failure: Failure) -> bytes:
    return b""


def handle_later(failure: Failure) -> Deferred[bytes]:
    return succeed(b"")


def look_on(failure: Failure) -> Failure:
    return failure


def clear(failure: Failure) -> None:
    pass


def both(result: int | Failure) -> bool:
    return isinstance(result, Failure)


async def coroutine(n: int) -> str:
    return str(n)


def callbacks(d: Deferred[int]) -> None:
    assert_type(d.addCallback(plain), Deferred[str])
    assert_type(d.addCallback(later), Deferred[str])
    assert_type(d.addCallback(either), Deferred[str])
    assert_type(d.addCallback(may_fail), Deferred[str])
    assert_type(d.addCallback(later_may_fail), Deferred[str])
    assert_type(d.addCallback(any_of_them), Deferred[str])
    assert_type(d.addCallback(nothing), Deferred[None])
    assert_type(d.addCallback(optional), Deferred[int | None])
    assert_type(d.addCallback(same), Deferred[int])
    assert_type(d.addCallback(untyped), Deferred[Any])
    assert_type(d.addCallback(str), Deferred[str])
    assert_type(d.addCallback(lambda n: n + 1), Deferred[int])
    assert_type(d.addCallback(lambda n: later(n)), Deferred[str])
    assert_type(d.addCallback(more, "text", twice=True), Deferred[list[str]])
    assert_type(d.addCallback(plain).addCallback(len).addErrback(look_on), Deferred[int])
    d.addCallback(fails).addErrback(handle)
    d.addCallback(raises).addErrback(handle)

    d.addCallback(len)  # type: ignore
    d.addCallback(more)  # type: ignore
    d.addCallback(more, 3)  # type: ignore
    d.addCallback(more, "text", thrice=True)  # type: ignore
    d.addCallback(3)  # type: ignore


def errbacks(d: Deferred[int]) -> None:
    assert_type(d.addErrback(handle), Deferred[int | bytes])
    assert_type(d.addErrback(handle_later), Deferred[int | bytes])
    assert_type(d.addErrback(look_on), Deferred[int])
    assert_type(d.addErrback(logError), Deferred[int])
    assert_type(d.addErrback(clear), Deferred[int | None])
    assert_type(d.addErrback(lambda failure: 3), Deferred[int])

    d.addErrback(plain)  # type: ignore
    d.addErrback(handle, 3)  # type: ignore


def both_sides(d: Deferred[int]) -> None:
    assert_type(d.addBoth(both), Deferred[bool])
    assert_type(d.addCallbacks(plain), Deferred[str])
    assert_type(d.addCallbacks(later), Deferred[str])
    assert_type(d.addCallbacks(plain, handle), Deferred[str | bytes])
    assert_type(d.addCallbacks(later, handle), Deferred[str | bytes])
    assert_type(d.addCallbacks(plain, handle_later), Deferred[str | bytes])
    assert_type(d.addCallbacks(later, handle_later), Deferred[str | bytes])
    assert_type(d.addCallbacks(plain, look_on), Deferred[str])
    assert_type(d.addCallbacks(more, None, ("text",), {"twice": True}), Deferred[list[str]])
    assert_type(d.addCallbacks(plain, None, None, None), Deferred[str])
    assert_type(d.addCallbacks(plain, lambda failure: 0), Deferred[str | int])

    d.addBoth(plain)  # type: ignore
    d.addCallbacks(3)  # type: ignore


def firing(d: Deferred[int], other: Deferred[int], text: Deferred[str]) -> None:
    d.callback(3)
    d.callback(Failure(ValueError()))
    d.errback(ValueError())
    d.errback(Failure(ValueError()))
    d.errback()
    d.cancel()
    assert_type(d.chainDeferred(other), Deferred[None])
    assert_type(d.called, bool)
    assert_type(d.paused, int)
    d.debug = True

    d.callback("text")  # type: ignore
    d.errback("text")  # type: ignore
    d.chainDeferred(text)  # type: ignore
    d.addCallback(plain).callback(3)  # type: ignore


def timeouts(d: Deferred[int], clock: AsyncioClock) -> None:
    def late(result: int | Failure, seconds: float) -> str:
        return f"no {result} in {seconds}"

    d.addTimeout(3, clock)
    assert_type(d.addTimeout(3, clock, late), Deferred[int | str])
    assert_type(d.addTimeout(3, clock, onTimeoutCancel=late), Deferred[int | str])

    d.addTimeout("3", clock)  # type: ignore
    d.addTimeout(3, 3)  # type: ignore


class Mine(Deferred[int]):
    def __init__(self, name: str) -> None:
        super().__init__(canceller=self.stop)
        self.name = name

    def stop(self, deferred: Deferred[Any]) -> None:
        deferred.errback(CancelledError(self.name))


def classes(awaitable: Awaitable[int]) -> None:
    callbacks(Mine("mine"))
    classes(Mine("mine"))
    assert_type(Deferred[int](), Deferred[int])
    assert_type(Mine("mine").addCallback(plain), Deferred[str])
    canceller: Callable[[Deferred[int]], None] = Mine("mine").stop
    canceller(Mine("other"))
    ensureDeferred(awaitable)  # type: ignore


def functions() -> None:
    assert_type(succeed(3), Deferred[int])
    assert_type(fail(ValueError()), Deferred[Any])
    assert_type(execute(more, 3, "text"), Deferred[list[str]])
    assert_type(maybeDeferred(plain, 3), Deferred[str])
    assert_type(maybeDeferred(later, 3), Deferred[str])
    assert_type(maybeDeferred(either, 3), Deferred[str])
    assert_type(maybeDeferred(may_fail, 3), Deferred[str])
    assert_type(maybeDeferred(coroutine, 3), Deferred[str])
    assert_type(ensureDeferred(coroutine(3)), Deferred[str])
    assert_type(ensureDeferred(later(3)), Deferred[str])
    assert_type(Deferred.fromCoroutine(coroutine(3)), Deferred[str])
    assert_type(gatherResults([succeed(3), succeed(4)]), Deferred[list[int]])
    assert_type(race([succeed(3), succeed(4)]), Deferred[tuple[int, int]])
    assert_type(passthru(3), int)
    assert_type(getDebugging(), bool)
    setDebugging(True)

    execute(more, "text")  # type: ignore
    maybeDeferred(plain, "text")  # type: ignore
    maybeDeferred(coroutine)  # type: ignore
    ensureDeferred(3)  # type: ignore
    ensureDeferred(coroutine)  # type: ignore
    gatherResults(3)  # type: ignore
    gatherResults([3])  # type: ignore


def lists(ds: list[Deferred[int]], flag: bool) -> None:
    assert_type(DeferredList(ds), DeferredList[list[tuple[bool, int]]])
    assert_type(DeferredList(ds, fireOnOneErrback=True), DeferredList[list[tuple[bool, int]]])
    assert_type(DeferredList(ds, fireOnOneCallback=True), DeferredList[tuple[int, int]])
    every: Deferred[list[tuple[bool, int]]] = DeferredList(ds)
    some: Deferred[tuple[int, int]] = DeferredList(ds, True)
    assert_type(DeferredList(ds, flag), DeferredList[Any])
    assert_type(DeferredList(ds).finishedCount, int)
    every.addCallback(lambda results: [value for ok, value in results if ok])
    some.addCallback(lambda first: first[0] + first[1])

    def first_error(failure: Failure) -> int:
        failure.trap(FirstError, FailureGroup)
        return 0

    every.addErrback(first_error)
    wrong: Deferred[list[int]] = DeferredList(ds)  # type: ignore
    wrong.cancel()


async def waiting(d: Deferred[int]) -> str:
    assert_type(await d, int)
    assert_type(await gatherResults([d]), list[int])
    assert_type(await later(3), str)
    return "text"


@inlineCallbacks
def generator(n: int, text: str = "") -> Generator[Deferred[Any], Any, list[str]]:
    result = yield succeed(n)
    return [text] * result


@inlineCallbacks
def old(n: int) -> Generator[Deferred[Any], Any, None]:
    yield succeed(n)
    returnValue(n)


class WithMethods:
    @inlineCallbacks
    def method(self, n: int) -> Generator[Deferred[int], int, str]:
        result: int = yield succeed(n)
        return str(result)


def generators() -> None:
    assert_type(generator(3), Deferred[list[str]])
    assert_type(generator(3, text="text"), Deferred[list[str]])
    assert_type(old(3), Deferred[None])
    assert_type(WithMethods().method(3), Deferred[str])
    assert_type(ensureDeferred(waiting(succeed(3))), Deferred[str])

    generator("text")  # type: ignore
    generator(3, 4)  # type: ignore
    WithMethods().method()  # type: ignore

    @inlineCallbacks  # type: ignore
    def no_generator() -> int:
        return 3


async def sharing(queue: DeferredQueue[int]) -> None:
    lock, semaphore = DeferredLock(), DeferredSemaphore(3)
    assert_type(lock.acquire(), Deferred[DeferredLock])
    assert_type(semaphore.acquire(), Deferred[DeferredSemaphore])
    assert_type(lock.run(plain, 3), Deferred[str])
    assert_type(lock.run(later, 3), Deferred[str])
    assert_type(lock.run(coroutine, 3), Deferred[str])
    assert_type(semaphore.run(more, 3, "text"), Deferred[list[str]])
    assert_type(lock.locked, bool)
    assert_type(len(semaphore.waiting) + semaphore.tokens + semaphore.limit, int)
    async with lock as held:
        assert_type(held, DeferredLock)
    async with semaphore:
        pass
    assert_type(queue.get(), Deferred[int])
    assert_type(queue.pending, list[int])
    queue.put(3)
    DeferredQueue[str](size=3, backlog=3).put("text")
    assert_type(DeferredFilesystemLock("name").deferUntilLocked(timeout=3), Deferred[None])

    queue.put("text")  # type: ignore
    lock.run(plain, "text")  # type: ignore
    DeferredSemaphore()  # type: ignore


async def futures(d: Deferred[int], future: asyncio.Future[str]) -> None:
    assert_type(d.asFuture(asyncio.get_running_loop()), asyncio.Future[int])
    assert_type(await d.asFuture(asyncio.get_running_loop()), int)
    assert_type(Deferred.fromFuture(future), Deferred[str])
    d.asFuture(3)  # type: ignore
