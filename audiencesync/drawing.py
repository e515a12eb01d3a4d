"""An audience as a diagram: SVG markup that says which conditions go together, and in which order.

Everything is a block of a known height; blocks are stacked, and boxes are drawn around stacks. Letters are
measured by a table of widths, on the wide side. Colours are classes: the page's style sheet holds them, so
that one drawing serves light, dark and paper.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from audiencesync.fields import MAX_MEMBERSHIP_DAYS, ClauseType, ExclusionMode, LogCondition, Scope
from audiencesync.model import (
    AllOf,
    AnyOf,
    Audience,
    Clause,
    EventFilter,
    Leaf,
    SequenceFilter,
    SimpleFilter,
    Step,
)
from audiencesync.words import Kind, Sentence, Span, Spans, duration, phrase, plain, within, words

WIDTH = 720
_SIZE = 14.0
_LINE = 20.0
_PAD = 16.0
_MOST_LINES = 6
_MOST_LETTERS = 600
"""A condition shows so many lines and letters; the words beside the diagram have all of it."""

Shown = Callable[[str], str]
"""Makes a text from outside inert: no control or invisible character; markup is this module's matter."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A piece of the drawing from its own upper left corner on."""

    width: float
    height: float
    markup: str


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of text with its width."""

    spans: Spans
    width: float


def draw(audience: Audience, shown: Shown) -> str:
    """Draws an audience as one <svg> element, 720 units wide, with a title and a description.

    Top down: the clauses that let users in, those that keep them out, and what membership means. `shown`
    makes each text inert before it is measured and escaped.
    """
    includes = [clause for clause in audience.clauses if clause.type is ClauseType.INCLUDE]
    excludes = [clause for clause in audience.clauses if clause.type is ClauseType.EXCLUDE]
    blocks: list[_Block] = []
    for index, clause in enumerate(includes):
        blocks += [_joint("and")] * bool(index) + [_clause(clause, "in", "Let in", "", shown)]
    mode = audience.exclusion_mode
    for index, clause in enumerate(excludes):
        if blocks:
            blocks.append(_joint("or" if index else "but not", "out"))
        blocks.append(_clause(clause, "out", "Kept out", _LASTING[mode], shown))
    if blocks:
        blocks.append(_arrow())
    drawing = _stack([*blocks, _membership(audience, shown)])
    title = html.escape(f"Diagram of {shown(audience.display_name)}")
    says = html.escape(" ".join(shown(line) for line in _description(audience)))
    return (
        f'<svg class="diagram" role="img" viewBox="0 0 {WIDTH} {_n(drawing.height)}" '
        f'aria-labelledby="diagram-title diagram-says"><title id="diagram-title">{title}</title>'
        f'<desc id="diagram-says">{says}</desc>{drawing.markup}</svg>'
    )


def _description(audience: Audience) -> Iterable[str]:
    """The drawing in words: those of the audience without its name and description."""
    sentences: Sequence[Sentence] = words(audience)[1:]
    return (line.strip().removeprefix("- ") for line in plain(tuple(sentences)).splitlines())


_LASTING = {
    None: "for a time that the file does not say",
    ExclusionMode.TEMPORARILY: "for as long as this holds",
    ExclusionMode.PERMANENTLY: "for good",
}


# ---------------------------------------------------------------- text


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


_NARROW, _BROAD = frozenset("iljtfrI.,:;'|!()[]/ -"), frozenset("mwMW@%—…QO")
_BOLD = 1.12


def _letter(letter: str) -> float:
    """A letter's width as a part of the font's size, as in the widest of the usual system fonts."""
    if letter in _NARROW:
        return 0.4
    if letter in _BROAD:
        return 1.0
    if letter.isascii():
        return 0.74 if letter.isupper() else 0.64
    return 1.1 if unicodedata.east_asian_width(letter) in {"W", "F"} else 0.75


def _measure(text: str, size: float = _SIZE, *, bold: bool = False) -> float:
    return sum(map(_letter, text)) * size * (_BOLD if bold else 1.0)


def _width(span: Span) -> float:
    return _measure(span.text, bold=span.kind is not Kind.PLAIN)


_WORD = re.compile(r"\S+\s*|\s+")
_PIECE = 24
"""A word that is longer than its line is broken after so many letters."""


def _pieces(spans: Spans, room: float) -> Iterable[Span]:
    for span in spans:
        for word in _WORD.findall(span.text):
            whole = _measure(word, bold=True) <= room
            for start in range(0, len(word), len(word) if whole else _PIECE):
                yield Span(word[start : start + (len(word) if whole else _PIECE)], span.kind)


def _wrapped(spans: Spans, room: float, shown: Shown) -> list[_Line]:
    """The spans as lines that fit the room; what is too long ends in an ellipsis."""
    lines: list[list[Span]] = [[]]
    width, letters = 0.0, 0
    inert = tuple(Span(shown(span.text), span.kind) for span in spans)
    for piece in _pieces(inert, room):
        if lines[-1] and width + _width(Span(piece.text.rstrip(), piece.kind)) > room:
            lines.append([])
            width = 0.0
        letters += len(piece.text)
        if len(lines) > _MOST_LINES or letters > _MOST_LETTERS:
            kept = [line for line in lines[:_MOST_LINES] if line]
            return [*map(_line, kept), _line([Span("… (the words have all of it)")])]
        lines[-1].append(piece)
        width += _width(piece)
    return [_line(line) for line in lines]


def _line(pieces: Sequence[Span]) -> _Line:
    joined: list[Span] = []
    for piece in pieces:
        if joined and joined[-1].kind is piece.kind:
            joined[-1] = Span(joined[-1].text + piece.text, piece.kind)
        else:
            joined.append(piece)
    return _Line(tuple(joined), sum(map(_width, joined)))


_CLASSES = {Kind.STRONG: "name", Kind.VALUE: "value"}


def _text(x: float, y: float, line: _Line, anchor: str = "") -> str:
    inner = "".join(
        html.escape(span.text, quote=False)
        if span.kind is Kind.PLAIN
        else f'<tspan class="{_CLASSES[span.kind]}">{html.escape(span.text, quote=False)}</tspan>'
        for span in line.spans
    )
    return f'<text x="{_n(x)}" y="{_n(y)}"{_anchored(anchor)}>{inner}</text>'


def _anchored(anchor: str) -> str:
    return f' text-anchor="{anchor}"' if anchor else ""


def _small(x: float, y: float, text: str, kind: str = "note", anchor: str = "") -> str:
    """A line of our own words."""
    place = f'x="{_n(x)}" y="{_n(y)}"{_anchored(anchor)}'
    return f'<text class="{kind}" {place}>{html.escape(text, quote=False)}</text>'


# ---------------------------------------------------------------- blocks


def _at(x: float, y: float, block: _Block) -> str:
    return f'<g transform="translate({_n(x)} {_n(y)})">{block.markup}</g>' if x or y else block.markup


def _stack(blocks: Sequence[_Block], gap: float = 0.0) -> _Block:
    """The blocks one below the other."""
    y, parts = 0.0, []
    for block in blocks:
        parts.append(_at(0, y, block))
        y += block.height + gap
    width = max((block.width for block in blocks), default=0.0)
    return _Block(width, max(y - gap, 0.0), "".join(parts))


def _rect(width: float, height: float, kind: str, radius: float, x: float = 0, y: float = 0) -> str:
    return (
        f'<rect class="{kind}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
        f'rx="{_n(radius)}"/>'
    )


def _pill(x: float, y: float, text: str, kind: str) -> str:
    """A word in a rounded box around (x, y)."""
    width = _measure(text, 12, bold=True) + 20
    return _rect(width, 22, f"pill {kind}", 11, x - width / 2, y - 11) + _small(
        x, y + 4, text, f"word {kind}", "middle"
    )


def _joint(text: str, kind: str = "both") -> _Block:
    """What binds two clauses."""
    x = WIDTH / 2
    return _Block(WIDTH, 40, f'<path class="bond" d="M{_n(x)} 0v40"/>' + _pill(x, 20, text, kind))


def _arrow() -> _Block:
    x = WIDTH / 2
    head = f'<path class="head" d="M{_n(x - 5)} 22h10l-5 7z"/>'
    return _Block(WIDTH, 32, f'<path class="bond" d="M{_n(x)} 0v24"/>' + head)


def _clause(clause: Clause, kind: str, title: str, lasting: str, shown: Shown) -> _Block:
    notes = [within(clause.filter.scope)]
    if isinstance(clause.filter, SequenceFilter):
        notes.append("in this order")
        if clause.filter.maximum_duration is not None:
            notes.append(f"at most {duration(clause.filter.maximum_duration)} from first to last")
    body = _conditions(clause.filter, WIDTH - 2 * _PAD - 8, shown)
    heading = (
        f'<text x="{_n(_PAD + 8)}" y="29"><tspan class="title {kind}">{title}</tspan>'
        f'<tspan class="note" dx="10">{" · ".join(notes)}</tspan></text>'
    )
    footer = f"Kept out {lasting}." if lasting else ""
    height = 46 + body.height + _PAD + (24 if footer else 0)
    box = _rect(WIDTH - 2, height - 2, f"card {kind}", 12, 1, 1)
    bar = _rect(4, height - 24, f"bar {kind}", 2, 10, 12)
    foot = _small(_PAD + 8, height - 15, footer) if footer else ""
    return _Block(WIDTH, height, box + bar + heading + _at(_PAD + 8, 46, body) + foot)


def _conditions(filter_: SimpleFilter | SequenceFilter, room: float, shown: Shown) -> _Block:
    match filter_:
        case SimpleFilter(scope, groups):
            return _all_of(groups, scope, room, shown)
        case SequenceFilter(_, steps, _):
            return _timeline(steps, room, shown)


def _all_of(groups: AllOf, scope: Scope, room: float, shown: Shown) -> _Block:
    """Groups that must all hold, with "and" between them."""
    blocks: list[_Block] = []
    for index, group in enumerate(groups):
        if index:
            bond = '<path class="bond" d="M22 0v30"/>' + _pill(22, 15, "and", "both")
            blocks.append(_Block(room, 30, bond))
        blocks.append(_any_of(group, scope, room, shown))
    return _stack(blocks)


def _any_of(group: AnyOf, scope: Scope, room: float, shown: Shown) -> _Block:
    """Leaves of which one must hold: alone, or in a dashed box with "or" between them."""
    if len(group.leaves) == 1:
        return _leaf(group.leaves[0], scope, room, shown)
    chips = _flow([_leaf(leaf, scope, room - 24, shown) for leaf in group.leaves], room - 24)
    box = _rect(room, chips.height + 44, "any", 10)
    return _Block(room, chips.height + 44, box + _small(12, 21, "any of these") + _at(12, 32, chips))


_OR = 36.0


def _flow(chips: Sequence[_Block], room: float) -> _Block:
    """The chips side by side as far as they fit, with "or" between them."""
    parts, x, y, tall = [], 0.0, 0.0, 0.0
    for index, chip in enumerate(chips):
        last = index == len(chips) - 1
        if x and x + chip.width + (0 if last else _OR) > room:
            x, y, tall = 0.0, y + tall + 8, 0.0
        parts.append(_at(x, y, chip))
        x, tall = x + chip.width, max(tall, chip.height)
        if not last:
            if x + _OR > room:
                x, y, tall = 0.0, y + tall + 4, 0.0
                parts.append(_small(4, y + 14, "or", "or"))
                y, tall = y + 22, 0.0
            else:
                parts.append(_small(x + _OR / 2, y + 22, "or", "or", "middle"))
                x += _OR
    return _Block(room, y + tall, "".join(parts))


def _leaf(leaf: Leaf, scope: Scope, room: float, shown: Shown) -> _Block:
    """One condition; a disc marks an event, a square a field."""
    lines = _wrapped(phrase(leaf, scope), room - 44, shown)
    width = min(room, max(line.width for line in lines) + 46)
    height = len(lines) * _LINE + 14
    is_event = isinstance(leaf, EventFilter)
    sign = (
        '<circle class="event" cx="16" cy="17" r="4.5"/>' if is_event else _rect(9, 9, "field", 2, 11.5, 12.5)
    )
    texts = "".join(_text(30, 22 + index * _LINE, line) for index, line in enumerate(lines))
    return _Block(width, height, _rect(width, height, "leaf", 8) + sign + texts)


def _timeline(steps: Sequence[Step], room: float, shown: Shown) -> _Block:
    """The steps of a sequence, numbered along a line, with the time that may pass between two."""
    blocks = []
    for number, step in enumerate(steps, 1):
        if number > 1:
            blocks.append(_between(step, room))
        body = _all_of(step.groups, step.scope, room - 44, shown)
        tall = max(body.height + 26, 34)
        rail = f'<path class="rail" d="M14 {_n(26)}V{_n(tall)}"/>' if number < len(steps) else ""
        disc = '<circle class="number" cx="14" cy="13" r="13"/>' + _small(
            14, 17.5, str(number), "count", "middle"
        )
        head = _small(44, 17, within(step.scope))
        blocks.append(_Block(room, tall, rail + disc + head + _at(44, 26, body)))
    return _stack(blocks)


def _between(step: Step, room: float) -> _Block:
    limits = []
    if step.constraint_duration is not None:
        limits.append(f"within {duration(step.constraint_duration)}")
    if step.immediately_follows:
        limits.append("as the very next event")
    text = ", ".join(["then", *limits])
    width = _measure(text, 12, bold=True) + 20
    rail = '<path class="rail" d="M14 0V34"/><path class="rail-head" d="M9.5 26h9l-4.5 7z"/>'
    pill = _rect(width, 22, "pill time", 11, 44, 6)
    return _Block(room, 38, rail + pill + _small(44 + width / 2, 21, text, "word time", "middle"))


def _membership(audience: Audience, shown: Shown) -> _Block:
    days = audience.membership_duration_days
    stay = (
        f"{MAX_MEMBERSHIP_DAYS} days, the longest" if days == -1 else f"{days} day{'' if days == 1 else 's'}"
    )
    spans: list[Spans] = [(Span("Member for "), Span(stay, Kind.STRONG))]
    trigger = audience.trigger
    if trigger:
        when = (
            " when a user joins"
            if trigger.log_condition is LogCondition.JOINED
            else " each time the conditions are met"
        )
        spans.append((Span("Logs "), Span(trigger.event_name, Kind.STRONG), Span(when)))
    lines = [line for each in spans for line in _wrapped(each, 420, shown)]
    width = max(line.width for line in lines) + 48
    height = len(lines) * _LINE + 20
    texts = "".join(_text(width / 2, 25 + index * _LINE, line, "middle") for index, line in enumerate(lines))
    box = _Block(width, height, _rect(width, height, "end", 18) + texts)
    return _Block(WIDTH, height + 2, _at((WIDTH - width) / 2, 1, box))
