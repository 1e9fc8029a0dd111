"""Objects that call each other across processes, machines and languages as if they were local.

>>> import marotte
>>> class Greeter(marotte.Referenceable):
...     def remote_greet(self, name):
...         return f"Hello, {name}!"
>>> with marotte.Tub(runner="blocking") as tub:
...     listener = tub.listen("tcp://127.0.0.1:0")
...     uri = tub.registerReference(Greeter(), name="greeter")
...     greeter = tub.getReference(uri)          # our own: any other program uses the same line
...     greeter.greet("you")._wait(timeout=10)
'Hello, you!'
"""

from typing import TYPE_CHECKING, Any

from marotte._core import (
    DisconnectedError,
    Listener,
    Method,
    Promise,
    Referenceable,
    RemoteReference,
    Resolver,
    SturdyRef,
    Trace,
    Tub,
    __version__,
)
from marotte._errors import RemoteError
from marotte._reconnector import Reconnector
from marotte._symbol import Symbol

if TYPE_CHECKING:
    from marotte._eventual import (
        eventually,
        fireEventually,
        flushEventualQueue,
        makePromise,
        send,
        sendOnly,
        state,
        when,
    )

__all__ = [
    "DisconnectedError",
    "Listener",
    "Method",
    "Promise",
    "Reconnector",
    "Referenceable",
    "RemoteError",
    "RemoteReference",
    "Resolver",
    "SturdyRef",
    "Symbol",
    "Trace",
    "Tub",
    "__version__",
    "eventually",
    "fireEventually",
    "flushEventualQueue",
    "makePromise",
    "send",
    "sendOnly",
    "state",
    "when",
]


def __getattr__(name: str) -> Any:
    # Those of Deferreds and turns are imported when they are first used: where Twisted is
    # installed, that takes a twentieth of a second.
    if name in __all__:
        from marotte import _eventual

        return getattr(_eventual, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
