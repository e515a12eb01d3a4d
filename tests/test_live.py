"""Live audiences: whose they are, and which nobody may touch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync.live import claims, read, reason_unmanaged
from audiencesync.mark import Mark
from tests.shop import OWNER, PROPERTY, audience, ours, raw, stranger

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_the_mark_is_no_part_of_the_description() -> None:
    found = ours(7, "buyers", audience(description="Who buys."))
    assert found.audience
    assert found.audience.description == "Who buys."
    assert found.mark == Mark(OWNER, "buyers", 1, "7")


@pytest.mark.parametrize("clauses", [None, []])
def test_a_default_audience_is_nobodys(clauses: object) -> None:
    data = raw(7, audience())
    data["filterClauses"] = clauses
    found = read(data, PROPERTY)
    assert found.audience is None
    assert "default" in found.hands_off


def test_another_tools_mark_keeps_our_hands_off() -> None:
    data = raw(7, audience())
    leaf = {"dimensionOrMetricFilter": {"fieldName": "groupId", "stringFilter": {
        "matchType": "EXACT", "value": "created_by_googlesitekit:new_visitors"}}}  # fmt: skip
    groups = data["filterClauses"][0]["simpleFilter"]["filterExpression"]["andGroup"]["filterExpressions"]
    groups.append({"orGroup": {"filterExpressions": [{"notExpression": leaf}]}})
    assert "googlesitekit" in read(data, PROPERTY).hands_off


def test_what_we_cannot_say_names_its_place() -> None:
    data = raw(7, audience())
    data["filterClauses"][0]["simpleFilter"]["newKnob"] = 3
    found = read(data, PROPERTY)
    assert found.audience is None
    assert "filterClauses[0].simpleFilter.newKnob" in found.hands_off


def test_an_unknown_field_of_the_audience_itself_is_passed_over() -> None:
    found = read(raw(7, audience(), newField={"a": 1}), PROPERTY)
    assert found.audience == audience()


def test_an_unbound_mark_alone_is_our_interrupted_create() -> None:
    claim = claims([ours(7, "a", id="")], OWNER)["a"]
    assert [live.id for live in claim.held] == ["7"]
    assert not claim.ambiguous


def test_two_unbound_marks_of_one_generation_are_ambiguous() -> None:
    claim = claims([ours(7, "a", id=""), ours(8, "a", id="")], OWNER)["a"]
    assert not claim.held
    assert [live.id for live in claim.ambiguous] == ["7", "8"]


def test_an_unbound_mark_beside_a_bound_one_is_ambiguous() -> None:
    claim = claims([ours(7, "a"), ours(8, "a", id="")], OWNER)["a"]
    assert [live.id for live in claim.held] == ["7"]
    assert [live.id for live in claim.ambiguous] == ["8"]


def test_the_next_generation_is_ours_too() -> None:
    claim = claims([ours(7, "a"), ours(8, "a", generation=2, id="")], OWNER)["a"]
    assert [live.id for live in claim.held] == ["7", "8"]


def test_another_owners_audience_is_not_claimed() -> None:
    other = read(raw(7, audience(), Mark("shop-app", "a", 1, "own")), PROPERTY)
    assert claims([other], OWNER) == {}
    assert "shop-app" in reason_unmanaged(other, OWNER)


def test_the_fingerprint_sees_each_edit_and_no_reordering() -> None:
    before = ours(7, "a", audience("A"))
    assert before.fingerprint == ours(7, "a", audience("A")).fingerprint
    for changed in (
        ours(7, "a", audience("B")),
        ours(7, "a", audience("A", days=31)),
        ours(7, "a", audience("A", description="else")),
        ours(7, "a", audience("A"), generation=2),
        stranger(7, audience("A")),
    ):
        assert changed.fingerprint != before.fingerprint


@given(st.dictionaries(st.sampled_from(
    ["name", "displayName", "description", "filterClauses", "eventTrigger", "createTime",
     "membershipDurationDays", "exclusionDurationMode", "x"]), json_values))  # fmt: skip
def test_whatever_ga4_answers_is_read(data: dict[str, object]) -> None:
    found = read(data, PROPERTY)
    assert found.audience is not None or found.hands_off
    assert found.fingerprint == read(data, PROPERTY).fingerprint
