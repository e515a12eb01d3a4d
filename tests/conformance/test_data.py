"""google-analytics-data (REST transport): audience exports created, read, listed and queried."""

from typing import Any

import pytest
from google.analytics import admin_v1alpha, data_v1beta
from google.api_core import exceptions

from tests.conformance.conftest import MEMBERS, PARENT, Served
from tests.conformance.test_admin import message_of

Data = data_v1beta.BetaAnalyticsDataClient
State = data_v1beta.AudienceExport.State


@pytest.fixture(scope="module")
def audience(admin: admin_v1alpha.AnalyticsAdminServiceClient) -> str:
    from tests.conformance.conftest import FULL

    made = admin.create_audience(parent=PARENT, audience=message_of(FULL, displayName="Exported"))
    return str(made.name)


def export_of(audience: str, *names: str) -> data_v1beta.AudienceExport:
    dimensions = [data_v1beta.AudienceDimension(dimension_name=name) for name in names]
    return data_v1beta.AudienceExport(audience=audience, dimensions=dimensions)


def create(data: Data, audience: str, *names: str) -> data_v1beta.AudienceExport:
    """Creates an export and takes it out of the Operation, which has no name to wait for."""
    operation: Any = data.create_audience_export(parent=PARENT, audience_export=export_of(audience, *names))
    assert (operation.operation.name, operation.operation.done) == ("", False)
    found = data_v1beta.AudienceExport()
    assert operation.operation.response.Unpack(data_v1beta.AudienceExport.pb(found))
    return found


def test_an_export_is_created_and_queried(served: Served, data: Data, audience: str) -> None:
    made = create(data, audience, "userId", "deviceId")
    assert made.state == State.CREATING
    assert made.audience_display_name == "Exported"
    with pytest.raises(exceptions.BadRequest, match="still being created"):
        data.query_audience_export(name=made.name)
    served.clock.now += 5
    active = data.get_audience_export(name=made.name)
    assert (active.state, active.row_count, active.percentage_completed) == (State.ACTIVE, 25, 100)
    assert active.begin_creating_time == made.begin_creating_time
    rows = []
    for offset in range(0, 30, 10):
        page = data.query_audience_export(request={"name": made.name, "offset": offset, "limit": 10})
        assert page.row_count == 25
        assert page.audience_export == active
        rows += [tuple(value.value for value in row.dimension_values) for row in page.audience_rows]
    assert rows == [(user, device) for device, user, *_ in MEMBERS]


def test_exports_are_listed_in_pages(data: Data, audience: str) -> None:
    made = [create(data, audience, "deviceId").name for _ in range(5)]
    found = data.list_audience_exports(request={"parent": PARENT, "page_size": 2})
    assert [export.name for export in found][-5:] == made


def test_refusals_become_the_clients_exceptions(data: Data, audience: str) -> None:
    with pytest.raises(exceptions.BadRequest) as caught:
        data.create_audience_export(parent=PARENT, audience_export=export_of(audience, "country"))
    (detail,) = caught.value.details
    assert detail["fieldViolations"][0]["field"] == "audience_export.dimensions[0].dimension_name"
    with pytest.raises(exceptions.BadRequest):
        data.create_audience_export(parent=PARENT, audience_export=export_of(audience))
    missing = export_of(f"{PARENT}/audiences/1", "userId")
    with pytest.raises(exceptions.NotFound):
        data.create_audience_export(parent=PARENT, audience_export=missing)
    with pytest.raises(exceptions.NotFound):
        data.get_audience_export(name=f"{PARENT}/audienceExports/999")
    with pytest.raises(exceptions.Forbidden):
        data.get_audience_export(name="properties/9/audienceExports/1")


def test_an_export_is_gone_after_72_hours(served: Served, data: Data, audience: str) -> None:
    name = create(data, audience, "deviceId").name
    served.clock.now += 72 * 3600
    with pytest.raises(exceptions.NotFound):
        data.query_audience_export(name=name)
    assert list(data.list_audience_exports(parent=PARENT)) == []
