"""Generators and coroutines that wait for Deferreds."""

import contextvars
import functools
import gc
import sys
import types

import pytest
from deferreds import NOTHING, outcome
from marotte import defer
from marotte.defer import (
    CancelledError,
    Deferred,
    ensureDeferred,
    fail,
    inlineCallbacks,
    succeed,
)
from marotte.failure import Failure


def awaiting(how):
    """A function that waits for a Deferred and returns what comes, in one of two ways."""
    if how == "generator":

        @inlineCallbacks
        def wait(d):
            result = yield d
            return result

        return wait

    async def coroutine(d):
        return await d

    return lambda d: ensureDeferred(coroutine(d))


@pytest.fixture(params=["generator", "coroutine"])
def wait(request):
    return awaiting(request.param)


def test_it_returns_what_is_there(wait):
    assert outcome(wait(succeed(3))) == 3
    assert outcome(wait(fail(ValueError("no")))) == (ValueError, "no")


def test_it_waits_for_what_is_not_there(wait):
    d = Deferred()
    result = wait(d)
    assert not result.called
    d.callback(3)
    assert outcome(result) == 3
    assert d.result is None


def test_a_failure_is_raised(wait):
    d = Deferred()
    result = wait(d)
    d.errback(ValueError("no"))
    assert outcome(result) == (ValueError, "no")
    assert d.result is None


@pytest.mark.parametrize(
    "value", [None, (), (1, 2), ValueError("a value"), [Deferred], StopIteration]
)
def test_any_value_comes_through(wait, value):
    assert outcome(wait(succeed(value))) is value
    d = Deferred()
    result = wait(d)
    d.callback(value)
    assert outcome(result) is value


def test_what_a_generator_yields_is_gone_and_what_a_coroutine_awaits_stays():
    d = succeed(7)
    assert outcome(awaiting("coroutine")(d)) == 7
    assert outcome(awaiting("generator")(d)) == 7
    assert outcome(awaiting("generator")(d)) is None


def test_of_two_that_await_the_first_gets_it():
    d = Deferred()
    first, second = awaiting("coroutine")(d), awaiting("coroutine")(d)
    d.callback(7)
    assert (outcome(first), outcome(second)) == (7, None)


def test_a_yielded_coroutine_or_generator_is_waited_for():
    async def coroutine():
        return await succeed(1)

    def generator():
        one = yield coroutine()
        return one + 1

    @inlineCallbacks
    def both():
        two = yield generator()
        return two + (yield coroutine())

    assert outcome(both()) == 3


def test_anything_else_that_is_yielded_comes_back():
    @inlineCallbacks
    def function():
        a = yield 1
        b = yield "text"
        c = yield None
        return a, b, c

    assert outcome(function()) == (1, "text", None)


def test_yield_from_a_deferred():
    @inlineCallbacks
    def function(d):
        return (yield from d) + 1

    d = Deferred()
    result = function(d)
    d.callback(1)
    assert outcome(result) == 2
    assert outcome(function(succeed(2))) == 3


def test_the_decorated_function_is_a_function_like_the_one_it_wraps():
    @inlineCallbacks
    def function(a, *, b=2):
        """Has documentation."""
        yield
        return a, b

    class WithMethod:
        method = function

    assert type(function) is types.FunctionType
    assert (function.__name__, function.__doc__) == ("function", "Has documentation.")
    assert outcome(function(1, b=3)) == (1, 3)
    instance = WithMethod()
    assert outcome(instance.method()) == (instance, 2)
    function.attribute = 1
    with pytest.raises(TypeError):
        function()


def test_only_generators_can_be_decorated():
    with pytest.raises(TypeError, match="to produce a generator; instead got 3"):
        inlineCallbacks(lambda: 3)()


def test_generators_made_elsewhere_will_do():
    def generator(n):
        return (yield succeed(n)) + 1

    assert outcome(inlineCallbacks(functools.partial(generator, 1))()) == 2


def test_what_can_be_made_a_deferred():
    async def coroutine():
        return 1

    def generator():
        yield succeed(None)
        return 2

    d = Deferred()
    assert ensureDeferred(d) is d
    assert outcome(ensureDeferred(coroutine())) == 1
    assert outcome(Deferred.fromCoroutine(coroutine())) == 1
    assert outcome(ensureDeferred(generator())) == 2
    with pytest.raises(defer.NotACoroutineError, match="3 is not a coroutine or a Deferred"):
        ensureDeferred(3)
    with pytest.raises(TypeError, match="3 is not a coroutine"):
        Deferred.fromCoroutine(3)


def test_return_value():
    @inlineCallbacks
    def function():
        yield
        defer.returnValue(3)

    with pytest.warns(DeprecationWarning, match="returnValue was deprecated"):
        assert outcome(function()) == 3


def test_five_thousand_results_that_are_there_need_no_stack():
    @inlineCallbacks
    def generator():
        total = 0
        for n in range(5000):
            total += yield succeed(n)
        return total

    async def coroutine():
        return sum([await succeed(n) for n in range(5000)])

    assert outcome(generator()) == outcome(ensureDeferred(coroutine())) == sum(range(5000))


def test_nested_calls_to_a_reasonable_depth():
    @inlineCallbacks
    def generator(n):
        return (yield d) if n == 0 else (yield generator(n - 1)) + 1

    async def coroutine(n):
        return await d if n == 0 else await coroutine(n - 1) + 1

    for function in (generator, coroutine):
        d = Deferred()
        result = defer.ensureDeferred(function(60))
        d.callback(0)
        assert outcome(result) == 60


def test_a_traceback_has_every_level():
    async def innermost(d):
        await d
        raise ValueError("no")

    @inlineCallbacks
    def middle(d):
        yield ensureDeferred(innermost(d))

    @inlineCallbacks
    def outermost(d):
        yield middle(d)

    for d in (succeed(None), Deferred()):
        result = outermost(d)
        if not d.called:
            d.callback(None)
        failure = []
        result.addErrback(failure.append)
        text = failure[0].getTraceback()
        places = [text.index(f"in {name}") for name in ("outermost", "middle", "innermost")]
        assert places == sorted(places)
        assert text.rstrip().endswith("ValueError: no")


# Cancelling.


def test_cancelling_it_cancels_what_it_waits_for(wait):
    asked = []
    d = Deferred(asked.append)
    result = wait(d)
    result.cancel()
    assert asked == [d]
    assert outcome(result) == (CancelledError, "")


def test_it_may_catch_the_error_and_go_on():
    first, second = Deferred(), Deferred()

    @inlineCallbacks
    def function():
        try:
            yield first
        except CancelledError:
            return (yield second)

    result = function()
    result.cancel()
    assert result.called and outcome(result) == NOTHING
    second.callback("still")
    assert second.result is None


def test_it_may_be_cancelled_again():
    ds = [Deferred() for _ in range(3)]

    async def stubborn():
        for d in ds[:2]:
            try:
                await d
            except CancelledError:
                pass
        return await ds[2]

    result = ensureDeferred(stubborn())
    for d in ds:
        assert not d.called
        result.cancel()
        assert d.called
    assert outcome(result) == (CancelledError, "")


def test_it_ends_when_what_it_waits_for_has_stopped():
    stopping = []
    d = Deferred(lambda d: (d.pause(), stopping.append(d), d.errback(CancelledError())))
    result = awaiting("coroutine")(d)
    result.cancel()
    assert stopping == [d]
    results = []
    result.addBoth(results.append)
    assert results == []
    d.unpause()
    assert results[0].check(CancelledError)


# Context variables.

variable = contextvars.ContextVar("variable", default=0)


def test_each_call_has_a_context_of_its_own():
    d = Deferred()
    seen = []

    @inlineCallbacks
    def generator():
        token = variable.set(5)
        yield d
        seen.append(variable.get())
        variable.reset(token)
        seen.append(variable.get())

    variable.set(1)
    result = generator()
    result.addCallback(lambda _: seen.append(variable.get()))
    variable.set(9)
    d.callback(None)
    assert seen == [5, 1, 9]
    variable.set(0)


def test_an_awaited_coroutine_shares_the_context_and_a_called_one_has_a_copy():
    async def change():
        variable.set(variable.get() + 1)

    async def function():
        await change()
        shared = variable.get()
        await ensureDeferred(change())
        return shared, variable.get()

    assert outcome(ensureDeferred(function())) == (1, 1)
    assert variable.get() == 0


# Odd ends.


def test_a_generator_may_fire_what_it_waits_for_next():
    d = Deferred()

    @inlineCallbacks
    def function():
        yield succeed(None)
        d.callback("by itself")
        return (yield d)

    assert outcome(function()) == "by itself"


def test_a_failure_may_throw_what_it_likes():
    class Remote(Failure):
        def throwExceptionIntoGenerator(self, g):
            return g.throw(LookupError("translated"))

    @inlineCallbacks
    def function(d):
        try:
            yield d
        except LookupError as error:
            return str(error)

    d = Deferred()
    for d, later in ((fail(Remote(ValueError())), False), (Deferred(), True)):
        result = function(d)
        if later:
            d.errback(Remote(ValueError()))
        assert outcome(result) == "translated"


def test_an_overridden_method_is_used_to_wait():
    used = []

    class Mine(Deferred):
        def addBoth(self, *args, **kwargs):
            used.append(self)
            return super().addBoth(*args, **kwargs)

    d = Mine()

    @inlineCallbacks
    def function():
        return (yield d)

    result = function()
    d.callback(3)
    assert outcome(result) == 3
    assert used == [d]


def test_a_coroutine_that_is_dropped_is_closed():
    closed = []

    async def function():
        try:
            await Deferred()
        finally:
            closed.append(sys.exc_info()[0])

    ensureDeferred(function())
    gc.collect()
    assert closed == [GeneratorExit]
