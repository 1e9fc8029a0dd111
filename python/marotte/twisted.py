"""Has all of Twisted, and what is built on it, use the Deferreds of :mod:`marotte.defer`.

A program does that itself, before it imports anything of Twisted::

    import marotte.twisted

    marotte.twisted.install()

    from twisted.internet import defer, reactor  # this is marotte.defer

Or it is left as it is, and run by ``python -m marotte.twisted``: ``python -m marotte.twisted
server.py``, ``python -m marotte.twisted -m twisted.trial package``, ``python -m marotte.twisted -m
pytest``. Trial's tests have a shorter way: ``trial --reporter=marotte package``. A process that the
program starts is one that has to call :func:`install` for itself.

Without any of this, Deferreds of both kinds can be mixed in a program.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

from marotte._defer import trial

__all__ = ["install"]

_DEFER = "twisted.internet.defer"


def install() -> None:
    """Puts :mod:`marotte.defer` in the place of ``twisted.internet.defer``, for the whole process.

    It may be called again. :class:`RuntimeError` if a module has taken something from Twisted's own
    ``defer`` already, as most of Twisted's do when they are imported: there would be two kinds of
    Deferreds. Nothing is replaced then.
    """
    ours = importlib.import_module("marotte.defer")
    genuine = sys.modules.get(_DEFER)
    if genuine is ours:
        return
    if genuine is not None:
        users = sorted(_users(genuine, ours))
        if users:
            raise RuntimeError(_too_late(users))
    package: Any = importlib.import_module("twisted.internet")
    sys.modules[_DEFER] = package.defer = ours
    for value in vars(ours).values():
        # What is sent elsewhere by its name is known there by this one.
        if isinstance(value, (type, types.FunctionType)) and value.__module__ == ours.__name__:
            value.__module__ = _DEFER
    trial.adapt()


def _users(genuine: types.ModuleType, ours: types.ModuleType) -> Iterator[str]:
    """The modules which hold Twisted's own module, or something of it that is not also ours."""
    foreign = {id(genuine)}
    for name, value in vars(genuine).items():
        defined = isinstance(value, (type, types.FunctionType)) and value.__module__ == _DEFER
        if defined and getattr(ours, name, None) is not value:
            foreign.add(id(value))
    for name, module in list(sys.modules.items()):
        # twisted.internet has it as an attribute only because it has been imported.
        if module is genuine or name == "twisted.internet" or not _is_loaded(module):
            continue
        if any(id(value) in foreign for value in list(vars(module).values())):
            yield name


def _is_loaded(module: object) -> bool:
    # There are stranger things than modules in there, also None.
    return isinstance(module, types.ModuleType)


def _too_late(users: list[str]) -> str:
    shown = ", ".join(users[:5])
    more = f" and {len(users) - 5} more" if len(users) > 5 else ""
    return (
        f"it is too late for marotte.twisted.install(): {shown}{more} use Twisted's own defer "
        "module already. Import marotte.twisted and call install() before anything of Twisted is "
        "imported, or start the program by `python -m marotte.twisted script.py`."
    )


if __name__ == "__main__":
    from marotte._defer.launch import main

    main()
