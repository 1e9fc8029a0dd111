"""As much of zope.interface as code written for Tubes needs, for where it is not installed."""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["Attribute", "Interface", "implementedBy", "implementer"]

T = TypeVar("T")


def Attribute(description: str) -> Any:
    """Declares an attribute of an interface."""


class _Specification(type):
    """What an interface is: an object provides it if it has all its names."""

    def _names(cls) -> set[str]:
        return {name for base in cls.__mro__ for name in vars(base) if name[0] != "_"}

    def providedBy(cls, value: Any) -> bool:
        """Whether the object has everything that the interface names."""
        own = type(value)
        if cls in getattr(own, "__provides__", ()):
            return True
        return all(hasattr(value, name) for name in cls._names())

    def implementedBy(cls, kind: type) -> bool:
        """Whether objects of the class would provide it."""
        return cls in getattr(kind, "__provides__", ())

    def isOrExtends(cls, other: Any) -> bool:
        """Whether what provides this also provides the other."""
        return isinstance(other, type) and issubclass(cls, other)


class Interface(metaclass=_Specification):
    """The base of all interfaces."""


def implementer(*interfaces: Any) -> Any:
    """Declares that objects of a class provide interfaces."""

    def declare(kind: T) -> T:
        old = getattr(kind, "__provides__", ())
        setattr(kind, "__provides__", (*interfaces, *old))  # noqa: B010 - no type has it
        return kind

    return declare


def implementedBy(kind: T) -> T:
    """The class itself stands for what its objects provide."""
    return kind
