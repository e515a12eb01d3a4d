"""A compiler with one mistake is noticed: each mutant changes the text of the SQL, random cases find it."""

import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from audiencesync.sql.compile import Entry, Export, compile_flags
from audiencesync.wire import from_api
from tests.sql import brute, cases
from tests.sql.cases import ALL, EVENT, SESSION, Json
from tests.sql.test_against_brute import run
from tests.sql.written import body, count, named, simple, step, steps, text

MUTANTS: dict[str, tuple[str, str | Callable[[re.Match[str]], str]]] = {
    "RANGE in place of ROWS": (
        r"ORDER BY ts, [^)]*?ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
        "ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    ),
    "the current event precedes itself": (r"AND 1 PRECEDING", "AND CURRENT ROW"),
    "the first start in place of the latest": (r"MAX\((x\d+)\) OVER", r"MIN(\1) OVER"),
    "a constraint without its end": (r"(ts - \S+) <= (\d+)", r"\1 < \2"),
    "no constraint at all": (r" AND ts - b\d+(?:_\d+)? <= \d+", ""),
    "any group in place of all": (r"LEAST\(", "GREATEST("),
    "any earlier event in place of the one before": (r"(p\d+) = (p[us]) - 1", r"\1 <= \2 - 1"),
    "sessions of all users": (r"PARTITION BY u, s ", "PARTITION BY s "),
    "a session field cut off at its event": (r"AND UNBOUNDED FOLLOWING", "AND CURRENT ROW"),
    "some group of a session in place of all": (
        r"\(h0 & (\d+)\) = \1 AND \(h0 & \d+\) = \d+",
        r"(h0 & \1) = \1",
    ),
    "membership with one more day": (r"d > (\d+)(?= THEN m\d)", r"d >= \1"),
    "a dynamic count with one more day": (r"d > (\d+)(?= AND \(m)", r"d >= \1"),
    "a value left out on its own events": (
        r"\"event_name\" IN (\('\w+'\)) THEN",
        r'"event_name" NOT IN \1 THEN',
    ),
    "no order of equal times": (r"ROW\(ts, [^)]*\)", "ROW(ts, 0)"),
    "the first event in place of the last": (r"arg_max\((m\d+)", r"arg_min(\1"),
    "NULL is not": (r"\) IS NOT TRUE", ") IS FALSE"),
    "case counts always": (r"LOWER\(", "TRIM("),
    "a part in place of the whole": (r"regexp_full_match\(", "regexp_matches("),
    "exclusion before the tie": (r"(t|v\d+|u\d+) >= (COALESCE|GREATEST)", r"\1 > \2"),
    "no exclusion": (r"\(\([^()]*(?:\([^()]*\)[^()]*)*\)[^()]*\) IS NOT TRUE(?=\s+THEN)", "TRUE"),
    "a window of one more day": (r"RANGE BETWEEN (\d+) PRECEDING", r"RANGE BETWEEN 1\1 PRECEDING"),
    "events after the day": (r'"event_date" <= \'\d+\'', "TRUE"),
    "events without a session have one": (r"s IS NOT NULL AND ", ""),
    "items in place of some item": (r"\)\) > 0, FALSE\)", ")) = len(items), FALSE)"),
    "parameters of one type": (r"CAST\(list_filter[^\n]*?\['int_value'\] AS VARCHAR\)", "NULL"),
}


def some_days(number: int, days: int) -> Json:
    """So many events in some days."""
    return count("EQUAL", number, inAnyNDayPeriod=days, atAnyPointInTime=True)


A, B, C = ([named(name)] for name in cases.NAMES[:3])
SELDOM = [
    *(body(steps(ALL, step(A), step(B, C, scope=scope, within="86400s"))) for scope in (ALL, SESSION)),
    *(body(steps(ALL, step(A), step(B, C, scope=scope, within="20s"))) for scope in (ALL, SESSION)),
    *(body(simple(ALL, [named("page_view", some_days(number, 1))])) for number in (1, 2)),
    *(body(simple(ALL, [named("page_view", some_days(number, 3))])) for number in (1, 2)),
    *(body(simple(EVENT, A, [text("landingPage", page)])) for page in ("/a", "/")),
]  # fmt: skip
"""What the random audiences hold too seldom for a few batches."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> "list[Prepared]":
    return [Prepared(seed, tmp_path_factory.mktemp("rows")) for seed in range(3)]


class Prepared:
    """One batch of cases with what trying everything gives."""

    def __init__(self, seed: int, folder: Path) -> None:
        chance = cases.Chance(600 + seed)
        rows = [row for number in range(6) for row in chance.population(14, f"p{number}")]
        bodies = [*SELDOM, *(chance.audience() for _ in range(36))]
        self.connection = duckdb.connect()
        cases.load(self.connection, rows, folder)
        entries = [Entry(f"a{number}", from_api(body)) for number, body in enumerate(bodies)]
        export = Export("duckdb", "events", cases.AS_OF, cases.schema())
        self.statement = compile_flags(entries, export)
        users = brute.users_of(rows, cases.AS_OF)
        self.keys = [entry.name for entry in entries if entry.name not in self.statement.refused]
        self.expected = {key: brute.members(bodies[int(key[1:])], users) for key in self.keys}

    def holds(self, sql: str) -> bool:
        """Whether a statement gives the expected members."""
        return run(self.connection, sql, self.keys) == self.expected


def test_the_compiler_itself_survives(prepared: list[Prepared]) -> None:
    assert all(each.holds(each.statement.sql) for each in prepared)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_dies(prepared: list[Prepared], mutant: str) -> None:
    pattern, replacement = MUTANTS[mutant]
    changed = [re.subn(pattern, replacement, each.statement.sql) for each in prepared]
    assert any(count for _, count in changed), "the mutant changes nothing"
    assert any(count and not each.holds(sql) for each, (sql, count) in zip(prepared, changed, strict=True)), (
        "no case notices"
    )
