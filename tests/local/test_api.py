"""What the embedded property answers and refuses, call by call."""

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from audiencesync.canonical import fingerprint
from audiencesync.fields import FIELDS, MUTABLE, Kind
from audiencesync.local import messages
from audiencesync.local.api import Api
from audiencesync.local.context import Answer, Call, Quota, Switches
from audiencesync.local.store import Store
from audiencesync.model import Audience
from audiencesync.wire import from_api, to_api
from tests.local.conftest import (
    ALL_SESSIONS,
    AUDIENCES,
    EXPORTS,
    SAME_EVENT,
    Clock,
    Json,
    MakeProperty,
    Property,
    all_of,
    any_of,
    body_of,
    leaf,
    simple,
)
from tests.strategies import audiences

NOT = {"notExpression": leaf()}
EVENT = {"eventFilter": {"eventName": "purchase"}}
CLAUSE = "audience.filter_clauses[0].simple_filter"
EXPRESSION = f"{CLAUSE}.filter_expression"
IN_OR = f"{EXPRESSION}.and_group.filter_expressions[0].or_group.filter_expressions[0]"


def event(parameters: Json) -> Json:
    return {"eventFilter": {"eventName": "purchase", "eventParameterFilterExpression": parameters}}


def with_leaf(one: Json, scope: str = ALL_SESSIONS) -> Json:
    return body_of(filterClauses=[simple(all_of(any_of(one)), scope)])


def sequence(*steps: Json, scope: str = ALL_SESSIONS, **fields: object) -> Json:
    found = {"scope": scope, "sequenceSteps": list(steps), **fields}
    return {"clauseType": "INCLUDE", "sequenceFilter": found}


def step(one: Json | None = None, scope: str = ALL_SESSIONS, **fields: object) -> Json:
    return {"scope": scope, "filterExpression": all_of(any_of(one or leaf())), **fields}


# -- what is answered


def test_a_new_property_has_googles_default_audiences(ga: Property) -> None:
    listed = ga.call("GET", AUDIENCES)
    assert [found["displayName"] for found in listed["audiences"]] == ["All Users", "Purchasers"]
    assert all("filterClauses" not in found for found in listed["audiences"])
    assert "nextPageToken" not in listed


def test_the_property_names_its_account_and_service_level(make: MakeProperty) -> None:
    ga = make(Switches(service_level="GOOGLE_ANALYTICS_360"), properties=("7",))
    found = ga.call("GET", "/v1alpha/properties/7")
    assert found["parent"] == found["account"] == "accounts/100"
    assert found["serviceLevel"] == "GOOGLE_ANALYTICS_360"


def test_a_created_audience_is_given_a_name_and_a_time(ga: Property) -> None:
    first, second = ga.create("A"), ga.create("B")
    number = first["name"].removeprefix("properties/1000/audiences/")
    assert number.isdigit()
    assert int(number) < int(second["name"].rpartition("/")[2])
    assert first["createTime"] == "2026-09-21T14:13:20Z"
    assert first["adsPersonalizationEnabled"] is True
    assert first["eventTrigger"] == {}
    assert ga.call("GET", f"/v1alpha/{first['name']}") == first


def test_output_only_fields_of_a_body_are_ignored(ga: Property) -> None:
    sent = {"name": "properties/9/audiences/9", "createTime": "1999-01-01T00:00:00Z"}
    found = ga.create(**sent, adsPersonalizationEnabled=False)
    assert found["name"].startswith("properties/1000/")
    assert found["createTime"] > "2026"
    assert found["adsPersonalizationEnabled"] is True


def test_defaults_are_left_out_of_answers(ga: Property) -> None:
    one = leaf("", atAnyPointInTime=False, inAnyNDayPeriod=0)
    one["dimensionOrMetricFilter"]["stringFilter"]["caseSensitive"] = False
    text = json.dumps(ga.create(description="", filterClauses=[simple(all_of(any_of(one)))]))
    for name in ("description", "atAnyPointInTime", "inAnyNDayPeriod", "caseSensitive", '"value"'):
        assert name not in text


def test_a_zero_in_a_one_of_group_is_no_default(ga: Property) -> None:
    zero = {"operation": "EQUAL", "value": {"int64Value": 0}}
    one = {"dimensionOrMetricFilter": {"fieldName": "eventCount", "numericFilter": zero}}
    assert '"int64Value": "0"' in json.dumps(ga.call("POST", AUDIENCES, with_leaf(one)))


def test_durations_are_canonical(ga: Property) -> None:
    clause = sequence(step(), step(constraintDuration="60.0s"), sequenceMaximumDuration="3.5s")
    found = ga.create(filterClauses=[clause])["filterClauses"][0]["sequenceFilter"]
    assert found["sequenceMaximumDuration"] == "3.500s"
    assert found["sequenceSteps"][1]["constraintDuration"] == "60s"


def test_clauses_and_groups_come_in_another_order_and_always_the_same(ga: Property) -> None:
    groups = all_of(any_of(leaf("a"), leaf("b")), any_of(leaf("c")))
    clauses = [simple(groups), simple(all_of(any_of(leaf("d"))))]
    found = ga.create(filterClauses=clauses)
    assert found["filterClauses"] == ga.call("GET", f"/v1alpha/{found['name']}")["filterClauses"]
    assert found["filterClauses"][1]["simpleFilter"]["filterExpression"] != groups
    assert found["filterClauses"][0] == clauses[1]
    members = found["filterClauses"][1]["simpleFilter"]["filterExpression"]["andGroup"]["filterExpressions"]
    assert members == [any_of(leaf("c")), any_of(leaf("b"), leaf("a"))]


def test_steps_keep_their_order(ga: Property) -> None:
    steps = [step(leaf(value)) for value in "abcd"]
    found = ga.create(filterClauses=[sequence(*steps)])["filterClauses"][0]
    assert found["sequenceFilter"]["sequenceSteps"] == steps


@pytest.mark.parametrize("wrapped", [False, True])
def test_each_event_parameter_comes_in_an_or_group(ga: Property, wrapped: bool) -> None:
    sent = [any_of(leaf("a")), any_of(NOT)] if wrapped else [leaf("a"), NOT]
    found = ga.call("POST", AUDIENCES, with_leaf(event(all_of(*sent))))
    (group,) = found["filterClauses"][0]["simpleFilter"]["filterExpression"]["andGroup"]["filterExpressions"]
    inner = group["orGroup"]["filterExpressions"][0]["eventFilter"]["eventParameterFilterExpression"]
    assert inner == all_of(any_of(NOT), any_of(leaf("a")))


@given(audience=audiences())
@hypothesis_settings(max_examples=60)
def test_any_valid_audience_is_taken_and_means_the_same(
    audience: Audience, shared_property: Property
) -> None:
    found = shared_property.call("POST", AUDIENCES, to_api(audience))
    assert fingerprint(from_api(found)) == fingerprint(audience)
    listed = shared_property.call("GET", f"/v1alpha/{found['name']}")
    assert fingerprint(from_api(listed)) == fingerprint(audience)
    shared_property.call("POST", f"/v1alpha/{found['name']}:archive", {})
    # What servers answer, they take back.
    again = shared_property.call("POST", AUDIENCES, found)
    assert fingerprint(from_api(again)) == fingerprint(audience)
    shared_property.call("POST", f"/v1alpha/{again['name']}:archive", {})


@pytest.fixture(scope="module")
def shared_property(tmp_path_factory: pytest.TempPathFactory) -> Property:
    return Property(Api(store=Store(tmp_path_factory.mktemp("property") / ".audiencesync")))


def test_recorded_audiences_can_be_created_again(ga: Property, shared_data: Any) -> None:
    page = json.loads((shared_data / "recorded" / "audiences.list.page2.json").read_text("utf-8"))
    assert page["audiences"]
    for recorded in page["audiences"]:
        found = ga.call("POST", AUDIENCES, recorded)
        assert from_api(found) == from_api(recorded)
        assert found["filterClauses"] == recorded["filterClauses"]
        assert set(recorded) | {"createTime"} == set(found)


def test_integer_enums_and_snake_case_are_taken(ga: Property) -> None:
    body = json.loads(
        json.dumps(body_of(eventTrigger={"event_name": "joined", "log_condition": 2}))
        .replace('"INCLUDE"', "1")
        .replace(f'"{ALL_SESSIONS}"', "3")
        .replace("filterExpression", "filter_expression")
        .replace("displayName", "display_name")
    )
    body["filterClauses"][0]["simpleFilter"]["filter_expression"] = all_of(any_of(leaf()))
    found = ga.call("POST", AUDIENCES, body)
    assert found["eventTrigger"] == {"eventName": "joined", "logCondition": "AUDIENCE_MEMBERSHIP_RENEWED"}
    assert found["filterClauses"][0]["simpleFilter"]["scope"] == ALL_SESSIONS


@pytest.mark.parametrize(
    "query",
    ["$alt=json;enum-encoding=int", "%24alt=json%3Benum-encoding%3Dint", "alt=json;enum-encoding=int"],
)
def test_integer_enums_are_answered_where_asked_for(ga: Property, query: str) -> None:
    trigger = {"eventName": "joined", "logCondition": "AUDIENCE_JOINED"}
    name = ga.create(eventTrigger=trigger, exclusionDurationMode="EXCLUDE_PERMANENTLY")["name"]
    found = ga.call("GET", f"/v1alpha/{name}", query=query)
    assert found["eventTrigger"]["logCondition"] == 1
    assert found["exclusionDurationMode"] == 2
    assert (found["filterClauses"][0]["clauseType"], found["filterClauses"][0]["simpleFilter"]["scope"]) == (
        1,
        3,
    )
    assert ga.call("GET", "/v1alpha/properties/1000", query=query)["serviceLevel"] == 1


def test_a_partial_answer_has_the_named_fields(ga: Property) -> None:
    ga.create("C")
    query = "fields=audiences(displayName,filterClauses/clauseType),nextPageToken&pageSize=200"
    found = ga.call("GET", AUDIENCES, query=query)
    assert found["audiences"][2] == {"displayName": "C", "filterClauses": [{"clauseType": "INCLUDE"}]}
    assert set(found["audiences"][0]) == {"displayName"}
    assert ga.call("GET", AUDIENCES, query="fields=audiences/*") == ga.call("GET", AUDIENCES)


@pytest.mark.parametrize("selector", ["a(", "a)", "a,,b", "/a", "a b", "a(b))", "a/", "(a)"])
def test_an_unreadable_selector_is_refused(ga: Property, selector: str) -> None:
    assert ga.violations("GET", AUDIENCES, query=f"fields={selector}") == ["fields"]


def test_system_parameters_are_taken_and_strangers_refused(ga: Property) -> None:
    ga.call("GET", AUDIENCES, query="$.xgafv=2&key=k&access_token=t&quotaUser=u&prettyPrint=false&alt=json")
    error = ga.refused("GET", AUDIENCES, query="pagesize=3")
    assert 'Unknown name "pagesize": Cannot bind query parameter' in error["message"]
    assert ga.violations("GET", AUDIENCES, query="alt=media") == ["alt"]


def test_an_indented_answer_says_the_same(ga: Property) -> None:
    answer = ga.raw("GET", AUDIENCES, query="prettyPrint=true")
    assert answer.body.startswith(b'{\n  "audiences": [')
    assert json.loads(answer.body) == ga.call("GET", AUDIENCES)


def test_the_method_may_be_overridden(ga: Property) -> None:
    answer = ga.api.answer("POST", AUDIENCES, "", b"", {"X-HTTP-Method-Override": "GET"})
    assert json.loads(answer.body) == ga.call("GET", AUDIENCES)


# -- pages


def test_pages_are_whole_and_tokens_are_opaque(make: MakeProperty) -> None:
    ga = make(Switches(audience_limit=300, default_audiences=False))
    made = [ga.create(str(number))["name"] for number in range(130)]
    names: list[str] = []
    sizes = []
    token = ""
    while True:
        page = ga.call("GET", AUDIENCES, query=f"pageToken={token}" if token else "")
        names += [found["name"] for found in page["audiences"]]
        sizes.append(len(page["audiences"]))
        token = page.get("nextPageToken", "")
        if not token:
            break
        assert names[-1].rpartition("/")[2] not in token
    assert names == made
    assert sizes == [50, 50, 30]


def test_the_list_of_a_property_without_audiences_has_no_key(make: MakeProperty) -> None:
    assert make(Switches(default_audiences=False)).call("GET", AUDIENCES) == {}


def test_page_sizes_are_coerced_or_refused(make: MakeProperty) -> None:
    ga = make(Switches(audience_limit=300, default_audiences=False))
    for number in range(201):
        ga.create(str(number))
    assert len(ga.call("GET", AUDIENCES, query="pageSize=100000")["audiences"]) == 200
    assert len(ga.call("GET", AUDIENCES, query="page_size=0")["audiences"]) == 50
    for size in ("-1", "x", "3000000000"):
        assert ga.violations("GET", AUDIENCES, query=f"pageSize={size}") == ["page_size"]


def test_a_token_is_bound_to_its_request(make: MakeProperty) -> None:
    ga = make(properties=("1000", "2000"))
    token = ga.call("GET", AUDIENCES, query="pageSize=1")["nextPageToken"]
    assert ga.call("GET", AUDIENCES, query=f"pageSize=1&pageToken={token}")["audiences"]
    other = "/v1alpha/properties/2000/audiences"
    flipped = ("B" if token[0] == "A" else "A") + token[1:]
    assert ga.violations("GET", AUDIENCES, query=f"pageSize=2&pageToken={token}") == ["page_token"]
    assert ga.violations("GET", other, query=f"pageSize=1&pageToken={token}") == ["page_token"]
    for bad in (flipped, "AAAA", "é", token + "AAAA", "="):
        assert ga.violations("GET", AUDIENCES, query=f"pageSize=1&pageToken={bad}") == ["page_token"]


# -- what is refused


def _delete(*path: Any) -> Callable[[Json], None]:
    def change(body: Any) -> None:
        for part in path[:-1]:
            body = body[part]
        del body[path[-1]]

    return change


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (body_of(foo=1), ["audience"]),
        (body_of(manage={"key": "a"}), ["audience"]),
        ({"audience": body_of()}, ["audience"]),
        (body_of(displayName=5), ["audience.display_name"]),
        (body_of(displayName=["A"]), ["audience"]),
        (body_of(displayName="\ud800"), ["audience.display_name"]),
        ({**body_of(), "\ud800": 1}, ["audience"]),
        (body_of(membershipDurationDays="thirty"), ["audience.membership_duration_days"]),
        (body_of(membershipDurationDays=True), ["audience.membership_duration_days"]),
        (body_of(membershipDurationDays=30.5), ["audience.membership_duration_days"]),
        (body_of(membershipDurationDays=2**31), ["audience.membership_duration_days"]),
        (body_of(exclusionDurationMode="FOREVER"), ["audience.exclusion_duration_mode"]),
        (body_of(exclusionDurationMode=3), ["audience.exclusion_duration_mode"]),
        (body_of(exclusionDurationMode=False), ["audience.exclusion_duration_mode"]),
        (body_of(eventTrigger="joined"), ["audience.event_trigger"]),
        (body_of(eventTrigger={"eventname": "x"}), ["audience.event_trigger"]),
        (body_of(filterClauses={}), ["audience.filter_clauses"]),
        (body_of(filterClauses=[None]), ["audience.filter_clauses[0]"]),
        (body_of(filterClauses=[{**simple(all_of(any_of(leaf()))), "x": 1}]), ["audience.filter_clauses[0]"]),
        (body_of(a=1, membershipDurationDays="x"), ["audience.membership_duration_days", "audience"]),
        (with_leaf(leaf(inAnyNDayPeriod="x")), [f"{IN_OR}.dimension_or_metric_filter.in_any_n_day_period"]),
        (with_leaf(leaf(betweenFilter={})), [f"{IN_OR}.dimension_or_metric_filter"]),
        (
            body_of(filterClauses=[sequence(step(constraintDuration="1h"))]),
            ["audience.filter_clauses[0].sequence_filter.sequence_steps[0].constraint_duration"],
        ),
        (
            body_of(filterClauses=[sequence(step(constraintDuration="-1s"))]),
            ["audience.filter_clauses[0].sequence_filter.sequence_steps[0].constraint_duration"],
        ),
    ],
)
def test_what_googles_json_reader_refuses_is_refused(ga: Property, body: Json, fields: list[str]) -> None:
    assert sorted(ga.violations("POST", AUDIENCES, body)) == sorted(fields)
    assert ga.names() == ["All Users", "Purchasers"]


def test_an_unknown_name_is_named_as_google_does(ga: Property) -> None:
    error = ga.refused("POST", AUDIENCES, body_of(foo=1))
    says = "Invalid JSON payload received. Unknown name \"foo\" at 'audience': Cannot find field."
    assert error == {
        "code": 400,
        "message": says,
        "status": "INVALID_ARGUMENT",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "audience", "description": says}],
            }
        ],
    }


def test_details_may_be_missing(make: MakeProperty) -> None:
    error = make(Switches(details=False)).refused("POST", AUDIENCES, body_of(foo=1))
    assert set(error) == {"code", "message", "status"}


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b"5", b'"x"', b"\xff", b'{"membershipDurationDays": NaN}', b"[" * 200_000]
)
def test_what_is_no_json_object_is_refused(ga: Property, body: bytes) -> None:
    error = ga.refused("POST", AUDIENCES, body)
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")


def test_a_body_nests_only_so_deep(ga: Property) -> None:
    inner = leaf()
    for _ in range(200):
        inner = {"notExpression": inner}
    assert "too deep" in ga.refused("POST", AUDIENCES, with_leaf(inner))["message"]


REQUIRED = "is required and must not be empty."


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_delete("displayName"), "audience.display_name"),
        (_delete("membershipDurationDays"), "audience.membership_duration_days"),
        (_delete("filterClauses"), "audience.filter_clauses"),
        (_delete("filterClauses", 0), "audience.filter_clauses"),
        (_delete("filterClauses", 0, "clauseType"), "audience.filter_clauses[0].clause_type"),
        (_delete("filterClauses", 0, "simpleFilter"), "audience.filter_clauses[0]"),
        (_delete("filterClauses", 0, "simpleFilter", "scope"), f"{CLAUSE}.scope"),
        (_delete("filterClauses", 0, "simpleFilter", "filterExpression"), EXPRESSION),
        (_delete("filterClauses", 0, "simpleFilter", "filterExpression", "andGroup"), EXPRESSION),
        (
            _delete("filterClauses", 0, "simpleFilter", "filterExpression", "andGroup", "filterExpressions"),
            f"{EXPRESSION}.and_group.filter_expressions",
        ),
    ],
)
def test_required_fields_are_required(ga: Property, change: Callable[[Json], None], field: str) -> None:
    body = body_of()
    change(body)
    assert ga.violations("POST", AUDIENCES, body) == [field]


@pytest.mark.parametrize(
    ("one", "field"),
    [
        ({"dimensionOrMetricFilter": {"stringFilter": {"matchType": 1, "value": "x"}}}, ".field_name"),
        ({"dimensionOrMetricFilter": {"fieldName": "country"}}, ""),
        (
            leaf() | {"dimensionOrMetricFilter": {"fieldName": "c", "stringFilter": {}}},
            ".string_filter.match_type",
        ),
        (
            {"dimensionOrMetricFilter": {"fieldName": "c", "inListFilter": {"values": []}}},
            ".in_list_filter.values",
        ),
        (
            {"dimensionOrMetricFilter": {"fieldName": "c", "numericFilter": {"operation": "EQUAL"}}},
            ".numeric_filter.value",
        ),
        (
            {
                "dimensionOrMetricFilter": {
                    "fieldName": "c",
                    "numericFilter": {"operation": "EQUAL", "value": {}},
                }
            },
            ".numeric_filter.value",
        ),
        (
            {"dimensionOrMetricFilter": {"fieldName": "c", "numericFilter": {"value": {"int64Value": 1}}}},
            ".numeric_filter.operation",
        ),
        (
            {
                "dimensionOrMetricFilter": {
                    "fieldName": "c",
                    "betweenFilter": {"fromValue": {"int64Value": 1}},
                }
            },
            ".between_filter.to_value",
        ),
        (leaf(inAnyNDayPeriod=61), ".in_any_n_day_period"),
        (leaf(inAnyNDayPeriod=-1), ".in_any_n_day_period"),
    ],
)
def test_filters_are_checked_wherever_they_stand(ga: Property, one: Json, field: str) -> None:
    own = f".dimension_or_metric_filter{field}"
    in_group = f"and_group.filter_expressions[0].or_group.filter_expressions[0]{own}"
    assert ga.violations("POST", AUDIENCES, with_leaf(one)) == [f"{EXPRESSION}.{in_group}"]
    assert ga.violations("POST", AUDIENCES, with_leaf({"notExpression": one})) == [
        f"{IN_OR}.not_expression{own}"
    ]
    inside = "event_filter.event_parameter_filter_expression.and_group.filter_expressions[0]"
    assert ga.violations("POST", AUDIENCES, with_leaf(event(all_of(one)))) == [f"{IN_OR}.{inside}{own}"]
    found = ga.violations("POST", AUDIENCES, body_of(filterClauses=[sequence(step(), step(one))]))
    assert found == [
        f"audience.filter_clauses[0].sequence_filter.sequence_steps[1].filter_expression.{in_group}"
    ]


@pytest.mark.parametrize("days", [540, 539, 1, -1])
def test_a_membership_up_to_540_days_is_taken(ga: Property, days: int) -> None:
    assert ga.create(membershipDurationDays=days)["membershipDurationDays"] == days


@pytest.mark.parametrize("days", [541, 10_000, 0])
def test_a_membership_beyond_540_days_is_refused(ga: Property, days: int) -> None:
    body = body_of(membershipDurationDays=days)
    assert ga.violations("POST", AUDIENCES, body) == ["audience.membership_duration_days"]


def test_minus_one_may_be_echoed_as_540(make: MakeProperty) -> None:
    assert make(Switches(minus_one=540)).create(membershipDurationDays=-1)["membershipDurationDays"] == 540


@pytest.mark.parametrize("limited", [{"atAnyPointInTime": True}, {"inAnyNDayPeriod": 60}])
def test_what_needs_all_sessions_is_refused_in_narrower_scopes(ga: Property, limited: Json) -> None:
    one = leaf(**limited)
    ga.call("POST", AUDIENCES, with_leaf(one))
    ga.call("POST", AUDIENCES, with_leaf(event(all_of(one))))
    ga.create(filterClauses=[sequence(step(one))])
    for body in (
        with_leaf(one, SAME_EVENT),
        with_leaf(event(all_of(one)), SAME_EVENT),
        body_of(filterClauses=[sequence(step(one, SAME_EVENT))]),
        body_of(filterClauses=[sequence(step(one), scope=SAME_EVENT)]),
    ):
        (field,) = ga.violations("POST", AUDIENCES, body)
        assert field.endswith(("at_any_point_in_time", "in_any_n_day_period"))


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        (leaf(), ".dimension_or_metric_filter"),
        (NOT, ".not_expression"),
        (EVENT, ".event_filter"),
        (any_of(leaf()), ".or_group"),
        (all_of(leaf()), ".and_group.filter_expressions[0].dimension_or_metric_filter"),
        (all_of(all_of(any_of(leaf()))), ".and_group.filter_expressions[0].and_group"),
        (
            all_of(any_of(any_of(leaf()))),
            ".and_group.filter_expressions[0].or_group.filter_expressions[0].or_group",
        ),
        (
            all_of(any_of({"notExpression": NOT})),
            f"{IN_OR.removeprefix(EXPRESSION)}.not_expression.not_expression",
        ),
        (
            all_of(any_of({"notExpression": EVENT})),
            f"{IN_OR.removeprefix(EXPRESSION)}.not_expression.event_filter",
        ),
        (all_of(), ".and_group.filter_expressions"),
        (all_of(any_of()), ".and_group.filter_expressions[0].or_group.filter_expressions"),
        ({**all_of(any_of(leaf())), **NOT}, ""),
    ],
)
def test_the_nesting_rules_are_held(ga: Property, expression: Json, field: str) -> None:
    for clause, at in (
        (simple(expression), EXPRESSION),
        (
            sequence({"scope": ALL_SESSIONS, "filterExpression": expression}),
            "audience.filter_clauses[0].sequence_filter.sequence_steps[0].filter_expression",
        ),
    ):
        assert ga.violations("POST", AUDIENCES, body_of(filterClauses=[clause])) == [f"{at}{field}"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        (leaf(), ".dimension_or_metric_filter"),
        (any_of(leaf()), ".or_group"),
        (all_of(EVENT), ".and_group.filter_expressions[0].event_filter"),
        (
            all_of(any_of(EVENT)),
            ".and_group.filter_expressions[0].or_group.filter_expressions[0].event_filter",
        ),
        (all_of(any_of(leaf("a"), leaf("b"))), ".and_group.filter_expressions[0].or_group"),
        (all_of(all_of(leaf())), ".and_group.filter_expressions[0].and_group"),
        ({}, ""),
    ],
)
def test_event_parameters_nest_flat(ga: Property, parameters: Json, field: str) -> None:
    at = f"{IN_OR}.event_filter.event_parameter_filter_expression"
    assert ga.violations("POST", AUDIENCES, with_leaf(event(parameters))) == [f"{at}{field}"]


@pytest.mark.parametrize(
    ("trigger", "field"),
    [
        ({"eventName": "x"}, ".log_condition"),
        ({"logCondition": "AUDIENCE_JOINED"}, ".event_name"),
        ({"eventName": "x", "logCondition": "LOG_CONDITION_UNSPECIFIED"}, ".log_condition"),
    ],
)
def test_half_a_trigger_is_refused(ga: Property, trigger: Json, field: str) -> None:
    body = body_of(eventTrigger=trigger)
    assert ga.violations("POST", AUDIENCES, body) == [f"audience.event_trigger{field}"]


@pytest.mark.parametrize("trigger", [{}, None])
def test_no_trigger_may_be_said_in_full(ga: Property, trigger: object) -> None:
    assert ga.create(eventTrigger=trigger)["eventTrigger"] == {}


def test_a_number_that_is_no_number_is_refused(ga: Property) -> None:
    for value in (
        {"doubleValue": "NaN"},
        {"doubleValue": "Infinity"},
        {"doubleValue": "1_0"},
        {"int64Value": "9" * 19 + "9"},
    ):
        number = {"operation": "EQUAL", "value": value}
        one = {"dimensionOrMetricFilter": {"fieldName": "eventCount", "numericFilter": number}}
        (field,) = ga.violations("POST", AUDIENCES, with_leaf(one))
        assert field.startswith(f"{IN_OR}.dimension_or_metric_filter.numeric_filter.value.")


def test_a_description_may_have_a_limit(make: MakeProperty) -> None:
    ga = make(Switches(max_description=10))
    name = ga.create(description="x" * 10)["name"]
    assert ga.violations("POST", AUDIENCES, body_of(description="x" * 11)) == ["audience.description"]
    patch = ("PATCH", f"/v1alpha/{name}", {"description": "x" * 11}, "updateMask=description")
    assert ga.violations(*patch) == ["audience.description"]


def test_two_equal_names_are_taken_unless_switched_off(make: MakeProperty) -> None:
    ga = make()
    ga.create("A"), ga.create("A")
    strict = make(Switches(equal_names="refuse"))
    assert strict.refused("POST", AUDIENCES, body_of("A"))["status"] == "ALREADY_EXISTS"
    other = strict.create("B")["name"]
    error = strict.refused("PATCH", f"/v1alpha/{other}", {"displayName": "A"}, "updateMask=displayName")
    assert (error["code"], error["status"]) == (409, "ALREADY_EXISTS")
    strict.call("PATCH", f"/v1alpha/{other}", {"displayName": "B"}, "updateMask=displayName")


def test_a_full_property_says_so_and_archiving_makes_room(make: MakeProperty) -> None:
    ga = make(Switches(audience_limit=3))
    name = ga.create()["name"]
    error = ga.refused("POST", AUDIENCES, body_of())
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert "The property is full" in error["message"]
    assert error["details"][0]["reason"] == "AUDIENCE_LIMIT_EXCEEDED"
    ga.call("POST", f"/v1alpha/{name}:archive", {})
    ga.create()


def test_triggers_have_a_limit_of_their_own(make: MakeProperty) -> None:
    ga = make(Switches(trigger_limit=1))
    trigger = {"eventName": "x", "logCondition": "AUDIENCE_JOINED"}
    first, second = ga.create(eventTrigger=trigger)["name"], ga.create()["name"]
    assert ga.refused("POST", AUDIENCES, body_of(eventTrigger=trigger))["code"] == 429
    patch = ("PATCH", f"/v1alpha/{second}", {"eventTrigger": trigger}, "updateMask=eventTrigger")
    assert ga.refused(*patch)["details"][0]["reason"] == "TRIGGER_LIMIT_EXCEEDED"
    changed = {"eventTrigger": {**trigger, "eventName": "y"}}
    ga.call("PATCH", f"/v1alpha/{first}", changed, "updateMask=eventTrigger")
    ga.call("PATCH", f"/v1alpha/{first}", {}, "updateMask=eventTrigger")
    ga.call(*patch)


@pytest.mark.parametrize("number", ["1", "0", "9" * 30, "abc", "٣", "-1"])
def test_what_is_not_there_is_not_found(ga: Property, number: str) -> None:
    for method, end in (("GET", ""), ("PATCH", ""), ("POST", ":archive")):
        query = "updateMask=displayName" if method == "PATCH" else ""
        error = ga.refused(method, f"{AUDIENCES}/{number}{end}", {}, query)
        assert (error["code"], error["status"]) == (404, "NOT_FOUND")


def test_an_archived_audience_is_gone_for_good(ga: Property) -> None:
    name = ga.create("gone")["name"]
    assert ga.call("POST", f"/v1alpha/{name}:archive", {}) == {}
    for method, end in (("GET", ""), ("PATCH", ""), ("POST", ":archive")):
        query = "updateMask=displayName" if method == "PATCH" else ""
        assert ga.refused(method, f"/v1alpha/{name}{end}", {}, query)["code"] == 404
    assert "gone" not in ga.names()


def test_an_audience_belongs_to_its_property_alone(make: MakeProperty) -> None:
    ga = make(properties=("1000", "2000"))
    number = ga.create()["name"].rpartition("/")[2]
    assert ga.refused("GET", f"/v1alpha/properties/2000/audiences/{number}")["code"] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1alpha/properties/9"),
        ("GET", "/v1alpha/properties/9/audiences"),
        ("POST", "/v1alpha/properties/9/audiences"),
        ("GET", "/v1alpha/properties/9/audiences/1"),
        ("POST", "/v1alpha/properties/9/audiences/1:archive"),
        ("GET", "/v1beta/properties/9/audienceExports"),
        ("POST", "/v1beta/properties/9/audienceExports"),
        ("GET", "/v1beta/properties/9/audienceExports/1"),
        ("POST", "/v1beta/properties/9/audienceExports/1:query"),
        ("POST", "/v1alpha/accounts/9:searchChangeHistoryEvents"),
    ],
)
def test_a_property_or_account_that_is_not_served_is_forbidden(ga: Property, method: str, path: str) -> None:
    error = ga.refused(method, path, {})
    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("DELETE", f"{AUDIENCES}/1", 405),
        ("PUT", f"{AUDIENCES}/1", 405),
        ("GET", f"{AUDIENCES}/1:archive", 405),
        ("PATCH", EXPORTS, 405),
        ("POST", f"{AUDIENCES}/1:unarchive", 404),
        ("GET", "/v1beta/properties/1000/audiences", 404),
        ("GET", "/", 404),
        ("GET", "/v1alpha/properties/1000/audiences/", 404),
        ("GET", "/v1alpha/properties/1000/audiences/1/2", 404),
    ],
)
def test_an_unknown_method_is_refused(ga: Property, method: str, path: str, code: int) -> None:
    assert ga.refused(method, path, {})["code"] == code


# -- patch


def patch(ga: Property, name: str, mask: str, body: Json) -> Json:
    return ga.call("PATCH", f"/v1alpha/{name}", body, f"updateMask={mask}")


def test_a_patch_changes_what_its_mask_names_alone(ga: Property) -> None:
    before = ga.create("A")
    after = patch(ga, before["name"], "displayName", {"displayName": "B", "description": "not masked"})
    assert after == {**before, "displayName": "B"}
    assert ga.call("GET", f"/v1alpha/{before['name']}") == after


@pytest.mark.parametrize(
    "mask",
    ["display_name,event_trigger", "displayName,eventTrigger", "event_trigger,displayName,name,createTime"],
)
def test_both_spellings_of_a_mask_are_taken(ga: Property, mask: str) -> None:
    trigger = {"eventName": "x", "logCondition": "AUDIENCE_JOINED"}
    after = patch(ga, ga.create()["name"], mask, {"displayName": "B", "eventTrigger": trigger})
    assert (after["displayName"], after["eventTrigger"]) == ("B", trigger)


def test_a_masked_field_that_is_left_out_is_cleared(ga: Property) -> None:
    trigger = {"eventName": "x", "logCondition": "AUDIENCE_JOINED"}
    before = ga.create(eventTrigger=trigger)
    after = patch(ga, before["name"], "description,eventTrigger", {})
    assert "description" not in after
    assert after["eventTrigger"] == {}
    call: tuple[str, str, Json, str] = ("PATCH", f"/v1alpha/{before['name']}", {}, "updateMask=displayName")
    assert ga.violations(*call) == ["audience.display_name"]


def test_a_mask_may_stop_at_a_field_of_the_trigger(ga: Property) -> None:
    trigger = {"eventName": "x", "logCondition": "AUDIENCE_JOINED"}
    name = ga.create(eventTrigger=trigger)["name"]
    after = patch(ga, name, "event_trigger.event_name", {"eventTrigger": {"eventName": "y"}})
    assert after["eventTrigger"] == {**trigger, "eventName": "y"}
    call: tuple[str, str, Json, str] = ("PATCH", f"/v1alpha/{name}", {}, "updateMask=eventTrigger.eventName")
    assert ga.violations(*call) == ["audience.event_trigger.event_name"]


@pytest.mark.parametrize(
    "mask",
    [
        "",
        "foo",
        "display_Name",
        "manage",
        "displayName.x",
        "filter_clauses.x",
        "displayName,",
        "displayName,*",
    ],
)
def test_a_mask_that_names_nothing_known_is_refused(ga: Property, mask: str) -> None:
    name = ga.create()["name"]
    call = ("PATCH", f"/v1alpha/{name}", {"displayName": "B"}, f"updateMask={mask}")
    assert ga.violations(*call) == ["update_mask"]
    assert ga.violations("PATCH", f"/v1alpha/{name}", {"displayName": "B"}) == ["update_mask"]
    assert ga.violations("PATCH", f"{AUDIENCES}/1", {}, f"updateMask={mask}") == ["update_mask"]


IMMUTABLE = [f.name for f in FIELDS if f.message == "Audience" and f.immutable]


@pytest.mark.parametrize("name", IMMUTABLE)
def test_an_immutable_field_in_a_mask_is_refused_or_ignored(make: MakeProperty, name: str) -> None:
    ga, ignoring = make(), make(Switches(immutable_in_mask="ignore"))
    before = ga.create()
    body = body_of("B", membershipDurationDays=31, exclusionDurationMode="EXCLUDE_PERMANENTLY")
    call = ("PATCH", f"/v1alpha/{before['name']}", body, f"updateMask=displayName,{name}")
    (field,) = ga.violations(*call)
    assert field.replace("_", "") == f"audience.{name}".lower()
    assert ga.call("GET", f"/v1alpha/{before['name']}") == before
    assert ignoring.call(*call) == {**before, "displayName": "B"}


def test_a_star_replaces_all_that_can_be_replaced(ga: Property) -> None:
    trigger = {"eventName": "x", "logCondition": "AUDIENCE_JOINED"}
    before = ga.create(eventTrigger=trigger)
    after = patch(ga, before["name"], "*", {**before, "displayName": "B", "eventTrigger": {}})
    assert after == {**before, "displayName": "B", "eventTrigger": {}}
    assert "description" not in patch(ga, before["name"], "*", {"displayName": "C"})
    for changed in ({"membershipDurationDays": 31}, {"filterClauses": [simple(all_of(any_of(leaf("US"))))]}):
        call = ("PATCH", f"/v1alpha/{before['name']}", {**before, **changed}, "updateMask=*")
        (field,) = ga.violations(*call)
        assert field.replace("_", "") == f"audience.{next(iter(changed))}".lower()


def test_every_mutable_field_can_be_patched(ga: Property) -> None:
    sent: Json = {
        "displayName": "B",
        "description": "Other.",
        "eventTrigger": {"eventName": "x", "logCondition": "AUDIENCE_JOINED"},
    }
    assert set(sent) == set(MUTABLE)
    for field in MUTABLE:
        before = ga.create()
        assert patch(ga, before["name"], field, sent) == {**before, field: sent[field]}


def test_a_patch_reads_its_whole_body_strictly(ga: Property) -> None:
    name = ga.create()["name"]
    call = ("PATCH", f"/v1alpha/{name}", {"displayName": "B", "foo": 1}, "updateMask=displayName")
    assert ga.violations(*call) == ["audience"]


# -- quota and faults


@pytest.mark.parametrize("status", [429, 403])
@pytest.mark.parametrize("retry_after", [True, False])
def test_calls_beyond_the_quota_are_refused_until_the_minute_is_over(
    make: MakeProperty, status: Literal[429, 403], retry_after: bool
) -> None:
    ga = make(Switches(quota=Quota(requests=5, writes=2, status=status, retry_after=retry_after)))
    ga.create("A"), ga.create("B")
    ga.clock.now += 15
    answer = ga.raw("POST", AUDIENCES, body_of("C"))
    error = json.loads(answer.body)["error"]
    assert answer.status == error["code"] == status
    assert answer.headers.get("Retry-After") == ("45" if retry_after else None)
    if status == 403:
        assert error["errors"][0]["reason"] == "rateLimitExceeded"
    else:
        assert error["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert [ga.raw("GET", AUDIENCES).status for _ in range(4)] == [200, 200, 200, status]
    ga.clock.now += 45
    ga.create("C")
    assert ga.names() == ["All Users", "Purchasers", "A", "B", "C"]


def test_a_fault_before_keeps_the_call_from_running_and_one_after_does_not(make: MakeProperty) -> None:
    seen: list[tuple[str, str, int | None]] = []

    def faults(call: Call, when: Literal["before", "after"]) -> Answer | None:
        seen.append((when, call.method, call.answer.status if call.answer else None))
        planned = {"before": b'"b"', "after": b'"a"'}
        return Answer.of(500, {}) if call.body == planned[when] else None

    ga = make(Switches(equal_names="refuse"), faults=faults)
    assert ga.raw("POST", AUDIENCES, b'"b"').status == 500
    assert seen == [("before", "POST", None)]
    assert ga.raw("POST", AUDIENCES, b'"a"').status == 500
    assert seen[1:] == [("before", "POST", None), ("after", "POST", 400)]
    ga.create()
    assert seen[-1] == ("after", "POST", 200)


def test_a_cut_line_leaves_what_was_done(make: MakeProperty) -> None:
    def faults(call: Call, when: Literal["before", "after"]) -> Answer | None:
        if when == "after" and call.method == "POST":
            raise ConnectionResetError
        return None

    ga = make(faults=faults)
    with pytest.raises(ConnectionResetError):
        ga.create("A")
    assert ga.names() == ["All Users", "Purchasers", "A"]


def test_the_clock_of_the_test_is_the_propertys_clock(ga: Property) -> None:
    assert isinstance(ga.clock, Clock)
    ga.clock.now += 0.25
    assert ga.create()["createTime"] == "2026-09-21T14:13:20.250000Z"


def test_every_kind_of_the_field_table_can_be_read() -> None:
    names = {found.message for found in FIELDS} - {"Manage"}
    kinds = {field.kind for message in names for field in messages.AUDIENCES.fields(message)}
    assert kinds <= {*messages._TYPES, Kind.ENUM, Kind.MESSAGE}
