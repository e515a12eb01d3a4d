"""Audience exports of the embedded property."""

from collections.abc import Iterator
from typing import Any

import pytest

from audiencesync.errors import PreviewError
from audiencesync.local.context import Switches
from tests.local.conftest import AUDIENCES, EXPORTS, Json, MakeProperty, Property

ROWS = [(f"d{number}", f"u{number}", "true", "false") for number in range(2500)]


@pytest.fixture
def exporting(make: MakeProperty) -> Property:
    return make(
        members=lambda audience, number: (
            ROWS[: 5 if audience.display_name == "few" else None] if number == "1000" else ()
        )
    )


def export(ga: Property, audience: str, *dimensions: str) -> Json:
    named = [{"dimensionName": name} for name in dimensions or ("deviceId",)]
    found: Json = ga.call("POST", EXPORTS, {"audience": audience, "dimensions": named})
    return found


def test_an_export_is_creating_at_first_and_active_later(exporting: Property) -> None:
    ga = exporting
    audience = ga.create("few")["name"]
    operation = export(ga, audience, "userId", "deviceId")
    assert set(operation) == {"response", "metadata"}
    made = operation["response"]
    assert made.pop("@type") == "type.googleapis.com/google.analytics.data.v1beta.AudienceExport"
    assert made == {
        "name": "properties/1000/audienceExports/1",
        "audience": audience,
        "audienceDisplayName": "few",
        "dimensions": [{"dimensionName": "userId"}, {"dimensionName": "deviceId"}],
        "state": "CREATING",
        "beginCreatingTime": "2026-09-21T14:13:20Z",
    }
    path = f"/v1beta/{made['name']}"
    ga.clock.now += 2
    assert ga.call("GET", path) == {**made, "percentageCompleted": 40.0}
    error = ga.refused("POST", f"{path}:query", {})
    assert (error["code"], error["status"]) == (400, "FAILED_PRECONDITION")
    ga.clock.now += 3
    active = ga.call("GET", path)
    assert (active["state"], active["rowCount"], active["percentageCompleted"]) == ("ACTIVE", 5, 100)
    assert active["creationQuotaTokensCharged"] > 0
    found = ga.call("POST", f"{path}:query", {})
    assert found["audienceExport"] == active
    assert found["rowCount"] == 5
    assert found["audienceRows"][4] == {"dimensionValues": [{"value": "u4"}, {"value": "d4"}]}


def test_an_export_is_a_snapshot(make: MakeProperty) -> None:
    rows = [("d", "u", "true", "false")]
    ga = make(members=lambda _audience, _number: rows, export_delay=0)
    name = export(ga, ga.create()["name"])["response"]["name"]
    rows.clear()
    assert ga.call("POST", f"/v1beta/{name}:query", {})["rowCount"] == 1


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, ROWS),
        ({"offset": "0", "limit": "2"}, ROWS[:2]),
        ({"offset": 999, "limit": 3}, ROWS[999:1002]),
        ({"offset": "2400", "limit": "250000"}, ROWS[2400:]),
        ({"offset": "2500"}, []),
        ({"offset": str(2**63 - 1), "limit": str(2**63 - 1)}, []),
        ({"limit": "0"}, ROWS),
    ],
)
def test_rows_are_queried_by_offset_and_limit(
    exporting: Property, request_: Json, expected: list[Any]
) -> None:
    name = export(exporting, exporting.create()["name"])["response"]["name"]
    exporting.clock.now += 5
    found = exporting.call("POST", f"/v1beta/{name}:query", request_)
    values = [row["dimensionValues"][0]["value"] for row in found.get("audienceRows", [])]
    assert values == [row[0] for row in expected]
    assert found["rowCount"] == 2500


def test_a_query_gives_10_000_rows_by_default_and_250_000_at_most(make: MakeProperty) -> None:
    one = ("d", "u", "true", "false")
    ga = make(members=lambda _audience, _number: (one for _ in range(250_001)), export_delay=0)
    name = export(ga, ga.create()["name"])["response"]["name"]
    for request, count in (({}, 10_000), ({"limit": "900000"}, 250_000)):
        found = ga.call("POST", f"/v1beta/{name}:query", request)
        assert (len(found["audienceRows"]), found["rowCount"]) == (count, 250_001)


@pytest.mark.parametrize("request_", [{"offset": "-1"}, {"limit": "-1"}, {"limit": "x"}, {"limits": "1"}])
def test_a_query_that_makes_no_sense_is_refused(exporting: Property, request_: Json) -> None:
    name = export(exporting, exporting.create()["name"])["response"]["name"]
    assert exporting.refused("POST", f"/v1beta/{name}:query", request_)["status"] == "INVALID_ARGUMENT"


def test_nobody_is_a_member_where_nothing_evaluates_members(make: MakeProperty, exporting: Property) -> None:
    plain = make(export_delay=0)
    default = plain.call("GET", AUDIENCES)["audiences"][0]["name"]
    for ga, audience in ((plain, plain.create()["name"]), (exporting, default)):
        name = export(ga, audience)["response"]["name"]
        ga.clock.now += 5
        found = ga.call("POST", f"/v1beta/{name}:query", {})
        assert set(found) == {"audienceExport"}
        assert found["audienceExport"]["state"] == "ACTIVE"


def test_an_empty_value_is_left_out_and_part_of_an_answer_can_be_asked_for(make: MakeProperty) -> None:
    ga = make(members=lambda _audience, _number: [("ü", "", "true", "false")], export_delay=0)
    name = export(ga, ga.create()["name"], "userId", "deviceId")["response"]["name"]
    path = f"/v1beta/{name}:query"
    rows = [{"dimensionValues": [{}, {"value": "ü"}]}]
    assert ga.call("POST", path, {})["audienceRows"] == rows
    assert ga.call("POST", path, {}, "prettyPrint=true") == ga.call("POST", path, {})
    assert ga.call("POST", path, {}, "fields=audienceRows,rowCount") == {"audienceRows": rows, "rowCount": 1}
    assert ga.call("POST", path, {}, "$alt=json;enum-encoding=int")["audienceExport"]["state"] == 2


def test_an_audience_that_cannot_be_evaluated_makes_a_failed_export(make: MakeProperty) -> None:
    def members(_audience: object, _number: str) -> Iterator[tuple[str, ...]]:
        raise PreviewError("the field predictedRevenue is in no event export")
        yield ()

    ga = make(members=members, export_delay=0)
    name = export(ga, ga.create()["name"])["response"]["name"]
    failed = ga.call("GET", f"/v1beta/{name}")
    assert failed["state"] == "FAILED"
    assert failed["errorMessage"] == "the field predictedRevenue is in no event export"


def test_an_export_expires_after_72_hours(exporting: Property) -> None:
    ga = exporting
    audience = ga.create()["name"]
    name = export(ga, audience)["response"]["name"]
    ga.clock.now += 72 * 3600 - 1
    assert ga.call("GET", f"/v1beta/{name}")["state"] == "ACTIVE"
    ga.clock.now += 1
    for method, end in (("GET", ""), ("POST", ":query")):
        assert ga.refused(method, f"/v1beta/{name}{end}", {})["code"] == 404
    assert ga.call("GET", EXPORTS) == {}
    assert export(ga, audience)["response"]["name"] != name


def test_exports_are_listed_in_pages(exporting: Property) -> None:
    audience = exporting.create("few")["name"]
    names = [export(exporting, audience)["response"]["name"] for _ in range(3)]
    first = exporting.call("GET", EXPORTS, query="pageSize=2")
    second = exporting.call("GET", EXPORTS, query=f"pageSize=2&pageToken={first['nextPageToken']}")
    assert [found["name"] for found in first["audienceExports"] + second["audienceExports"]] == names
    assert "nextPageToken" not in exporting.call("GET", EXPORTS)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"audience": ""}, "audience_export.audience"),
        ({"audience": "properties/2/audiences/1"}, "audience_export.audience"),
        ({"dimensions": []}, "audience_export.dimensions"),
        ({"dimensions": [{"dimensionName": "country"}]}, "audience_export.dimensions[0].dimension_name"),
        ({"dimensions": [{}]}, "audience_export.dimensions[0].dimension_name"),
        ({"dimensions": [{"dimensionName": "userId"}] * 2}, "audience_export.dimensions[1].dimension_name"),
        ({"dimensions": ["userId"]}, "audience_export.dimensions[0]"),
        ({"webhook": "x"}, "audience_export"),
    ],
)
def test_an_export_of_something_else_is_refused(exporting: Property, change: Json, field: str) -> None:
    body = {"audience": exporting.create()["name"], "dimensions": [{"dimensionName": "deviceId"}], **change}
    assert exporting.violations("POST", EXPORTS, body) == [field]


def test_an_export_of_an_archived_audience_is_not_found(exporting: Property) -> None:
    audience = exporting.create()["name"]
    exporting.call("POST", f"/v1alpha/{audience}:archive", {})
    body = {"audience": audience, "dimensions": [{"dimensionName": "deviceId"}]}
    assert exporting.refused("POST", EXPORTS, body)["code"] == 404


def test_an_export_may_fail_and_its_operation_may_have_a_name(make: MakeProperty) -> None:
    ga = make(Switches(export_error="Quota exhausted.", named_operation=True))
    operation = export(ga, ga.create()["name"])
    name = operation["response"]["name"]
    assert operation["name"].startswith(f"{name}/operations/")
    assert operation["response"]["state"] == "CREATING"
    ga.clock.now += 5
    failed = ga.call("GET", f"/v1beta/{name}")
    assert (failed["state"], failed["errorMessage"]) == ("FAILED", "Quota exhausted.")
    assert ga.refused("POST", f"/v1beta/{name}:query", {})["status"] == "FAILED_PRECONDITION"
