"""What differs between an audience as GA4 holds it and as the file says it, value by value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from audiencesync.canonical import canonical, canonical_bytes, canonical_clause
from audiencesync.fields import MUTABLE, fields_of
from audiencesync.model import Audience
from audiencesync.source import Route
from audiencesync.wire import Json, clause_to_api, to_api

_UNORDERED = ("filterClauses", "filterExpressions", "values")
_SAME = "="
"""Stands on both sides for what is equal, so that deepdiff does not walk it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs; `before` or `after` is None where it is only on the other side.

    `route` leads into GA4's JSON of the file's audience; `immutable` says that GA4 takes it only at creation.
    """

    route: Route
    before: Any
    after: Any
    immutable: bool

    @property
    def path(self) -> str:
        """The route as people write it: filterClauses[0].simpleFilter.scope."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.route).lstrip(
            "."
        )


def _likeness(one: object, other: object) -> int:
    """How many leading shapes two members share: enough to pair what was edited with what it was."""
    score = 0
    while isinstance(one, dict) and isinstance(other, dict):
        names = sorted(one.keys() & other.keys())
        score += sum(1 + (one[name] == other[name]) for name in names)
        nested = next((name for name in names if isinstance(one[name], dict | list)), None)
        if nested is None:
            break
        one, other = one[nested], other[nested]
        while isinstance(one, list) and isinstance(other, list):
            one, other = (one or [None])[0], (other or [None])[0]
    return score


def _pair(before: list[Any], after: list[Any]) -> list[Any]:
    """The members of `before` in the order of their partners in `after`; the rest at the end."""
    left = list(before)
    partners: list[Any] = [None] * len(after)
    for index, item in enumerate(after):
        if item in left:
            partners[index] = left.pop(left.index(item))
    for index, item in enumerate(after):
        if partners[index] is None and left:
            best = max(range(len(left)), key=lambda place: (_likeness(left[place], item), -place))
            partners[index] = left.pop(best)
    return [partner for partner in partners if partner is not None] + left


def _align(
    before: object, after: object, unordered: Callable[[str], bool], name: str = ""
) -> tuple[Any, Any]:
    """Both sides with unordered lists in the same order and equal subtrees cut out."""
    if before == after:
        return _SAME, _SAME
    if isinstance(before, dict) and isinstance(after, dict):
        pairs = {key: _align(before[key], after[key], unordered, key) for key in after if key in before}
        return (
            {key: pairs[key][0] if key in pairs else value for key, value in before.items()},
            {key: pairs[key][1] if key in pairs else value for key, value in after.items()},
        )
    if isinstance(before, list) and isinstance(after, list):
        if unordered(name):
            before = _pair(before, after)
        shared = [_align(one, other, unordered) for one, other in zip(before, after, strict=False)]
        return (
            [one for one, _ in shared] + before[len(shared) :],
            [other for _, other in shared] + after[len(shared) :],
        )
    return before, after


def _deep(before: Json, after: Json) -> list[tuple[Route, Any, Any]]:
    """What deepdiff finds on the aligned pair, as routes with both values."""
    from deepdiff import DeepDiff
    from deepdiff.helper import NotPresent

    one, other = _align(before, after, _UNORDERED.__contains__)
    found = DeepDiff(one, other, view="tree", zip_ordered_iterables=True, ignore_type_in_groups=None)
    absent = (NotPresent, type(NotPresent))
    rows = [
        (
            tuple(item.path(output_format="list")),
            None if isinstance(item.t1, absent) or item.t1 is NotPresent else item.t1,
            None if isinstance(item.t2, absent) or item.t2 is NotPresent else item.t2,
        )
        for group in found.values()
        for item in group
    ]
    return sorted(
        rows, key=lambda row: [str(part).rjust(6) if isinstance(part, int) else part for part in row[0]]
    )


def _written(audience: Audience, equal_to: Audience) -> Json:
    """The audience as it is written, with each clause that means the same on both sides in one form."""
    known = {canonical_bytes(clause_to_api(canonical_clause(clause))) for clause in equal_to.clauses}
    clauses = []
    for clause in audience.clauses:
        plain = canonical_clause(clause)
        clauses.append(plain if canonical_bytes(clause_to_api(plain)) in known else clause)
    return to_api(replace(audience, clauses=tuple(clauses)))


def changes(before: Audience, after: Audience) -> tuple[Change, ...]:
    """Every value that differs, in the order of GA4's fields; empty where both mean the same.

    Canonical bytes decide field by field whether anything differs; what is shown is built from the values
    as they are written.
    """
    one, other = to_api(canonical(before)), to_api(canonical(after))
    differing = [
        name for name in _ORDER if canonical_bytes(one.get(name)) != canonical_bytes(other.get(name))
    ]
    if not differing:
        return ()
    written_before, written_after = _written(before, after), _written(after, before)
    found: list[Change] = []
    for name in differing:
        values = written_before.get(name), written_after.get(name)
        immutable = name not in MUTABLE
        if all(isinstance(value, dict | list) for value in values):
            rows = _deep({name: values[0]}, {name: values[1]})
            found.extend(Change(route, old, new, immutable) for route, old, new in rows)
        else:
            found.append(Change((name,), values[0], values[1], immutable))
    return tuple(found)


_ORDER = tuple(
    field.name for field in fields_of("Audience") if not field.output_only and field.of != "Manage"
)
