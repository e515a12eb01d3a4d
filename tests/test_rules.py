"""Each rule by its examples and its golden pair, both sides of each bound, no error for what is valid."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiencesync import validate, workspace
from audiencesync.fields import LEAVES, Scope
from audiencesync.model import Audience
from audiencesync.rules import RULES, SETTINGS_RULES, WORKSPACE_RULES, RuleDoc
from audiencesync.rules.naming import AUTOMATIC_EVENTS
from audiencesync.schema import SCHEMA_RULES
from audiencesync.source import READING_RULES, Problem, Severity, parse
from audiencesync.wire import to_api
from tests.conftest import GOLDEN
from tests.strategies import audiences
from tests.test_schema import ALL, body, clause, event, field, group, ored, sequence

EVENT, SESSION = Scope.SAME_EVENT.value, Scope.SAME_SESSION.value
OWNER = {"owner": "acme-web", "targets": {"demo": {"property": "1000", "endpoint": "local"}}}
SETTINGS = "audiencesync.yaml"


def problems_of(files: dict[str, Any]) -> list[Problem]:
    """What a workspace of these files (data or bytes by name) gives."""
    raw = {
        name: data if isinstance(data, bytes) else json.dumps(data, indent=1).encode()
        for name, data in files.items()
    }
    return list(workspace.assemble(Path(), raw).problems)


def found(data: object, settings_: dict[str, Any] | None = None) -> list[str]:
    files = {"a.yaml": data} | ({SETTINGS: OWNER | settings_} if settings_ is not None else {})
    return [problem.rule for problem in problems_of(files)]


# Examples in docstrings are cut down to what they show; this puts the rest around them.


def full(example: dict[str, Any]) -> dict[str, Any]:
    """A whole audience around an example: a leaf, groups, steps, clauses or keys of the audience."""
    own = {name: value for name, value in example.items() if name in _OF_AUDIENCE}
    inside = {name: value for name, value in example.items() if name not in own}
    found_ = {"displayName": "Example", "description": "An example.", "membershipDurationDays": 30} | own
    if "filterClauses" in own:
        found_["filterClauses"] = [_clause(one) for one in own["filterClauses"]]
    else:
        found_["filterClauses"] = [
            _clause({"clauseType": "INCLUDE"} | (inside or {"eventFilter": {"eventName": "login"}}))
        ]
    return found_


_OF_AUDIENCE = {
    "displayName",
    "dispayName",
    "description",
    "membershipDurationDays",
    "eventTrigger",
    "name",
} | {*("exclusionDurationMode", "filterClauses", "manage")}


def _clause(example: dict[str, Any]) -> dict[str, Any]:
    kind = example.get("clauseType")
    scope = example.get("scope", ALL)
    if "sequenceSteps" in example:
        steps = [{"scope": ALL, **_expression(step)} for step in example["sequenceSteps"]]
        rest = {name: value for name, value in example.items() if name == "sequenceMaximumDuration"}
        inner: dict[str, Any] = {"scope": scope, "sequenceSteps": steps} | rest
        return {"clauseType": kind, "sequenceFilter": inner}
    return {"clauseType": kind, "simpleFilter": {"scope": scope, **_expression(example, keep=())}}


def _expression(example: dict[str, Any], keep: tuple[str, ...] = ("constraintDuration",)) -> dict[str, Any]:
    found_ = {name: value for name, value in example.items() if name in keep}
    if "filterExpression" in example:
        return found_ | {"filterExpression": _listed(example["filterExpression"])}
    if "orGroup" in example:
        return found_ | {"filterExpression": group("andGroup", _listed({"orGroup": example["orGroup"]}))}
    leaf = {name: value for name, value in example.items() if name in LEAVES}
    return found_ | {"filterExpression": ored(leaf)}


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: {"filterExpressions": _listed(one)}
            if name.endswith("Group") and isinstance(one, list)
            else _listed(one)
            for name, one in value.items()
        }
    return [_listed(one) for one in value] if isinstance(value, list) else value


@cache
def ids(kind: str) -> frozenset[str]:
    return frozenset(rule.id for rule in {"settings": SETTINGS_RULES, "files": WORKSPACE_RULES}[kind])


def files_of(doc: RuleDoc, text: str) -> dict[str, Any]:
    """A workspace around an example of a rule."""
    document = parse("example.yaml", text.encode())
    assert document.problems == (), text
    example: dict[str, Any] = document.data
    if doc.id in ids("settings"):
        return {SETTINGS: OWNER | example}
    settings_ = example.pop("settings", {})
    if doc.id in ids("files"):
        return {SETTINGS: OWNER | settings_} | {name: full(one) for name, one in example.items()}
    return {SETTINGS: OWNER | settings_, "a.yaml": full(example)}


DOCS = {doc.id: doc for doc in validate.all_rules()}
WITH_EXAMPLES = [doc for doc in DOCS.values() if doc.passing]


@pytest.mark.parametrize("doc", WITH_EXAMPLES, ids=lambda doc: doc.id)
def test_the_passing_example_passes(doc: RuleDoc) -> None:
    assert [str(one) for one in problems_of(files_of(doc, doc.passing))] == []


@pytest.mark.parametrize("doc", WITH_EXAMPLES, ids=lambda doc: doc.id)
def test_the_failing_example_breaks_exactly_its_rule(doc: RuleDoc) -> None:
    files = files_of(doc, doc.failing)
    if doc.id in {"unknown-key", "missing-key"} and "dispayName" in files["a.yaml"]:
        del files["a.yaml"]["displayName"]
    (problem,) = problems_of(files)
    assert (problem.rule, problem.severity) == (doc.id, doc.severity)


def test_each_rule_has_a_summary_and_each_of_ours_has_examples() -> None:
    assert len(DOCS) == len(validate.all_rules())
    assert all(doc.summary.endswith(".") for doc in DOCS.values())
    own = {rule.id for rule in (*RULES, *SETTINGS_RULES, *WORKSPACE_RULES)} | {
        rule[0] for rule in SCHEMA_RULES
    }
    assert {doc.id for doc in WITH_EXAMPLES} == own
    assert {name for name, _ in READING_RULES} <= DOCS.keys()


# Golden pairs: tests/golden/rules/<rule>/<case>.yaml, or a folder of files, and <case>.out beside it.

PAIRS = sorted((GOLDEN / "rules").glob("*/*"))
CASES = [path for path in PAIRS if path.suffix != ".out"]
# A file of 1 MiB is not committed, and the others are about the disk: tests of their own make them.
WITHOUT_PAIR = {"file-size", "unreadable-file", "outside-link"}


def case_files(path: Path) -> dict[str, bytes]:
    paths = sorted(path.iterdir()) if path.is_dir() else [path]
    return {one.name: one.read_bytes() for one in paths}


def printed(problems: list[Problem]) -> Iterator[str]:
    for problem in problems:
        yield f"{problem.location}: {problem.severity}: {problem.message} [{problem.rule}]"
        yield from (f"    {line}" for line in problem.help.splitlines())


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_golden_pair(path: Path, golden: Callable[[Path, str], None]) -> None:
    problems = problems_of(dict(case_files(path)))
    golden(path.with_suffix(".out"), "\n".join(printed(problems)) + "\n")
    if path.parent.name == "too-many-problems":
        problems = [problem for problem in problems if problem.rule != "duplicate-key"]
    assert [problem.rule for problem in problems] == [path.parent.name], "one mistake, one message"


def test_every_rule_has_a_golden_pair_and_every_pair_a_rule() -> None:
    assert {path.parent.name for path in CASES} == DOCS.keys() - WITHOUT_PAIR
    assert {path.with_suffix("") for path in PAIRS if path.suffix == ".out"} == {
        one.with_suffix("") for one in CASES
    }


def counted(operation: str, value: str) -> dict[str, Any]:
    inner = {"operation": operation, "value": {"int64Value": value}}
    return body(clause(ored(field("eventCount", numericFilter=inner))), displayName="Never bought")


def count(**more: object) -> dict[str, Any]:
    return field(
        "eventCount", numericFilter={"operation": "GREATER_THAN", "value": {"int64Value": "1"}}, **more
    )


WINDOWS = {
    "atAnyPointInTime": (count(atAnyPointInTime=True), "at-any-point-in-time-scope"),
    "inAnyNDayPeriod": (count(inAnyNDayPeriod=7), "in-any-n-day-period-scope"),
}


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("wrap", ["plain", "negated", "parameter", "one-leaf orGroup"])
@pytest.mark.parametrize(
    ("outer", "inner", "allowed"),
    [
        (ALL, "", True),
        (SESSION, "", False),
        (EVENT, "", False),
        (ALL, ALL, True),
        (ALL, SESSION, False),
        (ALL, EVENT, False),
        (SESSION, ALL, False),
        (EVENT, ALL, False),
        (SESSION, EVENT, False),
    ],
)
def test_a_window_needs_all_sessions_at_every_level(
    name: str, wrap: str, outer: str, inner: str, allowed: bool
) -> None:
    leaf, rule = WINDOWS[name]
    wrapped = {
        "plain": leaf,
        "negated": {"notExpression": leaf},
        "parameter": event(leaf),
        "one-leaf orGroup": event(group("orGroup", leaf)),
    }[wrap]
    one = clause(ored(wrapped), scope=outer)
    if inner:
        one = sequence(ored(wrapped), scope=inner)
        one["sequenceFilter"]["scope"] = outer
    assert found(body(one)) == ([] if allowed else [rule])


def test_an_unset_window_is_allowed_anywhere() -> None:
    for more in ({"inAnyNDayPeriod": 0}, {"atAnyPointInTime": False}, {"inAnyNDayPeriod": None}):
        assert found(body(clause(ored(count(**more)), scope=EVENT))) == []


@pytest.mark.parametrize(
    ("data", "rules"),
    [
        (body(membershipDurationDays=540), []),
        (body(membershipDurationDays=1), []),
        (body(membershipDurationDays=0), ["membership-minimum"]),
        (body(membershipDurationDays=-1), ["membership-minimum"]),
        (body(membershipDurationDays=-2), ["membership-minimum"]),
        (body(membershipDurationDays=541), ["out-of-range"]),
        (body(exclusionDurationMode="EXCLUDE_PERMANENTLY"), ["mode-without-exclude"]),
        (body(clause(ored(event())), clause(ored(event()), kind="EXCLUDE")), ["exclude-without-mode"]),
        (body(displayName="Never bought"), ["negation-without-exclusion"]),
        (body(displayName="Didn\u2019t buy"), ["negation-without-exclusion"]),
        (body(description="users without a purchase"), ["negation-without-exclusion"]),
        (body(displayName="Nevertheless"), []),
        (body(clause(ored({"notExpression": field()})), displayName="Never in Canada"), []),
        (
            body(displayName="Never", exclusionDurationMode="FOREVER"),
            ["negation-without-exclusion", "unknown-value"],
        ),
        (counted("EQUAL", "0"), []),
        (counted("LESS_THAN", "1"), []),
        (counted("EQUAL", "1"), ["negation-without-exclusion"]),
        (body(clause(ored(field("contry")))), ["near-field-name"]),
        (body(clause(ored(field("page_location")))), ["near-field-name"]),
        (body(clause(ored(field("customevent:plan")))), ["near-field-name"]),
        (body(clause(ored(field("countryId")))), []),
        (body(clause(ored(field("somethingElse")))), []),
        (body(clause(ored(event(field("contry"))))), []),
        (body(clause(ored(field("a"))), clause(ored(field("b")))), []),
        (body(clause(ored(count())), clause(ored(count()))), []),
        (body(clause(ored(event(name="view_item"))), clause(ored(event(name="purchase")))), []),
        (body(clause(ored(event(), event()))), ["same-leaf-twice"]),
        (body(clause(ored(count(atAnyPointInTime=False), count()))), ["same-leaf-twice"]),
    ],
)  # fmt: skip
def test_a_warning_comes_where_it_should(data: object, rules: list[str]) -> None:
    assert found(data) == rules


def between(low: object, high: object) -> dict[str, Any]:
    return field("eventCount", betweenFilter={"fromValue": low, "toValue": high})


@pytest.mark.parametrize(
    ("low", "high", "ok"),
    [
        ({"int64Value": "1"}, {"int64Value": "1"}, True),
        ({"int64Value": "2"}, {"int64Value": 1}, False),
        ({"doubleValue": 1.5}, {"int64Value": "1"}, False),
        ({"int64Value": "-1"}, {"doubleValue": -0.5}, True),
        ({"int64Value": "9"}, {"int64Value": "10"}, True),
    ],
)
def test_a_range_runs_upwards(low: object, high: object, ok: bool) -> None:
    for leaf in (between(low, high), event(between(low, high)), {"notExpression": between(low, high)}):
        assert found(body(clause(ored(leaf)))) == ([] if ok else ["between-reversed"])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("joined", None),
        ("j" * 40, None),
        ("j" * 41, "event-name-rules"),
        ("größe_1", None),
        ("1st", "event-name-rules"),
        ("_x", "event-name-rules"),
        ("a b", "event-name-rules"),
        ("a-b", "event-name-rules"),
        ("ga_x", "event-name-rules"),
        ("google_x", "event-name-rules"),
        ("firebase_x", "event-name-rules"),
        ("gax", None),
        *[(name, "automatic-event-name") for name in sorted(AUTOMATIC_EVENTS)],
    ],
)
def test_the_name_of_a_trigger(name: str, rule: str | None) -> None:
    trigger = {"eventName": name, "logCondition": "AUDIENCE_JOINED"}
    assert found(body(eventTrigger=trigger)) == ([rule] if rule else [])


@pytest.mark.parametrize(
    ("pattern", "ok"),
    [
        ("/shop/.*", True),
        ("(?i)abc", True),
        ("(?P<a>b)", True),
        (r"\d{3}", True),
        ("[a", False),
        ("(a", False),
        ("a(?=b)", False),
        ("(?<!a)b", False),
        (r"(a)\1", False),
        ("a{1001}", False),
        ("*", False),
        ("x\u0000", True),
        ("", True),
    ],
)
def test_a_regular_expression_is_one_of_re2(pattern: str, ok: bool) -> None:
    pytest.importorskip("re2")
    leaf = field("pagePath", stringFilter={"matchType": "FULL_REGEXP", "value": pattern})
    for place in (leaf, {"notExpression": leaf}, event(leaf)):
        assert found(body(clause(ored(place)))) == ([] if ok else ["full-regexp"])
    exact = field("pagePath", stringFilter={"matchType": "EXACT", "value": pattern})
    assert found(body(clause(ored(exact)))) == []


@pytest.mark.parametrize(("first", "second", "maximum", "ok"), [
    (None, "60s", "60s", True),
    (None, "60.000000001s", "60s", False),
    (None, "61s", None, True),
])  # fmt: skip
def test_a_constraint_within_the_sequence(first: object, second: object, maximum: object, ok: bool) -> None:
    one = sequence(ored(event()), ored(event()), sequenceMaximumDuration=maximum)
    steps = one["sequenceFilter"]["sequenceSteps"]
    steps[0]["constraintDuration"], steps[1]["constraintDuration"] = first, second
    assert found(body(one)) == ([] if ok else ["constraint-above-maximum"])


def test_a_description_and_its_mark_fit_the_limit() -> None:
    limit = {"limits": {"description": 100}}
    rest = 100 - len("\n[audiencesync acme-web:a g10 @999999999999 abcd]")
    assert found(body(description="x" * rest), limit) == []
    assert found(body(description="x" * (rest + 1)), limit) == ["description-length"]
    assert found(body(description="x" * rest + "  \n"), limit) == []
    assert found(body(description="x" * 5000), {}) == []


def test_rules_rest_where_the_schema_found_something() -> None:
    broken = body(clause(ored(event())), clause(ored(event()), kind="EXCLDE"), displayName="Never bought")
    assert found(broken) == ["unknown-value"]
    assert found(body(clause(ored(count(atAnyPointInTime="yes")), scope=EVENT))) == ["wrong-type"]
    assert found(body(clause(ored(count(atAnyPointInTime=True)), scope="EVENT"))) == ["unknown-value"]


def test_what_was_cut_out_is_no_repetition() -> None:
    alike = [{"eventFiler": {"eventName": "x"}}, {"eventFiler": {"eventName": "y"}}]
    assert found(body(clause(ored(*alike)))) == ["unknown-key", "unknown-key"]


def test_targets_keep_names_apart() -> None:
    two = {**OWNER["targets"], "live": {"property": "1"}}  # type: ignore[dict-item]
    apart = {
        SETTINGS: OWNER | {"targets": two},
        "a.yaml": body(manage={"targets": ["demo"]}),
        "b.yaml": body(manage={"targets": ["live"]}),
    }
    assert problems_of(apart) == []
    apart["b.yaml"] = body(manage={"targets": ["demo"]})
    assert [problem.rule for problem in problems_of(apart)] == ["same-display-name"]


def test_adoptions_of_one_target_and_of_all_meet() -> None:
    two = {**OWNER["targets"], "live": {"property": "1"}}  # type: ignore[dict-item]
    files = {
        SETTINGS: OWNER | {"targets": two},
        "a.yaml": body(manage={"adopt": {"demo": "1"}}),
        "b.yaml": body(manage={"adopt": {"live": "1"}}, displayName="B"),
    }
    assert problems_of(files) == []
    for adopt in ({"demo": 1}, "1"):
        files["b.yaml"] = body(manage={"adopt": adopt}, displayName="B")
        assert [problem.rule for problem in problems_of(files)] == ["same-adoption"]


def test_broken_settings_do_not_hide_what_is_wrong_with_audiences() -> None:
    files = {SETTINGS: {"owner": "Acme"}, "a.yaml": body(membershipDurationDays=541)}
    assert {problem.rule for problem in problems_of(files)} == {"bad-format", "missing-key", "out-of-range"}


@settings(max_examples=60)
@given(audiences())
def test_a_valid_audience_has_no_error(audience: Audience) -> None:
    document = parse("a.yaml", json.dumps(to_api(audience)).encode())
    problems = validate.Checker().add(document)
    assert [one for one in problems if one.severity is Severity.ERROR] == []
    assert all(one.rule in DOCS and "\n" not in one.message for one in problems)


@settings(max_examples=60)
@given(st.data())
def test_rules_bear_whatever_the_schema_refuses(data: st.DataObject) -> None:
    from tests.test_schema import mutated

    document = parse("a.yaml", json.dumps(data.draw(mutated())).encode())
    problems = validate.Checker().add(document)
    places = [(one.location, one.rule, one.message) for one in problems]
    assert len(places) == len(set(places))
