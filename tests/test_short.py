"""The short form: complete, lossless both ways, and as exact about places and mistakes as GA4's own form."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiencesync.canonical import canonical, fingerprint
from audiencesync.errors import UnrepresentableError
from audiencesync.fields import ClauseType, Operation, Scope
from audiencesync.grammar import RESERVED, format_short_duration, parse_short_duration
from audiencesync.model import (
    AnyOf,
    Audience,
    Clause,
    EventFilter,
    FieldFilter,
    Leaf,
    Not,
    NumericFilter,
    SequenceFilter,
    SimpleFilter,
)
from audiencesync.short import SHORT_RULES, expand, is_short, short_schema, to_full, to_short
from audiencesync.source import Document, Route, parse
from audiencesync.wire import MAX_DURATION_SECONDS, from_api, to_api
from tests.strategies import audiences, messy

HEAD = "displayName: A\ndescription: B\nmembershipDurationDays: 30\n"


def document(conditions: str, head: str = HEAD) -> Document:
    found = parse("a.yaml", (head + conditions).encode())
    assert not found.problems
    return found


def full(conditions: str) -> Any:
    found = expand(document(conditions))
    assert not found.problems
    return found.data["filterClauses"]


def named(audience: Audience, names: Iterator[str]) -> Audience:
    """The audience with other field names."""

    def leaf(item: Leaf) -> Leaf:
        match item:
            case FieldFilter():
                return replace(item, field_name=next(names))
            case Not(inner):
                return Not(replace(inner, field_name=next(names)))
            case EventFilter(_, parameters):
                found = tuple(leaf(parameter) for parameter in parameters)
                return replace(item, parameters=tuple(x for x in found if not isinstance(x, EventFilter)))

    def groups(items: tuple[AnyOf, ...]) -> tuple[AnyOf, ...]:
        return tuple(AnyOf(tuple(map(leaf, item.leaves))) for item in items)

    def clause(item: Clause) -> Clause:
        match item.filter:
            case SimpleFilter(scope, inside):
                return Clause(item.type, SimpleFilter(scope, groups(inside)))
            case SequenceFilter(scope, steps, maximum):
                renamed = tuple(replace(step, groups=groups(step.groups)) for step in steps)
                return Clause(item.type, SequenceFilter(scope, renamed, maximum))

    return replace(audience, clauses=tuple(map(clause, audience.clauses)))


NAMES = st.sampled_from(
    [*sorted(RESERVED), "events", "eventFilter", "country", "customUser:a b", "x: y", "-", "5"]
)


@given(audiences())
@settings(max_examples=150)
def test_short_and_back_is_the_same_audience(audience: Audience) -> None:
    short = to_short(to_api(audience))
    assert is_short(short)
    assert "filterClauses" not in short
    back = from_api(to_full(short))
    # Letting in is said before keeping out; nothing else moves, and 5 stays apart from 5.0.
    ordered = sorted(audience.clauses, key=lambda clause: clause.type is ClauseType.EXCLUDE)
    assert back == replace(audience, clauses=tuple(ordered))
    assert repr(back) == repr(replace(audience, clauses=tuple(ordered)))


@given(audiences(), st.data())
@settings(max_examples=100)
def test_names_that_are_words_of_the_form_survive(audience: Audience, data: st.DataObject) -> None:
    renamed = named(audience, iter(lambda: data.draw(NAMES), None))
    assert fingerprint(from_api(to_full(to_short(to_api(renamed))))) == fingerprint(renamed)


@given(audiences(), st.data())
@settings(max_examples=60)
def test_whatever_a_server_answers_can_be_said_short(audience: Audience, data: st.DataObject) -> None:
    raw = data.draw(messy(audience))
    short = to_short(raw)
    assert canonical(from_api(to_full(short))) == canonical(from_api(raw))
    assert {name: value for name, value in short.items() if name not in ("include", "exclude")} == {
        name: value for name, value in raw.items() if name != "filterClauses"
    }


SCHEMA = {"type": "object", **short_schema()}


@given(audiences(), st.data())
@settings(max_examples=60)
def test_text_of_the_short_form_is_read_back_and_keeps_its_places(
    audience: Audience, data: st.DataObject
) -> None:
    short = to_short(to_api(named(audience, iter(lambda: data.draw(NAMES), None))))
    jsonschema.Draft202012Validator(SCHEMA).validate(short)
    text = json.dumps(short, indent=1, ensure_ascii=False)
    read = expand(parse("a.json", text.encode()))
    assert not read.problems
    assert read.data == to_full(short)
    lines = text.splitlines()
    for route, value in walk(read.data["filterClauses"], ("filterClauses",)):
        place = read.locate(route)
        said = lines[place.line - 1][place.column - 1 :]
        if route[-1] in ("fieldName", "eventName") or (
            isinstance(value, str) and "stringFilter" in route[-2:-1] and route[-1] == "value"
        ):
            assert said.startswith(json.dumps(value, ensure_ascii=False))
        elif route[-1] == "int64Value":
            assert said.startswith(value)


def walk(value: Any, route: Route) -> Iterator[tuple[Route, Any]]:
    yield route, value
    match value:
        case dict():
            for name, inner in value.items():
                yield from walk(inner, (*route, name))
        case list():
            for index, inner in enumerate(value):
                yield from walk(inner, (*route, index))
        case _:
            pass


@given(st.integers(0, MAX_DURATION_SECONDS * 10**9))
def test_durations_are_exact_both_ways(nanoseconds: int) -> None:
    assert parse_short_duration(format_short_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800),
        ("7d", 604_800),
        ("1h30m", 5400),
        ("0s", 0),
        ("90m", 5400),
        ("3.5s", 3.5),
        ("1d0.25s", 86_400.25),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_short_duration(text) == int(seconds * 10**9)


@pytest.mark.parametrize(
    "text", ["", "30", "m", "1.5h", "30s1m", "-1s", "1 h", "3.s", "3,5s", "٣s", "999999999999d", "1w"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    assert parse_short_duration(text) is None


def test_one_leaf_stands_for_its_wrapping_and_every_number_keeps_its_type() -> None:
    (clause,) = full("include:\n  - {event: a, where: {value: {greaterThan: 5}, tax: 5.0, unit: EUR}}\n")
    simple = clause["simpleFilter"]
    assert clause["clauseType"] == "INCLUDE"
    assert simple["scope"] == Scope.ALL_SESSIONS
    (group,) = simple["filterExpression"]["andGroup"]["filterExpressions"]
    (leaf,) = group["orGroup"]["filterExpressions"]
    assert leaf["eventFilter"]["eventName"] == "a"
    conditions = leaf["eventFilter"]["eventParameterFilterExpression"]["andGroup"]
    more, tax, currency = conditions["filterExpressions"]
    assert more["dimensionOrMetricFilter"] == {
        "fieldName": "value",
        "numericFilter": {"operation": "GREATER_THAN", "value": {"int64Value": "5"}},
    }
    assert tax["dimensionOrMetricFilter"]["numericFilter"]["value"] == {"doubleValue": 5.0}
    assert currency["dimensionOrMetricFilter"]["stringFilter"] == {"matchType": "EXACT", "value": "EUR"}


WHOLE = {
    "include": [
        {
            "scope": "sameEvent",
            "all": [
                {"country": {"in": ["CA", "US"], "caseSensitive": True}},
                {
                    "any": [
                        {"event": "b"},
                        {"not": {"city": {"endsWith": "x", "atAnyPointInTime": True, "inAnyNDayPeriod": 3}}},
                    ]
                },
            ],
        }
    ],
    "exclude": [
        {
            "sequence": {
                "scope": "sameSession",
                "within": "7d",
                "steps": [
                    {"event": "a", "where": {"value": {"between": [1, 2.5]}}},
                    {"event": "b", "within": "1m30s", "immediatelyFollows": True},
                    {
                        "scope": "sameSession",
                        "within": "1h",
                        "any": [{"event": "c"}, {"p": {"matches": "a"}}],
                    },
                ],
            }
        }
    ],
}


def test_a_whole_short_audience_is_written_as_it_was_read() -> None:
    short = to_short(to_api(from_api(to_full(WHOLE))))
    # As text, since the order of the keys is what a reader sees.
    assert json.dumps({name: short[name] for name in WHOLE}) == json.dumps(WHOLE)


def test_defaults_and_nulls_are_the_same() -> None:
    said = full(
        "include:\n"
        "  - {scope: null, event: a, where: null}\n"
        "  - sequence: {within: null, steps: [{event: b, scope: sameEvent, within: }]}\n"
        "exclude:\n"
    )
    assert said == full("include:\n  - event: a\n  - sequence: {scope: allSessions, steps: [event: b]}\n")


def test_keys_that_are_the_same_in_both_forms_stay_and_the_full_form_is_left_alone() -> None:
    found = expand(document("exclude: [event: a]\nmanage: {contact: x}\ninclude: [event: b]\n"))
    assert list(found.data) == [
        "displayName",
        "description",
        "membershipDurationDays",
        "filterClauses",
        "manage",
    ]
    assert [clause["clauseType"] for clause in found.data["filterClauses"]] == ["INCLUDE", "EXCLUDE"]
    plain = document("filterClauses: []\n")
    assert expand(plain) is plain
    nothing = parse("a.yaml", b"- 1\n")
    assert expand(nothing) is nothing


GROUPS = ("filterClauses", 0, "simpleFilter", "filterExpression", "andGroup", "filterExpressions")
LEAF = ("orGroup", "filterExpressions", 0)
FIELD = (*GROUPS, 1, *LEAF, "dimensionOrMetricFilter")


@pytest.mark.parametrize(
    ("route", "key", "place"),
    [
        (("displayName",), False, (1, 14)),
        (("displayName",), True, (1, 1)),
        (("filterClauses",), False, (4, 1)),
        (("filterClauses", 0), False, (5, 5)),
        (("filterClauses", 0, "clauseType"), False, (4, 1)),
        (("filterClauses", 0, "simpleFilter", "scope"), False, (5, 12)),
        (("filterClauses", 0, "simpleFilter", "scope"), True, (5, 5)),
        (("filterClauses", 1, "simpleFilter", "scope"), False, (10, 5)),
        (("filterClauses", 0, "simpleFilter", "nothing", "here"), False, (5, 5)),
        ((*GROUPS, 0, *LEAF, "eventFilter", "eventName"), False, (7, 16)),
        ((*FIELD, "fieldName"), False, (8, 10)),
        ((*FIELD, "inListFilter"), False, (8, 24)),
        ((*FIELD, "inListFilter"), True, (8, 20)),
        ((*FIELD, "inListFilter", "values", 1), False, (8, 29)),
        ((*FIELD, "atAnyPointInTime"), False, (8, 10)),
    ],
)
def test_routes_of_the_full_form_lead_into_the_short_text(
    route: Route, key: bool, place: tuple[int, int]
) -> None:
    text = (
        "include:\n"
        "  - scope: sameEvent\n"
        "    all:\n"
        "      - event: purchase\n"
        "      - {country: {in: [CA, US]}}\n"
        "exclude:\n"
        "  - {not: {city: x}}\n"
    )
    at = expand(document(text)).locate(route, key=key)
    assert (at.path, at.line, at.column) == ("a.yaml", *place)


MISTAKES = [
    "include: {event: a}",
    "include: []",
    "include: [a]",
    "include: [{}]",
    "include: [{scope: sameEvent}]",
    "include: [{scope: event, event: a}]",
    "include: [{scope: AUDIENCE_FILTER_SCOPE_WITHIN_SAME_EVENT, event: a}]",
    "include: [sameEvent: {event: a}]",
    "include: [{all: [event: a], any: [event: b]}]",
    "include: [{all: {event: a}}]",
    "include: [{any: [{any: [event: a]}]}]",
    "include: [{all: [{all: [event: a]}]}]",
    "include: [{event: a, value: 5}]",
    "include: [{event: a, where: {event: b}}]",
    "include: [{where: {value: 5}}]",
    "include: [{evnt: purchase}]",
    "include: [{greaterThan: 5}]",
    "include: [{country: a, city: b}]",
    "include: [{not: {event: a}}]",
    "include: [{not: {country: a}, city: b}]",
    "include: [{not: {not: {country: a}}}]",
    "include: [{eventFilter: {eventName: a}}]",
    "include: [{country: {equals: US}}]",
    "include: [{value: {greatrThan: 5}}]",
    "include: [{value: {greaterThan: 5, lessThan: 9}}]",
    "include: [{value: {atAnyPointInTime: true}}]",
    "include: [{value: {}}]",
    'include: [{value: {greaterThan: "5"}}]',
    "include: [{value: {lessThan: .inf}}]",
    "include: [{value: {between: [1]}}]",
    "include: [{value: [1, 2]}]",
    "include: [{value: true}]",
    "include: [{value: }]",
    "include: [{value: {is: 5, caseSensitive: true}}]",
    "include: [{sequence: {event: a}}]",
    "include: [{sequence: {steps: []}}]",
    "include: [{scope: sameEvent, sequence: {steps: [event: a]}}]",
    "include: [{sequence: {steps: [event: a], any: []}}]",
    "include: [{sequence: {steps: [{sequence: {steps: [event: a]}}]}}]",
    "include: [{sequence: {within: 7, steps: [event: a]}}]",
    "include: [{sequence: {steps: [event: a, {event: b, within: 1 week}]}}]",
    "include: [{within: 5m, event: a}]",
    "include: [event: a]\nfilterClauses: [x]",
    "include: [{country: US, scop: sameEvent}]",
    "include: [{field: event}]",
    "include: [{event: a, where: [5]}]",
    "include: [{event: a, where: {not: {b: 1}, c: {x: 1}}}]",
    "exclude: {}",
    "include: [{any: [5]}]",
    "include: [{value: {GREATER_THAN_OR_EQUAL: 5}}]",
    "include: [{value: {greaterThan: [5]}}]",
    "include: [{city: {not: x}}]",
    "include: [{event: a, any: [event: b]}]",
    "include: [{all: []}]",
    "include: [{sequence: }]",
    "include: [{sequence: {steps: [{within: 5m}]}}]",
    "include: [{not: }]",
    "include: [{not: {all: [{city: x}]}}]",
]


@pytest.mark.parametrize("conditions", MISTAKES)
def test_a_mistake_gives_one_problem_in_one_line(conditions: str) -> None:
    (problem,) = expand(document(conditions + "\n")).problems
    assert problem.rule in dict(SHORT_RULES)
    assert "\n" not in problem.message
    assert problem.help


def test_every_mistake_is_told_in_its_place_with_a_way_out(golden: Callable[[str, str], None]) -> None:
    told = []
    for conditions in MISTAKES:
        for each in expand(document(conditions + "\n", head="")).problems:
            caret = " " * (each.location.column - 1) + "^"
            told.append(f"{conditions}\n{caret} {each.message} [{each.rule}]\n  {each.help}\n")
    golden("short/mistakes.txt", "\n".join(told))


def test_every_rule_has_a_mistake() -> None:
    rules = {each.rule for conditions in MISTAKES for each in expand(document(conditions + "\n")).problems}
    assert rules == set(dict(SHORT_RULES))


@pytest.mark.parametrize("conditions", [each for each in MISTAKES if "filterClauses:" not in each])
def test_what_cannot_be_read_leaves_a_definition_that_can(conditions: str) -> None:
    found = expand(document(conditions + "\n"))
    from_api(found.data)
    with pytest.raises(UnrepresentableError) as refusal:
        to_full(document(conditions).data)
    assert str(refusal.value) in {problem.message for problem in found.problems}


def test_all_mistakes_are_found_in_one_run_and_in_their_order() -> None:
    text = (
        "exclude: [{event: a, x: 1}]\n"
        "include: [{scope: x, event: a}, {city: {near: x}}, {sequence: {steps: [{x: }, {within: 1, y: }]}}]\n"
    )
    found = expand(document(text)).problems
    assert [problem.location.line for problem in found] == [4, 5, 5, 5, 5, 5]
    assert list(found) == sorted(found, key=lambda problem: problem.location)


def test_both_forms_keep_the_places_of_the_full_form() -> None:
    found = expand(document("filterClauses:\n  - clauseType: X\ninclude: [event: a]\n"))
    assert "include" not in found.data
    assert found.locate(("filterClauses", 0, "clauseType")).line == 5


def test_the_readers_own_problems_stay() -> None:
    found = expand(parse("a.yaml", b"include:\n  - event: a\n    event: b\n  - {evnt: c}\n"))
    assert [problem.rule for problem in found.problems] == ["duplicate-key", "short-leaf"]


def test_a_value_for_the_schema_to_judge_is_handed_on_as_it_is() -> None:
    (clause,) = full("include: [{country: {contains: 5, inAnyNDayPeriod: many}}]\n")
    (group,) = clause["simpleFilter"]["filterExpression"]["andGroup"]["filterExpressions"]
    assert group["orGroup"]["filterExpressions"] == [
        {
            "dimensionOrMetricFilter": {
                "fieldName": "country",
                "inAnyNDayPeriod": "many",
                "stringFilter": {"matchType": "CONTAINS", "value": 5},
            }
        }
    ]


def test_where_is_a_list_when_a_parameter_comes_twice() -> None:
    condition = NumericFilter(Operation.GREATER_THAN, 5)
    twice = EventFilter(
        "a",
        (
            FieldFilter("value", condition),
            Not(FieldFilter("value", condition)),
            Not(FieldFilter("b", condition)),
        ),
    )
    audience = Audience(
        "A", "", 1, (Clause(ClauseType.INCLUDE, SimpleFilter(Scope.SAME_EVENT, (AnyOf((twice,)),))),)
    )
    (short,) = to_short(to_api(audience))["include"]
    more = {"greaterThan": 5}
    assert short["where"] == [{"value": more}, {"not": {"value": more}}, {"not": {"b": more}}]
    assert from_api(to_full(to_short(to_api(audience)))) == audience


def test_the_schema_refuses_what_is_not_the_form() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    for conditions in (
        *("include: {}", "include: []", "exclude: [a]", "include: [{}]", "include: [{value: {x: 5}}]"),
        *("include: [{scope: event, event: a}]", "include: [{sequence: {within: 7d}}]"),
        *("include: [{sequence: {steps: [{event: a, within: 7}]}}]", "include: [{event: a, where: 5}]"),
    ):
        assert not validator.is_valid(document(conditions).data)
