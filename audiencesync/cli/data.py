"""The commands about users: previews and exports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import audiencesync
from audiencesync.cli.frame import ERROR, OK, Frame, command, global_options, output_format
from audiencesync.errors import UsageError
from audiencesync.live import claims, newest
from audiencesync.model import Audience
from audiencesync.settings import NAME, Events, Export
from audiencesync.workspace import Workspace

if TYPE_CHECKING:
    from audiencesync.export import Progress, World
    from audiencesync.ga4 import Property
    from audiencesync.growingio import GrowingIO
    from audiencesync.sql.preview import Calibration, Comparison, Report


# ---------------------------------------------------------------- preview


def _no_previews() -> dict[str, Any]:
    from audiencesync.report import previews

    return previews.document(None)


@command("preview", _no_previews)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option(
    "--events", metavar="PATH", help="The event export instead of the settings' one: Parquet, a DuckDB file."
)
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="The day to count at.")
@click.option(
    "--base", default="none", show_default=True, metavar="REF|live|none", help="What to compare with."
)
@click.option("--band", is_flag=True, help="Counts under each undocumented reading too, and shows the range.")
@click.option("--calibrate", is_flag=True, help="Sets the estimates beside GA4's own audience exports.")
@click.option("--sql", type=click.Choice(["duckdb", "bigquery"]), help="Only prints the statement, offline.")
@output_format("json", "markdown")
def preview_command(
    frame: Frame,
    keys: tuple[str, ...],
    events: str | None,
    as_of: datetime | None,
    base: str,
    sql: str | None,
    format_: str,
    *,
    band: bool,
    calibrate: bool,
) -> int:
    """Counts users before and after a change, from the event export."""
    from audiencesync.report import documents, markdown
    from audiencesync.report import previews as report

    workspace = audiencesync.load(frame.workspace)
    workspace.sound()
    day = as_of.date() if as_of else None
    if sql:
        return _print_sql(frame, workspace, keys, events, sql, day)
    pairs = _pairs(frame, workspace, keys, base)
    found = compare_users(frame, workspace, list(pairs.values()), events=events, as_of=day, band=band)
    beside = _calibration(frame, workspace, found) if calibrate else None
    if format_ == "json":
        more = {} if beside is None else {"calibration": report.calibration(beside)}
        frame.answer(documents.dump(report.document(found) | more))
        return OK
    page = report.page(found) + (() if beside is None else report.calibrated(beside))
    if format_ == "markdown":
        frame.answer(markdown.render(page))
    else:
        frame.page(page)
    return OK


def _calibration(frame: Frame, workspace: Workspace, found: Report) -> tuple[Calibration, ...]:
    """The estimates beside the exports that the property has; none is created for it."""
    from audiencesync.sql.preview import calibrate

    with audiencesync.connect(workspace, frame.target) as remote:
        held = claims(audiencesync.read(remote), workspace.sound().owner)
        names = {key: live.name for key, claim in held.items() if (live := newest(claim))}
        return calibrate(found.estimates, names, remote.exports())


def compare_users(
    frame: Frame,
    workspace: Workspace,
    pairs: Sequence[Comparison],
    *,
    events: str | None = None,
    as_of: date | None = None,
    band: bool = False,
) -> Report:
    """Counts the users of each pair of definitions over the target's events, or those at a path."""
    from audiencesync.sql.preview import preview

    source, folder = _source(frame, workspace, events)
    return preview(
        pairs,
        source,
        as_of=as_of,
        today=datetime.now(UTC).date(),
        base_dir=folder,
        cache_dir=workspace.state,
        band=band,
        progress=frame.note,
    )


def _source(frame: Frame, workspace: Workspace, events: str | None) -> tuple[Events, Path]:
    """The event export and the folder that its paths are relative to."""
    from audiencesync.sql.preview import events_at

    known = audiencesync.target(workspace, frame.target).events or Events()
    if events is None:
        return known, workspace.folder
    return replace(events_at(events), time_zone=known.time_zone), Path()


def _files(frame: Frame, workspace: Workspace) -> dict[str, Audience]:
    """The files' audiences of the target, by key."""
    target = audiencesync.target(workspace, frame.target).name
    return {each.key: each.audience for each in workspace.desired if each.manage.belongs_to(target)}


def _wanted(keys: tuple[str, ...], known: Iterable[str]) -> list[str]:
    """The keys that were asked for, else all that are known."""
    there = sorted(set(known))
    if unknown := [key for key in keys if key not in there]:
        raise UsageError(f"no audience has the key {unknown[0]!r}: `preview` without keys counts them all")
    return list(dict.fromkeys(keys)) or there


def _print_sql(
    frame: Frame,
    workspace: Workspace,
    keys: tuple[str, ...],
    events: str | None,
    dialect: str,
    as_of: date | None,
) -> int:
    """Prints one statement over all audiences that can be previewed."""
    from audiencesync.sql.preview import statement

    source, folder = _source(frame, workspace, events)
    files = _files(frame, workspace)
    audiences = [(key, files[key]) for key in _wanted(keys, files)]
    today = datetime.now(UTC).date()
    found = statement(
        audiences, source, dialect, as_of=as_of, today=today, base_dir=folder, progress=frame.note
    )
    for key, why in found.refused.items():
        frame.note(f"{key}: cannot preview: {why}")
    frame.answer(found.sql)
    return OK if found.sql else ERROR


def _pairs(frame: Frame, workspace: Workspace, keys: tuple[str, ...], base: str) -> dict[str, Comparison]:
    """What to compare, by key: the files with nothing, with GA4, or with the files of a revision."""
    from audiencesync.sql.preview import Comparison

    after = _files(frame, workspace)
    if base == "none":
        return {key: Comparison(key, None, after[key], before_known=False) for key in _wanted(keys, after)}
    before, faults = _live_base(frame, workspace) if base == "live" else _git_base(frame, workspace, base)
    return {
        key: Comparison(key, before.get(key), after.get(key), before_fault=faults.get(key, ""))
        for key in _wanted(keys, (*after, *before, *faults))
    }


Base = tuple[dict[str, Audience], dict[str, str]]
"""Audiences by key, and why a key's base cannot be read."""


def _live_base(frame: Frame, workspace: Workspace) -> Base:
    with audiencesync.connect(workspace, frame.target) as remote:
        found = claims(audiencesync.read(remote), workspace.sound().owner)
    before, faults = {}, {}
    for key, claim in found.items():
        live = newest(claim)
        if live and live.audience:
            before[key] = live.audience
        elif live:
            faults[key] = live.hands_off
    return before, faults


def _git_base(frame: Frame, workspace: Workspace, revision: str) -> Base:
    """The audiences as of a revision, under the keys that they have today."""
    from audiencesync import git
    from audiencesync import workspace as workspaces
    from audiencesync.rules import stem
    from audiencesync.source import Severity

    files = {
        path: raw
        for path, raw in git.files_at(workspace.folder, revision).items()
        if path.endswith((".yaml", ".yml")) and Path(path) != workspace.folder / NAME
    }
    then = workspaces.assemble(workspace.folder, files)
    target = audiencesync.target(workspace, frame.target).name
    before = {each.key: each.audience for each in then.desired if each.manage.belongs_to(target)}
    faults = {
        stem(problem.location.path): f"its file is invalid at {revision}: {problem.message}"
        for problem in reversed(then.problems)
        if problem.severity is Severity.ERROR
    }
    for each in workspace.desired:
        for old in each.manage.previous_keys:
            if old in before and each.key not in before:
                before[each.key] = before.pop(old)
    return before, faults


# ---------------------------------------------------------------- export


@command("run", lambda: {"exports": []})
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--no-wait", is_flag=True, help="Asks for the export and leaves it to a later run.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="S", help="Waits this long; an hour by default."
)
@click.option("--restart", is_flag=True, help="Asks again, whatever is under way.")
@output_format("json")
def _export_run(
    frame: Frame, names: tuple[str, ...], timeout: float | None, format_: str, *, no_wait: bool, restart: bool
) -> int:
    """Writes the files that the settings declare under `exports`; all without a NAME."""
    from audiencesync import export
    from audiencesync.report import documents
    from audiencesync.report import exports as report

    workspace = audiencesync.load(frame.workspace)
    declared = {each.name: each for each in workspace.sound().exports}
    chosen = (
        [_declared(declared, name) for name in dict.fromkeys(names)] if names else list(declared.values())
    )
    with _world(frame, workspace) as world:
        results = list(export.run(chosen, world, wait=not no_wait, timeout=timeout, restart=restart))
    if format_ == "json":
        frame.answer(documents.dump(report.document(results)))
    else:
        frame.page(report.page(results))
    return export.exit_code(results)


def _declared(declared: Mapping[str, Export], name: str) -> Export:
    if name not in declared:
        known = ", ".join(sorted(declared)) or "none"
        raise UsageError(f"the settings declare no export {name!r}; there are: {known}")
    return declared[name]


@command("list", lambda: {"items": []})
@click.option("--platform", default="", metavar="NAME", help="Only this GrowingIO platform.")
@output_format("json")
def _export_list(frame: Frame, platform: str, format_: str) -> int:
    """Shows what can be exported: GA4's audiences and exports, GrowingIO's tags, segments and analyses."""
    from audiencesync.listing import Listed, listing
    from audiencesync.report import documents
    from audiencesync.report import listed as report

    workspace = audiencesync.load(frame.workspace)
    settings = workspace.sound()
    platforms = [each.name for each in settings.growingio if platform in ("", each.name)]
    if platform and not platforms:
        raise UsageError(f"the settings have no GrowingIO platform {platform!r}")
    with _world(frame, workspace) as world:
        properties = (
            {} if platform else {audiencesync.target(workspace, frame.target).name: world.open_ga4("")}
        )
        clients: list[GrowingIO] = []
        unopened: list[Listed] = []
        for name in platforms:
            try:
                clients.append(world.open_growingio(name))
            except UsageError as error:  # its token is not set; the others can be listed all the same
                unopened.append(Listed("project", name, error=str(error)))
        found = [*listing(properties, clients, owner=settings.owner), *unopened]
    if format_ == "json":
        frame.answer(documents.dump(report.document(found)))
    else:
        frame.page(report.page(found))
    return ERROR if any(each.error for each in found) else OK


@contextmanager
def _world(frame: Frame, workspace: Workspace) -> Iterator[World]:
    """What an export needs from outside; every connection is closed in the end."""
    from audiencesync import growingio, http
    from audiencesync.export import World
    from audiencesync.listing import find_audience

    settings = workspace.sound()
    platforms = {each.name: each for each in settings.growingio}
    with ExitStack() as stack:

        @cache
        def open_ga4(name: str) -> Property:
            return stack.enter_context(audiencesync.connect(workspace, name or frame.target))

        @cache
        def open_growingio(name: str) -> GrowingIO:
            options = http.Options(limits=None)
            return growingio.connect(platforms[name], environ=os.environ, options=options, warn=frame.note)

        def resolve(name: str, text: str) -> str:
            return find_audience(audiencesync.read(open_ga4(name)), settings.owner, text)

        yield World(
            open_ga4=open_ga4,
            open_growingio=open_growingio,
            resolve=resolve,
            base_dir=workspace.folder,
            state_dir=workspace.state,
            environ=os.environ,
            progress=stack.enter_context(_told(frame)),
        )


@contextmanager
def _told(frame: Frame) -> Iterator[Callable[[Progress], None]]:
    """Progress bars on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield lambda progress: frame.note(str(progress))
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    from audiencesync.report.escape import inert

    text = TextColumn("{task.description}", markup=False)
    console = Console(stderr=True, no_color=not frame.colour(stderr=True))
    with Bars(text, BarColumn(), console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(progress: Progress) -> None:
            task = tasks.setdefault(progress.name, None)
            if task is None:
                task = tasks[progress.name] = bars.add_task("", total=1.0)
            bars.update(task, description=inert(str(progress)), completed=progress.fraction or 0.0)

        yield show


@click.group("export")
@global_options
def export_command() -> None:
    """Members of GA4 audiences; GrowingIO tags, segments and analyses."""


export_command.add_command(_export_run)
export_command.add_command(_export_list)
