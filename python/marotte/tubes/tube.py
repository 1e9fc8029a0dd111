"""Tubes, and putting them together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from marotte import _core
from marotte._core import Promise, RemoteReference, _NativeTube, _StageTube
from marotte.tubes import _support, _zope
from marotte.tubes._support import check_types
from marotte.tubes._zope import implementer
from marotte.tubes.itube import IDivertable, IDrain, ITube

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Diverter", "receiver", "series", "skip", "tube"]

#: What a tube yields to give nothing.
skip = _core._Skip()


def tube(cls: Any) -> Any:
    """Class decorator: adds what the class lacks of a tube's methods and attributes.

    >>> from marotte.tubes import memory, fountToList
    >>> @tube
    ... class Doubler:
    ...     def received(self, item):
    ...         yield item * 2
    >>> fountToList(memory.iteratorFount([1, 2]).flowTo(series(Doubler())))
    [2, 4]
    """

    def started(self: Any) -> Any:
        """Has nothing to say."""

    def received(self: Any, item: Any) -> Any:
        """Gives nothing."""

    def stopped(self: Any, reason: Any) -> Any:
        """Has nothing to say."""

    for method in (started, received, stopped):
        if not hasattr(cls, method.__name__):
            setattr(cls, method.__name__, method)
    for name in ("inputType", "outputType"):
        if not hasattr(cls, name):
            setattr(cls, name, None)
    return implementer(ITube)(cls)


@implementer(ITube)
class _Receiver:
    def __init__(self, inputType: Any, outputType: Any, received: Any, name: str) -> None:
        self.inputType = inputType
        self.outputType = outputType
        self.received = received
        self._name = name

    def started(self) -> None:
        """Has nothing to say."""

    def stopped(self, reason: Any) -> None:
        """Has nothing to say."""

    def __repr__(self) -> str:
        return self._name


def receiver(
    inputType: Any = None, outputType: Any = None, name: str | None = None
) -> Callable[[Callable[[Any], Any]], Any]:
    """Function decorator: a tube that calls the function with each item. It returns an iterable of
    outputs, or yields them; it may be ``async``.

    >>> from marotte.tubes import memory, fountToList
    >>> @receiver(inputType=int, outputType=int)
    ... def addOne(item):
    ...     yield item + 1
    >>> fountToList(memory.iteratorFount([1, 2]).flowTo(series(addOne)))
    [2, 3]
    """

    def decorate(function: Callable[[Any], Any]) -> Any:
        return _Receiver(
            inputType, outputType, function, function.__name__ if name is None else name
        )

    return decorate


def is_tube(value: Any) -> bool:
    """Whether something is a tube, and not a drain."""
    if isinstance(value, _StageTube):
        return True
    if isinstance(value, (RemoteReference, Promise)):
        return False
    return hasattr(value, "received") and not hasattr(value, "flowingFrom")


def _drain_of(value: Any) -> Any:
    # A reference has any attribute that one asks for.
    if isinstance(value, (RemoteReference, Promise)):
        return _support.drain_of(value)
    if hasattr(value, "flowingFrom"):
        return value
    if _zope.present:
        try:
            return IDrain(value)  # type: ignore[abstract]
        except TypeError:
            pass
    raise TypeError(
        f"{value!r} is neither a tube nor a drain: a tube has started, received and stopped, a "
        "drain flowingFrom, receive and flowStopped"
    )


def _siphon(row: list[Any]) -> Any:
    siphon = _core._Siphon(*row)
    siphon.settle()
    return siphon._tdrain


def series(start: Any, *tubes: Any) -> Any:
    """Puts tubes and drains in a row: the first drain, whose ``flowingFrom`` gives the last fount.

    Tubes next to each other become one siphon: what one gives goes to the next without ever being
    on the stack, so a series can be as long as one likes. Raises ``TypeError`` for what is neither
    tube nor drain, and if the types of neighbours do not fit.
    """
    parts: list[Any] = []
    row: list[Any] = []
    for element in (start, *tubes):
        if is_tube(element):
            if row and row[-1].outputType is not None and element.inputType is not None:
                check_types(row[-1], row[-1].outputType, element, element.inputType)
            # Those of the extension are fused with their like. Between them and others a flow can
            # be diverted.
            if row and isinstance(row[-1], _NativeTube) is not isinstance(element, _NativeTube):
                parts.append(_siphon(row))
                row = []
            row.append(element)
            continue
        if row:
            parts.append(_siphon(row))
            row = []
        parts.append(_drain_of(element))
    if row:
        parts.append(_siphon(row))
    first = parts[0]
    if len(parts) > 1:
        fount = first.flowingFrom(None)
        for place, part in enumerate(parts[1:]):
            if fount is None:
                raise TypeError(
                    f"nothing can follow {parts[place]!r} in a series: nothing flows out of it"
                )
            fount = fount.flowTo(part)
    return first


def _redirect(again: list[Any], ended: Any, fount: Any, drain: Any) -> None:
    """Lets items, and then what still comes from a fount, flow to a drain."""
    gate = _core._Siphon()
    gate.describe(name="a diverted flow", outputType=getattr(fount, "outputType", None))
    # There is no drain yet: they wait there, and the fount with them.
    for item in again:
        gate._tdrain.receive(item)
    if ended is not None:
        gate._tdrain.flowStopped(ended)
    elif fount is not None:
        fount.flowTo(gate._tdrain)
    gate._tfount.flowTo(drain)


def _check_target(fount: Any, drain: Any) -> None:
    output, wanted = getattr(fount, "outputType", None), getattr(drain, "inputType", None)
    if output is not None and wanted is not None:
        check_types(fount, output, drain, wanted)


def _divert(siphon: Any, index: int, drain: Any) -> None:
    """Sends what was to flow through a stage of a siphon to a drain."""
    fount = siphon._tdrain.fount if index == 0 else None
    _check_target(fount, drain)
    again, ended = siphon.split(index)
    if index > 0:
        # What comes out of the stages above.
        fount = siphon._tfount
        fount.flowTo(None)
    _redirect(again, ended, fount, drain)


class Diverter(_core._SiphonDrain):
    """A drain around a tube whose flow can be sent elsewhere while it flows: what the tube has made and nobody has
    taken is undone and received again by the new drain.

    Raises ``TypeError`` if the tube has no ``reassemble``.
    """

    _divertable: Any

    def __new__(cls, divertable: Any) -> Self:
        """Wraps a tube."""
        if not IDivertable.providedBy(divertable) or not getattr(divertable, "isDivertable", True):
            raise TypeError(f"{divertable!r} cannot be diverted: it has no reassemble")
        siphon = _core._Siphon(divertable)
        siphon.settle()
        self = super().__new__(cls, siphon)
        self._divertable = divertable
        self.adopt()
        return self

    def __init__(self, divertable: Any) -> None:
        """See `__new__`."""

    def __repr__(self) -> str:
        return f"<Diverter for {self._divertable!r}>"

    def divert(self, drain: Any) -> None:
        """Sends the flow to ``drain`` from now on, first what the tube still had. Raises
        ``TypeError`` if the drain takes something else."""
        fount = self.fount
        _check_target(fount, drain)
        outputs, inputs, ended = self._siphon.eject()
        if isinstance(self._divertable, _NativeTube):
            # Those are undone already.
            again = outputs + inputs
        else:
            again = [*(self._divertable.reassemble(outputs) or ()), *inputs]
        _redirect(again, ended, fount, drain)
