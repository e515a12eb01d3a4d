"""GA4's JSON is read liberally, written strictly, and what cannot be said names its place."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync.canonical import canonical
from audiencesync.errors import UnrepresentableError
from audiencesync.fields import ENUMS, ClauseType, MatchType, Scope
from audiencesync.model import (
    AnyOf,
    Audience,
    Clause,
    EventFilter,
    FieldFilter,
    NumericFilter,
    SimpleFilter,
    StringFilter,
)
from audiencesync.wire import format_duration, from_api, parse_duration, to_api
from tests.strategies import audiences, messy


def a_leaf() -> dict[str, Any]:
    return {
        "dimensionOrMetricFilter": {
            "fieldName": "country",
            "stringFilter": {"matchType": "EXACT", "value": "Canada"},
        }
    }


def group(name: str, *items: object) -> dict[str, Any]:
    return {name: {"filterExpressions": list(items)}}


def ored(*items: object) -> dict[str, Any]:
    return group("andGroup", group("orGroup", *items))


def a_body(expression: object = None) -> dict[str, Any]:
    return {
        "displayName": "Canadians",
        "description": "All of them",
        "membershipDurationDays": 30,
        "filterClauses": [
            {
                "clauseType": "INCLUDE",
                "simpleFilter": {
                    "scope": "AUDIENCE_FILTER_SCOPE_WITHIN_SAME_EVENT",
                    "filterExpression": expression or group("andGroup", group("orGroup", a_leaf())),
                },
            }
        ],
    }


@given(audiences())
def test_reading_what_was_written_gives_the_same_audience(audience: Audience) -> None:
    plain = canonical(audience)
    assert from_api(to_api(plain)) == plain
    assert from_api(json.loads(json.dumps(to_api(audience)))) == audience


@given(audiences().flatmap(lambda one: st.tuples(st.just(one), messy(one))))
def test_every_way_of_writing_an_audience_is_read_as_the_same(pair: tuple[Audience, dict[str, Any]]) -> None:
    audience, data = pair
    before = json.dumps(data)
    assert canonical(from_api(data)) == canonical(audience)
    assert json.dumps(data) == before, "reading changes nothing"


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0s", 0),
        ("3.5s", 3_500_000_000),
        ("3.500s", 3_500_000_000),
        ("0.000000001s", 1),
        ("1800s", 1_800 * 10**9),
        ("315576000000s", 315_576_000_000 * 10**9),
        ("315576000000.000000001s", None),
        ("315576000001s", None),
        ("1.0000000001s", None),
        ("-1s", None),
        ("30m", None),
        ("30", None),
        (".5s", None),
        ("1.s", None),
        ("\u0661s", None),
        ("1s\n", None),
    ],
)
def test_a_duration_is_read(text: str, nanoseconds: int | None) -> None:
    assert parse_duration(text) == nanoseconds


@given(st.integers(0, 315_576_000_000 * 10**9))
def test_a_duration_survives_being_written(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (3_500_000_000, "3.500s"),
        (3_500_001_000, "3.500001s"),
        (1, "0.000000001s"),
        (60 * 10**9, "60s"),
    ],
)
def test_a_duration_is_written_as_google_does(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


@pytest.mark.parametrize("name", ENUMS)
def test_an_enum_is_read_by_word_and_by_number(name: str) -> None:
    kind = ENUMS[name]
    assert len(kind.numbers) == len(kind.docs) == len(list(kind.python))


def test_integer_enums_are_read() -> None:
    body = a_body()
    body["filterClauses"][0] |= {"clauseType": 1}
    body["filterClauses"][0]["simpleFilter"]["scope"] = 1
    assert from_api(body) == from_api(a_body())


BAD_NUMBER = {"numericFilter": {"operation": "EQUAL", "value": {"int64Value": "9223372036854775808"}}}
OPENING = ("filterClauses", 0, "simpleFilter", "filterExpression")
LEAF = (*OPENING, "andGroup", "filterExpressions", 0, "orGroup", "filterExpressions", 0)


def an_event(expression: object) -> dict[str, Any]:
    event = {"eventName": "purchase", "eventParameterFilterExpression": expression}
    return group("andGroup", group("orGroup", {"eventFilter": event}))


PARAMETERS = (*LEAF, "eventFilter", "eventParameterFilterExpression", "andGroup", "filterExpressions", 0)


@pytest.mark.parametrize(
    ("body", "route", "words"),
    [
        ({"displayName": "All Users"}, ("filterClauses",), "filterClauses"),
        (a_body() | {"filterClauses": {}}, ("filterClauses",), "filterClauses"),
        (a_body() | {"filterClauses": [1]}, ("filterClauses", 0), "object"),
        (a_body() | {"filterClauses": [{"clauseType": "INCLUDE"}]}, ("filterClauses", 0), "exactly one"),
        (a_body() | {"displayName": 5}, ("displayName",), "text"),
        (a_body() | {"membershipDurationDays": "many"}, ("membershipDurationDays",), "whole number"),
        (a_body() | {"membershipDurationDays": True}, ("membershipDurationDays",), "whole number"),
        (a_body() | {"exclusionDurationMode": "FOREVER"}, ("exclusionDurationMode",), "FOREVER"),
        (a_body() | {"exclusionDurationMode": 3}, ("exclusionDurationMode",), "3"),
        (a_body() | {"eventTrigger": {"eventName": "x"}}, ("eventTrigger",), "logCondition"),
        (a_body({"xorGroup": {"a": 1}}), (*OPENING, "xorGroup"), "xorGroup"),
        (a_body(group("andGroup")), OPENING, "empty"),
        (
            a_body(ored(group("andGroup", a_leaf(), {"notExpression": a_leaf()}))),
            (*OPENING, "andGroup", "filterExpressions", 0, "orGroup", "filterExpressions", 0),
            "andGroup",
        ),
        (
            a_body(ored({"notExpression": {"eventFilter": {"eventName": "x"}}})),
            (*LEAF, "notExpression"),
            "notExpression",
        ),
        (
            a_body(ored({"dimensionOrMetricFilter": {"fieldName": "x"} | BAD_NUMBER})),
            (*LEAF, "dimensionOrMetricFilter", "numericFilter", "value", "int64Value"),
            "64 bits",
        ),
        (
            a_body(an_event(group("andGroup", group("orGroup", a_leaf(), {"notExpression": a_leaf()})))),
            (*LEAF, "eventFilter", "eventParameterFilterExpression"),
            "several",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_said_names_its_place(
    body: dict[str, Any], route: tuple[str | int, ...], words: str
) -> None:
    with pytest.raises(UnrepresentableError) as caught:
        from_api(body)
    assert caught.value.route == route
    assert words in caught.value.reason


def test_an_unknown_default_is_passed_over_and_an_unknown_value_is_not() -> None:
    body = a_body()
    body["filterClauses"][0]["simpleFilter"]["newThing"] = False
    assert from_api(body) == from_api(a_body())
    body["filterClauses"][0]["simpleFilter"]["newThing"] = True
    with pytest.raises(UnrepresentableError):
        from_api(body)
    assert from_api(a_body() | {"newThing": True}) == from_api(a_body())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"int64Value": "500"}, 500),
        ({"int64Value": 500}, 500),
        ({"int64Value": "0"}, 0),
        ({"int64Value": 0}, 0),
        ({"int64Value": "-9223372036854775808"}, -(2**63)),
        ({"int64Value": "9223372036854775807"}, 2**63 - 1),
        ({"doubleValue": 5}, 5.0),
        ({"doubleValue": 0.5}, 0.5),
        ({"doubleValue": "0.5"}, 0.5),
    ],
)
def test_a_number_is_read(written: object, read: float) -> None:
    leaf = {"fieldName": "eventCount", "numericFilter": {"operation": "EQUAL", "value": written}}
    clause = from_api(a_body({"dimensionOrMetricFilter": leaf})).clauses[0]
    assert isinstance(clause.filter, SimpleFilter)
    (found,) = clause.filter.groups[0].leaves
    assert isinstance(found, FieldFilter)
    assert isinstance(found.condition, NumericFilter)
    assert found.condition.value == read
    assert type(found.condition.value) is type(read)


@pytest.mark.parametrize(
    "written",
    [
        {},
        None,
        {"int64Value": "1", "doubleValue": 1.0},
        {"int64Value": "9223372036854775808"},
        {"int64Value": "-9223372036854775809"},
        {"int64Value": "1_5"},
        {"int64Value": True},
        {"doubleValue": "NaN"},
        {"doubleValue": "Infinity"},
        {"doubleValue": True},
        {"doubleValue": "many"},
        {"int64Value": 1.5},
    ],
)
def test_what_is_no_number_is_refused(written: object) -> None:
    leaf = {"fieldName": "eventCount", "numericFilter": {"operation": "EQUAL", "value": written}}
    with pytest.raises(UnrepresentableError):
        from_api(a_body({"dimensionOrMetricFilter": leaf}))


def test_any_nesting_that_means_the_same_is_read_as_the_same() -> None:
    expected = from_api(a_body())
    for expression in (
        a_leaf(),
        group("andGroup", a_leaf()),
        group("orGroup", a_leaf()),
        group("andGroup", group("andGroup", group("orGroup", a_leaf()))),
        group("andGroup", group("orGroup", group("orGroup", a_leaf()))),
        group("andGroup", group("orGroup", group("andGroup", a_leaf()))),
    ):
        assert from_api(a_body(expression)) == expected


def test_parameters_in_an_or_group_of_one_are_read_as_flat() -> None:
    flat = from_api(a_body(an_event(group("andGroup", a_leaf()))))
    assert from_api(a_body(an_event(group("andGroup", group("orGroup", a_leaf()))))) == flat
    assert from_api(a_body(an_event(a_leaf()))) == flat
    assert from_api(a_body(an_event({}))) == from_api(a_body(an_event(None)))


def test_recorded_answers_are_read(shared_data: Path) -> None:
    pages = [
        json.loads(path.read_text("utf-8")) for path in sorted((shared_data / "recorded").glob("*.json"))
    ]
    found = [audience for page in pages for audience in page["audiences"]]
    assert len(found) > 2
    read = [from_api(one) for one in found if "filterClauses" in one]
    assert read, "at least one recorded audience has conditions"
    for one in found:
        if "filterClauses" not in one:
            with pytest.raises(UnrepresentableError) as caught:
                from_api(one)
            assert caught.value.route == ("filterClauses",)
    for audience in read:
        assert from_api(to_api(canonical(audience))) == canonical(audience)


def test_what_is_unset_is_not_written() -> None:
    leaf = EventFilter("purchase", (FieldFilter("value", StringFilter(MatchType.EXACT, "x")),))
    audience = Audience(
        "A", "", 30, (Clause(ClauseType.INCLUDE, SimpleFilter(Scope.SAME_EVENT, (AnyOf((leaf,)),))),)
    )
    text = json.dumps(to_api(audience))
    for name in ("eventTrigger", "exclusionDurationMode", "caseSensitive", "inAnyNDayPeriod", "null"):
        assert name not in text
    assert '"description": ""' in text, "a description is always sent"
