"""The short form of an audience's conditions beside GA4's own, both ways and without loss.

    include:                                    # clauses; every one has to hold
      - event: purchase                         # one leaf stands for its and/or wrapping
        where: {value: {greaterThan: 100}}
      - scope: sameSession                      # sameEvent, sameSession or (the default) allSessions
        all:
          - country: {in: [CA, US]}
          - any: [{event: view_item}, {not: {deviceCategory: mobile}}]
    exclude:
      - sequence:
          within: 7d
          steps:                                # a step's default scope is sameEvent
            - event: begin_checkout
            - {event: refund, within: 1h30m, immediatelyFollows: true}

`include` and `exclude` replace `filterClauses`; every other key stays GA4's own. Text means EXACT, a whole
number int64Value, a number with a point doubleValue. A field whose name is a word of the form is written
{field: NAME, is: ...}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from audiencesync.errors import UnrepresentableError
from audiencesync.expansion import CLAUSE_TYPES, FULL_KEY, SHORT_RULES, full_form, is_name
from audiencesync.fields import MatchType, Operation, Scope
from audiencesync.grammar import (
    CLAUSE_SCOPE,
    NUMBER_OPERATORS,
    SCOPE_WORDS,
    STEP_SCOPE,
    TEXT_OPERATORS,
    WINDOWS,
    format_short_duration,
    short_schema,
)
from audiencesync.model import (
    AllOf,
    AnyOf,
    BetweenFilter,
    Clause,
    EventFilter,
    FieldFilter,
    InListFilter,
    Leaf,
    Not,
    NumericFilter,
    SequenceFilter,
    SimpleFilter,
    Step,
    StringFilter,
)
from audiencesync.source import Document, Location, Problem, Route
from audiencesync.wire import Json, from_api

__all__ = [
    "SHORT_RULES",
    "Expanded",
    "expand",
    "in_short_words",
    "is_short",
    "short_schema",
    "to_full",
    "to_short",
]


def is_short(data: object) -> bool:
    """Whether a document's data says its conditions in the short form."""
    return isinstance(data, dict) and any(data.get(name) is not None for name in CLAUSE_TYPES)


@dataclass(frozen=True)
class Expanded(Document):
    """A document of the short form, with GA4's form as `data`; `locate` takes routes of GA4's form."""

    _source: Document | None = field(default=None, repr=False, compare=False)
    _places: Mapping[Route, tuple[Route, bool]] = field(default_factory=dict, repr=False, compare=False)

    def locate(self, route: Route, *, key: bool = False) -> Location:
        """Give the place in the short text that a value of GA4's form comes from."""
        source = self._source or self
        if route[:1] != (FULL_KEY,) or not self._places:
            return Document.locate(source, route, key=key)
        while route not in self._places:
            route = route[:-1]
        short, is_key = self._places[route]
        return Document.locate(source, short, key=key or is_key)


def expand(document: Document) -> Document:
    """Gives a document with GA4's form as its data; one that has it already comes back as it is.

    Mistakes in the short form follow the document's own problems. What cannot be read is replaced by a
    condition that validates, so that one mistake gives one message.
    """
    if not is_short(document.data):
        return _without_nulls(document)
    data, places, complaints = full_form(document.data)
    problems = tuple(
        Problem(document.locate(each.route, key=each.key), each.rule, each.message, help=each.help)
        for each in complaints
    )
    return Expanded(
        document.path,
        document.text,
        data,
        (*document.problems, *sorted(problems, key=lambda problem: problem.location)),
        _source=document,
        _places=places,
    )


def _without_nulls(document: Document) -> Document:
    """The document without `include: null` and `exclude: null`, which say nothing."""
    if not isinstance(document.data, dict) or CLAUSE_TYPES.keys().isdisjoint(document.data):
        return document
    data = {name: value for name, value in document.data.items() if name not in CLAUSE_TYPES}
    return replace(document, data=data)


_SAID_SHORT = {scope.value: word for scope, word in SCOPE_WORDS.items()} | {
    "scope of simpleFilter": "scope of the clause",
    "scope of sequenceFilter": "scope of the sequence",
}


def in_short_words(problem: Problem) -> Problem:
    """Say a problem with the scopes that the short form takes: it refuses GA4's names of them."""

    def said(text: str) -> str:
        return re.sub("|".join(_SAID_SHORT), lambda found: _SAID_SHORT[found[0]], text)

    return replace(problem, message=said(problem.message), help=said(problem.help))


def to_full(short: Mapping[str, Any]) -> Json:
    """Turns the short form's data into GA4's form; other keys stay as they are, and so does GA4's form.

    Errors: UnrepresentableError for the first mistake, with its route in the short form.
    """
    if not is_short(short):
        return dict(short)
    data, _, complaints = full_form(short)
    for each in complaints:
        raise UnrepresentableError(each.message, each.route)
    return data


_TEXT_WORDS: dict[MatchType, str] = {kind: word for word, kind in TEXT_OPERATORS.items()}
_NUMBER_WORDS: dict[Operation, str] = {kind: word for word, kind in NUMBER_OPERATORS.items()}


def to_short(audience_json: Mapping[str, Any]) -> Json:
    """Turns GA4's form into the short form; other keys stay as they are, and so does the short form.

    Errors: UnrepresentableError where the conditions cannot be read, with its route.
    """
    if is_short(audience_json):
        return dict(audience_json)
    clauses = from_api(audience_json).clauses
    lists = {
        name: [_short_clause(clause) for clause in clauses if clause.type is kind]
        for name, kind in CLAUSE_TYPES.items()
    }
    found: Json = {}
    for name, value in audience_json.items():
        if name == FULL_KEY:
            found |= {word: items for word, items in lists.items() if items}
        elif name not in CLAUSE_TYPES:
            found[name] = value
    return found


def _short_clause(clause: Clause) -> Json:
    match clause.filter:
        case SimpleFilter(scope, groups):
            return _short_scope(scope, CLAUSE_SCOPE) | _short_groups(groups)
        case SequenceFilter(scope, steps, maximum):
            body = _short_scope(scope, CLAUSE_SCOPE) | _short_within(maximum)
            return {"sequence": body | {"steps": [_short_step(step) for step in steps]}}


def _short_step(step: Step) -> Json:
    follows: Json = {"immediatelyFollows": True} if step.immediately_follows else {}
    bonds = _short_within(step.constraint_duration) | follows
    body = _short_groups(step.groups)
    listed = "all" in body or "any" in body
    # Bonds read best before a list and behind a leaf.
    return _short_scope(step.scope, STEP_SCOPE) | (bonds | body if listed else body | bonds)


def _short_scope(scope: Scope, default: Scope) -> Json:
    return {} if scope is default else {"scope": SCOPE_WORDS[scope]}


def _short_within(nanoseconds: int | None) -> Json:
    return {} if nanoseconds is None else {"within": format_short_duration(nanoseconds)}


def _short_groups(groups: AllOf) -> Json:
    members = [_short_group(group) for group in groups]
    return members[0] if len(members) == 1 else {"all": members}


def _short_group(group: AnyOf) -> Json:
    leaves = [_short_leaf(leaf) for leaf in group.leaves]
    return leaves[0] if len(leaves) == 1 else {"any": leaves}


def _short_leaf(leaf: Leaf) -> Json:
    match leaf:
        case EventFilter(name, parameters):
            return {"event": name} | ({"where": _short_where(parameters)} if parameters else {})
        case Not(inner):
            return {"not": _short_leaf(inner)}
        case FieldFilter(name):
            condition = _short_condition(leaf)
            if is_name(name):
                return {name: condition}
            return {"field": name, **(condition if isinstance(condition, dict) else {"is": condition})}


def _short_where(parameters: tuple[FieldFilter | Not, ...]) -> Json | list[Json]:
    """A mapping where the names are distinct, else a list."""
    leaves = [_short_leaf(parameter) for parameter in parameters]
    names = [name for leaf in leaves for name in leaf]
    if len(set(names)) == len(leaves) == len(names) and "field" not in names:
        return {name: value for leaf in leaves for name, value in leaf.items()}
    return leaves


def _short_condition(leaf: FieldFilter) -> Any:  # noqa: ANN401 - JSON: a text, a number or a mapping
    body = _short_operator(leaf) | {
        word: value
        for word, value in zip(WINDOWS, (leaf.at_any_point_in_time, leaf.in_any_n_day_period), strict=True)
        if value
    }
    return body["is"] if body.keys() == {"is"} else body


def _short_operator(leaf: FieldFilter) -> Json:
    match leaf.condition:
        case StringFilter(match_type, value, case_sensitive):
            return {_TEXT_WORDS[match_type]: value} | ({"caseSensitive": True} if case_sensitive else {})
        case InListFilter(values, case_sensitive):
            return {"in": list(values)} | ({"caseSensitive": True} if case_sensitive else {})
        case NumericFilter(operation, number):
            return {_NUMBER_WORDS[operation]: number}
        case BetweenFilter(low, high):
            return {"between": [low, high]}
