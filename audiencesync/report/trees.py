"""Changes -> the before/after tree of only what changed; JSON values as compact lines in YAML's manner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from audiencesync.changes import Change
from audiencesync.fields import ENUMS
from audiencesync.report.escape import NAME_LIMIT, cells, inert, quoted
from audiencesync.report.page import Diff, DiffLine

REPLACES = "(forces replacement)"
_ENUM_WORDS = frozenset(word.value for enum in ENUMS.values() for word in enum.python)
_LONGEST_FLOW = 80
_LONGEST_PAIR = 60
_MAX_LINES = 200
_MAX_ITEMS = 100

# Names that the nesting rule makes certain: every filter is an andGroup of orGroups.
_SILENT = {"filterExpression", "eventParameterFilterExpression"}
_GROUPS = {"andGroup": "and", "orGroup": "or"}


def value(data: object) -> str:
    """A value on one line: texts quoted, enum words bare, objects and lists as YAML's flow style."""
    match data:
        case str():
            return data if data in _ENUM_WORDS else quoted(data)
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[data]
        case dict():
            return "{" + ", ".join(f"{_name(key)}: {value(item)}" for key, item in data.items()) + "}"
        case list() | tuple():
            more = [f"… {len(data) - _MAX_ITEMS:,} more"] if len(data) > _MAX_ITEMS else []
            return "[" + ", ".join([*(value(item) for item in data[:_MAX_ITEMS]), *more]) + "]"
        case _:
            return inert(str(data))


def _name(key: object) -> str:
    return inert(str(key), NAME_LIMIT)


def _short(data: object) -> object:
    """The value with its groups said in one word, as in short_route."""
    if isinstance(data, list):
        return [_short(item) for item in data]
    if not isinstance(data, dict):
        return data
    short: dict[str, object] = {}
    for key, item in data.items():
        inner = item.get("filterExpressions") if key in _GROUPS and isinstance(item, dict) else None
        if isinstance(inner, list):
            short[_GROUPS[key]] = _short(inner)
        elif key in _SILENT and isinstance(item, dict):
            short.update(cast(dict[str, object], _short(item)))
        else:
            short[key] = _short(item)
    return short


def outline(data: object) -> Iterator[tuple[int, str]]:
    """A value as (depth, line) pairs: what fits one line stands on one."""
    if _fits(data):
        yield 0, value(data)
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from _under(f"{_name(key)}:", item)
    elif isinstance(data, list):
        for item in data:
            lines = list(outline(item))
            yield 0, f"- {lines[0][1]}"
            yield from ((depth + 1, text) for depth, text in lines[1:])


def _fits(data: object) -> bool:
    return not isinstance(data, dict | list) or not data or cells(value(data)) <= _LONGEST_FLOW


def _under(head: str, item: object) -> Iterator[tuple[int, str]]:
    """A head with its value behind it where that fits, else below it."""
    if _fits(item):
        yield 0, f"{head} {value(item)}"
        return
    yield 0, head
    yield from ((depth + 1, text) for depth, text in outline(item))


@dataclass(slots=True)
class _Branch:
    below: dict[str, _Branch] = field(default_factory=dict)
    change: Change | None = None


def short_route(route: Iterable[str | int]) -> tuple[str, ...]:
    """The route in few words: and[0] and or[1] for the groups, nothing for what is always there."""
    steps: list[str] = []
    group = ""
    for part in route:
        if isinstance(part, int):
            steps.append(f"{steps.pop() if steps else ''}[{part}]")
        elif group and part == "filterExpressions":
            steps.append(group)
        elif part not in _SILENT and part not in _GROUPS:
            steps.append(part)
        group = _GROUPS.get(str(part), "")
    return tuple(steps)


def tree(changes: Iterable[Change], *, immutable_note: bool = True) -> Diff:
    """The tree of the changes; a way that does not fork stands on one line.

    `immutable_note` says behind the fields that GA4 takes only at creation that they force a replacement.
    """
    root = _Branch()
    for change in changes:
        branch = root
        for step in short_route(change.route):
            branch = branch.below.setdefault(step, _Branch())
        branch.change = change
    lines = list(_lines(root, 0, noted=not immutable_note))
    if len(lines) > _MAX_LINES:
        rest = len(lines) - _MAX_LINES
        lines = [*lines[:_MAX_LINES], DiffLine(" ", 0, f"… {rest:,} lines more")]
    return Diff(tuple(lines))


def _lines(branch: _Branch, depth: int, *, noted: bool) -> Iterator[DiffLine]:
    for name, below in branch.below.items():
        inner, path = below, name
        while inner.change is None and len(inner.below) == 1:
            ((step, inner),) = inner.below.items()
            path = f"{path}.{step}"
        if inner.change is not None:
            yield from _leaf(inner.change, inert(path, NAME_LIMIT), depth, noted=noted)
        if inner.below:
            if inner.change is None:
                note = "" if noted or not _immutable(inner) else REPLACES
                yield DiffLine("~", depth, inert(path, NAME_LIMIT), note)
            yield from _lines(inner, depth + 1, noted=True)


def _immutable(branch: _Branch) -> bool:
    own = branch.change is not None and branch.change.immutable
    return own or any(_immutable(below) for below in branch.below.values())


def _leaf(change: Change, path: str, depth: int, *, noted: bool) -> Iterator[DiffLine]:
    note = REPLACES if change.immutable and not noted else ""
    if change.before is not None and change.after is not None:
        before, after = value(change.before), value(change.after)
        plain = not isinstance(change.before, dict | list) and not isinstance(change.after, dict | list)
        if plain and cells(before) + cells(after) <= _LONGEST_PAIR:
            yield DiffLine("~", depth, f"{path}: {before} -> {after}", note)
            return
        yield DiffLine("~", depth, path, note)
        yield from _marked("-", depth + 1, outline(_short(change.before)))
        yield from _marked("+", depth + 1, outline(_short(change.after)))
    else:
        sign, only = ("+", change.after) if change.before is None else ("-", change.before)
        first, *rest = _marked(sign, depth, _under(f"{path}:", _short(only)))
        yield DiffLine(first.sign, first.depth, first.text, note)
        yield from rest


def _marked(sign: str, depth: int, lines: Iterable[tuple[int, str]]) -> Iterator[DiffLine]:
    yield from (DiffLine(sign, depth, "  " * more + text) for more, text in lines)


def whole(sign: str, data: dict[str, Any]) -> Diff:
    """A whole object, every line with the same sign."""
    lines = tuple(
        each
        for key, item in data.items()
        for each in _marked(sign, 0, _under(f"{_name(key)}:", _short(item)))
    )
    return Diff(lines)
