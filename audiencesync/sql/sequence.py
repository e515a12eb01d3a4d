"""Sequence filters -> chains of window functions, exact and without a join.

x_k of an event is the latest start of a chain of k steps that ends at it (without a maximum duration: its own
time, which says the same). Where every earlier x is at most every later one, the latest predecessor has both
the smallest gap and the latest start, so a running maximum over ROWS, never RANGE, decides each step: events
may share a timestamp.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from audiencesync.errors import PreviewError
from audiencesync.fields import Scope
from audiencesync.model import FieldFilter, Not
from audiencesync.sql.facts import some
from audiencesync.sql.scopes import Held, event_test, in_session, same_event
from audiencesync.sql.values import all_of

if TYPE_CHECKING:
    from audiencesync.model import SequenceFilter, Step
    from audiencesync.sql.facts import Bit, Facts
    from audiencesync.sql.readings import Readings

MICROSECOND = 1000
"""Nanoseconds; the export's times are microseconds."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One step as bits: one event for each of them, `session` where they have to share a session."""

    bits: tuple[Bit, ...]
    session: bool
    immediate: bool
    within: int | None


def sequence(facts: Facts, clause: SequenceFilter, readings: Readings) -> Held:
    """A sequence in its scope."""
    if clause.scope is Scope.SAME_EVENT and len(clause.steps) > 1:
        raise PreviewError("a sequence within one event: no event comes after itself, so nobody could match")
    parts = [_part(facts, clause, index) for index in range(len(clause.steps))]
    _refuse_interleaving(clause, parts)
    if len(parts) == 1 and len(parts[0].bits) == 1:
        return same_event(facts, parts[0].bits)
    facts.ordered = True
    chain = _Chain(facts, clause, readings, parts)
    name = facts.chain(chain.queries())
    return Held(
        f"{name}.t IS NOT NULL", lambda day: f"COALESCE({name}.d > {day}, FALSE)", lambda: f"{name}.t"
    )


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
    within = step.constraint_duration if index else None
    bits = tuple(dict.fromkeys(facts.bit(test) for test in tests))
    return _Part(bits, session, immediate, None if within is None else within // MICROSECOND)


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
    for part, following in pairwise(parts[1:]):
        if part.session and len(part.bits) > 1 and (following.immediate or following.within is not None):
            raise PreviewError(
                "a sequence across sessions with a sequenceMaximumDuration, a session-scoped step of several "
                "groups in its middle and a time limit on the step after it: where sessions interleave, no "
                "exact count is known"
            )


class _Chain:
    """The queries of one sequence, one level for each step."""

    def __init__(self, facts: Facts, clause: SequenceFilter, readings: Readings, parts: list[_Part]) -> None:
        self.facts, self.readings, self.parts = facts, readings, parts
        self.in_session = clause.scope is Scope.SAME_SESSION
        maximum = clause.maximum_duration
        self.maximum = None if maximum is None or len(parts) == 1 else maximum // MICROSECOND
        self.position = ""
        if any(part.immediate for part in parts):
            self.position = "ps" if self.in_session else "pu"
            facts.positions.add(self.position)
            facts.every_event = True
        self.order = ", ".join(facts.order())

    def _over(self, *, session: bool, current: bool) -> str:
        by = "u, s" if session or self.in_session else "u"
        end = "CURRENT ROW" if current else "1 PRECEDING"
        return f"OVER (PARTITION BY {by} ORDER BY {self.order} ROWS BETWEEN UNBOUNDED PRECEDING AND {end})"

    def queries(self) -> list[str]:
        """Each level reads "{0}", the level before it."""
        bits = [bit for part in self.parts for bit in part.bits]
        words = sorted({bit.word for bit in bits})
        columns = ["u", "ts", "d", *self.facts.order()[1:], *(f"m{word}" for word in words)]
        if self.in_session or any(part.session for part in self.parts):
            columns.append("s")
        where = [f"({some('m', bits)})"]
        if self.in_session:
            where.append("s IS NOT NULL")
        if self.position:
            columns.append(self.position)
        source = "pos" if self.position else "ev"
        levels = [_level(columns, source, where)]
        for index, part in enumerate(self.parts):
            levels += self._step(index, part)
        last = f"x{len(self.parts) - 1}"
        held = [f"{last} IS NOT NULL"]
        if self.maximum is not None:
            held.append(f"ts - {last} <= {self.maximum}")
        return [*levels, _level(["u", "MAX(ts) AS t", "MAX(d) AS d"], "{0}", held) + "\n  GROUP BY u"]

    def _step(self, index: int, part: _Part) -> list[str]:
        if index == 0:
            return self._first(part)
        before = f"x{index - 1}"
        # The very next event is never the same one, whatever the reading.
        over = self._over(session=False, current=self.readings.reuse and not part.immediate)
        windows = {"b": f"MAX({before}) {over}"}
        if self.maximum is not None and part.within is not None:
            windows["l"] = f"MAX(CASE WHEN {before} IS NOT NULL THEN ts END) {over}"
        if part.immediate:
            windows["p"] = f"MAX(CASE WHEN {before} IS NOT NULL THEN {self.position} END) {over}"
        names = {name: f"{name}{index}" for name in windows}
        # What neither ended the step before nor can be part of this or a later one is out of the way.
        later = some("m", [bit for each in self.parts[index:] for bit in each.bits])
        where = [f"({before} IS NOT NULL OR {later})"]
        levels = [_level(["*", *(f"{sql} AS {names[name]}" for name, sql in windows.items())], "{0}", where)]
        start, gap = names["b"], names.get("l", names["b"])
        reached = [f"{start} IS NOT NULL"]
        if len(part.bits) > 1:
            extra, start, gap, reached = self._groups(index, part, names)
            levels.append(_level(["*", *extra], "{0}"))
        checks = [f"({some('m', part.bits)})", *reached]
        if part.within is not None:
            checks.append(f"ts - {gap} <= {part.within}")
        if part.immediate:
            checks.append(f"{names['p']} = {self.position} - 1")
        value = start if self.maximum is not None else "ts"
        found = f"CASE WHEN {' AND '.join(checks)} THEN {value} END AS x{index}"
        return [*levels, _level(["*", found], "{0}")]

    def _first(self, part: _Part) -> list[str]:
        if len(part.bits) == 1:
            return [_level(["*", f"CASE WHEN {some('m', part.bits)} THEN ts END AS x0"], "{0}")]
        over = self._over(session=part.session, current=True)
        seen = [
            f"MAX(CASE WHEN {some('m', [bit])} THEN 1 END) {over} AS g0_{group}"
            for group, bit in enumerate(part.bits)
        ]
        checks = [f"({some('m', part.bits)})", *(f"g0_{group} = 1" for group in range(len(part.bits)))]
        found = f"CASE WHEN {' AND '.join(checks)} THEN ts END AS x0"
        return [_level(["*", *seen], "{0}"), _level(["*", found], "{0}")]

    def _groups(
        self, index: int, part: _Part, names: dict[str, str]
    ) -> tuple[list[str], str, str, list[str]]:
        """Columns with each group's running maximum; the least of them is what the step can reach back to."""
        over = self._over(session=part.session, current=True)
        columns, least = [], {}
        for what in ("b", "l"):
            if what not in names:
                continue
            found = [f"{what}{index}_{group}" for group in range(len(part.bits))]
            columns += [
                f"MAX(CASE WHEN {some('m', [bit])} THEN {names[what]} END) {over} AS {name}"
                for name, bit in zip(found, part.bits, strict=True)
            ]
            least[what] = f"LEAST({', '.join(found)})"
        checks = [f"b{index}_{group} IS NOT NULL" for group in range(len(part.bits))]
        return columns, least["b"], least.get("l", least["b"]), checks


def _level(columns: list[str], source: str, where: list[str] | None = None) -> str:
    text = f"  SELECT {', '.join(columns)}\n  FROM {source}"
    return text + (f"\n  WHERE {' AND '.join(where)}" if where else "")
