"""An audience as frozen records; wire.py reads and writes GA4's JSON, canonical.py decides equality.

The nesting rule is a type: a filter is all of (any of (leaf)), so an illegal tree cannot be built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audiencesync.fields import ClauseType, ExclusionMode, LogCondition, MatchType, Operation, Scope
    from audiencesync.source import Document

Number = int | float
"""int is int64Value, float is doubleValue."""


@dataclass(frozen=True, slots=True)
class StringFilter:
    """Compares a text with a value."""

    match_type: MatchType
    value: str
    case_sensitive: bool = False


@dataclass(frozen=True, slots=True)
class InListFilter:
    """Compares a text with a list."""

    values: tuple[str, ...]
    case_sensitive: bool = False


@dataclass(frozen=True, slots=True)
class NumericFilter:
    """Compares a number."""

    operation: Operation
    value: Number


@dataclass(frozen=True, slots=True)
class BetweenFilter:
    """Compares a number with a range, both ends included."""

    from_value: Number
    to_value: Number


Condition = StringFilter | InListFilter | NumericFilter | BetweenFilter


@dataclass(frozen=True, slots=True)
class FieldFilter:
    """dimensionOrMetricFilter: a condition on one field; `in_any_n_day_period` 0 means unset."""

    field_name: str
    condition: Condition
    at_any_point_in_time: bool = False
    in_any_n_day_period: int = 0


@dataclass(frozen=True, slots=True)
class Not:
    """notExpression: the filter inside must not hold."""

    filter: FieldFilter


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Events of one name whose parameters satisfy all of `parameters`."""

    event_name: str
    parameters: tuple[FieldFilter | Not, ...] = ()


Leaf = FieldFilter | Not | EventFilter


@dataclass(frozen=True, slots=True)
class AnyOf:
    """orGroup: one of the leaves has to hold."""

    leaves: tuple[Leaf, ...]


AllOf = tuple[AnyOf, ...]
"""andGroup: every group has to hold."""


@dataclass(frozen=True, slots=True)
class SimpleFilter:
    """Conditions without an order."""

    scope: Scope
    groups: AllOf


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a sequence; `constraint_duration` in nanoseconds since the previous step."""

    scope: Scope
    groups: AllOf
    immediately_follows: bool = False
    constraint_duration: int | None = None


@dataclass(frozen=True, slots=True)
class SequenceFilter:
    """Steps in their order; `maximum_duration` in nanoseconds from the first step to the last."""

    scope: Scope
    steps: tuple[Step, ...]
    maximum_duration: int | None = None


@dataclass(frozen=True, slots=True)
class Clause:
    """One filter clause."""

    type: ClauseType
    filter: SimpleFilter | SequenceFilter


@dataclass(frozen=True, slots=True)
class Trigger:
    """The event that is logged when a user joins."""

    event_name: str
    log_condition: LogCondition


@dataclass(frozen=True, slots=True)
class Audience:
    """What a file says and what GA4 holds, without name, times and mark."""

    display_name: str
    description: str
    membership_duration_days: int
    clauses: tuple[Clause, ...]
    trigger: Trigger | None = None
    exclusion_mode: ExclusionMode | None = None


@dataclass(frozen=True, slots=True)
class Manage:
    """The `manage` block: what this project knows of an audience and GA4 does not.

    `adopt` maps a target's name to a live id; the target "" stands for every target.
    """

    key: str
    contact: str = ""
    labels: tuple[str, ...] = ()
    review_by: str = ""
    prevent_archive: bool = False
    adopt: tuple[tuple[str, str], ...] = ()
    previous_keys: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def adopts(self, target: str) -> str:
        """The id to adopt at `target`, or ""."""
        ids = dict(self.adopt)
        return ids.get(target, ids.get("", ""))

    def belongs_to(self, target: str) -> bool:
        """Whether the audience is meant for `target`."""
        return not self.targets or target in self.targets


@dataclass(frozen=True, slots=True)
class Desired:
    """One audience of the workspace: the definition, our block, and the file for messages."""

    audience: Audience
    manage: Manage
    document: Document = field(compare=False, repr=False)

    @property
    def key(self) -> str:
        """Our identity of the audience."""
        return self.manage.key
