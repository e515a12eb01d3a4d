"""The command that speaks in pull requests."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

import audiencesync
from audiencesync.cli.frame import OK, FilePath, Frame, command
from audiencesync.errors import UsageError
from audiencesync.planfile import PlanFile

_FILE = FilePath()
_MOST_CHARACTERS = 16 * 1024 * 1024


@command("comment")
@click.argument("planfile", required=False, type=_FILE, metavar="[PLANFILE]")
@click.option(
    "--plan-markdown", "report", type=_FILE, metavar="FILE", help="The plan as Markdown; - reads stdin."
)
@click.option("--read-digest", is_flag=True, help="Prints the digest that our comment names; writes nothing.")
@click.option("--repository", default="", metavar="OWNER/NAME", help="Default: GITHUB_REPOSITORY.")
@click.option(
    "--pull", type=click.IntRange(1), metavar="N", help="The pull request; default: the event's, or COMMIT's."
)
@click.option("--commit", default="", metavar="SHA", help="A commit that was merged; default: GITHUB_SHA.")
@click.option("--api", default="", metavar="URL", help="The REST API; default: GITHUB_API_URL.")
@click.option(
    "--token-env", default="GITHUB_TOKEN", show_default=True, metavar="NAME", help="Holds the token."
)
@click.option("--author", default="", metavar="LOGIN", help="Who the token writes as, if it cannot tell.")
def comment_command(
    frame: Frame,
    planfile: Path | None,
    report: Path | None,
    repository: str,
    pull: int | None,
    commit: str,
    api: str,
    token_env: str,
    author: str,
    *,
    read_digest: bool,
) -> int:
    """Shows a plan as the one comment of a pull request, or reads the reviewed digest back from it."""
    from audiencesync import comment, forge, http

    if read_digest == (report is not None):
        raise UsageError("say what to do: PLANFILE with --plan-markdown FILE, or --read-digest")
    token = os.environ.get(token_env, "").strip()
    if not token:
        raise UsageError(f"the environment variable {token_env} holds no token")
    place = repository or os.environ.get("GITHUB_REPOSITORY", "")
    address = api or os.environ.get("GITHUB_API_URL", "") or "https://api.github.com"
    options = http.Options(limits=None, on_wait=lambda seconds, why: frame.note(f"{seconds:.0f} s: {why}"))
    reviewed = _planfile(planfile)
    if report is not None and reviewed is None:
        raise UsageError("name the PLANFILE that `audiencesync plan --out` wrote, beside its Markdown")
    number = pull or (0 if read_digest else _pull())
    with forge.connected(address, place, token, options, author=author) as opened:
        if report is None or reviewed is None:
            mark = _mark(frame)
            found = number or comment.pull_of(opened, commit or os.environ.get("GITHUB_SHA", ""))
            frame.answer(comment.read_digest(opened, found, mark))
            return OK
        body = comment.compose(reviewed, _text(report), frame.workspace or "")
        published = comment.publish(opened, number, body)
    frame.answer(f"{published.result.value} {published.url}".rstrip())
    return OK


def _planfile(path: Path | None) -> PlanFile | None:
    from audiencesync import planfile

    return planfile.read_text(_text(path)) if path else None


def _text(path: Path) -> str:
    """A file's text, or what comes from stdin for "-"."""
    try:
        if str(path) == "-":
            return sys.stdin.read(_MOST_CHARACTERS)
        return path.read_text("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _mark(frame: Frame) -> str:
    """The marker of the comment about the workspace's target."""
    from audiencesync import comment

    workspace = audiencesync.load(frame.workspace)
    return comment.marker(workspace.sound().owner, audiencesync.target(workspace, frame.target).name)


def _pull() -> int:
    """The number of the pull request that the workflow runs for."""
    name = os.environ.get("GITHUB_EVENT_PATH", "")
    try:
        event: Any = json.loads(Path(name).read_text("utf-8")) if name else {}
    except (OSError, ValueError):
        event = {}
    pull = event.get("pull_request") if isinstance(event, Mapping) else None
    number = pull.get("number") if isinstance(pull, Mapping) else None
    if isinstance(number, int) and number > 0:
        return number
    raise UsageError("this run is for no pull request: name one with --pull")
