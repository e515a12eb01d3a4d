"""A page of members is read however it is laid out and wherever it is cut into pieces."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync.errors import ServerError
from audiencesync.members import Page


def pieces(raw: bytes, size: int) -> Iterator[bytes]:
    for place in range(0, len(raw), size):
        yield raw[place : place + size]


def read(raw: bytes, width: int, size: int = 7) -> tuple[list[list[str]], int | None]:
    page = Page(pieces(raw, size), width)
    rows = [row for batch in page.batches() for row in batch]
    return rows, page.total


def answer(rows: list[list[str]]) -> dict[str, object]:
    return {
        "audienceExport": {"name": "x", "dimensions": [{"dimensionName": "deviceId"}], "state": "ACTIVE"},
        "audienceRows": [
            {"dimensionValues": [{"value": value} if value else {} for value in row]} for row in rows
        ],
        "rowCount": len(rows),
    }


@given(
    rows=st.lists(st.lists(st.text(), min_size=2, max_size=2)),
    size=st.integers(1, 50),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
)
def test_every_value_arrives_wherever_the_pieces_end(
    rows: list[list[str]], size: int, indent: int | None, ascii_only: bool
) -> None:
    raw = json.dumps(answer(rows), indent=indent, ensure_ascii=ascii_only).encode()
    assert read(raw, 2, size) == (rows, len(rows))


def test_the_order_of_the_keys_does_not_matter() -> None:
    raw = b'{"rowCount": "12", "audienceRows": [{"dimensionValues": [{"value": "a"}]}]}'
    assert read(raw, 1) == ([["a"]], 12)


@pytest.mark.parametrize(
    "raw", [b"{}", b' {"kind": "x"} ', b'{"audienceRows": null}', b'{"audienceRows": []}']
)
def test_a_page_may_be_empty(raw: bytes) -> None:
    assert read(raw, 1) == ([], None)


def test_a_whole_page_comes_in_batches() -> None:
    raw = json.dumps(answer([["x"]] * 12_000)).encode()
    page = Page(pieces(raw, 1 << 16), 1)
    assert [len(batch) for batch in page.batches()] == [5_000, 5_000, 2_000]


WHOLE = json.dumps(answer([["a", "b"]] * 3)).encode()


@pytest.mark.parametrize("length", range(1, len(WHOLE)))
def test_a_page_that_ends_early_is_refused(length: int) -> None:
    with pytest.raises(ServerError):
        read(WHOLE[:length], 2)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"audienceRows": [{}]}',
        b'{"audienceRows": [1]}',
        b'{"audienceRows": [{"dimensionValues": [1]}]}',
        b'{"audienceRows": [{"dimensionValues": [{"value": 1}]}]}',
        b'{"audienceRows": [{"dimensionValues": [{"value": "a"}, {"value": "b"}]}]}',
        b'{"audienceRows": [{"dimensionValues": [{"value": "\xff"}]}]}',
        b'{"audienceRows": "x" "y"}',
        b'{"a" 1}',
        b'{"a": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_page_is_refused(raw: bytes) -> None:
    with pytest.raises(ServerError, match="cannot be read"):
        read(raw, 1, 1 << 16)
