"""What the tests of the embedded property share: a clock to turn, and calls without sockets."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from audiencesync.local.api import Answer, Api
from audiencesync.local.context import Switches
from audiencesync.local.store import Store

Json = dict[str, Any]
AUDIENCES = "/v1alpha/properties/1000/audiences"
EXPORTS = "/v1beta/properties/1000/audienceExports"


@dataclass
class Clock:
    """A clock that goes only where a test sets it."""

    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Property:
    """An Api and its clock, called with plain data."""

    api: Api
    clock: Clock = field(default_factory=Clock)

    def raw(self, method: str, path: str, body: object = None, query: str = "", token: str = "") -> Answer:
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.api.answer(
            method, path, query, sent, {"Authorization": f"Bearer {token}"} if token else {}
        )

    def call(self, method: str, path: str, body: object = None, query: str = "", token: str = "") -> Json:
        """The answer of a call that is let through."""
        answer = self.raw(method, path, body, query, token)
        assert answer.status == 200, answer.body
        data: Json = json.loads(answer.body)
        return data

    def refused(self, method: str, path: str, body: object = None, query: str = "") -> Json:
        """The error of a call that is refused; its code is the HTTP status."""
        answer = self.raw(method, path, body, query)
        error: Json = json.loads(answer.body)["error"]
        assert error["code"] == answer.status
        assert answer.status >= 400
        return error

    def violations(self, method: str, path: str, body: object = None, query: str = "") -> list[str]:
        """The violated fields of a call that is refused as INVALID_ARGUMENT."""
        error = self.refused(method, path, body, query)
        assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
        (detail,) = error["details"]
        assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
        return [violation["field"] for violation in detail["fieldViolations"]]

    def create(self, display_name: str = "A", **fields: object) -> Json:
        return self.call("POST", AUDIENCES, body_of(display_name, **fields))

    def names(self) -> list[str]:
        """The display names of all live audiences."""
        listed = self.call("GET", AUDIENCES, query="pageSize=200").get("audiences", [])
        return [audience["displayName"] for audience in listed]


def leaf(value: str = "CA", **fields: object) -> Json:
    """A filter on the country."""
    condition = {"matchType": "EXACT", "value": value}
    return {"dimensionOrMetricFilter": {"fieldName": "country", "stringFilter": condition, **fields}}


def any_of(*leaves: Json) -> Json:
    return {"orGroup": {"filterExpressions": list(leaves)}}


def all_of(*groups: Json) -> Json:
    return {"andGroup": {"filterExpressions": list(groups)}}


ALL_SESSIONS = "AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS"
SAME_EVENT = "AUDIENCE_FILTER_SCOPE_WITHIN_SAME_EVENT"


def simple(expression: Json, scope: str = ALL_SESSIONS, clause_type: str = "INCLUDE") -> Json:
    return {"clauseType": clause_type, "simpleFilter": {"scope": scope, "filterExpression": expression}}


def body_of(display_name: str = "A", **fields: object) -> Json:
    """The body of a valid create, with some fields replaced."""
    return {
        "displayName": display_name,
        "description": "A test.",
        "membershipDurationDays": 30,
        "filterClauses": [simple(all_of(any_of(leaf())))],
        **fields,
    }


MakeProperty = Callable[..., Property]


@pytest.fixture
def make(tmp_path: Path) -> MakeProperty:
    """Give a function that opens the property in the test's folder: switches, constructor arguments."""

    def open_property(switches: Switches | None = None, **arguments: Any) -> Property:
        clock = Clock()
        settings = {"clock": clock, "chance": random.Random(7).random, **arguments}
        store = Store(tmp_path / ".audiencesync")
        return Property(Api(store=store, switches=switches or Switches(), **settings), clock)

    return open_property


@pytest.fixture
def ga(make: MakeProperty) -> Property:
    """Give a property as it is by default."""
    return make()
