"""Which of today's keys an audience of an earlier revision goes under."""

from __future__ import annotations

from pathlib import Path

import pytest

from audiencesync import revision
from audiencesync.source import Location, Problem
from audiencesync.workspace import Workspace, assemble, holds_audience

FOLDER = Path("audiences")
OUTSIDE = Problem(Location("audiences/a.yaml", 1, 1), "outside-link", "it leads out")


def of(name: str = "A", manage: str = "", days: int = 30) -> str:
    lines = f"displayName: {name}\nmembershipDurationDays: {days}\ndescription: d\n"
    lines += "include: [{event: purchase}]\n"
    return lines + (f"manage: {manage}\n" if manage else "")


def workspace(**files: str | Problem) -> Workspace:
    raw = {
        str(FOLDER / f"{name.replace('__', '/')}.yaml"): text.encode() if isinstance(text, str) else text
        for name, text in files.items()
    }
    return assemble(FOLDER, raw)


def told(now: Workspace, then: Workspace, target: str = "demo") -> dict[str, str]:
    """Each key with the name that it had, or with "!" where its file was invalid."""
    found = revision.definitions(now, then, target)
    return {
        key: "!" if isinstance(each, Problem) else each.display_name for key, each in sorted(found.items())
    }


BAD = 999
UNREADABLE = "displayName: [\n"
CONFLICT = "<<<<<<< ours\ndisplayName: A\nmanage:\n  contact: x\n  # who\n  key: k\n"


@pytest.mark.parametrize(
    ("now", "then", "expected"),
    [
        # the key that the invalid file still says
        ({"a": of(manage="{key: k}")}, {"a": of(manage="{key: k}", days=BAD)}, {"k": "!"}),
        ({"sub__b": of(manage="{key: k}")}, {"a": of(manage="{key: k}", days=BAD)}, {"k": "!"}),
        ({"sub__b": of(manage="{key: k}")}, {"a": CONFLICT}, {"k": "!"}),
        ({"sub__b": of(manage="{key: k}")}, {"a": "x: [\nmanage: {contact: b, key: 'k'}\n"}, {"k": "!"}),
        ({"b": of(manage="{key: k}")}, {"a": "x: [\nmanage:\n\n  key: k\n"}, {"k": "!"}),
        ({"b": of(manage="{key: k}")}, {"a": "x: [\r\nmanage:\r\n  key: k\r\n"}, {"k": "!"}),
        ({"b": of(manage="{key: k}")}, {"a": "x: [\nmanage: # who\n# what\n  key: k # so\n"}, {"k": "!"}),
        ({"b": of(manage="{key: k}")}, {"a": 'x: [\n"manage":\n  "key": "k"\n'}, {"k": "!"}),
        ({"b": of(manage="{key: k}")}, {"a": "x: [\nmanage:\n  no:\n    key: z\n  key: k\n"}, {"k": "!"}),
        ({"b": of(manage="{key: k}")}, {"a": "x: [\nmanage: {contact: 'key: z', key: k}\n"}, {"k": "!"}),
        ({"a": of("New")}, {"a": "x: [\nmanage:\nkey: z\n"}, {"a": "!"}),
        # else the one that the same path has today
        ({"a": of(manage="{key: k}")}, {"a": UNREADABLE}, {"k": "!"}),
        ({"a": of(manage="{key: k}")}, {"a": of(manage="{kee: k}")}, {"k": "!"}),
        ({"a": of(manage="{key: k}")}, {"a": of(manage="{key: 7}")}, {"k": "!"}),
        ({"a": of(manage="{key: k}")}, {"a": OUTSIDE}, {"k": "!"}),
        # else its stem, which never stands before a definition
        ({"sub__a": of()}, {"a": UNREADABLE}, {"a": "!"}),
        ({"a": of()}, {"a": of("Old"), "sub__a": UNREADABLE}, {"a": "Old"}),
        ({}, {"gone": UNREADABLE}, {"gone": "!"}),
        # renamed since
        ({"new": of(manage="{previousKeys: [a]}")}, {"a": of("Old")}, {"new": "Old"}),
        ({"new": of(manage="{previousKeys: [a]}")}, {"a": of(days=BAD)}, {"new": "!"}),
        ({"new": of(manage="{previousKeys: [a]}")}, {"a": UNREADABLE}, {"new": "!"}),
        (
            {"x": of(manage="{key: new, previousKeys: [k]}")},
            {"x": of(manage="{key: k}", days=BAD)},
            {"new": "!"},
        ),
        # a file that says another's key is no definition of it
        ({"a": of()}, {"a": of("Old"), "b": of("B", "{key: a}")}, {"a": "!"}),
        # other targets are nobody's business
        ({}, {"a": of(days=BAD, manage="{targets: [other]}")}, {}),
        ({"a": of(manage="{targets: [other]}")}, {"a": UNREADABLE}, {}),
        ({"sub__b": of(manage="{key: k, targets: [other]}")}, {"a": CONFLICT}, {}),
    ],
)
def test_a_revision_is_read_under_todays_keys(
    now: dict[str, str], then: dict[str, str | Problem], expected: dict[str, str]
) -> None:
    today = workspace(**now)
    assert not revision.broken(today)
    assert told(today, workspace(**then)) == expected


def test_the_first_error_of_a_file_is_its_reason() -> None:
    then = workspace(a=of(days=BAD) + "nonsense: 1\n")
    (problem,) = revision.broken(then).values()
    assert problem.location.line == 2
    said = revision.why(FOLDER, problem, "HEAD~1")
    assert said.startswith("its file a.yaml is invalid at HEAD~1: ")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("path", "holds"),
    [
        ("a.yaml", True),
        ("sub/.a.yml", True),
        (".github/workflows/audiences.yml", False),
        ("sub/.hidden/a.yaml", False),
        ("audiencesync.yaml", False),
        ("a.json", False),
    ],
)
def test_which_files_of_a_revision_are_read(path: str, *, holds: bool) -> None:
    assert holds_audience(path) == holds
