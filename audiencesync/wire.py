"""GA4's JSON of an audience -> records, liberally; records -> GA4's JSON, strictly.

Source: the Admin API v1alpha resource properties.audiences; recorded answers of its list method.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, TypeVar

from audiencesync.errors import UnrepresentableError
from audiencesync.fields import (
    ENUMS,
    INT64_MAX,
    ClauseType,
    ExclusionMode,
    LogCondition,
    MatchType,
    Operation,
    Scope,
)
from audiencesync.model import (
    AllOf,
    AnyOf,
    Audience,
    BetweenFilter,
    Clause,
    Condition,
    EventFilter,
    FieldFilter,
    InListFilter,
    Leaf,
    Not,
    Number,
    NumericFilter,
    SequenceFilter,
    SimpleFilter,
    Step,
    StringFilter,
    Trigger,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from audiencesync.source import Route

Json = dict[str, Any]

_DURATION = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?s")
_INT = re.compile(r"[-+]?\d{1,19}")
MAX_DURATION_SECONDS = 315_576_000_000
"""The bound of google.protobuf.Duration, some 10,000 years."""


def parse_duration(text: str) -> int | None:
    """Nanoseconds of a JSON duration such as "3.5s"; None where the text is no such duration."""
    found = _DURATION.fullmatch(text)
    if not found or not text.isascii():
        return None
    nanoseconds = int(found[1]) * 10**9 + int((found[2] or "").ljust(9, "0"))
    return nanoseconds if nanoseconds <= MAX_DURATION_SECONDS * 10**9 else None


def format_duration(nanoseconds: int) -> str:
    """The text that Google's JSON printers give a duration: 0, 3, 6 or 9 decimals."""
    seconds, rest = divmod(nanoseconds, 10**9)
    if not rest:
        return f"{seconds}s"
    digits = f"{rest:09d}"
    for width in (3, 6):
        if not digits[width:].strip("0"):
            return f"{seconds}.{digits[:width]}s"
    return f"{seconds}.{digits}s"


_E = TypeVar("_E")


def _refuse(reason: str, route: Route) -> UnrepresentableError:
    return UnrepresentableError(reason, route)


def _set(data: object, route: Route) -> Json:
    """The fields of a message that are set: absent, null, default and {} are one value."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise _refuse("an object was expected", route)
    return {name: value for name, value in data.items() if value not in (None, {}, [])}


def _known(data: object, known: Iterable[str], route: Route) -> Json:
    """The set fields, all of which we must know: an unknown one could change what the filter means."""
    values = _set(data, route)
    for name, value in values.items():
        if name not in known and value not in (False, 0, ""):
            raise _refuse(f"unknown field {name!r}", (*route, name))
    return values


def _enum(python: type[_E], name: str, value: object, route: Route) -> _E | None:
    """An enum by word or protobuf number; None where it is unset."""
    kind = ENUMS[name]
    if value in (None, "", 0, kind.unspecified) and value is not False:
        return None
    if isinstance(value, str) and value in kind.python.__members__.values():
        return python(value)  # type: ignore[call-arg]
    if isinstance(value, int) and value in kind.numbers:
        return list(kind.python)[kind.numbers.index(value)]  # type: ignore[return-value]
    raise _refuse(f"unknown {name} {value!r}", route)


def _need(value: _E | None, what: str, route: Route) -> _E:
    if value is None:
        raise _refuse(f"{what} is missing", route)
    return value


def _text(value: object, route: Route) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise _refuse("a text was expected", route)


def _flag(value: object, route: Route) -> bool:
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    raise _refuse("true or false was expected", route)


def _int(value: object, route: Route) -> int:
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INT.fullmatch(value):
        return int(value)
    raise _refuse("a whole number was expected", route)


def _duration(value: object, route: Route) -> int | None:
    if value is None:
        return None
    nanoseconds = parse_duration(value) if isinstance(value, str) else None
    return _need(nanoseconds, 'a duration such as "3.5s"', route)


def _number(data: object, route: Route) -> Number:
    values = _known(data, ("int64Value", "doubleValue"), route)
    if "doubleValue" in values and "int64Value" not in values:
        double = values["doubleValue"]
        if isinstance(double, str):
            try:
                double = float(double)
            except ValueError:
                double = None
        if isinstance(double, bool) or not isinstance(double, int | float) or not math.isfinite(double):
            raise _refuse("a finite number was expected", (*route, "doubleValue"))
        return float(double)
    if len(values) > 1:
        raise _refuse("both int64Value and doubleValue are set", route)
    if not values and not (isinstance(data, dict) and "int64Value" in data):
        raise _refuse("int64Value or doubleValue is missing", route)
    number = _int(values.get("int64Value"), (*route, "int64Value"))
    if not -INT64_MAX - 1 <= number <= INT64_MAX:
        raise _refuse("the number does not fit 64 bits", (*route, "int64Value"))
    return number


def _one_of(values: Json, names: tuple[str, ...], route: Route) -> str:
    found = [name for name in names if name in values]
    if len(found) != 1:
        raise _refuse(f"exactly one of {', '.join(names)} was expected", route)
    return found[0]


_CONDITIONS = ("stringFilter", "inListFilter", "numericFilter", "betweenFilter")


def _condition(values: Json, route: Route) -> Condition:
    name = _one_of(values, _CONDITIONS, route)
    route = (*route, name)
    data = values[name]
    match name:
        case "stringFilter":
            known = _known(data, ("matchType", "value", "caseSensitive"), route)
            match_type = _enum(MatchType, "MatchType", known.get("matchType"), route)
            return StringFilter(
                _need(match_type, "matchType", route),
                _text(known.get("value"), route),
                _flag(known.get("caseSensitive"), route),
            )
        case "inListFilter":
            known = _known(data, ("values", "caseSensitive"), route)
            items = known.get("values", [])
            if not isinstance(items, list):
                raise _refuse("a list was expected", (*route, "values"))
            values_ = tuple(_text(item, (*route, "values", index)) for index, item in enumerate(items))
            return InListFilter(values_, _flag(known.get("caseSensitive"), route))
        case "numericFilter":
            known = _known(data, ("operation", "value"), route)
            operation = _enum(Operation, "Operation", known.get("operation"), route)
            return NumericFilter(
                _need(operation, "operation", route), _number(known.get("value"), (*route, "value"))
            )
        case _:
            known = _known(data, ("fromValue", "toValue"), route)
            return BetweenFilter(
                _number(known.get("fromValue"), (*route, "fromValue")),
                _number(known.get("toValue"), (*route, "toValue")),
            )


_EXPRESSIONS = ("andGroup", "orGroup", "notExpression", "dimensionOrMetricFilter", "eventFilter")


def _field_filter(data: object, route: Route) -> FieldFilter:
    values = _known(data, ("fieldName", "atAnyPointInTime", "inAnyNDayPeriod", *_CONDITIONS), route)
    return FieldFilter(
        _text(values.get("fieldName"), (*route, "fieldName")),
        _condition(values, route),
        _flag(values.get("atAnyPointInTime"), (*route, "atAnyPointInTime")),
        _int(values.get("inAnyNDayPeriod"), (*route, "inAnyNDayPeriod")),
    )


def _members(data: object, route: Route) -> list[tuple[object, Route]]:
    """The expressions of a group, with their routes."""
    values = _known(data, ("filterExpressions",), route)
    items = values.get("filterExpressions", [])
    if not isinstance(items, list):
        raise _refuse("a list was expected", (*route, "filterExpressions"))
    return [(item, (*route, "filterExpressions", index)) for index, item in enumerate(items)]


def _leaf(data: object, route: Route) -> Leaf:
    values = _known(data, _EXPRESSIONS, route)
    name = _one_of(values, _EXPRESSIONS, route)
    inside = (*route, name)
    match name:
        case "dimensionOrMetricFilter":
            return _field_filter(values[name], inside)
        case "notExpression":
            inner = _leaf(values[name], inside)
            if isinstance(inner, FieldFilter):
                return Not(inner)
            raise _refuse("notExpression may only hold a dimensionOrMetricFilter", inside)
        case "eventFilter":
            known = _known(values[name], ("eventName", "eventParameterFilterExpression"), inside)
            expression = known.get("eventParameterFilterExpression")
            deeper = (*inside, "eventParameterFilterExpression")
            return EventFilter(
                _text(known.get("eventName"), (*inside, "eventName")),
                () if expression is None else _parameters(expression, deeper),
            )
        case _:
            raise _refuse(f"{name} may not stand here", inside)


def _parameters(data: object, route: Route) -> tuple[FieldFilter | Not, ...]:
    """The flat conjunction inside an event filter; an orGroup of one leaf is that leaf."""
    found: list[FieldFilter | Not] = []
    if _set(data, route) in ({}, {"andGroup": {"filterExpressions": []}}):
        return ()
    for group in _all_of(data, route):
        leaf, *others = group.leaves
        if others:
            raise _refuse("an orGroup of several filters may not stand inside event parameters", route)
        if isinstance(leaf, EventFilter):
            raise _refuse("an eventFilter may not stand inside event parameters", route)
        found.append(leaf)
    return tuple(found)


def _all_of(data: object, route: Route) -> AllOf:
    """Any tree that means all of (any of (leaf)), however it was nested, as just that."""
    values = _known(data, _EXPRESSIONS, route)
    name = _one_of(values, _EXPRESSIONS, route)
    inside = (*route, name)
    if name == "andGroup":
        return tuple(
            group for item, where in _members(values[name], inside) for group in _all_of(item, where)
        )
    if name == "orGroup":
        return (AnyOf(_any_of(values[name], inside)),)
    return (AnyOf((_leaf(data, route),)),)


def _any_of(data: object, route: Route) -> tuple[Leaf, ...]:
    leaves: list[Leaf] = []
    for item, where in _members(data, route):
        values = _set(item, where)
        if "orGroup" in values or "andGroup" in values:
            groups = _all_of(item, where)
            if len(groups) != 1:
                raise _refuse("an andGroup may not stand inside an orGroup", where)
            leaves.extend(groups[0].leaves)
        else:
            leaves.append(_leaf(item, where))
    if not leaves:
        raise _refuse("the group is empty", route)
    return tuple(leaves)


def _groups(data: object, route: Route) -> AllOf:
    groups = _all_of(_need(data, "filterExpression", route), (*route, "filterExpression"))
    if not groups:
        raise _refuse("the group is empty", (*route, "filterExpression"))
    return groups


def _scope(values: Json, route: Route) -> Scope:
    scope = _enum(Scope, "AudienceFilterScope", values.get("scope"), (*route, "scope"))
    return _need(scope, "scope", route)


def _simple(data: object, route: Route) -> SimpleFilter:
    values = _known(data, ("scope", "filterExpression"), route)
    return SimpleFilter(_scope(values, route), _groups(values.get("filterExpression"), route))


def _step(data: object, route: Route) -> Step:
    known = ("scope", "immediatelyFollows", "constraintDuration", "filterExpression")
    values = _known(data, known, route)
    return Step(
        _scope(values, route),
        _groups(values.get("filterExpression"), route),
        _flag(values.get("immediatelyFollows"), (*route, "immediatelyFollows")),
        _duration(values.get("constraintDuration"), (*route, "constraintDuration")),
    )


def _sequence(data: object, route: Route) -> SequenceFilter:
    values = _known(data, ("scope", "sequenceMaximumDuration", "sequenceSteps"), route)
    steps = values.get("sequenceSteps", [])
    if not isinstance(steps, list) or not steps:
        raise _refuse("a list of steps was expected", (*route, "sequenceSteps"))
    return SequenceFilter(
        _scope(values, route),
        tuple(_step(step, (*route, "sequenceSteps", index)) for index, step in enumerate(steps)),
        _duration(values.get("sequenceMaximumDuration"), (*route, "sequenceMaximumDuration")),
    )


def _clause(data: object, route: Route) -> Clause:
    values = _known(data, ("clauseType", "simpleFilter", "sequenceFilter"), route)
    kind = _enum(ClauseType, "AudienceClauseType", values.get("clauseType"), (*route, "clauseType"))
    name = _one_of(values, ("simpleFilter", "sequenceFilter"), route)
    read = _simple if name == "simpleFilter" else _sequence
    return Clause(_need(kind, "clauseType", route), read(values[name], (*route, name)))


def _trigger(data: object) -> Trigger | None:
    values = _set(data, ("eventTrigger",))
    name = _text(values.get("eventName"), ("eventTrigger", "eventName"))
    condition = _enum(
        LogCondition, "LogCondition", values.get("logCondition"), ("eventTrigger", "logCondition")
    )
    if not name and condition is None:
        return None
    return Trigger(name, _need(condition, "logCondition", ("eventTrigger",)))


def from_api(data: Mapping[str, Any]) -> Audience:
    """Reads GA4's JSON of an audience, liberally: enums by word or number, null for unset, any nesting.

    Unknown fields of the audience itself are passed over; an unknown one inside a filter is refused, since
    it could change what the filter means.

    Errors: UnrepresentableError, with the route of what stands in the way.
    """
    values = _set(data, ())
    clauses = values.get("filterClauses", [])
    if not isinstance(clauses, list) or not clauses:
        raise _refuse("it has no filterClauses", ("filterClauses",))
    mode = values.get("exclusionDurationMode")
    return Audience(
        _text(values.get("displayName"), ("displayName",)),
        _text(values.get("description"), ("description",)),
        _int(values.get("membershipDurationDays"), ("membershipDurationDays",)),
        tuple(_clause(clause, ("filterClauses", index)) for index, clause in enumerate(clauses)),
        _trigger(values.get("eventTrigger")),
        _enum(ExclusionMode, "AudienceExclusionDurationMode", mode, ("exclusionDurationMode",)),
    )


def _number_json(value: Number) -> Json:
    return {"doubleValue": value} if isinstance(value, float) else {"int64Value": str(value)}


def _condition_json(condition: Condition) -> Json:
    match condition:
        case StringFilter(match_type, value, case_sensitive):
            body: Json = {"matchType": match_type.value, "value": value}
            return {"stringFilter": body | ({"caseSensitive": True} if case_sensitive else {})}
        case InListFilter(values, case_sensitive):
            body = {"values": list(values)}
            return {"inListFilter": body | ({"caseSensitive": True} if case_sensitive else {})}
        case NumericFilter(operation, number):
            return {"numericFilter": {"operation": operation.value, "value": _number_json(number)}}
        case BetweenFilter(low, high):
            return {"betweenFilter": {"fromValue": _number_json(low), "toValue": _number_json(high)}}


def leaf_to_api(leaf: Leaf) -> Json:
    """GA4's JSON of one leaf."""
    match leaf:
        case FieldFilter(name, condition, at_any_point, days):
            body: Json = {"fieldName": name}
            if at_any_point:
                body["atAnyPointInTime"] = True
            if days:
                body["inAnyNDayPeriod"] = days
            return {"dimensionOrMetricFilter": body | _condition_json(condition)}
        case Not(inner):
            return {"notExpression": leaf_to_api(inner)}
        case EventFilter(name, parameters):
            event: Json = {"eventName": name}
            if parameters:
                members = [leaf_to_api(parameter) for parameter in parameters]
                event["eventParameterFilterExpression"] = {"andGroup": {"filterExpressions": members}}
            return {"eventFilter": event}


def group_to_api(group: AnyOf) -> Json:
    """GA4's JSON of one orGroup."""
    return {"orGroup": {"filterExpressions": [leaf_to_api(leaf) for leaf in group.leaves]}}


def _groups_json(groups: AllOf) -> Json:
    return {"andGroup": {"filterExpressions": [group_to_api(group) for group in groups]}}


def _step_json(step: Step) -> Json:
    body: Json = {"scope": step.scope.value}
    if step.immediately_follows:
        body["immediatelyFollows"] = True
    if step.constraint_duration is not None:
        body["constraintDuration"] = format_duration(step.constraint_duration)
    return body | {"filterExpression": _groups_json(step.groups)}


def clause_to_api(clause: Clause) -> Json:
    """GA4's JSON of one clause."""
    body: Json = {"clauseType": clause.type.value}
    match clause.filter:
        case SimpleFilter(scope, groups):
            return body | {"simpleFilter": {"scope": scope.value, "filterExpression": _groups_json(groups)}}
        case SequenceFilter(scope, steps, maximum):
            sequence: Json = {"scope": scope.value}
            if maximum is not None:
                sequence["sequenceMaximumDuration"] = format_duration(maximum)
            return body | {
                "sequenceFilter": sequence | {"sequenceSteps": [_step_json(step) for step in steps]}
            }


def to_api(audience: Audience) -> Json:
    """GA4's JSON of an audience, as create takes it: unset and default fields are left out."""
    body: Json = {
        "displayName": audience.display_name,
        "description": audience.description,
        "membershipDurationDays": audience.membership_duration_days,
    }
    if audience.trigger:
        body["eventTrigger"] = {
            "eventName": audience.trigger.event_name,
            "logCondition": audience.trigger.log_condition.value,
        }
    if audience.exclusion_mode:
        body["exclusionDurationMode"] = audience.exclusion_mode.value
    return body | {"filterClauses": [clause_to_api(clause) for clause in audience.clauses]}
