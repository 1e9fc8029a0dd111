"""Who sent what, because of which message; and what is logged of connections."""

import asyncio
import json
import logging

import marotte
from support import Echo


def picture(*traces):
    """The arrows: from which slice, to which, each as (tub, name)."""
    begins, ends = {}, []
    for trace in traces:
        meta, *events = json.loads(trace.toJSON())["traceEvents"]
        tub = meta["args"]["name"]
        slices = [e for e in events if e["ph"] == "X"]
        for event in events:
            if event["ph"] not in "sf":
                continue
            # Each end is in a slice, or the picture would not show it.
            at = event["ts"]
            *_, inner = (e for e in slices if e["ts"] <= at <= e["ts"] + e["dur"])
            if event["ph"] == "s":
                assert event["id"] not in begins, "an arrow begins once"
                begins[event["id"]] = (tub, inner["name"])
            else:
                ends.append((event["id"], (tub, inner["name"])))
    return [(begins[arrow], to) for arrow, to in ends]


class Shop(marotte.Referenceable):
    def __init__(self, warehouse):
        self.warehouse = warehouse

    async def remote_buy(self, what):
        has = await self.warehouse.has(what)
        marotte.sendOnly(self.warehouse).note(what)
        return has

    def remote_plan(self, what):
        return self.warehouse.has(what)._then(self.planned)

    def planned(self, has):
        marotte.sendOnly(self.warehouse).note("plan")
        return has


class Warehouse(marotte.Referenceable):
    def __init__(self):
        self.notes = []

    def remote_has(self, what):
        return True

    def remote_note(self, what):
        self.notes.append(what)


async def test_the_notes_of_three_tubs_make_one_picture():
    with marotte.Tub() as stock, marotte.Tub() as shop, marotte.Tub() as client:
        stock.listen("tcp://127.0.0.1:0")
        shop.listen("noise://127.0.0.1:0")
        warehouse = Warehouse()
        held = await shop.getReference(stock.registerReference(warehouse))
        remote = await client.getReference(shop.registerReference(Shop(held)))
        traces = stock.trace("stock"), shop.trace("shop"), client.trace("client")
        assert await remote.buy('a "pear"\n')
        assert await remote.plan("apples")
        assert await held.has("all has arrived")
        assert warehouse.notes == ['a "pear"\n', "plan"]
        for trace in traces:
            trace.stop()
        arrows = picture(*traces)
        for arrow in [
            (("client", "send buy"), ("shop", "buy")),
            (("shop", "buy"), ("stock", "has")),
            # It has waited, and gone on.
            (("shop", "buy"), ("shop", "buy")),
            (("shop", "buy"), ("stock", "note")),
            (("shop", "plan"), ("stock", "has")),
            # What was sent because of an answer.
            (("shop", "then"), ("stock", "note")),
        ]:
            assert arrow in arrows, (arrow, arrows)
        before = traces[1].toJSON()
        assert await remote.buy("more")
        assert traces[1].toJSON() == before and traces[1].lost == 0


async def test_only_the_newest_are_kept_and_a_new_trace_ends_the_old_one():
    with marotte.Tub() as server, marotte.Tub() as client:
        server.listen("tcp://127.0.0.1:0")
        remote = await client.getReference(server.registerReference(Echo()))
        with server.trace(events=10) as old:
            for n in range(10):
                await remote.echo(n)
            assert old.lost == 20 - 10
            with server.trace("new") as new:
                old.stop()  # has ended already
                await remote.echo(1)
            assert old.lost == 10 and "echo" in new.toJSON()


async def test_connections_are_logged_for_those_who_want_to_know(log, caplog):
    caplog.set_level(logging.DEBUG, "marotte")
    with marotte.Tub(limits={"max_calls_per_second": 5}) as server, marotte.Tub() as client:
        server.listen("noise://127.0.0.1:0")
        uri = server.registerReference(Echo())
        remote = client.getReference(uri)
        assert await remote.echo(1) == 1
        promises = [remote.echo(n) for n in range(20)]
        results = await asyncio.gather(*promises, return_exceptions=True)
        assert "max_calls_per_second" in str(results[-1])
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    server_location = uri.replace("/s/" + uri.split("/s/")[1].split("?")[0], "")
    assert ("DEBUG", f"connection opened: {server_location}") in said
    assert any(
        level == "INFO"
        and "limit passed: max_calls_per_second" in text
        and "closed: ocapn://" in text
        for level, text in said
    )
    assert not any("/s/" in text for _, text in said)
