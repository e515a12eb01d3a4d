"""A schema as one function that says "surely valid": the quick way past the files that are in order.

It knows just the keywords that build.py writes, and takes them from the very schema that jsonschema reads; a
law over mutated files holds that both agree. Where it says no, jsonschema says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import cache
from math import isfinite
from typing import Any, TypeAlias

from audiencesync.fields import INT64_MAX
from audiencesync.schema.build import DATE, WHOLE, Node, checking
from audiencesync.wire import parse_duration

Check: TypeAlias = Callable[[Any], bool]

_WHOLE, _DATE = re.compile(WHOLE), re.compile(DATE)


def is_int64(value: object) -> bool:
    """Whether a text is a whole number of 64 bits; what is no text is for the schema's bounds."""
    if not isinstance(value, str):
        return True
    return _WHOLE.fullmatch(value) is not None and -INT64_MAX - 1 <= int(value) <= INT64_MAX


def is_day(value: object) -> bool:
    """Whether a text is a day of the calendar, written YYYY-MM-DD."""
    if not isinstance(value, str):
        return True
    try:
        return _DATE.fullmatch(value) is not None and bool(date.fromisoformat(value))
    except ValueError:
        return False


def is_duration(value: object) -> bool:
    """Whether a text is a duration as in "3.5s"."""
    return not isinstance(value, str) or parse_duration(value) is not None


def is_finite(value: object) -> bool:
    """Whether a number is neither infinite nor NaN."""
    return not isinstance(value, float) or isfinite(value)


def is_exact(value: object) -> bool:
    """Whether a number is written without a point."""
    return not isinstance(value, float)


FORMATS: dict[str, Check] = {
    "exact": is_exact,
    "int64": is_int64,
    "day": is_day,
    "duration-text": is_duration,
    "finite": is_finite,
}


def _is_integer(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


_TYPES: dict[str, Check] = {
    "string": lambda value: value.__class__ is str,
    "boolean": lambda value: value.__class__ is bool,
    "null": lambda value: value is None,
    "array": lambda value: value.__class__ is list,
    "object": lambda value: value.__class__ is dict,
    "integer": _is_integer,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


@cache
def surely_valid(message: str) -> Check:
    """The function for one kind of file; it is built once a process."""
    return _Compiler().compile(checking(message))


class _Compiler:
    def __init__(self) -> None:
        self.done: dict[int, Check] = {}

    def compile(self, node: Node) -> Check:
        found = self.done.get(id(node))
        if found is None:
            found = self.done[id(node)] = self._compile(node)
        return found

    def _compile(self, node: Node) -> Check:
        kinds = node.get("type")
        names = [kinds] if isinstance(kinds, str) else list(kinds or ())
        if not names:
            return _enum(node)
        if names == ["boolean"]:
            return _TYPES["boolean"]
        parts: dict[str, Check] = {name: _TYPES[name] for name in names}
        if "object" in parts:
            parts["object"] = self._object(node)
        if "array" in parts:
            parts["array"] = self._array(node)
        if "string" in parts:
            parts["string"] = _string(node)
        for name in ("integer", "number"):
            if name in parts:
                parts[name] = _number(node, parts[name])
        checks = tuple(parts.values())
        if len(checks) == 1:
            return checks[0]
        if len(checks) == 2:  # noqa: PLR2004 - a value or null, the usual pair
            first, second = checks
            return lambda value: first(value) or second(value)
        return lambda value: any(check(value) for check in checks)

    def _array(self, node: Node) -> Check:
        item = self.compile(node["items"])
        low, high = node.get("minItems", 0), node.get("maxItems")

        def check(value: Any) -> bool:  # noqa: ANN401 - any value
            if value.__class__ is not list or len(value) < low:
                return False
            if high is not None and len(value) > high:
                return False
            return all(map(item, value))

        return check

    def _object(self, node: Node) -> Check:
        known = {name: self.compile(inner) for name, inner in node.get("properties", {}).items()}
        extra = node["additionalProperties"]
        other = self.compile(extra) if extra else None
        required = frozenset(node.get("required", ()))
        low, high = node.get("minProperties", 0), node.get("maxProperties", 2**31)
        relations = _relations(node)
        names = re.compile(node["propertyNames"]["pattern"]).search if "propertyNames" in node else None

        def check(value: Any) -> bool:  # noqa: ANN401 - any value
            if value.__class__ is not dict or not low <= len(value) <= high:
                return False
            if not required <= value.keys():
                return False
            for name, inner in value.items():
                one = known.get(name, other)
                if one is None or not one(inner) or (names is not None and not names(name)):
                    return False
            return relations is None or relations(value)

        return check


def _relations(node: Node) -> Check | None:
    if "oneOf" in node:
        union = frozenset(each["required"][0] for each in node["oneOf"])
        return lambda value: len(union & value.keys()) == 1
    if "dependentRequired" in node:
        needs = tuple(node["dependentRequired"].items())
        return lambda value: all(
            name not in value or all(other in value for other in others) for name, others in needs
        )
    return None


def _enum(node: Node) -> Check:
    words = frozenset(word for word in node["enum"] if word is not None)
    nothing = None in node["enum"]
    return lambda value: value in words if value.__class__ is str else nothing and value is None


def _string(node: Node) -> Check:
    accept = FORMATS.get(node.get("format", ""))
    if "pattern" in node:
        search = re.compile(node["pattern"]).search
        return lambda value: value.__class__ is str and search(value) is not None
    if accept is not None:
        return lambda value: value.__class__ is str and accept(value)
    return _TYPES["string"]


def _number(node: Node, kind: Check) -> Check:
    low, high = node.get("minimum", float("-inf")), node.get("maximum", float("inf"))
    accept = FORMATS.get(node.get("format", ""), is_finite)
    return lambda value: kind(value) and accept(value) and low <= value <= high
