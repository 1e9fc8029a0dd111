"""The scenarios of tests/vectors/promise: order, exactly-once settling and empty tables, whatever the
delays, and whenever the connection is lost."""

import asyncio
import contextlib
import itertools
import json
import pathlib
import re

import marotte
import pytest
from marotte import makePromise, send, sendOnly

VECTORS = pathlib.Path(__file__).resolve().parents[1] / "vectors" / "promise"
SCENARIOS = json.loads((VECTORS / "scenarios.json").read_text())


class Node(marotte.Referenceable):
    """An object of either side."""

    def __init__(self, name, nodes):
        self.name = name
        self.nodes = nodes
        self.noted = []
        self.open = {}
        nodes[name] = self

    def remote_name(self):
        return self.name

    def remote_note(self, number, slot):
        self.noted.append((slot, number))
        return number

    def remote_child(self, name):
        return Node(name, self.nodes)

    def remote_fail(self):
        raise RuntimeError("no luck")

    def remote_echo(self, value):
        return value

    def remote_later(self, slot):
        promise, self.open[slot] = makePromise()
        return promise

    def remote_release(self, slot, how, value):
        resolve(self.open.pop(slot), slot, how, value)


def resolve(resolver, slot, how, value):
    if how == "to":
        resolver(value)
    elif how == "value":
        resolver(slot)
    else:
        resolver.smash(RuntimeError(f"smashed {slot}"))


class Link:
    """Passes on what two ends say, late, until it is cut."""

    def __init__(self, port, delays):
        self.port = port
        self.delays = delays
        self.writers = []
        self.tasks = []

    async def handle(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers += [writer, far_writer]
        self.tasks += [
            asyncio.ensure_future(self.pass_on(reader, far_writer)),
            asyncio.ensure_future(self.pass_on(far_reader, writer)),
        ]

    async def pass_on(self, reader, writer):
        loop = asyncio.get_running_loop()
        delays = itertools.cycle(self.delays)
        queue = asyncio.Queue()

        async def write():
            while True:
                due, chunk = await queue.get()
                await asyncio.sleep(due - loop.time())
                writer.write(chunk)
                if not chunk:
                    writer.close()
                    return

        writing = asyncio.ensure_future(write())
        self.tasks.append(writing)
        try:
            while chunk := await reader.read(1 << 16):
                queue.put_nowait((loop.time() + next(delays) / 1000, chunk))
        except ConnectionError:
            pass
        queue.put_nowait((loop.time(), b""))

    def cut(self):
        for writer in self.writers:
            writer.transport.abort()

    async def close(self):
        self.cut()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.sleep(0)


class Client:
    """Takes the steps."""

    def __init__(self, root):
        self.nodes = {}
        self.slots = {0: root}
        self.resolvers = {}
        self.settled = {}
        self.ended = {}
        self.pending = 0

    def keep(self, slot, value):
        self.slots[slot] = value
        if not isinstance(value, marotte.Promise):
            self.ended[slot] = value
            return
        self.settled[slot] = 0
        self.pending += 1

        def settle(outcome):
            self.settled[slot] += 1
            self.ended[slot] = outcome
            self.pending -= 1

        value._then(settle, settle)

    async def take(self, step):
        slots, into = self.slots, step.get("into")
        do = step["do"]
        if do == "note" and into is None:
            sendOnly(slots[step["on"]]).note(step["number"], step["on"])
        elif do == "note":
            self.keep(into, send(slots[step["on"]]).note(step["number"], step["on"]))
        elif do == "child":
            self.keep(into, send(slots[step["on"]]).child(into))
        elif do == "fail":
            self.keep(into, send(slots[step["on"]]).fail())
        elif do == "echo":
            self.keep(into, send(slots[step["on"]]).echo(slots[step["give"]]))
        elif do == "later":
            self.keep(into, send(slots[0]).later(into))
        elif do == "release":
            value = slots[step["to"]] if "to" in step else None
            sendOnly(slots[0]).release(step["slot"], step["how"], value)
        elif do == "make":
            promise, self.resolvers[into] = makePromise()
            self.keep(into, promise)
        elif do == "resolve":
            value = slots[step["to"]] if "to" in step else None
            resolve(self.resolvers.pop(step["slot"]), step["slot"], step["how"], value)
        elif do == "node":
            self.keep(into, Node(into, self.nodes))
        elif do == "drop":
            del slots[step["slot"]]
        else:
            await asyncio.sleep(step["ms"] / 1000)


async def describe(outcome):
    if isinstance(outcome, Node):
        return f"mine:{outcome.name}"
    if isinstance(outcome, marotte.DisconnectedError):
        return "disconnected"
    if isinstance(outcome, BaseException):
        return f"broken:{outcome}"
    if isinstance(outcome, marotte.RemoteReference):
        return f"far:{await outcome.name()}"
    return f"value:{outcome}"


def fits(said, expected, is_cut):
    if is_cut and (said == "disconnected" or "is gone" in said):
        return True
    kind, what = expected.split(":", 1)
    return said.startswith(f"{kind}:") and (what in said if kind == "broken" else said == expected)


def check_order(nodes):
    for node in nodes.values():
        for slot in {slot for slot, _ in node.noted}:
            numbers = [number for one, number in node.noted if one == slot]
            assert numbers == sorted(set(numbers)), (node.name, slot)


def check_arrival(steps, expected, nodes):
    """``nodes`` are the client's, and the server's."""
    arrived = {
        number: f"{kind}:{node.name}"
        for kind, those in nodes.items()
        for node in those.values()
        for _, number in node.noted
    }
    sent = {
        step["number"]: expected[step["on"]]
        for step in steps
        if step["do"] == "note" and expected[step["on"]].startswith(("far", "mine"))
    }
    assert arrived == sent


async def empty(*tubs):
    for tub in tubs:
        names = ("exports", "imports", "questions", "answers")
        while any(tub.stats()[name] for name in names):
            await asyncio.sleep(0.005)


async def play(scenario):
    async with contextlib.AsyncExitStack() as stack:
        server, client = (stack.enter_context(marotte.Tub()) for _ in range(2))
        listener = server.listen("tcp://127.0.0.1:0")
        nodes = {}
        uri = listener.uriFor("it")
        server.registerReference(Node(0, nodes), name="it")
        link = Link(int(re.search(r"port=(\d+)", uri)[1]), scenario["delays_ms"])
        between = await asyncio.start_server(link.handle, "127.0.0.1", 0)
        stack.callback(between.close)
        stack.push_async_callback(link.close)
        port = between.sockets[0].getsockname()[1]
        root = await client.getReference(re.sub(r"port=\d+", f"port={port}", uri))
        player = Client(root)
        is_cut = scenario["cut_before"] is not None
        for index, step in enumerate(scenario["steps"]):
            if index == scenario["cut_before"]:
                link.cut()
            await player.take(step)
        while player.pending:
            await asyncio.sleep(0.001)
        await marotte.flushEventualQueue()
        assert set(player.settled.values()) <= {1}
        for slot, outcome in player.ended.items():
            said = "far" if is_cut and type(outcome) is marotte.RemoteReference else None
            expected = scenario["expected"][slot]
            if said:
                assert expected.startswith("far:")
            else:
                assert fits(await describe(outcome), expected, is_cut), (slot, outcome, expected)
        assert len(player.ended) == len(scenario["expected"]) - 1
        check_order(player.nodes)
        check_order(nodes)
        if not is_cut:
            check_arrival(
                scenario["steps"], scenario["expected"], {"mine": player.nodes, "far": nodes}
            )
        del root, player, outcome
        nodes.clear()
        await empty(client, server)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one["name"])
def test_scenario(scenario):
    asyncio.run(asyncio.wait_for(play(scenario), 10))
