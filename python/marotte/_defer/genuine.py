"""Our Deferreds beside Twisted's own, in a program that has not installed ours.

Twisted tells Deferreds by a list of classes, and catches exceptions by class. So both modules get
the same list and the same exceptions, whichever is imported first; and neither imports the other.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from marotte import _core
from marotte._defer.imports import when_imported

__all__ = ["share_classes", "share_errors"]

_GENUINE = "twisted.internet.defer"


class _Subclasses(list[type]):
    """Every class of Deferreds, those derived later included: both modules append them here."""

    def append(self, subclass: type) -> None:
        if not issubclass(subclass, _core.Deferred):
            _core.recognise_deferred(subclass)
        super().append(subclass)


def share_errors(errors: dict[str, Any], names: Iterable[str]) -> None:
    """Makes these exceptions the same in ``errors``, the globals of a module, and in Twisted's.

    The classes are those of the module that came first, as others may have them from there.
    """
    names = list(names)
    first = sys.modules.get(_GENUINE)

    def share(genuine: ModuleType) -> None:
        theirs = vars(genuine)
        shared = [name for name in names if name in theirs]
        if genuine is first:
            errors.update((name, theirs[name]) for name in shared)
        else:
            for name in shared:
                theirs[name] = errors[name]
                # The name by which other programs know it.
                errors[name].__module__ = _GENUINE

    when_imported(_GENUINE, share)


def share_classes(ours: Any) -> None:
    """Makes the classes of Deferreds of ``ours`` known to Twisted's module, and the reverse."""

    def share(genuine: Any) -> None:
        subclasses = _Subclasses()
        for subclass in (*_classes_of(genuine), *ours._DEFERRED_SUBCLASSES):
            subclasses.append(subclass)
        genuine._DEFERRED_SUBCLASSES = ours._DEFERRED_SUBCLASSES = subclasses
        genuine.Deferred.register(ours.Deferred)

    when_imported(_GENUINE, share)


def _classes_of(genuine: Any) -> Iterable[type]:
    # Before Twisted 24.7 there was no list: instances were what counted.
    known = (genuine.Deferred, genuine.DeferredList)
    return getattr(genuine, "_DEFERRED_SUBCLASSES", known)
