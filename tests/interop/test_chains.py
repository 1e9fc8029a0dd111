"""Chains of up to eight dependent calls between every two languages, over a link of 20 ms each way: all
calls of a chain are on the wire before the first answer, and a chain takes one round trip."""

import asyncio
import itertools
import json
import re

import pytest
from test_matrix import MATRIX, command

DELAY = 0.02
LENGTHS = range(1, 9)
REPEATED = 3
DELIVER = re.compile(rb"<10'op:deliver<")
FULFILL = re.compile(rb"7'fulfill")


class Frames:
    """The payloads of one direction of a WebSocket connection; of TCP, what comes as it is."""

    def __init__(self, is_websocket):
        self.head = is_websocket
        self.is_websocket = is_websocket
        self.buffer = b""

    def feed(self, chunk):
        if not self.is_websocket:
            return chunk
        self.buffer += chunk
        if self.head:
            if b"\r\n\r\n" not in self.buffer:
                return b""
            self.head = False
            self.buffer = self.buffer.partition(b"\r\n\r\n")[2]
        payload = b""
        while (frame := self.frame()) is not None:
            payload += frame
        return payload

    def frame(self):
        data = self.buffer
        if len(data) < 2:
            return None
        is_masked, size, at = data[1] & 128, data[1] & 127, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        mask = data[at : at + 4] if is_masked else bytes(4)
        at += 4 if is_masked else 0
        if len(data) < at + size:
            return None
        self.buffer = data[at + size :]
        return bytes(a ^ b for a, b in zip(data[at : at + size], itertools.cycle(mask)))


class Between:
    """Delays what passes, and writes down a "c" for each call that comes from the client and an "a" for
    each answer that goes out to it."""

    def __init__(self, port, is_websocket):
        self.port = port
        self.is_websocket = is_websocket
        self.transcript = ""
        self.over = asyncio.Event()

    async def handle(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(
            self.pass_on(reader, far_writer, "c"), self.pass_on(far_reader, writer, "a")
        )
        await asyncio.gather(writer.wait_closed(), far_writer.wait_closed(), return_exceptions=True)
        self.over.set()

    async def pass_on(self, reader, writer, mark):
        loop = asyncio.get_running_loop()
        frames = Frames(self.is_websocket)
        waiting = asyncio.Queue()

        async def write():
            while True:
                due, chunk, answers = await waiting.get()
                await asyncio.sleep(due - loop.time())
                self.transcript += answers
                if not chunk:
                    writer.close()
                    return
                writer.write(chunk)

        writing = asyncio.ensure_future(write())
        chunk = True
        while chunk:
            try:
                chunk = await reader.read(1 << 16)
            except ConnectionError:
                chunk = b""
            payload = frames.feed(chunk)
            answers = ""
            if mark == "c":
                self.transcript += "c" * len(DELIVER.findall(payload))
            else:
                answers = "a" * len(FULFILL.findall(payload))
            waiting.put_nowait((loop.time() + DELAY, chunk, answers))
        await writing


async def measure(client, server, scheme):
    """What the client printed, and the transcript."""
    serving = await asyncio.create_subprocess_exec(
        *command(server), "serve", scheme, stdout=asyncio.subprocess.PIPE
    )
    try:
        uri = (await serving.stdout.readline()).decode().strip()
        there = re.search(r"port=(\d+)|127\.0\.0\.1(?::|%3A)(\d+)", uri)
        port = there[1] or there[2]
        between = Between(int(port), scheme == "ws")
        listening = await asyncio.start_server(between.handle, "127.0.0.1", 0)
        uri = uri.replace(port, str(listening.sockets[0].getsockname()[1]))
        calling = await asyncio.create_subprocess_exec(
            *command(client), "chains", uri, stdout=asyncio.subprocess.PIPE
        )
        try:
            said, _ = await asyncio.wait_for(calling.communicate(), 30)
        finally:
            if calling.returncode is None:
                calling.kill()
            listening.close()
            await asyncio.wait_for(between.over.wait(), 10)
        return [json.loads(line) for line in said.splitlines()], between.transcript
    finally:
        serving.kill()
        await serving.communicate()


@pytest.mark.parametrize(("client", "server", "scheme"), MATRIX)
def test_a_chain_is_one_round_trip(client, server, scheme, record_property):
    chains, transcript = asyncio.run(measure(client, server, scheme))
    assert len(chains) == REPEATED * len(LENGTHS)
    assert {chain["round_trips"] for chain in chains} == {1}
    # Every call of a chain before its first answer; before that, the fetch of the object.
    assert transcript == "ca" + "".join(REPEATED * ("c" * n + "a" * n) for n in LENGTHS)
    for length in LENGTHS:
        # What else this machine does can only make one longer.
        best = min(chain["ms"] for chain in chains if chain["length"] == length)
        record_property(f"round trips for {length} calls", best / (2000 * DELAY))
        assert best < 1.5 * 2000 * DELAY
