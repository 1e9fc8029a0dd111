"""Chains of up to eight dependent calls between every two languages, over a link of 20 ms each way: all
calls of a chain are on the wire before the first answer, and a chain takes one round trip."""

import asyncio
import itertools
import json
import re

import pytest
from test_matrix import PLAIN, command

DELAY = 0.02
LENGTHS = range(1, 9)
REPEATED = 3
# A call with what it is sent to and the number of its own answer; an answer.
CALL = re.compile(
    rb"<10'op:deliver<1\d'desc:(export|answer)(\d+)\+>\[.*?\](\d+)\+<18'desc:import-object",
    re.DOTALL,
)
ANSWER = re.compile(rb"<10'op:deliver<11'desc:export\d+\+>\[7'fulfill")


class Pieces:
    """One direction of a connection, cut into pieces that hold whole messages: of TCP, one with its length
    before it; of WebSocket, what is in a frame."""

    def __init__(self, is_websocket):
        self.in_handshake = is_websocket
        self.piece = self.frame if is_websocket else self.netstring
        self.buffer = b""

    def feed(self, chunk):
        self.buffer += chunk
        if self.in_handshake:
            if b"\r\n\r\n" not in self.buffer:
                return
            self.in_handshake = False
            self.buffer = self.buffer.partition(b"\r\n\r\n")[2]
        while (piece := self.piece()) is not None:
            yield piece

    def netstring(self):
        head, colon, rest = self.buffer.partition(b":")
        if not colon or len(rest) < int(head):
            return None
        self.buffer = rest[int(head) :]
        return rest[: int(head)]

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
    """Delays what passes, and writes a transcript: when a call comes from the client, "d" if it is sent to
    the answer of the call before it and "c" if not, and "a" when an answer goes out to the client."""

    def __init__(self, port, is_websocket):
        self.port = port
        self.is_websocket = is_websocket
        self.transcript = ""
        self.asked = None
        self.over = asyncio.Event()

    async def handle(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(
            self.pass_on(reader, far_writer, self.note_calls),
            self.pass_on(far_reader, writer, self.answers),
        )
        await asyncio.gather(writer.wait_closed(), far_writer.wait_closed(), return_exceptions=True)
        self.over.set()

    def note_calls(self, piece):
        for kind, target, question in CALL.findall(piece):
            is_dependent = kind == b"answer" and target == self.asked
            self.transcript += "d" if is_dependent else "c"
            self.asked = question
        return ""

    def answers(self, piece):
        return "a" * len(ANSWER.findall(piece))

    async def pass_on(self, reader, writer, look):
        """What ``look`` returns is for the transcript when the chunk leaves."""
        loop = asyncio.get_running_loop()
        pieces = Pieces(self.is_websocket)
        waiting = asyncio.Queue()

        async def write():
            while True:
                due, chunk, noted = await waiting.get()
                await asyncio.sleep(due - loop.time())
                self.transcript += noted
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
            due = loop.time() + DELAY
            waiting.put_nowait((due, chunk, "".join(map(look, pieces.feed(chunk)))))
        await writing


async def measure(client, server, scheme):
    """What the client printed, and the transcript."""
    serving = await asyncio.create_subprocess_exec(
        *command(server), "serve", scheme, stdout=asyncio.subprocess.PIPE
    )
    try:
        uri = (await serving.stdout.readline()).decode().strip()
        port = re.compile(r"(?<=port=)\d+|(?<=ws://127\.0\.0\.1:)\d+")
        between = Between(int(port.search(uri)[0]), scheme == "ws")
        listening = await asyncio.start_server(between.handle, "127.0.0.1", 0)
        uri = port.sub(str(listening.sockets[0].getsockname()[1]), uri)
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
        assert calling.returncode == 0
        return [json.loads(line) for line in said.splitlines()], between.transcript
    finally:
        serving.kill()
        await serving.communicate()


@pytest.mark.parametrize(("client", "server", "scheme"), PLAIN)
def test_a_chain_is_one_round_trip(client, server, scheme):
    chains, transcript = asyncio.run(measure(client, server, scheme))
    assert [chain["length"] for chain in chains] == [n for n in LENGTHS for _ in range(REPEATED)]
    assert {chain["round_trips"] for chain in chains} == {1}
    # Every call of a chain before its first answer; before that, the fetch of the object.
    assert transcript == "ca" + "".join(REPEATED * ("c" + "d" * (n - 1) + "a" * n) for n in LENGTHS)
    # What else this machine does can only make a chain longer, so that the shortest is what it takes.
    best = [min(c["ms"] for c in chains if c["length"] == n) / (2000 * DELAY) for n in LENGTHS]
    print(
        f"{client} to {server}, {scheme}: round trips for 1 to 8 calls", *(f"{b:.3f}" for b in best)
    )
    assert min(best) > 0.99, "the link is not as slow as it is meant to be"
