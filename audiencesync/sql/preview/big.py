"""BigQuery over the daily tables of an export's dataset."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from audiencesync.errors import PreviewError
from audiencesync.sql.columns import Schema
from audiencesync.sql.compile import wildcard
from audiencesync.sql.preview.files import BASE
from audiencesync.sql.preview.records import Extent, Progress, Row

if TYPE_CHECKING:
    from audiencesync.settings import Events
    from audiencesync.sql.compile import Export, Statement

LABELS = {"application": "audiencesync", "command": "preview"}
PATIENCE = 20.0
"""Seconds for which Google's client asks again where it gets no answer, before a query runs; else minutes."""
TIMEOUT = 60.0
"""Seconds that one answer may take; without it Google's client waits for ever."""
_DAILY = re.compile(r"events_(20[0-9]{6})")
_ADDRESS = re.compile(r"^[A-Z]+ https?://\S+: ")
_KINDS = {
    **dict.fromkeys(("INTEGER", "INT64"), "int"),
    **dict.fromkeys(("FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"), "float"),
    **dict.fromkeys(("BOOLEAN", "BOOL"), "bool"),
    "STRING": "text",
    "DATE": "date",
}


def schema_of(fields: Sequence[Any]) -> Schema:
    """The columns of a table, from BigQuery's schema fields."""
    columns: dict[str, str] = {}

    def walk(prefix: str, found: Sequence[Any]) -> None:
        for each in found:
            path = f"{prefix}{each.name}"
            if each.field_type in {"RECORD", "STRUCT"}:
                columns[path] = "records" if each.mode == "REPEATED" else "record"
                walk(f"{path}.", each.fields)
            else:
                columns[path] = _KINDS.get(each.field_type, "other") if each.mode != "REPEATED" else "other"

    walk("", fields)
    return Schema(columns)


def human(count: int) -> str:
    """Bytes in the unit that people pay for."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:  # noqa: PLR2004 - the step of the units
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} TiB"


def _day(name: str) -> date | None:
    """The day of a daily table, None for any other table."""
    found = _DAILY.fullmatch(name)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def _line(text: object) -> str:
    """The first line; what follows it is a statement, a server's whole answer or a page of a proxy."""
    lines = str(text).strip().splitlines() or ["no reason given"]
    return lines[0][:300].rstrip(".")


def _reason(error: Exception) -> str:
    """What went wrong in one line, without the addresses, ids and statement that Google's client adds."""
    from google.api_core.exceptions import RetryError
    from google.auth.exceptions import TransportError

    from audiencesync.http.transport import explain

    cause = error.cause if isinstance(error, RetryError) else error
    if isinstance(cause, (OSError, TransportError)):
        return f"no answer: {explain(cause, (TIMEOUT, TIMEOUT))}"
    stated: dict[str, Any] = next(iter(getattr(cause, "errors", ())), {})
    message = stated.get("message") or _ADDRESS.sub("", str(getattr(cause, "message", "") or cause))
    if stated.get("reason") == "bytesBilledLimitExceeded":
        return f"{_line(message)}: raise events.maximumBytesBilled, or preview fewer audiences"
    return _line(message)


def _patient() -> dict[str, Any]:
    """How a call that costs nothing waits; a query that runs is waited for as Google's client does."""
    from google.cloud.bigquery import DEFAULT_RETRY

    return {"retry": DEFAULT_RETRY.with_timeout(PATIENCE), "timeout": TIMEOUT}


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Turns the errors of Google's client into one sentence."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError as error:
        # What follows the first part is a server's whole answer, or quotes the credentials.
        raise PreviewError(f"BigQuery needs credentials: {_line(next(iter(error.args), ''))}") from None
    except (GoogleAPIError, OSError) as error:
        raise PreviewError(f"BigQuery, {what}: {_reason(error)}") from None


@dataclass(slots=True)
class Big:
    """A BigQuery client over one dataset's daily tables."""

    client: Any
    dataset: str
    maximum: int | None
    progress: Progress
    name: str = field(default="bigquery", init=False)
    schema: Schema = field(init=False)
    extent: Extent = field(init=False)
    bytes_billed: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        with _said(f"listing {self.dataset}"):
            names = [each.table_id for each in self.client.list_tables(self.dataset, **_patient())]
        days = [day for name in names if (day := _day(name))]
        if not days:
            raise PreviewError(f"{self.dataset} holds no daily table events_YYYYMMDD")
        newest = f"{self.dataset}.events_{max(days):%Y%m%d}"
        with _said(f"reading the columns of {newest}"):
            self.schema = schema_of(self.client.get_table(newest, **_patient()).schema)
        for name in BASE:
            if not self.schema.has(name):
                raise PreviewError(f"{newest} has no column {name}: it is no GA4 event export")
        self.extent = Extent(tuple(sorted(days)), None)

    def source(self, as_of: date) -> str:
        """The wildcard table between the first day that is there and the as-of day."""
        return wildcard(self.dataset, as_of, self.extent.first)

    def prepare(self, statement: Callable[[Export], Statement], export: Export) -> Statement:
        """The statement over the tables themselves."""
        return statement(export)

    def count(self, statement: Statement) -> Sequence[Row]:
        """The rows of the one statement."""
        return self.run(statement.sql)

    def run(self, sql: str) -> Sequence[Row]:
        """Asks for the bytes first, then runs within the settings' limit."""
        from google.cloud import bigquery

        with _said("asking for the bytes of the query"):
            config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False, labels=LABELS)
            asked = self.client.query(sql, job_config=config, job_retry=None, **_patient())
            size = int(asked.total_bytes_processed or 0)
        limit = f" of at most {human(self.maximum)}" if self.maximum else ""
        self.progress(f"BigQuery reads {human(size)}{limit}")
        if self.maximum is not None and size > self.maximum:
            raise PreviewError(
                f"BigQuery would read {human(size)} ({size} bytes), more than events.maximumBytesBilled "
                f"({self.maximum}): raise it, or preview fewer audiences"
            )
        with _said("running the query"):
            config = bigquery.QueryJobConfig(labels=LABELS)
            if self.maximum is not None:  # the client would send None as the text "None"
                config.maximum_bytes_billed = self.maximum
            job = self.client.query(sql, job_config=config)
            rows = [dict(row.items()) for row in job.result()]
        self.bytes_billed = (self.bytes_billed or 0) + int(job.total_bytes_billed or 0)
        return rows

    def close(self) -> None:
        """Closes the client."""
        self.client.close()


def open_source(events: Events, *, progress: Progress) -> Big:
    """Opens the dataset with Application Default Credentials."""
    try:
        from google.cloud import bigquery
    except ImportError:
        raise PreviewError(
            "this preview needs google-cloud-bigquery, which is not installed: "
            "pip install 'audiencesync[bigquery]'"
        ) from None
    project = events.bigquery.rpartition(".")[0]
    with _said("signing in"), warnings.catch_warnings():
        # google-auth warns on stderr of quota projects: a refusal says it where it matters.
        warnings.simplefilter("ignore")
        client: Any = bigquery.Client(project=project, location=events.location or None)
    try:
        return Big(client, events.bigquery, events.maximum_bytes_billed, progress)
    except PreviewError:
        client.close()
        raise
