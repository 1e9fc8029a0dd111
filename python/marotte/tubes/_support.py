"""What the extension calls."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from marotte import defer  # noqa: F401 - the extension needs it for failures
from marotte.failure import Failure
from marotte.tubes import errors
from marotte.tubes.errors import AlreadyUnpaused, StopFlowCalled

__all__ = [
    "AlreadyUnpaused",
    "begin",
    "check_types",
    "drain_of",
    "error",
    "is_end",
    "kind_of",
    "now",
    "raised",
    "report",
    "stop_flow_called",
    "to_json",
    "wake_at",
]

logger = logging.getLogger("marotte.tubes")


def report(reason: Any) -> None:
    """Logs what a tube, a fount or a drain raised, where the program's log is."""
    failure = reason if hasattr(reason, "getTraceback") else Failure(reason)
    if "twisted.python.log" in sys.modules:
        from twisted.python import log

        log.err(failure, "a flow stopped because of an exception")
        return
    logger.error(
        "a flow stopped because of an exception",
        exc_info=failure.value,
    )


_ENDS: tuple[type[BaseException], ...] = (StopIteration, StopAsyncIteration)


def kind_of(reason: Any) -> int:
    """0 for the reason of a flow that came to its end, 1 of one that its drain stopped, 2 of one that
    failed."""
    kind = getattr(reason, "type", type(reason))
    if reason is None or not isinstance(kind, type) or issubclass(kind, _ENDS):
        return 0
    if issubclass(kind, StopFlowCalled):
        return 1
    closed = kind.__name__ == "ConnectionDone" and kind.__module__ == "twisted.internet.error"
    return 0 if closed or not issubclass(kind, BaseException) else 2


def is_end(reason: Any) -> bool:
    """Whether a flow that stopped for this reason did not fail."""
    return kind_of(reason) < 2


def stop_flow_called() -> Any:
    """The reason of a flow that its drain has stopped."""
    return Failure(StopFlowCalled())


def raised(error: BaseException) -> Any:
    """What a tube, a fount or a drain raised, as the reason of a flow. An exception by which a flow comes to its end
    otherwise is wrapped: raised in the middle, it is a failure."""
    failure = Failure(error)
    if not is_end(failure):
        return failure
    wrapped = RuntimeError(f"a tube raised {type(error).__name__}")
    wrapped.__cause__ = error
    return Failure(wrapped)


def close_async(generator: Any) -> None:
    """Closes an asynchronous generator that nobody takes from any more."""
    begin(generator.aclose(), _closed)


def _closed(value: Any, error: BaseException | None = None) -> None:
    if error is not None:
        report(Failure(error))


def error(kind: str, message: str) -> Any:
    """What a stage of the extension raises."""
    return Failure(getattr(errors, kind)(message))


def fits(output: Any, wanted: Any) -> bool:
    """Whether everything of the one type is of the other, too."""
    if output is wanted or output == wanted:
        return True
    for specification in (output, wanted):
        if not isinstance(specification, type) or hasattr(specification, "isOrExtends"):
            break
    else:
        return issubclass(output, wanted)
    extends = getattr(output, "isOrExtends", None)
    if extends is not None:
        return bool(extends(wanted))
    implemented = getattr(wanted, "implementedBy", None)
    if implemented is not None and isinstance(output, type):
        return bool(implemented(output))
    return False


def name_of(kind: Any) -> str:
    """A type, for a message."""
    return getattr(kind, "__qualname__", None) or getattr(kind, "__name__", None) or repr(kind)


def check_types(fount: Any, output: Any, drain: Any, wanted: Any) -> None:
    """Raises TypeError unless what a fount gives is what a drain takes."""
    if not fits(output, wanted):
        raise TypeError(
            f"cannot connect {fount!r} to {drain!r}: the first gives {name_of(output)}, the second "
            f"takes {name_of(wanted)}"
        )


#: A value as JSON, on one line.
to_json = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=True
).encode


def drain_of(reference: Any) -> Any:
    """A drain whose items go to a far one."""
    from marotte.tubes.wire import drainOf

    return drainOf(reference)


now = time.monotonic


def wake_at(when: float, wake: Any) -> None:
    """Calls ``wake()`` when `now` says so. Needs an event loop."""
    from marotte._eventual import local_vat

    local_vat().callLater(max(0.0, when - now()), wake)


def begin(awaitable: Any, settle: Any) -> Any:
    """Waits for a coroutine, Deferred or future; then calls ``settle(value)`` or ``settle(None,
    exception)``. Returns what can be cancelled."""
    from marotte._eventual import local_vat

    return local_vat().begin(awaitable, settle)


def _cancel(work: Any) -> None:
    from marotte._eventual import local_vat

    local_vat().cancelWork(work)


begin.cancel = _cancel  # type: ignore[attr-defined]
