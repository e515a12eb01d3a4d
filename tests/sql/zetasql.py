"""Google's own analyser and reference evaluator of GoogleSQL, from npm, in a folder of its own."""

import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PACKAGE = "@fivetrandevelopers/zetasql@1.13.0"
FOLDER = ROOT / ".venv-zetasql"
SCRIPT = Path(__file__).with_suffix(".js")


def ready() -> Path:
    """The folder with the engine; skips with the reason where it cannot be installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("ZetaSQL comes from npm, and there is no node or npm here")
    if not (FOLDER / "node_modules" / "@fivetrandevelopers" / "zetasql" / "package.json").is_file():
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / "package.json").write_text('{"private": true}\n', "utf-8")
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
        try:
            subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, timeout=240, text=True)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"ZetaSQL cannot be installed: {error.stderr.strip()[-300:]}")
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"ZetaSQL cannot be installed: {error}")
    return FOLDER


def evaluate(folder: Path, statements: list[str]) -> list[list[list[Any]]]:
    """The rows of each statement; fails on the first error. `folder` is where the engine is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def answered(*asked: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["node", str(SCRIPT), str(folder), str(port)],
            input="".join(json.dumps({"sql": sql}) + "\n" for sql in asked),
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    done = answered(*statements)
    if done.returncode and (least := answered("SELECT 1")).returncode:
        pytest.skip(f"ZetaSQL's engine does not run here: {least.stderr.strip()[-300:]}")
    assert not done.returncode, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for answer, sql in zip(answers, statements, strict=True):
        assert "error" not in answer, f"{answer['error']}\n{sql}"
    return [answer["rows"] for answer in answers]
