"""Edges by hand: every duration exactly and 1 µs past it, equal times, one event for two steps, NULLs."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from audiencesync.errors import PreviewError
from audiencesync.sql.compile import Entry, Export, compile_flags, compile_statement
from audiencesync.sql.readings import Readings
from audiencesync.wire import from_api
from tests.sql import brute, cases
from tests.sql.cases import ALL, EVENT, SESSION
from tests.sql.written import body, count, event, named, simple, step, steps, text

Json = dict[str, Any]


@pytest.fixture
def members(tmp_path: Path) -> Any:
    """The members of one audience among rows, in DuckDB; the evaluator that tries everything has to agree."""
    connection = duckdb.connect()

    def found(audience: Json, rows: list[Json], readings: Readings | None = None) -> set[str]:
        cases.load(connection, rows, tmp_path)
        export = Export("duckdb", "events", cases.AS_OF, cases.schema())
        entry = Entry("k", from_api(audience), readings or Readings())
        statement = compile_flags([entry], export)
        assert not statement.refused, statement.refused
        answer = {row[0] for row in connection.execute(statement.sql).fetchall() if row[1]}
        if readings is None:
            assert answer == brute.members(audience, brute.users_of(rows, cases.AS_OF))
        return answer

    return found


def refusal(audience: Json) -> str:
    """Why an audience is refused."""
    export = Export("duckdb", "events", cases.AS_OF, cases.schema())
    statement = compile_statement([Entry("k", from_api(audience))], export)
    assert not statement.sql
    return statement.refused["k"]


A, B, C = ([named(name)] for name in "abc")


@pytest.mark.parametrize("limit", ["constraint", "maximum"])
def test_a_duration_includes_its_end_and_nothing_after_it(members: Any, limit: str) -> None:
    within, longest = ("20s", "") if limit == "constraint" else ("", "20s")
    audience = body(steps(ALL, step(A), step(B, within=within), longest=longest))
    rows = [event(user, "a") for user in ("exact", "late")]
    rows += [event("exact", "b", "2024-03-10 12:00:20"), event("late", "b", "2024-03-10 12:00:20", 1)]
    assert members(audience, rows) == {"exact"}


def test_a_duration_below_a_microsecond_is_rounded_down(members: Any) -> None:
    audience = body(steps(ALL, step(A), step(B, within="0.0000019s")))
    rows = [event("one", "a"), event("one", "b", micros=1), event("two", "a"), event("two", "b", micros=2)]
    assert members(audience, rows) == {"one"}


def test_the_latest_start_counts_not_the_first(members: Any) -> None:
    audience = body(steps(ALL, step(A), step(B, within="20s")))
    times = ("2024-03-10 12:00:00", "2024-03-10 12:00:50")
    rows = [*(event("u", "a", time) for time in times), event("u", "b", "2024-03-10 12:01:00")]
    assert members(audience, rows) == {"u"}


def test_equal_times_are_ordered_by_the_batch_and_then_by_the_name(members: Any) -> None:
    audience = body(steps(ALL, step(A), step(B)))
    rows = [event("forth", "a", order=0), event("forth", "b", order=1)]
    rows += [event("back", "a", order=1), event("back", "b", order=0)]
    rows += [event("name", "a"), event("name", "b")]
    assert members(audience, rows) == {"forth", "name"}


def test_one_event_does_not_satisfy_two_steps(members: Any) -> None:
    audience = body(steps(ALL, step(A), step(A)))
    rows = [event("once", "a"), event("twice", "a", order=0), event("twice", "a", order=1)]
    assert members(audience, rows) == {"twice"}
    assert members(audience, rows, Readings(reuse=True)) == {"once", "twice"}


def test_one_event_may_serve_several_groups_of_one_step(members: Any) -> None:
    both = [text("country", "Peru")]
    audience = body(steps(ALL, step(A, both), step(B)))
    assert members(audience, [event("u", "a", geo={"country": "Peru"}), event("u", "b", order=1)]) == {"u"}


def test_the_very_next_event_is_the_next_of_the_user_or_of_the_session(members: Any) -> None:
    rows = [
        *(event("next", "a", order=0), event("next", "b", order=1)),
        *(event("apart", "a", order=0), event("apart", "c", order=1), event("apart", "b", order=2)),
        *(
            event("other", "a", order=0),
            event("other", "c", order=1, session=2),
            event("other", "b", order=2),
        ),
    ]
    across = body(steps(ALL, step(A), step(B, immediately=True)))
    assert members(across, rows) == {"next"}
    within = body(steps(SESSION, step(A), step(B, immediately=True)))
    assert members(within, rows) == {"next", "other"}


def test_a_step_in_one_session_wants_all_its_groups_there(members: Any) -> None:
    audience = body(steps(ALL, step(A), step(B, C, scope=SESSION)))
    rows = [
        *(event("same", "a"), event("same", "b", order=1, session=2), event("same", "c", order=2, session=2)),
        *(event("two", "a"), event("two", "b", order=1, session=2), event("two", "c", order=2, session=3)),
        *(
            event("none", "a"),
            event("none", "b", order=1, session=None),
            event("none", "c", order=2, session=None),
        ),
        *(event("early", "b"), event("early", "a", order=1), event("early", "c", order=2)),
    ]
    assert members(audience, rows) == {"same"}


def test_where_sessions_interleave_a_maximum_is_refused_or_exact(members: Any) -> None:
    middle = step(B, C, scope=SESSION)
    assert "interleave" in refusal(body(steps(ALL, step(A), middle, step(A, within="5s"), longest="60s")))
    assert "interleave" in refusal(
        body(steps(ALL, step(A), middle, step(A, immediately=True), longest="60s"))
    )
    exact = body(steps(ALL, step(A), middle, step(A), longest="30s"))
    rows = [
        event("u", "b", "2024-03-10 12:00:01", session=1),
        event("u", "a", "2024-03-10 12:00:00", session=1),
        event("u", "a", "2024-03-10 12:00:20", session=2),
        event("u", "b", "2024-03-10 12:00:21", session=2),
        event("u", "c", "2024-03-10 12:00:22", session=2),
        event("u", "c", "2024-03-10 12:00:25", session=1),
        event("u", "a", "2024-03-10 12:00:45", session=1),
    ]
    assert members(exact, rows) == {"u"}


@pytest.mark.parametrize(("day", "inside"), [("2024-03-04", True), ("2024-03-03", False)])
def test_membership_counts_whole_days_up_to_the_as_of_day(members: Any, day: str, inside: bool) -> None:
    rows = [event("u", "a", f"{day} 23:59:59")]
    assert members(body(simple(EVENT, A), days=7), rows) == ({"u"} if inside else set())


def test_events_after_the_as_of_day_do_not_exist(members: Any) -> None:
    rows = [event("u", "a", "2024-03-11 00:00:00")]
    assert members(body(simple(EVENT, A)), rows) == set()


def test_any_include_clause_renews_and_with_the_other_reading_all_have_to(members: Any) -> None:
    audience = body(simple(EVENT, A), simple(EVENT, B), days=2)
    rows = [event("u", "a", "2024-03-01 10:00:00"), event("u", "b")]
    assert members(audience, rows) == {"u"}
    assert members(audience, rows, Readings(renew_all=True)) == set()


def test_a_dimension_is_looked_at_in_the_last_event_and_with_the_other_reading_where_it_is_set(
    members: Any,
) -> None:
    audience = body(simple(ALL, [text("country", "peru")]))
    rows = [event("u", "a", geo={"country": "Peru"}), event("u", "b", order=1)]
    assert members(audience, rows) == set()
    assert members(audience, rows, Readings(last_set=True)) == {"u"}
    ever = body(simple(ALL, [text("country", "peru", atAnyPointInTime=True)]))
    assert members(ever, rows) == {"u"}


def test_not_is_per_event_and_with_the_other_reading_never(members: Any) -> None:
    audience = body(simple(SESSION, A, [{"notExpression": text("country", "Peru")}]))
    rows = [event("u", "a", geo={"country": "Peru"}), event("u", "b", order=1)]
    assert members(audience, rows) == {"u"}
    assert members(audience, rows, Readings(never=True)) == set()


def test_a_null_makes_a_filter_false_and_its_not_true(members: Any) -> None:
    rows = [event("u", "a")]
    assert members(body(simple(EVENT, [text("country", "Peru")])), rows) == set()
    assert members(body(simple(EVENT, [{"notExpression": text("country", "Peru")}])), rows) == {"u"}


def test_a_user_who_bought_again_after_the_exclusion_is_in(members: Any) -> None:
    audience = body(simple(EVENT, A), simple(EVENT, B, kind="EXCLUDE"))
    rows = [event("out", "a", order=0), event("out", "b", "2024-03-10 12:00:01")]
    rows += [event("tie", "a", order=1), event("tie", "b", order=0)]
    rows += [event("back", "b"), event("back", "a", "2024-03-10 12:00:01")]
    assert members(audience, rows) == {"back"}
    forever = {**audience, "exclusionDurationMode": "EXCLUDE_PERMANENTLY"}
    assert members(forever, rows) == set()


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (count("GREATER_THAN", 1, inAnyNDayPeriod=2), set()),
        (count("GREATER_THAN", 1, inAnyNDayPeriod=3), {"u"}),
        (count("GREATER_THAN", 1, inAnyNDayPeriod=2, atAnyPointInTime=True), {"u"}),
        (count("GREATER_THAN", 1), {"u"}),
        (count("EQUAL", 1), set()),
        (count("EQUAL", 1, atAnyPointInTime=True), {"u"}),
        (count("EQUAL", 0, atAnyPointInTime=True), set()),
        (count("LESS_THAN", 2, atAnyPointInTime=True), {"u"}),
    ],
)
def test_events_are_counted_in_days_ever_or_in_some_prefix(
    members: Any, leaf: Json, expected: set[str]
) -> None:
    rows = [event("u", "a", "2024-03-08 01:00:00"), event("u", "a", "2024-03-09 23:00:00")]
    assert members(body(simple(ALL, [named("a", leaf)])), rows) == expected


@pytest.mark.parametrize(
    "words",
    [
        "'; DROP TABLE events; --",
        "\\",
        "\\'",
        "'' OR 1=1",
        "a\nb",
        "`x`",
        '"',
        "%",
        "{0}",
        "{1}",
        "Ünï",
        "",
        "\t",
    ],
)
@pytest.mark.parametrize("where", ["name", "value", "list", "parameter", "regexp", "field"])
def test_hostile_texts_stay_values(members: Any, words: str, where: str) -> None:
    import re

    exact: Json = {"caseSensitive": True}
    found = {
        "name": named(words),
        "value": text("country", words, **exact),
        "list": {
            "dimensionOrMetricFilter": {"fieldName": "country", "inListFilter": {"values": [words], **exact}}
        },
        "parameter": named("n", text("method", words, **exact)),
        "regexp": text("country", re.escape(words), "FULL_REGEXP", **exact),
        "field": text(f"customEvent:{words or 'x'}", "v"),
    }[where]
    rows = [
        event(
            "u",
            words if where == "name" else "n",
            geo={"country": words},
            params={"method": words, words or "x": "v"},
        ),
        event("other", "m", geo={"country": "Peru"}),
    ]
    assert members(body(simple(EVENT, [found])), rows) == {"u"}


@pytest.mark.parametrize("word", ["d", "ts", "u", "o2", "n", "s", "f0", "m0", r"\d+"])
def test_a_word_that_names_a_column_of_ours_stays_a_value(members: Any, word: str) -> None:
    old, peru = "2024-01-01 12:00:00", {"country": "Peru"}
    method = text("method", word, "FULL_REGEXP" if "+" in word else "EXACT")
    value = "12" if "+" in word else word
    rows = [event("u", "b", old, params={"method": value}), event("u", "x", "2024-03-09 12:00:00", geo=peru)]
    ever = simple(EVENT, [named("b", method)])
    assert members(body(ever, simple(EVENT, [text("country", "Peru")]), days=7), rows) == {"u"}
    either = [named("b", method), text("country", "Peru", atAnyPointInTime=True)]
    assert members(body(simple(ALL, either), days=7), rows) == {"u"}
    assert members(body(steps(ALL, step([named("b", method)]), step([named("x")]))), rows) == {"u"}


def test_the_last_event_is_the_last_although_the_propertys_days_went_back(members: Any) -> None:
    audience = body(simple(ALL, [text("country", "Peru")]), days=3)
    rows = [
        event("u", "a", "2024-03-08 12:00:00", geo={"country": "Peru"}),
        event("u", "a", "2024-03-08 13:00:00", event_date="20240306"),
    ]
    assert members(audience, rows) == set()
    assert members(audience, rows[:1]) == {"u"}


def test_where_the_propertys_days_went_back_the_latest_day_counts(members: Any) -> None:
    rows = [
        event("u", "a", "2024-03-08 12:00:00"),
        event("u", "a", "2024-03-08 13:00:00", event_date="20240306"),
    ]
    # The evaluator that tries everything takes the day of the latest time.
    assert members(body(simple(EVENT, A), days=3), rows, Readings()) == {"u"}
    assert members(body(steps(ALL, step(A), step(A)), days=3), rows, Readings()) == set()


@pytest.mark.parametrize(
    "how", [{}, {"inAnyNDayPeriod": 2, "atAnyPointInTime": True}, {"atAnyPointInTime": True}]
)
@pytest.mark.parametrize(
    ("operation", "number", "inside"),
    [
        *(("LESS_THAN", number, True) for number in (1e300, 2.0**63, 2**63 - 1)),
        *(("LESS_THAN", number, False) for number in (-1e300, -(2**63), 0)),
        *(("GREATER_THAN", number, True) for number in (-1e300, -(2**63))),
        *(("GREATER_THAN", number, False) for number in (1e300, 2.0**63, 2**63 - 1)),
        *(("EQUAL", number, False) for number in (1e300, -1e300, 2**63 - 1, -(2**63), 0.5)),
    ],
)
def test_a_count_is_compared_with_any_number(
    members: Any, operation: str, number: float, how: Json, *, inside: bool
) -> None:
    wanted = count(operation, 0, **how)
    value = {"int64Value": str(number)} if isinstance(number, int) else {"doubleValue": number}
    wanted["dimensionOrMetricFilter"]["numericFilter"]["value"] = value
    rows = [event("u", "a"), event("u", "b")]
    for leaf, expected in ((wanted, inside), ({"notExpression": wanted}, not inside)):
        assert members(body(simple(ALL, [named("a", leaf)])), rows) == ({"u"} if expected else set())


def test_a_nul_and_a_lone_surrogate_are_refused() -> None:
    for words in ("a\0b", "\ud800"):
        assert "cannot be compared" in refusal(body(simple(EVENT, [text("country", words)])))


@pytest.mark.parametrize(
    ("clause", "reason"),
    [
        (simple(EVENT, [text("userGender", "female")]), "userGender: Google signals demographics"),
        (simple(EVENT, [text("contry", "x")]), "unknown field 'contry'"),
        (simple(EVENT, [text("sessions", "x")]), "metrics other than eventCount have no documented scope"),
        (simple(SESSION, [named("a", count("EQUAL", 1))]), "eventCount has a documented rule across all"),
        (steps(ALL, step([count("EQUAL", 1)])), "eventCount has a documented rule across all"),
        (steps(EVENT, step(A), step(B)), "a sequence within one event"),
        (
            simple(EVENT, [text("city", "x")]),
            "city needs the column geo.city, which the export",
        ),
        (simple(EVENT, [text("itemBrand", "x")]), "itemBrand needs the column items.item_brand"),
        (simple(EVENT, [text("country", "(", "FULL_REGEXP")]), "is not RE2"),
        (simple(ALL, [named("a", text("eventCount", "x"))]), "eventCount is compared with a number"),
    ],
)
def test_what_cannot_be_exact_is_refused_with_its_reason(clause: Json, reason: str) -> None:
    assert reason in refusal(body(clause))


def test_an_exclusion_without_a_mode_is_refused() -> None:
    audience = body(simple(EVENT, A), simple(EVENT, B, kind="EXCLUDE"))
    del audience["exclusionDurationMode"]
    assert "without exclusionDurationMode" in refusal(audience)


def test_one_refused_audience_does_not_touch_the_others() -> None:
    good, bad = from_api(body(simple(EVENT, A))), from_api(body(simple(EVENT, [text("userGender", "x")])))
    export = Export("duckdb", "events", cases.AS_OF, cases.schema())
    both = compile_statement([Entry("bad", bad), Entry("good", good)], export)
    assert both.sql == compile_statement([Entry("good", good)], export).sql
    assert list(both.refused) == ["bad"]


@pytest.mark.parametrize(
    ("audience", "caveat"),
    [
        (body(simple(EVENT, [text("language", "en")])), "language is approximate"),
        (body(simple(EVENT, [named("a", text("country", "x"))])), "is read as the event parameter 'country'"),
        (
            body(simple(ALL, [text("country", "x", inAnyNDayPeriod=3)])),
            "does to a dimension; it is read as the days in which the last event has to be",
        ),
        (
            body(simple(ALL, [text("country", "x", inAnyNDayPeriod=3, atAnyPointInTime=True)])),
            "inAnyNDayPeriod of country: no document says what it does to a dimension; it is ignored",
        ),
        (
            body(simple(ALL, [named("a", text("method", "x", inAnyNDayPeriod=3))])),
            "inAnyNDayPeriod of method: no document says what it does to a dimension; it is ignored",
        ),
        (
            body(
                simple(EVENT, A),
                simple(ALL, [text("country", "x")], kind="EXCLUDE"),
                mode="EXCLUDE_PERMANENTLY",
            ),
            "is read as: it holds now",
        ),
        (
            body(
                simple(EVENT, A),
                simple(ALL, [named("b", count("EQUAL", 1, atAnyPointInTime=True))], kind="EXCLUDE"),
            ),
            "is read as: it holds now",
        ),
        (body(simple(EVENT, A, kind="EXCLUDE")), "nobody is let in"),
    ],
)
def test_what_is_only_nearly_so_has_a_caveat(audience: Json, caveat: str) -> None:
    schema = cases.schema()
    wider = type(schema)({**schema.columns, "device.language": "text"})
    export = Export("duckdb", "events", cases.AS_OF, wider)
    statement = compile_statement([Entry("k", from_api(audience))], export)
    assert any(caveat in each for each in statement.caveats["k"])


def test_a_day_before_the_first_event_counts_nobody(tmp_path: Path) -> None:
    connection = duckdb.connect()
    cases.load(connection, [event("u", "a")], tmp_path)
    export = Export("duckdb", "events", date(2020, 1, 1), cases.schema())
    statement = compile_statement([Entry("k", from_api(body(simple(EVENT, A))))], export)
    assert connection.execute(statement.sql).fetchall() == [("k", 0)]


def test_a_number_that_is_not_finite_is_refused() -> None:
    from audiencesync.sql.dialect import DUCKDB

    with pytest.raises(PreviewError, match="not finite"):
        DUCKDB.number(float("inf"))
