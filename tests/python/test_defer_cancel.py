"""Cancelling, and timeouts."""

import pytest
from deferreds import NOTHING, FakeClock, outcome
from marotte import defer
from marotte.defer import CancelledError, Deferred, fail, succeed

CANCELLED = (CancelledError, "")


def test_without_a_canceller_it_fails():
    d = Deferred()
    d.cancel()
    assert d.called
    assert outcome(d) == CANCELLED


def test_one_late_result_is_swallowed():
    for late in (lambda d: d.callback(1), lambda d: d.errback(ValueError())):
        d = Deferred()
        d.cancel()
        d.cancel()
        late(d)
        with pytest.raises(defer.AlreadyCalledError):
            late(d)
        assert outcome(d) == CANCELLED


def test_the_canceller_is_asked():
    asked = []
    d = Deferred(asked.append)
    d.cancel()
    assert asked == [d]
    with pytest.raises(defer.AlreadyCalledError):
        d.callback("late")
    assert outcome(d) == CANCELLED


def test_the_canceller_may_fire_it():
    d = Deferred(lambda d: d.callback("stopped"))
    d.cancel()
    assert outcome(d) == "stopped"
    d = Deferred(lambda d: d.errback(ValueError("stopped")))
    d.cancel()
    assert outcome(d) == (ValueError, "stopped")


def test_the_canceller_is_not_asked_once_there_is_a_result():
    asked = []
    d = Deferred(asked.append)
    d.callback(1)
    d.cancel()
    assert asked == [] and outcome(d) == 1


def test_a_canceller_that_raises_leaves_it_as_it_was():
    asked = []

    def canceller(_):
        asked.append(1)
        raise ValueError("cannot stop")

    d = Deferred(canceller)
    for _ in range(2):
        with pytest.raises(ValueError, match="cannot stop"):
            d.cancel()
    assert len(asked) == 2 and not d.called
    d.callback("result")
    assert outcome(d) == "result"


def test_what_is_fired_from_the_start_is_not_cancelled():
    for d in (succeed(1), fail(ValueError("no"))):
        before = d.result
        d.cancel()
        assert d.result is before
        outcome(d)


def test_a_paused_one_is_cancelled_and_tells_later():
    d = Deferred()
    d.pause()
    d.cancel()
    assert d.called
    assert outcome(d) == NOTHING
    d.unpause()
    assert outcome(d) is None


def test_a_canceller_may_hold_it_until_the_work_has_stopped():
    def canceller(d):
        d.pause()
        d.errback(CancelledError())

    d = Deferred(canceller)
    d.cancel()
    results = []
    d.addBoth(results.append)
    assert d.called and not results
    d.unpause()
    assert results[0].check(CancelledError)


def test_cancelling_one_that_waits_cancels_what_it_waits_for():
    asked = []
    innermost = Deferred(asked.append)
    inner = succeed(None).addCallback(lambda _: innermost)
    d = succeed(None).addCallback(lambda _: inner)
    d.cancel()
    assert asked == [innermost]
    assert outcome(d) == CANCELLED


def test_a_callback_may_cancel_its_own():
    d = Deferred()
    d.addCallback(lambda _: d.cancel())
    d.callback(None)
    assert outcome(d) is None


def test_an_errback_goes_on_after_a_cancellation():
    d = Deferred().addErrback(lambda failure: failure.trap(CancelledError) and "calm")
    d.cancel()
    assert outcome(d) == "calm"


# Timeouts.


def test_a_timeout_cancels_it():
    clock = FakeClock()
    asked = []
    d = Deferred(asked.append).addTimeout(3, clock)
    clock.advance(2)
    assert asked == []
    clock.advance(1)
    assert asked == [d]
    failure = d.result
    assert failure.value.args == (3, "Deferred")
    assert outcome(d)[0] is defer.TimeoutError


def test_a_result_in_time_stops_the_clock():
    clock = FakeClock()
    d = Deferred().addTimeout(3, clock)
    d.callback("in time")
    assert not clock.calls[0].active()
    clock.advance(3)
    assert outcome(d) == "in time"


def test_cancelling_it_is_no_timeout():
    clock = FakeClock()
    d = Deferred().addTimeout(3, clock)
    d.cancel()
    assert outcome(d) == CANCELLED
    assert not clock.calls[0].active()


def test_a_canceller_has_the_last_word_on_a_timeout():
    clock = FakeClock()
    d = Deferred(lambda d: d.callback("partial")).addTimeout(3, clock)
    e = Deferred(lambda d: d.errback(ValueError("stopped"))).addTimeout(3, clock)
    clock.advance(3)
    assert outcome(d) == "partial"
    assert outcome(e) == (ValueError, "stopped")


def test_what_a_timeout_means_can_be_said():
    clock = FakeClock()

    def late(result, seconds):
        return result.type, seconds

    d = Deferred().addTimeout(3, clock, late)
    e = Deferred().addTimeout(3, clock, onTimeoutCancel=late)
    clock.advance(3)
    assert outcome(d) == outcome(e) == (CancelledError, 3)


def test_a_timeout_is_for_the_rungs_before_it():
    clock = FakeClock()
    early, late = Deferred(), Deferred()
    d = succeed(None).addCallback(lambda _: early).addTimeout(3, clock)
    d.addCallback(lambda _: late)
    early.callback(None)
    clock.advance(3)
    assert outcome(d) == NOTHING
    late.callback("much later")
    assert outcome(d) is None
    assert clock.calls[0].pending is False


def test_the_shorter_of_two_timeouts_wins():
    clock = FakeClock()
    d = Deferred().addTimeout(5, clock).addTimeout(3, clock)
    clock.advance(10)
    assert outcome(d)[0] is defer.TimeoutError
    assert not any(call.active() for call in clock.calls)
