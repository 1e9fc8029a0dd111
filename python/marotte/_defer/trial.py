"""``trial --reporter=marotte``: Twisted's test runner on our Deferreds."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Any

__all__ = ["have_workers_install", "restart"]


def __getattr__(name: str) -> Any:
    # Trial asks for it when it is the one that was chosen, and not in order to list it. By then
    # trial itself holds Twisted's own Deferreds: it has to begin again.
    if name == "Reporter":
        if sys.modules["twisted.internet.defer"].__name__ != "marotte.defer":
            restart()
        from twisted.trial.reporter import TreeReporter

        return TreeReporter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def restart() -> None:
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


def have_workers_install(disttrial: Any) -> None:
    """Has the processes that `trial --jobs` starts run on our Deferreds too."""
    launch = disttrial.WorkerPool._launchWorkerProcesses

    @functools.wraps(launch)
    def launch_on_ours(self: Any, spawner: Any, protocols: Any, arguments: Any) -> None:
        def spawn(protocol: Any, executable: str, args: list[str], **kwargs: Any) -> Any:
            args = [args[0], "-m", "marotte.twisted", *args[1:]]
            return spawner(protocol, executable, args=args, **kwargs)

        launch(self, spawn, protocols, arguments)

    disttrial.WorkerPool._launchWorkerProcesses = launch_on_ours
