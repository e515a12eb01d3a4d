"""init: a workspace that validates and plans at once; nothing is written over."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import audiencesync
from audiencesync import layout, schema, starting
from audiencesync.cli import frame
from audiencesync.errors import UsageError
from tests.conftest import ROOT


@pytest.fixture
def started(tmp_path: Path) -> Path:
    starting.start(tmp_path / "w", audiencesync.__version__)
    return tmp_path / "w"


def test_a_new_workspace_has_no_problem_and_its_plan_creates_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "new")
    assert frame.run(["init", place]) == 0
    assert frame.run(["-w", place, "validate", "--strict"]) == 0
    assert frame.run(["-w", place, "fmt", "--check"]) == 0
    capsys.readouterr()
    assert frame.run(["-w", place, "plan", "--format", "json"]) == 0
    summary = json.loads(capsys.readouterr().out)["summary"]
    count = len(list((ROOT / "audiences").rglob("*.yaml"))) - 1
    assert {verb: number for verb, number in summary.items() if number} == {"create": count}


def test_each_schema_line_leads_to_the_schema(started: Path) -> None:
    files = sorted(started.rglob("*.yaml"))
    assert len(files) > 10
    for path in files:
        found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text("utf-8"))
        assert found, path
        target = (path.parent / found[1]).resolve()
        kind = "workspace" if path.name == "audiencesync.yaml" else "audience"
        assert target == started / "schemas" / f"{kind}.schema.json"
        assert target.read_text("utf-8") == schema.text(kind)


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "shop" / "cart-abandoners.yaml"
    mine.parent.mkdir()
    mine.write_text("mine")
    (tmp_path / ".gitignore").symlink_to("nowhere")
    assert frame.run(["init", str(tmp_path)]) == 0
    assert mine.read_text() == "mine"
    assert (tmp_path / ".gitignore").is_symlink()
    assert f"{mine} was there already and is left alone" in capsys.readouterr().err
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert frame.run(["init", str(tmp_path)]) == 1
    assert "is a workspace already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_owner_can_be_named(tmp_path: Path) -> None:
    starting.start(tmp_path, "1.0", "my-team")
    assert audiencesync.load(tmp_path).sound().owner == "my-team"


@pytest.mark.parametrize("owner", ["My Team", "x" * 41, "a\nb"])
def test_an_owner_that_is_none_is_refused_before_anything_is_written(tmp_path: Path, owner: str) -> None:
    with pytest.raises(UsageError, match="is no owner"):
        starting.start(tmp_path, "1.0", owner)
    assert list(tmp_path.iterdir()) == []


def test_an_owner_of_digits_stays_text(tmp_path: Path) -> None:
    starting.start(tmp_path, "1.0", "007")
    assert audiencesync.load(tmp_path).sound().owner == "007"


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        starting.start(tmp_path / "file" / "w", "1.0")


def test_demo_events_make_previews_count_somebody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("duckdb")
    place = str(tmp_path / "w")
    assert frame.run(["init", place, "--demo"]) == 0
    assert (tmp_path / "w" / "events" / "demo.parquet").is_file()
    capsys.readouterr()
    assert frame.run(["-w", place, "preview", "cart-abandoners", "--format", "json"]) == 0
    (preview,) = json.loads(capsys.readouterr().out)["previews"]
    assert preview["after"] > 0


# ---------------------------------------------------------------- the workflow


def workflow(text: str) -> dict[str, Any]:
    data: dict[Any, Any] = yaml.safe_load(text)
    # YAML 1.1 takes the key `on` for true.
    return {str(key): value for key, value in data.items()} | {"on": data.get(True)}


def test_the_workflow_checks_plans_and_applies_what_was_planned(started: Path) -> None:
    text = (started / starting.WORKFLOW).read_text("utf-8")
    data = workflow(text)
    assert data["permissions"] == {"contents": "read"}
    assert data["env"]["AUDIENCESYNC"] == f"audiencesync=={audiencesync.__version__}"
    assert data["on"].keys() == {"pull_request", "push"}
    assert data["on"]["push"]["branches"] == ["main"]
    runs = {name: [step.get("run", "") for step in job["steps"]] for name, job in data["jobs"].items()}
    assert any("validate --format github" in run for run in runs["validate"])
    assert any("GITHUB_STEP_SUMMARY" in run for run in runs["plan"])
    assert any("apply --yes --expect" in run for run in runs["apply"])
    assert data["jobs"]["apply"]["if"] == "github.event_name == 'push'"
    assert "secrets." not in text
    assert "workload_identity_provider" in text


def test_no_expression_of_the_platform_stands_in_a_script(started: Path) -> None:
    data = workflow((started / starting.WORKFLOW).read_text("utf-8"))
    scripts = [step.get("run", "") for job in data["jobs"].values() for step in job["steps"]]
    assert not any("${{" in script for script in scripts)


def test_the_workflow_stands_where_the_platform_looks(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    done = starting.start(tmp_path / "my audiences", "1.0")
    assert tmp_path / starting.WORKFLOW in [path.resolve() for path in done.written]
    data = workflow((tmp_path / starting.WORKFLOW).read_text("utf-8"))
    assert data["env"]["WORKSPACE"] == "my audiences"
    assert data["on"]["push"]["paths"] == ["my audiences/**", starting.WORKFLOW]


def test_the_steps_of_the_workflow_run(started: Path) -> None:
    """Its own commands, as the platform's shell would run them, from the plan to the apply."""
    data = workflow((started / starting.WORKFLOW).read_text("utf-8"))
    program = started.parent / "bin" / "audiencesync"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m audiencesync "$@"\n')
    program.chmod(0o755)
    (program.parent / "python").symlink_to(sys.executable)
    summary, output = started.parent / "summary.md", started.parent / "output"
    env = {key: str(value) for key, value in data["env"].items()} | {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_OUTPUT": str(output),
    }
    for name in ("validate", "plan", "apply"):
        if name == "apply":
            env["DIGEST"] = output.read_text().strip().removeprefix("digest=")
        for step in data["jobs"][name]["steps"]:
            script = step.get("run", "")
            if script and not script.startswith("pip "):
                done = subprocess.run(
                    ["bash", "-eo", "pipefail", "-c", script],
                    cwd=started,
                    env=env,
                    check=False,
                    capture_output=True,
                )
                assert done.returncode == 0, (script, done.stdout, done.stderr)
    assert "to create" in summary.read_text("utf-8")


# ---------------------------------------------------------------- what is shipped


def test_the_examples_are_found_beside_the_package_and_inside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert starting.shipped("audiences") == ROOT / "audiences"
    package = tmp_path / "audiencesync"
    (package / "_data" / "audiences").mkdir(parents=True)
    (package / "_data" / "audiences" / "a.yaml").write_text("x")
    monkeypatch.setattr(starting, "__file__", str(package / "starting.py"))
    assert starting.examples() == {"a.yaml": "x"}


def test_what_running_the_examples_leaves_behind_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("events/x.yaml", "out/x.yaml", ".audiencesync/x.yaml", "shop/x.yaml", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    monkeypatch.setattr(starting, "shipped", lambda _name: tmp_path)
    assert starting.examples() == {"shop/x.yaml": "x"}


def test_what_is_written_is_laid_out() -> None:
    for name, text in starting.files("1.0").items():
        if name.endswith(".yaml"):
            assert layout.format_text(name, text) == text
