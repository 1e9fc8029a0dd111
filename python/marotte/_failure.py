"""Our own ``Failure``, for programs that do not have Twisted. See :mod:`marotte.failure`."""

from __future__ import annotations

import builtins
import functools
import io
import itertools
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

__all__ = [
    "DO_POST_MORTEM",
    "Failure",
    "NoCurrentExceptionError",
    "format_frames",
    "startDebugMode",
]

Variables = Sequence[tuple[str, object]]
Frame = tuple[str, str, int, Variables, Variables]
ErrorType = TypeVar("ErrorType", bound=type[BaseException] | str)

_numbers = itertools.count(1)


class NoCurrentExceptionError(Exception):
    """``Failure()`` was called where no exception was being handled."""


class Failure(BaseException):
    """An exception as a value: what errbacks get.

    >>> try:
    ...     {}["key"]
    ... except KeyError:
    ...     failure = Failure()
    >>> failure.type, failure.value
    (<class 'KeyError'>, KeyError('key'))
    >>> failure.check(ValueError, LookupError)
    <class 'LookupError'>
    >>> Failure(ValueError("no"))
    <marotte.failure.Failure builtins.ValueError: no>
    """

    pickled: int = 0
    """1 after cleaning or unpickling: the traceback is gone, :attr:`frames` is what is left."""

    count: int
    """Every failure has a number, counted from 1."""

    captureVars: bool
    value: Any
    type: builtins.type[Any]
    tb: types.TracebackType | None

    def __init__(
        self,
        exc_value: Any = None,
        exc_type: builtins.type[Any] | None = None,
        exc_tb: types.TracebackType | None = None,
        captureVars: bool = False,
    ) -> None:
        if exc_value is None:
            exc_type, exc_value, exc_tb = sys.exc_info()
            if exc_value is None:
                raise NoCurrentExceptionError("Failure() needs an exception, given or just caught")
        if isinstance(exc_value, Failure):
            self.__dict__ = dict(exc_value.__dict__)
            return
        self.count = next(_numbers)
        self.captureVars = captureVars
        self.value = exc_value
        self.type = type(exc_value) if exc_type is None else exc_type
        # Any object may be a failure's value.
        self.tb = exc_tb or getattr(exc_value, "__traceback__", None)

    @staticmethod
    def _withoutTraceback(value: BaseException) -> Failure:
        """The failure of an exception that was not raised."""
        failure = Failure.__new__(Failure)
        failure.count = next(_numbers)
        failure.captureVars = False
        failure.value = value
        failure.type = type(value)
        failure.tb = None
        return failure

    @functools.cached_property
    def frames(self) -> list[Frame]:
        """Where the exception has been, outermost first: for each frame the function's name, the
        file's, the line number, and (with ``captureVars``) the local and the global variables.

        >>> [name for name, *_ in Failure(ValueError()).frames]
        []
        """
        frames: list[Frame] = []
        for frame, line in traceback.walk_tb(self.tb):
            code = frame.f_code
            near, far = _variables(frame) if self.captureVars else ((), ())
            frames.append((code.co_name, code.co_filename, line, near, far))
        return frames

    @functools.cached_property
    def parents(self) -> list[Any]:
        """The qualified names of the exception's class and of all its bases.

        >>> Failure(KeyError()).parents[:2]
        ['builtins.KeyError', 'builtins.LookupError']
        """
        if _is_exception(self.type):
            return [_name(parent) for parent in self.type.__mro__]
        return [self.type]

    @property
    def stack(self) -> list[Frame]:
        """Always empty, and deprecated."""
        self._deprecate_stack()
        return []

    @stack.setter
    def stack(self, stack: object) -> None:
        self._deprecate_stack()

    def _deprecate_stack(self) -> None:
        name = f"{_name(Failure)}.stack"
        warnings.warn(f"{name} was deprecated in Twisted 24.10.0", DeprecationWarning, stacklevel=3)

    def check(self, *errorTypes: ErrorType) -> ErrorType | None:
        """The first of these classes (or qualified names) that the exception is one of, or None.

        Classes are compared by name, so that one which has been reloaded, or has come out of a
        pickle, is still known.
        """
        # Most often it is the very class, and no name need be made; but `parents` can be set.
        classes = () if "parents" in self.__dict__ else getattr(self.type, "__mro__", ())
        for wanted in errorTypes:
            named = _is_exception(wanted)
            if named and wanted in classes:
                return wanted
            if (_name(wanted) if named else wanted) in self.parents:
                return wanted
        return None

    def trap(self, *errorTypes: ErrorType) -> ErrorType:
        """Like :meth:`check`, but raises the exception if it is none of these.

        >>> Failure(KeyError("key")).trap(LookupError)
        <class 'LookupError'>
        >>> Failure(KeyError("key")).trap(ValueError)
        Traceback (most recent call last):
            ...
        KeyError: 'key'
        """
        return self.check(*errorTypes) or self.raiseException()

    def raiseException(self) -> NoReturn:
        """Raises the exception, with the traceback it had."""
        raise self.value.with_traceback(self.tb)

    def throwExceptionIntoGenerator(self, g: Generator[Any, Any, Any]) -> Any:
        """Raises the exception inside of a generator, where that waits. Returns what it yields."""
        return g.throw(self.value.with_traceback(self.tb))

    def cleanFailure(self) -> None:
        """Lets go of the traceback and of the variables, which become texts."""
        self.__dict__ = self.__getstate__()
        if isinstance(self.value, BaseException):
            self.value.__traceback__ = None

    def getTracebackObject(self) -> types.TracebackType | None:
        """The traceback, or where that is gone one that looks the same; None if there was none."""
        return self.tb or _traceback(self.frames)

    def getErrorMessage(self) -> str:
        """The text of the exception."""
        return _text(self.value)

    def getBriefTraceback(self) -> str:
        """What :meth:`printBriefTraceback` prints."""
        file = io.StringIO()
        self.printBriefTraceback(file)
        return file.getvalue()

    def getTraceback(self, elideFrameworkCode: int = 0, detail: str = "default") -> str:
        """What :meth:`printTraceback` prints.

        >>> print(Failure(ValueError("no")).getTraceback(), end="")
        Traceback (most recent call last):
        Failure: builtins.ValueError: no
        """
        file = io.StringIO()
        self.printTraceback(file, elideFrameworkCode, detail)
        return file.getvalue()

    def printTraceback(
        self, file: Any = None, elideFrameworkCode: int = 0, detail: str = "default"
    ) -> None:
        """Writes the traceback to ``file``, by default the standard error output.

        ``detail`` is "default", "brief" (a line per frame) or "verbose" (with the variables);
        ``elideFrameworkCode`` has no effect.
        """
        write = (sys.stderr if file is None else file).write
        frames = self.frames
        if detail == "brief":
            none = "" if frames else " (failure with no frames)"
            write(f"Traceback{none}: {_text(self.type)}: {self.getErrorMessage()}\n")
            format_frames(frames, write, detail)
            return
        if detail == "verbose":
            write(f"*--- Failure #{self.count}{' (pickled)' if self.pickled else ''} ---\n")
        else:
            write("Traceback (most recent call last):\n")
        if not frames:
            write("Failure: ")
        elif detail == "verbose" and not self.captureVars:
            format_frames(frames, write, "verbose-vars-not-captured")
        else:
            format_frames(frames, write, detail)
        write(f"{_name(self.type)}: {self.getErrorMessage()}\n")
        if detail == "verbose":
            write(f"*--- End of Failure #{self.count} ---\n")

    def printBriefTraceback(self, file: Any = None, elideFrameworkCode: int = 0) -> None:
        """:meth:`printTraceback` with a line per frame."""
        self.printTraceback(file, elideFrameworkCode, "brief")

    def printDetailedTraceback(self, file: Any = None, elideFrameworkCode: int = 0) -> None:
        """:meth:`printTraceback` with the variables of each frame."""
        self.printTraceback(file, elideFrameworkCode, "verbose")

    def __repr__(self) -> str:
        return f"<{_name(type(self))} {_name(self.type)}: {self.getErrorMessage()}>"

    def __str__(self) -> str:
        return f"[Failure instance: {self.getBriefTraceback()}]"

    def __getstate__(self) -> dict[str, Any]:
        frames = self.frames
        if self.captureVars:
            frames = [
                (name, filename, line, _as_texts(near), _as_texts(far))
                for name, filename, line, near, far in frames
            ]
        state = {"frames": frames, "parents": self.parents, "tb": None, "pickled": 1}
        return {**self.__dict__, **state}

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        self.__dict__.update(state or {})

    def __reduce__(self) -> tuple[Any, ...]:
        kind = None if type(self) is Failure else type(self)
        return _empty, (kind,), self.__getstate__()


# What it is to its users, whichever file it is in.
Failure.__module__ = NoCurrentExceptionError.__module__ = "marotte.failure"


def _empty(kind: Any) -> Any:
    """What a pickle begins with. Where Twisted is installed it becomes a failure of Twisted's."""
    if kind is None:
        from marotte.failure import Failure as kind

    return kind.__new__(kind)


def _is_exception(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)


def _name(kind: Any) -> str:
    # A subclass may have a text for a type, when the exception was far away.
    return f"{kind.__module__}.{kind.__name__}" if isinstance(kind, type) else str(kind)


def _text(value: object, describe: Callable[[object], str] = str) -> str:
    """``describe(value)``, whatever the object does about it."""
    try:
        return describe(value)
    except Exception as error:  # noqa: BLE001 - it is the other object's
        name = type(value).__name__
        return f"<{name} at {id(value):#x}: {type(error).__name__} in its {describe.__name__}()>"


def _as_texts(variables: Variables) -> Variables:
    return [(name, _text(value, repr)) for name, value in variables]


def _variables(frame: types.FrameType) -> tuple[Variables, Variables]:
    near, far = frame.f_locals, frame.f_globals
    if near is far:
        far = {}
    return _without_builtins(near), _without_builtins(far)


def _without_builtins(variables: dict[str, object]) -> Variables:
    return [(name, value) for name, value in variables.items() if name != "__builtins__"]


_GET_FRAME = compile("__import__('sys')._getframe()", "<failure>", "eval")


def _traceback(frames: Iterable[Frame]) -> types.TracebackType | None:
    """A traceback that reads like the one that these frames came from."""
    found = None
    for name, filename, line, near, far in reversed(list(frames)):
        code = _GET_FRAME.replace(co_name=name, co_filename=filename, co_firstlineno=line)
        frame = eval(code, dict(far), dict(near))
        # No instruction of the code there is the one that failed.
        found = types.TracebackType(found, frame, -1, line)
    return found


def _default(name: str, filename: str, line: int, near: Variables, far: Variables) -> str:
    return traceback.format_list([(filename, line, name, None)])[0]


def _brief(name: str, filename: str, line: int, near: Variables, far: Variables) -> str:
    return f"{filename}:{line}:{name}\n"


def _call(name: str, filename: str, line: int, near: Variables, far: Variables) -> str:
    return f"{filename}:{line}: {name}(...)\n"


def _verbose(name: str, filename: str, line: int, near: Variables, far: Variables) -> str:
    lines = [" [ Locals ]", *map(_variable, near), " ( Globals )", *map(_variable, far)]
    return _call(name, filename, line, near, far) + "\n".join(lines) + "\n"


def _variable(variable: tuple[str, object]) -> str:
    name, value = variable
    return f"  {name} : {_text(value, repr)}"


_FORMATS = {
    "default": _default,
    "brief": _brief,
    "verbose": _verbose,
    "verbose-vars-not-captured": _call,
}


def format_frames(
    frames: Iterable[Frame], write: Callable[[str], object], detail: str = "default"
) -> None:
    """Writes frames, as :attr:`Failure.frames` has them, in one of the styles of a traceback."""
    form = _FORMATS.get(detail)
    if form is None:
        raise ValueError(f"no detail {detail!r}; there are {', '.join(map(repr, _FORMATS))}")
    for frame in frames:
        write(form(*frame))
    if form is _call:
        write(" [Capture of Locals and Globals disabled (use captureVars=True)]\n")


DO_POST_MORTEM = True
"""Whether :func:`startDebugMode` has an effect, for switching it off again."""


def startDebugMode() -> None:
    """From now on, ``Failure()`` opens the debugger on the exception that is being handled."""
    plain = Failure.__init__

    @functools.wraps(plain)
    def debugging(
        self: Failure,
        exc_value: Any = None,
        exc_type: Any = None,
        exc_tb: Any = None,
        captureVars: bool = False,
    ) -> None:
        kind, error, tb = sys.exc_info()
        if DO_POST_MORTEM and exc_value is None and tb is not None and kind is not type(self):
            import pdb  # noqa: T100 - this is what it is for

            print(f"Opening the debugger on {_text(error, repr)}")
            pdb.post_mortem(tb)
        plain(self, exc_value, exc_type, exc_tb, captureVars)

    Failure.__init__ = debugging
