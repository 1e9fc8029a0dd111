"""What Deferreds raise."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from marotte._defer.genuine import share_errors
from marotte.failure import Failure

__all__ = [
    "AlreadyCalledError",
    "AlreadyTryingToLockError",
    "CancelledError",
    "FailureGroup",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
]


class AlreadyCalledError(Exception):
    """A Deferred was called back, or failed, for the second time."""


class CancelledError(Exception):
    """What a cancelled Deferred fails with, unless its canceller says otherwise."""


class TimeoutError(Exception):
    """What a Deferred fails with after the time of :meth:`Deferred.addTimeout`. It is not the
    builtin of that name."""


class AlreadyTryingToLockError(Exception):
    """``deferUntilLocked`` was called while an earlier call was still waiting."""


class QueueOverflow(Exception):
    """``put`` on a queue that is full."""


class QueueUnderflow(Exception):
    """``get`` on an empty queue that as many wait for already as it allows."""


class NotACoroutineError(TypeError):
    """Something else was given where a coroutine is needed."""


class FailureGroup(Exception):
    """Everything failed that :func:`race` was given.

    >>> FailureGroup([]).failures
    []
    """

    failures: Sequence[Failure]

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__(failures)
        self.failures = failures


@functools.total_ordering
class FirstError(Exception):
    """What a :class:`DeferredList` that gives up on the first failure fails with.

    >>> from marotte.failure import Failure
    >>> error = FirstError(Failure(ValueError("no")), 3)
    >>> error
    FirstError[#3, ValueError('no')]
    >>> error == FirstError(error.subFailure, 3), error == FirstError(error.subFailure, 4)
    (True, False)
    """

    subFailure: Failure
    index: int

    def __init__(self, failure: Failure, index: int) -> None:
        super().__init__(failure, index)
        self.subFailure = failure
        self.index = index

    def __repr__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure.value!r}]"

    def __str__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure}]"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FirstError):
            return NotImplemented
        return self.index == other.index and self.subFailure == other.subFailure

    def __hash__(self) -> int:
        return hash(self.index)

    def __lt__(self, other: FirstError) -> bool:
        if not isinstance(other, FirstError):
            return NotImplemented
        return self.index < other.index


class _DefGen_Return(BaseException):
    """How ``returnValue`` leaves the generator."""

    value: Any

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


class _InternalInlineCallbacksCancelledError(Exception):
    """What a cancelled ``inlineCallbacks`` is told with."""


_SHARED = (*__all__, "_DefGen_Return", "_InternalInlineCallbacksCancelledError")

# Where their users find them, and pickles look for them.
for _name in _SHARED:
    globals()[_name].__module__ = "marotte.defer"

share_errors(globals(), _SHARED)
