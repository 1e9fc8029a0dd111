"""The objects that the OCapN conformance suite asks a peer for.

usage: peer.py PORT [PROFILE]

Listens on loopback, prints the peer's locator, and serves until it is killed. What the suite wants of
each object is told by its tests.
"""

import argparse
import asyncio

import marotte

CAR_FACTORY_BUILDER = "JadQ0++RzsD4M+40uLxTWVaVqM10DcBJ"
ECHO = "IO58l1laTyhcrgDKbEzFOO32MDd6zE5w"
GREETER = "VMDDd1voKWarCe2GvgLbxbVFysNzRPzx"
PROMISE_RESOLVER = "IokCxYmMj04nos2JN1TDoY1bT8dXh6Lr"
ENLIVENER = "gi02I1qghIwPiKGKleCQAOhpy3ZtYRpB"


def build_car_factory():
    def make_car(description):
        color, model = description
        if not isinstance(color, marotte.Symbol) or not isinstance(model, marotte.Symbol):
            raise TypeError("a car is described by two symbols: its color and its model")

        def drive():
            return f"Vroom! I am a {color} {model} car!"

        return drive

    return make_car


def echo(*args):
    return list(args)


def greet(whom):
    # The answer is of no interest, but it is asked for.
    whom("Hello")._except(lambda error: None)


class Resolver(marotte.Referenceable):
    """Takes what a resolver of the protocol's takes."""

    def __init__(self, resolver):
        self.resolver = resolver

    def remote_fulfill(self, value):
        self.resolver(value)

    def remote_break(self, reason):
        self.resolver.smash(marotte.RemoteError(reason))


def make_promise():
    promise, resolver = marotte.makePromise()
    return [promise, Resolver(resolver)]


async def serve(port, profile):
    tub = marotte.Tub(profile=profile, introduce=True, believe=True)
    tub.listen(f"tcp://127.0.0.1:{port}")

    def enliven(sturdy):
        return tub.getReference(sturdy)

    for name, thing in [
        (CAR_FACTORY_BUILDER, build_car_factory),
        (ECHO, echo),
        (GREETER, greet),
        (PROMISE_RESOLVER, make_promise),
        (ENLIVENER, enliven),
    ]:
        uri = tub.registerReference(thing, name=name)
    # The peer itself, without an object.
    head, _, rest = uri.partition("/s/")
    print(f"{head}?{rest.partition('?')[2]}", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a peer for the OCapN conformance suite")
    parser.add_argument("port", type=int)
    parser.add_argument("profile", nargs="?", default="draft-2026-07")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.profile))
