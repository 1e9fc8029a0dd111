"""What arrives of a failure elsewhere."""

from __future__ import annotations


class RemoteError(Exception):
    """The far object's method failed. The text is what the far side said of it: the exception's
    type, a colon, and its text.

    >>> import asyncio, marotte
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
    ...             return error.type, str(error), error.traceback
    >>> asyncio.run(main())
    ('LookupError', 'LookupError: no bread today', None)
    """

    type: str | None = None
    """The type of the far side's error, as its language calls it, such as ``"LookupError"``; None if
    the text does not begin with one."""

    traceback: str | None = None
    """Where it happened, as the far side's language tells it; None unless the far side lets its peers
    see that: ``Tub(tracebacks=True)``."""


RemoteError.__module__ = "marotte"
