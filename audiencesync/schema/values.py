"""What is wrong with one value, in our words, and what to write instead."""

from __future__ import annotations

import re
from typing import Any

from audiencesync.fields import ENUMS
from audiencesync.schema import rewrite
from audiencesync.schema.build import Node
from audiencesync.schema.findings import QUOTE, Finding, at, listed, named, nearest, shown
from audiencesync.source import Route

_ORDER = ("type", "enum", "minItems", "maxItems", "minProperties", "pattern", "format", "minimum", "maximum")
_KINDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "a mapping",
}
_EXAMPLES: dict[str, str] = {
    "displayName": "displayName: Cart abandoners",
    "description": "description: Added to cart, did not buy.",
    "membershipDurationDays": "membershipDurationDays: 30",
    "filterClauses": "filterClauses: [...]",
    "eventName": "eventName: add_to_cart",
    "fieldName": "fieldName: country",
    "value": 'value: "..."',
    "values": 'values: ["..."]',
    "fromValue": 'fromValue: {int64Value: "1"}',
    "toValue": 'toValue: {int64Value: "5"}',
    "owner": "owner: acme-web",
    "property": 'property: "312222000"',
    "url": "url: https://op.example.com",
    "to": "to: out/members.csv",
}


def example(name: str, schema: Node) -> str:
    """What to add for a missing key."""
    node = schema["properties"].get(name, {})
    if "enum" in node:
        return f"add `{name}: {node['enum'][0]}` (or {listed([w for w in node['enum'][1:] if w])})"
    if schema.get("x-message") == "NumericFilter" and name == "value":
        return 'add `value: {int64Value: "5"}`'
    return f"add `{_EXAMPLES[name]}`" if name in _EXAMPLES else f"add {name}"


def explain(root: object, route: Route, errors: list[Any]) -> Finding | None:
    """The one finding for a value that breaks one or more keywords of its schema."""
    by_keyword = {error.validator: error for error in reversed(errors)}
    keyword = next((name for name in _ORDER if name in by_keyword), None)
    if keyword is None:
        return None
    value, schema, bound = errors[0].instance, by_keyword[keyword].schema, by_keyword[keyword].validator_value
    match keyword:
        case "type":
            return _wrong_type(route, value, schema)
        case "enum":
            return _unknown_value(root, route, value, schema)
        case "minItems" | "minProperties":
            text = f"{named(route)} is empty; it needs at least one entry"
            return Finding(route, "empty-value", text, "write an entry", key=True)
        case "maxItems":
            return _or_of_parameters(root, route, value)
        case "minimum" | "maximum":
            return _out_of_range(route, value, keyword, bound)
        case _:
            return _bad_text(route, value, schema)


def _wrong_type(route: Route, value: object, schema: Node) -> Finding:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    wanted = listed([_KINDS[kind] for kind in kinds if kind != "null"])
    if value is None:
        text = f"{named(route)} has no value; it is {wanted}"
        return Finding(route, "empty-value", text, "give it a value")
    text = f"{named(route)} is {shown(value)}; it has to be {wanted}"
    return Finding(route, "wrong-type", text, _type_help(route, value, kinds, schema))


def _type_help(route: Route, value: object, kinds: list[str], schema: Node) -> str:
    name = "-" if not route or isinstance(route[-1], int) else f"{route[-1]}:"
    scalar = isinstance(value, str | int | float)
    match kinds[0]:
        case "string" if "integer" in kinds and route[-1] == "int64Value" and type(value) is float:
            return f"write doubleValue: {shown(value)} for a number with a fraction"
        case "string" if schema.get("format") == "duration-text" and type(value) in {int, float}:
            return f'write {name} "{shown(value)}s"'
        case "string" if "integer" not in kinds and scalar and not isinstance(value, str):
            return f'{QUOTE}{name} "{shown(value)}"'
        case "array" if scalar:
            return f"write a list: {name} [{rewrite.lines(value)}]"
        case "boolean":
            return f"write {name} true, or {name} false"
        case "integer" | "number" if isinstance(value, str):
            digits = re.sub(r"[_,\s]", "", value)
            if re.fullmatch(r"[-+]?[0-9]+", digits):
                return f"write {name} {int(digits)}, without quotes"
        case "object" if (
            "int64Value" in schema.get("properties", ()) and scalar and not isinstance(value, str)
        ):
            inner = {"int64Value": str(value)} if isinstance(value, int) else {"doubleValue": value}
            return f"write {rewrite.lines({name.rstrip(':'): inner})}"
        case "object" if schema.get("properties"):
            return f"write a mapping with {listed(list(schema['properties']))}"
        case _:
            pass
    return f"write {listed([_KINDS[kind] for kind in kinds if kind != 'null'])}"


def _unknown_value(root: object, route: Route, value: object, schema: Node) -> Finding:
    words = [word for word in schema["enum"] if word is not None]
    name = named(route)
    if value is None:
        return Finding(route, "empty-value", f"{name} has no value", f"write {listed(words)}")
    kind = schema.get("x-enum", "")
    text = f"{name} is {shown(value)}; it can be {listed(words)}"
    way = _word_help(root, route, value, words, kind)
    return Finding(route, "unknown-value", text, way)


def _word_help(root: object, route: Route, value: object, words: list[str], kind: str) -> str:
    if kind and isinstance(value, int) and not isinstance(value, bool) and value in ENUMS[kind].numbers:
        return f"write {words[ENUMS[kind].numbers.index(value)]}"
    if not isinstance(value, str):
        return f"write {listed(words)}"
    if kind and value == ENUMS[kind].unspecified:
        return "leave the key out" if kind == "AudienceExclusionDurationMode" else f"write {listed(words)}"
    if kind == "Operation" and (way := _comparison(root, route, value)):
        return way
    if kind == "MatchType" and (way := _match_help(value)):
        return way
    folded = value.upper().replace("-", "_").replace(" ", "_")
    ends = [
        word for word in words if folded and (word.endswith(f"_{folded}") or word.startswith(f"{folded}_"))
    ]
    guess = ends[0] if len(ends) == 1 else nearest(value, words) or _nearest_end(folded, words)
    return f"did you mean {guess}?" if guess else f"write {listed(words)}"


def _nearest_end(folded: str, words: list[str]) -> str:
    """The word whose part behind the common beginning is nearly the given one."""
    letters = enumerate(zip(*words, strict=False))
    shared = words[0][: next((index for index, column in letters if len(set(column)) > 1), 0)]
    guess = nearest(folded.removeprefix(shared), [word.removeprefix(shared) for word in words])
    return f"{shared}{guess}" if guess else ""


_AT_LEAST = {">=", "GTE", "GE", "MIN", "AT_LEAST", "GREATER_THAN_OR_EQUAL", "GREATER_OR_EQUAL"}
_AT_MOST = {"<=", "LTE", "LE", "MAX", "AT_MOST", "LESS_THAN_OR_EQUAL", "LESS_OR_EQUAL"}
_NOT_EQUAL = {"!=", "<>", "NE", "NOT_EQUAL", "NOT_EQUALS"}
_SIGNS = {
    ">": "GREATER_THAN",
    "GT": "GREATER_THAN",
    "<": "LESS_THAN",
    "LT": "LESS_THAN",
    "=": "EQUAL",
    "==": "EQUAL",
}


def _comparison(root: object, route: Route, value: str) -> str:
    """The way out for a comparison that GA4 does not have, with the numbers of the file."""
    word = value.upper().removesuffix("_TO")
    if word in _NOT_EQUAL:
        return "write EQUAL, and put the whole dimensionOrMetricFilter under notExpression"
    if word in _SIGNS:
        return f"write {_SIGNS[word]}"
    if word not in _AT_LEAST | _AT_MOST:
        return ""
    sign, operation, step = (">=", "GREATER_THAN", -1) if word in _AT_LEAST else ("<=", "LESS_THAN", 1)
    number = at(root, (*route[:-1], "value"))
    whole = number.get("int64Value") if isinstance(number, dict) else None
    if isinstance(whole, int | str) and re.fullmatch(r"[-+]?[0-9]{1,18}", str(whole)):
        other = int(whole) + step
        instead = {"numericFilter": {"operation": operation, "value": {"int64Value": str(other)}}}
        return f"write {sign} {int(whole)} as {operation} {other}:\n{rewrite.lines(instead)}"
    if isinstance(number, dict) and isinstance(number.get("doubleValue"), int | float):
        given = number["doubleValue"]
        return f"write {sign} {given} as two filters in one orGroup: {operation} {given}, and EQUAL {given}"
    return f"write {sign} N as {operation} N{step:+d}"


def _match_help(value: str) -> str:
    word = value.upper().replace("-", "_").replace(" ", "_")
    if word in {"REGEX", "REGEXP", "FULL_REGEX", "MATCHES", "MATCHES_REGEX", "MATCHES_REGEXP"}:
        return "write FULL_REGEXP; it has to match the whole value"
    if word in {"PARTIAL_REGEXP", "PARTIAL_REGEX", "CONTAINS_REGEX", "CONTAINS_REGEXP"}:
        return "write FULL_REGEXP, and .* on both sides of the expression: it has to match the whole value"
    if word in {"EQUAL", "EQUALS", "IS", "=", "=="}:
        return "write EXACT"
    if word in {"IN", "IN_LIST", "ONE_OF", "ANY_OF"}:
        return "use inListFilter: {values: [...]} in place of stringFilter"
    if word.startswith(("NOT_", "DOES_NOT")):
        return "write the match without NOT, and put the whole dimensionOrMetricFilter under notExpression"
    return ""


def _or_of_parameters(root: object, route: Route, value: list[object]) -> Finding:
    text = f"an orGroup of {len(value)} filters stands inside event parameters; they are all AND'ed there"
    place = route[: route.index("eventParameterFilterExpression") + 1]
    event = at(root, (*place[:-1], "eventName"))
    lines = rewrite.parameters(event, at(root, place))
    way = "write one eventFilter for each alternative, in the orGroup around it"
    return Finding(route[:-1], "nesting", text, f"{way}:\n{lines}" if lines else way, key=True)


def _out_of_range(route: Route, value: object, keyword: str, bound: object) -> Finding:
    limit = "at most" if keyword == "maximum" else "at least"
    text = f"{named(route)} is {shown(value)}; {limit} {bound} is allowed"
    return Finding(route, "out-of-range", text, f"write {bound}, or a number on its allowed side")


_FORMAT_HELP = {
    "day": ("a day of the calendar, as YYYY-MM-DD", "write a day such as 2027-03-31"),
    "duration-text": ("seconds with at most 9 decimals and an s", 'write seconds, such as "1800s" or "3.5s"'),
    "finite": ("a finite number", "write a finite number"),
    "exact": ("a whole number, written without a point", "write it without the point"),
}


def _bad_text(route: Route, value: Any, schema: Node) -> Finding:  # noqa: ANN401 - any value
    name = named(route)
    if isinstance(value, str) and not value.strip():
        return Finding(route, "empty-value", f"{name} is empty; it needs some text", "write a text")
    kind = schema.get("format", "")
    if kind == "int64":
        if re.fullmatch(r"[-+]?[0-9]+", value):
            text = f"{name} is {shown(value)}; it has to fit 64 bits (-2^63 to 2^63-1)"
            return Finding(route, "out-of-range", text, "write a smaller number, or use doubleValue")
        digits = re.sub(r"[_,\s]", "", value)
        way = (
            f'write "{int(digits)}"' if re.fullmatch(r"[-+]?[0-9]{1,19}", digits) else 'write it such as "5"'
        )
        if re.fullmatch(r"[-+]?[0-9]*\.[0-9]+", value) and name == "int64Value":
            way = f"write doubleValue: {value} for a number with a fraction"
        return Finding(route, "bad-format", f"{name} is {shown(value)}; it has to be a whole number", way)
    if kind in _FORMAT_HELP and not (kind == "exact" and isinstance(value, str)):
        wanted, way = _FORMAT_HELP[kind]
        if kind == "duration-text":
            way = _duration_help(value) or way
        return Finding(route, "bad-format", f"{name} is {shown(value)}; it has to be {wanted}", way)
    wanted, way = _pattern_help(route)
    return Finding(route, "bad-format", f"{name} is {shown(value)}; {wanted}", way)


_UNITS = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800, "": 1}


def _duration_help(value: str) -> str:
    found = re.fullmatch(r"\s*([0-9]{1,9})\s*([a-z]*)\s*", value.lower())
    unit = found[2] if found else None
    if not found or unit not in _UNITS:
        return ""
    return f'write "{int(found[1]) * _UNITS[unit]:g}s"' if unit != "ms" else ""


_PATTERNS = {
    "key": (
        "letters, digits, . _ - are allowed, at most 100, the first a letter or digit",
        "cart-abandoners",
    ),
    "previousKeys": (
        "letters, digits, . _ - are allowed, at most 100, the first a letter or digit",
        "abandoners",
    ),
    "owner": ("lower-case letters, digits and - are allowed, at most 40", "acme-web"),
    "property": ("it is the property's number", '"312222000"'),
    "account": ("it is the account's number", '"1234567"'),
    "endpoint": ("it is google, local or an address with http:// or https://", "http://127.0.0.1:8080"),
    "adopt": ("it is the number at the end of the audience's resource name", '"4711"'),
    "to": ("it ends in .csv, .csv.gz, .jsonl, .jsonl.gz or .parquet", "out/members.csv"),
    "url": ("it is an address with http:// or https://, without ? and #", "https://op.example.com"),
    "graphqlPath": ("it begins with / and has no ? and #", "/graphql"),
    "bigquery": ("it is project.dataset", "project.analytics_312222000"),
}


def _pattern_help(route: Route) -> tuple[str, str]:
    names = [step for step in route if isinstance(step, str) and step in _PATTERNS]
    if not names:
        return "it is not written as it has to be", "see `audiencesync schema`"
    wanted, way = _PATTERNS[names[-1]]
    return wanted, f"write it such as {way}"
