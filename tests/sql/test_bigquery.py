"""The BigQuery text, executed: by an emulator through Google's client, and by Google's reference engine."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from audiencesync.errors import PreviewError
from audiencesync.settings import Events
from audiencesync.sql import events
from audiencesync.sql.compile import Entry, Export, compile_statement, wildcard
from audiencesync.sql.dialect import FULL
from audiencesync.sql.preview import Comparison, big, preview
from audiencesync.wire import from_api
from tests.sql import brute, cases, emulated, zetasql
from tests.sql.written import one_event

if TYPE_CHECKING:
    from google.cloud import bigquery

TABLE = f"{emulated.DATASET}.events_20240311"
ROWS = cases.Chance(7).population(40)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator["bigquery.Client"]:
    pytest.importorskip("google.cloud.bigquery")
    with emulated.server(tmp_path_factory.mktemp("emulator")) as address:
        found = emulated.client(address)
        found.create_dataset(emulated.DATASET.partition(".")[2])
        found.query(emulated.create_table(TABLE, ROWS)).result()
        yield found
        found.close()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def engine() -> Path:
    """ZetaSQL, installed while the environment is still the user's own."""
    return zetasql.ready()


def batches(count: int, size: int) -> Iterator[tuple[list[Entry], dict[str, int]]]:
    """Random audiences with the number of members that trying everything gives."""
    chance, users = cases.Chance(11), brute.users_of(ROWS, cases.AS_OF)
    for _ in range(count):
        bodies = [chance.audience() for _ in range(size)]
        yield (
            [Entry(f"k{number}", from_api(body)) for number, body in enumerate(bodies)],
            {f"k{number}": len(brute.members(body, users)) for number, body in enumerate(bodies)},
        )


def test_the_emulator_counts_what_trying_everything_gives(client: "bigquery.Client") -> None:
    for entries, expected in batches(8, 5):
        export = Export("bigquery", f"`{TABLE}`", cases.AS_OF, cases.schema())
        statement = compile_statement(entries, export)
        found = {row["key"]: row["users"] for row in client.query(statement.sql).result()}
        assert found == {key: n for key, n in expected.items() if key not in statement.refused}


def test_the_reference_engine_counts_what_trying_everything_gives(engine: Path) -> None:
    source = "(" + emulated.create_table("x", ROWS).partition(" AS\n")[2] + ")"
    statements, wanted = [], []
    for entries, expected in batches(8, 5):
        statement = compile_statement(entries, Export("bigquery", source, cases.AS_OF, cases.schema()))
        statements.append(statement.sql)
        wanted.append({key: n for key, n in expected.items() if key not in statement.refused})
    answers = zetasql.evaluate(engine, statements)
    assert [dict(rows) for rows in answers] == wanted


def _filter(name: str, *, number: bool) -> dict[str, Any]:
    if number:
        return {"fieldName": name, "numericFilter": {"operation": "EQUAL", "value": {"int64Value": "1"}}}
    return {"fieldName": name, "stringFilter": {"matchType": "CONTAINS", "value": "a"}}


def every_field() -> list[str]:
    """Each field that can be previewed, and the custom ones."""
    names = [name for name, field in events.FIELDS.items() if field.expression is not None]
    return [*names, "customEvent:x", "customUser:x", "customItem:x"]


def test_the_reference_engine_accepts_every_field_of_the_full_schema(engine: Path) -> None:
    statements = []
    names = every_field()
    for start in range(0, len(names), 40):
        entries = [
            Entry(f"{name} {number}", from_api(one_event(_filter(name, number=number))))
            for name in names[start : start + 40]
            for number in (False, True)
        ]
        export = Export("bigquery", emulated.empty(FULL), cases.AS_OF, FULL, "Europe/Berlin")
        statement = compile_statement(entries, export)
        assert not statement.refused
        statements.append(statement.sql)
    for rows in zetasql.evaluate(engine, statements):
        assert {users for _, users in rows} == {0}


def test_the_wildcard_keeps_intraday_tables_out_and_has_both_bounds() -> None:
    assert wildcard("p.analytics_1", date(2024, 3, 10), date(2024, 1, 1)) == (
        "(SELECT * FROM `p.analytics_1.events_*` WHERE _TABLE_SUFFIX BETWEEN '20240101' AND '20240310')"
    )


def test_a_preview_in_bigquery_says_its_bytes_and_counts_what_duckdb_would(
    client: "bigquery.Client", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The emulator has neither wildcard tables nor dry runs.
    monkeypatch.setattr(big, "wildcard", lambda *_: f"`{TABLE}`")
    query = client.query

    def dry_or_not(sql: str, job_config: Any) -> Any:
        return Dry() if job_config.dry_run else query(sql, job_config=job_config)

    monkeypatch.setattr(client, "query", dry_or_not)
    monkeypatch.setattr("google.cloud.bigquery.Client", lambda **_: client)
    monkeypatch.setattr(client, "close", lambda: None)
    entries, expected = next(batches(1, 5))
    said: list[str] = []
    requests = [Comparison(entry.name, None, entry.audience, before_known=False) for entry in entries]
    report = preview(
        requests,
        Events(bigquery=emulated.DATASET, maximum_bytes_billed=10**12),
        as_of=cases.AS_OF,
        today=date(2024, 3, 20),
        base_dir=tmp_path,
        progress=said.append,
    )
    assert report.engine == "bigquery"
    counts = {each.key: each.after for each in report.estimates if not each.not_previewable}
    assert counts == {key: expected[key] for key in counts}
    assert "BigQuery reads 3.0 MiB of at most 931.3 GiB" in said


class Dry:
    """What a dry run says."""

    total_bytes_processed = 3 * 1024**2


class Refusing:
    """A client that would read more than anybody wants to pay for."""

    def list_tables(self, _dataset: str) -> list[Any]:
        return [type("Table", (), {"table_id": "events_20240310"})()]

    def get_table(self, _name: str) -> Any:
        from google.cloud.bigquery import SchemaField

        fields = [SchemaField(name, "STRING") for name in ("user_pseudo_id", "event_name", "event_date")]
        return type("Table", (), {"schema": [*fields, SchemaField("event_timestamp", "INTEGER")]})()

    def query(self, _sql: str, job_config: Any) -> Any:
        assert job_config.dry_run, "a query must not run before its bytes are known"
        return type("Job", (), {"total_bytes_processed": 5 * 1024**4})()

    def close(self) -> None:
        """Nothing is open."""


def test_a_query_over_the_limit_never_runs() -> None:
    pytest.importorskip("google.cloud.bigquery")
    engine = big.Big(Refusing(), "p.analytics_1", 1024**4, lambda _: None)
    with pytest.raises(PreviewError, match=r"would read 5\.00 TiB .*maximumBytesBilled"):
        engine.run("SELECT 1")
