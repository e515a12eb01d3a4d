"""properties.audienceExports, as the Data API v1beta answers them.

An export is a snapshot: its rows are taken when it is created, and shown once it is ACTIVE. Where the members
cannot be evaluated, the export is FAILED and says why. Source: the discovery document, and the create page's
sample answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring

from audiencesync.errors import AudiencesyncError, Violation
from audiencesync.fields import Field, Kind
from audiencesync.local import tokens
from audiencesync.local.audiences import find, served
from audiencesync.local.checks import required
from audiencesync.local.context import HOUR, Call, Context, Json, Written
from audiencesync.local.messages import Table, format_time, page_size, read
from audiencesync.local.refusals import invalid, invalid_field, not_found, precondition
from audiencesync.local.store import StoredExport
from audiencesync.wire import from_api

DIMENSIONS = ("deviceId", "userId", "isAdsPersonalizationAllowed", "isLimitedAdTracking")
"""The dimensions of an audience export, the whole list."""

EXPIRY_HOURS = 72
DEFAULT_PAGE, MAX_PAGE = 200, 1000
DEFAULT_LIMIT, MAX_LIMIT = 10_000, 250_000
TOKENS_A_ROW = 0.01
MIN_TOKENS = 10
"""What an export is charged is made up: Google documents the budgets and no price."""

_MAX_ID_DIGITS = 18
_MICROS = 1_000_000

_NAMED = "AudienceDimension"
REQUESTS = Table(
    (
        Field("AudienceExport", "name", Kind.TEXT, "The export's name.", output_only=True),
        Field("AudienceExport", "audience", Kind.TEXT, "The audience.", nonempty=True),
        Field("AudienceExport", "audienceDisplayName", Kind.TEXT, "Its name.", output_only=True),
        Field("AudienceExport", "dimensions", Kind.MESSAGE, "", _NAMED, repeated=True, nonempty=True),
        Field("AudienceExport", "state", Kind.TEXT, "CREATING, ACTIVE or FAILED.", output_only=True),
        Field("AudienceExport", "beginCreatingTime", Kind.TIMESTAMP, "When it began.", output_only=True),
        Field("AudienceExport", "creationQuotaTokensCharged", Kind.INT32, "What it cost.", output_only=True),
        Field("AudienceExport", "rowCount", Kind.INT32, "How many rows it has.", output_only=True),
        Field("AudienceExport", "errorMessage", Kind.TEXT, "Why it failed.", output_only=True),
        Field("AudienceExport", "percentageCompleted", Kind.DOUBLE, "0 to 100.", output_only=True),
        Field(_NAMED, "dimensionName", Kind.TEXT, "The dimension."),
        Field("QueryAudienceExportRequest", "name", Kind.TEXT, "The export; the path names it already."),
        Field("QueryAudienceExportRequest", "offset", Kind.INT64, "The first row, counted from 0."),
        Field("QueryAudienceExportRequest", "limit", Kind.INT64, "At most so many rows."),
    ),
    {},
)  # fmt: skip


def create_export(context: Context, call: Call, number: str) -> Json:
    """POST /v1beta/properties/P/audienceExports: an Operation, as the create page's sample shows it.

    It has neither name nor done, and `response` is the export while it is still CREATING.
    """
    served(context, number)
    request = read(REQUESTS, "AudienceExport", call.body, "audience_export")
    _check(request)
    prefix, _, ident = request["audience"].rpartition("/")
    if prefix != f"properties/{number}/audiences":
        raise invalid_field(
            "audience_export.audience", f"audience must be of the form properties/{number}/audiences/ID."
        )
    with context.store.read() as store:
        audience = find(store, number, ident)
    names = [named["dimensionName"] for named in request["dimensions"]]
    rows, why = _rows(context, number, audience.body, names)
    now = context.now()
    body = {**request, "audienceDisplayName": audience.body.get("displayName", "")}
    if why:
        body["errorMessage"] = why
    ready = now + int(context.export_delay * _MICROS)
    with context.store.write() as store:
        store.drop_exports(_expired(context))
        stored = store.add_export(number, StoredExport(0, now, ready, 0, body), rows)
    operation: Json = {
        "response": {"@type": _TYPE + "AudienceExport", **_resource(number, stored, now)},
        "metadata": {"@type": _TYPE + "AudienceExportMetadata"},
    }
    if context.switches.named_operation:
        name = f"properties/{number}/audienceExports/{stored.id}/operations/{stored.id}"
        return {"name": name, **operation}
    return operation


_TYPE = "type.googleapis.com/google.analytics.data.v1beta."


def get_export(context: Context, _call: Call, number: str, ident: str) -> Json:
    """GET /v1beta/properties/P/audienceExports/E."""
    return _resource(number, _find(context, number, ident), context.now())


def list_exports(context: Context, call: Call, number: str) -> Json:
    """GET /v1beta/properties/P/audienceExports."""
    served(context, number)
    size = page_size(call.query.get("pageSize", ""), DEFAULT_PAGE, MAX_PAGE)
    bound = ("exports", number, str(size))
    after = tokens.read(context.store.seed, bound, call.query.get("pageToken", ""))
    with context.store.read() as store:
        found = store.exports(number, since=_expired(context), after=after or 0, limit=size + 1)
    now = context.now()
    answer: Json = {"audienceExports": [_resource(number, stored, now) for stored in found[:size]]}
    if len(found) > size:
        answer["nextPageToken"] = tokens.write(context.store.seed, bound, found[size - 1].id)
    return answer if found else {}


def query_export(context: Context, call: Call, number: str, ident: str) -> Json:
    """POST /v1beta/properties/P/audienceExports/E:query.

    A limit above 250,000 gives 250,000 rows; 0 is no limit, so the default of 10,000.
    """
    request = read(REQUESTS, "QueryAudienceExportRequest", call.body)
    offset, limit = int(request.get("offset", "0")), int(request.get("limit", "0"))
    negative = [name for name, value in (("offset", offset), ("limit", limit)) if value < 0]
    if negative:
        raise invalid([Violation(name, f"{name} must not be negative.") for name in negative])
    stored = _find(context, number, ident)
    now = context.now()
    if now < stored.ready:
        raise precondition("The audience export is still being created: query it once its state is ACTIVE.")
    if "errorMessage" in stored.body:
        raise precondition("The audience export failed to be created.")
    limit = min(limit or DEFAULT_LIMIT, MAX_LIMIT)
    answer: Json = {"audienceExport": _resource(number, stored, now)}
    with context.store.read() as store:
        # A row that was never there has no number: far beyond the end SQLite's integers would end too.
        rows = store.export_rows(stored.id, min(offset, stored.row_count), limit)
        written = Written(rows)
    if written:
        answer["audienceRows"] = written
    if stored.row_count:
        answer["rowCount"] = stored.row_count
    return answer


def _row(values: Iterable[str]) -> str:
    """The JSON of a row; an empty text is a default, and so left out here too."""
    written = [f'{{"value":{encode_basestring(value)}}}' if value else "{}" for value in values]
    return f'{{"dimensionValues":[{",".join(written)}]}}'


def _check(request: Json) -> None:
    found = [
        Violation(f"audience_export.{fault.field}", fault.description)
        for fault in required(REQUESTS, "AudienceExport", request)
    ]
    names = [named.get("dimensionName", "") for named in request.get("dimensions", ())]
    for index, name in enumerate(names):
        if name not in DIMENSIONS:
            allowed = ", ".join(DIMENSIONS)
            what = f"{name} is no dimension of an audience export: these are {allowed}."
            found.append(Violation(f"audience_export.dimensions[{index}].dimension_name", what))
        elif name in names[:index]:
            what = f"{name} is there twice."
            found.append(Violation(f"audience_export.dimensions[{index}].dimension_name", what))
    if found:
        raise invalid(found)


def _rows(context: Context, number: str, body: Json, names: list[str]) -> tuple[Iterator[str], str]:
    """The members' rows, cut down to the dimensions asked for, and why there are none where that failed.

    Nobody is a member where nothing evaluates members, or GA4 does not show what the audience is (its
    default audiences). The evaluation begins here, before the store is locked for writing.
    """
    nobody: Iterator[str] = iter(())
    if context.switches.export_error:
        return nobody, context.switches.export_error
    if context.members is None or "filterClauses" not in body:
        return nobody, ""
    columns = [DIMENSIONS.index(name) for name in names]
    try:
        rows = iter(context.members(from_api(body), number))
        first = list(itertools.islice(rows, 1))
    except AudiencesyncError as error:
        return nobody, str(error)
    return (_row([row[column] for column in columns]) for row in itertools.chain(first, rows)), ""


def _expired(context: Context) -> int:
    return context.now() - int(EXPIRY_HOURS * HOUR * _MICROS)


def _find(context: Context, number: str, ident: str) -> StoredExport:
    served(context, number)
    plain = ident.isascii() and ident.isdigit() and len(ident) <= _MAX_ID_DIGITS
    stored = None
    if plain:
        with context.store.read() as store:
            stored = store.export(number, int(ident), since=_expired(context))
    if stored is None:
        raise not_found()
    return stored


def _resource(number: str, stored: StoredExport, now: int) -> Json:
    """The JSON of an export at a moment: it stays CREATING until it is ready, then ACTIVE or FAILED."""
    answer: Json = {
        "name": f"properties/{number}/audienceExports/{stored.id}",
        **{name: value for name, value in stored.body.items() if name != "errorMessage"},
        "state": "CREATING",
        "beginCreatingTime": format_time(stored.created),
    }
    if now < stored.ready:
        part = (now - stored.created) / (stored.ready - stored.created)
        return answer | ({"percentageCompleted": round(100 * part, 2)} if part > 0 else {})
    charged = max(MIN_TOKENS, int(stored.row_count * TOKENS_A_ROW))
    if "errorMessage" in stored.body:
        return answer | {"state": "FAILED", "errorMessage": stored.body["errorMessage"]}
    counted = {"rowCount": stored.row_count} if stored.row_count else {}
    return answer | {
        "state": "ACTIVE",
        "creationQuotaTokensCharged": charged,
        **counted,
        "percentageCompleted": 100,
    }
