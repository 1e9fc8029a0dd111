"""What a tub needs of an event loop, for each kind of loop there is.

A runner has, whatever the loop: ``turns`` (the queue of all that runs there), ``add_reader``,
``remove_reader``, ``add_writer``, ``remove_writer`` (by file descriptor), ``call_soon``,
``call_turns`` (the same, for the queue of turns), ``call_soon_threadsafe``, ``call_later``,
``call_later_threadsafe``, ``is_closed``, ``cancel``, ``resolve`` (a host name), ``create_future``,
``enter`` and ``leave`` (around the first step of a coroutine), ``resume`` (the rest of one), ``wait_for`` (any
awaitable or Deferred), ``cancel_work`` (what these two return), ``run_once`` and ``closing``.
"""

import asyncio
import collections
import functools
import heapq
import itertools
import logging
import selectors
import socket
import sys
import time
import types
import weakref

from marotte._core import _Turns


def choose():
    """The runner for where we are: the running asyncio loop, else Twisted's reactor if the program
    uses it, else none."""
    loop = asyncio._get_running_loop()
    if loop is not None:
        return AsyncioRunner(loop)
    if "twisted.internet.reactor" in sys.modules:
        return named("twisted")
    return BlockingRunner()


def named(name):
    """The runner of that name."""
    if name == "asyncio":
        return AsyncioRunner(asyncio.get_running_loop())
    if name == "twisted":
        from marotte._twisted import TwistedRunner

        return TwistedRunner()
    if name == "blocking":
        return BlockingRunner()
    raise ValueError(f"no runner named {name!r}; there are 'asyncio', 'twisted' and 'blocking'")


@types.coroutine
def continue_from(coroutine, waiting_for):
    """The rest of a coroutine whose first step was taken by hand and left it waiting."""
    while True:
        try:
            sent = yield waiting_for
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:  # noqa: BLE001 - the coroutine's to handle, whatever it is
            step = coroutine.throw
            sent = error
        else:
            step = coroutine.send
        try:
            waiting_for = step(sent)
        except StopIteration as stop:
            return stop.value


async def settle_with(awaitable, settle):
    """Waits, then tells ``settle`` how it ended."""
    try:
        value = await awaitable
    except asyncio.CancelledError as error:
        settle(None, error)
        raise
    except Exception as error:  # noqa: BLE001 - it goes to the caller
        settle(None, error)
    else:
        settle(value)


# The turns of each loop, which all that lives on it shares.
_turns_of_loop = weakref.WeakKeyDictionary()


class AsyncioRunner:
    """asyncio and uvloop."""

    wraps_deferreds = False

    def __init__(self, loop):
        self.loop = loop
        self.add_reader = loop.add_reader
        self.remove_reader = loop.remove_reader
        self.add_writer = loop.add_writer
        self.remove_writer = loop.remove_writer
        self.call_soon = self.call_turns = loop.call_soon
        self.call_later = loop.call_later
        self.create_future = loop.create_future
        # C functions, called for every coroutine: no frame of ours between.
        self.enter = functools.partial(asyncio.tasks._enter_task, loop)
        self.leave = functools.partial(asyncio.tasks._leave_task, loop)
        # Tasks are referenced weakly by asyncio: somebody has to hold them.
        self._tasks = set()
        self._lookups = set()

    def current(self):
        return asyncio.current_task(self.loop)

    def turns(self):
        turns = _turns_of_loop.get(self.loop)
        if turns is None:
            turns = _turns_of_loop[self.loop] = _Turns()
        return turns

    def is_closed(self):
        return self.loop.is_closed()

    def call_soon_threadsafe(self, function):
        # A loop that has been closed has nothing left to do for us.
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(function)

    def call_later_threadsafe(self, seconds, function):
        self.call_soon_threadsafe(lambda: self.loop.call_later(seconds, function))

    def cancel(self, timer):
        if timer is not None:
            timer.cancel()

    def resolve(self, host, port, resolved):
        async def look_up():
            try:
                found = await self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                # A name that is none by the rules of names is told so by its encoding.
                resolved(error)
            else:
                resolved([address[:2] for *_, address in found])

        self._hold(self.loop.create_task(look_up()))

    def resume(self, coroutine, waiting_for, settle):
        rest = settle_with(continue_from(coroutine, waiting_for), settle)
        return self._hold(self.loop.create_task(rest))

    def cancel_soon(self, task, message):
        # A task that is cancelled before its first step never begins.
        self.loop.call_soon(task.cancel, message)

    def cancel_work(self, work):
        # A task that is cancelled before its first step never begins: what it was to wait for, or go
        # on with, would not be told.
        if isinstance(work, asyncio.Task):
            self.loop.call_soon(work.cancel)
        else:
            work.cancel()

    def wait_for(self, awaitable, settle):
        if hasattr(awaitable, "addCallbacks"):
            return wait_for_deferred(awaitable, settle)
        return self._hold(self.loop.create_task(settle_with(awaitable, settle)))

    def _hold(self, task):
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def run_once(self, timeout):
        raise RuntimeError("this tub runs on an event loop: await the promise instead of waiting")

    def closing(self):
        pass


def wait_for_deferred(deferred, settle):
    """Tells ``settle`` how a Deferred ends; returns the Deferred."""

    def broke(failure):
        settle(None, failure.value)

    return deferred.addCallbacks(settle, broke)


def drain(wakee):
    """Reads what woke a blocking runner."""
    try:
        while wakee.recv(4096):
            pass
    except BlockingIOError:
        pass


def close_all(*files):
    for file in files:
        file.close()


class BlockingFuture:
    """What ``promise._when()`` gives where there is no loop: something to look at."""

    def __init__(self):
        self._result = (None, None)
        self._done = False

    def done(self):
        return self._done

    def set_result(self, value):
        self._result, self._done = (value, None), True

    def set_exception(self, error):
        self._result, self._done = (None, error), True

    def result(self):
        if not self._done:
            raise RuntimeError("not there yet; use promise._wait() to wait for it")
        value, error = self._result
        if error is not None:
            raise error
        return value

    def __await__(self):
        raise RuntimeError(
            "this tub has no event loop to await on, because none was running when it was first "
            "used: make it inside of a coroutine (asyncio.run), or use _wait()"
        )


class BlockingRunner:
    """No loop: everything happens while somebody waits."""

    wraps_deferreds = False

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._watched = {}
        self._soon = collections.deque()
        self._timers = []
        self._count = itertools.count()
        self._running = False
        # Another thread wakes a waiting one through this pair: sends to the first of it.
        self._wake_pair = None
        # Of this runner only: nobody else runs while it waits.
        self._turns = _Turns()

    def current(self):
        return None

    def turns(self):
        return self._turns

    def is_closed(self):
        return False

    def _watch(self, fd, event, function):
        functions = self._watched.setdefault(fd, {})
        if function is None:
            functions.pop(event, None)
        else:
            functions[event] = function
        mask = 0
        for watched in functions:
            mask |= watched
        if not mask:
            del self._watched[fd]
            try:
                self._selector.unregister(fd)
            except KeyError:
                pass
        elif fd in self._selector.get_map():
            self._selector.modify(fd, mask)
        else:
            self._selector.register(fd, mask)

    def add_reader(self, fd, function):
        self._watch(fd, selectors.EVENT_READ, function)

    def remove_reader(self, fd):
        self._watch(fd, selectors.EVENT_READ, None)

    def add_writer(self, fd, function):
        self._watch(fd, selectors.EVENT_WRITE, function)

    def remove_writer(self, fd):
        self._watch(fd, selectors.EVENT_WRITE, None)

    def call_soon(self, function):
        self._soon.append(function)

    call_turns = call_soon

    def call_soon_threadsafe(self, function):
        self._soon.append(function)
        if self._wake_pair is not None:
            try:
                self._wake_pair[0].send(b"\0")
            except OSError:
                pass  # full, so it wakes already; or just closed

    def call_later(self, seconds, function):
        timer = [time.monotonic() + seconds, next(self._count), function]
        heapq.heappush(self._timers, timer)
        return timer

    def call_later_threadsafe(self, seconds, function):
        self.call_soon_threadsafe(lambda: self.call_later(seconds, function))

    def cancel(self, timer):
        if timer is not None:
            timer[2] = None

    def resolve(self, host, port, resolved):
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            resolved(error)
        else:
            resolved([address[:2] for *_, address in found])

    def create_future(self):
        return BlockingFuture()

    def enter(self, task):
        pass

    def leave(self, task):
        pass

    def resume(self, coroutine, waiting_for, settle):
        coroutine.close()
        raise RuntimeError(
            "an async method had to wait, but its tub has no event loop: "
            "make the tub under asyncio or Twisted"
        )

    def cancel_work(self, work):
        work.cancel()

    def wait_for(self, awaitable, settle):
        if hasattr(awaitable, "addCallbacks"):
            return wait_for_deferred(awaitable, settle)
        raise RuntimeError("nothing can be awaited here: the tub has no event loop")

    def run_once(self, timeout):
        """Waits for one event, at most ``timeout`` seconds (None: without end)."""
        if self._running:
            raise RuntimeError(
                "a remote method cannot wait for another one here; return its promise instead"
            )
        self._running = True
        try:
            self._run_once(timeout)
        finally:
            self._running = False

    def _run_once(self, timeout):
        if self._wake_pair is None:
            self._wake_pair = waker, wakee = socket.socketpair()
            waker.setblocking(False)
            wakee.setblocking(False)
            # A runner may live until the program ends, and what it opened is to be closed.
            self._close = weakref.finalize(self, close_all, self._selector, waker, wakee)
            self.add_reader(wakee.fileno(), functools.partial(drain, wakee))
        # What ran may be what is waited for.
        if self._run_soon():
            timeout = 0
        if self._timers:
            due = max(0.0, self._timers[0][0] - time.monotonic())
            timeout = due if timeout is None else min(due, timeout)
        if self._soon:
            timeout = 0
        for key, mask in self._selector.select(timeout):
            for event, function in list(self._watched.get(key.fd, {}).items()):
                if mask & event:
                    self._call(function)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            function = heapq.heappop(self._timers)[2]
            if function is not None:
                self._call(function)
        self._run_soon()

    def _run_soon(self):
        count = len(self._soon)
        for _ in range(count):
            self._call(self._soon.popleft())
        return count > 0

    def _call(self, function):
        try:
            function()
        except Exception:
            logging.getLogger("marotte").exception("an event could not be handled")

    def closing(self):
        # What was said last (goodbyes) still has to go out.
        self._run_soon()
        if self._wake_pair is not None and not self._running:
            (waker, wakee), self._wake_pair = self._wake_pair, None
            self.remove_reader(wakee.fileno())
            self._close.detach()
            waker.close()
            wakee.close()
