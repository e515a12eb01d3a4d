"""The example workspace: every file is read, and every construct that it promises to teach occurs in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from audiencesync import settings
from audiencesync.canonical import canonical
from audiencesync.fields import ClauseType, ExclusionMode, LogCondition, MatchType, Operation, Scope
from audiencesync.model import (
    AllOf,
    AnyOf,
    Audience,
    BetweenFilter,
    EventFilter,
    FieldFilter,
    InListFilter,
    Leaf,
    Not,
    NumericFilter,
    SequenceFilter,
    Step,
    StringFilter,
)
from audiencesync.short import expand, is_short, to_full, to_short
from audiencesync.source import Document, parse
from audiencesync.wire import from_api
from audiencesync.words import plain, words
from tests.conftest import ROOT

FOLDER = ROOT / "audiences"
FILES = sorted(path for path in FOLDER.glob("*/*.yaml") if path.parent.name in ("shop", "publisher"))


def read(path: Path) -> Document:
    document = expand(parse(str(path), path.read_bytes()))
    assert not document.problems
    return document


def audience(path: Path) -> Audience:
    return from_api({name: value for name, value in read(path).data.items() if name != "manage"})


ALL = {path.stem: audience(path) for path in FILES}


def steps() -> Iterator[tuple[SequenceFilter, int, Step]]:
    for found in ALL.values():
        for clause in found.clauses:
            if isinstance(clause.filter, SequenceFilter):
                for index, step in enumerate(clause.filter.steps):
                    yield clause.filter, index, step


def filters() -> Iterator[tuple[Scope, AllOf]]:
    """Simple filters, with their scopes."""
    for found in ALL.values():
        for clause in found.clauses:
            if not isinstance(clause.filter, SequenceFilter):
                yield clause.filter.scope, clause.filter.groups


def groups() -> Iterator[AnyOf]:
    for _, found in filters():
        yield from found
    for _, _, step in steps():
        yield from step.groups


def leaves() -> Iterator[Leaf]:
    for group in groups():
        yield from group.leaves


def events() -> Iterator[EventFilter]:
    return (leaf for leaf in leaves() if isinstance(leaf, EventFilter))


def plain_leaves() -> Iterator[FieldFilter | Not]:
    for leaf in leaves():
        if isinstance(leaf, EventFilter):
            yield from leaf.parameters
        else:
            yield leaf


def conditions() -> Iterator[FieldFilter]:
    return (leaf.filter if isinstance(leaf, Not) else leaf for leaf in plain_leaves())


def counts() -> Iterator[FieldFilter]:
    return (found for found in conditions() if found.field_name == "eventCount")


def excludes(mode: ExclusionMode) -> bool:
    return any(
        found.exclusion_mode is mode and any(clause.type is ClauseType.EXCLUDE for clause in found.clauses)
        for found in ALL.values()
    )


def compared(kind: type[StringFilter] | type[NumericFilter]) -> set[str]:
    """The match types or operations of the conditions of one kind."""
    found = [each.condition for each in conditions() if isinstance(each.condition, kind)]
    return {each.match_type.name if isinstance(each, StringFilter) else each.operation.name for each in found}


CONSTRUCTS: dict[str, bool] = {
    **{f"scope {each.name}": each in {scope for scope, _ in filters()} for each in Scope},
    **{f"match {each.name}": each.name in compared(StringFilter) for each in MatchType},
    **{f"operation {each.name}": each.name in compared(NumericFilter) for each in Operation},
    **{f"exclusion {each.name}": excludes(each) for each in ExclusionMode},
    **{
        f"trigger {each.name}": any(
            found.trigger and found.trigger.log_condition is each for found in ALL.values()
        )
        for each in LogCondition
    },
    "not": any(isinstance(leaf, Not) for leaf in plain_leaves()),
    "in list": any(isinstance(found.condition, InListFilter) for found in conditions()),
    "between": any(isinstance(found.condition, BetweenFilter) for found in conditions()),
    "case sensitive": any(
        isinstance(found.condition, StringFilter | InListFilter) and found.condition.case_sensitive
        for found in conditions()
    ),
    "whole and fractional numbers": (
        {int, float}
        <= {
            type(found.condition.value)
            for found in conditions()
            if isinstance(found.condition, NumericFilter)
        }
    ),
    "any of": any(len(group.leaves) > 1 for group in groups()),
    "all of": any(len(found) > 1 for _, found in filters()),
    "event parameters": any(event.parameters for event in events()),
    "a moving count": any(found.in_any_n_day_period and not found.at_any_point_in_time for found in counts()),
    "a count reached once": any(found.at_any_point_in_time for found in counts()),
    "a dimension once": any(
        found.at_any_point_in_time for found in conditions() if found.field_name != "eventCount"
    ),
    "custom event dimension": any(f.field_name.startswith("customEvent:") for f in conditions()),
    "custom user dimension": any(f.field_name.startswith("customUser:") for f in conditions()),
    "items": {"itemCategory", "itemBrand"} <= {found.field_name for found in conditions()},
    "the very next event": any(index and step.immediately_follows for _, index, step in steps()),
    "a limit of a step": any(index and step.constraint_duration for _, index, step in steps()),
    "a limit of the sequence": any(sequence.maximum_duration for sequence, _, _ in steps()),
    "a sequence in one session": any(
        sequence.scope is Scope.SAME_SESSION and index > 1 for sequence, index, _ in steps()
    ),
    "a step in one session": any(step.scope is Scope.SAME_SESSION for _, _, step in steps()),
    "two clauses that let in": any(
        sum(clause.type is ClauseType.INCLUDE for clause in found.clauses) > 1 for found in ALL.values()
    ),
}


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_every_construct_is_taught(construct: str) -> None:
    assert CONSTRUCTS[construct]


def test_a_shop_and_a_publisher_have_their_audiences() -> None:
    assert {path.parent.name for path in FILES} == {"shop", "publisher"}
    assert len(FILES) >= 18
    assert len({found.display_name for found in ALL.values()}) == len(FILES)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_file_teaches_and_names_its_schema(path: Path) -> None:
    first, _, third, *_ = path.read_text("utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=../../schemas/audience.schema.json"
    assert third.startswith("# Teaches: ")
    assert read(path).data["manage"]["contact"]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_file_says_the_same_in_both_forms(path: Path) -> None:
    data = read(path).data
    assert canonical(from_api(to_full(to_short(data)))) == canonical(from_api(data))
    assert plain(words(from_api(to_full(to_short(data))))) == plain(words(from_api(data)))


def test_both_forms_are_shown() -> None:
    forms = [is_short(parse(str(path), path.read_bytes()).data) for path in FILES]
    assert 5 <= sum(forms) <= len(forms) - 5


@pytest.mark.parametrize("stem", ALL)
def test_no_example_has_what_a_careful_author_avoids(stem: str) -> None:
    found = ALL[stem]
    out = any(clause.type is ClauseType.EXCLUDE for clause in found.clauses)
    assert out == bool(found.exclusion_mode)
    assert 1 <= found.membership_duration_days <= 540
    if found.trigger:
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,39}", found.trigger.event_name)
        assert not found.trigger.event_name.startswith(("ga_", "google_", "firebase_"))


def test_some_are_protected_some_have_a_date_and_some_a_label() -> None:
    blocks = [read(path).data["manage"] for path in FILES]
    assert any(block.get("preventArchive") for block in blocks)
    assert any(re.fullmatch(r"\d{4}-\d\d-\d\d", block.get("reviewBy", "")) for block in blocks)
    assert all(block["labels"] for block in blocks)


def test_the_settings_are_read_and_their_exports_name_audiences() -> None:
    document = parse("audiencesync.yaml", (FOLDER / settings.NAME).read_bytes())
    assert not document.problems
    assert document.text.startswith("# yaml-language-server: $schema=../schemas/workspace.schema.json\n")
    found = settings.from_data(document.data)
    assert found.owner == "acme-web"
    target = found.target()
    assert target
    assert (target.name, target.property, target.endpoint) == ("demo", "1000", "local")
    assert target.events
    assert target.events.parquet == "events/*.parquet"
    assert [other.name for other in found.targets] == ["demo", "emulator", "production"]
    assert {export.audience for export in found.exports} <= set(ALL)
