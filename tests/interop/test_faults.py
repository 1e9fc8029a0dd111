"""What is left of a connection when something goes wrong: an end is killed at any point of a call, packets are lost,
late, or gone for good, descriptors are out, a peer is slow, the clock jumps. Every promise settles, whoever is left
goes on serving others, and nothing of the other end stays in its tables."""

import asyncio
import contextlib
import functools
import json
import math
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import marotte
import pytest
from test_matrix import PEERS, ROOT, command

sys.path += [str(PEERS), str(ROOT / "tests" / "python")]
from faulty import Service, forever, outcome, talk
from support import EMPTY, tables, until

SCHEMES = ["tcp", "noise"]
# No promise may take longer to settle once the other end is gone.
BOUND = 5
# A tub that others hold one object of, and a tub that holds one.
SERVING, HOLDING = {**EMPTY, "exports": 1}, {**EMPTY, "imports": 1}
PORT = re.compile(r"(?<=port=)\d+|(?<=127\.0\.0\.1:)\d+")


def run(test):
    """For tests that are coroutines. Nothing that the loop calls may raise."""

    async def watched(*args, **kwargs):
        raised = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: raised.append(context))
        await asyncio.wait_for(test(*args, **kwargs), 60)
        assert not raised

    @functools.wraps(test)
    def wrapper(*args, **kwargs):
        asyncio.run(watched(*args, **kwargs))

    return wrapper


class Process:
    """A process that is spoken to by lines of JSON."""

    def __init__(self, process):
        self.process = process
        self.pid = process.pid

    def tell(self, what):
        self.process.stdin.write(json.dumps(what).encode() + b"\n")

    async def hear(self, within=30):
        line = await asyncio.wait_for(self.process.stdout.readline(), within)
        assert line, "the process has ended"
        return json.loads(line)

    async def ask(self, what):
        self.tell(what)
        return await self.hear()

    def kill(self):
        # By asyncio it would be waited for twice.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def start(*words, **options):
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, **options)
    try:
        yield Process(process)
    finally:
        Process(process).kill()
        process.stdin.close()
        await process.wait()


def faulty(name, inside=None, env=None, **options):
    """What is called so in `peers/faulty.py`, as a process of its own, maybe inside of a namespace."""
    within = ["nsenter", "-t", str(inside), "-U", "-n"] if inside else []
    program = [sys.executable, str(PEERS / "faulty.py"), name, json.dumps(options)]
    return start(*within, *program, env={**os.environ, **(env or {})})


class Relay:
    """Passes on ``most`` bytes from the client, and from the server; what is to happen then does, and nothing more passes
    in that direction."""

    def __init__(self, port, most=(math.inf, math.inf), then=None, pace=None):
        self.port, self.most, self.then = port, most, then
        # Between the client's bytes, if they are to come one by one.
        self.pace = pace
        self.passed = [0, 0]
        self.handling = set()

    async def __aenter__(self):
        self.listening = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self.listening.close()
        for task in self.handling:
            task.cancel()
        await asyncio.gather(*self.handling, return_exceptions=True)

    def instead_of(self, uri):
        return PORT.sub(str(self.listening.sockets[0].getsockname()[1]), uri)

    async def handle(self, reader, writer):
        self.handling.add(asyncio.current_task())
        far_writer = writer
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
            await asyncio.gather(
                self.pass_on(0, reader, far_writer), self.pass_on(1, far_reader, writer)
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            far_writer.transport.abort()

    async def pass_on(self, way, reader, writer):
        try:
            while chunk := await reader.read(1 << 16):
                while way == 0 and self.pace and chunk:
                    writer.write(chunk[:1])
                    chunk = chunk[1:]
                    await asyncio.sleep(self.pace)
                left = self.most[way] - self.passed[way]
                self.passed[way] += len(chunk)
                if left >= 0:
                    writer.write(chunk[: min(left, len(chunk))])
                    await writer.drain()
                if 0 <= left <= len(chunk) and self.then:
                    self.then()
            writer.close()
        except OSError:
            # A reset is passed on as one.
            writer.transport.abort()


def port_of(uri):
    return int(PORT.search(uri)[0])


@contextlib.contextmanager
def survivors(scheme):
    """Two tubs of this process, and a promise of the one for an object of the other."""
    with marotte.Tub() as server, marotte.Tub() as client:
        server.listen(f"{scheme}://127.0.0.1:0")
        uri = server.registerReference(Service())
        yield server, client, uri, client.getReference(uri)


def points(totals, random, count=3):
    """Numbers of bytes after which to kill: of the client's, or of the server's."""
    for way, total in enumerate(totals):
        edges = [0, 1, total - 1, total]
        for most in edges + [random.randrange(2, total) for _ in range(count)]:
            yield (most, math.inf) if way == 0 else (math.inf, most)


async def settled(talked, broken=marotte.DisconnectedError):
    """Each promise has its value, or broke because the connection did. True if all have their values."""
    results = await asyncio.wait_for(
        asyncio.gather(*(outcome(promise) for promise, _ in talked)), BOUND
    )
    for result, (_, expected) in zip(results, talked):
        assert isinstance(result, broken) or result == expected
    return results == [expected for _, expected in talked]


@pytest.mark.parametrize("scheme", SCHEMES)
@run
async def test_the_server_is_killed_after_some_bytes(scheme):
    with survivors(scheme) as (_, client, _, other):
        await other

        async def attempt(most):
            async with faulty("serve", schemes=[scheme]) as server:
                (uri,) = await server.hear()
                async with Relay(port_of(uri), most, server.kill) as relay:
                    whole = await settled(talk(client.getReference(relay.instead_of(uri))))
            assert await other.echo(1) == 1
            await until(lambda: tables(client) == HOLDING)
            return whole, relay.passed

        whole, totals = await attempt((math.inf, math.inf))
        assert whole
        seed = random.randrange(1 << 32)
        for most in points(totals, random.Random(seed)):
            print(f"seed {seed}: {most} of {totals}")  # for whoever has to look into it
            whole, _ = await attempt(most)
            assert not whole or min(most) > 1


@pytest.mark.parametrize("scheme", SCHEMES)
@run
async def test_the_server_is_killed_before_the_connection(scheme):
    with marotte.Tub() as client:
        async with faulty("serve", schemes=[scheme]) as server:
            (uri,) = await server.hear()
        assert not await settled(talk(client.getReference(uri)))
        assert tables(client) == EMPTY


@pytest.mark.parametrize("scheme", SCHEMES)
@run
async def test_the_client_is_killed_after_some_bytes(scheme):
    with survivors(scheme) as (server, client, uri, other):
        await other

        async def attempt(most):
            async with (
                Relay(port_of(uri), most) as relay,
                faulty("call", uri=relay.instead_of(uri)) as victim,
            ):
                relay.then = victim.kill
                # A line when it is done, nothing if it has been killed before.
                await asyncio.wait_for(victim.process.stdout.readline(), 10)
            assert await other.echo(1) == 1
            await until(lambda: tables(server) == SERVING)
            return relay.passed

        totals = await attempt((math.inf, math.inf))
        seed = random.randrange(1 << 32)
        for most in points(totals, random.Random(seed)):
            print(f"seed {seed}: {most} of {totals}")
            await attempt(most)
        client.close()
        await until(lambda: tables(server) == EMPTY)


@pytest.mark.parametrize("scheme", SCHEMES)
@run
async def test_the_server_is_killed_while_its_method_runs(scheme):
    with survivors(scheme) as (_, client, _, other):
        await other
        async with faulty("serve", schemes=[scheme]) as server:
            (uri,) = await server.hear()
            called = asyncio.Event()
            calls = []

            def ask():
                called.set()
                calls.append(forever())
                return calls[0]

            hanging = client.getReference(uri).hang(ask)
            after = hanging._get("part").echo(1)
            await asyncio.wait_for(called.wait(), BOUND)
            server.kill()
            for promise in (hanging, after):
                error = await asyncio.wait_for(outcome(promise), BOUND)
                assert isinstance(error, marotte.DisconnectedError)
        # What was asked for is worked on still: nobody has cancelled it.
        assert not calls[0].done()
        assert await other.echo(1) == 1
        await until(lambda: tables(client) == HOLDING)


@pytest.mark.parametrize("scheme", SCHEMES)
@run
async def test_the_client_is_killed_while_its_method_runs(scheme):
    service = Service()
    with marotte.Tub() as server:
        server.listen(f"{scheme}://127.0.0.1:0")
        uri = server.registerReference(service)
        async with faulty("hang", uri=uri) as client:
            assert await client.hear() == "called"
            assert tables(server)["questions"] == 1
            client.kill()
            await until(lambda: service.ended == ["DisconnectedError"], BOUND)
        await until(lambda: tables(server) == EMPTY)
        with marotte.Tub() as other:
            assert await other.getReference(uri).echo(1) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
@run
async def test_an_end_is_killed_amid_a_large_answer(scheme):
    size = 32 << 20
    with survivors(scheme) as (server, client, uri, other):
        await other
        async with faulty("serve", schemes=[scheme]) as victim:
            (theirs,) = await victim.hear()
            async with Relay(port_of(theirs), (math.inf, size // 2), victim.kill) as relay:
                answer = client.getReference(relay.instead_of(theirs)).zeros(size)
                error = await asyncio.wait_for(outcome(answer), BOUND)
                assert isinstance(error, marotte.DisconnectedError)
        async with (
            Relay(port_of(uri), (math.inf, size // 2)) as relay,
            faulty("fetch", uri=relay.instead_of(uri), size=size) as victim,
        ):
            relay.then = victim.kill
            await asyncio.wait_for(victim.process.wait(), 10)
        assert await other.echo(1) == 1
        await until(lambda: tables(client) == HOLDING and tables(server) == SERVING)


@pytest.mark.parametrize("scheme", SCHEMES)
@run
async def test_who_introduces_is_killed(scheme):
    """At any point of what it says to the receiver. Whether the gift arrives or not, everybody knows."""
    with survivors(scheme) as (exporter, _, uri, other), marotte.Tub() as receiver:
        await other

        async def attempt(most):
            async with faulty("give", uri=uri, scheme=scheme) as gifter:
                theirs = await gifter.hear()
                async with Relay(port_of(theirs), most, gifter.kill) as relay:
                    remote = receiver.getReference(relay.instead_of(theirs))
                    # The exporter may say so, too.
                    either = (marotte.DisconnectedError, marotte.RemoteError)
                    await settled([(remote.other().echo(n), n) for n in range(5)], either)
            assert await other.echo(1) == 1
            del remote
            await until(lambda: tables(exporter) == SERVING and tables(receiver) == EMPTY)
            return relay.passed

        totals = await attempt((math.inf, math.inf))
        seed = random.randrange(1 << 32)
        for most in points(totals, random.Random(seed), 1):
            print(f"seed {seed}: {most} of {totals}")
            await attempt(most)


@pytest.fixture
def namespaces():
    try:
        subprocess.run(["unshare", "-rn", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        pytest.skip(f"no network namespaces can be made here: {problem}")


@contextlib.asynccontextmanager
async def network():
    """Two network namespaces and the link between them (`peers/link.py`)."""
    async with start("unshare", "-rn", sys.executable, str(PEERS / "link.py")) as link:
        made = await link.hear()
        if "problem" in made:
            pytest.skip(f"no link can be made here: {made['problem']}")
        yield link, *made["ends"]


WORKED = {"in order": True, "whole": True, "handed": True}
CUT, HEALED = {"loss": 1}, {"loss": 0}


@run
async def test_a_peer_that_vanishes_is_missed(namespaces):
    options = {"schemes": SCHEMES, "host": "10.9.0.1"}
    # The first pair finds out by the system, which counts no less than three seconds; the second by itself.
    system = {"silence_ms": 2000, "handshake_ms": 2000}
    itself = {"silence_ms": 0, "idle_ms": 3000, "handshake_ms": 2000}
    async with (
        network() as (link, one, two),
        faulty("serve", one, limits=system, **options) as server_one,
        faulty("serve", one, limits=itself, **options) as server_two,
    ):
        servers = server_one, server_two
        uris = [await server.hear() for server in servers]
        async with (
            faulty("vanish", two, uris=uris[0] * 2, limits=system) as client_one,
            faulty("vanish", two, uris=uris[1] * 2, limits=itself) as client_two,
        ):
            clients = client_one, client_two
            for client in clients:
                assert await client.hear() == "ready"
            await link.ask(CUT)
            for client in clients:
                client.tell("cut")
            for client in clients:
                said = await client.hear()
                assert all(kind == "DisconnectedError" for kind, _ in said["settled"])
                assert all(1 < after < 7 for _, after in said["settled"])
                assert said["tables"] == [EMPTY] * 8
            for server in servers:
                said = await server.ask("how is it?")
                while len(said["ended"]) < 4:
                    await asyncio.sleep(0.2)
                    said = await server.ask("how is it?")
                assert said["ended"] == ["DisconnectedError"] * 4
                assert said["tables"] == EMPTY
            # And when it comes back, it is found.
            await link.ask(HEALED)
            for client in clients:
                assert await client.ask("again") == [3] * 4


@run
async def test_packets_are_late_and_lost(namespaces):
    async with (
        network() as (link, one, two),
        faulty("serve", one, schemes=SCHEMES, host="10.9.0.1", introduce=True) as server,
    ):
        uris = await server.hear()
        await link.ask({"delay": 0.05, "loss": 0.05})
        async with faulty("work", two, uris=uris, calls=1000, size=1 << 20) as client:
            assert [await client.hear() for _ in uris] == ["sent"] * 2
            assert await client.hear(50) == [WORKED] * 2
        assert (await link.ask({}))["lost"] > 50, "the link is not as bad as it is meant to be"


@run
async def test_a_partition_that_heals(namespaces):
    limits = {"silence_ms": 15_000}
    async with (
        network() as (link, one, two),
        faulty(
            "serve", one, schemes=SCHEMES, host="10.9.0.1", limits=limits, introduce=True
        ) as server,
    ):
        uris = await server.hear()
        await link.ask({"delay": 0.025})
        # Some find the link cut when they connect, others while they talk.
        async with faulty("work", two, uris=uris, calls=1000, size=4 << 20) as early:
            await early.hear()
            await asyncio.sleep(0.2)
            await link.ask(CUT)
            async with faulty("work", two, uris=uris, calls=1000, size=256) as late:
                for client in (late, late, early):
                    assert await client.hear() == "sent"
                await asyncio.sleep(2.5)
                assert (await link.ask(HEALED))["lost"] > 0
                for client in (early, late):
                    assert await client.hear() == [WORKED] * 2


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("language", ["python", "rust"])
@run
async def test_file_descriptors_run_out(language):
    with contextlib.ExitStack() as stack:
        async with start(*command(language), "serve", "tcp") as server:
            uri = (await server.process.stdout.readline()).decode().strip()
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (40, 40))
            clients = [stack.enter_context(marotte.Tub()) for _ in range(10)]
            remotes = [client.getReference(uri) for client in clients]
            assert await asyncio.gather(*(remote.echo(1) for remote in remotes)) == [1] * 10
            crowd = [socket.create_connection(("127.0.0.1", port_of(uri))) for _ in range(60)]
            # Behind all of those there is no descriptor for this one.
            late = stack.enter_context(marotte.Tub()).getReference(uri).echo(2)
            began, used = time.monotonic(), cpu_seconds(server.pid)
            for n in range(20):
                assert await asyncio.gather(*(remote.echo(n) for remote in remotes)) == [n] * 10
                await asyncio.sleep(0.05)
            used, passed = cpu_seconds(server.pid) - used, time.monotonic() - began
            assert used < passed / 4, f"{used:.2f} s of CPU in {passed:.2f} s"
            assert marotte.state(late) == "remote"
            for one in crowd:
                one.close()
            assert await asyncio.wait_for(late._when(), BOUND) == 2
            new = stack.enter_context(marotte.Tub())
            assert await asyncio.wait_for(new.getReference(uri).echo(3)._when(), BOUND) == 3


@pytest.mark.parametrize("scheme", SCHEMES)
@run
async def test_a_client_that_sends_a_byte_a_second(scheme):
    with marotte.Tub(limits={"handshake_ms": 2500}) as server, marotte.Tub() as client:
        server.listen(f"{scheme}://127.0.0.1:0")
        uri = server.registerReference(Service())
        other = client.getReference(uri)
        slowest = 0

        async def others():
            nonlocal slowest
            while True:
                began = time.monotonic()
                assert await other.echo(1) == 1
                slowest = max(slowest, time.monotonic() - began)
                await asyncio.sleep(0.05)

        affected = asyncio.ensure_future(others())
        async with Relay(port_of(uri), pace=1) as relay, Relay(port_of(uri)) as open_relay:
            with marotte.Tub() as slow, marotte.Tub() as slow_later:
                opened = slow_later.getReference(open_relay.instead_of(uri))
                assert await opened.echo(2) == 2
                open_relay.pace = 1
                trickling = opened.echo(3)
                began = time.monotonic()
                error = await asyncio.wait_for(
                    outcome(slow.getReference(relay.instead_of(uri))), BOUND
                )
                assert isinstance(error, marotte.DisconnectedError)
                assert 2.4 < time.monotonic() - began < 4
                # The session that was open goes on, as slowly.
                assert marotte.state(trickling) == "remote"
                open_relay.pace = None
                assert await asyncio.wait_for(trickling._when(), BOUND) == 3
        affected.cancel()
        assert slowest < 0.5
        del trickling, opened
        await until(lambda: tables(server) == SERVING)


@pytest.fixture
def jumping_clock(tmp_path):
    """An environment in which the wall clock is no good."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler to make a clock that jumps")
    library = tmp_path / "jumping_clock.so"
    source = PEERS / "jumping_clock.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


@run
async def test_the_clock_jumps(jumping_clock):
    limits = {"idle_ms": 1000, "handshake_ms": 2000}
    async with faulty("serve", env=jumping_clock, schemes=SCHEMES, limits=limits) as server:

        async def look(uri):
            async with faulty(
                "pace", env=jumping_clock, uri=uri, limits=limits, seconds=1.5
            ) as client:
                said = await client.hear()
            assert said["jumped"] > 60, "the clock is not what it is meant to be"
            assert 0.5 < said["lost after"] < 2

        await asyncio.gather(*map(look, await server.hear()))


class Maker(Service):
    def remote_new(self):
        return Service()


@run
async def test_what_is_released_while_descriptors_are_out_is_told_all_the_same():
    with marotte.Tub() as server:
        server.listen("tcp://127.0.0.1:0")
        async with faulty("release", uri=server.registerReference(Maker())) as client:
            assert await client.hear() == "dropped"
            await until(lambda: tables(server) == SERVING)
