"""GA4's methods: whole lists or an error, names that stay names, exports read defensively, refused fields."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync import errors, ga4
from audiencesync.ga4 import AudienceExport, ExportState, Property, violation_route
from audiencesync.http import Options, connect_local
from audiencesync.local.api import Api
from audiencesync.local.context import ACCOUNT
from audiencesync.local.store import Store
from tests.test_http import Reply, refusal

Json = dict[str, Any]
NAME = "properties/1000/audiences/7"
EXPORT = "properties/1000/audienceExports/abc"


class Google:
    """Answers with the replies it was given (JSON, a Reply or an exception), the last one for ever."""

    def __init__(self, *replies: Json | Reply | Exception) -> None:
        self.replies = list(replies)
        self.calls: list[tuple[str, str, str, Any]] = []
        connection = connect_local(self.answer, Options(sleep=lambda _: None))
        self.property = Property(connection, connection, "1000")

    def answer(self, method: str, path: str, query: str, body: bytes, _: Mapping[str, str]) -> Reply:
        self.calls.append((method, path, query, json.loads(body) if body else None))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Reply) else Reply(body=json.dumps(reply).encode())


def page(*numbers: int, token: str = "") -> Json:
    audiences = [{"name": f"properties/1000/audiences/{number}"} for number in numbers]
    return {"audiences": audiences} | ({"nextPageToken": token} if token else {})


def numbers(audiences: list[Json]) -> list[int]:
    return [int(each["name"].rpartition("/")[2]) for each in audiences]


# Lists


def test_all_pages_are_read() -> None:
    google = Google(page(3, 1, token="a b&"), page(token="c"), page(2))
    assert numbers(google.property.audiences()) == [3, 1, 2]
    assert [call[2] for call in google.calls] == [
        "pageSize=200",
        "pageSize=200&pageToken=a+b%26",
        "pageSize=200&pageToken=c",
    ]


def test_an_empty_list_has_no_key() -> None:
    assert Google({}).property.audiences() == []
    assert Google({"audiences": None, "nextPageToken": ""}).property.audiences() == []


def test_an_audience_that_comes_twice_counts_once() -> None:
    first, second = page(1, 2, token="x"), page(2, 3)
    second["audiences"][0]["displayName"] = "newer"
    found = Google(first, second).property.audiences()
    assert numbers(found) == [1, 2, 3]
    assert found[1]["displayName"] == "newer"


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        ([page(1, token="x"), page(2, token="x")], "turn in a circle"),
        ([page(1, token="x"), page(2, token="y"), page(3, token="x")], "turn in a circle"),
        ([page(1, token="x"), Reply(500)], "500"),
        ([page(1, token="x"), Reply(body=b"{")], "not a JSON object"),
        ([page(1, token="x"), Reply(body=b"")], "the answer is empty"),
        ([page(1, token="x"), {"audiences": {}}], "not a list of objects"),
        ([page(1, token="x"), {"audiences": [1]}], "not a list of objects"),
        ([page(1, token="x"), {"audiences": [{"displayName": "x"}]}], "has no name"),
        ([page(1, token="x"), {"audiences": [{"name": 7}]}], "has no name"),
        ([{"nextPageToken": 7}], "nextPageToken is not a text"),
    ],
)
def test_a_list_is_whole_or_an_error(replies: list[Any], message: str) -> None:
    with pytest.raises(errors.ServerError, match=message):
        Google(*replies).property.audiences()


def test_a_list_without_end_is_an_error() -> None:
    tokens = iter(range(10_000))

    def answer(*_: object) -> Reply:
        return Reply(body=json.dumps(page(token=str(next(tokens)))).encode())

    connection = connect_local(answer, Options(limits=None))
    with pytest.raises(errors.ServerError, match="more than 1000 pages"):
        Property(connection, connection, "1000").audiences()


# One audience


BAD_NAMES = [
    "",
    "7",
    "audiences/7",
    "properties/1000/audiences/",
    "properties/1000/audiences/..",
    "properties/1000/audiences/.",
    "properties/1000/audiences/7/../../../x",
    "properties/1000/audiences/7%2F..",
    "properties/1000/audiences/7?updateMask=*",
    "properties/1000/audiences/7#x",
    "properties/1000/audiences/7:archive",
    "properties/1000/audiences/7\n",
    "properties/1000/audiences/\u0667 x",
    "properties/1001/audiences/7",
    "properties/1000/audienceExports/7",
    "//evil.example/properties/1000/audiences/7",
    " properties/1000/audiences/7",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_name_changes_the_path(name: str) -> None:
    google = Google({})
    there = google.property
    for_audiences: list[Callable[[], object]] = [
        lambda: there.audience(name),
        lambda: there.patch(name, {}, ["description"]),
        lambda: there.archive(name),
        lambda: there.create_export(name, ["deviceId"]),
    ]
    for call in for_audiences:
        with pytest.raises(errors.UsageError, match="is not the name of one of properties/1000/audiences"):
            call()
    with pytest.raises(errors.UsageError, match="is not the name of one of properties/1000/audienceExports"):
        there.export(name.replace("audienceExports", "audiences"))
    with pytest.raises(errors.UsageError):
        there.open_export(name.replace("audiences/", "audienceExports/") + "/..", 0)
    assert google.calls == []


@pytest.mark.parametrize("number", ["", "x", "1/2", "-1", "1 ", "\u0661", "1" * 21])
def test_a_property_is_a_number(number: str) -> None:
    connection = connect_local(lambda *_: Reply(), Options())
    with pytest.raises(errors.UsageError):
        Property(connection, connection, number)


def test_an_audience_is_read_by_its_name() -> None:
    google = Google({"name": NAME, "displayName": "x"})
    assert google.property.audience(NAME)["displayName"] == "x"
    assert google.calls == [("GET", f"/v1alpha/{NAME}", "", None)]


def test_a_create_sends_the_body_as_it_is() -> None:
    google = Google({"name": NAME})
    assert google.property.create({"displayName": "x"}) == {"name": NAME}
    assert google.calls == [("POST", "/v1alpha/properties/1000/audiences", "", {"displayName": "x"})]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(500), errors.ServerError),
        (Reply(503), errors.ServerError),
        (ConnectionError(), errors.NoAnswerError),
        (Reply(body=b"<html>"), errors.NoAnswerError),
        (Reply(body=b""), errors.NoAnswerError),
        ({}, errors.NoAnswerError),
        ({"name": 7}, errors.NoAnswerError),
        (refusal(400, "bad", "INVALID_ARGUMENT"), errors.InvalidArgumentError),
    ],
)
def test_a_create_is_sent_once(reply: Any, kind: type[errors.RequestError]) -> None:
    google = Google(reply, {"name": NAME})
    with pytest.raises(kind) as caught:
        google.property.create({"displayName": "x"})
    assert len(google.calls) == 1
    assert getattr(caught.value, "sent", True)


def test_a_create_that_surely_did_not_run_is_sent_again() -> None:
    rate = refusal(403, "slow down", errors=[{"reason": "rateLimitExceeded"}])
    google = Google(rate, errors.NoAnswerError("unplugged", sent=False), Reply(429), {"name": NAME})
    assert google.property.create({})["name"] == NAME
    assert len(google.calls) == 4


def test_a_patch_names_its_fields_as_documented() -> None:
    google = Google(Reply(503), {"name": NAME})
    google.property.patch(NAME, {"displayName": "x"}, ["displayName", "eventTrigger"])
    assert google.calls[1] == (
        "PATCH",
        f"/v1alpha/{NAME}",
        "updateMask=display_name%2Cevent_trigger",
        {"displayName": "x"},
    )


def test_an_archive_that_ran_unseen_is_done() -> None:
    google = Google(ConnectionError(), refusal(404, "gone", "NOT_FOUND"))
    google.property.archive(NAME)
    assert [call[:2] for call in google.calls] == [("POST", f"/v1alpha/{NAME}:archive")] * 2
    with pytest.raises(errors.NotFoundError):
        Google(refusal(404)).property.archive(NAME)
    Google(Reply(body=b"")).property.archive(NAME)


def test_the_service_level() -> None:
    assert Google({"serviceLevel": "GOOGLE_ANALYTICS_360"}).property.service_level() == "GOOGLE_ANALYTICS_360"
    assert Google({}).property.service_level() == ""


def test_the_change_history_of_audiences() -> None:
    first = {"changeHistoryEvents": [{"id": "1"}, {"id": "2"}], "nextPageToken": "n"}
    google = Google(first, {"changeHistoryEvents": [{"id": "2"}, {"id": "3"}, {}, {}]})
    since = datetime(2026, 11, 21, 13, 30, tzinfo=timezone(timedelta(hours=1)))
    found = google.property.change_history("12", since)
    assert [event.get("id") for event in found] == ["1", "2", "3", None, None]
    (method, path, _, body), (*_, second) = google.calls
    assert (method, path) == ("POST", "/v1alpha/accounts/12:searchChangeHistoryEvents")
    assert body == {
        "property": "properties/1000",
        "resourceType": ["AUDIENCE"],
        "earliestChangeTime": "2026-11-21T12:30:00Z",
        "pageSize": 200,
    }
    assert second == body | {"pageToken": "n"}
    with pytest.raises(errors.UsageError, match="Analytics account"):
        google.property.change_history("12/x", since)


# Exports


@pytest.mark.parametrize(
    "operation",
    [
        {"response": {"@type": "x", "name": EXPORT, "state": "CREATING"}},
        {"name": "operations/1", "metadata": {}, "response": {"name": EXPORT}},
        {"name": f"{EXPORT}/operations/5", "done": False},
        {"name": "operations/1", "metadata": {"audienceExport": EXPORT}},
        {"name": EXPORT, "state": "CREATING"},
    ],
)
def test_the_name_of_a_new_export_is_found(operation: Json) -> None:
    google = Google(operation)
    assert google.property.create_export(NAME, ["deviceId", "userId"]) == EXPORT
    dimensions = [{"dimensionName": "deviceId"}, {"dimensionName": "userId"}]
    assert google.calls == [
        ("POST", "/v1beta/properties/1000/audienceExports", "", {"audience": NAME, "dimensions": dimensions})
    ]


@pytest.mark.parametrize(
    "operation",
    [
        {},
        {"response": 7},
        {"response": {"name": ["x"]}},
        {"name": "operations/1"},
        {"response": {"name": "properties/1001/audienceExports/a"}},
        {"response": {"name": "properties/1000/audienceExports/../x"}},
        Reply(body=b""),
    ],
)
def test_an_export_without_a_name_is_ambiguous(operation: Any) -> None:
    with pytest.raises(errors.AmbiguousSubmitError):
        Google(operation).property.create_export(NAME, ["deviceId"])


def test_an_export_is_not_started_twice() -> None:
    google = Google(Reply(500))
    with pytest.raises(errors.ServerError):
        google.property.create_export(NAME, ["deviceId"])
    assert len(google.calls) == 1
    with pytest.raises(errors.ApiError, match="no tokens left"):
        Google({"done": True, "error": {"code": 8, "message": "no tokens left"}}).property.create_export(
            NAME, []
        )


FULL = {
    "name": EXPORT,
    "audience": NAME,
    "dimensions": [{"dimensionName": "deviceId"}],
    "state": "ACTIVE",
    "percentageCompleted": 100,
    "rowCount": 12,
    "creationQuotaTokensCharged": "51",
    "beginCreatingTime": "2026-11-21T12:00:00Z",
}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {}),
        ({"state": "FAILED", "errorMessage": "why"}, {"state": ExportState.FAILED, "message": "why"}),
        ({"state": 2}, {"state": ExportState.ACTIVE}),
        ({"state": "DREAMING"}, {}),
        ({"state": [], "rowCount": "x", "dimensions": [1, {}], "percentageCompleted": "y"}, {}),
        (
            FULL,
            {
                "audience": NAME,
                "dimensions": ("deviceId",),
                "state": ExportState.ACTIVE,
                "percent": 100.0,
                "rows": 12,
                "tokens": 51,
                "begun": "2026-11-21T12:00:00Z",
            },
        ),
    ],
)
def test_an_export_is_read_liberally(more: Json, expected: Json) -> None:
    assert Google({"name": EXPORT} | more).property.export(EXPORT) == AudienceExport(EXPORT, **expected)


def test_exports_are_listed_to_the_end() -> None:
    other = {"name": EXPORT + "2"}
    google = Google({"audienceExports": [FULL], "nextPageToken": "n"}, {"audienceExports": [other]})
    assert [each.name for each in google.property.exports()] == [EXPORT, EXPORT + "2"]
    assert google.calls[0][2] == "pageSize=1000"


def test_members_are_streamed_as_they_come() -> None:
    google = Google(Reply(500), {"audienceRows": [], "rowCount": 0})
    with google.property.open_export(EXPORT, 7, 9) as stream:
        assert json.loads(b"".join(stream.chunks())) == {"audienceRows": [], "rowCount": 0}
    assert google.calls[1] == (
        "POST",
        f"/v1beta/{EXPORT}:query",
        "prettyPrint=false",
        {"offset": "7", "limit": "9"},
    )


# Refused fields


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("audience.filter_clauses[0].simple_filter.scope", ("filterClauses", 0, "simpleFilter", "scope")),
        ("filterClauses[2].clauseType", ("filterClauses", 2, "clauseType")),
        ("audience.filterClauses.1.sequenceFilter", ("filterClauses", 1, "sequenceFilter")),
        ("display_name", ("displayName",)),
        ("audience", ()),
        ("", ()),
        ("update_mask", ()),
        ("audience.filter_clauses", ("filterClauses",)),
        ("audience.filter_clauses.simple_filter", ("filterClauses",)),
        ("audience.filter_clauses[0].simple_filter.nonsense.scope", ("filterClauses", 0, "simpleFilter")),
        ("audience.filter_clauses[0][1].simple_filter", ("filterClauses", 0)),
        ("audience.display_name.more", ("displayName",)),
        ("audience.display_name[0]", ("displayName",)),
        (
            "filter_clauses[0].simple_filter.filter_expression.and_group.filter_expressions[1].or_group",
            (
                *("filterClauses", 0, "simpleFilter", "filterExpression"),
                *("andGroup", "filterExpressions", 1, "orGroup"),
            ),
        ),
    ],
)
def test_a_refused_field_is_found_in_our_document(path: str, route: tuple[str | int, ...]) -> None:
    assert violation_route(path) == route


BODY: Json = {
    "displayName": "x",
    "eventTrigger": {"eventName": "e", "logCondition": "AUDIENCE_JOINED"},
    "filterClauses": [
        {
            "clauseType": "EXCLUDE",
            "sequenceFilter": {
                "sequenceMaximumDuration": "5s",
                "sequenceSteps": [
                    {
                        "immediatelyFollows": True,
                        "filterExpression": {
                            "andGroup": {
                                "filterExpressions": [
                                    {
                                        "orGroup": {
                                            "filterExpressions": [
                                                {
                                                    "eventFilter": {
                                                        "eventName": "buy",
                                                        "eventParameterFilterExpression": {
                                                            "andGroup": {
                                                                "filterExpressions": [
                                                                    {
                                                                        "dimensionOrMetricFilter": {
                                                                            "fieldName": "a",
                                                                            "inListFilter": {"values": ["x"]},
                                                                        }
                                                                    }
                                                                ]
                                                            }
                                                        },
                                                    }
                                                }
                                            ]
                                        }
                                    }
                                ]
                            }
                        },
                    }
                ],
            },
        }
    ],
}


def routes(value: object, route: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield route
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        yield from routes(inner, (*route, key))


@pytest.mark.parametrize("snake", [True, False])
def test_every_place_of_a_body_is_found_again(snake: bool) -> None:
    found = list(routes(BODY))
    assert len(found) > 30
    for route in found:
        text = "audience"
        for step in route:
            name = re.sub("[A-Z]", lambda m: "_" + m[0].lower(), str(step)) if snake else step
            text += f"[{step}]" if isinstance(step, int) else f".{name}"
        assert violation_route(text) == route


@given(st.text() | st.from_regex(r"(audience)?(\.(filter_clauses|simpleFilter|scope)|\[[0-9]{0,12}\]){0,9}"))
def test_any_field_path_gives_a_route(path: str) -> None:
    assert all(isinstance(step, str | int) for step in violation_route(path))


# The embedded property


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Property]:
    store = Store(tmp_path / "state")
    api = Api(store=store, export_delay=0.0)
    with connect_local(api.answer, Options(limits=None)) as connection:
        yield Property(connection, connection, "1000")
    store.close()


def audience(name: str) -> Json:
    leaf = {"eventFilter": {"eventName": "purchase"}}
    group = {"andGroup": {"filterExpressions": [{"orGroup": {"filterExpressions": [leaf]}}]}}
    simple = {"scope": "AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS", "filterExpression": group}
    clauses = [{"clauseType": "INCLUDE", "simpleFilter": simple}]
    return {"displayName": name, "description": "d", "membershipDurationDays": 30, "filterClauses": clauses}


def test_a_life_on_the_embedded_property(embedded: Property) -> None:
    before = len(embedded.audiences())
    name = embedded.create(audience("Buyers"))["name"]
    assert embedded.audience(name)["displayName"] == "Buyers"
    trigger = {"eventName": "joined", "logCondition": "AUDIENCE_JOINED"}
    embedded.patch(name, {"eventTrigger": trigger}, ["eventTrigger"])
    assert embedded.audience(name)["eventTrigger"] == trigger
    assert len(embedded.audiences()) == before + 1
    export = embedded.create_export(name, ["deviceId"])
    assert embedded.export(export).state is ExportState.ACTIVE
    assert [each.name for each in embedded.exports()] == [export]
    with embedded.open_export(export, 0) as page:
        assert "audienceRows" not in json.loads(b"".join(page.chunks()))
    embedded.archive(name)
    assert len(embedded.audiences()) == before
    with pytest.raises(errors.NotFoundError):
        embedded.audience(name)
    assert embedded.service_level() == "GOOGLE_ANALYTICS_STANDARD"


def test_its_refusals_lead_to_the_place(embedded: Property) -> None:
    body = audience("Buyers")
    body["filterClauses"][0]["simpleFilter"]["scope"] = "SOMEWHERE"
    with pytest.raises(errors.InvalidArgumentError) as caught:
        embedded.create(body)
    assert [violation_route(each.field) for each in caught.value.violations] == [
        ("filterClauses", 0, "simpleFilter", "scope")
    ]


def test_its_fullness_is_not_waited_out(embedded: Property) -> None:
    for number in range(len(embedded.audiences()), 100):
        embedded.create(audience(f"a{number}"))
    with pytest.raises(errors.QuotaExhaustedError, match="limit of 100 audiences"):
        embedded.create(audience("one too many"))


def test_its_change_history_is_read(embedded: Property) -> None:
    name = embedded.create(audience("Buyers"))["name"]
    events = embedded.change_history(ACCOUNT, datetime.now(UTC) - timedelta(hours=1))
    assert [change["resource"] for event in events for change in event["changes"]] == [name]
    assert ga4.EDIT_SCOPE.endswith(".edit")
