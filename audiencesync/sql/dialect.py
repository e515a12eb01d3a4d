"""How DuckDB and BigQuery write what the compiler needs; every value is quoted here and nowhere else.

Each dialect has its own idiom: an event parameter is a lambda over the list in DuckDB and a correlated
subquery in BigQuery, and the other way round is slow or impossible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from audiencesync.errors import PreviewError
from audiencesync.unseen import LOG_COMMAND, harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from audiencesync.model import Number

LOWEST = -(2**63)
"""Stands for NULL in the order of a user's events: first."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A piece of SQL and its value's kind; `late` where it reads names that were extracted already."""

    sql: str
    kind: str = "text"
    late: bool = False


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _check_text(value: str) -> str:
    """The text, unless no SQL literal can hold it."""
    if "\0" in value:
        raise PreviewError("a text with a NUL character cannot be compared in SQL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PreviewError("a text with a lone surrogate cannot be compared in SQL") from None
    return value


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    """The text with escapes for what a terminal or a log would act on, or nobody can see."""
    seen = "".join(each if harmless(each) else _SHORT.get(each) or escape(each) for each in text)
    return seen.replace(LOG_COMMAND, escape(LOG_COMMAND[0]) + LOG_COMMAND[1:])


class Dialect:
    """What both dialects write alike."""

    name: ClassVar[str]
    text_type: ClassVar[str]
    float_type: ClassVar[str]
    int_type: ClassVar[str]
    safe_cast: ClassVar[str]
    materialized: ClassVar[str] = ""
    barrier: ClassVar[str] = ""
    """What ends a query whose expressions are not to be repeated in the conditions of those that read it."""
    kept: ClassVar[str] = ""
    """What makes a table "{}" for the statements after it; "" where each statement stands alone."""

    # values
    def text(self, value: str) -> str:
        """A text literal."""
        raise NotImplementedError

    def identifier(self, name: str) -> str:
        """A quoted name."""
        raise NotImplementedError

    def number(self, value: Number) -> str:
        """A number literal; whole ones stay whole."""
        if isinstance(value, int):
            return str(value)
        if not math.isfinite(value):
            raise PreviewError("a number that is not finite cannot be compared in SQL")
        return f"CAST({self.text(repr(value))} AS {self.float_type})"

    def column(self, path: str) -> str:
        """A column by its dotted path."""
        return ".".join(self.identifier(part) for part in path.split("."))

    def member(self, record: str, path: str) -> str:
        """What lies below a record's expression or alias, by its dotted path from there."""
        return f"{record}.{self.column(path)}"

    def cast(self, sql: str, kind: str) -> str:
        """A value as another kind: text, int or float."""
        return f"CAST({sql} AS {self._type(kind)})"

    def try_cast(self, sql: str, kind: str) -> str:
        """The same, NULL where the value does not allow it."""
        return f"{self.safe_cast}({sql} AS {self._type(kind)})"

    def _type(self, kind: str) -> str:
        return {"text": self.text_type, "int": self.int_type, "float": self.float_type}[kind]

    def as_text(self, value: Typed) -> str:
        """A value as the text that a condition on texts sees."""
        if value.kind == "text":
            return value.sql
        if value.kind == "date":
            return self.date_text(value.sql)
        return self.float_text(value.sql) if value.kind == "float" else self.cast(value.sql, "text")

    def as_number(self, value: Typed) -> str:
        """A value as a number; NULL where it is none."""
        if value.kind in {"int", "float"}:
            return value.sql
        return self.try_cast(self.as_text(value), "float")

    def date_text(self, sql: str) -> str:
        """A DATE as YYYYMMDD."""
        raise NotImplementedError

    def float_text(self, sql: str) -> str:
        """A float as text, whole ones without a fraction."""
        whole = self.cast(self.cast(sql, "int"), "text")
        is_whole = f"ABS({sql}) < 1e15 AND {sql} = FLOOR({sql})"
        return f"CASE WHEN {is_whole} THEN {whole} ELSE {self.cast(sql, 'text')} END"

    def first_set(self, parts: Sequence[str]) -> str:
        """The first part that is not NULL."""
        return parts[0] if len(parts) == 1 else f"COALESCE({', '.join(parts)})"

    def joined(self, parts: Sequence[str]) -> str:
        """Texts one after the other; NULL where one is NULL."""
        return f"({' || '.join(parts)})"

    def any_of(self, parts: Sequence[str]) -> str:
        """OR; nothing is false."""
        return _chain(parts, "OR", "FALSE")

    def all_of(self, parts: Sequence[str]) -> str:
        """AND; nothing is true."""
        return _chain(parts, "AND", "TRUE")

    # conditions on texts
    def lowered(self, sql: str) -> str:
        """The text in lower case."""
        return f"LOWER({sql})"

    def contains(self, sql: str, part: str) -> str:
        """Whether a text contains another."""
        raise NotImplementedError

    def full_match(self, sql: str, pattern: str, *, case_sensitive: bool) -> str:
        """Whether an RE2 expression matches the whole text."""
        raise NotImplementedError

    def search(self, sql: str, pattern: str) -> str:
        """Whether an RE2 expression matches somewhere in the text."""
        raise NotImplementedError

    def url_part(self, sql: str, part: str) -> str:
        """A part of a URL: host, path, pathAndQuery or afterScheme; NULL where there is no such URL."""
        raise NotImplementedError

    # nested values
    def keyed(self, records: str, key: str, read: Callable[[str], str], key_kind: str) -> str:
        """A value of the first record of a list with that key; `read` gives it from a record's alias."""
        raise NotImplementedError

    def some_record(self, records: str, condition: Callable[[str], str]) -> str:
        """Whether one record of a list satisfies the condition; a missing list has none."""
        raise NotImplementedError

    def boxed(self, sql: str) -> str:
        """A value in a record, so that a NULL inside is not a NULL."""
        raise NotImplementedError

    def unboxed(self, sql: str) -> str:
        """The value of such a record."""
        return f"{sql}.{self.identifier('v')}"

    # time
    def clock(self, sql: str, part: str, zone: str) -> Typed:
        """A part of microseconds since 1970 in a time zone: hour, minute, date or dateHour."""
        raise NotImplementedError

    def date_part(self, day: str, part: str) -> str:
        """A part of a day YYYYMMDD (an integer): dayOfWeek (Sunday 0), month or year."""
        raise NotImplementedError

    def day_number(self, day: str) -> str:
        """Days since 1970 of a day YYYYMMDD (an integer)."""
        raise NotImplementedError

    # aggregates
    def last(self, value: str, order: Sequence[str]) -> str:
        """The value of the last event in the order at which it is not NULL."""
        raise NotImplementedError

    def first(self, value: str, order: Sequence[str]) -> str:
        """The same of the first event."""
        raise NotImplementedError

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[str]], source: str) -> str:
        """A query that gives these rows, each value an expression over the one row of `source`."""
        raise NotImplementedError


def _chain(parts: Sequence[str], word: str, empty: str) -> str:
    unique = list(dict.fromkeys(parts))
    if not unique:
        return empty
    return unique[0] if len(unique) == 1 else f"({f' {word} '.join(unique)})"


_SCHEMES = ("https://", "http://")


def _in_bytes(letter: str) -> str:
    """DuckDB's escape of a character: its bytes in UTF-8."""
    return "".join(f"\\x{byte:02x}" for byte in letter.encode())


class DuckDb(Dialect):
    """DuckDB's SQL."""

    name = "duckdb"
    text_type = "VARCHAR"
    float_type = "DOUBLE"
    int_type = "BIGINT"
    safe_cast = "TRY_CAST"
    materialized = "MATERIALIZED "
    # DuckDB pushes a condition down, and the expression behind a name as often as the name stands in it.
    barrier = "\n  OFFSET 0"
    kept = "CREATE OR REPLACE TEMP TABLE {} AS\n"

    def text(self, value: str) -> str:
        """A text literal: only the quote has a meaning in it, unless a character has to be escaped."""
        literal = "'" + _check_text(value).replace("'", "''") + "'"
        if _escaped(literal, _in_bytes) == literal:
            return literal
        return "E" + _escaped(literal.replace("\\", "\\\\"), _in_bytes)

    def identifier(self, name: str) -> str:
        """A name in double quotes, which know no escapes."""
        if _escaped(name, _in_bytes) != name:
            raise PreviewError("a name with a character that cannot be seen cannot be written in SQL")
        return '"' + name.replace('"', '""') + '"'

    def member(self, record: str, path: str) -> str:
        """In brackets: behind a dot, a lambda's name would mean the table's column of that name."""
        return record + "".join(f"[{self.text(part)}]" for part in path.split("."))

    def date_text(self, sql: str) -> str:
        """A DATE as YYYYMMDD."""
        return f"strftime({sql}, '%Y%m%d')"

    def contains(self, sql: str, part: str) -> str:
        """Whether a text contains another."""
        return f"contains({sql}, {part})"

    def full_match(self, sql: str, pattern: str, *, case_sensitive: bool) -> str:
        """DuckDB's expressions are RE2, and regexp_full_match wants the whole text."""
        flags = "c" if case_sensitive else "i"
        return f"regexp_full_match({sql}, {self.text(pattern)}, '{flags}')"

    def search(self, sql: str, pattern: str) -> str:
        """RE2 anywhere in the text."""
        return f"regexp_matches({sql}, {self.text(pattern)})"

    def url_part(self, sql: str, part: str) -> str:
        """Cuts at the separators: RE2 takes three times as long to capture a group.

        Each lambda names what was found so far, so that a CASE above evaluates it once.
        """
        cut = f"split_part({sql}, '#', 1)"
        host = "split_part(split_part(u, '?', 1), '/', 1)"
        match part:
            case "host":
                rest = f"NULLIF(split_part({host}, ':', 1), '')"
            case "path":
                cut = f"split_part({cut}, '?', 1)"
                rest = "substr(u, length(NULLIF(split_part(u, '/', 1), '')) + 1)"
            case "pathAndQuery":
                rest = f"substr(u, length(NULLIF({host}, '')) + 1)"
            case _:
                rest = "u"
        schemes = (f"WHEN starts_with(t, '{each}') THEN substr(t, {len(each) + 1})" for each in _SCHEMES)
        found = f"list_transform([{cut}], lambda t: CASE {' '.join(schemes)} END)"
        return f"{found}[1]" if rest == "u" else f"list_transform({found}, lambda u: {rest})[1]"

    def keyed(self, records: str, key: str, read: Callable[[str], str], key_kind: str) -> str:
        """A lambda over the list; the engine shares equal ones."""
        key_sql = self.member("p", "key")
        name = key_sql if key_kind == "text" else self.cast(key_sql, "text")
        return read(f"list_filter({records}, lambda p: {name} = {self.text(key)})[1]")

    def some_record(self, records: str, condition: Callable[[str], str]) -> str:
        """The length of the filtered list."""
        held = f"COALESCE({condition('i')}, FALSE)"
        return f"COALESCE(len(list_filter({records}, lambda i: {held})) > 0, FALSE)"

    def boxed(self, sql: str) -> str:
        """A struct of one field."""
        return f"{{'v': {sql}}}"

    def clock(self, sql: str, part: str, zone: str) -> Typed:
        """Strftime on the local time."""
        time = f"make_timestamp({sql})"
        if zone != "UTC":
            time = f"({time} AT TIME ZONE 'UTC' AT TIME ZONE {self.text(zone)})"
        match part:
            case "hour" | "minute":
                return Typed(f"EXTRACT({part.upper()} FROM {time})", "int")
            case _:
                return Typed(f"strftime({time}, '{'%Y%m%d' if part == 'date' else '%Y%m%d%H'}')")

    def _date(self, day: str) -> str:
        return f"make_date({day} // 10000, ({day} // 100) % 100, {day} % 100)"

    def date_part(self, day: str, part: str) -> str:
        """EXTRACT; DOW counts from Sunday as 0."""
        word = {"dayOfWeek": "DOW", "month": "MONTH", "year": "YEAR"}[part]
        return f"EXTRACT({word} FROM {self._date(day)})"

    def day_number(self, day: str) -> str:
        """Days between dates."""
        return f"({self._date(day)} - DATE '1970-01-01')"

    def last(self, value: str, order: Sequence[str]) -> str:
        """arg_max passes over NULL values."""
        return f"arg_max({value}, {self._key(order)})"

    def first(self, value: str, order: Sequence[str]) -> str:
        """arg_min does, too."""
        return f"arg_min({value}, {self._key(order)})"

    def _key(self, order: Sequence[str]) -> str:
        """A row compares field by field."""
        return order[0] if len(order) == 1 else f"ROW({', '.join(order)})"

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[str]], source: str) -> str:
        """Unnests a list of structs."""
        names = [self.identifier(column) for column in columns]
        structs = [
            "{" + ", ".join(f"{n}: {v}" for n, v in zip(names, row, strict=True)) + "}" for row in rows
        ]
        chosen = ", ".join(f'"r".{name} AS {name}' for name in names)
        listed = ",\n  ".join(structs)
        return f'SELECT {chosen}\nFROM (SELECT UNNEST([\n  {listed}\n]) AS "r" FROM {source})'


_URL_PARTS = {
    "host": r"^https?://([^/?#:]+)",
    "path": r"^https?://[^/?#]+([^?#]*)",
    "pathAndQuery": r"^https?://[^/?#]+([^#]*)",
    "afterScheme": r"^https?://([^#]*)",
}


def _by_number(letter: str) -> str:
    """BigQuery's escape of a character: its code point."""
    code = ord(letter)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits


class BigQuery(Dialect):
    """BigQuery's GoogleSQL."""

    name = "bigquery"
    text_type = "STRING"
    float_type = "FLOAT64"
    int_type = "INT64"
    safe_cast = "SAFE_CAST"

    def text(self, value: str) -> str:
        """A text literal: quotes, backslashes, line ends and what cannot be seen are escaped."""
        escaped = _check_text(value).replace("\\", "\\\\").replace("'", "\\'")
        return "'" + _escaped(escaped, _by_number) + "'"

    def identifier(self, name: str) -> str:
        """A name in backticks."""
        return "`" + _escaped(name.replace("\\", "\\\\").replace("`", "\\`"), _by_number) + "`"

    def date_text(self, sql: str) -> str:
        """A DATE as YYYYMMDD."""
        return f"FORMAT_DATE('%Y%m%d', {sql})"

    def contains(self, sql: str, part: str) -> str:
        """The position of a part, from 1."""
        return f"STRPOS({sql}, {part}) > 0"

    def full_match(self, sql: str, pattern: str, *, case_sensitive: bool) -> str:
        """RE2 between the text's ends."""
        return self.search(sql, f"^{'' if case_sensitive else '(?i)'}(?:{pattern})$")

    def search(self, sql: str, pattern: str) -> str:
        """RE2 anywhere in the text."""
        return f"REGEXP_CONTAINS({sql}, {self.text(pattern)})"

    def url_part(self, sql: str, part: str) -> str:
        """REGEXP_EXTRACT gives the only group, and NULL where nothing matches."""
        return f"REGEXP_EXTRACT({sql}, {self.text(_URL_PARTS[part])})"

    def keyed(self, records: str, key: str, read: Callable[[str], str], key_kind: str) -> str:
        """A correlated subquery over the array."""
        key_sql = self.member("p", "key")
        name = key_sql if key_kind == "text" else self.cast(key_sql, "text")
        return f"(SELECT {read('p')} FROM UNNEST({records}) AS p WHERE {name} = {self.text(key)} LIMIT 1)"

    def some_record(self, records: str, condition: Callable[[str], str]) -> str:
        """EXISTS is never NULL."""
        return f"EXISTS(SELECT 1 FROM UNNEST({records}) AS i WHERE {condition('i')})"

    def boxed(self, sql: str) -> str:
        """A struct of one field."""
        return f"STRUCT({sql} AS v)"

    def clock(self, sql: str, part: str, zone: str) -> Typed:
        """EXTRACT or FORMAT_TIMESTAMP in the zone."""
        time, place = f"TIMESTAMP_MICROS({sql})", self.text(zone)
        match part:
            case "hour" | "minute":
                return Typed(f"EXTRACT({part.upper()} FROM {time} AT TIME ZONE {place})", "int")
            case _:
                layout = "%Y%m%d" if part == "date" else "%Y%m%d%H"
                return Typed(f"FORMAT_TIMESTAMP('{layout}', {time}, {place})")

    def _date(self, day: str) -> str:
        return f"DATE(DIV({day}, 10000), MOD(DIV({day}, 100), 100), MOD({day}, 100))"

    def date_part(self, day: str, part: str) -> str:
        """EXTRACT; DAYOFWEEK counts from Sunday as 1."""
        word = {"dayOfWeek": "DAYOFWEEK", "month": "MONTH", "year": "YEAR"}[part]
        sql = f"EXTRACT({word} FROM {self._date(day)})"
        return f"({sql} - 1)" if part == "dayOfWeek" else sql

    def day_number(self, day: str) -> str:
        """UNIX_DATE counts from 1970."""
        return f"UNIX_DATE({self._date(day)})"

    def last(self, value: str, order: Sequence[str]) -> str:
        """An ordered array of one value: MAX_BY takes a single key."""
        return self.first(value, [f"{each} DESC" for each in order])

    def first(self, value: str, order: Sequence[str]) -> str:
        """An ordered array of one value, too."""
        return f"ARRAY_AGG({value} IGNORE NULLS ORDER BY {', '.join(order)} LIMIT 1)[SAFE_OFFSET(0)]"

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[str]], source: str) -> str:
        """Unnests an array of structs."""
        structs = [
            "STRUCT(" + ", ".join(f"{v} AS {n}" for n, v in zip(columns, row, strict=True)) + ")"
            for row in rows
        ]
        chosen = ", ".join(f"r.{column}" for column in columns)
        listed = ",\n  ".join(structs)
        return f"SELECT {chosen}\nFROM {source}, UNNEST([\n  {listed}\n]) AS r"


DUCKDB, BIGQUERY = DuckDb(), BigQuery()
DIALECTS: dict[str, Dialect] = {each.name: each for each in (DUCKDB, BIGQUERY)}
