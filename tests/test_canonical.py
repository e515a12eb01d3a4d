"""Audiences that mean the same to GA4 have one form, and only those."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync.canonical import canonical, canonical_bytes, definition_fingerprint, fingerprint
from audiencesync.fields import MUTABLE, ClauseType, ExclusionMode, LogCondition, MatchType, Operation, Scope
from audiencesync.model import (
    AnyOf,
    Audience,
    Clause,
    FieldFilter,
    InListFilter,
    Number,
    NumericFilter,
    SequenceFilter,
    SimpleFilter,
    Step,
    StringFilter,
    Trigger,
)
from audiencesync.wire import from_api, to_api
from tests.strategies import audiences, messy


def field(value: str) -> FieldFilter:
    return FieldFilter("country", StringFilter(MatchType.EXACT, value))


def step(value: str, **more: Any) -> Step:
    return Step(Scope.SAME_EVENT, (AnyOf((field(value),)),), **more)


def sequence(*steps: Step, maximum: int | None = None) -> Audience:
    return audience(Clause(ClauseType.INCLUDE, SequenceFilter(Scope.ALL_SESSIONS, steps, maximum)))


def simple(*groups: AnyOf, type_: ClauseType = ClauseType.INCLUDE) -> Clause:
    return Clause(type_, SimpleFilter(Scope.SAME_EVENT, groups))


def audience(*clauses: Clause, **more: Any) -> Audience:
    return Audience("A", "text", more.pop("days", 30), clauses, **more)


@given(audiences())
def test_the_canonical_form_is_its_own_canonical_form(one: Audience) -> None:
    assert canonical(canonical(one)) == canonical(one)
    assert fingerprint(one) == fingerprint(canonical(one))


@given(audiences().flatmap(lambda one: st.tuples(st.just(one), messy(one), messy(one))))
def test_two_messy_forms_are_equal(three: tuple[Audience, dict[str, Any], dict[str, Any]]) -> None:
    one, left, right = three
    assert fingerprint(from_api(left)) == fingerprint(from_api(right)) == fingerprint(one)


def test_the_order_of_steps_matters() -> None:
    assert fingerprint(sequence(step("A"), step("B"))) != fingerprint(sequence(step("B"), step("A")))


def test_a_repeated_step_is_kept() -> None:
    assert fingerprint(sequence(step("A"), step("A"))) != fingerprint(sequence(step("A")))


def test_what_the_first_step_is_told_is_ignored_and_the_second_heeds_it() -> None:
    plain = fingerprint(sequence(step("A"), step("B")))
    told = {"immediately_follows": True, "constraint_duration": 60}
    assert fingerprint(sequence(step("A", **told), step("B"))) == plain
    assert fingerprint(sequence(step("A"), step("B", **told))) != plain
    assert fingerprint(sequence(step("A"), step("B"), maximum=60)) != plain


def test_the_order_and_repetition_of_clauses_groups_and_leaves_do_not_matter() -> None:
    a, b, c = field("A"), field("B"), field("C")
    left = audience(simple(AnyOf((a, b)), AnyOf((c,))), simple(AnyOf((c,)), type_=ClauseType.EXCLUDE))
    right = audience(
        simple(AnyOf((c,)), type_=ClauseType.EXCLUDE),
        simple(AnyOf((c,)), AnyOf((b, a, b)), AnyOf((a, b))),
    )
    assert fingerprint(left) == fingerprint(right)
    assert fingerprint(audience(simple(AnyOf((a,)), AnyOf((b,))))) != fingerprint(
        audience(simple(AnyOf((a, b))))
    )


def test_list_values_are_a_set() -> None:
    def listed(*values: str) -> str:
        return fingerprint(audience(simple(AnyOf((FieldFilter("country", InListFilter(values)),)))))

    assert listed("CA", "US") == listed("US", "CA", "US")
    assert listed("CA") != listed("US")


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (5, 5.0, True),
        (0, -0.0, True),
        (5, 5.5, False),
        (2**53, float(2**53), True),
        (2**53 + 1, float(2**53), False),
        (2**63 - 1, float(2**63), False),
        (1e300, 1e300, True),
    ],
)
def test_numbers_are_compared_by_value(left: Number, right: Number, same: bool) -> None:
    def of(value: Number) -> Audience:
        leaf = FieldFilter("eventCount", NumericFilter(Operation.EQUAL, value))
        return audience(simple(AnyOf((leaf,))))

    assert (fingerprint(of(left)) == fingerprint(of(right))) is same
    assert from_api(to_api(canonical(of(right)))) == canonical(of(right))


def test_minus_one_day_is_540() -> None:
    clause = simple(AnyOf((field("A"),)))
    assert fingerprint(audience(clause, days=-1)) == fingerprint(audience(clause, days=540))
    assert fingerprint(audience(clause, days=-1)) != fingerprint(audience(clause, days=1))


def test_a_mode_counts_only_beside_an_exclude_clause() -> None:
    keep, out = simple(AnyOf((field("A"),))), simple(AnyOf((field("B"),)), type_=ClauseType.EXCLUDE)
    for clauses, same in (((keep,), True), ((keep, out), False)):
        modes = {fingerprint(audience(*clauses, exclusion_mode=mode)) for mode in (None, *ExclusionMode)}
        assert (len(modes) == 1) is same


def test_what_a_patch_can_change_is_not_in_the_definition() -> None:
    one = audience(simple(AnyOf((field("A"),))))
    other = replace(one, display_name="B", description="", trigger=Trigger("joined", LogCondition.JOINED))
    assert set(MUTABLE) == {"displayName", "description", "eventTrigger"}
    assert definition_fingerprint(one) == definition_fingerprint(other)
    assert fingerprint(one) != fingerprint(other)
    changed = replace(one, membership_duration_days=31)
    assert definition_fingerprint(one) != definition_fingerprint(changed)


def test_canonical_bytes_do_not_depend_on_the_order_of_keys() -> None:
    assert canonical_bytes({"b": 1, "a": [2]}) == canonical_bytes({"a": [2], "b": 1}) == b'{"a":[2],"b":1}'
