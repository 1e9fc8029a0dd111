"""The example of a pipeline: a log into a database, which dies half way."""

import asyncio
import collections
import pathlib
import sqlite3
import subprocess
import sys

import pytest
from marotte.tubes import Out, sink

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "log_pipeline"
ROWS = 20_000


@pytest.fixture(autouse=True)
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield
    for name in ("pipeline", "databases", "records", "postgres", "page_server"):
        sys.modules.pop(name, None)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "access.log"
    line = '127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /%d HTTP/1.1" %d 2326 "-" "-"\n'
    path.write_text("".join(line % (n, 404 if n % 7 == 0 else 200) for n in range(1, ROWS + 1)))
    return path


def test_lines_of_each_kind():
    from records import parse

    access = parse(1, '::1 - me [10/Oct/2000:13:55:36 -0700] "GET /x HTTP/1.1" 200 5 "-" "curl"')
    assert (access.kind, access.text, access.time.year) == ("status 200", "GET /x", 2000)
    dpkg = parse(2, "2025-06-24 14:36:25 install bash:amd64 <none> 5.2")
    assert (dpkg.kind, dpkg.text) == ("install", "bash:amd64 <none> 5.2")
    assert parse(3, "who knows").kind == "other"
    odd = parse(4, '::1 - - [99/Zzz/2000:13:55:36 -0700] "GET /x HTTP/1.1" 200 5')
    assert (odd.kind, odd.time) == ("status 200", None)


class Failing:
    """A database that fails after so many batches."""

    def __init__(self, database, batches):
        self.database, self.batches = database, batches
        self.open, self.close = database.open, database.close

    async def save(self, source, rows):
        if self.batches == 0:
            raise ConnectionError("the database is down")
        self.batches -= 1
        await self.database.save(source, rows)


def numbers(path):
    with sqlite3.connect(path) as database:
        return [row[0] for row in database.execute("SELECT number FROM entries ORDER BY number")]


@pytest.mark.filterwarnings("ignore:unclosed database")
async def test_a_database_that_fails_and_comes_back(log, tmp_path, caplog):
    from databases import SQLite
    from pipeline import run

    file = str(tmp_path / "log.sqlite")
    with pytest.raises(ConnectionError, match="down"):
        await run(str(log), Failing(SQLite(file), 7), size=500)
    assert numbers(file) == list(range(1, 3501))
    assert await run(str(log), SQLite(file), size=500) == ROWS
    assert numbers(file) == list(range(1, ROWS + 1))
    # And once more, with nothing left to do.
    assert await run(str(log), SQLite(file)) == ROWS
    assert numbers(file) == list(range(1, ROWS + 1))


async def test_the_reading_waits_for_the_database(log, tmp_path):
    from databases import SQLite
    from pipeline import run

    read = []

    class Slow(Failing):
        async def save(self, source, rows):
            await asyncio.sleep(0.05)
            # What is read ahead: a chunk or two, what was made of them, and a batch.
            assert read[-1] <= (rows[-1].number + 4000) * 90
            await super().save(source, rows)

    slow = Slow(SQLite(str(tmp_path / "log.sqlite")), 3)
    with pytest.raises(ConnectionError):
        await run(str(log), slow, progress=lambda done, size: read.append(done))
    assert read[-1] < log.stat().st_size / 2


async def test_counts_of_what_was_read(log, tmp_path):
    from databases import SQLite
    from pipeline import run

    live, seen = Out("latest"), []
    live.newFount().flowTo(sink(seen.append))
    await run(str(log), SQLite(str(tmp_path / "log.sqlite")), live)
    expected = collections.Counter(404 if n % 7 == 0 else 200 for n in range(1, ROWS + 1))
    assert seen[-1]["counts"] == {f"status {kind}": count for kind, count in expected.items()}
    assert seen[-1]["line"] == ROWS


async def test_postgresql_killed_half_way(log, tmp_path_factory):
    import psycopg
    from databases import InDoubt, PostgreSQL
    from pipeline import run
    from postgres import Server, binaries

    assert binaries() is not None, "PostgreSQL is missing: apt-get install postgresql"
    # A socket's path must be short, and "nobody" must be able to get there.
    import tempfile

    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        server = Server(pathlib.Path(folder))
        server.start()
        try:
            saved = 0

            class Killing(PostgreSQL):
                async def save(self, source, rows):
                    nonlocal saved
                    if saved == 8:
                        await asyncio.to_thread(server.kill)
                    await super().save(source, rows)
                    saved += 1

            with pytest.raises((psycopg.OperationalError, InDoubt)):
                await run(str(log), Killing(server.where), size=500)
            server.start()
            assert await run(str(log), PostgreSQL(server.where), size=500) == ROWS
            with psycopg.connect(server.where) as database:
                rows = database.execute("SELECT number FROM entries ORDER BY number").fetchall()
            assert [row[0] for row in rows] == list(range(1, ROWS + 1))
        finally:
            server.stop()


def test_the_command(log, tmp_path):
    command = [sys.executable, EXAMPLE / "pipeline.py", log, "--sqlite", tmp_path / "log.sqlite"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{ROWS} rows" in done.stdout
    command[2] = tmp_path / "there is none"
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "No such file" in done.stderr
