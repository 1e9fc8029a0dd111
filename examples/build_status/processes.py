"""Starting the demo's programs, and what is needed for that."""

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# What `make test` writes, and what was recorded of it.
REPORTS = ROOT / "reports"
RECORDED = HERE / "reports"
# How long a program may take to start, in seconds.
PATIENCE = 30


class Trouble(Exception):
    """What went wrong, and what to do about it."""


def rust_program():
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    program = (
        ROOT / target / "release" / ("build-status.exe" if os.name == "nt" else "build-status")
    )
    if not program.exists():
        raise Trouble(f"{program} is not there: run `make examples`")
    return str(program)


def check_built():
    """Says what to do about what is missing."""
    rust_program()
    try:
        import marotte  # noqa: F401
    except ImportError as error:
        raise Trouble(f"cannot import marotte ({error}): run `make build`") from None
    if not (ROOT / "wasm" / "dist" / "node.js").exists():
        raise Trouble("the npm package is not in wasm/dist: run `make build`")


def find_chromium():
    """Finds a Chromium, or installs one, before anything is timed; the programs that follow use it."""
    tool = ROOT / "tools" / "browser"
    found = subprocess.run([tool], stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode != 0:
        raise Trouble("there is no Chromium for the page; what to do about it stands above")
    os.environ["MAROTTE_CHROMIUM"] = found.stdout.strip()


def choose_reports(asked):
    """The folder to show: the one asked for, else what `make test` wrote, else what was recorded."""
    if asked is not None:
        folder = Path(asked)
        if not folder.is_dir():
            raise Trouble(f"{folder} is not a folder: give one with JUnit XML files in it")
        return folder
    return REPORTS if any(REPORTS.glob("*.xml")) else RECORDED


def server_command(language):
    """How the server in that language is started, without its arguments."""
    if language == "rust":
        return [rust_program(), "serve"]
    return [sys.executable, str(HERE / "server.py")]


class Program:
    """A program that says by one line of JSON that it is ready, and runs until it is stopped."""

    def __init__(self, name, command):
        self.name = name
        # In a session of its own: Ctrl-C is ours alone to hear, and then they are stopped.
        self._process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        lines = queue.Queue()
        # A thread, as a pipe cannot be waited for with a time limit on every system.
        threading.Thread(
            target=lambda: lines.put(self._process.stdout.readline()), daemon=True
        ).start()
        try:
            line = lines.get(timeout=PATIENCE)
        except queue.Empty:
            self.stop()
            raise Trouble(f"the {name} did not get ready within {PATIENCE} seconds") from None
        try:
            self.ready = json.loads(line)
        except ValueError:
            self.stop()
            raise Trouble(f"the {name} did not start; what it says stands above") from None

    def ended(self):
        return self._process.poll() is not None

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def run(name, command):
    """Runs a program to its end: the lines of JSON that it prints."""
    try:
        done = subprocess.run(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,  # checked below, to say what to do
        )
    except FileNotFoundError:
        raise Trouble(f"{command[0]} is not installed, the {name} needs it") from None
    except subprocess.TimeoutExpired:
        raise Trouble(f"the {name} did not end within 2 minutes") from None
    if done.returncode != 0:
        raise Trouble(f"the {name} failed (exit {done.returncode}); what it says stands above")
    return [json.loads(line) for line in done.stdout.splitlines()]


def address_of(uri):
    """Where a URI says that its server listens: ``host:port``."""
    hints = dict(parse_qsl(urlsplit(uri).query))
    return urlsplit(hints["url"]).netloc if "url" in hints else f"{hints['host']}:{hints['port']}"


def by_way_of(uri, address):
    """The URI that leads to the same object by way of a proxy."""
    parts = urlsplit(uri)
    hints = dict(parse_qsl(parts.query))
    if "url" in hints:
        hints["url"] = f"ws://{address}"
    else:
        hints["host"], _, hints["port"] = address.rpartition(":")
    return urlunsplit(parts._replace(query=urlencode(hints)))
