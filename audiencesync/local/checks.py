"""What the documents demand of an audience that was read without a fault: 400 INVALID_ARGUMENT otherwise.

Limits, required and one-of fields come from the field table, the nesting from NESTING. A proto3 server
cannot tell an absent number or text from 0 or "": where such a field is required and may be empty
(description, stringFilter.value), leaving it out is no fault; membershipDurationDays 0 counts as left out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from audiencesync.errors import Violation
from audiencesync.fields import NESTING, Field, Kind, Scope
from audiencesync.local.context import Json
from audiencesync.local.messages import AUDIENCES, Table, snake

ACROSS_ALL_SESSIONS_ONLY = ("atAnyPointInTime", "inAnyNDayPeriod")
_EXPRESSION = "AudienceFilterExpression"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a message stands: its path, the scopes around it, and the key of NESTING."""

    path: str
    scopes: tuple[str, ...] = ()
    nesting: str = ""

    def inside(self, name: str) -> _Place:
        return self.at(f"{self.path}.{snake(name)}" if self.path else snake(name))

    def at(self, path: str) -> _Place:
        return _Place(path, self.scopes, self.nesting)


def violations(values: Json, *, only: Collection[str] | None = None) -> list[Violation]:
    """What is wrong with an audience; `only` names the fields to look at, as a patch's mask does.

    An empty eventTrigger is no trigger: servers answer `{}` for that, and take back what they answer.
    """
    values = {name: value for name, value in values.items() if (name, value) != ("eventTrigger", {})}
    return _Checker(AUDIENCES).message("Audience", values, _Place("audience"), only)


def required(table: Table, message: str, values: Json) -> list[Violation]:
    """What is wrong with a message of another table: required, empty, out of bounds."""
    return _Checker(table).message(message, values, _Place(""), None)


class _Checker:
    def __init__(self, table: Table) -> None:
        self.table = table

    def message(
        self, message: str, values: Json, place: _Place, only: Collection[str] | None = None
    ) -> list[Violation]:
        fields = [
            field
            for field in self.table.fields(message)
            if not field.output_only and (only is None or field.name in only)
        ]
        if "scope" in values:
            place = replace(place, scopes=(*place.scopes, values["scope"]))
        found = [*_scope_faults(values, place), *self.union_faults(fields, values, place)]
        if message == _EXPRESSION and not found:
            found += _nesting_faults(values, place)
        if not found or message != _EXPRESSION:
            for field in fields:
                found += self.field(field, values.get(field.name), place)
        return found

    def union_faults(self, fields: list[Field], values: Json, place: _Place) -> list[Violation]:
        unions: dict[str, list[str]] = {}
        for field in fields:
            if field.union:
                unions.setdefault(field.union, []).append(field.name)
        return [
            Violation(place.path, f"Exactly one of {', '.join(map(snake, names))} must be set.")
            for names in unions.values()
            if sum(name in values for name in names) != 1
        ]

    def field(self, field: Field, value: object, outside: _Place) -> list[Violation]:
        """What is wrong with a field's value; `outside` is the place of the message that it is in."""
        unset = value is None or (not value and (field.kind is not Kind.MESSAGE or field.repeated))
        if unset and not _must_be_set(field):
            return []
        place = outside.inside(field.name)
        if unset:
            why = f"The field {snake(field.name)} is required and must not be empty."
            return [Violation(place.path, why)]
        if isinstance(value, list):
            return [
                fault
                for index, item in enumerate(value)
                for fault in self.item(field, item, place.at(f"{place.path}[{index}]"))
            ]
        return self.item(field, value, place)

    def item(self, field: Field, value: object, place: _Place) -> list[Violation]:
        if isinstance(value, dict):
            return self.message(field.of, value, _nest(field, place))
        if field.kind is Kind.INT32 and isinstance(value, int):
            if field.maximum is not None and value > field.maximum:
                return [Violation(place.path, f"{snake(field.name)} cannot be greater than {field.maximum}.")]
            if field.minimum is not None and value < field.minimum:
                return [Violation(place.path, f"{snake(field.name)} cannot be less than {field.minimum}.")]
        return []


def _must_be_set(field: Field) -> bool:
    empty_is_fine = field.kind is Kind.TEXT and not field.repeated and not field.nonempty
    return field.nonempty or (field.required and not empty_is_fine)


def _nest(field: Field, place: _Place) -> _Place:
    """The place of what is inside a field: which key of NESTING says what may stand there."""
    if field.name in ("andGroup", "orGroup"):
        return replace(place, nesting=f"{place.nesting}.{field.name}")
    return replace(place, nesting=field.name) if field.name in NESTING else place


def _nesting_faults(values: Json, place: _Place) -> list[Violation]:
    allowed = NESTING[place.nesting]
    found = [
        Violation(
            place.inside(name).path,
            f"{snake(name)} cannot be set here: only {' or '.join(map(snake, allowed))} can.",
        )
        for name in values
        if name not in allowed
    ]
    members = (values.get("orGroup") or {}).get("filterExpressions", ())
    if not found and place.nesting.startswith("eventParameter") and len(members) > 1:
        # The text knows no orGroup here; servers answer with one around each single filter.
        why = "ANDs of ORs are not supported in an event parameter filter."
        return [Violation(place.inside("orGroup").path, why)]
    return found


def _scope_faults(values: Json, place: _Place) -> list[Violation]:
    if all(scope == Scope.ALL_SESSIONS for scope in place.scopes):
        return []
    return [
        Violation(
            place.inside(name).path,
            f"{snake(name)} can only be set when the scope is AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS.",
        )
        for name in ACROSS_ALL_SESSIONS_ONLY
        if values.get(name)
    ]
