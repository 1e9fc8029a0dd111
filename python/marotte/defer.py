"""Deferreds: results that are not here yet, with the whole interface of ``twisted.internet.defer``.

Code written for Twisted runs on these with its import changed::

    from marotte import defer               # was: from twisted.internet import defer

They need no event loop and no Twisted: whoever has the result calls ``callback``, and what was
added before runs at once.

>>> d = Deferred()
>>> d.addCallback(lambda n: n + 1).addCallback(print)  # doctest: +ELLIPSIS
<Deferred at 0x...>
>>> d.callback(41)
42
"""

from __future__ import annotations

import functools
import sys
import types
import warnings
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from marotte import _core
from marotte._core import (
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    ensureDeferred,
    execute,
    fail,
    gatherResults,
    maybeDeferred,
    race,
    succeed,
)
from marotte._defer.debug import DebugInfo, logger
from marotte._defer.errors import (
    AlreadyCalledError,
    AlreadyTryingToLockError,
    CancelledError,
    FailureGroup,
    FirstError,
    NotACoroutineError,
    QueueOverflow,
    QueueUnderflow,
    TimeoutError,
    _DefGen_Return,
    _InternalInlineCallbacksCancelledError,
)
from marotte._defer.genuine import share_classes
from marotte._defer.imports import when_imported
from marotte.failure import Failure

__all__ = [
    "FAILURE",
    "SUCCESS",
    "AlreadyCalledError",
    "AlreadyTryingToLockError",
    "AsyncioClock",
    "CancelledError",
    "DebugInfo",
    "Deferred",
    "DeferredFilesystemLock",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "FailureGroup",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
    "ensureDeferred",
    "execute",
    "fail",
    "gatherResults",
    "inlineCallbacks",
    "maybeDeferred",
    "race",
    "returnValue",
    "succeed",
]

_T = TypeVar("_T")
_P = ParamSpec("_P")
_DeferredListSingleResultT = tuple[_T, int]
_DeferredListResultItemT = tuple[bool, _T]
_DeferredListResultListT = list[_DeferredListResultItemT[_T]]

SUCCESS = True
FAILURE = False

DeferredCallback = Callable[..., object]
DeferredErrback = Callable[..., object]

_DEFERRED_SUBCLASSES: list[type[Any]] = [Deferred, DeferredList]

if TYPE_CHECKING:
    from marotte._defer.clock import AsyncioClock
    from marotte._defer.debug import Logger
    from marotte._defer.filelock import DeferredFilesystemLock

    log: Logger


def inlineCallbacks(f: Callable[_P, Generator[Any, Any, _T]]) -> Callable[_P, Deferred[_T]]:
    """Makes a generator function into one that returns a Deferred: wherever it yields a Deferred
    it goes on with that one's result, and a failure is raised there.

    >>> @inlineCallbacks
    ... def add(a, b):
    ...     return (yield a) + (yield b)
    >>> add(succeed(1), succeed(2)).addCallback(print)  # doctest: +ELLIPSIS
    3
    <Deferred at 0x... current result: None>
    """
    unwind = _core._unwind_generator

    # A Python function, because test runners and class bodies treat those apart.
    @functools.wraps(f)
    def unwindGenerator(*args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        try:
            gen = f(*args, **kwargs)
        except _DefGen_Return:
            raise TypeError(
                f"inlineCallbacks requires {f!r} to produce a generator; instead"
                "caught returnValue being used in a non-generator"
            ) from None
        if not isinstance(gen, types.GeneratorType):
            raise TypeError(
                f"inlineCallbacks requires {f!r} to produce a generator; instead got {gen!r}"
            )
        return unwind(gen)

    return unwindGenerator


def returnValue(val: object) -> NoReturn:
    """Deprecated: write ``return val``."""
    warnings.warn(
        "twisted.internet.defer.returnValue was deprecated in Twisted 24.7.0; please use standard "
        "return statement instead",
        DeprecationWarning,
        stacklevel=2,
    )
    raise _DefGen_Return(val)


def passthru(arg: _T) -> _T:
    """Returns its argument."""
    return arg


def logError(err: Failure) -> Failure:
    """Logs a failure and returns it: an errback that looks on."""
    logger().failure("", err)
    return err


def timeout(deferred: Deferred[Any]) -> None:
    """Deprecated: use :meth:`Deferred.addTimeout`."""
    warnings.warn(
        "twisted.internet.defer.timeout was deprecated in Twisted 17.1.0; please use "
        "twisted.internet.defer.Deferred.addTimeout instead",
        DeprecationWarning,
        stacklevel=2,
    )
    deferred.errback(Failure(TimeoutError("Callback timed out")))


def setDebugging(on: bool) -> None:
    """Whether Deferreds keep the stacks of their makers and callers, for the reports of errors.
    That is slow."""
    _core.DebugFlag.set(bool(on))


def getDebugging() -> bool:
    """Whether they do."""
    return Deferred.debug


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "log":
            return logger()
        if name == "DeferredFilesystemLock":
            from marotte._defer.filelock import DeferredFilesystemLock

            return DeferredFilesystemLock
        if name == "AsyncioClock":
            from marotte._defer.clock import AsyncioClock

            return AsyncioClock
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _adapt_trial(reporter: Any) -> None:
    if sys.modules.get("twisted.internet.defer") is sys.modules[__name__]:
        from marotte._defer.trial import have_frames_trimmed

        have_frames_trimmed(reporter)


share_classes(sys.modules[__name__])
when_imported("twisted.trial.reporter", _adapt_trial)
