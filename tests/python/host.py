"""A process under one of the event loops.

``host.py serve LOOP SCHEME`` prints a URI and serves it until it is killed; ``host.py call LOOP URI``
runs every behaviour against it and prints what became of each, as JSON.
"""

import asyncio
import json
import sys
import traceback

import marotte
from behaviours import ALL


class Service(marotte.Referenceable):
    def remote_echo(self, value):
        return value

    def remote_itself(self):
        return self

    def remote_fail(self, message):
        raise ValueError(message)

    def remote_call(self, function, *args):
        return function(*args)

    async def remote_later(self, value):
        await pause()
        return value


async def pause():
    """Waits, in the way of the loop that runs; without one there is nothing to wait for."""
    if loop in ("asyncio", "uvloop"):
        await asyncio.sleep(0.001)
    elif loop != "blocking":
        from twisted.internet import reactor, task

        await task.deferLater(reactor, 0.001, lambda: None)


class Client:
    """A tub that knows the URI."""

    def __init__(self, uri):
        self.uri = uri
        self._tub = marotte.Tub()
        self.stats, self.close = self._tub.stats, self._tub.close
        self.getReference = self._tub.getReference


def steps(uri, results):
    """All behaviours, one after the other, as one generator of promises."""
    tub = Client(uri)
    for behaviour in ALL:
        try:
            yield from behaviour(tub.getReference(uri), tub)
            results[behaviour.__name__] = None
        except Exception:  # noqa: BLE001 - it is reported
            results[behaviour.__name__] = traceback.format_exc()
    tub.close()


async def drive(generator):
    try:
        promise = next(generator)
        while True:
            try:
                value = await promise
            except Exception as error:  # noqa: BLE001 - the generator's to handle
                promise = generator.throw(error)
            else:
                promise = generator.send(value)
    except StopIteration:
        pass


def drive_blocking(generator):
    try:
        promise = next(generator)
        while True:
            try:
                value = promise._wait(timeout=20)
            except Exception as error:  # noqa: BLE001 - the generator's to handle
                promise = generator.throw(error)
            else:
                promise = generator.send(value)
    except StopIteration:
        pass


def run_reactor(start):
    """Runs Twisted's reactor until what ``start`` returns has fired, and checks that nothing of
    ours is left on it."""
    from twisted.internet import reactor

    def finish(result):
        # The last goodbyes go out; a peer has a second to read them.
        reactor.callLater(1.5, check)
        return result

    def check():
        left.extend(map(str, reactor.getDelayedCalls()))
        left.extend(map(str, reactor.removeAll()))
        reactor.stop()

    left = []
    reactor.callWhenRunning(lambda: start().addBoth(finish))
    reactor.run()
    return left


def call(uri):
    results = {}
    if loop in ("asyncio", "uvloop"):
        run_asyncio(drive(steps(uri, results)))
    elif loop == "blocking":
        drive_blocking(steps(uri, results))
    else:
        from twisted.internet import defer

        @defer.inlineCallbacks
        def inline():
            generator = steps(uri, results)
            try:
                promise = next(generator)
                while True:
                    try:
                        value = yield promise._when()
                    except Exception as error:  # noqa: BLE001 - the generator's to handle
                        promise = generator.throw(error)
                    else:
                        promise = generator.send(value)
            except StopIteration:
                pass

        def coroutine():
            return defer.ensureDeferred(drive(steps(uri, results)))

        results["left on the reactor"] = run_reactor(inline if loop == "inline" else coroutine)
    print(json.dumps(results))


def serve(scheme):
    def start():
        tub.listen(f"{scheme}://127.0.0.1:0")
        print(tub.registerReference(Service()), flush=True)

    async def forever():
        start()
        await asyncio.get_running_loop().create_future()

    tub = marotte.Tub()
    if loop in ("asyncio", "uvloop"):
        run_asyncio(forever())
    elif loop == "blocking":
        start()
        tub.run()
    else:
        from twisted.internet import reactor

        reactor.callWhenRunning(start)
        reactor.run()


def run_asyncio(main):
    if loop == "uvloop":
        import uvloop

        uvloop.run(main)
    else:
        asyncio.run(main)


if __name__ == "__main__":
    _, what, loop, argument = sys.argv
    if loop in ("twisted", "inline"):
        import twisted.internet.reactor  # noqa: F401 - a tub sees by it where it is
    {"serve": serve, "call": call}[what](argument)
