"""A filter expression that is nested wrongly, as the lines to write instead.

Any tree of and, or and not over filters is turned into an andGroup of orGroups (conjunctive normal form),
which is the one nesting that GA4 takes; inside event parameters into one eventFilter per alternative.
"""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any

from audiencesync.fields import LEAVES
from audiencesync.schema.build import Node

MAX_GROUPS = 12
MAX_LEAVES = 100
MAX_LINES = 60
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NOT_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def lines(data: object) -> str:
    """Plain data as block YAML, two spaces a level."""
    return "\n".join(_lines(data))


def _lines(data: object) -> list[str]:
    match data:
        case dict() if data:
            return [line for name, value in data.items() for line in _entry(f"{_scalar(name)}:", value)]
        case list() if data:
            return [line for item in data for line in _item(item)]
        case _:
            return [_scalar(data)]


def _entry(head: str, value: object) -> list[str]:
    if isinstance(value, dict | list) and value:
        flow = _flow(value)
        return [f"{head} {flow}"] if flow else [head, *(f"  {line}" for line in _lines(value))]
    return [f"{head} {_scalar(value)}"]


def _item(value: object) -> list[str]:
    first, *others = _lines(value)
    return [f"- {first}", *(f"  {line}" for line in others)]


def _flow(value: object) -> str:
    """A short mapping or list of scalars on one line, where that reads well."""
    if isinstance(value, dict):
        flat = not any(isinstance(one, dict | list) for one in value.values())
        text = "{" + ", ".join(f"{_scalar(name)}: {_scalar(one)}" for name, one in value.items()) + "}"
    else:
        items = value if isinstance(value, list) else []
        flat = not any(isinstance(one, dict | list) for one in items)
        text = "[" + ", ".join(_scalar(one) for one in items) + "]"
    return text if flat and len(text) <= 80 else ""  # noqa: PLR2004 - a line that fits a terminal


def _scalar(value: object) -> str:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) is not None and value.lower() not in _NOT_TEXT
        return value if plain else _UNSEEN.sub(_escape, json.dumps(value, ensure_ascii=False))
    return json.dumps(value)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


class _HopelessError(Exception):
    """The tree cannot be said in GA4's nesting."""


_Groups = list[list[Node]]


def _items(group: object) -> list[Any]:
    items = group.get("filterExpressions") if isinstance(group, dict) else None
    if not isinstance(items, list) or not items:
        raise _HopelessError
    return items


def _only(expression: object) -> tuple[str, Any]:
    if not isinstance(expression, dict) or len(expression) != 1:
        raise _HopelessError
    ((name, value),) = expression.items()
    return name, value


def _groups(expression: object, *, negated: bool = False) -> _Groups:
    """The expression, or its negation, as all of (any of (leaf))."""
    name, value = _only(expression)
    match name:
        case "notExpression":
            return _groups(value, negated=not negated)
        case "andGroup" | "orGroup":
            parts = [_groups(item, negated=negated) for item in _items(value)]
            return _all(parts) if (name == "andGroup") is not negated else _any(parts)
        case "dimensionOrMetricFilter" if isinstance(value, dict):
            return [[{"notExpression": {name: value}} if negated else {name: value}]]
        case "eventFilter" if not negated and isinstance(value, dict):
            return [[{name: value}]]
        case _:
            raise _HopelessError


def _all(parts: list[_Groups]) -> _Groups:
    found = [group for part in parts for group in part]
    if len(found) > MAX_GROUPS:
        raise _HopelessError
    return found


def _any(parts: list[_Groups]) -> _Groups:
    size = 1
    for part in parts:
        size *= len(part)
    if size > MAX_GROUPS:
        raise _HopelessError
    return [_once([leaf for group in choice for leaf in group]) for choice in product(*parts)]


def _once(leaves: list[Node]) -> list[Node]:
    if len(leaves) > MAX_LEAVES:
        raise _HopelessError
    found: list[Node] = []
    for leaf in leaves:
        if leaf not in found:
            found.append(leaf)
    return found


def _short(data: object) -> str:
    text = lines(data)
    return text if text.count("\n") < MAX_LINES else ""


def nested(expression: object) -> str:
    """The lines of the same top-level expression as GA4 takes it; "" where it cannot be said."""
    try:
        groups = _groups(expression)
    except _HopelessError:
        return ""
    members = [{"orGroup": {"filterExpressions": group}} for group in groups]
    return _short({"filterExpression": {"andGroup": {"filterExpressions": members}}})


def parameters(event: object, expression: object) -> str:
    """The lines of an eventFilter with these parameters; one for each alternative where there are several."""
    try:
        groups = _groups(expression)
        if any("eventFilter" in leaf for group in groups for leaf in group):
            return ""
        choices = _alternatives(groups)
    except _HopelessError:
        return ""
    found = [_event(event, choice) for choice in choices]
    return _short({"filterExpressions": found} if len(found) > 1 else found[0])


def _alternatives(groups: _Groups) -> list[list[Node]]:
    size = 1
    for group in groups:
        size *= len(group)
    if size > MAX_GROUPS:
        raise _HopelessError
    return [_once(list(choice)) for choice in product(*groups)]


def _event(event: object, members: list[Node]) -> Node:
    inner: Node = {"eventName": event} if isinstance(event, str) else {}
    inner["eventParameterFilterExpression"] = {"andGroup": {"filterExpressions": members}}
    return {"eventFilter": inner}


def wrapped(leaf: object, place: str) -> str:
    """The lines of one filter with the groups that are missing around it; nothing else is looked at."""
    group = {"orGroup": {"filterExpressions": [leaf]}}
    if place == "filterExpression.andGroup":
        return lines([group])
    return lines({"filterExpression": {"andGroup": {"filterExpressions": [group]}}})


def excluding(scope: object, leaf: object) -> str:
    """The lines of a clause that keeps out what an eventFilter matches, since GA4 cannot negate one."""
    group = {"orGroup": {"filterExpressions": [leaf]}}
    inner: Node = {"scope": scope} if isinstance(scope, str) else {}
    inner["filterExpression"] = {"andGroup": {"filterExpressions": [group]}}
    return _short([{"clauseType": "EXCLUDE", "simpleFilter": inner}])


def is_leaf(name: str) -> bool:
    """Whether a member of a filter expression is a filter, not a group."""
    return name in LEAVES
