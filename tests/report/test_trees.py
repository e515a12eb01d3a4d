"""The tree of what changed: short routes, one line where one line will do, notes once."""

from __future__ import annotations

from audiencesync.changes import Change
from audiencesync.report.trees import short_route, tree, value, whole

LONG = "a text that is too long to stand beside another one, or is it"
MEDIUM = "two of these do not fit one line"
GROUPS = ("filterExpression", "andGroup", "filterExpressions", 0, "orGroup", "filterExpressions", 2)


def shown(*changes: Change) -> list[str]:
    return [
        f"{'  ' * each.depth}{each.sign} {each.text}" + (f"  {each.note}" if each.note else "")
        for each in tree(changes).lines
    ]


def test_routes_are_said_in_few_words() -> None:
    route = ("filterClauses", 1, "simpleFilter", *GROUPS, "eventFilter", "eventName")
    assert short_route(route) == (
        "filterClauses[1]",
        "simpleFilter",
        "and[0]",
        "or[2]",
        "eventFilter",
        "eventName",
    )


def test_short_values_stand_on_one_line_and_long_ones_below() -> None:
    assert shown(Change(("description",), "a", "b", immutable=False)) == ['~ description: "a" -> "b"']
    assert shown(Change(("description",), LONG, "b", immutable=False)) == [
        "~ description",
        f'  - "{LONG}"',
        '  + "b"',
    ]


def test_what_is_on_one_side_only_is_added_or_removed() -> None:
    assert shown(
        Change(("eventTrigger",), None, {"eventName": "x"}, immutable=False),
        Change(("exclusionDurationMode",), "EXCLUDE_TEMPORARILY", None, immutable=True),
    ) == [
        '+ eventTrigger: {eventName: "x"}',
        "- exclusionDurationMode: EXCLUDE_TEMPORARILY  (forces replacement)",
    ]


def test_ways_that_share_a_beginning_fork_and_say_the_note_once() -> None:
    way = ("filterClauses", 0, "simpleFilter")
    assert shown(
        Change((*way, "scope"), "x", "y", immutable=True),
        Change((*way, *GROUPS, "eventFilter", "eventName"), "a", "b", immutable=True),
    ) == [
        "~ filterClauses[0].simpleFilter  (forces replacement)",
        '  ~ scope: "x" -> "y"',
        '  ~ and[0].or[2].eventFilter.eventName: "a" -> "b"',
    ]


def test_an_object_is_laid_out_like_yaml_without_the_words_for_groups() -> None:
    leaf = {"eventFilter": {"eventName": MEDIUM}}
    clause = {
        "clauseType": "INCLUDE",
        "simpleFilter": {
            "filterExpression": {
                "andGroup": {"filterExpressions": [{"orGroup": {"filterExpressions": [leaf, leaf]}}]}
            }
        },
    }
    assert shown(Change(("filterClauses", 0), None, clause, immutable=False)) == [
        "+ filterClauses[0]:",
        "+   clauseType: INCLUDE",
        "+   simpleFilter:",
        "+     and:",
        "+       - or:",
        f'+           - {{eventFilter: {{eventName: "{MEDIUM}"}}}}',
        f'+           - {{eventFilter: {{eventName: "{MEDIUM}"}}}}',
    ]


def test_values_are_written_as_people_write_them() -> None:
    assert value({"a": [1, 2.5, True, None], "b": "EXACT", "c": 'x"y'}) == (
        '{a: [1, 2.5, true, null], b: EXACT, c: "x\\"y"}'
    )
    assert value(list(range(105))).endswith("98, 99, … 5 more]")


def test_a_tree_without_end_is_cut() -> None:
    lines = shown(*(Change(("filterClauses", n), None, {}, immutable=True) for n in range(500)))
    assert len(lines) == 201
    assert lines[-1].endswith("… 300 lines more")


def test_a_whole_object_has_one_sign() -> None:
    assert {each.sign for each in whole("+", {"a": 1, "b": {"c": "x" * 90}}).lines} == {"+"}
