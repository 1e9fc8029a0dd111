"""A lock between processes, as a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from marotte._defer.clock import AsyncioClock
from marotte._defer.errors import AlreadyTryingToLockError, CancelledError, TimeoutError

if TYPE_CHECKING:
    from marotte.defer import Deferred

__all__ = ["DeferredFilesystemLock", "FilesystemLock"]


class _OwnFilesystemLock:
    """A lock between processes: a symbolic link whose target is the process's number.

    Making a link either works or finds one there, for all processes at once. Twisted's lock of this
    name is the same on the disk, so programs with and without Twisted exclude each other.
    """

    locked = False
    """Whether this object holds the lock."""

    clean: bool | None = None
    """Once locked: whether the one who had the lock before has released it, rather than ended."""

    def __init__(self, name: str) -> None:
        self.name = name

    def lock(self) -> bool:
        """Takes the lock if it is free. Returns whether that is so."""
        clean = True
        while True:
            try:
                os.symlink(str(os.getpid()), self.name)
            except FileExistsError:
                pass
            else:
                self.locked = True
                self.clean = clean
                return True
            try:
                if _is_running(int(os.readlink(self.name))):
                    return False
                os.remove(self.name)
                clean = False
            except FileNotFoundError:
                pass  # just released, or broken by somebody else: try again

    def unlock(self) -> None:
        """Releases the lock. :class:`ValueError` if another process has it."""
        if int(os.readlink(self.name)) != os.getpid():
            raise ValueError(f"{self.name!r} is locked by another process")
        os.remove(self.name)
        self.locked = False


def _is_running(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # there, the call below would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as somebody else
    return True


if TYPE_CHECKING:
    FilesystemLock = _OwnFilesystemLock
else:
    try:
        from twisted.python.lockfile import FilesystemLock
    except ModuleNotFoundError as error:
        if error.name not in {"twisted", "twisted.python"}:
            raise
        FilesystemLock = _OwnFilesystemLock


class DeferredFilesystemLock(FilesystemLock):
    """A lock between processes that can be waited for.

    It is a symbolic link of that name, looked at every second while somebody waits; ``scheduler`` is
    the clock for that. By default it is Twisted's reactor in a program that has one, else the
    running asyncio loop.

    >>> import asyncio, tempfile
    >>> from marotte.defer import DeferredFilesystemLock
    >>> async def main():
    ...     with tempfile.TemporaryDirectory() as folder:
    ...         lock = DeferredFilesystemLock(f"{folder}/lock")
    ...         await lock.deferUntilLocked(timeout=10).asFuture(asyncio.get_running_loop())
    ...         held = lock.locked
    ...         lock.unlock()
    ...         return held, lock.locked
    >>> asyncio.run(main())
    (True, False)
    """

    _interval = 1
    _scheduler: Any
    _tryLockCall: Any = None
    _timeoutCall: Any = None

    def __init__(self, name: str, scheduler: Any = None) -> None:
        super().__init__(name)
        self._scheduler = _default_scheduler() if scheduler is None else scheduler

    def deferUntilLocked(self, timeout: float | None = None) -> Deferred[None]:
        """A Deferred that fires once the lock is taken.

        It fails with :class:`TimeoutError` if that takes longer than ``timeout`` seconds, and at
        once with :class:`AlreadyTryingToLockError` if an earlier call is still waiting.
        """
        from marotte.defer import Deferred, fail

        if self._tryLockCall is not None:
            return fail(AlreadyTryingToLockError("one deferUntilLocked is waiting already"))

        def attempt(otherwise: Callable[[], object]) -> None:
            try:
                locked = self.lock()
            except Exception:  # noqa: BLE001 - it goes to the caller
                self._stop()
                deferred.errback()
                return
            if locked:
                self._stop()
                deferred.callback(None)
            else:
                otherwise()

        def wait() -> None:
            self._tryLockCall = self._scheduler.callLater(self._interval, attempt, wait)

        def give_up(reason: Exception) -> None:
            self._stop()
            # It may have come free since the last look.
            attempt(lambda: deferred.errback(reason))

        deferred: Deferred[None] = Deferred(lambda _: give_up(CancelledError()))
        attempt(wait)
        if timeout is not None and not deferred.called:
            late = TimeoutError(f"{self.name!r} was not to be had for {timeout} seconds")
            self._timeoutCall = self._scheduler.callLater(timeout, give_up, late)
        return deferred

    def _stop(self) -> None:
        calls = self._tryLockCall, self._timeoutCall
        self._tryLockCall = self._timeoutCall = None
        for call in calls:
            if call is not None and call.active():
                call.cancel()


def _default_scheduler() -> Any:
    # The reactor is the module, and there once it has been chosen.
    reactor = sys.modules.get("twisted.internet.reactor")
    if reactor is not None:
        return reactor
    try:
        return AsyncioClock()
    except RuntimeError:
        raise RuntimeError(
            "waiting for a lock needs a clock: make the lock where an asyncio loop is running, or "
            "after twisted.internet.reactor is imported, or say which with scheduler="
        ) from None
