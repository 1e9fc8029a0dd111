"""The tests of Deferreds pass where there is no Twisted."""

import os
import pathlib
import subprocess
import sys

from test_failure import WITHOUT_TWISTED

HERE = pathlib.Path(__file__).parent
SUBJECTS = ["ladder", "cancel", "several", "coroutines", "asyncio", "classes", "reports"]


def test_without_twisted():
    files = [str(HERE / f"test_defer_{subject}.py") for subject in SUBJECTS]
    code = f"{WITHOUT_TWISTED}import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "-q", "-p", "no:cacheprovider", *files],
        cwd=HERE.parents[1],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout
