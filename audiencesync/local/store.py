"""The embedded property's database: one SQLite file, safe under many clients and a kill at any moment.

Write-ahead logging lets readers go on while one writes; writers queue. `synchronous` is NORMAL: a killed
process loses nothing that was answered, and a power cut may lose the last answers but never the file. FULL
would put an fsync into every write to guard data that can be made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from audiencesync.errors import StoreError

FORMAT = 1
"""The version of the tables, kept in user_version; a higher one is not ours to read."""

CHUNK = 1000
"""How many rows of an export stand in one row of the database."""

_MAGIC = b"SQLite format 3\x00"
_APPLICATION = 0x61756473  # "auds"
_HEADER = 100
_BUSY_SECONDS = 30.0
_FIRST_ID = 3_400_000_000

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE property (number TEXT PRIMARY KEY, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE audience (
  id INTEGER PRIMARY KEY, property TEXT NOT NULL, created INTEGER NOT NULL, display_name TEXT NOT NULL,
  triggers INTEGER NOT NULL, archived INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX audience_live ON audience (property, archived, id, triggers);
CREATE TABLE change (
  id INTEGER PRIMARY KEY AUTOINCREMENT, property TEXT NOT NULL, time INTEGER NOT NULL,
  actor TEXT NOT NULL, action TEXT NOT NULL, resource TEXT NOT NULL, before TEXT, after TEXT);
CREATE TABLE export (
  id INTEGER PRIMARY KEY AUTOINCREMENT, property TEXT NOT NULL, created INTEGER NOT NULL,
  ready INTEGER NOT NULL, row_count INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE export_rows (
  export INTEGER, start INTEGER, rows TEXT NOT NULL, PRIMARY KEY (export, start)) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class StoredAudience:
    """An audience as it is answered, less its name and createTime; `created` in microseconds."""

    id: int
    created: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the change history: the resource before and after, None where it was not there."""

    id: int
    property: str
    time: int
    actor: str
    action: str
    resource: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class StoredExport:
    """An audience export: what was asked for, and when it is or was ready (both in microseconds)."""

    id: int
    created: int
    ready: int
    row_count: int
    body: dict[str, Any]


def prepare(folder: Path) -> None:
    """Makes the folder; a new one, and any `.audiencesync`, ignores itself in git.

    Errors: StoreError where it cannot be made.
    """
    try:
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if (new or folder.name == ".audiencesync") and not ignore.exists():
            ignore.write_text("*\n", "utf-8")
    except OSError as error:
        raise StoreError(
            f"{folder} cannot hold the embedded property ({error.strerror or error}): make it a folder that "
            "can be written, or name another"
        ) from error


class Store:
    """The database in `folder`; any number of threads may share one Store, and processes one folder.

    Errors: StoreError where the folder cannot be written, the file is damaged, foreign, or of a newer format;
    it is kept as it is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "property.sqlite"
        self._idle: list[sqlite3.Connection] = []
        self._pool = threading.Lock()
        self._writing = threading.Lock()
        prepare(folder)
        with self._explained():
            self._create_file()
            _check_header(self.path)
            with self._connection() as connection:
                _create_tables(connection, self.path)
                seed = connection.execute("SELECT value FROM meta WHERE name = 'seed'").fetchone()
        self.seed = str(seed[0])

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """One moment of the database, whatever others write meanwhile."""
        with self._explained(), self._connection() as connection, _transaction(connection, "BEGIN"):
            yield Transaction(connection)

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """Everything inside happens at once or, on an exception, not at all."""
        # SQLite's own queue polls; within a process a lock is fair and does not sleep.
        with (
            self._explained(),
            self._writing,
            self._connection() as connection,
            _transaction(connection, "BEGIN IMMEDIATE"),
        ):
            yield Transaction(connection)

    def close(self) -> None:
        """Gives the file back; the store may not be used afterwards."""
        with self._pool:
            while self._idle:
                self._idle.pop().close()

    def _create_file(self) -> None:
        # What an export holds is personal data: the file, and SQLite's files beside it, are for their owner.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # To read a pipe would wait for ever.
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StoreError(_damaged(self.path, "it is not a regular file"))
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._pool:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            uri = f"{self.path.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(
                uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA synchronous = NORMAL")
        try:
            yield connection
        except sqlite3.Error:
            connection.close()
            raise
        except BaseException:
            self._give_back(connection)
            raise
        self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._pool:
            self._idle.append(connection)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what SQLite and the system say into what a user can do about it."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(_explain(self.path, error)) from error
        except OSError as error:
            if error.filename is None or Path(os.fsdecode(error.filename)) != self.path:
                raise
            raise StoreError(
                f"{self.path} cannot be written: {error.strerror}; make its folder writable, or name another"
            ) from error


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _explain(path: Path, error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{path} was in use for {_BUSY_SECONDS:.0f} seconds: stop the other program and try again"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return f"{path} cannot be written ({error}): make the file and its folder writable, or name another"
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return f"{path} cannot be written ({error}): make room on the disk and try again"
    return _damaged(path, str(error))


def _damaged(path: Path, why: str) -> str:
    return (
        f"{path} is damaged or no embedded property ({why}); it was kept as it is: move it away to begin "
        "with an empty property, or put a good copy in its place"
    )


def _newer(path: Path, version: int) -> str:
    return (
        f"{path} was written by a newer audiencesync (format {version}, this one reads up to {FORMAT}); it "
        "was kept as it is: update audiencesync, or use another folder"
    )


def _check_header(path: Path) -> None:
    """Looks at the file's first bytes before SQLite may touch it; an empty file is a new one."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if not header:
        return
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise StoreError(_damaged(path, "it does not begin as a SQLite database does"))
    version, application = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
    if version and application != _APPLICATION:
        raise StoreError(_damaged(path, "it is another program's database"))
    if version > FORMAT:
        raise StoreError(_newer(path, version))


def _create_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables once, however many processes open a new file at the same time."""
    if _version(connection) == 0:
        # Before write-ahead logging is on, so that the version stands in the file itself from the start.
        with _transaction(connection, "BEGIN IMMEDIATE"):
            if _version(connection) == 0:
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    raise StoreError(_damaged(path, "it is another program's database"))
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute("INSERT INTO meta VALUES ('seed', ?)", (secrets.token_hex(16),))
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {FORMAT}")
    if _version(connection) > FORMAT:
        raise StoreError(_newer(path, _version(connection)))
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # Another process has just opened it too: the mode is a matter of speed, and the next one sets it.
        if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
            raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _dump(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


class Transaction:
    """What can be asked of and done to the database inside Store.read or Store.write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def property_created(self, number: str) -> int | None:
        """When a property came into being, in microseconds; None where there is none."""
        row = self._execute("SELECT created FROM property WHERE number = ?", (number,)).fetchone()
        return None if row is None else int(row[0])

    def add_property(self, number: str, created: int) -> None:
        """Adds a property without audiences."""
        self._execute("INSERT INTO property VALUES (?, ?)", (number, created))

    def audiences(self, property: str, *, after: int = 0, limit: int) -> list[StoredAudience]:
        """The live audiences with an id above `after`, oldest first."""
        rows = self._execute(
            "SELECT id, created, body FROM audience WHERE property = ? AND archived = 0 AND id > ?"
            " ORDER BY id LIMIT ?",
            (property, after, limit),
        )
        return [StoredAudience(row[0], row[1], json.loads(row[2])) for row in rows]

    def audience(self, property: str, ident: int) -> StoredAudience | None:
        """One live audience; None where there is none, or it was archived."""
        row = self._execute(
            "SELECT id, created, body FROM audience WHERE id = ? AND property = ? AND archived = 0",
            (ident, property),
        ).fetchone()
        return None if row is None else StoredAudience(row[0], row[1], json.loads(row[2]))

    def counts(self, property: str) -> tuple[int, int]:
        """How many live audiences a property has, and how many of them have a trigger."""
        row = self._execute(
            "SELECT count(*), coalesce(sum(triggers), 0) FROM audience WHERE property = ? AND archived = 0",
            (property,),
        ).fetchone()
        return int(row[0]), int(row[1])

    def named(self, property: str, display_name: str) -> list[int]:
        """The ids of the live audiences with a displayName."""
        rows = self._execute(
            "SELECT id FROM audience WHERE property = ? AND display_name = ? AND archived = 0",
            (property, display_name),
        )
        return [int(row[0]) for row in rows]

    def next_audience_id(self, gap: int) -> int:
        """An id above all that were ever given, archived ones included; `gap` is added to it."""
        highest = self._execute("SELECT max(id) FROM audience").fetchone()[0]
        return int(highest or _FIRST_ID) + 1 + gap

    def add_audience(self, property: str, audience: StoredAudience) -> None:
        """Adds a live audience."""
        body = audience.body
        values = (audience.id, property, audience.created, *_columns(body), 0, _dump(body))
        self._execute("INSERT INTO audience VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def change_audience(self, ident: int, body: dict[str, Any]) -> None:
        """Puts another body in an audience's place."""
        self._execute(
            "UPDATE audience SET display_name = ?, triggers = ?, body = ? WHERE id = ?",
            (*_columns(body), _dump(body), ident),
        )

    def archive_audience(self, ident: int) -> None:
        """Archives an audience: its id is never found or given again."""
        self._execute("UPDATE audience SET archived = 1 WHERE id = ?", (ident,))

    def add_change(self, change: Change) -> None:
        """Writes an entry of the change history; its id is given by the database."""
        before, after = (None if body is None else _dump(body) for body in (change.before, change.after))
        values = (change.property, change.time, change.actor, change.action, change.resource, before, after)
        self._execute(
            "INSERT INTO change (property, time, actor, action, resource, before, after)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def changes(
        self, properties: Sequence[str], times: tuple[int, int], *, before: int, limit: int
    ) -> list[Change]:
        """The history of the properties between two times (included), newest first, ids below `before`."""
        marks = ", ".join("?" * len(properties))
        rows = self._execute(
            "SELECT id, property, time, actor, action, resource, before, after FROM change"  # noqa: S608 - marks only
            f" WHERE property IN ({marks}) AND time BETWEEN ? AND ? AND id < ? ORDER BY id DESC LIMIT ?",
            (*properties, *times, before, limit),
        )
        return [
            Change(*row[:6], *(None if body is None else json.loads(body) for body in row[6:]))
            for row in rows
        ]

    def add_export(self, property: str, export: StoredExport, rows: Iterable[str]) -> StoredExport:
        """Adds an export with its rows, each JSON text; gives it back with its id and the number of rows."""
        values = (property, export.created, export.ready, _dump(export.body))
        cursor = self._execute(
            "INSERT INTO export (property, created, ready, row_count, body) VALUES (?, ?, ?, 0, ?)", values
        )
        number, start, source = cursor.lastrowid or 0, 0, iter(rows)
        while chunk := list(islice(source, CHUNK)):
            self._execute("INSERT INTO export_rows VALUES (?, ?, ?)", (number, start, ",".join(chunk)))
            start += len(chunk)
        self._execute("UPDATE export SET row_count = ? WHERE id = ?", (start, number))
        return replace(export, id=number, row_count=start)

    def exports(self, property: str, *, since: int, after: int = 0, limit: int) -> list[StoredExport]:
        """The exports created since a time, with an id above `after`, oldest first."""
        rows = self._execute(
            "SELECT id, created, ready, row_count, body FROM export"
            " WHERE property = ? AND created > ? AND id > ? ORDER BY id LIMIT ?",
            (property, since, after, limit),
        )
        return [_export(row) for row in rows]

    def export(self, property: str, ident: int, *, since: int) -> StoredExport | None:
        """One export created since a time; None where there is none."""
        row = self._execute(
            "SELECT id, created, ready, row_count, body FROM export"
            " WHERE property = ? AND id = ? AND created > ?",
            (property, ident, since),
        ).fetchone()
        return None if row is None else _export(row)

    def export_rows(self, export: int, offset: int, limit: int) -> Iterator[str]:
        """Rows of an export from number `offset` on, as pieces of JSON text with one or more rows each."""
        end = offset + limit
        chunks = self._execute(
            "SELECT start, rows FROM export_rows WHERE export = ? AND start > ? AND start < ? ORDER BY start",
            (export, offset - CHUNK, end),
        )
        for start, rows in chunks:
            if offset <= start and start + CHUNK <= end:
                yield rows
            elif cut := json.loads(f"[{rows}]")[max(0, offset - start) : end - start]:
                yield _dump(cut)[1:-1]

    def drop_exports(self, before: int) -> None:
        """Forgets the exports created up to a time, and their rows."""
        self._execute(
            "DELETE FROM export_rows WHERE export IN (SELECT id FROM export WHERE created <= ?)", (before,)
        )
        self._execute("DELETE FROM export WHERE created <= ?", (before,))


def _columns(body: dict[str, Any]) -> tuple[str, int]:
    """What is searched and counted, beside the body it stands in."""
    return str(body.get("displayName", "")), int(bool(body.get("eventTrigger")))


def _export(row: Sequence[Any]) -> StoredExport:
    return StoredExport(row[0], row[1], row[2], row[3], json.loads(row[4]))
