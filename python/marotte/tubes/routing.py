"""Items that say where they go."""

from __future__ import annotations

from typing import Any

from marotte import _core
from marotte.tubes._support import fits, name_of

__all__ = ["Routed", "Router", "to"]


class _To:
    __slots__ = ("_what", "_where")

    def __init__(self, where: Any, what: Any) -> None:
        self._where = where
        self._what = what

    def __repr__(self) -> str:
        return f"to({self._where!r}, {self._what!r})"


def to(where: Any, what: Any) -> Any:
    """An item for a route: ``where`` is what `Router.newRoute` returned, or the name it was given."""
    return _To(where, what)


class Routed:
    """The type of items made by `to`, of which what is sent is of the type ``specification``."""

    def __init__(self, specification: Any = None) -> None:
        self._specification = specification

    def isOrExtends(self, other: Any) -> bool:
        """Whether what is of this type is of the other, too."""
        if not isinstance(other, Routed):
            return False
        if other._specification is None:
            return True
        return self._specification is not None and fits(self._specification, other._specification)

    def providedBy(self, instance: Any) -> bool:
        """Whether something is of this type."""
        if not isinstance(instance, _To):
            return False
        if self._specification is None:
            return True
        provided = getattr(self._specification, "providedBy", None)
        if provided is not None:
            return bool(provided(instance._what))
        return isinstance(instance._what, self._specification)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Routed):
            return NotImplemented
        return self._specification == other._specification

    def __ne__(self, other: object) -> bool:
        result = self.__eq__(other)
        return NotImplemented if result is NotImplemented else not result

    def __hash__(self) -> int:
        return hash((Routed, self._specification))

    def __repr__(self) -> str:
        inner = "" if self._specification is None else name_of(self._specification)
        return f"Routed({inner})"


class Router:
    """One flow into many, where each item says by `to` which way it goes.

    A route that is paused holds the others back only when an item for it comes: ``capacity`` items
    may wait at each. What is for a route that there is not, or that has no drain, goes nowhere; `undelivered`
    counts those for no route.
    """

    def __init__(self, outputType: Any = None, capacity: int = 1) -> None:
        self._outputType = outputType
        self._capacity = capacity
        self._numbers: dict[Any, int] = {}
        self._siphon = _core._Siphon()
        self._siphon.describe(name="router", inputType=Routed(outputType))
        self._hub = _core._Hub.out(self._siphon, self._route)
        #: The drain to flow to.
        self.drain = self._siphon._tdrain

    def _route(self, item: Any) -> tuple[int, Any] | None:
        if type(item) is not _To:
            raise TypeError(f"a router takes what to(route, item) makes, not {item!r}")
        number = self._numbers.get(item._where)
        return None if number is None else (number, item._what)

    def newRoute(self, name: str | None = None) -> Any:
        """A fount of the items that are sent to it."""
        siphon = _core._Siphon(capacity=self._capacity)
        title = f"route {name!r}" if name is not None else "a route"
        siphon.describe(name=title, outputType=self._outputType)
        number = self._hub.addBranch(siphon)
        fount = siphon._tfount
        self._numbers[fount] = number
        if name is not None:
            self._numbers.setdefault(name, number)
        return fount

    @property
    def undelivered(self) -> int:
        """How many items were for a route that there is not."""
        return self._hub.undelivered()
