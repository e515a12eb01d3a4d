"""The command that makes pages to look at, offline."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

import audiencesync
from audiencesync.cli.frame import OK, Day, FilePath, Frame, command
from audiencesync.errors import UsageError

if TYPE_CHECKING:
    from audiencesync.git import LastChange

_MOST = 256 * 1024 * 1024


@command("catalog")
@click.option("--out", type=FilePath(), required=True, metavar="DIR", help="The folder to write.")
@click.option(
    "--previews",
    type=FilePath(),
    metavar="FILE",
    help="Shows users: the answer of `preview --format json`.",
)
@click.option(
    "--as-of",
    type=Day(),
    metavar="YYYY-MM-DD",
    help="Calls a review overdue that was due before this day.",
)
def catalog_command(frame: Frame, out: Path, previews: Path | None, as_of: date | None) -> int:
    """Writes a static site of all audiences: a list to search, and a page for each."""
    from audiencesync import site
    from audiencesync.report import catalog

    workspace = audiencesync.load(frame.workspace)
    settings = workspace.sound()
    frame.warnings(workspace)
    numbers = catalog.read(_text(previews), str(previews)) if previews else None
    pages = catalog.site(
        catalog.Inputs(
            settings=settings,
            desired=workspace.desired,
            folder=str(workspace.folder),
            texts=workspace.texts,
            problems=workspace.problems,
            changes=_changes(frame, workspace.folder),
            numbers=numbers,
            as_of=as_of,
        )
    )
    site.write(out, pages)
    frame.note(f"the catalog is in {out}: open {out / catalog.INDEX}")
    return OK


def _changes(frame: Frame, folder: Path) -> dict[str, LastChange]:
    """Each file's last change; the pages do without where git says nothing, and a note says so."""
    from audiencesync import git

    try:
        return git.last_changes(folder)
    except UsageError as error:
        frame.note(str(error))
        return {}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
