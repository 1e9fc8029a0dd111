"""What the tests share: two tubs that know each other, and waiting for things to come true."""

import asyncio
import contextlib
import functools
import gc
import time

import marotte

TABLES = ("exports", "imports", "questions", "answers")


class Echo(marotte.Referenceable):
    """Gives back what it gets."""

    def remote_echo(self, value):
        return value

    def remote_call(self, function, *args):
        return function(*args)

    def remote_fail(self, message="no"):
        raise ValueError(message)

    def remote_none(self):
        return None

    def remote_self(self):
        return self

    def remote_forever(self):
        return asyncio.get_running_loop().create_future()


class Link:
    """What :func:`meet` gives."""

    def __init__(self, server, client, listener, uri):
        self.server, self.client, self.listener, self.uri = server, client, listener, uri

    @functools.cached_property
    def remote(self):
        # Not before it is wanted: one that breaks unseen is logged.
        return self.client.getReference(self.uri)


@contextlib.contextmanager
def meet(obj=None, scheme="tcp", server_limits=None, client_limits=None):
    """A server that offers ``obj``, a client, and the client's promise for the object."""
    with marotte.Tub(limits=server_limits) as server, marotte.Tub(limits=client_limits) as client:
        listener = server.listen(f"{scheme}://127.0.0.1:0")
        uri = server.registerReference(obj if obj is not None else Echo(), name="it")
        yield Link(server, client, listener, uri)


async def until(condition, seconds=10):
    """Waits until ``condition()`` holds, collecting garbage meanwhile."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not come true in {seconds} seconds"
        gc.collect()
        await asyncio.sleep(0.01)


def tables(tub):
    """The sizes of a tub's tables."""
    stats = tub.stats()
    return {name: stats[name] for name in TABLES}


EMPTY = dict.fromkeys(TABLES, 0)


async def failure(promise):
    """The exception that a promise breaks with."""
    try:
        value = await promise
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError(f"it did not fail, but gave {value!r}")
