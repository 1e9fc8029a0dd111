"""Deferreds and objects that are not what they seem."""

from unittest.mock import Mock

import pytest
from marotte import defer


def result_of(deferred):
    got = []
    deferred.addBoth(got.append)
    return got[0]


def test_yielding_a_mock_gives_it_back():
    mock = Mock()

    @defer.inlineCallbacks
    def function():
        return (yield mock) is mock

    assert result_of(function()) is True


def test_generators_that_yield_generators_without_end_fail():
    def forever():
        yield forever()

    failure = result_of(defer.inlineCallbacks(forever)())
    assert failure.check(RecursionError)


def test_deferreds_that_fire_one_another_without_end_fail():
    first = last = defer.Deferred()
    for _ in range(20_000):
        following = defer.Deferred()
        last.chainDeferred(following)
        last.addErrback(lambda failure: failure.trap(RecursionError))
        last = following
    first.callback(1)
    last.addErrback(lambda failure: None)


def test_cancelling_a_circle_that_goes_through_a_race_ends():
    head, inner = defer.Deferred(), defer.Deferred()
    head.addCallback(lambda _: inner)
    racing = defer.race([head])
    inner.addCallback(lambda _: racing)
    head.callback(1)
    inner.callback(1)
    with pytest.raises(RecursionError):
        racing.cancel()


def test_an_attribute_of_one_deferred_hides_nothing_of_a_subclass():
    class Mixin:
        tag = "mixin"

    class Both(defer.Deferred, Mixin):
        pass

    defer.Deferred().tag = "own"
    assert Both().tag == Both.tag == "mixin"
    assert not hasattr(defer.Deferred(), "tag")


def test_special_names_set_on_a_deferred_are_its_own_business():
    deferred = defer.Deferred()
    deferred.__call__ = deferred.__len__ = deferred.__hash__ = 5
    assert not callable(deferred) and bool(defer.Deferred()) and hash(deferred)
    assert deferred.__dict__["__call__"] == 5


@pytest.mark.parametrize("name", ["send", "close", "throw"])
def test_await_calls_no_method_of_a_subclass(name):
    class Channel(defer.Deferred):
        pass

    def fail(self, *args):
        raise AssertionError("it was called")

    setattr(Channel, name, fail)

    async def wait(deferred):
        return await deferred

    channel = Channel()
    waiting = defer.ensureDeferred(wait(channel))
    channel.callback(3)
    assert result_of(waiting) == 3


@pytest.mark.parametrize("late", [False, True])
def test_a_stop_iteration_is_a_failure(late):
    async def wait(deferred):
        return await deferred

    deferred = defer.Deferred()
    if late:
        waiting = defer.ensureDeferred(wait(deferred))
        deferred.errback(StopIteration(4))
    else:
        deferred.errback(StopIteration(4))
        waiting = defer.ensureDeferred(wait(deferred))
    assert result_of(waiting).check(RuntimeError)


def test_what_goes_wrong_beside_the_body_is_its_failure():
    class Bad:
        @property
        def __class__(self):
            raise RuntimeError("asked")

    first = defer.Deferred()

    @defer.inlineCallbacks
    def function():
        yield first
        yield Bad()

    waiting = function()
    first.callback(1)
    assert result_of(waiting).check(RuntimeError)
    assert result_of(first) is None


def test_a_lock_released_while_one_is_about_to_wait_is_had():
    import gc

    lock = defer.DeferredLock()
    lock.acquire()

    class Releases:
        def __del__(self):
            if lock.locked:
                lock.release()

    circle = Releases()
    circle.itself = circle
    del circle
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        acquired = lock.acquire()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert acquired.called
