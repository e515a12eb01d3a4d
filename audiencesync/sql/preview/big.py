"""BigQuery over the daily tables of an export's dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from audiencesync.errors import PreviewError
from audiencesync.sql.compile import wildcard
from audiencesync.sql.dialect import Schema
from audiencesync.sql.preview.duck import BASE
from audiencesync.sql.preview.records import Extent, Progress, Row

if TYPE_CHECKING:
    from audiencesync.settings import Events
    from audiencesync.sql.compile import Export, Statement

LABELS = {"application": "audiencesync", "command": "preview"}
_DAILY = re.compile(r"events_(\d{8})")
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


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Turns Google's errors into one sentence."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError as error:
        raise PreviewError(f"BigQuery needs credentials: {error}") from None
    except GoogleAPIError as error:
        message = str(getattr(error, "message", "") or error).strip().splitlines()[0]
        raise PreviewError(f"BigQuery, {what}: {message}") from None


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
            names = [each.table_id for each in self.client.list_tables(self.dataset)]
        days = sorted(found[1] for name in names if (found := _DAILY.fullmatch(name)))
        if not days:
            raise PreviewError(f"{self.dataset} holds no daily table events_YYYYMMDD")
        newest = f"{self.dataset}.events_{days[-1]}"
        with _said(f"reading the columns of {newest}"):
            self.schema = schema_of(self.client.get_table(newest).schema)
        for name in BASE:
            if not self.schema.has(name):
                raise PreviewError(f"{newest} has no column {name}: it is no GA4 event export")
        first, last = (datetime.strptime(day, "%Y%m%d").date() for day in (days[0], days[-1]))  # noqa: DTZ007 - days
        self.extent = Extent(first, last, None)

    def source(self, as_of: date) -> str:
        """The wildcard table between the first day that is there and the as-of day."""
        return wildcard(self.dataset, as_of, self.extent.first or as_of)

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
            size = int(self.client.query(sql, job_config=config).total_bytes_processed or 0)
        limit = f" of at most {human(self.maximum)}" if self.maximum else ""
        self.progress(f"BigQuery reads {human(size)}{limit}")
        if self.maximum is not None and size > self.maximum:
            raise PreviewError(
                f"BigQuery would read {human(size)} ({size} bytes), more than events.maximumBytesBilled "
                f"({self.maximum}): raise it, or preview fewer audiences"
            )
        with _said("running the query"):
            config = bigquery.QueryJobConfig(maximum_bytes_billed=self.maximum, labels=LABELS)
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
    with _said("signing in"):
        client = bigquery.Client(project=project, location=events.location or None)
    return Big(client, events.bigquery, events.maximum_bytes_billed, progress)
