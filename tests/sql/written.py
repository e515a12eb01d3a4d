"""Audiences and rows as a person would write them, in few words."""

from datetime import UTC, datetime
from typing import Any

from tests.sql.cases import ALL, COLUMNS, EVENT, SECOND, params

Json = dict[str, Any]


def one_event(plain: Json, days: int = 540) -> Json:
    """The audience of users with an event that satisfies a filter."""
    return body(simple(EVENT, [{"dimensionOrMetricFilter": plain}]), days=days)


def expression(*groups: list[Json]) -> Json:
    """All of the groups, any leaf of each."""
    return {
        "andGroup": {"filterExpressions": [{"orGroup": {"filterExpressions": group}} for group in groups]}
    }


def simple(scope: str, *groups: list[Json], kind: str = "INCLUDE") -> Json:
    """A clause with a simple filter."""
    return {"clauseType": kind, "simpleFilter": {"scope": scope, "filterExpression": expression(*groups)}}


def named(name: str, *parameters: Json) -> Json:
    """A leaf: an event of that name, with conditions on its parameters."""
    inside = {"eventParameterFilterExpression": {"andGroup": {"filterExpressions": list(parameters)}}}
    return {"eventFilter": {"eventName": name, **(inside if parameters else {})}}


def count(operation: str, number: int, **more: Any) -> Json:
    """A leaf: eventCount compared with a number."""
    found = {"operation": operation, "value": {"int64Value": str(number)}}
    return {"dimensionOrMetricFilter": {"fieldName": "eventCount", "numericFilter": found, **more}}


def text(name: str, words: str, match: str = "EXACT", **more: Any) -> Json:
    """A leaf: a field compared with a text."""
    found = {"matchType": match, "value": words}
    if "caseSensitive" in more:
        found["caseSensitive"] = more.pop("caseSensitive")
    return {"dimensionOrMetricFilter": {"fieldName": name, "stringFilter": found, **more}}


def steps(scope: str, *found: Json, kind: str = "INCLUDE", longest: str = "") -> Json:
    """A clause with a sequence filter."""
    limit = {"sequenceMaximumDuration": longest} if longest else {}
    return {"clauseType": kind, "sequenceFilter": {"scope": scope, "sequenceSteps": list(found), **limit}}


def step(*groups: list[Json], scope: str = ALL, within: str = "", immediately: bool = False) -> Json:
    """A step of a sequence."""
    limit: Json = {"constraintDuration": within} if within else {}
    if immediately:
        limit["immediatelyFollows"] = True
    return {"scope": scope, "filterExpression": expression(*groups), **limit}


def body(*clauses: Json, days: int = 540, mode: str = "EXCLUDE_TEMPORARILY") -> Json:
    """An audience."""
    return {
        "displayName": "an audience",
        "description": "",
        "membershipDurationDays": days,
        "exclusionDurationMode": mode,
        "filterClauses": list(clauses),
    }


def event(user: str, name: str, time: str = "2024-03-10 12:00:00", micros: int = 0, **more: Any) -> Json:
    """One row: `session` is its session, `order` decides between equal times, other columns by name."""
    moment = datetime.fromisoformat(time).replace(tzinfo=UTC)
    parameters = {"ga_session_id": more.pop("session", 1), **more.pop("params", {})}
    row: Json = dict.fromkeys(COLUMNS)
    row |= {
        "event_date": moment.strftime("%Y%m%d"),
        "event_timestamp": int(moment.timestamp()) * SECOND + micros,
        "event_name": name,
        "event_params": params({key: each for key, each in parameters.items() if each is not None}),
        "user_pseudo_id": user,
        "batch_event_index": more.pop("order", 0),
    }
    return row | more
