"""What goes wrong is told, with the reason, to whoever waits."""

import asyncio
import base64
import re
import socket

import marotte
import pytest
from support import EMPTY, Echo, failure, meet, tables


def swiss(name):
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


class Custom(Exception):
    def __str__(self):
        raise RuntimeError("even its text fails")


class Failing(marotte.Referenceable):
    def remote_value(self):
        raise ValueError("a\nvalue Ω")

    def remote_silent(self):
        raise KeyError

    def remote_custom(self):
        raise Custom

    def remote_exit(self):
        raise SystemExit(3)

    def remote_surrogate(self):
        raise ValueError("\ud800")

    def remote_one(self, argument):
        return argument

    @property
    def remote_property(self):
        raise AttributeError("inside")


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("value", "ValueError: a\nvalue Ω"),
        ("silent", "KeyError"),
        ("custom", "Custom"),
        ("exit", "SystemExit: 3"),
    ],
)
async def test_failure_arrives_with_its_type_and_text(method, text):
    with meet(Failing()) as link:
        error = await failure(getattr(link.remote, method)())
        assert type(error) is marotte.RemoteError
        assert str(error) == text


async def test_surrogates_in_a_failure_are_replaced():
    with meet(Failing()) as link:
        assert str(await failure(link.remote.surrogate())).startswith("ValueError: ")
        assert await link.remote.one(1) == 1


async def test_no_traceback_crosses_the_wire():
    with meet(Failing()) as link:
        assert __file__ not in str(await failure(link.remote.value()))


async def test_no_such_method():
    with meet(Failing()) as link:
        error = await failure(link.remote.nothing())
        assert str(error) == 'AttributeError: Failing has no remote method "nothing"'


async def test_wrong_number_of_arguments():
    with meet(Failing()) as link:
        assert "TypeError" in str(await failure(link.remote.one()))
        assert "TypeError" in str(await failure(link.remote.one(1, 2)))


async def test_no_such_name():
    with meet() as link:
        error = await failure(link.client.getReference(link.listener.uriFor("nobody")))
        assert isinstance(error, marotte.RemoteError)
        assert "no object is registered" in str(error)


async def test_no_such_name_of_our_own():
    with meet() as link:
        error = await failure(link.server.getReference(link.listener.uriFor("nobody")))
        assert "no object is registered" in str(error)


async def test_unregistered_object_is_gone_but_references_stay_good():
    with meet() as link:
        reference = await link.remote
        assert link.server.unregisterReference(link.uri) is True
        assert "no object" in str(await failure(link.client.getReference(link.uri)))
        assert await reference.echo(1) == 1


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("", "must begin with ocapn://"),
        ("http://example.com", "must begin with ocapn://"),
        ("ocapn://a.tcp-testing-only", "no object"),
        ("ocapn://a.tcp-testing-only/x/eA", "must begin with /s/"),
        ("ocapn://a.tcp-testing-only/s/!!", "base64url"),
        ("ocapn://nodot/s/eA", "<designator>.<transport>"),
        ("ocapn://a.tcp-testing-only/s/eA?host", "name=value"),
        ("ocapn://a.tcp-testing-only/s/eA?host=%ff", "UTF-8"),
        ("ocapn://a.tcp-testing-only/s/eA?port=1", 'lacks the hints "host" and "port"'),
        ("ocapn://a.tcp-testing-only/s/eA?host=h&port=x", "(a number"),
        ("ocapn://a.onion/s/eA", 'no transport named "onion"'),
        ("ocapn://a.websocket/s/eA?url=http://x", "ws://host:port"),
    ],
)
async def test_bad_uri_is_refused_at_once(uri, text):
    with marotte.Tub() as tub, pytest.raises(ValueError, match=text.replace("(", r"\(")):
        tub.getReference(uri)


async def test_error_of_a_uri_does_not_tell_the_secret():
    with marotte.Tub() as tub, pytest.raises(ValueError) as caught:
        tub.getReference("ocapn://a/s/c2VjcmV0")
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
async def test_connection_refused_says_why(scheme):
    with socket.socket() as bound:
        # Bound but not listening, so nobody else can have the port.
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        uri = {
            "tcp": f"ocapn://a.tcp-testing-only/s/eA?host=127.0.0.1&port={port}",
            "ws": f"ocapn://a.websocket/s/eA?url=ws://127.0.0.1:{port}",
        }[scheme]
        with marotte.Tub() as tub:
            promise = tub.getReference(uri)
            error = await failure(promise.anything())
            assert isinstance(error, marotte.DisconnectedError)
            assert isinstance(error, ConnectionError)
            assert "Connection refused" in str(error)
            assert str(port) in str(error)


async def test_name_that_does_not_resolve():
    with marotte.Tub() as tub:
        uri = "ocapn://a.tcp-testing-only/s/eA?host=nowhere.invalid&port=1"
        error = await failure(tub.getReference(uri))
        assert isinstance(error, marotte.DisconnectedError)
        assert re.search(r": cannot connect to nowhere\.invalid:1: \S", str(error))


async def test_name_that_resolves():
    with meet() as link:
        uri = link.uri.replace("host=127.0.0.1", "host=localhost")
        assert await link.client.getReference(uri).echo(1) == 1


async def test_retry_after_a_failed_connection():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with marotte.Tub() as client:
            uri = f"ocapn://a.tcp-testing-only/s/{swiss('it')}?host=127.0.0.1&port={port}"
            assert "refused" in str(await failure(client.getReference(uri)))
            bound.close()
            with marotte.Tub() as server:
                server.listen(f"tcp://127.0.0.1:{port}")
                server.registerReference(Echo(), name="it")
                assert await client.getReference(uri).echo(1) == 1


@pytest.mark.parametrize("who", ["client", "server"])
async def test_every_pending_promise_breaks_when_the_connection_ends(who, scheme):
    with meet(scheme=scheme) as link:
        reference = await link.remote
        promises = [reference.forever() for _ in range(5)]
        promises.append(promises[0].pipelined().further())
        promises.append(link.remote.forever()._then(lambda _: None))
        await link.remote.echo(1)
        getattr(link, who).close()
        for promise in promises:
            error = await failure(promise)
            assert isinstance(error, marotte.DisconnectedError)
            assert "the tub was closed" in str(error)
            # It names the peer, by its designator.
            assert link.uri.split("://")[1].split("/")[0] in str(error)
        assert tables(link.client) == EMPTY


async def test_calls_after_the_end_break_at_once():
    with meet() as link:
        reference = await link.remote
        link.client.close()
        error = await failure(reference.echo(1))
        assert isinstance(error, marotte.DisconnectedError)
        assert "the tub was closed" in str(error)


async def test_new_connection_after_the_peer_came_back():
    with meet() as link:
        await link.remote
        port = link.listener.port
        link.server.close()
        await asyncio.sleep(0.05)
        with marotte.Tub() as server:
            server.listen(f"tcp://127.0.0.1:{port}")
            server.registerReference(Echo(), name="it")
            assert await link.client.getReference(link.uri).echo(2) == 2


async def test_registration_needs_a_listener():
    with marotte.Tub() as tub, pytest.raises(RuntimeError, match="listens nowhere"):
        tub.registerReference(Echo())


@pytest.mark.parametrize("thing", [1, "text", object(), Echo, print, [Echo()]])
async def test_only_objects_of_the_right_kind_are_registered(thing):
    with marotte.Tub() as tub:
        tub.listen("tcp://127.0.0.1:0")
        with pytest.raises(TypeError, match="cannot be registered"):
            tub.registerReference(thing)


@pytest.mark.parametrize("address", ["", "127.0.0.1:0", "udp://127.0.0.1:0", "http://x:1"])
async def test_bad_address_to_listen_at(address):
    with marotte.Tub() as tub, pytest.raises(ValueError, match="cannot listen at"):
        tub.listen(address)


async def test_port_in_use():
    with meet() as link, pytest.raises(OSError, match="[Aa]ddress already in use"):
        link.client.listen(f"tcp://127.0.0.1:{link.listener.port}")


class Shop(marotte.Referenceable):
    def remote_buy(self, what):
        raise LookupError(f"no {what} today")

    async def remote_later(self, what):
        await asyncio.sleep(0)
        raise LookupError(f"no {what} today")


class Agent(marotte.Referenceable):
    def __init__(self, shop):
        self.shop = shop

    def remote_buy(self, what):
        return self.shop.buy(what)


@pytest.mark.parametrize("method", ["buy", "later"])
@pytest.mark.parametrize("tracebacks", [False, True])
def test_an_error_keeps_its_type_and_tells_where_it_happened_only_if_allowed(tracebacks, method):
    async def test():
        with marotte.Tub(tracebacks=tracebacks) as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            shop = client.getReference(server.registerReference(Shop()))
            with pytest.raises(
                marotte.RemoteError, match="^LookupError: no bread today$"
            ) as caught:
                await getattr(shop, method)("bread")
            assert caught.value.type == "LookupError"
            if tracebacks:
                assert f"in remote_{method}" in caught.value.traceback
                assert "Remote traceback" not in str(caught.value)
            else:
                assert caught.value.traceback is None

    asyncio.run(test())


@pytest.mark.parametrize("tracebacks", [False, True])
def test_a_traceback_goes_on_to_others_only_if_allowed(tracebacks):
    async def test():
        with (
            marotte.Tub(tracebacks=True) as server,
            marotte.Tub(tracebacks=tracebacks) as between,
            marotte.Tub() as client,
        ):
            server.listen("tcp://127.0.0.1:0")
            between.listen("tcp://127.0.0.1:0")
            shop = between.getReference(server.registerReference(Shop()))
            agent = client.getReference(between.registerReference(Agent(shop)))
            with pytest.raises(
                marotte.RemoteError, match="^LookupError: no bread today$"
            ) as caught:
                await agent.buy("bread")
            assert caught.value.type == "LookupError"
            assert (caught.value.traceback is not None) == tracebacks

    asyncio.run(test())


def test_an_error_whose_text_begins_with_no_type_has_none():
    async def test():
        class Rude(marotte.Referenceable):
            def remote_go(self):
                raise marotte.RemoteError("not today, thank you: come back later")

        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            with pytest.raises(marotte.RemoteError, match="not today") as caught:
                await client.getReference(server.registerReference(Rude())).go()
            assert caught.value.type is None

    asyncio.run(test())
