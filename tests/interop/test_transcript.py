"""A pipelined chain is one round trip: every call is on the wire before any reply is."""

import asyncio
import re

import pytest
from test_matrix import command

# The fetch of the registered object, and three calls that depend on each other.
DELIVERIES = 4


async def frame(reader):
    """One message, with its length before it."""
    head = await reader.readuntil(b":")
    return head + await reader.readexactly(int(head[:-1]))


class Tap:
    """Stands between a client and a server, passes the server's hello on, and withholds its
    replies until the client has sent all deliveries. A client that waits for one waits forever."""

    def __init__(self, port):
        self.port = port
        self.transcript = []
        self.complete = asyncio.Event()

    async def handle(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        there = asyncio.ensure_future(self.there(reader, far_writer))
        try:
            writer.write(await frame(far_reader))
            while True:
                message = await frame(far_reader)
                await self.complete.wait()
                self.transcript.append(("reply", message))
                writer.write(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the server has hung up
        finally:
            there.cancel()
            far_writer.close()
            writer.close()

    async def there(self, reader, far_writer):
        try:
            while True:
                message = await frame(reader)
                self.transcript.append(("call", message))
                if len(self.deliveries()) == DELIVERIES:
                    self.complete.set()
                far_writer.write(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            far_writer.close()  # the client has hung up

    def deliveries(self):
        return [m for who, m in self.transcript if who == "call" and b"<10'op:deliver<" in m]


async def conversation(client, server):
    """What goes over the wire, and what the client prints."""
    serving = await asyncio.create_subprocess_exec(
        *command(server), "serve", "tcp", stdout=asyncio.subprocess.PIPE
    )
    try:
        uri = (await serving.stdout.readline()).decode().strip()
        tap = Tap(int(re.search(r"port=(\d+)", uri)[1]))
        between = await asyncio.start_server(tap.handle, "127.0.0.1", 0)
        port = between.sockets[0].getsockname()[1]
        calling = await asyncio.create_subprocess_exec(
            *command(client),
            "chain",
            re.sub(r"port=\d+", f"port={port}", uri),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            said, _ = await asyncio.wait_for(calling.communicate(), 20)
        finally:
            if calling.returncode is None:
                calling.kill()
            between.close()
        return tap, said.decode().strip()
    finally:
        serving.kill()
        await serving.wait()


@pytest.mark.parametrize("server", ["rust", "python"])
@pytest.mark.parametrize("client", ["rust", "python"])
def test_every_call_is_written_before_any_reply(client, server):
    tap, said = asyncio.run(conversation(client, server))
    assert said == "end"
    kinds = [who for who, message in tap.transcript if b"op:deliver" in message]
    assert kinds[:DELIVERIES] == ["call"] * DELIVERIES
    calls = tap.deliveries()
    assert b"5'fetch" in calls[0]
    # Each of the others addresses the answer of the one before.
    for call in calls[1:]:
        assert b"<11'desc:answer" in call
