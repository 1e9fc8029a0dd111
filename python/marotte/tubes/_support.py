"""What the extension calls."""

from __future__ import annotations

import logging
import sys
from typing import Any

from marotte import defer  # noqa: F401 - the extension needs it for failures
from marotte.failure import Failure
from marotte.tubes import errors
from marotte.tubes.errors import AlreadyUnpaused, StopFlowCalled

__all__ = [
    "AlreadyUnpaused",
    "begin",
    "check_types",
    "error",
    "is_end",
    "report",
    "stop_flow_called",
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
        exc_info=(failure.type, failure.value, failure.getTracebackObject()),
    )


_ENDS: tuple[type[BaseException], ...] = (StopIteration, StopAsyncIteration, StopFlowCalled, EOFError)


def is_end(reason: Any) -> bool:
    """Whether a flow that stopped for this reason came to its end as it should."""
    if reason is None:
        return True
    kind = getattr(reason, "type", type(reason))
    if not isinstance(kind, type):
        return False
    return issubclass(kind, _ENDS) or (
        kind.__name__ == "ConnectionDone" and kind.__module__ == "twisted.internet.error"
    )


def stop_flow_called() -> Any:
    """The reason of a flow that its drain has stopped."""
    return Failure(StopFlowCalled())


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


def begin(awaitable: Any, settle: Any) -> Any:
    """Waits for a coroutine, Deferred or future; then calls ``settle(value)`` or ``settle(None,
    exception)``. Returns what can be cancelled."""
    from marotte._eventual import local_vat

    return local_vat().begin(awaitable, settle)


def _cancel(work: Any) -> None:
    from marotte._eventual import local_vat

    local_vat().cancelWork(work)


begin.cancel = _cancel  # type: ignore[attr-defined]
