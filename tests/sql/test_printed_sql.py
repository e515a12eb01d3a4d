"""What `preview --sql duckdb` prints: it reads the files that previews read, and is safe to look at."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from audiencesync.errors import PreviewError
from audiencesync.settings import Events
from audiencesync.sql.preview import Comparison, statement
from audiencesync.wire import from_api
from tests.sql.cases import EVENT
from tests.sql.test_preview import ROWS, TODAY, A, B, folder, run, write
from tests.sql.written import body, event, named, simple

ASKED = Comparison("k", A, B)


__all__ = ["folder"]  # a fixture


def text_of(folder: Path, source: Events, said: list[str] | None = None, audience: Any = B) -> str:
    said = [] if said is None else said
    return statement(
        [("k", audience)], source, "duckdb", as_of=None, today=TODAY, base_dir=folder, progress=said.append
    ).sql


def printed(folder: Path, source: Events, database: Path | None = None) -> list[Any]:
    sql = text_of(folder, source)
    with duckdb.connect(str(database or ":memory:")) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("e[1].parquet", "e[1].parquet"), ("e*.parquet", "e*.parquet"), ("e?.parquet", "e[?].parquet")],
)
def test_the_printed_statement_reads_the_files_that_previews_read(
    tmp_path: Path, name: str, pattern: str
) -> None:
    folder = tmp_path / "a [b] folder"
    folder.mkdir()
    write(tmp_path / "plain.parquet", ROWS).rename(folder / name)
    write(folder / "e1.parquet", [event("other", "b")])
    (found,) = run(folder, ASKED, source=Events(parquet=pattern)).estimates
    assert found.after == 3
    assert printed(folder, Events(parquet=pattern)) == [("k", 3)]


def test_a_glob_stays_one_where_duckdb_finds_the_same_files(folder: Path) -> None:
    assert f"read_parquet('{folder}/events/*.parquet'," in text_of(folder, Events(parquet="events"))
    write(folder / "events" / ".hidden.parquet", [event("other", "b")])
    for pattern in ("events", "events/*.parquet"):
        (found,) = run(folder, ASKED, source=Events(parquet=pattern)).estimates
        assert printed(folder, Events(parquet=pattern)) == [("k", found.after)]


@pytest.mark.parametrize("source", [Events(parquet="later/*.parquet"), Events(duckdb="later.duckdb")])
def test_a_source_that_is_not_there_yet_is_said(folder: Path, source: Events) -> None:
    said: list[str] = []
    assert text_of(folder, source, said)
    name = source.parquet or source.duckdb
    assert said == [f"nothing is at {folder / name} yet: the statement takes GA4's full schema"]


def test_the_printed_statement_names_the_duckdb_file(folder: Path) -> None:
    path = folder / "it's\nhere.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE my_events AS FROM '{folder}/events/one.parquet'")
    source = Events(duckdb=path.name, table="my_events")
    first, second = text_of(folder, source).splitlines()[:2]
    assert first == f"-- For the DuckDB file E'{folder}/it''s\\nhere.duckdb'"
    assert second == "WITH raw AS ("
    assert printed(folder, source, path) == [("k", 3)]


def test_a_folder_may_have_any_name(folder: Path) -> None:
    for name in ("my [data] v1 *?", "event_name=c"):
        (folder / "events").rename(folder / name)
        assert printed(folder, Events(parquet=name)) == [("k", 3)]
        (folder / name).rename(folder / "events")


def test_a_folder_with_files_below_alone_is_refused(folder: Path) -> None:
    (folder / "events").rename(folder / "deeper")
    (folder / "events").mkdir()
    (folder / "deeper").rename(folder / "events" / "deeper")
    with pytest.raises(PreviewError, match="holds no Parquet file itself"):
        printed(folder, Events(parquet="events"))


def test_an_audience_with_control_characters_is_counted_and_printed(folder: Path) -> None:
    name = "\x1b]0;x\x07 \x9b31m \u202e it's \\ \n"
    write(folder / "events" / "two.parquet", [event("odd", name)])
    audience = from_api(body(simple(EVENT, [named(name)])))
    (found,) = run(folder, Comparison(name, None, audience)).estimates
    assert found.after == 1
    sql = text_of(folder, Events(parquet="events"), audience=audience)
    assert all(each.isprintable() for each in sql.replace("\n", ""))
    with duckdb.connect() as connection:
        assert connection.execute(sql).fetchall() == [("k", 1)]
