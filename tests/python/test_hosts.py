"""The same behaviours under every event loop, in processes of their own: each loop as client of
an asyncio server, and as server of an asyncio client."""

import functools
import json
import pathlib
import subprocess
import sys

import behaviours
import pytest

HOST = pathlib.Path(__file__).with_name("host.py")
CLIENTS = ["asyncio", "uvloop", "twisted", "inline", "blocking"]
SERVERS = ["uvloop", "twisted", "blocking"]


def start(*args):
    command = [sys.executable, "-X", "dev", str(HOST), *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@functools.cache
def outcome(client, server, scheme):
    """What became of each behaviour; found out once for all the tests that ask."""
    serving = start("serve", server, scheme)
    calling = None
    try:
        uri = serving.stdout.readline().strip()
        assert uri.startswith("ocapn://"), serving.communicate(timeout=10)
        calling = start("call", client, uri)
        said, complaints = calling.communicate(timeout=60)
        assert calling.returncode == 0, complaints
        assert complaints == ""
        return json.loads(said)
    finally:
        for process in (serving, calling):
            if process is not None:
                process.kill()
                process.communicate()


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("behaviour", [each.__name__ for each in behaviours.ALL])
def test_client_under(client, behaviour, scheme):
    result = outcome(client, "asyncio", scheme)[behaviour]
    assert result is None, result


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("behaviour", [each.__name__ for each in behaviours.ALL])
def test_server_under(server, behaviour):
    result = outcome("asyncio", server, "tcp")[behaviour]
    assert result is None, result


@pytest.mark.parametrize("client", ["twisted", "inline"])
def test_nothing_is_left_on_the_reactor(client):
    assert outcome(client, "asyncio", "tcp")["left on the reactor"] == []
