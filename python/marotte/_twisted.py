"""Tubs on Twisted's reactor."""

from typing import Any

from twisted.internet import defer, interfaces
from twisted.internet import reactor as _reactor
from twisted.python import log
from zope.interface import implementer

from marotte._core import _Turns
from marotte._runner import continue_from, wait_for_deferred

# Its methods depend on the platform, and type checkers see a module only.
reactor: Any = _reactor


@implementer(interfaces.IReadWriteDescriptor)
class Descriptor:
    """A file descriptor that the reactor watches for us; the extension owns it."""

    def __init__(self, fd):
        self._fd = fd
        self.on_readable = None
        self.on_writable = None

    def fileno(self):
        return self._fd

    def logPrefix(self):
        return "marotte"

    def doRead(self):
        if self.on_readable is not None:
            self.on_readable()

    def doWrite(self):
        if self.on_writable is not None:
            self.on_writable()

    def connectionLost(self, reason):
        # The reactor saw the descriptor fail, or is shutting down; using it tells why. While a
        # connection is being made, nothing is read.
        look = self.on_readable or self.on_writable
        if look is not None:
            look()


class DeferredFuture:
    """The face of a future over a Deferred."""

    def __init__(self):
        self.deferred = defer.Deferred()

    def done(self):
        return self.deferred.called

    def set_result(self, value):
        self.deferred.callback(value)

    def set_exception(self, error):
        self.deferred.errback(error)


# There is one reactor, and one queue of turns for all that lives on it.
_turns = _Turns()


class TwistedRunner:
    """Twisted's reactor."""

    wraps_deferreds = True

    def __init__(self):
        self._descriptors = {}

    def current(self):
        return None

    def turns(self):
        return _turns

    def is_closed(self):
        return False

    def _descriptor(self, fd):
        descriptor = self._descriptors.get(fd)
        if descriptor is None:
            descriptor = self._descriptors[fd] = Descriptor(fd)
        return descriptor

    def _forget(self, fd, descriptor):
        if descriptor.on_readable is None and descriptor.on_writable is None:
            self._descriptors.pop(fd, None)

    def add_reader(self, fd, function):
        descriptor = self._descriptor(fd)
        descriptor.on_readable = function
        reactor.addReader(descriptor)

    def remove_reader(self, fd):
        descriptor = self._descriptors.get(fd)
        if descriptor is not None:
            reactor.removeReader(descriptor)
            descriptor.on_readable = None
            self._forget(fd, descriptor)

    def add_writer(self, fd, function):
        descriptor = self._descriptor(fd)
        descriptor.on_writable = function
        reactor.addWriter(descriptor)

    def remove_writer(self, fd):
        descriptor = self._descriptors.get(fd)
        if descriptor is not None:
            reactor.removeWriter(descriptor)
            descriptor.on_writable = None
            self._forget(fd, descriptor)

    def call_soon(self, function):
        reactor.callLater(0, function)

    def call_turns(self, function):
        # Not by a delayed call: trial cancels those that a test leaves behind, and the queue of turns
        # would wait for ever to be run, in all tests that follow.
        reactor.callFromThread(function)

    def call_soon_threadsafe(self, function):
        reactor.callFromThread(function)

    def call_later(self, seconds, function):
        return reactor.callLater(seconds, function)

    def call_later_threadsafe(self, seconds, function):
        reactor.callFromThread(reactor.callLater, seconds, function)

    def cancel(self, timer):
        if timer is not None and timer.active():
            timer.cancel()

    def resolve(self, host, port, resolved):
        # What is no name by the rules of names raises at once.
        deferred = defer.maybeDeferred(reactor.resolve, host)
        deferred.addCallbacks(
            lambda address: resolved([(address, port)]), lambda failure: resolved(failure.value)
        )

    def create_future(self):
        return DeferredFuture()

    def enter(self, task):
        pass

    def leave(self, task):
        pass

    def resume(self, coroutine, waiting_for, settle):
        deferred = defer.ensureDeferred(_as_coroutine(continue_from(coroutine, waiting_for)))
        wait_for_deferred(deferred, settle)
        deferred.addErrback(log.err)
        return deferred

    def cancel_work(self, work):
        work.cancel()

    def wait_for(self, awaitable, settle):
        if not isinstance(awaitable, defer.Deferred):
            awaitable = defer.ensureDeferred(_as_coroutine(awaitable))
        return wait_for_deferred(awaitable, settle)

    def run_once(self, timeout):
        raise RuntimeError("this tub runs on Twisted's reactor: use the Deferred of _when()")

    def closing(self):
        pass


async def _as_coroutine(awaitable):
    return await awaitable
