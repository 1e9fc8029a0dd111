"""Deferreds in threads.

Those that share nothing need no care. Who shares a Deferred has to take turns; if they do not, things
may come out of order, but nothing breaks.
"""

import gc
import sys
import threading

import pytest
from deferreds import Canary, outcome
from marotte import defer
from marotte.defer import Deferred, DeferredList, inlineCallbacks, succeed


@pytest.fixture
def many_switches():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(count, work):
    errors = []

    def run(number):
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 - to be seen in this thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


@pytest.mark.usefixtures("many_switches")
def test_threads_with_deferreds_of_their_own():
    counts = [0] * 8

    def work(number):
        @inlineCallbacks
        def function(d):
            return (yield d) + (yield succeed(1))

        for n in range(100):
            d = Deferred()
            whole = defer.gatherResults([function(d), succeed(n)])
            d.callback(n)
            assert outcome(whole) == [n + 1, n]
            counts[number] += 1

    in_threads(8, work)
    assert counts == [100] * 8


@pytest.mark.usefixtures("many_switches")
def test_threads_that_take_turns_on_one():
    lock, d, seen = threading.Lock(), Deferred(), []

    def work(number):
        for n in range(200):
            with lock:
                d.addCallback(lambda _, n=n: seen.append((number, n)))
                if number == 0 and n == 100:
                    d.callback(None)

    in_threads(6, work)
    assert len(seen) == 1200
    for number in range(6):
        assert [n for who, n in seen if who == number] == list(range(200))


@pytest.mark.usefixtures("many_switches")
def test_threads_that_do_not_take_turns_break_nothing():
    for attempt in range(20):
        d, inner, canary = Deferred(), Deferred(), Canary()
        d.canary = canary
        d.addCallback(lambda _, inner=inner: inner)

        def work(number, d=d, inner=inner, attempt=attempt):
            todo = [
                lambda: d.callback(1),
                lambda: inner.callback(2),
                lambda: (d.pause(), d.unpause()),
                inner.cancel,
                lambda: repr(d),
                lambda: DeferredList([d, inner], consumeErrors=True),
                d.cancel,
                lambda: d.addBoth(lambda result: result),
                gc.collect if number == 0 else d.__await__,
            ]
            for n in range(40):
                try:
                    todo[(n * 7 + number * 3 + attempt) % len(todo)]()
                except defer.AlreadyCalledError:
                    pass

        in_threads(4, work)
        # Whatever state they are in.
        for each in (d, inner):
            each.paused = 0
            each.addErrback(lambda _: None)
