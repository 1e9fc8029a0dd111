"""Measuring: calls a second, latencies, CPU time on both sides. One JSON line a workload."""

import asyncio
import json
import os
import time


def cpu_ns(pid):
    """Nanoseconds on a CPU, of all live threads of a process."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat") as stat:
                total += int(stat.read().split()[0])
        except OSError:
            pass  # the thread has ended
    return total


def rss_kib(pid):
    """Resident memory of a process."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


class Meter:
    """Measures the workloads of one client run."""

    def __init__(self, peer, server, seconds):
        self.peer = os.environ.get("PEER", peer)
        self.server = server
        self.seconds = seconds

    def _start(self):
        return time.perf_counter(), cpu_ns(self.server), cpu_ns(os.getpid())

    def _done(self, start, workload, calls, latencies=None, size=0):
        seconds = time.perf_counter() - start[0]
        server, client = cpu_ns(self.server) - start[1], cpu_ns(os.getpid()) - start[2]
        line = {
            "peer": self.peer,
            "workload": workload,
            "n": calls,
            "secs": round(seconds, 3),
            "ops_s": round(calls / seconds, 1),
            "server_cpu_us": round(server / 1e3 / calls, 3),
            "client_cpu_us": round(client / 1e3 / calls, 3),
        }
        if latencies:
            latencies.sort()
            line["p50_us"] = round(latencies[len(latencies) // 2] * 1e6, 2)
            line["p99_us"] = round(latencies[len(latencies) * 99 // 100] * 1e6, 2)
        if size:
            line["mb_s"] = round(calls * size / seconds / 1e6, 1)
        print(json.dumps(line), flush=True)

    async def sequential(self, workload, call, size=0, warm_up=500):
        """One call at a time."""
        for _ in range(warm_up):
            await call()
        latencies = []
        clock, start = time.perf_counter, self._start()
        end = start[0] + self.seconds
        while (before := clock()) < end:
            await call()
            latencies.append(clock() - before)
        self._done(start, workload, len(latencies), latencies, size)

    def blocking(self, workload, call, warm_up=500):
        """One call at a time, without an event loop."""
        for _ in range(warm_up):
            call()
        latencies = []
        clock, start = time.perf_counter, self._start()
        end = start[0] + self.seconds
        while (before := clock()) < end:
            call()
            latencies.append(clock() - before)
        self._done(start, workload, len(latencies), latencies)

    async def window(self, workload, callers, call, size=0):
        """So many callers, each with one call at a time."""
        for share in (8, 1):
            calls = 0
            start = self._start()
            end = start[0] + self.seconds / share

            async def caller(end=end):
                nonlocal calls
                while time.perf_counter() < end:
                    await call()
                    calls += 1

            await asyncio.gather(*(caller() for _ in range(callers)))
        self._done(start, workload, calls, size=size)

    async def burst(self, workload, count, call):
        """Many calls at once, all awaited, again and again."""
        for _ in range(5):
            await call(count)
        start = self._start()
        end, calls = start[0] + self.seconds, 0
        while time.perf_counter() < end:
            await call(count)
            calls += count
        self._done(start, workload, calls)

    def idle(self, count, before):
        """Memory of idle connections."""
        server, client = rss_kib(self.server), rss_kib(os.getpid())
        line = {
            "peer": self.peer,
            "workload": "idle",
            "n": count,
            "server_kb_per_conn": round((server - before[0]) / count, 2),
            "client_kb_per_conn": round((client - before[1]) / count, 2),
            "server_rss_kb": server,
            "client_rss_kb": client,
        }
        print(json.dumps(line), flush=True)
