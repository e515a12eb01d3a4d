"""What jsonschema finds, in our words: one mistake gives one finding.

jsonschema says which keyword fails where; what is said about it is read off the data and the schema, so
several keywords that fail because of one mistake become one finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from audiencesync.fields import NESTING, fields_of
from audiencesync.schema import rewrite, values
from audiencesync.schema.build import Node, checking
from audiencesync.schema.compiled import FORMATS
from audiencesync.schema.findings import Finding, at, listed, named, nearest, shown
from audiencesync.source import Route

_OBJECT_KEYWORDS = {
    "additionalProperties",
    "required",
    "minProperties",
    "maxProperties",
    "oneOf",
    "dependentRequired",
    "propertyNames",
}
_EXPRESSIONS = tuple(one.name for one in fields_of("AudienceFilterExpression"))
_OUTPUT_ONLY = tuple(one.name for one in fields_of("Audience") if one.output_only)
# A mapping of more keys is no slip of the pen, and comparing each with all known ones would take long.
_MAX_COMPARED = 200
_MANAGE = tuple(one.name for one in fields_of("Manage"))
# What people write for a name that does not look like it.
_ALIASES = {
    "dimensionOrMetricName": "fieldName",
    "dimension": "fieldName",
    "metric": "fieldName",
    "field": "fieldName",
    "filters": "filterExpressions",
    "expressions": "filterExpressions",
    "steps": "sequenceSteps",
    "membershipDuration": "membershipDurationDays",
    "title": "displayName",
}


@cache
def _validator(node_id: int) -> Any:  # noqa: ANN401 - jsonschema is imported late
    from jsonschema import Draft202012Validator, FormatChecker

    checker = FormatChecker(formats=())
    for name, accept in FORMATS.items():
        checker.checks(name)(accept)
    return Draft202012Validator(_NODES[node_id], format_checker=checker)


_NODES: dict[int, Node] = {}


def _errors(node: Node, data: object) -> Iterable[Any]:
    _NODES[id(node)] = node
    return _validator(id(node)).iter_errors(data)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class _File:
    """A whole file's data, and the lines that were worked out for its expressions, each once."""

    data: object
    rewritten: dict[Route, str] = field(default_factory=dict)

    def once(self, route: Route, make: Callable[[], str]) -> str:
        """The lines for the expression at a route."""
        if route not in self.rewritten:
            self.rewritten[route] = make()
        return self.rewritten[route]


def explain(data: object, message: str) -> list[Finding]:
    """Everything the schema refuses in a file's data; `message` is "Audience" or "Settings"."""
    whole = _whole(data, message)
    if whole is not None:
        return [whole]
    return list(_explain(_File(data), (), checking(message)))


def _whole(data: object, message: str) -> Finding | None:
    """A file that is something else altogether."""
    if message == "Audience" and isinstance(data, dict):
        inner = data.get("audiences")
        if isinstance(inner, list) and "filterClauses" not in data:
            text = f"this is an answer of the API with {len(inner)} audiences; a file holds one audience"
            way = "write each audience to a file of its own: `audiencesync import --from-json FILE` does"
            return Finding(("audiences",), "wrong-type", text, way, key=True)
        if isinstance(data.get("audience"), dict) and "filterClauses" not in data:
            text = "the audience is wrapped in a key `audience`; a file holds the audience itself"
            return Finding(
                ("audience",), "wrong-type", text, "move the fields out to the left margin", key=True
            )
    if isinstance(data, dict):
        return None
    what = "an audience is" if message == "Audience" else "the settings are"
    text = f"the file holds {shown(data)}; {what} written as `name: value` lines"
    if isinstance(data, list):
        text = f"the file holds a list of {len(data)}; a file holds one audience, as `name: value` lines"
    first = "displayName: Cart abandoners" if message == "Audience" else "owner: acme-web"
    return Finding((), "wrong-type", text, f"begin with `{first}`")


def _explain(root: _File, base: Route, node: Node) -> Iterator[Finding]:
    """The findings inside the value at `base` of the whole file `root`, which `node` describes."""
    objects: dict[Route, Node] = {}
    plain: dict[Route, list[Any]] = {}
    for error in _errors(node, at(root.data, base)):
        route = (*base, *error.absolute_path)
        if error.validator == "pattern" and "propertyNames" in error.schema_path:
            objects.setdefault(route, {"properties": {}, "blank": True})
        elif error.validator in _OBJECT_KEYWORDS and isinstance(error.instance, dict):
            objects.setdefault(route, error.schema)
        else:
            plain.setdefault(route, []).append(error)
    for route, schema in objects.items():
        yield from _object(root, route, schema)
    for route, errors in plain.items():
        found = values.explain(root.data, route, errors)
        if found is not None:
            yield found


def _object(root: _File, route: Route, schema: Node) -> Iterator[Finding]:
    data = at(root.data, route)
    if schema.get("blank"):
        text = f"a name in {named(route)} is empty; every entry has a name"
        blank = next((name for name in data if not name.strip()), "")
        yield Finding((*route, blank), "empty-value", text, "give it a name", key=True)
        return
    if "x-place" in schema:
        yield from _placed(root, route, data, schema)
    else:
        yield from _message(root, route, data, schema)


def _message(_root: _File, route: Route, data: Node, schema: Node) -> Iterator[Finding]:
    if schema.get("x-message") == "AudienceFilterClause" and (found := _unwrapped(route, data)):
        yield found
        return
    known = list(schema.get("properties", ()))
    missing = _missing(data, schema)
    lacking = {name for group in _union_groups(schema) for name in group if name not in data}
    meant: set[str] = set()
    if schema["additionalProperties"] is False:
        for name in data:
            if name not in known:
                finding, guess = _unknown_key(route, name, data, known, schema)
                meant.add(guess)
                yield finding
    for name in missing:
        if name not in meant:
            yield _missing_key(route, name, schema)
    for group in _union_groups(schema):
        if not _null_beside(data, group) and not meant & (set(group) & lacking):
            yield from _one_of(route, data, group)
    if not known and not data:
        yield Finding(
            route, "empty-value", f"{named(route)} is empty", "write an entry, or leave it out", key=True
        )


def _unwrapped(route: Route, data: Node) -> Finding | None:
    """A clause that holds the fields of a filter without the filter around them."""
    for kind, sign in (("sequenceFilter", "sequenceSteps"), ("simpleFilter", "filterExpression")):
        message = f"Audience{kind[0].upper()}{kind[1:]}"
        names = [field.name for field in fields_of(message) if field.name in data]
        if sign in names and data.keys() == {"clauseType", *names}:
            text = f"{listed(names, 'and')} stand directly in {named(route)}; a {kind} holds them"
            way = rewrite.lines({kind: {name: data[name] for name in names}})
            return Finding((*route, names[0]), "nesting", text, f"write instead:\n{way}", key=True)
    return None


def _null_beside(data: Node, group: Iterable[str]) -> bool:
    """Whether what is wrong with a one-of is a null, which is told at its place."""
    present = [data[name] for name in group if name in data]
    return None in present and sum(value is not None for value in present) <= 1


def _missing(data: Node, schema: Node) -> list[str]:
    names = [name for name in schema.get("required", ()) if name not in data]
    for name, others in schema.get("dependentRequired", {}).items():
        if name in data:
            names += [other for other in others if other not in data and other not in names]
    return names


def _union_groups(schema: Node) -> list[list[str]]:
    if "oneOf" in schema:
        return [[each["required"][0] for each in schema["oneOf"]]]
    if schema.get("maxProperties") == 1:
        return [list(schema["properties"])]
    return []


def _unknown_key(route: Route, name: str, data: Node, known: list[str], schema: Node) -> tuple[Finding, str]:
    place = (*route, name)
    message = schema.get("x-message", "")
    if message == "Audience" and name in _OUTPUT_ONLY:
        text = f"{name} is output only: GA4 sets it, a file cannot"
        return Finding(place, "output-only", text, "remove it", key=True), ""
    guess = _ALIASES.get(name, "")
    if guess not in known:
        guess = nearest(name, known) if len(data) <= _MAX_COMPARED else ""
    where = (
        f"in {named(route)}" if route else "in an audience" if message == "Audience" else "in the settings"
    )
    text = f"unknown key {shown(name)} {where}"
    if guess and guess in data:
        way = f"remove it; {guess} is there already"
    elif guess:
        way = f"did you mean {guess}?"
    elif message == "Audience" and name in _MANAGE:
        way = f"it belongs into the block manage:\nmanage:\n  {name}: ..."
    else:
        free = [one for one in known if one not in data]
        way = f"known keys: {listed(known)}" if free else "remove it"
    return Finding(place, "unknown-key", text, way, key=True), guess


def _missing_key(route: Route, name: str, schema: Node) -> Finding:
    where = f" in {named(route)}" if route else ""
    text = f"{name} is missing{where}"
    return Finding(route, "missing-key", text, values.example(name, schema), key=True)


def _one_of(route: Route, data: Node, group: list[str]) -> Iterator[Finding]:
    present = [name for name in data if name in group]
    if not present:
        what = listed(group)
        text = f"{what} is missing in {named(route)}; exactly one of them is needed"
        yield Finding(route, "one-of", text, f"add {what}", key=True)
    elif len(present) > 1:
        text = f"{listed(present, 'and')} stand together in {named(route)}; exactly one of them is allowed"
        yield Finding((*route, present[1]), "one-of", text, "remove all but one", key=True)


def _placed(root: _File, route: Route, data: Node, schema: Node) -> Iterator[Finding]:
    """An expression or a group, whose place says what it may hold."""
    if "filterExpressions" in schema["properties"]:
        yield from _message(root, route, data, schema)
        return
    place = schema["x-place"]
    strangers = [name for name in data if name not in _EXPRESSIONS]
    misplaced = [name for name in data if name in _EXPRESSIONS and name not in schema["properties"]]
    for name in strangers:
        guess = nearest(name, list(schema["properties"])) or nearest(name, list(_EXPRESSIONS))
        way = f"did you mean {guess}?" if guess else f"known keys: {listed(NESTING[place])}"
        text = f"unknown key {shown(name)} in a filter expression"
        yield Finding((*route, name), "unknown-key", text, way, key=True)
    if len(data) - len(strangers) > 1 and (misplaced or not _null_beside(data, schema["properties"])):
        yield from _one_of(route, data, list(_EXPRESSIONS))
        return
    for name in misplaced:
        yield from _misplaced(root, (*route, name), place)
    if not data:
        yield from _one_of(route, data, list(schema["properties"]))


_WHY = {
    "filterExpression": "stands at the top of filterExpression; only an andGroup of orGroups may stand there",
    "filterExpression.andGroup": "stands directly under andGroup; andGroup may only hold orGroups",
    "filterExpression.andGroup.orGroup": "stands inside orGroup; orGroup may only hold filters, not groups",
    "notExpression": "stands inside notExpression; only a dimensionOrMetricFilter may stand there",
    "eventParameterFilterExpression": "stands at the top of eventParameterFilterExpression; "
    "only an andGroup may stand there",
    "eventParameterFilterExpression.andGroup": "stands inside event parameters; "
    "only dimensionOrMetricFilter and notExpression may stand there",
    "eventParameterFilterExpression.andGroup.orGroup": "stands inside event parameters; "
    "only dimensionOrMetricFilter and notExpression may stand there",
}


def _misplaced(root: _File, route: Route, place: str) -> Iterator[Finding]:
    name = str(route[-1])
    if not (place == "filterExpression.andGroup" and _is_repeated(root, route)):
        text = f"{name} {_WHY[place]}"
        yield Finding(route, "nesting", text, _way_out(root, route, place), key=True)
    natural = _natural(place, name)
    if natural is not None:
        # The lines above put the whole expression right: what is nested wrongly inside only follows.
        yield from (each for each in _explain(root, route, natural) if each.rule != "nesting")


def _is_repeated(root: _File, route: Route) -> bool:
    """Whether an earlier filter of the same andGroup has the same mistake: it is said once."""
    *group, index, _ = route
    members = at(root.data, tuple(group)) or []
    misplaced = (
        n for n, item in enumerate(members) if isinstance(item, dict) and any(map(rewrite.is_leaf, item))
    )
    return next(misplaced, index) != index


def _natural(place: str, name: str) -> Node | None:
    """The schema of a misplaced filter or group at its right place; None where that says nothing."""
    group = checking("Audience")["properties"]["filterClauses"]["items"]["properties"]["simpleFilter"]
    top = group["properties"]["filterExpression"]["properties"]["andGroup"]
    ored = _members(top)["orGroup"]
    leaves = _members(ored)
    inside = place.startswith("eventParameter")
    if inside or place == "notExpression":
        return leaves.get(name) if name in {"dimensionOrMetricFilter", "eventFilter"} else None
    if name == "orGroup":
        return ored if place == "filterExpression" else None
    return leaves.get(name)


def _members(group: Node) -> Node:
    found: Node = group["properties"]["filterExpressions"]["items"]["properties"]
    return found


def _way_out(root: _File, route: Route, place: str) -> str:
    if place.startswith("eventParameter"):
        return _parameters_way_out(root, route)
    top = _enclosing(route, "filterExpression")
    if place == "notExpression" and "eventParameterFilterExpression" in route:
        return _parameters_way_out(root, route)
    lines = root.once(top, lambda: rewrite.nested(at(root.data, top))) if top else ""
    if lines:
        return f"write instead:\n{lines}"
    if place == "notExpression" and route[-1] == "eventFilter":
        scope = at(root.data, (*top[:-1], "scope")) if top else None
        clause = rewrite.excluding(scope, {"eventFilter": at(root.data, route)})
        return f"an event is negated by a clause of its own:\n{clause}"
    if rewrite.is_leaf(str(route[-1])) and place != "notExpression":
        return f"write instead:\n{rewrite.wrapped(at(root.data, route[:-1]), place)}"
    return "write andGroup > filterExpressions > orGroup > filterExpressions > filters"


def _enclosing(route: Route, name: str) -> Route:
    """The route up to and with the last `name` in it; () where there is none."""
    for end in range(len(route), 0, -1):
        if route[end - 1] == name:
            return route[:end]
    return ()


def _parameters_way_out(root: _File, route: Route) -> str:
    top = _enclosing(route, "eventParameterFilterExpression")
    if route[-1] == "eventFilter":
        return (
            "an event has one name: write the second eventFilter beside the first, in an orGroup of its own"
        )
    event = at(root.data, (*top[:-1], "eventName"))
    lines = root.once(top, lambda: rewrite.parameters(event, at(root.data, top)))
    if not lines:
        return "write one andGroup of dimensionOrMetricFilter and notExpression"
    several = lines.startswith("filterExpressions")
    head = (
        "write one eventFilter for each alternative, in the orGroup around it:"
        if several
        else "write instead:"
    )
    return f"{head}\n{lines}"
