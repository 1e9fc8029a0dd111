"""Where rows go. A batch and the number of its last line are written in one transaction: so what the database says is
how far it is, and that is where the next run goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any, Protocol

from records import Entry

TABLES = (
    """CREATE TABLE IF NOT EXISTS entries (source TEXT NOT NULL, number INTEGER NOT NULL, time TEXT,
    kind TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (source, number))""",
    "CREATE TABLE IF NOT EXISTS progress (source TEXT PRIMARY KEY, number INTEGER NOT NULL)",
)


class InDoubt(Exception):
    """The connection was lost while a batch was being committed: whether it was, only the database knows."""

    def __init__(self, first: int, last: int, cause: BaseException) -> None:
        super().__init__(f"rows {first} to {last} may or may not have been saved: {cause}")
        self.first, self.last = first, last


class Database(Protocol):
    """What the pipeline needs of one."""

    async def open(self, source: str) -> int:
        """Connects; returns the number of the last line that is saved."""

    async def save(self, source: str, rows: list[Entry]) -> None:
        """Saves a batch, all of it or nothing. Raises `InDoubt` if it cannot know which."""

    async def close(self) -> None:
        """Disconnects."""


def values(source: str, rows: list[Entry]) -> list[tuple[Any, ...]]:
    return [
        (source, row.number, row.time.isoformat() if row.time else None, row.kind, row.text)
        for row in rows
    ]


class SQLite:
    """A file. Its calls block, so they are made in a thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None

    async def open(self, source: str) -> int:
        return await asyncio.to_thread(self._open, source)

    def _open(self, source: str) -> int:
        self._database = sqlite3.connect(self._path, check_same_thread=False)
        with self._database as database:
            for table in TABLES:
                database.execute(table)
            found = database.execute("SELECT number FROM progress WHERE source = ?", (source,))
            row = found.fetchone()
        return row[0] if row else 0

    async def save(self, source: str, rows: list[Entry]) -> None:
        await asyncio.to_thread(self._save, source, rows)

    def _save(self, source: str, rows: list[Entry]) -> None:
        assert self._database is not None
        with self._database as database:
            database.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", values(source, rows))
            database.execute(
                "INSERT INTO progress VALUES (?, ?) "
                "ON CONFLICT (source) DO UPDATE SET number = excluded.number",
                (source, rows[-1].number),
            )

    async def close(self) -> None:
        if self._database is not None:
            await asyncio.to_thread(self._database.close)


class PostgreSQL:
    """A server, by psycopg."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._connection: Any = None

    async def open(self, source: str) -> int:
        import psycopg

        self._connection = await psycopg.AsyncConnection.connect(self._where)
        for table in TABLES:
            await self._connection.execute(table)
        found = await self._connection.execute(
            "SELECT number FROM progress WHERE source = %s", (source,)
        )
        row = await found.fetchone()
        await self._connection.commit()
        return row[0] if row else 0

    async def save(self, source: str, rows: list[Entry]) -> None:
        import psycopg

        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO entries VALUES (%s, %s, %s, %s, %s)", values(source, rows)
            )
            await cursor.execute(
                "INSERT INTO progress VALUES (%s, %s) "
                "ON CONFLICT (source) DO UPDATE SET number = excluded.number",
                (source, rows[-1].number),
            )
        # Up to here nothing is saved, whatever happens.
        try:
            await self._connection.commit()
        except psycopg.OperationalError as error:
            raise InDoubt(rows[0].number, rows[-1].number, error) from error

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
