"""Connections that are kept, and URIs that stay when a program starts again."""

import asyncio
import gc
import stat
import time
import weakref

import marotte
import pytest
from support import Echo, failure, until


class Service(Echo):
    async def remote_later(self, value):
        await asyncio.sleep(60)
        return value


def serve(tmp_path, address="noise://127.0.0.1:0"):
    tub = marotte.Tub(keyfile=tmp_path / "key")
    port = tub.listen(address).port
    return tub, port, tub.registerReference(Service(), uriFile=tmp_path / "echo.uri")


async def test_a_uri_stays_when_its_program_starts_again(tmp_path):
    first, port, uri = serve(tmp_path)
    first.close()
    assert stat.S_IMODE((tmp_path / "echo.uri").stat().st_mode) == 0o600
    assert (tmp_path / "echo.uri").read_text() == f"{uri}\n"
    again, _, same = serve(tmp_path, f"noise://127.0.0.1:{port}")
    with again, marotte.Tub() as client:
        assert same == uri
        assert await client.getReference(uri).echo(1) == 1
        # Another object has another.
        assert again.registerReference(Echo(), uriFile=tmp_path / "other.uri") != uri
        with pytest.raises(ValueError, match="leave out name or uriFile"):
            again.registerReference(Echo(), "name", uriFile=tmp_path / "echo.uri")
    moved, _, elsewhere = serve(tmp_path)
    with moved:
        assert elsewhere.partition("?")[0] == uri.partition("?")[0] and elsewhere != uri
        assert (tmp_path / "echo.uri").read_text() == f"{elsewhere}\n"
    with marotte.Tub() as stranger:
        stranger.listen("noise://127.0.0.1:0")
        with pytest.raises(OSError, match="another tub's"):
            stranger.registerReference(Echo(), uriFile=tmp_path / "echo.uri")
        with pytest.raises(OSError):
            stranger.registerReference(Echo(), uriFile=tmp_path / "nowhere" / "x")


async def test_a_connection_is_kept_while_its_server_comes_and_goes(tmp_path):
    server, port, uri = serve(tmp_path)
    seen = []
    with marotte.Tub() as client:
        reconnector = client.connectTo(
            uri, lambda *args, **kwargs: seen.append((args, kwargs)), 1, two=2
        )
        assert (reconnector.state, reconnector.attempts) == ("connecting", 1)
        await until(lambda: seen)
        (reference, *rest), kwargs = seen[0]
        assert (rest, kwargs) == ([1], {"two": 2})
        assert reconnector.reference is reference and reconnector.state == "connected"
        assert reconnector.getLastFailure() is None
        assert reconnector.getDelayUntilNextAttempt() is None
        assert await reference.echo(1) == 1
        # What is under way breaks, and is not sent again.
        call = reference.later(1)
        server.close()
        assert isinstance(await failure(call), marotte.DisconnectedError)
        await until(lambda: reconnector.state == "waiting")
        assert reconnector.reference is None
        assert 0.5 < reconnector.getDelayUntilNextAttempt() <= 1.2
        await until(lambda: "the tub was closed" in str(reconnector.getLastFailure()))
        reconnector.reset()
        assert reconnector.state == "connecting"
        await until(lambda: "refused" in str(reconnector.getLastFailure()))
        server, _, _ = serve(tmp_path, f"noise://127.0.0.1:{port}")
        with server:
            reconnector.reset()
            await until(lambda: len(seen) == 2)
            assert seen[1][0][0] is not reference
            assert await reconnector.reference.echo(2) == 2
            kept = reconnector.reference
            reconnector.stopConnecting()
            reconnector.stopConnecting()
            assert (reconnector.state, reconnector.reference) == ("stopped", None)
            assert await kept.echo(3) == 3
        await asyncio.sleep(0.05)
        assert reconnector.state == "stopped" and len(seen) == 2


async def test_it_comes_back_by_itself(tmp_path):
    server, port, uri = serve(tmp_path)
    with marotte.Tub() as client:
        reconnector = client.connectTo(uri)
        reconnector.initialDelay, reconnector.maxDelay = 0.02, 0.05
        got = []

        async def watch():
            async for reference in reconnector:
                got.append(await reference.echo(len(got)))

        watching = asyncio.create_task(watch())
        for count in range(1, 4):
            await until(lambda count=count: len(got) == count)
            server.close()
            # Some attempts fail meanwhile, none later than the longest time, a fifth more.
            await until(lambda: reconnector.attempts >= 3)
            delay = reconnector.getDelayUntilNextAttempt()
            assert delay is None or delay <= 0.06
            server, _, _ = serve(tmp_path, f"noise://127.0.0.1:{port}")
        await until(lambda: len(got) == 4)
        reconnector.stopConnecting()
        await asyncio.wait_for(watching, 5)
    server.close()


async def test_an_object_that_is_not_there_yet_is_waited_for(tmp_path):
    with marotte.Tub() as server, marotte.Tub() as client:
        listener = server.listen("noise://127.0.0.1:0")
        reconnector = client.connectTo(listener.uriFor("late"))
        reconnector.initialDelay = 0.02
        await until(lambda: "KeyError" in str(reconnector.getLastFailure()))
        server.registerReference(Echo(), "late")
        await until(lambda: reconnector.state == "connected")
        assert await reconnector.reference.echo(1) == 1


async def test_it_ends_with_its_tub(tmp_path):
    server, _, uri = serve(tmp_path)
    client = marotte.Tub()
    one, two = client.connectTo(uri), client.connectTo(uri)
    await until(lambda: one.state == two.state == "connected")
    server.close()
    await until(lambda: two.state == "waiting")
    client.close()
    assert one.state == two.state == "stopped"
    assert [reference async for reference in one] == []
    with pytest.raises(RuntimeError, match="was closed"):
        client.connectTo(uri)
    with marotte.Tub() as other, pytest.raises(ValueError, match="not an ocapn:// reference"):
        other.connectTo("http://example.org")


async def test_a_function_that_fails_ends_nothing(tmp_path, log):
    server, _, uri = serve(tmp_path)
    with server, marotte.Tub() as client:
        reconnector = client.connectTo(uri, lambda reference: 1 // 0)
        await until(lambda: reconnector.state == "connected")
        assert await reconnector.reference.echo(1) == 1
        assert log.texts() == ["a function given to connectTo failed"]


async def test_an_object_of_its_own_is_never_lost():
    with marotte.Tub() as tub:
        tub.listen("noise://127.0.0.1:0")
        mine = Echo()
        async for found in tub.connectTo(tub.registerReference(mine)):
            assert found is mine
            break


def test_without_an_event_loop(tmp_path):
    with marotte.Tub(runner="blocking") as server, marotte.Tub(runner="blocking") as client:
        # Both would have to wait at once; refused is enough here.
        server.listen("noise://127.0.0.1:0")
        uri = server.registerReference(Echo())
        server.close()
        reconnector = client.connectTo(uri)
        reconnector.initialDelay = 0.01
        end = time.monotonic() + 5
        while reconnector.attempts < 3 and time.monotonic() < end:
            client.run(seconds=0.02)
        assert reconnector.attempts >= 3


async def test_the_function_may_be_async(tmp_path, log):
    server, _, uri = serve(tmp_path)
    got = []

    async def good(reference):
        got.append(await reference.echo(1))

    async def bad(reference):
        await reference.echo(1)
        raise ValueError("mine")

    with server, marotte.Tub() as client:
        client.connectTo(uri, good)
        client.connectTo(uri, bad)
        await until(lambda: got == [1] and log.texts())
    assert str(log.records[0].exc_info[1]) == "mine"


async def test_a_stopped_one_is_let_go_of(tmp_path):
    server, _, uri = serve(tmp_path)
    with server, marotte.Tub() as client:

        async def stopped():
            reconnector = client.connectTo(uri)
            await until(lambda: reconnector.state == "connected")
            reconnector.stopConnecting()
            return weakref.ref(reconnector)

        seen = [await stopped() for _ in range(10)]
        client.connectTo(uri)
        gc.collect()
        assert not any(one() for one in seen)
