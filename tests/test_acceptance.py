"""The program as a stranger's script uses it: whole processes, JSON documents, exit codes, odd input."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.conftest import ROOT

ALL = "AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS"
SESSION = "AUDIENCE_FILTER_SCOPE_WITHIN_SAME_SESSION"
SETTINGS: dict[str, Any] = {
    "owner": "acme-web",
    "targets": {"demo": {"property": "1000", "endpoint": "local"}},
}
Json = dict[str, Any]


def program(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "audiencesync", *map(str, arguments)]
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def leaf(field: str, **condition: Any) -> Json:  # JSON
    kind = condition or {"stringFilter": {"matchType": "EXACT", "value": "x"}}
    return {"dimensionOrMetricFilter": {"fieldName": field, **kind}}


def event(name: str, *parameters: Json) -> Json:
    inner = {"eventParameterFilterExpression": {"andGroup": {"filterExpressions": list(parameters)}}}
    return {"eventFilter": {"eventName": name} | (inner if parameters else {})}


def ored(*leaves: Json) -> Json:
    return {"andGroup": {"filterExpressions": [{"orGroup": {"filterExpressions": list(leaves)}}]}}


def clause(expression: Json, kind: str = "INCLUDE", scope: str = ALL) -> Json:
    return {"clauseType": kind, "simpleFilter": {"scope": scope, "filterExpression": expression}}


def sequence(*steps: Json, scope: str = ALL, **more: str) -> Json:
    inner = {"scope": scope, "sequenceSteps": list(steps), **more}
    return {"clauseType": "INCLUDE", "sequenceFilter": inner}


def step(expression: Json, scope: str = ALL, **more: Any) -> Json:  # JSON
    return {"scope": scope, "filterExpression": expression, **more}


def audience(*clauses: Json, **more: Any) -> Json:  # JSON
    return {
        "displayName": "Buyers",
        "description": "Who buys.",
        "membershipDurationDays": 30,
        "filterClauses": list(clauses) or [clause(ored(event("purchase")))],
    } | more


class Workspace:
    """A folder that a stranger wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.put("audiencesync.yaml", SETTINGS)

    def put(self, name: str, data: object) -> Path:
        path = self.folder / name
        text = data if isinstance(data, str | bytes) else yaml.safe_dump(data, sort_keys=False)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return program("-w", self.folder, *arguments)

    def json(self, *arguments: object) -> tuple[int, Json]:
        done = self(*arguments, "--format", "json")
        document: Json = json.loads(done.stdout)
        assert {"formatVersion", "error"} <= document.keys()
        return done.returncode, document

    def rules(self) -> dict[str, list[tuple[str, str]]]:
        """The severities and rules of each file's problems, by the file's name."""
        found: dict[str, list[tuple[str, str]]] = {}
        for problem in self.json("validate")[1]["problems"]:
            name = Path(problem["path"]).name
            found.setdefault(name, []).append((problem["severity"], problem["rule"]))
        return found


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "audiences")


def named(cases: dict[str, Json]) -> dict[str, Json]:
    """The cases as files, each with a displayName of its own."""
    return {
        f"{name}.yaml": case | {"displayName": name} if case.get("displayName") == "Buyers" else case
        for name, case in cases.items()
    }


# ---------------------------------------------------------------- validate: what it takes and what it refuses

COUNT = {"numericFilter": {"operation": "GREATER_THAN", "value": {"int64Value": "3"}}}


def _over_days(days: int, scope: str = ALL) -> dict[str, Json]:
    """A filter with inAnyNDayPeriod at every level where it can stand."""
    one = leaf("eventCount", inAnyNDayPeriod=days, **COUNT)
    inside = event("x", one)
    return {
        "simple": audience(clause(ored(one), scope=scope)),
        "negated": audience(clause(ored({"notExpression": one}), scope=scope)),
        "parameters": audience(clause(ored(inside), scope=scope)),
        "step": audience(sequence(step(ored(one), scope=scope))),
        "step-parameters": audience(sequence(step(ored(inside), scope=scope))),
        "sequence": audience(sequence(step(ored(one)), scope=scope)),
    }


def test_both_sides_of_every_bound_at_every_level(workspace: Workspace) -> None:
    good = {f"days60-{name}": case for name, case in _over_days(60).items()}
    good |= {"last540": audience(membershipDurationDays=540)}
    bad = {f"days61-{name}": case for name, case in _over_days(61).items()}
    bad |= {"last541": audience(membershipDurationDays=541)}
    scoped = {f"session-{name}": case for name, case in _over_days(7, SESSION).items()}
    for name, case in named(good | bad | scoped).items():
        workspace.put(name, case)
    expected = {f"{name}.yaml": [("error", "out-of-range")] for name in bad}
    expected |= {f"{name}.yaml": [("error", "in-any-n-day-period-scope")] for name in scoped}
    assert workspace.rules() == expected


def test_one_mistake_is_one_message(workspace: Workspace) -> None:
    mode = {"exclusionDurationMode": "EXCLUDE_PERMANENTLY"}
    excluded = [clause(ored(event("a"))), clause(ored(event("b")), "EXCLUDE")]
    renamed = audience(*excluded, **mode)
    renamed["filterClausess"] = renamed.pop("filterClauses")
    lacking = audience(*excluded, description="They did not buy.", **mode)
    del lacking["filterClauses"]
    both = {"int64Value": "1", "doubleValue": None}
    cases: dict[str, tuple[Json, str]] = {
        "bare-leaf": (audience(clause(leaf("country"))), "nesting"),
        "bare-event": (audience(clause(event("purchase"))), "nesting"),
        "bare-or": (audience(clause({"orGroup": {"filterExpressions": [leaf("city")]}})), "nesting"),
        "flat-and": (
            audience(clause({"andGroup": {"filterExpressions": [leaf("country"), leaf("city")]}})),
            "nesting",
        ),
        "not-event": (audience(clause(ored({"notExpression": event("a")}))), "nesting"),
        "null-beside": (audience(clause(ored(event("a"))) | {"sequenceFilter": None}), "empty-value"),
        "null-leaf": (audience(clause(ored(leaf("city") | {"eventFilter": None}))), "empty-value"),
        "null-number": (
            audience(clause(ored(leaf("eventCount", numericFilter={"operation": "EQUAL", "value": both})))),
            "empty-value",
        ),
        "flat-clause": (
            audience({"clauseType": "INCLUDE", "scope": ALL, "filterExpression": ored(event("a"))}),
            "nesting",
        ),
        "renamed-clauses": (renamed, "unknown-key"),
        "lacking-clauses": (lacking, "missing-key"),
        "renamed-mode": (audience(*excluded, exclusionDurationMod="EXCLUDE_PERMANENTLY"), "unknown-key"),
        "public-name": (
            audience(
                clause(
                    ored(
                        {
                            "dimensionOrMetricFilter": {
                                "dimensionOrMetricName": "country",
                                "stringFilter": {"matchType": "EXACT", "value": "x"},
                            }
                        }
                    )
                )
            ),
            "unknown-key",
        ),
        "output-only": (audience(createTime="2024-01-01T00:00:00Z"), "output-only"),
    }
    for name, case in named({name: case for name, (case, _) in cases.items()}).items():
        workspace.put(name, case)
    assert workspace.rules() == {f"{name}.yaml": [("error", rule)] for name, (_, rule) in cases.items()}


@pytest.mark.parametrize(
    ("written", "way"),
    [
        ("00501", '- "00501"'),
        ("1.10", '- "1.10"'),
        ("0x1F", '- "0x1F"'),
        ("True", '- "True"'),
    ],
)
def test_help_to_quote_says_what_the_file_says(workspace: Workspace, written: str, way: str) -> None:
    text = yaml.safe_dump(audience(clause(ored(leaf("city", inListFilter={"values": ["HERE"]})))))
    workspace.put("a.yaml", text.replace("HERE", written))
    (problem,) = workspace.json("validate")[1]["problems"]
    assert problem["help"].endswith(way)
    workspace.put("a.yaml", text.replace("HERE", f'"{written}"'))
    assert workspace.json("validate")[0] == 0


def test_the_way_out_of_a_number_holds(workspace: Workspace) -> None:
    steps = (step(ored(event("a"))), step(ored(event("b")), constraintDuration=1800))
    workspace.put("a.yaml", audience(sequence(*steps)))
    half = {"operation": "EQUAL", "value": {"int64Value": 3.5}}
    workspace.put("b.yaml", audience(clause(ored(leaf("eventCount", numericFilter=half))), displayName="B"))
    helps = [problem["help"] for problem in workspace.json("validate")[1]["problems"]]
    assert helps == [
        'write constraintDuration: "1800s"',
        "write doubleValue: 3.5 for a number with a fraction",
    ]


@pytest.mark.parametrize(
    "form",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
        lambda text: f"%YAML 1.2\n---\n{text}...\n".encode(),
        lambda text: json.dumps(yaml.safe_load(text)).encode(),
        lambda text: json.dumps(yaml.safe_load(text), indent="\t").encode(),
    ],
    ids=["crlf", "bom", "bom-crlf", "directive", "json", "json-tabs"],
)
def test_a_file_in_any_dress_is_the_same_file(workspace: Workspace, form: Callable[[str], bytes]) -> None:
    workspace.put("a.yaml", form(yaml.safe_dump(audience(), sort_keys=False)))
    assert workspace.json("validate")[0] == 0
    workspace.put("a.yaml", form(yaml.safe_dump(audience(membershipDurationDays=541), sort_keys=False)))
    assert workspace.rules() == {"a.yaml": [("error", "out-of-range")]}


NULLS: dict[str, Json] = {
    "plain": audience(),
    "trigger-empty": audience(eventTrigger={}),
    "trigger-null": audience(eventTrigger=None, exclusionDurationMode=None, manage=None),
    "manage-nulls": audience(
        manage=dict.fromkeys(("contact", "labels", "reviewBy", "preventArchive", "adopt", "targets"))
    ),
    "leaf-nulls": audience(
        clause(
            ored(
                leaf(
                    "newVsReturning",
                    atAnyPointInTime=None,
                    inAnyNDayPeriod=None,
                    stringFilter={"matchType": "EXACT", "value": "new", "caseSensitive": None},
                )
            )
        )
    ),
    "no-description": audience(description=""),
    "longest": audience(membershipDurationDays=-1),
    "as-returned": audience(
        clause(
            ored(
                event(
                    "x",
                    {
                        "orGroup": {
                            "filterExpressions": [
                                leaf(
                                    "p",
                                    atAnyPointInTime=True,
                                    inListFilter={"values": ["a"], "caseSensitive": False},
                                )
                            ]
                        }
                    },
                )
            )
        )
    ),
}


def test_the_published_schema_takes_what_the_validator_takes(workspace: Workspace) -> None:
    schema = json.loads((ROOT / "schemas" / "audience.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for name, case in named(NULLS).items():
        workspace.put(name, case)
        jsonschema.Draft202012Validator(schema).validate(case)
    assert {entry for entries in workspace.rules().values() for entry in entries} <= {
        ("warning", "membership-minimum")
    }


def test_the_settings_schema_takes_nulls_too(workspace: Workspace) -> None:
    schema = json.loads((ROOT / "schemas" / "workspace.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    optional = dict.fromkeys(("events", "limits", "exports", "growingio", "defaultTarget", "policy"))
    target = dict.fromkeys(("endpoint", "credentials", "impersonate", "events", "limits"))
    data = SETTINGS | optional | {"targets": {"demo": {"property": "1000", **target}}}
    jsonschema.Draft202012Validator(schema).validate(data)
    assert not jsonschema.Draft202012Validator(schema).is_valid(data | {"events": {}})
    workspace.put("audiencesync.yaml", data)
    assert workspace.json("validate")[0] == 0


def test_files_and_folders_outside_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(json.dumps(audience(membershipDurationDays=541)))
    (tmp_path / "list.json").write_text(json.dumps({"audiences": [audience(), audience()]}))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.yml").write_text(yaml.safe_dump(audience(displayName="A", zzz=1)))
    done = program("validate", "body.json", "list.json", "folder", "--format", "json", cwd=tmp_path)
    document = json.loads(done.stdout)
    found = [(each["path"], each["rule"]) for each in document["problems"]]
    assert found == [
        ("body.json", "out-of-range"),
        (str(Path("folder", "a.yml")), "unknown-key"),
        ("list.json", "wrong-type"),
    ]
    assert (done.returncode, document["summary"]["files"]) == (1, 3)


def test_github_and_sarif_are_one_line_each_and_ascii(workspace: Workspace) -> None:
    workspace.put("a.yaml", audience(**{"x%0A::error::y\n::stop-commands::z\u2028": 1}))
    done = workspace("validate", "--format", "github")
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("::error ")
    done = workspace("validate", "--format", "sarif")
    assert done.stdout.isascii()
    (result,) = json.loads(done.stdout)["runs"][0]["results"]
    assert result["ruleId"] == "unknown-key"


# ---------------------------------------------------------------- JSON documents and exit codes

WHOLE = {
    "plan": {"target", "property", "digest", "actions", "unmanaged", "summary"},
    "apply": {"outcomes", "summary"},
    "validate": {"problems", "summary"},
    "preview": {"asOf", "engine", "previews"},
    "drift": {"drift", "summary"},
    "export run": {"exports"},
    "export list": {"items"},
}


@pytest.mark.parametrize("command", WHOLE)
def test_wrong_arguments_are_answered_in_json_too(command: str, tmp_path: Path) -> None:
    done = program(*command.split(), "--format=json", "--no-such-option", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert (done.returncode, document["error"]["code"]) == (1, "usage")
    assert WHOLE[command] | {"formatVersion"} <= document.keys()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["validate", "plan", "apply --yes", "drift", "preview", "export run"])
def test_no_workspace_is_answered_in_json(command: str, tmp_path: Path) -> None:
    done = program(*command.split(), "--format", "json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert (done.returncode, document["error"]["code"]) == (1, "usage")
    assert WHOLE[command.removesuffix(" --yes")] <= document.keys()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_answer_is_said(workspace: Workspace) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-m", "audiencesync", "-w", str(workspace.folder), "validate"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "error: the answer cannot be written: No space left on device\n",
    )  # fmt: skip


# ---------------------------------------------------------------- plan and apply

ACTION = {"verb", "key", "displayName", "name", "changes", "updateMask", "blocked"}


def test_a_life_of_an_audience(workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    for name in ("a", "b", "c"):
        workspace.put(f"{name}.yaml", audience(displayName=name.upper()))
    code, plan = workspace.json("plan", "--out", out)
    assert (code, json.loads(out.read_text())) == (0, plan)
    assert [action["key"] for action in plan["actions"]] == ["a", "b", "c"]
    assert all(action.keys() >= ACTION for action in plan["actions"])
    code, done = workspace.json("apply", out, "--yes")
    assert (code, done["summary"]["done"]) == (0, 3)
    code, stale = workspace.json("apply", out, "--yes")
    assert (code, stale["error"]["code"], stale["outcomes"]) == (4, "stale-plan", [])

    kept = workspace.json("plan")[1]
    assert kept["summary"] == {"keep": 3, "create": 0, "patch": 0, "replace": 0, "archive": 0, "adopt": 0}
    workspace.put("a.yaml", audience(displayName="A", description="New."))
    workspace.put("b.yaml", audience(displayName="B", membershipDurationDays=540))
    (workspace.folder / "c.yaml").unlink()
    plan = workspace.json("plan")[1]
    changes = {action["key"]: action for action in plan["actions"]}
    assert {key: action["verb"] for key, action in changes.items()} == {
        "a": "patch", "b": "replace", "c": "archive",
    }  # fmt: skip
    assert changes["a"]["updateMask"] == ["description"]
    assert changes["b"]["changes"] == [
        {"path": "membershipDurationDays", "before": 30, "after": 540, "immutable": True}
    ]
    assert workspace("plan", "--detailed-exitcode").returncode == 2
    code, done = workspace.json("apply", "--yes")
    assert (code, {each["key"]: each["status"] for each in done["outcomes"]}) == (
        3, {"a": "done", "b": "blocked", "c": "blocked"},
    )  # fmt: skip
    assert workspace("apply", "--yes", "--allow-replace", "--allow-archive").returncode == 0
    workspace.put("b.yaml", audience(displayName="B", membershipDurationDays=-1))
    assert workspace("plan", "--detailed-exitcode").returncode == 0


def test_the_same_meaning_has_the_same_digest(workspace: Workspace) -> None:
    clauses = [clause(ored(event("a"), leaf("city"))), clause(ored(event("b")))]
    workspace.put("a.yaml", audience(*clauses))
    workspace.put("b.yaml", audience(displayName="B"))
    digest = workspace.json("plan")[1]["digest"]
    turned: list[Json] = copy.deepcopy(clauses[::-1])
    turned[1]["simpleFilter"]["filterExpression"]["andGroup"]["filterExpressions"][0]["orGroup"][
        "filterExpressions"
    ].reverse()
    other = audience(*turned, eventTrigger={}, exclusionDurationMode=None, description="Who buys.  \n")
    (workspace.folder / "a.yaml").unlink()
    (workspace.folder / "deep").mkdir()
    workspace.put("deep/a.yml", json.dumps(dict(reversed(other.items())), indent=3))
    assert workspace.json("plan")[1]["digest"] == digest


def test_an_error_beats_a_block(workspace: Workspace) -> None:
    """The files allow more than the property takes, and the freeing archive was not allowed."""
    workspace.put("audiencesync.yaml", SETTINGS | {"limits": {"audiences": 200}})
    for number in range(98):
        workspace.put(f"a{number:02}.yaml", audience(displayName=f"A {number}"))
    assert workspace("apply", "--yes").returncode == 0
    (workspace.folder / "a00.yaml").unlink()
    workspace.put("b.yaml", audience(displayName="B"))
    code, done = workspace.json("apply", "--yes")
    assert {each["key"]: each["status"] for each in done["outcomes"]} == {"a00": "blocked", "b": "failed"}
    assert code == 1
