"""google-api-python-client with its static discovery document: names for enums, snake_case masks."""

import json
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from audiencesync.canonical import fingerprint
from audiencesync.wire import from_api
from tests.conformance.conftest import PARENT


def test_an_audience_lives_its_whole_life(discovered: Any, full_body: dict[str, Any]) -> None:
    audiences = discovered.properties().audiences()
    made = audiences.create(parent=PARENT, body=full_body).execute()
    assert fingerprint(from_api(made)) == fingerprint(from_api(full_body))
    assert audiences.get(name=made["name"]).execute() == made
    body = {"displayName": "Renamed"}
    changed = audiences.patch(name=made["name"], updateMask="display_name,event_trigger", body=body).execute()
    assert changed == {**made, "displayName": "Renamed", "eventTrigger": {}}
    assert audiences.archive(name=made["name"], body={}).execute() == {}
    with pytest.raises(HttpError) as caught:
        audiences.get(name=made["name"]).execute()
    assert caught.value.status_code == 404


def test_audiences_come_in_pages_and_in_part(discovered: Any, full_body: dict[str, Any]) -> None:
    audiences = discovered.properties().audiences()
    made = [audiences.create(parent=PARENT, body=full_body).execute()["name"] for _ in range(5)]
    names = []
    pages = 0
    request = audiences.list(parent=PARENT, pageSize=3, fields="audiences(name),nextPageToken")
    while request is not None:
        answer = request.execute()
        pages += 1
        names += [found.pop("name") for found in answer["audiences"]]
        assert not any(answer["audiences"])
        request = audiences.list_next(request, answer)
    assert names[-5:] == made
    assert pages == 3
    for name in made:
        audiences.archive(name=name, body={}).execute()


def test_a_refusal_has_googles_shape(discovered: Any, full_body: dict[str, Any]) -> None:
    audiences = discovered.properties().audiences()
    with pytest.raises(HttpError) as caught:
        audiences.create(parent=PARENT, body={**full_body, "displayname": "x"}).execute()
    assert caught.value.status_code == 400
    error = json.loads(caught.value.content)["error"]
    assert error["status"] == "INVALID_ARGUMENT"
    # The client reads the violations out of the details itself.
    (detail,) = caught.value.error_details
    assert detail["fieldViolations"][0]["field"] == "audience"
    with pytest.raises(HttpError, match="update_mask"):
        audiences.patch(name=f"{PARENT}/audiences/1", body={}).execute()


def test_the_property_and_its_history(discovered: Any) -> None:
    found = discovered.properties().get(name=PARENT).execute()
    assert found["serviceLevel"] == "GOOGLE_ANALYTICS_STANDARD"
    body = {"property": PARENT, "resourceType": ["AUDIENCE"], "earliestChangeTime": "2026-01-01T00:00:00Z"}
    answer = discovered.accounts().searchChangeHistoryEvents(account=found["parent"], body=body).execute()
    assert {event["actorType"] for event in answer["changeHistoryEvents"]} == {"USER"}
