"""Uses Twisted's own Deferreds and ours in one program: ``beside.py FIRST SECOND`` imports the two
modules in that order and prints the names of the checks that pass, each made both ways round."""

import asyncio
import importlib
import sys
import traceback

OURS, THEIRS = "marotte.defer", "twisted.internet.defer"
ERRORS = (
    "AlreadyCalledError",
    "AlreadyTryingToLockError",
    "CancelledError",
    "FailureGroup",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
    "_DefGen_Return",
)


def result_of(deferred):
    """What a Deferred has come to; of a failure the exception."""
    results = []
    deferred.addBoth(results.append)
    (result,) = results
    return getattr(result, "value", result)


def check_they_are_two(one, other):
    assert one.Deferred is not other.Deferred


def check_exceptions_are_the_same(one, other):
    for name in ERRORS:
        assert getattr(one, name) is getattr(other, name), name
        assert getattr(one, name).__module__ == THEIRS


def check_exceptions_are_caught(one, other):
    fired = one.succeed(None)
    try:
        fired.callback(None)
    except other.AlreadyCalledError:
        pass
    try:
        one.DeferredQueue(size=0).put(None)
    except other.QueueOverflow:
        pass
    cancelled = one.Deferred()
    cancelled.cancel()
    assert isinstance(result_of(cancelled), other.CancelledError)
    first = one.gatherResults([one.fail(ValueError("no"))], consumeErrors=True)
    assert isinstance(result_of(first), other.FirstError)
    group = one.race([one.fail(ValueError("no"))])
    assert isinstance(result_of(group), other.FailureGroup)


def check_failures_are_of_one_class(one, other):
    kinds = []
    for module in (one, other):
        module.fail(ValueError("no")).addErrback(lambda failure: kinds.append(type(failure)))
    assert kinds[0] is kinds[1]


def check_a_callback_returns_one_that_has_fired(one, other):
    assert result_of(one.succeed(1).addCallback(lambda _: other.succeed(2))) == 2
    failed = one.succeed(1).addCallback(lambda _: other.fail(ValueError("no")))
    assert isinstance(result_of(failed), ValueError)


def check_a_callback_returns_one_that_fires_later(one, other):
    for outcome in (3, ValueError("no")):
        waiting = other.Deferred()
        outer = one.succeed(1).addCallback(lambda _, waiting=waiting: waiting)
        assert "waiting on" in str(outer)
        (waiting.errback if outcome != 3 else waiting.callback)(outcome)
        assert result_of(outer) is outcome
        assert result_of(waiting) is None


def check_a_chain_of_both(one, other):
    inmost = one.Deferred()
    chain = inmost
    for number in range(100):
        outer = (one, other)[number % 2].succeed(None)
        chain = outer.addCallback(lambda _, inner=chain: inner)
    inmost.callback("here")
    assert result_of(chain) == "here"


def check_cancelling(one, other):
    waiting = other.Deferred()
    outer = one.succeed(1).addCallback(lambda _: waiting)
    outer.cancel()
    assert waiting.called
    assert isinstance(result_of(outer), one.CancelledError)


def check_generators_and_coroutines(one, other):
    @one.inlineCallbacks
    def generator(deferred):
        return (yield deferred) + 1

    async def coroutine(deferred):
        return await deferred + 1

    for start in (generator, lambda deferred: one.ensureDeferred(coroutine(deferred))):
        assert result_of(start(other.succeed(1))) == 2
        assert isinstance(result_of(start(other.fail(ValueError("no")))), ValueError)
        waiting = other.Deferred()
        outer = start(waiting)
        waiting.callback(2)
        assert result_of(outer) == 3
        outer = start(other.Deferred())
        outer.cancel()
        assert isinstance(result_of(outer), one.CancelledError)


def check_functions(one, other):
    mixed = [one.succeed(1), other.succeed(2), one.Deferred(), other.Deferred()]
    gathered = one.gatherResults(mixed)
    mixed[2].callback(3)
    mixed[3].callback(4)
    assert result_of(gathered) == [1, 2, 3, 4]
    assert result_of(one.race([other.Deferred(), other.succeed(5)])) == (1, 5)
    assert result_of(one.maybeDeferred(lambda: other.succeed(6))) == 6
    assert result_of(one.ensureDeferred(other.succeed(7))) == 7
    assert result_of(one.DeferredLock().run(lambda: other.succeed(8))) == 8
    chained = one.Deferred()
    other.succeed(9).chainDeferred(chained)
    assert result_of(chained) == 9


def check_subclasses_made_later(one, other):
    class Later(other.Deferred):
        pass

    waiting = Later()
    outer = one.succeed(1).addCallback(lambda _: waiting)
    waiting.callback(2)
    assert result_of(outer) == 2


def check_asyncio(one, other):
    async def main():
        mixed = one.succeed(1).addCallback(lambda _: other.succeed(2))
        return await mixed.asFuture(asyncio.get_running_loop())

    assert asyncio.run(main()) == 2


def check_ours_are_deferreds_to_twisted(one, other):
    from twisted.internet.task import Clock, LoopingCall

    ours, theirs = sorted((one, other), key=lambda module: module.__name__)
    assert isinstance(ours.Deferred(), theirs.Deferred)
    assert issubclass(ours.DeferredList, theirs.Deferred)
    loop = LoopingCall(ours.Deferred)
    loop.clock = Clock()
    loop.start(1)
    assert not loop.clock.getDelayedCalls(), "it does not wait for our Deferred"


def main():
    modules = {name: importlib.import_module(name) for name in sys.argv[1:]}
    ours, theirs = modules[OURS], modules[THEIRS]
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            try:
                check(ours, theirs)
                check(theirs, ours)
                print(name)
            except Exception:  # noqa: BLE001 - the others are to run as well
                traceback.print_exc()


if __name__ == "__main__":
    main()
