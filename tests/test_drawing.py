"""The diagram: well-formed, complete in its structure, inert, and inside its frame."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given

from audiencesync.drawing import WIDTH, draw
from audiencesync.fields import ClauseType, ExclusionMode, LogCondition, MatchType, Operation, Scope
from audiencesync.model import (
    AllOf,
    AnyOf,
    Audience,
    Clause,
    EventFilter,
    FieldFilter,
    Leaf,
    Not,
    NumericFilter,
    SequenceFilter,
    SimpleFilter,
    Step,
    StringFilter,
    Trigger,
)
from audiencesync.report.escape import inert
from audiencesync.words import plain, words
from tests import strategies
from tests.report.hostile import HOSTILE, offenders
from tests.shop import audience as shop_audience
from tests.shop import clause

IN, OUT = ClauseType.INCLUDE, ClauseType.EXCLUDE
SECOND = 10**9


def shown(text: str) -> str:
    return inert(text, 10_000)


def drawn(what: Audience) -> ET.Element:
    return ET.fromstring(draw(what, shown))  # noqa: S314 - our own markup


def texts(svg: ET.Element) -> list[str]:
    """The lines of text in the drawing, from top to bottom."""
    return ["".join(each.itertext()) for each in svg.iter("text")]


def classes(svg: ET.Element, tag: str, kind: str) -> list[ET.Element]:
    return [each for each in svg.iter(tag) if kind in (each.get("class") or "").split()]


def simple(groups: AllOf, kind: ClauseType = IN, scope: Scope = Scope.ALL_SESSIONS) -> Clause:
    return Clause(kind, SimpleFilter(scope, groups))


def of(*clauses: Clause, mode: ExclusionMode | None = None, trigger: Trigger | None = None) -> Audience:
    return Audience("Name", "", 30, clauses, trigger, mode)


def field(name: str, value: str) -> FieldFilter:
    return FieldFilter(name, StringFilter(MatchType.EXACT, value))


def events(*names: str) -> tuple[Leaf, ...]:
    return tuple(EventFilter(name) for name in names)


def test_clauses_are_bound_as_ga4_binds_them() -> None:
    what = of(clause("a"), clause("b"), clause("c", OUT), clause("d", OUT), mode=ExclusionMode.PERMANENTLY)
    svg = drawn(what)
    assert [each.get("class") for each in classes(svg, "rect", "card")] == [
        "card in", "card in", "card out", "card out",
    ]  # fmt: skip
    binding = [line for line in texts(svg) if line in {"and", "or", "but not"}]
    assert binding == ["and", "but not", "or"]
    assert texts(svg).count("Kept out for good.") == 2


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        (ExclusionMode.TEMPORARILY, "Kept out for as long as this holds."),
        (ExclusionMode.PERMANENTLY, "Kept out for good."),
        (None, "Kept out for a time that the file does not say."),
    ],
)
def test_an_exclusion_says_how_long_it_lasts(mode: ExclusionMode | None, says: str) -> None:
    assert says in texts(drawn(of(clause("a"), clause("b", OUT), mode=mode)))


def test_groups_are_joined_by_and_and_their_leaves_by_or() -> None:
    groups = (AnyOf(events("a", "b", "c")), AnyOf((field("country", "AT"),)))
    svg = drawn(of(simple(groups)))
    lines = texts(svg)
    assert lines.count("or") == 2
    assert lines.count("and") == 1
    assert lines.index("and") > lines.index("the event c occurs")
    assert len(classes(svg, "rect", "any")) == 1
    assert len(classes(svg, "circle", "event")) == 3
    assert len(classes(svg, "rect", "field")) == 1
    assert "country is “AT”, as of now" in lines


def test_a_sequence_is_numbered_and_says_its_time_limits() -> None:
    group = (AnyOf(events("a")),)
    steps = (
        Step(Scope.SAME_EVENT, group),
        Step(Scope.SAME_SESSION, group, constraint_duration=1800 * SECOND),
        Step(Scope.SAME_EVENT, group, immediately_follows=True),
        Step(Scope.SAME_EVENT, group, immediately_follows=True, constraint_duration=90 * SECOND),
        Step(Scope.SAME_EVENT, group),
    )
    svg = drawn(of(Clause(IN, SequenceFilter(Scope.ALL_SESSIONS, steps, 7 * 86_400 * SECOND))))
    lines = texts(svg)
    assert [line for line in lines if line.isdigit()] == ["1", "2", "3", "4", "5"]
    assert [line for line in lines if line.startswith("then")] == [
        "then, within 30 minutes",
        "then, as the very next event",
        "then, within 1 minute 30 seconds, as the very next event",
        "then",
    ]
    assert lines[0] == "Let inacross all sessions · in this order · at most 7 days from first to last"


@pytest.mark.parametrize(
    ("days", "says"), [(1, "Member for 1 day"), (30, "Member for 30 days"), (-1, "540 days, the longest")]
)
def test_membership_ends_the_drawing(days: int, says: str) -> None:
    assert says in texts(drawn(shop_audience(days=days)))[-1]


@pytest.mark.parametrize(
    ("when", "says"),
    [
        (LogCondition.JOINED, "Logs joined_up when a user joins"),
        (LogCondition.RENEWED, "Logs joined_up each time the conditions are met"),
    ],
)
def test_a_trigger_is_shown(when: LogCondition, says: str) -> None:
    assert texts(drawn(of(clause("a"), trigger=Trigger("joined_up", when))))[-1] == says


def test_screen_readers_hear_the_words() -> None:
    what = of(clause("a"), clause("b", OUT), mode=ExclusionMode.TEMPORARILY)
    svg = drawn(what)
    assert svg.get("role") == "img"
    ids = [each.get("id") for each in (svg.find("title"), svg.find("desc")) if each is not None]
    assert (svg.get("aria-labelledby") or "").split() == ids
    assert svg.findtext("title") == "Diagram of Name"
    for sentence in words(what)[1:]:
        assert sentence.text in (svg.findtext("desc") or "")


def test_a_long_condition_is_cut_with_a_note() -> None:
    lines = texts(drawn(of(simple((AnyOf((field("pagePath", "word " * 500),)),)))))
    assert "… (the words have all of it)" in lines
    assert len(lines) < 12


def test_a_long_word_is_broken() -> None:
    value = "x" * 200
    lines = texts(drawn(of(simple((AnyOf((field("pagePath", value),)),)))))
    assert value in "".join(lines)
    assert max(map(len, lines)) < 110


def test_a_negation_and_a_number_are_said() -> None:
    leaves = (Not(field("country", "AT")), FieldFilter("value", NumericFilter(Operation.GREATER_THAN, 9.5)))
    lines = texts(drawn(of(simple((AnyOf(leaves),), scope=Scope.SAME_EVENT))))
    assert "country is not “AT”" in lines
    assert "value is greater than 9.5" in lines


@pytest.mark.parametrize("text", [text for text in HOSTILE if text.strip()])
def test_hostile_texts_stay_texts(text: str) -> None:
    what = Audience(
        text, text, 30, (simple((AnyOf((field(text, text), EventFilter(text))),)),),
        Trigger(text, LogCondition.JOINED),
    )  # fmt: skip
    svg = draw(what, shown)
    assert not offenders(svg)
    assert set(re.findall(r"<([a-z]+)", svg)) == {
        "svg", "title", "desc", "g", "rect", "circle", "path", "text", "tspan",
    }  # fmt: skip
    assert "style=" not in re.sub(r">[^<]*<", "><", svg)
    ET.fromstring(svg)  # noqa: S314 - our own markup


def inside(element: ET.Element, left: float, top: float, bottom: float) -> int:
    """Assert that every box stands in the frame, and give their number."""
    if moved := re.fullmatch(r"translate\((\S+) (\S+)\)", element.get("transform") or ""):
        left, top = left + float(moved[1]), top + float(moved[2])
    found = 0
    if element.tag == "rect":
        x, y, wide, high = (float(element.get(name) or 0) for name in ("x", "y", "width", "height"))
        assert wide > 0
        assert high > 0
        assert left + x >= 0
        assert left + x + wide <= WIDTH + 0.1
        assert top + y >= 0
        assert top + y + high <= bottom + 0.1
        found = 1
    return found + sum(inside(child, left, top, bottom) for child in element)


@given(strategies.audiences())
def test_every_box_stands_in_the_frame(what: Audience) -> None:
    svg = drawn(what)
    left, top, width, height = map(float, (svg.get("viewBox") or "").split())
    assert (left, top, width) == (0, 0, WIDTH)
    assert inside(svg, 0, 0, height) > len(what.clauses)


@given(strategies.audiences())
def test_the_same_audience_gives_the_same_drawing_and_all_of_its_words(what: Audience) -> None:
    svg = draw(what, shown)
    assert draw(what, shown) == svg
    says = ET.fromstring(svg).findtext("desc") or ""  # noqa: S314 - our own markup
    for line in plain(words(what)[1:]).splitlines():
        assert shown(line.strip().removeprefix("- ")) in says
