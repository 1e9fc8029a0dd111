"""The extension module. :mod:`marotte` and :mod:`marotte.defer` re-export what is here; import it
from there."""

from asyncio import AbstractEventLoop, Future
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from os import PathLike
from types import GenericAlias, TracebackType
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    final,
    overload,
    type_check_only,
)

from typing_extensions import Self, disjoint_base

from marotte._reconnector import Reconnector
from marotte.failure import Failure

__all__ = [
    "DebugFlag",
    "Deferred",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "DisconnectedError",
    "Listener",
    "Method",
    "Promise",
    "Referenceable",
    "RemoteReference",
    "Resolver",
    "Send",
    "SturdyRef",
    "Trace",
    "Tub",
    "_Allowance",
    "_Backoff",
    "_Hub",
    "_LocalVat",
    "_NativeTube",
    "_Pause",
    "_Pauser",
    "_Pending",
    "_Siphon",
    "_SiphonDrain",
    "_SiphonFount",
    "_Skip",
    "_StageTube",
    "_Turns",
    "_Window",
    "__version__",
    "_sizeOf",
    "_unwind_generator",
    "ensureDeferred",
    "execute",
    "fail",
    "gatherResults",
    "maybeDeferred",
    "race",
    "recognise_deferred",
    "succeed",
]

__version__: str
"""The version of this package, such as ``"0.1.0"``."""

class DisconnectedError(ConnectionError):
    """The connection that carried a reference or a call is gone, or could not be made. The text
    says why, and names the peer.

    >>> import asyncio, marotte
    >>> async def main():
    ...     with marotte.Tub() as tub:
    ...         try:
    ...             await tub.getReference("ocapn://x.tcp-testing-only/s/eA?host=127.0.0.1&port=1")
    ...         except marotte.DisconnectedError as error:
    ...             return "cannot connect to 127.0.0.1:1" in str(error)
    >>> asyncio.run(main())
    True
    """

@final
class Method:
    """A method of an object that is elsewhere, or not known yet. Call it to send the message.

    There is no way to make one but to name it: ``promise.greet``, ``reference.greet``.

    >>> import marotte
    >>> with marotte.Tub(runner="blocking") as tub:
    ...     listener = tub.listen("tcp://127.0.0.1:0")
    ...     double = tub.getReference(tub.registerReference(lambda x: 2 * x))
    ...     double.anything
    <remote method anything>
    """

    def __call__(self, *args: object) -> Promise:
        """Sends the message and returns the promise for its result at once. Nothing is delivered
        before this returns. The arguments may be ``None``, ``bool``, ``int`` of any size,
        ``float``, ``str``, :class:`Symbol`, ``bytes`` (``bytearray`` and ``memoryview`` arrive as
        ``bytes``), lists and tuples (which arrive as lists), dictionaries with string keys,
        exceptions (which arrive as :class:`RemoteError`), and by reference
        :class:`Referenceable` objects, functions, bound methods, promises and remote references.

        Raises ``TypeError``, and sends nothing, if an argument cannot be passed: the text begins
        with the way to it, as in ``args[0]["x"][3]: set is not passable``. Keyword arguments
        raise ``TypeError``, too; pass a dictionary instead. Whatever goes wrong later breaks the
        promise.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     double = tub.getReference(tub.registerReference(lambda x: 2 * x))
        ...     double.anything([{1, 2}])
        Traceback (most recent call last):
        TypeError: args[0][0]: set is not passable
        """

@final
class Promise:
    """A value that is not here yet. Call its methods as if it were: the calls travel ahead to
    where the value will be, and each answers with another promise. Await it for the value.

    Names that begin with an underscore are never remote. A promise that breaks and is dropped
    before anybody looked at it is logged, to the logger ``marotte``.

    >>> import asyncio, marotte
    >>> class Build(marotte.Referenceable):
    ...     def remote_getResults(self):
    ...         return {"passed": 3}
    >>> class Builder(marotte.Referenceable):
    ...     def remote_getBuild(self, number):
    ...         return Build()
    >>> async def main():
    ...     with marotte.Tub() as server, marotte.Tub() as client:
    ...         server.listen("tcp://127.0.0.1:0")
    ...         builder = client.getReference(server.registerReference(Builder()))
    ...         results = await builder.getBuild(-1).getResults()   # one round trip
    ...         return results, client.stats()["round_trips"]
    >>> asyncio.run(main())
    ({'passed': 3}, 1)
    """

    def __getattr__(self, name: str, /) -> Method:
        """The remote method of that name, to be called; nothing is sent yet. Raises
        ``AttributeError`` for names that begin with an underscore.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     tub.getReference(tub.registerReference(lambda: 1))._private
        Traceback (most recent call last):
        AttributeError: _private is not a remote method: names with an underscore in front are never sent
        """

    def __call__(self, *args: object) -> Promise:
        """Calls the function that the promise stands for; see :meth:`Method.__call__` for the
        arguments and for what is raised.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     double = tub.getReference(tub.registerReference(lambda x: 2 * x))
        ...     double(21)._wait(timeout=10)
        42
        """

    def __await__(self) -> Generator[Any, Any, Any]:
        """Waits for the value on the tub's event loop, asyncio's or Twisted's. Raises what broke
        the promise, or ``RuntimeError`` if the tub has no event loop.

        >>> import asyncio, marotte
        >>> async def main():
        ...     with marotte.Tub() as tub:
        ...         tub.listen("tcp://127.0.0.1:0")
        ...         return await tub.getReference(tub.registerReference(lambda: "here"))()
        >>> asyncio.run(main())
        'here'
        """

    def _then(
        self,
        on_value: Callable[[Any], object],
        on_failure: Callable[[BaseException], object] | None = None,
    ) -> Promise:
        """Calls ``on_value(value)`` once the value is there, or ``on_failure(exception)`` if the
        promise breaks, in a turn of its own, never before this returns. Returns the promise for
        what the function returns (a promise, coroutine or Deferred is waited for) or raises.
        Without ``on_failure``, a failure goes on to that promise.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     double = tub.getReference(tub.registerReference(lambda x: 2 * x))
        ...     double(4)._then(lambda eight: eight + 1)._wait(timeout=10)
        9
        """

    def _except(self, on_failure: Callable[[BaseException], object]) -> Promise:
        """Calls ``on_failure(exception)`` if the promise breaks; what that returns takes the
        failure's place in the promise returned here. A value passes by.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     invert = tub.getReference(tub.registerReference(lambda x: 1 / x))
        ...     invert(0)._except(lambda error: str(error))._wait(timeout=10)
        'division by zero'
        """

    def _get(self, *path: str | int) -> Promise:
        """The promise for a part of the value: what is at the end of a path of keys and indices
        (negative ones from the end), in the same round trip. In an object of this program, a name
        is an attribute. The promise breaks with ``KeyError``, ``IndexError`` or ``TypeError``, as a
        :class:`RemoteError` from elsewhere, where the path leads nowhere.

        >>> from marotte import Promise
        >>> Promise({"steps": [{"text": "compile"}]})._get("steps", -1, "text")._wait()
        'compile'
        """

    def _map(self, function: Callable[[Promise], object]) -> Promise:
        """Calls ``function(item)`` once, with a promise that stands for every item of the list that
        this promise is for, and has the messages that it sends sent for each of them over there:
        one message goes out and one comes back, however long the list is. Returns the promise for
        the list of what the function returned, with values in the place of its promises.

        The function cannot look at values, only send messages; they may go to objects of this
        program, too, by :func:`send`. Raises what the function raises, and ``TypeError`` if what it
        returns cannot be passed.

        >>> import marotte
        >>> class Builder(marotte.Referenceable):
        ...     def remote_getName(self):
        ...         return "linux"
        >>> promise = marotte.Promise([Builder(), Builder()])
        >>> promise._map(lambda builder: {"name": builder.getName()})._wait()
        [{'name': 'linux'}, {'name': 'linux'}]
        """

    def _cancel(self, reason: BaseException | None = None) -> None:
        """Breaks the promise, if it is pending, with ``reason`` or a
        :class:`marotte.defer.CancelledError`, and tells whoever works on it, far away too: a
        coroutine gets ``asyncio.CancelledError``, a Deferred or future is cancelled. What others
        wait for as well goes on. Raises ``TypeError`` if the reason is no exception.

        >>> from marotte import makePromise
        >>> promise, resolver = makePromise()
        >>> promise._cancel(TimeoutError("too late"))
        >>> promise._wait()
        Traceback (most recent call last):
        TimeoutError: too late
        """

    def _when(self) -> Any:
        """A future for the value, of the kind that the tub's event loop uses: an
        ``asyncio.Future`` under asyncio, a ``twisted.internet.defer.Deferred`` under Twisted.
        Each call returns one of its own; cancelling it does not cancel the promise.

        >>> import asyncio, marotte
        >>> async def main():
        ...     with marotte.Tub() as tub:
        ...         tub.listen("tcp://127.0.0.1:0")
        ...         call = tub.getReference(tub.registerReference(lambda: "here"))()
        ...         return await asyncio.wait_for(call._when(), timeout=10)
        >>> asyncio.run(main())
        'here'
        """

    def _wait(self, timeout: float | None = None) -> Any:
        """Waits for the value at most ``timeout`` seconds (``None``: without end) and returns it;
        for programs without an event loop. Meanwhile the tub does its work: remote methods of
        ours are called, too.

        Raises what broke the promise; ``TimeoutError`` if it is still pending after the time (it
        can be waited for again); ``RuntimeError`` if the tub runs on an event loop and the promise
        is pending, or inside of a remote method.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     double = tub.getReference(tub.registerReference(lambda x: 2 * x))
        ...     double(21)._wait(timeout=10)
        42
        """

    def __bool__(self) -> bool:
        """Raises ``TypeError``: a promise is not its value. So do the operators, ``len()``, iteration,
        ``in``, ``[]``, comparisons, ``int()``, ``float()`` and f-strings. (``is`` cannot: it compares
        the promise.)

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     bool(tub.getReference(tub.registerReference(lambda: True)))
        Traceback (most recent call last):
        TypeError: true or false: a promise is not its value, which is not here yet; `await` the promise, or give a function to `_then`, which is called with the value
        """

    def __new__(cls, value: object) -> Promise:
        """A promise for what a Deferred, a future, a coroutine, another promise or a value becomes.

        >>> from marotte import Promise, defer
        >>> Promise(defer.succeed(5))._wait()
        5
        """

@final
class Resolver:
    """Resolves one promise, once; from :func:`makePromise`.

    >>> from marotte import makePromise
    >>> promise, resolver = makePromise()
    >>> resolver.smash(KeyError("gone"))
    >>> promise._wait()
    Traceback (most recent call last):
    KeyError: 'gone'
    """

    def __call__(self, value: object) -> None:
        """Fulfils the promise, or resolves it to another promise, a Deferred or an awaitable. Raises
        ``RuntimeError`` if it was resolved before.

        >>> from marotte import makePromise
        >>> promise, resolver = makePromise()
        >>> resolver(5)
        >>> resolver(6)
        Traceback (most recent call last):
        RuntimeError: the promise was resolved before
        """

    def resolve(self, value: object) -> None:
        """The same, by name.

        >>> from marotte import makePromise
        >>> promise, resolver = makePromise()
        >>> resolver.resolve(5)
        >>> promise._wait()
        5
        """

    def smash(self, reason: BaseException) -> None:
        """Breaks the promise, with an exception or a ``Failure``. Raises ``RuntimeError`` if it was
        resolved before, ``TypeError`` if the reason is neither.

        >>> from marotte import makePromise
        >>> promise, resolver = makePromise()
        >>> resolver.smash("no")
        Traceback (most recent call last):
        TypeError: a promise is broken with an exception or a Failure, not with str
        """

@final
class Send:
    """What :func:`send` returns: its attributes are the methods of the target."""

    def __getattr__(self, name: str, /) -> Callable[..., Promise]:
        """A method, to be called in a later turn.

        >>> from marotte import send
        >>> send([3, 1, 2]).index(1)._wait()
        1
        """

@final
class SturdyRef:
    """A reference that can be written down: where a peer is, and the number by which it knows an
    object. It can be passed as it is; whoever gets it may fetch the object, by
    :meth:`Tub.getReference`. Raises ``ValueError`` if ``uri`` is not one of an object.

    ``str(sturdy)`` is the URI, which is a secret; ``repr`` leaves the secret out.

    >>> from marotte import SturdyRef
    >>> SturdyRef("ocapn://alice.tcp-testing-only/s/c3RhdHVz?host=127.0.0.1&port=22045")
    <SturdyRef at ocapn://alice.tcp-testing-only?host=127.0.0.1&port=22045>
    """

    def __new__(cls, uri: str) -> SturdyRef: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class _Turns:
    """The turns of one event loop; calling it runs some. The runners of :mod:`marotte._runner`
    keep one for each loop."""

    def __new__(cls) -> _Turns: ...
    def __call__(self, /, *args: object, **kwargs: object) -> None: ...

@final
class _Backoff:
    """The times between attempts to connect, in milliseconds; ``random`` is any number of 32 bits.
    :class:`marotte.Reconnector` keeps one."""

    def __new__(cls, first_ms: int, most_ms: int) -> _Backoff: ...
    def failed(self, random: int) -> int: ...
    def lost(self, lasted_ms: int, random: int) -> int: ...

@final
class _LocalVat:
    """The vat of the objects of one event loop or thread that belong to no tub. The functions of
    :mod:`marotte` use it."""

    def __new__(cls, runner: object) -> _LocalVat: ...
    def makePromise(self) -> tuple[Promise, Resolver]: ...
    def adopt(self, value: object) -> Promise: ...
    def eventually(
        self,
        function: Callable[..., object],
        args: tuple[object, ...],
        kwargs: dict[str, Any] | None = None,
    ) -> None: ...
    def busy(self) -> bool: ...
    def begin(self, awaitable: object, settle: Callable[..., object]) -> Any: ...
    def callLater(self, seconds: float, function: Callable[[], object]) -> None: ...
    def cancelWork(self, work: object) -> None: ...
    def send(self, target: object, only: bool) -> Send: ...
    @staticmethod
    def state(reference: object) -> str: ...

@final
class RemoteReference:
    """An object of a peer's. Call its methods: each answers with a :class:`Promise`. Dropping the
    last reference gives the object back to the peer, within about a tenth of a second.

    Two references are equal, and hash alike, if they came over the same connection for the same
    object. Names that begin with an underscore are never remote.

    >>> import asyncio, marotte
    >>> class Greeter(marotte.Referenceable):
    ...     def remote_greet(self, name):
    ...         return f"Hello, {name}!"
    >>> async def main():
    ...     with marotte.Tub() as server, marotte.Tub() as client:
    ...         server.listen("tcp://127.0.0.1:0")
    ...         greeter = await client.getReference(server.registerReference(Greeter()))
    ...         return type(greeter).__name__, await greeter.greet("you")
    >>> asyncio.run(main())
    ('RemoteReference', 'Hello, you!')
    """

    def callRemote(self, method: str, *args: object) -> Deferred[Any]:
        """Calls a method by its name; returns a Deferred for the result, for code that uses
        Deferreds. (A far method of this name is reached by ``callRemote("callRemote")``.)

        >>> import asyncio, marotte
        >>> async def main():
        ...     with marotte.Tub() as server, marotte.Tub() as client:
        ...         server.listen("tcp://127.0.0.1:0")
        ...         class Adder(marotte.Referenceable):
        ...             def remote_add(self, a, b):
        ...                 return a + b
        ...         adder = await client.getReference(server.registerReference(Adder()))
        ...         return await adder.callRemote("add", 1, 2)
        >>> asyncio.run(main())
        3
        """

    def callRemoteOnly(self, method: str, *args: object) -> None:
        """The same without an answer: nothing is sent back.

        >>> import asyncio, marotte
        >>> async def main():
        ...     with marotte.Tub() as server, marotte.Tub() as client:
        ...         server.listen("tcp://127.0.0.1:0")
        ...         say = await client.getReference(server.registerReference(lambda: None))
        ...         say.callRemoteOnly("anything")
        >>> asyncio.run(main())
        """

    def notifyOnDisconnect(self, callback: Callable[..., object], *args: Any, **kwargs: Any) -> int:
        """Calls ``callback(*args, **kwargs)`` once, in a turn of its own, when the connection that the
        reference came over is lost; at once (in a turn) if it is lost already. Returns what
        :meth:`dontNotifyOnDisconnect` takes.

        >>> import asyncio, marotte
        >>> async def main():
        ...     lost = asyncio.Event()
        ...     with marotte.Tub() as server, marotte.Tub() as client:
        ...         server.listen("tcp://127.0.0.1:0")
        ...         f = await client.getReference(server.registerReference(lambda: 1))
        ...         f.notifyOnDisconnect(lost.set)
        ...         server.close()
        ...         await asyncio.wait_for(lost.wait(), 10)
        ...         return "lost"
        >>> asyncio.run(main())
        'lost'
        """

    def dontNotifyOnDisconnect(self, marker: int) -> None:
        """Takes a :meth:`notifyOnDisconnect` back, unless it has happened.

        >>> import asyncio, marotte
        >>> async def main():
        ...     with marotte.Tub() as server, marotte.Tub() as client:
        ...         server.listen("tcp://127.0.0.1:0")
        ...         f = await client.getReference(server.registerReference(lambda: 1))
        ...         f.dontNotifyOnDisconnect(f.notifyOnDisconnect(print, "lost"))
        >>> asyncio.run(main())
        """

    def __getattr__(self, name: str, /) -> Method:
        """The remote method of that name, to be called; nothing is sent yet. Raises
        ``AttributeError`` for names that begin with an underscore."""

    def __call__(self, *args: object) -> Promise:
        """Calls a remote function; see :meth:`Method.__call__` for the arguments and for what is
        raised.

        >>> import asyncio, marotte
        >>> async def main():
        ...     with marotte.Tub() as server, marotte.Tub() as client:
        ...         server.listen("tcp://127.0.0.1:0")
        ...         double = await client.getReference(server.registerReference(lambda x: 2 * x))
        ...         return await double(21)
        >>> asyncio.run(main())
        42
        """

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

class Referenceable:
    """An object that others may call: its methods named ``remote_…`` are callable from afar, under
    the name behind the prefix, plain or ``async def``. Everything else stays private.

    What a method returns is passed like an argument (see :meth:`Method.__call__`); a promise, a
    coroutine, a Deferred or any other awaitable is waited for. What it raises breaks the caller's
    promise with a :class:`RemoteError`.

    >>> import marotte
    >>> class Greeter(marotte.Referenceable):
    ...     def remote_greet(self, name):
    ...         return f"Hello, {name}!"
    >>> with marotte.Tub(runner="blocking") as tub:
    ...     listener = tub.listen("tcp://127.0.0.1:0")
    ...     greeter = tub.getReference(tub.registerReference(Greeter()))
    ...     greeter.greet("you")._wait(timeout=10)
    'Hello, you!'
    """

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        """Takes any arguments, so that subclasses define ``__init__`` as they like, and need not
        call this one."""

@final
class Trace:
    """Notes of who sent what, because of which message: see :meth:`Tub.trace`, which makes these. A
    message has one name at both ends, so the notes of several programs make one picture: put their
    lists ``traceEvents`` together.

    What an asynchronous method does after it has waited counts as caused by its beginning. What a
    callback of a Deferred does is part of the turn that fired it.
    """

    def toJSON(self) -> str:
        """The picture in Chrome's trace format, which https://ui.perfetto.dev shows."""

    @property
    def lost(self) -> int:
        """How many events were not kept because there were more."""

    def stop(self) -> None:
        """Notes nothing more."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
        /,
    ) -> bool: ...

@final
class Listener:
    """An open port, made by :meth:`Tub.listen`.

    >>> import marotte
    >>> with marotte.Tub(runner="blocking") as tub:
    ...     listener = tub.listen("ws://127.0.0.1:0")
    ...     listener.port > 0, listener.location.partition("?")[2] == f"url=ws://127.0.0.1:{listener.port}"
    (True, True)
    """

    @property
    def port(self) -> int:
        """The port that is listened on: the system's choice if 0 was asked for; 0 for a path in the
        file system."""

    @property
    def location(self) -> str:
        """What peers need to find the tub here, without any object: ``ocapn://…?host=…&port=…``."""

    def uriFor(self, name: str) -> str:
        """The URI, at this listener, of what is or will be registered under ``name``.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     tcp, ws = tub.listen("tcp://127.0.0.1:0"), tub.listen("ws://127.0.0.1:0")
        ...     at_tcp = tub.registerReference(lambda: 1, name="one")
        ...     at_tcp == tcp.uriFor("one"), "websocket" in ws.uriFor("one")
        (True, True)
        """

    def close(self) -> None:
        """Stops accepting; connections that were accepted go on. May be called twice."""

class _Limits(TypedDict, total=False):
    # Missing ones keep their defaults.
    max_message_bytes: int
    max_depth: int
    max_digits: int
    max_references: int
    max_exports: int
    max_imports: int
    max_answers: int
    max_unsent_bytes: int
    max_waiting_bytes: int
    max_gifts: int
    max_map_calls: int
    max_argument_bytes: int
    max_calls_per_second: int
    max_connections_per_address: int
    handshake_ms: int
    idle_ms: int
    silence_ms: int

@final
class Tub:
    """A vat of Python objects: it offers objects to others and finds theirs.

    It runs on the asyncio loop that is running when it is first used, or on Twisted's reactor if
    that is installed, or without any loop: then :meth:`Promise._wait` waits. It is a context
    manager that closes the tub.

    >>> import asyncio, marotte
    >>> class Greeter(marotte.Referenceable):
    ...     async def remote_greet(self, name):
    ...         await asyncio.sleep(0.01)
    ...         return f"Hello, {name}!"
    >>> async def main():
    ...     with marotte.Tub() as server, marotte.Tub() as client:
    ...         server.listen("tcp://127.0.0.1:0")
    ...         uri = server.registerReference(Greeter(), name="greeter")
    ...         return await client.getReference(uri).greet("you")
    >>> asyncio.run(main())
    'Hello, you!'
    """

    def __new__(
        cls,
        *,
        profile: str = "marotte",
        limits: _Limits | Mapping[str, int] | None = None,
        runner: Literal["asyncio", "twisted", "blocking"] | None = None,
        tracebacks: bool = False,
        introduce: bool = False,
        believe: bool = False,
        keyfile: str | PathLike[str] | None = None,
    ) -> Self:
        """``profile`` names the dialect of the wire, which both sides must speak. ``runner`` is
        for where the event loop must not be left to circumstances. ``tracebacks`` lets peers see
        where in this program a method failed (:attr:`RemoteError.traceback`).

        ``introduce`` hands objects off: a peer that is passed an object of another peer's connects to
        that one, and calls it without this tub. Otherwise the object is lent, and its calls pass
        through here. ``believe`` takes peers that connect for whom they say they are, so that their
        connections are used to fetch from them by URI, too. Nothing proves it on plain TCP or
        WebSocket: whoever takes another's name is sent the secrets in references to that one.

        ``keyfile`` names the file that keeps who the tub is: a secret key, whose public half is part
        of every URI. It is made if it is not there, for its owner to read only; ``OSError`` is raised
        if it cannot be used. Without one the tub is somebody new.

        ``limits`` bounds what a peer may make this tub hold; a session that passes one is aborted
        (but for a long argument, which breaks its call, and one more connection, which is closed):

        ==================== =============================================== =============
        name                 what                                            default
        ==================== =============================================== =============
        max_message_bytes    longest message, in bytes                       64 MiB
        max_depth            deepest nesting of values                       64
        max_digits           most decimal digits in one integer              10,000
        max_references       most references in one message                  65,536
        max_exports          most objects of ours that a peer holds          1,048,576
        max_imports          most objects of a peer's that we hold           1,048,576
        max_answers          most calls that a peer has not collected        1,048,576
        max_unsent_bytes     most bytes waiting for a peer that reads not    256 MiB
        max_waiting_bytes    most bytes of its messages waiting in promises   256 MiB
        max_gifts            most gifts kept of a peer for others            10,000
        max_map_calls        most calls that one ``_map`` may ask for         1,000,000
        max_argument_bytes   longest argument of a call, as it is encoded    64 MiB
        max_calls_per_second most calls in a second, after a pause at once   1,000,000
        max_connections_per_address  most connections of one listener's      16,384
        handshake_ms         from connecting to an open session, in ms       30,000
        idle_ms              longest time without a byte from the peer       0 (no end)
        silence_ms           longest time without a word from its machine    90,000
        ==================== =============================================== =============

        Raises ``ValueError`` for an unknown profile, limit or runner, ``RuntimeError`` for
        ``runner="asyncio"`` where no loop is running.

        >>> import marotte
        >>> tub = marotte.Tub(limits={"max_message_bytes": 1 << 20}, runner="blocking")
        >>> marotte.Tub(limits={"max_pigeons": 3})
        Traceback (most recent call last):
        ValueError: no limit named "max_pigeons"
        """

    def listen(self, address: str, url: str | None = None) -> Listener:
        """Accepts connections at

        - ``noise://host:port``: encrypted, and both ends show by their keys who they are;
        - ``noise+ws://host:port``: the same inside of WebSockets, for browsers and for the way
          through proxies;
        - ``noise+unix:///path``: the same for programs of this machine;
        - ``tcp://host:port`` or ``ws://host:port``: plain text, for networks that can be trusted.

        With port 0 the system chooses one. ``url`` is what peers connect to instead, if not there:
        ``"wss://example.org/marotte"`` for a WebSocket behind a proxy, ``"noise://example.org:9000"``
        where the address says nothing to others, as ``0.0.0.0``.

        URIs lead to all listeners of one kind, encrypted or not; of several kinds, to those of the
        first. Whoever uses one tries all ways at once, and takes the first on which a peer shows that
        it has the key in the URI. An encrypted listener is shared by the tubs that :meth:`makeTub`
        makes.

        Raises ``ValueError`` for another kind of address, ``OSError`` if the port cannot be opened.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     tub.listen("udp://127.0.0.1:0")
        Traceback (most recent call last):
        ValueError: cannot listen at "udp://127.0.0.1:0"; it must be noise://host:port, noise+ws://host:port, noise+unix:///path, tcp://host:port or ws://host:port
        """

    def makeTub(self, *, keyfile: str | PathLike[str] | None = None) -> Tub:
        """Another tub, with a new identity (or the one that is kept in ``keyfile``) and the same
        options, that is found where this one is, now and later: each of their encrypted listeners
        is the other's, too, and whoever connects says by the key in the URI whom they want.
        Listeners in plain text are not shared.

        It is cheap, and closing it breaks the references to its objects, and no others: a lifetime
        for objects that are to end together. Listeners close with the last tub that is found there.

        Raises ``RuntimeError`` if this tub was closed, ``OSError`` if the key cannot be kept,
        ``ValueError`` if a tub with that key is found here already.

        >>> import asyncio, marotte
        >>> async def main():
        ...     with marotte.Tub() as shop, marotte.Tub() as client:
        ...         shop.listen("noise://127.0.0.1:0")
        ...         visit = shop.makeTub()
        ...         cart = client.getReference(visit.registerReference(lambda: "three pears"))
        ...         print(await cart())
        ...         visit.close()
        ...         try:
        ...             await cart()
        ...         except marotte.DisconnectedError as error:
        ...             print(str(error).partition(" is gone: ")[2])
        >>> asyncio.run(main())
        three pears
        the peer ended the session: the tub was closed
        """

    def registerReference(
        self, obj: object, name: str | None = None, *, uriFile: str | PathLike[str] | None = None
    ) -> str:
        """Offers ``obj``, a :class:`Referenceable`, function or bound method, to whoever knows the
        URI that is returned. Without a ``name`` the URI holds 256 random bits; with one it can be
        guessed by whoever knows the name. What had that name before is replaced. The URI is that
        of the first listener; see :meth:`Listener.uriFor` for the others.

        ``uriFile`` names a file that keeps the URI, for its owner to read only: the next run of the
        program gets the same random bits, if it has the same ``keyfile``, too. It is made if it is
        not there.

        Raises ``RuntimeError`` if the tub listens nowhere, ``TypeError`` if ``obj`` cannot be
        called from afar, ``OSError`` if the file cannot be used or is another tub's.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     tub.registerReference(lambda: "here", name="where").startswith("ocapn://")
        True
        """

    def revoke(self, obj: object) -> bool:
        """Breaks every reference to ``obj`` that peers have or will have by this tub, however they came
        to it: what they call fails with a ``PermissionError``, and calls under way are not delivered.
        It is registered no more. This program still reaches it. There is no way back: to offer it
        again, put another object before it. False if it was revoked before.

        >>> import asyncio, marotte
        >>> class Log(marotte.Referenceable):
        ...     def remote_write(self, line):
        ...         return len(line)
        >>> async def main():
        ...     with marotte.Tub() as server, marotte.Tub() as client:
        ...         server.listen("tcp://127.0.0.1:0")
        ...         log = Log()
        ...         remote = await client.getReference(server.registerReference(log))
        ...         print(await remote.write("hello"))
        ...         server.revoke(log)
        ...         await remote.write("hello")
        >>> asyncio.run(main())
        Traceback (most recent call last):
        marotte.RemoteError: PermissionError: the reference was revoked
        """

    def unregisterReference(self, uri: str) -> bool:
        """Takes a registration back; references that peers hold already stay good. True if there
        was one. Raises ``ValueError`` if ``uri`` is none.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     uri = tub.registerReference(lambda: "here")
        ...     tub.unregisterReference(uri), tub.unregisterReference(uri)
        (True, False)
        """

    def getReference(self, uri: str | SturdyRef) -> Promise:
        """The object that a URI names, as a promise that can be called at once. The connection is
        made, or an existing one to the same peer used; what goes wrong there breaks the promise
        with a :class:`DisconnectedError`. Of a URI of this tub's own the promise is settled at
        once, with the object itself, whose methods are still called in a later turn.

        Raises ``ValueError`` if ``uri`` is none, or names a transport that is not known here.

        >>> import marotte
        >>> marotte.Tub(runner="blocking").getReference("http://example.com/")
        Traceback (most recent call last):
        ValueError: not an ocapn:// reference: it must begin with ocapn://
        """

    def connectTo(
        self,
        uri: str | SturdyRef,
        callback: Callable[..., object] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Reconnector:
        """Keeps a connection to the object that a URI names: it connects now, and whenever the
        connection is lost again, after times that grow while it fails: from a second by a factor of
        1.6 to two minutes, a fifth more or less. ``callback(reference, *args, **kwargs)`` is called
        each time; it may be ``async``. What it raises is logged. What was called over a connection that is lost breaks, and is not sent again. It
        ends with the tub, or by :meth:`Reconnector.stopConnecting`.

        Raises ``ValueError`` if ``uri`` is none, ``RuntimeError`` if the tub was closed.

        >>> import asyncio, marotte
        >>> async def main():
        ...     got = asyncio.Event()
        ...     with marotte.Tub() as server, marotte.Tub() as client:
        ...         server.listen("noise://127.0.0.1:0")
        ...         uri = server.registerReference(lambda: None)
        ...         reconnector = client.connectTo(uri, lambda reference: got.set())
        ...         await got.wait()
        ...         return reconnector
        >>> asyncio.run(main())
        <Reconnector stopped>
        """

    def trace(self, name: str | None = None, *, events: int = 100_000) -> Trace:
        """Notes from now on who sends what, because of which message: every turn of this tub and
        every message that is sent in it, the newest ``events``. ``name`` is the tub's in the picture;
        its designator, if there is none. A trace that was begun before ends.

        >>> import asyncio, json, marotte
        >>> async def main():
        ...     with marotte.Tub() as server, marotte.Tub() as client:
        ...         server.listen("tcp://127.0.0.1:0")
        ...         ref = client.getReference(server.registerReference(lambda: 1))
        ...         with server.trace("server") as trace:
        ...             await ref()
        ...         return json.loads(trace.toJSON())["traceEvents"]
        >>> [event["name"] for event in asyncio.run(main()) if event["ph"] == "X"]
        ['send answer', '(call)', 'send answer']
        """

    def stats(self) -> dict[str, int]:
        """Counters: what all connections of this tub have done so far (``messages_sent``,
        ``messages_received``, ``calls_sent``, ``calls_received``, ``round_trips``, ``writes``,
        ``reads``, ``bytes_sent``, ``bytes_received``), and how large the tables of the open ones
        are (``exports``, ``imports``, ``questions``, ``answers``). ``round_trips`` counts
        dependent ones: it grows when a call is made after the last answer came.

        >>> import marotte
        >>> marotte.Tub(runner="blocking").stats()["round_trips"]
        0
        """

    def close(self) -> None:
        """Ends every connection, and the listeners that no other tub shares. Promises that wait for a peer break with a
        :class:`DisconnectedError`. May be called twice.

        >>> import marotte
        >>> tub = marotte.Tub(runner="blocking")
        >>> tub.close()
        >>> tub.close()
        """

    def run(self, seconds: float | None = None) -> None:
        """Serves for so many seconds, or until interrupted; for programs without an event loop.
        Raises ``RuntimeError`` if the tub runs on one.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     tub.run(seconds=0.01)
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
        /,
    ) -> bool: ...

# What follows is marotte.defer.

_T = TypeVar("_T")
_U = TypeVar("_U")
_V = TypeVar("_V")
_P = ParamSpec("_P")

@type_check_only
class _Clock(Protocol):
    # Twisted's `IReactorTime` is an interface, whose methods are declared without `self`.
    @property
    def callLater(self) -> Callable[..., Any]: ...

@disjoint_base
class Deferred(Awaitable[_T]):
    """A result of type ``T`` that is not here yet, and what is to be done with it.

    Callbacks and errbacks form a ladder: each pair gets what the one before returned or raised, a
    value on one side and a :class:`Failure` on the other. The first gets what :meth:`callback` or
    :meth:`errback` was given. One that returns another Deferred makes the rest wait for that one.

    Adding to a Deferred changes what its result is, so for type checkers it returns another:
    of a ``Deferred[int]``, ``d.addCallback(str)`` is a ``Deferred[str]``. It is the same object.

    It can be awaited, and yielded in a function with :func:`inlineCallbacks`.

    >>> from marotte.defer import Deferred
    >>> d = Deferred()
    >>> d.addCallback(lambda n: 1 / n).addErrback(lambda failure: failure.getErrorMessage())
    ... # doctest: +ELLIPSIS
    <Deferred at 0x...>
    >>> d.callback(0)
    >>> d.result
    'division by zero'
    """

    called: bool
    """Whether it has fired, or was cancelled."""

    paused: int
    """How often it was paused more than unpaused. Waiting for another one counts as a pause."""

    debug: bool
    """Whether it keeps the stacks of its maker and of who fired it, for the texts of errors. On
    the class: whether all do that; :func:`setDebugging` changes that."""

    result: Any
    """The latest result, or the Deferred that is waited for. Before it has fired there is no such
    attribute."""

    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def __init__(self, canceller: Callable[[Deferred[Any]], object] | None = None) -> None:
        """``canceller(deferred)`` is called by :meth:`cancel` before it has fired. It may fire it
        itself."""

    @overload
    def addCallback(
        self,
        callback: Callable[Concatenate[_T, _P], Deferred[_U] | Failure],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Deferred[_U]:
        """Calls ``callback(result, *args, **kwargs)`` with a value, at once if it is there. A
        failure passes by. What it returns is the result from there on; what it raises is a
        failure.

        >>> from marotte.defer import succeed
        >>> succeed(2).addCallback(pow, 5).result
        32
        """

    @overload
    def addCallback(
        self,
        callback: Callable[Concatenate[_T, _P], _U | Deferred[_U] | Failure],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Deferred[_U]: ...
    @overload
    def addErrback(
        self,
        errback: Callable[Concatenate[Failure, _P], Failure],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Deferred[_T]:
        """Calls ``errback(failure, *args, **kwargs)`` with a failure. A value passes by. Unless it
        returns the failure or raises, the failure is handled.

        >>> from marotte.defer import fail
        >>> fail(KeyError("key")).addErrback(lambda failure: failure.check(LookupError)).result
        <class 'LookupError'>
        """

    @overload
    def addErrback(
        self,
        errback: Callable[Concatenate[Failure, _P], Deferred[_U] | Failure],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Deferred[_T | _U]: ...
    @overload
    def addErrback(
        self,
        errback: Callable[Concatenate[Failure, _P], _U | Deferred[_U] | Failure],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Deferred[_T | _U]: ...
    @overload
    def addBoth(
        self,
        callback: Callable[Concatenate[_T | Failure, _P], Deferred[_U] | Failure],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Deferred[_U]:
        """Calls ``callback(result, *args, **kwargs)`` with a value or a failure."""

    @overload
    def addBoth(
        self,
        callback: Callable[Concatenate[_T | Failure, _P], _U | Deferred[_U] | Failure],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Deferred[_U]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[..., Deferred[_U] | Failure],
        errback: None = None,
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U]:
        """Adds a callback and an errback side by side: only one of them is called. The errback is
        not there for what the callback raises. ``None`` for arguments means that there are none.

        >>> from marotte.defer import fail
        >>> def recover(failure, value):
        ...     return value
        >>> fail(KeyError("key")).addCallbacks(str, recover, errbackArgs=("default",)).result
        'default'
        """

    @overload
    def addCallbacks(
        self,
        callback: Callable[..., _U | Deferred[_U] | Failure],
        errback: None = None,
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[..., Deferred[_U] | Failure],
        errback: Callable[..., Failure],
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[..., _U | Deferred[_U] | Failure],
        errback: Callable[..., Failure],
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[..., Deferred[_U] | Failure],
        errback: Callable[..., Deferred[_V] | Failure],
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U | _V]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[..., Deferred[_U] | Failure],
        errback: Callable[..., _V | Deferred[_V] | Failure],
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U | _V]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[..., _U | Deferred[_U] | Failure],
        errback: Callable[..., Deferred[_V] | Failure],
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U | _V]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[..., _U | Deferred[_U] | Failure],
        errback: Callable[..., _V | Deferred[_V] | Failure],
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U | _V]: ...
    def callback(self, result: _T | Failure) -> None:
        """Fires it with a value, or with a failure. Raises :class:`AlreadyCalledError` if it has
        fired before, except that one call after a :meth:`cancel` is swallowed, if there was no
        canceller."""

    def errback(self, fail: Failure | BaseException | None = None) -> None:
        """Fires it with a failure: that of an exception, or without one that of the exception
        being handled now.

        >>> from marotte.defer import Deferred
        >>> d = Deferred()
        >>> d.errback(KeyError("key"))
        >>> d.addErrback(lambda failure: repr(failure.value)).result
        "KeyError('key')"
        """

    def pause(self) -> None:
        """Holds it: nothing on its ladder runs until :meth:`unpause` was called as often."""

    def unpause(self) -> None:
        """Takes back one :meth:`pause`."""

    def cancel(self) -> None:
        """Says that the result is not wanted any more. If it has not fired, its canceller is
        called, and unless that fires it, it fails with :class:`CancelledError`. If it waits for
        another one, that is cancelled. Otherwise nothing happens.

        >>> from marotte.defer import Deferred
        >>> d = Deferred()
        >>> d.cancel()
        >>> d.addErrback(lambda failure: failure.type.__name__).result
        'CancelledError'
        """

    def chainDeferred(self, d: Deferred[_T]) -> Deferred[None]:
        """Fires ``d`` with the result that comes to this point of the ladder, which goes on with
        ``None``."""

    def addTimeout(
        self,
        timeout: float,
        clock: _Clock,
        onTimeoutCancel: Callable[[_T | Failure, float], _U | Deferred[_U] | Failure] | None = None,
    ) -> Deferred[_T | _U]:
        """Cancels it unless there is a result at this point of the ladder within that many
        seconds. Its failure is then a :class:`TimeoutError`, or its result what
        ``onTimeoutCancel(result, timeout)`` makes of it. The clock has Twisted's ``callLater``:
        a reactor, or under asyncio ``marotte.defer.AsyncioClock()``."""

    @classmethod
    def fromCoroutine(
        cls, coro: Coroutine[Deferred[Any], Any, _U] | Generator[Deferred[Any], Any, _U]
    ) -> Deferred[_U]:
        """Starts a coroutine that awaits Deferreds, and returns a Deferred for what it returns.

        >>> from marotte.defer import Deferred, succeed
        >>> async def double(d):
        ...     return 2 * await d
        >>> Deferred.fromCoroutine(double(succeed(21))).result
        42
        """

    def asFuture(self, loop: AbstractEventLoop) -> Future[_T]:
        """A future of an asyncio loop for the result, which the ladder then has no more.
        Cancelling the future cancels the Deferred."""

    @classmethod
    def fromFuture(cls, future: Future[_U]) -> Deferred[_U]:
        """A Deferred for the result of a future. Cancelling it cancels the future."""

    @property
    def callbacks(self) -> Any:
        """Deprecated; as of Twisted 25.5, there is no use for it."""

    def __await__(self) -> Generator[Deferred[Any], Any, _T]: ...
    def __iter__(self) -> Generator[Deferred[Any], Any, _T]: ...
    def __next__(self) -> Self:
        """One step of waiting for it."""

    def send(self, _value: object) -> Self:
        """One step of waiting for it: a generator that delegates to it calls this."""

    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    @classmethod
    def __init_subclass__(cls, **_kwargs: object) -> None: ...

@disjoint_base
class DeferredList(Deferred[_T]):
    """The results of several Deferreds, when all of them are there: a list of pairs
    ``(True, value)`` and ``(False, failure)``, in their order.

    >>> from marotte.defer import DeferredList, succeed
    >>> DeferredList([succeed(1), succeed(2)]).result
    [(True, 1), (True, 2)]
    """

    @overload
    def __init__(
        self: DeferredList[tuple[_U, int]],
        deferredList: Iterable[Deferred[_U]],
        fireOnOneCallback: Literal[True],
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None:
        """With ``fireOnOneCallback``, the first value is enough: the result is it and its index.
        With ``fireOnOneErrback``, so is the first failure: it is a :class:`FirstError`. With
        ``consumeErrors``, failures end here, and need not be handled at the Deferreds of the
        list."""

    @overload
    def __init__(
        self: DeferredList[list[tuple[bool, _U]]],
        deferredList: Iterable[Deferred[_U]],
        fireOnOneCallback: Literal[False] = False,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: DeferredList[Any],
        deferredList: Iterable[Deferred[Any]],
        fireOnOneCallback: bool = False,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None: ...
    @property
    def fireOnOneCallback(self) -> bool:
        """Whether the first value is the result."""

    @property
    def fireOnOneErrback(self) -> bool:
        """Whether the first failure is the result."""

    @property
    def consumeErrors(self) -> bool:
        """Whether failures are taken from the Deferreds of the list."""

    @property
    def resultList(self) -> list[tuple[bool, Any] | None]:
        """The results as far as they have come; ``None`` for the others."""

    @property
    def finishedCount(self) -> int:
        """How many results have come."""

    def cancel(self) -> None:
        """Cancels every Deferred of the list, unless the list has fired. What cancellers raise is
        logged."""

@disjoint_base
class DeferredLock:
    """A lock that one at a time has; the others wait for it in turn.

    >>> from marotte.defer import DeferredLock
    >>> lock = DeferredLock()
    >>> lock.acquire().result is lock, lock.locked
    (True, True)
    >>> waiting = lock.run(print, "my turn")
    >>> lock.release()
    my turn
    """

    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    @property
    def locked(self) -> bool:
        """Whether somebody has it."""

    @property
    def waiting(self) -> list[Deferred[Self]]:
        """Who waits for it, the next one first. It is a copy."""

    def acquire(self) -> Deferred[Self]:
        """Fires with the lock when it is yours. Cancel it to wait no longer."""

    def release(self) -> None:
        """Gives it to the next one, at once. ``AssertionError`` if nobody has it."""

    @overload
    def run(
        self, f: Callable[_P, Deferred[_U]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]:
        """Calls ``f(*args, **kwargs)`` when the lock is to be had, and releases it when that has
        returned, or when the Deferred or the coroutine that it returns is done."""

    @overload
    def run(
        self, f: Callable[_P, Coroutine[Any, Any, _U]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]: ...
    @overload
    def run(
        self, f: Callable[_P, _U | Deferred[_U]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]: ...
    def __aenter__(self) -> Deferred[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Deferred[Literal[False]]: ...

@disjoint_base
class DeferredSemaphore:
    """A lock that several at a time may have.

    >>> from marotte.defer import DeferredSemaphore
    >>> semaphore = DeferredSemaphore(2)
    >>> [semaphore.acquire().called for _ in range(3)]
    [True, True, False]
    """

    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def __init__(self, tokens: int) -> None:
        """``tokens`` is how many may have it. ``ValueError`` if it is less than one."""

    @property
    def tokens(self) -> int:
        """How many more may have it now."""

    @property
    def limit(self) -> int:
        """How many may have it."""

    @property
    def waiting(self) -> list[Deferred[Self]]:
        """Who waits for it, the next one first. It is a copy."""

    def acquire(self) -> Deferred[Self]:
        """Fires with the semaphore when it is yours. Cancel it to wait no longer."""

    def release(self) -> None:
        """Gives it to the next one, at once. ``AssertionError`` if nobody has it."""

    @overload
    def run(
        self, f: Callable[_P, Deferred[_U]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]:
        """Calls ``f(*args, **kwargs)`` while holding it; see :meth:`DeferredLock.run`."""

    @overload
    def run(
        self, f: Callable[_P, Coroutine[Any, Any, _U]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]: ...
    @overload
    def run(
        self, f: Callable[_P, _U | Deferred[_U]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]: ...
    def __aenter__(self) -> Deferred[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Deferred[Literal[False]]: ...

@disjoint_base
class DeferredQueue(Generic[_T]):
    """A queue whose readers wait for what is not there yet.

    >>> from marotte.defer import DeferredQueue
    >>> queue = DeferredQueue()
    >>> got = queue.get().addCallback(print)
    >>> queue.put("first")
    first
    """

    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def __init__(self, size: int | None = None, backlog: int | None = None) -> None:
        """``size`` is how many objects may lie in it, ``backlog`` how many may wait; ``None``: any
        number."""

    @property
    def size(self) -> int | None:
        """How many objects may lie in it."""

    @property
    def backlog(self) -> int | None:
        """How many may wait."""

    @property
    def pending(self) -> list[_T]:
        """What lies in it, the next one first. It is a copy."""

    @property
    def waiting(self) -> list[Deferred[_T]]:
        """Who waits, the next one first. It is a copy."""

    def put(self, obj: _T) -> None:
        """Gives an object to the first that waits, or keeps it. Raises :class:`QueueOverflow` if
        it is full."""

    def get(self) -> Deferred[_T]:
        """Fires with the next object. Cancel it to wait no longer. Raises :class:`QueueUnderflow`
        if too many wait already."""

    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

def succeed(result: _T) -> Deferred[_T]:
    """A Deferred that has fired already.

    >>> from marotte.defer import succeed
    >>> succeed(3).result
    3
    """

def fail(result: Failure | BaseException | None = None) -> Deferred[Any]:
    """A Deferred that has failed already; see :meth:`Deferred.errback`.

    >>> from marotte.defer import fail
    >>> fail(KeyError("key")).addErrback(lambda failure: failure.type).result
    <class 'KeyError'>
    """

def execute(callable: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
    """A Deferred for what a function returns, whatever that is, or raises.

    >>> from marotte.defer import execute
    >>> execute(divmod, 7, 2).result
    (3, 1)
    """

@overload
def maybeDeferred(
    f: Callable[_P, Deferred[_T] | Failure], *args: _P.args, **kwargs: _P.kwargs
) -> Deferred[_T]:
    """Calls a function that may or may not be asynchronous, and returns a Deferred: the one that
    it returns, or one for the coroutine, or for the value, or for what it raises.

    >>> from marotte.defer import maybeDeferred
    >>> maybeDeferred(divmod, 7, 2).result
    (3, 1)
    """

@overload
def maybeDeferred(
    f: Callable[_P, Coroutine[Any, Any, _T]], *args: _P.args, **kwargs: _P.kwargs
) -> Deferred[_T]: ...
@overload
def maybeDeferred(
    f: Callable[_P, _T | Deferred[_T] | Failure], *args: _P.args, **kwargs: _P.kwargs
) -> Deferred[_T]: ...
@overload
def ensureDeferred(coro: Deferred[_T]) -> Deferred[_T]:
    """A Deferred for a coroutine that awaits Deferreds, which starts at once. A Deferred is
    returned as it is. Raises :class:`NotACoroutineError` for anything else.

    >>> from marotte.defer import ensureDeferred, succeed
    >>> async def double(d):
    ...     return 2 * await d
    >>> ensureDeferred(double(succeed(21))).result
    42
    """

@overload
def ensureDeferred(
    coro: Coroutine[Deferred[Any], Any, _T] | Generator[Deferred[Any], Any, _T],
) -> Deferred[_T]: ...
def gatherResults(
    deferredList: Iterable[Deferred[_T]], consumeErrors: bool = False
) -> Deferred[list[_T]]:
    """The values of several Deferreds, in their order, when all of them are there. The first
    failure is that of the whole, as a :class:`FirstError`. Cancelling it cancels all of them.

    >>> from marotte.defer import gatherResults, succeed
    >>> gatherResults([succeed(1), succeed(2)]).result
    [1, 2]
    """

def race(ds: Iterable[Deferred[_T]]) -> Deferred[tuple[int, _T]]:
    """The first value of several Deferreds, with its index; the others are cancelled. If all fail,
    so does this, with a :class:`FailureGroup`. Cancelling it cancels all of them.

    >>> from marotte.defer import Deferred, race, succeed
    >>> race([Deferred(), succeed("quick")]).result
    (1, 'quick')
    """

@final
class DebugFlag:
    """What ``Deferred.debug`` is: one switch for all, which each Deferred may set for itself."""

    @staticmethod
    def set(on: bool) -> None:
        """Sets it for all; see ``marotte.defer.setDebugging``."""

    def __get__(self, object: Deferred[Any] | None, class_: Any = None, /) -> bool:
        """Of one, or of all."""

    def __set__(self, object: Deferred[Any], on: object, /) -> None:
        """Sets it for one."""

def _unwind_generator(generator: Generator[Any, Any, _T]) -> Deferred[_T]: ...
def recognise_deferred(class_: type[Any], /) -> None:
    """Makes a class of Deferreds known that is not derived from ours: an object of exactly this
    class is waited for where one of ours would be. It needs ``addBoth`` and ``cancel``."""

# Tubes. What users see of these is in marotte.tubes.

@final
class _Siphon:
    """Tubes in a row, between a fount and a drain; see :func:`marotte.tubes.series`."""

    def __new__(
        cls,
        *tubes: object,
        capacity: int = 0,
        overflow: str = "pause",
        merge: Callable[[Any, Any], object] | None = None,
        waitsForDrain: bool = False,
    ) -> Self: ...
    @property
    def _tdrain(self) -> _SiphonDrain: ...
    @property
    def _tfount(self) -> _SiphonFount: ...
    @property
    def tubes(self) -> tuple[Any, ...]: ...
    def settle(self) -> None: ...
    def beSource(self, end: object) -> None: ...
    def wake(self) -> None: ...
    def waiting(self) -> int: ...
    def dropped(self) -> int: ...
    def isPaused(self) -> bool: ...
    def isOver(self) -> bool: ...
    def eject(self) -> tuple[list[Any], list[Any], Any]: ...
    def split(self, index: int) -> tuple[list[Any], Any]: ...
    def describe(
        self,
        *,
        inputType: object = None,
        outputType: object = None,
        name: object = None,
        next: object = None,
    ) -> None: ...

@disjoint_base
class _SiphonDrain:
    """What flows into a siphon is given to its drain."""

    def __new__(cls, siphon: _Siphon) -> Self: ...
    def adopt(self) -> None: ...
    @property
    def _siphon(self) -> _Siphon: ...
    @property
    def inputType(self) -> Any: ...
    @property
    def fount(self) -> Any: ...
    def flowingFrom(self, fount: object) -> Any: ...
    def receive(self, item: object) -> None: ...
    def flowStopped(self, reason: object) -> None: ...

@final
class _SiphonFount:
    """What comes out of a siphon is taken from its fount."""

    @property
    def _siphon(self) -> _Siphon: ...
    @property
    def outputType(self) -> Any: ...
    @property
    def drain(self) -> Any: ...
    def flowTo(self, drain: object) -> Any: ...
    def pauseFlow(self) -> _Pause: ...
    def stopFlow(self) -> None: ...

@final
class _Pause:
    """Holds a flow back."""

    def unpause(self) -> None: ...

@final
class _Pauser:
    """Counts pauses."""

    def __new__(
        cls, actuallyPause: Callable[[], object] | None, actuallyResume: Callable[[], object] | None
    ) -> Self: ...
    def pause(self) -> _Pause: ...
    @property
    def isPaused(self) -> bool: ...

@final
class _Hub:
    """Delivers between siphons."""

    @staticmethod
    def out(
        siphon: _Siphon, route: Callable[[Any], tuple[int, Any] | None] | None = None
    ) -> _Hub: ...
    @staticmethod
    def into(siphon: _Siphon, order: str, ends: str) -> _Hub: ...
    def addBranch(self, siphon: _Siphon) -> int: ...
    def addInput(self, siphon: _Siphon, priority: int = 0) -> int: ...
    def reasons(self) -> list[tuple[int, Any]]: ...
    def undelivered(self) -> int: ...
    def open(self) -> int: ...

@final
class _NativeTube:
    """A tube of the extension; see :mod:`marotte.tubes.framing`."""

    def __new__(
        cls,
        kind: str,
        inputType: object,
        outputType: object,
        *,
        name: str,
        number: int = 0,
        data: bytes | None = None,
        flag: bool = False,
        bits: int = 0,
    ) -> Self: ...
    @property
    def inputType(self) -> Any: ...
    @property
    def outputType(self) -> Any: ...
    def started(self) -> list[Any]: ...
    def received(self, item: object) -> list[Any]: ...
    def stopped(self, reason: object) -> list[Any]: ...
    def reassemble(self, outputs: Iterable[Any]) -> list[Any]: ...
    def divert(self, drain: object) -> None: ...
    @property
    def isDivertable(self) -> bool: ...

@final
class _StageTube:
    """A stage that each series makes for itself; see :mod:`marotte.tubes.stages`."""

    def __new__(
        cls,
        kind: str,
        *,
        name: str,
        function: Callable[..., object] | None = None,
        count: int = 1,
        seconds: float | None = None,
        ordered: bool = True,
        inputType: object = None,
        outputType: object = None,
    ) -> Self: ...
    @property
    def inputType(self) -> Any: ...
    @property
    def outputType(self) -> Any: ...

@final
class _Skip:
    """What a tube yields to give nothing."""

    def __new__(cls) -> Self: ...

@final
class _Pending:
    """Something that a tube waits for."""

    def __call__(self, value: object, error: BaseException | None = None) -> None: ...

@final
class _Allowance:
    """What may be sent to a far drain."""

    def __new__(cls) -> Self: ...
    def isOpen(self) -> bool: ...
    def spend(self, size: int) -> bool: ...
    def grant(self, items: int, bytes: int) -> None: ...

@final
class _Window:
    """What may come from a far fount."""

    def __new__(cls, items: int, bytes: int) -> Self: ...
    def open(self) -> tuple[int, int] | None: ...
    def arrived(self, size: int) -> bool: ...
    def taken(self, items: int, bytes: int) -> tuple[int, int] | None: ...

def _sizeOf(value: object) -> int: ...
