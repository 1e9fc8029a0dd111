"""What the tests of `marotte.defer` share."""

import gc
import weakref

from marotte.failure import Failure

NOTHING = "nothing yet"


def outcome(deferred):
    """The result of a Deferred, which has then none: a value, or what failed as (type, text)."""
    results = []
    deferred.addBoth(results.append)
    if not results:
        return NOTHING
    (result,) = results
    if isinstance(result, Failure):
        return type(result.value), str(result.value)
    return result


class Canary:
    """Something whose end can be observed."""


def survives(make):
    """Whether what ``make(canary)`` leaves behind, and holds the canary, is there still: at once,
    and after a collection."""
    gc.collect()
    gc.disable()
    try:
        canary = Canary()
        there = weakref.ref(canary)
        make(canary)
        del canary
        at_once = there() is not None
        gc.collect()
        return at_once, there() is not None
    finally:
        gc.enable()


class FakeClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self):
        self.now = 0
        self.calls = []

    def callLater(self, delay, function, *args, **kwargs):
        call = FakeCall(self.now + delay, lambda: function(*args, **kwargs))
        self.calls.append(call)
        return call

    def advance(self, seconds):
        self.now += seconds
        for call in list(self.calls):
            if call.active() and call.when <= self.now:
                call.cancel()
                call.function()


class FakeCall:
    def __init__(self, when, function):
        self.when = when
        self.function = function
        self.pending = True

    def active(self):
        return self.pending

    def cancel(self):
        assert self.pending
        self.pending = False
