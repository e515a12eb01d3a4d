"""Page -> Markdown for a pull request: summary first, details folded, bounded, and nothing in it acts.

Words of letters alone and plain numbers are prose; every other word, from wherever it comes, stands in a code
span, because there GitHub looks for no markup, HTML, @mention, #reference, address or emoji name. In the
title of a fold, which is HTML, the same words stand in <code>. Each piece is written whole or left out, so
that no escape is cut and no tag stays open.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from audiencesync.report.escape import LOG_COMMAND, NAME_LIMIT, VALUE_LIMIT, inert
from audiencesync.report.page import (
    Block,
    Code,
    Diff,
    Fold,
    Heading,
    Page,
    Spans,
    Table,
    Text,
    Tone,
    line,
    summary_first,
)

LIMIT = 65_000
"""GitHub takes 65,536 characters; the rest is for who embeds the page."""

_NOTICE = "\n\n> [!NOTE]\n> The report is too long to be shown here in full; parts of it were left out.\n"
_BOXES = {Tone.ERROR: "CAUTION", Tone.WARNING: "WARNING"}
_FOLD = "<details>"
_LONGEST_BLOCK = 12_000
_TABLE_SHARE = 0.6
_LEAST = 80
"""Where less room is left, nothing more is tried."""

# A word that no renderer makes anything of: letters with hyphens and apostrophes between them, or a number
# with separators, with punctuation around it.
_PLAIN = re.compile(
    r"""["'(\u201c]?(?:GA4(?:'s)?|[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|[+-]?\d{1,3}(?:,\d{3})*|…|->|=|[+±]|[•-])"""
)
_TRAIL = re.compile(r"""[.,;:?!)"'\u201d]*$""")
_LIST_MARKER = re.compile(r"(?:\d+[.)]|[-+=]+|::.*)$")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of text that is either safe prose or has to stand as code."""

    text: str
    code: bool
    strong: bool = False


def _pieces(spans: Spans) -> list[_Piece]:
    """The line in pieces."""
    found: list[_Piece] = []
    for span in spans:
        text = inert(span.text, VALUE_LIMIT)
        strong = span.tone not in (Tone.PLAIN, Tone.DIM)
        found += [_Piece(text, code=True, strong=strong)] if span.code else _words(text, strong=strong)
    return _joined_up(found)


def _joined_up(pieces: Iterable[_Piece]) -> list[_Piece]:
    """The pieces, neighbours of the same kind made one, so that no two code spans touch."""
    found: list[_Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if last and (last.code, last.strong) == (piece.code, piece.strong):
            found[-1] = replace(last, text=last.text + piece.text)
        elif piece.text:
            found.append(piece)
    return found


def _words(text: str, *, strong: bool) -> Iterator[_Piece]:
    """Prose and code of a text; what it sets in backticks itself is code."""
    for number, part in enumerate(text.split("`")):
        if number % 2:
            yield _Piece(part, code=True, strong=strong)
            continue
        for word in re.findall(r" +|[^ ]+", part):
            yield from _word(word, strong=strong)


def _word(word: str, *, strong: bool) -> Iterator[_Piece]:
    trail = _TRAIL.search(word)
    core = word[: trail.start()] if trail else word
    rest = word[len(core) :]
    if word.isspace() or not core or _PLAIN.fullmatch(core):
        yield _Piece(word, code=False, strong=strong)
        return
    yield _Piece(core, code=True, strong=strong)
    if rest:
        yield _Piece(rest, code=False, strong=strong)


def _code_span(text: str) -> str:
    """A code span whose fence is longer than any run of backticks inside."""
    if not text.strip(" "):
        return "&nbsp;" * len(text[:NAME_LIMIT])
    text = text.replace(*LOG_COMMAND)
    longest = max(map(len, re.findall("`+", text)), default=0)
    pad = " " if "`" in (text[0], text[-1]) or (text[0] == text[-1] == " ") else ""
    return f"{'`' * (longest + 1)}{pad}{text}{pad}{'`' * (longest + 1)}"


def _prose(text: str) -> str:
    """Safe prose as Markdown: only what could begin or end a structure is left to escape."""
    return re.sub(r"([<&*_\\\[\]#~])", r"\\\1", text)


def _line(spans: Spans) -> str:
    """One line of Markdown; never a list item, heading, rule or quote."""
    pieces = _pieces(spans)
    first = pieces[0].text.split() if pieces and not pieces[0].code else []
    if first and _LIST_MARKER.match(first[0]):
        space, head, rest = pieces[0].text.partition(first[0])
        split = (replace(pieces[0], text=space), replace(pieces[0], text=head, code=True))
        pieces = _joined_up((*split, replace(pieces[0], text=rest), *pieces[1:]))
    return _indented("".join(_runs(pieces, _written))).rstrip()


def _written(piece: _Piece) -> str:
    return _code_span(piece.text) if piece.code else _prose(piece.text)


def _runs(pieces: list[_Piece], write: Callable[[_Piece], str]) -> Iterator[str]:
    """The pieces written, those that are strong together in one element; a tag keeps code spans apart."""
    for strong, run in groupby(pieces, key=lambda piece: piece.strong):
        written = "".join(map(write, run))
        yield f"<b>{written}</b>" if strong and written.strip() else written


def _indented(written: str) -> str:
    depth = len(written) - len(written.lstrip(" "))
    return "&nbsp;" * 2 * depth + written.lstrip(" ")


def _title(spans: Spans) -> str:
    """One line of HTML, for the title of a fold."""
    return "".join(_runs(_pieces(spans), _as_html)).strip()


def _as_html(piece: _Piece) -> str:
    text = html.escape(piece.text, quote=False)
    # Prose holds ">" in "->" alone, and there it stands for itself.
    return f"<code>{text}</code>" if piece.code else text.replace("&gt;", ">")


# ---------------------------------------------------------------- blocks


def _cell(spans: Spans) -> str:
    """One cell: a pipe is escaped; behind a backslash, where no escape is sure, it is written out."""
    return re.sub(r"(?<!\\)\|", r"\\|", re.sub(r"(?<=\\)\|", r"x7c", _line(spans)))


def _table(table: Table, budget: int) -> str:
    rules = ("--:" if column in table.numeric else "---" for column in range(len(table.columns)))
    head = [_row(_cell(line(title)) for title in table.columns), _row(rules)]
    rows = [_row(map(_cell, row)) for row in table.rows]
    return "\n".join([*head, *_fitting(rows, budget - len("\n".join(head)), "rows", _row)])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fitting(
    lines: Sequence[str], budget: int, what: str, wrap: Callable[[list[str]], str] | None = None
) -> list[str]:
    """The first lines that fit, and how many more there are."""
    kept: list[str] = []
    room = budget - 40
    for each in lines:
        room -= len(each) + 1
        if room < 0:
            note = f"… {len(lines) - len(kept):,} {what} more"
            return [*kept, wrap([note]) if wrap else note]
        kept.append(each)
    return kept


def _text(text: Text, budget: int) -> str:
    lines = [each for each in map(_line, text.lines) if each]
    if text.box is None:
        return "\\\n".join(_fitting(lines, budget - len(lines), "lines"))
    quoted = _fitting([f"> {each}\\" for each in lines], budget - 20, "lines", "> ".join)
    return f"> [!{_BOXES.get(text.box, 'NOTE')}]\n" + "\n".join(quoted).removesuffix("\\")


def _fenced(lines: Sequence[str], language: str, budget: int) -> str:
    longest = max((len(run) for each in lines for run in re.findall("`+", each)), default=0)
    fence = "`" * max(3, longest + 1)
    kept = _fitting(lines, min(budget, _LONGEST_BLOCK) - 2 * len(fence) - len(language), "lines")
    return "\n".join([fence + language, *kept, fence])


def _block(block: Block, budget: int) -> str:
    """One block; "" where nothing of it would fit."""
    written = ""
    match block:
        case Heading(spans, level):
            written = f"{'#' * (level + 1)} {_line(spans)}"
        case Text():
            written = _text(block, budget)
        case Table():
            written = _table(block, int(budget * _TABLE_SHARE))
        case Diff(lines):
            signed = (
                f"{each.sign.replace('~', '!')} {'  ' * each.depth}{inert(each.text, 2 * VALUE_LIMIT)}"
                + (f"  {inert(each.note)}" if each.note else "")
                for each in lines
            )
            written = _fenced([each.rstrip() for each in signed], "diff", budget)
        case Code(text, language):
            written = _fenced([inert(each) for each in text.splitlines()], language, budget)
        case Fold():
            written = _fold(block, budget)
    return written if len(written) <= budget else ""


def _fold(fold: Fold, budget: int) -> str:
    """A fold with as many of its blocks as fit; without any, its title alone."""
    head = f"{_FOLD}\n<summary>{_title(fold.title)}</summary>"
    tail = "\n\n</details>"
    body, cut = _joined(fold.blocks, budget - len(head) - len(tail) - 60)
    if body:
        more = "\n\n… more was left out" if cut else ""
        return f"{head}\n\n{body}{more}{tail}"
    alone = _line(fold.title)
    return alone if len(alone) <= budget else ""


def _joined(blocks: Sequence[Block], budget: int) -> tuple[str, bool]:
    """The blocks that fit, apart by empty lines, and whether something was left out.

    Details give way to the titles of what comes after them.
    """
    titles = [len(_line(block.title)) + 2 if isinstance(block, Fold) else 0 for block in blocks]
    kept = sum(titles) if sum(titles) < budget else 0
    done: list[str] = []
    cut = False
    for block, title in zip(blocks, titles, strict=True):
        kept = max(kept - title, 0)
        written = _block(block, budget - kept) if budget - kept > _LEAST else ""
        cut = cut or not written or (isinstance(block, Fold) and not written.startswith(_FOLD))
        if not written:
            continue
        done.append(written)
        budget -= len(written) + 2
    return "\n\n".join(done), cut


def render(page: Page, limit: int = LIMIT) -> str:
    """The page as GitHub's Markdown of at most `limit` characters; what was left out is said at the end.

    Errors: ValueError for a limit under 1,000, where not even the summary is sure to fit.
    """
    if limit < 1_000:  # noqa: PLR2004 - told in the docstring
        raise ValueError(limit)
    body, cut = _joined(summary_first(page), limit - len(_NOTICE) - 1)
    return body + (_NOTICE if cut else "\n")
