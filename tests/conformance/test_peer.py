"""The conformance peers, asked in every dialect for what the OCapN suite asks them for; by our own
client, while the suite itself is somebody else's (see README.md)."""

import asyncio
import base64
import contextlib
import pathlib
import subprocess
import sys

import marotte
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROFILES = ["marotte", "draft-2026-07", "endo-1.1", "suite-2026-02", "suite-2026-02b"]
BUILDER = b"JadQ0++RzsD4M+40uLxTWVaVqM10DcBJ"
ECHO = b"IO58l1laTyhcrgDKbEzFOO32MDd6zE5w"
GREETER = b"VMDDd1voKWarCe2GvgLbxbVFysNzRPzx"
RESOLVER = b"IokCxYmMj04nos2JN1TDoY1bT8dXh6Lr"
ENLIVENER = b"gi02I1qghIwPiKGKleCQAOhpy3ZtYRpB"


@pytest.fixture(scope="session", autouse=True)
def built():
    build = ["cargo", "build", "--quiet", "-p", "marotte-tests", "--bin", "conformance_peer"]
    subprocess.run(build, cwd=ROOT, check=True, timeout=600)


@contextlib.asynccontextmanager
async def peer(language, profile):
    """A function from a swiss number to the URI at a peer that runs."""
    command = {
        "python": [sys.executable, str(pathlib.Path(__file__).with_name("peer.py"))],
        "rust": [str(ROOT / "target" / "debug" / "conformance_peer")],
    }[language]
    serving = await asyncio.create_subprocess_exec(
        *command, "0", profile, stdout=asyncio.subprocess.PIPE
    )
    try:
        locator = (await asyncio.wait_for(serving.stdout.readline(), 10)).decode().strip()
        head, _, hints = locator.partition("?")
        yield lambda swiss: f"{head}/s/{encoded(swiss)}?{hints}"
    finally:
        serving.kill()
        await serving.communicate()


def encoded(swiss):
    return base64.urlsafe_b64encode(swiss).decode().rstrip("=")


async def check(uri, profile):
    heard = asyncio.get_running_loop().create_future()
    with marotte.Tub(profile=profile) as tub, marotte.Tub(profile=profile) as other:
        car = tub.getReference(uri(BUILDER))()([marotte.Symbol("red"), marotte.Symbol("zoomracer")])
        assert await car() == "Vroom! I am a red zoomracer car!"
        with pytest.raises(marotte.RemoteError):
            await tub.getReference(uri(BUILDER))()([1, 2, 3, 4, 5])()

        args = ["foo", 1, False, b"bar", ["baz"]]
        assert await tub.getReference(uri(ECHO))(*args) == args

        def hear(word):
            heard.set_result(word)
            return word

        await tub.getReference(uri(GREETER))(hear)
        assert await heard == "Hello"

        for how, value in [("fulfill", marotte.Symbol("ok")), ("break", marotte.Symbol("oh-no"))]:
            promise, resolver = await tub.getReference(uri(RESOLVER))()
            await getattr(resolver, how)(value)
            if how == "fulfill":
                assert await promise == value
            else:
                with pytest.raises(marotte.RemoteError, match="oh-no") as broken:
                    await promise
                assert type(broken.value.args[0]) is marotte.Symbol

        # What the peer finds for us with somebody else we reach without it.
        other.listen("tcp://127.0.0.1:0")
        sturdy = marotte.SturdyRef(other.registerReference(lambda: "enlivened"))
        thing = await tub.getReference(uri(ENLIVENER))(sturdy)
        assert await thing() == "enlivened"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("language", ["python", "rust"])
def test_peer(language, profile):
    async def test():
        async with peer(language, profile) as uri:
            await asyncio.wait_for(check(uri, profile), 20)

    asyncio.run(test())
