"""The words of the short form, as data: reading, writing and the JSON Schema follow from these tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from audiencesync.fields import ENUMS, FIELDS, MAX_WINDOW_DAYS, NESTING, MatchType, Operation, Scope
from audiencesync.wire import MAX_DURATION_SECONDS

SCOPES: dict[str, Scope] = {
    "sameEvent": Scope.SAME_EVENT,
    "sameSession": Scope.SAME_SESSION,
    "allSessions": Scope.ALL_SESSIONS,
}
SCOPE_WORDS: dict[Scope, str] = {scope: word for word, scope in SCOPES.items()}
CLAUSE_SCOPE = Scope.ALL_SESSIONS
"""What a clause or a whole sequence has where it says no scope."""
STEP_SCOPE = Scope.SAME_EVENT
"""What a step has where it says no scope."""

TEXT_OPERATORS: dict[str, MatchType] = {
    "is": MatchType.EXACT,
    "beginsWith": MatchType.BEGINS_WITH,
    "endsWith": MatchType.ENDS_WITH,
    "contains": MatchType.CONTAINS,
    "matches": MatchType.FULL_REGEXP,
}
NUMBER_OPERATORS: dict[str, Operation] = {
    "is": Operation.EQUAL,
    "lessThan": Operation.LESS_THAN,
    "greaterThan": Operation.GREATER_THAN,
}
OPERATORS = (*TEXT_OPERATORS, "in", "lessThan", "greaterThan", "between")
"""A condition has one of these."""

_NO_EQUAL = 'GA4 has no "or equal"'
SYNONYMS = {
    **dict.fromkeys(("equals", "equal", "eq", "exact", "value"), "is"),
    **dict.fromkeys(("startswith", "prefix"), "beginsWith"),
    **dict.fromkeys(("suffix",), "endsWith"),
    **dict.fromkeys(("regex", "regexp", "fullregexp", "matchesregex"), "matches"),
    **dict.fromkeys(("oneof", "anyof", "inlist", "values"), "in"),
    **dict.fromkeys(("gt", "morethan", "above"), "greaterThan"),
    **dict.fromkeys(("lt", "below", "fewerthan"), "lessThan"),
    **dict.fromkeys(
        ("gte", "atleast", "greaterthanorequal", "min"),
        f"greaterThan with a number just below it: {_NO_EQUAL}",
    ),
    **dict.fromkeys(
        ("lte", "atmost", "lessthanorequal", "max"), f"lessThan with a number just above it: {_NO_EQUAL}"
    ),
    **dict.fromkeys(("range", "from", "to"), "between: [1, 9]"),
    **dict.fromkeys(("ever", "atanytime"), "atAnyPointInTime: true"),
    **dict.fromkeys(("days", "inanyndays", "indays", "within"), "inAnyNDayPeriod: 7"),
    "not": "{not: {FIELD: ...}} around the whole condition",
}
"""What people write for an operator or modifier, in lower case, and what it is called here."""

WINDOWS = ("atAnyPointInTime", "inAnyNDayPeriod")
MODIFIERS = (*WINDOWS, "caseSensitive")
"""What a condition may say besides; GA4's own names."""

STEP_WORDS = ("scope", "within", "immediatelyFollows")
LEAF_WORDS = ("event", "where", "not", "field")
RESERVED = frozenset(
    ("all", "any", "sequence", "steps", *SCOPES, *STEP_WORDS, *LEAF_WORDS, *OPERATORS, *MODIFIERS)
)
"""A field or parameter of one of these names is written {field: NAME, ...}."""

FULL_WORDS = frozenset(
    (
        "clauseType",
        "simpleFilter",
        "sequenceFilter",
        "filterExpression",
        *(name for names in NESTING.values() for name in names),
    )
)
"""Words of GA4's own form, which stand nowhere in the short one."""
STRUCTURE = ("event", "where", "field", "scope", "sequence", "within", "steps", "immediatelyFollows")
"""A field's name that is nearly one of these is a slip of the pen."""

_FILTER = "a filter is all of (any of (condition))"
MISPLACED = {
    "all": (f"all cannot stand here: {_FILTER}", "move its conditions up, or write a clause for them"),
    "any": (f"any cannot stand here: {_FILTER}", "move its conditions up into one any"),
    "event": ("event cannot stand here", "a parameter of this name is {field: event, is: ...}"),
    "where": ("where belongs to an event", "{event: purchase, where: {value: 5}}"),
    "not": ("not cannot stand here", "not takes one condition on a field: {not: {country: US}}"),
    "field": ("field cannot stand here", "{field: NAME, is: ...} is an entry of a list"),
    "scope": ("scope cannot stand here", "move it up into the clause, the sequence or the step"),
    "sequence": ("sequence cannot stand here", "a sequence is an entry of include or exclude"),
    "within": ("within belongs to a sequence or a step", "sequence: {within: 7d, steps: [...]}"),
    "steps": ("steps belongs to a sequence", "sequence: {steps: [...]}"),
    "immediatelyFollows": ("immediatelyFollows belongs to a step", "sequence: {steps: [...]}"),
}
"""What such a word means where a field's name was expected, and the way out."""


@dataclass(frozen=True, slots=True)
class _Unit:
    letter: str
    seconds: int


_UNITS = (_Unit("d", 86_400), _Unit("h", 3_600), _Unit("m", 60))
_DURATION = re.compile(r"(?:(\d{1,12})d)?(?:(\d{1,12})h)?(?:(\d{1,12})m)?(?:(\d{1,12})(?:\.(\d{1,9}))?s)?")
DURATION_PATTERN = r"^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]{1,9})?s)?$"


def parse_short_duration(text: str) -> int | None:
    """Nanoseconds of a duration such as "7d", "1h30m" or "3.5s"; None where the text is no such duration."""
    found = _DURATION.fullmatch(text)
    if not found or not text or not text.isascii():
        return None
    *whole, seconds, fraction = (part or "0" for part in found.groups())
    total = sum(int(count) * unit.seconds for count, unit in zip(whole, _UNITS, strict=True)) + int(seconds)
    nanoseconds = total * 10**9 + int(fraction.ljust(9, "0"))
    return nanoseconds if nanoseconds <= MAX_DURATION_SECONDS * 10**9 else None


def format_short_duration(nanoseconds: int) -> str:
    """The shortest such text, exact: "7d", "1h30m", "90.5s" becomes "1m30.5s"."""
    seconds, rest = divmod(nanoseconds, 10**9)
    text = ""
    for unit in _UNITS:
        count, seconds = divmod(seconds, unit.seconds)
        text += f"{count}{unit.letter}" if count else ""
    if rest:
        return text + f"{seconds}.{rest:09d}".rstrip("0") + "s"
    return text + (f"{seconds}s" if seconds or not text else "")


_DOCS = {
    "is": "The whole value is this text, or equals this number.",
    "beginsWith": "The value begins with this text.",
    "endsWith": "The value ends with this text.",
    "contains": "The value contains this text.",
    "matches": "An RE2 regular expression matches the whole value.",
    "in": "The value is one of these texts.",
    "lessThan": "The number is less than this.",
    "greaterThan": "The number is greater than this; for N or more write a number just below N.",
    "between": "The number lies between these two, both included.",
}


def _doc(message: str, name: str) -> str:
    return next(field.doc for field in FIELDS if (field.message, field.name) == (message, name))


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _operators() -> dict[str, Any]:
    """Schemas of the operators and modifiers, by word."""
    number = {"type": "number"}
    takes: dict[str, dict[str, Any]] = {
        "is": {"type": ["string", "number"]},
        "in": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "between": {"type": "array", "items": number, "minItems": 2, "maxItems": 2},
        **{word: number for word in NUMBER_OPERATORS if word != "is"},
        **{word: {"type": "string"} for word in TEXT_OPERATORS if word != "is"},
    }
    leaf = "AudienceDimensionOrMetricFilter"
    ever, days = WINDOWS
    return {
        **{word: takes[word] | {"description": _DOCS[word]} for word in OPERATORS},
        ever: {"type": ["boolean", "null"], "description": _doc(leaf, ever)},
        days: {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": MAX_WINDOW_DAYS,
            "description": _doc(leaf, days),
        },
        "caseSensitive": {
            "type": ["boolean", "null"],
            "description": _doc("StringFilter", "caseSensitive"),
        },
    }


_EXAMPLE_LEAF = {"event": "purchase", "where": {"value": {"greaterThan": 100}}}


def _leaf_properties() -> dict[str, Any]:
    return {
        "event": {
            "type": "string",
            "minLength": 1,
            "description": "An event of this exact name.",
            "examples": ["add_to_cart"],
        },
        "where": _ref("shortWhere")
        | {"description": "Conditions on the event's parameters; all of them have to hold."},
        "not": _ref("shortFieldLeaf") | {"description": "The condition inside must not hold."},
        "field": {
            "type": "string",
            "minLength": 1,
            "description": "The field's name, where it is itself a word of the short form.",
        },
        **_operators(),
    }


def _expression_properties() -> dict[str, Any]:
    return {
        "all": {
            "type": "array",
            "minItems": 1,
            "items": _ref("shortGroup"),
            "description": "Every one of these has to hold.",
        },
        "any": {
            "type": "array",
            "minItems": 1,
            "items": _ref("shortLeaf"),
            "description": "One of these has to hold.",
        },
        **_leaf_properties(),
    }


_NULL: dict[str, Any] = {"type": "null"}
_SCOPE_DOCS = dict(zip(Scope, ENUMS["AudienceFilterScope"].docs, strict=True))


def _scope(default: Scope) -> dict[str, Any]:
    return {
        "anyOf": [
            *({"const": word, "description": _SCOPE_DOCS[scope]} for word, scope in SCOPES.items()),
            _NULL,
        ],
        "default": SCOPE_WORDS[default],
        "description": _doc("AudienceSimpleFilter", "scope"),
    }


def _within(description: str) -> dict[str, Any]:
    return {
        "type": ["string", "null"],
        "pattern": DURATION_PATTERN,
        "description": description,
        "examples": ["30m", "7d", "1h30m"],
    }


def _object(properties: dict[str, Any], *, names: bool, **more: object) -> dict[str, Any]:
    """A mapping; with `names` any other key is a field's name with its condition."""
    return {
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "additionalProperties": _ref("shortCondition") if names else False,
        **more,
    }


def short_schema() -> dict[str, Any]:
    """JSON Schema of the short form: `properties` for `include` and `exclude`, and the `$defs` below them."""
    limit = _doc("AudienceSequenceFilter", "sequenceMaximumDuration")
    sequence = {
        "scope": _scope(CLAUSE_SCOPE),
        "within": _within(limit),
        "steps": {
            "type": "array",
            "minItems": 1,
            "items": _ref("shortStep"),
            "description": _doc("AudienceSequenceFilter", "sequenceSteps"),
        },
    }
    step = {
        "scope": _scope(STEP_SCOPE),
        "within": _within(_doc("AudienceSequenceStep", "constraintDuration")),
        "immediatelyFollows": {
            "type": ["boolean", "null"],
            "description": _doc("AudienceSequenceStep", "immediatelyFollows"),
        },
    }
    clause = {
        "scope": _scope(CLAUSE_SCOPE),
        "sequence": _object(sequence, names=False, required=["steps"])
        | {"description": _doc("AudienceFilterClause", "sequenceFilter")},
    }
    any_of = {name: value for name, value in _expression_properties().items() if name != "all"}
    plain = {
        name: value for name, value in _leaf_properties().items() if name not in ("event", "where", "not")
    }
    where = {"not": _leaf_properties()["not"]}
    condition = _object(_operators(), names=False, examples=[{"greaterThan": 100}, {"in": ["CA", "US"]}])
    clauses = {"type": ["array", "null"], "minItems": 1, "items": _ref("shortClause")}
    return {
        "properties": {
            "include": clauses
            | {
                "description": "Short form: users who satisfy all of these clauses are let in.",
                "examples": [[_EXAMPLE_LEAF]],
            },
            "exclude": clauses
            | {
                "description": "Short form: users who satisfy one of these clauses are kept out.",
                "examples": [[{"event": "purchase"}]],
            },
        },
        "$defs": {
            "shortClause": _object({**clause, **_expression_properties()}, names=True),
            "shortStep": _object({**step, **_expression_properties()}, names=True),
            "shortGroup": _object(any_of, names=True),
            "shortLeaf": _object(_leaf_properties(), names=True, examples=[_EXAMPLE_LEAF]),
            "shortFieldLeaf": _object(plain, names=True, examples=[{"country": {"in": ["CA", "US"]}}]),
            "shortWhere": {
                "anyOf": [
                    _object(where, names=True),
                    {"type": "array", "items": _ref("shortParameter")},
                    {"type": "null"},
                ]
            },
            "shortParameter": _object({**plain, **where}, names=True),
            "shortCondition": {"anyOf": [{"type": ["string", "number"]}, condition]},
        },
    }
