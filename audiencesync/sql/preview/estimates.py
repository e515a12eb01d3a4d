"""Which counts a run's requests need, and how the rows become estimates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from audiencesync.canonical import canonical
from audiencesync.model import Audience, EventFilter, Not, SequenceFilter, SimpleFilter
from audiencesync.sql.compile import Entry, Pair, Statement
from audiencesync.sql.preview.records import Comparison, Estimate, Extent, Row
from audiencesync.sql.readings import OTHERS, that_matter

DAY = 24 * 60 * 60 * 10**9
"""Nanoseconds."""


@dataclass(frozen=True, slots=True)
class _Run:
    statement: Statement
    as_of: date
    extent: Extent


class Counts:
    """Which entries and pairs the requests need, and how the rows become estimates.

    Entries are named after their key's number: b0 before, a0 after, a0:reuse after under another reading.
    """

    def __init__(self, requests: Sequence[Comparison], *, band: bool) -> None:
        self.requests, self.band = requests, band
        self.entries: list[Entry] = []
        self.pairs: list[Pair] = []
        for number, request in enumerate(requests):
            names = {}
            for what, audience in (
                ("b", request.before if request.before_known else None),
                ("a", request.after),
            ):
                if audience is not None:
                    names[what] = f"{what}{number}"
                    self.entries.append(Entry(names[what], audience))
            self.pairs.append(Pair(str(number), names.get("b", ""), names.get("a", "")))
            if band and request.after is not None:
                for reading, readings in that_matter(request.after):
                    name = f"a{number}:{reading}"
                    self.entries.append(Entry(name, request.after, readings))
                    self.pairs.append(Pair(f"{number}:{reading}", "", name))

    def estimates(
        self, rows: Sequence[Row], statement: Statement, as_of: date, extent: Extent
    ) -> tuple[Estimate, ...]:
        """One estimate a request."""
        found = {str(row["key"]): row for row in rows}
        run = _Run(statement, as_of, extent)
        return tuple(self._estimate(number, found, run) for number in range(len(self.requests)))

    def _estimate(self, number: int, found: Mapping[str, Row], run: _Run) -> Estimate:
        request, refused = self.requests[number], run.statement.refused
        row = found.get(str(number), {})
        before, after = _int(row.get("users_before")), _int(row.get("users_after"))
        gained, lost = _int(row.get("gained")), _int(row.get("lost"))
        reason = refused.get(f"a{number}")
        if reason is None and request.after is None:
            reason = refused.get(f"b{number}")
        caveats = list(_caveats(f"a{number}", request.after, run))
        of_base = [each for each in _caveats(f"b{number}", request.before, run) if each not in caveats]
        caveats += of_base if request.after is None else [f"of the base: {each}" for each in of_base]
        base = request.before_fault or refused.get(f"b{number}", "")
        if base and base != reason:
            caveats.append(f"the base cannot be previewed: {base}")
        elif request.before_known and request.before is None and not base:
            before, gained, lost = 0, after, None if after is None else 0
        elif request.before_known and request.after is None and not base:
            gained, lost = 0, before
        return Estimate(
            request.key,
            before=before,
            after=after,
            gained=None if reason else gained,
            lost=None if reason else lost,
            band=_band(number, after, found) if self.band else None,
            not_previewable=reason,
            caveats=tuple(dict.fromkeys(caveats)),
        )


def _caveats(name: str, audience: Audience | None, run: _Run) -> Iterator[str]:
    """Why the count of one entry may be off; nothing where it was not counted."""
    if audience is None or name in run.statement.refused:
        return
    yield from run.statement.caveats.get(name, ())
    yield from _window_caveats(audience, run.as_of, run.extent)


def _int(value: int | str | None) -> int | None:
    return None if value is None else int(value)


def _band(number: int, after: int | None, found: Mapping[str, Row]) -> tuple[int, int] | None:
    others = [_int(found[key]["users_after"]) for name, _ in OTHERS if (key := f"{number}:{name}") in found]
    if after is None:
        return None
    counts = [after, *(count for count in others if count is not None)]
    return min(counts), max(counts)


def _window_caveats(audience: Audience, as_of: date, extent: Extent) -> Iterator[str]:
    """What the data is too short for."""
    if as_of > extent.last:
        yield f"the data ends on {extent.last}, before the as-of day {as_of}"
    end = min(as_of, extent.last)
    days = max((end - extent.first).days + 1, 0)
    there = sum(day <= end for day in extent.days)
    covered = f"the data covers {there} day{'s' if there != 1 else ''} up to then, from {extent.first}"
    plain = canonical(audience)
    if plain.membership_duration_days > days:
        yield f"the membership lasts {plain.membership_duration_days} days, {covered}"
    periods = [days_ for days_ in _periods(plain) if days_ > days]
    if periods:
        yield f"inAnyNDayPeriod is {max(periods)} days, {covered}"
    longest = max(_durations(plain), default=0)
    if longest > days * DAY:
        yield f"a sequence may take {longest / DAY:g} days, {covered}"
    looked_at = max(plain.membership_duration_days, *_periods(plain), -(-longest // DAY))
    start = max(extent.first.toordinal(), as_of.toordinal() - looked_at + 1)
    if missing := _missing(extent, start, end.toordinal()):
        which = f"on {missing[0]}" if len(missing) == 1 else f"on {len(missing)} days from {missing[0]} on"
        yield f"there are no events {which}, which it looks at"


def _missing(extent: Extent, start: int, end: int) -> list[date]:
    """The days from one ordinal to another that have no events."""
    there = frozenset(extent.days)
    return [day for day in map(date.fromordinal, range(start, end + 1)) if day not in there]


def _durations(audience: Audience) -> Iterator[int]:
    """How long sequences and their steps may take, in nanoseconds."""
    for clause in audience.clauses:
        if isinstance(clause.filter, SequenceFilter):
            yield clause.filter.maximum_duration or 0
            yield from (step.constraint_duration or 0 for step in clause.filter.steps)


def _periods(audience: Audience) -> Iterator[int]:
    for clause in audience.clauses:
        if not isinstance(clause.filter, SimpleFilter):
            continue
        for leaf in (leaf for group in clause.filter.groups for leaf in group.leaves):
            for plain in leaf.parameters if isinstance(leaf, EventFilter) else (leaf,):
                yield (plain.filter if isinstance(plain, Not) else plain).in_any_n_day_period
