"""What every handler of the embedded property is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from audiencesync.local.store import Store
from audiencesync.model import Audience

Json = dict[str, Any]

ACCOUNT = "100"
"""The account that all properties of the embedded store belong to; properties.get names it as parent."""

DEFAULT_ACTOR = "anonymous@example.com"
"""Who made a change that came without an e-mail address as its bearer token."""

MINUTE, HOUR = 60.0, 3600.0
_MAX_ADDRESS = 254

Members = Callable[[Audience, str], Iterable[tuple[str, ...]]]
"""(audience, property number) -> one row a member: the values of exports.DIMENSIONS, in that order."""


def dump(data: object) -> str:
    """Compact JSON; text stays as it is."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


class Written(list[str]):
    """A list's items as JSON text already: an export's 250,000 rows as objects would take 400 MB."""

    def read(self) -> list[Any]:
        """The items as plain data."""
        return list(json.loads(f"[{','.join(self)}]"))


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, status: int, data: object, headers: Mapping[str, str] | None = None) -> Answer:
        """An answer whose body is JSON."""
        # A refusal may quote half a surrogate pair, which no UTF-8 can say.
        body = dump(data).encode("utf-8", "replace")
        return cls(status, {"Content-Type": "application/json; charset=UTF-8", **(headers or {})}, body)


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request: the path is decoded, header names are in lower case.

    `answer` is set where a fault hook sees the call after it ran.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    headers: Mapping[str, str]
    answer: Answer | None = None

    @property
    def actor(self) -> str:
        """Who calls: the bearer token, where it reads like an e-mail address.

        That is this emulator's own convention, so that `Authorization: Bearer ann@example.com` plays another
        person. No token is checked and none but an address is kept.
        """
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        token = token.strip()
        name, _, domain = token.partition("@")
        plain = (
            name and "." in domain and token.isascii() and token.isprintable() and len(token) <= _MAX_ADDRESS
        )
        return token if scheme.lower() == "bearer" and plain else DEFAULT_ACTOR


Faults = Callable[[Call, Literal["before", "after"]], Answer | None]
"""Tests' hook around each call: an Answer replaces ours, None lets it be, ConnectionError cuts the line.

Before: the call has not run. After: it has run, and `call.answer` is what would be sent.
"""


@dataclass(frozen=True, slots=True)
class Quota:
    """How many calls a minute are let through, and how the others are refused.

    Google documents both refusals: 429 RESOURCE_EXHAUSTED and 403 with the reason rateLimitExceeded.
    """

    requests: int = 600
    writes: int = 180
    status: Literal[429, 403] = 429
    retry_after: bool = True


@dataclass(frozen=True, slots=True)
class Switches:
    """Answers to what Google leaves undocumented; each default is the likelier one, none is verified.

    immutable_in_mask: what a patch does whose mask names an immutable field.
    equal_names: whether a second audience of the same displayName is taken.
    minus_one: how membershipDurationDays -1 ("the longest") is echoed.
    max_description: the longest description in characters; None is no limit.
    details: whether refusals carry `details` (Google's sometimes do not).
    named_operation: whether audienceExports.create names its Operation (Google's sample has no name).
    export_error: the errorMessage with which every audience export fails; "" lets them succeed.
    audience_limit, trigger_limit: how many a property may have; Google Help says 100 and 20.
    default_audiences: whether a new property begins with Google's own.
    quota: calls a minute, counted by each Api for itself; None is no limit.
    """

    immutable_in_mask: Literal["refuse", "ignore"] = "refuse"
    equal_names: Literal["accept", "refuse"] = "accept"
    minus_one: Literal[-1, 540] = -1
    max_description: int | None = None
    details: bool = True
    named_operation: bool = False
    export_error: str = ""
    audience_limit: int = 100
    trigger_limit: int = 20
    service_level: Literal["GOOGLE_ANALYTICS_STANDARD", "GOOGLE_ANALYTICS_360"] = "GOOGLE_ANALYTICS_STANDARD"
    default_audiences: bool = True
    quota: Quota | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The property's store and surroundings: `clock` in Unix seconds, `chance` in [0, 1)."""

    store: Store
    properties: tuple[str, ...]
    clock: Callable[[], float]
    chance: Callable[[], float]
    export_delay: float
    members: Members | None = None
    switches: Switches = field(default_factory=Switches)

    def now(self) -> int:
        """The time in microseconds since 1970."""
        return int(self.clock() * 1_000_000)
