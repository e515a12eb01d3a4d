"""The change history of the embedded property."""

from tests.local.conftest import Json, MakeProperty, Property, body_of


def history(ga: Property, **request: object) -> list[Json]:
    found = ga.call("POST", "/v1alpha/accounts/100:searchChangeHistoryEvents", request)
    events: list[Json] = found.get("changeHistoryEvents", [])
    return events


def test_the_history_tells_what_was_done_by_whom(ga: Property) -> None:
    created = ga.create("A")
    ga.clock.now += 60
    path = f"/v1alpha/{created['name']}"
    changed = ga.call("PATCH", path, {"displayName": "B"}, "updateMask=displayName", token="ann@example.com")
    ga.call("PATCH", path, {"displayName": "B"}, "updateMask=displayName")
    ga.clock.now += 60
    ga.call("POST", f"{path}:archive", {}, token="not.an.address")
    archived, patched, made = history(ga)
    assert [event["changes"][0]["action"] for event in (made, patched, archived)] == [
        "CREATED",
        "UPDATED",
        "DELETED",
    ]
    assert patched["userActorEmail"] == "ann@example.com"
    assert made["userActorEmail"] == archived["userActorEmail"] == "anonymous@example.com"
    assert patched["changeTime"] == "2026-09-21T14:14:20Z"
    assert patched["changes"][0] == {
        "resource": created["name"],
        "action": "UPDATED",
        "resourceBeforeChange": {"audience": created},
        "resourceAfterChange": {"audience": changed},
    }
    assert "resourceBeforeChange" not in made["changes"][0]
    assert "resourceAfterChange" not in archived["changes"][0]


def test_the_history_can_be_filtered(make: MakeProperty) -> None:
    ga = make(properties=("1000", "2000"))
    ga.create("A")
    ga.clock.now += 60
    ga.call("POST", "/v1alpha/properties/2000/audiences", body_of("B"), token="bob@example.com")

    def seen(**request: object) -> str:
        events = history(ga, **request)
        snapshots = [event["changes"][0]["resourceAfterChange"]["audience"] for event in events]
        return "".join(snapshot["displayName"] for snapshot in snapshots)

    assert seen() == "BA"
    assert seen(property="properties/1000") == "A"
    assert seen(resourceType=["AUDIENCE"], action=["CREATED"]) == "BA"
    assert seen(resource_type=[28]) == "BA"
    assert seen(resourceType=["PROPERTY"]) == ""
    assert seen(action=["DELETED"]) == ""
    assert seen(actorEmail=["bob@example.com"]) == "B"
    assert seen(earliestChangeTime="2026-09-21T14:14:20Z") == "B"
    assert seen(earliestChangeTime="2026-09-21T14:14:20.000001Z") == ""
    assert seen(latestChangeTime="2026-09-21T16:13:20+02:00") == "A"


def test_the_history_has_pages(ga: Property) -> None:
    for number in range(5):
        ga.create(str(number))
    path = "/v1alpha/accounts/100:searchChangeHistoryEvents"
    first = ga.call("POST", path, {"pageSize": 3})
    second = ga.call("POST", path, {"pageSize": 3, "pageToken": first["nextPageToken"]})
    names = [
        event["changes"][0]["resourceAfterChange"]["audience"]["displayName"]
        for event in first["changeHistoryEvents"] + second["changeHistoryEvents"]
    ]
    assert names == list("43210")
    assert "nextPageToken" not in second
    other = {"pageSize": 3, "pageToken": first["nextPageToken"], "action": ["CREATED"]}
    assert ga.violations("POST", path, other) == ["page_token"]


def test_a_search_for_a_strangers_history_is_refused(ga: Property) -> None:
    path = "/v1alpha/accounts/100:searchChangeHistoryEvents"
    assert ga.refused("POST", path, {"property": "properties/9"})["code"] == 403
    assert ga.violations("POST", path, {"action": ["X"]}) == ["action[0]"]
    assert ga.violations("POST", path, {"earliestChangeTime": "yesterday"}) == ["earliest_change_time"]
    assert ga.violations("POST", path, {"pageSize": -1}) == ["page_size"]
