"""zope.interface where it is installed, and elsewhere as much of it as code written for Tubes needs."""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["Attribute", "Interface", "implementedBy", "implementer", "present"]

try:
    from zope.interface import Attribute, Interface, implementedBy, implementer

    present = True
except ImportError:
    present = False
    T = TypeVar("T")

    def Attribute(description: str) -> Any:  # type: ignore[no-redef]
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

    class Interface(metaclass=_Specification):  # type: ignore[no-redef]
        """The base of all interfaces."""

    def implementer(*interfaces: Any) -> Any:  # type: ignore[misc]
        """Declares that objects of a class provide interfaces."""

        def declare(kind: T) -> T:
            old = getattr(kind, "__provides__", ())
            kind.__provides__ = (*interfaces, *old)  # type: ignore[attr-defined]
            return kind

        return declare

    def implementedBy(kind: T) -> T:  # type: ignore[misc]
        """The class itself stands for what its objects provide."""
        return kind
