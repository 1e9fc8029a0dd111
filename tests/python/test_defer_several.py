"""Several Deferreds: lists of them, races, and what they share."""

import pytest
from deferreds import NOTHING, outcome
from marotte import defer
from marotte.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    fail,
    gatherResults,
    race,
    succeed,
)
from marotte.failure import Failure


def three():
    return [Deferred() for _ in range(3)]


def test_a_list_has_all_results_in_order():
    a, b, c = ds = three()
    every = DeferredList(iter(ds))
    failure = Failure(ValueError("b"))
    c.callback("c")
    a.callback("a")
    assert every.resultList == [(True, "a"), None, (True, "c")]
    assert (every.finishedCount, every.called) == (2, False)
    b.errback(failure)
    assert every.result == [(True, "a"), (False, failure), (True, "c")]
    assert every.result is every.resultList
    # The results stay where they are.
    assert [outcome(d) for d in ds] == ["a", (ValueError, "b"), "c"]


def test_a_list_of_nothing():
    assert outcome(DeferredList([])) == []
    assert outcome(DeferredList([], fireOnOneErrback=True)) == []
    assert outcome(DeferredList([], fireOnOneCallback=True)) == NOTHING
    assert outcome(gatherResults([])) == []
    assert outcome(race([])) == NOTHING


def test_a_list_of_what_is_there_already():
    assert outcome(DeferredList([succeed(1), succeed(2)])) == [(True, 1), (True, 2)]
    assert outcome(DeferredList([succeed(1), succeed(2)], fireOnOneCallback=True)) == (1, 0)
    assert outcome(gatherResults([succeed(1), succeed(2)])) == [1, 2]
    assert outcome(race([succeed(1), succeed(2)])) == (0, 1)


def test_the_first_value_may_be_enough():
    a, b, c = ds = three()
    first = DeferredList(ds, fireOnOneCallback=True, consumeErrors=True)
    c.errback(ValueError())
    assert not first.called
    b.callback("b")
    assert outcome(first) == ("b", 1)
    a.callback("a")
    assert outcome(first) is None


def test_the_first_failure_may_be_enough():
    a, b, c = ds = three()
    every = DeferredList(ds, fireOnOneErrback=True, consumeErrors=True)
    a.callback("a")
    failure = Failure(ValueError("c"))
    c.errback(failure)
    error = every.result.value
    assert type(error) is defer.FirstError
    assert (error.subFailure, error.index) == (failure, 2)
    b.errback(ValueError("too late"))
    assert outcome(every)[0] is defer.FirstError


def test_failures_end_in_a_list_that_consumes_them():
    for consume in (True, False):
        d = fail(ValueError("no"))
        outcome(DeferredList([d], consumeErrors=consume))
        assert outcome(d) == (None if consume else (ValueError, "no"))


def test_the_flags_can_be_read():
    every = DeferredList([], False, True, consumeErrors=True)
    flags = (every.fireOnOneCallback, every.fireOnOneErrback, every.consumeErrors)
    assert flags == (False, True, True)


def test_cancelling_a_list_cancels_all(log):
    cancelled = []

    def broken(_):
        raise ValueError("cannot stop")

    ds = [Deferred(cancelled.append), Deferred(broken), Deferred(cancelled.append)]
    every = DeferredList(ds, consumeErrors=True)
    every.cancel()
    assert cancelled == [ds[0], ds[2]]
    assert not every.called
    ds[1].callback("after all")
    assert [ok for ok, _ in outcome(every)] == [False, True, False]
    every.cancel()


def test_gathered_results():
    a, b, c = ds = three()
    every = gatherResults(ds)
    for d, result in ((c, 3), (b, 2), (a, 1)):
        assert outcome(every) == NOTHING
        d.callback(result)
    every = gatherResults([d := Deferred(), Deferred()], consumeErrors=True)
    d.errback(ValueError("no"))
    assert every.result.value.index == 0
    assert outcome(every)[0] is defer.FirstError
    assert outcome(d) is None


def test_values_are_gathered_in_order():
    a, b = Deferred(), Deferred()
    every = gatherResults([a, b])
    b.callback("b")
    a.callback("a")
    assert outcome(every) == ["a", "b"]


def test_cancelling_gathered_results():
    ds = three()
    every = gatherResults(ds, consumeErrors=True)
    every.cancel()
    assert every.result.value.subFailure.check(CancelledError)
    assert outcome(every)[0] is defer.FirstError
    assert all(d.called for d in ds)


def test_the_first_value_wins_a_race():
    a, b, c = ds = three()
    first = race(ds)
    a.errback(ValueError("a"))
    c.callback("c")
    assert outcome(first) == (2, "c")
    assert b.called and [outcome(d) for d in ds] == [None, None, None]


def test_a_race_that_all_lose():
    a, b, c = three()
    first = race([a, b, c])
    for d, text in ((c, "c"), (a, "a"), (b, "b")):
        d.errback(ValueError(text))
    failures = first.result.value.failures
    assert [failure.getErrorMessage() for failure in failures] == ["a", "b", "c"]
    assert outcome(first)[0] is defer.FailureGroup


def test_cancelling_a_race():
    ds = three()
    first = race(ds)
    first.cancel()
    assert all(d.called for d in ds)
    assert outcome(first)[0] is defer.FailureGroup


# Locks and semaphores.


@pytest.fixture(params=["lock", "semaphore"])
def shared(request):
    """Something that one at a time has."""
    return DeferredLock() if request.param == "lock" else DeferredSemaphore(1)


def test_it_is_had_in_turn(shared):
    first, second, third = (shared.acquire() for _ in range(3))
    assert first.result is shared
    assert shared.waiting == [second, third]
    shared.release()
    assert second.result is shared and not third.called
    shared.release()
    shared.release()
    assert shared.waiting == [] and third.called


def test_who_is_cancelled_waits_no_longer(shared):
    shared.acquire()
    second, third = shared.acquire(), shared.acquire()
    second.cancel()
    assert outcome(second) == (CancelledError, "")
    shared.release()
    assert third.result is shared


def test_it_is_not_released_more_often_than_taken(shared):
    for _ in range(2):
        with pytest.raises(AssertionError):
            shared.release()
        shared.acquire()
        shared.release()


def test_a_function_runs_while_it_is_held(shared):
    assert outcome(shared.run(divmod, 7, 2)) == (3, 1)
    assert outcome(shared.run(int, "12", base=3)) == 5
    inner = Deferred()
    first = shared.run(lambda: inner)
    second = shared.run(lambda f, self: (f, self), f=1, self=2)
    assert not first.called or first.paused
    assert outcome(second) == NOTHING
    inner.errback(ValueError("no"))
    assert outcome(first) == (ValueError, "no")
    assert shared.waiting == []
    third = shared.run(lambda f, self: (f, self), f=1, self=2)
    assert outcome(third) == (1, 2)


def test_a_function_that_raises_releases_it(shared):
    async def coroutine():
        raise KeyError("key")

    assert outcome(shared.run(int, "x"))[0] is ValueError
    assert outcome(shared.run(coroutine)) == (KeyError, "'key'")
    assert outcome(shared.run(int, "1")) == 1


def test_async_with(shared):
    d = Deferred()

    async def use(awaited):
        async with shared as held:
            assert held is shared
            return await awaited

    first, second = defer.ensureDeferred(use(d)), defer.ensureDeferred(use(succeed(2)))
    assert len(shared.waiting) == 1
    d.errback(ValueError("no"))
    assert outcome(first) == (ValueError, "no")
    assert shared.waiting == []
    assert outcome(second) == 2
    assert outcome(shared.run(int, "1")) == 1


def test_a_lock_says_whether_it_is_locked():
    lock = DeferredLock()
    assert not lock.locked
    lock.acquire()
    assert lock.locked
    lock.release()
    assert not lock.locked


def test_a_semaphore_has_so_many_tokens():
    semaphore = DeferredSemaphore(2)
    ds = [semaphore.acquire() for _ in range(3)]
    assert [d.called for d in ds] == [True, True, False]
    assert (semaphore.tokens, semaphore.limit) == (0, 2)
    semaphore.release()
    semaphore.release()
    assert (semaphore.tokens, ds[2].called) == (1, True)
    with pytest.raises(ValueError, match="tokens >= 1"):
        DeferredSemaphore(0)


# Queues.


def test_a_queue_keeps_and_hands_out_in_order():
    queue = DeferredQueue()
    queue.put(1)
    queue.put(2)
    assert queue.pending == [1, 2]
    assert [outcome(queue.get()) for _ in range(2)] == [1, 2]
    first, second = queue.get(), queue.get()
    assert queue.waiting == [first, second]
    queue.put(3)
    assert (outcome(first), outcome(second)) == (3, NOTHING)


def test_a_queue_has_limits():
    queue = DeferredQueue(size=1, backlog=1)
    assert (queue.size, queue.backlog) == (1, 1)
    queue.put(1)
    with pytest.raises(defer.QueueOverflow):
        queue.put(2)
    assert outcome(queue.get()) == 1
    waiting = queue.get()
    with pytest.raises(defer.QueueUnderflow):
        queue.get()
    waiting.cancel()
    assert outcome(waiting) == (CancelledError, "")
    queue.put(3)
    assert outcome(queue.get()) == 3


def test_a_queue_of_no_size():
    queue = DeferredQueue(size=0)
    with pytest.raises(defer.QueueOverflow):
        queue.put(1)
    waiting = queue.get()
    queue.put(1)
    assert outcome(waiting) == 1
