"""Google Analytics 4: audiences and change history (Admin API v1alpha), audience exports (Data API v1beta).

Sources: the APIs' discovery documents and reference pages. What comes back is plain JSON; wire.py and live.py
make audiences of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from audiencesync import errors
from audiencesync.fields import fields_of
from audiencesync.http import Connection, Request, Resend, Stream

if TYPE_CHECKING:
    from audiencesync.fields import Field
    from audiencesync.source import Route

ADMIN_HOST = "analyticsadmin.googleapis.com"
DATA_HOST = "analyticsdata.googleapis.com"
READ_SCOPE = "https://www.googleapis.com/auth/analytics.readonly"
EDIT_SCOPE = "https://www.googleapis.com/auth/analytics.edit"

PAGE_SIZE = 200
EXPORTS_PAGE_SIZE = 1000
MAX_MEMBERS = 250_000
# A server that always promises another page must not hold us for ever: 200,000 audiences are past any limit.
MAX_PAGES = 1000
# Creating an export may take the server a while before it answers.
_EXPORT_TIMEOUT = (10.0, 300.0)

_ID = r"[A-Za-z0-9_-]{1,128}"


class ExportState(StrEnum):
    """How far an audience export is; what we do not know counts as not finished."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class AudienceExport:
    """An audience export as the server tells it; what it leaves out is "" or None, and percent 0.

    `begun` is the server's text (RFC 3339), `tokens` the quota tokens that creating it cost.
    """

    name: str
    audience: str = ""
    dimensions: tuple[str, ...] = ()
    state: ExportState = ExportState.CREATING
    percent: float = 0.0
    rows: int | None = None
    tokens: int | None = None
    begun: str = ""
    message: str = ""


class Property:
    """One GA4 property; every failure is one of errors.RequestError and its kin."""

    def __init__(self, admin: Connection, data: Connection, number: str) -> None:
        if not re.fullmatch(r"[0-9]{1,20}", number):
            raise errors.UsageError(f"{number!r} is not the number of a GA4 property")
        self.number, self.name = number, f"properties/{number}"
        self._admin, self._data = admin, data

    @property
    def principal(self) -> str:
        """The account that requests are made as, "" where the credentials do not tell."""
        return self._admin.principal

    @property
    def endpoint(self) -> str:
        """The address that audience exports are asked of: another one has other exports of the same names."""
        return self._data.base

    def audiences(self) -> list[dict[str, Any]]:
        """Give all audiences in the server's order; an incomplete list is an error, never a short one."""
        return self._pages(self._admin, f"/v1alpha/{self.name}/audiences", "audiences", PAGE_SIZE)

    def audience(self, name: str) -> dict[str, Any]:
        """Give one audience by its full resource name."""
        path = self._path("v1alpha", name, "audiences")
        return _resource(self._admin.send(Request("GET", path)), path)

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an audience and give it as the server holds it.

        Never sent twice where it may have run: NoAnswerError with `sent`, or ServerError, then say that
        nobody can know.
        """
        path = f"/v1alpha/{self.name}/audiences"
        answer = self._admin.send(Request("POST", path, body=dict(body), write=True, resend=Resend.ONCE))
        if not isinstance(answer, dict) or not isinstance(answer.get("name"), str):
            message = f"POST {path} failed: the answer does not name the audience that was created"
            raise errors.NoAnswerError(message, method="POST", url=path, sent=True)
        return answer

    def patch(self, name: str, body: Mapping[str, Any], mask: Sequence[str]) -> dict[str, Any]:
        """Change the masked fields (camelCase); one that the body leaves out is cleared."""
        path = self._path("v1alpha", name, "audiences")
        # The reference documents snake_case; servers take Google's own clients' camelCase as well.
        query = {"updateMask": ",".join(_snake(field) for field in mask)}
        return _resource(self._admin.send(Request("PATCH", path, query, dict(body), write=True)), path)

    def archive(self, name: str) -> None:
        """Archive an audience, for ever; a 404 after a try that may have run is success."""
        path = self._path("v1alpha", name, "audiences") + ":archive"
        self._admin.send(Request("POST", path, body={}, write=True, vanishes=True))

    def service_level(self) -> str:
        """Give GOOGLE_ANALYTICS_STANDARD, GOOGLE_ANALYTICS_360, or "" where the server does not say."""
        level = self._itself().get("serviceLevel")
        return level if isinstance(level, str) else ""

    def account(self) -> str:
        """Give the number of the Analytics account that the property is in, or ""."""
        name = str(self._itself().get("account") or "")
        return name.removeprefix("accounts/") if re.fullmatch(r"accounts/[0-9]{1,20}", name) else ""

    def _itself(self) -> dict[str, Any]:
        path = f"/v1alpha/{self.name}"
        return _resource(self._admin.send(Request("GET", path)), path)

    def change_history(self, account: str, since: datetime) -> list[dict[str, Any]]:
        """Give the changes to the property's audiences since a moment, which has a time zone."""
        if not re.fullmatch(r"[0-9]{1,20}", account):
            raise errors.UsageError(f"{account!r} is not the number of an Analytics account")
        body: dict[str, Any] = {
            "property": self.name,
            "resourceType": ["AUDIENCE"],
            "earliestChangeTime": since.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "pageSize": PAGE_SIZE,
        }
        path = f"/v1alpha/accounts/{account}:searchChangeHistoryEvents"
        events: dict[str, dict[str, Any]] = {}
        for page in _follow(lambda token: Request("POST", path, body=body | token), self._admin):
            for event in _items(page, "changeHistoryEvents", path):
                events[str(event.get("id") or f"without id {len(events)}")] = event
        return list(events.values())

    def create_export(self, audience_name: str, dimensions: Sequence[str]) -> str:
        """Start an audience export and give its name.

        Never sent twice where it may have run. Raises AmbiguousSubmitError where the answer does
        not tell its name.
        """
        self._path("v1alpha", audience_name, "audiences")
        body = {
            "audience": audience_name,
            "dimensions": [{"dimensionName": dimension} for dimension in dimensions],
        }
        path = f"/v1beta/{self.name}/audienceExports"
        request = Request("POST", path, body=body, write=True, resend=Resend.ONCE, timeout=_EXPORT_TIMEOUT)
        answer = self._data.send(request)
        operation = answer if isinstance(answer, dict) else {}
        problem = operation.get("error")
        if isinstance(problem, dict):
            message = str(problem.get("message") or "the server does not say why")[:2000]
            raise errors.ApiError(f"the audience export was refused: {message}", method="POST", url=path)
        name = self._export_name(operation)
        if name is None:
            message = "the server started an audience export and did not say under which name"
            raise errors.AmbiguousSubmitError(message)
        return name

    def export(self, name: str) -> AudienceExport:
        """Give one audience export by its full resource name."""
        path = self._path("v1beta", name, "audienceExports")
        return _export(_resource(self._data.send(Request("GET", path)), path))

    def exports(self) -> list[AudienceExport]:
        """Give all audience exports that have not expired."""
        path = f"/v1beta/{self.name}/audienceExports"
        return [_export(each) for each in self._pages(self._data, path, "audienceExports", EXPORTS_PAGE_SIZE)]

    def open_export(self, name: str, offset: int, limit: int = MAX_MEMBERS) -> AbstractContextManager[Stream]:
        """Give a page of an ACTIVE export's rows as it comes: parsed at once, 250,000 take some 400 MB.

        `offset` counts rows from 0, `limit` is at most 250,000; members.py reads the page.
        """
        path = self._path("v1beta", name, "audienceExports") + ":query"
        body = {"offset": str(offset), "limit": str(limit)}
        # Read from its start or not at all, so it may come compressed, unlike a download.
        headers = {"Accept-Encoding": "gzip"}
        return self._data.stream(Request("POST", path, {"prettyPrint": "false"}, body, headers=headers))

    def _pages(self, connection: Connection, path: str, key: str, size: int) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        query = {"pageSize": str(size)}
        for page in _follow(lambda token: Request("GET", path, query | token), connection):
            for item in _items(page, key, path):
                name = item.get("name")
                if not isinstance(name, str) or not name:
                    raise _malformed(path, f"an entry of {key} has no name")
                # One that moved between pages while we read comes twice.
                found[name] = item
        return list(found.values())

    def _path(self, version: str, name: str, collection: str) -> str:
        """Give the path of a resource of this property; no other text can become a path."""
        if not re.fullmatch(rf"{self.name}/{collection}/{_ID}", name):
            raise errors.UsageError(f"{name[:200]!r} is not the name of one of {self.name}/{collection}")
        return f"/{version}/{name}"

    def _export_name(self, operation: Mapping[str, Any]) -> str | None:
        """Find the export's name in an Operation: documented in `response`, else wherever it could stand."""
        for holder in (operation.get("response"), operation.get("metadata"), operation):
            for key in ("name", "audienceExport"):
                text = holder.get(key) if isinstance(holder, dict) else None
                if found := re.match(rf"{self.name}/audienceExports/{_ID}(?![^/])", _text(text)):
                    return found[0]
        return None


def violation_route(field: str) -> Route:
    """Read the server's path to a refused field as a route in our document, as far as it can be read.

    "audience.filter_clauses[0].simple_filter.scope" gives ("filterClauses", 0, "simpleFilter", "scope").
    snake_case, camelCase, and indexes in brackets or after a dot are read; the indexes count in the body that
    was sent.
    """
    tokens = re.findall(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]{1,9}", field[:2000])
    if tokens and _plain(tokens[0]) == "audience":
        tokens = tokens[1:]
    route: list[str | int] = []
    message, repeated = "Audience", False
    for token in tokens:
        if token.isdecimal():
            if not repeated:
                break
            route.append(int(token))
            repeated = False
            continue
        found = _field(message, token)
        if found is None or repeated:
            break
        route.append(found.name)
        message, repeated = found.of, found.repeated
    return tuple(route)


def _field(message: str, token: str) -> Field | None:
    return next((field for field in fields_of(message) if _plain(field.name) == _plain(token)), None)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), name)


def _follow(request: Callable[[dict[str, str]], Request], connection: Connection) -> Iterator[dict[str, Any]]:
    """Yield the pages of a list; request takes what to add for a page, first nothing, then its token."""
    seen: set[str] = set()
    token: dict[str, str] = {}
    for _ in range(MAX_PAGES):
        made = request(token)
        page = _resource(connection.send(made), made.path)
        yield page
        following = page.get("nextPageToken") or ""
        if not isinstance(following, str):
            raise _malformed(made.path, "nextPageToken is not a text")
        if not following:
            return
        if following in seen:
            raise _malformed(made.path, "the pages turn in a circle")
        seen.add(following)
        token = {"pageToken": following}
    raise _malformed(request(token).path, f"there are more than {MAX_PAGES} pages")


def _resource(answer: object, path: str) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise _malformed(path, "the answer is empty")
    return answer


def _items(page: Mapping[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    items = page.get(key)
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _malformed(path, f"{key} is not a list of objects")
    return items


def _malformed(path: str, what: str) -> errors.ServerError:
    return errors.ServerError(f"{path} was not read: {what}; nothing was taken from it", url=path, status=200)


def _export(data: Mapping[str, Any]) -> AudienceExport:
    dimensions = data.get("dimensions")
    names = [each.get("dimensionName") for each in dimensions or () if isinstance(each, dict)]
    percent = data.get("percentageCompleted")
    return AudienceExport(
        name=_text(data.get("name")),
        audience=_text(data.get("audience")),
        dimensions=tuple(name for name in names if isinstance(name, str)),
        state=_state(data.get("state")),
        percent=float(percent) if isinstance(percent, int | float) else 0.0,
        rows=_whole(data.get("rowCount")),
        tokens=_whole(data.get("creationQuotaTokensCharged")),
        begun=_text(data.get("beginCreatingTime")),
        message=_text(data.get("errorMessage"))[:2000],
    )


def _state(value: object) -> ExportState:
    """Read a state by name or number (data_v1beta.AudienceExport.State: 1 CREATING, 2 ACTIVE, 3 FAILED)."""
    by_number: dict[object, ExportState] = {2: ExportState.ACTIVE, 3: ExportState.FAILED}
    if isinstance(value, str) and value in ExportState.__members__:
        return ExportState[value]
    return by_number.get(value, ExportState.CREATING) if isinstance(value, int) else ExportState.CREATING


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    """Read an int64, which JSON carries as text, or an int32."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
