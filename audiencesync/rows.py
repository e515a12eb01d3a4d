"""Rows -> CSV, JSON lines or Parquet: a file that is whole or absent.

A row is a list of texts; None is a missing value and differs from an empty text in every format. Rows
come in batches and are written as they come, so memory does not grow with their number.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, islice
from json.encoder import encode_basestring
from pathlib import Path
from typing import IO

from audiencesync.errors import ExportError, UsageError

Row = Sequence[str | None]
Batch = Sequence[Row]

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
_CHUNK = 2_000
"""Rows that are turned into one text at a time."""

_SPECIAL = re.compile(r'[",\r\n]')
_FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_FORMULA_ANYWHERE = re.compile(r"(?:\A|[,\n])[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_EMPTY_CELL = re.compile(r"\A(?:[,\n]|\Z)|,(?:[,\n]|\Z)|\n(?:[,\n]|\Z)")


@dataclass(frozen=True, slots=True)
class Written:
    """What stands on disk: rows without the header, bytes, and their SHA-256 in hexadecimal."""

    rows: int
    bytes: int
    sha256: str


def suffix_of(path: Path) -> str:
    """The suffix that decides the format: one of SUFFIXES.

    Raises UsageError for any other, which names the ones there are.
    """
    found = [suffix for suffix in SUFFIXES if path.name.endswith(suffix) and path.name != suffix]
    if not found:
        raise UsageError(f"{path.name}: the name has to end in one of {', '.join(SUFFIXES)}")
    return max(found, key=len)


def check(path: Path) -> None:
    """Raises where a file of this name could not be written, before anything is asked of a server."""
    if suffix_of(path) == ".parquet" and find_spec("duckdb") is None:
        raise ExportError("Parquet is written by DuckDB, which is not installed: `pip install duckdb`")
    if path.is_dir():
        raise ExportError(f"{path} is a folder: name a file")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ExportError(f"{path} cannot be written: {above} is no folder that takes files")


def part_of(path: Path) -> Path:
    """The name that a file has while it is written: hidden, and beside its final place."""
    return path.with_name(f".{path.name}.part")


def _scratch_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.rows")


def discard(part: Path) -> None:
    """Removes what an interrupted write left behind, where it left anything."""
    for path in (part, _scratch_of(part)):
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def private(path: Path) -> Iterator[IO[bytes]]:
    """Opens a new file that its owner alone may read (mode 0600); it is on disk when the block ends.

    A file of that name is replaced, so that nobody who holds it open reads what follows.
    """
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(handle, "wb", buffering=1 << 18) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes renames and removals in a folder survive a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def place(part: Path, path: Path) -> None:
    """Puts a finished part in its place: readers see the old file or the whole new one."""
    part.replace(path)
    sync_folder(path.parent)


def write(
    path: Path, columns: Sequence[str], batches: Iterable[Batch], *, formula_safe: bool = False
) -> Written:
    """Writes the part of `path` and leaves it beside; `place` finishes it.

    `formula_safe` puts an apostrophe before cells of CSV that a spreadsheet would run. Every row must have
    as many values as there are columns. Raises ExportError; no part is left then.
    """
    part, suffix = part_of(path), suffix_of(path)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".parquet":
            count = _write_parquet(part, columns, batches)
        else:
            count = _write_text(part, suffix, columns, batches, formula_safe=formula_safe)
        return Written(count, *fingerprint(part))
    except UnicodeEncodeError as error:
        discard(part)
        raise ExportError(
            "a value holds half a character (a lone surrogate): it cannot be written"
        ) from error
    except OSError as error:
        discard(part)
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error
    except BaseException:
        discard(part)
        raise


def fingerprint(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file, read back from disk."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def hashed(batches: Iterable[Batch], positions: Sequence[int], salt: str) -> Iterator[list[list[str | None]]]:
    """Replaces the values of some columns by SHA-256 (hexadecimal) of the salt followed by the value.

    Missing values and empty texts stay what they are: there is nobody to hide behind them.
    """
    start = hashlib.sha256(salt.encode())

    def digest(value: str | None) -> str | None:
        if not value:
            return value
        one = start.copy()
        one.update(value.encode())
        return one.hexdigest()

    chosen = frozenset(positions)
    for batch in batches:
        yield [[digest(v) if n in chosen else v for n, v in enumerate(row)] for row in batch]


# CSV


def _cell(value: str | None, *, formula_safe: bool) -> str:
    if value is None:
        return ""
    if formula_safe and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        value = "'" + value
    if not value or _SPECIAL.search(value):
        return '"' + value.replace('"', '""') + '"'
    return value


def _csv_careful(rows: Batch, *, formula_safe: bool) -> str:
    lines = [",".join([_cell(value, formula_safe=formula_safe) for value in row]) for row in rows]
    return "\n".join(lines) + "\n"


def csv_text(rows: Batch, width: int, *, formula_safe: bool = False) -> str:
    """Rows as CSV: comma, line feed, quotes where needed; nothing is a missing value, `""` an empty text.

    Most rows need no quotes. They are joined as they are, and the joined text shows whether that was right:
    it has just the commas and line feeds that the rows account for, no quote and no empty cell.
    """
    try:
        text = "\n".join(map(",".join, rows))  # type: ignore[arg-type]
    except TypeError:  # a missing value
        return _csv_careful(rows, formula_safe=formula_safe)
    plain = (
        text.count(",") == len(rows) * (width - 1)
        and text.count("\n") == len(rows) - 1
        and '"' not in text
        and "\r" not in text
        and not _EMPTY_CELL.search(text)
        and not (formula_safe and _FORMULA_ANYWHERE.search(text))
    )
    return text + "\n" if plain else _csv_careful(rows, formula_safe=formula_safe)


# JSON lines


def jsonl_encoder(columns: Sequence[str]) -> Callable[[Batch], str]:
    """Rows as JSON lines; where no value needs an escape, they are put into a line's frame as they are."""
    names = [("," if n else "{") + encode_basestring(name) + ":" for n, name in enumerate(columns)]
    frame = "".join(name.replace("%", "%%") + '"%s"' for name in names) + "}\n"

    def careful(row: Row) -> str:
        values = ["null" if value is None else encode_basestring(value) for value in row]
        return "".join([name + value for name, value in zip(names, values, strict=True)]) + "}\n"

    def encode(rows: Batch) -> str:
        try:
            plain = not _ESCAPED.search("".join(chain.from_iterable(rows)))  # type: ignore[arg-type]
        except TypeError:  # a missing value
            plain = False
        return "".join([frame % tuple(row) for row in rows] if plain else map(careful, rows))

    return encode


# Files


def _chunks(batches: Iterable[Batch], width: int) -> Iterator[Batch]:
    for batch in batches:
        rows = iter(batch)
        while chunk := list(islice(rows, _CHUNK)):
            if any(len(row) != width for row in chunk):
                raise ExportError(f"a row has not {width} values, as many as there are columns")
            yield chunk


def _write_text(
    part: Path, suffix: str, columns: Sequence[str], batches: Iterable[Batch], *, formula_safe: bool
) -> int:
    with private(part) as raw:
        if not suffix.endswith(".gz"):
            return _write_lines(raw.write, suffix, columns, batches, formula_safe=formula_safe)
        # Without a time and a name, equal rows give equal bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
            return _write_lines(packed.write, suffix, columns, batches, formula_safe=formula_safe)


def _write_lines(
    put: Callable[[bytes], object],
    suffix: str,
    columns: Sequence[str],
    batches: Iterable[Batch],
    *,
    formula_safe: bool,
) -> int:
    width, count = len(columns), 0
    if suffix.startswith(".csv"):
        put(csv_text([columns], width, formula_safe=formula_safe).encode())
        encode: Callable[[Batch], str] = lambda rows: csv_text(rows, width, formula_safe=formula_safe)  # noqa: E731
    else:
        encode = jsonl_encoder(columns)
    for chunk in _chunks(batches, width):
        put(encode(chunk).encode())
        count += len(chunk)
    return count


# DuckDB is given no files but these two, little memory, and one thread: rows keep their order.
_DUCKDB = {
    "memory_limit": "192MB",
    "threads": "1",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark + mark) + mark


def _write_parquet(part: Path, columns: Sequence[str], batches: Iterable[Batch]) -> int:
    """Writes CSV first and lets DuckDB turn it into Parquet: all columns are text.

    The CSV has a last column that is never missing, so that no line of it is blank.
    """
    scratch, count = _scratch_of(part), 0
    with private(scratch) as file:
        for chunk in _chunks(batches, len(columns)):
            rows: Batch = [[*row, "."] for row in chunk] if len(columns) == 1 else chunk
            file.write(csv_text(rows, max(len(columns), 2)).encode())
            count += len(chunk)
    with private(part):
        pass
    _convert(scratch, part, columns)
    scratch.unlink()
    with part.open("rb+") as done:
        os.fsync(done.fileno())
    return count


def _convert(scratch: Path, part: Path, columns: Sequence[str]) -> None:
    import duckdb

    names = [f"c{n}" for n in range(max(len(columns), 2))]
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    titles = [_quoted(column, '"') for column in columns]
    chosen = ", ".join(f"{name} AS {title}" for name, title in zip(names, titles, strict=False))
    source = (
        f"read_csv(?, auto_detect=false, header=false, delim=',', quote='\"', escape='\"', nullstr='', "
        f"columns={{{types}}}, allow_quoted_nulls=false, hive_partitioning=false, parallel=false, "
        f"max_line_size=33554432, buffer_size=67108864)"
    )
    target = _quoted(str(part), "'")
    try:
        with duckdb.connect(":memory:", config={**_DUCKDB, "temp_directory": str(part.parent)}) as connection:
            connection.execute(
                f"COPY (SELECT {chosen} FROM {source}) TO {target} "  # noqa: S608 - titles and path are quoted
                "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)",
                [str(scratch)],
            )
    except duckdb.Error as error:
        raise ExportError(f"DuckDB could not write Parquet: {str(error).splitlines()[0]}") from error
