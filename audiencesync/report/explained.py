"""Audiences -> a page that says them in plain English."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audiencesync.model import Desired
from audiencesync.report.page import Heading, Page, Span, Spans, Text, Tone, code, line
from audiencesync.words import Description, Kind, Sentence, words

_TONES = {Kind.VALUE: Tone.ADOPT, Kind.STRONG: Tone.STRONG}


def sentences(description: Description | Sequence[Sentence], depth: int = 0) -> Iterator[Spans]:
    """The words line by line, bullets indented; numbered where their order has a meaning."""
    yield from _lines(description, depth, numbered=False)


def _lines(description: Sequence[Sentence], depth: int, *, numbered: bool) -> Iterator[Spans]:
    for number, sentence in enumerate(description, 1):
        bullet = "" if not depth else f"{number}: " if numbered else "• "
        spans = (
            Span(span.text, _TONES.get(span.kind, Tone.PLAIN), code=span.kind is Kind.VALUE)
            for span in sentence.spans
        )
        yield line("  " * max(depth - 1, 0) + bullet, *spans)
        yield from _lines(sentence.children, depth + 1, numbered=sentence.numbered)


def page(chosen: Sequence[Desired]) -> Page:
    """A heading and the sentences of each audience."""
    if not chosen:
        return (Text((line("No audiences."),)),)
    return tuple(
        block
        for desired in chosen
        for block in (
            Heading(line(code(desired.key), "  ", f'"{desired.audience.display_name}"'), 2),
            Text(tuple(sentences(words(desired.audience)))),
        )
    )
