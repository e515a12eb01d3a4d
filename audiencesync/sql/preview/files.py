"""The Parquet files of an export: which there are, whether each can be read, and which one is to blame."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiencesync.errors import PreviewError
from audiencesync.sql.columns import Schema
from audiencesync.sql.compile import parquet
from audiencesync.sql.dialect import DUCKDB

if TYPE_CHECKING:
    import duckdb

BASE = ("user_pseudo_id", "event_timestamp", "event_name", "event_date")
_KINDS = {
    **dict.fromkeys(("varchar", "enum", "uuid"), "text"),
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint", "hugeint"), "int"),
    **dict.fromkeys(("utinyint", "usmallint", "uinteger", "ubigint"), "int"),
    **dict.fromkeys(("float", "double", "decimal"), "float"),
    "boolean": "bool",
    "date": "date",
}
_TOO_WIDE = ("hugeint", "ubigint")
"""Whole numbers that DuckDB's clock does not take."""
MANY = 1000
"""Files and folders beyond so many are not counted, where only a hint needs their number."""
_FILE = "the file of a row"
"""A column that no export has."""


def first_line(error: Exception) -> str:
    """What DuckDB says, without the query below it."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Says what the system says of a path that cannot be read."""
    try:
        yield
    except OSError as error:
        raise PreviewError(f"{path} cannot be read: {error.strerror or error}") from None


# columns
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


def export_schema(relation: duckdb.DuckDBPyRelation, shown: str) -> Schema:
    """The columns of a relation; PreviewError where it cannot be a GA4 event export."""
    try:
        schema = schema_of(relation)
    except UnicodeDecodeError:
        raise PreviewError(f"{shown} is damaged: a column's name is no UTF-8; export it again") from None
    for name in BASE:
        if not schema.has(name):
            raise PreviewError(f"{shown} has no column {name}: it is no GA4 event export")
    kinds = dict(zip(relation.columns, relation.types, strict=True))
    kind = kinds["event_timestamp"]
    if schema.kind("event_timestamp") != "int" or kind.id in _TOO_WIDE:
        raise PreviewError(
            f"{shown}: event_timestamp is no whole number of microseconds, as GA4's event export has it "
            f"(BIGINT, not {kind})"
        )
    return schema


# which files
def parquet_files(pattern: str, base_dir: Path) -> list[Path]:
    """The files of a path or glob in order; a folder means the Parquet files in it.

    Errors: OSError where the folder cannot be read.
    """
    path = base_dir / pattern
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(each for each in path.iterdir() if _is_parquet(each.name) and each.is_file())
    found = glob.iglob(pattern, root_dir=base_dir, recursive=True)  # noqa: PTH207 - absolute patterns too
    return sorted(each for each in (base_dir / name for name in found) if each.is_file())


def _is_parquet(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith(".")


def left_out(pattern: str, base_dir: Path) -> tuple[str, str]:
    """How many Parquet files lie in the folders of a folder, in words, and the glob that has them all.

    Two empty texts where there are none, or the pattern names no folder.
    """
    if not (base_dir / pattern).is_dir():
        return "", ""
    # Links are not followed: they may lead in circles.
    _, *folders = islice(os.walk(base_dir / pattern), MANY)
    count = min(sum(_is_parquet(name) for _, _, names in folders for name in names), MANY)
    folder = glob.escape(pattern.rstrip("/"))
    shown = f"{MANY} or more" if count == MANY else str(count)
    noun = "file" if count == 1 else "files"
    return (f"{shown} Parquet {noun} in its subfolders", f"{folder}/**/*.parquet") if count else ("", "")


def is_parquet(file: Path) -> bool:
    """Whether a file begins as Parquet does. OSError where it cannot be read."""
    return _head(file).startswith(b"PAR1")


def is_duckdb(file: Path) -> bool:
    """Whether a file begins as a DuckDB file does, behind eight bytes of checksum. OSError likewise."""
    return _head(file)[8:12] == b"DUCK"


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(12)


# how DuckDB reads them
def literally(path: Path) -> str:
    """The pattern that DuckDB reads as this very path, whatever stands in its name."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))


def exactly(file: Path) -> str:
    """The literal of that pattern."""
    return DUCKDB.text(literally(file))


def union(files: Sequence[Path], more: str = "") -> str:
    """What stands after FROM for these very files, united by column name."""
    return parquet(*map(literally, files), more=more)


def only(files: Sequence[Path], some: Sequence[Path]) -> str:
    """The rows of some of the files, with the columns and types that all of them have together."""
    listed = ", ".join(DUCKDB.text(str(each)) for each in some)
    table, column = union(files, f", filename = {DUCKDB.text(_FILE)}"), DUCKDB.identifier(_FILE)
    return f"(SELECT * EXCLUDE ({column}) FROM {table} WHERE {column} IN ({listed}))"


def pattern_of(pattern: str, base_dir: Path) -> str:
    """The absolute pattern for DuckDB; only what stands in `pattern` itself may be a glob."""
    base_dir = base_dir.absolute()
    path = base_dir / pattern
    if path.is_dir():
        return f"{literally(path)}/*.parquet"
    if path.is_file():
        return literally(path)
    return str(Path(literally(base_dir)) / pattern)


def shortest(connection: duckdb.DuckDBPyConnection, pattern: str, files: Sequence[Path]) -> str:
    """What stands after FROM: DuckDB's pattern where it finds these very files by it, else their names."""
    import duckdb

    wanted = [file.absolute() for file in files]
    try:
        found = connection.execute(f"SELECT file FROM glob({DUCKDB.text(pattern)})").fetchall()
    except duckdb.Error:
        found = []
    return parquet(pattern) if {Path(name) for (name,) in found} == set(wanted) else union(wanted)


# each file
def probe_all(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Looks at each file alone; PreviewError names the one that is no event export or does not fit."""
    known: dict[str, tuple[str, Path]] = {}
    for file in files:
        _need_same_kinds(known, _probe(connection, file), file)


def _probe(connection: duckdb.DuckDBPyConnection, file: Path) -> Schema:
    import duckdb

    try:
        relation = connection.sql(f"SELECT * FROM {union([file])}")
        count = rows_of(connection, file)
    except duckdb.Error as error:
        other = "it is a DuckDB file, and those go under `duckdb:`" if is_duckdb(file) else first_line(error)
        raise PreviewError(f"{file} cannot be read as Parquet: {other}") from None
    schema = export_schema(relation, str(file))
    if not count:
        raise PreviewError(f"{file} holds no rows: export it again, or take it away")
    return schema


def rows_of(connection: duckdb.DuckDBPyConnection, file: Path) -> int:
    """The number of rows that the file's footer names."""
    sql = f"SELECT num_rows FROM parquet_file_metadata({exactly(file)})"
    return int(connection.execute(sql).fetchall()[0][0])


def _need_same_kinds(known: dict[str, tuple[str, Path]], schema: Schema, file: Path) -> None:
    """Numbers and texts are united by DuckDB; a record and a plain value are not, nor a day and its text.

    `known` are the columns of the files before with the first file that has each; this file's are added.
    """
    for name, kind in schema.columns.items():
        other, first = known.setdefault(name, (kind, file))
        apart = {"record", "records", *(("date",) if name == "event_date" else ())}
        if kind != other and apart & {kind, other}:
            raise PreviewError(f"{file}: column {name} is of another type than in {first}")


def guilty(files: Sequence[Path], fails: Callable[[Sequence[Path]], bool]) -> Path | None:
    """The first file on which something fails, found by halves; None where no file fails alone."""
    left = list(files)
    while len(left) > 1:
        half = left[: len(left) // 2]
        left = half if fails(half) else left[len(half) :]
    return left[0] if fails(left) else None
