"""Audiences -> one SQL statement that counts the users of the export who would be members. Pure.

Rules: a clause is a condition on a user (scopes.py, sequence.py); all INCLUDE clauses have to hold and the
latest completing event has to lie within the membership; EXCLUDE clauses take users out by their mode.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from audiencesync.canonical import canonical
from audiencesync.errors import PreviewError
from audiencesync.fields import ClauseType, ExclusionMode
from audiencesync.model import SimpleFilter
from audiencesync.sql.columns import FULL, Schema
from audiencesync.sql.dialect import DIALECTS, Dialect
from audiencesync.sql.facts import Facts, Span
from audiencesync.sql.readings import DEFAULT, Readings
from audiencesync.sql.scopes import Held, simple
from audiencesync.sql.sequence import sequence
from audiencesync.sql.values import Values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from audiencesync.model import Audience, Clause

FIRST_DAY = date(2014, 1, 1)
"""No event export is older."""
SHIFT = 2
"""By so many days a later event's day may be earlier: those of a property whose time zone was changed."""


@dataclass(frozen=True, slots=True)
class Export:
    """Where the events are, as the statement says it, and up to which day they count.

    `source` is what stands after FROM. `staged` maps the expressions that were computed before to the columns
    of the source that hold them. `position` is the source's own number of a row, where rows are in the order
    of users and their events.
    """

    dialect: str
    source: str
    as_of: date
    schema: Schema = FULL
    time_zone: str = "UTC"
    staged: Mapping[str, str] | None = None
    position: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One audience to count, under a name that the caller chooses, by one choice of readings."""

    name: str
    audience: Audience
    readings: Readings = DEFAULT


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; `refused` says why an audience is not in it, `caveats` what is only nearly so.

    `reads` are the expressions that it computes on the export's rows. `steps` say the same as `sql` to an
    engine that keeps tables from one statement to the next: a table that several queries read is made first.
    """

    sql: str
    refused: Mapping[str, str]
    caveats: Mapping[str, tuple[str, ...]]
    reads: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two audiences to compare: the names of entries, "" for none."""

    key: str
    before: str
    after: str


def parquet(*patterns: str, more: str = "") -> str:
    """DuckDB's source for Parquet files by path or glob; files are united by column name.

    A folder called event_date=2026-11-01 does not take the place of the file's own column.
    """
    listed = ", ".join(map(DIALECTS["duckdb"].text, patterns))
    files = listed if len(patterns) == 1 else f"[{listed}]"
    return f"read_parquet({files}, union_by_name = true, hive_partitioning = false{more})"


def wildcard(dataset: str, as_of: date, first: date = FIRST_DAY) -> str:
    """BigQuery's source for the daily tables of a dataset, intraday tables left out."""
    text = DIALECTS["bigquery"].text
    table = DIALECTS["bigquery"].identifier(f"{dataset}.events_*")
    days = f"{text(Span(first).day())} AND {text(Span(as_of).day())}"
    return f"(SELECT * FROM {table} WHERE _TABLE_SUFFIX BETWEEN {days})"


@dataclass(slots=True)
class _Compiled:
    facts: Facts
    members: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    caveats: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _facts(export: Export, dialect: Dialect) -> Facts:
    return Facts(Values(dialect, export.schema, export.time_zone), Span(export.as_of), export.position)


def _compile(entries: Iterable[Entry], export: Export) -> _Compiled:
    """Every audience as a condition on a row of facts; one that is refused leaves nothing behind."""
    dialect = DIALECTS[export.dialect]
    done = _Compiled(_facts(export, dialect))
    for entry in entries:
        alone = _facts(export, dialect)
        try:
            _, notes = _member(alone, entry)
        except PreviewError as error:
            done.refused[entry.name] = str(error)
            continue
        done.members[entry.name], _ = _member(done.facts, entry)
        done.caveats[entry.name] = (*notes, *alone.values.caveats)
    return done


def _clause(facts: Facts, clause: Clause, readings: Readings, since: int) -> Held:
    if isinstance(clause.filter, SimpleFilter):
        return simple(facts, clause.filter, readings, since)
    return sequence(facts, clause.filter, readings)


def _member(facts: Facts, entry: Entry) -> tuple[str, tuple[str, ...]]:
    """The condition that a user is a member, and the notes on it."""
    audience = canonical(entry.audience)
    day = facts.span.before(audience.membership_duration_days)
    since = facts.span.before(audience.membership_duration_days + SHIFT)
    held = [(clause.type, _clause(facts, clause, entry.readings, since)) for clause in audience.clauses]
    includes = [each for kind, each in held if kind is ClauseType.INCLUDE]
    excludes = [each for kind, each in held if kind is ClauseType.EXCLUDE]
    if not includes:
        return "FALSE", ("no INCLUDE clause: nobody is let in",)
    fresh = [each.fresh(day) for each in includes]
    renewed = " AND ".join(fresh) if entry.readings.renew_all else " OR ".join(dict.fromkeys(fresh))
    conditions = [f"({each.holds})" for each in includes] + [f"({renewed})"]
    out = [_excluded(each, includes, audience.exclusion_mode) for each in excludes]
    conditions += [f"({condition}) IS NOT TRUE" for condition, _ in out]
    notes = dict.fromkeys(note for _, note in out if note)
    return " AND ".join(dict.fromkeys(conditions)), tuple(notes)


_HOLDS_NOW = "{} is read as: it holds now"


def _excluded(clause: Held, includes: Sequence[Held], mode: ExclusionMode | None) -> tuple[str, str]:
    """The condition that an EXCLUDE clause keeps the user out, and a note on it or ""."""
    if mode is None:
        raise PreviewError("an EXCLUDE clause without exclusionDurationMode: what it does is undocumented")
    if mode is ExclusionMode.PERMANENTLY:
        passing = "EXCLUDE_PERMANENTLY with a condition that can cease to hold"
        return clause.holds, _HOLDS_NOW.format(passing) if clause.dynamic else ""
    if clause.dynamic:
        return clause.holds, ""
    if clause.counted:
        return clause.holds, _HOLDS_NOW.format("EXCLUDE_TEMPORARILY with eventCount at any point in time")
    times = [f"COALESCE({each.latest()}, -1)" for each in includes]
    latest = times[0] if len(times) == 1 else f"GREATEST({', '.join(times)})"
    return f"({clause.holds}) AND {clause.latest()} >= {latest}", ""


def _statement(done: _Compiled, export: Export, last: Sequence[tuple[str, str]], final: str) -> Statement:
    """The named queries, one row a user with a0.., and what is asked of them."""
    facts = done.facts
    queries = facts.queries(export.source, export.staged)
    flags = ",\n    ".join(
        f"CASE WHEN {condition} THEN 1 ELSE 0 END AS a{index}"
        for index, condition in enumerate(done.members.values())
    )
    base, *others = facts.tables()
    joined = base + "".join(f"\n  LEFT JOIN {other} ON {other}.u = {base}.u" for other in others)
    queries.append(("flags", f"  SELECT\n    {base}.u,\n    {flags}\n  FROM {joined}"))
    queries += last
    return Statement(
        _written(facts.dialect, queries, final),
        done.refused,
        done.caveats,
        tuple(facts.reads().values()),
        _steps(facts.dialect, queries, final),
    )


def _written(dialect: Dialect, queries: Sequence[tuple[str, str]], final: str) -> str:
    written = [
        f"{name} AS {dialect.materialized if _uses(name, queries) > 1 else ''}(\n{query}\n)"
        for name, query in queries
    ]
    return "WITH " + ",\n".join(written) + f"\n{final}\n"


def _uses(name: str, queries: Iterable[tuple[str, str]]) -> int:
    return sum(query.count(f"FROM {name}\n") + query.endswith(f"FROM {name}") for _, query in queries)


_MANY_USES = 3
"""From so many readers on, a table is worth its making."""


def _steps(dialect: Dialect, queries: Sequence[tuple[str, str]], final: str) -> tuple[str, ...]:
    if not dialect.kept or _uses("ev", queries) < _MANY_USES:
        return (_written(dialect, queries, final),)
    split = [name for name, _ in queries].index("ev") + 1
    made = dialect.kept.format("ev") + _written(dialect, queries[:split], "SELECT * FROM ev")
    return made, _written(dialect, queries[split:], final)


def compile_statement(entries: Sequence[Entry], export: Export) -> Statement:
    """The statement that gives one row an audience: key, users.

    An audience that cannot be previewed is left out and stands in `refused`; where none is left the
    statement's text is empty.
    """
    done = _compile(entries, export)
    if not done.members:
        return Statement("", done.refused, done.caveats)
    dialect = done.facts.dialect
    sums = ", ".join(f"SUM(a{index}) AS n{index}" for index in range(len(done.members)))
    rows = [(dialect.text(name), f"COALESCE(n{index}, 0)") for index, name in enumerate(done.members)]
    totals = [("totals", f"  SELECT {sums}\n  FROM flags")]
    return _statement(done, export, totals, dialect.rows(("key", "users"), rows, "totals"))


def compile_comparison(entries: Sequence[Entry], pairs: Sequence[Pair], export: Export) -> Statement:
    """The statement that gives one row a pair: key, before, after, gained, lost.

    An audience that is refused, or none, counts as NULL; gained and lost are NULL unless both are counted.
    """
    done = _compile(entries, export)
    if not done.members:
        return Statement("", done.refused, done.caveats)
    dialect = done.facts.dialect
    columns = {name: f"a{index}" for index, name in enumerate(done.members)}
    null = f"CAST(NULL AS {dialect.int_type})"
    sums: list[str] = []
    rows: list[tuple[str, ...]] = []
    for index, pair in enumerate(pairs):
        before, after = columns.get(pair.before), columns.get(pair.after)
        wanted = {"b": before, "a": after}
        if before and after:
            wanted |= {"g": f"{after} * (1 - {before})", "l": f"{before} * (1 - {after})"}
        values = {}
        for what, sql in wanted.items():
            if sql:
                sums.append(f"SUM({sql}) AS {what}{index}")
                values[what] = f"COALESCE({what}{index}, 0)"
        rows.append((dialect.text(pair.key), *(values.get(what, null) for what in "bagl")))
    if not sums:
        return Statement("", done.refused, done.caveats)
    totals = [("totals", f"  SELECT {', '.join(sums)}\n  FROM flags")]
    names = ("key", "users_before", "users_after", "gained", "lost")
    return _statement(done, export, totals, dialect.rows(names, rows, "totals"))


def compile_flags(entries: Sequence[Entry], export: Export) -> Statement:
    """The statement that gives one row a user: u, then 1 or 0 under a0, a1, ... for each audience.

    Refused audiences have no column; the others keep their order. Users in no audience may be left out.
    """
    done = _compile(entries, export)
    if not done.members:
        return Statement("", done.refused, done.caveats)
    return _statement(done, export, [], "SELECT * FROM flags")
