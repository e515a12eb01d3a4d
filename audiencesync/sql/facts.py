"""What one statement has to find out about events, sessions and users, each thing once.

A condition on an event is one bit of a mask; masks are united per session and per user. The queries, and the
names in them besides u, the user:

    raw   the export's rows: ts time, d day (YYYYMMDD), s session, o0.. rest of the order, n event name,
          p the event's number where events are in order already, f0.. extracted values
    win   and w0.. first values of the session
    ev    the events that matter: ts, d, s, the order, m0.. masks
    pos   and pu, ps the event's number among those of the user, of the session
    usr   a row a user: e0.. masks, r0.. conditions on events after a day, u0.. aggregates, l0.. the last
          event's masks
    lst   a row a user: l0.. where the last event is looked for among a few events
    ses   a row a session: h0.. masks, h20240301_0.. masks of events after a day, t0.. aggregates
    vis   a row a user: k0.. conditions on sessions, v0.. aggregates over them
    daily, numbered, spans, dys   a row a day: x0.. counts, z0.. counts over some days; a row a user:
          y0.. conditions on them
    q0..  the sequences of one shape (sequence.py), level by level, to a row a user
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from audiencesync.sql.dialect import LOWEST, Typed
from audiencesync.sql.masks import Flags, held, some, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from datetime import date

    from audiencesync.sql.dialect import Dialect
    from audiencesync.sql.masks import Bit, Words
    from audiencesync.sql.values import Test, Values

BATCH = ("batch_page_id", "batch_ordering_id", "batch_event_index")


@dataclass(frozen=True, slots=True)
class Need:
    """The events for which something matters: those of these names (None: of any), after this day."""

    names: frozenset[str] | None
    after: int = 0

    def __or__(self, other: Need) -> Need:
        """All events of both, and maybe more."""
        either = None if self.names is None or other.names is None else self.names | other.names
        return Need(either, min(self.after, other.after))


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

    def day(self) -> str:
        """The as-of day as YYYYMMDD, eight digits in any year."""
        return self.as_of.isoformat().replace("-", "")

    def before(self, days: int) -> int:
        """The last day that is not among the last `days` days, as YYYYMMDD; 0 where there is none."""
        ordinal = self.as_of.toordinal() - days
        return int(type(self.as_of).fromordinal(ordinal).strftime("%Y%m%d")) if ordinal > 0 else 0


@dataclass(slots=True)
class Facts:
    """The facts that the audiences of one statement ask for, and the queries that find them.

    `position` is the expression of p on the source's rows, "" where events are in no order there.
    """

    values: Values
    span: Span
    position: str = ""
    needs: dict[str, Need] = field(default_factory=dict)
    masks: Flags = field(default_factory=lambda: Flags("m"))
    user_words: set[int] = field(default_factory=set)
    user_days: dict[tuple[Words, int], str] = field(default_factory=dict)
    user_columns: dict[str, str] = field(default_factory=dict)
    session_bits: set[Bit] = field(default_factory=set)
    session_days: dict[int, set[int]] = field(default_factory=dict)
    session_columns: dict[str, str] = field(default_factory=dict)
    visit_flags: Flags = field(default_factory=lambda: Flags("k"))
    visit_columns: dict[str, str] = field(default_factory=dict)
    day_counts: dict[Bit, str] = field(default_factory=dict)
    day_windows: dict[tuple[str, int], str] = field(default_factory=dict)
    day_flags: Flags = field(default_factory=lambda: Flags("y"))
    chains: dict[Hashable, Chains] = field(default_factory=dict)
    last_words: set[int] = field(default_factory=set)
    last_after: int | None = None
    ordered: bool = False
    sessions: bool = False
    positions: set[str] = field(default_factory=set)
    every_after: int | None = None
    """After which day each event matters; None: only those with a bit do."""
    every_day: bool = False

    @property
    def dialect(self) -> Dialect:
        """The dialect of the statement."""
        return self.values.dialect

    def bit(self, test: Test, after: int = 0) -> Bit:
        """The bit of a condition on one event; `after`: no event up to that day matters for it."""
        need = Need(test.names, after)
        self.needs[test.sql] = self.needs.get(test.sql, need) | need
        return self.masks.add(test.sql)

    def need_every(self, after: int = 0) -> None:
        """Asks for each event after a day, whether it has a bit or not."""
        self.every_after = after if self.every_after is None else min(self.every_after, after)

    def need_session(self) -> None:
        """Asks for the session's id; PreviewError where the export has none."""
        self.values.session_id()
        self.sessions = True

    # the user, over events
    def user_has(self, bits: Iterable[Bit]) -> str:
        """Whether some event has one of the bits, as a condition on the user."""
        bits = list(bits)
        self.user_words |= {bit.word for bit in bits}
        return some("e", bits)

    def user_has_after(self, day: int, bits: Iterable[Bit]) -> str:
        """The same for the events after a day; the name of a column."""
        return self.user_days.setdefault((words_of(bits), day), f"r{len(self.user_days)}")

    def user_column(self, sql: str) -> str:
        """The name of an aggregate over the user's events."""
        return self.user_columns.setdefault(sql, f"u{len(self.user_columns)}")

    def last_bits(self, bits: Iterable[Bit], after: int) -> str:
        """Whether the user's last event has one of the bits, where that event is after a day."""
        bits = list(bits)
        self.ordered = True
        self.need_every(after)
        self.last_after = after if self.last_after is None else min(self.last_after, after)
        self.last_words |= {bit.word for bit in bits}
        return some("l", bits)

    def last_value(self, sql: str) -> str:
        """The name of an expression's value at the last event where it is set."""
        return self._ordered_value(self.dialect.last, sql)

    def first_value(self, sql: str) -> str:
        """The same at the first event."""
        return self._ordered_value(self.dialect.first, sql)

    def _ordered_value(self, choose: Callable[[str, list[str]], str], sql: str) -> str:
        self.ordered = True
        self.need_every()
        return self.user_column(choose(sql, self.order()))

    # the user, over sessions
    def session_has_after(self, day: int, bits: Iterable[Bit]) -> str:
        """Whether some event of the session after a day has one of the bits."""
        self.need_session()
        bits = list(bits)
        self.session_days.setdefault(day, set()).update(bit.word for bit in bits)
        return some(f"h{day}_", bits)

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
        if any_day:
            self.need_every()
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
        return [*([] if self.position else ["ts"]), *self.order_reads()]

    def _order_columns(self) -> list[str]:
        schema = self.values.schema
        batch = [name for name in BATCH if schema.has(name)]
        return batch or [name for name in ("event_bundle_sequence_id",) if schema.has(name)]

    def _matters(self) -> Need:
        """The events that matter for anything."""
        if self.values.windows:
            return Need(None)
        found = list(self.needs.values())
        if self.every_after is not None:
            found.append(Need(None, self.every_after))
        return _united(found)

    def reads(self) -> dict[str, str]:
        """What is read of the export's rows: name in the statement -> expression."""
        values, dialect = self.values, self.dialect
        user = Typed(values.base("user_pseudo_id"), values.schema.kind("user_pseudo_id"))
        found = {"u": dialect.as_text(user), "ts": values.base("event_timestamp"), "d": values.day()}
        if self.ordered or values.windows:
            found |= self.order_reads()
        if self.sessions or values.windows:
            found["s"] = values.session_id()
        return {**found, **values.columns}

    def order_reads(self) -> dict[str, str]:
        """What is read of the export's rows for the order of a user's events, without their time."""
        if self.position:
            return {"p": self.position}
        dialect = self.dialect
        found = {
            f"o{index}": f"COALESCE({dialect.cast(dialect.column(path), 'int')}, {LOWEST})"
            for index, path in enumerate(self._order_columns())
        }
        return {**found, "n": f"COALESCE({self.values.base('event_name')}, '')"}

    def _raw(self, source: str, staged: Mapping[str, str] | None) -> str:
        matters, reads = self._matters(), self.reads()
        if staged is not None:
            columns = [f"{staged[sql]} AS {name}" for name, sql in reads.items()]
            day, event = staged[self.values.day()], staged[self.values.base("event_name")]
            where = [f"{day} <= {self.span.day()}", *self._only(matters, event, f"{day} > {{}}")]
            return _select(columns, source, where)
        values = self.values
        event, late = values.base("event_name"), self._compared_day(">")
        only = self._only(matters, event, late)
        columns = []
        for name, read in reads.items():
            guard = [each for each in self._only(self._need_of(name), event, late) if each not in only]
            # A plain column costs nothing; all else is left out on the events for which nobody asks.
            guarded = f"CASE WHEN {' AND '.join(guard)} THEN {read} END" if guard and "(" in read else read
            columns.append(f"{guarded} AS {name}")
        where = [
            f"{values.base('user_pseudo_id')} IS NOT NULL",
            f"{values.base('event_timestamp')} IS NOT NULL",
            self._compared_day("<=").format(self.span.day()),
            *only,
        ]
        return _select(columns, source, where)

    def _need_of(self, name: str) -> Need:
        """The events for which a name of `reads` matters.

        Only conditions read an extracted value, and s where no window does. They are looked for by the name
        in their text: a word in a quoted value that looks like it can only make the answer too wide.
        """
        windows = self.values.windows
        everywhere = name in windows.values() or (name == "s" and (windows or "ps" in self.positions))
        if everywhere or not (name == "s" or name in self.values.columns):
            return Need(None)
        return _united([need for sql, need in self.needs.items() if re.search(rf"\b{name}\b", sql)])

    def _only(self, need: Need, event: str, late: str) -> list[str]:
        """The conditions that an event is one of these; `late` compares its day with "{}"."""
        found = [late.format(need.after)] if need.after else []
        if need.names is not None:
            listed = ", ".join(map(self.dialect.text, sorted(need.names)))
            found.append(f"{event} IN ({listed})" if listed else "FALSE")
        return found

    def _compared_day(self, sign: str) -> str:
        """The day compared with "{}" as the export writes it, so that whole files can be passed over."""
        if self.values.schema.kind("event_date") == "text":
            return f"{self.values.base('event_date')} {sign} {self.dialect.text('{}')}"
        return f"{self.values.day()} {sign} {{}}"

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
            keep += self.order_reads()
        source = "win" if self.values.windows else "raw"
        query = _select([*keep, *self.masks.columns(self._wide())], source) + self.dialect.barrier
        if self.every_after is not None or not self.masks.known:
            return query
        marked = " OR ".join(f"{name} <> 0" for name in self.masks.names())
        return _select(["*"], f"({query}) AS marked", [f"({marked})"])

    def _wide(self) -> str:
        return self.dialect.cast("{}", "int")

    def _users(self) -> str:
        columns = ["u", *(f"BIT_OR(m{word}) AS e{word}" for word in sorted(self.user_words))]
        asked = [words for words, _ in self.user_days]
        for (words, day), name in self.user_days.items():
            # Bits asked for by several days: their latest day answers all. Else one mask answers all bits.
            if asked.count(words) > 1:
                columns.append(f"MAX(CASE WHEN {held('m', words)} THEN d END) > {day} AS {name}")
            else:
                masks = ((f"BIT_OR({self._late(word, day)})", value) for word, value in words)
                ways = [f"({mask} & {value}) <> 0" for mask, value in masks]
                columns.append(f"{' OR '.join(ways)} AS {name}")
        columns += [f"{sql} AS {name}" for sql, name in self.user_columns.items()]
        if not self._last_apart():
            columns += self._last_masks()
        return _select(columns, "ev") + "\n  GROUP BY u"

    def _late(self, word: int, day: int) -> str:
        return f"CASE WHEN d > {day} THEN m{word} ELSE 0 END"

    def _last_masks(self) -> list[str]:
        order = self.order()
        return [f"{self.dialect.last(f'm{word}', order)} AS l{word}" for word in sorted(self.last_words)]

    def _last_apart(self) -> bool:
        """Whether a query of its own finds the last event: ordering is costly, and most may be too old."""
        return bool(self.last_after and self.last_after > self._matters().after)

    def _last(self) -> str:
        return _select(["u", *self._last_masks()], "ev", [f"d > {self.last_after}"]) + "\n  GROUP BY u"

    def _sessions(self) -> str:
        columns = ["u", "s"]
        columns += [f"BIT_OR(m{word}) AS h{word}" for word, _ in words_of(self.session_bits)]
        columns += [
            f"BIT_OR({self._late(word, day)}) AS h{day}_{word}"
            for day, words in self.session_days.items()
            for word in sorted(words)
        ]
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
        users = set(self.tables())
        if "usr" in users:
            found.append(("usr", self._users()))
        if "lst" in users:
            found.append(("lst", self._last()))
        if "vis" in users:
            found += [("ses", self._sessions()), ("vis", self._visits())]
        if "dys" in users:
            found += self._days()
        for number, chains in enumerate(self.chains.values()):
            name, queries = f"q{number}", chains.queries()
            for level, query in enumerate(queries):
                below = f"{name}_{level - 1}"
                own = name if level == len(queries) - 1 else f"{name}_{level}"
                found.append((own, query.replace("{0}", below)))
        return found

    def tables(self) -> list[str]:
        """The queries that give one row a user.

        A member satisfies an INCLUDE clause: where one query answers for all clauses, its users are enough.
        """
        found = ["lst"] if self._last_apart() else []
        if self.visit_flags.known or self.visit_columns:
            found.append("vis")
        if self.day_flags.known:
            found.append("dys")
        found += [f"q{number}" for number in range(len(self.chains))]
        own = self.user_words or self.user_days or self.user_columns or self.last_words
        return ["usr", *found] if own or len(found) != 1 else found


def _united(needs: Sequence[Need]) -> Need:
    found = needs[0] if needs else Need(None)
    for need in needs[1:]:
        found |= need
    return found


def _select(columns: Sequence[str], source: str, where: Sequence[str] = ()) -> str:
    listed = ",\n    ".join(columns)
    text = f"  SELECT\n    {listed}\n  FROM {source}"
    return text + ("\n  WHERE " + "\n    AND ".join(where) if where else "")
