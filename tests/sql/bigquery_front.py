"""BigQuery's REST API on loopback, as far as previews ask for it, with crucible-emulator behind it.

What the emulator has not is answered here: dry runs, wildcard tables, bytes and the limit on them, labels,
locations, tokens and missing permissions. It follows Google's documentation, its client and the answers that
people quote in their bug reports; nothing here was ever compared with BigQuery.
"""

import http.client
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from tests.test_http import Reply, Seen, Server

Json = dict[str, Any]
Table = tuple[str, str, str]
"""Project, dataset and name."""

MEBI = 1024**2
LEAST = 10 * MEBI
"""What is billed at least for each table that is read."""
LOCATION = "US"
TOKEN = "token-of-the-user"
_PAGE = 2  # BigQuery's own pages have 50 tables: clients have to turn them
_TIME = "1710000000000"

DENIALS = {
    "bigquery.tables.list": (
        "Dataset {dataset}: Permission {permission} denied on dataset {dataset} (or it may not exist)."
    ),
    "bigquery.tables.get": (
        "Table {table}: Permission {permission} denied on table {table} (or it may not exist)."
    ),
    "bigquery.tables.getData": (
        "Table {table}: User does not have permission to query table {table}, or perhaps it does not exist."
    ),
    "bigquery.jobs.create": (
        "Project {project}: User does not have {permission} permission in project {project}."
    ),
}
"""What an account is told that lacks a permission."""

_PROJECT = "/bigquery/v2/projects/(?P<project>[^/]+)"
_DATASET = f"{_PROJECT}/datasets/(?P<dataset>[^/]+)"
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_INT64 = re.compile(r"-?[0-9]{1,19}")
_TABLE = re.compile(r"`([\w:.-]+)\.(\w+)\.(\w+)`")
_WILDCARD = re.compile(
    r"`(?P<project>[\w:.-]+)\.(?P<dataset>\w+)\.(?P<prefix>\w*)\*`"
    r"(?:\s+WHERE\s+_TABLE_SUFFIX\s+BETWEEN\s+'(?P<first>[^']*)'\s+AND\s+'(?P<last>[^']*)')?"
)


def write_credentials(path: Path) -> Path:
    """Write what `gcloud auth application-default login` leaves, with a token that need not be renewed."""
    from google.auth import _cloud_sdk

    data = {
        "type": "authorized_user",
        "client_id": _cloud_sdk.CLOUD_SDK_CLIENT_ID,
        "client_secret": "none",
        "refresh_token": "none",
        "token": TOKEN,
        "expiry": "2999-01-01T00:00:00Z",
    }
    path.write_text(json.dumps(data))
    return path


class Refusal(Exception):  # noqa: N818 - BigQuery refuses, nothing has failed here
    """An answer that refuses: its status, the reason that clients act on, the message that people read."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason

    def body(self) -> Json:
        message = str(self)
        errors = [{"message": message, "domain": "global", "reason": self.reason}]
        return {"error": {"code": self.status, "message": message, "errors": errors}}


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it was asked for."""

    sql: str
    labels: dict[str, str]
    dry: bool
    maximum: str | None
    location: str | None


@dataclass(slots=True)
class _Job:
    """A query that was taken on; `polls` say how often it is still found running."""

    sql: str
    read: int
    billed: int
    polls: int
    refusal: Refusal | None = None


@dataclass(slots=True)
class Front:
    """The server before an emulator.

    `row` is how many bytes a row has, since the emulator stores no sizes; `polls` how often a job is still
    found running; `denied` the permissions that the account lacks.
    """

    emulator: str
    row: int = 1000
    polls: int = 1
    denied: set[str] = field(default_factory=set)
    queries: list[Query] = field(default_factory=list)
    _jobs: dict[str, _Job] = field(default_factory=dict)
    _server: Server = field(init=False)

    def __post_init__(self) -> None:
        self._server = Server(self._reply)

    @property
    def base(self) -> str:
        """The address of the API."""
        return self._server.base

    def close(self) -> None:
        """Stops listening."""
        self._server.close()

    def _reply(self, seen: Seen) -> Reply:
        try:
            status, body = 200, self._answer(seen)
        except Refusal as refusal:
            status, body = refusal.status, refusal.body()
        return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json; charset=UTF-8"})

    def _answer(self, seen: Seen) -> Json:
        if seen.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, "authError", "Request had invalid authentication credentials.")
        routes: tuple[tuple[str, str, Callable[..., Json]], ...] = (
            ("GET", f"{_DATASET}/tables", self._list),
            ("GET", f"{_DATASET}/tables/(?P<table>[^/]+)", self._get),
            ("POST", f"{_PROJECT}/jobs", self._insert),
            ("GET", f"{_PROJECT}/jobs/(?P<job>[^/]+)", self._poll),
            ("GET", f"{_PROJECT}/queries/(?P<job>[^/]+)", self._rows),
        )
        for method, path, answer in routes:
            found = re.fullmatch(path, urlsplit(seen.path).path)
            if found and method == seen.method:
                return answer(seen, **found.groupdict())
        raise Refusal(501, "notImplemented", f"{seen.method} {seen.path} is not imitated here")

    def _ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """What the emulator answers; its refusals are handed on."""
        address = urlsplit(self.emulator)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            found: Json = json.loads(reply.read())
        finally:
            connection.close()
        if reply.status >= 400:
            error = found["error"]
            raise Refusal(reply.status, error["errors"][0]["reason"], error["message"])
        return found

    def _allow(self, permission: str, project: str, dataset: str = "", table: str = "") -> None:
        if permission in self.denied:
            dataset = f"{project}:{dataset}"
            names = {"project": project, "dataset": dataset, "table": f"{dataset}.{table}"}
            said = DENIALS[permission].format(permission=permission, **names)
            raise Refusal(403, "accessDenied", f"Access Denied: {said}")

    # ---------------------------------------------------------------- tables

    def _list(self, seen: Seen, project: str, dataset: str) -> Json:
        self._allow("bigquery.tables.list", project, dataset)
        address = urlsplit(seen.path)
        query = {"maxResults": _PAGE} | dict(parse_qsl(address.query))
        return self._ask("GET", f"{address.path}?{urlencode(query)}")

    def _get(self, seen: Seen, project: str, dataset: str, table: str) -> Json:
        self._allow("bigquery.tables.get", project, dataset, table)
        return self._ask("GET", seen.path)

    def _table(self, table: Table) -> Json:
        project, dataset, name = (quote(each, safe="") for each in table)
        return self._ask("GET", f"/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{name}")

    def _tables(self, project: str, dataset: str, prefix: str) -> list[Table]:
        """The tables with a prefix in the order of their names; a view among them is refused."""
        path = f"/bigquery/v2/projects/{quote(project)}/datasets/{quote(dataset)}/tables"
        found = []
        for each in self._ask("GET", path).get("tables", []):
            name = each["tableReference"]["tableId"]
            if name.startswith(prefix):
                found.append((project, dataset, name))
                if each["type"] == "VIEW":
                    message = (
                        f"Views cannot be queried through prefix. First view {project}:{dataset}.{name}."
                    )
                    raise Refusal(400, "invalidQuery", message)
        if not found:
            raise Refusal(400, "invalidQuery", f"{project}:{dataset}.{prefix}* does not match any table.")
        return sorted(found)

    def _expanded(self, sql: str) -> tuple[str, set[Table]]:
        """The statement over the tables that its wildcards match within their bounds, and all it reads."""
        read: set[Table] = {(found[1], found[2], found[3]) for found in _TABLE.finditer(sql)}

        def union(found: re.Match[str]) -> str:
            project, dataset, prefix, first, last = found.groups()
            known = self._tables(project, dataset, prefix)
            within = [
                table
                for table in known
                if first is None or first <= table[2].removeprefix(prefix) <= last  # as texts
            ]
            read.update(within)
            return self._union(known[-1], within)

        expanded = _WILDCARD.sub(union, sql)
        if "_TABLE_SUFFIX" in expanded:
            raise Refusal(501, "notImplemented", "_TABLE_SUFFIX is imitated in BETWEEN with two texts alone")
        return expanded, read

    def _union(self, newest: Table, within: list[Table]) -> str:
        """The tables' rows in the columns of the newest table that the wildcard matches.

        BigQuery goes by the time of creation, which the emulator does not keep: here the last name is newest.
        """
        columns = [each["name"] for each in self._table(newest)["schema"]["fields"]]
        parts = []
        for table in within or [newest]:
            there = {each["name"] for each in self._table(table)["schema"]["fields"]}
            listed = ", ".join(f"`{each}`" if each in there else f"NULL AS `{each}`" for each in columns)
            parts.append(f"SELECT {listed} FROM `{'.'.join(table)}`")
        return "(" + " UNION ALL ".join(parts) + ("" if within else " WHERE FALSE") + ")"

    def _bytes(self, tables: set[Table]) -> tuple[int, int]:
        """What is read of the tables, and what is billed: whole MiB of each, and a least for it."""
        sizes = [self.row * int(self._table(table)["numRows"]) for table in tables]
        return sum(sizes), sum(max(LEAST, -(-size // MEBI) * MEBI) for size in sizes if size)

    # ---------------------------------------------------------------- jobs

    def _insert(self, seen: Seen, project: str) -> Json:
        body = json.loads(seen.body)
        reference, configuration = body["jobReference"], body["configuration"]
        query = configuration["query"]
        asked = Query(
            query["query"],
            configuration.get("labels", {}),
            configuration.get("dryRun", False),
            query.get("maximumBytesBilled"),
            reference.get("location"),
        )
        self.queries.append(asked)
        self._allow("bigquery.jobs.create", project)
        _check(asked)
        expanded, tables = self._expanded(asked.sql)
        for owner, dataset, table in sorted(tables):
            self._allow("bigquery.tables.getData", owner, dataset, table)
            if asked.location not in {None, LOCATION}:
                where = f"was not found in location {asked.location}"
                raise Refusal(404, "notFound", f"Not found: Dataset {owner}:{dataset} {where}")
        read, billed = self._bytes(tables)
        if asked.dry:
            return self._dry(project, configuration, expanded, read)
        job = self._jobs[reference["jobId"]] = _Job(asked.sql, read, billed, self.polls)
        if asked.maximum is not None and billed > int(asked.maximum):
            message = f"Query exceeded limit for bytes billed: {asked.maximum}. {billed} or higher required."
            job.refusal = Refusal(400, "bytesBilledLimitExceeded", message)
        else:
            configuration = configuration | {"query": query | {"query": expanded}}
            self._ask("POST", seen.path, body | {"configuration": configuration})
        return {
            **body,
            "kind": "bigquery#job",
            "jobReference": reference | {"location": LOCATION},
            "statistics": {"creationTime": _TIME, "startTime": _TIME},
            "status": {"state": "RUNNING"},
        }

    def _dry(self, project: str, configuration: Json, expanded: str, read: int) -> Json:
        """What a dry run says; the emulator finds a statement's mistakes only by running it."""
        checked = {"query": f"SELECT * FROM (\n{expanded}\n) LIMIT 0", "useLegacySql": False}
        schema = self._ask("POST", f"/bigquery/v2/projects/{quote(project)}/queries", checked)["schema"]
        spent = {
            "totalBytesProcessed": str(read),
            "totalBytesProcessedAccuracy": "PRECISE",
            "totalBytesBilled": "0",
            "cacheHit": False,
            "statementType": "SELECT",
            "schema": schema,
        }
        return {
            "kind": "bigquery#job",
            "configuration": {**configuration, "jobType": "QUERY"},
            "jobReference": {"projectId": project, "location": LOCATION},
            "statistics": {"creationTime": _TIME, "totalBytesProcessed": str(read), "query": spent},
            "status": {"state": "DONE"},
        }

    def _poll(self, seen: Seen, project: str, job: str) -> Json:
        known = self._known(project, job)
        found: Json = {
            "kind": "bigquery#job",
            "configuration": {"query": {"query": known.sql}},
            "jobReference": {"projectId": project, "jobId": job, "location": LOCATION},
            "statistics": {"creationTime": _TIME, "startTime": _TIME},
        }
        if known.polls:
            known.polls -= 1
            return {**found, "status": {"state": "RUNNING"}}
        if known.refusal:
            (error,) = known.refusal.body()["error"]["errors"]
            return {**found, "status": {"state": "DONE", "errorResult": error, "errors": [error]}}
        found = self._ask("GET", seen.path)
        found["configuration"]["query"]["query"] = known.sql
        spent = {"totalBytesProcessed": str(known.read), "totalBytesBilled": str(known.billed)}
        found["statistics"]["query"] = found["statistics"].get("query", {}) | spent
        return found

    def _rows(self, seen: Seen, project: str, job: str) -> Json:
        known = self._known(project, job)
        if known.refusal:
            raise known.refusal
        return self._ask("GET", seen.path)

    def _known(self, project: str, job: str) -> _Job:
        if job not in self._jobs:
            raise Refusal(404, "notFound", f"Not found: Job {project}:{job}")
        return self._jobs[job]


def _check(asked: Query) -> None:
    """Refuses what BigQuery refuses in the configuration of a query."""
    for key, value in asked.labels.items():
        if not key or not _LABEL.fullmatch(key):
            raise Refusal(400, "invalid", f'Label key "{key}" has invalid characters.')
        if not _LABEL.fullmatch(value):
            raise Refusal(400, "invalid", f'Label value "{value}" has invalid characters.')
    if asked.maximum is not None and not _INT64.fullmatch(asked.maximum):
        where = "job.configuration.query.maximum_bytes_billed.value"
        raise Refusal(400, "invalid", f"Invalid value at '{where}' (TYPE_INT64), \"{asked.maximum}\"")
