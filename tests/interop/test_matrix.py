"""Every language as client against every language as server, each in a process of its own."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(__file__).with_name("peers")
CHECKS = ["fetch", "chain", "values", "error", "callback", "promise"]


def pairs(*schemes):
    """Every client with every server. Node has WebSockets only: its package is the browser's."""
    return [
        (client, server, scheme)
        for client in ("rust", "python", "node")
        for server in ("rust", "python", "node")
        for scheme in schemes
        if "ws" in scheme or "node" not in (client, server)
    ]


PLAIN = pairs("tcp", "ws")
# In Endo's dialect whoever listens is asked first who it is.
MATRIX = PLAIN + pairs("noise", "noise+ws", "ws in endo-1.1")


@functools.cache
def rust_peer():
    """The program of ``tests/rust``, built if it is not; cargo knows."""
    build = ["cargo", "build", "--quiet", "-p", "marotte-tests", "--bin", "interop_peer"]
    subprocess.run(build, cwd=ROOT, check=True, timeout=600)
    return str(ROOT / "target" / "debug" / "interop_peer")


def command(language):
    if language == "rust":
        return [rust_peer()]
    if language == "python":
        return [sys.executable, "-X", "dev", str(PEERS / "peer.py")]
    return [shutil.which("node") or "node", str(PEERS / "peer.mjs")]


def complaints(done):
    """What a program has written to stderr; but asyncio's debug mode says there, too, that a machine is slow."""
    return [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]


@functools.cache
def outcome(client, server, scheme):
    """What each check of a client said; run once for all the tests that ask."""
    scheme, _, profile = scheme.partition(" in ")
    env = {**os.environ, "PROFILE": profile or "marotte"}
    serving = subprocess.Popen(
        [*command(server), "serve", scheme], stdout=subprocess.PIPE, text=True, env=env
    )
    try:
        uri = serving.stdout.readline().strip()
        done = subprocess.run(
            [*command(client), "call", uri],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=env,
        )
        assert done.returncode == 0, done.stderr
        assert complaints(done) == []
        return dict(line.split(" ", 1) for line in done.stdout.splitlines())
    finally:
        serving.kill()
        serving.communicate()


@pytest.fixture(scope="session", autouse=True)
def built():
    """Cargo may take longer than any one test."""
    rust_peer()


RUNS = [
    (*pair, check)
    for pair in MATRIX
    for check in CHECKS
    # JavaScript has no symbols like the wire's: it reads them as text, and so it gives them back.
    if (pair[1], check) != ("node", "values")
]


@pytest.mark.parametrize(("client", "server", "scheme", "check"), RUNS)
def test_client_and_server_agree(client, server, scheme, check):
    assert outcome(client, server, scheme)[check] == "ok"


LANGUAGES = ["rust", "python", "node"]


@pytest.fixture(scope="module")
def served():
    """A URI of an encrypted server in each language."""
    serving = {
        language: subprocess.Popen(
            [*command(language), "serve", "noise+ws"], stdout=subprocess.PIPE, text=True
        )
        for language in LANGUAGES
    }
    yield {language: server.stdout.readline().strip() for language, server in serving.items()}
    for server in serving.values():
        server.kill()
        server.communicate()


@pytest.mark.parametrize("receiver", LANGUAGES)
@pytest.mark.parametrize("exporter", LANGUAGES)
@pytest.mark.parametrize("gifter", LANGUAGES)
def test_hand_off(gifter, exporter, receiver, served):
    """Who is introduced to an object calls it over a connection of its own: no call comes by the gifter."""
    done = subprocess.run(
        [*command(gifter), "introduce", served[exporter], served[receiver]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Where both are one it is an object of its own that comes back.
    assert (complaints(done), done.stdout, done.returncode) == ([], "calls received 0\n", 0)
