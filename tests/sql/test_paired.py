"""What a preview against GA4 compares: the plan's own pairs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from audiencesync.live import Live, read
from audiencesync.model import Desired
from audiencesync.plan import plan
from audiencesync.sql.preview import Comparison, paired
from tests.shop import PROPERTY, audience, desired, ours, policy


def compared(files: list[Desired], lives: list[Live]) -> dict[str, Comparison]:
    found = plan(files, lives, replace(policy(), archive_everything=policy().owner))
    return {action.key: paired(action) for action in found.actions}


def renamed(key: str, *old: str) -> Desired:
    made = desired(key)
    return replace(made, manage=replace(made.manage, previous_keys=old))


def test_a_renamed_key_is_compared_with_its_old_self() -> None:
    assert compared([renamed("b", "a")], [ours(7, "a")]) == {
        "b": Comparison("b", audience("a"), audience("b"))
    }


def test_nothing_there_is_no_fault() -> None:
    assert compared([desired("a")], [ours(7, "b")]) == {
        "a": Comparison("a", None, audience("a")),
        "b": Comparison("b", audience("b"), None),
    }


@pytest.mark.parametrize(
    ("file", "lives", "fault"),
    [
        (renamed("c", "a", "b"), [ours(7, "a"), ours(8, "b")], "several keys of this file are live"),
        (desired("c"), [ours(7, "c", id=""), ours(8, "c", id="")], "nobody can say which one"),
    ],
)
def test_a_base_that_nobody_can_name_is_a_fault(file: Desired, lives: list[Live], fault: str) -> None:
    (found,) = compared([file], lives).values()
    assert found.before is None
    assert fault in found.before_fault


def test_what_no_file_can_say_is_a_fault() -> None:
    strange = read({**ours(7, "a").raw, "filterClauses": [{"clauseType": "NEW"}]}, PROPERTY)
    (found,) = compared([desired("a")], [strange]).values()
    assert found.before is None
    assert "cannot be written in a file" in found.before_fault
