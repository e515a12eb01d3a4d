"""Text: wrapping, columns and indents by what a terminal shows, not by characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audiencesync.report import text
from audiencesync.report.escape import cells
from audiencesync.report.page import Block, Code, Diff, DiffLine, Fold, Span, Table, Text, Tone, line


def rendered(*page: Block, width: int = 40) -> list[str]:
    return text.render(page, width=width, colour=False).splitlines()


@given(st.lists(st.text("ab 日", max_size=12), max_size=6), st.integers(10, 60))
def test_wrapping_loses_no_word_and_keeps_the_width(words: list[str], width: int) -> None:
    spans = tuple(Span(word, tone) for word, tone in zip(words, list(Tone)[:6], strict=False))
    shown = rendered(Text((spans,)), width=width)
    assert "".join("".join(shown).split()) == "".join("".join(words).split())
    longest = max((cells(word) for word in "".join(words).split()), default=0)
    assert all(cells(each) <= max(width, longest + 2) for each in shown)


def test_what_follows_the_first_line_is_indented() -> None:
    assert rendered(Text((line("one two three four"),)), width=10) == ["one two", "  three", "  four"]


def test_columns_align_by_cells() -> None:
    rows = ((line("日本"), line("1")), (line("ab"), line("1,234")))
    assert rendered(Table(("name", "users"), rows, numeric=frozenset({1}))) == [
        "name  users",
        "日本      1",
        "ab    1,234",
    ]


def test_a_long_cell_pushes_only_its_own_row() -> None:
    rows = ((line("x" * 60), line("1")), (line("ab"), line("2")))
    assert rendered(Table(("name", "n"), rows)) == ["name  n", "x" * 60 + "  1", "ab    2"]


def test_a_fold_indents_what_is_below_it() -> None:
    inside = Diff((DiffLine("+", 0, "a: 1", "(note)"), DiffLine("-", 1, "b")))
    assert rendered(Fold(line("title"), (inside, Code("x\ny")))) == [
        "title",
        "    + a: 1  (note)",
        "      - b",
        "    x",
        "    y",
    ]


def test_no_line_is_a_command_to_a_runner() -> None:
    page = (Text((line("::error::x"), line("  ::warning::y"), line("a", "##", "[group]b"))),)
    assert rendered(*page, width=80) == [r"\x3a:error::x", r"  \x3a:warning::y", r"a\x23#[group]b"]
