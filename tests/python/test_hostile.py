"""Peers that misbehave, over a bare socket: each is told why and hung up on, others are served."""

import asyncio
import contextlib
import socket
import struct

import marotte
import pytest
from support import EMPTY, Echo, meet, tables, until


@contextlib.asynccontextmanager
async def stranger(link, server_sends=True):
    """A bare connection to the server, past the server's hello."""
    reader, writer = await asyncio.open_connection("127.0.0.1", link.listener.port)
    try:
        if server_sends:
            await frame(reader)
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def frame(reader):
    """One message with its length before it."""
    length = int((await reader.readuntil(b":"))[:-1])
    return await reader.readexactly(length)


async def rest(reader):
    """What the server says until it hangs up."""
    with contextlib.suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), 10)
    return b""


def framed(message):
    return b"%d:%s" % (len(message), message)


async def hello():
    """What a real client says first, taken from its lips."""
    caught = asyncio.get_running_loop().create_future()

    async def listen(reader, writer):
        caught.set_result(framed(await frame(reader)))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with marotte.Tub() as tub:
        uri = f"ocapn://a.tcp-testing-only/s/eA?host=127.0.0.1&port={port}"
        promise = tub.getReference(uri)._except(lambda _: None)
        said = await caught
        await promise
    server.close()
    await server.wait_closed()
    return said


async def serves_others(link):
    with marotte.Tub() as other:
        assert await other.getReference(link.uri).echo("served") == "served"


NESTED = b"[" * 1000 + b"]" * 1000
DELIVER = b"<10'op:deliver<11'desc:export0+>"

# Before the hello is due: what a stranger says, and what the abort's reason contains.
BEFORE = {
    "garbage": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    "zeros": (b"\0" * 100, b""),
    "frame too long": (b"999999999:", b"max_message_bytes"),
    "frame of many digits": (b"1" * 100, b""),
    "frame of no digits": (b":", b""),
    "message that is no record": (framed(b"5+"), b"op:abort"),
    "message before the hello": (framed(DELIVER + b"[]ff>"), b"op:start-session"),
}

# After it.
AFTER = {
    "unknown operation": (framed(b"<6'op:odd1+>"), b"op:abort"),
    "second hello": (None, b"second op:start-session"),
    "deeply nested": (framed(DELIVER + NESTED + b"ff>"), b"max_depth"),
    "unknown export": (
        framed(b"<10'op:deliver<11'desc:export99+>[3'foo]ff>"),
        b"nothing is exported at position 99",
    ),
    "unknown answer": (framed(b"<10'op:deliver<11'desc:answer7+>[3'foo]ff>"), b"no answer 7"),
    "gift that was never given": (framed(b"<13'op:gc-exports[5+][1+]>"), b"op:abort"),
    "two messages in a frame": (framed(b"<13'op:gc-answers[]><13'op:gc-answers[]>"), b""),
    "cut off inside": (framed(DELIVER + b"["), b"op:abort"),
    "not canonical": (framed(b"<13'op:gc-answers[01+]>"), b"op:abort"),
    "text that is not UTF-8": (framed(DELIVER + b'[2"\xff\xfe]ff>'), b"op:abort"),
}


@pytest.mark.parametrize("case", BEFORE)
async def test_bad_beginning_is_answered_and_hung_up_on(case):
    sent, reason = BEFORE[case]
    with meet() as link:
        async with stranger(link) as (reader, writer):
            writer.write(sent)
            said = await rest(reader)
            assert b"op:abort" in said
            assert reason in said
        await serves_others(link)
        await until(lambda: tables(link.server) == EMPTY)


@pytest.mark.parametrize("case", AFTER)
async def test_bad_message_is_answered_and_hung_up_on(case):
    sent, reason = AFTER[case]
    greeting = await hello()
    with meet() as link:
        async with stranger(link) as (reader, writer):
            writer.write(greeting + (sent or greeting))
            if case == "two messages in a frame":
                writer.write_eof()  # it may be taken for two messages, but does no harm
                await rest(reader)
            else:
                said = await rest(reader)
                assert b"op:abort" in said
                assert reason in said
        await serves_others(link)
        await until(lambda: tables(link.server) == EMPTY)


@pytest.mark.parametrize("at", ["in the hello", "in a length", "in a message", "between messages"])
async def test_peer_that_hangs_up(at):
    greeting = await hello()
    with meet() as link:
        async with stranger(link) as (reader, writer):
            writer.write(
                {
                    "in the hello": greeting[:50],
                    "in a length": greeting + b"12",
                    "in a message": greeting + b"100:<10'op:del",
                    "between messages": greeting,
                }[at]
            )
            writer.write_eof()
            await rest(reader)
        await serves_others(link)
        await until(lambda: tables(link.server) == EMPTY)


async def test_peer_that_resets_the_connection():
    with meet() as link:
        async with stranger(link) as (_, writer):
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.write(b"10:<")
            await asyncio.sleep(0.01)
        await serves_others(link)


async def test_silent_peer_is_hung_up_on():
    with meet(server_limits={"handshake_ms": 50}) as link:
        async with stranger(link) as (reader, _):
            said = await rest(reader)
            assert b"op:abort" in said or said == b""
        with marotte.Tub() as other:
            assert await other.getReference(link.uri).echo(1) == 1
            # The deadline was for the hello only.
            await asyncio.sleep(0.1)
            assert await other.getReference(link.uri).echo(2) == 2


async def test_silent_server_breaks_the_promise():
    async def nothing(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with marotte.Tub(limits={"handshake_ms": 50}) as tub:
        promise = tub.getReference(f"ocapn://a.tcp-testing-only/s/eA?host=127.0.0.1&port={port}")
        with pytest.raises(marotte.DisconnectedError, match="within 50 ms"):
            await asyncio.wait_for(promise._when(), 10)
    server.close()
    await server.wait_closed()


async def test_message_in_single_bytes():
    greeting = await hello()
    with meet() as link:
        async with stranger(link) as (reader, writer):
            for byte in greeting:
                writer.write(bytes([byte]))
                await writer.drain()
            writer.write(
                framed(b"<10'op:deliver<11'desc:export0+>[5'fetch2:it]0+<18'desc:import-object1+>>")
            )
            assert b"fulfill" in await asyncio.wait_for(frame(reader), 10)


async def test_http_request_to_a_websocket():
    with meet(scheme="ws") as link:
        async with stranger(link, server_sends=False) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" not in (await rest(reader)).split(b"\r\n")[0]
        await serves_others(link)


async def test_garbage_to_a_websocket():
    with meet(scheme="ws") as link:
        async with stranger(link, server_sends=False) as (reader, writer):
            writer.write(b"\0\xff" * 1000)
            await rest(reader)
        await serves_others(link)


async def test_hundred_strangers_at_once_leave_nothing_behind():
    with meet() as link:

        async def one(n):
            async with stranger(link) as (reader, writer):
                writer.write([b"garbage", b"5:abc", b"99999999999:", b""][n % 4])
                if n % 4 in (1, 3):
                    writer.write_eof()
                await rest(reader)

        await asyncio.gather(*(one(n) for n in range(100)))
        await serves_others(link)
        await until(lambda: tables(link.server) == EMPTY)


async def test_reason_reaches_a_real_client():
    with meet(server_limits={"max_message_bytes": 5000}) as link:
        await link.remote
        pending = link.remote.forever()
        broken = link.remote.echo(b"x" * 6000)
        for promise in (pending, broken):
            with pytest.raises(marotte.DisconnectedError, match="max_message_bytes"):
                await promise


async def test_object_is_not_reachable_by_guessing_positions():
    class Secret(Echo):
        pass

    greeting = await hello()
    with meet() as link:
        link.server.registerReference(Secret())
        async with stranger(link) as (reader, writer):
            writer.write(greeting + framed(b"<10'op:deliver<11'desc:export1+>[4'echo1+]ff>"))
            assert b"nothing is exported" in await rest(reader)
