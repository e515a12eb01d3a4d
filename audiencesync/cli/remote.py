"""The commands that look at a property, and those that change it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import audiencesync
from audiencesync.action import Outcome, Plan, Status, Verb
from audiencesync.cli.frame import (
    BLOCKED,
    CHANGES,
    ERROR,
    OK,
    FilePath,
    Frame,
    command,
    elsewhere,
    output_format,
)
from audiencesync.errors import PreviewError, StalePlanError, StoppedError, UsageError
from audiencesync.guards import permit
from audiencesync.live import Live
from audiencesync.planfile import PlanFile
from audiencesync.workspace import Workspace

if TYPE_CHECKING:
    from audiencesync import http
    from audiencesync.apply import Options
    from audiencesync.ga4 import Property
    from audiencesync.sql.preview import Report

_EVERYTHING = click.option(
    "--archive-everything",
    default="",
    metavar="OWNER",
    help="Lets an empty workspace archive all that OWNER manages.",
)
_LOG = click.option("--log", type=FilePath(), metavar="FILE", help="Appends a line of JSON a request.")


def _open(frame: Frame) -> Workspace:
    workspace = audiencesync.load(frame.workspace)
    workspace.sound()
    frame.warnings(workspace)
    return workspace


@contextmanager
def _connect(
    workspace: Workspace, frame: Frame, options: http.Options, *, write: bool = False
) -> Iterator[Property]:
    """Opens the target's property; the run log, where there is one, then says as whom."""
    with audiencesync.connect(workspace, frame.target, write=write, options=options) as remote:
        if options.log is not None:
            property_ = f"properties/{remote.number}"
            options.log({"time": _now(), "property": property_, "principal": remote.principal or None})
        yield remote


def _read(workspace: Workspace, frame: Frame, options: http.Options) -> list[Live]:
    with _connect(workspace, frame, options) as remote:
        return audiencesync.read(remote)


def _plan_code(plan: Plan, *, detailed: bool) -> int:
    if plan.blocked:
        return BLOCKED
    return CHANGES if detailed and plan.changed else OK


def _no_plan() -> dict[str, Any]:
    from audiencesync import planfile

    return planfile.document(None)


@command("plan", _no_plan)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--out", type=FilePath(), metavar="FILE", help="Writes the plan for `apply FILE`.")
@click.option("--detailed-exitcode", is_flag=True, help="Exits 2 where there are changes.")
@click.option("--preview", is_flag=True, help="Counts users before and after, from the event export.")
@_EVERYTHING
@_LOG
@output_format("json", "markdown", "html")
def plan_command(
    frame: Frame,
    keys: tuple[str, ...],
    out: Path | None,
    format_: str,
    archive_everything: str,
    log: Path | None,
    *,
    detailed_exitcode: bool,
    preview: bool,
) -> int:
    """Compares the files with the property; writes nothing there.

    Keys that are not named are left alone, and never archived.
    """
    from audiencesync import planfile, writing

    workspace = _open(frame)
    with _watched(frame, workspace, log) as options:
        lives = _read(workspace, frame, options)
    plan = audiencesync.compare(
        workspace, frame.target, lives, selection=keys, archive_everything=archive_everything
    )
    for key in keys:
        if where := elsewhere(workspace, plan.policy.target, key):
            frame.note(f"{where}; this plan holds nothing of it")
    if out is not None:
        writing.put(out, planfile.write_text(plan))
        frame.note(f"the plan is in {out}; carry it out with `audiencesync apply {out}`")
    try:
        previews = _previews(frame, workspace, plan) if preview else None
    except (PreviewError, UsageError) as error:
        # A plan is a plan without its numbers too; the exit code tells that they are missing.
        from audiencesync.report import plans

        if format_ == "json":
            frame.document = plans.document(plan)
        else:
            _show_plan(frame, plan, format_, uncounted=str(error))
        return frame.fail(error)
    _show_plan(frame, plan, format_, previews)
    return _plan_code(plan, detailed=detailed_exitcode)


def _previews(frame: Frame, workspace: Workspace, plan: Plan) -> Report | None:
    """The users before and after each change that the plan holds; None where there is no change."""
    from audiencesync.cli.data import compare_users
    from audiencesync.sql.preview import paired

    pairs = [paired(action) for action in plan.actions if action.verb is not Verb.KEEP]
    return compare_users(frame, workspace, pairs) if pairs else None


def _show_plan(
    frame: Frame, plan: Plan, format_: str, previews: Report | None = None, uncounted: str = ""
) -> None:
    from audiencesync.report import documents, html, markdown, plans

    if format_ == "json":
        frame.answer(documents.dump(plans.document(plan, previews=previews)))
        return
    verbose = frame.verbose > 0
    words = format_ != "text" or verbose
    page = plans.page(plan, words=words, previews=previews, uncounted=uncounted, verbose=verbose)
    if format_ == "markdown":
        frame.answer(markdown.render(page))
    elif format_ == "html":
        frame.answer(html.render(page))
    else:
        frame.page(page)


# ---------------------------------------------------------------- apply


def _no_outcomes() -> dict[str, Any]:
    return {"outcomes": [], "summary": {status.value: 0 for status in Status}}


@command("apply", _no_outcomes)
@click.argument("planfile", required=False, type=FilePath(exists=True, dir_okay=False))
@click.option("--only", multiple=True, metavar="KEY", help="Carries out this key alone; may be repeated.")
@click.option("--expect", default="", metavar="DIGEST", help="Refuses any plan but the one with this digest.")
@click.option("--yes", is_flag=True, help="Does not ask.")
@click.option("--allow-replace", is_flag=True, help="Allows replacements: a new id and an empty membership.")
@click.option("--allow-archive", is_flag=True, help="Allows archives: they are permanent.")
@_EVERYTHING
@_LOG
@output_format("json")
def apply_command(
    frame: Frame,
    planfile: Path | None,
    only: tuple[str, ...],
    expect: str,
    format_: str,
    archive_everything: str,
    log: Path | None,
    *,
    yes: bool,
    allow_replace: bool,
    allow_archive: bool,
) -> int:
    """Carries a plan out: the one in PLANFILE, or one that is made now."""
    from audiencesync.apply import Options

    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("without a terminal nobody can be asked: say --yes")
    reviewed = _reviewed(planfile)
    if reviewed and not frame.target:
        frame.target = str(reviewed.core["target"])
    workspace = _open(frame)
    stop = _Stop()
    wished = _Wish(only, expect, archive_everything, allow_replace=allow_replace, allow_archive=allow_archive)
    with (
        _watched(frame, workspace, log, stop) as options,
        _connect(workspace, frame, options, write=True) as remote,
    ):
        plan = wished.plan(workspace, frame.target, audiencesync.read(remote), reviewed)
        if format_ == "text":
            _show_plan(frame, plan, "text")
        if plan.changed and not yes and not click.confirm("Carry this out?", err=True):
            raise StoppedError("the plan was declined, and nothing was written")
        with stop.heard(), _progress(frame, plan) as progress:
            run = Options(stop=stop, allow_archive=allow_archive, progress=progress)
            outcomes = _carry_out(frame, plan, remote, run)
    _show_outcomes(frame, outcomes, format_)
    return _apply_code(plan, outcomes)


def _carry_out(frame: Frame, plan: Plan, remote: Property, options: Options) -> list[Outcome]:
    """Every outcome; whatever stops the run, the report holds those that there are."""
    from audiencesync.report import outcomes as report

    found: list[Outcome] = []
    try:
        for outcome in audiencesync.carry_out(plan, remote, options):
            found.append(outcome)  # noqa: PERF402 - what came before an exception is kept
    finally:
        frame.document = report.document(found)
    return found


def _reviewed(path: Path | None) -> PlanFile | None:
    from audiencesync import planfile

    if path is None:
        return None
    try:
        with path.open("rb") as file:
            raw = file.read(planfile.MAX_CHARACTERS + 1)
        return planfile.read_text(raw.decode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


class _Wish:
    """What the flags of apply allow, and which plan they expect."""

    def __init__(
        self, only: tuple[str, ...], expect: str, everything: str, *, allow_replace: bool, allow_archive: bool
    ) -> None:
        self.only, self.expect, self.everything = only, expect, everything
        self.allow_replace, self.allow_archive = allow_replace, allow_archive

    def _compare(
        self, workspace: Workspace, target: str, lives: list[Live], selection: tuple[str, ...]
    ) -> Plan:
        return audiencesync.compare(
            workspace,
            target,
            lives,
            selection=selection,
            archive_everything=self.everything,
            allow_replace=self.allow_replace,
        )

    def plan(self, workspace: Workspace, target: str, lives: list[Live], reviewed: PlanFile | None) -> Plan:
        """The plan to carry out; StalePlanError where it is not the one that was reviewed."""
        from audiencesync import planfile

        plan = self._compare(workspace, target, lives, reviewed.selection if reviewed else self.only)
        if reviewed and (moved := planfile.compare(reviewed, plan)):
            raise StalePlanError(f"the plan is stale, nothing was written: {'; '.join(moved)}: plan again")
        if self.expect and self.expect != plan.digest:
            raise StalePlanError(
                f"the plan's digest is {plan.digest}, not {self.expect}: the files or the property moved "
                "since it was reviewed; nothing was written: plan again"
            )
        if reviewed and self.only:
            if strange := [key for key in self.only if key not in {action.key for action in plan.actions}]:
                raise UsageError(f"the plan file does not hold the key {strange[0]!r}, so nobody reviewed it")
            plan = self._compare(workspace, target, lives, self.only)
        return permit(plan, allow_replace=self.allow_replace, allow_archive=self.allow_archive)


def _show_outcomes(frame: Frame, outcomes: list[Outcome], format_: str) -> None:
    from audiencesync.report import documents
    from audiencesync.report import outcomes as report

    if format_ == "json":
        frame.answer(documents.dump(report.document(outcomes)))
    else:
        frame.page(report.page(outcomes))


def _apply_code(plan: Plan, outcomes: list[Outcome]) -> int:
    statuses = {outcome.status for outcome in outcomes}
    if statuses & {Status.FAILED, Status.SKIPPED}:
        return ERROR
    return BLOCKED if Status.BLOCKED in statuses or plan.blocked else OK


_STDERR = 2


class _Stop:
    """Ctrl-C lets the request in flight finish; the run then stops and reports. A second one ends it."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def __call__(self) -> bool:
        """Whether the run shall stop."""
        return self._asked.is_set()

    def sleep(self, seconds: float) -> None:
        """Waits, as for a quota; StoppedError as soon as the run shall stop."""
        if self._asked.wait(seconds):
            raise StoppedError("the run was interrupted while it waited")

    def _handle(self, _signal: int, _frame: object) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt
        self._asked.set()
        # The interrupted thread may be in the middle of a line of Python's own stream.
        with suppress(OSError):
            os.write(_STDERR, b"interrupted: finishing what is under way; Ctrl-C again ends it at once\n")

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listens to Ctrl-C inside the block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(frame: Frame, plan: Plan) -> Iterator[Callable[[Outcome], None]]:
    """A bar with the time left on a terminal; elsewhere nothing, or a line an action with -v."""
    total = sum(action.verb is not Verb.KEEP for action in plan.actions)
    if not sys.stderr.isatty() or not total:
        yield lambda outcome: frame.note(_line(outcome)) if frame.verbose else None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("applying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True, no_color=not frame.colour(stderr=True))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("apply", total=total)
        yield lambda _outcome: bar.advance(task)


def _line(outcome: Outcome) -> str:
    return f"{outcome.action.verb.value} {outcome.action.key}: {outcome.status.value}"


@contextmanager
def _watched(
    frame: Frame, workspace: Workspace, log: Path | None, stop: _Stop | None = None
) -> Iterator[http.Options]:
    """The connection's options: paced by the target's limits, telling of waits, logging where asked to."""
    from dataclasses import replace

    from audiencesync import http

    limits = audiencesync.target(workspace, frame.target).limits

    def waits(seconds: float, why: str) -> None:
        if frame.verbose or seconds >= 5:  # noqa: PLR2004 - shorter waits are nobody's business
            frame.note(f"waiting {seconds:.0f} s: {why}")

    options = http.Options(limits=limits, on_wait=waits)
    if stop is not None:
        options = replace(options, sleep=stop.sleep)
    if log is None:
        yield options
        return
    from audiencesync.report.documents import dump_line
    from audiencesync.runlog import opened

    with opened(log, dump_line(_run_of(workspace)), frame.note) as write:

        def entry(record: Mapping[str, object]) -> None:
            write(dump_line(record))

        yield replace(options, log=entry)


def _run_of(workspace: Workspace) -> dict[str, object]:
    """The log's first line: which program, which files."""
    from audiencesync import git

    return {
        "time": _now(),
        "run": " ".join(sys.argv[1:2]),
        "version": audiencesync.__version__,
        "commit": git.commit(workspace.folder) or None,
    }


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ---------------------------------------------------------------- forget, import, drift, doctor, emulator


@command("forget")
@click.argument("key")
@_LOG
def forget_command(frame: Frame, key: str, log: Path | None) -> int:
    """Takes our mark off an audience and leaves it in GA4; its file stays too."""
    from audiencesync.apply import forget

    workspace = _open(frame)
    settings = workspace.sound()
    with (
        _watched(frame, workspace, log) as options,
        _connect(workspace, frame, options, write=True) as remote,
    ):
        outcomes = forget(key, settings.owner, audiencesync.read(remote), remote)
    _show_outcomes(frame, outcomes, "text")
    statuses = {outcome.status for outcome in outcomes}
    return ERROR if Status.FAILED in statuses else BLOCKED if Status.BLOCKED in statuses else OK


@command("emulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 = any."
)
@click.option("--data", type=FilePath(), metavar="DIR", help="Where the data is kept.")
@click.option(
    "--property", "properties", multiple=True, metavar="ID", help="A property to serve; may be repeated."
)
@click.option(
    "--export-delay", type=float, default=None, metavar="S", help="Seconds until an export is ACTIVE."
)
def emulator_command(
    frame: Frame,
    host: str,
    port: int,
    data: Path | None,
    properties: tuple[str, ...],
    export_delay: float | None,
) -> int:
    """Serves the embedded property over HTTP, for this program and Google's own clients."""
    from audiencesync import workspace as workspaces
    from audiencesync.local.server import serve
    from audiencesync.local.store import Store

    workspace = None
    try:
        workspace = audiencesync.load(frame.workspace)
        settings = workspace.sound()
        properties = properties or tuple(dict.fromkeys(each.property for each in settings.targets))
    except UsageError:
        if frame.workspace is not None:
            raise
    folder = data or (workspace.state if workspace else Path(workspaces.STATE))
    store = Store(folder)
    try:
        api = audiencesync.embedded(store, properties or ("1000",), workspace, export_delay=export_delay)
        serve(
            api,
            host,
            port,
            ready=lambda address: frame.note(f"serving {', '.join(api.properties)} at {address}"),
        )
    finally:
        store.close()
    return OK
