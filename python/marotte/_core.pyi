"""The extension module: everything here is re-exported by :mod:`marotte`; import it from there."""

from collections.abc import Callable, Generator, Mapping
from types import TracebackType
from typing import Any, Literal, TypedDict, final

from typing_extensions import Self

__all__ = [
    "DisconnectedError",
    "Listener",
    "Method",
    "Promise",
    "Referenceable",
    "RemoteError",
    "RemoteReference",
    "Tub",
    "__version__",
]

__version__: str
"""The version of this package, such as ``"0.1.0"``."""

class RemoteError(Exception):
    """The far object's method failed. The text is what the far side said of it: the exception's
    type, a colon, and its text. No traceback crosses the wire.

    >>> import marotte
    >>> class Shop(marotte.Referenceable):
    ...     def remote_buy(self, what):
    ...         raise LookupError(f"no {what} today")
    >>> async def main():
    ...     with marotte.Tub() as server, marotte.Tub() as client:
    ...         server.listen("tcp://127.0.0.1:0")
    ...         shop = client.getReference(server.registerReference(Shop()))
    ...         try:
    ...             await shop.buy("bread")
    ...         except marotte.RemoteError as error:
    ...             return str(error)
    >>> import asyncio
    >>> asyncio.run(main())
    'LookupError: no bread today'
    """

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
        """Raises ``TypeError``: a promise is neither true nor false.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     bool(tub.getReference(tub.registerReference(lambda: True)))
        Traceback (most recent call last):
        TypeError: a promise is neither true nor false before it settles; await it, or use _then
        """

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
        """The port that is listened on: the system's choice if 0 was asked for."""

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
    handshake_ms: int

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
    ) -> Self:
        """``profile`` names the dialect of the wire, which both sides must speak. ``runner`` is
        for where the event loop must not be left to circumstances.

        ``limits`` bounds what a peer may make this tub hold; a session that passes one is aborted:

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
        handshake_ms         from connecting to an open session, in ms       30,000
        ==================== =============================================== =============

        Raises ``ValueError`` for an unknown profile, limit or runner, ``RuntimeError`` for
        ``runner="asyncio"`` where no loop is running.

        >>> import marotte
        >>> tub = marotte.Tub(limits={"max_message_bytes": 1 << 20}, runner="blocking")
        >>> marotte.Tub(limits={"max_pigeons": 3})
        Traceback (most recent call last):
        ValueError: no limit named "max_pigeons"
        """

    def listen(self, address: str) -> Listener:
        """Accepts connections at ``tcp://host:port`` or ``ws://host:port``; with port 0 the system
        chooses one. Raises ``ValueError`` for another kind of address, ``OSError`` if the port
        cannot be opened.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     tub.listen("udp://127.0.0.1:0")
        Traceback (most recent call last):
        ValueError: cannot listen at "udp://127.0.0.1:0"; it must be tcp://host:port or ws://host:port
        """

    def registerReference(self, obj: object, name: str | None = None) -> str:
        """Offers ``obj``, a :class:`Referenceable`, function or bound method, to whoever knows the
        URI that is returned. Without a ``name`` the URI holds 256 random bits; with one it can be
        guessed by whoever knows the name. What had that name before is replaced. The URI is that
        of the first listener; see :meth:`Listener.uriFor` for the others.

        Raises ``RuntimeError`` if the tub listens nowhere, ``TypeError`` if ``obj`` cannot be
        called from afar.

        >>> import marotte
        >>> with marotte.Tub(runner="blocking") as tub:
        ...     listener = tub.listen("tcp://127.0.0.1:0")
        ...     tub.registerReference(lambda: "here", name="where").startswith("ocapn://")
        True
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

    def getReference(self, uri: str) -> Promise:
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
        """Ends every listener and connection. Promises that wait for a peer break with a
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
