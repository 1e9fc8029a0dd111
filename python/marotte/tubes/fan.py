"""One flow into many, many into one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from marotte import _core

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["In", "Out", "Thru", "parallel"]


class Out:
    """One flow into many: every item goes to each fount that has a drain.

    ``policy`` says what becomes of a branch that is slower than the others:

    - ``"slowest"``: all wait for it (the default);
    - ``"drop"``: it gets no more items while ``capacity`` wait for it;
    - ``"dropOldest"``: of those that wait, the oldest is dropped;
    - ``"latest"``: only the newest waits;
    - ``"merge"``: the newest that waits and the next become ``merge(waiting, next)``;
    - ``"stop"``: its flow is stopped with `BranchTooSlow`.

    With ``"slowest"``, ``capacity`` items may wait at a branch before the others wait for it.
    """

    def __init__(self, policy: str = "slowest", capacity: int | None = None, merge: Any = None):
        self._policy = _policy(policy, capacity, merge)
        self._siphon = _core._Siphon()
        self._siphon.describe(name="fan out")
        self._hub = _core._Hub.out(self._siphon)

    @property
    def drain(self) -> Any:
        """The drain to flow to."""
        return self._siphon._tdrain

    def newFount(self, policy: str | None = None, capacity: int | None = None, merge: Any = None):
        """A fount that gives every item that comes from now on, once it has a drain. It may have a policy
        of its own."""
        how = self._policy if policy is None else _policy(policy, capacity, merge)
        branch = _core._Siphon(**how)
        branch.describe(name="a branch of a fan out")
        self._hub.addBranch(branch)
        return branch._tfount


def _policy(policy: str, capacity: int | None, merge: Any) -> dict[str, Any]:
    if policy == "slowest":
        return {"capacity": capacity or 0, "overflow": "pause"}
    if policy == "latest":
        return {"capacity": 1, "overflow": "dropOldest"}
    if policy == "merge" and merge is None:
        raise TypeError("the policy 'merge' needs merge, a function of two items")
    names = ("drop", "dropOldest", "merge", "stop")
    if policy not in names:
        raise ValueError(
            f"no policy named {policy!r}; there are 'slowest', 'latest', and "
            + ", ".join(map(repr, names))
        )
    return {"capacity": 16 if capacity is None else capacity, "overflow": policy, "merge": merge}


class In:
    """Many flows into one.

    ``order`` says how their items follow one another: ``"merge"`` as they come (the default), ``"concat"`` all of
    the first drain's, then all of the second's, ``"zip"`` one of each as a tuple, ``"priority"`` as
    they come, but those of a higher priority go first when several wait.

    ``ends`` says when the fount stops: with the ``"last"`` of the inputs (the default), with the
    ``"first"``, after which the others are stopped, or ``"never"``. Its reason is the first error
    of an input, or else the last input's; ``reasons`` has all.
    """

    def __init__(self, order: str = "merge", ends: str = "last") -> None:
        self._siphon = _core._Siphon(waitsForDrain=True)
        self._siphon.describe(name="fan in")
        self._hub = _core._Hub.into(self._siphon, order, ends)
        #: The fount of all.
        self.fount = self._siphon._tfount

    def newDrain(self, priority: int = 0) -> Any:
        """One more drain to flow to."""
        siphon = _core._Siphon()
        siphon.describe(name="an input of a fan in")
        self._hub.addInput(siphon, priority)
        return siphon._tdrain

    @property
    def reasons(self) -> list[tuple[int, Any]]:
        """Why the inputs that have stopped did so, in that order, each with its number."""
        return self._hub.reasons()


class Thru(_core._SiphonDrain):
    """One flow through many drains from which something flows, and into one again::

    fount.flowTo(Thru([series(a()), series(b())])).flowTo(drain)
    """

    _branches: tuple[Out, In]

    def __new__(cls, drains: Iterable[Any]) -> Self:
        """Puts it together."""
        out, into = Out(), In()
        self = super().__new__(cls, out._siphon)
        self.adopt()
        out._siphon.describe(name="fan through", next=into._siphon)
        self._branches = (out, into)
        for drain in drains:
            fount = out.newFount().flowTo(drain)
            if fount is None:
                raise TypeError(f"nothing flows out of {drain!r}")
            fount.flowTo(into.newDrain())
        return self

    def __init__(self, drains: Iterable[Any]) -> None:
        """See `__new__`."""


def parallel(*tubes: Any) -> Any:
    """Every item through each of the tubes, side by side: a drain for `series`.

    >>> from marotte.tubes import memory, receiver, fountToList
    >>> double = receiver()(lambda item: (item * 2,))
    >>> negate = receiver()(lambda item: (-item,))
    >>> fountToList(memory.iteratorFount([1, 2]).flowTo(parallel(double, negate)))
    [2, -1, 4, -2]
    """
    from marotte.tubes.tube import series

    return Thru([series(each) for each in tubes])
