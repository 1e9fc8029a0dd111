"""References that are taken back."""

import asyncio

import marotte
import pytest
from support import Echo, failure, until


class Shop(marotte.Referenceable):
    def __init__(self):
        self.item = Echo()
        self.promise, self.resolve = marotte.makePromise()

    def remote_getItem(self):
        return self.item

    def remote_getItems(self):
        return [self.item, Echo()]

    def remote_getPromise(self):
        return self.promise

    def remote_use(self, item):
        return item.remote_echo("used here")


def is_revoked(error):
    return isinstance(error, marotte.RemoteError) and error.type == "PermissionError"


@pytest.mark.parametrize("kind", ["tcp", "noise"])
async def test_nobody_reaches_what_was_revoked_however_they_came_to_it(kind):
    with marotte.Tub() as server, marotte.Tub() as client, marotte.Tub() as other:
        server.listen(f"{kind}://127.0.0.1:0")
        shop = Shop()
        remote = await client.getReference(server.registerReference(shop))
        uri = server.registerReference(shop.item)
        item, (listed, fresh) = await remote.getItem(), await remote.getItems()
        sturdy = await other.getReference(uri)
        promise = remote.getPromise()
        assert (
            await asyncio.gather(*(one.echo(1) for one in (item, listed, fresh, sturdy))) == [1] * 4
        )
        waiting = promise.echo(1)
        await item.echo(2)
        assert server.revoke(shop.item)
        assert not server.revoke(shop.item)
        shop.resolve(shop.item)
        for late in (
            item.echo(1),
            listed.echo(1),
            sturdy.echo(1),
            remote.getItem().echo(1),
            waiting,
            promise.echo(1),
            remote.getItems()._map(lambda each: each.echo(1)),
        ):
            assert is_revoked(await failure(late))
        # It is registered no more; what was not revoked, and this program, go on.
        error = await failure(other.getReference(uri).echo(1))
        assert error.type == "KeyError"
        assert await fresh.echo(3) == 3
        assert await marotte.send(shop.item).echo(4) == 4
        assert shop.item.remote_echo(5) == 5
        # As an argument of its own program's it comes back as it is.
        assert await remote.use(item) == "used here"


async def test_calls_under_way_are_not_delivered():
    class Slow(marotte.Referenceable):
        calls = 0

        def remote_call(self):
            self.calls += 1

        def remote_revoke(self):
            server.revoke(self)

    with marotte.Tub() as server, marotte.Tub() as client:
        server.listen("tcp://127.0.0.1:0")
        slow = Slow()
        remote = await client.getReference(server.registerReference(slow))
        before, cut, after = remote.call(), remote.revoke(), remote.call()
        await asyncio.gather(before, cut)
        assert is_revoked(await failure(after))
        assert slow.calls == 1
        del remote
        await until(lambda: server.stats()["exports"] == 0)
