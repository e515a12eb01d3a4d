"""The tables of fields as JSON Schema 2020-12: a published form for editors, an inlined one for checking.

The published form uses nothing but the standard's own keywords, so that every validator takes it. A union is
`properties` with `additionalProperties: false` and `minProperties`/`maxProperties`; where a message has other
fields beside its union, a `oneOf` of bare `required` says so.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, TypeAlias

from audiencesync.fields import ENUMS, FIELDS, NESTING, Field, Kind
from audiencesync.settings import SETTINGS

Node: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
INT32 = (-(2**31), 2**31 - 1)
DURATION = r"[0-9]{1,12}(\.[0-9]{1,9})?s"
WHOLE = r"[-+]?[0-9]{1,19}"
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
LIVE_ID = r"[0-9]{1,20}"
NOT_BLANK = r"\S"
_WORDS = re.compile(r"[A-Za-z0-9_-]+(\|[A-Za-z0-9_-]+)*")


@cache
def messages() -> dict[str, tuple[Field, ...]]:
    """The fields of every message of both tables, output-only ones left out."""
    found: dict[str, list[Field]] = {}
    for field in (*FIELDS, *SETTINGS):
        if not field.output_only:
            found.setdefault(field.message, []).append(field)
    return {name: tuple(fields) for name, fields in found.items()}


def unions(message: str) -> list[list[str]]:
    """The names of each one-of group of a message."""
    found: dict[str, list[str]] = {}
    for field in messages()[message]:
        if field.union:
            found.setdefault(field.union, []).append(field.name)
    return list(found.values())


def _nullable(node: Node) -> Node:
    kind = node.get("type")
    if kind is not None:
        return node | {"type": [*([kind] if isinstance(kind, str) else kind), "null"]}
    if "enum" in node:
        return node | {"enum": [*node["enum"], None]}
    if "anyOf" in node:
        return node | {"anyOf": [*node["anyOf"], {"type": "null"}]}
    return node


class Builder:
    """Builds the schema of one kind of file; `publish` chooses the form for editors."""

    def __init__(self, *, publish: bool) -> None:
        self.publish = publish
        self.definitions: dict[str, Node] = {}
        self.built: dict[str, Node] = {}

    def named(self, name: str, make: Any, *, nullable: bool = False) -> Node:  # noqa: ANN401 - a function
        """A message by name: a `$ref` in the published form, else one shared object."""
        if name not in self.built:
            self.built[name] = {}
            node = make()
            if nullable and self.publish and "oneOf" in node:
                # null has no keys, which `required` alone would take for all of them.
                one = [{"type": "object"} | member for member in node["oneOf"]]
                node = node | {"oneOf": [*one, {"type": "null"}]}
            self.built[name] = _nullable(node) if nullable else node
            self.definitions[name] = self.built[name]
        return {"$ref": f"#/$defs/{name}"} if self.publish else self.built[name]

    def message(self, name: str, *, nullable: bool = False) -> Node:
        """The schema of a message."""
        return self.named(name, lambda: self._message(name), nullable=nullable)

    def _message(self, name: str) -> Node:
        fields = messages()[name]
        node: Node = {"type": "object", "properties": {field.name: self.field(field) for field in fields}}
        required = [field.name for field in fields if field.required]
        if name == "AudienceEventTrigger":
            # `eventTrigger: {}` is how servers say "no trigger": the fields need each other, not to be there.
            node["dependentRequired"] = {one: [two for two in required if two != one] for one in required}
        elif required:
            node["required"] = required
        groups = unions(name)
        if groups and len(groups[0]) == len(fields):
            node |= {"minProperties": 1, "maxProperties": 1}
        elif groups:
            node["oneOf"] = [{"required": [member]} for member in groups[0]]
        node["additionalProperties"] = False
        return node if self.publish else node | {"x-message": name}

    def field(self, field: Field) -> Node:
        """The schema of one field's value, null included where the field may be left out."""
        optional = not (field.required or field.union or field.message == "AudienceEventTrigger")
        if field.kind is Kind.MESSAGE:
            node = self._message_field(field, optional=optional)
        elif field.repeated:
            node = self._list(self._scalar(field, item=True), field)
            node = _nullable(node) if optional else node
        else:
            node = _nullable(self._scalar(field)) if optional else self._scalar(field)
        return node | self.words(field)

    def words(self, field: Field) -> Node:
        """What an editor shows of a field."""
        if not self.publish:
            return {}
        text = field.doc
        if field.immutable:
            text += " GA4 takes it only at creation: a change replaces the audience."
        if field.maximum is not None and field.kind is Kind.INT32:
            text += f" At most {field.maximum}."
        node: Node = {"title": field.name, "description": text}
        if field.default is not None:
            node["default"] = field.default
        if field.examples:
            node["examples"] = list(field.examples)
        return node

    def _list(self, items: Node, field: Field) -> Node:
        node: Node = {"type": "array", "items": items}
        return node | {"minItems": 1} if field.nonempty else node

    def _message_field(self, field: Field, *, optional: bool) -> Node:
        if field.of == "AudienceFilterExpression":
            place = field.name
            name = place[0].upper() + place[1:]
            return self.named(name, lambda: self.expression(place), nullable=optional)
        if field.repeated:
            node = self._list(self.message(field.of), field)
            return _nullable(node) if optional else node
        if not field.named:
            return self.message(field.of, nullable=optional)
        loose = not any(each.required or each.union for each in messages()[field.of])
        node = {
            "type": "object",
            "additionalProperties": self.message(field.of, nullable=loose),
            "propertyNames": {"pattern": NOT_BLANK},
        }
        if field.nonempty:
            node["minProperties"] = 1
        return _nullable(node) if optional else node

    def expression(self, place: str) -> Node:
        """A filter expression where `place` of NESTING is: exactly one of what may stand there."""
        node: Node = {
            "type": "object",
            "properties": {name: self._member(place, name) for name in NESTING[place]},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }
        return node if self.publish else node | {"x-place": place}

    def _member(self, place: str, name: str) -> Node:
        field = next(one for one in messages()["AudienceFilterExpression"] if one.name == name)
        inside = f"{place}.{name}"
        if name in {"andGroup", "orGroup"}:
            parts = inside.split(".")
            title = "".join(part[0].upper() + part[1:] for part in parts)
            node = self.named(title, lambda: self._group(inside))
        elif name == "notExpression":
            node = self.named("NotExpression", lambda: self.expression("notExpression"))
        else:
            node = self.message(field.of)
        return node | self.words(field)

    def _group(self, place: str) -> Node:
        members: Node = {"type": "array", "items": self.expression(place), "minItems": 1}
        if place == "eventParameterFilterExpression.andGroup.orGroup":
            members["maxItems"] = 1
        (field,) = messages()["AudienceFilterExpressionList"]
        node: Node = {
            "type": "object",
            "properties": {field.name: members | self.words(field)},
            "required": [field.name],
            "additionalProperties": False,
        }
        return node if self.publish else node | {"x-place": place}

    def _scalar(self, field: Field, *, item: bool = False) -> Node:
        match field.kind:
            case Kind.ENUM:
                return self._enum(field.of)
            case Kind.BOOL:
                return {"type": "boolean"}
            case Kind.INT32:
                low, high = INT32
                node: Node = {
                    "type": "integer",
                    "minimum": low if field.minimum is None else field.minimum,
                    "maximum": high if field.maximum is None else field.maximum,
                }
                return node | ({"format": "exact"} if self.exact(field) else {})
            case Kind.INT64:
                return {"type": ["string", "integer"]} | self.pattern(WHOLE, "int64") | _bounds(field)
            case Kind.DOUBLE:
                return {"type": "number"} | ({} if self.publish else {"format": "finite"})
            case Kind.DURATION:
                return {"type": "string"} | self.pattern(DURATION, "duration-text")
            case Kind.DATE:
                return {"type": "string", "format": "date"} | ({} if self.publish else {"format": "day"})
            case Kind.ID_OR_MAP:
                one = {"type": ["string", "integer"], "minimum": 1} | self.pattern(LIVE_ID)
                one |= {} if self.publish else {"format": "exact"}
                kinds = ["string", "integer", "object"]
                return one | {"type": kinds, "additionalProperties": one, "minProperties": 1}
            case Kind.TEXT_MAP:
                return {"type": "object", "additionalProperties": {"type": "string"}}
            case _:
                return self._text(field, item=item)

    def exact(self, field: Field) -> bool:
        """Whether 30.0 will not do for 30: the settings go into records as they are, unlike GA4's numbers."""
        return not self.publish and field in SETTINGS

    def _text(self, field: Field, *, item: bool) -> Node:
        if field.pattern and _WORDS.fullmatch(field.pattern):
            words = field.pattern.split("|")
            return {"enum": words}
        if field.pattern:
            return {"type": "string"} | self.pattern(field.pattern)
        ours = item and field.message != "InListFilter"
        return {"type": "string"} | ({"pattern": NOT_BLANK} if ours or (field.nonempty and not item) else {})

    def _enum(self, name: str) -> Node:
        kind = ENUMS[name]
        words = [word.value for word in kind.python]
        if not self.publish:
            return {"enum": words, "x-enum": name}
        pairs = zip(words, kind.docs, strict=True)
        return {"anyOf": [{"const": word, "description": doc} for word, doc in pairs]}

    def pattern(self, pattern: str, named: str = "") -> Node:
        """A text that matches as a whole; the checking form uses the name of a check where there is one."""
        if self.publish:
            return {"pattern": f"^(?:{pattern})$"}
        return {"format": named} if named else {"pattern": rf"\A(?:{pattern})\Z"}


def _bounds(field: Field) -> Node:
    bounds = {"minimum": field.minimum, "maximum": field.maximum}
    return {name: bound for name, bound in bounds.items() if bound is not None}


TITLES = {
    "Audience": (
        "audience",
        "A GA4 audience",
        "One audience as a file: GA4's own JSON names, plus `manage`.",
    ),
    "Settings": ("workspace", "audiencesync.yaml", "The settings of a workspace of audiences."),
}
HOME = "urn:audiencesync:"


def published(message: str) -> Node:
    """The schema for editors and other validators, with `$defs`."""
    builder = Builder(publish=True)
    builder.message(message)
    root = builder.definitions.pop(message)
    name, title, text = TITLES[message]
    head = {"$schema": DIALECT, "$id": f"{HOME}{name}-schema", "title": title, "description": text}
    definitions = {key: _described(key, builder.definitions[key]) for key in sorted(builder.definitions)}
    if message == "Audience":
        root, definitions = _with_short_form(root, definitions)
    return head | root | {"$defs": definitions}


def _with_short_form(root: Node, definitions: dict[str, Node]) -> tuple[Node, dict[str, Node]]:
    """The schema with `include` and `exclude` beside filterClauses, one of the two forms being needed.

    A null says nothing in either form, as if the key were left out.
    """
    from audiencesync.grammar import short_schema

    def said(name: str) -> Node:
        return {"required": [name], "properties": {name: {"type": "array"}}}

    short = short_schema()
    required = [name for name in root["required"] if name != "filterClauses"]
    forms = {"oneOf": [said("filterClauses"), {"anyOf": [said("include"), said("exclude")]}]}
    full = {"filterClauses": _nullable(root["properties"]["filterClauses"])}
    properties = root["properties"] | full | short["properties"]
    return root | {"properties": properties, "required": required} | forms, definitions | short["$defs"]


def _described(name: str, node: Node) -> Node:
    return {"title": name} | node


@cache
def checking(message: str) -> Node:
    """The schema that files are checked with: inlined, with our names for formats and places."""
    return {"$schema": DIALECT} | Builder(publish=False).message(message)
