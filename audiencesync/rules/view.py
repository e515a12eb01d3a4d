"""An audience file's data as lists for rules to go through: clauses, steps, groups, leaves with routes.

The data may be broken anywhere: what the schema refused is cut out before, and what does not have the shape
of its place is passed over, so that a rule speaks only of what is sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from audiencesync.fields import FIELDS, LEAVES, Scope
from audiencesync.schema.findings import Finding, nearest
from audiencesync.settings import Settings
from audiencesync.source import Document, Route

Json: TypeAlias = dict[str, Any]
_FIELDS = [field.name for field in FIELDS if field.message == "Audience"]
_MOST_SLIPS = 20
CONDITIONS = ("stringFilter", "inListFilter", "numericFilter", "betweenFilter")


class Leaf(NamedTuple):
    """One filter: `data` is what stands under its name, `scopes` what is in force there, the step's first.

    `event` is the name of the event whose parameter it is about, None outside event parameters. `top` leads
    to the outermost leaf it is a part of.
    """

    route: Route
    name: str
    data: Json
    scopes: tuple[tuple[Route, object], ...]
    event: object = None
    inside_event: bool = False
    negated: bool = False
    clause: int = 0
    top: Route = ()

    @property
    def everywhere(self) -> bool:
        """Whether every scope in force is ACROSS_ALL_SESSIONS, or not known."""
        return all(scope in (Scope.ALL_SESSIONS, None) for _, scope in self.scopes)


@dataclass(slots=True)
class View:
    """One audience file, taken apart once for all rules."""

    data: Json
    path: str = ""
    settings: Settings | None = None
    broken: frozenset[str] = frozenset()
    clauses: list[tuple[Route, Json]] = field(default_factory=list)
    steps: list[tuple[Route, int, Json, Json]] = field(default_factory=list)
    groups: list[tuple[Route, list[tuple[Route, Json]], int]] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)

    def text(self, name: str) -> str:
        """A text of the audience itself; "" where there is none."""
        value = self.data.get(name)
        return value if isinstance(value, str) else ""

    @property
    def manage(self) -> Json:
        """The manage block; empty where there is none."""
        return _mapping(self.data.get("manage"))

    def whole(self, *names: str) -> bool:
        """Whether the schema found nothing wrong below these top-level keys."""
        return not self.broken.intersection(names)

    @property
    def excludes(self) -> bool:
        """Whether any clause is an EXCLUDE clause."""
        return any(clause.get("clauseType") == "EXCLUDE" for _, clause in self.clauses)


def _mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _members(group: object, route: Route) -> Iterator[tuple[Route, Json]]:
    items = group.get("filterExpressions") if isinstance(group, dict) else None
    if isinstance(items, list):
        inner = (*route, "filterExpressions")
        for index, item in enumerate(items):
            if isinstance(item, dict) and item:
                yield (*inner, index), item


def look(document: Document, findings: Iterable[Finding] = (), settings: Settings | None = None) -> View:
    """Takes a file apart; `findings` are the schema's, whose places are left out."""
    found = list(findings)
    data = document.data if isinstance(document.data, dict) else {}
    if found:
        data = without(data, found)
    view = View(data, document.path, settings, _broken(data, found))
    clauses = data.get("filterClauses")
    if isinstance(clauses, list):
        for index, clause in enumerate(clauses):
            if isinstance(clause, dict):
                _clause(view, ("filterClauses", index), clause, index)
    return view


def _broken(data: Json, findings: list[Finding]) -> frozenset[str]:
    """The top-level keys with a mistake below them, in their names, or in their absence."""
    names = {str(finding.route[0]) for finding in findings if finding.route}
    if any(not finding.route for finding in findings):
        names |= {"", *data, *_FIELDS}
    slips = [str(each.route[0]) for each in findings if each.rule == "unknown-key" and len(each.route) == 1]
    return frozenset(names | {nearest(slip, _FIELDS) for slip in slips[:_MOST_SLIPS]})


def _clause(view: View, route: Route, clause: Json, index: int) -> None:
    view.clauses.append((route, clause))
    simple, sequence = clause.get("simpleFilter"), clause.get("sequenceFilter")
    if isinstance(simple, dict):
        inner = (*route, "simpleFilter")
        scopes = (((*inner, "scope"), simple.get("scope")),)
        _expression(view, (*inner, "filterExpression"), simple.get("filterExpression"), scopes, index)
    if isinstance(sequence, dict):
        inner = (*route, "sequenceFilter")
        outer = ((*inner, "scope"), sequence.get("scope"))
        steps = sequence.get("sequenceSteps")
        for number, step in enumerate(steps if isinstance(steps, list) else ()):
            if isinstance(step, dict):
                place = (*inner, "sequenceSteps", number)
                view.steps.append((place, number, step, sequence))
                both = (((*place, "scope"), step.get("scope")), outer)
                _expression(view, (*place, "filterExpression"), step.get("filterExpression"), both, index)


def _expression(
    view: View, route: Route, expression: object, scopes: tuple[tuple[Route, object], ...], clause: int
) -> None:
    inner = (*route, "andGroup")
    for place, member in _members(_mapping(expression).get("andGroup"), inner):
        group = (*place, "orGroup")
        members = list(_members(member.get("orGroup"), group))
        if members:
            view.groups.append((group, members, clause))
        for where, leaf in members:
            _leaf(view, where, leaf, Leaf(where, "", leaf, scopes, clause=clause, top=where))


def _leaf(view: View, route: Route, expression: Json, around: Leaf) -> None:
    for name in LEAVES:
        data = expression.get(name)
        if not isinstance(data, dict):
            continue
        inner = (*route, name)
        found = around._replace(route=inner, name=name, data=data)
        if name == "notExpression":
            _leaf(view, inner, data, found._replace(negated=not around.negated))
            continue
        view.leaves.append(found)
        if name == "eventFilter" and not around.inside_event:
            _parameters(view, inner, data, found)


def _parameters(view: View, route: Route, event: Json, around: Leaf) -> None:
    place = (*route, "eventParameterFilterExpression", "andGroup")
    group = _mapping(event.get("eventParameterFilterExpression")).get("andGroup")
    inside = Leaf(
        place,
        "",
        {},
        around.scopes,
        event.get("eventName"),
        inside_event=True,
        clause=around.clause,
        top=around.top,
    )
    for where, member in _members(group, place):
        if "orGroup" in member:
            for deeper, one in _members(member["orGroup"], (*where, "orGroup")):
                _leaf(view, deeper, one, inside)
        else:
            _leaf(view, where, member, inside)


_REMOVED = object()


def without(data: Json, findings: list[Finding]) -> Json:
    """The data without the places of the findings: an item of a list becomes null, so that routes stay."""
    cut = {finding.route for finding in findings if finding.rule != "missing-key" and finding.route}
    pruned = _pruned(data, (), cut)
    return pruned if isinstance(pruned, dict) else {}


def _pruned(value: object, route: Route, cut: set[Route]) -> object:
    if route in cut:
        return _REMOVED
    if isinstance(value, dict):
        inner = {name: _pruned(one, (*route, name), cut) for name, one in value.items()}
        return {name: one for name, one in inner.items() if one is not _REMOVED}
    if isinstance(value, list):
        items = [_pruned(one, (*route, index), cut) for index, one in enumerate(value)]
        return [None if one is _REMOVED else one for one in items]
    return value


def condition_of(leaf: Mapping[str, Any]) -> tuple[str, Json]:
    """The name and content of a leaf's condition; ("", {}) where it has none."""
    for name in CONDITIONS:
        inner = leaf.get(name)
        if isinstance(inner, dict):
            return name, inner
    return "", {}


def number_of(value: object) -> int | float | None:
    """A NumericValue as a number; None where it is none."""
    if not isinstance(value, dict):
        return None
    whole, double = value.get("int64Value"), value.get("doubleValue")
    if isinstance(whole, str):
        try:
            return int(whole)
        except ValueError:
            return None
    found = double if whole is None else whole
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None
