"""A JSON body -> plain data, refusing what Google's proto3 JSON reader refuses.

It knows types, names and one-of groups; what the documents demand of the values is checks.py's business.
Source: the ProtoJSON format, and answers that Google's API front end gives (unknown names, invalid values).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from audiencesync.errors import Violation
from audiencesync.fields import ENUMS, FIELDS, EnumType, Field, Kind
from audiencesync.local.context import Json
from audiencesync.local.refusals import RefusedError, invalid, invalid_field
from audiencesync.wire import parse_duration

MAX_DEPTH = 100
"""How deep messages may nest: protobuf's own limit."""

_INT = re.compile(r"-?\d{1,19}")
_BITS = {Kind.INT32: 31, Kind.INT64: 63}
_PAYLOAD = "Invalid JSON payload received."
_PACKAGE = "type.googleapis.com/google.analytics.admin.v1alpha."


class Table:
    """The messages of one API: the fields of each by either spelling, and its enums."""

    def __init__(self, fields: tuple[Field, ...], enums: Mapping[str, EnumType]) -> None:
        self.enums = enums
        self._names: dict[str, dict[str, Field]] = {}
        for found in fields:
            names = self._names.setdefault(found.message, {})
            names[found.name] = names[snake(found.name)] = found
        self._fields = {
            message: tuple({field.name: field for field in names.values()}.values())
            for message, names in self._names.items()
        }

    def names(self, message: str) -> dict[str, Field]:
        """The fields of one message by JSON name and by proto name; a message may have none."""
        return self._names.get(message, {})

    def fields(self, message: str) -> tuple[Field, ...]:
        """The fields of one message, each once."""
        return self._fields.get(message, ())


@cache
def snake(name: str) -> str:
    """The proto spelling of a JSON name: int64Value is int64_value."""
    return re.sub(r"(?<!^)([A-Z])", lambda found: f"_{found[1].lower()}", name)


AUDIENCES = Table(tuple(found for found in FIELDS if found.of != "Manage"), ENUMS)
"""What GA4 knows of an audience: the field table without this project's own block."""


def _no_constant(text: str) -> float:
    raise ValueError(f"Unexpected token. {text}")


def parse(body: bytes) -> object:
    """The value of a JSON body; an empty body is an empty message.

    Errors: RefusedError 400 where it is no JSON.
    """
    if not body.strip():
        return {}
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise RefusedError(
            "INVALID_ARGUMENT", f"{_PAYLOAD} Message too deep. Max recursion depth reached."
        ) from None
    except ValueError as error:
        raise RefusedError("INVALID_ARGUMENT", f"{_PAYLOAD} {error}") from None


def read(table: Table, message: str, body: bytes, at: str = "") -> Json:
    """The fields that a body sets: JSON names, enums by word, null and output-only fields left out.

    `at` is the name that the body has in the request ("audience"), which paths in refusals begin with.

    Errors: RefusedError 400 with every unknown name and every value of a wrong type.
    """
    reader = _Reader(table)
    values = reader.message(message, parse(body), at, 0)
    if reader.found:
        raise invalid(reader.found)
    return values


class _Reader:
    """One pass over a body; `found` collects what is wrong."""

    def __init__(self, table: Table) -> None:
        self.table, self.found = table, list[Violation]()

    def refuse(self, path: str, description: str) -> None:
        self.found.append(Violation(path, description))

    def invalid(self, path: str, kind: str, value: object) -> None:
        shown = json.dumps(value, ensure_ascii=False)[:200]
        self.refuse(path, f"Invalid value at '{path}' ({kind}), {shown}")

    def unknown(self, name: str, path: str, why: str) -> None:
        where = f" at '{path}'" if path else ""
        self.refuse(path, f'{_PAYLOAD} Unknown name "{name}"{where}: {why}')

    def message(self, message: str, data: object, path: str, depth: int) -> Json:
        if depth > MAX_DEPTH:
            self.refuse(path, f"{_PAYLOAD} Message too deep. Max recursion depth reached.")
            return {}
        if not isinstance(data, dict):
            self.invalid(path, _PACKAGE + message, data)
            return {}
        names = self.table.names(message)
        values: Json = {}
        unions: dict[str, str] = {}
        for name, value in data.items():
            field = names.get(name)
            if field is None:
                self.unknown(name, path, "Cannot find field.")
            elif value is None:
                continue
            elif field.union and unions.setdefault(field.union, field.name) != field.name:
                self.refuse(
                    path,
                    f"Invalid value at '{path}' (oneof), oneof field '{field.union}' is already set. "
                    f"Cannot set '{name}'",
                )
            else:
                inside = ".".join(filter(None, (path, snake(field.name))))
                values[field.name] = self.field(field, value, (path, inside), depth)
        return {name: value for name, value in values.items() if not names[name].output_only}

    def field(self, field: Field, value: object, paths: tuple[str, str], depth: int) -> object:
        """A field's value; `paths` are those of its message and its own."""
        path, inside = paths
        if isinstance(value, list) is not field.repeated:
            if field.repeated:
                self.invalid(inside, "repeated", value)
            else:
                self.unknown(field.name, path, "Proto field is not repeating, cannot start list.")
            return None
        if isinstance(value, list):
            return [self.value(field, item, f"{inside}[{index}]", depth) for index, item in enumerate(value)]
        return self.value(field, value, inside, depth)

    def value(self, field: Field, value: object, path: str, depth: int) -> object:
        if field.kind is Kind.MESSAGE:
            return self.message(field.of, value, path, depth + 1)
        read = self.enum(field, value) if field.kind is Kind.ENUM else _scalar(field.kind, value)
        if read is None:
            kind = _PACKAGE + field.of if field.kind is Kind.ENUM else f"TYPE_{_TYPES[field.kind]}"
            self.invalid(path, kind, value)
        return read

    def enum(self, field: Field, value: object) -> str | None:
        kind = self.table.enums[field.of]
        words = dict(zip(kind.numbers, kind.python, strict=True))
        if value == kind.unspecified or (value == 0 and value is not False):
            return ""
        if isinstance(value, int) and not isinstance(value, bool):
            return words.get(value)
        return str(value) if value in list(kind.python) else None


_TYPES = {
    Kind.TEXT: "STRING",
    Kind.BOOL: "BOOL",
    Kind.INT32: "INT32",
    Kind.INT64: "INT64",
    Kind.DOUBLE: "DOUBLE",
    Kind.DURATION: "DURATION",
    Kind.TIMESTAMP: "TIMESTAMP",
}


def _scalar(kind: Kind, value: Any) -> object:  # noqa: ANN401 - any JSON
    """The value in the one form we keep, or None where it is none of its kind."""
    match kind:
        case Kind.TEXT:
            return value if isinstance(value, str) and _encodes(value) else None
        case Kind.BOOL:
            return value if isinstance(value, bool) else None
        case Kind.INT32 | Kind.INT64:
            number = _whole(value)
            if number is None or not -(1 << _BITS[kind]) <= number < 1 << _BITS[kind]:
                return None
            return number if kind is Kind.INT32 else str(number)
        case Kind.DOUBLE:
            return _double(value)
        case Kind.DURATION:
            return value if isinstance(value, str) and parse_duration(value) is not None else None
        case Kind.TIMESTAMP:
            return value if isinstance(value, str) and parse_time(value) is not None else None
        case _:
            raise AssertionError(kind)


def _encodes(text: str) -> bool:
    """Whether a text is Unicode: JSON's escapes can write half a surrogate pair, which no UTF-8 can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        return int(value) if value.isascii() and _INT.fullmatch(value) else None
    return value if isinstance(value, int) else None


def _double(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    # NaN and the infinities are proto3 JSON, yet no number to compare with.
    return number if math.isfinite(number) and not (isinstance(value, str) and "_" in value) else None


def parse_time(text: str) -> int | None:
    """Microseconds since 1970 of an RFC 3339 time; None where it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None or "T" not in text.upper():
        return None
    delta = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def format_time(micros: int) -> str:
    """The RFC 3339 text that Google's JSON gives a time in microseconds since 1970."""
    seconds, rest = divmod(micros, 1_000_000)
    text = datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None).isoformat()
    return f"{text}.{rest:06d}Z" if rest else f"{text}Z"


def page_size(text: str, default: int, maximum: int) -> int:
    """The size of a page: `default` where none is asked for, never above `maximum`.

    Errors: RefusedError 400 where it is no number or below 0.
    """
    number = _whole(text or "0")
    if number is None or number >= 1 << 31:
        raise invalid_field("page_size", f"Invalid value at 'page_size' (TYPE_INT32), {json.dumps(text)}")
    if number < 0:
        raise invalid_field("page_size", "page_size must not be negative.")
    return min(number or default, maximum)
