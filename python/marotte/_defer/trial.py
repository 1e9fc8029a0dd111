"""``trial --reporter=marotte``: Twisted's test runner on our Deferreds."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from marotte._defer.imports import when_imported

__all__ = ["adapt", "have_frames_trimmed"]


def __getattr__(name: str) -> Any:
    # Trial asks for it when it is the one that was chosen, and not in order to list it. By then
    # trial itself holds Twisted's own Deferreds: it has to begin again.
    if name == "Reporter":
        if sys.modules["twisted.internet.defer"].__name__ != "marotte.defer":
            _restart()
        from twisted.trial.reporter import TreeReporter

        return TreeReporter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _restart() -> None:
    """Runs this process's command again, in its place, on our Deferreds."""
    command = [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]
    command += ["-m", "marotte.twisted", *_program(), *sys.argv[1:]]
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":
        # There, the one who waits for this process would go on at once.
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)


def _program() -> list[str]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return ["-m", spec.name]
    if not os.path.exists(sys.argv[0]):
        sys.exit("to run these tests on marotte.defer: python -m marotte.twisted -m twisted.trial")
    return [sys.argv[0]]


def adapt() -> None:
    """Has trial, once it is imported, take care of what our Deferreds do not do by themselves."""
    when_imported("twisted.trial._dist.disttrial", _have_workers_install)


def _have_workers_install(disttrial: Any) -> None:
    # The processes that `trial --jobs` starts.
    launch = disttrial.WorkerPool._launchWorkerProcesses

    @functools.wraps(launch)
    def launch_on_ours(self: Any, spawner: Any, protocols: Any, arguments: Any) -> None:
        def spawn(protocol: Any, executable: str, args: list[str], **kwargs: Any) -> Any:
            args = [args[0], "-m", "marotte.twisted", *args[1:]]
            return spawner(protocol, executable, args=args, **kwargs)

        launch(self, spawn, protocols, arguments)

    disttrial.WorkerPool._launchWorkerProcesses = launch_on_ours


def have_frames_trimmed(reporter: Any) -> None:
    """For ``twisted.trial.reporter``, where our Deferreds stand in for Twisted's."""
    # Trial leaves its own frames out of the tracebacks of failed tests. It finds them by those of
    # Deferreds between, which ours do not have.
    trim = reporter.Reporter._trimFrames

    @functools.wraps(trim)
    def trim_ours(self: Any, frames: Sequence[Any]) -> Any:
        if [_place(frame) for frame in frames[:1]] == [("_deferSetUpAndRun", "_asynctest.py")]:
            first, *rest = frames
            if [_place(frame) for frame in rest[:1]] == [("raiseException", "failure.py")]:
                frames = [first, _frame("__iter__"), rest[0], _frame("maybeDeferred"), *rest[1:]]
            else:
                frames = [first, _frame("__iter__"), _frame("_runCallbacks"), *rest]
        return trim(self, frames)

    reporter.Reporter._trimFrames = trim_ours


def _place(frame: Any) -> tuple[str, str]:
    return frame[0], os.path.basename(frame[1])


def _frame(name: str) -> Any:
    return name, "defer.py", 0, (), ()
