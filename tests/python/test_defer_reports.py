"""Failures that nobody handles are reported, once, and others are not."""

import gc
import logging
import sys

import pytest
from deferreds import outcome
from marotte import defer
from marotte.defer import Deferred, DeferredList, ensureDeferred, fail, inlineCallbacks, succeed
from marotte.failure import Failure
from test_failure import WITHOUT_TWISTED, needs_twisted, run


@pytest.fixture(autouse=True)
def no_twisted_log(monkeypatch):
    monkeypatch.delitem(sys.modules, "twisted.logger", raising=False)


@pytest.fixture
def reported(log):
    """The types of what has been reported since the last time."""

    def reported():
        gc.collect()
        records = list(log.records)
        log.records.clear()
        assert all(record.levelno == logging.CRITICAL for record in records)
        return [record.exc_info[0] for record in records]

    assert reported() == []
    return reported


def test_a_failure_that_is_dropped(reported):
    fail(ValueError())
    assert reported() == [ValueError]


def test_a_failure_that_nobody_gets(reported):
    d = Deferred().addCallback(lambda _: None)
    d.errback(ValueError())
    assert reported() == []
    del d
    assert reported() == [ValueError]


def test_a_failure_that_a_callback_raises(reported):
    succeed(0).addCallback(lambda n: 1 / n)
    assert reported() == [ZeroDivisionError]


def test_a_failure_that_is_handled_is_not_reported(reported):
    fail(ValueError()).addErrback(lambda _: None)
    d = fail(ValueError())
    d.addErrback(lambda _: None)
    del d
    assert reported() == []


def test_a_failure_handled_by_one_that_fails(reported):
    def again(_):
        raise KeyError

    fail(ValueError()).addErrback(again)
    assert reported() == [KeyError]


def test_a_failure_that_was_handed_on_is_reported_once(reported):
    def joined(inner):
        return succeed(None).addCallback(lambda _: inner)

    outer = joined(fail(ValueError()))
    assert reported() == []
    del outer
    assert reported() == [ValueError]
    inner = Deferred()
    joined(inner)
    inner.errback(ValueError())
    assert reported() == [ValueError]
    del inner
    assert reported() == []


def test_a_failure_that_was_awaited(reported):
    async def wait(d):
        try:
            await d
        except ValueError:
            return "handled"

    d = fail(ValueError())
    assert outcome(ensureDeferred(wait(d))) == "handled"
    assert isinstance(d.result, Failure)
    del d
    assert reported() == []


def test_a_failure_that_was_yielded(reported):
    @inlineCallbacks
    def wait(d):
        yield d

    d = Deferred()
    whole = wait(d)
    d.errback(ValueError())
    del d
    assert reported() == []
    del whole
    assert reported() == [ValueError]


def test_a_coroutine_that_fails(reported):
    async def broken():
        raise ValueError

    ensureDeferred(broken())
    assert reported() == [ValueError]


def test_failures_of_a_list(reported):
    DeferredList([fail(ValueError()), fail(KeyError())])
    assert sorted(reported(), key=str) == [KeyError, ValueError]
    DeferredList([fail(ValueError())], consumeErrors=True)
    assert reported() == []
    defer.gatherResults([fail(ValueError())], consumeErrors=True)
    assert reported() == [defer.FirstError]


def test_a_failure_in_a_circle(reported):
    def errback(failure, circle):
        return failure

    d = Deferred()
    d.itself = d
    d.addErrback(errback, d)
    d.errback(ValueError())
    del d
    assert reported() == [ValueError]


def test_a_failure_of_something_cancelled(reported):
    d = Deferred()
    d.cancel()
    del d
    assert reported() == [defer.CancelledError]


def test_debug_mode_tells_more(log):
    d = Deferred()
    d.debug = True
    d.errback(ValueError())
    del d
    gc.collect()
    (record,) = log.records
    assert "(debug:  I: First Invoker was:" in record.getMessage()


def test_an_exception_of_a_canceller_in_a_list_is_logged(log):
    def broken(_):
        raise ValueError

    every = DeferredList([Deferred(broken)])
    every.cancel()
    (record,) = log.records
    assert "user supplied canceller" in record.getMessage()
    assert record.exc_info[0] is ValueError


PROGRAM = """
import gc, logging, sys
{twisted}
from marotte.defer import fail
logging.basicConfig(stream=sys.stdout, format="%(name)s %(message)s")
fail(ValueError("no"))
gc.collect()
"""


def test_without_twisted_it_goes_to_the_standard_log():
    lines = run(WITHOUT_TWISTED + PROGRAM.format(twisted="")).splitlines()
    assert lines[0] == "marotte.defer Unhandled error in Deferred:"
    assert lines[-1] == "ValueError: no"
    assert sum("Unhandled" in line for line in lines) == 1


@needs_twisted
def test_with_twisteds_log_it_goes_there():
    observe = """
from twisted.logger import globalLogBeginner, formatEvent
globalLogBeginner.beginLoggingTo(
    [lambda event: print(event["log_namespace"], formatEvent(event), "log_failure" in event)],
    redirectStandardIO=False, discardBuffer=True)
"""
    lines = run(PROGRAM.format(twisted=observe)).splitlines()
    assert lines == [
        "twisted.internet.defer Unhandled error in Deferred: False",
        "twisted.internet.defer  True",
    ]
