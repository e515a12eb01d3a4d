"""A table is read whatever it is written in, and refused where it is no table."""

import codecs
import random
from pathlib import Path

import pytest

from audiencesync import encoding, errors

TABLE: list[list[str | None]] = [
    ["用户ID", "城市", "备注"],
    ["0017", "北京", "一二,三"],
    ["9007199254740993", "", 'er sagt "ja"'],
    [None, "Zürich", "zwei\nZeilen"],
]


def text_of(cells: list[list[str | None]], delimiter: str = ",", end: str = "\r\n") -> str:
    def cell(value: str | None) -> str:
        if value is None:
            return ""
        return '"' + value.replace('"', '""') + '"' if value == "" or set(value) & set('",\n\t') else value

    return "".join(delimiter.join(map(cell, row)) + end for row in cells)


def read(path: Path, asked: str = "") -> tuple[encoding.Writing, list[list[str | None]]]:
    writing = encoding.sniff(path, asked)
    return writing, list(encoding.records(path, writing))


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize(
    ("codec", "mark", "asked", "found"),
    [
        ("utf-8", b"", "", "UTF-8"),
        ("utf-8", codecs.BOM_UTF8, "UTF-16LE", "UTF-8"),
        ("utf-16-le", b"", "UTF-16LE", "UTF-16LE"),
        ("utf-16-le", b"", "", "UTF-16LE"),
        ("utf-16-le", codecs.BOM_UTF16_LE, "", "UTF-16LE"),
        ("utf-16-be", b"", "UTF-16LE", "UTF-16BE"),
        ("utf-16-be", codecs.BOM_UTF16_BE, "", "UTF-16BE"),
        ("utf-32-le", codecs.BOM_UTF32_LE, "", "UTF-32LE"),
        ("gb18030", b"", "", "GB18030"),
        ("gb18030", b"", "UTF-16LE", "GB18030"),
        ("gb18030", b"", "no such thing", "GB18030"),
        ("gb18030", b"", "rot13", "GB18030"),
    ],
)
def test_the_character_set_and_the_delimiter_are_found_out(
    tmp_path: Path, codec: str, mark: bytes, asked: str, found: str, delimiter: str
) -> None:
    path = tmp_path / "raw"
    path.write_bytes(mark + text_of(TABLE, delimiter).encode(codec))
    writing, table = read(path, asked)
    assert (writing.encoding, writing.delimiter) == (found, delimiter)
    assert table == TABLE


def test_the_charset_asked_for_is_tried_before_gb18030(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes("名前,市\r\n山田,東京\r\n".encode("shift_jis"))
    writing, table = read(path, "Shift_JIS")
    assert writing.encoding == "SHIFT_JIS"
    assert table[1] == ["山田", "東京"]


def test_a_chinese_character_with_a_zero_byte_does_not_turn_the_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes("一一一一一,一一一一\n一一一一,一一一一一\n".encode("utf-16-le"))
    assert read(path)[0].encoding == "UTF-16LE"
    path.write_bytes("一一一一一,一一一一\n一一一一,一一一一一\n".encode("utf-16-be"))
    assert read(path)[0].encoding == "UTF-16BE"


def test_the_first_chinese_character_may_come_late(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(b"id,city\n" + b"1,a\n" * 600_000 + "2,北京\n".encode("gb18030"))
    writing, table = read(path)
    assert writing.encoding == "GB18030"
    assert table[-1] == ["2", "北京"]


def test_a_stray_zero_byte_in_utf8_is_not_utf16(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes("id,名\n".encode() + "1,北京\n".encode() * 200 + b"2,\x00\n")
    writing, table = read(path)
    assert writing.encoding == "UTF-8"
    assert table[-1] == ["2", "\x00"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1 << 20])
@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "gb18030"])
def test_blocks_may_end_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, size: int
) -> None:
    path = tmp_path / "raw"
    path.write_bytes(text_of(TABLE * 3).encode(codec))
    monkeypatch.setattr(encoding, "_BLOCK", size)
    assert read(path)[1] == TABLE * 3


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_known(tmp_path: Path, end: str) -> None:
    path = tmp_path / "raw"
    path.write_bytes(f'a,b{end}1,{end},""{end}x,y'.encode())
    assert read(path)[1] == [["a", "b"], ["1", None], [None, ""], ["x", "y"]]


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("id\n1\n2\n", [["id"], ["1"], ["2"]]),
        ("id\n\n2\n", [["id"], [None], ["2"]]),
        ("id\na,b\nc\n", [["id"], ["a,b"], ["c"]]),
        ("a,b\n\n1,2\n\n", [["a", "b"], ["1", "2"]]),
        ('a,b\n"1" ,2\n', [["a", "b"], ["1 ", "2"]]),
        ('a,b\n5" pipe,2\n', [["a", "b"], ['5" pipe', "2"]]),
        ('a,b\n"x,\n\n""y""",2\n', [["a", "b"], ['x,\n\n"y"', "2"]]),
        ("a\tb\n1,5\t2\n", [["a", "b"], ["1,5", "2"]]),
        ('"a,b"\tc\n1\t2\n', [["a,b", "c"], ["1", "2"]]),
        ("a,b,\n1,2,\n", [["a", "b", None], ["1", "2", None]]),
        ("id", [["id"]]),
    ],
)
def test_records_are_what_a_spreadsheet_would_show(
    tmp_path: Path, text: str, table: list[list[str | None]]
) -> None:
    path = tmp_path / "raw"
    path.write_bytes(text.encode())
    assert read(path)[1] == table


def test_a_file_may_begin_inside_a_long_quoted_value(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(('a,b\n1,"' + "x\n" * 50_000 + '"\n').encode())
    assert read(path)[1] == [["a", "b"], ["1", "x\n" * 50_000]]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Sign in", "web page"),
        ("\ufeff\n<html>".encode(), "web page"),
        (b'{"error": "unauthorized"}', "JSON answer"),
        (b'[{"error": "unauthorized"}]', "JSON answer"),
        ("<html><body>".encode("utf-16-le"), "web page"),
        (b"a,b\n1,2\n3\n", "record 3 has 1 values and the header 2"),
        (b'a,b\n1,"2\n', "ends inside a quoted value"),
        ("a,b\n1,2\n".encode("utf-16-le")[:-1], "cut off"),
        (b"PK\x03\x04\x14\x00\x08\x08" + random.Random(1).randbytes(5000), "no text"),
        (random.Random(2).randbytes(70_000), "no text"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, raw: bytes, said: str) -> None:
    path = tmp_path / "raw"
    path.write_bytes(raw)
    with pytest.raises(errors.ExportError, match=said):
        read(path)


def test_an_endless_line_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "_LONGEST", 1000)
    monkeypatch.setattr(encoding, "_BLOCK", 100)
    path = tmp_path / "raw"
    path.write_bytes(b"a,b\n1," + b"x" * 5000)
    with pytest.raises(errors.ExportError, match="a line is longer"):
        read(path)
    path.write_bytes(b'a,b\n1,"' + b"x\n" * 5000)
    with pytest.raises(errors.ExportError, match="does not end within"):
        read(path)


def test_column_names_differ() -> None:
    assert encoding.column_names(["id", None, " id ", "", "id_2"]) == (
        "id",
        "column_2",
        "id_2",
        "column_4",
        "id_2_2",
    )


def test_batches_hold_every_record() -> None:
    sizes = [len(batch) for batch in encoding.batches([["x"]] * 25_000)]
    assert sizes == [10_000, 10_000, 5_000]
