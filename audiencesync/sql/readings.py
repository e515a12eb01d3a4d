"""The readings of what GA4's documents leave open, as named switches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from audiencesync.fields import ClauseType, Scope
from audiencesync.model import FieldFilter, Leaf, Not, SequenceFilter, SimpleFilter

if TYPE_CHECKING:
    from audiencesync.model import Audience


@dataclass(frozen=True, slots=True)
class Readings:
    """One choice for each undocumented part of the rules; the defaults are what previews use.

    last_set: a dynamic dimension condition looks at the last event where the field is set, not at the last.
    never: notExpression holds where no event of the scope satisfies the filter, not where one does not.
    reuse: one event may satisfy two steps of a sequence.
    renew_all: every INCLUDE clause has to be completed within the membership, not one of them.
    """

    last_set: bool = False
    never: bool = False
    reuse: bool = False
    renew_all: bool = False


DEFAULT = Readings()
OTHERS: tuple[tuple[str, Readings], ...] = tuple(
    (name, replace(DEFAULT, **{name: True})) for name in ("last_set", "never", "reuse", "renew_all")
)
"""The default with one reading changed, by the switch's name."""


def that_matter(audience: Audience) -> tuple[tuple[str, Readings], ...]:
    """The other readings under which an audience may hold other users; the rest change nothing in it."""
    leaves = list(_leaves(audience))
    found = {
        "last_set": any(scope is Scope.ALL_SESSIONS and _dynamic(leaf) for scope, leaf in leaves),
        "never": any(scope is not Scope.SAME_EVENT and _negates(leaf) for scope, leaf in leaves),
        "reuse": any(
            isinstance(clause.filter, SequenceFilter) and len(clause.filter.steps) > 1
            for clause in audience.clauses
        ),
        "renew_all": sum(clause.type is ClauseType.INCLUDE for clause in audience.clauses) > 1,
    }
    return tuple((name, readings) for name, readings in OTHERS if found[name])


def _leaves(audience: Audience) -> Iterator[tuple[Scope, Leaf]]:
    for clause in audience.clauses:
        if isinstance(clause.filter, SimpleFilter):
            for group in clause.filter.groups:
                yield from ((clause.filter.scope, leaf) for leaf in group.leaves)


def _dynamic(leaf: Leaf) -> bool:
    plain = leaf.filter if isinstance(leaf, Not) else leaf
    return isinstance(plain, FieldFilter) and not plain.at_any_point_in_time


def _negates(leaf: Leaf) -> bool:
    """A NOT of a leaf, or of the eventCount inside an event filter."""
    inside = () if isinstance(leaf, Not | FieldFilter) else leaf.parameters
    return isinstance(leaf, Not) or any(isinstance(each, Not) for each in inside)
