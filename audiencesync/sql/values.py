"""Field filters -> SQL conditions: which column a field is, and how it is compared.

What a condition reads is extracted once, in the statement's first step, under a short name (f0, f1, ...);
conditions are written over these names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from audiencesync import regexps
from audiencesync.errors import PreviewError
from audiencesync.fields import MatchType, Operation
from audiencesync.model import BetweenFilter, EventFilter, FieldFilter, InListFilter, Not, NumericFilter
from audiencesync.sql import events
from audiencesync.sql.channels import channel_rules
from audiencesync.sql.columns import VALUE_TYPES, Schema
from audiencesync.sql.dialect import Dialect, Typed
from audiencesync.sql.events import EventField, Level, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from audiencesync.model import Condition, Leaf, Number, StringFilter
    from audiencesync.sql.events import Expression

COUNT = "eventCount"

_EXACT = 2**53
"""Up to here a float holds each whole number."""
Want = Literal["text", "float", "int"]
"""How a parameter's value is read."""
_FITTING: dict[Want, tuple[str, ...]] = {
    "text": VALUE_TYPES,
    "float": ("int_value", "double_value", "float_value"),
    "int": ("int_value", "string_value"),
}
"""The value types that are read so, in the order in which they are looked at."""


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on one event; `names` are the only events that can satisfy it, None for any."""

    sql: str
    names: frozenset[str] | None = None


def any_of(dialect: Dialect, tests: Sequence[Test]) -> Test:
    """One of the conditions holds."""
    names: frozenset[str] | None = frozenset()
    for test in tests:
        names = None if names is None or test.names is None else names | test.names
    return Test(dialect.any_of([test.sql for test in tests]), names)


def all_of(dialect: Dialect, tests: Sequence[Test]) -> Test:
    """All of the conditions hold."""
    names: frozenset[str] | None = None
    for test in tests:
        if test.names is not None:
            names = test.names if names is None else names & test.names
    return Test(dialect.all_of([test.sql for test in tests]), names)


@dataclass(slots=True)
class Values:
    """Writes conditions, and remembers what has to be extracted for them and what is only approximate."""

    dialect: Dialect
    schema: Schema
    zone: str = "UTC"
    columns: dict[str, str] = field(default_factory=dict)
    """Name -> expression over the export's row."""
    windows: dict[str, str] = field(default_factory=dict)
    """Name -> the extracted column whose first value in the session it is."""
    caveats: dict[str, None] = field(default_factory=dict)

    # what the statement reads
    def extract(self, sql: str) -> str:
        """The short name under which an expression is extracted; equal expressions share one."""
        for name, known in self.columns.items():
            if known == sql:
                return name
        name = f"f{len(self.columns)}"
        self.columns[name] = sql
        return name

    def first_in_session(self, column: str) -> str:
        """The name of the session's first value of an extracted column."""
        for name, known in self.windows.items():
            if known == column:
                return name
        name = f"w{len(self.windows)}"
        self.windows[name] = column
        return name

    def base(self, path: str) -> str:
        """A plain column that must be there."""
        if not self.schema.has(path):
            raise PreviewError(f"the export has no column {path}")
        return self.dialect.column(path)

    def session_id(self) -> str:
        """The session's id: event parameter ga_session_id as a whole number."""
        read = self._reader("event_params", "ga_session_id", "int")
        if read is None:
            raise PreviewError(
                "sessions need the column event_params with int_value or string_value, which the export lacks"
            )
        return read.sql

    # fields
    def _reader(self, records: str, key: str, want: Want, alias: str = "") -> Typed | None:
        """A keyed record's value; None where the column is missing, or has no value of that kind."""
        schema_path = f"items.{records}" if alias else records
        kinds = {name: self.schema.kind(f"{schema_path}.value.{name}") for name in VALUE_TYPES}
        present = [name for name in VALUE_TYPES if kinds[name]]
        listed = self.schema.kind(schema_path) == "records"
        if not (listed and present and self.schema.has(f"{schema_path}.key")):
            if self.schema.has(schema_path):
                raise PreviewError(
                    f"the column {schema_path} is there, but not as a list of records of key and value"
                )
            return None
        cast, dialect = self.dialect.cast, self.dialect
        fitting = [name for name in _FITTING[want] if name in present]
        if not fitting:
            return None

        def value(record: str, name: str) -> str:
            sql = dialect.member(record, f"value.{name}")
            if want == "text":
                return dialect.as_text(Typed(sql, kinds[name]))
            if kinds[name] in {"int", "float"}:
                return cast(sql, want)
            # A text that is no number is no value, be it in a column of numbers.
            return dialect.try_cast(cast(sql, "text"), want)

        def read(record: str) -> str:
            return dialect.first_set([value(record, name) for name in fitting])

        column = dialect.member(alias, records) if alias else dialect.column(records)
        key_kind = self.schema.kind(f"{schema_path}.key")
        return Typed(dialect.keyed(column, key, read, key_kind), want)

    def _value(self, expression: Expression, *, number: bool) -> Typed | None:
        """An expression over the export's row; None where its columns are missing."""
        dialect = self.dialect
        match expression:
            case events.Column(path):
                kind = self.schema.kind(path)
                return Typed(dialect.column(path), kind) if kind not in {"", "record", "records"} else None
            case events.Param(key):
                return self._reader("event_params", key, "float" if number else "text")
            case events.UserProperty(key):
                return self._reader("user_properties", key, "float" if number else "text")
            case events.Clock(column, part):
                kind = self.schema.kind(column)
                return dialect.clock(self._moment(column, kind), part, self.zone) if kind else None
            case events.DatePart(part):
                return Typed(dialect.date_part(self.day(), part), "int")
            case events.SessionFirst(of):
                return self._session_first(of)
            case events.LastClick(of, fallback):
                return self._last_click(of, fallback)
            case _:
                text = self._text(expression)
                return None if text is None else Typed(text)

    def _moment(self, column: str, kind: str) -> str:
        """Microseconds since 1970; tools that know no missing whole numbers write them as floats."""
        if kind not in {"int", "float"}:
            raise PreviewError(f"the column {column} is no number of microseconds ({kind})")
        sql = self.dialect.column(column)
        return sql if kind == "int" else self.dialect.cast(sql, "int")

    def day(self) -> str:
        """The event's day as an integer YYYYMMDD."""
        kind = self.schema.kind("event_date")
        column = self.base("event_date")
        return self.dialect.try_cast(self.dialect.as_text(Typed(column, kind)), "int")

    def _text(self, expression: Expression) -> str | None:
        """An expression as text; None where its columns are missing."""
        dialect = self.dialect
        match expression:
            case events.Coalesce(parts):
                found = [sql for sql in map(self._text, parts) if sql is not None]
                return dialect.first_set(found) if found else None
            case events.Join(first, separator, second):
                before, after = self._text(first), self._text(second)
                if before is None or after is None:
                    return None
                return dialect.joined([before, dialect.text(separator), after])
            case events.UrlPart(of, part):
                return self._map(of, lambda sql: dialect.url_part(sql, part))
            case events.Recode(of, words, otherwise):
                return self._map(of, lambda sql: self._recode(sql, words, otherwise))
            case events.Present(of, yes, no):
                return self._map(
                    of,
                    lambda sql: (
                        f"CASE WHEN {sql} IS NOT NULL THEN {dialect.text(yes)} ELSE {dialect.text(no)} END"
                    ),
                )
            case events.Channel():
                return self._channel(expression)
            case _:
                value = self._value(expression, number=False)
                return None if value is None else dialect.as_text(value)

    def _map(self, of: Expression, write: Callable[[str], str]) -> str | None:
        sql = self._text(of)
        return None if sql is None else write(sql)

    def _recode(self, sql: str, words: tuple[tuple[str, str], ...], otherwise: str | None) -> str:
        text = self.dialect.text
        cases = " ".join(f"WHEN {text(old)} THEN {text(new)}" for old, new in words)
        return f"CASE {sql} {cases} ELSE {sql if otherwise is None else text(otherwise)} END"

    def _session_first(self, of: Expression) -> Typed | None:
        sql = self._text(of)
        return None if sql is None else Typed(self.first_in_session(self.extract(sql)), late=True)

    def _last_click(self, of: Expression, fallback: Expression | None) -> Typed | None:
        own = self._text(of)
        if own is None:
            return None
        record = self.dialect.column(events.RECORD)
        other = self._text(fallback) if fallback else None
        if other is None:
            return Typed(own)
        collected = self.dialect.column(events.COLLECTED)
        found = self.extract(f"CASE WHEN {collected} IS NOT NULL THEN {self.dialect.boxed(other)} END")
        first = self.dialect.unboxed(self.first_in_session(found))
        missing = self.extract(f"{record} IS NULL")
        return Typed(f"CASE WHEN {missing} THEN {first} ELSE {self.extract(own)} END", late=True)

    def _channel(self, channel: events.Channel) -> str | None:
        columns = [self._text(each) for each in (channel.source, channel.medium, channel.campaign)]
        if None in columns:
            return None
        source, medium, campaign = (f"LOWER({column})" for column in columns)
        cases = [
            f"WHEN {condition} THEN {self.dialect.text(group)}"
            for group, condition in channel_rules(
                lambda which, pattern: self.dialect.search(
                    {"source": source, "medium": medium, "campaign": campaign}[which], pattern
                )
            )
        ]
        return f"CASE {' '.join(cases)} ELSE {self.dialect.text('Unassigned')} END"

    # conditions
    def test(self, leaf: Leaf) -> Test:
        """The condition of one leaf on one event; a NULL makes it false, and its NOT true."""
        match leaf:
            case EventFilter(name, parameters):
                is_named = f"{self.extract(self.base('event_name'))} = {self.dialect.text(name)}"
                parts = [
                    Test(is_named, frozenset({name})),
                    *(self._plain(each, inside=True) for each in parameters),
                ]
                return all_of(self.dialect, parts)
            case _:
                return self._plain(leaf, inside=False)

    def _plain(self, leaf: FieldFilter | Not, *, inside: bool) -> Test:
        if isinstance(leaf, Not):
            return Test(f"({self._filter(leaf.filter, inside=inside)}) IS NOT TRUE")
        return Test(self._filter(leaf, inside=inside))

    def resolve(self, name: str, *, inside: bool = False) -> EventField:
        """The field of a name, refused where the export cannot answer for it."""
        found = events.find_parameter(name) if inside else events.find(name)
        if found is None:
            raise PreviewError(f"unknown field {name!r}")
        if found.status is Status.REFUSED:
            raise PreviewError(f"{name}: {found.note}")
        if found.level is Level.METRIC:
            raise PreviewError(f"{name}: {found.note}")
        if found.note:
            self.caveats[f"{name} is {found.status}: {found.note}"] = None
        known = events.FIELDS.get(name)
        if inside and known and found.expression != known.expression:
            self.caveats[f"{name} inside an event filter is read as the event parameter {name!r}"] = None
        return found

    def is_set(self, leaf: FieldFilter) -> Test:
        """Whether the leaf's field has a value at the event."""
        found = self.resolve(leaf.field_name)
        if found.level is Level.ITEM:
            return Test(self._item(found, lambda value: f"{value.sql} IS NOT NULL", number=False))
        number = isinstance(leaf.condition, NumericFilter | BetweenFilter)
        return Test(f"{self._column(found, number=number).sql} IS NOT NULL")

    def _filter(self, leaf: FieldFilter, *, inside: bool) -> str:
        found = self.resolve(leaf.field_name, inside=inside)
        number = isinstance(leaf.condition, NumericFilter | BetweenFilter)
        if found.level is Level.ITEM:
            return self._item(found, lambda value: self.compare(value, leaf.condition), number=number)
        return self.compare(self._column(found, number=number), leaf.condition)

    def _column(self, found: EventField, *, number: bool) -> Typed:
        assert found.expression is not None  # noqa: S101 - metrics and refused fields never come here
        value = self._value(found.expression, number=number)
        if value is None and number and self._value(found.expression, number=False) is not None:
            return Typed(self.extract(f"CAST(NULL AS {self.dialect.float_type})"), "float")
        if value is None:
            raise PreviewError(
                f"{found.name} needs {_needs(found.expression)}, which the export does not have"
            )
        return value if value.late else Typed(self.extract(value.sql), value.kind)

    def _item(self, found: EventField, condition: Callable[[Typed], str], *, number: bool) -> str:
        """One boolean column: some item of the event satisfies the condition."""
        dialect = self.dialect
        if self.schema.kind("items") not in {"", "records"}:
            raise PreviewError("the column items is there, but not as a list of records")
        match found.expression:
            case events.ItemColumn(name):
                kind = self.schema.kind(f"items.{name}")
                if not kind:
                    raise PreviewError(
                        f"{found.name} needs the column items.{name}, which the export does not have"
                    )

                def held(alias: str) -> str:
                    return condition(Typed(dialect.member(alias, name), kind))
            case events.ItemParam(key):
                want: Want = "float" if number else "text"
                if self._reader("item_params", key, want, "x") is None:
                    raise PreviewError(
                        f"{found.name} needs the column items.item_params, which the export does not have"
                    )

                def held(alias: str) -> str:
                    value = self._reader("item_params", key, want, alias)
                    return condition(value) if value else "FALSE"
            case _:
                raise PreviewError(f"{found.name} is no item field")
        return self.extract(dialect.some_record(dialect.column("items"), held))

    def compare(self, value: Typed, condition: Condition) -> str:
        """A condition on a value; NULL where the value is."""
        dialect = self.dialect
        if value.kind == "float" and any(abs(each) > _EXACT for each in _numbers(condition)):
            self.caveats[f"whole numbers beyond {_EXACT} are compared as floats: neighbours are equal"] = None
        match condition:
            case NumericFilter(operation, number):
                sign = {Operation.EQUAL: "=", Operation.LESS_THAN: "<", Operation.GREATER_THAN: ">"}[
                    operation
                ]
                return f"{dialect.as_number(value)} {sign} {dialect.number(number)}"
            case BetweenFilter(low, high):
                number_sql = dialect.as_number(value)
                return f"{number_sql} BETWEEN {dialect.number(low)} AND {dialect.number(high)}"
            case InListFilter(values, case_sensitive):
                fold = str if case_sensitive else dialect.lowered
                listed = ", ".join(fold(dialect.text(each)) for each in dict.fromkeys(values))
                return f"{fold(dialect.as_text(value))} IN ({listed})" if values else "FALSE"
            case _:
                return self._string(dialect.as_text(value), condition)

    def _string(self, value: str, condition: StringFilter) -> str:
        dialect = self.dialect
        if condition.match_type is MatchType.FULL_REGEXP:
            if fault := regexps.fault(condition.value):
                raise PreviewError(f"the regular expression {condition.value!r} is not RE2: {fault}")
            pattern = regexps.portable(condition.value)
            return dialect.full_match(value, pattern, case_sensitive=condition.case_sensitive)
        wanted = dialect.text(condition.value)
        if not condition.case_sensitive:
            value, wanted = dialect.lowered(value), dialect.lowered(wanted)
        match condition.match_type:
            case MatchType.EXACT:
                return f"{value} = {wanted}"
            case MatchType.BEGINS_WITH:
                return f"STARTS_WITH({value}, {wanted})"
            case MatchType.ENDS_WITH:
                return f"ENDS_WITH({value}, {wanted})"
            case _:
                return dialect.contains(value, wanted)


def _numbers(condition: Condition) -> tuple[Number, ...]:
    match condition:
        case NumericFilter(_, number):
            return (number,)
        case BetweenFilter(low, high):
            return low, high
        case _:
            return ()


def _needs(expression: Expression) -> str:
    """The columns an expression reads, for a message."""
    match expression:
        case events.Column(path):
            return f"the column {path}"
        case events.Param():
            return "the column event_params"
        case events.UserProperty():
            return "the column user_properties"
        case events.Clock(column):
            return f"the column {column}"
        case events.Coalesce(parts):
            return " or ".join(dict.fromkeys(_needs(part) for part in parts))
        case events.Join(first, _, second):
            return " and ".join(dict.fromkeys((_needs(first), _needs(second))))
        case events.Channel(source, medium, campaign):
            return " and ".join(_needs(each) for each in (source, medium, campaign))
        case events.UrlPart(of) | events.Recode(of) | events.Present(of) | events.SessionFirst(of):
            return _needs(of)
        case events.LastClick(of):
            return _needs(of)
        case _:
            return "a column"
