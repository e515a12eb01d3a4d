"""What differs between an audience as GA4 holds it and as the file says it, value by value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
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
_NOTHING = object()
"""Stands where a member of a list has no partner on the other side."""
_MAX_COMPARED = 10_000
"""So many pairs of list members are compared to find what was edited; more are paired as they stand."""


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


def _meaning(data: object) -> bytes:
    """Equal bytes for values that differ at most in the order of what has none."""

    def plain(data: object, name: str = "") -> object:
        if isinstance(data, dict):
            return {key: plain(item, key) for key, item in data.items()}
        if isinstance(data, list):
            items = [plain(item) for item in data]
            return sorted(items, key=canonical_bytes) if name in _UNORDERED else items
        return data

    return canonical_bytes(plain(data))


def _values(data: object, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every scalar with the names that lead to it, without places in lists."""
    if isinstance(data, dict):
        for key, item in data.items():
            yield from _values(item, (*names, key))
    elif isinstance(data, list):
        for item in data:
            yield from _values(item, names)
    else:
        yield names, data


def _likest(before: list[Any], after: list[Any]) -> list[tuple[int, int]]:
    """Pairs of places, those first whose members share most values: what was edited with what it was."""
    if len(before) * len(after) > _MAX_COMPARED or not any(isinstance(item, dict) for item in after):
        return list(zip(range(len(before)), range(len(after)), strict=False))
    olds, news = ([Counter(_values(item)) for item in items] for items in (before, after))
    shared = {(i, j): sum((old & new).values()) for i, old in enumerate(olds) for j, new in enumerate(news)}
    pairs: list[tuple[int, int]] = []
    for i, j in sorted(shared, key=lambda pair: (-shared[pair], pair)):
        if all(i != one and j != other for one, other in pairs):
            pairs.append((i, j))
    return pairs


def _pair(before: list[Any], after: list[Any]) -> list[Any]:
    """For each member of `after` its partner in `before` or _NOTHING; those without a partner at the end."""
    places: dict[bytes, list[int]] = {}
    for place, item in reversed(list(enumerate(before))):
        places.setdefault(_meaning(item), []).append(place)
    partners: dict[int, int] = {}
    for place, item in enumerate(after):
        if same := places.get(_meaning(item)):
            partners[place] = same.pop()
    taken = set(partners.values())
    left = [place for place in range(len(before)) if place not in taken]
    new = [place for place in range(len(after)) if place not in partners]
    for i, j in _likest([before[place] for place in left], [after[place] for place in new]):
        partners[new[j]] = left[i]
    rest = sorted(set(range(len(before))) - set(partners.values()))
    ordered = [before[partners[place]] if place in partners else _NOTHING for place in range(len(after))]
    return ordered + [before[place] for place in rest]


def _align(
    before: object, after: object, unordered: Callable[[str], bool], name: str = ""
) -> tuple[Any, Any]:
    """Both sides with unordered lists in the same order and equal subtrees cut out."""
    if before == after and type(before) is type(after):
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
    from deepdiff.helper import notpresent

    one, other = _align(before, after, _UNORDERED.__contains__)
    # Without the threshold deepdiff would report objects with few common names whole, cut-out parts included.
    found = DeepDiff(one, other, view="tree", zip_ordered_iterables=True, threshold_to_diff_deeper=0)

    def shown(value: object) -> object:
        return None if value is notpresent or value is _NOTHING else value

    rows = [
        (tuple(item.path(output_format="list")), shown(item.t1), shown(item.t2))
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
        if values[0] == values[1]:  # the same word, which only one side's clauses give a meaning
            values = one.get(name), other.get(name)
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
