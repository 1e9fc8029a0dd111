"""Tubs: opening, closing, limits, sockets."""

import asyncio
import os
import socket
import sys

import marotte
import pytest
from support import Echo, failure, meet, until

needs_proc = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="only Linux lists a process's descriptors there"
)


def descriptors():
    return {int(name) for name in os.listdir("/proc/self/fd")}


def is_inheritable(fd):
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False  # the listing's own


def tcp_sockets(port):
    """Every connected TCP socket of this process with that port at one of its ends."""
    found = []
    for fd in descriptors():
        try:
            sock = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue  # it is no socket, or has gone
        try:
            if sock.family == socket.AF_INET and port in (
                sock.getsockname()[1],
                sock.getpeername()[1],
            ):
                found.append(sock)
                continue
        except OSError:
            pass  # it is not connected
        sock.close()
    return found


async def test_close_twice():
    with meet() as link:
        await link.remote
        link.client.close()
        link.client.close()
        link.server.close()


async def test_close_of_an_unused_tub():
    tub = marotte.Tub()
    tub.close()


def test_close_of_an_unused_tub_without_a_loop():
    marotte.Tub().close()


async def test_with_closes():
    with marotte.Tub() as tub:
        listener = tub.listen("tcp://127.0.0.1:0")
        socket.create_connection(("127.0.0.1", listener.port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.port))


async def test_with_does_not_hide_exceptions():
    with pytest.raises(KeyError), marotte.Tub():
        raise KeyError


async def test_closed_listener_keeps_its_connections():
    with meet() as link:
        await link.remote
        link.listener.close()
        link.listener.close()
        assert await link.remote.echo(1) == 1
        with marotte.Tub() as other:
            assert "refused" in str(await failure(other.getReference(link.uri)))


async def test_two_listeners_serve_one_object():
    with meet() as link:
        second = link.server.listen("ws://127.0.0.1:0")
        with marotte.Tub() as other:
            assert await other.getReference(second.uriFor("it")).echo(1) == 1
        assert await link.remote.echo(1) == 1


async def test_port_and_location_of_a_listener():
    with marotte.Tub() as tub:
        listener = tub.listen("tcp://127.0.0.1:0")
        assert 0 < listener.port < 65536
        assert f"port={listener.port}" in listener.location
        assert repr(listener) == f"<Listener {listener.location}>"


async def test_ipv6():
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    with marotte.Tub() as server, marotte.Tub() as client:
        try:
            server.listen("tcp://[::1]:0")
        except OSError as error:
            pytest.skip(f"this machine has no IPv6: {error}")
        uri = server.registerReference(Echo())
        assert await client.getReference(uri).echo(6) == 6


async def test_connection_is_shared():
    with meet() as link:
        one, other = link.remote, link.client.getReference(link.uri)
        await one
        await other
        await link.client.getReference(link.uri)
        # One hello.
        assert link.server.stats()["messages_received"] <= 1 + 3 + 3


async def test_server_calls_back_over_the_same_connection():
    with meet() as link:
        listener = link.client.listen("tcp://127.0.0.1:0")
        link.client.registerReference(Echo(), name="back")
        await link.remote
        before = link.server.stats()["bytes_sent"]
        assert await link.server.getReference(listener.uriFor("back")).echo(2) == 2
        assert link.server.stats()["bytes_sent"] > before


async def test_own_reference_is_the_object_called_in_a_later_turn():
    class Noted(marotte.Referenceable):
        called = False

        def remote_note(self):
            self.called = True

    noted = Noted()
    with marotte.Tub() as tub:
        tub.listen("tcp://127.0.0.1:0")
        uri = tub.registerReference(noted)
        assert await tub.getReference(uri) is noted
        promise = tub.getReference(uri).note()
        assert noted.called is False
        await promise
        assert noted.called is True


@needs_proc
async def test_nagle_is_off_at_both_ends(scheme):
    with meet(scheme=scheme) as link:
        await link.remote
        found = tcp_sockets(link.listener.port)
        try:
            assert len(found) == 2
            for sock in found:
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        finally:
            for sock in found:
                sock.close()


@needs_proc
async def test_descriptors_are_not_inherited():
    before = descriptors()
    with meet() as link:
        await link.remote
        assert [fd for fd in descriptors() - before if is_inheritable(fd)] == []


@needs_proc
async def test_descriptors_are_closed():
    await asyncio.sleep(0)
    before = descriptors()
    for scheme in ("tcp", "ws"):
        with meet(scheme=scheme) as link:
            assert await link.remote.echo(1) == 1
    await until(lambda: descriptors() <= before)


@needs_proc
async def test_descriptors_run_out_and_come_back():
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with meet() as link:
        await link.remote
        waiting = [socket.socket() for _ in range(3)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(descriptors()) + 1, hard))
        try:
            for sock in waiting:
                sock.connect(("127.0.0.1", link.listener.port))
            # Nothing can be accepted; whoever is there already is served.
            for n in range(20):
                assert await link.remote.echo(n) == n
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for sock in waiting:
                sock.close()
        with marotte.Tub() as other:
            assert await other.getReference(link.uri).echo(1) == 1


@pytest.mark.parametrize(
    ("limit", "value", "call"),
    [
        ("max_message_bytes", 10_000, lambda remote: remote.echo(b"x" * 10_000)),
        ("max_depth", 8, lambda remote: remote.echo([[[[[[[[[]]]]]]]]])),
        ("max_digits", 100, lambda remote: remote.echo(10**100)),
        ("max_references", 3, lambda remote: remote.echo([Echo() for _ in range(4)])),
    ],
)
async def test_limit_ends_the_session_with_its_name(limit, value, call):
    with meet(server_limits={limit: value}) as link:
        assert await link.remote.echo(1) == 1
        error = await failure(call(link.remote))
        assert isinstance(error, marotte.DisconnectedError)
        assert limit in str(error) or limit.replace("max_", "") in str(error)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"max_pigeons": 1}, ValueError),
        ({"max_depth": "deep"}, TypeError),
        ({"max_depth": -1}, OverflowError),
        ({1: 1}, TypeError),
    ],
)
def test_bad_limits_are_refused(limits, error):
    with pytest.raises(error):
        marotte.Tub(limits=limits)


def test_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="no profile named"):
        marotte.Tub(profile="dialect")


def test_unknown_runner_is_refused():
    with pytest.raises(ValueError, match="no runner named"):
        marotte.Tub(runner="trio")


def test_asyncio_runner_needs_a_running_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        marotte.Tub(runner="asyncio")


async def test_many_large_calls_and_answers_at_once():
    with meet() as link:
        await link.remote
        promises = [link.remote.echo(b"x" * (1 << 20)) for _ in range(32)]
        for promise in promises:
            assert len(await promise) == 1 << 20


def test_loop_that_is_closed_with_a_connection_open(log):
    kept = []

    async def leave():
        server, client = marotte.Tub(), marotte.Tub()
        server.listen("tcp://127.0.0.1:0")
        remote = await client.getReference(server.registerReference(Echo()))
        assert await remote.echo(1) == 1
        kept.extend([server, client, remote])

    asyncio.run(leave())
    server, client, remote = kept
    promise = remote.echo(1)
    del kept[:], remote
    for tub in (client, server):
        tub.close()
    assert isinstance(promise._except(lambda e: e), marotte.Promise)


def test_interpreter_exit_with_everything_open():
    import subprocess

    script = """
import asyncio, marotte
class Echo(marotte.Referenceable):
    def remote_echo(self, value): return value
async def main():
    global server, client, remote, promise
    server, client = marotte.Tub(), marotte.Tub()
    server.listen("tcp://127.0.0.1:0")
    remote = await client.getReference(server.registerReference(Echo()))
    await remote.echo(1)
    promise = remote.echo(2)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", script], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
