"""The BigQuery text, executed: by an emulator through Google's client, and by Google's reference engine."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from audiencesync.errors import PreviewError
from audiencesync.settings import Events
from audiencesync.sql import events
from audiencesync.sql.columns import FULL
from audiencesync.sql.compile import Entry, Export, compile_statement, wildcard
from audiencesync.sql.preview import Comparison, Report, big, members, preview, statement
from audiencesync.wire import from_api
from tests.sql import bigquery_front, brute, cases, emulated, zetasql
from tests.sql.cases import EVENT, Json
from tests.sql.written import body, named, one_event, simple
from tests.test_cli import BUYERS, SETTINGS, Shell
from tests.test_http import Reply, Serve, closed_port, serve
from tests.test_http_credentials import key, write_key

if TYPE_CHECKING:
    from google.cloud import bigquery

__all__ = ["key", "serve"]  # fixtures

TABLE = f"{emulated.DATASET}.events_20240311"
ROWS = cases.Chance(7).population(40)

EXPORT, UNDATED, FOREIGN = (f"local-project.analytics_{number}" for number in (2, 3, 4))
DAYS = ("20240309", "20240310", "20240311")
COLON = EXPORT.replace(".", ":")
"""How BigQuery's own messages write it."""
FIRST, LAST = date(2024, 3, 9), date(2024, 3, 11)
YOUNG = "session_traffic_source_last_click"
"""A column that tables have only from the second day on."""
SCROLLED = body(simple(EVENT, [named("scroll")]))


def rows_of(day: str, seed: int, label: str = "") -> list[Json]:
    rows = [row for row in cases.Chance(seed).population(16, label) if row["event_date"] == day]
    return [row | {YOUNG: None} for row in rows] if day == DAYS[0] else rows


TABLES = {day: rows_of(day, 10) for day in DAYS}
INTRADAY = rows_of(DAYS[0], 11, "intraday-")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("google.cloud.bigquery")
    with emulated.server(tmp_path_factory.mktemp("emulator")) as address:
        yield address


@pytest.fixture(scope="module")
def client(emulator: str) -> Iterator["bigquery.Client"]:
    found = emulated.client(emulator)
    found.create_dataset(emulated.DATASET.partition(".")[2])
    found.query(emulated.create_table(TABLE, ROWS)).result()
    yield found
    found.close()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def export(client: "bigquery.Client", emulator: str) -> str:
    """The emulator with three days of an export and an intraday table left over; and with no exports."""
    for dataset in (EXPORT, UNDATED, FOREIGN):
        client.create_dataset(dataset)
    for name, rows in {**TABLES, f"intraday_{DAYS[0]}": INTRADAY}.items():
        create, _, select = emulated.create_table(f"{EXPORT}.events_{name}", rows).partition(" AS\n")
        left_out = f" EXCEPT ({YOUNG})" if name.endswith(DAYS[0]) else ""
        client.query(f"{create} AS\nSELECT *{left_out} FROM ({select})").result()
    names = ("events_intraday_20240311", "events_20241399", "events_2024")
    for table in (*(f"{UNDATED}.{name}" for name in names), f"{FOREIGN}.events_20240311"):
        client.query(f"CREATE TABLE `{table}` AS SELECT 'u' AS user_pseudo_id").result()
    return emulator


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


# ---------------------------------------------------------------- previews, by Google's client over the wire


@pytest.fixture
def front(export: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[bigquery_front.Front]:
    """BigQuery's API, where Google's client looks for it, with credentials where Google's library does."""
    made = bigquery_front.Front(export)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", made.base)
    login = bigquery_front.write_credentials(tmp_path / "credentials.json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(login))
    yield made
    made.close()


def counted(
    bodies: list[Json], as_of: date = LAST, dataset: str = EXPORT, **more: Any
) -> tuple[Report, list[str]]:
    """A preview of the audiences, and what it said meanwhile."""
    said: list[str] = []
    report = preview(
        [
            Comparison(str(number), None, from_api(body), before_known=False)
            for number, body in enumerate(bodies)
        ],
        Events(bigquery=dataset, **more),
        as_of=as_of,
        today=date(2024, 3, 20),
        base_dir=Path(),
        progress=said.append,
    )
    return report, said


def refused(**more: Any) -> str:
    """The one line that a preview ends with."""
    with pytest.raises(PreviewError) as caught:
        counted([SCROLLED], **more)
    line = str(caught.value)
    assert "\n" not in line
    assert "http" not in line
    return line


def rows_up_to(as_of: date, without: str = "") -> list[Json]:
    """The rows of the daily tables within the day, one of the tables left out."""
    days = [day for day in DAYS if day <= as_of.strftime("%Y%m%d") and day != without]
    return [row for day in days for row in TABLES[day]]


def members_of(wanted: Json, rows: list[Json], as_of: date) -> set[str]:
    return brute.members(wanted, brute.users_of(rows, as_of))


@pytest.mark.parametrize(("as_of", "limit"), [(LAST, None), (LAST - timedelta(1), 10**9)])
def test_a_preview_counts_the_daily_tables_up_to_its_day_and_says_their_bytes(
    front: bigquery_front.Front, as_of: date, limit: int | None
) -> None:
    chance, rows = cases.Chance(18), rows_up_to(as_of)
    bodies = [SCROLLED, *(chance.audience() for _ in range(2))]
    report, said = counted(bodies, as_of, maximum_bytes_billed=limit)
    assert report.engine == "bigquery"
    assert report.window == (FIRST, LAST)
    counts = [each.after for each in report.estimates]
    assert counts == [len(members_of(body, rows, as_of)) for body in bodies]
    # It shows in the first of them which tables were read.
    tables = [rows + INTRADAY, *(rows_up_to(as_of, day) for day in DAYS if day <= f"{as_of:%Y%m%d}")]
    assert counts[0] not in {len(members_of(SCROLLED, others, as_of)) for others in tables}
    most = f" of at most {big.human(limit)}" if limit else ""
    assert f"BigQuery reads {big.human(len(rows) * front.row)}{most}" in said
    assert report.bytes_billed == bigquery_front.LEAST * ((as_of - FIRST).days + 1)
    dry, real = front.queries
    assert (dry.dry, real.dry) == (True, False)
    assert dry.sql == real.sql
    assert f"_TABLE_SUFFIX BETWEEN '{DAYS[0]}' AND '{as_of:%Y%m%d}'" in real.sql
    assert real.maximum == (str(limit) if limit else None)
    assert dry.labels == real.labels == {"application": "audiencesync", "command": "preview"}


def test_a_day_before_the_first_reads_nothing_and_counts_nobody(front: bigquery_front.Front) -> None:
    report, said = counted([SCROLLED], FIRST - timedelta(400))
    assert [each.after for each in report.estimates] == [0]
    assert "BigQuery reads 0 bytes" in said
    assert report.bytes_billed == 0
    assert len(front.queries) == 2


def test_members_are_those_of_trying_everything(front: bigquery_front.Front) -> None:
    found = members(from_api(SCROLLED), Events(bigquery=EXPORT), base_dir=Path(), as_of=LAST)
    rows = rows_up_to(LAST)
    known = {
        row["user_pseudo_id"]: "id" for row in rows if row["user_id"] and row["user_pseudo_id"] is not None
    }
    names = sorted(members_of(SCROLLED, rows, LAST))
    assert list(found) == [(name, known.get(name, ""), "(not set)", "(not set)") for name in names]
    assert [query.dry for query in front.queries] == [True, False]


def test_a_query_over_the_limit_never_runs(front: bigquery_front.Front) -> None:
    front.row = 10**10
    size = len(rows_up_to(LAST)) * front.row
    assert refused(maximum_bytes_billed=10**9) == (
        f"BigQuery would read {big.human(size)} ({size} bytes), more than events.maximumBytesBilled "
        "(1000000000): raise it, or preview fewer audiences"
    )
    assert [query.dry for query in front.queries] == [True]


@pytest.mark.parametrize("polls", [0, 1])
def test_a_bill_over_the_limit_is_refused_once_and_in_one_sentence(
    front: bigquery_front.Front, polls: int
) -> None:
    front.polls = polls  # the refusal comes as the job's, or as that of its rows
    limit = len(rows_up_to(LAST)) * front.row
    assert refused(maximum_bytes_billed=limit) == (
        f"BigQuery, running the query: Query exceeded limit for bytes billed: {limit}. "
        f"{3 * bigquery_front.LEAST} or higher required: raise events.maximumBytesBilled, or preview fewer "
        "audiences"
    )
    assert [query.dry for query in front.queries] == [True, False]


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (UNDATED, f"{UNDATED} holds no daily table events_YYYYMMDD"),
        (FOREIGN, f"{FOREIGN}.events_20240311 has no column event_timestamp: it is no GA4 event export"),
        ("local-project.none", "BigQuery, listing local-project.none: Not found: Dataset local-project:none"),
    ],
)
def test_a_dataset_that_is_no_export_is_named(front: bigquery_front.Front, dataset: str, reason: str) -> None:
    assert refused(dataset=dataset) == reason
    assert front.queries == []


@pytest.mark.parametrize(
    ("permission", "doing", "reason"),
    [
        ("bigquery.tables.list", f"listing {EXPORT}", f"Dataset {COLON}: Permission bigquery.tables.list"),
        (
            "bigquery.tables.get",
            f"reading the columns of {EXPORT}.events_20240311",
            f"Table {COLON}.events_20240311: Permission bigquery.tables.get denied",
        ),
        (
            "bigquery.jobs.create",
            "asking for the bytes of the query",
            "Project local-project: User does not have bigquery.jobs.create permission",
        ),
        (
            "bigquery.tables.getData",
            "asking for the bytes of the query",
            f"Table {COLON}.events_20240309: User does not have permission to query",
        ),
    ],
)
def test_a_permission_that_is_missing_is_said_with_what_was_done(
    front: bigquery_front.Front, permission: str, doing: str, reason: str
) -> None:
    front.denied.add(permission)
    assert refused().startswith(f"BigQuery, {doing}: Access Denied: {reason}")


def test_the_location_of_the_settings_is_asked_for(front: bigquery_front.Front) -> None:
    assert refused(location="EU") == (
        "BigQuery, asking for the bytes of the query: Not found: Dataset local-project:analytics_2 was not "
        "found in location EU"
    )
    assert [query.location for query in front.queries] == ["EU"]


def test_a_view_beside_the_tables_is_said(front: bigquery_front.Front, client: "bigquery.Client") -> None:
    view = f"`{EXPORT}.events_flat`"
    client.query(f"CREATE VIEW {view} AS SELECT 1 AS one").result()
    try:
        assert f"Views cannot be queried through prefix. First view {COLON}.ev" in refused()
    finally:
        client.query(f"DROP VIEW {view}").result()
    assert len(front.queries) == 1


def test_missing_credentials_are_said(front: bigquery_front.Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    with pytest.raises(PreviewError, match=r"^BigQuery needs credentials: Your default credentials were not"):
        counted([SCROLLED])
    assert front.queries == []


def test_refused_credentials_are_said_without_the_servers_whole_answer(
    front: bigquery_front.Front, serve: Serve, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'{"error":"invalid_grant","error_description":"account not found"}'
    tokens = serve(Reply(400, body, {"Content-Type": "application/json"}))
    path = write_key(tmp_path / "robot.json", key, f"{tokens.base}/token")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
    assert refused() == "BigQuery needs credentials: invalid_grant: account not found"
    assert front.queries == []


@pytest.mark.parametrize(
    ("scheme", "why"), [("http", "the connection was refused"), ("https", "the connection was cut")]
)
def test_no_answer_is_said_soon(
    front: bigquery_front.Front, scheme: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = closed_port() if scheme == "http" else int(front.base.rpartition(":")[2])
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"{scheme}://127.0.0.1:{port}")
    monkeypatch.setattr(big, "PATIENCE", 0.1)
    assert refused().startswith(f"BigQuery, listing {EXPORT}: no answer: {why}")


def test_no_answer_after_the_listing_is_said_soon(
    front: bigquery_front.Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = big.open_source(Events(bigquery=EXPORT), progress=lambda _line: None)
    try:
        engine.client._connection.API_BASE_URL = f"http://127.0.0.1:{closed_port()}"
        monkeypatch.setattr(big, "PATIENCE", 0.1)
        with pytest.raises(PreviewError, match=r"^BigQuery, asking for the bytes of the query: no answer: "):
            engine.run("SELECT 1")
    finally:
        engine.close()
    assert front.queries == []


def test_the_command_counts_in_bigquery(
    front: bigquery_front.Front, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audiences").mkdir()
    shell = Shell(tmp_path / "audiences", capsys)
    size = len(rows_up_to(LAST)) * front.row
    source = f"events: {{bigquery: {EXPORT}, maximumBytesBilled: {4 * bigquery_front.LEAST}}}\n"
    shell.write("audiencesync", SETTINGS + source)
    shell.write("buyers")
    found = shell.json("preview", "--as-of", f"{LAST}")
    assert shell.code == 0
    assert (found["engine"], found["asOf"], found["error"]) == ("bigquery", f"{LAST}", None)
    (entry,) = found["previews"]
    assert entry["key"] == "buyers"
    assert entry["after"] == len(members_of(yaml.safe_load(BUYERS), rows_up_to(LAST), LAST))
    assert f"BigQuery reads {big.human(size)} of at most 40.0 MiB" in shell.err
    shell.edit("audiencesync", f"maximumBytesBilled: {4 * bigquery_front.LEAST}", "maximumBytesBilled: 1")
    found = shell.json("preview", "--as-of", f"{LAST}")
    assert shell.code == 1
    assert found["previews"] == []
    assert f"({size} bytes), more than events.maximumBytesBilled (1)" in found["error"]["message"]
    assert [query.dry for query in front.queries] == [True, False, True]


# ---------------------------------------------------------------- Google's client alone before the front


@pytest.fixture
def asked(front: bigquery_front.Front) -> Iterator["bigquery.Client"]:
    """Google's client against the front."""
    from google.cloud import bigquery
    from google.oauth2.credentials import Credentials

    token = Credentials(bigquery_front.TOKEN)  # type: ignore[no-untyped-call]
    address = {"api_endpoint": front.base}
    found = bigquery.Client(project="local-project", credentials=token, client_options=address)
    yield found
    found.close()  # type: ignore[no-untyped-call]


def test_the_printed_statement_counts_what_a_preview_counts(asked: "bigquery.Client") -> None:
    source, audience = Events(bigquery=EXPORT), from_api(SCROLLED)
    found = statement(
        [("k", audience)], source, "bigquery", as_of=LAST, today=date(2024, 3, 20), base_dir=Path()
    )
    rows = [dict(row.items()) for row in asked.query(found.sql).result()]
    assert rows == [{"key": "k", "users": len(members_of(SCROLLED, rows_up_to(LAST), LAST))}]


@pytest.mark.parametrize(
    ("bounds", "daily", "intraday"),
    [
        ("", DAYS, True),
        (f" WHERE _TABLE_SUFFIX BETWEEN '{DAYS[0]}' AND '{DAYS[1]}'", DAYS[:2], False),
        (" WHERE _TABLE_SUFFIX BETWEEN '20140101' AND '20991231'", DAYS, False),
        (" WHERE _TABLE_SUFFIX BETWEEN '3' AND 'j'", (), True),
        (" WHERE _TABLE_SUFFIX BETWEEN '3' AND '2'", (), False),
    ],
)
def test_a_wildcard_matches_the_names_of_tables_as_texts(
    front: bigquery_front.Front, asked: "bigquery.Client", bounds: str, daily: tuple[str, ...], intraday: bool
) -> None:
    from google.cloud import bigquery

    config = bigquery.QueryJobConfig(dry_run=True)
    job = asked.query(f"SELECT event_name FROM `{EXPORT}.events_*`{bounds}", job_config=config)
    rows = sum(len(TABLES[day]) for day in daily) + len(INTRADAY) * intraday
    assert job.total_bytes_processed == rows * front.row


@pytest.mark.parametrize(
    ("sql", "options", "error"),
    [
        ("SELECT 1", {"labels": {"command": "Preview"}}, r'400 .*Label value "Preview" has invalid char'),
        ("SELECT 1", {"labels": {"": "x"}}, r"400 .*Label key"),
        ("SELECT 1", {"maximum_bytes_billed": None}, r"400 .*Invalid value"),
        (f"SELECT 1 FROM `{EXPORT}.none`", {}, r"404 .*Not found: Table local-project:analytics_2\.none"),
        (f"SELECT nobody FROM `{TABLE}`", {}, r"400 .*nobody"),
        (f"SELECT 1 FROM `{EXPORT}.none_*`", {}, r"400 .*does not match any table"),
        ("SELECT", {}, r"400 "),
    ],
)
def test_the_front_refuses_what_bigquery_refuses(
    front: bigquery_front.Front, asked: "bigquery.Client", sql: str, options: dict[str, Any], error: str
) -> None:
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud import bigquery

    config = bigquery.QueryJobConfig(dry_run=True, **options)
    with pytest.raises(GoogleAPICallError, match=error):
        asked.query(sql, job_config=config)
    assert len(front.queries) == 1


def test_bounds_of_another_form_are_not_taken_for_none(asked: "bigquery.Client") -> None:
    from google.api_core.exceptions import MethodNotImplemented

    with pytest.raises(MethodNotImplemented, match="_TABLE_SUFFIX"):
        asked.query(f"SELECT 1 FROM `{EXPORT}.events_*` WHERE _TABLE_SUFFIX > '2'")
