"""Dependent calls travel together: counted, not timed."""

import marotte
import pytest
from support import failure, meet


class Build(marotte.Referenceable):
    def remote_getResults(self):
        return {"passed": 3, "failed": 0}


class Builder(marotte.Referenceable):
    def remote_getBuild(self, number):
        if number != -1:
            raise LookupError(f"no build {number}")
        return Build()


class Status(marotte.Referenceable):
    def __init__(self):
        self.order = []

    def remote_getBuilder(self, name):
        return Builder()

    def remote_note(self, n):
        self.order.append(n)
        return n

    async def remote_later(self):
        return Builder()


async def test_chain_of_three_is_one_round_trip(scheme):
    with meet(Status(), scheme) as link:
        status = await link.remote
        before = link.client.stats()
        results = await status.getBuilder("x").getBuild(-1).getResults()
        after = link.client.stats()
        assert results == {"passed": 3, "failed": 0}
        assert after["round_trips"] - before["round_trips"] == 1
        assert after["calls_sent"] - before["calls_sent"] == 3


async def test_first_chain_includes_the_fetch(scheme):
    with meet(Status(), scheme) as link:
        await link.remote.getBuilder("x").getBuild(-1).getResults()
        stats = link.client.stats()
        assert stats["round_trips"] == 1
        # Hello, fetch and three calls.
        assert stats["messages_sent"] == 5
        # Hello, and all four calls in one write.
        assert stats["writes"] - (2 if scheme == "ws" else 1) <= 1


async def test_one_at_a_time_is_a_round_trip_each():
    with meet(Status()) as link:
        status = await link.remote
        builder = await status.getBuilder("x")
        build = await builder.getBuild(-1)
        assert (await build.getResults())["passed"] == 3
        assert link.client.stats()["round_trips"] == 4


async def test_failure_in_the_middle_reaches_the_end():
    with meet(Status()) as link:
        error = await failure(link.remote.getBuilder("x").getBuild(7).getResults())
        assert str(error) == "LookupError: no build 7"


async def test_chain_over_an_async_method_is_one_round_trip():
    with meet(Status()) as link:
        assert (await link.remote.later().getBuild(-1).getResults())["passed"] == 3
        assert link.client.stats()["round_trips"] == 1


async def test_calls_arrive_in_order():
    status = Status()
    with meet(status) as link:
        remote = link.remote
        promises = [remote.note(n) for n in range(200)]
        assert [await promise for promise in promises] == list(range(200))
        assert status.order == list(range(200))


async def test_order_is_kept_when_the_promise_settles_between():
    status = Status()
    with meet(status) as link:
        link.remote.note(0)
        link.remote.note(1)
        await link.remote
        await link.remote.note(2)
        assert status.order == [0, 1, 2]


@pytest.mark.parametrize("in_flight", [64])
async def test_at_64_in_flight_a_write_serves_ten_calls(in_flight, scheme):
    calls = 0
    with meet(Status(), scheme) as link:
        status = await link.remote
        client, server = link.client.stats(), link.server.stats()
        for _ in range(20):
            promises = [status.note(n) for n in range(in_flight)]
            for promise in promises:
                await promise
            calls += in_flight
        for tub, before in ((link.client, client), (link.server, server)):
            assert (tub.stats()["writes"] - before["writes"]) / calls <= 0.1
