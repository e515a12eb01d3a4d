"""What a reviewer sees, as a stranger gets it: words, the short form, the schema, policy, hooks."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.conftest import ROOT

SETTINGS = """\
owner: acme-web
defaultTarget: demo
targets:
  demo: {property: "1000", endpoint: local}
"""
HEAD = {"displayName": "Readers", "description": "Who reads.", "membershipDurationDays": 41}
SCOPE = "AUDIENCE_FILTER_SCOPE_"
STRANGE = (
    "event",
    "not",
    "in",
    "null",
    "1.5",
    "~",
    "a: b",
    "#x",
    "=x",
    "name\nline",
    "国家",
    'say "hi"',
    "<<",
)
"""Field names that YAML, or the short form, could take for something else."""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "audiencesync", "-w", str(folder), *arguments],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "audiences"
    found.mkdir()
    (found / "audiencesync.yaml").write_text(SETTINGS)
    return found


def problems(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(folder, "validate", "--format", "json").stdout)["problems"]
    return found


def all_of(*leaves: object) -> dict[str, Any]:
    groups = [{"orGroup": {"filterExpressions": [leaf]}} for leaf in leaves]
    return {"andGroup": {"filterExpressions": groups}}


def compared(name: str, value: str, match: str = "EXACT") -> dict[str, Any]:
    return {
        "dimensionOrMetricFilter": {"fieldName": name, "stringFilter": {"matchType": match, "value": value}}
    }


def strange_audience() -> dict[str, Any]:
    counted = {
        "fieldName": "eventCount",
        "inAnyNDayPeriod": 17,
        "numericFilter": {"operation": "GREATER_THAN", "value": {"int64Value": "9007199254740993"}},
    }
    parameters = {"andGroup": {"filterExpressions": [{"dimensionOrMetricFilter": counted}]}}
    event = {"eventFilter": {"eventName": "purchase", "eventParameterFilterExpression": parameters}}
    leaves = [compared(name, f"value {number}") for number, name in enumerate(STRANGE)]
    leaves += [compared("city", text) for text in ("", "true", "12", " lead", "null", "{x}")]
    negated = {"notExpression": compared("country", "CA", "BEGINS_WITH")}
    steps = [
        {
            "scope": f"{SCOPE}WITHIN_SAME_EVENT",
            "filterExpression": all_of({"eventFilter": {"eventName": "a"}}),
        },
        {
            "scope": f"{SCOPE}WITHIN_SAME_SESSION",
            "constraintDuration": "93784.5s",
            "immediatelyFollows": True,
            "filterExpression": all_of(negated),
        },
    ]
    return {
        **HEAD,
        "exclusionDurationMode": "EXCLUDE_PERMANENTLY",
        "eventTrigger": {"eventName": "joined_it", "logCondition": "AUDIENCE_JOINED"},
        "filterClauses": [
            {
                "clauseType": "INCLUDE",
                "simpleFilter": {
                    "scope": f"{SCOPE}ACROSS_ALL_SESSIONS",
                    "filterExpression": all_of(event, *leaves),
                },
            },
            {
                "clauseType": "EXCLUDE",
                "sequenceFilter": {"scope": f"{SCOPE}WITHIN_SAME_SESSION", "sequenceSteps": steps},
            },
        ],
    }


def test_strange_names_and_values_survive_the_short_form_and_stand_in_the_words(folder: Path) -> None:
    path = folder / "readers.yaml"
    path.write_text(json.dumps(strange_audience()))
    words = run(folder, "explain").stdout
    flat = " ".join(words.split())
    said = [*STRANGE, *(f"“value {number}”" for number in range(len(STRANGE)))]
    said += ["“”", "“true”", "“12”", "“null”", "“{x}”", "9007199254740993 times", "17 days", "41 days"]
    said += ["does not begin with “CA”", "1 day 2 hours 3 minutes 4.5 seconds", "as the very next event"]
    said += ["joined_it", "never comes back", "Who reads."]
    shown = [text.replace("\n", "\\n") for text in said]
    assert [text for text in shown if text not in flat] == []
    assert not re.search(r"AUDIENCE_|WITHIN_|ACROSS_|_WITH\b|GREATER|EXACT|[{}]", words.replace("“{x}”", ""))

    assert run(folder, "fmt", "--style", "short").returncode == 0
    short = path.read_text()
    assert "filterClauses" not in short
    assert run(folder, "explain").stdout == words
    assert problems(folder) == []
    assert run(folder, "fmt", "--style", "full").returncode == 0
    assert run(folder, "explain").stdout == words
    again = yaml.safe_load(path.read_text().replace("93784.500s", "93784.5s"))
    assert again == strange_audience()


def test_the_way_out_of_a_mistake_is_in_the_words_of_its_form(folder: Path) -> None:
    text = "include:\n  - scope: sameSession\n    sessions: {greaterThan: 3, inAnyNDayPeriod: 7}\n"
    (folder / "readers.yaml").write_text(yaml.safe_dump(HEAD) + text)
    (found,) = problems(folder)
    assert (found["line"], found["column"], found["rule"]) == (6, 32, "in-any-n-day-period-scope")
    assert "the scope of the clause is sameSession" in found["message"]
    assert "write scope: allSessions" in found["help"]
    (folder / "readers.yaml").write_text(
        yaml.safe_dump(HEAD) + text.replace("scope: sameSession", "scope: allSessions")
    )
    assert problems(folder) == []


COUNTRY = [{"country": "CA"}]
FULL = strange_audience()["filterClauses"][:1]


CONDITIONS: tuple[tuple[dict[str, Any], bool], ...] = (
    ({"include": COUNTRY, "filterClauses": None, "exclude": None}, True),
    ({"include": None, "filterClauses": FULL}, True),
    ({"include": [{"country": "CA", "scope": None}], "eventTrigger": None, "manage": None}, True),
    ({"include": [{"event": "a", "where": None}], "eventTrigger": {}}, True),
    ({"include": [{"sequence": {"within": None, "steps": [{"event": "a", "within": None}]}}]}, True),
    ({"include": None}, False),
    ({"filterClauses": None}, False),
    ({"include": COUNTRY, "filterClauses": FULL}, False),
    ({"include": [{"country": None}]}, False),
)
"""Conditions in either form, and whether they may stand so."""


def test_the_published_schema_takes_and_refuses_what_the_program_does(folder: Path) -> None:
    schema = Draft202012Validator(json.loads((ROOT / "schemas" / "audience.schema.json").read_text()))
    for number, (conditions, _) in enumerate(CONDITIONS):
        body = {**HEAD, **conditions, "displayName": f"Readers {number}"}
        (folder / f"a{number}.yaml").write_text(json.dumps(body))
    refused = [Path(each["path"]).stem for each in problems(folder) if each["severity"] == "error"]
    expected = [f"a{number}" for number, (_, valid) in enumerate(CONDITIONS) if not valid]
    assert refused == expected
    assert [schema.is_valid({**HEAD, **conditions}) for conditions, _ in CONDITIONS] == [
        valid for _, valid in CONDITIONS
    ]


def test_a_breach_of_policy_has_its_place(folder: Path) -> None:
    (folder / "audiencesync.yaml").write_text(
        SETTINGS + "policy: {require: [reviewBy], bannedFields: ['customUser:email*'],"
        " bannedValues: ['[^@ ]+@[^@ ]+'], membershipDays: {ads: {maximum: 30}}, displayName: '[A-Z]+'}\n"
    )
    (folder / "readers.yaml").write_text(
        "displayName: Readers\ndescription: d\nmembershipDurationDays: 41\ninclude:\n"
        '  - not: {"customUser:email_hash": x}\n  - event: a\n    where: {page: "a@b.c"}\n'
        "manage: {labels: [ads]}\n"
    )
    assert [(each["line"], each["column"], each["rule"]) for each in problems(folder)] == [
        (1, 14, "policy-display-name"),
        (3, 25, "policy-membership"),
        (5, 11, "policy-banned-field"),
        (7, 19, "policy-banned-value"),
        (8, 1, "policy-require"),
    ]


def test_the_hooks_run_as_pre_commit_would(folder: Path) -> None:
    """A hook that changes files makes pre-commit stop; the settings are passed along with the audiences."""
    (folder / "readers.yaml").write_text(json.dumps({**HEAD, "include": COUNTRY}))
    names = ["audiences/audiencesync.yaml", "audiences/readers.yaml"]
    hooks = {each["id"]: each for each in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    for _ in range(2):
        for hook in hooks.values():
            assert all(re.search(hook["files"], name) for name in names)
            program, *arguments = shlex.split(hook["entry"])
            assert program == "audiencesync"
            passed = names if hook.get("pass_filenames", True) else []
            done = subprocess.run(
                [sys.executable, "-m", program, *arguments, *passed],
                cwd=folder.parent,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    assert (folder / "readers.yaml").read_text().startswith("displayName: Readers\n")
