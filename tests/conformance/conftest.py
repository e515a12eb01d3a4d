"""Google's own clients, pointed at the embedded property over plain HTTP on loopback."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.analytics.admin_v1alpha import AnalyticsAdminServiceClient
from google.analytics.data_v1beta import BetaAnalyticsDataClient
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials

from audiencesync.local.api import Api
from audiencesync.local.context import Switches
from audiencesync.local.exports import DIMENSIONS
from audiencesync.local.server import running
from audiencesync.local.store import Store
from audiencesync.model import Audience

PARENT = "properties/1000"
MEMBERS = tuple((f"device-{number}", f"user-{number}", "true", "false") for number in range(25))


class Clock:
    """A clock that a test turns."""

    now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Served:
    """The property, its address and its clock."""

    api: Api
    base: str
    clock: Clock


def _members(audience: Audience, _number: str) -> tuple[tuple[str, ...], ...]:
    assert len(MEMBERS[0]) == len(DIMENSIONS)
    return MEMBERS if audience.display_name != "Nobody" else ()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give a property that holds up to 400 audiences, served as long as the module's tests run."""
    clock = Clock()
    store = Store(tmp_path_factory.mktemp("served") / ".audiencesync")
    api = Api(store=store, clock=clock, members=_members, switches=Switches(audience_limit=400))
    with running(api) as base:
        yield Served(api, base, clock)


def _options(base: str) -> dict[str, Any]:
    return {
        "transport": "rest",
        "credentials": AnonymousCredentials(),  # type: ignore[no-untyped-call]
        "client_options": ClientOptions(api_endpoint=base),
    }


@pytest.fixture(scope="module")
def admin(served: Served) -> Iterator[AnalyticsAdminServiceClient]:
    """Give google-analytics-admin over its REST transport."""
    with AnalyticsAdminServiceClient(**_options(served.base)) as client:
        yield client


@pytest.fixture(scope="module")
def data(served: Served) -> Iterator[BetaAnalyticsDataClient]:
    """Give google-analytics-data over its REST transport."""
    with BetaAnalyticsDataClient(**_options(served.base)) as client:
        yield client


@pytest.fixture(scope="module")
def discovered(served: Served) -> Iterator[Any]:  # a Resource built at run time
    """Give google-api-python-client with the discovery document that it carries."""
    from googleapiclient.discovery import build

    with build(
        "analyticsadmin",
        "v1alpha",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=served.base),
        static_discovery=True,
        cache_discovery=False,
    ) as resource:
        yield resource


@pytest.fixture
def full_body() -> dict[str, Any]:
    """Give the JSON of an audience that uses every kind of filter."""
    return FULL


def _one(condition: dict[str, Any], name: str = "country") -> dict[str, Any]:
    return {"dimensionOrMetricFilter": {"fieldName": name, **condition}}


def _all(*groups: list[dict[str, Any]]) -> dict[str, Any]:
    inner = [{"orGroup": {"filterExpressions": group}} for group in groups]
    return {"andGroup": {"filterExpressions": inner}}


_TEXT = _one({"stringFilter": {"matchType": "FULL_REGEXP", "value": "C.*", "caseSensitive": True}})
_LIST = _one({"inListFilter": {"values": ["CA", "US"]}, "atAnyPointInTime": True})
_COUNT = {"numericFilter": {"operation": "GREATER_THAN", "value": {"int64Value": "3"}}, "inAnyNDayPeriod": 7}
_RANGE = {"betweenFilter": {"fromValue": {"doubleValue": 1.5}, "toValue": {"int64Value": "9"}}}
_FLAT = {"andGroup": {"filterExpressions": [_one(_RANGE, "value"), {"notExpression": _TEXT}]}}
_EVENT = {"eventFilter": {"eventName": "purchase", "eventParameterFilterExpression": _FLAT}}
_ALL_SESSIONS = "AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS"
FULL: dict[str, Any] = {
    "displayName": "Everything",
    "description": "Uses every kind of filter.",
    "membershipDurationDays": 540,
    "exclusionDurationMode": "EXCLUDE_TEMPORARILY",
    "eventTrigger": {"eventName": "joined", "logCondition": "AUDIENCE_MEMBERSHIP_RENEWED"},
    "filterClauses": [
        {
            "clauseType": "INCLUDE",
            "simpleFilter": {
                "scope": _ALL_SESSIONS,
                "filterExpression": _all([_TEXT, _LIST], [_one(_COUNT, "eventCount")], [_EVENT]),
            },
        },
        {
            "clauseType": "EXCLUDE",
            "sequenceFilter": {
                "scope": _ALL_SESSIONS,
                "sequenceMaximumDuration": "604800s",
                "sequenceSteps": [
                    {"scope": "AUDIENCE_FILTER_SCOPE_WITHIN_SAME_EVENT", "filterExpression": _all([_EVENT])},
                    {
                        "scope": "AUDIENCE_FILTER_SCOPE_WITHIN_SAME_SESSION",
                        "immediatelyFollows": True,
                        "constraintDuration": "3.500s",
                        "filterExpression": _all([{"notExpression": _TEXT}]),
                    },
                ],
            },
        },
    ],
}
