"""Sequence filters -> chains of window functions, exact and without a join.

x_k of an event is the latest start of a chain of k steps that ends at it (without a maximum duration: its own
time, which says the same). Where every earlier x is at most every later one, the latest predecessor has both
the smallest gap and the latest start, so a running maximum over ROWS, never RANGE, decides each step: events
may share a timestamp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from audiencesync.errors import PreviewError
from audiencesync.fields import Scope
from audiencesync.model import FieldFilter, Not
from audiencesync.sql.masks import some
from audiencesync.sql.scopes import Held, event_test, in_session, same_event
from audiencesync.sql.values import all_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audiencesync.model import SequenceFilter, Step
    from audiencesync.sql.facts import Facts
    from audiencesync.sql.masks import Bit
    from audiencesync.sql.readings import Readings

_FEW_STEPS = 2
"""Up to so many steps there is one order to find."""
_ENDS = (("ts", "t"), ("d", "d"))
MICROSECOND = 1000
"""Nanoseconds; the export's times are microseconds."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One step as bits: one event for each of them, `session` where they have to share a session."""

    bits: tuple[Bit, ...]
    session: bool
    immediate: bool


@dataclass(frozen=True, slots=True)
class _Reach:
    """What a step looks back at: names or expressions, "" for no position, and what has to be there."""

    start: str
    gap: str
    position: str
    checks: tuple[str, ...]


def sequence(facts: Facts, clause: SequenceFilter, readings: Readings) -> Held:
    """A sequence in its scope."""
    if clause.scope is Scope.SAME_EVENT and len(clause.steps) > 1:
        raise PreviewError("a sequence within one event: no event comes after itself, so nobody could match")
    parts = [_part(facts, clause, index) for index in range(len(clause.steps))]
    _refuse_interleaving(clause, parts)
    if len(parts) == 1 and len(parts[0].bits) == 1:
        return same_event(facts, parts[0].bits)
    facts.ordered = True
    in_session, shape = clause.scope is Scope.SAME_SESSION, tuple(parts)
    name, chains = facts.chain((in_session, shape), lambda: _Chains(facts, shape, in_session=in_session))
    maximum = None if clause.maximum_duration is None or len(parts) == 1 else clause.maximum_duration
    within = tuple(step.constraint_duration if index else None for index, step in enumerate(clause.steps))
    suffix = chains.add(_Limits(tuple(map(_micros, within)), _micros(maximum), readings.reuse))
    return Held(
        f"{name}.t{suffix} IS NOT NULL",
        lambda day: f"COALESCE({name}.d{suffix} > {day}, FALSE)",
        lambda: f"{name}.t{suffix}",
    )


def _micros(duration: int | None) -> int | None:
    return None if duration is None else duration // MICROSECOND


def _part(facts: Facts, clause: SequenceFilter, index: int) -> _Part:
    step = clause.steps[index]
    tests = event_test(facts, step.groups, "in a step of a sequence")
    session = Scope.SAME_SESSION in {step.scope, clause.scope}
    immediate = step.immediately_follows and index > 0
    if step.scope is Scope.SAME_EVENT or clause.scope is Scope.SAME_EVENT or immediate:
        # The very next event is one event, so it has to satisfy every group.
        tests = [all_of(facts.dialect, tests)]
    if session:
        facts.need_session()
        tests = [in_session(test) for test in tests]
    _caveats(facts, step)
    return _Part(tuple(dict.fromkeys(facts.bit(test) for test in tests)), session, immediate)


def _caveats(facts: Facts, step: Step) -> None:
    for leaf in (leaf for group in step.groups for leaf in group.leaves):
        plain = leaf.filter if isinstance(leaf, Not) else leaf
        if isinstance(plain, FieldFilter) and plain.in_any_n_day_period:
            facts.values.caveats[
                f"inAnyNDayPeriod of {plain.field_name} in a sequence is ignored: a step is one event"
            ] = None


def _refuse_interleaving(clause: SequenceFilter, parts: list[_Part]) -> None:
    """One corner has no running maximum.

    Sessions may interleave, so a step of several groups in one session can end later although its chain
    starts earlier. Nothing is lost unless the next step also looks at the gap.
    """
    if clause.maximum_duration is None or clause.scope is not Scope.ALL_SESSIONS:
        return
    middle = zip(parts[1:-1], parts[2:], clause.steps[2:], strict=True)
    for part, following, step in middle:
        limited = following.immediate or step.constraint_duration is not None
        if part.session and len(part.bits) > 1 and limited:
            raise PreviewError(
                "a sequence across sessions with a sequenceMaximumDuration, a session-scoped step of several "
                "groups in its middle and a time limit on the step after it: where sessions interleave, no "
                "exact count is known"
            )


@dataclass(frozen=True, slots=True)
class _Limits:
    """How long the steps of one sequence may take, in microseconds, and whether an event may serve two."""

    within: tuple[int | None, ...]
    maximum: int | None
    reuse: bool


@dataclass(slots=True)
class _Columns:
    """New columns of one level; equal expressions share a name, which has to differ from all others."""

    known: dict[str, str] = field(default_factory=dict)

    def add(self, sql: str, wanted: str) -> str:
        """The column's name: the wanted one, or that with a number where it is taken."""
        if sql not in self.known:
            taken = sum(name.partition("v")[0] == wanted for name in self.known.values())
            self.known[sql] = f"{wanted}v{taken}" if taken else wanted
        return self.known[sql]

    def level(self, where: list[str] | None = None, more: Sequence[str] = ()) -> str:
        """The query that adds them, and what more there is, to the level below."""
        return _level(["*", *(f"{sql} AS {name}" for sql, name in self.known.items()), *more], "{0}", where)


class _Chains:
    """The queries of sequences that differ in their limits alone: they share the order, the costly part.

    Each step has one level for all of them, and the last level one row a user with t, d, t_1, d_1, ...
    """

    def __init__(self, facts: Facts, parts: tuple[_Part, ...], *, in_session: bool) -> None:
        self.facts, self.parts, self.in_session = facts, parts, in_session
        self.limits: list[_Limits] = []
        self.position = ""
        if any(part.immediate for part in parts):
            self.position = "ps" if self.in_session else "pu"
            facts.positions.add(self.position)
            facts.need_every()
        self.order = ""

    def add(self, limits: _Limits) -> str:
        """What stands behind the names of a sequence's columns in the last level."""
        if limits not in self.limits:
            self.limits.append(limits)
        index = self.limits.index(limits)
        return f"_{index}" if index else ""

    def _over(self, *, session: bool, current: bool) -> str:
        by = "u, s" if session or self.in_session else "u"
        end = "CURRENT ROW" if current else "1 PRECEDING"
        return f"OVER (PARTITION BY {by} ORDER BY {self.order} ROWS BETWEEN UNBOUNDED PRECEDING AND {end})"

    def queries(self) -> list[str]:
        """Each level reads "{0}", the level before it."""
        self.order = self.position or ", ".join(self.facts.order())
        bits = [bit for part in self.parts for bit in part.bits]
        words = sorted({bit.word for bit in bits})
        columns = ["u", "ts", "d", *self.facts.order_reads(), *(f"m{word}" for word in words)]
        if self.in_session or any(part.session for part in self.parts):
            columns.append("s")
        where = [f"({some('m', bits)})"]
        if self.in_session:
            where.append("s IS NOT NULL")
        if self.position:
            columns.append(self.position)
        if self.facts.dialect.kept and len(self.parts) > 1:
            # The sort is the costly part: who never does the last step is left out of it.
            last = some("m", self.parts[-1].bits)
            where.append(f"u IN (\n    SELECT u\n    FROM ev\n    WHERE ({last}))")
        source = "pos" if self.position else "ev"
        levels, first = self._first(self.parts[0])
        levels = [_level(columns, source, where), *levels]
        before = [first] * len(self.limits)
        for index in range(1, len(self.parts)):
            more, before = self._step(index, before)
            levels += more
        return [*levels, self._last(before)]

    def _last(self, ends: list[str]) -> str:
        held = [
            f"{end} IS NOT NULL" + ("" if limits.maximum is None else f" AND ts - {end} <= {limits.maximum}")
            for end, limits in zip(ends, self.limits, strict=True)
        ]
        if len(held) == 1:
            return _level(["u", "MAX(ts) AS t", "MAX(d) AS d"], "{0}", held) + "\n  GROUP BY u"
        columns = ["u"]
        for limits, one in zip(self.limits, held, strict=True):
            suffix = self.add(limits)
            columns += [f"MAX(CASE WHEN {one} THEN {what} END) AS {name}{suffix}" for what, name in _ENDS]
        rows = " OR ".join(f"{end} IS NOT NULL" for end in dict.fromkeys(ends))
        return _level(columns, "{0}", [f"({rows})"]) + "\n  GROUP BY u"

    def _first(self, part: _Part) -> tuple[list[str], str]:
        if len(part.bits) == 1:
            return [_level(["*", f"CASE WHEN {some('m', part.bits)} THEN ts END AS x0"], "{0}")], "x0"
        over = self._over(session=part.session, current=True)
        seen = [
            f"MAX(CASE WHEN {some('m', [bit])} THEN 1 END) {over} AS g0_{group}"
            for group, bit in enumerate(part.bits)
        ]
        checks = [f"({some('m', part.bits)})", *(f"g0_{group} = 1" for group in range(len(part.bits)))]
        found = f"CASE WHEN {' AND '.join(checks)} THEN ts END AS x0"
        return [_level(["*", *seen], "{0}"), _level(["*", found], "{0}")], "x0"

    def _step(self, index: int, before: list[str]) -> tuple[list[str], list[str]]:
        """The levels of one step, and the name of each sequence's ends there."""
        part = self.parts[index]
        windows, groups, ends = _Columns(), _Columns(), _Columns()
        found = []
        for limits, start in zip(self.limits, before, strict=True):
            reach = self._reach(index, limits, start, windows)
            if len(part.bits) > 1:
                reach = self._groups(index, reach, groups)
            found.append(ends.add(self._end(index, limits, reach), f"x{index}"))
        # What neither ended the step before nor can be part of this or a later one is out of the way.
        later = some("m", [bit for each in self.parts[index:] for bit in each.bits])
        ended = " OR ".join(f"{name} IS NOT NULL" for name in dict.fromkeys(before))
        levels = [windows.level([f"({ended} OR {later})"], self._number(index))]
        if groups.known:
            levels.append(groups.level())
        return [*levels, ends.level()], found

    def _number(self, index: int) -> list[str]:
        """The number of an event in the order, once, where later steps need one: one column sorts faster.

        It shares the sort of the windows beside it.
        """
        one_column = self.position or self.facts.position
        if index != 1 or len(self.parts) <= _FEW_STEPS or one_column:
            return []
        by = "u, s" if self.in_session else "u"
        number = f"ROW_NUMBER() OVER (PARTITION BY {by} ORDER BY {self.order}) AS w"
        self.order = "w"
        return [number]

    def _reach(self, index: int, limits: _Limits, before: str, windows: _Columns) -> _Reach:
        """What an event of the step can reach back to."""
        part = self.parts[index]
        # The very next event is never the same one, whatever the reading.
        over = self._over(session=False, current=limits.reuse and not part.immediate)
        start = gap = windows.add(f"MAX({before}) {over}", f"b{index}")
        if limits.maximum is not None and limits.within[index] is not None:
            gap = windows.add(f"MAX(CASE WHEN {before} IS NOT NULL THEN ts END) {over}", f"l{index}")
        position = ""
        if part.immediate:
            at = f"MAX(CASE WHEN {before} IS NOT NULL THEN {self.position} END) {over}"
            position = windows.add(at, f"p{index}")
        return _Reach(start, gap, position, (f"{start} IS NOT NULL",))

    def _groups(self, index: int, reach: _Reach, columns: _Columns) -> _Reach:
        """Each group's running maximum; the least of them is what the step can reach back to."""
        part = self.parts[index]
        over = self._over(session=part.session, current=True)

        def least(what: str, of: str) -> list[str]:
            return [
                columns.add(
                    f"MAX(CASE WHEN {some('m', [bit])} THEN {of} END) {over}", f"{what}{index}_{group}"
                )
                for group, bit in enumerate(part.bits)
            ]

        starts = least("b", reach.start)
        gaps = starts if reach.gap == reach.start else least("l", reach.gap)
        return _Reach(
            f"LEAST({', '.join(starts)})",
            f"LEAST({', '.join(gaps)})",
            reach.position,
            tuple(f"{name} IS NOT NULL" for name in starts),
        )

    def _end(self, index: int, limits: _Limits, reach: _Reach) -> str:
        """The start of the latest chain that ends at an event by this step; NULL where there is none."""
        part, within = self.parts[index], limits.within[index]
        checks = [f"({some('m', part.bits)})", *reach.checks]
        if within is not None:
            checks.append(f"ts - {reach.gap} <= {within}")
        if part.immediate:
            checks.append(f"{reach.position} = {self.position} - 1")
        value = reach.start if limits.maximum is not None else "ts"
        return f"CASE WHEN {' AND '.join(checks)} THEN {value} END"


def _level(columns: list[str], source: str, where: list[str] | None = None) -> str:
    text = f"  SELECT {', '.join(columns)}\n  FROM {source}"
    return text + (f"\n  WHERE {' AND '.join(where)}" if where else "")
