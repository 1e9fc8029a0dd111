"""Deferreds and asyncio's futures."""

from __future__ import annotations

from typing import Any

from marotte._core import Deferred
from marotte.failure import Failure


def as_future(deferred: Any, loop: Any) -> Any:
    """A future of ``loop`` for the result, which the Deferred then has no more.

    Cancelling the future cancels the Deferred.
    """
    future = loop.create_future()

    def on_value(value):
        if not future.cancelled():
            future.set_result(value)

    def on_failure(failure):
        if not future.cancelled():
            future.set_exception(failure.value)

    def on_done(done):
        if done.cancelled():
            deferred.cancel()

    deferred.addCallbacks(on_value, on_failure)
    future.add_done_callback(on_done)
    return future


def from_future(cls: Any, future: Any) -> Any:
    """A Deferred of the class ``cls`` for the result of ``future``.

    Cancelling the Deferred cancels the future; the result is then what the future makes of that.
    """
    # Who cancels has to wait until the future says how it ended, so the Deferred waits for another.
    late = None
    was_cancelled = object()

    def cancel(deferred):
        future.cancel()
        deferred.callback(was_cancelled)

    def wait_again(result):
        nonlocal late
        if result is not was_cancelled:
            return result
        late = Deferred()
        return late

    def on_done(done):
        try:
            result = done.result()
        except BaseException:  # noqa: BLE001 - a cancelled future raises one
            result = Failure()
        (deferred if late is None else late).callback(result)

    deferred = cls(cancel)
    deferred.addCallback(wait_again)
    future.add_done_callback(on_done)
    return deferred
