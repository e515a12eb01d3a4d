"""A cache of the columns that previews read, beside the workspace's other state.

A staged file holds what a statement computes on the export's rows, each expression under the name that its
text gives it, so a later preview of other audiences over the same files finds what it needs or adds to it.
The user is a number there: the ids themselves never reach the cache. Rows are in the order of users and their
events, so a row's number in the file says all that the columns of the order would.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiencesync.errors import PreviewError
from audiencesync.sql.dialect import DUCKDB, Schema
from audiencesync.sql.facts import Facts, Span
from audiencesync.sql.values import Values

if TYPE_CHECKING:
    from audiencesync.sql.compile import Export, Statement
    from audiencesync.sql.preview.duck import Duck

SMALL = 32 * 1024**2
"""Below this size the files are read as they are: staging would cost more than it saves."""
LARGEST = 4 * 1024**3
"""The most bytes that the cache may hold."""
VERSION = 2
USER = "u"
POSITION = "file_row_number"
"""DuckDB's own column of a Parquet file's rows."""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def name_of(expression: str) -> str:
    """The column under which an expression is staged."""
    return f"c{_digest(expression)}"


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

    def prepare(self, duck: Duck, statement: Callable[[Export], Statement], export: Export) -> Statement:
        """The statement over staged columns; over the files themselves where they are small."""
        in_order = statement(replace(export, position=POSITION))
        sizes = [file.stat().st_size for file in duck.files]
        if not in_order.sql or sum(sizes) < self.smallest:
            return statement(export)
        user, *others = in_order.reads
        wanted = dict.fromkeys([*always(duck.schema), *(each for each in others if each != POSITION)])
        try:
            staged = self._staged(duck, list(wanted))
        except OSError as error:
            duck.progress(f"the cache cannot be written ({error.strerror}): reading the files themselves")
            return statement(export)
        names = {expression: DUCKDB.identifier(name_of(expression)) for expression in wanted}
        table = f"read_parquet({DUCKDB.text(str(staged))}, file_row_number = true)"
        columns = {user: USER, POSITION: POSITION, **names}
        return statement(replace(export, source=table, staged=columns, position=POSITION))

    def _staged(self, duck: Duck, wanted: Sequence[str]) -> Path:
        identity = self.identity(duck.files)
        self._make_folder()
        known = self._known(identity)
        for path, columns in known.items():
            if set(wanted) <= set(columns):
                os.utime(path)
                return path
        everything = dict.fromkeys([*wanted, *(each for columns in known.values() for each in columns)])
        duck.progress("staging the columns that previews read; the next run is faster")
        path = self.folder / f"{identity}-{_digest(*everything)}.parquet"
        _write(duck, list(everything), path)
        path.with_suffix(".json").write_text(
            json.dumps({"version": VERSION, "columns": list(everything)}), "utf-8"
        )
        for old in known:
            _remove(old)
        self._shrink(keep=path)
        return path

    def _make_folder(self) -> None:
        """Only its owner reads it, and git does not see it: it is about people."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")

    def identity(self, files: Iterable[Path]) -> str:
        """The files by path, size and time: another export is another identity."""
        facts = [(str(file), file.stat()) for file in files]
        return _digest(str(VERSION), *(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in facts))

    def _known(self, identity: str) -> dict[Path, list[str]]:
        found: dict[Path, list[str]] = {}
        for path in self.folder.glob(f"{identity}-*.parquet"):
            try:
                data: Any = json.loads(path.with_suffix(".json").read_text("utf-8"))
                found[path] = [str(each) for each in data["columns"]]
            except (OSError, ValueError, KeyError, TypeError):
                _remove(path)
        return found

    def _shrink(self, keep: Path) -> None:
        """Removes the longest unused files until the rest fits."""
        files = sorted(self.folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in files:
            total += path.stat().st_size
            if total > self.largest and path != keep:
                _remove(path)


def always(schema: Schema) -> list[str]:
    """What nearly every preview reads, so that the next one finds it: time, day, name, session."""
    values = Values(DUCKDB, schema)
    found = [values.base("event_timestamp"), values.day(), values.base("event_name")]
    with suppress(PreviewError):
        found.append(values.session_id())
    return found


def _remove(path: Path) -> None:
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _write(duck: Duck, expressions: Sequence[str], path: Path) -> None:
    """Writes beside and renames: a file that is there is whole."""
    facts = Facts(Values(DUCKDB, duck.schema), Span(date.max))
    user, moment = DUCKDB.column("user_pseudo_id"), DUCKDB.column("event_timestamp")
    columns = [f"{each} AS {DUCKDB.identifier(name_of(each))}" for each in expressions]
    where = f"{user} IS NOT NULL AND {moment} IS NOT NULL"
    order = ", ".join([USER, moment, *facts.order_reads().values()])
    part = path.with_suffix(f".{os.getpid()}.part")
    duck.run(
        "CREATE OR REPLACE TEMP TABLE numbered AS SELECT who, CAST(ROW_NUMBER() OVER () AS UINTEGER) AS u "
        f"FROM (SELECT DISTINCT {user} AS who FROM {duck.table} WHERE {where})"
    )
    duck.run("SET preserve_insertion_order = true")
    try:
        duck.run(
            f"COPY (SELECT numbered.u AS {USER}, {', '.join(columns)} FROM {duck.table} AS events "
            f"JOIN numbered ON numbered.who = {user} WHERE {where} ORDER BY {order}) "
            f"TO {DUCKDB.text(str(part))} (FORMAT parquet, COMPRESSION zstd)"
        )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
        duck.run("SET preserve_insertion_order = false")
        duck.run("DROP TABLE IF EXISTS numbered")
