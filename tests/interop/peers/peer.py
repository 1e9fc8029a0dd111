"""The Python side of the tests between languages: ``peer.py serve tcp|ws|noise|noise+ws`` prints a URI and serves
until it is killed; ``peer.py call URI`` prints a line for each check,
``peer.py chain URI`` what a chain of dependent calls gives, and ``peer.py chains URI`` what chains of
up to eight calls cost: a line of JSON for each."""

import asyncio
import json
import math
import os
import sys
import time

import marotte

# The dialect of the wire.
PROFILE = os.environ.get("PROFILE", "marotte")


class Service(marotte.Referenceable):
    def __init__(self, depth=0):
        self.depth = depth

    def remote_next(self):
        return Service(self.depth + 1)

    def remote_depth(self):
        return self.depth

    def remote_echo(self, value):
        return value

    def remote_itself(self):
        return self

    def remote_fail(self, message):
        raise ValueError(message)

    def remote_call(self, listener, value):
        return listener.notify(value)

    async def remote_sum(self, one, other):
        return await one + other

    def remote_keep(self, thing):
        self.kept = thing
        # It may be one of our own.
        return marotte.send(thing).depth()

    def remote_kept(self):
        return marotte.send(self.kept).depth()


class Listener(marotte.Referenceable):
    """Notes what it is told, and answers how often it was."""

    def __init__(self):
        self.noted = []

    def remote_notify(self, value):
        self.noted.append(value)
        return len(self.noted)


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**127),
    10**300,
    -(10**300),
    0.5,
    math.inf,
    5e-324,
    "",
    "Grüße, 世界 🌍\0",
    marotte.Symbol("red"),
    b"",
    bytes(range(256)),
    [],
    [{"a": None, "": [], "Ω": b"\0\xff"}, {}],
]


async def values(remote, tub):
    for value in VALUES:
        back = await remote.echo(value)
        assert back == value, f"{value!r} came back as {back!r}"
        assert type(back) is type(value), f"{value!r} came back as {type(back)}"


async def chain(remote, tub):
    before = tub.stats()["round_trips"]
    assert await remote.itself().itself().echo("end") == "end"
    assert tub.stats()["round_trips"] == before + 1


async def error(remote, tub):
    try:
        await remote.fail("the reason")
    except marotte.RemoteError as failure:
        assert "the reason" in str(failure), failure
    else:
        raise AssertionError("it did not fail")


async def callback(remote, tub):
    listener = Listener()
    assert await remote.call(listener, "a") == 1
    assert await remote.call(listener, "b") == 2
    assert listener.noted == ["a", "b"], listener.noted


async def promise(remote, tub):
    assert await remote.sum(remote.echo(40), 2) == 42


async def call(uri):
    with marotte.Tub(profile=PROFILE) as tub:
        remote = tub.getReference(uri)
        await remote
        print("fetch ok")
        for check in (chain, values, error, callback, promise):
            try:
                await asyncio.wait_for(check(remote, tub), 20)
            except Exception as problem:  # noqa: BLE001 - it is reported
                print(check.__name__, repr(problem))
            else:
                print(check.__name__, "ok")


async def end_of_chain(uri):
    with marotte.Tub(profile=PROFILE) as tub:
        print(await tub.getReference(uri).itself().itself().echo("end"))


async def chains(uri):
    with marotte.Tub(profile=PROFILE) as tub:
        remote = await tub.getReference(uri)
        for length in range(1, 9):
            for _ in range(3):
                trips = tub.stats()["round_trips"]
                begun = time.perf_counter()
                end = remote
                for _ in range(length - 1):
                    end = end.next()
                assert await end.depth() == length - 1
                ms = 1000 * (time.perf_counter() - begun)
                trips = tub.stats()["round_trips"] - trips
                print(json.dumps({"length": length, "ms": ms, "round_trips": trips}))


async def introduce(exporter, receiver):
    """Passes an object of the one to the other, which is to call it without us."""
    with marotte.Tub(profile=PROFILE, introduce=True) as tub:
        thing = await tub.getReference(exporter).next()
        to = await tub.getReference(receiver)
        assert await to.keep(thing) == 1
        assert await to.kept() == 1
        print("calls received", tub.stats()["calls_received"])


async def serve(scheme):
    tub = marotte.Tub(profile=PROFILE)
    tub.listen(f"{scheme}://127.0.0.1:0")
    print(tub.registerReference(Service()), flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    commands = {"serve": serve, "call": call, "chain": end_of_chain, "chains": chains}
    commands["introduce"] = introduce
    asyncio.run(commands[sys.argv[1]](*sys.argv[2:]))
