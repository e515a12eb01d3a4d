"""Simple filters in their three scopes -> conditions on a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from audiencesync.errors import PreviewError
from audiencesync.fields import Operation, Scope
from audiencesync.model import BetweenFilter, EventFilter, FieldFilter, Not, NumericFilter
from audiencesync.sql.masks import every, some
from audiencesync.sql.values import COUNT, Test, all_of, any_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from audiencesync.model import AnyOf, Condition, Leaf, SimpleFilter
    from audiencesync.sql.facts import Facts
    from audiencesync.sql.masks import Bit
    from audiencesync.sql.readings import Readings


@dataclass(frozen=True, slots=True)
class Held:
    """What the statement knows of one clause and one user.

    `holds` is a condition. `fresh` gives, for a day YYYYMMDD, the condition that the latest completing event
    is later than that day, and `latest` the name of its time, NULL where there is none; both are asked for
    only where they are needed. `counted` says that a static eventCount is part of it.

    The latest completing event is later than a day exactly if some completing event is, since days follow
    times. Only a property whose time zone was changed has a night in which they do not: there the latest day
    counts.
    """

    holds: str
    fresh: Callable[[int], str]
    latest: Callable[[], str]
    dynamic: bool = False
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """An eventCount atom: how many events of a name (None: of any) there are."""

    name: str | None
    leaf: FieldFilter
    negated: bool


def count_of(leaf: Leaf) -> Count | None:
    """The eventCount atom a leaf is; inside an event filter it makes the other parameters ignored."""
    if isinstance(leaf, EventFilter):
        found = next((count for each in leaf.parameters if (count := count_of(each))), None)
        return Count(leaf.event_name, found.leaf, found.negated) if found else None
    plain = leaf.filter if isinstance(leaf, Not) else leaf
    return Count(None, plain, isinstance(leaf, Not)) if plain.field_name == COUNT else None


def event_test(facts: Facts, groups: Sequence[AnyOf], where: str) -> list[Test]:
    """One condition on an event for each group; `where` says for a refusal what kind of place it is."""
    tests = []
    for group in groups:
        for leaf in group.leaves:
            if count_of(leaf):
                raise PreviewError(f"{COUNT} has a documented rule across all sessions only, not {where}")
        tests.append(any_of(facts.dialect, [facts.values.test(leaf) for leaf in group.leaves]))
    return tests


def simple(facts: Facts, clause: SimpleFilter, readings: Readings, since: int) -> Held:
    """A simple filter in its scope; only users with an event after the day `since` can be members."""
    match clause.scope:
        case Scope.SAME_EVENT:
            tests = event_test(facts, clause.groups, "within one event")
            return same_event(facts, [facts.bit(all_of(facts.dialect, tests))])
        case Scope.SAME_SESSION:
            return _same_session(facts, clause, readings)
        case _:
            return _across(facts, clause, readings, since)


def _completions(facts: Facts, bits: Sequence[Bit]) -> tuple[Callable[[int], str], Callable[[], str]]:
    held = some("m", bits)
    return (
        lambda day: facts.user_has_after(day, bits),
        lambda: facts.user_column(f"MAX(CASE WHEN {held} THEN ts END)"),
    )


def same_event(facts: Facts, bits: Sequence[Bit]) -> Held:
    """Some event has one of the bits."""
    return Held(facts.user_has(bits), *_completions(facts, bits))


def in_session(test: Test) -> Test:
    """The same condition on an event that belongs to a session."""
    return Test(f"s IS NOT NULL AND {test.sql}", test.names)


def _never_bits(facts: Facts, group: AnyOf) -> list[Bit]:
    """The bits of what a group's notExpressions must not find."""
    return [facts.bit(facts.values.test(leaf.filter)) for leaf in group.leaves if isinstance(leaf, Not)]


def _same_session(facts: Facts, clause: SimpleFilter, readings: Readings) -> Held:
    facts.need_session()
    tests = event_test(facts, clause.groups, "within one session")
    bits = [facts.bit(in_session(test)) for test in tests]
    never = [_never_bits(facts, group) if readings.never else [] for group in clause.groups]
    if len(bits) == 1 and not never[0]:
        return same_event(facts, bits)
    conditions = []
    for group, bit, absent in zip(clause.groups, bits, never, strict=True):
        if not absent:
            conditions.append(every("h", [bit]))
            continue
        positive = [facts.values.test(leaf) for leaf in group.leaves if not isinstance(leaf, Not)]
        found = [facts.bit(in_session(any_of(facts.dialect, positive)))] if positive else []
        facts.session_bits.update([*found, *absent])
        ways = [some("h", found)] if found else []
        ways += [f"NOT ({some('h', [each])})" for each in absent]
        conditions.append(f"({' OR '.join(ways)})")
    facts.session_bits.update(bits)
    satisfied, held = " AND ".join(conditions), some("m", bits)

    def fresh(day: int) -> str:
        late = facts.session_has_after(day, bits)
        return facts.visit_flag(f"{satisfied} AND ({late})")

    def latest() -> str:
        time = facts.session_column(f"MAX(CASE WHEN {held} THEN ts END)")
        return facts.visit_column(f"MAX(CASE WHEN {satisfied} THEN {time} END)")

    return Held(facts.visit_flag(satisfied), fresh, latest)


def _across(facts: Facts, clause: SimpleFilter, readings: Readings, since: int) -> Held:
    atoms = _Across(facts, readings, since)
    groups = [f"({' OR '.join(dict.fromkeys(atoms.group(group)))})" for group in clause.groups]
    fresh, latest = _completions(facts, atoms.completing)
    return Held(" AND ".join(groups), fresh, latest, dynamic=atoms.dynamic, counted=atoms.counted)


class _Across:
    """The atoms of one filter across all sessions."""

    def __init__(self, facts: Facts, readings: Readings, since: int) -> None:
        self.facts, self.readings, self.since = facts, readings, since
        self.completing: list[Bit] = []
        self.dynamic = self.counted = False

    def group(self, group: AnyOf) -> list[str]:
        """The ways in which a user satisfies the group."""
        ways, static = [], []
        for leaf in group.leaves:
            if count := count_of(leaf):
                ways.append(self._count(count))
            elif isinstance(leaf, EventFilter) or _plain(leaf).at_any_point_in_time:
                if isinstance(leaf, Not) and self.readings.never:
                    ways.append(self._never(leaf))
                else:
                    static.append(self.facts.values.test(leaf))
            else:
                ways.append(self._dynamic(leaf))
            self._window_caveats(leaf)
        if static:
            bit = self.facts.bit(any_of(self.facts.dialect, static))
            self.completing.append(bit)
            ways.append(self.facts.user_has([bit]))
        return ways

    def _window_caveats(self, leaf: Leaf) -> None:
        leaves = leaf.parameters if isinstance(leaf, EventFilter) else (leaf,)
        for plain in map(_plain, leaves):
            if plain.in_any_n_day_period and plain.field_name != COUNT:
                dynamic = leaves == (leaf,) and not plain.at_any_point_in_time
                read = "read as the days in which the last event has to be" if dynamic else "ignored"
                self.facts.values.caveats[
                    f"inAnyNDayPeriod of {plain.field_name}: no document says what it does to a dimension; "
                    f"it is {read}"
                ] = None

    def _never(self, leaf: Not) -> str:
        self.completing.append(self.facts.bit(self.facts.values.test(leaf)))
        return f"NOT ({self.facts.user_has([self.facts.bit(self.facts.values.test(leaf.filter))])})"

    def _dynamic(self, leaf: FieldFilter | Not) -> str:
        facts, plain = self.facts, _plain(leaf)
        self.dynamic = True
        # The last event of whoever can be a member is after that day, and so are the completions that count.
        bit = facts.bit(facts.values.test(leaf), after=self.since)
        self.completing.append(bit)
        days = plain.in_any_n_day_period
        late = f"{facts.user_column('MAX(d)')} > {facts.span.before(days)}" if days else ""
        if not self.readings.last_set:
            held = f"({facts.last_bits([bit], self.since)})"
            return f"({held} AND {late})" if late else held
        inner = facts.bit(facts.values.test(plain))
        is_set = some("m", [facts.bit(facts.values.is_set(plain))])
        if days:
            is_set = f"d > {facts.span.before(days)} AND {is_set}"
        value = facts.last_value(
            f"CASE WHEN {is_set} THEN CASE WHEN {some('m', [inner])} THEN 1 ELSE 0 END END"
        )
        held = f"COALESCE({value}, 0) = {0 if isinstance(leaf, Not) else 1}"
        return f"({held} AND {late})" if late else held

    def _count(self, count: Count) -> str:
        facts, leaf = self.facts, count.leaf
        bit = facts.bit(
            facts.values.test(EventFilter(count.name)) if count.name is not None else Test("TRUE")
        )
        self.completing.append(bit)
        held, days = some("m", [bit]), leaf.in_any_n_day_period
        if not leaf.at_any_point_in_time:
            self.dynamic = True
            inside = f"d > {facts.span.before(days)} AND {held}" if days else held
            total = facts.user_column(f"SUM(CASE WHEN {inside} THEN 1 ELSE 0 END)")
            return self._compare(total, leaf.condition, negated=count.negated)
        self.counted = True
        negated = count.negated and not self.readings.never
        if days:
            # The most events are counted on a day with one; a smaller count may need any other active day.
            low, high = _whole_range(leaf.condition)
            growing = not negated and high is None and low is not None and low > 0
            window = facts.day_window(bit, days, any_day=not growing)
            found = facts.day_flag(self._compare(window, leaf.condition, negated=negated))
        else:
            found = self._prefix(held, leaf.condition, negated=negated)
        return f"({found}) IS NOT TRUE" if count.negated and self.readings.never else found

    def _prefix(self, held: str, condition: Condition, *, negated: bool) -> str:
        """Some prefix of the events has the count: it takes each whole number from the first to the total."""
        facts = self.facts
        total = facts.user_column(f"SUM(CASE WHEN {held} THEN 1 ELSE 0 END)")
        first = facts.first_value(f"CASE WHEN {held} THEN 1 ELSE 0 END")
        low, high = _whole_range(condition)
        if negated:
            outside = [f"{first} < {low}"] if low is not None else []
            outside += [f"{total} > {high}"] if high is not None else []
            return f"({' OR '.join(outside)})" if low is None or high is None or low <= high else "TRUE"
        inside = [f"{total} >= {low}"] if low is not None else []
        inside += [f"{first} <= {high}"] if high is not None else []
        possible = low is None or high is None or low <= high
        return f"({' AND '.join(inside)})" if possible else "FALSE"

    def _compare(self, count: str, condition: Condition, *, negated: bool) -> str:
        low, high = _whole_range(condition)
        parts = [f"{count} >= {low}"] if low is not None else []
        parts += [f"{count} <= {high}"] if high is not None else []
        if low is not None and high is not None and low > high:
            parts = ["FALSE"]
        held = " AND ".join(parts)
        return f"NOT ({held})" if negated else f"({held})"


def _plain(leaf: FieldFilter | Not) -> FieldFilter:
    return leaf.filter if isinstance(leaf, Not) else leaf


_MOST = 2**63 - 1
"""No count is greater, nor can SQL write a greater whole number."""


def _whole_range(condition: Condition) -> tuple[int | None, int | None]:
    """The least and the greatest whole number that satisfy a condition on a count, from -1 to _MOST."""
    low, high = _exact_range(condition)
    return _count_near(low), _count_near(high)


def _count_near(bound: int | None) -> int | None:
    return None if bound is None else max(-1, min(bound, _MOST))


def _exact_range(condition: Condition) -> tuple[int | None, int | None]:
    match condition:
        case NumericFilter(Operation.EQUAL, value):
            return -int(-value // 1), int(value // 1)
        case NumericFilter(Operation.GREATER_THAN, value):
            return int(value // 1) + 1, None
        case NumericFilter(Operation.LESS_THAN, value):
            return None, -int(-value // 1) - 1
        case BetweenFilter(low, high):
            return -int(-low // 1), int(high // 1)
        case _:
            raise PreviewError(f"{COUNT} is compared with a number, not with a text")
