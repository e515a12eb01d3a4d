"""Files that are damaged, gone, oddly named or do not fit, in the cache and outside; what --sql prints."""

import errno
import json
import os
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from audiencesync.errors import PreviewError
from audiencesync.settings import Events
from audiencesync.sql.facts import Span
from audiencesync.sql.preview import Comparison, duck, events_at, stage, statement
from audiencesync.sql.preview.records import silent
from audiencesync.wire import from_api
from tests.sql.cases import EVENT, SESSION
from tests.sql.test_preview import ROWS, TODAY, A, B, folder, run, write
from tests.sql.written import body, event, named, simple, text

LANDING = from_api(body(simple(EVENT, [text("landingPage", "/a")])))
VISITS = from_api(body(simple(SESSION, [named("a")], [named("b")])))
PARAMETER = from_api(body(simple(EVENT, [text("customEvent:level", "7")])))
COUNTRY = from_api(body(simple(EVENT, [text("country", "b")])))
ITEM = from_api(body(simple(EVENT, [text("itemName", "a")])))
HOST = from_api(body(simple(EVENT, [text("hostName", "a1")])))
FIRST = from_api(body(simple(EVENT, [text("firstSessionDate", "20231114")])))
ASKED = Comparison("k", A, B)


__all__ = ["folder"]  # a fixture


@pytest.fixture
def said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run with a cache says; even small files are staged."""
    monkeypatch.setattr(stage.Cache.__init__, "__defaults__", (0, stage.LARGEST))
    assert folder.is_dir()
    return []


def counted(folder: Path, said: list[str], asked: Comparison = ASKED) -> tuple[int | None, int | None]:
    said.clear()
    (found,) = run(folder, asked, cache_dir=folder / "cache", progress=said.append).estimates
    assert found.not_previewable is None
    return found.before, found.after


def staged_files(folder: Path, ending: str = "parquet") -> list[Path]:
    return sorted((folder / "cache" / "staged").glob(f"*.{ending}"))


def aged(folder: Path, seconds: float = 2 * stage.ABANDONED) -> None:
    then = time.time() - seconds
    for path in (folder / "cache" / "staged").iterdir():
        os.utime(path, (then, then))


def spoil(path: Path, column: str) -> Path:
    """Overwrites the pages of one column; the footer stays good."""
    with duckdb.connect() as connection:
        (start, size), *_ = connection.execute(
            "SELECT coalesce(dictionary_page_offset, data_page_offset), total_compressed_size "
            f"FROM parquet_metadata('{path}') WHERE path_in_schema = '{column}'"
        ).fetchall()
    data = bytearray(path.read_bytes())
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    return path


# the cache heals
def _other_columns(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 1 AS u, 2 AS other FROM range(11)) TO '{path}' (FORMAT parquet)")


def _fewer_rows(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT * FROM '{path}' LIMIT 1) TO '{path}.new' (FORMAT parquet)")
    Path(f"{path}.new").replace(path)


def _another_note(path: Path) -> None:
    note = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**note, "columns": [*note["columns"], "a + b"]}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.with_suffix(".json").write_text("{"),
        lambda path: path.with_suffix(".json").unlink(),
        _other_columns,
        _fewer_rows,
        _another_note,
    ],
)
def test_a_damaged_staged_file_is_removed_and_staged_anew(
    folder: Path, said: list[str], damage: Callable[[Path], object]
) -> None:
    assert counted(folder, said) == (7, 3)
    (path,) = staged_files(folder)
    damage(path)
    assert counted(folder, said) == (7, 3)
    assert f"the staged file {path.name} is damaged, so it is removed" in said
    assert any("staging the columns" in line for line in said)
    assert not path.exists()
    assert counted(folder, said) == (7, 3)
    assert not any("stag" in line for line in said)


def test_staged_pages_that_cannot_be_read_are_read_from_the_files(folder: Path, said: list[str]) -> None:
    counted(folder, said)
    spoil(staged_files(folder)[0], stage.name_of('"event_name"'))
    assert counted(folder, said) == (7, 3)
    assert "the staged columns cannot be read: reading the files themselves" in said
    assert staged_files(folder) == []
    assert counted(folder, said) == (7, 3)
    assert any("staging the columns" in line for line in said)


def test_a_staged_file_that_is_gone_before_it_is_read_is_no_error(
    folder: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stage.Cache.prepare

    def prepare(self: stage.Cache, *args: Any) -> stage.Staged | None:
        found = real(self, *args)
        assert found
        found.path.unlink()
        return found

    monkeypatch.setattr(stage.Cache, "prepare", prepare)
    assert counted(folder, said) == (7, 3)


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """No file may grow beyond the size: what DuckDB meets on a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_done_without_a_cache(folder: Path, said: list[str]) -> None:
    with no_room(200):
        assert counted(folder, said) == (7, 3)
    assert any("the cache cannot be written" in line and "reading the files" in line for line in said)
    assert [each.name for each in (folder / "cache" / "staged").iterdir()] == []


def test_the_state_folder_may_have_any_name(folder: Path, said: list[str]) -> None:
    for staging in (True, False):
        said.clear()
        run(folder, ASKED, cache_dir=folder / "a [b] *", progress=said.append)
        assert any("staging" in line for line in said) is staging
        assert not any("cannot be read" in line for line in said)


def test_the_cache_knows_a_file_by_any_spelling_of_its_path(folder: Path, said: list[str]) -> None:
    counted(folder, said)
    (folder / "link").symlink_to(folder / "events")
    for spelling in ("events/../events/*.parquet", "link", str(folder / "events" / "one.parquet")):
        said.clear()
        run(folder, ASKED, source=Events(parquet=spelling), cache_dir=folder / "cache", progress=said.append)
        assert not any("staging" in line for line in said), spelling


# two runs at once
def test_two_runs_may_stage_at_once(folder: Path, said: list[str]) -> None:
    inner: list[tuple[int | None, int | None]] = []

    def meanwhile(line: str) -> None:
        if "staging" in line:
            inner.append(counted(folder, [], Comparison("k", VISITS, LANDING)))

    (found,) = run(folder, ASKED, cache_dir=folder / "cache", progress=meanwhile).estimates
    assert (found.before, found.after) == (7, 3)
    assert inner == [counted(folder, said, Comparison("k", VISITS, LANDING))]
    assert not any("staging" in line for line in said)


def test_a_staged_file_is_never_without_its_note(
    folder: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        seen.append((target.suffix, target.exists(), target.with_suffix(".json").exists()))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    counted(folder, said)
    assert seen == [(".parquet", False, True)]


def test_a_staged_file_that_was_just_used_stays_until_it_is_old(folder: Path, said: list[str]) -> None:
    counted(folder, said)
    (first,) = staged_files(folder)
    counted(folder, said, Comparison("k", B, LANDING))
    both = staged_files(folder)
    assert first in both
    assert len(both) == 2
    counted(folder, said)
    assert staged_files(folder) == both
    aged(folder)
    counted(folder, said)
    assert staged_files(folder) == [each for each in both if each != first]


def test_what_dead_runs_left_is_swept_away(folder: Path, said: list[str]) -> None:
    counted(folder, said)
    cache = folder / "cache" / "staged"
    for name in ("dead.part", "dead.json"):
        (cache / name).write_text("x")
    aged(folder)
    for name in ("busy.part", "busy.json"):
        (cache / name).write_text("x")
    counted(folder, said, Comparison("k", B, LANDING))
    assert sorted(each.name for each in cache.iterdir() if len(each.stem) < 9) == ["busy.json", "busy.part"]


def test_a_copy_of_an_older_export_goes_away(folder: Path, said: list[str]) -> None:
    counted(folder, said)
    (before,) = staged_files(folder)
    source = folder / "events" / "one.parquet"
    os.utime(source, (1, 1))
    counted(folder, said)
    assert before in staged_files(folder)  # another run may be reading it
    aged(folder, 2 * stage.RECENT)
    counted(folder, said)
    assert before not in staged_files(folder)
    assert len(staged_files(folder)) == len(staged_files(folder, "json")) == 1


def test_a_copy_that_nobody_used_for_a_month_goes_away(folder: Path, said: list[str]) -> None:
    counted(folder, said)
    (before,) = staged_files(folder)
    aged(folder, stage.FORGOTTEN + 60)
    (folder / "other").mkdir()
    write(folder / "other" / "two.parquet", ROWS)
    run(folder, ASKED, source=Events(parquet="other"), cache_dir=folder / "cache", progress=said.append)
    assert before not in staged_files(folder)


# the very file
def two(folder: Path, *columns: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    for name in ("aaa", "zzz"):
        write(folder / "events" / f"{name}.parquet", rows)
    return write(folder / "events" / "two.parquet", rows, ", ".join(columns) or "*")


def refused(folder: Path, audience: Any = B, source: str = "events/*.parquet") -> str:
    with pytest.raises(PreviewError) as caught:
        run(folder, Comparison("k", None, audience), source=Events(parquet=source))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def spoilt(folder: Path, column: str) -> Path:
    names = ("a", "b", "c")
    return spoil(
        two(
            folder, rows=[event(f"user {n}", names[n % 3], geo={"country": names[n % 3]}) for n in range(500)]
        ),
        column,
    )


@pytest.mark.parametrize(
    ("column", "audience"), [("event_name", B), ("user_pseudo_id", B), ("geo, country", COUNTRY)]
)
def test_a_file_with_spoilt_pages_is_named(folder: Path, column: str, audience: Any) -> None:
    bad = spoilt(folder, column)
    assert refused(folder, audience).startswith(f"{bad}: ")
    assert refused(folder, audience, str(bad)).startswith(f"{bad}: ")


def test_a_file_with_spoilt_pages_is_named_though_it_was_to_be_staged(folder: Path, said: list[str]) -> None:
    bad = spoilt(folder, "event_name")
    with pytest.raises(PreviewError, match=f"{bad}: .*: export it again, or take it away"):
        counted(folder, said)


def test_a_file_with_a_spoilt_column_name_is_named(folder: Path) -> None:
    bad = two(folder)
    bad.write_bytes(bad.read_bytes().replace(b"country", b"c\xffuntry"))
    assert refused(folder) == f"{bad} is damaged: a column's name is no UTF-8; export it again"


def test_a_file_with_days_of_another_type_is_named(folder: Path) -> None:
    bad = two(folder, "* REPLACE (strptime(event_date, '%Y%m%d')::DATE AS event_date)")
    assert refused(folder) == (
        f"{bad}: column event_date is of another type than in {folder}/events/aaa.parquet"
    )


def test_a_file_with_rows_without_a_day_is_named(folder: Path) -> None:
    bad = two(folder, "* REPLACE (if(user_pseudo_id = 'b', 'n/a', event_date) AS event_date)")
    assert refused(folder) == f"{bad}: event_date 'n/a' is no day of the form YYYYMMDD"


def test_a_text_among_numbers_is_no_value(folder: Path) -> None:
    def parameter(number: str) -> str:
        return f"* REPLACE ([{{'key': 'ga_session_id', 'value': {{'int_value': {number}}}}}] AS event_params)"

    both = Comparison("k", None, VISITS)
    write(folder / "events" / "one.parquet", ROWS, parameter("'n/a'"))
    (found,) = run(folder, both).estimates
    assert found.after == 0
    write(folder / "events" / "two.parquet", ROWS, parameter("7"))
    (found,) = run(folder, both).estimates
    assert found.after == 2


def test_what_fails_on_every_file_is_no_files_fault(folder: Path) -> None:
    two(folder)
    engine = duck.open_source(Events(parquet="events"), folder, progress=silent)
    try:
        with pytest.raises(PreviewError, match=f"^{folder}/events: Invalid Input Error: no$"):
            engine.run(f"SELECT error('no') FROM {engine.table}")
    finally:
        engine.close()


def test_a_column_of_the_files_name_hides_no_mistake(folder: Path) -> None:
    columns = "* REPLACE (if(user_pseudo_id = 'b', 'n/a', event_date) AS event_date), 'x' AS filename"
    bad = two(folder, columns)
    assert refused(folder) == f"{bad}: event_date 'n/a' is no day of the form YYYYMMDD"


@pytest.mark.parametrize("day", ["2024031", "202403100", "2024-03-10", "20240230", "2024031\u0660"])
def test_a_day_has_eight_digits(folder: Path, day: str) -> None:
    bad = write(folder / "events" / "one.parquet", ROWS, f"* REPLACE ('{day}' AS event_date)")
    assert refused(folder) == f"{bad}: event_date {day!r} is no day of the form YYYYMMDD"


def test_ctrl_c_ends_a_count(folder: Path) -> None:
    engine = duck.open_source(Events(parquet="events"), folder, progress=silent)
    timer = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    # A test run in the background may have been told to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            engine.run("SELECT COUNT(DISTINCT hash(range)) FROM range(1_000_000_000)")
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
        engine.close()


@pytest.mark.parametrize("source", [Events(parquet="x" * 300), Events(duckdb="x" * 300)])
def test_a_path_that_the_system_refuses_is_named(folder: Path, source: Events) -> None:
    path = folder / ("x" * 300)
    with pytest.raises(PreviewError, match=f"^{path} cannot be read: File name too long$"):
        run(folder, ASKED, source=source)
    with pytest.raises(PreviewError, match=f"^{path} cannot be read: File name too long$"):
        statement([("k", A)], source, "duckdb", as_of=None, today=TODAY, base_dir=folder)


def test_a_folder_that_must_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_path: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # root may read any folder

    monkeypatch.setattr(Path, "iterdir", denied)
    assert refused(folder, source="events") == f"{folder}/events cannot be read: Permission denied"


def test_a_folder_name_does_not_take_the_place_of_a_column(folder: Path, said: list[str]) -> None:
    hive = folder / "event_date=2026-11-01" / "event_name=c"
    hive.mkdir(parents=True)
    (folder / "events" / "one.parquet").rename(hive / "a.parquet")
    source = Events(parquet="event_date=*/*/*.parquet")
    for _ in range(2):
        report = run(folder, ASKED, source=source, cache_dir=folder / "cache", progress=said.append)
        assert [(each.before, each.after) for each in report.estimates] == [(7, 3)]
        assert report.window == (date(2024, 3, 8), date(2024, 3, 10))


def test_a_folder_may_have_any_name(folder: Path) -> None:
    odd = folder / "my [data] v1 *?"
    odd.mkdir()
    write(odd / "plain.parquet", ROWS)
    (found,) = run(folder, ASKED, source=Events(parquet=odd.name)).estimates
    assert (found.before, found.after) == (7, 3)


def test_files_below_a_folder_are_left_out_and_said_so(folder: Path) -> None:
    (folder / "events" / "more [x]" / "deep").mkdir(parents=True)
    write(folder / "events" / "more [x]" / "deep" / "two.parquet", [event("late", "b")])
    said: list[str] = []
    (found,) = run(folder, ASKED, source=Events(parquet="events"), progress=said.append).estimates
    assert found.after == 3
    assert said[1] == (
        f"left out: 1 Parquet file in its subfolders of {folder}/events; 'events/**/*.parquet' has them too"
    )
    (folder / "events" / "one.parquet").unlink()
    assert refused(folder, source="events") == (
        f"{folder}/events holds no Parquet file itself, but 1 Parquet file in its subfolders: "
        "read them with 'events/**/*.parquet'"
    )
    (found,) = run(folder, ASKED, source=Events(parquet="events/**/*.parquet")).estimates
    assert found.after == 1
    assert refused(folder, source="events/more [x]").endswith(
        "read them with 'events/more [[]x]/**/*.parquet'"
    )


def test_links_in_a_circle_end(folder: Path) -> None:
    (folder / "events" / "deep").mkdir()
    write(folder / "events" / "deep" / "two.parquet", ROWS)
    for name in "abc":
        (folder / "events" / "deep" / name).symlink_to(folder / "events")
    said: list[str] = []
    run(folder, ASKED, source=Events(parquet="events"), progress=said.append)
    assert said[1].startswith("left out: 1 Parquet file in its subfolders")


@pytest.mark.parametrize("kind", ["DOUBLE", "DECIMAL(18, 0)", "UBIGINT", "HUGEINT", "VARCHAR"])
def test_a_time_that_is_no_bigint_is_refused_at_once(folder: Path, kind: str) -> None:
    bad = two(folder, f"* REPLACE (event_timestamp::{kind} AS event_timestamp)")
    assert refused(folder).startswith(f"{bad}: event_timestamp is no whole number of microseconds")


@pytest.mark.parametrize("kind", ["MAP(VARCHAR, VARCHAR)", "STRUCT(key VARCHAR, value VARCHAR)[]", "VARCHAR"])
def test_parameters_of_another_shape_are_said_to_be_there(folder: Path, kind: str) -> None:
    write(folder / "events" / "one.parquet", ROWS, f"* REPLACE (CAST(NULL AS {kind}) AS event_params)")
    counted_, not_counted = run(folder, ASKED, Comparison("p", None, PARAMETER)).estimates
    assert counted_.after == 3
    assert not_counted.not_previewable == (
        "the column event_params is there, but not as a list of records of key and value"
    )


@pytest.mark.parametrize(
    ("columns", "audience", "reason"),
    [
        (
            "* REPLACE (event_params[1] AS event_params)",
            PARAMETER,
            "the column event_params is there, but not as a list of records of key and value",
        ),
        (
            "* REPLACE ([{'key': 'a', 'value': {'double_value': 1.0}}] AS event_params)",
            VISITS,
            "sessions need the column event_params with int_value or string_value, which the export lacks",
        ),
        (
            "* REPLACE ({'item_name': 'a'} AS items)",
            ITEM,
            "the column items is there, but not as a list of records",
        ),
        (
            "* REPLACE ('x' AS user_first_touch_timestamp)",
            FIRST,
            "the column user_first_touch_timestamp is no number of microseconds (text)",
        ),
    ],
)
def test_a_column_of_another_shape_refuses_the_audience_alone(
    folder: Path, columns: str, audience: Any, reason: str
) -> None:
    write(folder / "events" / "one.parquet", ROWS, columns)
    counted_, not_counted = run(folder, ASKED, Comparison("p", None, audience)).estimates
    assert counted_.after == 3
    assert not_counted.not_previewable == reason


def test_a_time_that_may_be_missing_may_be_a_float(folder: Path) -> None:
    moment = "if(user_pseudo_id = 'b', 1.7e15, NULL)::DOUBLE"
    write(folder / "events" / "one.parquet", ROWS, f"* REPLACE ({moment} AS user_first_touch_timestamp)")
    (found,) = run(folder, Comparison("k", None, FIRST)).estimates
    assert found.after == 1


def test_a_parquet_file_is_no_duckdb_file(folder: Path) -> None:
    with pytest.raises(PreviewError, match=r"one\.parquet cannot be .*: it is a Parquet file, .* `parquet:`"):
        run(folder, ASKED, source=Events(duckdb="events/one.parquet"))


def test_a_duckdb_file_is_no_parquet_file(folder: Path) -> None:
    with duckdb.connect(str(folder / "raw.parquet")) as connection:
        connection.execute(f"CREATE TABLE events AS SELECT * FROM '{folder}/events/one.parquet'")
    assert refused(folder, source="raw.parquet") == (
        f"{folder}/raw.parquet cannot be read as Parquet: it is a DuckDB file, and those go under `duckdb:`"
    )
    assert events_at(str(folder / "raw.parquet")) == Events(duckdb=f"{folder}/raw.parquet")
    (folder / "events" / "one.parquet").rename(folder / "one.DB")
    assert events_at(str(folder / "one.DB")) == Events(parquet=f"{folder}/one.DB")
    assert events_at("nowhere.DB") == Events(duckdb="nowhere.DB")


def test_neighbours_beyond_the_exact_floats_have_a_caveat(folder: Path) -> None:
    large = 2**53
    rows = [event(f"u{n}", "a", params={"value": large + n}) for n in range(3)]
    write(folder / "events" / "one.parquet", rows)
    for number, after, said in ((large + 1, 2, 1), (large, 2, 0)):
        found_ = {"operation": "EQUAL", "value": {"int64Value": str(number)}}
        leaf = {"dimensionOrMetricFilter": {"fieldName": "customEvent:value", "numericFilter": found_}}
        asked = Comparison("k", None, from_api(body(simple(EVENT, [leaf]))))
        (found,) = run(folder, asked).estimates
        assert (found.after, sum("neighbours are equal" in each for each in found.caveats)) == (after, said)


def test_columns_of_any_name_change_nothing(folder: Path) -> None:
    audiences = PARAMETER, LANDING, ITEM, VISITS, HOST
    asked = [Comparison(str(number), None, each) for number, each in enumerate(audiences)]
    rows = [
        event(f"u{n // 2}", "ab"[n % 2], params={"level": 6 + n % 3, "page_location": f"https://a{n % 2}/a"},
              items=[{"item_name": "abc"[n % 3]}])
        for n in range(30)
    ]  # fmt: skip
    write(folder / "events" / "one.parquet", rows)
    before = run(folder, *asked).estimates
    assert all(each.after for each in before)
    record = "{'key': 'x', 'value': {'string_value': 'x', 'int_value': 1}, 'item_name': 'x'}"
    names = (*"abdefhiklmnopqrstuvwxyz", "ts", "ev", "raw", "f0", "m0", "o0")
    for value in (record, "7", "'x'"):
        write(folder / "events" / "one.parquet", rows, ", ".join(["*", *(f"{value} AS {n}" for n in names)]))
        assert run(folder, *asked).estimates == before


def test_a_list_of_addresses_takes_each_apart_once(folder: Path) -> None:
    leaves = [text("pagePath", f"/x{n}", "BEGINS_WITH") for n in range(40)]
    asked = from_api(body(simple(EVENT, leaves)))
    source = Events(parquet="events/*.parquet")
    sql = statement([("k", asked)], source, "duckdb", as_of=None, today=TODAY, base_dir=folder).sql
    with duckdb.connect() as connection:
        (plan,) = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()
    assert sql.count("list_filter") > 1
    assert plan[1].count("list_filter") <= sql.count("list_filter")


def test_without_any_folder_for_it_nothing_spills(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(**_: str) -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "mkdtemp", nowhere)
    duck._spill_folder.cache_clear()
    try:
        (found,) = run(folder, ASKED).estimates
        assert found.after == 3
    finally:
        duck._spill_folder.cache_clear()


def test_a_source_without_any_user_is_named(folder: Path) -> None:
    write(folder / "events" / "one.parquet", ROWS, "* REPLACE (NULL::VARCHAR AS user_pseudo_id)")
    assert f"{folder}/events/one.parquet: no row has a user_pseudo_id" in refused(folder)
    write(folder / "events" / "two.parquet", ROWS)
    (found,) = run(folder, ASKED).estimates
    assert (found.before, found.after) == (7, 3)


@pytest.mark.parametrize("year", [1, 99, 999])
def test_nobody_is_counted_before_the_year_1000(folder: Path, year: int, said: list[str]) -> None:
    day = date(year, 1, 1)
    assert Span(day).day() == f"{year:04d}0101"
    for cache_dir in (None, folder / "cache"):
        (found,) = run(folder, ASKED, as_of=day, cache_dir=cache_dir, progress=said.append).estimates
        assert (found.before, found.after) == (0, 0)
    source = Events(bigquery="a.b")
    sql = statement([("k", A)], source, "bigquery", as_of=day, today=TODAY, base_dir=folder).sql
    assert f"BETWEEN '20140101' AND '{year:04d}0101'" in sql
