"""What Deferreds cost, beside Twisted's own and asyncio's futures: one table.

    .venv/bin/python bench/python/deferreds.py [--rounds 15] [--milliseconds 10]

All of them run in this one process, in turns, in an order that changes from round to round. Times
are CPU time of the process, without the cyclic collector. A ratio is that of one round; the median
of the rounds is shown. Memory is the growth of a process that does nothing else.
"""

import argparse
import asyncio
import gc
import importlib
import os
import random
import statistics
import subprocess
import sys
import time

from meter import rss_kib

OURS, TWISTED, ASYNCIO = "marotte.defer", "twisted.internet.defer", "asyncio"
PENDING = 200_000


def step(value):
    return value + 1


def ignore(_):
    return None


class Deferreds:
    """The workloads on Deferreds. Each yields how many operations one go is, and what does it."""

    def __init__(self, defer):
        self.defer = defer

    def fire(self, callbacks):
        make = self.defer.Deferred

        def go():
            for _ in range(20):
                d = make()
                for _ in range(callbacks):
                    d.addCallback(step)
                d.callback(0)
            assert d.result == callbacks

        return 20, go

    def chain(self, length):
        make = self.defer.Deferred

        def go():
            last = following = make()
            for _ in range(length):
                d = make()
                d.addCallback(lambda _, following=following: following)
                d.callback(None)
                following = d
            last.callback(7)
            assert following.result == 7

        return length, go

    def generator(self, waits):
        @self.defer.inlineCallbacks
        def body(inputs):
            total = 0
            for d in inputs:
                total += yield d
            return total

        return 5, lambda: self._fire_later(body, waits)

    def coroutine(self, waits):
        async def body(inputs):
            total = 0
            for d in inputs:
                total += await d
            return total

        def start(inputs):
            return self.defer.ensureDeferred(body(inputs))

        return 5, lambda: self._fire_later(start, waits)

    def _fire_later(self, start, waits):
        for _ in range(5):
            inputs = [self.defer.Deferred() for _ in range(waits)]
            d = start(inputs)
            for number, i in enumerate(inputs):
                i.callback(number)
        assert d.result == waits * (waits - 1) // 2

    def gather(self, count):
        def go():
            inputs = [self.defer.Deferred() for _ in range(count)]
            d = self.defer.gatherResults(inputs)
            for number, i in enumerate(inputs):
                i.callback(number)
            assert len(d.result) == count

        return count, go

    def pending(self, callbacks):
        d = self.defer.Deferred()
        for _ in range(callbacks):
            d.addCallback(step)
        return d


class Futures:
    """The same on asyncio's futures, as far as there is the same."""

    def __init__(self, loop):
        self.loop = loop

    def _go(self, run):
        return lambda: self.loop.run_until_complete(run())

    def fire(self, callbacks):
        async def run():
            # More at a time, so that entering the loop counts for little.
            for _ in range(1000):
                future = self.loop.create_future()
                for _ in range(callbacks):
                    future.add_done_callback(ignore)
                future.set_result(0)
            await asyncio.sleep(0)

        return 1000, self._go(run)

    def chain(self, length):
        return None

    def coroutine(self, waits):
        async def body(inputs):
            total = 0
            for future in inputs:
                total += await future
            return total

        async def run():
            for _ in range(50):
                inputs = [self.loop.create_future() for _ in range(waits)]
                task = self.loop.create_task(body(inputs))
                await asyncio.sleep(0)
                for number, future in enumerate(inputs):
                    future.set_result(number)
                    await asyncio.sleep(0)
                assert await task == waits * (waits - 1) // 2

        return 50, self._go(run)

    generator = coroutine

    def gather(self, count):
        async def run():
            inputs = [self.loop.create_future() for _ in range(count)]
            together = asyncio.gather(*inputs)
            for number, future in enumerate(inputs):
                future.set_result(number)
            assert len(await together) == count

        return count, self._go(run)

    def pending(self, callbacks):
        future = self.loop.create_future()
        for _ in range(callbacks):
            future.add_done_callback(ignore)
        return future


WORKS = {
    "create, 1 callback, fire": lambda on: on.fire(1),
    "create, 10 callbacks, fire": lambda on: on.fire(10),
    "a chain of 1000: a link": lambda on: on.chain(1000),
    "inlineCallbacks, 10 yields": lambda on: on.generator(10),
    "async def, 10 awaits": lambda on: on.coroutine(10),
    "gatherResults of 1000: an input": lambda on: on.gather(1000),
}
MEMORY = {"a pending one": 0, "a pending one with a callback": 1}


def implementation(name):
    if name == ASYNCIO:
        return Futures(asyncio.new_event_loop())
    return Deferreds(importlib.import_module(name))


def spent(go, times):
    """Nanoseconds of CPU time."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time_ns()
        for _ in range(times):
            go()
        return time.process_time_ns() - start
    finally:
        gc.enable()


def measure(work, on, options):
    """For each implementation, nanoseconds an operation, round by round."""
    runs, rounds = {}, {}
    for name, its in on.items():
        run = work(its)
        if run is None:
            continue
        operations, go = run
        go()
        # As often as fills the time, by a first trial.
        times = max(1, int(options.milliseconds * 1e6 * 3 / max(1, spent(go, 3))))
        runs[name] = operations * times, go, times
        rounds[name] = []
    for _ in range(options.rounds):
        order = list(runs)
        random.shuffle(order)
        for name in order:
            operations, go, times = runs[name]
            rounds[name].append(spent(go, times) / operations)
    return rounds


def cells(rounds):
    ours = rounds[OURS]
    yield f"{statistics.median(ours):,.0f} ns"
    for name in (TWISTED, ASYNCIO):
        if name in rounds:
            ratio = statistics.median(b / a for a, b in zip(ours, rounds[name], strict=True))
            yield f"{ratio:.1f}"
        else:
            yield "–"


def bytes_each(name, callbacks):
    """How much such a process grows by each."""
    command = [sys.executable, __file__, "--pending", name, str(callbacks)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def grow(name, callbacks):
    on = implementation(name)
    keep = [None] * PENDING
    for _ in range(1000):
        on.pending(callbacks)
    before = rss_kib(os.getpid())
    for number in range(PENDING):
        keep[number] = on.pending(callbacks)
    print((rss_kib(os.getpid()) - before) * 1024 / PENDING)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--milliseconds", type=float, default=10, help="how long one turn takes")
    parser.add_argument("--pending", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pending:
        grow(options.pending[0], int(options.pending[1]))
        return
    on = {name: implementation(name) for name in (OURS, TWISTED, ASYNCIO)}
    print("| | marotte.defer | Twisted takes | asyncio takes |\n|---|---|---|---|")
    for title, work in WORKS.items():
        print(f"| {title} |", " | ".join(cells(measure(work, on, options))), "|", flush=True)
    for title, callbacks in MEMORY.items():
        sizes = [bytes_each(name, callbacks) for name in on]
        ratios = " | ".join(f"{size / sizes[0]:.1f}" for size in sizes[1:])
        print(f"| {title} | {sizes[0]:.0f} bytes | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
