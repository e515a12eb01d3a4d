"""Plans for the tests of reports: one of every verb, and hostile ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from audiencesync import live as lives
from audiencesync.action import Plan
from audiencesync.fields import ClauseType, ExclusionMode, LogCondition, MatchType, Scope
from audiencesync.live import Live
from audiencesync.model import (
    AnyOf,
    Audience,
    Clause,
    Desired,
    EventFilter,
    FieldFilter,
    SequenceFilter,
    SimpleFilter,
    Step,
    StringFilter,
    Trigger,
)
from audiencesync.plan import plan
from audiencesync.sql.preview import Estimate, Report
from tests.shop import audience, clause, desired, ours, policy, raw, stranger


def report(*estimates: Estimate) -> Report:
    """Estimates over two months of events."""
    window = (date(2026, 9, 1), date(2026, 11, 20))
    return Report(window[1], "duckdb", window, estimates)


def visitors(country: str, *more: AnyOf, scope: Scope = Scope.SAME_EVENT) -> Clause:
    """Users of a country who satisfy further groups."""
    leaf = FieldFilter("country", StringFilter(MatchType.EXACT, country))
    return Clause(ClauseType.INCLUDE, SimpleFilter(scope, (AnyOf((leaf,)), *more)))


def sequence(*events: str) -> Clause:
    """Events one after the other, each within half an hour."""
    steps = tuple(
        Step(Scope.SAME_EVENT, (AnyOf((EventFilter(event),)),), constraint_duration=1800 * 10**9)
        for event in events
    )
    return Clause(ClauseType.INCLUDE, SequenceFilter(Scope.ALL_SESSIONS, steps, 7200 * 10**9))


def of(files: list[Desired], live: list[Live], **more: object) -> Plan:
    """The plan for these files and this live state."""
    return plan(files, live, policy(**more))


def mixed() -> Plan:
    """Every verb once, and a blocked create."""
    old = Audience("Swiss buyers", "Buyers.", 30, (visitors("CH"), clause("purchase")))
    new = replace(
        old,
        description="Buyers from Germany.",
        membership_duration_days=60,
        clauses=(clause("refund", ClauseType.EXCLUDE), visitors("DE"), clause("purchase")),
        exclusion_mode=ExclusionMode.TEMPORARILY,
    )
    files = [
        desired("kept"),
        desired("new", audience("New ones", trigger=Trigger("joined_new", LogCondition.JOINED))),
        desired("renamed", audience("A better name", description="What it is for.\nIn two lines.")),
        desired("swiss", new),
        desired("taken-over", audience("By hand"), adopt=(("", "5"),)),
        desired("taken", audience("Occupied")),
    ]
    live = [
        ours(1, "kept"),
        ours(2, "renamed", audience("A name")),
        ours(3, "swiss", old),
        ours(4, "gone", audience("Nobody wants it")),
        stranger(5, audience("By hand")),
        stranger(6, audience("Occupied")),
        lives.read({"name": "properties/1000/audiences/7", "displayName": "All Users"}, "1000"),
    ]
    return of(files, live)


def estimates() -> Report:
    """Numbers for the mixed plan."""
    return report(
        Estimate("new", None, 12_099, band=(11_870, 12_340)),
        Estimate("renamed", 40, 40, 0, 0),
        Estimate("swiss", 1_204, 1_377, 190, 17, caveats=("country is approximate",)),
        Estimate("taken", not_previewable="there is no column for customItem:size"),
        Estimate("gone", 7, 0, 0, 7),
    )


def hostile(text: str) -> Plan:
    """A plan that says the text wherever one from outside can stand."""
    leaf = AnyOf((FieldFilter(f"customEvent:{text}", StringFilter(MatchType.CONTAINS, text)),))
    old = Audience(f"{text}a", f"{text}\n{text}", 30, (visitors("CH"), clause(f"{text}a")))
    new = Audience(f"{text}b", text, 60, (visitors(text, leaf), clause(f"{text}b"), sequence(text, "x")))
    files = [
        desired("changed", new),
        desired("fresh", new),
        desired("blocked", replace(new, display_name="x")),
    ]
    live = [
        ours(1, "changed", old),
        ours(2, "gone", old),
        stranger(3, replace(old, display_name="x")),
        lives.read(raw(4, replace(old, display_name=text), name=f"properties/1000/audiences/{text}"), "1000"),
        lives.read({"name": text, "displayName": text, "filterClauses": [{text: text}]}, "1000"),
    ]
    return of(files, live)


def hostile_report(text: str) -> Report:
    """Estimates that say the text."""
    return report(Estimate("changed", not_previewable=text), Estimate("gone", 1, caveats=(text,)))
