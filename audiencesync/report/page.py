"""What a report says, before any format: a page is a tuple of blocks, made of spans with a tone.

Blocks hold text as it came; each renderer makes it inert and escapes it, in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """What a span means, for the renderer to choose a colour by."""

    PLAIN = "plain"
    STRONG = "strong"
    DIM = "dim"
    ADD = "add"
    CHANGE = "change"
    REPLACE = "replace"
    REMOVE = "remove"
    ADOPT = "adopt"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text on one line; `code` marks a name or value, set apart where the format can."""

    text: str
    tone: Tone = Tone.PLAIN
    code: bool = False


Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A title; level 1 is the page's."""

    spans: Spans
    level: int = 1


@dataclass(frozen=True, slots=True)
class Text:
    """Lines of prose.

    `box` sets them apart as a warning or an error. `summary` marks what the page comes to: on a terminal it
    stands where it is, the eye being at the end; Markdown and HTML put it first.
    """

    lines: tuple[Spans, ...]
    box: Tone | None = None
    summary: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with titles; the last column may be long. `numeric` columns are set to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Spans, ...], ...]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a before/after tree: sign (" ", "+", "-", "~"), depth in steps, text, and a note."""

    sign: str
    depth: int
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Diff:
    """A before/after tree of only what changed."""

    lines: tuple[DiffLine, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Text that is shown as it is, line by line."""

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Fold:
    """A title with blocks below it; Markdown and HTML fold them away."""

    title: Spans
    blocks: tuple[Heading | Text | Table | Diff | Code, ...]


Block = Heading | Text | Table | Diff | Code | Fold
Page = tuple[Block, ...]


def line(*parts: str | Span) -> Spans:
    """Spans from texts and spans; empty texts are left out."""
    spans = (Span(part) if isinstance(part, str) else part for part in parts)
    return tuple(span for span in spans if span.text)


def code(text: str, tone: Tone = Tone.PLAIN) -> Span:
    """A name or value."""
    return Span(text, tone, code=True)


def counted(number: int, what: str) -> str:
    """The number with its noun: 1 error, 2 errors."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def summary_first(page: Page) -> Page:
    """The page with its summary behind the first heading, its last word first, and then what is boxed."""
    first = tuple(block for block in reversed(page) if isinstance(block, Text) and block.summary)
    boxes = tuple(block for block in page if isinstance(block, Text) and block.box and not block.summary)
    rest = tuple(block for block in page if block not in first + boxes)
    head = 1 if rest and isinstance(rest[0], Heading) else 0
    return rest[:head] + first + boxes + rest[head:]
