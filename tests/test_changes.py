"""What differs, value by value: nothing for what means the same, one for one edit, none invented."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync.canonical import fingerprint
from audiencesync.changes import Change, changes
from audiencesync.fields import ClauseType, ExclusionMode, LogCondition, MatchType, Operation, Scope
from audiencesync.model import (
    AnyOf,
    Audience,
    Clause,
    EventFilter,
    FieldFilter,
    InListFilter,
    NumericFilter,
    SequenceFilter,
    SimpleFilter,
    Step,
    StringFilter,
    Trigger,
)
from audiencesync.source import Route
from audiencesync.wire import from_api, to_api
from tests import strategies
from tests.shop import audience, clause

EVENT = (
    "filterClauses[0].simpleFilter.filterExpression.andGroup.filterExpressions[0].orGroup"
    ".filterExpressions[0].eventFilter.eventName"
)
UNORDERED = ("filterClauses", "filterExpressions", "values")


def at(data: Any, route: Route) -> Any:
    """The value that the route leads to."""
    for step in route:
        data = data[step]
    return data


def subtrees(data: Any) -> Iterator[str]:
    """Every value within a value as JSON, itself included."""
    yield json.dumps(data, sort_keys=True)
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    for item in inner:
        yield from subtrees(item)


def names_at(data: Any, route: Route = ()) -> Iterator[Route]:
    """The routes of the texts that can be edited to anything: names and values to compare with."""
    if isinstance(data, dict):
        for key, item in data.items():
            if key in {"eventName", "fieldName", "value"} and isinstance(item, str):
                yield (*route, key)
            yield from names_at(item, (*route, key))
    elif isinstance(data, list):
        for place, item in enumerate(data):
            yield from names_at(item, (*route, place))


def shuffled(source: st.DataObject, data: Any, name: str = "") -> Any:
    """The same with every list whose order has no meaning in another order."""
    if isinstance(data, dict):
        return {key: shuffled(source, item, key) for key, item in data.items()}
    if isinstance(data, list):
        items = [shuffled(source, item) for item in data]
        return source.draw(st.permutations(items)) if name in UNORDERED else items
    return data


@given(st.data())
def test_what_means_the_same_has_no_changes(data: st.DataObject) -> None:
    one = data.draw(strategies.audiences())
    assert changes(one, from_api(shuffled(data, to_api(one)))) == ()
    assert changes(from_api(data.draw(strategies.messy(one))), one) == ()


@given(st.data())
def test_one_edit_in_a_shuffled_tree_is_one_change_at_its_place(data: st.DataObject) -> None:
    before = to_api(data.draw(strategies.audiences()))
    before.pop("eventTrigger", None)
    after = copy.deepcopy(before)
    *way, last = data.draw(st.sampled_from(list(names_at(after))))
    route = (*way, last)
    old = at(after, route)
    at(after, tuple(way))[last] = "edited here and nowhere else"
    (found,) = changes(from_api(shuffled(data, before)), from_api(after))
    assert found == Change(route, old, "edited here and nowhere else", immutable=True)


@given(strategies.audiences(), strategies.audiences())
def test_changes_invent_nothing(one: Audience, other: Audience) -> None:
    found = changes(one, other)
    assert bool(found) == (fingerprint(one) != fingerprint(other))
    known = set(subtrees(to_api(one)))
    for change in found:
        assert change.before != change.after
        assert change.before is None or json.dumps(change.before, sort_keys=True) in known
        if change.after is not None:
            assert at(to_api(other), change.route) == change.after


def sequence(*events: str) -> Clause:
    steps = tuple(Step(Scope.SAME_EVENT, (AnyOf((EventFilter(event),)),)) for event in events)
    return Clause(ClauseType.INCLUDE, SequenceFilter(Scope.ALL_SESSIONS, steps))


def test_a_clause_added_in_front_is_one_addition_there() -> None:
    before = replace(audience(), clauses=(clause("purchase"), clause("add_to_cart")))
    after = replace(before, clauses=(clause("refund", ClauseType.EXCLUDE), *before.clauses))
    (found,) = changes(before, after)
    assert found.route == ("filterClauses", 0)
    assert (found.before, found.after) == (None, to_api(after)["filterClauses"][0])


def test_a_clause_taken_out_is_one_removal_behind_the_rest() -> None:
    before = replace(audience(), clauses=(clause("refund"), clause("purchase"), clause("add_to_cart")))
    after = replace(before, clauses=before.clauses[1:])
    (found,) = changes(before, after)
    assert found.route == ("filterClauses", 2)
    assert (found.before, found.after) == (to_api(before)["filterClauses"][0], None)


def test_an_edited_clause_meets_its_own_past_beside_an_added_one() -> None:
    strict = Clause(
        ClauseType.INCLUDE,
        SimpleFilter(Scope.SAME_EVENT, (AnyOf((FieldFilter("country", InListFilter(("CH", "DE"))),)),)),
    )
    loose = replace(strict, filter=replace(strict.filter, scope=Scope.SAME_SESSION))
    before = replace(audience(), clauses=(clause("purchase"), strict))
    after = replace(audience(), clauses=(clause("refund"), loose, clause("purchase")))
    found = {change.path: (change.before, change.after) for change in changes(before, after)}
    assert found["filterClauses[1].simpleFilter.scope"] == (Scope.SAME_EVENT, Scope.SAME_SESSION)
    assert found["filterClauses[0]"][0] is None
    assert len(found) == 2


def test_steps_keep_their_order() -> None:
    before = replace(audience(), clauses=(sequence("view", "buy"),))
    after = replace(audience(), clauses=(sequence("buy", "view"),))
    assert [change.after for change in changes(before, after)] == ["buy", "view"]


def test_objects_with_few_common_names_are_compared_name_by_name() -> None:
    number = FieldFilter("eventCount", NumericFilter(Operation.GREATER_THAN, 3), in_any_n_day_period=7)
    text = FieldFilter("eventCount", StringFilter(MatchType.EXACT, "3"))
    one, other = (
        replace(
            audience(),
            clauses=(Clause(ClauseType.INCLUDE, SimpleFilter(Scope.ALL_SESSIONS, (AnyOf((leaf,)),))),),
        )
        for leaf in (number, text)
    )
    names = {change.route[-1]: change for change in changes(one, other)}
    assert names.keys() == {"inAnyNDayPeriod", "numericFilter", "stringFilter"}
    assert names["inAnyNDayPeriod"].before == 7
    assert names["stringFilter"].after == {"matchType": "EXACT", "value": "3"}


def test_a_mode_that_an_exclusion_brings_to_life_is_an_addition() -> None:
    before = replace(audience(), exclusion_mode=ExclusionMode.PERMANENTLY)
    after = replace(before, clauses=(*before.clauses, clause("refund", ClauseType.EXCLUDE)))
    mode, added = changes(before, after)
    assert (mode.path, mode.before, mode.after) == ("exclusionDurationMode", None, "EXCLUDE_PERMANENTLY")
    assert added.path == "filterClauses[1]"


@pytest.mark.parametrize(
    ("edit", "path", "immutable"),
    [
        ({"display_name": "Others"}, "displayName", False),
        ({"description": "Else."}, "description", False),
        ({"trigger": Trigger("joined", LogCondition.JOINED)}, "eventTrigger", False),
        ({"membership_duration_days": 31}, "membershipDurationDays", True),
        ({"clauses": (clause("refund"),)}, EVENT, True),
    ],
)
def test_each_field_says_its_path_and_whether_ga4_takes_it(
    edit: dict[str, Any], path: str, immutable: bool
) -> None:
    (found,) = changes(audience(), replace(audience(), **edit))
    assert (found.path, found.immutable) == (path, immutable)


def test_a_long_list_of_values_is_compared_in_time() -> None:
    def listing(numbers: range) -> Audience:
        leaf = FieldFilter("city", InListFilter(tuple(f"c{number:05d}" for number in numbers)))
        return replace(
            audience(),
            clauses=(Clause(ClauseType.INCLUDE, SimpleFilter(Scope.SAME_EVENT, (AnyOf((leaf,)),))),),
        )

    found = changes(listing(range(5_000)), listing(range(10, 5_010)))
    assert len(found) == 10
    assert {change.before for change in found} == {f"c{number:05d}" for number in range(10)}
