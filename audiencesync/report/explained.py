"""Audiences -> a page that says them in plain English, as they are or before and after a change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audiencesync.canonical import definition_fingerprint
from audiencesync.model import Audience, Desired
from audiencesync.report.escape import NAME_LIMIT, quoted
from audiencesync.report.page import Fold, Heading, Page, Span, Spans, Text, Tone, code, line
from audiencesync.words import Description, Kind, Sentence, compare, words

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


# ---------------------------------------------------------------- before and after


def compared(before: Audience | None, after: Audience | None) -> Iterator[Text]:
    """An audience before and after a change, with the words marked that differ; None where there is none.

    Of what was before, only the sentences that differ.
    """
    if before is None or after is None:
        head, tone = ("in words", Tone.ADD) if after else ("before", Tone.REMOVE)
        if alone := after or before:
            yield Text((line(Span(head, Tone.DIM)), *_marked(words(alone), tone)))
        return
    old, new = compare(before, after)
    if gone := tuple(_marked(old, Tone.REMOVE, only_changed=True)):
        yield Text((line(Span("before", Tone.DIM)), *gone))
    yield Text((line(Span("after", Tone.DIM)), *_marked(new, Tone.ADD)))


def _marked(
    description: Description | Sequence[Sentence], tone: Tone, depth: int = 0, *, only_changed: bool = False
) -> Iterator[Spans]:
    for sentence in description:
        if not only_changed or any(span.changed for span in sentence.spans):
            bullet = f"{'  ' * depth}• "
            spans = (
                Span(each.text, tone if each.changed else Tone.PLAIN, code=each.kind is Kind.VALUE)
                for each in sentence.spans
            )
            yield line(bullet, *spans)
        yield from _marked(sentence.children, tone, depth + 1, only_changed=only_changed)


@dataclass(frozen=True, slots=True)
class Rewording:
    """One audience as the files said it and as they say it now; None where there was or is none."""

    key: str
    before: Audience | None
    after: Audience | None

    @property
    def replaces(self) -> bool:
        """Whether it differs in what GA4 takes only at creation."""
        if self.before is None or self.after is None:
            return False
        return definition_fingerprint(self.before) != definition_fingerprint(self.after)


def reworded(found: Sequence[Rewording], base: str) -> Page:
    """What changed in the files since `base`, in plain English; what GA4 holds is not looked at."""
    heading = Heading(line("Audiences changed since ", code(base)))
    if not found:
        return (heading, Text((line("No audience means anything else than before."),), summary=True))
    new = sum(each.before is None for each in found)
    gone = sum(each.after is None for each in found)
    counts = ((new, "new"), (len(found) - new - gone, "changed"), (gone, "removed"))
    said = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    return (
        heading,
        *_dangers(found),
        *(Fold(_title(each), tuple(compared(each.before, each.after))) for each in found),
        Text((line(Span(f"{said}.", Tone.STRONG)),), summary=True),
    )


def _title(found: Rewording) -> Spans:
    sign, tone = (
        ("+", Tone.ADD)
        if found.before is None
        else ("-", Tone.REMOVE)
        if found.after is None
        else ("±", Tone.REPLACE)
        if found.replaces
        else ("~", Tone.CHANGE)
    )
    named = found.after or found.before
    name = quoted(named.display_name, NAME_LIMIT) if named else ""
    return line(Span(f"{sign} ", tone), code(found.key, Tone.STRONG), "  ", code(name))


def _dangers(found: Sequence[Rewording]) -> Iterator[Text]:
    replaced = [each.key for each in found if each.replaces]
    removed = [each.key for each in found if each.after is None]
    lines = []
    if replaced:
        why = ". GA4 takes what changed at creation alone: apply makes a new id with an empty membership."
        lines.append(line("Replaced: ", *_listed(replaced), why))
    if removed:
        lines.append(line("Removed: ", *_listed(removed), ". Apply archives it for good."))
    if lines:
        yield Text(tuple(lines), box=Tone.ERROR)


def _listed(keys: Sequence[str]) -> Iterator[str | Span]:
    for number, key in enumerate(keys):
        yield ", " if number else ""
        yield code(key)
