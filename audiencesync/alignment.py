"""One audience in the order of another.

What means the same to GA4 stands in the same place on both sides, so a reader sees only real differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from audiencesync.model import (
    AllOf,
    AnyOf,
    Audience,
    Clause,
    EventFilter,
    FieldFilter,
    InListFilter,
    Leaf,
    Not,
    SequenceFilter,
    SimpleFilter,
)

_T = TypeVar("_T")


def like(before: Audience, after: Audience) -> Audience:
    """Puts everything of `before` whose order has no meaning into the order of `after`; nothing is lost."""
    clauses = tuple(
        clause if other is None else replace(clause, filter=_filter_like(clause.filter, other.filter))
        for clause, other in _order(before.clauses, after.clauses)
    )
    return replace(before, clauses=clauses)


def _order(before: Sequence[_T], after: Sequence[_T]) -> list[tuple[_T, _T | None]]:
    """The items of `before` in the order of `after`, each with its counterpart; those without one come last.

    A counterpart is an equal item, else one that is about the same thing.
    """
    left = dict(enumerate(before))
    partners: dict[int, int] = {}
    for meaning in (_meaning, _subject):
        places: dict[object, list[int]] = {}
        for place, item in enumerate(after):
            if place not in partners:
                places.setdefault(meaning(item), []).append(place)
        for index, item in list(left.items()):
            if free := places.get(meaning(item)):
                partners[free.pop(0)] = index
                del left[index]
    paired: list[tuple[_T, _T | None]] = [
        (before[partners[place]], after[place]) for place in sorted(partners)
    ]
    return [*paired, *((item, None) for item in left.values())]


def _meaning(item: object) -> object:
    """A key that is equal for what means the same to GA4."""
    match item:
        case Clause(kind, SimpleFilter(scope, groups)):
            return (kind, scope, frozenset(map(_meaning, groups)))
        case Clause(kind, SequenceFilter(scope, steps, maximum)):
            inside = (
                (
                    step.scope,
                    step.immediately_follows,
                    step.constraint_duration,
                    frozenset(map(_meaning, step.groups)),
                )
                for step in steps
            )
            return (kind, scope, tuple(inside), maximum)
        case AnyOf(leaves):
            return frozenset(map(_meaning, leaves))
        case EventFilter(name, parameters):
            return (name, frozenset(map(_meaning, parameters)))
        case FieldFilter(name, InListFilter(values, case_sensitive), ever, days):
            return (name, frozenset(values), case_sensitive, ever, days)
        case Not(inner):
            return ("not", _meaning(inner))
        case _:
            return item


def _subject(item: object) -> object:
    """A key that is equal for what is about the same thing."""
    match item:
        case Clause(kind, inside):
            return (kind, type(inside))
        case AnyOf(leaves):
            return min(map(str, map(_subject, leaves)))
        case EventFilter(name):
            return name
        case FieldFilter() | Not():
            return item.filter.field_name if isinstance(item, Not) else item.field_name
        case _:
            return item


def _filter_like(
    before: SimpleFilter | SequenceFilter, after: SimpleFilter | SequenceFilter
) -> SimpleFilter | SequenceFilter:
    match before, after:
        case SimpleFilter(), SimpleFilter():
            return replace(before, groups=_groups_like(before.groups, after.groups))
        case SequenceFilter(), SequenceFilter():
            steps = [
                replace(step, groups=_groups_like(step.groups, other.groups))
                for step, other in zip(before.steps, after.steps, strict=False)
            ]
            return replace(before, steps=(*steps, *before.steps[len(steps) :]))
        case _:
            return before


def _groups_like(before: AllOf, after: AllOf) -> AllOf:
    return tuple(
        group
        if other is None
        else AnyOf(tuple(_leaf_like(leaf, twin) for leaf, twin in _order(group.leaves, other.leaves)))
        for group, other in _order(before, after)
    )


def _leaf_like(before: Leaf, after: Leaf | None) -> Leaf:
    match before, after:
        case EventFilter(_, parameters), EventFilter(_, others):
            ordered = (_plain_like(own, twin) for own, twin in _order(parameters, others))
            return replace(before, parameters=tuple(ordered))
        case ((FieldFilter() | Not()), (FieldFilter() | Not())):
            return _plain_like(before, after)
        case _:
            return before


def _plain_like(before: FieldFilter | Not, after: FieldFilter | Not | None) -> FieldFilter | Not:
    match before, after:
        case Not(inner), Not(other):
            return Not(_field_like(inner, other))
        case FieldFilter(), FieldFilter():
            return _field_like(before, after)
        case _:
            return before


def _field_like(before: FieldFilter, after: FieldFilter) -> FieldFilter:
    match before.condition, after.condition:
        case InListFilter(values, case_sensitive), InListFilter(others, _):
            ordered = tuple(value for value, _ in _order(values, others))
            return replace(before, condition=InListFilter(ordered, case_sensitive))
        case _:
            return before
