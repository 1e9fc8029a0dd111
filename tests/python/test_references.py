"""References both ways, callbacks, promises as arguments."""

import asyncio

import marotte
import pytest
from support import Echo, failure, meet, tables, until


class Counter(marotte.Referenceable):
    def __init__(self):
        self.count = 0

    def remote_add(self, n=1):
        self.count += n
        return self.count

    def bump(self, n):
        self.count += n
        return self.count

    def _private(self):
        raise AssertionError("nobody may call this")


class Keeper(Echo):
    """Keeps what it is given."""

    def __init__(self):
        self.kept = []

    def remote_keep(self, what):
        self.kept.append(what)

    def remote_kept(self):
        return self.kept[-1]

    def remote_is_same(self, one, other):
        return one is other

    def remote_drop(self):
        self.kept.clear()

    def remote_add_to(self, counter, n):
        return counter.add(n)

    async def remote_sum(self, one, other):
        return await one + await other

    async def remote_await(self, promise):
        return ["got", await promise]


async def test_object_arrives_as_reference(scheme):
    with meet(Keeper(), scheme) as link:
        keeper = Keeper()
        await link.remote.keep(keeper)
        back = await link.remote.kept()
        # Its own object comes home as itself.
        assert back is keeper


async def test_object_of_the_server_comes_as_remote_reference():
    with meet() as link:
        reference = await link.remote.self()
        assert type(reference) is marotte.RemoteReference
        assert await reference.echo(1) == 1


async def test_reference_comes_home_as_the_object():
    keeper = Keeper()
    with meet(keeper) as link:
        reference = await link.remote.self()
        await reference.keep(reference)
        assert keeper.kept == [keeper]


async def test_two_references_to_one_object_are_equal():
    with meet() as link:
        one, other = await link.remote.self(), await link.remote.self()
        assert one == other
        assert hash(one) == hash(other)
        assert len({one, other}) == 1


async def test_references_to_different_objects_differ():
    with meet(Keeper()) as link:
        counters = await link.remote.echo([Counter(), Counter()])
        assert counters[0] != counters[1]
        remote = await link.remote.self()
        assert remote != await link.remote.echo(lambda: 1)
        assert remote != 1


async def test_one_object_in_two_arguments_is_one():
    with meet(Keeper()) as link:
        counter = Counter()
        assert await link.remote.call(lambda a, b: a is b, counter, counter) is True


async def test_reference_to_one_peer_passed_to_another_is_a_proxy():
    # Three vats: the client passes what the first server gave it to the second.
    with meet() as first, meet(Keeper()) as second:
        other = second.client
        counter = Counter()
        first.server.registerReference(counter, name="counter")
        reference = await other.getReference(first.listener.uriFor("counter"))
        assert await second.remote.add_to(reference, 5) == 5
        assert counter.count == 5


@pytest.mark.parametrize("kind", ["function", "lambda", "method", "closure"])
async def test_callback_is_called(kind):
    counter = Counter()

    def function(n):
        return counter.bump(n)

    callback = {
        "function": function,
        "lambda": lambda n: counter.bump(n),
        "method": counter.bump,
        "closure": lambda n, c=counter: c.bump(n),
    }[kind]
    with meet() as link:
        assert await link.remote.call(callback, 3) == 3
        assert counter.count == 3


async def test_async_callback_is_awaited():
    async def slowly(n):
        await asyncio.sleep(0.001)
        return n + 1

    with meet() as link:
        assert await link.remote.call(slowly, 1) == 2


async def test_callback_that_raises():
    def callback():
        raise LookupError("lost")

    with meet() as link:
        error = await failure(link.remote.call(callback))
        assert str(error) == "LookupError: lost"


async def test_callback_calls_back_in_turn():
    with meet(Keeper()) as link:
        remote = link.remote

        def ping(n):
            return remote.call(ping, n - 1) if n else "done"

        assert await remote.call(ping, 10) == "done"


async def test_callback_keeps_working_after_the_call():
    got = []
    keeper = Keeper()
    with meet(keeper) as link:
        await link.remote.keep(lambda x: got.append(x))
        for n in range(3):
            await keeper.kept[0](n)
        assert got == [0, 1, 2]


async def test_methods_of_an_object_are_not_callable_without_their_prefix():
    with meet(Counter()) as link:
        for name in ("bump", "remote_add", "count"):
            error = await failure(getattr(link.remote, name)(1))
            assert "has no remote method" in str(error)


async def test_object_without_a_method_name_cannot_be_called():
    with meet(Counter()) as link:
        assert "without a method name" in str(await failure(link.remote()))


async def test_function_has_no_methods():
    with meet(lambda: 1) as link:
        assert await link.remote() == 1
        assert "has no remote method" in str(await failure(link.remote.call()))


async def test_promise_argument_of_the_same_peer_is_pipelined():
    with meet(Keeper()) as link:
        remote = link.remote
        assert await remote.sum(remote.echo(1), remote.echo(2)) == 3
        assert link.client.stats()["round_trips"] == 1


async def test_settled_promise_argument_arrives_as_its_value():
    with meet() as link:
        settled = link.remote.echo([7])
        await settled
        assert await link.remote.echo({"a": settled}) == {"a": [7]}


async def test_local_pending_promise_as_argument():
    with meet() as other, meet(Keeper()) as link:
        # It comes from a third place, and settles after the call was sent.
        held = asyncio.get_running_loop().create_future()
        late = other.remote.call(lambda: held)
        result = link.remote.sum(late, link.remote.echo(2))
        await link.remote.echo(None)
        held.set_result(40)
        assert await result == 42


async def test_broken_promise_argument_breaks_the_await_at_the_callee():
    with meet(Keeper()) as link:
        error = await failure(link.remote.sum(link.remote.fail("one"), link.remote.echo(2)))
        assert str(error) == "ValueError: one"


async def test_promise_of_a_third_place_that_breaks():
    with meet() as other, meet(Keeper()) as link:
        error = await failure(getattr(link.remote, "await")(other.remote.fail("elsewhere")))
        assert "elsewhere" in str(error)


async def test_promise_argument_can_be_called_at_the_callee():
    counter = Counter()
    with meet(Keeper()) as link:
        assert await link.remote.add_to(link.remote.echo(counter), 4) == 4
        assert counter.count == 4


async def test_promise_returned_by_a_method_is_waited_for():
    keeper = Keeper()
    with meet(keeper) as link:
        counter = Counter()
        await link.remote.keep(counter)
        assert await link.remote.add_to(counter, 9) == 9


async def test_self_in_a_list_resolves():
    with meet() as link:
        back = await link.remote.echo([Counter(), {"c": Counter()}])
        assert [type(back[0]), type(back[1]["c"])] == [Counter, Counter]


async def test_reference_given_back_is_released_by_the_holder():
    keeper = Keeper()
    with meet(keeper) as link:
        await link.remote.keep(Counter())
        await until(lambda: tables(link.client)["exports"] == 1)
        await link.remote.drop()
        await until(lambda: tables(link.client)["exports"] == 0)
