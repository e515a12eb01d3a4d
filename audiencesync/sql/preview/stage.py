"""A cache of the columns that previews read, beside the workspace's other state.

A staged file holds what a statement computes on the export's rows, each expression under the name that its
text gives it, so a later preview of other audiences over the same files finds what it needs or adds to it.
The user is a number there: the ids themselves never reach the cache. Rows are in the order of users and their
events, so a row's number in the file says all that the columns of the order would.

Several runs may share the folder. A staged file has a name of its own and is never replaced; its note, a JSON
file of its columns and rows, is there before it. A reader that finds it damaged, or gone, reads the export.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiencesync.errors import PreviewError
from audiencesync.sql.columns import Schema
from audiencesync.sql.dialect import DUCKDB
from audiencesync.sql.facts import Facts, Span
from audiencesync.sql.preview.files import exactly, first_line, rows_of
from audiencesync.sql.values import Values

if TYPE_CHECKING:
    from audiencesync.sql.compile import Export, Statement
    from audiencesync.sql.preview.duck import Duck

SMALL = 32 * 1024**2
"""Below this size the files are read as they are: staging would cost more than it saves."""
LARGEST = 4 * 1024**3
"""The most bytes that the cache may hold."""
RECENT = 10 * 60
"""Another run may still read a file that was used within so many seconds."""
FORGOTTEN = 30 * 24 * 60 * 60
"""A staged file that was not used for so many seconds is removed: it is about people."""
ABANDONED = 60 * 60
"""A part that was not written to for so many seconds belongs to a run that died."""
VERSION = 4
USER = "u"
POSITION = "file_row_number"
"""DuckDB's own column of a Parquet file's rows."""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def name_of(expression: str) -> str:
    """The column under which an expression is staged."""
    return f"c{_digest(expression)}"


@dataclass(frozen=True, slots=True)
class Staged:
    """A statement over a staged file, and the same over the files themselves."""

    path: Path
    statement: Statement
    plain: Callable[[], Statement]

    def drop(self) -> None:
        """Removes the file."""
        _remove(self.path)


@dataclass(frozen=True, slots=True)
class Cache:
    """The cache in a folder that git does not see; over `largest`, the longest unused goes first."""

    state: Path
    smallest: int = SMALL
    largest: int = LARGEST

    @property
    def folder(self) -> Path:
        """The cache's own folder."""
        return self.state / "staged"

    def prepare(self, duck: Duck, statement: Callable[[Export], Statement], export: Export) -> Staged | None:
        """The statement over staged columns; None where the files are small, or nothing can be staged."""
        import duckdb

        try:
            if sum(file.stat().st_size for file in duck.files) < self.smallest:
                return None
            in_order = statement(replace(export, position=POSITION))
            if not in_order.sql:
                return None
            user, *others = in_order.reads
            wanted = dict.fromkeys([*always(duck.schema), *(each for each in others if each != POSITION)])
            staged = self._staged(duck, list(wanted))
        except (OSError, duckdb.Error) as error:
            why = error.strerror if isinstance(error, OSError) else first_line(error)
            duck.progress(f"the cache cannot be written ({why}): reading the files themselves")
            return None
        names = {expression: DUCKDB.identifier(name_of(expression)) for expression in wanted}
        columns = {user: USER, POSITION: POSITION, **names}
        export_ = replace(export, source=_table(staged), staged=columns, position=POSITION)
        return Staged(staged, statement(export_), partial(statement, export))

    def _staged(self, duck: Duck, wanted: Sequence[str]) -> Path:
        source, state = self.identity(duck.files)
        self._make_folder()
        self._sweep(source, state)
        known = self._known(duck, f"{source}-{state}")
        for path, columns in known.items():
            if set(wanted) <= set(columns):
                _drop_narrower(known, path)
                with suppress(OSError):  # gone meanwhile, or another user's
                    os.utime(path)
                return path
        everything = dict.fromkeys([*wanted, *(each for columns in known.values() for each in columns)])
        duck.progress("staging the columns that previews read; the next run is faster")
        path = self.folder / f"{source}-{state}-{secrets.token_hex(8)}.parquet"
        _write(duck, list(everything), path)
        _drop_narrower({**known, path: list(everything)}, path)
        self._shrink(keep=path)
        return path

    def _make_folder(self) -> None:
        """Only its owner reads it, and git does not see it: it is about people."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")

    def identity(self, files: Iterable[Path]) -> tuple[str, str]:
        """The files by their paths, and their state by size and time: it is another where one was written."""
        paths = sorted(file.resolve() for file in files)
        stats = [path.stat() for path in paths]
        state = [f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats]
        return _digest(*map(str, paths)), _digest(str(VERSION), *state)

    def _known(self, duck: Duck, identity: str) -> dict[Path, list[str]]:
        """The staged columns of these files, the widest file first; what is damaged is removed."""
        found: dict[Path, list[str]] = {}
        for path in self.folder.glob(f"{identity}-*.parquet"):
            columns = _columns(duck, path)
            if columns is None:
                duck.progress(f"the staged file {path.name} is damaged, so it is removed")
                _remove(path)
            else:
                found[path] = columns
        return dict(sorted(found.items(), key=lambda each: (-len(each[1]), each[0])))

    def _sweep(self, source: str, state: str) -> None:
        """Removes what runs that died have left, and copies of what is no longer so, or long unused."""
        for path in self.folder.iterdir():
            alone = path.suffix == ".json" and not path.with_suffix(".parquet").exists()
            if (alone or path.suffix == ".part") and _age(path) > ABANDONED:
                with suppress(OSError):
                    path.unlink()
            outdated = path.name.startswith(f"{source}-") and not path.name.startswith(f"{source}-{state}-")
            if path.suffix == ".parquet" and (outdated or _age(path) > FORGOTTEN):
                _remove_unused(path)

    def _shrink(self, keep: Path) -> None:
        """Removes the longest unused files until the rest fits, except those that may be in use."""
        total = 0
        for path in sorted(self.folder.glob("*.parquet"), key=_age):
            with suppress(OSError):
                total += path.stat().st_size
            if total > self.largest and path != keep:
                _remove_unused(path)


def always(schema: Schema) -> list[str]:
    """What nearly every preview reads, so that the next one finds it: time, day, name, session."""
    values = Values(DUCKDB, schema)
    found = [values.base("event_timestamp"), values.day(), values.base("event_name")]
    with suppress(PreviewError):
        found.append(values.session_id())
    return found


def _table(path: Path) -> str:
    return f"read_parquet({exactly(path)}, hive_partitioning = false, file_row_number = true)"


def _columns(duck: Duck, path: Path) -> list[str] | None:
    """The expressions that a staged file holds; None where it is not what its note says."""
    import duckdb

    try:
        note: Any = json.loads(path.with_suffix(".json").read_text("utf-8"))
        columns, rows = [str(each) for each in note["columns"]], note["rows"]
        there = duck.connection.sql(f"SELECT * FROM {_table(path)}").columns
        whole = {USER, *map(name_of, columns)} <= set(there) and rows_of(duck.connection, path) == rows
    except (OSError, ValueError, KeyError, TypeError, duckdb.Error):
        return None
    return columns if whole else None


def _age(path: Path) -> float:
    """Seconds since a file was written or used; none where it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0


def _drop_narrower(known: Mapping[Path, Sequence[str]], path: Path) -> None:
    """Removes files that hold nothing beyond another one."""
    for other, columns in known.items():
        if other != path and set(columns) <= set(known[path]):
            _remove_unused(other)


def _remove_unused(path: Path) -> None:
    if _age(path) > RECENT:
        _remove(path)


def _remove(path: Path) -> None:
    """The file before its note, so that no file is without one."""
    with suppress(OSError):  # gone meanwhile, or open on Windows
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)


def _write(duck: Duck, expressions: Sequence[str], path: Path) -> None:
    """Writes beside, then the note, then renames: a file that is there is whole."""
    facts = Facts(Values(DUCKDB, duck.schema), Span(date.max))
    user, moment = DUCKDB.column("user_pseudo_id"), DUCKDB.column("event_timestamp")
    columns = [f"{each} AS {DUCKDB.identifier(name_of(each))}" for each in expressions]
    where = f"{user} IS NOT NULL AND {moment} IS NOT NULL"
    order = ", ".join([USER, moment, *facts.order_reads().values()])
    part, note = path.with_suffix(".part"), path.with_suffix(".json")
    try:
        duck.execute(
            "CREATE OR REPLACE TEMP TABLE numbered AS "
            "SELECT who, CAST(ROW_NUMBER() OVER () AS UINTEGER) AS u "
            f"FROM (SELECT DISTINCT {user} AS who FROM {duck.table} WHERE {where})",
            "SET preserve_insertion_order = true",
            f"COPY (SELECT numbered.u AS {USER}, {', '.join(columns)} FROM {duck.table} AS events "
            f"JOIN numbered ON numbered.who = {user} WHERE {where} ORDER BY {order}) "
            f"TO {DUCKDB.text(str(part))} (FORMAT parquet, COMPRESSION zstd)",
        )
        facts_ = {"version": VERSION, "columns": list(expressions), "rows": rows_of(duck.connection, part)}
        note.write_text(json.dumps(facts_), "utf-8")
        part.replace(path)
    except BaseException:
        note.unlink(missing_ok=True)
        raise
    finally:
        part.unlink(missing_ok=True)
        duck.execute("SET preserve_insertion_order = false", "DROP TABLE IF EXISTS numbered")
