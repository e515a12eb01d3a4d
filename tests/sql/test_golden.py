"""The statement of each construct, in both dialects, as golden files: a change of the text is a decision."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audiencesync.sql.columns import FULL
from audiencesync.sql.compile import Entry, Export, compile_statement, parquet, wildcard
from audiencesync.wire import from_api
from tests.sql import cases
from tests.sql.cases import ALL, EVENT, SESSION
from tests.sql.written import body, count, named, simple, step, steps, text

A, B, C = ([named(name)] for name in ("page_view", "add_to_cart", "purchase"))
NEAR = {"inListFilter": {"values": ["DE", "AT"]}, "fieldName": "country"}
CONSTRUCTS: dict[str, dict[str, Any]] = {
    "same-event": body(simple(EVENT, C, [text("country", "Peru"), text("city", "^L.*", "FULL_REGEXP")])),
    "same-session": body(simple(SESSION, A, [named("add_to_cart", text("method", "card"))])),
    "across-static": body(simple(ALL, A, [text("country", "Peru", atAnyPointInTime=True)])),
    "across-dynamic": body(simple(ALL, [{"dimensionOrMetricFilter": NEAR}])),
    "not": body(simple(EVENT, [{"notExpression": text("itemBrand", "Acme")}])),
    "count-dynamic": body(simple(ALL, [named("purchase", count("GREATER_THAN", 2, inAnyNDayPeriod=7))])),
    "count-any-days": body(
        simple(ALL, [named("purchase", count("EQUAL", 2, inAnyNDayPeriod=7, atAnyPointInTime=True))])
    ),
    "count-prefix": body(simple(ALL, [named("purchase", count("EQUAL", 2, atAnyPointInTime=True))])),
    "sequence": body(steps(ALL, step(A), step(B, within="600s"), step(C), longest="3600s")),
    "sequence-session-next": body(steps(SESSION, step(A), step(B, immediately=True))),
    "sequence-groups": body(steps(ALL, step(A), step(B, C, scope=SESSION))),
    "exclude-temporarily": body(simple(EVENT, B), simple(EVENT, C, kind="EXCLUDE"), days=30),
    "exclude-permanently": body(
        simple(EVENT, B), simple(EVENT, C, kind="EXCLUDE"), mode="EXCLUDE_PERMANENTLY"
    ),
    "session-field": body(simple(EVENT, [text("sessionSource", "google")], [text("landingPage", "/a")])),
    "items": body(simple(EVENT, [text("itemName", "Mug"), text("customItem:size", "XL")])),
    "custom": body(simple(EVENT, [text("customUser:plan", "gold")], [text("hour", "5")])),
}


@pytest.mark.parametrize("dialect", ["duckdb", "bigquery"])
@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_the_statement_is_the_golden_one(
    golden: Callable[[str | Path, str], None], construct: str, dialect: str
) -> None:
    source = parquet("events/*.parquet") if dialect == "duckdb" else wildcard("acme.analytics_1", cases.AS_OF)
    export = Export(dialect, source, cases.AS_OF, FULL, "Europe/Berlin")
    statement = compile_statement([Entry(construct, from_api(CONSTRUCTS[construct]))], export)
    assert not statement.refused
    golden(f"sql/{construct}.{dialect}.sql", statement.sql)
