"""The build-status server in Python. rust/src/status.rs serves the same objects.

usage: server.py --reports DIR [--tcp HOST:PORT] [--ws HOST:PORT]

Offers the JUnit reports in DIR; without --tcp and --ws it listens on a free port for each. Prints
one line of JSON with the URIs when it is ready.
"""

import argparse
import asyncio
import itertools
import json
import sys

import marotte
from folder import Folder
from history import History, summary

# How often the folder is looked at, in seconds.
LOOK_EVERY = 0.3


class Board:
    """What the objects share."""

    def __init__(self):
        self.history = History()
        self.problems = []
        # Observers, and the events that say that their subscription ended.
        self.subscriptions = {}
        self._numbers = itertools.count()

    def subscribe(self, observer):
        number = next(self._numbers)
        ended = asyncio.Event()
        self.subscriptions[number] = (observer, ended)
        return Subscription(self, number, ended)

    def unsubscribe(self, number):
        _observer, ended = self.subscriptions.pop(number, (None, None))
        if ended is not None:
            ended.set()

    async def look(self, folder):
        """Looks at the folder once, and tells the observers what is new."""
        # Reading may take long: others are served meanwhile.
        found = await asyncio.to_thread(folder.look)
        for report in found:
            build = summary(self.history.add(report))
            for number, (observer, _ended) in self.subscriptions.items():
                told = observer.buildAdded(build["name"], build["number"], build)
                told._except(self._on_failure(number))
        self._set_problems(folder.problems())

    def _on_failure(self, number):
        def failed(error):
            # Other failures are the observer's own; it stays subscribed.
            if isinstance(error, marotte.DisconnectedError):
                self.unsubscribe(number)

        return failed

    def _set_problems(self, problems):
        before, self.problems = self.problems, problems
        if before == problems:
            return
        for problem in problems:
            if problem not in before:
                print(f"left out {problem['file']}: {problem['reason']}", file=sys.stderr)
        for observer, _ended in self.subscriptions.values():
            # An observer need not have this method; a lost connection shows at the next build.
            observer.problemsChanged(problems)._except(lambda _error: None)


class Status(marotte.Referenceable):
    """The entry: what the URI names."""

    def __init__(self, board):
        self._board = board

    def remote_getBuilder(self, name):
        self._board.history.builds(name)
        return Builder(self._board, name)

    def remote_getBuilders(self):
        return [
            {"name": name, "builds": len(builds), "latest": summary(builds[-1])}
            for name, builds in self._board.history.builders()
        ]

    def remote_getProblems(self):
        """The reports that could not be read."""
        return self._board.problems

    def remote_subscribe(self, observer):
        """Calls ``observer.buildAdded(builder, number, summary)`` for every build from now on, and
        ``observer.problemsChanged(problems)``, until the result is cancelled or its connection
        gone."""
        if not isinstance(observer, (marotte.RemoteReference, marotte.Promise)):
            raise TypeError("subscribe takes a reference to an observer")
        return self._board.subscribe(observer)


class Subscription(marotte.Referenceable):
    """A subscription, as its observer sees it."""

    def __init__(self, board, number, ended):
        self._board = board
        self._number = number
        self._ended = ended

    def remote_cancel(self):
        self._board.unsubscribe(self._number)

    async def remote_whenEnded(self):
        """Answers when the subscription was cancelled, and breaks when the connection is lost: who
        waits for it knows at once."""
        await self._ended.wait()


class Builder(marotte.Referenceable):
    def __init__(self, board, name):
        self._board = board
        self._name = name

    def remote_getBuild(self, number):
        """The build of that number; -1 is the newest."""
        return Build(self._board.history.build(self._name, number))

    def remote_getBuilds(self):
        """All builds in short, oldest first."""
        return [summary(build) for build in self._board.history.builds(self._name)]


class Build(marotte.Referenceable):
    def __init__(self, results):
        self._results = results

    def remote_getResults(self):
        return self._results


async def serve(reports, addresses):
    tub = marotte.Tub()
    ready = {"server": "python"}
    board = Board()
    folder = Folder(reports)
    # Whoever reads the line below finds the reports that are there already.
    await board.look(folder)
    for scheme, address in addresses.items():
        try:
            listener = tub.listen(f"{scheme}://{address}")
        except OSError as error:
            raise SystemExit(f"error: cannot listen on {address}: {error}") from None
        ready[scheme] = listener.uriFor("status")
    tub.registerReference(Status(board), name="status")
    print(json.dumps(ready), flush=True)
    while True:
        await asyncio.sleep(LOOK_EVERY)
        await board.look(folder)


def main():
    parser = argparse.ArgumentParser(description="The build-status server in Python.")
    parser.add_argument("--reports", metavar="DIR", required=True, help="folder of JUnit reports")
    parser.add_argument("--tcp", metavar="HOST:PORT", help="listen for TCP")
    parser.add_argument("--ws", metavar="HOST:PORT", help="listen for WebSocket")
    options = parser.parse_args()
    addresses = {"tcp": options.tcp, "ws": options.ws}
    if options.tcp is options.ws is None:
        addresses = dict.fromkeys(addresses, "127.0.0.1:0")
    addresses = {scheme: address for scheme, address in addresses.items() if address}
    try:
        asyncio.run(serve(options.reports, addresses))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
