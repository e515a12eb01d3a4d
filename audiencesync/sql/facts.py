"""What one statement has to find out about events, sessions and users, each thing once.

A condition on an event is one bit of a mask; masks are united per session and per user. The names in the
statement: u user, s session, ts time, d day (YYYYMMDD), o0.. rest of the order, n event name, f0.. extracted
values, w0.. first values of the session, m0.. masks of an event, h0.. of a session, e0.. of a user.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from audiencesync.sql.dialect import LOWEST, Typed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from datetime import date

    from audiencesync.sql.dialect import Dialect
    from audiencesync.sql.values import Test, Values

WORD = 62
BATCH = ("batch_page_id", "batch_ordering_id", "batch_event_index")


@dataclass(frozen=True, slots=True)
class Bit:
    """One bit of the events' masks."""

    word: int
    value: int


@dataclass(slots=True)
class Flags:
    """Conditions that are packed as bits into columns of one query; `prefix` names the columns."""

    prefix: str
    known: dict[str, Bit] = field(default_factory=dict)

    def add(self, sql: str) -> Bit:
        """The bit of a condition; equal conditions share one."""
        count = len(self.known)
        return self.known.setdefault(sql, Bit(count // WORD, 1 << count % WORD))

    def columns(self, write: str = "{}") -> list[str]:
        """`expression AS name` for each word; `write` wraps the expression."""
        words: dict[int, list[str]] = {}
        for sql, bit in self.known.items():
            words.setdefault(bit.word, []).append(f"CASE WHEN {sql} THEN {bit.value} ELSE 0 END")
        return [f"{write.format(' + '.join(cases))} AS {self.prefix}{word}" for word, cases in words.items()]

    def names(self) -> list[str]:
        """The names of the columns."""
        return [f"{self.prefix}{word}" for word in sorted({bit.word for bit in self.known.values()})]


def some(prefix: str, bits: Iterable[Bit]) -> str:
    """Whether one of the bits is set in the masks of that prefix."""
    return " OR ".join(f"({prefix}{word} & {value}) <> 0" for word, value in _words(bits)) or "FALSE"


def every(prefix: str, bits: Iterable[Bit]) -> str:
    """Whether all of the bits are set."""
    return " AND ".join(f"({prefix}{word} & {value}) = {value}" for word, value in _words(bits)) or "TRUE"


def _words(bits: Iterable[Bit]) -> list[tuple[int, int]]:
    words: dict[int, int] = {}
    for bit in bits:
        words[bit.word] = words.get(bit.word, 0) | bit.value
    return sorted(words.items())


class Chains(Protocol):
    """Sequences of one shape."""

    def queries(self) -> list[str]:
        """Queries that build on each other: "{0}" is the one before, the first says FROM itself.

        The last one gives u, and d and t of each sequence's latest completion.
        """


C = TypeVar("C", bound=Chains)


@dataclass(frozen=True, slots=True)
class Span:
    """The as-of day, and what is read of the export up to it."""

    as_of: date

    def day(self) -> int:
        """The as-of day as YYYYMMDD."""
        return int(self.as_of.strftime("%Y%m%d"))

    def before(self, days: int) -> int:
        """The last day that is not among the last `days` days, as YYYYMMDD; 0 where there is none."""
        ordinal = self.as_of.toordinal() - days
        return int(type(self.as_of).fromordinal(ordinal).strftime("%Y%m%d")) if ordinal > 0 else 0


@dataclass(slots=True)
class Facts:
    """The facts that the audiences of one statement ask for, and the queries that find them."""

    values: Values
    span: Span
    names: dict[str, frozenset[str] | None] = field(default_factory=dict)
    masks: Flags = field(default_factory=lambda: Flags("m"))
    user_flags: Flags = field(default_factory=lambda: Flags("c"))
    user_columns: dict[str, str] = field(default_factory=dict)
    session_flags: Flags = field(default_factory=lambda: Flags("g"))
    session_columns: dict[str, str] = field(default_factory=dict)
    session_bits: set[Bit] = field(default_factory=set)
    visit_flags: Flags = field(default_factory=lambda: Flags("k"))
    visit_columns: dict[str, str] = field(default_factory=dict)
    day_counts: dict[Bit, str] = field(default_factory=dict)
    day_windows: dict[tuple[str, int], str] = field(default_factory=dict)
    day_flags: Flags = field(default_factory=lambda: Flags("y"))
    chains: dict[Hashable, Chains] = field(default_factory=dict)
    last_words: set[int] = field(default_factory=set)
    ordered: bool = False
    sessions: bool = False
    positions: set[str] = field(default_factory=set)
    every_event: bool = False
    every_day: bool = False

    @property
    def dialect(self) -> Dialect:
        """The dialect of the statement."""
        return self.values.dialect

    def bit(self, test: Test) -> Bit:
        """The bit of a condition on one event."""
        self.names[test.sql] = test.names
        return self.masks.add(test.sql)

    def need_session(self) -> None:
        """Asks for the session's id."""
        self.values.session_id()
        self.sessions = True

    # the user, over events
    def user_flag(self, sql: str) -> str:
        """Whether some event satisfies a condition over m and d, as a condition on the user."""
        return some("c", [self.user_flags.add(sql)])

    def user_column(self, sql: str) -> str:
        """The name of an aggregate over the user's events."""
        return self.user_columns.setdefault(sql, f"u{len(self.user_columns)}")

    def last_bits(self, bits: Iterable[Bit]) -> str:
        """Whether the user's last event has one of the bits."""
        bits = list(bits)
        self.ordered = self.every_event = True
        self.last_words |= {bit.word for bit in bits}
        return some("l", bits)

    def last_value(self, sql: str, *, first: bool = False) -> str:
        """The name of an expression's value at the last event where it is set, or at the first one."""
        self.ordered = self.every_event = True
        return self.user_column(self.dialect.last(sql, self.order(), first=first))

    # the user, over sessions
    def session_flag(self, sql: str) -> str:
        """Whether some event of the session satisfies a condition, as a condition on the session."""
        self.need_session()
        return some("g", [self.session_flags.add(sql)])

    def session_column(self, sql: str) -> str:
        """The name of an aggregate over the session's events."""
        self.need_session()
        return self.session_columns.setdefault(sql, f"t{len(self.session_columns)}")

    def visit_flag(self, sql: str) -> str:
        """Whether some session satisfies a condition, as a condition on the user."""
        self.need_session()
        return some("k", [self.visit_flags.add(sql)])

    def visit_column(self, sql: str) -> str:
        """The name of an aggregate over the user's sessions."""
        self.need_session()
        return self.visit_columns.setdefault(sql, f"v{len(self.visit_columns)}")

    # the user, over days
    def day_window(self, bit: Bit, days: int, *, any_day: bool) -> str:
        """The name of the count of a bit over `days` days that end on an active day.

        Without `any_day`, days on which no counted event happened may be left out.
        """
        self.every_day = self.every_day or any_day
        self.every_event = self.every_event or any_day
        count = self.day_counts.setdefault(bit, f"x{len(self.day_counts)}")
        return self.day_windows.setdefault((count, days), f"z{len(self.day_windows)}")

    def day_flag(self, sql: str) -> str:
        """Whether some active day satisfies a condition, as a condition on the user."""
        return some("y", [self.day_flags.add(sql)])

    # the user, over chains of a sequence
    def chain(self, shape: Hashable, make: Callable[[], C]) -> tuple[str, C]:
        """The name of the last query of the sequences of one shape, and the sequences, made here."""
        if shape not in self.chains:
            self.chains[shape] = make()
        return f"q{list(self.chains).index(shape)}", cast("C", self.chains[shape])

    # the statement's parts
    def order(self) -> list[str]:
        """The total order of a user's events."""
        return ["ts", *(f"o{index}" for index in range(len(self._order_columns()))), "n"]

    def _order_columns(self) -> list[str]:
        schema = self.values.schema
        batch = [name for name in BATCH if schema.has(name)]
        return batch or [name for name in ("event_bundle_sequence_id",) if schema.has(name)]

    def _event_names(self) -> list[str] | None:
        """The only events that matter, where that is known."""
        names: set[str] = set()
        for found in self.names.values():
            if found is None:
                return None
            names |= found
        return sorted(names)

    def reads(self) -> dict[str, str]:
        """What is read of the export's rows: name in the statement -> expression."""
        values, dialect = self.values, self.dialect
        user = Typed(values.base("user_pseudo_id"), values.schema.kind("user_pseudo_id"))
        found = {"u": dialect.as_text(user), "ts": values.base("event_timestamp"), "d": values.day()}
        if self.ordered or values.windows:
            for index, path in enumerate(self._order_columns()):
                found[f"o{index}"] = f"COALESCE({dialect.cast(dialect.column(path), 'int')}, {LOWEST})"
            found["n"] = f"COALESCE({values.base('event_name')}, '')"
        if self.sessions or values.windows:
            found["s"] = values.session_id()
        return {**found, **values.columns}

    def _raw(self, source: str, staged: Mapping[str, str] | None) -> str:
        values, dialect, name = self.values, self.dialect, self.values.base("event_name")
        where = [
            f"{values.base('user_pseudo_id')} IS NOT NULL",
            f"{values.base('event_timestamp')} IS NOT NULL",
        ]
        if staged is None:
            where.append(self._until())
        else:
            name, where = staged[name], [f"{staged[values.day()]} <= {self.span.day()}"]
        names = None if self.every_event or values.windows else self._event_names()
        if names is not None:
            listed = ", ".join(map(dialect.text, names))
            where.append(f"{name} IN ({listed})" if names else "FALSE")
        columns = [f"{staged[sql] if staged else sql} AS {alias}" for alias, sql in self.reads().items()]
        return _select(columns, source, where)

    def _until(self) -> str:
        """The day is compared as the export writes it, so that whole files can be passed over."""
        if self.values.schema.kind("event_date") == "text":
            return f"{self.values.base('event_date')} <= {self.dialect.text(str(self.span.day()))}"
        return f"{self.values.day()} <= {self.span.day()}"

    def _windows(self) -> str:
        order = ", ".join(self.order())
        frame = f"PARTITION BY u, s ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
        columns = [
            f"CASE WHEN s IS NOT NULL THEN FIRST_VALUE({column} IGNORE NULLS) OVER ({frame}) END AS {name}"
            for name, column in self.values.windows.items()
        ]
        return _select(["raw.*", *columns], "raw")

    def _events(self) -> str:
        keep = ["u", "ts", "d"]
        if self.sessions:
            keep.append("s")
        if self.ordered:
            keep += self.order()[1:]
        source = "win" if self.values.windows else "raw"
        query = _select([*keep, *self.masks.columns(self._wide())], source)
        if self.every_event or not self.masks.known:
            return query
        held = " OR ".join(f"{name} <> 0" for name in self.masks.names())
        return _select(["*"], f"({query}) AS marked", [f"({held})"])

    def _wide(self) -> str:
        return self.dialect.cast("{}", "int")

    def _users(self) -> str:
        columns = ["u", *(f"BIT_OR({name}) AS e{name[1:]}" for name in self.masks.names())]
        columns += self.user_flags.columns(f"BIT_OR({self._wide()})")
        columns += [
            f"{self.dialect.last(f'm{word}', self.order())} AS l{word}" for word in sorted(self.last_words)
        ]
        columns += [f"{sql} AS {name}" for sql, name in self.user_columns.items()]
        return _select(columns, "ev") + "\n  GROUP BY u"

    def _sessions(self) -> str:
        columns = ["u", "s"]
        columns += [f"BIT_OR(m{word}) AS h{word}" for word, _ in _words(self.session_bits)]
        columns += self.session_flags.columns(f"BIT_OR({self._wide()})")
        columns += [f"{sql} AS {name}" for sql, name in self.session_columns.items()]
        where = ["s IS NOT NULL", f"({some('m', self.session_bits)})"]
        return _select(columns, "ev", where) + "\n  GROUP BY u, s"

    def _visits(self) -> str:
        columns = ["u", *self.visit_flags.columns(f"BIT_OR({self._wide()})")]
        columns += [f"{sql} AS {name}" for sql, name in self.visit_columns.items()]
        return _select(columns, "ses") + "\n  GROUP BY u"

    def _days(self) -> list[tuple[str, str]]:
        counts = [
            f"SUM(CASE WHEN {some('m', [bit])} THEN 1 ELSE 0 END) AS {name}"
            for bit, name in self.day_counts.items()
        ]
        where = [] if self.every_day else [f"({some('m', self.day_counts)})"]
        daily = _select(["u", "d", *counts], "ev", where) + "\n  GROUP BY u, d"
        numbered = _select(["*", f"{self.dialect.day_number('d')} AS dn"], "daily")
        frame = "PARTITION BY u ORDER BY dn RANGE BETWEEN {} PRECEDING AND CURRENT ROW"
        windows = [
            f"SUM({count}) OVER ({frame.format(days - 1)}) AS {name}"
            for (count, days), name in self.day_windows.items()
        ]
        spans = _select(["u", *windows], "numbered")
        flags = _select(["u", *self.day_flags.columns(f"BIT_OR({self._wide()})")], "spans") + "\n  GROUP BY u"
        return [("daily", daily), ("numbered", numbered), ("spans", spans), ("dys", flags)]

    def _positions(self) -> str:
        order = ", ".join(self.order())
        partitions = {"pu": "u", "ps": "u, s"}
        columns = [
            f"ROW_NUMBER() OVER (PARTITION BY {partitions[name]} ORDER BY {order}) AS {name}"
            for name in sorted(self.positions)
        ]
        return _select(["ev.*", *columns], "ev")

    def queries(self, source: str, staged: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
        """The named queries of the statement up to one row a user for each kind of fact."""
        found = [("raw", self._raw(source, staged))]
        if self.values.windows:
            found.append(("win", self._windows()))
        found.append(("ev", self._events()))
        if self.positions:
            found.append(("pos", self._positions()))
        found.append(("usr", self._users()))
        if self.visit_flags.known or self.visit_columns:
            found += [("ses", self._sessions()), ("vis", self._visits())]
        if self.day_flags.known:
            found += self._days()
        for number, chains in enumerate(self.chains.values()):
            name, queries = f"q{number}", chains.queries()
            for level, query in enumerate(queries):
                below = f"{name}_{level - 1}"
                own = name if level == len(queries) - 1 else f"{name}_{level}"
                found.append((own, query.replace("{0}", below)))
        return found

    def joined(self) -> str:
        """The FROM of one row a user with all facts."""
        others = []
        if self.visit_flags.known or self.visit_columns:
            others.append("vis")
        if self.day_flags.known:
            others.append("dys")
        others += [f"q{number}" for number in range(len(self.chains))]
        return "usr" + "".join(f"\n  LEFT JOIN {other} ON {other}.u = usr.u" for other in others)


def _select(columns: Sequence[str], source: str, where: Sequence[str] = ()) -> str:
    listed = ",\n    ".join(columns)
    text = f"  SELECT\n    {listed}\n  FROM {source}"
    return text + ("\n  WHERE " + "\n    AND ".join(where) if where else "")
