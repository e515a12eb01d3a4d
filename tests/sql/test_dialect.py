"""How values are written: nothing holds what a terminal would obey, and each means the same."""

from typing import Any

import duckdb
import pytest

from audiencesync.errors import PreviewError
from audiencesync.sql.dialect import BIGQUERY, DIALECTS, DUCKDB

UNSEEN = [
    *map(chr, (*range(1, 32), *range(0x7F, 0xA0), *range(0x200B, 0x2010), *range(0x2028, 0x202F))),
    *map(chr, (*range(0x2060, 0x2070), 0x61C, 0x3164, 0xFEFF, 0xE000, 0xE0041, 0xE0100)),
]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
def test_no_literal_holds_what_a_terminal_would_obey(dialect: Any) -> None:
    for letter in UNSEEN:
        assert letter not in dialect.text(f"a{letter}b")
    assert "##[" not in dialect.text("##[add-mask]a ###[")
    for plain in ("", "a", "ünï 🎉", "%s {} \\d+"):
        assert dialect.text(plain)[0] == "'"


def test_escaped_literals_are_the_same_text_in_duckdb() -> None:
    texts = [f"it's{letter}9 \\x1b \\\\ {letter}" for letter in (*UNSEEN, "##[", "###[")]
    with duckdb.connect() as connection:
        row = connection.execute(f"SELECT {', '.join(map(DUCKDB.text, texts))}").fetchone()
    assert row == tuple(texts)
    assert DUCKDB.text("a\x1b9\\'") == "E'a\\x1b9\\\\'''"
    assert DUCKDB.text("a\\'") == "'a\\'''"


def test_escaped_literals_and_names_of_bigquery() -> None:
    assert BIGQUERY.text("it's\x1b9\\\n\u202e") == "'it\\'s\\u001b9\\\\\\n\\u202e'"
    assert BIGQUERY.text("\U000e0041###[") == "'\\U000e0041#\\u0023#['"
    assert BIGQUERY.identifier("a\x1b`\\") == "`a\\u001b\\`\\\\`"
    with pytest.raises(PreviewError, match="a name with a character that cannot be seen"):
        DUCKDB.identifier("a\x1b")
