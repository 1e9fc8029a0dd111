"""What a peer may do by the second, by the connection, and by the argument: each limit at its boundary."""

import asyncio
import socket
import time

import marotte
import pytest
from support import Echo, failure, until

KINDS = ["tcp", "ws", "noise", "noise+ws"]


async def lost(remote, within=5):
    """Waits until the connection of a reference is lost; says how long that took."""
    began = time.monotonic()
    ended = asyncio.Event()
    remote.notifyOnDisconnect(ended.set)
    await asyncio.wait_for(ended.wait(), within)
    return time.monotonic() - began


@pytest.mark.parametrize("kind", KINDS)
async def test_a_peer_that_is_silent_for_too_long(kind):
    with marotte.Tub(limits={"idle_ms": 300}) as server, marotte.Tub() as client:
        server.listen(f"{kind}://127.0.0.1:0")
        remote = await client.getReference(server.registerReference(Echo()))
        for _ in range(4):
            await asyncio.sleep(0.15)
            assert await remote.echo(1) == 1
        assert 0.2 < await lost(remote) < 3
        error = await failure(remote.echo(1))
        assert isinstance(error, marotte.DisconnectedError) and "idle_ms" in str(error)


async def test_by_default_a_peer_may_be_silent():
    with marotte.Tub(limits={"handshake_ms": 100}) as server, marotte.Tub() as client:
        server.listen("noise://127.0.0.1:0")
        remote = await client.getReference(server.registerReference(Echo()))
        await asyncio.sleep(0.4)
        assert await remote.echo(1) == 1


async def test_too_many_calls_in_a_second_cost_only_the_one_who_makes_them():
    with (
        marotte.Tub(limits={"max_calls_per_second": 50}) as server,
        marotte.Tub() as client,
        marotte.Tub() as other,
    ):
        server.listen("tcp://127.0.0.1:0")
        uri = server.registerReference(Echo())
        hasty, patient = await client.getReference(uri), await other.getReference(uri)
        for _ in range(2):
            # One call was the fetch.
            await asyncio.gather(*(hasty.echo(n) for n in range(40)))
            await asyncio.sleep(1)
        results = await asyncio.gather(*(hasty.echo(n) for n in range(100)), return_exceptions=True)
        assert any("max_calls_per_second" in str(error) for error in results)
        assert await patient.echo(1) == 1


async def test_a_long_argument_breaks_its_call_only():
    class Sum(Echo):
        def remote_lengths(self, *args):
            return [len(arg) for arg in args]

    with marotte.Tub(limits={"max_argument_bytes": 100}) as server, marotte.Tub() as client:
        server.listen("tcp://127.0.0.1:0")
        remote = await client.getReference(server.registerReference(Sum()))
        # 100 bytes as they are encoded: `97"` and so many letters.
        assert await remote.lengths(*["x" * 97] * 10) == [97] * 10
        error = await failure(remote.lengths("x", "x" * 98))
        assert isinstance(error, marotte.RemoteError) and "max_argument_bytes" in str(error)
        error = await failure(remote.echo([["x" * 60], "y" * 60]))
        assert "max_argument_bytes" in str(error)
        assert await remote.echo(1) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_connections_from_one_address(kind):
    with marotte.Tub(limits={"max_connections_per_address": 3}) as server:
        listener = server.listen(f"{kind}://127.0.0.1:0")
        uri = server.registerReference(Echo())
        clients = [marotte.Tub() for _ in range(3)]
        for client in clients:
            assert await client.getReference(uri).echo(1) == 1
        with marotte.Tub() as late:
            assert isinstance(
                await failure(late.getReference(uri).echo(1)), marotte.DisconnectedError
            )
        # Those that are open go on, and there is a place again once one has ended.
        clients.pop().close()

        async def is_let_in():
            with marotte.Tub() as again:
                return await again.getReference(uri)._then(lambda _: True)._except(lambda _: False)

        for _ in range(100):
            if await is_let_in():
                break
            await asyncio.sleep(0.02)
        else:
            raise AssertionError("there is no place again")
        for client in clients:
            assert await client.getReference(uri).echo(1) == 1
            client.close()
        assert listener.port


async def test_the_system_looks_for_peers_that_are_gone():
    accepted = []

    class Watch(Echo):
        pass

    with marotte.Tub(limits={"silence_ms": 9_000}) as server, marotte.Tub() as client:
        server.listen("tcp://127.0.0.1:0")
        await client.getReference(server.registerReference(Watch()))
        # There is no way to a tub's sockets but by the process's descriptors.
        for fd in range(3, 256):
            try:
                one = socket.socket(fileno=socket.dup(fd))
            except OSError:
                continue
            with one:
                if one.type == socket.SOCK_STREAM and one.family == socket.AF_INET:
                    accepted.append(
                        (
                            one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                            one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                            one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                        )
                    )
    assert (1, 6, 9_000) in accepted, "the server's"
    assert (1, 60, 90_000) in accepted, "the client's"
    await until(lambda: True)
