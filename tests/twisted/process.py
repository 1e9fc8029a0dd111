"""Runs child.py until every test of a module has an outcome."""

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

CHILD = pathlib.Path(__file__).with_name("child.py")

# So much of what a child printed is shown if it dies.
TAIL = 4000

_children = set()
_stopped = threading.Event()


def stop():
    """Ends every child: in sessions of their own, they do not end with us."""
    _stopped.set()
    for child in list(_children):
        child.kill()


@dataclasses.dataclass
class Outcome:
    """How a test ended: ``kind`` is passed, skipped, failed, crashed, hung or missing."""

    kind: str
    detail: str = ""
    seconds: float = 0.0

    @property
    def bad(self):
        return self.kind not in ("passed", "skipped")


@dataclasses.dataclass
class ModuleRun:
    """What came of a module's tests."""

    outcomes: dict = dataclasses.field(default_factory=dict)
    leaks: list = dataclasses.field(default_factory=list)
    tests: dict = dataclasses.field(default_factory=dict)
    broken: str = ""
    seconds: float = 0.0


class Child:
    """One interpreter and the test that it is in."""

    def __init__(self, folder, task):
        (folder / "task.json").write_text(json.dumps(task))
        self._output = folder / "output"
        self._pipe, theirs = os.pipe()
        command = [sys.executable, "-X", "faulthandler", CHILD, folder / "task.json", str(theirs)]
        try:
            with open(self._output, "wb") as output:
                self.process = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[theirs],
                    start_new_session=True,
                )
        finally:
            os.close(theirs)
        self.done = self.hung = False
        self.current = None

    def events(self, patience):
        """What it says, until it ends or has said nothing for ``patience`` seconds."""
        rest, last = b"", time.monotonic()
        while not self.done:
            if select.select([self._pipe], [], [], 1)[0]:
                data = os.read(self._pipe, 1 << 16)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                last = time.monotonic()
                for line in lines:
                    event = json.loads(line)
                    self.done = event == ["done"]
                    yield event
            elif time.monotonic() - last > patience:
                self.hung = True
                break
            elif self.process.poll() is not None:
                break  # a process that it started still has the pipe

    def kill(self):
        """Ends it, and the processes that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self):
        """Sees it end. Returns how it did, and what it printed last."""
        os.close(self._pipe)
        if not self.hung:
            # It is about to end by itself, and how is worth knowing.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        self.kill()
        status = self.process.wait()
        with open(self._output, "rb") as output:
            output.seek(max(0, self._output.stat().st_size - TAIL))
            printed = output.read().decode(errors="replace")
        return f"exit status {status}\n{printed}"


def run_module(module, mode, patience):
    """Runs a module's tests, going on after one that crashed or hung."""
    run = ModuleRun()
    _run(run, {"module": module, "mode": mode}, patience)
    return run


def list_tests(modules, patience):
    """Which tests these modules have with Twisted's own defer.py."""
    run = ModuleRun()
    _run(run, {"list": list(modules)}, patience)
    return run


def _run(run, task, patience):
    began = time.monotonic()
    while True:
        # A folder of its own: trial's tests write where they are.
        folder = pathlib.Path(tempfile.mkdtemp(prefix="twisted-tests-"))
        child = Child(folder, {**task, "done": list(run.outcomes)})
        _children.add(child)
        try:
            for event in child.events(patience):
                _note(run, child, *event)
        finally:
            end = child.end()
            _children.remove(child)
            shutil.rmtree(folder, ignore_errors=True)
        if child.done:
            break
        if _stopped.is_set():
            run.broken = "it was stopped"
            break
        if child.current is None:
            run.broken = f"{'no progress' if child.hung else 'it ended'} outside of any test; {end}"
            break
        run.outcomes[child.current] = Outcome("hung" if child.hung else "crashed", end)
    run.seconds = time.monotonic() - began


def _note(run, child, kind, *data):
    if kind == "start":
        (child.current,) = data
    elif kind == "end":
        test, *outcome = data
        run.outcomes[test] = Outcome(*outcome)
        child.current = None
    elif kind == "tests":
        module, tests = data
        run.tests[module] = tests
    elif kind == "leak" and data[0] not in run.leaks:
        run.leaks.append(data[0])
