"""The ownership mark: what is written is read, and nothing else is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync.mark import Mark, NotOurs, attach, looks_like_mark, read, strip, write

MARK = Mark("acme-web", "cart-abandoners", 2, "4711")
LINE = write(MARK, "1000")

marks = st.builds(
    Mark,
    st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True),
    st.integers(1, 999_999_999),
    st.one_of(st.just(""), st.integers(1, 10**19).map(str)),
    st.booleans(),
)
texts = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not looks_like_mark(text))


def test_a_mark_reads_as_its_drawing_says() -> None:
    assert re.fullmatch(r"\[audiencesync acme-web:cart-abandoners g2 @4711 [a-z2-7]{4}\]", LINE)


def test_a_kept_audience_says_so_before_the_check() -> None:
    assert re.search(r" @4711 keep [a-z2-7]{4}\]$", write(Mark("o", "k", 1, "4711", True), "1000"))


@given(marks, texts)
def test_what_is_written_is_read(mark: Mark, text: str) -> None:
    description = attach(text, mark, "1000")
    assert read(description, "1000", mark.id or "5") == mark
    assert strip(description) == text.rstrip()


@pytest.mark.parametrize(
    "description",
    [
        LINE + "\nwritten below it in the UI",
        "before it, with the newline lost " + LINE,
        LINE + " and behind it",
        "  " + LINE + "  \n\n",
    ],
)
def test_a_mark_counts_wherever_it_stands(description: str) -> None:
    assert read(description, "1000", "4711") == MARK
    assert "audiencesync" not in strip(description)


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (LINE.replace("g2", "g3"), "edited"),
        (LINE.replace("acme-web", "acme-app"), "edited"),
        (LINE.replace("cart", "card"), "edited"),
        (LINE.replace("@4711", "@4712"), "edited"),
        (LINE[:-1], "edited"),
        (LINE[:20], "edited"),
        (LINE.upper(), "edited"),
        (LINE + "\n" + LINE, "several"),
        (write(MARK, "2000"), "another property"),
        (write(Mark("acme-web", "cart-abandoners", 2, "4712"), "1000"), "copy"),
    ],
)
def test_a_mark_that_is_not_as_we_wrote_it_here_is_not_ours(description: str, reason: str) -> None:
    found = read(description, "1000", "4711")
    assert isinstance(found, NotOurs)
    assert reason in found.reason


def test_a_flag_of_a_newer_version_keeps_our_hands_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiencesync.mark.KEEP", "future")
    line = write(Mark("o", "k", 1, "5", True), "1000")
    monkeypatch.undo()
    found = read(line, "1000", "5")
    assert isinstance(found, NotOurs)
    assert "newer" in found.reason


def test_no_mark_is_no_mark() -> None:
    assert read("An audience [of ours] for audiencesync's users", "1000", "1") is None


@given(st.text(), st.text(max_size=8))
def test_any_text_is_read_without_an_exception(text: str, number: str) -> None:
    for description in (text, f"[audiencesync {text}]", LINE[: len(text)] + text):
        read(description, "1000", number)
        assert strip(strip(description)) == strip(description)
