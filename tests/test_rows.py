"""Rows become CSV, JSON lines and Parquet: whole or absent, and nothing of a value is lost."""

import csv
import gzip
import hashlib
import io
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync import encoding, errors, rows

Cells = list[list[str | None]]
CELLS: Cells = [
    ["0017", "plain"],
    ["9007199254740993", ""],
    [None, "a,b"],
    ['say "hi"', "two\r\nlines"],
    ["用户", " spaces "],
    ["NULL", None],
    ["\x00", "\ufeff"],
]
COLUMNS = ["id", 'the "name", 名']


def read(path: Path) -> tuple[list[str], Cells]:
    """Read a file of any format with a reader that is not ours."""
    if path.suffix == ".parquet":
        import duckdb

        found = duckdb.connect().from_parquet(str(path))
        assert set(map(str, found.types)) == {"VARCHAR"}
        return list(found.columns), [list(row) for row in found.fetchall()]
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    if ".jsonl" in path.name:
        records = [json.loads(line) for line in text.split("\n")[:-1]]
        return list(records[0]) if records else [], [list(record.values()) for record in records]
    header, *body = csv.reader(io.StringIO(text, newline=""))
    return header, [list(row) for row in body]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, columns: Sequence[str], cells: Cells, *, formula_safe: bool = False) -> rows.Written:
    written = rows.write(path, columns, [cells[:2], [], cells[2:]], formula_safe=formula_safe)
    rows.place(rows.part_of(path), path)
    return written


@pytest.mark.parametrize("suffix", rows.SUFFIXES)
def test_every_format_keeps_every_value(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"[out]* it's=1{suffix}"
    written = write(path, COLUMNS, CELLS)
    columns, cells = read(path)
    plain = [[value or "" for value in row] for row in CELLS]
    assert columns == COLUMNS
    assert cells == (plain if ".csv" in suffix else CELLS)
    assert written.rows == len(CELLS)
    assert written.bytes == path.stat().st_size
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", rows.SUFFIXES)
def test_no_rows_are_a_file_too(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    assert write(path, ["id"], []).rows == 0
    assert read(path) == (([], []) if "jsonl" in suffix else (["id"], []))


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_one_column_may_be_missing_in_a_row(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"one{suffix}"
    cells: Cells = [[None], [""], ["x"], [None]]
    write(path, ["id"], cells)
    assert read(path) == (["id"], cells)


def test_an_empty_text_is_not_a_missing_value_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write(path, ["a", "b", "c"], [["", None, "x"], [None, "", ""], ["1", "2", "3"]])
    assert path.read_text() == 'a,b,c\n"",,x\n,"",""\n1,2,3\n'


def careful(cells: Cells) -> str:
    lines = []
    for row in cells:
        line = []
        for value in row:
            if value is None:
                line.append("")
            elif value == "" or set(value) & set('",\r\n'):
                line.append('"' + value.replace('"', '""') + '"')
            else:
                line.append(value)
        lines.append(",".join(line) + "\n")
    return "".join(lines)


VALUES = st.one_of(st.none(), st.text(alphabet='a,"\n\r =é0', max_size=4), st.text(max_size=5))


@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=1)))
def test_the_fast_way_to_csv_is_the_careful_way(cells: Cells) -> None:
    assert rows.csv_text(cells, len(cells[0])) == careful(cells)


@given(st.lists(st.lists(VALUES, min_size=2, max_size=2), min_size=1))
def test_json_lines_are_json(cells: Cells) -> None:
    text = rows.jsonl_encoder(["100%s", '"'])(cells)
    assert [list(json.loads(line).items()) for line in text.split("\n")[:-1]] == [
        [("100%s", first), ('"', second)] for first, second in cells
    ]


@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=1)))
def test_our_reader_reads_what_our_writer_writes(cells: Cells) -> None:
    width = len(cells[0])
    header: list[str | None] = [f"h{n}" for n in range(width)]
    text = rows.csv_text([header, *cells], width)
    found = encoding.split(text.removesuffix("\n").split("\n"), ",")
    assert list(found) == [header, *cells]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+x", "'+x"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ('=HYPERLINK("x")', '"\'=HYPERLINK(""x"")"'),
        ("\uff1d1", "'\uff1d1"),
        ("-5", "-5"),
        ("+4.25", "+4.25"),
        ("a=b", "a=b"),
        ("", '""'),
    ],
)
def test_a_formula_is_made_harmless_where_it_is_asked_for(value: str, written: str) -> None:
    assert rows.csv_text([["k", value]], 2, formula_safe=True) == f"k,{written}\n"
    assert "'" not in rows.csv_text([["k", value]], 2)


def test_formulas_in_the_header_and_in_the_first_column_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write(path, ["=a", "b"], [["x", "y"], ["=x", "y"]], formula_safe=True)
    assert path.read_text() == "'=a,b\nx,y\n'=x,y\n"


def test_equal_rows_give_equal_bytes_in_gz(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv.gz", tmp_path / "b.csv.gz"
    assert write(first, COLUMNS, CELLS).sha256 == write(second, COLUMNS, CELLS).sha256


def failing(cells: Cells) -> Iterator[Cells]:
    yield cells
    raise errors.NoAnswerError("cut")


@pytest.mark.parametrize("suffix", rows.SUFFIXES)
def test_nothing_is_left_of_a_write_that_failed_and_the_old_file_stays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    with pytest.raises(errors.NoAnswerError):
        rows.write(path, COLUMNS, failing(CELLS))
    assert names(tmp_path) == [path.name]
    assert path.read_text() == "old"


@pytest.mark.parametrize("suffix", rows.SUFFIXES)
def test_a_row_of_another_width_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(errors.ExportError, match="2 values"):
        rows.write(tmp_path / f"a{suffix}", COLUMNS, [[["a", "b"], ["c"], ["d", "e", "f"]]])
    assert not names(tmp_path)


@pytest.mark.parametrize("suffix", rows.SUFFIXES)
def test_half_a_character_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(errors.ExportError, match="half a character"):
        rows.write(tmp_path / f"a{suffix}", ["a"], [[["\ud800"]]])
    assert not names(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ExportError, match=r"cannot write .*a\.csv"):
        rows.write(tmp_path / "file" / "a.csv", ["a"], [])


def test_a_part_that_a_killed_run_left_is_replaced_and_not_reused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    part = rows.part_of(path)
    part.write_text("x" * 100)
    part.chmod(0o644)
    write(path, ["a"], [["1"]])
    assert path.read_text() == "a\n1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write(tmp_path / "x" / "y" / "a.csv", ["a"], [])
    assert (tmp_path / "x" / "y" / "a.csv").exists()


@pytest.mark.parametrize("name", ["a.txt", "csv", ".csv", "a.CSV", "a.parquet.gz", "a.gz"])
def test_another_suffix_is_refused(name: str) -> None:
    with pytest.raises(errors.UsageError, match=r"\.csv, \.csv\.gz, \.jsonl, \.jsonl\.gz, \.parquet"):
        rows.check(Path(name))


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(errors.ExportError, match="is a folder"):
        rows.check(tmp_path / "a.csv")


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ExportError, match="is no folder"):
        rows.check(tmp_path / "file" / "x" / "a.csv")


def test_parquet_without_duckdb_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "find_spec", lambda _: None)
    with pytest.raises(errors.ExportError, match="pip install duckdb"):
        rows.check(Path("a.parquet"))
    rows.check(Path("a.csv"))


def test_a_file_is_on_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def replaced(before: str, after: str) -> None:
        done.append("rename")
        replace(before, after)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write(tmp_path / "a.csv", ["a"], [["1"]])
    assert done == ["file", "rename", "folder"]


def test_ids_are_hashed_with_the_salt_and_nothing_else_is() -> None:
    (found,) = rows.hashed([[["id", "x"], ["", "y"], [None, "z"]]], [0], "salt")
    assert found == [[hashlib.sha256(b"saltid").hexdigest(), "x"], ["", "y"], [None, "z"]]
