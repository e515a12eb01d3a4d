"""properties.audiences and properties.get, as the Admin API v1alpha answers them.

What is answered differs from what was sent the way Google's answers do: clauses and groups come in another
order (fixed for an audience), each filter inside event parameters has an orGroup around it, defaults are left
out, no trigger is `{}`, durations are canonical. Source: the discovery document; recorded list answers.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from typing import Any

from audiencesync.canonical import definition_fingerprint
from audiencesync.errors import UnrepresentableError, Violation
from audiencesync.fields import MAX_MEMBERSHIP_DAYS, Field, fields_of
from audiencesync.local import tokens
from audiencesync.local.checks import violations
from audiencesync.local.context import ACCOUNT, Call, Context, Json
from audiencesync.local.messages import AUDIENCES, format_time, page_size, read, snake
from audiencesync.local.refusals import (
    RefusedError,
    invalid,
    invalid_field,
    limit_reached,
    not_found,
    permission_denied,
)
from audiencesync.local.store import Change, StoredAudience, Transaction
from audiencesync.wire import from_api, to_api

DEFAULT_AUDIENCES = (
    {"displayName": "All Users", "description": "All users", "membershipDurationDays": 540},
    {
        "displayName": "Purchasers",
        "description": "Users who have made a purchase",
        "membershipDurationDays": 540,
    },
)
"""What GA4 puts into a new property; they are listed without filterClauses (recorded, and documented)."""

DEFAULT_PAGE, MAX_PAGE = 50, 200
_MAX_ID_DIGITS = 18
_GAP = 1000
_ONEOF_SCALARS = ("int64Value", "doubleValue")


def served(context: Context, number: str) -> str:
    """The property number of a path.

    Errors: RefusedError 403 where the property is not served.
    """
    if number not in context.properties:
        raise permission_denied()
    return number


def add_properties(context: Context) -> None:
    """Adds the served properties that the store does not know, each with Google's default audiences."""
    with context.store.read() as store:
        missing = [number for number in context.properties if store.property_created(number) is None]
    if not missing:
        return
    with context.store.write() as store:
        for number in missing:
            if store.property_created(number) is None:
                store.add_property(number, context.now())
                for default in DEFAULT_AUDIENCES if context.switches.default_audiences else ():
                    body = {**default, **_GIVEN, "eventTrigger": {}}
                    store.add_audience(number, StoredAudience(_new_id(context, store), context.now(), body))


_GIVEN = {"adsPersonalizationEnabled": True}


def _new_id(context: Context, store: Transaction) -> int:
    return store.next_audience_id(int(context.chance() * _GAP))


def resource(number: str, stored: StoredAudience) -> Json:
    """The JSON of an audience as it is answered."""
    name = f"properties/{number}/audiences/{stored.id}"
    return {"name": name, **stored.body, "createTime": format_time(stored.created)}


def find(store: Transaction, number: str, ident: str) -> StoredAudience:
    """A live audience by the id of a path.

    Errors: RefusedError 404 where there is none, or it was archived.
    """
    plain = ident.isascii() and ident.isdigit() and len(ident) <= _MAX_ID_DIGITS
    stored = store.audience(number, int(ident)) if plain else None
    if stored is None:
        raise not_found()
    return stored


def get_property(context: Context, _call: Call, number: str) -> Json:
    """GET /v1alpha/properties/P."""
    served(context, number)
    with context.store.read() as store:
        created = format_time(store.property_created(number) or 0)
    return {
        "name": f"properties/{number}",
        "parent": f"accounts/{ACCOUNT}",
        "createTime": created,
        "updateTime": created,
        "displayName": f"Embedded property {number}",
        "timeZone": "Etc/UTC",
        "currencyCode": "USD",
        "serviceLevel": context.switches.service_level,
        "account": f"accounts/{ACCOUNT}",
        "propertyType": "PROPERTY_TYPE_ORDINARY",
    }


def list_audiences(context: Context, call: Call, number: str) -> Json:
    """GET /v1alpha/properties/P/audiences."""
    served(context, number)
    size = page_size(call.query.get("pageSize", ""), DEFAULT_PAGE, MAX_PAGE)
    bound = ("audiences", number, str(size))
    after = tokens.read(context.store.seed, bound, call.query.get("pageToken", ""))
    with context.store.read() as store:
        found = store.audiences(number, after=after or 0, limit=size + 1)
    answer: Json = {"audiences": [resource(number, stored) for stored in found[:size]]} if found else {}
    if len(found) > size:
        answer["nextPageToken"] = tokens.write(context.store.seed, bound, found[size - 1].id)
    return answer


def get_audience(context: Context, _call: Call, number: str, ident: str) -> Json:
    """GET /v1alpha/properties/P/audiences/A."""
    served(context, number)
    with context.store.read() as store:
        return resource(number, find(store, number, ident))


def create_audience(context: Context, call: Call, number: str) -> Json:
    """POST /v1alpha/properties/P/audiences."""
    served(context, number)
    values = read(AUDIENCES, "Audience", call.body, "audience")
    found = violations(values) + _own_limits(context, values)
    if found:
        raise invalid(found)
    with context.store.write() as store:
        ident = _new_id(context, store)
        body = _definition(values, random.Random(f"{context.store.seed}:{ident}"))  # noqa: S311 - an order, no secret
        if context.switches.minus_one == MAX_MEMBERSHIP_DAYS and body["membershipDurationDays"] == -1:
            body["membershipDurationDays"] = MAX_MEMBERSHIP_DAYS
        _refuse_equal_name(context, store, number, body["displayName"])
        _refuse_overflow(context, store, number, audiences=1, triggers=int(bool(body["eventTrigger"])))
        stored = StoredAudience(ident, context.now(), body)
        store.add_audience(number, stored)
        answer = resource(number, stored)
        _log(context, call, store, None, answer)
    return answer


def patch_audience(context: Context, call: Call, number: str, ident: str) -> Json:
    """PATCH /v1alpha/properties/P/audiences/A?updateMask=."""
    served(context, number)
    values = read(AUDIENCES, "Audience", call.body, "audience")
    mask = call.query.get("updateMask", "")
    paths = _mask(mask)
    with context.store.write() as store:
        stored = find(store, number, ident)
        body = _patched(context, stored.body, values, paths, star=mask == "*")
        if body == stored.body:
            return resource(number, stored)
        if body.get("displayName") != stored.body.get("displayName"):
            _refuse_equal_name(context, store, number, body["displayName"])
        if body["eventTrigger"] and not stored.body["eventTrigger"]:
            _refuse_overflow(context, store, number, audiences=0, triggers=1)
        store.change_audience(stored.id, body)
        answer = resource(number, StoredAudience(stored.id, stored.created, body))
        _log(context, call, store, resource(number, stored), answer)
    return answer


def archive_audience(context: Context, call: Call, number: str, ident: str) -> Json:
    """POST /v1alpha/properties/P/audiences/A:archive."""
    served(context, number)
    read(AUDIENCES, "ArchiveAudienceRequest", call.body)
    with context.store.write() as store:
        stored = find(store, number, ident)
        store.archive_audience(stored.id)
        _log(context, call, store, resource(number, stored), None)
    return {}


def _log(context: Context, call: Call, store: Transaction, before: Json | None, after: Json | None) -> None:
    """Writes what was done into the change history; archiving is DELETED there (assumed)."""
    action = "CREATED" if before is None else "DELETED" if after is None else "UPDATED"
    name = str((after or before or {})["name"])
    number = name.split("/")[1]
    store.add_change(Change(0, number, context.now(), call.actor, action, name, before, after))


def _own_limits(context: Context, values: Mapping[str, Any]) -> list[Violation]:
    longest = context.switches.max_description
    if longest is None or len(values.get("description", "")) <= longest:
        return []
    return [Violation("audience.description", f"description cannot be longer than {longest} characters.")]


def _refuse_equal_name(context: Context, store: Transaction, number: str, display_name: str) -> None:
    if context.switches.equal_names == "refuse" and store.named(number, display_name):
        raise RefusedError("ALREADY_EXISTS", "An audience with this display_name already exists.")


def _refuse_overflow(
    context: Context, store: Transaction, number: str, *, audiences: int, triggers: int
) -> None:
    """Refuses what would go beyond 100 audiences or 20 triggers (Google Help)."""
    have_audiences, have_triggers = store.counts(number)
    limits = context.switches
    if have_audiences + audiences > limits.audience_limit:
        raise limit_reached(number, "audiences", "AUDIENCE_LIMIT_EXCEEDED", limits.audience_limit)
    if triggers and have_triggers + triggers > limits.trigger_limit:
        raise limit_reached(number, "audience triggers", "TRIGGER_LIMIT_EXCEEDED", limits.trigger_limit)


def _definition(values: Json, order: random.Random) -> Json:
    """What is kept of an audience that passed the checks, as it will be answered."""
    try:
        plain = to_api(from_api(values))
    except UnrepresentableError as error:
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{snake(step)}" for step in error.route)
        raise invalid_field(f"audience{path}", str(error)) from error
    plain["eventTrigger"] = plain.get("eventTrigger", {})
    clauses = _as_answered(plain.pop("filterClauses"), order)
    return {**_without_defaults(plain), **_GIVEN, "filterClauses": _shuffled(clauses, order)}


def _without_defaults(values: Json) -> Json:
    """Leaves out what proto3 JSON leaves out: false, 0 and "" outside a one-of group."""
    return {
        name: value for name, value in values.items() if name in _ONEOF_SCALARS or value not in (False, 0, "")
    }


def _as_answered(value: Any, order: random.Random) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_as_answered(item, order) for item in value]
    if not isinstance(value, dict):
        return value
    answered = {name: _as_answered(inner, order) for name, inner in _without_defaults(value).items()}
    if "filterExpressions" in answered:
        answered["filterExpressions"] = _shuffled(answered["filterExpressions"], order)
    parameters = answered.get("eventParameterFilterExpression")
    if parameters:
        group = parameters["andGroup"]
        group["filterExpressions"] = [
            {"orGroup": {"filterExpressions": [leaf]}} for leaf in group["filterExpressions"]
        ]
    return answered


def _shuffled(items: list[Any], order: random.Random) -> list[Any]:
    """The items in another order than they came in, where there is another."""
    mixed = order.sample(items, len(items))
    return mixed if mixed != items else [*mixed[1:], *mixed[:1]]


_FIELDS: dict[str, Field] = {
    name: field
    for field in fields_of("Audience")
    if field.of != "Manage"
    for name in (field.name, snake(field.name))
}


def _mask(text: str) -> dict[str, tuple[str, ...]]:
    """An update mask: JSON field name -> the fields below it that are named, none for the whole field.

    Both spellings are taken; the documents ask for snake case, Google's own clients send the other one.
    Output-only fields are passed over.
    """
    if not text:
        raise invalid_field("update_mask", "The field update_mask is required and must not be empty.")
    if text == "*":
        return {field.name: () for field in _FIELDS.values() if not field.output_only}
    found: dict[str, list[str] | None] = {}
    for path in text.split(","):
        head, *below = path.split(".")
        field = _FIELDS.get(head)
        inside = AUDIENCES.names(field.of) if field and not field.repeated else {}
        if field is None or len(below) > 1 or any(name not in inside for name in below):
            raise invalid_field("update_mask", f"Invalid value at 'update_mask': unknown path \"{path}\"")
        if field.output_only:
            continue
        if not below:
            found[field.name] = None
        elif (names := found.setdefault(field.name, [])) is not None:
            names.append(inside[below[0]].name)
    return {name: tuple(names or ()) for name, names in found.items()}


def _patched(
    context: Context, body: Json, values: Json, paths: Mapping[str, Collection[str]], *, star: bool
) -> Json:
    """The body after a patch: masked fields take the sent value, or their default where none was sent.

    A mask of "*" (`star`) names the immutable fields only in passing: they may be sent as they are.
    """
    frozen = [name for name in paths if _FIELDS[name].immutable]
    if context.switches.immutable_in_mask == "refuse":
        refused = [name for name in frozen if not (star and _says_the_same(name, body, values))]
        if refused:
            raise invalid([Violation(f"audience.{snake(n)}", f"{snake(n)} is immutable.") for n in refused])
    masked = [name for name in paths if name not in frozen]
    new = {**body, **{name: _masked(body.get(name), values.get(name), paths[name]) for name in masked}}
    new = {name: value for name, value in new.items() if value is not None}
    faults = violations(new, only=masked) + _own_limits(context, new if "description" in masked else {})
    if faults:
        raise invalid(faults)
    new["eventTrigger"] = new.get("eventTrigger", {})
    return _without_defaults(new)


def _masked(old: Any, sent: Any, inside: Collection[str]) -> Any:  # noqa: ANN401 - any JSON
    """A masked field's new value; `inside` names the fields below it that the mask stops at."""
    if not inside:
        return sent
    merged = {**(old or {}), **{name: (sent or {}).get(name) for name in inside}}
    return {name: value for name, value in merged.items() if value}


def _says_the_same(name: str, body: Json, values: Json) -> bool:
    """Whether a body leaves an immutable field as it is, by leaving it out or by an equal value."""
    if name not in values:
        return True
    try:
        before = definition_fingerprint(from_api(body))
        return definition_fingerprint(from_api({**body, name: values[name]})) == before
    except UnrepresentableError:
        return False
