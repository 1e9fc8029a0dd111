"""``python -m marotte.twisted``: runs a program as Python would, on our Deferreds."""

from __future__ import annotations

import builtins
import io
import linecache
import os
import pkgutil
import runpy
import sys
import types
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, SourceFileLoader
from typing import Any, NoReturn

from marotte.twisted import install

__all__ = ["main"]

USAGE = """\
usage: python -m marotte.twisted FILE [ARGUMENT...]
       python -m marotte.twisted -m MODULE [ARGUMENT...]
       python -m marotte.twisted -c CODE [ARGUMENT...]

Run a Python program as `python FILE`, `python -m MODULE` or `python -c CODE` would, with
marotte.defer in the place of twisted.internet.defer. For example:

    python -m marotte.twisted -m twisted.trial my.tests
    python -m marotte.twisted -m twisted web --path .
"""


def main() -> None:
    """Runs what ``sys.argv`` says."""
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(USAGE, end="")
        return
    first, *rest = sys.argv[1:] or _wrong("what is to be run?")
    option, value = first[:2], first[2:]
    if option in _BY_OPTION:
        if not value:
            value, *rest = rest or _wrong(f"{option} needs an argument")
        run, name = _BY_OPTION[option], option
    elif option.startswith("-"):
        _wrong(f"there is no option {first}")
    else:
        run, name, value = _run_file, first, first
    install()
    sys.argv[:] = [name, *rest]
    namespace = _new_main()
    try:
        run(value, namespace)
    except SystemExit:
        raise
    except BaseException:
        # The interpreter calls this hook next.
        sys.excepthook = _without_us(sys.excepthook)
        raise


def _wrong(problem: str) -> NoReturn:
    print(f"marotte.twisted: {problem}\n\n{USAGE}", end="", file=sys.stderr)
    sys.exit(2)


def _new_main() -> dict[str, Any]:
    """Makes a fresh ``__main__`` and returns its globals."""
    module = types.ModuleType("__main__")
    module.__dict__.update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = module
    return module.__dict__


def _run_code(code: str, namespace: dict[str, Any]) -> None:
    _set_path("")
    namespace["__loader__"] = BuiltinImporter
    if sys.version_info >= (3, 13):
        # Since then tracebacks show these lines too.
        lines = code.splitlines(keepends=True)
        linecache.cache["<string>"] = (len(code), None, lines, "<string>")
    _execute(code, "<string>", namespace)


def _run_module(name: str, namespace: dict[str, Any]) -> None:
    # The current directory comes first already: we have been run by -m ourselves.
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]


_BY_OPTION = {"-c": _run_code, "-m": _run_module}


def _run_file(name: str, namespace: dict[str, Any]) -> None:
    path = os.path.join(os.getcwd(), name)
    if pkgutil.get_importer(path) is not None:
        # A folder or an archive, with a __main__ in it.
        _set_path(path)
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
        return
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        sys.exit(_cannot_open(path, error))
    _set_path(os.path.dirname(os.path.realpath(path)))
    loader = SourceFileLoader("__main__", path)
    namespace.update(__file__=path, __cached__=None, __loader__=loader)
    _execute(source, path, namespace)


def _cannot_open(path: str, error: OSError) -> int:
    problem = f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
    print(f"{sys.executable}: {problem}", file=sys.stderr)
    return 2


def _execute(source: str | bytes, path: str, namespace: dict[str, Any]) -> None:
    exec(compile(source, path, "exec", dont_inherit=True), namespace)  # noqa: S102 - our task


def _set_path(first: str) -> None:
    # With -P or -I, Python puts nothing there.
    if not getattr(sys.flags, "safe_path", sys.flags.isolated):
        sys.path[0] = first


Hook = Callable[[Any, BaseException, Any], object]


def _without_us(hook: Hook) -> Hook:
    """An exception hook to which the program's frames are the first."""

    def without_us(kind: Any, error: BaseException, traceback: Any) -> None:
        rest = traceback
        while rest is not None:
            ours = rest.tb_frame.f_code.co_filename == __file__
            rest = rest.tb_next
            if ours:
                traceback = rest
        hook(kind, error.with_traceback(traceback), traceback)

    return without_us
