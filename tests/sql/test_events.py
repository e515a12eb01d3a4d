"""The table of field names: what is in it, and that each expression runs in DuckDB over the full schema."""

import re
from collections import Counter
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiencesync.errors import PreviewError
from audiencesync.sql import dialect, events
from audiencesync.sql.columns import FULL, Schema
from audiencesync.sql.compile import Entry, Export, compile_statement
from audiencesync.sql.dialect import DUCKDB
from audiencesync.sql.events import FIELDS, Level, Status
from audiencesync.sql.values import Values
from audiencesync.wire import from_api
from tests.sql import cases, emulated
from tests.sql.written import event, one_event

CUSTOM = ("customEvent:x", "customUser:x", "customItem:x")


def test_the_table_has_176_names_with_the_custom_ones() -> None:
    found = [*FIELDS.values(), *(field for name in CUSTOM if (field := events.custom(name)))]
    assert Counter(field.status for field in found) == {
        Status.EXACT: 117,
        Status.DERIVED: 26,
        Status.APPROXIMATE: 13,
        Status.REFUSED: 20,
    }
    assert len(FIELDS) + len(CUSTOM) == 176


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_has_an_expression_or_a_reason(name: str) -> None:
    field = FIELDS[name]
    assert field.name == name
    if field.expression is None:
        assert field.note or name == "eventCount"
    if field.status is Status.APPROXIMATE and field.level is not Level.METRIC:
        assert field.note, "an approximate field has a caveat"


@pytest.mark.parametrize("name", ["customEvent:", "customer:x", "x", "", "customEvent"])
def test_a_name_that_nobody_knows_is_none(name: str) -> None:
    assert events.find(name) is None


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("country", events.Param("country")),
        ("itemName", events.ItemColumn("item_name")),
        ("pagePath", FIELDS["pagePath"].expression),
        ("value", events.Param("value")),
        ("customUser:plan", events.UserProperty("plan")),
        ("customEvent:value", events.Param("value")),
        ("method", events.Param("method")),
    ],
)
def test_inside_an_event_filter_a_bare_name_is_a_parameter(name: str, expression: object) -> None:
    assert events.find_parameter(name).expression == expression


def duckdb_empty() -> str:
    """The full schema as a source without rows, in DuckDB's types."""
    source = emulated.empty(FULL)
    for old, new in (("STRING", "VARCHAR"), ("INT64", "BIGINT"), ("FLOAT64", "DOUBLE"), ("BOOL", "BOOLEAN")):
        source = source.replace(old, new)
    while "<" in source:
        start = max(source.rfind("ARRAY<"), source.rfind("STRUCT<"))
        end = source.index(">", start)
        inner = source[source.index("<", start) + 1 : end]
        made = f"{inner}[]" if source[start:].startswith("ARRAY") else f"STRUCT({inner})"
        source = source[:start] + made + source[end + 1 :]
    return source


def test_every_field_runs_in_duckdb_as_text_and_as_number() -> None:
    names = [*(name for name, field in FIELDS.items() if field.expression is not None), *CUSTOM]
    number = {"numericFilter": {"operation": "EQUAL", "value": {"int64Value": "1"}}}
    text = {"stringFilter": {"matchType": "CONTAINS", "value": "a"}}
    entries = [
        Entry(f"{name} {kind}", from_api(one_event({"fieldName": name, **condition})))
        for name in names
        for kind, condition in (("number", number), ("text", text))
    ]
    export = Export("duckdb", duckdb_empty(), cases.AS_OF, FULL, "Europe/Berlin")
    statement = compile_statement(entries, export)
    assert not statement.refused
    with duckdb.connect() as connection:
        rows = connection.execute(statement.sql).fetchall()
    assert [key for key, _ in rows] == [entry.name for entry in entries]


@pytest.mark.parametrize(
    ("name", "value", "row"),
    [
        ("hour", "13", {}),
        ("minute", "0", {}),
        ("dateHour", "2024031013", {}),
        ("dayOfWeek", "0", {}),
        ("month", "3", {}),
        ("year", "2024", {}),
        ("date", "20240310", {}),
        ("firstSessionDate", "20240310", {"user_first_touch_timestamp": 1710111600000000 - 3600000000}),
        ("newVsReturning", "new", {"params": {"ga_session_number": 1}}),
        ("newVsReturning", "returning", {"params": {"ga_session_number": 2}}),
        ("pagePath", "/a/b", {"params": {"page_location": "https://x.example/a/b?c#d"}}),
        ("pagePath", "", {"params": {"page_location": "https://x.example"}}),
        ("pagePathPlusQueryString", "/a?c", {"params": {"page_location": "https://x.example/a?c#d"}}),
        ("fullPageUrl", "x.example/a?c", {"params": {"page_location": "https://x.example/a?c#d"}}),
        ("hostName", "x.example", {"params": {"page_location": "https://x.example:80/a"}}),
        ("unifiedScreenName", "Home", {"params": {"page_title": "Home"}}),
        ("customEvent:n", "7", {"params": {"n": 7}}),
        ("customEvent:n", "7", {"params": {"n": 7.0}}),
        ("customEvent:n", "7.5", {"params": {"n": 7.5}}),
        ("signedInWithUserId", "(not set)", {}),
    ],
)
def test_a_value_reads_as_the_table_says(tmp_path: Any, name: str, value: str, row: dict[str, Any]) -> None:
    condition = {"stringFilter": {"matchType": "EXACT", "value": value, "caseSensitive": True}}
    with duckdb.connect() as connection:
        cases.load(connection, [event("u", "a", **row)], tmp_path)
        export = Export("duckdb", "events", cases.AS_OF, cases.schema(), "Europe/Berlin")
        entry = Entry("k", from_api(one_event({"fieldName": name, **condition})))
        statement = compile_statement([entry], export)
        assert connection.execute(statement.sql).fetchall() == [("k", 1)], statement.sql


URL = st.lists(
    st.sampled_from(["http", "https", "://", ":", "/", "//", "?", "#", "a", "é", "\n", "x.example"]),
    max_size=9,
).map("".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(URL, URL.map("https://".__add__)), max_size=40))
def test_both_dialects_cut_urls_alike(urls: list[str]) -> None:
    with duckdb.connect() as connection:
        for part, pattern in dialect._URL_PARTS.items():
            sql = f"SELECT list_transform($1::VARCHAR[], lambda url: {DUCKDB.url_part('url', part)})"
            (found,) = connection.execute(sql, [[*urls, None]]).fetchall()[0]
            matches = [re.search(pattern, url) for url in urls]
            assert found == [*(match[1] if match else None for match in matches), None], part


def test_missing_parts_of_a_coalesce_are_dropped_and_all_missing_refused() -> None:
    browser = FIELDS["browser"]
    some = Schema({"device": "record", "device.browser": "text"})
    assert Values(DUCKDB, some)._column(browser, number=False).sql == "f0"
    with pytest.raises(PreviewError, match=r"device\.web_info\.browser or the column device\.browser"):
        Values(DUCKDB, Schema({}))._column(browser, number=False)


def test_the_channel_group_follows_the_rules() -> None:
    expected = {
        ("google", "cpc"): "Paid Search",
        ("google", "organic"): "Organic Search",
        ("(direct)", "(none)"): "Direct",
        ("newsletter", "email"): "Email",
        ("facebook.com", "referral"): "Organic Social",
        ("blog.example", "referral"): "Referral",
        ("x", "y"): "Unassigned",
    }
    connection = duckdb.connect()
    values = Values(
        DUCKDB, Schema({f"traffic_source.{name}": "text" for name in ("source", "medium", "name")})
    )
    values._column(FIELDS["firstUserDefaultChannelGroup"], number=False)
    for (source, medium), group in expected.items():
        record = f"{{source: '{source}', medium: '{medium}', name: NULL::VARCHAR}}"
        sql = f"SELECT {values.columns['f0']} FROM (SELECT {record} AS traffic_source)"
        assert connection.execute(sql).fetchall() == [(group,)], (source, medium)
    connection.close()
