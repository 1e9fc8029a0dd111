"""Taking all of a flow at once."""

from __future__ import annotations

from typing import Any

from marotte.tubes import _support
from marotte.tubes.sinks import _Collector

__all__ = ["fountToList"]


def fountToList(fount: Any) -> list[Any]:
    """The items of a fount that gives them all at once, as a list. Raises what the flow failed
    with, and ``RuntimeError`` if the flow has to wait for something: then it is stopped, and
    `marotte.tubes.collect` is what waits for it.

    >>> from marotte.tubes import memory
    >>> fountToList(memory.iteratorFount("ab"))
    ['a', 'b']
    """
    outcome: list[Any] = []
    fount.flowTo(_Collector(lambda items, reason: outcome.extend((items, reason)), None))
    if not outcome:
        fount.stopFlow()
        raise RuntimeError("the flow waits for something; use collect(fount) and await it")
    items, reason = outcome
    if not _support.is_end(reason):
        reason.raiseException()
    return items
