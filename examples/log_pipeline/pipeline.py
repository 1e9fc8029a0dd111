"""A log file into a database, with a live count on a page.

    pipeline.py [FILE] [--sqlite FILE | --postgres WHERE | --own-postgres FOLDER] [--page]

    file -> lines -> text -> numbered records -+-> batches -> database
                                               +-> counts  -> pages

FILE is /var/log/dpkg.log or the access log of any web server. A database that is down stops the reading; when the program is
started again it goes on behind the last row that the database has.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import os
import pathlib
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

from databases import Database, InDoubt, PostgreSQL, SQLite
from marotte.tubes import (
    Out,
    batch,
    checked,
    framing,
    iteratorFount,
    series,
    sink,
    tube,
)
from records import Entry, parse

Progress = Callable[[int, int], None]


async def chunks(path: str, progress: Progress) -> AsyncIterator[bytes]:
    """The file, read in a thread, and only as fast as it is wanted."""
    size, read = os.path.getsize(path), 0
    with open(path, "rb") as file:  # noqa: ASYNC230 - opening does not take long
        while chunk := await asyncio.to_thread(file.read, 1 << 16):
            read += len(chunk)
            progress(read, size)
            yield chunk


@tube
class Numbered:
    """Reads lines, and leaves out those that are saved already."""

    inputType = str
    outputType = Entry

    def __init__(self, saved: int) -> None:
        self._number, self._saved = 0, saved

    def receivedBatch(self, lines: list[str]) -> list[Entry]:
        entries = []
        for line in lines:
            self._number += 1
            if self._number > self._saved:
                entries.append(parse(self._number, line))
        return entries


@tube
class Counted:
    """How many there were of each kind, after each batch."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()

    def receivedBatch(self, entries: list[Entry]) -> Any:
        self._counts.update(entry.kind for entry in entries)
        yield {"line": entries[-1].number, "counts": dict(self._counts.most_common(20))}


async def run(
    path: str,
    database: Database,
    live: Out | None = None,
    size: int = 500,
    progress: Progress = lambda read, size: None,
) -> int:
    """Reads a file into a database; returns the number of its last row. Raises what the database failed with, after
    everything has stopped."""
    source = str(pathlib.Path(path).resolve())
    last = await database.open(source)

    async def save(rows: list[Entry]) -> None:
        nonlocal last
        await database.save(source, rows)
        last = rows[-1].number

    try:
        saving = sink(save)
        both = Out()
        both.newFount().flowTo(series(batch(size, seconds=0.2), saving))
        if live is not None:
            both.newFount().flowTo(series(Counted(), live.drain))
        lines = series(framing.bytesToLines(1 << 20, lastLine=True), framing.bytesToText())
        records = series(Numbered(last), checked(Entry), both.drain)
        iteratorFount(chunks(path, progress)).flowTo(lines).flowTo(records)
        await saving.waitDone()
    finally:
        await database.close()
    return last


def bar(read: int, size: int) -> None:
    """Shows how far it is, on a terminal."""
    done = 1.0 if size == 0 else read / size
    print(f"\r[{'#' * int(40 * done):40}] {done:4.0%}", end="", file=sys.stderr, flush=True)


async def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n\n")[0],
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", default="/var/log/dpkg.log")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--sqlite", metavar="FILE", default="log.sqlite")
    where.add_argument("--postgres", metavar="WHERE", help="what psycopg connects to")
    where.add_argument("--own-postgres", metavar="FOLDER", type=pathlib.Path)
    parser.add_argument("--page", action="store_true", help="show the counts on a page, and wait")
    options = parser.parse_args()
    server = None
    if options.own_postgres:
        from postgres import Server

        options.own_postgres.mkdir(exist_ok=True)
        server = Server(options.own_postgres.resolve())
        server.start()
        options.postgres = server.where
    database: Any = PostgreSQL(options.postgres) if options.postgres else SQLite(options.sqlite)
    page = None
    if options.page:
        from page_server import Page

        page = Page()
        print(f"the counts are at {page.url}")
    progress = bar if sys.stderr.isatty() else lambda read, size: None
    try:
        last = await run(options.file, database, page and page.live, progress=progress)
    except InDoubt as doubt:
        print(f"\n{doubt}. Start it again: it goes on where the database is.", file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - whatever the database or the disk says
        print(
            f"\nstopped: {error}. Nothing is half saved; start it again to go on.", file=sys.stderr
        )
        return 1
    finally:
        if server is not None:
            server.stop()
    print(f"\n{last} rows of {options.file} are saved")
    if page is not None:
        await asyncio.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
