"""Turns, and promises of programs that have no tub in particular."""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from typing import Any

from marotte import _runner, defer
from marotte._core import Promise, Resolver, Send, _LocalVat
from marotte.failure import Failure

# One vat for each event loop; for Twisted's reactor and for a thread without a loop, one for each
# thread.
_of_loop: weakref.WeakKeyDictionary[Any, _LocalVat] = weakref.WeakKeyDictionary()
_of_thread = threading.local()


def local_vat() -> _LocalVat:
    """The vat of the event loop that is running, or of this thread."""
    loop = asyncio._get_running_loop()
    if loop is not None:
        vat = _of_loop.get(loop)
        if vat is None:
            vat = _of_loop[loop] = _LocalVat(_runner.choose())
        return vat
    kind = "reactor" if "twisted.internet.reactor" in sys.modules else "none"
    vat = getattr(_of_thread, kind, None)
    if vat is None:
        vat = _LocalVat(_runner.choose())
        setattr(_of_thread, kind, vat)
    return vat


def makePromise() -> tuple[Promise, Resolver]:
    """A new promise and its resolver.

    ``resolver(value)`` fulfils the promise, or resolves it to another promise, a Deferred or an
    awaitable; ``resolver.smash(exception)`` breaks it. It does so once.

    >>> promise, resolver = makePromise()
    >>> resolver(5)
    >>> promise._wait()
    5
    """
    return local_vat().makePromise()


def send(target: object) -> Send:
    """``send(x).method(*args)`` calls a method of ``x`` in a later turn, and answers with the
    promise for the result. ``x`` may be any object, a promise, or a reference to a far object.

    On a promise it also turns the promise's own attributes off, so that it is used in one way
    only.

    >>> class Adder:
    ...     def add(self, n):
    ...         return n + 1
    >>> send(Adder()).add(4)._wait()
    5
    """
    return local_vat().send(target, False)


def sendOnly(target: object) -> Any:
    """As :func:`send`, for a message whose result nobody wants: no answer is sent back, and None is
    returned. What a near object's method raises is logged."""
    return local_vat().send(target, True)


def when(target: Any) -> defer.Deferred[Any]:
    """A Deferred for what a promise becomes; for anything else, one that has fired.

    >>> when(5).addCallback(print)  # doctest: +ELLIPSIS
    5
    <Deferred at 0x...>
    """
    if type(target) is not Promise:
        return defer.maybeDeferred(lambda: target)
    deferred: defer.Deferred[Any] = defer.Deferred()
    target._then(deferred.callback, lambda error: deferred.errback(Failure(error)))
    return deferred


def call_deferred(promise: Promise) -> defer.Deferred[Any]:
    """A Deferred for the result of a call, which cancels the call when it is cancelled."""
    deferred: defer.Deferred[Any] = defer.Deferred(lambda _: promise._cancel())

    def settle(how: Any, outcome: Any) -> None:
        # Cancelled, it has ended already.
        if not deferred.called:
            how(outcome)

    promise._then(
        lambda value: settle(deferred.callback, value),
        lambda error: settle(deferred.errback, Failure(error)),
    )
    return deferred


def eventually(function: Any, *args: Any, **kwargs: Any) -> None:
    """Calls ``function(*args, **kwargs)`` in a turn of its own, after all that wait already. What
    it raises is logged."""
    local_vat().eventually(function, args, kwargs)


def fireEventually(value: Any = None) -> defer.Deferred[Any]:
    """A Deferred that fires with ``value`` in a later turn."""
    deferred: defer.Deferred[Any] = defer.Deferred()
    eventually(deferred.callback, value)
    return deferred


def flushEventualQueue() -> defer.Deferred[None]:
    """A Deferred that fires when no turn waits any more: the turns that turns cause included."""
    vat = local_vat()
    deferred: defer.Deferred[None] = defer.Deferred()

    def look() -> None:
        if vat.busy():
            vat.eventually(look, ())
        else:
            deferred.callback(None)

    vat.eventually(look, ())
    return deferred


def state(reference: Any) -> str:
    """What a reference is now: ``"eventual"`` (a promise of this program), ``"remote"`` (a promise of
    a peer's), ``"near"`` (an object or value here), ``"far"`` (an object elsewhere) or
    ``"broken"``.

    >>> promise, resolver = makePromise()
    >>> state(promise)
    'eventual'
    >>> resolver(1)
    >>> state(promise)
    'near'
    """
    return _LocalVat.state(reference)
