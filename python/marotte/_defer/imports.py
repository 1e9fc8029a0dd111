"""Doing something as soon as a module has been imported, without importing it."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

__all__ = ["when_imported"]

Then = Callable[[ModuleType], object]
Spec = importlib.machinery.ModuleSpec | None


class _Watcher:
    """Takes part in every import until that of one module."""

    def __init__(self, name: str, then: Then) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> Spec:
        if name != self._name:
            return None
        # Not those before it: there may be another of this kind among them.
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:  # type: ignore[arg-type]
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._wrap(spec.loader)
                return spec
        return None

    def _wrap(self, loader: Any) -> None:
        execute = loader.exec_module

        def execute_and_tell(module: ModuleType) -> None:
            # The loader stays with the module, and others may have done the same to it.
            vars(loader).pop("exec_module", None)
            execute(module)
            sys.meta_path.remove(self)  # type: ignore[arg-type]
            self._then(module)

        loader.exec_module = execute_and_tell


def when_imported(name: str, then: Then) -> None:
    """Calls ``then(module)``: now if the module is there, otherwise when it is imported, before it
    is seen by whoever imports it.

    >>> when_imported("sys", lambda module: print(module.__name__))
    sys
    """
    module = sys.modules.get(name)
    if module is not None:
        then(module)
    else:
        sys.meta_path.insert(0, _Watcher(name, then))  # type: ignore[arg-type]
