"""Three tubs: one introduces another to an object of the third's."""

import asyncio
import contextlib
import types

import marotte
import pytest
from support import failure, until


class Counter(marotte.Referenceable):
    def __init__(self):
        self.count = 0

    def remote_increment(self):
        self.count += 1
        return self.count


class Keeper(marotte.Referenceable):
    def __init__(self):
        self.kept = []

    def remote_keep(self, gift):
        self.kept.append(gift)
        return gift.increment()

    async def remote_same(self, one, other):
        return await one == await other

    def remote_here(self):
        return "here"


@contextlib.contextmanager
def three(introduce=True, scheme="tcp"):
    """An exporter of a counter, a gifter that has found it, and a receiver."""
    with (
        marotte.Tub() as exporter,
        marotte.Tub(introduce=introduce) as gifter,
        marotte.Tub() as receiver,
    ):
        for tub in (exporter, receiver):
            tub.listen(f"{scheme}://127.0.0.1:0")
        counter, keeper = Counter(), Keeper()
        far = gifter.getReference(exporter.registerReference(counter))
        friend = gifter.getReference(receiver.registerReference(keeper))
        yield types.SimpleNamespace(**locals())


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
async def test_the_receiver_calls_the_object_over_a_connection_of_its_own(scheme):
    with three(scheme=scheme) as net:
        counter = await net.far
        await net.friend
        assert await counter.increment() == 1
        assert await net.friend.keep(counter) == 2
        net.gifter.close()
        assert await net.keeper.kept[0].increment() == 3
        assert net.exporter.stats()["calls_received"] >= 5


async def test_without_introductions_the_object_is_lent():
    with three(introduce=False) as net:
        assert await net.friend.keep(await net.far) == 1
        net.gifter.close()
        assert isinstance(await failure(net.keeper.kept[0].increment()), marotte.DisconnectedError)


async def test_a_gift_that_comes_twice_is_one_object():
    with three() as net:
        counter = await net.far
        assert await net.friend.same(counter, counter) is True


async def test_messages_sent_before_the_introduction_arrive_before_those_of_the_receiver():
    with three() as net:
        counter = await net.far
        await net.friend
        mine = [counter.increment() for _ in range(100)]
        assert await net.friend.keep(counter) == 101
        assert await asyncio.gather(*mine) == list(range(1, 101))


async def test_a_gift_of_a_peer_that_is_gone_breaks_by_itself():
    with three() as net:
        counter = await net.far
        await net.friend
        # The exporter goes while the gift is on its way.
        gone = net.friend.keep(counter)
        net.exporter.close()
        assert isinstance(await failure(gone), (marotte.RemoteError, marotte.DisconnectedError))
        assert await net.friend.here() == "here"
        await until(lambda: net.receiver.stats()["questions"] == 0)
        net.keeper.kept.clear()


async def test_two_tubs_that_connect_to_each_other_at_once_keep_one_connection():
    for _ in range(20):
        with marotte.Tub(believe=True) as one, marotte.Tub(believe=True) as other:
            uris = []
            for tub in (one, other):
                tub.listen("tcp://127.0.0.1:0")
                uris.append(tub.registerReference(Counter()))
            both = one.getReference(uris[1]), other.getReference(uris[0])
            assert await asyncio.gather(*(counter.increment() for counter in both)) == [1, 1]
            assert await asyncio.gather(*(counter.increment() for counter in both)) == [2, 2]
            # One connection: what is fetched now goes over it, from either side.
            assert await other.getReference(uris[0]).increment() == 3


async def test_sturdy_references_are_values():
    with marotte.Tub() as server, marotte.Tub() as client:
        server.listen("tcp://127.0.0.1:0")

        class Finder(marotte.Referenceable):
            def remote_where(self):
                return {"counter": [marotte.SturdyRef(uri)]}

            def remote_echo(self, sturdy):
                assert type(sturdy) is marotte.SturdyRef
                return sturdy

        uri = server.registerReference(Counter())
        finder = client.getReference(server.registerReference(Finder()))
        sturdy = (await finder.where())["counter"][0]
        assert str(sturdy) == uri
        assert sturdy == marotte.SturdyRef(uri) and hash(sturdy) == hash(marotte.SturdyRef(uri))
        assert uri.partition("/s/")[2].partition("?")[0] not in repr(sturdy)
        assert await finder.echo(sturdy) == sturdy
        assert await client.getReference(sturdy).increment() == 1
        with pytest.raises(ValueError, match="not an ocapn:// reference"):
            marotte.SturdyRef("http://example.com")


async def test_a_reason_that_is_no_error_arrives_as_it_is():
    class Rude(marotte.Referenceable):
        def remote_symbol(self):
            raise marotte.RemoteError(marotte.Symbol("busy"))

        def remote_data(self):
            raise marotte.RemoteError({"code": 7})

    with marotte.Tub() as server, marotte.Tub() as client:
        server.listen("tcp://127.0.0.1:0")
        rude = client.getReference(server.registerReference(Rude()))
        assert (await failure(rude.data())).args == ({"code": 7},)
        reason = (await failure(rude.symbol())).args[0]
        assert (type(reason), reason) == (marotte.Symbol, "busy")
