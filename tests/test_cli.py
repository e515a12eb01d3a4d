"""The command line as its users and their scripts know it: answers, streams, exit codes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from audiencesync.cli.frame import _COMMANDS, run
from tests.conftest import ROOT

BUYERS = """\
displayName: Buyers
description: Who buys.
membershipDurationDays: 30
filterClauses:
  - clauseType: INCLUDE
    simpleFilter:
      scope: AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS
      filterExpression:
        andGroup:
          filterExpressions:
            - orGroup:
                filterExpressions:
                  - eventFilter: {eventName: purchase}
"""
SETTINGS = """\
owner: acme-web
targets:
  demo: {property: "1000", endpoint: local}
"""


class Shell:
    """A workspace and the command line in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        code = run(["-w", str(self.folder), *arguments])
        self.out, self.err = self.capsys.readouterr()
        return code

    def json(self, *arguments: str) -> Any:  # JSON
        self.code = self(*arguments, "--format", "json")
        return json.loads(self.out)

    def write(self, name: str, text: str = BUYERS) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(text)
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / f"{name}.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def apply(self, *more: str) -> int:
        return self("apply", "--yes", *more)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    made = Shell(tmp_path / "audiences", capsys)
    made.folder.mkdir()
    made.write("audiencesync", SETTINGS)
    made.write("buyers")
    return made


# ---------------------------------------------------------------- the whole program


def test_help_says_each_command_as_the_command_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, (module, sentence) in _COMMANDS.items():
        command = getattr(import_module(f"audiencesync.cli.{module}"), f"{name}_command")
        assert (command.help or "").split("\n\n")[0].replace("\n", " ") == sentence
        assert sentence in shown


@pytest.mark.parametrize(
    "arguments", [["nope"], ["plan", "--nope"], ["plan", "--format", "nope"], ["schema", "nope"]]
)
def test_wrong_usage_exits_1(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 1
    assert "error: " in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert re.search(r"\d+\.\d+\.\d+", capsys.readouterr().out)


def test_no_workspace_is_said_with_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-w", str(tmp_path), "plan"]) == 1
    assert "audiencesync init" in capsys.readouterr().err


def test_global_options_stand_before_or_after_the_command(shell: Shell) -> None:
    assert run(["plan", "-w", str(shell.folder), "-t", "demo", "--no-color"]) == 0


def test_an_unknown_target_is_named(shell: Shell) -> None:
    assert shell("-t", "nope", "plan") == 1
    assert "'nope'" in shell.err
    assert "demo" in shell.err


def test_a_mistake_of_our_own_is_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiencesync.compare", lambda *_args, **_more: 1 / 0)
    found = shell.json("plan")
    assert shell.code == 1
    assert found["error"]["code"] == "error"
    assert "Traceback" not in shell.err


# ---------------------------------------------------------------- validate


def test_a_clean_workspace_validates(shell: Shell) -> None:
    assert shell("validate") == 0
    assert shell.json("validate") == {
        "formatVersion": "1.0",
        "error": None,
        "problems": [],
        "summary": {"files": 2, "errors": 0, "warnings": 0},
    }


def test_problems_have_places_in_every_form(shell: Shell) -> None:
    shell.edit("buyers", "30", "541")
    path = str(shell.folder / "buyers.yaml")
    assert shell("validate") == 1
    assert f"{path}:3:25: " in shell.out
    assert "[out-of-range]" in shell.out
    (problem,) = shell.json("validate")["problems"]
    assert (problem["path"], problem["line"], problem["column"], problem["severity"]) == (
        path,
        3,
        25,
        "error",
    )
    assert shell("validate", "--format", "github") == 1
    assert "::error " in shell.out
    assert "line=3,col=25" in shell.out
    assert shell("validate", "--format", "sarif") == 1
    assert json.loads(shell.out)["version"] == "2.1.0"


def test_warnings_fail_only_where_strictness_is_asked_for(shell: Shell) -> None:
    shell.edit("buyers", "Who buys.", "Who did not buy.")
    assert shell("validate") == 0
    assert "warning" in shell.out
    assert shell("validate", "--strict") == 1
    assert shell("plan") == 0
    assert "1 warning" in shell.err


def test_a_path_narrows_the_report(shell: Shell) -> None:
    shell.write("other", BUYERS.replace("30", "541").replace("Buyers", "Others"))
    assert shell("validate", str(shell.folder / "buyers.yaml")) == 0
    assert shell("validate", str(shell.folder / "other.yaml")) == 1
    assert shell("validate", str(shell.folder)) == 1
    assert shell("validate", str(shell.folder / "absent.yaml")) == 1
    assert "absent.yaml" in shell.err


def test_a_file_needs_no_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps(yaml.safe_load(BUYERS)))
    assert run(["validate", "a.json"]) == 0
    capsys.readouterr()


def test_every_rule_is_listed(shell: Shell) -> None:
    assert shell("validate", "--rules") == 0
    assert "out-of-range" in shell.out
    assert "duplicate-key" in shell.out


@pytest.mark.parametrize("which", ["audience", "workspace", "plan"])
def test_the_schemas_are_those_that_are_published(shell: Shell, which: str) -> None:
    assert shell("schema", which) == 0
    assert shell.out == (ROOT / "schemas" / f"{which}.schema.json").read_text()


def test_explain_says_an_audience_in_words(shell: Shell) -> None:
    assert shell("explain", "buyers") == 0
    assert "purchase" in shell.out
    assert "INCLUDE" not in shell.out
    assert shell("explain", "nope") == 1


# ---------------------------------------------------------------- plan and apply


def test_the_first_plan_creates_and_the_last_one_is_empty(shell: Shell) -> None:
    found = shell.json("plan")
    assert shell.code == 0
    assert found["summary"] == {"keep": 0, "create": 1, "patch": 0, "replace": 0, "archive": 0, "adopt": 0}
    assert [each["displayName"] for each in found["unmanaged"]] == ["All Users", "Purchasers"]
    assert shell("plan", "--detailed-exitcode") == 2
    done = shell.json("apply", "--yes")
    assert shell.code == 0
    assert done["outcomes"][0] | {"name": "x"} == {
        "verb": "create", "key": "buyers", "name": "x", "status": "done", "error": None,
    }  # fmt: skip
    assert shell("plan", "--detailed-exitcode") == 0
    assert shell.json("apply", "--yes")["outcomes"] == []


def test_plan_writes_nothing_and_takes_keys(shell: Shell) -> None:
    shell.write("others", BUYERS.replace("Buyers", "Others"))
    assert [action["key"] for action in shell.json("plan", "others")["actions"]] == ["others"]
    assert shell("plan", "nope") == 1


def test_a_patch_names_exactly_the_changed_fields(shell: Shell) -> None:
    shell.apply()
    shell.edit("buyers", "displayName: Buyers", "displayName: Payers")
    (action,) = shell.json("plan")["actions"]
    assert (action["verb"], action["updateMask"]) == ("patch", ["displayName"])
    assert action["changes"] == [
        {"path": "displayName", "before": "Buyers", "after": "Payers", "immutable": False}
    ]
    assert shell.apply() == 0


def test_a_replacement_says_what_it_costs_and_needs_its_flag(shell: Shell) -> None:
    shell.apply()
    shell.edit("buyers", "30", "60")
    assert shell("plan", "--detailed-exitcode") == 2
    assert "new id" in shell.out
    found = shell.json("apply", "--yes")
    assert shell.code == 3
    assert found["outcomes"][0]["status"] == "blocked"
    assert found["outcomes"][0]["error"]["code"] == "needs-allow-replace"
    assert shell.apply("--allow-replace") == 0
    assert shell("plan", "--detailed-exitcode") == 0


def test_a_deleted_file_is_archived_only_where_that_is_allowed(shell: Shell) -> None:
    shell.write("others", BUYERS.replace("Buyers", "Others"))
    shell.apply()
    (shell.folder / "others.yaml").unlink()
    assert shell.apply() == 3
    assert shell.apply("--allow-archive") == 0
    assert [action["key"] for action in shell.json("plan")["actions"]] == ["buyers"]


def test_an_empty_workspace_archives_nothing_unless_it_is_meant(shell: Shell) -> None:
    shell.apply()
    (shell.folder / "buyers.yaml").unlink()
    assert shell("plan") == 1
    assert shell.apply("--allow-archive") == 1
    assert shell("validate") == 0
    assert shell.apply("--allow-archive", "--archive-everything", "acme-web") == 0


def test_without_a_terminal_yes_is_needed(shell: Shell) -> None:
    assert shell("apply") == 1
    assert "--yes" in shell.err
    found = shell.json("apply")
    assert found["error"]["code"] == "usage"
    assert found["outcomes"] == []


def test_a_plan_file_is_carried_out_once(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    assert shell("plan", "--out", str(path)) == 0
    assert json.loads(path.read_text())["digest"] in shell.out
    assert shell("apply", str(path), "--yes") == 0
    assert shell("apply", str(path), "--yes") == 4
    assert "buyers" in shell.err


def test_a_plan_file_is_stale_when_files_or_live_state_moved(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    shell.apply()
    shell.edit("buyers", "Buyers", "Payers")
    shell("plan", "--out", str(path))
    shell.edit("buyers", "Payers", "Purchasers of today")
    found = shell.json("apply", str(path), "--yes")
    assert (shell.code, found["error"]["code"], found["outcomes"]) == (4, "stale-plan", [])
    shell.edit("buyers", "Purchasers of today", "Buyers")
    assert shell("apply", str(path), "--yes") == 4


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"formatVersion": "2.0"}', "\0"])
def test_a_broken_plan_file_is_an_error(shell: Shell, tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    assert shell("apply", str(path), "--yes") == 1
    assert "Traceback" not in shell.err


def test_an_edited_plan_file_is_refused(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    shell("plan", "--out", str(path))
    path.write_text(path.read_text().replace('"create"', '"archive"', 1))
    assert shell("apply", str(path), "--yes") == 1


def test_expect_takes_the_reviewed_digest_alone(shell: Shell) -> None:
    digest = shell.json("plan")["digest"]
    assert shell("apply", "--yes", "--expect", "0" * 64) == 4
    assert shell("apply", "--yes", "--expect", digest) == 0


def test_only_leaves_the_other_keys_alone(shell: Shell, tmp_path: Path) -> None:
    shell.write("others", BUYERS.replace("Buyers", "Others"))
    assert shell.apply("--only", "others") == 0
    path = tmp_path / "plan.json"
    shell("plan", "--out", str(path))
    shell.write("more", BUYERS.replace("Buyers", "More"))
    shell("plan", "--out", str(path))
    assert shell("apply", str(path), "--yes", "--only", "more") == 0
    verbs = {action["key"]: action["verb"] for action in shell.json("plan")["actions"]}
    assert verbs == {"buyers": "create", "more": "keep", "others": "keep"}


def test_a_plan_of_a_broken_workspace_shows_the_problems(shell: Shell) -> None:
    shell.edit("buyers", "30", "541")
    found = shell.json("plan")
    assert (shell.code, found["error"]["code"]) == (1, "invalid-files")
    assert found["actions"] == []
    assert "buyers.yaml:3:25" in shell.err


def test_forget_strips_the_mark(shell: Shell) -> None:
    shell.apply()
    assert shell("forget", "buyers") == 0
    assert shell("plan") == 3
    assert "name-taken" in shell.out
    assert shell("forget", "buyers") == 1


def test_the_log_says_who_did_what_without_secrets(shell: Shell, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    assert shell.apply("--log", str(log)) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["method"] for line in lines if "method" in line].count("POST") == 1
    assert log.stat().st_mode & 0o777 == 0o600
    assert shell("plan", "--log", str(tmp_path / "no" / "such.log")) == 1


def test_a_plan_that_cannot_be_written_leaves_nothing(shell: Shell, tmp_path: Path) -> None:
    assert shell("plan", "--out", str(tmp_path / "no" / "plan.json")) == 1
    assert "cannot be written" in shell.err


def test_markdown_and_html_are_whole(shell: Shell) -> None:
    assert shell("plan", "--format", "markdown") == 0
    assert "buyers" in shell.out
    assert shell("plan", "--format", "html") == 0
    assert shell.out.lstrip().startswith("<!doctype html>")


# ---------------------------------------------------------------- as processes


def start(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "audiencesync", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **more
    )


def test_the_emulator_keeps_its_data_over_a_kill(shell: Shell, tmp_path: Path) -> None:
    data = tmp_path / "data"

    def serve() -> tuple[subprocess.Popen[str], str]:
        process = start("-w", str(shell.folder), "emulator", "--port", "0", "--data", str(data))
        assert process.stderr
        line = process.stderr.readline()
        return process, re.search(r"http://\S+", line)[0]  # type: ignore[index]

    process, address = serve()
    shell.write(
        "audiencesync",
        SETTINGS + f'  emulator: {{property: "1000", endpoint: "{address}", credentials: anonymous}}\n',
    )
    shell.edit("audiencesync", "targets:", "defaultTarget: emulator\ntargets:")
    assert shell.apply() == 0
    process.kill()
    process.communicate()
    process, again = serve()
    shell.edit("audiencesync", address, again)
    assert shell("plan", "--detailed-exitcode") == 0
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors


def test_a_closed_pipe_is_no_traceback(shell: Shell) -> None:
    process = start("-w", str(shell.folder), "schema")
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process.stderr:
        assert "Traceback" not in process.stderr.read()
    process.wait(timeout=20)


def test_the_shipped_workspace_is_planned_from_anywhere(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "audiences", tmp_path / "audiences", ignore=shutil.ignore_patterns(".audiencesync")
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "audiencesync", "plan", "--detailed-exitcode"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "to create" in done.stdout
    assert time.monotonic() - began < 60


# ---------------------------------------------------------------- previews


@pytest.fixture
def events(tmp_path: Path) -> str:
    """Three users, two of whom bought, in the columns that every export has."""
    import duckdb

    path = tmp_path / "events.parquet"
    duckdb.execute(
        "COPY (SELECT '20260101' AS event_date, 1767225600000000 + i AS event_timestamp, "
        "CASE WHEN i < 2 THEN 'purchase' ELSE 'page_view' END AS event_name, 'u' || i AS user_pseudo_id "
        f"FROM range(3) t(i)) TO '{path}' (FORMAT parquet)"
    )
    return str(path)


def test_a_preview_counts_the_users_of_the_files(shell: Shell, events: str) -> None:
    found = shell.json("preview", "--events", events)
    assert shell.code == 0
    assert (found["asOf"], found["engine"]) == ("2026-01-01", "duckdb")
    (entry,) = found["previews"]
    assert (entry["key"], entry["before"], entry["after"], entry["gained"], entry["lost"]) == (
        "buyers", None, 2, None, None,
    )  # fmt: skip
    assert shell("preview", "--events", events) == 0
    assert "2 users" in shell.out
    assert "not GA4's own membership" in shell.out


def test_a_preview_compares_with_what_ga4_holds(shell: Shell, events: str) -> None:
    shell.apply()
    shell.edit("buyers", "purchase", "page_view")
    (entry,) = shell.json("preview", "--events", events, "--base", "live")["previews"]
    assert (entry["before"], entry["after"], entry["gained"], entry["lost"]) == (2, 1, 1, 2)
    assert shell("plan", "--preview") == 1
    shell.edit("audiencesync", "targets:", f"events: {{parquet: {events}}}\ntargets:")
    assert shell("plan", "--preview") == 0
    assert "2 -> 1 user (+1, -2)" in shell.out


def test_a_plan_whose_users_cannot_be_counted_is_shown_all_the_same(shell: Shell, tmp_path: Path) -> None:
    (shell.folder / "audiencesync.yaml").write_text(
        (shell.folder / "audiencesync.yaml").read_text() + "events: {parquet: nowhere.parquet}\n"
    )
    plan = tmp_path / "plan.json"
    found = shell.json("plan", "--preview", "--out", str(plan))
    assert (shell.code, found["error"]["code"]) == (1, "preview")
    assert [action["key"] for action in found["actions"]] == ["buyers"]
    assert json.loads(plan.read_text())["digest"] == found["digest"]
    assert shell("plan", "--preview") == 1
    assert "Plan: 1 to create" in shell.out
    assert "error: no Parquet file at" in shell.err
    shell.edit("audiencesync", "events: {parquet: nowhere.parquet}\n", "")
    assert shell("plan", "--preview") == 1
    assert "Plan: 1 to create" in shell.out
    assert "error: no event export: set `events` in the settings" in shell.err


def test_a_preview_compares_with_a_revision(shell: Shell, events: str) -> None:
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        own = ["git", "-C", str(shell.folder), "-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run([*own, *arguments], check=True)
    shell.edit("buyers", "purchase", "page_view")
    shell.write("new", BUYERS.replace("Buyers", "New"))
    found = shell.json("preview", "--events", events, "--base", "HEAD")["previews"]
    assert [(each["key"], each["before"], each["after"]) for each in found] == [
        ("buyers", 2, 1),
        ("new", 0, 2),
    ]
    assert shell("preview", "--events", events, "--base", "nope") == 1


def commit(shell: Shell) -> None:
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "more"]):
        own = ["git", "-C", str(shell.folder), "-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run([*own, *arguments], check=True)


def rows(previews: Any) -> list[tuple[str, int | None, int | None]]:
    return [(each["key"], each["before"], each["after"]) for each in previews]


def test_a_file_invalid_at_a_revision_is_told_under_todays_key(shell: Shell, events: str) -> None:
    shell.write("buyers", BUYERS.replace("30", "541") + "manage: {key: payers}\n")
    shell.write("old", BUYERS.replace("Buyers", "Old").replace("30", "541"))
    commit(shell)
    shell.edit("buyers", "541", "30")
    (shell.folder / "old.yaml").unlink()
    shell.write("new", BUYERS.replace("Buyers", "New") + "manage: {previousKeys: [old]}\n")
    found = shell.json("preview", "--events", events, "--base", "HEAD")["previews"]
    assert rows(found) == [("new", None, 2), ("payers", None, 2)]
    assert [each["gained"] for each in found] == [None, None]
    assert "old.yaml is invalid at HEAD" in " ".join(found[0]["caveats"])
    assert "buyers.yaml is invalid at HEAD" in " ".join(found[1]["caveats"])


def test_hidden_folders_of_a_revision_hold_no_audiences(shell: Shell, events: str) -> None:
    hidden = shell.folder / ".github" / "workflows"
    hidden.mkdir(parents=True)
    (hidden / "audiences.yml").write_text("on: push\n")
    (hidden / "ghost.yaml").write_text(BUYERS.replace("Buyers", "Ghost"))
    commit(shell)
    found = shell.json("preview", "--events", events, "--base", "HEAD")["previews"]
    assert rows(found) == [("buyers", 2, 2)]


def test_a_preview_pairs_with_ga4_as_the_plan_does(shell: Shell, events: str) -> None:
    shell.edit("audiencesync", "targets:", f"events: {{parquet: {events}}}\ntargets:")
    shell.write("other", BUYERS.replace("Buyers", "Other"))
    shell.write("gone", BUYERS.replace("Buyers", "Gone"))
    shell.apply()
    actions = {each["key"]: each for each in shell.json("plan")["actions"]}
    number = actions["other"]["name"].rpartition("/")[2]
    assert shell("forget", "other") == 0
    for name in ("buyers", "other", "gone"):
        (shell.folder / f"{name}.yaml").unlink()
    seen = BUYERS.replace("purchase", "page_view")
    shell.write("payers", seen + "manage: {previousKeys: [buyers]}\n")
    shell.write("taken", seen.replace("Buyers", "Other") + f'manage: {{adopt: "{number}"}}\n')
    shell.write("absent", seen.replace("Buyers", "Absent") + 'manage: {adopt: "1"}\n')
    found = shell.json("preview", "--base", "live")["previews"]
    assert rows(found) == [("absent", None, 1), ("gone", 2, None), ("payers", 2, 1), ("taken", 2, 1)]
    assert "which the property does not have" in " ".join(found[0]["caveats"])
    planned = {each["key"]: each["preview"] for each in shell.json("plan", "--preview")["actions"]}
    for each in found:
        assert {name: planned[each["key"]][name] for name in ("before", "after", "gained", "lost")} == {
            name: each[name] for name in ("before", "after", "gained", "lost")
        }


def test_a_preview_against_ga4_needs_no_file(shell: Shell, events: str) -> None:
    shell.apply()
    (shell.folder / "buyers.yaml").unlink()
    found = shell.json("preview", "--events", events, "--base", "live")["previews"]
    assert rows(found) == [("buyers", 2, None)]


def test_calibration_says_where_the_live_definition_is_another(shell: Shell, events: str) -> None:
    more = f"events: {{parquet: {events}}}\nexports: {{all: {{audience: buyers, to: out/all.csv}}}}\ntargets:"
    shell.edit("audiencesync", "targets:", more)
    shell.apply()
    assert shell("export", "run") == 0
    shell.edit("buyers", "Buyers", "Payers")
    (beside,) = shell.json("preview", "--calibrate")["calibration"]
    assert (beside["exported"], beside["note"]) == (2, None)
    shell.edit("buyers", "purchase", "page_view")
    (beside,) = shell.json("preview", "--calibrate")["calibration"]
    assert (beside["estimate"], beside["exported"]) == (1, 2)
    assert beside["note"] == "the live definition differs from the file"
    assert shell("preview", "--calibrate") == 0
    assert "buyers: the live definition differs from the file" in shell.out


def test_nothing_is_counted_where_ga4_cannot_be_asked_for_its_exports(shell: Shell, events: str) -> None:
    shell.edit("audiencesync", "endpoint: local", 'endpoint: "http://127.0.0.1:9", credentials: anonymous')
    assert shell("preview", "--events", events, "--calibrate") == 1
    assert "counting" not in shell.err


def test_a_preview_shows_the_range_over_the_readings(shell: Shell, events: str) -> None:
    shell.edit("buyers", "purchase", "page_view")
    without = shell.json("preview", "--events", events)["previews"]
    (found,) = shell.json("preview", "--events", events, "--band")["previews"]
    assert [each["band"] for each in without] == [None]
    assert found["band"] == [found["after"]] * 2
    assert shell("preview", "--events", events, "--band") == 0
    assert "over the undocumented readings)" in shell.out


def test_a_duckdb_file_of_the_command_line_has_the_table_of_the_settings(shell: Shell, events: str) -> None:
    import duckdb

    path = shell.folder / "raw.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE raw AS SELECT * FROM '{events}'")
    shell.edit("audiencesync", "targets:", "events: {duckdb: other.duckdb, table: raw}\ntargets:")
    assert rows(shell.json("preview", "--events", str(path))["previews"]) == [("buyers", None, 2)]


def test_a_key_of_another_target_says_where_it_belongs(shell: Shell, events: str) -> None:
    shell.edit("audiencesync", "targets:", "defaultTarget: demo\ntargets:")
    shell.edit("audiencesync", "local}", 'local}\n  shop: {property: "1001", endpoint: local}')
    shell.write("x", BUYERS.replace("Buyers", "X") + "manage: {targets: [shop]}\n")
    for more in ([], ["--base", "live"], ["--sql", "duckdb"]):
        assert shell("preview", "x", "--events", events, *more) == 1
        assert "'x' does not belong to target demo" in shell.err
        assert "shop" in shell.err
        assert "no audience has the key" not in shell.err
    assert shell("plan", "x") == 0
    assert "'x' does not belong to target demo" in shell.err
    assert shell("plan", "buyers") == 0
    assert not shell.err


@pytest.mark.parametrize("key", ["events/20260101.parquet", "a.parquet", "events/x"])
def test_a_path_as_a_key_hints_at_the_quotes(shell: Shell, events: str, key: str) -> None:
    assert shell("preview", "--events", events, key) == 1
    assert "--events 'events/*.parquet'" in shell.err
    assert shell("preview", "--events", events, "nope") == 1
    assert "quote" not in shell.err
    assert "parquet" not in shell.err


@pytest.mark.parametrize(
    "more", [["--base", "live"], ["--band"], ["--calibrate"], ["--format", "json"], ["--format", "markdown"]]
)
def test_what_a_printed_statement_cannot_heed_is_refused(shell: Shell, events: str, more: list[str]) -> None:
    assert shell("preview", "--events", events, "--sql", "duckdb", *more) == 1
    assert f"{more[0]} cannot stand beside it" in shell.err
    assert "SELECT" not in shell.out


def test_no_audience_gives_no_statement_and_says_why(shell: Shell, events: str) -> None:
    (shell.folder / "buyers.yaml").unlink()
    assert shell("preview", "--events", events, "--sql", "duckdb") == 1
    assert "no audience file belongs to target demo" in shell.err


def test_a_preview_prints_its_statement(shell: Shell, events: str) -> None:
    import duckdb

    assert shell("preview", "--events", events, "--sql", "duckdb", "--as-of", "2026-01-01") == 0
    assert duckdb.execute(shell.out).fetchall() == [("buyers", 2)]
    assert shell("preview", "--sql", "bigquery") == 1
    shell.edit("audiencesync", "targets:", "events: {bigquery: project.analytics_1}\ntargets:")
    assert shell("preview", "--sql", "bigquery") == 0
    assert "`project.analytics_1.events_*`" in shell.out
    assert "_TABLE_SUFFIX" in shell.out


@pytest.mark.parametrize("day", ["2021-13-01", "20211201", "2021-W01-1", "yesterday"])
def test_a_day_that_is_none_is_refused(shell: Shell, day: str) -> None:
    for command in (["preview"], ["catalog", "--out", "site"]):
        assert shell(*command, "--as-of", day) == 1
        assert f"Invalid value for '--as-of': '{day}' is no day of the form YYYY-MM-DD" in shell.err


@pytest.mark.parametrize("arguments", [["--as-of", "yesterday"], ["--events", "absent.parquet"], []])
def test_a_preview_without_its_needs_is_an_error(shell: Shell, arguments: list[str]) -> None:
    assert shell("preview", *arguments) == 1
    assert "Traceback" not in shell.err


def test_a_workspace_that_is_there_gets_demo_events_alone(shell: Shell) -> None:
    before = sorted(shell.folder.iterdir())
    assert shell("init", "--demo", str(shell.folder)) == 0
    assert sorted(shell.folder.iterdir()) == sorted([*before, shell.folder / "events"])
    shell.edit("audiencesync", "targets:", 'events: {parquet: "events/*.parquet"}\ntargets:')
    (entry,) = shell.json("preview")["previews"]
    assert entry["after"] > 0
    shell.edit("audiencesync", "targets:", "exports: {all: {audience: buyers, to: out/all.csv}}\ntargets:")
    shell.apply()
    (done,) = shell.json("export", "run")["exports"]
    assert done["status"] == "done"
    assert done["rows"] == entry["after"]
    assert len((shell.folder / "out" / "all.csv").read_text().splitlines()) == entry["after"] + 1
    (beside,) = shell.json("preview", "--calibrate")["calibration"]
    assert (beside["estimate"], beside["exported"], beside["ratio"]) == (entry["after"], entry["after"], 1.0)
    assert shell("preview", "--calibrate") == 0
    assert "1.00" in shell.out
