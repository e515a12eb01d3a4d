"""accounts.searchChangeHistoryEvents: what the embedded property saw, newest first.

Source: the proto comments of SearchChangeHistoryEventsRequest and ChangeHistoryEvent (Admin API v1alpha).
"""

from __future__ import annotations

import json
from enum import StrEnum

from audiencesync.fields import EnumType, Field, Kind
from audiencesync.local import tokens
from audiencesync.local.context import ACCOUNT, Call, Context, Json
from audiencesync.local.messages import Table, format_time, page_size, parse_time, read
from audiencesync.local.refusals import permission_denied
from audiencesync.local.store import Change

DEFAULT_PAGE, MAX_PAGE = 50, 200

_REQUEST = "SearchChangeHistoryEventsRequest"
_ENDLESS = 1 << 62


class Action(StrEnum):
    """What was done to a resource."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


_TYPES = {
    "ACCOUNT": 1, "PROPERTY": 2, "FIREBASE_LINK": 6, "GOOGLE_ADS_LINK": 7, "GOOGLE_SIGNALS_SETTINGS": 8,
    "CONVERSION_EVENT": 9, "MEASUREMENT_PROTOCOL_SECRET": 10, "CUSTOM_DIMENSION": 11, "CUSTOM_METRIC": 12,
    "DATA_RETENTION_SETTINGS": 13, "DISPLAY_VIDEO_360_ADVERTISER_LINK": 14,
    "DISPLAY_VIDEO_360_ADVERTISER_LINK_PROPOSAL": 15, "SEARCH_ADS_360_LINK": 16, "DATA_STREAM": 18,
    "ATTRIBUTION_SETTINGS": 20, "EXPANDED_DATA_SET": 21, "CHANNEL_GROUP": 22, "BIGQUERY_LINK": 23,
    "ENHANCED_MEASUREMENT_SETTINGS": 24, "DATA_REDACTION_SETTINGS": 25,
    "SKADNETWORK_CONVERSION_VALUE_SCHEMA": 26, "ADSENSE_LINK": 27, "AUDIENCE": 28, "EVENT_CREATE_RULE": 29,
    "KEY_EVENT": 30, "CALCULATED_METRIC": 31, "REPORTING_DATA_ANNOTATION": 32, "SUBPROPERTY_SYNC_CONFIG": 33,
    "REPORTING_IDENTITY_SETTINGS": 34, "USER_PROVIDED_DATA_SETTINGS": 35,
}  # fmt: skip
ResourceType = StrEnum("ResourceType", {word: word for word in _TYPES})  # type: ignore[misc]

REQUESTS = Table(
    (
        Field(_REQUEST, "account", Kind.TEXT, "The account; the path names it already."),
        Field(_REQUEST, "property", Kind.TEXT, "Only changes to this property."),
        Field(_REQUEST, "resourceType", Kind.ENUM, "Only these.", of="ResourceType", repeated=True),
        Field(_REQUEST, "action", Kind.ENUM, "Only these.", of="ActionType", repeated=True),
        Field(_REQUEST, "actorEmail", Kind.TEXT, "Only changes by these.", repeated=True),
        Field(_REQUEST, "earliestChangeTime", Kind.TIMESTAMP, "Only changes from then on."),
        Field(_REQUEST, "latestChangeTime", Kind.TIMESTAMP, "Only changes up to then."),
        Field(_REQUEST, "pageSize", Kind.INT32, "At most so many events."),
        Field(_REQUEST, "pageToken", Kind.TEXT, "Where to go on."),
    ),
    {
        "ResourceType": EnumType(
            ResourceType, "CHANGE_HISTORY_RESOURCE_TYPE_UNSPECIFIED", tuple(_TYPES.values()), ()
        ),
        "ActionType": EnumType(Action, "ACTION_TYPE_UNSPECIFIED", (1, 2, 3), ()),
    },
)


def search(context: Context, call: Call, account: str) -> Json:
    """POST /v1alpha/accounts/N:searchChangeHistoryEvents.

    A page may hold fewer events than asked for although more follow, as Google's may.
    """
    if account != ACCOUNT:
        raise permission_denied()
    request = read(REQUESTS, _REQUEST, call.body)
    size = page_size(str(request.get("pageSize", 0)), DEFAULT_PAGE, MAX_PAGE)
    token = request.pop("pageToken", "")
    bound = ("changes", json.dumps(request, sort_keys=True))
    before = tokens.read(context.store.seed, bound, token)
    with context.store.read() as store:
        found = store.changes(
            _properties(context, request.get("property", "")),
            (_time(request, "earliestChangeTime", 0), _time(request, "latestChangeTime", _ENDLESS)),
            before=before or _ENDLESS,
            limit=size + 1,
        )
    answer: Json = {}
    events = [_event(change) for change in found[:size] if _wanted(change, request)]
    if events:
        answer["changeHistoryEvents"] = events
    if len(found) > size:
        answer["nextPageToken"] = tokens.write(context.store.seed, bound, found[size - 1].id)
    return answer


def _properties(context: Context, name: str) -> tuple[str, ...]:
    if not name:
        return context.properties
    number = name.removeprefix("properties/")
    if number not in context.properties:
        raise permission_denied()
    return (number,)


def _time(request: Json, name: str, default: int) -> int:
    text = request.get(name)
    micros = parse_time(text) if text else None
    return default if micros is None else micros


def _wanted(change: Change, request: Json) -> bool:
    types, actions, actors = (
        {word for word in request.get(name, ()) if word} for name in ("resourceType", "action", "actorEmail")
    )
    return (
        (not types or "AUDIENCE" in types)
        and (not actions or change.action in actions)
        and (not actors or change.actor in actors)
    )


def _event(change: Change) -> Json:
    detail: Json = {"resource": change.resource, "action": change.action}
    if change.before is not None:
        detail["resourceBeforeChange"] = {"audience": change.before}
    if change.after is not None:
        detail["resourceAfterChange"] = {"audience": change.after}
    return {
        "id": str(change.id),
        "changeTime": format_time(change.time),
        "actorType": "USER",
        "userActorEmail": change.actor,
        "changes": [detail],
    }
