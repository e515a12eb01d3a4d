"""Api.answer: one HTTP call in, one HTTP answer out, as Google's Admin and Data API would give it."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from audiencesync.fields import ENUMS, FIELDS, Kind
from audiencesync.local import audiences, exports, history
from audiencesync.local.context import (
    MINUTE,
    Answer,
    Call,
    Context,
    Faults,
    Json,
    Members,
    Quota,
    Switches,
    Written,
)
from audiencesync.local.messages import snake
from audiencesync.local.partial import select
from audiencesync.local.refusals import CODES, RefusedError, error_info, invalid_field
from audiencesync.local.store import Store

__all__ = ["Answer", "Api", "Call", "Quota", "Switches"]

EXPORT_DELAY = 5.0
"""Seconds until an audience export is ACTIVE; Google takes some 15 minutes."""

Handler = Callable[..., Json]


@dataclass(frozen=True, slots=True)
class Route:
    """One method: its HTTP verb and path, its own query parameters, and whether it writes."""

    verb: str
    path: re.Pattern[str]
    handler: Handler
    query: tuple[str, ...] = ()
    writes: bool = False


_PAGE = ("pageSize", "pageToken")
_AUDIENCES = r"/v1alpha/properties/([^/:]+)/audiences"
_EXPORTS = r"/v1beta/properties/([^/:]+)/audienceExports"
ROUTES = tuple(
    Route(verb, re.compile(path), *rest)
    for verb, path, *rest in (
        ("GET", r"/v1alpha/properties/([^/:]+)", audiences.get_property),
        ("GET", _AUDIENCES, audiences.list_audiences, _PAGE),
        ("POST", _AUDIENCES, audiences.create_audience, (), True),
        ("GET", _AUDIENCES + r"/([^/:]+)", audiences.get_audience),
        ("PATCH", _AUDIENCES + r"/([^/:]+)", audiences.patch_audience, ("updateMask",), True),
        ("POST", _AUDIENCES + r"/([^/:]+):archive", audiences.archive_audience, (), True),
        ("POST", r"/v1alpha/accounts/([^/:]+):searchChangeHistoryEvents", history.search),
        ("GET", _EXPORTS, exports.list_exports, _PAGE),
        ("POST", _EXPORTS, exports.create_export, (), True),
        ("GET", _EXPORTS + r"/([^/:]+)", exports.get_export),
        ("POST", _EXPORTS + r"/([^/:]+):query", exports.query_export),
    )
)

_SYSTEM_QUERY = {
    *("$.xgafv", "$alt", "$fields", "$key", "$prettyPrint", "access_token", "alt", "callback", "fields"),
    *("key", "oauth_token", "prettyPrint", "quotaUser", "uploadType", "upload_protocol"),
}
"""Parameters that every method takes (discovery document, and the $ forms that Google's clients send)."""

_NUMBERS: dict[str, dict[str, int]] = {
    **{
        found.name: dict(zip(map(str, ENUMS[found.of].python), ENUMS[found.of].numbers, strict=True))
        for found in FIELDS
        if found.kind is Kind.ENUM
    },
    "action": {"CREATED": 1, "UPDATED": 2, "DELETED": 3},
    "actorType": {"USER": 1},
    "serviceLevel": {"GOOGLE_ANALYTICS_STANDARD": 1, "GOOGLE_ANALYTICS_360": 2},
    "propertyType": {"PROPERTY_TYPE_ORDINARY": 1},
    "state": {"CREATING": 1, "ACTIVE": 2, "FAILED": 3},
}


def _chance() -> float:
    return random.random()  # noqa: S311 - gaps between ids, no secret


@dataclass(kw_only=True)
class Api:
    """The embedded property: `properties` are the numbers it serves, all in account 100.

    clock gives Unix seconds, chance numbers in [0, 1); export_delay is in seconds. members evaluates who is
    in an audience: without it every audience export is empty. Credentials are not checked. Answers are
    compact; `prettyPrint=true` indents them (Google's are indented unless told otherwise).
    """

    store: Store
    properties: tuple[str, ...] = ("1000",)
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = _chance
    export_delay: float = EXPORT_DELAY
    members: Members | None = None
    switches: Switches = field(default_factory=Switches)
    faults: Faults | None = None

    def __post_init__(self) -> None:
        self._context = Context(
            store=self.store,
            properties=tuple(self.properties),
            clock=self.clock,
            chance=self.chance,
            export_delay=self.export_delay,
            members=self.members,
            switches=self.switches,
        )
        self._meter = _Meter(self.switches.quota, self.clock)
        audiences.add_properties(self._context)

    def answer(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Answers one call; `path` may be percent-encoded, `query` is what follows the question mark.

        Errors: StoreError where the database cannot be used; ConnectionError where a hook cuts the line.
        """
        found = {name.lower(): value for name, value in (headers or {}).items()}
        method = found.get("x-http-method-override", method).upper()
        pairs = dict(parse_qsl(query, keep_blank_values=True))
        call = Call(method, unquote(path), pairs, body, found)
        if self.faults and (fault := self.faults(call, "before")):
            return fault
        try:
            answer = self._run(call)
        except RefusedError as refusal:
            answer = refusal.answer(details=self.switches.details)
        if self.faults and (fault := self.faults(replace(call, answer=answer), "after")):
            return fault
        return answer

    def _run(self, call: Call) -> Answer:
        route, parts = _find_route(call)
        self._meter.count(writes=route.writes)
        call = replace(call, query=_own_query(call.query, route))
        result = route.handler(self._context, call, *parts)
        return _render(result, call.query)


def _find_route(call: Call) -> tuple[Route, tuple[str, ...]]:
    matches = [(route, found) for route in ROUTES if (found := route.path.fullmatch(call.path))]
    for route, found in matches:
        if route.verb == call.method:
            return route, found.groups()
    if matches:
        verbs = ", ".join(sorted(route.verb for route, _ in matches))
        message = f"{call.method} is not allowed at {call.path}: {verbs} is."
        # HTTP demands the header; Google's own word for this status is unknown.
        raise RefusedError("INVALID_ARGUMENT", message, code=405, headers={"Allow": verbs})
    raise RefusedError("NOT_FOUND", f"The embedded property has no method {call.method} {call.path}.")


def _own_query(query: Mapping[str, str], route: Route) -> dict[str, str]:
    """The query with JSON names; a name that neither the method nor the system knows is refused."""
    spelled = {name: own for own in route.query for name in (own, snake(own))}
    for name in query:
        if name not in spelled and name not in _SYSTEM_QUERY:
            raise invalid_field(
                name,
                f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
                f"Field '{name}' could not be found in request message.",
            )
    return {spelled.get(name, name): value for name, value in query.items()}


def _render(result: Json, query: Mapping[str, str]) -> Answer:
    """The answer as the system parameters want it: integer enums, some fields only, indented."""
    alt = query.get("$alt", query.get("alt", "json"))
    kind, _, option = alt.partition(";")
    if kind != "json" or option not in ("", "enum-encoding=int"):
        raise invalid_field("alt", f'The embedded property answers JSON alone, not "{alt}".')
    selector = query.get("fields", query.get("$fields", ""))
    pretty = query.get("prettyPrint", query.get("$prettyPrint")) in ("true", "1")
    written = {name: value for name, value in result.items() if isinstance(value, Written)}
    if selector or pretty:
        result |= {name: value.read() for name, value in written.items()}
        written = {}
    if selector:
        result = select(result, selector)
    if option:
        result = _with_numbers(result)
    if pretty:
        body = json.dumps(result, ensure_ascii=False, indent=2).encode() + b"\n"
        return replace(Answer.of(200, {}), body=body)
    if not written:
        return Answer.of(200, result)
    plain = Answer.of(200, {name: value for name, value in result.items() if name not in written})
    parts = (f'"{name}":[{",".join(value)}]' for name, value in written.items())
    return replace(plain, body=b",".join((plain.body[:-1], *(part.encode() for part in parts))) + b"}")


def _with_numbers(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _NUMBERS[name].get(inner, inner)
        if isinstance(inner, str) and name in _NUMBERS
        else _with_numbers(inner)
        for name, inner in value.items()
    }


class _Meter:
    """Counts calls in minutes that begin with the first call, and refuses the ones too many."""

    def __init__(self, quota: Quota | None, clock: Callable[[], float]) -> None:
        self._quota, self._clock = quota, clock
        self._lock = threading.Lock()
        self._began, self._requests, self._writes = -MINUTE, 0, 0

    def count(self, *, writes: bool) -> None:
        if self._quota is None:
            return
        with self._lock:
            now = self._clock()
            if now - self._began >= MINUTE:
                self._began, self._requests, self._writes = now, 0, 0
            over = self._requests >= self._quota.requests or (writes and self._writes >= self._quota.writes)
            if over:
                raise _over_quota(self._quota, self._began + MINUTE - now)
            self._requests += 1
            self._writes += writes


def _over_quota(quota: Quota, seconds: float) -> RefusedError:
    """The refusal of a call too many: google.rpc.ErrorInfo on 429, the older `errors` list on 403."""
    headers = {"Retry-After": str(max(1, int(seconds + 0.999)))} if quota.retry_after else {}
    message = "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute per user'."
    if quota.status == CODES["PERMISSION_DENIED"]:
        errors = [{"message": message, "domain": "usageLimits", "reason": "rateLimitExceeded"}]
        return RefusedError("PERMISSION_DENIED", message, extra={"errors": errors}, headers=headers)
    info = error_info("RATE_LIMIT_EXCEEDED", "googleapis.com", {"service": "analyticsadmin.googleapis.com"})
    return RefusedError("RESOURCE_EXHAUSTED", message, [info], headers=headers)
