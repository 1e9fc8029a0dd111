"""The Python rows of the benchmark table.

``server``, or ``client PORT SERVER_PID SECONDS WORKLOADS``. Environment: LOOP=uvloop for that loop,
HANDLERS=plain for methods that are not ``async def``, BLOCKING=1 for a client without a loop,
NOISE=1 for an encrypted connection.
"""

import asyncio
import os
import sys

import marotte
from meter import Meter, rss_kib


class Plain(marotte.Referenceable):
    """The object under test, with plain methods."""

    def remote_null(self):
        return None

    def remote_echo(self, data):
        return data

    def remote_next(self, _):
        return type(self)()

    def remote_val(self):
        return 4


class Coroutines(Plain):
    """The same, with ``async def`` methods, as most services have."""

    async def remote_null(self):
        return None

    async def remote_echo(self, data):
        return data

    async def remote_next(self, _):
        return type(self)()

    async def remote_val(self):
        return 4


async def serve():
    tub = marotte.Tub()
    is_encrypted = "NOISE" in os.environ
    listener = tub.listen(f"{'noise' if is_encrypted else 'tcp'}://127.0.0.1:0")
    bench = Plain() if os.environ.get("HANDLERS") == "plain" else Coroutines()
    tub.registerReference(bench, name="bench")
    peer = listener.location.removeprefix("ocapn://").partition(".noise")[0]
    print("READY", f"{peer}@{listener.port}" if is_encrypted else listener.port, flush=True)
    await asyncio.Event().wait()


def uri(port):
    name, _, port = port.rpartition("@")
    peer = f"{name}.noise" if name else "bench.tcp-testing-only"
    # "bench" in base64url.
    return f"ocapn://{peer}/s/YmVuY2g?host=127.0.0.1&port={port}"


async def connect(port):
    tub = marotte.Tub()
    return tub, await tub.getReference(uri(port))


async def client(port, pid, seconds, workloads):
    meter = Meter("marotte-python", pid, seconds)
    big = bytes(65536)
    for workload in workloads:
        tub, bench = await connect(port)

        def echo(bench=bench):
            return bench.echo(big)

        async def burst(count, bench=bench):
            for promise in [bench.null() for _ in range(count)]:
                await promise

        async def chain(bench=bench):
            at = bench
            for step in range(3):
                at = await at.next(step)
            await at.val()

        def pipelined(bench=bench):
            return bench.next(0).next(1).next(2).val()

        if workload == "seq":
            await meter.sequential(workload, lambda bench=bench: bench.null())
        elif workload == "win64":
            await meter.window(workload, 64, lambda bench=bench: bench.null())
        elif workload == "burst1000":
            await meter.burst(workload, 1000, burst)
        elif workload == "echo64k":
            await meter.sequential(workload, echo, len(big), 50)
        elif workload == "echo64k_w8":
            await meter.window(workload, 8, echo, len(big))
        elif workload == "chain":
            await meter.sequential(workload, chain, warm_up=20)
        elif workload == "chainp":
            await meter.sequential(workload, pipelined, warm_up=20)
        elif workload == "idle":
            before = rss_kib(pid), rss_kib(os.getpid())
            idle = []
            for _ in range(1000):
                idle.append(await connect(port))
                await idle[-1][1].null()
            await asyncio.sleep(0.5)
            meter.idle(1000, before)
        else:
            raise SystemExit(f"no workload named {workload!r}")
        tub.close()


def blocking_client(port, pid, seconds):
    tub = marotte.Tub()
    bench = tub.getReference(uri(port))._wait(10)
    Meter("marotte-python-blocking", pid, seconds).blocking("seq", lambda: bench.null()._wait())


def run(main):
    if os.environ.get("LOOP") == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(main)


if sys.argv[1] == "server":
    run(serve())
elif os.environ.get("BLOCKING"):
    blocking_client(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
else:
    run(client(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5].split(",")))
