"""What Deferreds are made of: their errors, reports of unhandled failures, clocks, file locks."""

import asyncio
import copy
import doctest
import functools
import gc
import logging
import os
import pathlib
import pickle
import subprocess
import sys
import weakref

import pytest
from marotte import defer
from marotte._defer import clock, debug, errors, filelock
from marotte.failure import Failure
from test_failure import WITHOUT_TWISTED, needs_twisted, run

ERRORS = [getattr(errors, name) for name in errors.__all__]
PRIVATE_ERRORS = [errors._DefGen_Return, errors._InternalInlineCallbacksCancelledError]


@pytest.mark.parametrize("kind", [*ERRORS, *PRIVATE_ERRORS], ids=lambda kind: kind.__name__)
def test_errors_are_those_of_defer(kind):
    # The second if a test has imported that: then it has the same classes.
    assert kind.__module__ in ("marotte.defer", "twisted.internet.defer")
    assert getattr(defer, kind.__name__) is kind


def test_errors_can_be_told_apart():
    for kind in ERRORS:
        assert kind.__bases__ == ((TypeError if kind is defer.NotACoroutineError else Exception),)
    assert not issubclass(defer.CancelledError, asyncio.CancelledError)
    assert defer._DefGen_Return.__bases__ == (BaseException,)
    assert defer._DefGen_Return(3).value == 3


@pytest.mark.parametrize("error", [kind("why") for kind in ERRORS if kind is not defer.FirstError])
def test_errors_can_be_pickled(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert again.args == error.args == ("why",)


def test_first_error():
    failure, other = Failure(ValueError("no")), Failure(ValueError("no"))
    error = defer.FirstError(failure, 3)
    assert error.subFailure is failure and error.index == 3
    assert repr(error) == "FirstError[#3, ValueError('no')]"
    assert str(error) == f"FirstError[#3, {failure}]"
    assert error == defer.FirstError(failure, 3)
    assert error != defer.FirstError(failure, 4)
    assert error != defer.FirstError(other, 3)
    assert error != "FirstError" and error != failure
    assert hash(error) == hash(defer.FirstError(failure, 3))
    assert error < defer.FirstError(other, 4)
    assert error <= defer.FirstError(failure, 3) and error >= defer.FirstError(other, 2)
    with pytest.raises(TypeError):
        _ = error < 4
    again = pickle.loads(pickle.dumps(error))
    assert (again.index, again.subFailure.getErrorMessage()) == (3, "no")


def test_failure_group():
    failures = [Failure(ValueError("one")), Failure(ValueError("two"))]
    group = defer.FailureGroup(failures)
    assert group.failures is failures
    assert [f.getErrorMessage() for f in copy.copy(group).failures] == ["one", "two"]


# What nobody handles.


@pytest.fixture
def no_twisted_log(monkeypatch):
    monkeypatch.delitem(sys.modules, "twisted.logger", raising=False)


@pytest.fixture
def events():
    """What Twisted's log gets, in a program that has loaded it."""
    logger = pytest.importorskip("twisted.logger")
    seen = []
    logger.globalLogPublisher.addObserver(seen.append)
    yield seen
    logger.globalLogPublisher.removeObserver(seen.append)


def failed(error):
    try:
        raise error
    except BaseException:  # noqa: BLE001 - whatever it is
        return Failure()


def forget(failure, **attributes):
    info = debug.DebugInfo()
    vars(info).update(attributes)
    info.failResult = failure


def test_a_failure_is_logged_when_it_goes(log, no_twisted_log):
    forget(failed(ValueError("no")))
    (record,) = log.records
    assert (record.name, record.levelno) == ("marotte.defer", logging.CRITICAL)
    assert record.getMessage() == "Unhandled error in Deferred:"
    text = logging.Formatter().format(record)
    assert "in failed\n    raise error\n" in text and text.endswith("\nValueError: no")


def test_a_handled_failure_is_not_logged(log, no_twisted_log):
    info = debug.DebugInfo()
    info.failResult = failed(ValueError("no"))
    info.failResult = None
    del info
    forget(None)
    assert log.records == []


def test_a_failure_is_logged_once(log, no_twisted_log):
    info = debug.DebugInfo()
    info.failResult = Failure(ValueError("no"))
    info.__del__()
    assert info.failResult is None
    del info
    assert len(log.records) == 1


def test_a_failure_is_logged_when_its_cycle_goes(log, no_twisted_log):
    info = debug.DebugInfo()
    failure = Failure(ValueError("no"))
    failure.value.info = info
    info.failResult = failure
    gone = weakref.ref(info)
    del info, failure
    gc.collect()
    assert gone() is None
    assert len(log.records) == 1
    assert log.records[0].exc_info[1].args == ("no",)


@pytest.mark.parametrize("error", ["a text", ValueError("clean")])
def test_a_failure_that_is_text_only_is_logged(log, no_twisted_log, error):
    failure = Failure(error)
    failure.cleanFailure()
    forget(failure)
    message = log.texts()[0]
    assert message.startswith("Unhandled error in Deferred:\nTraceback (most recent call last):\n")
    assert message.endswith(failure.getErrorMessage())


def test_where_a_deferred_was_made_and_called_is_logged(log, no_twisted_log):
    forget(failed(ValueError("no")), creator=["  here\n    x\n"], invoker=["  there\n", "  last\n"])
    (text,) = log.texts()
    assert text == (
        "Unhandled error in Deferred:\n"
        "(debug:  C: Deferred was created:\n C:  here\n C:    x\n"
        " I: First Invoker was:\n I:  there\n I:  last\n)"
    )


def test_braces_in_a_text_are_no_format(log, no_twisted_log):
    forget(Failure("{no}"), creator=["{here}"])
    message = log.texts()[0]
    assert "{no}" in message and "{here}" in message


def test_a_deferred_that_is_dropped_reports(log, no_twisted_log):
    defer.fail(ValueError("no"))
    (record,) = log.records
    assert record.exc_info[1].args == ("no",)


def test_a_failure_goes_to_twisteds_log(log, events):
    failure = failed(ValueError("no"))
    forget(failure)
    assert [(event["log_namespace"], event["log_level"].name) for event in events] == [
        ("twisted.internet.defer", "critical")
    ] * 2
    first, second = events
    assert first["log_format"] == "Unhandled error in Deferred:" and first["isError"]
    assert second["log_format"] == "" and second["log_failure"] is failure
    assert log.records == []


def test_twisteds_log_is_told_where(events):
    forget(Failure(ValueError("no")), invoker=["  there\n"])
    assert events[1]["log_format"] == "(debug: {debugInfo})"
    assert events[1]["debugInfo"] == " I: First Invoker was:\n I:  there\n"


def test_stacks_end_where_native_code_was_called():
    def made():
        # `partial` is native, as Deferreds are.
        return functools.partial(debug.creator_stack)()

    names = [line.splitlines()[0].rpartition(" in ")[2] for line in made()]
    assert names[-2:] == ["test_stacks_end_where_native_code_was_called", "made"]


UNHANDLED = """
from marotte._defer.debug import DebugInfo
from marotte.failure import Failure
kept = DebugInfo()
kept.failResult = Failure(ValueError("at exit"))
"""


@pytest.mark.parametrize("cycle", ["", "kept.cycle = [kept]\n"], ids=["straight", "cycle"])
@pytest.mark.parametrize(
    "twisted", ["", "import twisted.logger\n"], ids=["logging", "twisted.logger"]
)
def test_what_is_left_at_exit_is_logged(twisted, cycle):
    if twisted:
        pytest.importorskip("twisted")
    done = subprocess.run(
        [sys.executable, "-c", twisted + UNHANDLED + cycle],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stderr.count("at exit") == 1
    assert "Exception ignored" not in done.stderr


def test_what_cannot_be_logged_at_exit_is_not_complained_of():
    def report(failure, info):
        raise TypeError("'NoneType' object is not callable")

    info = debug.DebugInfo()
    info.failResult = Failure(ValueError("no"))
    info.__del__(report, lambda: True)
    info.failResult = Failure(ValueError("no"))
    with pytest.raises(TypeError):
        info.__del__(report, lambda: False)


def test_the_log_is_the_standard_one(log, no_twisted_log):
    logger = debug.logger()
    assert logger.namespace == "marotte.defer"
    logger.error("{what} happened", what="it")
    logger.critical("no {format}")
    try:
        raise ValueError("caught")
    except ValueError:
        logger.failure("")
    logger.debug("not seen {either}")
    assert [(record.levelname, record.getMessage()) for record in log.records] == [
        ("ERROR", "it happened"),
        ("CRITICAL", "no {format} {}"),
        ("CRITICAL", ""),
    ]
    assert log.records[2].exc_info[1].args == ("caught",)


@needs_twisted
def test_the_log_is_twisteds_once_that_is_loaded():
    code = """
import sys
from marotte._defer import debug
print(debug.logger().namespace, "twisted.logger" in sys.modules)
import twisted.logger
print(debug.logger(), debug.logger() is debug.logger())
"""
    assert run(code).splitlines() == [
        "marotte.defer False",
        "<Logger 'twisted.internet.defer'> True",
    ]


# Time.


def test_a_clock_needs_a_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        clock.AsyncioClock()


def test_a_clock_of_another_loop():
    loop = asyncio.new_event_loop()
    called = []
    clock.AsyncioClock(loop).callLater(0, lambda: (called.append(1), loop.stop()))
    loop.run_forever()
    loop.close()
    assert called == [1]


async def test_call_later():
    ticking, called = clock.AsyncioClock(), asyncio.Event()
    start = ticking.seconds()
    got = []

    def call(*args, **kwargs):
        got.append((args, kwargs))
        called.set()

    later = ticking.callLater(0.02, call, 1, delay=2)
    assert later.active()
    assert later.getTime() == pytest.approx(start + 0.02, abs=0.01)
    assert ticking.getDelayedCalls() == [later]
    await called.wait()
    assert ticking.seconds() >= start + 0.015
    assert got == [((1,), {"delay": 2})]
    assert not later.active() and ticking.getDelayedCalls() == []
    for change in (later.cancel, lambda: later.reset(1), lambda: later.delay(1)):
        with pytest.raises(ValueError, match="made or cancelled"):
            change()


async def test_a_cancelled_call():
    class Held:
        def call(self):
            raise AssertionError("called")

    ticking, held = clock.AsyncioClock(), Held()
    later = ticking.callLater(0, held.call)
    gone = weakref.ref(held)
    del held
    later.cancel()
    assert gone() is None, "what is not called any more is let go at once"
    assert not later.active() and ticking.getDelayedCalls() == []
    with pytest.raises(ValueError, match="made or cancelled"):
        later.cancel()
    await asyncio.sleep(0.01)


async def test_calls_can_be_moved():
    ticking, called = clock.AsyncioClock(), []
    soon = ticking.callLater(60, called.append, "soon")
    late = ticking.callLater(0, called.append, "late")
    soon.reset(0.01)
    late.delay(60)
    assert soon.getTime() < ticking.seconds() + 1 < late.getTime()
    await asyncio.sleep(0.05)
    assert called == ["soon"]
    late.cancel()


async def test_an_exception_in_a_call_is_the_loops():
    seen = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    ticking = clock.AsyncioClock()
    later = ticking.callLater(0, lambda: 1 / 0)
    await asyncio.sleep(0.01)
    assert isinstance(seen[0]["exception"], ZeroDivisionError)
    assert not later.active()


async def test_nothing_is_called_in_the_past():
    with pytest.raises(ValueError, match="1 seconds ago"):
        clock.AsyncioClock().callLater(-1, print)


@needs_twisted
async def test_the_clock_is_twisteds_idea_of_one():
    from twisted.internet import interfaces
    from zope.interface import verify

    ticking = clock.AsyncioClock()
    later = ticking.callLater(60, print)
    verify.verifyObject(interfaces.IReactorTime, ticking, tentative=True)
    verify.verifyObject(interfaces.IDelayedCall, later, tentative=True)
    later.cancel()


async def test_deferreds_time_out_on_it():
    deferred = defer.Deferred().addTimeout(0.01, clock.AsyncioClock())
    with pytest.raises(defer.TimeoutError):
        await deferred.asFuture(asyncio.get_running_loop())


# Locks between processes.


@pytest.fixture(params=["ours", "installed"])
def FilesystemLock(request):
    return filelock._OwnFilesystemLock if request.param == "ours" else filelock.FilesystemLock


@pytest.fixture
def name(tmp_path):
    return str(tmp_path / "lock")


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_lock_is_a_link_to_the_process(FilesystemLock, name):
    lock = FilesystemLock(name)
    assert lock.locked is False and lock.clean is None
    assert lock.lock() is True
    assert lock.locked is True and lock.clean is True
    assert os.readlink(name) == str(os.getpid())
    assert FilesystemLock(name).lock() is False
    lock.unlock()
    assert lock.locked is False
    assert not os.path.lexists(name)


def test_ours_and_twisteds_lock_exclude_each_other(name):
    ours, installed = filelock._OwnFilesystemLock(name), filelock.FilesystemLock(name)
    assert ours.lock() and not installed.lock()
    ours.unlock()
    assert installed.lock() and not ours.lock()
    installed.unlock()


def test_the_lock_of_an_ended_process_is_broken(FilesystemLock, name, dead):
    os.symlink(str(dead), name)
    lock = FilesystemLock(name)
    assert lock.lock() is True
    assert lock.clean is False
    assert os.readlink(name) == str(os.getpid())


def test_the_lock_of_another_process_is_its_own(FilesystemLock, name):
    os.symlink(str(os.getppid()), name)
    lock = FilesystemLock(name)
    assert lock.lock() is False
    with pytest.raises(ValueError):
        lock.unlock()
    assert os.readlink(name) == str(os.getppid())


def test_the_lock_of_somebody_elses_process_is_not_broken(monkeypatch, name):
    def kill(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    os.symlink("1", name)
    assert filelock._OwnFilesystemLock(name).lock() is False


def test_a_lock_released_meanwhile_is_taken(monkeypatch, name):
    readlink = os.readlink

    def too_late(name):
        os.remove(name)
        return readlink(name)

    os.symlink(str(os.getppid()), name)
    monkeypatch.setattr(os, "readlink", too_late)
    lock = filelock._OwnFilesystemLock(name)
    assert lock.lock() is True and lock.clean is True


def test_a_lock_in_no_folder(FilesystemLock, name):
    with pytest.raises(FileNotFoundError):
        FilesystemLock(name + "/in/no/folder").lock()


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 0
        self.calls = []

    def callLater(self, delay, function, *args):
        call = Call(self.now + delay, function, args)
        self.calls.append(call)
        return call

    def advance(self, seconds):
        self.now += seconds
        while due := [call for call in self.calls if call.active() and call.when <= self.now]:
            min(due, key=lambda call: call.when).run()

    def waiting(self):
        return sum(call.active() for call in self.calls)


class Call:
    def __init__(self, when, function, args):
        self.when, self.function, self.args = when, function, args

    def active(self):
        return self.function is not None

    def cancel(self):
        assert self.active()
        self.function = None

    def run(self):
        function, self.function = self.function, None
        function(*self.args)


@pytest.fixture
def ticking():
    return Clock()


@pytest.fixture
def lock(name, ticking):
    return defer.DeferredFilesystemLock(name, scheduler=ticking)


@pytest.fixture
def holder(name):
    """Another lock on that file, held."""
    holder = filelock.FilesystemLock(name)
    assert holder.lock()
    return holder


def outcome(deferred):
    results = []
    deferred.addBoth(results.append)
    return results


def test_a_free_lock_is_had_at_once(lock, ticking):
    assert outcome(lock.deferUntilLocked(timeout=1)) == [None]
    assert lock.locked and ticking.calls == []


def test_a_lock_is_waited_for(lock, holder, ticking):
    results = outcome(lock.deferUntilLocked(timeout=10))
    ticking.advance(1)
    assert results == []
    holder.unlock()
    assert results == []
    ticking.advance(1)
    assert results == [None] and lock.locked
    assert ticking.waiting() == 0
    lock.unlock()
    assert outcome(lock.deferUntilLocked()) == [None]


def test_a_lock_is_not_waited_for_longer(lock, holder, ticking):
    results = outcome(lock.deferUntilLocked(timeout=2.5))
    for _ in range(3):
        assert results == []
        ticking.advance(1)
    assert results[0].type is defer.TimeoutError
    assert "2.5 seconds" in results[0].getErrorMessage()
    assert not lock.locked and ticking.waiting() == 0


def test_a_lock_that_comes_free_just_in_time(lock, holder, ticking):
    results = outcome(lock.deferUntilLocked(timeout=0.5))
    holder.unlock()
    ticking.advance(0.5)
    assert results == [None] and ticking.waiting() == 0


def test_waiting_can_be_cancelled(lock, holder, ticking):
    deferred = lock.deferUntilLocked(timeout=10)
    results = outcome(deferred)
    assert lock._tryLockCall.active() and lock._timeoutCall.active()
    deferred.cancel()
    assert results[0].type is defer.CancelledError
    assert ticking.waiting() == 0
    assert lock._tryLockCall is None and lock._timeoutCall is None
    holder.unlock()
    assert outcome(lock.deferUntilLocked()) == [None]


def test_only_one_waits(lock, holder):
    first = lock.deferUntilLocked()
    (failure,) = outcome(lock.deferUntilLocked())
    assert failure.type is defer.AlreadyTryingToLockError
    assert not first.called
    outcome(first)
    first.cancel()


def test_what_goes_wrong_while_waiting_reaches_the_one_who_waits(lock, holder, ticking):
    results = outcome(lock.deferUntilLocked(timeout=10))
    holder.unlock()
    pathlib.Path(lock.name).parent.rmdir()
    ticking.advance(1)
    assert results[0].type is FileNotFoundError
    assert ticking.waiting() == 0


async def test_by_default_asyncio_waits(monkeypatch, name, holder):
    monkeypatch.delitem(sys.modules, "twisted.internet.reactor", raising=False)
    lock = defer.DeferredFilesystemLock(name)
    lock._interval = 0.01
    asyncio.get_running_loop().call_later(0.02, holder.unlock)
    await asyncio.wait_for(lock.deferUntilLocked().asFuture(asyncio.get_running_loop()), 10)
    assert lock.locked


@needs_twisted
def test_by_default_the_reactor_waits():
    code = """
from twisted.internet import reactor
from marotte.defer import DeferredFilesystemLock
print(DeferredFilesystemLock("x")._scheduler is reactor)
"""
    assert run(code) == "True"


def test_somebody_has_to_wait():
    code = """
from marotte.defer import DeferredFilesystemLock
try:
    DeferredFilesystemLock("x")
except RuntimeError as error:
    print(error)
"""
    assert "asyncio loop is running" in run(code)


def test_a_lock_without_twisted():
    code = """
from marotte._defer import filelock
print(issubclass(filelock.DeferredFilesystemLock, filelock._OwnFilesystemLock))
"""
    assert run(WITHOUT_TWISTED + code) == "True"


@pytest.mark.parametrize("module", [clock, errors, filelock])
def test_examples(module):
    assert doctest.testmod(module).failed == 0
