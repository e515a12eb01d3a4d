"""The demo's histories: repeatable, whole, in the export's schema, near the real shares."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from audiencesync import workspace
from audiencesync.settings import Events
from audiencesync.sql.columns import FULL
from audiencesync.sql.demo import write_demo_events
from audiencesync.sql.preview import Comparison, preview
from audiencesync.sql.preview.files import schema_of
from tests.conftest import ROOT

LAST = date(2026, 11, 20)
REAL = {
    "page_view": 0.31,
    "user_engagement": 0.24,
    "scroll": 0.114,
    "view_item": 0.0875,
    "session_start": 0.08,
}
"""Shares of event names in Google's public sample."""


def rows(sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "events" / "demo.parquet"
    write_demo_events(path, users=1500, days=60, seed=1, last_day=LAST)
    return path


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_demo_events(tmp_path / f"{name}.parquet", users=60, days=30, seed=seed, last_day=LAST)
        found.append(rows(f"SELECT * FROM '{tmp_path}/{name}.parquet'"))
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.parquet", "b.parquet", "c.parquet"]


def test_every_column_stands_in_the_export_with_its_type(made: Path) -> None:
    with duckdb.connect() as connection:
        schema = schema_of(connection.sql(f"SELECT * FROM '{made}'"))
    assert {path: FULL.kind(path) for path in schema.columns} == dict(schema.columns)


def test_days_users_and_sessions_are_whole(made: Path) -> None:
    ((first, last, users, wrong),) = rows(
        f"SELECT min(event_date), max(event_date), count(DISTINCT user_pseudo_id), "
        f"count(*) FILTER (event_date <> strftime(make_timestamp(event_timestamp), '%Y%m%d')) FROM '{made}'"
    )
    assert (first, last, users, wrong) == ("20260922", "20261120", 1500, 0)


def test_shares_are_near_the_real_ones(made: Path) -> None:
    shares = dict(rows(f"SELECT event_name, count(*) / sum(count(*)) OVER () FROM '{made}' GROUP BY 1"))
    for name, share in REAL.items():
        assert shares[name] == pytest.approx(share, abs=0.07), name
    shown = "avg((device.category = 'desktop')::INT), avg((geo.country = 'United States')::INT)"
    ((desktop, states),) = rows(f"SELECT {shown} FROM '{made}'")
    assert desktop == pytest.approx(0.58, abs=0.05)
    assert states == pytest.approx(0.45, abs=0.1)


def test_the_example_audiences_have_members(made: Path) -> None:
    desired = workspace.load(ROOT / "audiences").desired
    requests = [Comparison(each.key, None, each.audience) for each in desired]
    report = preview(requests, Events(parquet=made.name), today=LAST, base_dir=made.parent)
    assert not [each.not_previewable for each in report.estimates if each.not_previewable]
    empty = [each.key for each in report.estimates if not each.after]
    assert empty == ["frequent-buyers"]  # few buy three times in two months
