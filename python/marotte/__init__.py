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

from marotte._core import (
    DisconnectedError,
    Listener,
    Method,
    Promise,
    Referenceable,
    RemoteError,
    RemoteReference,
    Tub,
    __version__,
)
from marotte._symbol import Symbol

__all__ = [
    "DisconnectedError",
    "Listener",
    "Method",
    "Promise",
    "Referenceable",
    "RemoteError",
    "RemoteReference",
    "Symbol",
    "Tub",
    "__version__",
]
