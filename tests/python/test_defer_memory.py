"""What Deferreds hold, when it goes, and how many there may be."""

import asyncio
import gc
import weakref

import pytest
from deferreds import FakeClock, outcome, survives
from marotte import defer
from marotte.defer import Deferred, DeferredList, ensureDeferred, inlineCallbacks, succeed

GONE_AT_ONCE = (False, False)
MANY = 1_000_000

cases = {}


def case(function):
    cases[function.__name__.replace("_", " ")] = function
    return function


# Circles, each through a canary. All of them are to be collected.


@case
def a_callback_that_holds_its_deferred(canary):
    d = Deferred()
    d.addCallback(lambda _: (d, canary))


@case
def arguments_of_a_callback(canary):
    d = Deferred()
    d.addCallbacks(print, print, (d, canary), {"d": d}, (d,), {"d": d})
    d.addBoth(print, d, d=d)


@case
def a_canceller(canary):
    d = Deferred(lambda _: (d, canary))


@case
def an_attribute(canary):
    d = Deferred()
    d.itself, d.canary = d, canary


@case
def a_result(canary):
    result = [canary]
    result.append(succeed(result))


@case
def a_failure(canary):
    d, error = Deferred(), ValueError()
    error.both = d, canary
    d.errback(error)
    d.addErrback(lambda failure: failure.value)


@case
def a_result_that_is_held_back(canary):
    d = Deferred()
    d.pause()
    d.callback((d, canary))


@case
def one_that_waits_for_another(canary):
    inner, outer = Deferred(), succeed(None)
    outer.addCallback(lambda _: inner)
    outer.canary = canary


@case
def two_that_wait_for_each_other(canary):
    one, other = Deferred(), Deferred()
    one.addCallback(lambda _: other)
    other.addCallback(lambda _: one)
    one.callback(1)
    other.callback(2)
    one.canary = canary


@case
def a_chained_one(canary):
    one, other = Deferred(), Deferred()
    one.chainDeferred(other)
    one.canary = canary


@case
def a_coroutine(canary):
    async def wait(d):
        await d
        return canary

    d = Deferred()
    d.whole = ensureDeferred(wait(d))


@case
def a_generator(canary):
    @inlineCallbacks
    def wait(d):
        yield d
        return canary

    d = Deferred()
    d.whole = wait(d)


@case
def a_generator_that_was_cancelled_and_goes_on(canary):
    @inlineCallbacks
    def wait(first, second):
        try:
            yield first
        except defer.CancelledError:
            yield second
        return canary

    second = Deferred()
    second.whole = wait(Deferred(), second)
    second.whole.cancel()


@case
def a_list(canary):
    ds = [Deferred(), Deferred()]
    ds[0].callback((DeferredList(ds), canary))


@case
def gathered_results(canary):
    d = Deferred()
    d.whole = defer.gatherResults([d, Deferred()])
    d.whole.addCallback(lambda _: canary)


@case
def a_race(canary):
    d, error = Deferred(), ValueError()
    error.both = defer.race([d, Deferred()]), canary
    d.errback(error)


@case
def a_lock(canary):
    lock = defer.DeferredLock()
    lock.acquire()
    lock.acquire().addCallback(lambda lock: canary)
    lock.run(lambda: (lock, canary))


@case
def a_lock_that_is_held(canary):
    lock, inner = defer.DeferredLock(), Deferred()
    inner.both = lock.run(lambda: inner), canary


@case
def a_semaphore(canary):
    class Semaphore(defer.DeferredSemaphore):
        """With attributes of its own."""

    semaphore = Semaphore(1)
    semaphore.itself = semaphore.acquire()
    semaphore.acquire().canary = canary


@case
def a_queue(canary):
    queue = defer.DeferredQueue()
    queue.put((queue, canary))


@case
def readers_of_a_queue(canary):
    queue = defer.DeferredQueue()
    queue.get().both = queue, canary


@case
def a_timeout(canary):
    clock, d = FakeClock(), Deferred()
    d.addTimeout(3, clock, lambda *_: canary)
    d.clock = clock


@case
def a_clock_that_is_dropped(canary):
    d = Deferred()
    d.addTimeout(3, FakeClock())
    d.canary = canary


@case
def a_future(canary):
    loop = asyncio.new_event_loop()
    future = Deferred().asFuture(loop)
    d = Deferred.fromFuture(future)
    d.both = future, canary
    loop.close()


@case
def subclasses(canary):
    class Mine(Deferred):
        pass

    d = Mine()
    d.all = DeferredList([d]), defer.race([d]), d.__await__(), canary


@pytest.mark.parametrize("make", cases.values(), ids=cases)
def test_circles_are_collected(make):
    assert survives(make)[1] is False


# What is done with is let go at once, circle or not.


def test_the_canceller_goes_when_it_has_fired():
    def fire(canary):
        d = Deferred(lambda _: (d, canary))
        d.callback(None)

    def cancel(canary):
        def canceller(_):
            return d, canary

        d = Deferred(canceller)
        d.cancel()
        d.addErrback(lambda _: None)

    assert survives(fire) == GONE_AT_ONCE
    assert survives(cancel) == GONE_AT_ONCE


def test_callbacks_go_when_they_have_run():
    def run(canary):
        d = Deferred()
        d.addCallbacks(lambda _: (d, canary), lambda _: (d, canary))
        d.addCallback(lambda _: None)
        d.callback(None)

    assert survives(run) == GONE_AT_ONCE


def test_results_go_when_they_have_been_handed_on():
    def hand_on(canary):
        inner, outer = Deferred(), succeed(None)
        outer.addCallback(lambda _: inner).addCallback(lambda _: None)
        inner.outer = weakref.proxy(outer)
        inner.callback(canary)

    assert survives(hand_on) == GONE_AT_ONCE


@pytest.mark.parametrize("later", [False, True])
def test_a_coroutine_that_has_ended_is_gone(later):
    def coroutine(canary):
        async def function(d):
            await d
            return canary and None

        d = Deferred() if later else succeed(None)
        result = ensureDeferred(function(d))
        if later:
            d.callback(None)
        assert outcome(result) is None

    def generator(canary):
        @inlineCallbacks
        def function(d):
            yield d
            return canary and None

        d = Deferred() if later else succeed(None)
        result = function(d)
        if later:
            d.callback(None)
        assert outcome(result) is None

    assert survives(coroutine) == GONE_AT_ONCE
    assert survives(generator) == GONE_AT_ONCE


def test_a_timeout_that_was_not_needed_is_gone():
    clock = FakeClock()

    def use(canary):
        d = Deferred().addTimeout(3, clock)
        d.canary = canary
        d.callback(None)
        clock.calls.clear()

    assert survives(use) == GONE_AT_ONCE


# Long chains.


def chain(length):
    """As many Deferreds, each of which waits for the one before; the first and the last of them."""
    first = last = Deferred()
    for _ in range(length):
        last = succeed(None).addCallback(lambda _, inner=last: inner)
    return first, last


@pytest.fixture
def no_automatic_collections():
    """They would look at all of a growing chain, again and again."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_automatic_collections")
def test_a_long_chain_fires_and_is_dropped():
    first, last = chain(MANY)
    first.callback("result")
    assert outcome(last) == "result"
    gone = weakref.ref(first)
    del first, last
    assert gone() is None


@pytest.mark.usefixtures("no_automatic_collections")
def test_a_long_chain_that_never_fired_is_collected():
    first, last = chain(MANY)
    gone = weakref.ref(first)
    del first, last
    gc.collect()
    assert gone() is None


@pytest.mark.usefixtures("no_automatic_collections")
@pytest.mark.parametrize(
    "wrap",
    [
        succeed,
        lambda inner: Deferred().addCallback(print, inner),
        lambda inner: Deferred(lambda _: inner),
        lambda inner: DeferredList([inner]),
    ],
    ids=["results", "arguments", "cancellers", "lists"],
)
def test_deeply_nested_ones_are_dropped(wrap):
    d = innermost = succeed(None)
    for _ in range(100_000):
        d = wrap(d)
    gone = weakref.ref(innermost)
    del d, innermost
    gc.collect()
    assert gone() is None


def test_many_callbacks_on_one():
    d = Deferred()
    for _ in range(100_000):
        d.addCallback(lambda n: n + 1)
    d.callback(0)
    assert outcome(d) == 100_000


def test_one_that_waits_for_itself_can_be_cancelled():
    one, other = Deferred(), Deferred()
    one.addCallback(lambda _: other)
    other.addCallback(lambda _: one)
    one.callback(1)
    other.callback(2)
    try:
        one.cancel()
    except RecursionError:
        pass
    assert one.paused and other.paused
