"""The short form read: plain data of it -> GA4's form, with the place that each value comes from.

grammar.py holds the words, short.py shows the form and is what other modules use.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from audiencesync.fields import ClauseType, MatchType, Scope
from audiencesync.grammar import (
    CLAUSE_SCOPE,
    FULL_WORDS,
    MISPLACED,
    MODIFIERS,
    NUMBER_OPERATORS,
    OPERATORS,
    RESERVED,
    SCOPES,
    STEP_SCOPE,
    STEP_WORDS,
    STRUCTURE,
    SYNONYMS,
    TEXT_OPERATORS,
    WINDOWS,
    parse_short_duration,
)
from audiencesync.source import Route
from audiencesync.wire import Json, format_duration

FULL_KEY = "filterClauses"
CLAUSE_TYPES = {"include": ClauseType.INCLUDE, "exclude": ClauseType.EXCLUDE}

SHORT_RULES: tuple[tuple[str, str], ...] = (
    ("both-forms", "The conditions stand either in filterClauses or in include and exclude."),
    (
        "short-clause",
        "include and exclude are lists of clauses: a scope and one of all, any, a leaf, a sequence.",
    ),
    ("short-leaf", "A leaf is {event: NAME}, {FIELD: CONDITION} or {not: {FIELD: CONDITION}}."),
    ("short-condition", "A condition is a text, a number, or one operator such as {greaterThan: 100}."),
    ("short-scope", "A scope is sameEvent, sameSession or allSessions."),
    ("short-duration", "A duration is written as in 30m, 7d, 1h30m or 3.5s."),
)


class Complaint(NamedTuple):
    """A mistake in the short form: where, which rule, what is wrong, and the way out."""

    route: Route
    rule: str
    message: str
    help: str
    key: bool = False


class _Node(NamedTuple):
    """A value of GA4's form, and the place in the short form that it comes from (its key, with `key`)."""

    value: Any
    route: Route
    key: bool = False


def full_form(data: Mapping[str, Any]) -> tuple[Json, dict[Route, tuple[Route, bool]], list[Complaint]]:
    """GA4's form of the data, where each of its values comes from, and what is wrong."""
    reader = _Reader()
    places: dict[Route, tuple[Route, bool]] = {}
    found: Json = {}
    first = next(name for name in data if name in CLAUSE_TYPES and data[name] is not None)
    for name, value in data.items():
        if name == first and data.get(FULL_KEY) is None:
            found[FULL_KEY] = _unzip(reader.clauses(data, first), (FULL_KEY,), places)
        elif name not in CLAUSE_TYPES and not (name == FULL_KEY and value is None):
            found[name] = value
    if data.get(FULL_KEY) is not None:
        message = f"{first} and filterClauses both hold the conditions"
        way_out = "keep one form: `include` and `exclude`, or `filterClauses`"
        reader.complaints.append(Complaint((first,), "both-forms", message, way_out, key=True))
    return found, places, reader.complaints


def _unzip(node: _Node, at: Route, places: dict[Route, tuple[Route, bool]]) -> Any:  # noqa: ANN401 - JSON
    """The plain data of a node; the place of each value goes into `places`."""
    places[at] = (node.route, node.key)
    match node.value:
        case dict() as members:
            return {name: _unzip(member, (*at, name), places) for name, member in members.items()}
        case list() as items:
            return [_unzip(item, (*at, index), places) for index, item in enumerate(items)]
        case value:
            return value


class _Mistake(Exception):  # noqa: N818 - a user's mistake on its way to the list of complaints
    """Leaves the reading of one leaf, clause or step; the complaint says why."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.message)
        self.complaint = complaint


def _raw(value: Any, route: Route) -> _Node:  # noqa: ANN401 - any value of the user's, for the schema to judge
    """A value that is the same in both forms."""
    match value:
        case dict():
            return _Node({name: _raw(each, (*route, name)) for name, each in value.items()}, route)
        case list():
            return _Node([_raw(each, (*route, index)) for index, each in enumerate(value)], route)
        case _:
            return _Node(value, route)


def _made(value: object, route: Route) -> _Node:
    """A value that the short form does not say, with one place for all its parts."""
    if isinstance(value, dict):
        return _Node({name: _made(each, route) for name, each in value.items()}, route)
    return _Node(value, route)


_MAX_SHOWN = 40


def _shown(value: object) -> str:
    """A user's word on one line, cut to 40 characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _mapping(value: object, route: Route, rule: str, what: str) -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return value
    wrong = "is empty" if value in ({}, None) else "is not a mapping"
    raise _Mistake(Complaint(route, rule, f"{what} {wrong}", "for example {event: purchase}"))


class _Reader:
    """Reads the short form into nodes of GA4's form, and collects what is wrong."""

    def __init__(self) -> None:
        self.complaints: list[Complaint] = []

    def fail(self, route: Route, rule: str, message: str, way_out: str, *, key: bool = False) -> None:
        """Note a mistake that does not stop the reading."""
        self.complaints.append(Complaint(route, rule, message, way_out, key))

    def placeholder(self, mistake: _Mistake, route: Route, *, inside: bool = False) -> _Node:
        """Note a mistake; gives a leaf that validates in the place of what cannot be read."""
        self.complaints.append(mistake.complaint)
        name = f"unreadable_{len(self.complaints)}"
        if not inside:
            return _made({"eventFilter": {"eventName": name}}, route)
        text = {"matchType": MatchType.EXACT.value, "value": ""}
        return _made({"dimensionOrMetricFilter": {"fieldName": name, "stringFilter": text}}, route)

    def clauses(self, data: Mapping[str, Any], first: str) -> _Node:
        """All clauses of both lists."""
        found: list[_Node] = []
        for name, kind in CLAUSE_TYPES.items():
            value, route = data.get(name), (name,)
            if value is None:
                continue
            if not isinstance(value, list) or not value:
                way_out = "put a dash before each clause, as in `- event: purchase`"
                what = "is empty" if value in ([], {}, "") else "is not a list"
                mistake = _Mistake(Complaint(route, "short-clause", f"{name} {what}", way_out))
                found.append(self.wrap(kind, self.simple([self.placeholder(mistake, route)], route), route))
                continue
            found += [self.clause(item, (name, index), kind) for index, item in enumerate(value)]
        return _Node(found, (first,), key=True)

    def wrap(self, kind: ClauseType, inside: dict[str, _Node], route: Route) -> _Node:
        """A clause around its filter."""
        return _Node({"clauseType": _Node(kind.value, route[:1], key=True), **inside}, route)

    def simple(self, leaves: list[_Node], route: Route) -> dict[str, _Node]:
        """A simple filter of one group."""
        expression = self.expression([_group(leaves, route)], route)
        body = {"scope": _Node(CLAUSE_SCOPE.value, route), "filterExpression": expression}
        return {"simpleFilter": _Node(body, route)}

    def clause(self, value: object, route: Route, kind: ClauseType) -> _Node:
        """One clause: a scope and an expression, or a sequence."""
        try:
            body = _mapping(value, route, "short-clause", "a clause")
            if "sequence" in body:
                self.alone(body, route, "sequence", ())
                return self.wrap(kind, self.sequence(body["sequence"], (*route, "sequence")), route)
            scope = self.scope(body, route, CLAUSE_SCOPE)
            expression = self.groups(body, route, ("scope",))
        except _Mistake as mistake:
            return self.wrap(kind, self.simple([self.placeholder(mistake, route)], route), route)
        simple = _Node({"scope": scope, "filterExpression": expression}, route)
        return self.wrap(kind, {"simpleFilter": simple}, route)

    def sequence(self, value: object, route: Route) -> dict[str, _Node]:
        """A sequence with its steps."""
        body = _mapping(value, route, "short-clause", "a sequence")
        steps = body.get("steps")
        if not isinstance(steps, list) or not steps:
            way_out = "sequence: {within: 7d, steps: [{event: view_item}, {event: purchase}]}"
            raise _Mistake(Complaint(route, "short-clause", "a sequence has a list of steps", way_out))
        for name in body:
            if name not in ("scope", "within", "steps"):
                way_out = "a sequence has steps, and may have scope and within; conditions stand in its steps"
                self.fail(
                    (*route, name), "short-clause", f"a sequence has no {_shown(name)}", way_out, key=True
                )
        at = (*route, "steps")
        found = {"scope": self.scope(body, route, CLAUSE_SCOPE)}
        if body.get("within") is not None:
            found["sequenceMaximumDuration"] = self.duration(body["within"], (*route, "within"))
        found["sequenceSteps"] = _Node([self.step(step, (*at, i)) for i, step in enumerate(steps)], at)
        return {"sequenceFilter": _Node(found, route)}

    def step(self, value: object, route: Route) -> _Node:
        """One step: a scope, its bonds to the step before, and an expression."""
        try:
            body = _mapping(value, route, "short-clause", "a step")
            found = {"scope": self.scope(body, route, STEP_SCOPE)}
            if body.get("immediatelyFollows") is not None:
                found["immediatelyFollows"] = _raw(body["immediatelyFollows"], (*route, "immediatelyFollows"))
            if body.get("within") is not None:
                found["constraintDuration"] = self.duration(body["within"], (*route, "within"))
            found["filterExpression"] = self.groups(body, route, STEP_WORDS)
        except _Mistake as mistake:
            expression = self.expression([_group([self.placeholder(mistake, route)], route)], route)
            found = {"scope": _Node(STEP_SCOPE.value, route), "filterExpression": expression}
        return _Node(found, route)

    def scope(self, body: Mapping[str, Any], route: Route, default: Scope) -> _Node:
        """The scope that is said, or the default."""
        word = body.get("scope")
        if word is None:
            return _Node(default.value, route)
        at = (*route, "scope")
        if isinstance(word, str) and word in SCOPES:
            return _Node(SCOPES[word].value, at)
        near = next((short for short, scope in SCOPES.items() if scope.value == word), "")
        way_out = f"write {near}" if near else f"write one of {', '.join(SCOPES)}"
        self.fail(at, "short-scope", f"{_shown(word)} is no scope", way_out)
        return _Node(default.value, at)

    def duration(self, value: object, route: Route) -> _Node:
        """A duration as GA4 writes it."""
        nanoseconds = parse_short_duration(value) if isinstance(value, str) else None
        if nanoseconds is None:
            way_out = "write days, hours, minutes and seconds in this order: 30m, 7d, 1h30m or 3.5s"
            self.fail(route, "short-duration", f"{_shown(value)} is no duration", way_out)
            nanoseconds = 10**9
        return _Node(format_duration(nanoseconds), route)

    def alone(self, body: Mapping[str, Any], route: Route, word: str, beside: tuple[str, ...]) -> None:
        """Refuse what stands beside a word that has to stand alone."""
        other = next((name for name in body if name != word and name not in beside), None)
        if other is not None:
            way_out = f"give {_shown(other)} an entry of its own in the list, or move it into {word}"
            message = f"{_shown(other)} cannot stand beside {word}"
            self.fail((*route, other), "short-clause", message, way_out, key=True)

    def expression(self, groups: list[_Node], route: Route) -> _Node:
        """The groups in their andGroup."""
        listed = _Node({"filterExpressions": _Node(groups, route)}, route)
        return _Node({"andGroup": listed}, route)

    def groups(self, body: Mapping[str, Any], route: Route, beside: tuple[str, ...]) -> _Node:
        """One andGroup: what stands under all, or the only group."""
        if "all" not in body:
            inside = {name: value for name, value in body.items() if name not in beside}
            if not inside:
                message = f"{' and '.join(map(_shown, body))} without a condition"
                way_out = "add all, any or a leaf, as in {scope: sameEvent, event: purchase}"
                raise _Mistake(Complaint(route, "short-clause", message, way_out))
            return self.expression([self.group(inside, route)], route)
        self.alone(body, route, "all", beside)
        at = (*route, "all")
        members = self.members(body["all"], at, "all")
        return self.expression([self.group(member, (*at, i)) for i, member in enumerate(members)], at)

    def members(self, value: object, route: Route, word: str) -> list[Any]:
        """The list under all or any."""
        if isinstance(value, list) and value:
            return value
        way_out = f"{word}: [{{event: purchase}}, {{country: US}}]"
        raise _Mistake(Complaint(route, "short-clause", f"{word} takes a list of conditions", way_out))

    def group(self, value: object, route: Route) -> _Node:
        """One orGroup: a leaf, or those under any."""
        try:
            body = _mapping(value, route, "short-leaf", "a condition")
            if "any" not in body:
                return _group([self.leaf(body, route)], route)
            self.alone(body, route, "any", ())
            at = (*route, "any")
            members = self.members(body["any"], at, "any")
        except _Mistake as mistake:
            return _group([self.placeholder(mistake, route)], route)
        return _group([self.leaf(member, (*at, i)) for i, member in enumerate(members)], at)

    def leaf(self, value: object, route: Route) -> _Node:
        """An event, a negation, or a field with its condition."""
        try:
            body = _mapping(value, route, "short-leaf", "a condition")
            if "event" in body:
                return self.event(body, route)
            return self.plain(body, route)
        except _Mistake as mistake:
            return self.placeholder(mistake, route)

    def event(self, body: Mapping[str, Any], route: Route) -> _Node:
        """An event with its parameters."""
        other = next((name for name in body if name not in ("event", "where")), None)
        if other in RESERVED:
            raise _Mistake(_misplaced(other, (*route, other)))
        if other is not None:
            way_out = "a condition on a parameter stands under where: {event: purchase, where: {value: 5}}"
            message = f"{_shown(other)} cannot stand beside event"
            raise _Mistake(Complaint((*route, other), "short-leaf", message, way_out, key=True))
        found = {"eventName": _raw(body["event"], (*route, "event"))}
        where, at = body.get("where"), (*route, "where")
        if where not in (None, {}, []):
            expression = self.parameters(where, at)
            listed = _Node({"filterExpressions": _Node(expression, at)}, at)
            found["eventParameterFilterExpression"] = _Node({"andGroup": listed}, at)
        return _Node({"eventFilter": _Node(found, route)}, route)

    def parameters(self, value: object, route: Route) -> list[_Node]:
        """The conditions under where: a mapping of parameters, or a list of leaves."""
        if isinstance(value, list):
            return [self.parameter(item, (*route, index)) for index, item in enumerate(value)]
        body = _mapping(value, route, "short-leaf", "where")
        if "field" in body:
            return [self.parameter(body, route)]
        return [self.parameter({name: body[name]}, route) for name in body]

    def parameter(self, value: object, route: Route) -> _Node:
        """One condition on a parameter."""
        try:
            return self.plain(_mapping(value, route, "short-leaf", "a condition"), route, inside=True)
        except _Mistake as mistake:
            return self.placeholder(mistake, route, inside=True)

    def plain(self, body: Mapping[str, Any], route: Route, *, inside: bool = False) -> _Node:
        """A negation or a field with its condition; `inside` an event's parameters any name will do."""
        if "not" not in body:
            return self.field_filter(body, route, inside=inside)
        for name in body:
            if name != "not":
                message = f"{_shown(name)} cannot stand beside not"
                way_out = "give it an entry of its own in a list"
                raise _Mistake(Complaint((*route, name), "short-leaf", message, way_out, key=True))
        at = (*route, "not")
        negated = _mapping(body["not"], at, "short-leaf", "not")
        if "event" in negated:
            message = "not takes a condition on a field, not an event"
            way_out = "to keep users of an event out, list it under exclude"
            raise _Mistake(Complaint(at, "short-leaf", message, way_out))
        return _Node({"notExpression": self.field_filter(negated, at, inside=inside)}, route)

    def field_filter(self, body: Mapping[str, Any], route: Route, *, inside: bool) -> _Node:
        """{FIELD: CONDITION}, or {field: NAME, ...} with the condition beside it."""
        if "field" in body:
            at = (*route, "field")
            name = _raw(body["field"], at)
            condition: object = {word: value for word, value in body.items() if word != "field"}
            found = self.condition(condition, route, at)
        else:
            word = self.only_name(body, route, inside=inside)
            at = (*route, word)
            name = _Node(word, at, key=True)
            found = self.condition(body[word], at, at)
        return _Node({"dimensionOrMetricFilter": _Node({"fieldName": name, **found}, at, key=True)}, route)

    def only_name(self, body: Mapping[str, Any], route: Route, *, inside: bool) -> str:
        """The one key of a mapping, which is a field's name."""
        for word in body:
            if word in RESERVED:
                raise _Mistake(_misplaced(word, (*route, word)))
            if word in FULL_WORDS:
                way_out = "write {event: NAME} or {FIELD: VALUE} here, or filterClauses instead of this list"
                message = f"{word} belongs to GA4's own form"
                raise _Mistake(Complaint((*route, word), "short-leaf", message, way_out, key=True))
            near = "" if inside else _near(word)
            if near:
                way_out = f"if it is a field's name, write {{field: {_shown(word)}, is: ...}}"
                message = f"{_shown(word)} is no word of the short form: is {near} meant?"
                raise _Mistake(Complaint((*route, word), "short-leaf", message, way_out, key=True))
        first, *others = body
        if others:
            way_out = (
                f"two entries: - {{{_shown(first)}: ...}} and - {{{_shown(others[0])}: ...}} under all or any"
            )
            message = f"one condition holds {len(body)} fields: {_shown(first)} and {_shown(others[0])}"
            raise _Mistake(Complaint((*route, others[0]), "short-leaf", message, way_out, key=True))
        return first

    def condition(self, value: object, route: Route, at: Route) -> dict[str, _Node]:
        """The parts of a dimensionOrMetricFilter that a condition says."""
        if not isinstance(value, dict):
            return _operator("is", value, route)
        present = [word for word in OPERATORS if word in value]
        for word in value:
            if word not in OPERATORS and word not in MODIFIERS:
                near = get_close_matches(word, [*OPERATORS, *MODIFIERS], n=1)
                guess = SYNONYMS.get(word.lower().replace("_", "")) or next(iter(near), "")
                way_out = f"write {guess}" if guess else f"write one of {', '.join(OPERATORS)}"
                message = f"{_shown(word)} is no operator"
                raise _Mistake(Complaint((*route, word), "short-condition", message, way_out, key=True))
        if len(present) != 1:
            what = f"has {len(present)} operators: {' and '.join(present)}" if present else "has no operator"
            way_out = (
                "between: [1, 9] holds both its ends; other pairs are two entries under all, or under where"
            )
            if not present:
                way_out = f"write one of {', '.join(OPERATORS)}"
            key = route == at
            raise _Mistake(Complaint(at, "short-condition", f"the condition {what}", way_out, key=key))
        found = {word: _raw(value[word], (*route, word)) for word in WINDOWS if value.get(word) is not None}
        found |= _operator(present[0], value[present[0]], (*route, present[0]))
        if value.get("caseSensitive") is not None:
            sensitive = _raw(value["caseSensitive"], (*route, "caseSensitive"))
            body = next(
                (found[name].value for name in ("stringFilter", "inListFilter") if name in found), None
            )
            if body is None:
                message = "caseSensitive has no meaning for a number"
                raise _Mistake(
                    Complaint(sensitive.route, "short-condition", message, "leave it out", key=True)
                )
            body["caseSensitive"] = sensitive
        return found


def _near(name: str) -> str:
    """The word of the form that a name nearly is, or ""."""
    return next(iter(get_close_matches(name, STRUCTURE, n=1, cutoff=0.8)), "")


def is_name(name: str) -> bool:
    """Whether a field's name may stand as a key: it is no word of either form, and no near miss of one."""
    return name not in RESERVED and name not in FULL_WORDS and not _near(name)


def _misplaced(word: str, route: Route) -> Complaint:
    """What a word of the grammar means where a field's name was expected."""
    if word in SCOPES:
        message, way_out = f"{word} is a scope", f"scope: {word}, with all, any or a condition beside it"
    elif word in OPERATORS or word in MODIFIERS:
        message, way_out = f"{word} has no field before it", f"{{value: {{{word}: ...}}}}"
    else:
        message, way_out = MISPLACED[word]
    return Complaint(route, "short-leaf", message, way_out, key=True)


def _group(leaves: list[_Node], route: Route) -> _Node:
    listed = _Node({"filterExpressions": _Node(leaves, route)}, route)
    return _Node({"orGroup": listed}, route)


def _number(value: object, route: Route, word: str) -> _Node:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        message = f"{word} takes a number, not {_kind(value)}"
        raise _Mistake(Complaint(route, "short-condition", message, "write it without quotes: 100 or 9.99"))
    number = ("doubleValue", value) if isinstance(value, float) else ("int64Value", str(value))
    return _Node({number[0]: _Node(number[1], route)}, route)


def _operator(word: str, value: object, route: Route) -> dict[str, _Node]:
    """One of the four filters for an operator and what it takes."""
    match word:
        case "in":
            return {"inListFilter": _Node({"values": _raw(value, route)}, route)}
        case "between":
            if not isinstance(value, list) or len(value) != len(("from", "to")):
                message = "between takes two numbers, both of which are included"
                raise _Mistake(Complaint(route, "short-condition", message, "between: [1, 9]"))
            ends = [_number(end, (*route, index), word) for index, end in enumerate(value)]
            return {"betweenFilter": _Node({"fromValue": ends[0], "toValue": ends[1]}, route)}
        case "is" if not isinstance(value, str | int | float) or isinstance(value, bool):
            way_out = 'text in quotes ("true"), a number, {in: [a, b]} for several, or another operator'
            message = f"a condition is a text or a number, not {_kind(value)}"
            raise _Mistake(Complaint(route, "short-condition", message, way_out))
        case "is" if isinstance(value, str):
            pass
        case _ if word in NUMBER_OPERATORS:
            parts = {
                "operation": _Node(NUMBER_OPERATORS[word].value, route, key=True),
                "value": _number(value, route, word),
            }
            return {"numericFilter": _Node(parts, route)}
    match_type = _Node(TEXT_OPERATORS[word].value, route, key=True)
    return {"stringFilter": _Node({"matchType": match_type, "value": _raw(value, route)}, route)}


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case str():
            return f'the text "{_shown(value)}"'
        case _:
            return _shown(str(value).lower())
