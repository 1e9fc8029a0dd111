"""A PostgreSQL server of one's own: Debian's package, in a folder of its own, on a socket in it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import time


def binaries() -> pathlib.Path | None:
    """The folder of ``initdb`` and ``postgres``: what MAROTTE_POSTGRES names, or Debian's; None if there is no PostgreSQL
    here."""
    named = os.environ.get("MAROTTE_POSTGRES")
    if named:
        return pathlib.Path(named)
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    which = shutil.which("postgres")
    return pathlib.Path(which).resolve().parent if which else None


class Server:
    """Starts with `start`, and goes on with the same data when it is started again."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        #: What to connect to.
        self.where = f"host={folder} dbname=postgres user=postgres"

    def _as_user(self) -> dict[str, str]:
        # It refuses to run as root.
        return {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}

    def start(self) -> None:
        """Starts the server, and waits until it answers. Raises ``RuntimeError`` if it does not."""
        programs = binaries()
        if programs is None:
            raise RuntimeError("there is no PostgreSQL here: apt-get install postgresql")
        if not self._data.exists():
            if os.geteuid() == 0:
                shutil.chown(self._folder, "nobody", "nogroup")
            command = [
                programs / "initdb",
                "-D",
                self._data,
                "-U",
                "postgres",
                "--auth=trust",
                "-N",
            ]
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **self._as_user()
            )
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                programs / "postgres",
                "-D",
                self._data,
                "-k",
                self._folder,
                "-c",
                "listen_addresses=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            start_new_session=True,
            **self._as_user(),
        )
        for _ in range(300):
            ready = subprocess.run([programs / "pg_isready", "-q", "-h", self._folder], check=False)
            if ready.returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f"PostgreSQL did not start in {self._folder}")

    def kill(self) -> None:
        """Ends it and all its processes at once, as a machine does that loses its power."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None
            # The workers hold the data for a moment longer.
            time.sleep(0.5)

    def stop(self) -> None:
        """Ends it in order."""
        if self._process is not None:
            self._process.send_signal(2)
            self._process.wait(30)
            self._process = None
