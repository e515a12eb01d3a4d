"""Page -> text for a terminal or a log; the caller decides over colour."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from audiencesync.report.escape import VALUE_LIMIT, cells, inert, without_commands
from audiencesync.report.page import Code, Diff, Fold, Heading, Page, Span, Spans, Table, Text, Tone

_SGR = {
    Tone.STRONG: "1",
    Tone.DIM: "2",
    Tone.ADD: "32",
    Tone.CHANGE: "33",
    Tone.REPLACE: "35",
    Tone.REMOVE: "31",
    Tone.ADOPT: "36",
    Tone.WARNING: "33",
    Tone.ERROR: "1;31",
}
_SIGNS = {"+": Tone.ADD, "-": Tone.REMOVE, "~": Tone.CHANGE}
_BOXES = {Tone.ERROR: "! ", Tone.WARNING: "! "}
_INDENT = "    "
_WIDEST_COLUMN = 40

Painter = Callable[[str, Tone], str]


def painter(*, colour: bool) -> Painter:
    """Gives the function that puts inert text into a tone's colour; without colour it changes nothing."""

    def paint(text: str, tone: Tone) -> str:
        sgr = _SGR.get(tone, "") if colour and text else ""
        return f"\x1b[{sgr}m{text}\x1b[0m" if sgr else text

    return paint


def render(page: Page, *, width: int, colour: bool) -> str:
    """The page as lines, blocks apart by an empty one; prose is wrapped at `width` columns."""
    paint = painter(colour=colour)
    blocks = ["\n".join(_block(block, width, paint)) for block in page]
    # One of ours never begins with a colon, so what is escaped here came from outside.
    return without_commands("\n\n".join(block for block in blocks if block)) + "\n"


def _block(block: object, width: int, paint: Painter) -> Iterator[str]:
    match block:
        case Heading(spans):
            yield _painted(tuple(_toned(span, Tone.STRONG) for span in spans), paint)
        case Text(lines, box):
            for spans in lines:
                yield from _wrapped(_boxed(spans, box), width, paint)
        case Table():
            yield from _table(block, paint)
        case Diff(lines):
            for each in lines:
                tone = _SIGNS.get(each.sign, Tone.PLAIN)
                note = f"  {paint(inert(each.note), Tone.REPLACE)}" if each.note else ""
                text = f"{each.sign} {inert(each.text, 2 * VALUE_LIMIT)}".rstrip()
                yield f"{'  ' * each.depth}{paint(text, tone)}{note}"
        case Code(text):
            yield from (inert(each) for each in text.splitlines())
        case Fold(title, blocks):
            yield _painted(title, paint)
            for inner in blocks:
                yield from (
                    f"{_INDENT}{each}".rstrip() for each in _block(inner, width - len(_INDENT), paint)
                )


def _toned(span: Span, tone: Tone) -> Span:
    return span if span.tone is not Tone.PLAIN else Span(span.text, tone, span.code)


def _boxed(spans: Spans, box: Tone | None) -> Spans:
    if box is None:
        return spans
    return (Span(_BOXES.get(box, ""), box), *(_toned(span, box) for span in spans))


_Run = tuple[str, Tone]


def _line(runs: Sequence[_Run], paint: Painter) -> str:
    """The inert runs painted, without the spaces at the end of the line."""
    left = list(runs)
    while left and not (last := left[-1][0].rstrip()):
        left.pop()
    if left:
        left[-1] = (last, left[-1][1])
    return "".join(paint(text, tone) for text, tone in left)


def _painted(spans: Spans, paint: Painter) -> str:
    return _line([(inert(span.text), span.tone) for span in spans], paint)


def _wrapped(spans: Spans, width: int, paint: Painter) -> Iterator[str]:
    """The line broken at spaces; what follows the first is indented by two."""
    runs: list[_Run] = []
    room = width
    for word in _words(spans):
        text = "".join(part for part, _ in word)
        if runs and cells(text.rstrip(" ")) > room:
            yield _line(runs, paint)
            runs, room = [("  ", Tone.PLAIN)], width - 2
        for part, tone in word:
            joined = runs and runs[-1][1] is tone
            runs = [*runs[:-1], (runs[-1][0] + part, tone)] if joined else [*runs, (part, tone)]
        room -= cells(text)
    yield _line(runs, paint)


def _words(spans: Spans) -> Iterator[list[_Run]]:
    """The words, each with the spaces behind it; one that changes its tone inside is one word."""
    word: list[_Run] = []
    for span in spans:
        for part in re.findall(r"[^ ]+ *| +", inert(span.text)):
            if word and word[-1][0].endswith(" "):
                yield word
                word = []
            word.append((part, span.tone))
    if word:
        yield word


def _table(table: Table, paint: Painter) -> Iterator[str]:
    titles = [(Span(title, Tone.DIM),) for title in table.columns]
    rows = [titles, *table.rows] if any(table.columns) else list(table.rows)
    texts = [[[inert(span.text) for span in cell] for cell in row] for row in rows]
    sizes = [[sum(map(cells, parts)) for parts in row] for row in texts]
    widths = [
        max((size for row in sizes if (size := row[column]) <= _WIDEST_COLUMN), default=0)
        for column in range(len(table.columns))
    ]
    for row, parts_of_row, row_sizes in zip(rows, texts, sizes, strict=True):
        runs: list[_Run] = []
        for column, (cell, parts) in enumerate(zip(row, parts_of_row, strict=True)):
            pad = (" " * max(widths[column] - row_sizes[column], 0), Tone.PLAIN)
            shown = [(part, span.tone) for part, span in zip(parts, cell, strict=True)]
            runs += [pad, *shown] if column in table.numeric else [*shown, pad]
            runs.append(("  ", Tone.PLAIN))
        yield _line(runs, paint)
