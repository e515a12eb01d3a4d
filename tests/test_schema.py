"""The schemas: published as printed, equal in every form, and each mistake said once at its place."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from audiencesync import schema
from audiencesync.fields import ENUMS, FIELDS, MAX_MEMBERSHIP_DAYS, MAX_WINDOW_DAYS, NESTING, Kind
from audiencesync.model import Audience
from audiencesync.schema.build import checking
from audiencesync.schema.compiled import FORMATS, surely_valid
from audiencesync.schema.findings import at, nearest, shown
from audiencesync.schema.rewrite import lines, nested, parameters
from audiencesync.settings import SETTINGS
from audiencesync.source import Document, parse
from audiencesync.wire import from_api, to_api
from tests.conftest import ROOT
from tests.strategies import audiences

NAMES = ("audience", "workspace", "plan")
ALL = "AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS"


def group(name: str, *items: object) -> dict[str, Any]:
    return {name: {"filterExpressions": list(items)}}


def field(name: str = "country", **more: object) -> dict[str, Any]:
    condition = {"stringFilter": {"matchType": "EXACT", "value": "Canada"}}
    inner = {"fieldName": name} | (more or condition)
    return {"dimensionOrMetricFilter": inner}


def event(*members: object, name: str = "purchase") -> dict[str, Any]:
    inner: dict[str, Any] = {"eventName": name}
    if members:
        inner["eventParameterFilterExpression"] = group("andGroup", *members)
    return {"eventFilter": inner}


def ored(*leaves: object) -> dict[str, Any]:
    return group("andGroup", group("orGroup", *leaves))


def clause(expression: object, scope: str = ALL, kind: str = "INCLUDE") -> dict[str, Any]:
    return {"clauseType": kind, "simpleFilter": {"scope": scope, "filterExpression": expression}}


def sequence(*expressions: object, scope: str = ALL, **more: object) -> dict[str, Any]:
    steps = [{"scope": scope, "filterExpression": one} for one in expressions]
    return {"clauseType": "INCLUDE", "sequenceFilter": {"scope": scope, "sequenceSteps": steps} | more}


def body(*clauses: object, **more: object) -> dict[str, Any]:
    found = {"displayName": "A", "description": "", "membershipDurationDays": 30}
    return found | {"filterClauses": list(clauses) or [clause(ored(field()))]} | more


PLACES = {
    "simple": lambda leaf: body(clause(ored(leaf))),
    "step": lambda leaf: body(sequence(ored(leaf))),
    "parameters": lambda leaf: body(clause(ored(event(leaf)))),
    "negated": lambda leaf: body(clause(ored({"notExpression": leaf}))),
    "step parameters": lambda leaf: body(sequence(ored(event()), ored(event({"notExpression": leaf})))),
}


def document(data: object) -> Document:
    return parse("a.yaml", json.dumps(data, indent=1).encode())


def rules_of(data: object, message: str = "Audience") -> list[str]:
    return [finding.rule for finding in schema.find(document(data), message)]


def one(data: object, message: str = "Audience") -> Any:
    found = schema.find(document(data), message)
    assert len(found) == 1, [(finding.rule, finding.message) for finding in found]
    return found[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_schema_is_the_printed_one(name: str) -> None:
    path = ROOT / "schemas" / f"{name}.schema.json"
    assert path.read_text("utf-8") == schema.text(name), f"audiencesync schema {name} > {path}"


@pytest.mark.parametrize("name", NAMES)
def test_the_published_schema_is_a_schema(name: str) -> None:
    document_ = schema.schema(name)
    Draft202012Validator.check_schema(document_)
    assert document_["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document_["$id"] == f"urn:audiencesync:{name}-schema"


KNOWN = {
    *("$schema", "$id", "$ref", "$defs", "title", "description", "default", "examples", "type"),
    *("enum", "const"),
    *("properties", "additionalProperties", "required", "dependentRequired", "propertyNames", "items"),
    *("minProperties", "maxProperties", "minItems", "maxItems", "minimum", "maximum", "pattern", "format"),
    *("anyOf", "oneOf", "not", "minLength", "uniqueItems", "allOf", "exclusiveMinimum", "dependentSchemas"),
}  # fmt: skip


def keywords(node: object) -> set[str]:
    """Every keyword of a schema; what stands under properties and $defs are names."""
    if isinstance(node, list):
        return set().union(*map(keywords, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    found = set(node)
    for name, inner in node.items():
        if name in {"properties", "$defs", "dependentSchemas"}:
            found |= set().union(*(keywords(one_) for one_ in inner.values()))
        elif name not in {"enum", "const", "examples", "default", "required", "dependentRequired"}:
            found |= keywords(inner)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_published_schema_has_no_keyword_of_our_own(name: str) -> None:
    assert keywords(schema.schema(name)) <= KNOWN


def test_an_editor_is_shown_every_field() -> None:
    for message, table in (("audience", FIELDS), ("workspace", SETTINGS)):
        text = schema.text(message)
        for each in table:
            if not each.output_only:
                assert json.dumps(each.doc, ensure_ascii=False)[1:-1] in text, each.name
    for enum in ENUMS.values():
        for doc in enum.docs:
            assert json.dumps(doc)[1:-1] in schema.text("audience")


VALID: dict[str, Any] = {
    "plain": body(),
    "nulls": body(eventTrigger=None, exclusionDurationMode=None, manage=None),
    "no trigger": body(eventTrigger={}),
    "trigger": body(eventTrigger={"eventName": "joined", "logCondition": "AUDIENCE_JOINED"}),
    "int64 as number": body(
        clause(ored(field("eventCount", numericFilter={"operation": "EQUAL", "value": {"int64Value": 5}})))
    ),
    "int64 as text": body(
        clause(ored(field("eventCount", numericFilter={"operation": "EQUAL", "value": {"int64Value": "5"}})))
    ),
    "adopt text": body(manage={"adopt": "4711"}),
    "adopt number": body(manage={"adopt": 4711}),
    "adopt map": body(manage={"adopt": {"production": "4711", "demo": 12}}),
    "one-leaf orGroup in parameters": body(clause(ored(event(group("orGroup", field("coupon")))))),
    "null deep inside": body(sequence(ored(event()), sequenceMaximumDuration=None) | {}),
    "leaf nulls": body(
        clause(
            ored(
                field(
                    "country",
                    atAnyPointInTime=None,
                    inAnyNDayPeriod=None,
                    inListFilter={"values": ["CA"], "caseSensitive": None},
                )
            )
        )
    ),
    "null parameters": body(
        clause(ored({"eventFilter": {"eventName": "x", "eventParameterFilterExpression": None}}))
    ),
    "-1 days": body(membershipDurationDays=-1),
    "whole double": body(membershipDurationDays=30.0),
    "empty value": body(clause(ored(field("country", stringFilter={"matchType": "EXACT", "value": ""})))),
}


@pytest.mark.parametrize("name", VALID)
def test_what_is_allowed_is_taken_by_us_and_by_any_validator(name: str) -> None:
    assert schema.find(document(VALID[name])) == []
    assert list(Draft202012Validator(schema.audience_schema()).iter_errors(VALID[name])) == []


BOUNDS = [
    ("membershipDurationDays", 540, None),
    ("membershipDurationDays", 541, "out-of-range"),
    ("membershipDurationDays", 1, None),
    ("membershipDurationDays", 0, None),
    ("membershipDurationDays", 2**31, "out-of-range"),
    ("membershipDurationDays", -(2**31) - 1, "out-of-range"),
    ("membershipDurationDays", 30.5, "wrong-type"),
    ("membershipDurationDays", "30", "wrong-type"),
    ("membershipDurationDays", True, "wrong-type"),
    ("membershipDurationDays", None, "empty-value"),
    ("displayName", "", "empty-value"),
    ("displayName", " \t", "empty-value"),
    ("displayName", 5, "wrong-type"),
    ("description", "", None),
    ("description", None, "empty-value"),
    ("filterClauses", [], "empty-value"),
    ("filterClauses", {}, "wrong-type"),
    ("exclusionDurationMode", "EXCLUDE", "unknown-value"),
    ("exclusionDurationMode", "AUDIENCE_EXCLUSION_DURATION_MODE_UNSPECIFIED", "unknown-value"),
    ("exclusionDurationMode", 1, "unknown-value"),
    ("eventTrigger", {"eventName": "x"}, "missing-key"),
    ("eventTrigger", {"eventName": "", "logCondition": "AUDIENCE_JOINED"}, "empty-value"),
    ("eventTrigger", "joined", "wrong-type"),
    ("manage", {"key": "a b"}, "bad-format"),
    ("manage", {"key": "a" * 100}, None),
    ("manage", {"key": "a" * 101}, "bad-format"),
    ("manage", {"key": "a\n"}, "bad-format"),
    ("manage", {"reviewBy": "2028-02-29"}, None),
    ("manage", {"reviewBy": "2027-02-29"}, "bad-format"),
    ("manage", {"reviewBy": "20270228"}, "bad-format"),
    ("manage", {"adopt": "properties/1/audiences/2"}, "bad-format"),
    ("manage", {"adopt": 0}, "out-of-range"),
    ("manage", {"adopt": 4711.0}, "bad-format"),
    ("manage", {"adopt": {"demo": 4711.0}}, "bad-format"),
    ("manage", {"adopt": {}}, "empty-value"),
    ("manage", {"targets": []}, "empty-value"),
    ("manage", {"labels": [""]}, "empty-value"),
    ("manage", {"labels": "vip"}, "wrong-type"),
    ("name", "properties/1/audiences/2", "output-only"),
    ("createTime", "2026-01-01T00:00:00Z", "output-only"),
    ("adsPersonalizationEnabled", True, "output-only"),
    ("dispayName", "A", "unknown-key"),
    ("contact", "me", "unknown-key"),
]


@pytest.mark.parametrize(("name", "value", "rule"), BOUNDS)
def test_each_side_of_a_bound_of_the_audience(name: str, value: object, rule: str | None) -> None:
    assert rules_of(body(**{name: value})) == ([rule] if rule else [])


def numeric(**value: object) -> dict[str, Any]:
    return {"numericFilter": {"operation": "EQUAL", "value": value}}


def bare(name: str, value: object) -> dict[str, Any]:
    condition = {"stringFilter": {"matchType": "EXACT", "value": "x"}}
    return {"dimensionOrMetricFilter": {name: value} | condition}


AT_LEAST: dict[str, Any] = {
    "numericFilter": {"operation": "GREATER_THAN_OR_EQUAL", "value": {"int64Value": "5"}}
}
LEAF_BOUNDS = [
    (field(inAnyNDayPeriod=60, stringFilter={"matchType": "EXACT", "value": "x"}), None),
    (field(inAnyNDayPeriod=61, stringFilter={"matchType": "EXACT", "value": "x"}), "out-of-range"),
    (field(inAnyNDayPeriod=0, stringFilter={"matchType": "EXACT", "value": "x"}), None),
    (field(inAnyNDayPeriod=-1, stringFilter={"matchType": "EXACT", "value": "x"}), "out-of-range"),
    (field(inListFilter={"values": []}), "empty-value"),
    (field(inListFilter={"values": ["CA"]}), None),
    (field(inListFilter={"values": [1]}), "wrong-type"),
    (field(stringFilter={"matchType": "EXACT", "value": 1}), "wrong-type"),
    (field(stringFilter={"value": "x"}), "missing-key"),
    (field(stringFilter={"matchType": "EXACT"}), "missing-key"),
    (field(stringFilter={"matchType": "REGEX", "value": "x"}), "unknown-value"),
    (field(stringFilter=None), "empty-value"),
    (field(stringFilter={"matchType": "EXACT", "value": "x"}, inListFilter={"values": ["x"]}), "one-of"),
    (field(atAnyPointInTime=True), "one-of"),
    (field(fieldNam="x"), "one-of"),
    (field(**numeric(int64Value="9223372036854775807")), None),
    (field(**numeric(int64Value="9223372036854775808")), "out-of-range"),
    (field(**numeric(int64Value=2**63 - 1)), None),
    (field(**numeric(int64Value=2**63)), "out-of-range"),
    (field(**numeric(int64Value=-(2**63))), None),
    (field(**numeric(int64Value="1_5")), "bad-format"),
    (field(**numeric(int64Value="1.5")), "bad-format"),
    (field(**numeric(int64Value=1.5)), "wrong-type"),
    (field(**numeric(int64Value=None)), "empty-value"),
    (field(**numeric(int64Value="1", doubleValue=1.0)), "one-of"),
    (field(**numeric()), "one-of"),
    (field(**numeric(doubleValue=1)), None),
    (field(**numeric(doubleValue="1")), "wrong-type"),
    (field(numericFilter={"operation": "EQUAL", "value": 5}), "wrong-type"),
    (field(**AT_LEAST), "unknown-value"),
    (field(numericFilter={"operation": "EQUAL"}), "missing-key"),
    (field(betweenFilter={"fromValue": {"int64Value": "5"}}), "missing-key"),
    (bare("dimensionOrMetricName", "x"), "unknown-key"),
    (bare("inAnyNDayPeriod", 0), "missing-key"),
    (bare("fieldName", " "), "empty-value"),
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("leaf", "rule"), LEAF_BOUNDS)
def test_each_side_of_a_bound_of_a_leaf_at_every_level(
    place: str, leaf: dict[str, Any], rule: str | None
) -> None:
    expected = [rule] if rule else []
    if "fieldNam" in leaf["dimensionOrMetricFilter"]:
        expected = ["unknown-key", "one-of"]
    assert rules_of(PLACES[place](leaf)) == expected


def step(**more: object) -> dict[str, Any]:
    first = {"scope": ALL, "filterExpression": ored(event())}
    return body(
        {"clauseType": "INCLUDE", "sequenceFilter": {"scope": ALL, "sequenceSteps": [first, first | more]}}
    )


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("0s", None),
        ("3.5s", None),
        ("0.000000001s", None),
        ("315576000000s", None),
        ("315576000001s", "bad-format"),
        ("0.0000000001s", "bad-format"),
        ("30m", "bad-format"),
        ("-1s", "bad-format"),
        (1800, "wrong-type"),
        ("", "empty-value"),
        (None, None),
    ],
)
def test_a_duration(value: object, rule: str | None) -> None:
    expected = [rule] if rule else []
    assert rules_of(step(constraintDuration=value)) == expected
    assert rules_of(body(sequence(ored(event()), sequenceMaximumDuration=value))) == expected


@pytest.mark.parametrize(
    ("data", "rule", "key"),
    [
        (body({"clauseType": "INCLUDE"}), "one-of", 0),
        (body(clause(ored(field())) | sequence(ored(event()))), "one-of", "sequenceFilter"),
        (body(clause(ored(field())) | {"clauseType": "BOTH"}), "unknown-value", "clauseType"),
        (body({"simpleFilter": clause(ored(field()))["simpleFilter"]}), "missing-key", 0),
        (body(clause(ored(field()), scope="ALL")), "unknown-value", "scope"),
        (body(sequence()), "empty-value", "sequenceSteps"),
        (body(clause(field())), "nesting", "dimensionOrMetricFilter"),
        (body(clause(event())), "nesting", "eventFilter"),
        (body(clause({"notExpression": field()})), "nesting", "notExpression"),
        (body(clause(group("orGroup", field()))), "nesting", "orGroup"),
        (body(clause(group("andGroup", field()))), "nesting", "dimensionOrMetricFilter"),
        (body(clause(group("andGroup", field(), event()))), "nesting", "dimensionOrMetricFilter"),
        (body(clause(group("andGroup", ored(field())))), "nesting", "andGroup"),
        (body(clause(ored(group("orGroup", field())))), "nesting", "orGroup"),
        (body(clause(ored(group("andGroup", field(), event())))), "nesting", "andGroup"),
        (body(clause(ored({"notExpression": event()}))), "nesting", "eventFilter"),
        (body(clause(ored({"notExpression": group("orGroup", field())}))), "nesting", "orGroup"),
        (body(clause(ored({"notExpression": {"notExpression": field()}}))), "nesting", "notExpression"),
        (body(clause(ored(event(event())))), "nesting", "eventFilter"),
        (body(clause(ored(event(group("orGroup", field("a"), field("b")))))), "nesting", "orGroup"),
        (body(clause(ored(event(group("andGroup", field("a")))))), "nesting", "andGroup"),
        (body(clause({})), "one-of", "filterExpression"),
        (body(clause(group("andGroup"))), "empty-value", "filterExpressions"),
        (body(clause(ored(field()) | group("orGroup", field()))), "one-of", "orGroup"),
        (body(clause({"andGruop": {}})), "unknown-key", "andGruop"),
        (body(sequence(field())), "nesting", "dimensionOrMetricFilter"),
        (body(sequence(group("orGroup", event()))), "nesting", "orGroup"),
        ({"audiences": [body()]}, "wrong-type", "audiences"),
        ({"audience": body()}, "wrong-type", "audience"),
        ([body()], "wrong-type", None),
        ("text", "wrong-type", None),
    ],
)
def test_one_mistake_gives_one_finding_at_its_place(data: object, rule: str, key: str | int | None) -> None:
    found = one(data)
    assert found.rule == rule
    assert found.route[-1:] == (() if key is None else (key,))
    assert found.help
    assert "\n" not in found.message


BARE_PARAMETERS = {"eventName": "x", "eventParameterFilterExpression": field("a")}


@pytest.mark.parametrize(
    "expression",
    [
        field(),
        event(field("a"), name="x"),
        group("orGroup", field(), event()),
        group("andGroup", field(), event()),
        group("andGroup", group("orGroup", field(), group("andGroup", event(), field("city")))),
        {"notExpression": group("orGroup", field(), field("city"))},
        {"notExpression": group("andGroup", field(), {"notExpression": field("city")})},
        group("andGroup", group("orGroup", {"notExpression": {"notExpression": field()}})),
    ],
)
def test_the_lines_that_a_nesting_mistake_shows_are_valid(expression: object) -> None:
    found = one(body(clause(expression)))
    head, _, text = found.help.partition("\n")
    assert head == "write instead:"
    rewritten = parse("help.yaml", text.encode()).data["filterExpression"]
    assert schema.find(document(body(clause(rewritten)))) == []


def test_alternatives_in_parameters_are_rewritten_as_events() -> None:
    found = one(body(clause(ored(event(field("c"), group("orGroup", field("a"), field("b")))))))
    text = found.help.partition("\n")[2]
    leaves = parse("help.yaml", text.encode()).data["filterExpressions"]
    assert len(leaves) == 2
    assert schema.find(document(body(clause(ored(*leaves))))) == []


def test_a_bare_parameter_is_rewritten() -> None:
    found = one(body(clause(ored({"eventFilter": BARE_PARAMETERS}))))
    leaf = parse("help.yaml", found.help.partition("\n")[2].encode()).data
    assert schema.find(document(body(clause(ored(leaf))))) == []


def test_a_negated_event_is_rewritten_as_a_clause() -> None:
    found = one(body(clause(ored({"notExpression": event()}))))
    (shown_clause,) = parse("help.yaml", found.help.partition("\n")[2].encode()).data
    assert shown_clause["clauseType"] == "EXCLUDE"
    assert schema.find(document(body(clause(ored(field())), shown_clause))) == []


def test_a_tree_that_would_explode_is_not_rewritten() -> None:
    pairs = [group("andGroup", field(f"a{n}"), field(f"b{n}")) for n in range(12)]
    assert nested(group("orGroup", *pairs)) == ""
    alternatives = [group("orGroup", field(f"a{n}"), field(f"b{n}")) for n in range(9)]
    assert parameters("x", group("andGroup", *alternatives)) == ""
    assert len(one(body(clause(group("orGroup", *pairs[:1])))).help) > 0


@pytest.mark.parametrize(
    ("operation", "value", "words"),
    [
        ("GREATER_THAN_OR_EQUAL", {"int64Value": "5"}, "write >= 5 as GREATER_THAN 4:"),
        ("GREATER_THAN_OR_EQUAL_TO", {"int64Value": 0}, "write >= 0 as GREATER_THAN -1:"),
        (">=", {"int64Value": 5}, "write >= 5 as GREATER_THAN 4:"),
        ("LESS_THAN_OR_EQUAL", {"int64Value": "5"}, "write <= 5 as LESS_THAN 6:"),
        ("GREATER_THAN_OR_EQUAL", {"doubleValue": 9.99}, "GREATER_THAN 9.99, and EQUAL 9.99"),
        ("NOT_EQUAL", {"int64Value": "5"}, "notExpression"),
        ("GT", {"int64Value": "5"}, "write GREATER_THAN"),
        ("GREATER", {"int64Value": "5"}, "GREATER_THAN"),
    ],
)
def test_a_comparison_that_ga4_lacks_has_a_way_out(operation: str, value: object, words: str) -> None:
    leaf = field("eventCount", numericFilter={"operation": operation, "value": value})
    assert words in one(body(clause(ored(leaf)))).help


def test_the_nearest_key_is_named() -> None:
    assert one(body(dispayName="A")).help == "remove it; displayName is there already"
    wrong = {name: value for name, value in body().items() if name != "displayName"} | {"display_name": "A"}
    assert one(wrong).help == "did you mean displayName?"
    assert nearest("dimensionOrMetricNam", ["fieldName", "stringFilter"]) == ""


def test_what_reading_found_is_not_said_again() -> None:
    text = "displayName: A\ndescription: x\nmembershipDurationDays: 30\n1: 2\nfilterClauses: []\n"
    found = parse("a.yaml", text.encode())
    assert [problem.rule for problem in found.problems] == ["key-not-text"]
    assert [problem.rule for problem in schema.check(found)] == ["empty-value"]
    assert schema.check(parse("a.yaml", b"")) == []


def test_the_place_is_that_of_the_key_or_the_value() -> None:
    text = b"displayName: A\ndescription: ''\nmembershipDurationDays: 541\nfoo: 1\n"
    text += b"filterClauses: [{clauseType: INCLUDE}]\n"
    places = [str(problem.location) for problem in schema.check(parse("a.yaml", text))]
    assert places == ["a.yaml:3:25", "a.yaml:4:1", "a.yaml:5:17"]


_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.sampled_from(["", " ", "x", "30", "3.5s", "1_5", "EXACT", "INCLUDE", "2027-02-29", "a\n"]),
    st.just([]),
    st.just({}),
    st.just([{}]),
    st.just({"andGroup": {"filterExpressions": []}}),
    st.just(field()),
    st.just(group("orGroup", field(), field("b"))),
)


def routes(value: object, route: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [route]
    pairs: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, inner in pairs:
        found += routes(inner, (*route, name))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """An audience's JSON with one to three changes anywhere."""
    data: Any = {"root": json.loads(json.dumps(to_api(draw(audiences()))))}
    if draw(st.booleans()):
        data["root"]["manage"] = {
            "key": "a",
            "labels": ["x"],
            "adopt": {"demo": "1"},
            "reviewBy": "2027-01-01",
        }
    for _ in range(draw(st.integers(0, 3))):
        *parent, last = draw(st.sampled_from(routes(data)[1:]))
        around = at(data, tuple(parent))
        match draw(st.integers(0, 3)):
            case 0:
                around[last] = draw(_JUNK)
            case 1 if isinstance(around, dict) and last != "root":
                del around[last]
            case 2 if isinstance(around, dict) and last != "root":
                around[
                    draw(st.sampled_from(("x", "andGroup", "orGroup", "scope", "eventFilter", "name")))
                ] = draw(_JUNK)
            case _ if isinstance(around, dict) and last != "root":
                around[draw(st.sampled_from(("notExpression", "orGroup", f"{last}s")))] = around.pop(last)
            case _:
                pass
    return data["root"]


def checker() -> FormatChecker:
    found = FormatChecker(formats=())
    for name, accept in FORMATS.items():
        found.checks(name)(accept)
    return found


CHECKING = Draft202012Validator(checking("Audience"), format_checker=checker())
PUBLISHED = Draft202012Validator(schema.audience_schema())
NEUTRAL = Document("a.yaml", "", None)


@settings(max_examples=300)
@given(mutated())
def test_the_quick_way_and_jsonschema_agree_and_each_refusal_is_explained(data: Any) -> None:
    slow = next(CHECKING.iter_errors(data), None) is None
    assert surely_valid("Audience")(data) is slow
    published = next(PUBLISHED.iter_errors(data), None) is None
    assert published or not slow, "what we take, any validator takes"
    from audiencesync.schema.explain import explain

    found = explain(data, "Audience")
    assert bool(found) is not slow
    assert all(finding.message and "\n" not in finding.message and finding.help for finding in found)
    assert len({(finding.route, finding.rule, finding.key) for finding in found}) == len(found)
    if not published:
        assert found
    elif not slow:
        assert {finding.rule for finding in found} <= {
            "bad-format",
            "out-of-range",
            "wrong-type",
            "empty-value",
        }


@settings(max_examples=50)
@given(audiences())
def test_what_is_valid_is_read_as_it_was_meant(audience: Audience) -> None:
    data = to_api(audience)
    assert surely_valid("Audience")(data)
    assert next(PUBLISHED.iter_errors(data), None) is None
    assert from_api(data) == audience


SETTINGS_DATA: dict[str, Any] = {
    "owner": "acme-web",
    "defaultTarget": "demo",
    "targets": {
        "demo": {"property": "1000", "endpoint": "local"},
        "emulator": {"property": "1000", "endpoint": "http://127.0.0.1:8080", "credentials": "anonymous"},
        "production": {"property": "312222000"},
    },
    "limits": {"audiences": 100, "triggers": 20, "destructive": 3},
    "events": {"parquet": "events/*.parquet"},
    "growingio": {"platform-a": {"url": "https://op.example.com", "project": "Wl", "tokenEnv": "TOKEN"}},
    "exports": {
        "cart": {"audience": "cart", "dimensions": ["deviceId", "userId"], "to": "out/cart.csv"},
        "payments": {"growingio": "platform-a", "tag": "tag_payment_times", "to": "out/payments.csv"},
        "checkout": {"growingio": "platform-a", "analysis": "kl", "type": "FUNNELS", "to": "out/c.parquet"},
    },
    "policy": {"require": ["contact"], "membershipDays": {"*": {"maximum": 90}, "vip": None}},
}  # fmt: skip


def edited(route: tuple[str, ...], value: object) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(SETTINGS_DATA))
    around = at(data, route[:-1])
    around[route[-1]] = value
    return data


def test_the_settings_of_the_manual_are_valid() -> None:
    assert rules_of(SETTINGS_DATA, "Settings") == []
    assert list(Draft202012Validator(schema.workspace_schema()).iter_errors(SETTINGS_DATA)) == []


@pytest.mark.parametrize(
    ("route", "value", "rule"),
    [
        (("owner",), "Acme", "bad-format"),
        (("owner",), "a" * 40, None),
        (("owner",), "a" * 41, "bad-format"),
        (("targets",), {}, "empty-value"),
        (("targets", "demo"), None, "empty-value"),
        (("targets", "demo", "property"), 1000, "wrong-type"),
        (("targets", "demo", "property"), "G-1", "bad-format"),
        (("targets", "demo", "endpoint"), "localhost:8080", "bad-format"),
        (("targets", "demo", "proprety"), "1", "unknown-key"),
        (("targets", ""), {"property": "1"}, "empty-value"),
        (("limits",), None, None),
        (("limits",), {}, None),
        (("limits", "audiences"), 0, "out-of-range"),
        (("limits", "audiences"), 5.0, "bad-format"),
        (("limits", "audiences"), 5.5, "wrong-type"),
        (("limits", "triggers"), 0, None),
        (("limits", "destructive"), -1, "out-of-range"),
        (("events",), {}, "one-of"),
        (("events",), {"duckdb": "a", "parquet": "b"}, "one-of"),
        (("events",), {"duckdb": "a.db", "table": "t"}, None),
        (("events",), {"bigquery": "p.d"}, None),
        (("events",), {"bigquery": "d"}, "bad-format"),
        (("growingio", "platform-a", "tokenEnv"), None, "empty-value"),
        (("growingio", "platform-a", "secretEnv"), "X", "one-of"),
        (("growingio", "platform-a", "authScheme"), "Basic", "unknown-value"),
        (("growingio", "platform-a", "headers"), {"X": 1}, "wrong-type"),
        (("exports", "cart", "dimensions"), ["deviceID"], "unknown-value"),
        (("exports", "cart", "dimensions"), [], "empty-value"),
        (("exports", "cart", "to"), "out/cart.xlsx", "bad-format"),
        (("exports", "cart", "to"), "out/cart.jsonl.gz", None),
        (("exports", "cart", "tag"), "x", "one-of"),
        (("exports", "checkout", "type"), "FUNNEL", "unknown-value"),
        (("policy", "require"), ["owner"], "unknown-value"),
        (("policy", "membershipDays", "vip"), {"maximum": 541}, "out-of-range"),
        (("limit",), {}, "unknown-key"),
    ],
)
def test_a_setting(route: tuple[str, ...], value: object, rule: str | None) -> None:
    assert rules_of(edited(route, value), "Settings") == ([rule] if rule else [])


@pytest.mark.parametrize(
    "path", sorted((ROOT / "audiences").rglob("*.yaml")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_what_is_shipped_passes_the_published_schema_in_either_form(path: Path) -> None:
    name = "workspace" if path.name == "audiencesync.yaml" else "audience"
    data = parse(str(path), path.read_bytes()).data
    assert [error.message for error in Draft202012Validator(schema.schema(name)).iter_errors(data)] == []


PLAN = {
    "formatVersion": "1.0",
    "target": "demo",
    "property": "1000",
    "digest": "ab",
    "actions": [
        {
            "verb": "patch",
            "key": "a",
            "displayName": "A",
            "name": "properties/1000/audiences/7",
            "changes": [{"path": "description", "before": "x", "after": "y", "immutable": False}],
            "updateMask": ["description"],
            "blocked": None,
        }
    ],
    "unmanaged": [{"name": "properties/1000/audiences/1", "displayName": "All Users", "reason": "default"}],
    "summary": {"keep": 0, "create": 0, "patch": 1, "replace": 0, "archive": 0, "adopt": 0},
    "error": None,
}


def test_the_plan_schema_takes_a_plan_and_refuses_another_verb() -> None:
    validator = Draft202012Validator(schema.plan_schema())
    assert list(validator.iter_errors(PLAN)) == []
    wrong = json.loads(json.dumps(PLAN))
    wrong["actions"][0]["verb"] = "delete"
    assert list(validator.iter_errors(wrong))


def test_the_tables_and_the_schema_know_the_same_places() -> None:
    text = json.dumps(checking("Audience"))
    for place in NESTING:
        assert f'"{place}"' in text
    assert str(MAX_MEMBERSHIP_DAYS) in text
    assert str(MAX_WINDOW_DAYS) in text
    assert {each.kind for each in (*FIELDS, *SETTINGS)} == set(Kind)


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from(["NO", "1_0", "0o7", "on", "~"])
)
_DATA = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_DATA)
def test_printed_lines_are_read_back_as_they_were(data: object) -> None:
    found = parse("a.yaml", lines({"root": data}).encode())
    assert found.problems == ()
    assert found.data == {"root": data}


@pytest.mark.parametrize("value", ["\x1b[31m", "a\u202eb", "a\u2028b", "x" * 5000, {"a": 1}, [], None, 1e308])
def test_what_is_shown_is_short_and_printable(value: object) -> None:
    text = shown(value)
    assert len(text) < 100
    assert text.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        body(clause(group("andGroup", *[field(f"contry{n}") for n in range(2000)]))),
        body(clause(ored(*[group("orGroup", field(f"f{n}")) for n in range(2000)]))),
        body(**{f"displayNam{n}": 1 for n in range(2000)}),
    ],
    ids=["bare leaves", "groups in a group", "unknown keys"],
)
def test_a_large_wrong_file_takes_bounded_time(data: object) -> None:
    started = time.process_time()
    assert 0 < len(schema.check(document(data))) <= schema.MAX_FINDINGS + 1
    assert time.process_time() - started < 5


def test_a_valid_file_does_not_load_jsonschema(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(body()))
    program = (
        "import sys, pathlib; from audiencesync import schema; from audiencesync.source import parse; "
        f"found = schema.check(parse('a', pathlib.Path({str(path)!r}).read_bytes())); "
        "print(found, 'jsonschema' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout == "[] False\n"
