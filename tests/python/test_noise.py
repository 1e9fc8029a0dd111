"""Encrypted connections, at both ends of which it is shown who they are."""

import asyncio
import os
import re
import stat

import marotte
import pytest
from support import Echo, failure, until


def swapped(uri, port):
    return re.sub(r"port=\d+", f"port={port}", uri)


async def tap(port, change=lambda chunk: chunk):
    """Something between, that sees what passes, and may change what the client says."""
    seen = []

    async def pass_on(reader, writer, change):
        try:
            while chunk := await reader.read(1 << 16):
                seen.append(chunk)
                writer.write(change(chunk))
        except ConnectionError:
            pass
        writer.close()

    async def handle(reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            pass_on(reader, far_writer, change), pass_on(far_reader, writer, lambda chunk: chunk)
        )
        await asyncio.gather(writer.wait_closed(), far_writer.wait_closed(), return_exceptions=True)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1], seen


async def test_calls_of_every_size_pass_and_nothing_can_be_read_on_the_way():
    with marotte.Tub() as server, marotte.Tub() as client:
        listener = server.listen("noise://127.0.0.1:0")
        uri = server.registerReference(Echo())
        assert re.match(r"ocapn://[a-z2-7]{52}\.noise/s/", uri)
        between, port, seen = await tap(listener.port)
        remote = client.getReference(swapped(uri, port))
        secret = "a secret that nobody reads " * 10
        assert await remote.echo(secret) == secret
        big = os.urandom(1 << 20)
        assert await remote.echo(big) == big
        assert await asyncio.gather(*(remote.echo(n) for n in range(1000))) == list(range(1000))
        assert client.stats()["round_trips"] < 20
        wire = b"".join(seen)
        assert len(wire) > 2 << 20
        for word in (b"op:deliver", b"secret", b"start-session", b"fetch"):
            assert word not in wire
        client.close()
        server.close()
        between.close()
        await asyncio.sleep(0.05)


async def test_inside_of_a_websocket_nothing_can_be_read_on_the_way_either():
    with marotte.Tub() as server, marotte.Tub() as client:
        listener = server.listen("noise+ws://127.0.0.1:0")
        uri = server.registerReference(Echo())
        assert re.match(r"ocapn://[a-z2-7]{52}\.noise/s/.*\?url=ws://127.0.0.1:\d+$", uri)
        between, port, seen = await tap(listener.port)
        remote = client.getReference(re.sub(r":\d+$", f":{port}", uri))
        big = os.urandom(3 << 20)
        assert await remote.echo(big) == big
        assert await asyncio.gather(*(remote.echo(n) for n in range(1000))) == list(range(1000))
        wire = b"".join(seen)
        assert wire.startswith(b"GET / HTTP/1.1\r\n") and len(wire) > 6 << 20
        for word in (b"op:deliver", b"start-session", b"fetch"):
            assert word not in wire
        client.close()
        server.close()
        between.close()
        await asyncio.sleep(0.05)


async def test_one_uri_leads_to_every_listener_of_a_kind():
    with marotte.Tub() as server, marotte.Tub() as client, marotte.Tub() as other:
        server.listen("noise://127.0.0.1:0")
        proxied = server.listen("noise+ws://127.0.0.1:0", "ws://localhost:1/path")
        plain = server.listen("tcp://127.0.0.1:0")
        uri = server.registerReference(Echo(), "it")
        assert "host=127.0.0.1&port=" in uri and uri.endswith("&url=ws://localhost:1/path")
        assert await client.getReference(uri).echo(1) == 1
        assert "url=ws://localhost:1/path" in proxied.uriFor("it")
        assert await other.getReference(plain.uriFor("it")).echo(2) == 2


async def test_a_peer_with_another_key_is_not_believed():
    with marotte.Tub() as server, marotte.Tub() as mallory, marotte.Tub() as client:
        server.listen("noise://127.0.0.1:0")
        theirs = mallory.listen("noise://127.0.0.1:0")
        uri = swapped(server.registerReference(Echo()), theirs.port)
        error = await failure(client.getReference(uri).echo(1))
        assert isinstance(error, marotte.DisconnectedError)
        # The server of that key would not have answered; this one says that it is not meant.
        assert mallory.stats()["messages_received"] == 0


async def test_a_byte_that_is_changed_on_the_way_ends_the_connection():
    with marotte.Tub() as server, marotte.Tub() as client:
        listener = server.listen("noise://127.0.0.1:0")
        uri = server.registerReference(Echo())
        damage = [False]

        def change(chunk):
            if damage[0]:
                return chunk[:-1] + bytes([chunk[-1] ^ 1])
            return chunk

        between, port, _ = await tap(listener.port, change)
        remote = await client.getReference(swapped(uri, port))
        assert await remote.echo(1) == 1
        damage[0] = True
        assert isinstance(await failure(remote.echo(2)), marotte.DisconnectedError)
        between.close()
        await asyncio.sleep(0.05)


async def test_inside_of_a_websocket_a_peer_with_another_key_is_not_believed_either():
    with marotte.Tub() as server, marotte.Tub() as mallory, marotte.Tub() as client:
        server.listen("noise+ws://127.0.0.1:0")
        theirs = mallory.listen("noise+ws://127.0.0.1:0")
        uri = re.sub(r":\d+$", f":{theirs.port}", server.registerReference(Echo()))
        error = await failure(client.getReference(uri).echo(1))
        assert isinstance(error, marotte.DisconnectedError)
        assert mallory.stats()["messages_received"] == 0


@pytest.mark.parametrize(("served", "asked"), [("noise", "tcp"), ("tcp", "noise")])
async def test_plain_text_and_encryption_do_not_understand_each_other(served, asked):
    names = {"noise": "noise", "tcp": "tcp-testing-only"}
    with marotte.Tub() as server, marotte.Tub() as client:
        server.listen(f"{served}://127.0.0.1:0")
        uri = server.registerReference(Echo()).replace(f".{names[served]}/", f".{names[asked]}/")
        error = await failure(client.getReference(uri).echo(1))
        assert isinstance(error, marotte.DisconnectedError)


async def test_a_reference_must_name_a_key():
    with marotte.Tub() as client, pytest.raises(ValueError, match="names no key"):
        client.getReference("ocapn://alice.noise/s/eA?host=127.0.0.1&port=1")


async def test_a_connection_is_used_in_both_directions_for_whoever_has_shown_its_key():
    with marotte.Tub() as one, marotte.Tub() as other:
        uris = []
        for tub in (one, other):
            tub.listen("noise://127.0.0.1:0")
            uris.append(tub.registerReference(Echo()))
        assert await one.getReference(uris[1]).echo(1) == 1
        before = other.stats()
        assert await other.getReference(uris[0]).echo(2) == 2
        # The fetch and the call, and no other hello.
        assert other.stats()["messages_sent"] - before["messages_sent"] == 2


async def test_two_tubs_that_connect_to_each_other_at_once_keep_one_connection():
    for _ in range(20):
        with marotte.Tub() as one, marotte.Tub() as other:
            uris = []
            for tub in (one, other):
                tub.listen("noise://127.0.0.1:0")
                uris.append(tub.registerReference(Echo()))
            both = one.getReference(uris[1]), other.getReference(uris[0])
            assert await asyncio.gather(*(echo.echo(1) for echo in both)) == [1, 1]


async def test_a_hand_off_between_tubs_that_show_their_keys():
    with marotte.Tub() as exporter, marotte.Tub(introduce=True) as gifter, marotte.Tub() as friend:
        kept = []

        class Keeper(Echo):
            def remote_keep(self, gift):
                kept.append(gift)
                return gift.echo("kept")

        for tub in (exporter, friend):
            tub.listen("noise://127.0.0.1:0")
        far = await gifter.getReference(exporter.registerReference(Echo()))
        keeper = gifter.getReference(friend.registerReference(Keeper()))
        await keeper
        assert await keeper.keep(far) == "kept"
        gifter.close()
        assert await kept[0].echo("still") == "still"


async def test_who_says_nothing_or_nonsense_is_dropped():
    with marotte.Tub(limits={"handshake_ms": 200}) as server, marotte.Tub() as client:
        listener = server.listen("noise://127.0.0.1:0")
        uri = server.registerReference(Echo())
        for said in (
            b"",
            b"\0",
            b"\0\x40" + bytes(64),
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff" * 70_000,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(said)
            try:
                # Nobody who is not meant learns anything.
                assert await asyncio.wait_for(reader.read(), 10) == b""
            except ConnectionError:
                pass
            writer.close()
        assert await client.getReference(uri).echo(1) == 1


async def test_a_key_file_keeps_who_a_tub_is(tmp_path):
    path = tmp_path / "tub.key"
    uris = []
    for _ in range(2):
        with marotte.Tub(keyfile=path) as server, marotte.Tub() as client:
            server.listen("noise://127.0.0.1:0")
            uris.append(server.registerReference(Echo(), name="it"))
            assert await client.getReference(uris[-1]).echo(1) == 1
    assert len({uri.partition("?")[0] for uri in uris}) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("nonsense")
    with pytest.raises(OSError, match="holds no tub's key"):
        marotte.Tub(keyfile=path)


async def test_tables_are_emptied_as_over_plain_text():
    with marotte.Tub() as server, marotte.Tub() as client:
        server.listen("noise://127.0.0.1:0")
        remote = client.getReference(server.registerReference(Echo()))
        await asyncio.gather(*(remote.echo(Echo()) for _ in range(200)))
        del remote
        await until(lambda: client.stats()["exports"] == client.stats()["imports"] == 0)
        await until(lambda: server.stats()["exports"] == server.stats()["imports"] == 0)
