"""The commands that make and mend a workspace: init, fmt, import, doctor."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

import audiencesync
from audiencesync.cli.frame import ERROR, OK, FilePath, Frame, command
from audiencesync.errors import AudiencesyncError, InvalidFilesError, UsageError
from audiencesync.settings import NAME

if TYPE_CHECKING:
    from audiencesync.doctor import Line
    from audiencesync.importing import Choices, Import, Saved
    from audiencesync.layout import Style
    from audiencesync.report.page import Page, Spans
    from audiencesync.settings import Target
    from audiencesync.source import Problem
    from audiencesync.workspace import Workspace

_PATH = FilePath()
_STYLE = click.option(
    "--style", type=click.Choice(["short", "full"]), default=None, help="The form of the conditions."
)


# ---------------------------------------------------------------- init


@command("init")
@click.argument("folder", required=False, type=_PATH, metavar="[DIR]")
@click.option("--owner", default="", metavar="NAME", help="Who manages the audiences; default: acme-web.")
@click.option(
    "--demo", is_flag=True, help="Writes made-up events into events/, also in a workspace that is there."
)
def init_command(frame: Frame, folder: Path | None, owner: str, *, demo: bool) -> int:
    """Makes a workspace with examples, editor schemas and a CI workflow; never overwrites."""
    from audiencesync import starting

    place = folder or Path(frame.workspace or ".")
    if demo and (place / NAME).is_file():
        # A workspace that is there gets the events alone.
        _write_demo(frame, place / "events" / "demo.parquet")
        return OK
    started = starting.start(place, audiencesync.__version__, owner)
    for path in started.left:
        frame.note(f"{path} was there already and is left alone")
    frame.answer("".join(f"{_inert(str(path))}\n" for path in started.written))
    if demo:
        _write_demo(frame, place / "events" / "demo.parquet")
    name = "" if place == Path() else f" -w {shlex.quote(str(place))}"
    if not owner:
        frame.note(f"the owner is acme-web: put your team's name into {place / NAME} before the first apply")
    frame.note(f"next: `audiencesync{name} validate`, then `audiencesync{name} plan`")
    return OK


def _write_demo(frame: Frame, path: Path) -> None:
    """Made-up events up to yesterday, of whole users, so that every preview counts somebody."""
    from datetime import UTC, datetime, timedelta

    from audiencesync.sql.demo import write_demo_events

    if path.exists() or path.is_symlink():
        frame.note(f"{path} was there already and is left alone")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    write_demo_events(path, users=3000, days=90, seed=1, last_day=yesterday)
    frame.answer(f"{_inert(str(path))}\n")


def _inert(text: str) -> str:
    from audiencesync.report.escape import inert

    return inert(text)


# ---------------------------------------------------------------- fmt


@command("fmt")
@click.argument("paths", nargs=-1, type=_PATH, metavar="[PATH]...")
@click.option("--check", is_flag=True, help="Writes nothing; exits 1 where a file would change.")
@_STYLE
def fmt_command(frame: Frame, paths: tuple[Path, ...], style: Style | None, *, check: bool) -> int:
    """Lays files out canonically, comments kept.

    --style turns their conditions into the other form; comments inside a clause then move above it.
    """
    from audiencesync import layout, writing

    problems: list[Problem] = []
    changed: list[Path] = []
    for path in _yaml_files(frame, paths):
        try:
            text = _read(path)
            made = layout.format_text(str(path), text, style or "")
        except InvalidFilesError as error:
            problems += error.problems
            continue
        if made != text:
            changed.append(path)
            if not check:
                writing.overwrite(path, made)
    frame.answer("".join(f"{_inert(str(path))}\n" for path in changed))
    if problems:
        frame.problems(tuple(problems))
    files = f"{len(changed)} file{'s' if len(changed) != 1 else ''}"
    if changed:
        frame.note(f"{files} would change: run `audiencesync fmt`" if check else f"{files} laid out anew")
    return ERROR if problems or (check and changed) else OK


def _yaml_files(frame: Frame, paths: tuple[Path, ...]) -> Iterable[Path]:
    """The files to lay out: those named, those below the folders named, else the whole workspace's."""
    from audiencesync import workspace as workspaces

    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no file or folder {path}")
    folders = [path for path in paths if path.is_dir()] if paths else [workspaces.find(frame.workspace)]
    found = [path for path in paths if not path.is_dir() and path.suffix in {".yaml", ".yml"}]
    for folder in folders:
        home = folder.resolve()
        inside = [folder / NAME, *workspaces.audience_files(folder)]
        found += [path for path in inside if path.is_file() and path.resolve().is_relative_to(home)]
    for path in paths:
        if not path.is_dir() and path.suffix not in {".yaml", ".yml"}:
            frame.note(f"{path} is no YAML file and is left alone")
    return dict.fromkeys(found)


def _read(path: Path) -> str:
    """A file's text, line ends and all; bytes that are not UTF-8 become problems when it is parsed."""
    from audiencesync.source import MAX_BYTES

    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        from audiencesync.source import parse

        raise InvalidFilesError(parse(str(path), raw).problems) from None


# ---------------------------------------------------------------- import


@command("import")
@click.option("--from-json", type=_PATH, metavar="FILE", help="Reads a saved list answer, offline.")
@click.option("--contact", default="", metavar="NAME", help="Who answers for the imported audiences.")
@click.option("--label", "labels", multiple=True, metavar="WORD", help="A label; may be repeated.")
@click.option("--review-by", default="", metavar="YYYY-MM-DD", help="The day to look at them again.")
@_STYLE
def import_command(
    frame: Frame,
    from_json: Path | None,
    contact: str,
    labels: tuple[str, ...],
    review_by: str,
    style: Style | None,
) -> int:
    """Writes a file for each live audience that has none yet; the next plan adopts them.

    Files that are there are never touched. What cannot be imported is listed with the reason.
    """
    from datetime import UTC, datetime

    from audiencesync import importing

    if review_by and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", review_by):
        raise UsageError(f"--review-by takes a day such as 2027-03-31, not {review_by!r}")
    workspace = audiencesync.load(frame.workspace)
    settings = workspace.sound()
    wanted = audiencesync.target(workspace, frame.target)
    choices = importing.Choices(contact, labels, review_by, style or "", datetime.now(UTC).date())
    if from_json is not None:
        saved = importing.read_saved(from_json)
        wanted, note = importing.target_of(saved, settings, wanted)
        _tell_saved(frame, saved, note)
        found = importing.import_audiences(
            saved.audiences, workspace, wanted, number=saved.property, choices=choices
        )
    else:
        found = _import_live(frame, workspace, wanted, choices)
    importing.write(found)
    for note in found.notes:
        frame.note(note)
    frame.page(_import_page(found))
    return OK


def _tell_saved(frame: Frame, saved: Saved, note: str) -> None:
    if note:
        frame.note(f"warning: {note}")
    if not saved.complete:
        frame.note(
            "warning: the saved answer says that another page follows (nextPageToken): import that too"
        )


def _import_live(frame: Frame, workspace: Workspace, target: Target, choices: Choices) -> Import:
    from audiencesync import http, importing

    options = http.Options(limits=target.limits, on_wait=lambda seconds, why: _waiting(frame, seconds, why))
    with audiencesync.connect(workspace, frame.target, options=options) as remote:
        raws = remote.audiences()
    return importing.import_audiences(raws, workspace, target, choices=choices)


def _waiting(frame: Frame, seconds: float, why: str) -> None:
    frame.note(f"waiting {seconds:.0f} s: {why}")


def _import_page(found: Import) -> Page:
    from audiencesync.report.page import Heading, Span, Table, Text, Tone, code, line

    blocks: list[Heading | Table | Text] = []
    if found.files:
        rows: tuple[tuple[Spans, ...], ...] = tuple(
            (
                line(code(str(file.path), Tone.ADD)),
                line(code(file.name)),
                line("adopt" if file.adopt else "written back"),
                line(file.display_name),
            )
            for file in found.files
        )
        blocks += [Heading(line("Written")), Table(("file", "audience", "", "name"), rows)]
    for title, passed in (("Have files", found.kept), ("Skipped", found.skipped)):
        if passed:
            rows = tuple((line(code(e.name)), line(e.display_name), line(e.reason)) for e in passed)
            blocks += [Heading(line(title), 2), Table(("audience", "name", "why"), rows)]
    counts = f"{len(found.files)} written, {len(found.kept)} have files, {len(found.skipped)} skipped."
    return (*blocks, Text((line(Span(f"Import: {counts}", Tone.STRONG)),), summary=True))


# ---------------------------------------------------------------- doctor


@command("doctor")
def doctor_command(frame: Frame) -> int:
    """Looks at settings, credentials, scopes, APIs, role and limits; writes nothing.

    Each failure prints its fix. Whether GA4 lets the account write is known only when something is applied.
    """
    from audiencesync import doctor

    found = _findings(frame)
    frame.page(_doctor_page(found))
    return OK if doctor.all_good(found) else ERROR


def _findings(frame: Frame) -> tuple[Line, ...]:
    from audiencesync import doctor, http
    from audiencesync.source import Severity

    try:
        workspace = audiencesync.load(frame.workspace)
        workspace.sound()
        wanted = audiencesync.target(workspace, frame.target)
    except InvalidFilesError as error:
        first = error.problems[0]
        text = f"{len(error.problems)} problems, the first at {first.location}: {first.message}"
        return (doctor.Line("settings", good=False, text=text, fix="audiencesync validate"),)
    except UsageError as error:
        return (doctor.Line("settings", good=False, text=str(error)),)
    warnings = sum(each.severity is Severity.WARNING for each in workspace.problems)
    first_line = doctor.settings_line(str(workspace.folder), workspace.files, wanted, warnings)
    options = http.Options(limits=wanted.limits)
    if wanted.endpoint != "local":
        return (first_line, *doctor.lines(doctor.examine(wanted, options)))
    try:
        with audiencesync.connect(workspace, frame.target) as remote:
            return (first_line, *doctor.lines(doctor.examine(wanted, options, remote)))
    except AudiencesyncError as error:
        return (first_line, doctor.Line("embedded property", good=False, text=str(error)))


def _doctor_page(found: tuple[Line, ...]) -> Page:
    """A table, since its lines are not broken: a fix is there to be copied."""
    from audiencesync.report.page import Span, Table, Tone, line

    words = {True: ("ok", Tone.ADD), False: ("FAIL", Tone.ERROR), None: ("-", Tone.DIM)}
    rows: list[tuple[Spans, ...]] = []
    for each in found:
        rows.append((line(Span(*words[each.good])), line(Span(each.subject, Tone.STRONG)), line(each.text)))
        if each.fix:
            rows.append((line(""), line(""), line(Span(f"fix: {each.fix}", Tone.WARNING))))
    return (Table(("", "", ""), tuple(rows)),)
