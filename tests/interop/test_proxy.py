"""Through a web server: nginx adds TLS, and passes the WebSocket on as `docs/proxy.conf` says."""

import asyncio
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import marotte
import pytest
from test_matrix import CHECKS, PEERS, ROOT

sys.path.append(str(PEERS))
from peer import Service

CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        {location}
    }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options)


@pytest.fixture(scope="session")
def nginx():
    return run(str(ROOT / "tools" / "nginx"), timeout=300).stdout.strip()


@pytest.mark.parametrize("scheme", ["ws", "noise+ws"])
def test_a_browsers_way_through_a_web_server(scheme, nginx, tmp_path):
    ours, theirs = free_port(), free_port()
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
        *("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
    )
    location = (ROOT / "docs" / "proxy.conf").read_text().replace(":9000", f":{ours}")
    config = CONFIG.format(folder=tmp_path, port=theirs, location=location)
    (tmp_path / "nginx.conf").write_text(config)
    proxy = subprocess.Popen(
        [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        said = asyncio.run(call_through(scheme, ours, theirs, tmp_path))
    finally:
        proxy.terminate()
        proxy.wait(10)
    assert dict(line.split(" ", 1) for line in said.splitlines()) == dict.fromkeys(CHECKS, "ok")
    # What the proxy has seen of it: one request, to the host that was asked for.
    log = pathlib.Path(tmp_path / "access.log").read_text()
    assert log.count("GET /marotte HTTP/1.1") == log.count("\n") >= 1


async def call_through(scheme, ours, theirs, folder):
    with marotte.Tub() as tub:
        tub.listen(f"{scheme}://127.0.0.1:{ours}", f"wss://localhost:{theirs}/marotte")
        uri = tub.registerReference(Service())
        assert f"url=wss://localhost:{theirs}/marotte" in uri
        for _ in range(100):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", theirs)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        client = await asyncio.create_subprocess_exec(
            shutil.which("node") or "node",
            str(PEERS / "peer.mjs"),
            "call",
            uri,
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(folder / "cert.pem")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(client.communicate(), 60)
        assert err == b"", err
        return out.decode()
