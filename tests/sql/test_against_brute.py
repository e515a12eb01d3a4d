"""The compiler against an evaluator that tries everything, on random audiences and populations."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import duckdb
import pytest

from audiencesync.sql.compile import Entry, Export, compile_flags
from audiencesync.sql.readings import Readings
from audiencesync.wire import from_api
from tests.sql import brute, cases
from tests.sql.written import body, named, step, steps

AUDIENCES, POPULATIONS, USERS = 40, 11, 13
"""Of one batch: every audience meets every population, and each meeting is one case."""
SWITCHES = ("last_set", "never", "reuse", "renew_all")


def compare(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    seed: int,
    readings: Readings | None = None,
    together: int = AUDIENCES,
) -> tuple[int, list[str]]:
    """Compile and run one batch, so many audiences in one statement: the number of cases, and what differs.

    What one audience needs is read for all of its statement, so few of them together are a case of its own.
    """
    chance = cases.Chance(seed)
    rows = [row for number in range(POPULATIONS) for row in chance.population(USERS, f"p{number}")]
    bodies = [chance.audience() for _ in range(AUDIENCES)]
    readings = readings or Readings()
    cases.load(connection, rows, folder)
    entries = [Entry(f"a{number}", from_api(body), readings) for number, body in enumerate(bodies)]
    rules, users = brute.Rules(**dataclasses.asdict(readings)), brute.users_of(rows, cases.AS_OF)
    decided, wrong = 0, []
    for start in range(0, AUDIENCES, together):
        some = entries[start : start + together]
        statement = compile_flags(some, Export("duckdb", "events", cases.AS_OF, cases.schema()))
        keys = [entry.name for entry in some if entry.name not in statement.refused]
        assert all("interleave" in reason for reason in statement.refused.values())
        if not keys:
            continue
        found = run(connection, statement.sql, keys)
        for first in statement.steps[:-1]:
            connection.execute(first)
        assert run(connection, statement.steps[-1], keys) == found
        for key, members in found.items():
            each = bodies[int(key[1:])]
            if members != (expected := brute.members(each, users, rules)):
                wrong.append(f"seed {seed}, {key}: differs in {sorted(members ^ expected)}: {each}")
        decided += len(keys) * POPULATIONS
    return decided, wrong


def run(connection: duckdb.DuckDBPyConnection, sql: str, keys: list[str]) -> dict[str, set[Any]]:
    """The members of each audience."""
    rows = connection.execute(sql).fetchall()
    return {key: {row[0] for row in rows if row[1 + index]} for index, key in enumerate(keys)}


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    found = duckdb.connect()
    found.execute("SET threads = 2")
    return found


def test_random_audiences_have_the_members_that_trying_everything_gives(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    decided = 0
    for seed, together in zip(range(12), itertools.cycle((AUDIENCES, 1, 4)), strict=False):
        count, wrong = compare(connection, tmp_path, seed, together=together)
        assert not wrong, wrong[0]
        decided += count
    assert decided >= 5000


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_reading_is_what_trying_everything_gives(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, switch: str
) -> None:
    _, wrong = compare(connection, tmp_path, 1000, Readings(**{switch: True}))
    assert not wrong, wrong[0]


@pytest.mark.parametrize("scope", [cases.ALL, cases.SESSION])
@pytest.mark.parametrize("kind", ["plain", "groups", "immediately"])
def test_sequences_that_differ_in_their_limits_alone_do_not_disturb_each_other(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, scope: str, kind: str
) -> None:
    rows = [row for number in range(40) for row in cases.Chance(number).population(USERS, f"p{number}")]
    cases.load(connection, rows, tmp_path)
    names = sorted({row["event_name"] for row in rows if row["event_name"]})[:3]
    first, second, third = ([named(name)] for name in names)
    middle = (second, [*second, *third]) if kind == "groups" else (second,)
    bodies = [
        body(
            steps(
                scope,
                step(first),
                step(*middle, within=within, immediately=kind == "immediately", scope=cases.ALL),
                step(first, within=last),
                longest=longest,
            )
        )
        for within, last, longest in itertools.product(("", "20s", "600s"), ("", "60s"), ("", "30s", "900s"))
    ]
    entries = [Entry(str(number), from_api(each)) for number, each in enumerate(bodies)]
    statement = compile_flags(entries, Export("duckdb", "events", cases.AS_OF, cases.schema()))
    assert "q0_1 AS" in statement.sql
    assert "q1_1 AS" not in statement.sql
    assert not statement.refused
    found = run(connection, statement.sql, [entry.name for entry in entries])
    users = brute.users_of(rows, cases.AS_OF)
    expected = [brute.members(each, users) for each in bodies]
    assert list(found.values()) == expected
    assert len(set(map(frozenset, expected))) > 1
