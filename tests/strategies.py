"""Hypothesis strategies: valid audiences, and every way in which one and the same may be written."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hypothesis import strategies as st

from audiencesync.fields import (
    ENUMS,
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
    Manage,
    Not,
    Number,
    NumericFilter,
    SequenceFilter,
    SimpleFilter,
    Step,
    StringFilter,
    Trigger,
)
from audiencesync.wire import to_api

Json = dict[str, Any]

# Text that people write, and text that breaks careless readers and writers of YAML.
_TRICKY = (
    "NO",
    "on",
    "1_000",
    "0o17",
    "1.5",
    "~",
    "null",
    "#",
    ": ",
    "- a",
    "'",
    '"',
    "{}",
    "é",
    "日本",
    "a\\b",
)
_CHARACTERS = "abcXYZ019 _-.:/#é日😀\u00a0"


@cache
def texts(*, nonempty: bool = False) -> st.SearchStrategy[str]:
    """One line of text; `nonempty` wants something beside white space."""
    words = st.one_of(st.sampled_from(_TRICKY), st.text(_CHARACTERS, max_size=8))
    return words.filter(lambda text: text.strip() != "") if nonempty else words


@cache
def descriptions() -> st.SearchStrategy[str]:
    """Lines of text, none of which looks like an ownership mark."""
    lines = st.lists(texts(), max_size=3).map("\n".join)
    return lines.filter(lambda text: "[audiencesync" not in text)


@cache
def numbers() -> st.SearchStrategy[Number]:
    """A number of 64 bits, or a finite double."""
    whole = st.one_of(st.integers(-10, 1000), st.integers(-(2**63), 2**63 - 1))
    return st.one_of(whole, st.floats(allow_nan=False, allow_infinity=False, width=64))


@cache
def conditions() -> st.SearchStrategy[Condition]:
    """One of the four conditions; a regular expression is always a valid one."""
    plain = [kind for kind in MatchType if kind is not MatchType.FULL_REGEXP]
    return st.one_of(
        st.builds(StringFilter, st.sampled_from(plain), texts(), st.booleans()),
        st.builds(
            StringFilter,
            st.just(MatchType.FULL_REGEXP),
            st.sampled_from(("/shop/.*", "(a|b)+", r"\d{3}")),
            st.booleans(),
        ),
        st.builds(InListFilter, st.lists(texts(), min_size=1, max_size=3).map(tuple), st.booleans()),
        st.builds(NumericFilter, st.sampled_from(Operation), numbers()),
        st.tuples(st.integers(-50, 50), st.integers(0, 9)).map(lambda two: BetweenFilter(two[0], sum(two))),
    )


FIELD_NAMES = ("country", "eventCount", "deviceCategory", "customUser:plan", "customEvent:value", "pagePath")


@cache
def field_filters(*, windows: bool) -> st.SearchStrategy[FieldFilter]:
    """A leaf on one field; `windows` allows what needs ACROSS_ALL_SESSIONS."""
    return st.builds(
        FieldFilter,
        st.sampled_from(FIELD_NAMES),
        conditions(),
        st.booleans() if windows else st.just(False),
        st.sampled_from((0, 1, 7, 60)) if windows else st.just(0),
    )


@cache
def leaves(*, windows: bool) -> st.SearchStrategy[Leaf]:
    """Any leaf."""
    plain = st.one_of(field_filters(windows=windows), field_filters(windows=windows).map(Not))
    events = st.builds(
        EventFilter,
        st.sampled_from(("purchase", "add_to_cart", "page_view", "quiz_done")),
        st.lists(plain, max_size=2).map(tuple),
    )
    return st.one_of(plain, events)


@cache
def groups(*, windows: bool) -> st.SearchStrategy[AllOf]:
    """All of any of leaves."""
    any_of = st.builds(AnyOf, st.lists(leaves(windows=windows), min_size=1, max_size=2).map(tuple))
    return st.lists(any_of, min_size=1, max_size=2).map(tuple)


@cache
def durations() -> st.SearchStrategy[int | None]:
    """Nanoseconds, or none."""
    return st.one_of(st.none(), st.sampled_from((0, 1, 3_500_000_000, 1_800 * 10**9, 604_800 * 10**9)))


@st.composite
def clauses(draw: st.DrawFn, type_: ClauseType | None = None) -> Clause:
    """A clause that keeps the scope rules."""
    kind = type_ or draw(st.sampled_from(ClauseType))
    scope = draw(st.sampled_from(Scope))
    wide = scope is Scope.ALL_SESSIONS
    if draw(st.booleans()):
        return Clause(kind, SimpleFilter(scope, draw(groups(windows=wide))))
    steps = []
    for _ in range(draw(st.integers(1, 3))):
        own = draw(st.sampled_from(Scope))
        inside = draw(groups(windows=wide and own is Scope.ALL_SESSIONS))
        steps.append(Step(own, inside, draw(st.booleans()), draw(durations())))
    return Clause(kind, SequenceFilter(scope, tuple(steps), draw(durations())))


@cache
def triggers() -> st.SearchStrategy[Trigger | None]:
    """A trigger, or none."""
    names = st.sampled_from(("joined", "became_vip", "cart_left"))
    return st.one_of(st.none(), st.builds(Trigger, names, st.sampled_from(LogCondition)))


@st.composite
def audiences(draw: st.DrawFn) -> Audience:
    """Any audience that validates without an error (warnings may come)."""
    first = draw(clauses(ClauseType.INCLUDE))
    others = draw(st.lists(clauses(), max_size=2))
    return Audience(
        draw(texts(nonempty=True)),
        draw(descriptions()),
        draw(st.sampled_from((1, 30, 539, 540, -1))),
        tuple(draw(st.permutations([first, *others]))),
        draw(triggers()),
        draw(st.one_of(st.none(), st.sampled_from(ExclusionMode))),
    )


@cache
def keys() -> st.SearchStrategy[str]:
    """A key of an audience."""
    return st.from_regex(r"[a-z0-9][a-z0-9._-]{0,19}", fullmatch=True)


@st.composite
def manages(draw: st.DrawFn, key: str = "") -> Manage:
    """A `manage` block; it adopts nothing and belongs to every target."""
    return Manage(
        key or draw(keys()),
        draw(st.sampled_from(("", "growth-team"))),
        tuple(draw(st.lists(st.sampled_from(("remarketing", "vip")), unique=True))),
        draw(st.sampled_from(("", "2027-03-31"))),
        draw(st.booleans()),
    )


def _wire_number(draw: st.DrawFn, data: Json) -> Json:
    """The same number as text, as a number, or as a double where nothing is lost."""
    if "doubleValue" in data:
        value = data["doubleValue"]
        return {"doubleValue": draw(st.sampled_from((value, repr(value))))}
    whole = int(data["int64Value"])
    forms: list[Json] = [{"int64Value": str(whole)}, {"int64Value": whole}]
    if abs(whole) <= 2**53:
        forms.append({"doubleValue": float(whole)})
    forms.append({"int64Value": str(whole), "doubleValue": None})
    return draw(st.sampled_from(forms))


_DEFAULTS: dict[str, tuple[tuple[str, Any], ...]] = {
    "stringFilter": (("caseSensitive", False),),
    "inListFilter": (("caseSensitive", False),),
    "dimensionOrMetricFilter": (("atAnyPointInTime", False), ("inAnyNDayPeriod", 0)),
    "eventFilter": (("eventParameterFilterExpression", None),),
    "simpleFilter": (),
    "sequenceFilter": (("sequenceMaximumDuration", None),),
}
_ENUM_OF = {
    "scope": "AudienceFilterScope",
    "clauseType": "AudienceClauseType",
    "matchType": "MatchType",
    "operation": "Operation",
    "logCondition": "LogCondition",
    "exclusionDurationMode": "AudienceExclusionDurationMode",
}


def _enum(draw: st.DrawFn, name: str, value: str) -> object:
    kind = ENUMS[_ENUM_OF[name]]
    number = kind.numbers[list(kind.python).index(kind.python(value))]
    return draw(st.sampled_from((value, number)))


def _duration(draw: st.DrawFn, text: str) -> str:
    """The same duration with more zeros."""
    whole, _, rest = text[:-1].partition(".")
    width = draw(st.sampled_from([n for n in (0, 3, 6, 9) if n >= len(rest)]))
    return f"{whole}.{rest.ljust(width, '0')}s" if width else text


def _expressions(draw: st.DrawFn, items: list[Json]) -> list[Json]:
    """A group's members shuffled, one of them perhaps said twice."""
    members = [_messy(draw, item) for item in items]
    if draw(st.booleans()):
        members.append(json.loads(json.dumps(members[0])))
    return draw(st.permutations(members))


def _parameters(draw: st.DrawFn, expression: Json) -> Json:
    """Event parameters, each perhaps in an orGroup of its own, as servers answer."""
    members = _expressions(draw, expression["andGroup"]["filterExpressions"])
    wrapped = [
        {"orGroup": {"filterExpressions": [member]}} if draw(st.booleans()) else member for member in members
    ]
    return {"andGroup": {"filterExpressions": wrapped}}


def _renested(draw: st.DrawFn, expression: Json) -> Json:
    """A top-level expression in another nesting that means the same."""
    members = _expressions(draw, expression["andGroup"]["filterExpressions"])
    match draw(st.integers(0, 4)):
        case 0 if len(members) == 1:
            return members[0]
        case 1:
            return {"andGroup": {"filterExpressions": [{"andGroup": {"filterExpressions": members}}]}}
        case 2:
            bare = [
                one["orGroup"]["filterExpressions"][0]
                if len(one["orGroup"]["filterExpressions"]) == 1
                else one
                for one in members
            ]
            return {"andGroup": {"filterExpressions": bare}}
        case 3:
            nested = [{"orGroup": {"filterExpressions": [one]}} for one in members]
            return {"andGroup": {"filterExpressions": nested}}
        case _:
            return {"andGroup": {"filterExpressions": members}}


def _messy_value(draw: st.DrawFn, name: str, value: Any) -> Any:
    """One field's value, written otherwise."""
    if name in _ENUM_OF:
        return _enum(draw, name, value)
    match name:
        case "sequenceMaximumDuration" | "constraintDuration":
            return _duration(draw, value)
        case "eventParameterFilterExpression":
            return _parameters(draw, value)
        case "filterExpression":
            return _renested(draw, value)
        case "filterExpressions":
            return _expressions(draw, value)
        case "values":
            return draw(st.permutations([*value, value[0]] if draw(st.booleans()) else value))
        case "sequenceSteps":
            return [_messy(draw, step) for step in value]
        case "value" | "fromValue" | "toValue" if isinstance(value, dict):
            return _wire_number(draw, value)
    if isinstance(value, dict):
        return _messy(draw, value)
    return value


def _messy(draw: st.DrawFn, data: Json) -> Json:
    """One message, written otherwise: keys shuffled, defaults and nulls spelled out."""
    found = {}
    for name, value in draw(st.permutations(sorted(data.items(), key=lambda pair: pair[0]))):
        inner = _messy_value(draw, name, value)
        if isinstance(inner, dict):
            for default, unset in _DEFAULTS.get(name, ()):
                if default not in inner and draw(st.booleans()):
                    inner[default] = draw(st.sampled_from((unset, None)))
        found[name] = inner
    return found


def _ignored(draw: st.DrawFn, data: Json) -> None:
    """Adds what the server ignores or answers of its own accord."""
    for clause in data["filterClauses"]:
        step = clause.get("sequenceFilter", {}).get("sequenceSteps", [None])[0]
        if step is not None and draw(st.booleans()):
            step["immediatelyFollows"] = draw(st.booleans())
            step["constraintDuration"] = draw(st.sampled_from(("60s", None)))
    if draw(st.booleans()):
        data |= {"name": "properties/1000/audiences/7", "createTime": "2026-01-01T00:00:00Z"}
        data["adsPersonalizationEnabled"] = draw(st.booleans())
    if "eventTrigger" not in data:
        data |= draw(st.sampled_from(({}, {"eventTrigger": {}}, {"eventTrigger": None})))
    if "exclusionDurationMode" not in data:
        unset = ENUMS["AudienceExclusionDurationMode"].unspecified
        data |= draw(st.sampled_from(({}, {"exclusionDurationMode": None}, {"exclusionDurationMode": unset})))


@st.composite
def messy(draw: st.DrawFn, audience: Audience) -> Json:
    """GA4's JSON of the same audience as servers and people write it.

    Shuffled, defaulted, re-nested, with nulls, `"500"` for 500, integer enums, and what the server ignores.
    """
    data = to_api(audience)
    found = _messy(draw, {name: value for name, value in data.items() if name != "filterClauses"})
    clauses_ = [_messy(draw, clause) for clause in data["filterClauses"]]
    found["filterClauses"] = draw(st.permutations(clauses_))
    _ignored(draw, found)
    if found["membershipDurationDays"] in (540, -1):
        found["membershipDurationDays"] = draw(st.sampled_from((540, -1, "540")))
    if not found["description"].strip():
        found = {name: value for name, value in found.items() if name != "description"}
    else:
        found["description"] += draw(st.sampled_from(("", " ", "\n")))
    return found
