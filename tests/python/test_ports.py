"""Tubs that share their listeners, and the ways that lead to them."""

import asyncio
import gc
import os
import re
import socket
import weakref

import marotte
import pytest
from support import Echo, failure, until

ENCRYPTED = ["noise://127.0.0.1:0", "noise+ws://127.0.0.1:0", "noise+unix"]


def listen(tub, address, tmp_path):
    return tub.listen(f"noise+unix://{tmp_path}/s" if address == "noise+unix" else address)


def designator(uri):
    return re.match(r"ocapn://([^.]+)\.", uri)[1]


@pytest.mark.parametrize("address", ENCRYPTED)
async def test_tubs_on_one_listener_are_told_apart_by_key(address, tmp_path):
    with marotte.Tub() as one, marotte.Tub() as client:
        listener = listen(one, address, tmp_path)
        other = one.makeTub()
        uris = [tub.registerReference(Echo(), "it") for tub in (one, other)]
        assert designator(uris[0]) != designator(uris[1])
        assert uris[0].partition("?")[2] == uris[1].partition("?")[2]
        refs = [client.getReference(uri) for uri in uris]
        assert [await ref.echo(n) for n, ref in enumerate(refs)] == [0, 1]
        assert one.stats()["calls_received"] == other.stats()["calls_received"] == 2

        # Each sees its own objects only.
        secret = one.registerReference(Echo())
        elsewhere = secret.replace(designator(uris[0]), designator(uris[1]))
        assert "KeyError" in str(await failure(client.getReference(elsewhere).echo(1)))
        assert await client.getReference(secret).echo(2) == 2

        # Nobody whose key is not here is answered.
        with marotte.Tub() as stranger:
            stranger.listen("tcp://127.0.0.1:0")
            nobody = stranger.registerReference(Echo())
        unknown = uris[0].replace(designator(uris[0]), designator(nobody))
        assert isinstance(
            await failure(client.getReference(unknown).echo(1)), marotte.DisconnectedError
        )

        # One ends, and what was its own.
        other.close()
        assert isinstance(await failure(refs[1].echo(1)), marotte.DisconnectedError)
        assert isinstance(
            await failure(client.getReference(uris[1]).echo(1)), marotte.DisconnectedError
        )
        assert await refs[0].echo(3) == 3
        assert listener.location in uris[0].replace("/s/aXQ", "")


async def test_closing_the_first_tub_leaves_those_that_were_made_of_it():
    with marotte.Tub() as client:
        first = marotte.Tub()
        port = first.listen("noise://127.0.0.1:0").port
        second = first.makeTub()
        third = second.makeTub()
        refs = [client.getReference(tub.registerReference(Echo())) for tub in (second, third)]
        assert [await ref.echo(1) for ref in refs] == [1, 1]
        first.close()
        assert [await ref.echo(2) for ref in refs] == [2, 2]
        with marotte.Tub() as late:
            assert await late.getReference(third.registerReference(Echo())).echo(3) == 3
        second.close()
        assert await refs[1].echo(4) == 4
        third.close()
        # The last one takes the port along.
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))
        with pytest.raises(RuntimeError, match="was closed"):
            first.makeTub()


async def test_a_listener_that_is_opened_later_is_everyones_unless_it_is_plain():
    with marotte.Tub() as first, marotte.Tub() as client:
        made = first.makeTub()
        with pytest.raises(RuntimeError, match="listens nowhere"):
            made.registerReference(Echo())
        plain = first.listen("tcp://127.0.0.1:0")
        with pytest.raises(RuntimeError, match="listens nowhere"):
            made.registerReference(Echo())
        made.listen("noise://127.0.0.1:0")
        for tub in (first, made):
            ref = client.getReference(tub.registerReference(Echo()))
            assert await ref.echo(1) == 1
        # In plain text only the first tub is found.
        assert designator(plain.uriFor("x")) == designator(first.registerReference(Echo()))
        made.close()


async def test_what_others_hold_of_a_closed_tub_breaks_however_they_came_to_it():
    """Held, gifted, sturdy: and what belongs to another tub of the same program does not."""
    with (
        marotte.Tub() as shop,
        marotte.Tub(introduce=True) as alice,
        marotte.Tub(introduce=True) as bob,
    ):
        shop.listen("noise://127.0.0.1:0")
        bob.listen("noise://127.0.0.1:0")
        cart, till = shop.makeTub(), shop.makeTub()
        uri = cart.registerReference(Echo())
        held = await alice.getReference(uri)
        safe = await alice.getReference(till.registerReference(Echo()))
        kept = []

        class Friend(marotte.Referenceable):
            def remote_take(self, *things):
                kept.extend(things)

        friend = alice.getReference(bob.registerReference(Friend()))
        await friend.take(held, safe)
        given, spared = kept
        assert (await given.echo(1), await spared.echo(2)) == (1, 2)
        cart.close()
        for ref in (held, given):
            assert isinstance(await failure(ref.echo(1)), marotte.DisconnectedError)
        assert isinstance(await failure(bob.getReference(uri).echo(1)), marotte.DisconnectedError)
        assert (await safe.echo(3), await spared.echo(4)) == (3, 4)


async def test_a_made_tub_that_is_forgotten_goes():
    with marotte.Tub() as first:
        first.listen("noise://127.0.0.1:0")
        tubs = [weakref.ref(first.makeTub()) for _ in range(10)]
        gc.collect()
        assert not any(tub() for tub in tubs)


async def test_a_thousand_tubs_on_one_listener():
    with marotte.Tub() as first, marotte.Tub() as client:
        first.listen("noise://127.0.0.1:0")
        tubs = [first.makeTub() for _ in range(1000)]
        uris = [tub.registerReference(Echo()) for tub in tubs]
        some = range(0, 1000, 40)
        assert await asyncio.gather(*(client.getReference(uris[n]).echo(n) for n in some)) == list(
            some
        )
        for tub in tubs:
            tub.close()


# Ways.


@pytest.fixture
def silent():
    """A port where connections are made, and nobody ever says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def hints(uri, text):
    return uri.partition("?")[0] + "?" + text


@pytest.mark.parametrize(
    "wrong", ["refused", "silent", "another key", "another protocol", "no such host"]
)
async def test_a_way_that_leads_elsewhere_is_passed_by(wrong, silent):
    with marotte.Tub() as server, marotte.Tub() as mallory, marotte.Tub() as client:
        port = server.listen("noise://127.0.0.1:0").port
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            bad = {
                "refused": f"host=127.0.0.1&port={unused.getsockname()[1]}",
                "silent": f"host=127.0.0.1&port={silent}",
                "another key": f"host=127.0.0.1&port={mallory.listen('noise://127.0.0.1:0').port}",
                "another protocol": f"host=127.0.0.1&port={mallory.listen('ws://127.0.0.1:0').port}",
                "no such host": "host=nowhere.invalid&port=1",
            }[wrong]
            uri = hints(server.registerReference(Echo()), f"{bad}&host.2=127.0.0.1&port.2={port}")
            assert await asyncio.wait_for(client.getReference(uri).echo(1), 5) == 1
        assert mallory.stats()["messages_received"] == 0


async def test_when_no_way_leads_there_each_is_named_with_its_reason():
    with marotte.Tub() as server, marotte.Tub() as mallory, marotte.Tub() as client:
        server.listen("noise://127.0.0.1:0")
        theirs = mallory.listen("noise://127.0.0.1:0").port
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            shut = unused.getsockname()[1]
            bad = f"host=127.0.0.1&port={theirs}&host.2=127.0.0.1&port.2={shut}&unix=/nowhere"
            uri = hints(server.registerReference(Echo()), bad)
            error = await failure(client.getReference(uri).echo(1))
        assert isinstance(error, marotte.DisconnectedError)
        text = str(error)
        assert f"127.0.0.1:{theirs}: the peer hung up" in text
        assert f"127.0.0.1:{shut}: Connection refused" in text
        assert "/nowhere: No such file" in text


async def test_a_peer_that_is_met_on_two_ways_has_one_connection():
    with marotte.Tub() as server, marotte.Tub() as client:
        for _ in range(3):
            server.listen("noise://127.0.0.1:0")
        uri = server.registerReference(Echo())
        assert re.search(
            r"\?host=[\d.]+&host.2=[\d.]+&host.3=[\d.]+&port=\d+&port.2=\d+&port.3=\d+$", uri
        )
        assert await client.getReference(uri).echo(1) == 1
        assert server.stats()["messages_received"] == 3 and client.stats()["messages_sent"] == 3


async def test_closing_a_tub_that_is_looking_for_a_way_leaves_nothing_behind(silent):
    before = len(os.listdir("/proc/self/fd"))
    with marotte.Tub() as server, marotte.Tub() as client:
        server.listen("noise://127.0.0.1:0")
        uri = hints(server.registerReference(Echo()), f"host=127.0.0.1&port={silent}")
        ref = client.getReference(uri)
        await asyncio.sleep(0.05)
        client.close()
        assert isinstance(await failure(ref.echo(1)), marotte.DisconnectedError)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_ipv6():
    with marotte.Tub() as server, marotte.Tub() as client:
        try:
            server.listen("noise://[::1]:0")
        except OSError:
            pytest.skip("no IPv6 here")
        uri = server.registerReference(Echo())
        assert "?host=::1&port=" in uri
        assert await client.getReference(uri).echo(1) == 1


# Sockets in the file system.


async def test_a_socket_in_the_file_system_and_what_was_left_of_one(tmp_path):
    path = tmp_path / "tub.socket"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))  # A program that was killed leaves its name.
    with marotte.Tub() as server, marotte.Tub() as client:
        listener = server.listen(f"noise+unix://{path}")
        assert listener.port == 0
        uri = server.registerReference(Echo())
        assert uri.endswith(f"?unix={path}")
        assert await client.getReference(uri).echo(b"x" * 1_000_000) == b"x" * 1_000_000
        # Somebody listens there: it stays theirs.
        with marotte.Tub() as second, pytest.raises(OSError, match="in use"):
            second.listen(f"noise+unix://{path}")
        assert await client.getReference(uri).echo(1) == 1
    assert not path.exists()
    path.write_text("somebody's letter")
    with marotte.Tub() as server, pytest.raises(OSError, match="in use"):
        server.listen(f"noise+unix://{path}")
    assert path.read_text() == "somebody's letter"


async def test_a_peer_cannot_make_us_connect_to_a_name_in_our_file_system(tmp_path):
    """An introduction names where to go; only a URI of this program's own leads into its file system."""
    trap = socket.socket(socket.AF_UNIX)
    trap.bind(str(tmp_path / "trap"))
    trap.listen()
    trap.setblocking(False)
    with trap, marotte.Tub() as hidden, marotte.Tub(introduce=True) as alice, marotte.Tub() as bob:
        hidden.listen(f"noise+unix://{tmp_path}/hidden")
        bob.listen("noise://127.0.0.1:0")
        uri = hidden.registerReference(Echo())
        lured = alice.getReference(uri)
        assert await lured.echo(1) == 1

        class Friend(marotte.Referenceable):
            async def remote_use(self, thing):
                return await thing.echo(1)

        friend = alice.getReference(bob.registerReference(Friend()))
        error = await failure(friend.use(lured))
        assert "lacks a way" in str(error)
        # Nor does it where the name leads to something else.
        (tmp_path / "hidden").rename(tmp_path / "moved")
        (tmp_path / "trap").rename(tmp_path / "hidden")
        await failure(friend.use(lured))
        with pytest.raises(BlockingIOError):
            trap.accept()
        # Bob himself may go there, and finds out.
        ref = bob.getReference(uri)
        await asyncio.sleep(0.05)
        trap.accept()[0].close()
        assert "Connection reset by peer" in str(await failure(ref.echo(1)))


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("noise://127.0.0.1:0", "wss://example.org"),
        ("noise+ws://127.0.0.1:0", "noise://example.org:1"),
        ("noise://127.0.0.1:0", "noise://example.org"),
        ("noise+unix", "noise://example.org:1"),
    ],
)
async def test_the_url_for_peers_must_fit(address, url, tmp_path):
    with marotte.Tub() as tub, pytest.raises(ValueError, match="the URL for peers must be"):
        tub.listen(f"noise+unix://{tmp_path}/s" if address == "noise+unix" else address, url)


async def test_two_tubs_with_one_key_are_not_found_in_one_place(tmp_path):
    with marotte.Tub() as first:
        first.listen("noise://127.0.0.1:0")
        one = first.makeTub(keyfile=tmp_path / "key")
        with pytest.raises(ValueError, match="with that key"):
            first.makeTub(keyfile=tmp_path / "key")
        one.close()
        other = first.makeTub(keyfile=tmp_path / "key")
        one.close()
        with marotte.Tub() as client:
            assert await client.getReference(other.registerReference(Echo())).echo(1) == 1
        other.close()


async def test_a_guest_who_only_asks_for_answers_holds_up_nobody():
    """Pings are answered before it is known who sends them: not without end."""
    with marotte.Tub() as server, marotte.Tub() as client:
        port = server.listen("noise+ws://127.0.0.1:0").port
        uri = server.registerReference(Echo())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        ping = b"\x89\xfd" + bytes(4) + bytes(125)
        remote = client.getReference(uri)
        for n in range(100):
            writer.write(ping * 100)
            assert await asyncio.wait_for(remote.echo(n), 2) == n
        with pytest.raises(ConnectionError):
            while True:
                await writer.drain()
                writer.write(ping * 100)
                await asyncio.sleep(0)
        writer.close()


async def test_guests_go_with_the_port():
    with marotte.Tub() as tub:
        port = tub.listen("noise://127.0.0.1:0").port
        guests = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        guests[0][1].write(b"\0")
        await asyncio.sleep(0.05)
        tub.close()
        for reader, writer in guests:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asyncio.wait_for(reader.readexactly(1), 2)
            writer.close()


async def test_a_closed_tub_lets_go_of_what_leads_back_to_it():
    class Visit(Echo):
        def __init__(self, tub):
            self.tub = tub

    with marotte.Tub() as first:
        first.listen("noise://127.0.0.1:0")
        visit = Visit(first.makeTub())
        visit.tub.registerReference(visit)
        seen = weakref.ref(visit)
        visit.tub.close()
        del visit
        gc.collect()
        assert seen() is None


async def test_hints_of_one_reference_do_not_spoil_those_of_another(silent):
    with marotte.Tub() as server, marotte.Tub() as client:
        server.listen("noise://127.0.0.1:0")
        uri = server.registerReference(Echo())
        lured = client.getReference(hints(uri, f"host=127.0.0.1&port={silent}"))
        assert await asyncio.wait_for(client.getReference(uri).echo(1), 2) == 1
        assert await lured.echo(2) == 2


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".org"])
async def test_a_host_that_is_no_name_is_passed_by(host):
    with marotte.Tub() as server, marotte.Tub() as client:
        port = server.listen("noise://127.0.0.1:0").port
        uri = server.registerReference(Echo())
        both = hints(uri, f"host={host}&port=1&host.2=127.0.0.1&port.2={port}")
        assert await asyncio.wait_for(client.getReference(both).echo(1), 2) == 1
        with marotte.Tub() as other:
            error = await failure(other.getReference(hints(uri, f"host={host}&port=1")).echo(1))
            assert f"cannot connect to {host}:1: " in str(error)


async def test_a_busy_socket_in_the_file_system_is_tried_again(tmp_path):
    path = tmp_path / "busy"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        crowd = []
        while True:
            crowd.append(socket.socket(socket.AF_UNIX))
            crowd[-1].setblocking(False)
            if crowd[-1].connect_ex(str(path)):
                break
        with marotte.Tub() as server, marotte.Tub() as client:
            # Somebody is there, though too busy to say so.
            with pytest.raises(OSError, match="in use"):
                server.listen(f"noise+unix://{path}")
            server.listen("noise://127.0.0.1:0")
            uri = hints(server.registerReference(Echo()), f"unix={path}")
            ref = client.getReference(uri)
            await asyncio.sleep(0.05)
            assert marotte.state(ref) == "remote"
            for one in crowd:
                one.close()
            for _ in crowd[:-1]:
                busy.accept()[0].close()
            busy.settimeout(2)
            (await asyncio.to_thread(busy.accept))[0].close()
            assert "cannot connect to" in str(await failure(ref.echo(1)))


async def test_the_name_of_a_socket_is_absolute_and_stays_if_it_is_anothers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with marotte.Tub() as tub:
        tub.listen("noise+unix://it")
        assert tub.registerReference(Echo()).endswith(f"?unix={tmp_path}/it")
        (tmp_path / "it").unlink()
        with socket.socket(socket.AF_UNIX) as another:
            another.bind(str(tmp_path / "it"))
    assert (tmp_path / "it").exists()
    with marotte.Tub() as tub, pytest.raises(OSError, match="must have a path"):
        tub.listen("noise+unix://")
