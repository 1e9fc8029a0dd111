"""What Endo and Goblins say in a plain WebSocket before the session."""

import asyncio
import base64
import os
import re
import struct

import marotte
import pytest
from support import Echo, failure

# By an implementation of its own, and Endo's: the key of the seed 00, 01, … 1f, asked with 80, 81, … 9f.
SEED, RANDOM = bytes(range(32)), bytes(range(0x80, 0xA0))
DESIGNATOR = "aoqqpp7tzyil4hlq3umoos6atft6jvrqtosq2xy53sdgiesvgg4a"
CHALLENGE = b"<14'init:peer-auth32:" + RANDOM + b">"
SIGNATURE = bytes.fromhex(
    "fffa686cc6dcef1170b366b158a9aef1b44341754e5b7d4593242be712eabff6"
    "de2628750211c35cd68f0bff6f02657bef1827ee4d1b3f552e96395f4f208902"
)
ANSWER = (b"<17'desc:sig-envelope" + CHALLENGE + b"[7'sig-val[5'eddsa[1'r32:" + SIGNATURE[:32]) + (
    b"][1's32:" + SIGNATURE[32:] + b"]]]>"
)


@pytest.fixture
def keyfile(tmp_path):
    path = tmp_path / "key"
    path.write_text(base64.b32encode(SEED).decode().rstrip("=").lower())
    return path


class Raw:
    """A WebSocket by hand."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port):
        raw = cls(*await asyncio.open_connection("127.0.0.1", port))
        raw.writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await raw.reader.readuntil(b"\r\n\r\n")
        return raw

    def send(self, message):
        mask = os.urandom(4)
        body = bytes(byte ^ mask[n % 4] for n, byte in enumerate(message))
        assert len(message) < 126
        self.writer.write(bytes([0x82, 0x80 | len(message)]) + mask + body)

    async def receive(self, within=5):
        first, length = await asyncio.wait_for(self.reader.readexactly(2), within)
        if length == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        return first & 15, await self.reader.readexactly(length)


@pytest.mark.parametrize("profile", ["endo-1.1", "draft-2026-07"])
async def test_who_is_asked_shows_its_key_before_anything_else(profile, keyfile):
    with marotte.Tub(profile=profile, keyfile=keyfile) as server:
        listener = server.listen("ws://127.0.0.1:0")
        assert server.registerReference(Echo()).startswith(f"ocapn://{DESIGNATOR}.websocket/")
        raw = await Raw.connect(listener.port)
        with pytest.raises(asyncio.TimeoutError):
            await raw.receive(0.1)
        raw.send(CHALLENGE)
        assert await raw.receive() == (2, ANSWER)
        _, hello = await raw.receive()
        assert hello.startswith(b"<16'op:start-session")
        raw.writer.close()


@pytest.mark.parametrize(
    "bad", [b"<14'init:peer-auth4:abcd>", CHALLENGE + b"f", CHALLENGE[:-1] + b"f>"]
)
async def test_nothing_else_is_signed(bad, keyfile):
    with marotte.Tub(profile="endo-1.1", keyfile=keyfile) as server:
        raw = await Raw.connect(server.listen("ws://127.0.0.1:0").port)
        raw.send(bad)
        said = []
        while not said or said[-1][0] != 8:  # until it says goodbye
            said.append(await raw.receive())
        assert not any(b"sig-envelope" in message for _, message in said)
        raw.writer.close()


async def test_a_server_with_another_key_is_not_believed_and_the_next_way_is_tried():
    with (
        marotte.Tub(profile="endo-1.1") as server,
        marotte.Tub(profile="endo-1.1") as mallory,
        marotte.Tub(profile="endo-1.1") as client,
    ):
        url = server.listen("ws://127.0.0.1:0").location.partition("url=")[2]
        uri = server.registerReference(Echo())
        theirs = mallory.listen("ws://127.0.0.1:0").location.partition("url=")[2]
        wrong = re.sub(r"\?.*", f"?url={theirs}", uri)
        error = await failure(client.getReference(wrong).echo(1))
        assert "another key than the reference names" in str(error)
        assert await client.getReference(f"{wrong}&url.2={url}").echo(2) == 2


async def test_a_peer_whose_name_is_no_key_is_not_asked():
    with marotte.Tub(profile="endo-1.1") as server, marotte.Tub(profile="endo-1.1") as client:
        server.listen("ws://127.0.0.1:0")
        uri = re.sub(r"ocapn://[^.]*", "ocapn://alice", server.registerReference(Echo()))
        assert await client.getReference(uri).echo(1) == 1
