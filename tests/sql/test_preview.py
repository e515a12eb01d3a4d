"""Previews over files on this machine: numbers, caveats, errors that name the file, and the cache."""

import os
import time
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from audiencesync.errors import PreviewError, UsageError
from audiencesync.settings import Events
from audiencesync.sql.preview import Comparison, Report, duck, events_at, members, preview, stage, statement
from audiencesync.sql.readings import that_matter
from audiencesync.wire import from_api
from tests.sql import cases
from tests.sql.cases import ALL, EVENT, SESSION
from tests.sql.written import body, count, event, named, simple, step, steps, text

TODAY = date(2024, 3, 20)
A = from_api(body(simple(EVENT, [named("a")])))
B = from_api(body(simple(EVENT, [named("b")])))
LOST = from_api(body(simple(EVENT, [text("userGender", "female")])))
ROWS = [
    *(event(f"a{number}", "a") for number in range(5)),
    *(event(f"ab{number}", name, order=order) for number in range(2) for order, name in enumerate("ab")),
    event("b", "b", "2024-03-08 12:00:00", user_id="id-b"),
    event("b", "c", "2024-03-09 12:00:00", privacy_info=None),
    event("b", "c", privacy_info=None),
]


def write(path: Path, rows: list[dict[str, Any]], columns: str = "*") -> Path:
    """A Parquet file of the rows."""
    connection = duckdb.connect()
    cases.load(connection, rows, path.parent, "made")
    connection.execute(f"COPY (SELECT {columns} FROM made) TO '{path}' (FORMAT parquet)")
    connection.close()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "events").mkdir()
    write(tmp_path / "events" / "one.parquet", ROWS)
    return tmp_path


def run(folder: Path, *requests: Comparison, **more: Any) -> Report:
    options: dict[str, Any] = {
        "today": TODAY,
        "base_dir": folder,
        "source": Events(parquet="events/*.parquet"),
    }
    return preview(requests, **{**options, **more})


def test_before_after_gained_and_lost_come_from_one_pass(folder: Path) -> None:
    report = run(folder, Comparison("k", A, B))
    (found,) = report.estimates
    assert (found.before, found.after, found.gained, found.lost) == (7, 3, 1, 5)
    assert (report.as_of, report.engine, report.rows) == (date(2024, 3, 10), "duckdb", 12)
    assert report.window == (date(2024, 3, 8), date(2024, 3, 10))


@pytest.mark.parametrize(
    ("request_", "numbers"),
    [
        (Comparison("new", None, A), (0, 7, 7, 0)),
        (Comparison("no base", None, A, before_known=False), (None, 7, None, None)),
        (Comparison("gone", A, None), (7, None, 0, 7)),
        (Comparison("same", A, A), (7, 7, 0, 0)),
        (Comparison("base refused", LOST, A), (None, 7, None, None)),
        (
            Comparison("base unreadable", None, A, before_known=False, before_fault="no YAML"),
            (None, 7, None, None),
        ),
    ],
)
def test_what_is_missing_is_no_number(
    folder: Path, request_: Comparison, numbers: tuple[int | None, ...]
) -> None:
    (found,) = run(folder, request_).estimates
    assert (found.before, found.after, found.gained, found.lost) == numbers
    assert found.not_previewable is None
    assert any("the base cannot" in each for each in found.caveats) == found.key.startswith("base")


def test_an_audience_that_cannot_be_previewed_says_why_beside_the_others(folder: Path) -> None:
    refused, counted = run(folder, Comparison("x", A, LOST), Comparison("y", A, B)).estimates
    assert "demographics" in (refused.not_previewable or "")
    assert (refused.before, refused.after, refused.gained) == (7, None, None)
    assert counted.after == 3


def test_a_run_in_which_nothing_can_be_previewed_is_no_error(folder: Path) -> None:
    (found,) = run(folder, Comparison("x", LOST, LOST)).estimates
    assert (found.before, found.after) == (None, None)
    assert found.not_previewable
    assert found.caveats == ()


def test_the_default_day_is_three_days_ago_or_the_newest_day(folder: Path) -> None:
    assert run(folder, Comparison("k", None, A), today=date(2024, 3, 11)).as_of == date(2024, 3, 8)
    assert run(folder, Comparison("k", None, A), today=date(2024, 3, 13)).as_of == date(2024, 3, 10)
    early = run(folder, Comparison("k", None, A), as_of=date(2000, 1, 1))
    assert [each.after for each in early.estimates] == [0]


def test_periods_longer_than_the_data_are_caveats(folder: Path) -> None:
    long = from_api(body(simple(ALL, [named("a", count("EQUAL", 1, inAnyNDayPeriod=30))]), days=3))
    short = from_api(body(simple(EVENT, [named("a")]), days=3))
    period, membership, none = run(
        folder, Comparison("p", None, long), Comparison("m", None, A), Comparison("n", None, short)
    ).estimates
    assert period.caveats == (
        "inAnyNDayPeriod is 30 days, the data covers 3 days up to then, from 2024-03-08",
    )
    assert membership.caveats == (
        "the membership lasts 540 days, the data covers 3 days up to then, from 2024-03-08",
    )
    assert none.caveats == ()
    (late,) = run(folder, Comparison("n", None, short), as_of=date(2024, 3, 12)).estimates
    assert "the data ends on 2024-03-10, before the as-of day 2024-03-12" in late.caveats


def test_days_without_events_are_told(folder: Path) -> None:
    audiences = {days: from_api(body(simple(EVENT, [named("a")]), days=days)) for days in (2, 3, 9, 10)}
    count_ = from_api(body(simple(ALL, [named("a", count("EQUAL", 1, inAnyNDayPeriod=9))]), days=1))
    asked = [
        *(Comparison(str(days), None, each) for days, each in audiences.items()),
        Comparison("c", None, count_),
    ]
    rows = [event("a", "a", f"2024-03-{day:02d} 12:00:00") for day in (1, 2, 4, 8, 10)]
    write(folder / "events" / "one.parquet", rows)
    found = [each.caveats for each in run(folder, *asked).estimates]
    one = "there are no events on 2024-03-09, which it looks at"
    many = "there are no events on 5 days from 2024-03-03 on, which it looks at"
    short = "the membership lasts 11 days, the data covers 5 days up to then, from 2024-03-01"
    assert found == [(one,), (one,), (many,), (many,), (many,)]
    long = Comparison("l", None, from_api(body(simple(EVENT, [named("a")]), days=11)))
    assert run(folder, long).estimates[0].caveats == (short, many)
    assert run(folder, long, as_of=date(2024, 2, 1)).estimates[0].caveats == (
        "the membership lasts 11 days, the data covers 0 days up to then, from 2024-03-01",
    )


def test_a_sequence_longer_than_the_data_is_a_caveat(folder: Path) -> None:
    for slow in (step([named("b")], within="259201s"), step([named("b")])):
        longest = "" if slow.get("constraintDuration") else "345600s"
        audience = from_api(body(steps(ALL, step([named("a")]), slow, longest=longest), days=3))
        (found,) = run(folder, Comparison("k", None, audience)).estimates
        (caveat,) = found.caveats
        assert caveat.startswith(
            f"a sequence may take {'4' if longest else '3.00001'} days, the data covers 3"
        )
    exact = from_api(body(steps(ALL, step([named("a")]), step([named("b")]), longest="259200s"), days=3))
    assert run(folder, Comparison("k", None, exact)).estimates[0].caveats == ()


def test_the_caveats_of_the_base_are_told(folder: Path) -> None:
    source = from_api(body(simple(EVENT, [text("source", "google")]), days=3))
    plain = from_api(body(simple(EVENT, [named("a")]), days=3))
    changed, gone, both = run(
        folder, Comparison("c", source, plain), Comparison("g", source, None), Comparison("b", source, source)
    ).estimates
    (caveat,) = gone.caveats
    assert caveat.startswith("source is approximate: ")
    assert changed.caveats == (f"of the base: {caveat}",)
    assert both.caveats == (caveat,)


def test_the_band_is_the_range_over_the_readings(folder: Path) -> None:
    twice = from_api(body(steps(ALL, step([named("a")]), step([named("a")]))))
    found, plain = run(folder, Comparison("k", None, twice), Comparison("p", None, A), band=True).estimates
    assert (found.after, found.band) == (0, (0, 7))
    assert plain.band == (7, 7)


def test_only_readings_that_can_change_an_audience_are_counted() -> None:
    def names(*clauses: dict[str, Any]) -> list[str]:
        return [name for name, _ in that_matter(from_api(body(*clauses)))]

    one, peru = [named("a")], text("country", "Peru")
    assert names(simple(EVENT, one)) == []
    assert names(simple(EVENT, one), simple(EVENT, one)) == ["renew_all"]
    assert names(simple(ALL, [peru])) == ["last_set"]
    assert names(simple(SESSION, [{"notExpression": peru}])) == ["never"]
    assert names(steps(ALL, step(one), step(one))) == ["reuse"]


def test_files_are_united_by_column_name(folder: Path) -> None:
    write(folder / "events" / "two.parquet", [event("late", "a")], "* EXCLUDE (geo, batch_event_index)")
    audience = from_api(body(simple(EVENT, [{"notExpression": text("country", "Peru")}])))
    (found,) = run(folder, Comparison("k", None, audience)).estimates
    assert found.after == 9


@pytest.mark.parametrize("missing", ["user_pseudo_id", "event_timestamp", "event_name", "event_date"])
def test_a_file_without_a_base_column_is_named(folder: Path, missing: str) -> None:
    bad = write(folder / "events" / "bad.parquet", ROWS, f"* EXCLUDE ({missing})")
    with pytest.raises(PreviewError, match=f"{bad} has no column {missing}"):
        run(folder, Comparison("k", None, A))


def test_a_file_with_other_types_is_named(folder: Path) -> None:
    bad = write(folder / "events" / "plain.parquet", ROWS, "* REPLACE (5 AS geo)")
    with pytest.raises(PreviewError, match=f"{bad}: column geo is of another type than in .*one.parquet"):
        run(folder, Comparison("k", None, A))
    bad.unlink()
    write(folder / "events" / "before.parquet", ROWS, "* EXCLUDE geo")
    bad = write(folder / "events" / "with.parquet", ROWS, "* REPLACE (5 AS geo)")
    with pytest.raises(PreviewError, match=f"{bad}: column geo is of another type than in .*one.parquet"):
        run(folder, Comparison("k", None, A))
    bad.unlink()
    moment = "* REPLACE (make_timestamp(event_timestamp) AS event_timestamp)"
    bad = write(folder / "events" / "moment.parquet", ROWS, moment)
    with pytest.raises(PreviewError, match=f"{bad}: event_timestamp is no whole number of microseconds"):
        run(folder, Comparison("k", None, A))


def test_an_unreadable_file_is_named(folder: Path) -> None:
    (folder / "events" / "torn.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(PreviewError, match=r"torn\.parquet cannot be read as Parquet"):
        run(folder, Comparison("k", None, A))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Events(parquet="nowhere/*.parquet"), r"no Parquet file at .*nowhere/\*\.parquet"),
        (Events(duckdb="nowhere.duckdb"), r"no DuckDB file at .*nowhere\.duckdb"),
        (Events(duckdb="events/one.parquet"), r"one\.parquet cannot be read as a DuckDB file"),
    ],
)
def test_a_missing_source_is_named(folder: Path, source: Events, message: str) -> None:
    with pytest.raises(PreviewError, match=message):
        run(folder, Comparison("k", None, A), source=source)


def test_no_source_at_all_is_a_mistake_of_the_settings(folder: Path) -> None:
    with pytest.raises(UsageError, match="no event export"):
        run(folder, Comparison("k", None, A), source=Events())


def test_a_file_without_rows_is_named(tmp_path: Path) -> None:
    write(tmp_path / "full.parquet", ROWS)
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM '{tmp_path}/full.parquet' LIMIT 0) TO '{tmp_path}/empty.parquet'")
        connection.execute(f"ATTACH '{tmp_path}/empty.duckdb' AS made")
        connection.execute(f"CREATE TABLE made.events AS FROM '{tmp_path}/empty.parquet'")
    for _ in range(2):
        with pytest.raises(PreviewError, match=r"empty\.parquet holds no rows"):
            run(tmp_path, Comparison("k", None, A), source=Events(parquet="*.parquet"))
        (tmp_path / "full.parquet").unlink(missing_ok=True)
    with pytest.raises(PreviewError, match=r"table events of .*empty\.duckdb holds no rows"):
        run(tmp_path, Comparison("k", None, A), source=Events(duckdb="empty.duckdb", table="events"))


def test_what_does_not_fit_into_memory_goes_to_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with duck.connect() as connection:
        connection.execute("SET memory_limit = '60MB'")
        connection.execute("CREATE TEMP TABLE t AS SELECT md5(range::VARCHAR) AS h FROM range(3_000_000)")
        (folder,) = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0]
        assert list(Path(folder).iterdir())
        assert Path(folder).stat().st_mode & 0o077 == 0
    assert not list(tmp_path.iterdir())


def test_a_table_of_a_duckdb_file_is_read_and_not_written(folder: Path) -> None:
    path = folder / "export.duckdb"
    with duckdb.connect(str(path)) as connection:
        cases.load(connection, ROWS, folder, "my_events")
    before = path.read_bytes()
    (found,) = run(
        folder, Comparison("k", A, B), source=Events(duckdb=path.name, table="my_events")
    ).estimates
    assert (found.before, found.after) == (7, 3)
    assert path.read_bytes() == before
    with pytest.raises(PreviewError, match=r"table other of .* cannot be read"):
        run(folder, Comparison("k", A, B), source=Events(duckdb=path.name, table="other"))


@pytest.mark.parametrize("name", ["it's [1] * ?.parquet", "ünï code.parquet"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a [b] folder"
    folder.mkdir()
    write(tmp_path / "plain.parquet", ROWS).rename(folder / name)
    write(folder / "other.parquet", [event("other", "b")])
    (found,) = run(folder, Comparison("k", A, B), source=Events(parquet=name)).estimates
    assert (found.before, found.after) == (7, 3)
    (both,) = run(folder, Comparison("k", A, B), source=Events(parquet="*.parquet")).estimates
    assert both.after == 4


def test_a_path_of_the_command_line_is_a_source(folder: Path) -> None:
    assert events_at("x.duckdb") == Events(duckdb="x.duckdb")
    (found,) = run(folder, Comparison("k", A, B), source=events_at("events")).estimates
    assert found.after == 3


def test_days_may_be_dates_and_users_numbers(folder: Path) -> None:
    source = folder / "events" / "one.parquet"
    changed = "strptime(event_date, '%Y%m%d')::DATE AS event_date, hash(user_pseudo_id) AS user_pseudo_id"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT * REPLACE ({changed}) FROM '{source}') TO '{folder}/other.parquet'")
    (found,) = run(folder, Comparison("k", A, B), source=Events(parquet="other.parquet")).estimates
    assert (found.before, found.after) == (7, 3)


def test_members_come_with_their_dimensions(folder: Path) -> None:
    found = list(members(B, Events(parquet="events/*.parquet"), base_dir=folder, today=TODAY))
    assert found == [
        ("ab0", "", "(not set)", "(not set)"),
        ("ab1", "", "(not set)", "(not set)"),
        ("b", "id-b", "(not set)", "(not set)"),
    ]
    both = [event("u", "b", user_id="first"), event("u", "b", order=1, user_id="second")]
    for number, rows in enumerate((both, both[::-1])):
        write(folder / f"{number}.parquet", rows)
        (found_,) = members(B, Events(parquet=f"{number}.parquet"), base_dir=folder, today=TODAY)
        assert found_[1] == "second"
    with pytest.raises(PreviewError, match="members cannot be evaluated: userGender"):
        list(members(LOST, Events(parquet="events/*.parquet"), base_dir=folder, today=TODAY))


def test_the_printed_statement_runs_by_itself(folder: Path) -> None:
    source = Events(parquet="events/*.parquet")
    named_ = [("it's", A), ("lost", LOST), ("b", B)]
    found = statement(named_, source, "duckdb", as_of=None, today=TODAY, base_dir=folder)
    with duckdb.connect() as connection:
        cursor = connection.execute(found.sql)
        assert [column[0] for column in cursor.description or ()] == ["key", "users"]
        assert cursor.fetchall() == [("it's", 7), ("b", 3)]
    assert list(found.refused) == ["lost"]


def test_the_printed_statement_for_bigquery_needs_no_files(tmp_path: Path) -> None:
    source = Events(bigquery="acme.analytics_1")
    found = statement([("k", A)], source, "bigquery", as_of=None, today=TODAY, base_dir=tmp_path)
    assert "`acme.analytics_1.events_*` WHERE _TABLE_SUFFIX BETWEEN '20140101' AND '20240317'" in found.sql
    for wrong, dialect in ((Events(parquet="x"), "bigquery"), (source, "duckdb")):
        with pytest.raises(UsageError, match="set `events"):
            statement([("k", A)], wrong, dialect, as_of=None, today=TODAY, base_dir=tmp_path)


# the cache
SEQUENCE = from_api(body(steps(SESSION, step([named("a")]), step([named("b")], within="10s"))))
LANDING = from_api(body(simple(EVENT, [text("landingPage", "/a")])))


@pytest.fixture
def staging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.Cache.__init__, "__defaults__", (0, stage.LARGEST))


def unused(cache: Path) -> None:
    """Makes all staged files so old that no other run can be reading them."""
    then = time.time() - 2 * stage.RECENT
    for path in cache.glob("*"):
        os.utime(path, (then, then))


@pytest.mark.usefixtures("staging")
def test_staged_columns_give_the_same_numbers(folder: Path) -> None:
    rows = cases.Chance(3).population(60)
    write(folder / "events" / "one.parquet", rows)
    chance = cases.Chance(4)
    requests = [
        Comparison(str(number), from_api(chance.audience()), from_api(chance.audience()))
        for number in range(12)
    ]
    plain = run(folder, *requests)
    said: list[str] = []
    for told in (["looking", "staging", "counting"], ["looking", "counting"]):
        said.clear()
        assert run(folder, *requests, cache_dir=folder / "cache", progress=said.append) == plain
        assert [line.split()[0] for line in said] == told
    for request, together in zip(requests, plain.estimates, strict=True):
        assert run(folder, request, cache_dir=folder / "cache").estimates == (together,)


@pytest.mark.usefixtures("staging")
def test_the_cache_is_used_again_added_to_and_dropped_with_its_files(folder: Path) -> None:
    cache = folder / "cache" / "staged"
    said: list[str] = []

    def staged(request: Comparison) -> bool:
        said.clear()
        unused(cache)
        run(folder, request, cache_dir=folder / "cache", progress=said.append)
        assert (folder / "cache" / ".gitignore").read_text() == "*\n"
        assert len(list(cache.glob("*.parquet"))) == len(list(cache.glob("*.json")))
        return any("staging" in line for line in said)

    assert staged(Comparison("k", A, B))
    assert not staged(Comparison("k", B, SEQUENCE))
    assert staged(Comparison("k", B, LANDING))
    assert not staged(Comparison("k", A, LANDING))
    assert len(list(cache.glob("*.parquet"))) == 1
    source = folder / "events" / "one.parquet"
    os.utime(source, ns=(1, 1))
    assert staged(Comparison("k", A, B))
    assert not list(cache.glob("*.part"))


def test_small_files_are_not_staged(folder: Path) -> None:
    run(folder, Comparison("k", A, B), cache_dir=folder / "cache")
    assert not (folder / "cache").exists()


def test_the_cache_drops_what_was_not_used_for_longest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.Cache.__init__, "__defaults__", (0, 1))
    cache = folder / "cache"
    run(folder, Comparison("k", A, B), cache_dir=cache)
    (first,) = (cache / "staged").glob("*.parquet")
    unused(cache / "staged")
    os.utime(folder / "events" / "one.parquet", ns=(1, 1))
    run(folder, Comparison("k", A, B), cache_dir=cache)
    (second,) = (cache / "staged").glob("*.parquet")
    assert first != second


@pytest.mark.usefixtures("staging")
def test_a_cache_that_cannot_be_written_is_done_without(folder: Path) -> None:
    (folder / "cache").write_text("a file, no folder")
    said: list[str] = []
    (found,) = run(folder, Comparison("k", A, B), cache_dir=folder / "cache", progress=said.append).estimates
    assert found.after == 3
    assert any("the cache cannot be written" in line for line in said)


# the real rows
def test_the_real_rows_are_counted_as_plain_sql_counts_them(shared_data: Path) -> None:
    source = Events(parquet="merchandise_store_sampled.parquet")
    folder = shared_data / "ga4_events"
    session = "list_filter(event_params, lambda p: p.key = 'ga_session_id')[1].value.int_value"
    engaged = "list_filter(event_params, lambda p: p.key = 'session_engaged')[1].value"
    engaged = f"coalesce({engaged}.string_value, {engaged}.int_value::VARCHAR)"
    # audience -> the users it should have, by hand; 540 days before the last day hold all rows
    expected: list[tuple[dict[str, Any], str]] = [
        (simple(EVENT, [named("purchase")]), "event_name = 'purchase'"),
        (simple(EVENT, [text("country", "INDIA")]), "geo.country = 'India'"),
        (simple(EVENT, [text("customEvent:session_engaged", "1")]), f"{engaged} = '1'"),
        (
            simple(EVENT, [named("purchase")], [text("itemCategory", "Apparel")]),
            "event_name = 'purchase' AND len(list_filter(items, lambda i: i.item_category = 'Apparel')) > 0",
        ),
        (simple(EVENT, [text("pagePath", "/", "FULL_REGEXP")]),
         "regexp_matches(list_filter(event_params, lambda p: p.key = 'page_location')[1].value.string_value, '^https?://[^/?#]+/([?#]|$)')"),
    ]  # fmt: skip
    with duckdb.connect() as connection:
        table = f"'{folder / source.parquet}'"
        requests = [
            Comparison(str(number), None, from_api(body(clause)))
            for number, (clause, _) in enumerate(expected)
        ]
        estimates = run(folder, *requests, source=source).estimates
        for estimate, (_, where) in zip(estimates, expected, strict=True):
            sql = f"SELECT COUNT(DISTINCT user_pseudo_id) FROM {table} WHERE {where}"
            assert estimate.after == connection.execute(sql).fetchall()[0][0], where
        both = from_api(body(simple(SESSION, [named("page_view")], [named("add_to_cart")])))
        (found,) = run(folder, Comparison("both", None, both), source=source).estimates
        views, carts = (
            f"SELECT DISTINCT user_pseudo_id AS u, {session} AS s FROM {table} WHERE event_name = '{name}'"
            for name in ("page_view", "add_to_cart")
        )
        sql = f"SELECT COUNT(DISTINCT u) FROM ({views}) JOIN ({carts}) USING (u, s)"
        assert found.after == connection.execute(sql).fetchall()[0][0]
        then = from_api(
            body(steps(ALL, step([named("view_item")]), step([named("add_to_cart")], within="600s")))
        )
        (found,) = run(folder, Comparison("then", None, then), source=source).estimates
        sql = (
            f"SELECT COUNT(DISTINCT a.user_pseudo_id) FROM {table} a JOIN {table} b USING (user_pseudo_id) "
            "WHERE a.event_name = 'view_item' AND b.event_name = 'add_to_cart' "
            "AND b.event_timestamp - a.event_timestamp BETWEEN 1 AND 600000000"
        )
        assert found.after == connection.execute(sql).fetchall()[0][0]
