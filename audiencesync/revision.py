"""The audiences as of a git revision, and which of today's keys each of them goes under."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from audiencesync import git, source, workspace
from audiencesync.model import Audience, Desired
from audiencesync.rules import stem
from audiencesync.source import Problem, Severity
from audiencesync.workspace import Workspace


def read(folder: Path, revision: str) -> Workspace:
    """The audience files as of a revision, checked without settings: those of today hold.

    Errors: UsageError as in git.files_at.
    """
    return workspace.assemble(folder, git.files_at(folder, revision, workspace.holds_audience))


def broken(then: Workspace) -> dict[str, Problem]:
    """The first error of each file that has errors, by its path."""
    return {each.location.path: each for each in reversed(then.problems) if each.severity is Severity.ERROR}


def definitions(now: Workspace, then: Workspace, target: str) -> dict[str, Audience | Problem]:
    """What the target's audiences were, by today's keys: a definition, or why the file had none.

    A file with errors counts for the key that it still says, else for the one that the same path has today,
    else for its stem. A key that was renamed since is found by manage.previousKeys.
    """
    found: dict[str, Audience | Problem] = {
        each.key: each.audience for each in then.desired if each.manage.belongs_to(target)
    }
    by_path = {each.document.path: each for each in now.desired}
    by_key = {each.key: each for each in now.desired}
    for path, problem in broken(then).items():
        text, same = then.texts[path], by_path.get(path)
        manage = _manage(path, text)
        said = _said(text) if manage is None else manage.get("key")
        sure = said if isinstance(said, str) and said else same.key if same else ""
        key = sure or stem(path)
        if _meant(manage, same or by_key.get(key), target) and (sure or key not in found):
            found[key] = problem
    for each in now.desired:
        for old in each.manage.previous_keys:
            if old in found and each.key not in found:
                found[each.key] = found.pop(old)
    return found


def _manage(path: str, text: str) -> Mapping[str, Any] | None:
    """The manage block of a file with errors as far as it can be read; None where the file cannot."""
    data = source.parse(path, text.encode()).data
    manage = data.get("manage", {}) if isinstance(data, dict) else None
    return manage if isinstance(manage, dict) or manage is None else {}


_MANAGE = re.compile(r"""(?P<quote>["']?)manage(?P=quote)[ \t]*:(?P<rest>.*)""")
_KEY = re.compile(r"""(?P<quote>["']?)key(?P=quote)[ \t]*:[ \t]*["']?(?P<key>[\w.-]+)""")
_ITEM = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:''|[^'])*'|[^,"'{}])+""")


def _said(text: str) -> str:
    """The manage.key that stands in a text that is no YAML, or ""."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for number, line in enumerate(lines):
        if found := _MANAGE.fullmatch(line):
            rest = found["rest"].strip()
            return _first_key(_ITEM.findall(rest) if rest.startswith("{") else _children(lines[number + 1 :]))
    return ""


def _children(lines: Sequence[str]) -> Iterator[str]:
    """The entries of the block that begins with the first line, without what is nested in them."""
    indent = _indent(lines[0]) if lines else 0
    for line in lines:
        if not 0 < indent <= _indent(line):
            return
        if _indent(line) == indent:
            yield line


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _first_key(entries: Iterable[str]) -> str:
    found = (_KEY.match(entry.strip()) for entry in entries)
    return next((each["key"] for each in found if each), "")


def _meant(manage: Mapping[str, Any] | None, today: Desired | None, target: str) -> bool:
    """Whether a file with errors was meant for the target; one that cannot be read, if today's is."""
    if manage is None:
        return today is None or today.manage.belongs_to(target)
    targets = manage.get("targets")
    return not isinstance(targets, list) or target in targets


def why(folder: Path, problem: Problem, revision: str) -> str:
    """Why a file has no definition as of a revision, in one line."""
    name = PurePath(problem.location.path).relative_to(folder)
    return f"its file {name} is invalid at {revision}: {problem.message}"
