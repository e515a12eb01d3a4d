"""RE2 as every engine reads it."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync.regexps import fault, portable

re2 = pytest.importorskip("re2", reason="this platform has no google-re2")


@pytest.mark.parametrize("pattern", ["(", "(?!a)", r"(a)\1", "a{1001}", "\ud800"])
def test_a_fault_has_words(pattern: str) -> None:
    assert fault(pattern)


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("(?<x>abc)", "(?P<x>abc)"),
        ("(?P<x>abc)", "(?P<x>abc)"),
        (r"\(?<x", r"\(?<x"),
        (r"a\\(?<x>b)", r"a\\(?P<x>b)"),
        ("[(?<]a", "[(?<]a"),
        ("[]a(?<](?<x>b)", "[]a(?<](?P<x>b)"),
        ("[^]](?<x>b)", "[^]](?P<x>b)"),
        ("[[:alpha:](?<](?<x>b)", "[[:alpha:](?<](?P<x>b)"),
        (r"[\](?<](?<x>b)", r"[\](?<](?P<x>b)"),
        (r"\Qa.b", r"\Qa.b\E"),
        (r"\Qa(?<x>\E(?<x>b)", r"\Qa(?<x>\E(?P<x>b)"),
        ("\\Qa\\", "\\Qa\\\\E"),
    ],
)
def test_the_written_form(pattern: str, written: str) -> None:
    assert not fault(pattern)
    assert portable(pattern) == written


PIECES = ["(?<x>", ")", "(", "[", "]", "^", "\\Q", "\\E", "\\", "a", "b", ".", "|", "?", "[:alpha:]", "$"]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.text("ab().<?x\\", max_size=4))
def test_it_matches_the_same_texts_alone_and_inside_another(pattern: str, text: str) -> None:
    if fault(pattern):
        return
    matches = re2.fullmatch(pattern, text) is not None
    assert (re2.search(f"^(?:{portable(pattern)})$", text) is not None) == matches
    assert duckdb.execute("SELECT regexp_full_match(?, ?)", [text, portable(pattern)]).fetchall() == [
        (matches,)
    ]
