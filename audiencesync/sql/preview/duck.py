"""DuckDB over Parquet files or a table of a DuckDB file."""

from __future__ import annotations

import atexit
import glob
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiencesync.errors import PreviewError
from audiencesync.sql.dialect import DUCKDB, Schema
from audiencesync.sql.preview.records import Extent, Progress, Row

if TYPE_CHECKING:
    import duckdb

    from audiencesync.settings import Events
    from audiencesync.sql.compile import Export, Statement
    from audiencesync.sql.preview.stage import Cache

BASE = ("user_pseudo_id", "event_timestamp", "event_name", "event_date")
_KINDS = {
    **dict.fromkeys(("varchar", "enum", "uuid"), "text"),
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint", "hugeint"), "int"),
    **dict.fromkeys(("utinyint", "usmallint", "uinteger", "ubigint"), "int"),
    **dict.fromkeys(("float", "double", "decimal"), "float"),
    "boolean": "bool",
    "date": "date",
}


def connect() -> duckdb.DuckDBPyConnection:
    """An empty database in memory; UsageError-like advice where DuckDB is not installed."""
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
    """This process's own folder for what does not fit into memory; DuckDB's default is the current folder."""
    folder = tempfile.mkdtemp(prefix="audiencesync-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def schema_of(relation: duckdb.DuckDBPyRelation) -> Schema:
    """The columns of a relation, records and repeated records opened up."""
    columns: dict[str, str] = {}

    def walk(path: str, kind: Any) -> None:  # noqa: ANN401 - DuckDB's type object has no stub for children
        name = kind.id
        inner = dict(kind.children)["child"] if name == "list" else kind
        if inner.id == "struct":
            columns[path] = "records" if name == "list" else "record"
            for child, of in inner.children:
                walk(f"{path}.{child}", of)
        else:
            columns[path] = _KINDS.get(name, "other")

    for name, kind in zip(relation.columns, relation.types, strict=True):
        walk(name, kind)
    return Schema(columns)


@dataclass(slots=True)
class Duck:
    """A DuckDB connection over one source; `shown` names it in messages, `files` are what it consists of."""

    connection: duckdb.DuckDBPyConnection
    table: str
    shown: str
    files: tuple[Path, ...]
    cache: Cache | None = None
    progress: Progress = lambda _message: None
    name: str = field(default="duckdb", init=False)
    bytes_billed: int | None = field(default=None, init=False)
    schema: Schema = field(init=False)
    extent: Extent = field(init=False)

    def __post_init__(self) -> None:
        self.schema = schema_of(self._relation())
        _need_base(self.schema, self.shown)
        self.extent = self._extent()

    def _relation(self) -> duckdb.DuckDBPyRelation:
        import duckdb

        try:
            return self.connection.sql(f"SELECT * FROM {self.table}")
        except duckdb.Error as error:
            raise PreviewError(f"{self.shown} cannot be read: {_first_line(error)}") from None

    def _extent(self) -> Extent:
        day = DUCKDB.column("event_date")
        if self.schema.kind("event_date") == "date":
            day = DUCKDB.date_text(day)
        elif self.schema.kind("event_date") != "text":
            day = DUCKDB.cast(day, "text")
        sql = f"SELECT COUNT(*) AS n, MIN({day}) AS a, MAX({day}) AS b FROM {self.table}"
        found = self.run(sql)[0]
        if not found["n"]:
            raise PreviewError(f"{self.shown} holds no rows")
        return Extent(_day(found["a"], self.shown), _day(found["b"], self.shown), int(found["n"]))

    def source(self, as_of: date) -> str:  # noqa: ARG002 - BigQuery's source depends on it
        """What stands after FROM."""
        return self.table

    def prepare(self, statement: Callable[[Export], Statement], export: Export) -> Statement:
        """The statement over the staged columns where there is a cache, else over the source."""
        if self.cache is None or not self.files:
            return statement(export)
        return self.cache.prepare(self, statement, export)

    def count(self, statement: Statement) -> Sequence[Row]:
        """The rows of the statement's last step."""
        *first, last = statement.steps
        for step in first:
            self.run(step)
        return self.run(last)

    def run(self, sql: str) -> Sequence[Row]:
        """The rows of a statement by column name."""
        import duckdb

        try:
            cursor = self.connection.execute(sql)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except duckdb.Error as error:
            raise PreviewError(f"{self.shown}: {_first_line(error)}") from None

    def close(self) -> None:
        """Closes the connection."""
        self.connection.close()


def _day(value: object, shown: str) -> date:
    try:
        return datetime.strptime(str(value), "%Y%m%d").date()  # noqa: DTZ007 - a day, no time
    except ValueError:
        raise PreviewError(f"{shown}: event_date {value!r} is no day of the form YYYYMMDD") from None


def _need_base(schema: Schema, shown: str) -> None:
    for name in BASE:
        if not schema.has(name):
            raise PreviewError(f"{shown} has no column {name}: it is no GA4 event export")
    if schema.kind("event_timestamp") not in {"int", "float"}:
        raise PreviewError(
            f"{shown}: event_timestamp is no whole number of microseconds, as GA4's event export has it"
        )


def open_source(events: Events, base_dir: Path, *, cache: Cache | None = None, progress: Progress) -> Duck:
    """Opens the Parquet files or the table that the settings name; paths are relative to `base_dir`.

    PreviewError names the very file that is missing, unreadable, empty or no event export.
    """
    connection = connect()
    try:
        if events.parquet:
            return _open_parquet(connection, events.parquet, base_dir, cache=cache, progress=progress)
        return _open_database(connection, events, base_dir, progress=progress)
    except BaseException:
        connection.close()
        raise


def parquet_files(pattern: str, base_dir: Path) -> list[Path]:
    """The files of a path or glob in order; a folder means the Parquet files in it."""
    path = base_dir / pattern
    if path.is_file():
        return [path]
    pattern = f"{pattern}/*.parquet" if path.is_dir() else pattern
    found = (base_dir / name for name in glob.glob(pattern, root_dir=base_dir, recursive=True))  # noqa: PTH207 - absolute too
    return sorted(each for each in found if each.is_file())


def exactly(file: Path) -> str:
    """A literal that DuckDB reads as this very file, whatever stands in its name."""
    return DUCKDB.text("".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(file)))


def _open_parquet(
    connection: duckdb.DuckDBPyConnection,
    pattern: str,
    base_dir: Path,
    *,
    cache: Cache | None,
    progress: Progress,
) -> Duck:
    files = parquet_files(pattern, base_dir)
    if not files:
        raise PreviewError(f"no Parquet file at {base_dir / pattern}: check `events` in the settings")
    progress(f"looking at {len(files)} Parquet file{'s' if len(files) > 1 else ''}")
    known: dict[str, tuple[str, Path]] = {}
    for file in files:
        _need_same_records(known, _probe(connection, file), file)
    listed = ", ".join(map(exactly, files))
    table = f"read_parquet([{listed}], union_by_name = true)"
    shown = str(files[0]) if len(files) == 1 else str(base_dir / pattern)
    return Duck(connection, table, shown, tuple(files), cache, progress)


def _need_same_records(known: dict[str, tuple[str, Path]], schema: Schema, file: Path) -> None:
    """Numbers and texts are united by DuckDB; a record and a plain value are not.

    `known` are the columns of the files before with the first file that has each; this file's are added.
    """
    for name, kind in schema.columns.items():
        other, first = known.setdefault(name, (kind, file))
        if kind != other and {"record", "records"} & {kind, other}:
            raise PreviewError(f"{file}: column {name} is of another type than in {first}")


def _probe(connection: duckdb.DuckDBPyConnection, file: Path) -> Schema:
    import duckdb

    try:
        relation = connection.sql(f"SELECT * FROM read_parquet({exactly(file)})")
        count = connection.execute(f"SELECT num_rows FROM parquet_file_metadata({exactly(file)})").fetchall()
    except duckdb.Error as error:
        raise PreviewError(f"{file} cannot be read as Parquet: {_first_line(error)}") from None
    schema = schema_of(relation)
    _need_base(schema, str(file))
    if count == [(0,)]:
        raise PreviewError(f"{file} holds no rows: export it again, or take it away")
    return schema


def _open_database(
    connection: duckdb.DuckDBPyConnection, events: Events, base_dir: Path, *, progress: Progress
) -> Duck:
    import duckdb

    path = base_dir / events.duckdb
    if not path.is_file():
        raise PreviewError(f"no DuckDB file at {path}: check `events` in the settings")
    try:
        connection.execute(f"ATTACH {DUCKDB.text(str(path))} AS source (READ_ONLY)")
    except duckdb.Error as error:
        raise PreviewError(f"{path} cannot be read as a DuckDB file: {_first_line(error)}") from None
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
