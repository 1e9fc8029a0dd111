"""What becomes of a failure that nobody handles, and where Deferreds come from."""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from typing import Any, Protocol

from marotte.failure import Failure

__all__ = ["DebugInfo", "creator_stack", "logger", "report"]


class Logger(Protocol):
    """What is used of Twisted's logger."""

    def failure(self, format: str, failure: Any = None, **kwargs: Any) -> None: ...
    def critical(self, format: str, **kwargs: Any) -> None: ...
    def error(self, format: str, **kwargs: Any) -> None: ...
    def warn(self, format: str, **kwargs: Any) -> None: ...
    def info(self, format: str, **kwargs: Any) -> None: ...
    def debug(self, format: str, **kwargs: Any) -> None: ...


class StandardLogger:
    """The face of Twisted's logger over the standard library's."""

    namespace = "marotte.defer"

    def __init__(self) -> None:
        self._log = logging.getLogger(self.namespace)

    def _emit(self, level: int, format: str, kwargs: dict[str, Any], exc_info: Any = None) -> None:
        if not self._log.isEnabledFor(level):
            return
        try:
            message = format.format_map(kwargs)
        except Exception:  # noqa: BLE001 - a log that fails would hide what is logged
            message = f"{format} {kwargs}"
        self._log.log(level, "%s", message, exc_info=exc_info)

    def failure(self, format: str, failure: Any = None, **kwargs: Any) -> None:
        """Logs a failure with its traceback; without one, the exception being handled."""
        failure = failure or Failure()
        if isinstance(failure.value, BaseException) and not failure.pickled:
            exc_info = (type(failure.value), failure.value, failure.tb)
            self._emit(logging.CRITICAL, format, kwargs, exc_info)
        else:
            # All that is left of it is text.
            kwargs["traceback"] = failure.getTraceback().rstrip()
            self._emit(logging.CRITICAL, format + "\n{traceback}", kwargs)

    def critical(self, format: str, **kwargs: Any) -> None:
        self._emit(logging.CRITICAL, format, kwargs)

    def error(self, format: str, **kwargs: Any) -> None:
        self._emit(logging.ERROR, format, kwargs)

    def warn(self, format: str, **kwargs: Any) -> None:
        self._emit(logging.WARNING, format, kwargs)

    def info(self, format: str, **kwargs: Any) -> None:
        self._emit(logging.INFO, format, kwargs)

    def debug(self, format: str, **kwargs: Any) -> None:
        self._emit(logging.DEBUG, format, kwargs)


_standard = StandardLogger()


@functools.cache
def _twisted_logger(make: Any) -> Logger:
    return make(namespace="twisted.internet.defer")


def logger() -> Logger:
    """Where Deferreds log: Twisted's logger in a program that has loaded it, otherwise the standard
    library's, as "marotte.defer".

    This is what ``marotte.defer.log`` is.
    """
    # It may be half imported.
    make = getattr(sys.modules.get("twisted.logger"), "Logger", None)
    return _standard if make is None else _twisted_logger(make)


def report(failure: Failure, debug_info: DebugInfo | None = None) -> None:
    """Logs a failure that nobody handled."""
    info = debug_info._getDebugTracebacks() if debug_info is not None else ""
    debug = "(debug: {debugInfo})" if info else ""
    log = logger()
    title = "Unhandled error in Deferred:"
    if log is _standard:
        log.failure(f"{title}\n{debug}" if debug else title, failure, debugInfo=info)
    else:
        # Two events, as observers of Twisted's log know them.
        log.critical(title, isError=True)
        log.failure(debug, failure, debugInfo=info)


class DebugInfo:
    """Reports a failure when it is collected before anybody handled that.

    It is not part of the Deferred, which may be in a reference cycle and have lost its failure by
    the time it goes.
    """

    failResult: Failure | None = None
    """The failure that is not handled yet."""

    creator: list[str] | None = None
    """In debug mode, the stack where the Deferred was made, from :func:`creator_stack`."""

    invoker: list[str] | None = None
    """In debug mode, the stack where it was first called back, from there too."""

    def _getDebugTracebacks(self) -> str:
        text = ""
        if self.creator is not None:
            text += _titled(" C:", " Deferred was created:", self.creator)
        if self.invoker is not None:
            text += _titled(" I:", " First Invoker was:", self.invoker)
        return text

    def __del__(self, report: Any = report, is_finalizing: Any = sys.is_finalizing) -> None:
        if self.failResult is None:
            return
        failure, self.failResult = self.failResult, None
        try:
            report(failure, self)
        except Exception:
            # At exit, what is needed to report may have gone before.
            if not is_finalizing():
                raise


def _titled(prefix: str, title: str, stack: list[str]) -> str:
    lines = [title, *"".join(stack).rstrip().split("\n")]
    return "".join(f"{prefix}{line}\n" for line in lines)


def creator_stack() -> list[str]:
    """The stack of whoever called native code that calls this: native code has no frames."""
    return traceback.format_stack(sys._getframe(1))
