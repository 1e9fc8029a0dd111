"""One end of a connection that faults happen to. ``faulty.py serve [OPTIONS]`` prints a URI for each scheme, and how it
is with it for each line that it reads; ``faulty.py NAME [OPTIONS]`` runs what is called so below. Options and all that
is said are lines of JSON."""

import asyncio
import hashlib
import itertools
import json
import os
import resource
import sys
import time

import marotte

TABLES = ("exports", "imports", "questions", "answers")


class Service(marotte.Referenceable):
    def __init__(self):
        self.other = None
        self.count = 0
        self.ended = []

    def remote_echo(self, value):
        return value

    def remote_itself(self):
        return self

    def remote_other(self):
        """An object of another tub's: the client is introduced to that one."""
        return self.other

    def remote_zeros(self, size):
        return bytes(size)

    def remote_next(self):
        self.count += 1
        return self.count

    def remote_digest(self, data):
        return [self.remote_next(), hashlib.sha256(data).hexdigest()]

    def remote_call(self, function, value):
        return function(value)

    async def remote_hang(self, function):
        """Calls a function that may never answer, and notes how that ended."""
        try:
            await function()
        except Exception as error:
            self.ended.append(type(error).__name__)
            raise


def forever():
    return asyncio.get_running_loop().create_future()


def talk(remote):
    """Promises of every kind for one object, and what they are to become."""
    return [
        (remote.itself().itself().echo(1), 1),
        (remote.echo("x" * 3000), "x" * 3000),
        (remote.call(lambda value: value + 1, 2), 3),
        (remote.zeros(100_000), bytes(100_000)),
    ]


async def outcome(promise):
    """The value of a promise, or why it is broken."""
    try:
        return await promise
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error


def say(what):
    print(json.dumps(what), flush=True)


async def stdin():
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


def tables(tub):
    stats = tub.stats()
    return {name: stats[name] for name in TABLES}


async def serve(schemes=("tcp",), host="127.0.0.1", limits=None, introduce=False):
    tub, other, service = marotte.Tub(limits=limits, introduce=introduce), marotte.Tub(), Service()
    if introduce:
        other.listen(f"{schemes[0]}://{host}:0")
        service.other = await tub.getReference(other.registerReference(Service()))
    listeners = [tub.listen(f"{scheme}://{host}:0") for scheme in schemes]
    tub.registerReference(service, name="it")
    say([listener.uriFor("it") for listener in listeners])
    lines = await stdin()
    while await lines.readline():
        say({"tables": tables(tub), "ended": service.ended})


async def give(uri, scheme):
    """Introduces its clients to an object of somebody else's."""
    tub, service = marotte.Tub(introduce=True), Service()
    tub.listen(f"{scheme}://127.0.0.1:0")
    service.other = await tub.getReference(uri)
    say(tub.registerReference(service))
    await forever()


async def call(uri):
    """Talks, and stays."""
    remote = marotte.Tub().getReference(uri)
    for promise, _ in talk(remote):
        await promise
    say("done")
    await forever()


async def fetch(uri, size):
    """Asks for a large answer."""
    await marotte.Tub().getReference(uri).zeros(size)


async def release(uri):
    """Holds objects of a peer's, and drops them; without a descriptor from before the first release on."""
    promise = marotte.Tub().getReference(uri)
    lowest = os.dup(0)
    os.close(lowest)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    remote = await promise
    for _ in range(10):
        await remote.new()
    say("dropped")
    await forever()


async def hang(uri):
    """Calls a method that calls back, and never answers it."""
    called = asyncio.Event()

    def ask():
        called.set()
        return forever()

    hanging = marotte.Tub().getReference(uri).hang(ask)
    await called.wait()
    say("called")
    await hanging


async def vanish(uris, limits):
    """Says how long promises wait for a peer that is not there any more."""
    tubs = [marotte.Tub(limits=limits) for _ in uris]
    remotes = await asyncio.gather(*(tub.getReference(uri) for tub, uri in zip(tubs, uris)))
    waiting = [remote.hang(forever) for remote in remotes]
    # A call that was answered: the one before it has arrived.
    await asyncio.gather(*(remote.echo(1) for remote in remotes))
    say("ready")
    lines = await stdin()
    await lines.readline()
    began = time.monotonic()

    async def settle(promise):
        kind = type(await outcome(promise)).__name__
        return kind, round(time.monotonic() - began, 1)

    # Every other connection has bytes under way; the rest have nothing to say.
    promises = waiting + [remote.echo(2) for remote in remotes[::2]]
    strangers = [marotte.Tub(limits=limits) for _ in uris]
    promises += [tub.getReference(uri) for tub, uri in zip(strangers, uris)]
    settled = await asyncio.gather(*map(settle, promises))
    say({"settled": settled, "tables": [tables(tub) for tub in tubs + strangers]})
    await lines.readline()
    again = [tub.getReference(uri).echo(3) for tub, uri in zip(tubs, uris)]
    say(await asyncio.gather(*again))


async def work(uris, calls, size):
    """Many calls, with one of a large argument among them, and a hand-off; on all connections at once."""

    async def one(uri):
        tub = marotte.Tub(introduce=True)
        remote = tub.getReference(uri)
        handed = [remote.other().next() for _ in range(3)]
        data = bytes(range(256)) * (size // 256)
        counts = [remote.next() for _ in range(calls // 2)]
        digest = remote.digest(data)
        counts += [remote.next() for _ in range(calls - calls // 2)]
        say("sent")
        counts = await asyncio.gather(*counts)
        number, digest = await digest
        counts.insert(calls // 2, number)
        # The service counts the calls of all clients.
        in_order = all(a < b for a, b in itertools.pairwise(counts))
        return {
            "in order": in_order and len(counts) == calls + 1,
            "whole": digest == hashlib.sha256(data).hexdigest(),
            "handed": len(set(await asyncio.gather(*handed))) == 3,
        }

    say(await asyncio.gather(*map(one, uris)))


async def pace(uri, limits, seconds):
    """Calls every so often, and says how that went; then how long it took until a silent peer was cut off."""
    with marotte.Tub(limits=limits) as tub:
        remote = await tub.getReference(uri)
        lost = asyncio.Event()
        remote.notifyOnDisconnect(lost.set)
        clock, end = time.time(), time.monotonic() + seconds
        while time.monotonic() < end:
            assert await remote.echo(1) == 1
            await asyncio.sleep(0.1)
        jumped = abs(time.time() - clock)
        began = time.monotonic()
        await lost.wait()
        say({"jumped": jumped, "lost after": time.monotonic() - began})


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](**json.loads((sys.argv[2:] or ["{}"])[0])))
