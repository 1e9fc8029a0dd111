"""The ladder of callbacks and errbacks, and one Deferred that waits for another."""

import traceback

import pytest
from deferreds import NOTHING, outcome
from marotte import defer
from marotte.defer import Deferred, fail, succeed
from marotte.failure import Failure, NoCurrentExceptionError


def boom(*_args):
    raise ValueError("boom")


@pytest.fixture
def debugging():
    defer.setDebugging(True)
    yield
    defer.setDebugging(False)


def test_callbacks_run_in_order_each_with_what_the_last_returned():
    d = Deferred()
    seen = []
    for n in range(3):
        assert d.addCallback(lambda result, n=n: seen.append((n, result)) or n) is d
    d.callback("first")
    assert seen == [(0, "first"), (1, 0), (2, 1)]
    assert d.result == 2


def test_callbacks_run_at_once_when_the_result_is_there():
    d = succeed(3)
    seen = []
    d.addCallback(seen.append)
    assert seen == [3]


def test_an_exception_goes_to_the_next_errback():
    d = Deferred()
    seen = []
    d.addCallback(boom)
    d.addCallback(seen.append)
    d.addErrback(lambda failure: seen.append(failure.check(ValueError)) or "handled")
    d.addErrback(seen.append)
    d.addCallback(seen.append)
    d.callback(None)
    assert seen == [ValueError, "handled"]


def test_a_returned_failure_is_one():
    d = succeed(None).addCallback(lambda _: Failure(KeyError("key")))
    assert outcome(d) == (KeyError, "'key'")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, Exception])
def test_whatever_is_raised_becomes_a_failure(error):
    def leave(_):
        raise error

    assert outcome(succeed(1).addCallback(leave)) == (error, "")


def test_an_errback_may_fail_in_its_turn():
    d = fail(KeyError("first")).addErrback(boom)
    assert outcome(d) == (ValueError, "boom")


def test_an_errback_that_returns_the_failure_has_not_handled_it():
    failure = Failure(ValueError("no"))
    d = fail(failure).addErrback(lambda f: f)
    assert d.result is failure
    assert outcome(d) == (ValueError, "no")


def test_either_side_of_a_pair_is_called():
    for start, expected in [
        (succeed(1), ("callback", 1)),
        (fail(KeyError()), ("errback", KeyError)),
    ]:
        start.addCallbacks(lambda n: ("callback", n), lambda failure: ("errback", failure.type))
        assert outcome(start) == expected


def test_the_errback_of_a_pair_is_not_for_its_callback():
    d = succeed(1).addCallbacks(boom, lambda _: "handled")
    assert outcome(d) == (ValueError, "boom")


def test_extra_arguments():
    def record(*args, **kwargs):
        return args, kwargs

    assert outcome(succeed(1).addCallback(record, 2, three=3)) == ((1, 2), {"three": 3})
    assert outcome(succeed(1).addBoth(record, 2, three=3)) == ((1, 2), {"three": 3})
    failure = Failure(ValueError())
    assert outcome(fail(failure).addErrback(record, 2)) == ((failure, 2), {})
    assert outcome(fail(failure).addBoth(record, three=3)) == ((failure,), {"three": 3})


def test_extra_arguments_of_pairs():
    def record(*args, **kwargs):
        return args, kwargs

    def pair(d):
        return outcome(d.addCallbacks(record, record, (2,), {"three": 3}, [4], {"five": 5}))

    failure = Failure(ValueError())
    assert pair(succeed(1)) == ((1, 2), {"three": 3})
    assert pair(fail(failure)) == ((failure, 4), {"five": 5})
    named = succeed(1).addCallbacks(callback=record, callbackArgs=(2,), errback=None)
    assert outcome(named) == ((1, 2), {})


def test_none_stands_for_no_arguments():
    assert outcome(succeed(1).addCallbacks(str, str, None, None, None, None)) == "1"
    assert outcome(fail(KeyError()).addCallbacks(str, repr, None, None, None, None)) != NOTHING


def test_callbacks_may_be_named():
    assert outcome(succeed(1).addCallback(callback=str)) == "1"
    assert outcome(fail(KeyError()).addErrback(errback=lambda _: 2)) == 2
    assert outcome(succeed(1).addBoth(callback=str)) == "1"


def test_what_cannot_be_called_is_a_failure_when_its_turn_comes():
    d = Deferred().addCallback("text")
    d.callback(1)
    assert outcome(d)[0] is TypeError


def test_a_callback_added_by_a_callback_runs_after_the_others():
    d = Deferred()
    seen = []

    def first(_):
        d.addCallback(lambda _: seen.append("added"))
        seen.append("first")

    d.addCallback(first).addCallback(lambda _: seen.append("second"))
    d.callback(None)
    assert seen == ["first", "second", "added"]


def test_a_failure_fired_as_a_result_is_a_failure():
    d = Deferred()
    d.callback(Failure(ValueError("no")))
    assert outcome(d) == (ValueError, "no")


def test_errback_takes_an_exception_or_a_failure_or_what_is_handled_now():
    for error in (ValueError("no"), Failure(ValueError("no"))):
        assert outcome(fail(error)) == (ValueError, "no")
    d = Deferred()
    try:
        boom()
    except ValueError:
        d.errback()
    assert outcome(d) == (ValueError, "boom")
    with pytest.raises(NoCurrentExceptionError):
        Deferred().errback()


# Firing twice.


def test_it_fires_once():
    d = Deferred()
    d.callback(1)
    for again in (d.callback, d.errback):
        with pytest.raises(defer.AlreadyCalledError) as caught:
            again(ValueError())
        assert caught.value.args == ()
    assert d.result == 1


def test_in_debug_mode_the_error_says_who_made_it_and_who_fired_it(debugging):
    def make():
        return Deferred()

    def fire(d):
        d.callback(1)

    d = make()
    fire(d)
    with pytest.raises(defer.AlreadyCalledError) as caught:
        d.callback(2)
    (text,) = caught.value.args
    created, _, invoked = text.partition(" I: First Invoker was:\n")
    assert created.startswith("\n C: Deferred was created:\n C:")
    assert "in make\n C:    return Deferred()" in created
    assert "in fire\n I:    d.callback(1)" in invoked
    assert "in make" not in invoked


def test_debug_mode_may_begin_and_end_at_any_time():
    d = Deferred()
    d.debug = True
    d.callback(1)
    with pytest.raises(defer.AlreadyCalledError, match="First Invoker"):
        d.callback(2)
    defer.setDebugging(True)
    assert defer.getDebugging() and Deferred.debug and Deferred().debug
    e = Deferred()
    defer.setDebugging(False)
    assert not defer.getDebugging() and not Deferred.debug and not e.debug
    e.callback(1)
    with pytest.raises(defer.AlreadyCalledError) as caught:
        e.callback(2)
    assert caught.value.args == ()


# What can be seen and set.


def test_state_can_be_read():
    d = Deferred()
    assert (d.called, d.paused, d.debug, hasattr(d, "result")) == (False, 0, False, False)
    d.callback(None)
    assert (d.called, d.paused, d.result) == (True, 0, None)


def test_state_can_be_written():
    d = Deferred()
    d.result = 3
    d.called = True
    assert outcome(d) == 3
    d.result = 4
    assert outcome(d) == 4
    d.paused = 1
    assert outcome(d) == NOTHING
    d.unpause()
    assert d.paused == 0


def test_what_it_looks_like():
    d = Deferred()
    address = f"<Deferred at {id(d):#x}"
    assert str(d) == repr(d) == f"{address}>"
    d.callback([1])
    assert str(d) == repr(d) == f"{address} current result: [1]>"
    inner = Deferred()
    d.addCallback(lambda _: inner)
    assert str(d) == f"{address} waiting on Deferred at {id(inner):#x}>"
    inner.callback(2)
    assert str(d) == f"{address} current result: 2>"


# One that waits for another.


def test_a_result_that_is_there_is_taken_from_the_inner():
    inner = succeed("inner")
    d = succeed(1).addCallback(lambda _: inner)
    assert d.result == "inner"
    assert inner.result is None


def test_it_waits_for_a_result_that_is_not_there():
    inner = Deferred()
    d = succeed(1).addCallback(lambda _: inner).addCallback(lambda text: text + "!")
    assert (d.called, d.paused, d.result) == (True, 1, inner)
    inner.callback("inner")
    assert (d.called, d.paused, d.result) == (True, 0, "inner!")
    assert inner.result is None


def test_it_waits_for_what_is_paused():
    inner = succeed("inner")
    inner.pause()
    d = succeed(1).addCallback(lambda _: inner)
    assert d.paused == 1
    inner.unpause()
    assert d.result == "inner"


def test_the_inner_ones_failure_is_the_outer_ones():
    inner = Deferred()
    d = succeed(1).addCallback(lambda _: inner)
    inner.errback(ValueError("inner"))
    assert outcome(inner) is None
    assert outcome(d) == (ValueError, "inner")


def test_rungs_of_the_inner_run_before_and_after_it_gives_its_result():
    inner, seen = Deferred(), []
    inner.addCallback(lambda result: seen.append(("before", result)) or "changed")
    d = succeed(1).addCallback(lambda _: inner)
    inner.addCallback(lambda result: seen.append(("after", result)))
    d.addCallback(lambda result: seen.append(("outer", result)))
    inner.callback("inner")
    assert seen == [("before", "inner"), ("outer", "changed"), ("after", None)]


def test_a_chain_through_one_that_is_paused_waits():
    first, second, third = Deferred(), succeed(None), succeed(None)
    second.addCallback(lambda _: first)
    third.addCallback(lambda _: second)
    second.pause()
    first.callback("result")
    assert third.paused == 1
    second.unpause()
    assert third.result == "result"


def test_pausing():
    d, seen = Deferred(), []
    d.addCallback(seen.append)
    d.pause()
    d.pause()
    d.callback(1)
    d.unpause()
    assert (d.called, d.paused, seen) == (True, 1, [])
    d.unpause()
    assert seen == [1]
    d.unpause()
    assert (d.paused, outcome(d)) == (-1, NOTHING)


def test_one_that_waits_for_itself_gets_a_warning():
    d = Deferred()

    def itself(_):
        return d

    d.addCallback(itself)
    with pytest.warns(
        DeprecationWarning, match="returned the Deferred it was attached to"
    ) as caught:
        d.callback(None)
    assert caught[0].filename == __file__
    assert d.result is d and d.paused


def test_a_warning_that_is_an_error_is_the_failure():
    d = succeed(None)
    d.addCallback(lambda _: d)
    assert outcome(d)[0] is DeprecationWarning


def test_chain_deferred():
    one, other = Deferred(), Deferred()
    assert one.chainDeferred(other) is one
    assert "waiting on" in repr(other)
    one.callback(1)
    assert (one.result, other.result) == (None, 1)
    one, other = Deferred(), Deferred()
    one.chainDeferred(other)
    one.errback(ValueError("no"))
    assert outcome(other) == (ValueError, "no")


def test_the_stack_does_not_grow_with_a_chain():
    def depth(length):
        depths = []
        first = d = Deferred()
        for _ in range(length):
            d = succeed(None).addCallback(lambda _, inner=d: inner)
            d.addCallback(lambda result: depths.append(len(traceback.extract_stack())) or result)
        first.callback("result")
        return depths

    assert len(set(depth(50))) == 1


# The functions that make them.


def test_fired_from_the_start():
    assert outcome(succeed(3)) == 3
    assert outcome(succeed(Failure(ValueError("no")))) == (ValueError, "no")
    assert outcome(fail(ValueError("no"))) == (ValueError, "no")


def test_execute():
    assert outcome(defer.execute(divmod, 7, 2)) == (3, 1)
    assert outcome(defer.execute(int, "12", base=3)) == 5
    assert outcome(defer.execute(boom)) == (ValueError, "boom")
    inner = succeed(1)
    d = defer.execute(lambda: inner)
    assert d is not inner and d.result is inner


def test_maybe_deferred():
    async def coroutine(n):
        return n + 1

    d = succeed(1)
    assert defer.maybeDeferred(lambda: d) is d
    assert outcome(defer.maybeDeferred(divmod, 7, 2)) == (3, 1)
    assert outcome(defer.maybeDeferred(int, "12", base=3)) == 5
    assert outcome(defer.maybeDeferred(coroutine, 1)) == 2
    assert outcome(defer.maybeDeferred(boom)) == (ValueError, "boom")
    assert outcome(defer.maybeDeferred(lambda: Failure(KeyError("key")))) == (KeyError, "'key'")


def test_odds_and_ends():
    assert defer.passthru(3) == 3
    assert (defer.SUCCESS, defer.FAILURE) == (True, False)
    d = Deferred()
    with pytest.warns(DeprecationWarning, match="timeout was deprecated"):
        defer.timeout(d)
    assert outcome(d) == (defer.TimeoutError, "Callback timed out")
