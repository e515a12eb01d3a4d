"""The commands that look at the workspace alone, offline."""

from __future__ import annotations

from pathlib import Path

import click

import audiencesync
from audiencesync.cli.frame import ERROR, OK, Frame, command, output_format
from audiencesync.errors import UsageError
from audiencesync.settings import NAME
from audiencesync.source import Problem, Severity
from audiencesync.workspace import Workspace

_PATH = click.Path(path_type=Path)


def _found(frame: Frame, paths: tuple[Path, ...]) -> tuple[Workspace, tuple[Problem, ...], int]:
    """The workspace, the problems that were asked for, and how many files they are about.

    A path inside the workspace narrows the report of the whole workspace; one outside is read beside it.
    """
    from audiencesync import workspace as workspaces

    if not paths:
        workspace = audiencesync.load(frame.workspace)
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


@command("validate")
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
def explain_command(frame: Frame, keys: tuple[str, ...]) -> int:
    """Says in plain English what audiences mean."""
    from audiencesync.report import explained

    workspace = audiencesync.load(frame.workspace)
    workspace.sound()
    known = {each.key: each for each in workspace.desired}
    for key in keys:
        if key not in known:
            raise UsageError(
                f"no audience has the key {key!r}: `audiencesync explain` without keys shows them all"
            )
    chosen = (
        [known[key] for key in dict.fromkeys(keys)] if keys else sorted(known.values(), key=lambda e: e.key)
    )
    frame.page(explained.page(chosen))
    return OK
