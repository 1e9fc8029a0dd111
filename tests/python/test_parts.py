"""Parts of values, and maps over lists, without a round trip for each."""

import asyncio

import marotte
import pytest
from marotte import makePromise, send


class Build(marotte.Referenceable):
    def __init__(self, number):
        self.number = number
        self.steps = [{"text": "compile"}]
        self._secret = 1

    def remote_getResults(self):
        return f"build {self.number} passed"

    def remote_same(self, value):
        return value

    def remote_add(self, other):
        return self.number + other


class Status(marotte.Referenceable):
    def remote_getReport(self):
        return {"name": "nightly", "steps": [{"build": Build(7)}, {"text": "test"}], "n": [1, 2]}

    def remote_getBuilds(self, count):
        return [Build(number) for number in range(count)]

    def remote_echo(self, value):
        return value


def run(test):
    async def within():
        with marotte.Tub() as server, marotte.Tub() as client:
            server.listen("tcp://127.0.0.1:0")
            status = client.getReference(server.registerReference(Status()))
            await status.echo(1)
            await asyncio.wait_for(test(client, status), 10)

    asyncio.run(within())


def test_parts_take_the_round_trip_of_the_call():
    async def test(client, status):
        before = client.stats()["round_trips"]
        report = status.getReport()
        parts = [
            report._get("steps", -1, "text"),
            report._get("steps", 0, "build").getResults(),
            report._get("n", 1),
            report._get("name"),
        ]
        assert await asyncio.gather(*parts) == ["test", "build 7 passed", 2, "nightly"]
        assert client.stats()["round_trips"] - before == 1
        # Once it is here as well.
        assert await report._get("n", -1) == 2

    run(test)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("stops",), 'KeyError: "stops"'),
        (("n", 2), "IndexError: index 2 of a list of 2"),
        (("name", 0), "only lists and dictionaries have parts"),
        (("steps", 0, "build", "number"), "an object has methods only"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ended(path, message):
    async def test(client, status):
        with pytest.raises(marotte.RemoteError, match=message):
            await status.getReport()._get(*path)

    run(test)


def test_a_map_is_one_message_each_way():
    async def test(client, status):
        before = client.stats()
        results = await status.getBuilds(100)._map(
            lambda build: {"text": build.getResults(), "sum": [build.add(1), build]}
        )
        after = client.stats()
        assert len(results) == 100
        assert results[42]["text"] == "build 42 passed"
        assert results[42]["sum"][0] == 43
        assert await results[42]["sum"][1].getResults() == "build 42 passed"
        assert after["round_trips"] - before["round_trips"] == 1
        assert after["calls_sent"] - before["calls_sent"] == 2

    run(test)


def test_maps_nest_and_use_what_lies_around():
    async def test(client, status):
        nested = status.getBuilds(2)._map(
            lambda one: status.getBuilds(2)._map(lambda other: [one.add(0), other.add(10)])
        )
        assert await nested == [[[0, 10], [0, 11]], [[1, 10], [1, 11]]]
        # An object of this program: the far side calls it back.
        mine = Build(100)
        same = status.getBuilds(3)._map(lambda build: send(mine).same(build.add(0)))
        assert await same == [0, 1, 2]

    run(test)


def test_what_cannot_be_mapped_says_so():
    async def test(client, status):
        builds = status.getBuilds(2)
        with pytest.raises(ZeroDivisionError):
            builds._map(lambda build: 1 / 0)
        with pytest.raises(TypeError, match="result: set is not passable"):
            builds._map(lambda build: {1})
        with pytest.raises(TypeError, match="a promise is not its value"):
            builds._map(lambda build: build + 1)
        with pytest.raises(TypeError, match="can send to what peers can reach only"):
            builds._map(lambda build: send([]).append(build))
        for wait in ("_wait", "_when"):
            with pytest.raises(RuntimeError, match="a function given to _map cannot wait"):
                builds._map(lambda build, wait=wait: getattr(build.getResults(), wait)())
        for chain in ("_then", "_except"):
            with pytest.raises(RuntimeError, match="use _then on what _map returns"):
                builds._map(lambda build, chain=chain: getattr(build.getResults(), chain)(print))

        async def too_late(build):
            return await build.getResults()

        with pytest.raises(TypeError, match="a function given to _map cannot be async"):
            builds._map(too_late)
        with pytest.raises(marotte.RemoteError, match="only a list can be mapped over"):
            await status.getReport()._map(lambda item: item.x())
        with pytest.raises(marotte.RemoteError, match="no remote method"):
            await builds._map(lambda build: build.nothing())
        leaked = []
        await builds._map(lambda build: leaked.append(build.getResults()))
        with pytest.raises(RuntimeError, match="its value is never here"):
            await leaked[0]
        # Nothing is recorded any more.
        assert await status.echo(8) == 8

    run(test)


def test_parts_and_maps_of_what_is_here():
    async def test(client, status):
        promise, resolver = makePromise()
        early = promise._get(1, "x")
        twice = promise._map(lambda item: item._get("x"))
        resolver([{"x": 1}, {"x": 2}])
        assert await early == 2
        assert await twice == [1, 2]
        # Objects of this program show their attributes, but for those of their own.
        build = marotte.Promise(Build(3))
        assert await build._get("number") == 3
        assert await build._get("steps", 0, "text") == "compile"
        with pytest.raises(AttributeError):
            await build._get("_secret")
        assert await marotte.Promise({"far": await status.getBuilds(1)})._get(
            "far", 0
        ).getResults() == ("build 0 passed")

    run(test)
