"""The GitHub Action as the platform runs it, from the pull request to drift, on loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.forge import BOT, REPOSITORY, Platform, serving
from tests.test_cli import BUYERS, start

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
TOKEN = "bot"

SETTINGS = """\
owner: acme-web
defaultTarget: shop
targets:
  shop: {{property: "1000", endpoint: "{address}", credentials: anonymous}}
"""


# ---------------------------------------------------------------- a small runner


def value_of(expression: str, contexts: Mapping[str, Any]) -> str:
    """What an expression of ours comes to: a literal, or a name in dotted form; unknown names are empty."""
    expression = expression.strip()
    if literal := re.fullmatch(r"'([^']*)'", expression):
        return literal[1]
    assert re.fullmatch(r"[a-z_]+(\.[a-z_-]+)+", expression), f"the runner cannot evaluate {expression!r}"
    found: Any = contexts
    for part in expression.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return "" if found is None else str(found)


def holds(condition: str, contexts: Mapping[str, Any]) -> bool:
    """Whether all terms of a condition hold; ours are equalities joined by &&."""
    for term in condition.split("&&"):
        left, sign, right = re.split(r"\s(==|!=)\s", term)
        if (value_of(left, contexts) == value_of(right, contexts)) is not (sign == "=="):
            return False
    return True


def filled(text: str, contexts: Mapping[str, Any]) -> str:
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: value_of(found[1], contexts), text)


@dataclass
class Ran:
    """One run of the action: its exit code, what it printed and wrote, its outputs, which steps ran."""

    code: int = 0
    said: str = ""
    summary: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)


class Runner:
    """Runs the composite's bash steps in a checkout, as the platform does; `uses` steps are passed over."""

    def __init__(self, folder: Path, checkout: Path, platform: Platform) -> None:
        self.folder, self.checkout, self.platform = folder, checkout, platform
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.installed = folder / "installed.txt"
        real = f"'{sys.executable}'"
        self._program("audiencesync", f'PYTHONPATH="{ROOT}" exec {real} -P -m audiencesync "$@"')
        self._program(
            "python",
            f'if [[ "$*" == "-I -m pip"* ]]; then echo "$*" >"{self.installed}"\nelse exec {real} "$@"; fi',
        )

    def _program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)

    def __call__(self, event: str, payload: Mapping[str, Any], *, sha: str = "", **inputs: str) -> Ran:
        given = {name: str(entry.get("default", "")) for name, entry in ACTION["inputs"].items()}
        github = {"event_name": event, "event": payload, "token": TOKEN, "action_path": str(ROOT)}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        given = {name: filled(value, {"github": github}) for name, value in given.items()}
        contexts: dict[str, Any] = {"inputs": given, "github": github, "steps": {}}
        ran = Ran()
        event_file = self.folder / "event.json"
        event_file.write_text(json.dumps(payload))
        for step in STEPS:
            if "uses" in step or not holds(step.get("if", "'' == ''"), contexts):
                continue
            ran.steps.append(step["name"])
            self._step(step, contexts, ran, {"GITHUB_EVENT_PATH": str(event_file), "GITHUB_SHA": sha})
            if ran.code:
                break
        ran.outputs = {name: filled(entry["value"], contexts) for name, entry in ACTION["outputs"].items()}
        return ran

    def _step(
        self, step: dict[str, Any], contexts: dict[str, Any], ran: Ran, more: Mapping[str, str]
    ) -> None:
        script, output, summary = (self.folder / name for name in ("step.sh", "output", "summary"))
        script.write_text(step["run"])
        output.write_text("")
        summary.write_text("")
        environment = {
            **os.environ,
            **more,
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": contexts["github"]["event_name"],
            "GITHUB_ACTOR": "ann",
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_API_URL": self.platform.url,
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
            "RUNNER_TEMP": str(self.folder),
            **{name: filled(str(value), contexts) for name, value in step.get("env", {}).items()},
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.checkout, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        ran.code = done.returncode
        ran.said += done.stdout + done.stderr
        ran.summary += summary.read_text()
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        contexts["steps"][step.get("id", step["name"])] = {"outputs": outputs}


# ---------------------------------------------------------------- a repository and a property


class Team:
    """A repository with a workspace, an emulator to apply it to, and the platform with its pull requests."""

    def __init__(self, folder: Path, platform: Platform, address: str) -> None:
        self.checkout, self.platform, self.address = folder / "repository", platform, address
        self.workspace = self.checkout / "audiences"
        self.workspace.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.write("audiencesync", SETTINGS.format(address=address))
        self.write("buyers", "# why we have it\n" + BUYERS)
        self.write("old", BUYERS.replace("Buyers", "Old ones"))
        self.commit("Begin")
        self.run = Runner(folder, self.checkout, platform)

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.checkout, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def write(self, name: str, text: str) -> None:
        (self.workspace / f"{name}.yaml").write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.workspace / f"{name}.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def commit(self, message: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def audiencesync(self, *arguments: str) -> tuple[int, str]:
        command = [str(self.run.programs / "audiencesync"), *arguments]
        done = subprocess.run(command, cwd=self.checkout, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def proposed(self, number: int, head: str = REPOSITORY, **inputs: str) -> Ran:
        """The action on a pull request: the platform checks out its merge with the base."""
        branch = self.git("branch", "--show-current")
        self.git("checkout", "-q", "--detach", "main")
        self.git("merge", "-q", "--no-ff", "-m", "As the platform would", branch)
        payload = {"pull_request": {"number": number, "head": {"repo": {"full_name": head}}}}
        ran = self.run("pull_request", payload, sha=self.git("rev-parse", "HEAD"), **inputs)
        self.git("checkout", "-q", branch)
        return ran

    def merged(self, number: int, **inputs: str) -> Ran:
        """The action on the push that merges a pull request."""
        branch = self.git("branch", "--show-current")
        self.git("checkout", "-q", "main")
        self.git("merge", "-q", "--squash", branch)
        sha = self.commit(f"Merge pull request {number}")
        merged = {"number": number, "merged_at": "2026-11-01T00:00:00Z", "merge_commit_sha": sha}
        self.platform.pulls[sha] = [merged]
        return self.run("push", {}, sha=sha, mode="apply", **inputs)

    def live(self) -> dict[str, dict[str, Any]]:
        """What the property holds, by displayName."""
        with urllib.request.urlopen(f"{self.address}/v1alpha/properties/1000/audiences") as answer:
            found = json.loads(answer.read())["audiences"]
        return {each["displayName"]: each for each in found if each.get("filterClauses")}

    def ann(self, name: str, **fields: object) -> None:
        """Ann edits an audience in the UI."""
        request = urllib.request.Request(
            f"{self.address}/v1alpha/{name}?updateMask={','.join(fields)}",
            data=json.dumps(fields).encode(),
            headers={"Authorization": "Bearer ann@example.com", "Content-Type": "application/json"},
            method="PATCH",
        )
        urllib.request.urlopen(request).close()


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with serving(Platform()) as found:
        yield found


@pytest.fixture
def team(tmp_path: Path, platform: Platform) -> Iterator[Team]:
    platform.comments, platform.pulls = {1: [], 2: []}, {}
    platform.seen.clear()
    process = start("emulator", "--port", "0", "--data", str(tmp_path / "data"), "--property", "1000")
    assert process.stderr
    line = process.stderr.readline()
    try:
        yield Team(tmp_path, platform, re.search(r"http://\S+", line)[0])  # type: ignore[index]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


# ---------------------------------------------------------------- the whole flow


def test_from_the_pull_request_to_drift_and_back(team: Team) -> None:
    assert team.audiencesync("apply", "--yes")[0] == 0
    digest = proposes_a_change(team)
    changes_the_change(team, digest)
    merges(team)
    somebody_edits_in_the_ui(team)

    # What was accepted is a pull request of its own, which changes nothing.
    team.git("checkout", "-q", "-b", "accepted")
    team.commit("Accept Ann's name")
    last = team.proposed(2)
    assert last.outputs["changes"] == "false"
    assert "No changes" in team.platform.bodies(2)[0]
    assert team.merged(2).code == 0


def proposes_a_change(team: Team) -> str:
    """One comment is posted, with the danger first and the words before and after; gives the digest."""
    team.git("checkout", "-q", "-b", "longer")
    team.edit("buyers", "membershipDurationDays: 30", "membershipDurationDays: 60")
    team.git("rm", "-q", "audiences/old.yaml")
    team.write("new", BUYERS.replace("Buyers", "New ones"))
    team.commit("Keep buyers longer")
    ran = team.proposed(1)
    assert ran.code == 0, ran.said
    assert ran.outputs["changes"] == "true"
    (body,) = team.platform.bodies()
    assert body.index("[!CAUTION]") < body.index("<details>")
    assert "60 days" in body
    assert "30 days" in body
    command = f"audiencesync -w audiences -t shop apply --expect {ran.outputs['digest']}"
    assert f"{command} --allow-replace --allow-archive" in body
    assert "[!CAUTION]" in ran.summary
    return ran.outputs["digest"]


def changes_the_change(team: Team, digest: str) -> None:
    """The same comment is updated; and where nothing changes, nothing is written."""
    team.edit("new", "New ones", "Newer ones")
    team.commit("Say it better")
    ran = team.proposed(1)
    assert team.proposed(1).outputs["digest"] == ran.outputs["digest"] != digest
    assert team.platform.writes() == ["POST", "PATCH"]
    (body,) = team.platform.bodies()
    assert "Newer ones" in body
    assert ran.outputs["digest"] in body


def merges(team: Team) -> None:
    """What was reviewed is applied, and the comment stays as it is."""
    ran = team.merged(1, allow_replace="true", allow_archive="true")
    assert ran.code == 0, ran.said
    assert ran.steps[-1] == "Apply"
    assert "## Applied\n\n    " in ran.summary
    held = team.live()
    assert set(held) == {"Buyers", "Newer ones"}
    assert held["Buyers"]["membershipDurationDays"] == 60
    assert team.platform.writes() == ["POST", "PATCH"]
    assert team.audiencesync("drift") == (0, "")


def somebody_edits_in_the_ui(team: Team) -> None:
    """Drift names her, and accepts what she did."""
    team.ann(team.live()["Buyers"]["name"], displayName="Ann's buyers")
    code, said = team.audiencesync("drift")
    assert code == 2
    assert "ann@example.com" in said
    assert "Ann's buyers" in said
    assert team.audiencesync("drift", "--accept")[0] == 2
    text = (team.workspace / "buyers.yaml").read_text()
    assert "displayName: Ann's buyers" in text
    assert text.startswith("# why we have it\n")
    assert team.audiencesync("drift") == (0, "")
    assert team.audiencesync("plan", "--detailed-exitcode")[0] == 0


def test_what_moved_since_the_review_is_not_applied(team: Team) -> None:
    assert team.audiencesync("apply", "--yes")[0] == 0
    team.git("checkout", "-q", "-b", "name")
    team.edit("buyers", "displayName: Buyers", "displayName: Shoppers")
    team.commit("Say shoppers")
    assert team.proposed(1).code == 0
    team.ann(team.live()["Buyers"]["name"], displayName="Ann's buyers")
    ran = team.merged(1)
    assert ran.code == 4
    assert "since it was reviewed" in ran.said
    assert set(team.live()) == {"Ann's buyers", "Old ones"}


def test_a_replacement_that_nobody_allowed_waits(team: Team) -> None:
    assert team.audiencesync("apply", "--yes")[0] == 0
    team.git("checkout", "-q", "-b", "longer")
    team.edit("buyers", "membershipDurationDays: 30", "membershipDurationDays: 60")
    team.commit("Keep buyers longer")
    assert team.proposed(1).code == 0
    ran = team.merged(1)
    assert ran.code == 3
    assert "--allow-replace" in ran.said
    assert team.live()["Buyers"]["membershipDurationDays"] == 30


def test_a_merge_without_a_reviewed_plan_is_not_applied(team: Team) -> None:
    team.git("checkout", "-q", "-b", "name")
    team.edit("buyers", "displayName: Buyers", "displayName: Shoppers")
    team.commit("Say shoppers")
    ran = team.merged(1)
    assert ran.code == 1
    assert "nothing was reviewed" in ran.said
    planned = team.run("push", {})
    assert planned.code == 0
    assert "Comment" not in planned.steps
    assert team.run("push", {}, mode="apply", expect=planned.outputs["digest"]).code == 0
    assert set(team.live()) == {"Shoppers", "Old ones"}


def test_a_blocked_plan_is_shown_and_fails(team: Team) -> None:
    assert team.audiencesync("apply", "--yes")[0] == 0
    team.git("checkout", "-q", "-b", "few")
    team.edit("audiencesync", "owner:", "limits: {audiences: 3}\nowner:")
    for number in range(3):
        team.write(f"more-{number}", BUYERS.replace("Buyers", f"More {number}"))
    team.commit("Add too many")
    ran = team.proposed(1)
    assert ran.code == 3
    assert "blocked by a safety rule" in team.platform.bodies()[0]
    assert "::error::a safety rule" in ran.said


def test_a_plan_whose_users_cannot_be_counted_is_shown_and_fails(team: Team) -> None:
    assert team.audiencesync("apply", "--yes")[0] == 0
    team.git("checkout", "-q", "-b", "longer")
    team.edit("audiencesync", "owner:", "events: {parquet: nowhere.parquet}\nowner:")
    team.commit("Count users")
    ran = team.proposed(1, preview="true")
    assert (ran.code, ran.outputs["changes"]) == (0, "false")  # where nothing changes, nothing is counted
    team.edit("buyers", "30", "60")
    team.commit("Keep them longer")
    ran = team.proposed(1, preview="true")
    assert ran.code == 1
    for shown in (ran.summary, team.platform.bodies()[0]):
        assert "The users could not be counted: no Parquet file" in shown
        assert ran.outputs["digest"] in shown
    assert "::error::the users of this plan could not be counted" in ran.said


# ---------------------------------------------------------------- without credentials, and with mistakes


@pytest.fixture
def alone(tmp_path: Path, platform: Platform) -> Team:
    """A team whose property nobody reaches: its port is closed."""
    platform.comments, platform.pulls = {1: []}, {}
    platform.seen.clear()
    return Team(tmp_path, platform, "http://127.0.0.1:9")


def test_a_fork_gets_checks_and_words_without_secrets(alone: Team) -> None:
    alone.git("checkout", "-q", "-b", "patch-1")
    alone.edit("buyers", "membershipDurationDays: 30", "membershipDurationDays: 60")
    alone.git("rm", "-q", "audiences/old.yaml")
    alone.write("new", BUYERS.replace("Buyers", "New @ones <b>"))
    alone.commit("Change")
    ran = alone.proposed(1, head="mallory/web", token="")
    assert ran.code == 0, ran.said
    assert ran.outputs["digest"] == ""
    assert "Comment" not in ran.steps
    assert alone.platform.seen == []
    assert ran.summary.index("[!CAUTION]") < ran.summary.index("<details>")
    for words in (
        "1 new, 1 changed, 1 removed",
        "`60 days`",
        "`30 days`",
        "Replaced: `buyers`",
        "Removed: `old`",
    ):
        assert words in ran.summary
    assert "@ones <b>" not in re.sub(r"`[^`]*`", "", ran.summary)


def test_a_mistake_is_an_annotation_and_stops_everything(alone: Team) -> None:
    alone.git("checkout", "-q", "-b", "patch-1")
    alone.edit("buyers", "membershipDurationDays: 30", "membershipDurationDays: 541")
    alone.commit("Change")
    ran = alone.proposed(1)
    assert ran.code == 1
    assert re.search(r"^::error file=audiences/buyers.yaml,line=4,", ran.said, re.MULTILINE)
    assert ran.steps[-1] == "Validate"


def test_a_property_that_does_not_answer_fails_the_plan(alone: Team) -> None:
    alone.git("checkout", "-q", "-b", "patch-1")
    ran = alone.run("push", {})
    assert ran.code == 1
    assert ran.steps[-1] == "Plan"
    assert ran.summary == ""


@pytest.mark.parametrize(
    ("event", "mode", "words"),
    [("pull_request_target", "plan", "pull_request_target"), ("push", "destroy", "mode is one of")],
)
def test_what_must_not_run_is_refused_at_once(alone: Team, event: str, mode: str, words: str) -> None:
    ran = alone.run(event, {}, mode=mode)
    assert ran.code == 1
    assert f"::error::{'on ' if event != 'push' else ''}{words}" in ran.said
    assert len(ran.steps) == 1


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        ({}, str(ROOT)),
        ({"version": "0.1.0"}, "audiencesync==0.1.0"),
        ({"preview": "true"}, f"{ROOT}[all]"),
        ({"preview": "true", "version": "0.1.0"}, "audiencesync[all]==0.1.0"),
    ],
)
def test_what_is_installed(alone: Team, inputs: dict[str, str], what: str) -> None:
    alone.run("push", {}, mode="validate", **inputs)
    assert alone.run.installed.read_text().split()[-1] == what


@pytest.mark.parametrize("hostile", ["$(touch pwned)`touch pwned`\"; touch pwned; '; touch pwned", "-x\n-y"])
def test_text_from_outside_never_runs(alone: Team, hostile: str) -> None:
    payload = {"pull_request": {"number": 1, "head": {"repo": {"full_name": hostile}}}}
    given = {"target": hostile, "version": hostile, "expect": hostile, "base": hostile}
    for mode in ("plan", "apply", hostile):
        assert alone.run("pull_request", payload, mode=mode, **given).code
    assert alone.run("pull_request", payload, workspace=hostile).code
    assert not list(alone.checkout.rglob("pwned"))
    assert not list(alone.run.folder.glob("pwned"))


def test_scripts_hold_no_expressions_and_every_input_is_used() -> None:
    text = (ROOT / "action.yml").read_text("utf-8")
    for step in STEPS:
        assert "${{" not in step.get("run", "")
        assert ("run" in step) == (step.get("shell") == "bash")
    for name in ACTION["inputs"]:
        assert f"inputs.{name}" in text
    assert "github.event.pull_request.title" not in text


def test_the_scripts_are_sound_bash(tmp_path: Path) -> None:
    for number, step in enumerate(step for step in STEPS if "run" in step):
        script = tmp_path / f"{number}.sh"
        script.write_text(step["run"])
        subprocess.run(["bash", "-n", str(script)], check=True)


# ---------------------------------------------------------------- explain --base


def test_what_changed_is_told_against_a_revision(alone: Team) -> None:
    assert "means anything else than before" in alone.audiencesync("explain", "--base", "HEAD")[1]
    alone.git("mv", "audiences/old.yaml", "audiences/older.yaml")
    alone.edit("older", "displayName", "manage: {previousKeys: [old]}\ndisplayName")
    alone.edit("older", "purchase", "refund")
    code, said = alone.audiencesync("explain", "--base", "HEAD")
    assert code == 0
    assert "1 changed." in said
    assert "± older" in said
    assert "buyers" not in said
    assert "buyers" not in alone.audiencesync("explain", "older", "--base", "HEAD")[1]
    assert alone.audiencesync("explain", "nobody", "--base", "HEAD")[0] == 1


def test_a_base_that_is_broken_or_not_there_is_said(alone: Team) -> None:
    code, said = alone.audiencesync("explain", "--base", "nowhere")
    assert code == 1
    assert "nowhere" in said
    assert "Traceback" not in said
    alone.edit("buyers", "membershipDurationDays: 30", "membershipDurationDays: 541")
    alone.commit("Break it")
    alone.edit("buyers", "membershipDurationDays: 541", "membershipDurationDays: 60")
    code, said = alone.audiencesync("explain", "--base", "HEAD")
    assert code == 0
    assert "buyers.yaml has errors as of HEAD" in said
    shutil.rmtree(alone.checkout / ".git")
    assert alone.audiencesync("explain", "--base", "HEAD")[0] == 1


# ---------------------------------------------------------------- pre-commit


def hook(team: Team, name: str) -> tuple[int, str]:
    """Runs a hook on all files, as `pre-commit run --all-files` does."""
    (found,) = (each for each in HOOKS if each["id"] == name)
    files = [path for path in team.git("ls-files").splitlines() if re.search(found["files"], path)]
    assert files
    words = found["entry"].split()
    return team.audiencesync(*words[1:], *(files if found.get("pass_filenames", True) else []))


def test_the_hooks_check_and_lay_out(alone: Team) -> None:
    assert {each["language"] for each in HOOKS} == {"python"}
    assert hook(alone, "audiencesync-validate")[0] == 0
    hook(alone, "audiencesync-fmt")
    laid_out = (alone.workspace / "buyers.yaml").read_text()
    alone.edit("buyers", "displayName:", "displayName:    ")
    hook(alone, "audiencesync-fmt")
    assert (alone.workspace / "buyers.yaml").read_text() == laid_out
    alone.edit("buyers", "membershipDurationDays: 30", "membershipDurationDays: 541")
    code, said = hook(alone, "audiencesync-validate")
    assert code == 1
    assert "buyers.yaml" in said


def test_the_bots_name_is_the_platforms() -> None:
    from audiencesync.forge import ACTIONS_BOT

    assert BOT.login == ACTIONS_BOT
