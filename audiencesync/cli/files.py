"""The commands that look at the workspace alone, offline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import audiencesync
from audiencesync.cli.frame import ERROR, OK, FilePath, Frame, command, output_format
from audiencesync.errors import UsageError
from audiencesync.model import Desired
from audiencesync.settings import NAME
from audiencesync.source import Problem, Severity
from audiencesync.workspace import Workspace

if TYPE_CHECKING:
    from audiencesync.report.explained import Rewording

_PATH = FilePath()


def _found(frame: Frame, paths: tuple[Path, ...]) -> tuple[Workspace, tuple[Problem, ...], int]:
    """The workspace, the problems that were asked for, and how many files they are about.

    A path inside the workspace narrows the report of the whole workspace; one outside is read beside it.
    """
    from audiencesync import workspace as workspaces

    if not paths:
        workspace = workspaces.load(workspaces.find(frame.workspace), keep=False)
        return workspace, workspace.problems, workspace.files
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no file or folder {path}")
    try:
        folder: Path | None = workspaces.find(frame.workspace)
    except UsageError:
        if frame.workspace is not None:
            raise
        folder = next((path for path in paths if (path / NAME).is_file()), None)
    wanted = [
        each for path in paths for each in (workspaces.audience_files(path) if path.is_dir() else [path])
    ]
    wanted += [path / NAME for path in paths if (path / NAME).is_file()]
    inside = {path.resolve() for path in wanted}
    if folder is not None:
        workspace = workspaces.load(folder)
        known = {Path(name).resolve(): name for name in workspace.texts}
        if inside <= known.keys():
            names = {known[path] for path in inside}
            problems = tuple(each for each in workspace.problems if each.location.path in names)
            return workspace, problems, len(names)
    workspace = workspaces.load_files(dict.fromkeys(wanted), folder)
    names = {str(path) for path in wanted}
    problems = tuple(each for each in workspace.problems if each.location.path in names)
    return workspace, problems, len(names)


def _no_problems() -> dict[str, Any]:
    from audiencesync.report import problems

    return problems.document((), 0)


@command("validate", _no_problems)
@click.argument("paths", nargs=-1, type=_PATH, metavar="[PATH]...")
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.option("--rules", is_flag=True, help="Lists the rules.")
@output_format("json", "sarif", "github")
def validate_command(
    frame: Frame, paths: tuple[Path, ...], format_: str, *, strict: bool, rules: bool
) -> int:
    """Checks settings and audiences, offline; all problems of all files."""
    from audiencesync import validate
    from audiencesync.report import documents, github, sarif
    from audiencesync.report import problems as report

    known = [(rule.id, rule.summary) for rule in validate.all_rules()]
    if rules:
        frame.answer(report.rules_text(known))
        return OK
    workspace, problems, files = _found(frame, paths)
    if format_ == "json":
        frame.answer(documents.dump(report.document(problems, files)))
    elif format_ == "sarif":
        frame.answer(documents.dump(sarif.document(problems, known, audiencesync.__version__)))
    elif format_ == "github":
        frame.answer(github.text(problems))
    else:
        frame.answer(report.text(problems, workspace.texts, colour=frame.colour()))
        frame.answer(report.summary(problems, files))
    failing = problems if strict else [each for each in problems if each.severity is Severity.ERROR]
    return ERROR if failing else OK


@command("schema")
@click.argument("which", type=click.Choice(["audience", "workspace", "plan"]), default="audience")
def schema_command(frame: Frame, which: str) -> int:
    """Prints a JSON Schema, for editors and other validators."""
    from audiencesync import schema

    frame.answer(schema.text(which))
    return OK


@command("explain")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option(
    "--base", default="", metavar="REF", help="Says what changed since this git revision, before and after."
)
@output_format("markdown")
def explain_command(frame: Frame, keys: tuple[str, ...], base: str, format_: str) -> int:
    """Says in plain English what audiences mean."""
    from audiencesync.report import explained, markdown

    workspace = audiencesync.load(frame.workspace)
    workspace.sound()
    known = {each.key: each for each in workspace.desired}
    before = _as_of(frame, workspace, base) if base else {}
    for key in keys:
        if key not in known and key not in before:
            raise UsageError(
                f"no audience has the key {key!r}: `audiencesync explain` without keys shows them all"
            )
    if base:
        found = _rewordings(known, before)
        page = explained.reworded([each for each in found if not keys or each.key in keys], base)
    else:
        page = explained.page([known[key] for key in dict.fromkeys(keys or sorted(known))])
    if format_ == "markdown":
        frame.answer(markdown.render(page))
    else:
        frame.page(page)
    return OK


def _as_of(frame: Frame, workspace: Workspace, revision: str) -> dict[str, Desired]:
    """The audiences that a revision's files describe, by key; files with errors are passed over."""
    from audiencesync import revision as revisions
    from audiencesync.report.escape import inert

    then = revisions.read(workspace.folder, revision)
    for path in sorted(revisions.broken(then)):
        frame.note(f"{inert(path)} has errors as of {revision}, so nothing is compared with it")
    return {each.key: each for each in then.desired}


def _rewordings(known: Mapping[str, Desired], before: Mapping[str, Desired]) -> list[Rewording]:
    """The keys whose audience is another than it was; a renamed one is compared with its old self."""
    from audiencesync.canonical import fingerprint
    from audiencesync.report.explained import Rewording

    renamed = {old: key for key, each in known.items() for old in each.manage.previous_keys}
    old = {renamed.get(key, key) if key not in known else key: each.audience for key, each in before.items()}
    found = []
    for key in sorted(old.keys() | known.keys()):
        was, now = old.get(key), known[key].audience if key in known else None
        if was is None or now is None or fingerprint(was) != fingerprint(now):
            found.append(Rewording(key, was, now))
    return found
