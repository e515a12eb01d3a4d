"""Runs previews: how many users of the event export an audience would hold, before and after a change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from audiencesync.errors import PreviewError, UsageError
from audiencesync.sql.columns import FULL
from audiencesync.sql.compile import (
    Entry,
    Export,
    Statement,
    compile_comparison,
    compile_flags,
    compile_statement,
    parquet,
    wildcard,
)
from audiencesync.sql.dialect import DIALECTS, DUCKDB, Typed
from audiencesync.sql.facts import Facts, Span
from audiencesync.sql.preview.calibrate import Calibration, calibrate
from audiencesync.sql.preview.estimates import Counts
from audiencesync.sql.preview.records import (
    FEW,
    REASONS,
    SENTENCE,
    Comparison,
    Engine,
    Estimate,
    Progress,
    Report,
    Row,
    paired,
    silent,
)
from audiencesync.sql.values import Values

if TYPE_CHECKING:
    from audiencesync.model import Audience
    from audiencesync.settings import Events

__all__ = [
    "FEW",
    "REASONS",
    "SENTENCE",
    "Calibration",
    "Comparison",
    "Estimate",
    "Report",
    "calibrate",
    "events_at",
    "members",
    "paired",
    "preview",
    "statement",
]

SETTLED = timedelta(days=3)
"""Daily tables change for three days."""
NOT_SET = "(not set)"


def events_at(path: str) -> Events:
    """The event source that a path on the command line names: a DuckDB file, Parquet files or a folder.

    A file says itself which it is, and its name where there is none.
    """
    from audiencesync.settings import Events
    from audiencesync.sql.preview import files

    named = path.lower().endswith((".duckdb", ".db", ".ddb"))
    with suppress(OSError):
        file = Path(path)
        named = files.is_duckdb(file) or (named and not files.is_parquet(file))
    return Events(duckdb=path) if named else Events(parquet=path)


def open_engine(
    source: Events, base_dir: Path, *, cache_dir: Path | None = None, progress: Progress = silent
) -> Engine:
    """Opens what the settings name; the caller closes it."""
    if source.bigquery:
        from audiencesync.sql.preview import big

        return big.open_source(source, progress=progress)
    if not (source.parquet or source.duckdb):
        raise UsageError("no event export: set `events` in the settings, or give --events PATH")
    from audiencesync.sql.preview import duck
    from audiencesync.sql.preview.stage import Cache

    cache = Cache(cache_dir) if cache_dir else None
    return duck.open_source(source, base_dir, cache=cache, progress=progress)


def default_as_of(today: date, newest: date | None) -> date:
    """The earlier of three days ago and the newest day in the data, where that is known."""
    settled = today - SETTLED
    return min(settled, newest) if newest else settled


def preview(  # noqa: PLR0913 - what one run is made of
    requests: Sequence[Comparison],
    source: Events,
    *,
    as_of: date | None = None,
    today: date,
    base_dir: Path,
    cache_dir: Path | None = None,
    band: bool = False,
    progress: Progress = silent,
) -> Report:
    """Counts the users of each request's definitions in one pass over the events.

    `as_of` defaults to the earlier of three days before `today` and the newest day in the data; `base_dir` is
    the settings' folder. Errors: PreviewError where the source cannot be read, UsageError without one.
    """
    engine = open_engine(source, base_dir, cache_dir=cache_dir, progress=progress)
    try:
        day = as_of or default_as_of(today, engine.extent.last)
        counts = Counts(requests, band=band)
        export = Export(engine.name, engine.source(day), day, engine.schema, source.time_zone)
        statement_ = engine.prepare(partial(compile_comparison, counts.entries, counts.pairs), export)
        rows: Sequence[Row] = ()
        if statement_.sql:
            progress(f"counting {len(requests)} audience{'s' if len(requests) != 1 else ''}")
            rows = engine.count(statement_)
        estimates = counts.estimates(rows, statement_, day, engine.extent)
        return Report(
            as_of=day,
            engine=engine.name,
            window=(engine.extent.first, engine.extent.last),
            estimates=estimates,
            rows=engine.extent.rows,
            bytes_billed=engine.bytes_billed,
        )
    finally:
        engine.close()


def statement(  # noqa: PLR0913 - what one text is made of
    audiences: Sequence[tuple[str, Audience]],
    source: Events,
    dialect: str,
    *,
    as_of: date | None,
    today: date,
    base_dir: Path,
    progress: Progress = silent,
) -> Statement:
    """The statement that `preview --sql` prints: self-contained, one row an audience with key and users.

    Nothing leaves this machine. For BigQuery the full current export schema is taken; for DuckDB that of the
    files where they can be read, and the full one where they are not there, which `progress` says.
    """
    entries = [Entry(key, audience) for key, audience in audiences]
    if dialect == "bigquery":
        day = as_of or default_as_of(today, None)
        dataset = source.bigquery
        if not dataset:
            raise UsageError("no BigQuery dataset: set `events: {bigquery: project.dataset}` in the settings")
        export = Export("bigquery", wildcard(dataset, day), day, FULL, source.time_zone)
        return compile_statement(entries, export)
    if not (source.parquet or source.duckdb):
        raise UsageError("no Parquet or DuckDB events: set `events` in the settings, or give --events PATH")
    found = compile_statement(entries, _local_export(source, as_of, today, base_dir, progress))
    if not (source.duckdb and found.sql):
        return found
    file = DUCKDB.text(str((base_dir / source.duckdb).absolute()))
    return replace(found, sql=f"-- For the DuckDB file {file}\n{found.sql}")


def _local_export(
    source: Events, as_of: date | None, today: date, base_dir: Path, progress: Progress
) -> Export:
    """The export on this machine; a glob stays one where it can, so that the printed text is short."""
    from audiencesync.sql.preview import duck, files

    path = base_dir / (source.parquet or source.duckdb)
    with files.reading(path):
        pattern = files.pattern_of(source.parquet, base_dir)
        found = _holds_something(source, base_dir)
    table = parquet(pattern) if source.parquet else DUCKDB.column(source.table)
    if not found:
        progress(f"nothing is at {path} yet: the statement takes GA4's full schema")
        return Export("duckdb", table, as_of or default_as_of(today, None), FULL, source.time_zone)
    engine = duck.open_source(source, base_dir, progress=progress)
    try:
        day = as_of or default_as_of(today, engine.extent.last)
        if engine.files:
            table = files.shortest(engine.connection, pattern, engine.files)
        return Export("duckdb", table, day, engine.schema, source.time_zone)
    finally:
        engine.close()


def _holds_something(source: Events, base_dir: Path) -> bool:
    """Whether there is a file, be it in a subfolder alone: opening that one fails and says the way out."""
    from audiencesync.sql.preview import files

    if not source.parquet:
        return (base_dir / source.duckdb).is_file()
    return bool(files.parquet_files(source.parquet, base_dir)) or any(
        files.left_out(source.parquet, base_dir)
    )


def members(
    audience: Audience,
    source: Events,
    *,
    base_dir: Path,
    as_of: date | None = None,
    today: date | None = None,
    cache_dir: Path | None = None,
) -> Iterator[tuple[str, str, str, str]]:
    """The members of one audience, in settings.EXPORT_DIMENSIONS' four columns.

    They come in the order of their deviceId; the last two are true, false or (not set), as in GA4's audience
    exports. Errors: PreviewError, also where the audience cannot be previewed.
    """
    engine = open_engine(source, base_dir, cache_dir=cache_dir)
    try:
        day = as_of or default_as_of(today or datetime.now(tz=UTC).date(), engine.extent.last)
        export = Export(engine.name, engine.source(day), day, engine.schema, source.time_zone)
        found = compile_flags([Entry("member", audience)], export)
        if not found.sql:
            raise PreviewError(f"its members cannot be evaluated: {found.refused['member']}")
        rows = engine.run(_member_rows(found.sql, export))
    finally:
        engine.close()
    for row in rows:
        yield (
            str(row["u"]),
            str(row["id"] or ""),
            _flag(row["ads"]),
            _flag(row["lat"]),
        )


def _member_rows(flags: str, export: Export) -> str:
    """The members with the latest known value of each dimension."""
    dialect, schema = DIALECTS[export.dialect], export.schema
    columns = {"id": "user_id", "ads": "privacy_info.ads_storage", "lat": "device.is_limited_ad_tracking"}

    def text(path: str) -> str:
        return dialect.as_text(Typed(dialect.column(path), schema.kind(path)))

    facts = Facts(Values(dialect, schema), Span(export.as_of))
    order = ["event_timestamp", *facts.order_reads().values()]
    wanted = [
        f"{dialect.last(text(path), order)} AS {name}"
        if schema.has(path)
        else f"CAST(NULL AS {dialect.text_type}) AS {name}"
        for name, path in columns.items()
    ]
    user = text("user_pseudo_id")
    return (
        f"SELECT members.u AS u, {', '.join(wanted)}\n"
        f"FROM (SELECT u FROM (\n{flags}) AS flagged WHERE a0 = 1) AS members\n"
        f"JOIN {export.source} AS events ON {user} = members.u\n"
        f"WHERE {text('event_date')} <= "
        f"{dialect.text(Span(export.as_of).day())}\n"
        "GROUP BY members.u\nORDER BY members.u"
    )


def _flag(value: object) -> str:
    return {"yes": "true", "true": "true", "no": "false", "false": "false"}.get(str(value).lower(), NOT_SET)
