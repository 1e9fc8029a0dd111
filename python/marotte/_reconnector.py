"""Keeping a connection to an object."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Any, Literal

from marotte._core import RemoteReference, _Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from marotte._core import Promise, Resolver, SturdyRef, Tub


class Reconnector:
    """Keeps a connection to an object: see :meth:`marotte.Tub.connectTo`, which makes these.

    It can be iterated over, by one loop at a time: ``async for reference in tub.connectTo(uri)``
    gives the object whenever a connection to it was made, until it is stopped. Leaving the loop does
    not stop it.

    >>> import asyncio, marotte
    >>> async def main():
    ...     with marotte.Tub() as server, marotte.Tub() as client:
    ...         server.listen("noise://127.0.0.1:0")
    ...         reconnector = client.connectTo(server.registerReference(lambda: "here"))
    ...         async for where in reconnector:
    ...             print(reconnector.state, await where())
    ...             reconnector.stopConnecting()
    ...         print(reconnector.state)
    >>> asyncio.run(main())
    connected here
    stopped
    """

    #: Seconds until the first attempt after a failure; of an object it can be changed until then.
    initialDelay: float = 1.0
    #: The longest time between attempts, in seconds.
    maxDelay: float = 120.0

    def __init__(
        self,
        tub: Tub,
        runner: Any,
        uri: str | SturdyRef,
        callback: Callable[..., object] | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._tub = tub
        self._runner = runner
        self._uri = uri
        self._callback = callback
        self._arguments = args, kwargs
        self._state: Literal["connecting", "connected", "waiting", "stopped"] = "connecting"
        self._reference: Any = None
        self._failure: BaseException | None = None
        self._attempts = 0
        self._backoff: _Backoff | None = None
        self._timer: Any = None
        self._due = 0.0
        self._since = 0.0
        # What waits for the end of the connection.
        self._watched: tuple[RemoteReference, int] | None = None
        # The reference that an iteration has not seen yet, and who waits for one.
        self._unseen: Any = None
        self._waiting: list[Resolver] = []
        self._connect()

    @property
    def state(self) -> Literal["connecting", "connected", "waiting", "stopped"]:
        """How it stands. ``"connecting"`` is also asking for the object; ``"waiting"`` is for the
        next attempt."""
        return self._state

    @property
    def reference(self) -> Any:
        """The object, while it is connected; else None."""
        return self._reference

    @property
    def attempts(self) -> int:
        """How often it has tried to connect since it was connected last."""
        return self._attempts

    def getLastFailure(self) -> BaseException | None:
        """Why the last attempt failed, or the last connection was lost; None if neither was so."""
        return self._failure

    def getDelayUntilNextAttempt(self) -> float | None:
        """Seconds until the next attempt; None if none is due."""
        if self._state != "waiting":
            return None
        return max(0.0, self._due - time.monotonic())

    def reset(self) -> None:
        """Tries at once, if it waits; the times between attempts begin anew."""
        self._backoff = None
        if self._state == "waiting":
            self._runner.cancel(self._timer)
            self._connect()

    def stopConnecting(self) -> None:
        """Tries no more. A connection that there is stays. May be called twice."""
        if self._state == "waiting":
            self._runner.cancel(self._timer)
        self._state = "stopped"
        self._timer = self._reference = self._unseen = None
        if self._watched is not None:
            reference, marker = self._watched
            self._watched = None
            reference.dontNotifyOnDisconnect(marker)
        self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        from marotte import makePromise

        while self._unseen is None:
            if self._state == "stopped":
                raise StopAsyncIteration
            promise, resolver = makePromise()
            self._waiting.append(resolver)
            try:
                await promise
            finally:
                # Whoever waits may be cancelled.
                if resolver in self._waiting:
                    self._waiting.remove(resolver)
        reference, self._unseen = self._unseen, None
        return reference

    def __repr__(self) -> str:
        return f"<Reconnector {self._state}>"

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for resolver in waiting:
            resolver(None)

    def _connect(self) -> None:
        self._timer = None
        if self._state == "stopped":
            return
        self._state = "connecting"
        self._attempts += 1
        try:
            promise: Promise = self._tub.getReference(self._uri)
        except RuntimeError:
            # The tub was closed.
            self.stopConnecting()
        else:
            promise._then(self._connected, self._failed)

    def _connected(self, reference: Any) -> None:
        if self._state == "stopped":
            return
        self._state = "connected"
        self._since = time.monotonic()
        self._attempts = 0
        self._reference = self._unseen = reference
        # An object of this very tub's is never lost.
        if isinstance(reference, RemoteReference):
            self._watched = reference, reference.notifyOnDisconnect(self._lost, reference)
        self._wake()
        if self._callback is not None:
            args, kwargs = self._arguments
            self._call(reference, args, kwargs)

    def _call(self, reference: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        from marotte import Promise

        assert self._callback is not None
        try:
            result = self._callback(reference, *args, **kwargs)
        except Exception:
            logging.getLogger("marotte").exception("a function given to connectTo failed")
        else:
            # It may be async; a failure that nobody has looked at is reported.
            Promise(result)

    def _lost(self, reference: RemoteReference) -> None:
        self._watched = None
        if self._state == "stopped":
            return
        self._reference = self._unseen = None
        lasted_ms = int((time.monotonic() - self._since) * 1000)
        # Nothing is sent any more: this only tells why.
        reference.why()._except(self._note)
        self._wait(self._steps().lost(lasted_ms, random.getrandbits(32)))

    def _note(self, failure: BaseException) -> None:
        self._failure = failure

    def _failed(self, failure: BaseException) -> None:
        self._failure = failure
        if self._state == "stopped":
            return
        self._wait(self._steps().failed(random.getrandbits(32)))

    def _steps(self) -> _Backoff:
        if self._backoff is None:
            self._backoff = _Backoff(int(self.initialDelay * 1000), int(self.maxDelay * 1000))
        return self._backoff

    def _wait(self, wait_ms: int) -> None:
        self._state = "waiting"
        seconds = wait_ms / 1000
        self._due = time.monotonic() + seconds
        self._timer = self._runner.call_later(seconds, self._connect)
