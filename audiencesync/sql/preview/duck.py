"""DuckDB over Parquet files or a table of a DuckDB file."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiencesync.errors import PreviewError
from audiencesync.sql.columns import Schema
from audiencesync.sql.dialect import DUCKDB
from audiencesync.sql.preview.files import (
    export_schema,
    first_line,
    guilty,
    is_parquet,
    left_out,
    only,
    parquet_files,
    probe_all,
    reading,
    union,
)
from audiencesync.sql.preview.records import Extent, Progress, Row, silent

if TYPE_CHECKING:
    import duckdb

    from audiencesync.settings import Events
    from audiencesync.sql.compile import Export, Statement
    from audiencesync.sql.preview.stage import Cache, Staged

_UNRELATED = ("OutOfMemoryException", "BinderException", "ParserException", "CatalogException")
"""DuckDB's errors that say nothing about a file's content."""
WITNESSES = 8
"""So many other files may tell whether a statement can succeed at all."""
_CHECK = "check `events` in the settings, or --events"


def connect() -> duckdb.DuckDBPyConnection:
    """An empty database in memory; PreviewError with the way out where DuckDB is not installed."""
    try:
        import duckdb
    except ImportError:
        raise PreviewError(
            "previews need DuckDB, which is not installed: pip install 'audiencesync[preview]'"
        ) from None
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"SET temp_directory = {DUCKDB.text(_spill_folder())}")
    return connection


@cache
def _spill_folder() -> str:
    """This process's own folder for what does not fit into memory; "" where no folder takes any.

    DuckDB's default is the current folder.
    """
    try:
        folder = tempfile.mkdtemp(prefix="audiencesync-")
    except OSError:
        return ""
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass(slots=True)
class Duck:
    """A DuckDB connection over one source; `shown` names it in messages, `files` are what it consists of."""

    connection: duckdb.DuckDBPyConnection
    table: str
    shown: str
    files: tuple[Path, ...]
    cache: Cache | None = None
    progress: Progress = silent
    name: str = field(default="duckdb", init=False)
    bytes_billed: int | None = field(default=None, init=False)
    staged: Staged | None = field(default=None, init=False)
    schema: Schema = field(init=False)
    extent: Extent = field(init=False)

    def __post_init__(self) -> None:
        self.schema = export_schema(self._relation(), self.shown)
        self.extent = self._extent()

    def _relation(self) -> duckdb.DuckDBPyRelation:
        import duckdb

        try:
            return self.connection.sql(f"SELECT * FROM {self.table}")
        except duckdb.Error as error:
            raise PreviewError(f"{self.shown} cannot be read: {first_line(error)}") from None

    def _extent(self) -> Extent:
        day = DUCKDB.column("event_date")
        if self.schema.kind("event_date") == "date":
            day = DUCKDB.date_text(day)
        elif self.schema.kind("event_date") != "text":
            day = DUCKDB.cast(day, "text")
        sql = f"SELECT {day} AS day, COUNT(*) AS n FROM {self.table} GROUP BY 1 ORDER BY 1"
        found = self.run(sql)
        if not found:
            raise PreviewError(f"{self.shown} holds no rows")
        self._need_a_user()
        if wrong := _no_day(found):
            wrong_on = partial(self._wrong_day, sql)
            file = guilty(self.files, lambda some: bool(wrong_on(some))) if len(self.files) > 1 else None
            wrong = wrong_on([file]) if file else wrong
            raise PreviewError(f"{file or self.shown}: event_date {wrong} is no day of the form YYYYMMDD")
        rows = sum(int(row["n"] or 0) for row in found)
        return Extent(tuple(_day(row["day"]) for row in found if row["day"] is not None), rows)

    def _need_a_user(self) -> None:
        user = DUCKDB.column("user_pseudo_id")
        if not self.run(f"SELECT 1 AS one FROM {self.table} WHERE {user} IS NOT NULL LIMIT 1"):
            raise PreviewError(
                f"{self.shown}: no row has a user_pseudo_id, so there is no user to count: export that column"
            )

    def _wrong_day(self, sql: str, some: Sequence[Path]) -> str:
        return _no_day(self.run(sql.replace(self.table, only(self.files, some))))

    def source(self, as_of: date) -> str:  # noqa: ARG002 - BigQuery's source depends on it
        """What stands after FROM."""
        return self.table

    def prepare(self, statement: Callable[[Export], Statement], export: Export) -> Statement:
        """The statement over the staged columns where there is a cache, else over the source."""
        self.staged = self.cache.prepare(self, statement, export) if self.cache and self.files else None
        return self.staged.statement if self.staged else statement(export)

    def count(self, statement: Statement) -> Sequence[Row]:
        """The rows of the statement's last step; over the files themselves where staged ones fail."""
        import duckdb

        staged, self.staged = self.staged, None
        if staged is None or statement is not staged.statement:
            return self._answer(statement.steps)
        try:
            return self.execute(*statement.steps)
        except duckdb.Error:
            self.progress("the staged columns cannot be read: reading the files themselves")
        self._reconnect()
        rows = self._answer(staged.plain().steps)
        staged.drop()
        return rows

    def run(self, sql: str) -> Sequence[Row]:
        """The rows of a statement by column name."""
        return self._answer((sql,))

    def execute(self, *statements: str) -> Sequence[Row]:
        """The rows of the last statement; DuckDB's own error where one fails, KeyboardInterrupt at Ctrl-C."""
        # DuckDB's own ear for Ctrl-C is deaf for most of a query: this thread waits for it instead.
        with ThreadPoolExecutor(1, thread_name_prefix="duckdb") as thread:
            running = thread.submit(self._execute, statements)
            try:
                return running.result()
            except KeyboardInterrupt:
                self.connection.interrupt()
                raise

    def _execute(self, statements: Sequence[str]) -> Sequence[Row]:
        *first, last = statements
        for each in first:
            self.connection.execute(each)
        cursor = self.connection.execute(last)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _answer(self, statements: Sequence[str]) -> Sequence[Row]:
        """The rows of the last statement; PreviewError names the file at which one fails."""
        import duckdb

        try:
            return self.execute(*statements)
        except duckdb.Error as error:
            raise PreviewError(self._fault(statements, error)) from None

    def _fault(self, statements: Sequence[str], error: duckdb.Error) -> str:
        unsure = f"{self.shown}: {first_line(error)}"
        if len(self.files) < 2 or type(error).__name__ in _UNRELATED:  # noqa: PLR2004 - one file is to blame itself
            return unsure
        why: dict[Path, str] = {}

        def fails(some: Sequence[Path]) -> bool:
            fault = self._fault_on(statements, some)
            why[some[0]] = fault
            return bool(fault)

        self.progress(f"reading failed: looking for the file among {len(self.files)}")
        file = guilty(self.files, fails)
        witnesses = [each for each in self.files if each != file][:WITNESSES]
        if file is None or all(fails([each]) for each in witnesses):
            return unsure  # what fails on every file is no file's fault
        return f"{file}: {why[file]}: export it again, or take it away"

    def _fault_on(self, statements: Sequence[str], some: Sequence[Path]) -> str:
        """What DuckDB says of the same statements over some of the files; "" where they succeed."""
        import duckdb

        self._reconnect()
        table = only(self.files, some)
        try:
            self.execute(*(each.replace(self.table, table) for each in statements))
        except duckdb.Error as error:
            return first_line(error)
        return ""

    def _reconnect(self) -> None:
        """A new connection: some errors leave one that answers nothing more."""
        self.connection.close()
        self.connection = connect()

    def close(self) -> None:
        """Closes the connection."""
        self.connection.close()


def _day(value: object) -> date:
    """The day of an event_date; ValueError where it is none."""
    text = str(value)
    if not (len(text) == len("YYYYMMDD") and text.isascii() and text.isdecimal()):
        raise ValueError(text)
    return date.fromisoformat(text)


def _no_day(rows: Sequence[Row]) -> str:
    """The first event_date that is no day, as Python writes it, else ""; rows without one do not matter."""
    days = [row["day"] for row in rows]
    for value in [each for each in days if each is not None] or days:
        try:
            _day(value)
        except ValueError:
            return repr(value)
    return ""


def open_source(events: Events, base_dir: Path, *, cache: Cache | None = None, progress: Progress) -> Duck:
    """Opens the Parquet files or the table that the settings name; paths are relative to `base_dir`.

    PreviewError names the very file that is missing, unreadable, empty or no event export.
    """
    connection = connect()
    try:
        with reading(base_dir / (events.parquet or events.duckdb)):
            if events.parquet:
                return _open_parquet(connection, events.parquet, base_dir, cache=cache, progress=progress)
            return _open_database(connection, events, base_dir, progress=progress)
    except BaseException:
        connection.close()
        raise


def _open_parquet(
    connection: duckdb.DuckDBPyConnection,
    pattern: str,
    base_dir: Path,
    *,
    cache: Cache | None,
    progress: Progress,
) -> Duck:
    files = parquet_files(pattern, base_dir)
    below, wider = left_out(pattern, base_dir)
    if below and not files:
        raise PreviewError(
            f"{base_dir / pattern} holds no Parquet file itself, but {below}: read them with '{wider}'"
        )
    if not files:
        raise PreviewError(f"no Parquet file at {base_dir / pattern}: {_CHECK}")
    progress(f"looking at {len(files)} Parquet file{'s' if len(files) > 1 else ''}")
    if below:
        progress(f"left out: {below} of {base_dir / pattern}; '{wider}' has them too")
    probe_all(connection, files)
    shown = str(files[0]) if len(files) == 1 else str(base_dir / pattern)
    return Duck(connection, union(files), shown, tuple(files), cache, progress)


def _open_database(
    connection: duckdb.DuckDBPyConnection, events: Events, base_dir: Path, *, progress: Progress
) -> Duck:
    import duckdb

    path = base_dir / events.duckdb
    if not path.is_file():
        raise PreviewError(f"no DuckDB file at {path}: {_CHECK}")
    try:
        connection.execute(f"ATTACH {DUCKDB.text(str(path))} AS source (READ_ONLY)")
    except duckdb.Error as error:
        reason = first_line(error)
        if is_parquet(path):
            reason = "it is a Parquet file, and those go under `parquet:`"
        raise PreviewError(f"{path} cannot be read as a DuckDB file: {reason}") from None
    table = DUCKDB.column(f"source.{events.table}" if "." in events.table else f"source.main.{events.table}")
    progress(f"looking at table {events.table} of {path.name}")
    return Duck(connection, table, f"table {events.table} of {path}", (), None, progress)


def write_parquet(
    path: Path, tables: Mapping[str, tuple[Sequence[Mapping[str, Any]], Mapping[str, str]]], query: str
) -> None:
    """Writes the rows of a query over tables (their rows and column types) as Parquet, whole or not at all.

    The rows stand in the order that the query gives them.
    """
    connection = connect()
    part = path.with_suffix(".part")
    try:
        connection.execute("SET preserve_insertion_order = true")
        for name, (rows, kinds) in tables.items():
            _make_table(connection, name, rows, kinds, path.with_suffix(f".{name}.part"))
        connection.execute(f"COPY ({query}) TO {DUCKDB.text(str(part))} (FORMAT parquet, COMPRESSION zstd)")
        part.replace(path)
    finally:
        connection.close()
        part.unlink(missing_ok=True)


def _make_table(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, str],
    part: Path,
) -> None:
    """Loads plain rows through a JSON file: far faster than one INSERT a row."""
    columns = ", ".join(f"{column}: {DUCKDB.text(kind)}" for column, kind in kinds.items())
    try:
        part.write_text(json.dumps(rows), "utf-8")
        connection.execute(
            f"CREATE TABLE {name} AS SELECT * FROM read_json({DUCKDB.text(str(part))}, "
            f"columns = {{{columns}}}, format = 'array')"
        )
    finally:
        part.unlink(missing_ok=True)
