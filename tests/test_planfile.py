"""A plan file tells what it was made from, refuses what was edited, and never answers with a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync import planfile
from audiencesync.action import Plan, Reason, plan_core
from audiencesync.errors import PlanFileError
from audiencesync.plan import plan
from tests import strategies
from tests.report.hostile import HOSTILE
from tests.report.plans import hostile, mixed, of
from tests.shop import audience, desired, ours, policy, stranger

Data = dict[str, Any]


def data_of(made: Plan) -> Data:
    found: Data = json.loads(planfile.write_text(made))
    return found


@pytest.mark.parametrize("made", [mixed(), of([desired("a")], []), *map(hostile, HOSTILE[:12])])
def test_what_was_written_is_read(made: Plan) -> None:
    found = planfile.read_text(planfile.write_text(made))
    assert found.core == json.loads(json.dumps(plan_core(made)))
    assert found.digest == made.digest
    assert planfile.compare(found, made) == []


@given(strategies.audiences(), strategies.audiences())
def test_any_plan_survives_its_file(one: Any, other: Any) -> None:
    made = of([desired("a", one), desired("b", other)], [ours(1, "a", other), ours(2, "c", one)])
    assert planfile.compare(planfile.read_text(planfile.write_text(made)), made) == []


def test_the_file_is_the_report_and_carries_no_bodies() -> None:
    text = planfile.write_text(mixed())
    assert text == planfile.dump(planfile.document(mixed()))
    assert "filterExpression" not in text.replace("filterClauses[", "").split('"changes"')[0]
    assert text.isascii()


EDITS: dict[str, Callable[[Data], object]] = {
    "a verb": lambda data: data["actions"][0].update(verb="keep"),
    "a key": lambda data: data["actions"][0].update(key="other"),
    "an action less": lambda data: data["actions"].pop(),
    "an action more": lambda data: data["actions"].append(data["actions"][0]),
    "a live fingerprint": lambda data: data["fingerprints"]["live"].update({"properties/1/audiences/1": "0"}),
    "a file's fingerprint": lambda data: data["fingerprints"]["desired"].update(swiss="0"),
    "a value after": lambda data: data["actions"][3]["changes"][0].update(after="else"),
    "what is archived": lambda data: data["actions"][0]["archives"].append("properties/1/audiences/1"),
    "the mask": lambda data: data["actions"][3]["updateMask"].pop(),
    "the reason": lambda data: data["actions"][0].update(reason="resume"),
    "the owner": lambda data: data.update(owner="else"),
    "the target": lambda data: data.update(target="else"),
    "the property": lambda data: data.update(property="2000"),
    "the selection": lambda data: data.update(selection=["a"]),
    "the digest": lambda data: data.update(digest="0" * 64),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_file_is_refused(edit: Callable[[Data], object]) -> None:
    data = data_of(mixed())
    edit(data)
    with pytest.raises(PlanFileError, match="edited or damaged"):
        planfile.read_text(json.dumps(data))


MISSING = ("formatVersion", "owner", "target", "property", "selection", "digest", "fingerprints", "actions")


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("value", [..., None, 1, [1], {"a": 1}])
def test_a_field_that_is_missing_or_of_another_kind_is_told(name: str, value: object) -> None:
    data = data_of(mixed())
    if value is ...:
        del data[name]
    else:
        data[name] = value
    with pytest.raises(PlanFileError, match=r"no plan file: its \w+ (is|are) missing|no plan file: its fing"):
        planfile.read_text(json.dumps(data))


INSIDE = ("verb", "key", "displayName", "name", "changes", "updateMask", "reason", "archives")


@pytest.mark.parametrize("name", INSIDE)
def test_a_part_of_an_action_that_is_missing_is_told(name: str) -> None:
    data = data_of(mixed())
    del data["actions"][0][name]
    with pytest.raises(PlanFileError, match=f"its {name} is missing"):
        planfile.read_text(json.dumps(data))


def test_an_unknown_verb_and_half_a_change_are_told() -> None:
    data = data_of(mixed())
    data["actions"][0]["verb"] = "destroy"
    with pytest.raises(PlanFileError, match="verbs is unknown"):
        planfile.read_text(json.dumps(data))
    data = data_of(mixed())
    del data["actions"][3]["changes"][0]["before"]
    with pytest.raises(PlanFileError, match="changes is incomplete"):
        planfile.read_text(json.dumps(data))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ("null", "no JSON object"),
        ('{"formatVersion": NaN}', "NaN is no JSON"),
        ("[" * 100_000, "beyond reason"),
        ("1" * 5_000, "beyond reason"),
        ('{"a":' * 100_000, "beyond reason"),
        ("displayName: Buyers\n", "no JSON"),
        ('{"formatVersion": "2.0"}', "format version '2.0'"),
        ('{"formatVersion": "10.1"}', "format version '10.1'"),
        ('{"formatVersion": ""}', "format version ''"),
        ('{"formatVersion": "1.0", "problems": []}', "its fingerprints are missing"),
    ],
)
def test_what_is_no_plan_is_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(PlanFileError) as caught:
        planfile.read_text(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_file_beyond_the_bound_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planfile, "MAX_CHARACTERS", 10)
    with pytest.raises(PlanFileError, match="at most 10"):
        planfile.read_text("x" * 11)


def test_the_report_of_a_failed_plan_is_no_plan() -> None:
    text = planfile.dump(planfile.document(None, Reason("api", "no answer")))
    with pytest.raises(PlanFileError, match="failed plan"):
        planfile.read_text(text)


def test_what_a_newer_minor_version_adds_is_ignored() -> None:
    data = data_of(mixed())
    data.update(formatVersion="1.7", novelty={"a": [1]}, summary=None, unmanaged="else")
    data["actions"][0].update(novelty=1, blocked="else")
    data["actions"][3]["changes"][0]["novelty"] = 1
    data["fingerprints"]["novelty"] = {}
    assert planfile.compare(planfile.read_text("\ufeff" + json.dumps(data)), mixed()) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_no_damage_gives_anything_but_a_sentence(data: st.DataObject) -> None:
    found = data_of(mixed())
    place: Any = found
    for _ in range(data.draw(st.integers(1, 4))):
        if not isinstance(place, dict | list) or not place:
            break
        steps = list(place) if isinstance(place, dict) else list(range(len(place)))
        step = data.draw(st.sampled_from(steps))
        parent, place = place, place[step]
        if data.draw(st.booleans()):
            parent[step] = data.draw(JSON)
            break
    text = json.dumps(found)
    start = data.draw(st.integers(0, len(text)))
    for source in (text, text[:start], text[:start] + data.draw(st.text(max_size=5)) + text[start:]):
        with suppress(PlanFileError):
            planfile.read_text(source)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_no_text_gives_anything_but_a_sentence(text: str) -> None:
    with pytest.raises(PlanFileError):
        planfile.read_text(text)


def moved(old: Plan, new: Plan) -> list[str]:
    return planfile.compare(planfile.read_text(planfile.write_text(old)), new)


def test_each_thing_that_moved_is_named() -> None:
    base = of([desired("a"), desired("b")], [ours(1, "a"), ours(2, "c")])
    assert moved(base, of([desired("a"), desired("b", audience(days=60))], [ours(1, "a"), ours(2, "c")])) == [
        "the file of b changed",
        "b: the plan file says create, now it would be create in another way",
    ]
    assert moved(base, of([desired("a")], [ours(1, "a"), ours(2, "c")])) == [
        "the file of b is gone",
        "b: the plan file says create, now it would be nothing",
    ]
    assert moved(base, of([desired("a"), desired("b"), desired("d")], [ours(1, "a"), ours(2, "c")])) == [
        "the file of d appeared",
        "d: the plan file says nothing, now it would be create",
    ]
    assert moved(base, of([desired("a"), desired("b")], [ours(1, "a", audience("Else")), ours(2, "c")])) == [
        "the live audience properties/1000/audiences/1 (a) changed",
        "a: the plan file says keep, now it would be patch",
    ]
    assert moved(base, of([desired("a"), desired("b")], [ours(1, "a")])) == [
        "the live audience properties/1000/audiences/2 (c) is gone",
        "c: the plan file says archive, now it would be nothing",
    ]
    assert moved(base, of([desired("a"), desired("b")], [ours(1, "a"), ours(2, "c"), ours(3, "b")])) == [
        "the live audience properties/1000/audiences/3 (b) appeared",
        "b: the plan file says create, now it would be keep",
    ]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"owner": "else"}, "for owner acme-web, and this is else"),
        ({"target": "prod"}, "for target demo, and this is prod"),
        ({"property": "2000"}, "for property 1000, and this is 2000"),
        ({"selection": ("a", "b")}, "for all keys, and this is for the keys a, b"),
    ],
)
def test_another_scope_is_named(other: dict[str, Any], words: str) -> None:
    base = of([desired("a")], [])
    assert words in " ".join(moved(base, replace(base, policy=replace(base.policy, **other))))


def test_strangers_limits_and_flags_make_no_plan_stale() -> None:
    files, live = [desired("a")], [ours(1, "b")]
    base = of(files, live)
    assert moved(base, of(files, [*live, stranger(9, audience("Someone's"))])) == []
    assert moved(base, of(files, live, destructive=0)) == []
    assert moved(base, plan(files, live, replace(policy(), allow_replace=True))) == []


def test_an_emptied_plan_is_stale() -> None:
    files = [desired("a")]
    assert moved(of(files, []), of(files, [ours(1, "a")])) == [
        "the live audience properties/1000/audiences/1 (a) appeared",
        "a: the plan file says create, now it would be keep",
    ]
