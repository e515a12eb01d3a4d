"""The canonical form: the one form of all audiences that mean the same to GA4; equality is equal bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from audiencesync.fields import MAX_MEMBERSHIP_DAYS, MUTABLE, ClauseType
from audiencesync.model import (
    AllOf,
    AnyOf,
    Audience,
    BetweenFilter,
    Clause,
    EventFilter,
    FieldFilter,
    InListFilter,
    Leaf,
    Not,
    Number,
    NumericFilter,
    SequenceFilter,
    SimpleFilter,
)
from audiencesync.wire import clause_to_api, group_to_api, leaf_to_api, to_api


def canonical_bytes(data: object) -> bytes:
    """JSON with sorted keys and nothing optional: equal values give equal bytes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


_EXACT = 2**53
"""Up to here a double tells each whole number from its neighbours; beyond, the two kinds stay apart."""


def _plain(number: Number) -> Number:
    whole = isinstance(number, float) and number.is_integer() and abs(number) <= _EXACT
    return int(number) if whole else number


def _canonical_field(leaf: FieldFilter) -> FieldFilter:
    match leaf.condition:
        case InListFilter(values, case_sensitive):
            return replace(leaf, condition=InListFilter(tuple(sorted(set(values))), case_sensitive))
        case NumericFilter(operation, value):
            return replace(leaf, condition=NumericFilter(operation, _plain(value)))
        case BetweenFilter(low, high):
            return replace(leaf, condition=BetweenFilter(_plain(low), _plain(high)))
        case _:
            return leaf


def _canonical_plain(leaf: FieldFilter | Not) -> FieldFilter | Not:
    return Not(_canonical_field(leaf.filter)) if isinstance(leaf, Not) else _canonical_field(leaf)


def _canonical_leaf(leaf: Leaf) -> Leaf:
    if not isinstance(leaf, EventFilter):
        return _canonical_plain(leaf)
    plain = {canonical_bytes(leaf_to_api(found)): found for found in map(_canonical_plain, leaf.parameters)}
    return EventFilter(leaf.event_name, tuple(plain[key] for key in sorted(plain)))


def _canonical_group(group: AnyOf) -> AnyOf:
    plain = {canonical_bytes(leaf_to_api(leaf)): leaf for leaf in map(_canonical_leaf, group.leaves)}
    return AnyOf(tuple(plain[key] for key in sorted(plain)))


def _canonical_groups(groups: AllOf) -> AllOf:
    plain = {canonical_bytes(group_to_api(group)): group for group in map(_canonical_group, groups)}
    return tuple(plain[key] for key in sorted(plain))


def canonical_clause(clause: Clause) -> Clause:
    """The clause with sorted groups and without what the server ignores on a first step."""
    match clause.filter:
        case SimpleFilter(scope, groups):
            return Clause(clause.type, SimpleFilter(scope, _canonical_groups(groups)))
        case SequenceFilter(scope, steps, maximum):
            plain = [replace(step, groups=_canonical_groups(step.groups)) for step in steps]
            plain[0] = replace(plain[0], immediately_follows=False, constraint_duration=None)
            return Clause(clause.type, SequenceFilter(scope, tuple(plain), maximum))


def canonical(audience: Audience) -> Audience:
    """The one form of all audiences that mean the same to GA4; compare these.

    Clauses, groups, leaves and list values are sorted and said once (their order has no meaning), steps keep
    their order; -1 days is 540; what the server ignores is dropped: a mode without an EXCLUDE clause, and
    the first step's constraintDuration and immediatelyFollows; trailing white space of the description.
    """
    plain = {
        canonical_bytes(clause_to_api(clause)): clause for clause in map(canonical_clause, audience.clauses)
    }
    clauses = tuple(plain[key] for key in sorted(plain))
    excludes = any(clause.type is ClauseType.EXCLUDE for clause in clauses)
    days = audience.membership_duration_days
    return replace(
        audience,
        description=audience.description.rstrip(),
        membership_duration_days=MAX_MEMBERSHIP_DAYS if days == -1 else days,
        exclusion_mode=audience.exclusion_mode if excludes else None,
        clauses=clauses,
    )


def fingerprint(audience: Audience) -> str:
    """SHA-256 of the canonical form, in hexadecimal: equal audiences, equal fingerprints."""
    return hashlib.sha256(canonical_bytes(to_api(canonical(audience)))).hexdigest()


def definition_fingerprint(audience: Audience) -> str:
    """SHA-256 of the canonical form without what a patch can change: what GA4 fixes at creation."""
    body = to_api(canonical(audience))
    for name in MUTABLE:
        body.pop(name, None)
    return hashlib.sha256(canonical_bytes(body)).hexdigest()
