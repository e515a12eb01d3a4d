"""google-analytics-admin (REST transport): integer enums both ways, camelCase masks."""

import json
from typing import Any

import pytest
from google.analytics import admin_v1alpha as ga
from google.api_core import exceptions

from audiencesync.canonical import fingerprint
from audiencesync.wire import from_api
from tests.conformance.conftest import PARENT

Admin = ga.AnalyticsAdminServiceClient


def message_of(body: dict[str, Any], **fields: object) -> ga.Audience:
    """The client's own message for a JSON body."""
    message: ga.Audience = ga.Audience.from_json(json.dumps({**body, **fields}))
    return message


def json_of(message: ga.Audience) -> dict[str, Any]:
    """The client's own JSON for a message."""
    text = ga.Audience.to_json(
        message, use_integers_for_enums=False, always_print_fields_with_no_presence=False
    )
    found: dict[str, Any] = json.loads(text)
    return found


def update(admin: Admin, audience: ga.Audience, *paths: str) -> ga.Audience:
    """Patches the named fields."""
    return admin.update_audience(request={"audience": audience, "update_mask": {"paths": list(paths)}})


def test_an_audience_lives_its_whole_life(admin: Admin, full_body: dict[str, Any]) -> None:
    made = admin.create_audience(parent=PARENT, audience=message_of(full_body))
    assert fingerprint(from_api(json_of(made))) == fingerprint(from_api(full_body))
    assert made.name.startswith(f"{PARENT}/audiences/")
    assert made.create_time is not None
    assert admin.get_audience(name=made.name) == made
    made.display_name = "Renamed"
    made.description = ""
    changed = update(admin, made, "display_name", "description")
    assert changed == admin.get_audience(name=made.name) == made
    changed.event_trigger = ga.AudienceEventTrigger()
    cleared = update(admin, changed, "event_trigger")
    assert cleared.event_trigger == ga.AudienceEventTrigger()
    update(admin, cleared, "*")
    admin.archive_audience(request={"name": made.name})
    with pytest.raises(exceptions.NotFound):
        admin.get_audience(name=made.name)


def test_250_audiences_come_in_pages(admin: Admin, full_body: dict[str, Any]) -> None:
    before = [found.name for found in admin.list_audiences(parent=PARENT)]
    plain = {**full_body, "eventTrigger": None}
    made = [
        admin.create_audience(parent=PARENT, audience=message_of(plain, displayName=str(n)))
        for n in range(250)
    ]
    names = [found.name for found in made]
    for size, pages in ((None, (len(before) + 250 + 49) // 50), (200, 2), (1000, 2)):
        request = {"parent": PARENT, **({"page_size": size} if size else {})}
        found = list(admin.list_audiences(request=request).pages)
        assert len(found) == pages
        assert [audience.name for page in found for audience in page.audiences] == before + names
    listed = {audience.name: audience for audience in admin.list_audiences(parent=PARENT)}
    assert all(listed[audience.name] == audience for audience in made)
    for name in names:
        admin.archive_audience(request={"name": name})
    assert [found.name for found in admin.list_audiences(parent=PARENT)] == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"displayName": ""}, "audience.display_name"),
        ({"membershipDurationDays": 541}, "audience.membership_duration_days"),
        ({"filterClauses": []}, "audience.filter_clauses"),
        ({"filterClauses": [{"clauseType": "INCLUDE"}]}, "audience.filter_clauses[0]"),
        ({"eventTrigger": {"eventName": "x"}}, "audience.event_trigger.log_condition"),
    ],
)
def test_refusals_reach_the_client_with_their_fields(
    admin: Admin, full_body: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    with pytest.raises(exceptions.BadRequest) as caught:
        admin.create_audience(parent=PARENT, audience=message_of(full_body, **change))
    (detail,) = caught.value.details
    assert [violation["field"] for violation in detail["fieldViolations"]] == [field]


def test_an_enum_number_nobody_knows_is_refused(admin: Admin, full_body: dict[str, Any]) -> None:
    message = message_of(full_body)
    ga.Audience.pb(message).exclusion_duration_mode = 77
    with pytest.raises(exceptions.BadRequest, match=r"audience\.exclusion_duration_mode"):
        admin.create_audience(parent=PARENT, audience=message)


def test_other_refusals_become_the_clients_exceptions(admin: Admin, full_body: dict[str, Any]) -> None:
    with pytest.raises(exceptions.Forbidden):
        admin.get_audience(name="properties/9/audiences/1")
    with pytest.raises(exceptions.NotFound):
        admin.archive_audience(request={"name": f"{PARENT}/audiences/1"})
    made = admin.create_audience(parent=PARENT, audience=message_of(full_body))
    with pytest.raises(exceptions.BadRequest, match="immutable"):
        update(admin, made, "membership_duration_days")
    with pytest.raises(exceptions.BadRequest, match="update_mask"):
        update(admin, made, "nonsense")
    with pytest.raises(exceptions.BadRequest, match="update_mask"):
        admin.update_audience(request={"audience": made})
    admin.archive_audience(request={"name": made.name})


def test_the_property_tells_its_service_level_and_account(admin: Admin) -> None:
    found = admin.get_property(name=PARENT)
    assert found.service_level == ga.ServiceLevel.GOOGLE_ANALYTICS_STANDARD
    assert found.parent == "accounts/100"


def test_the_change_history_reaches_the_client(admin: Admin, full_body: dict[str, Any]) -> None:
    made = admin.create_audience(parent=PARENT, audience=message_of(full_body))
    admin.archive_audience(request={"name": made.name})
    account = admin.get_property(name=PARENT).account
    request = ga.SearchChangeHistoryEventsRequest(
        account=account,
        property=PARENT,
        resource_type=[ga.ChangeHistoryResourceType.AUDIENCE],
        action=[ga.ActionType.CREATED, ga.ActionType.DELETED],
        earliest_change_time=made.create_time,
        page_size=1,
    )
    events = [
        event
        for event in admin.search_change_history_events(request)
        if event.changes[0].resource == made.name
    ]
    assert [event.changes[0].action for event in events] == [ga.ActionType.DELETED, ga.ActionType.CREATED]
    assert events[1].changes[0].resource_after_change.audience == made
    assert events[0].changes[0].resource_before_change.audience == made
    assert events[0].actor_type == ga.ActorType.USER
