"""The commands about users: previews and exports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import audiencesync
from audiencesync.cli.frame import ERROR, OK, Day, Frame, command, elsewhere, global_options, output_format
from audiencesync.errors import UsageError
from audiencesync.model import Audience
from audiencesync.settings import Events, Export
from audiencesync.workspace import Workspace

if TYPE_CHECKING:
    from audiencesync.action import Action, Plan
    from audiencesync.export import Progress, World
    from audiencesync.ga4 import Property
    from audiencesync.growingio import GrowingIO
    from audiencesync.sql.preview import Calibration, Comparison, Estimate, Report


# ---------------------------------------------------------------- preview


def _no_previews() -> dict[str, Any]:
    from audiencesync.report import previews

    return previews.document(None)


@command("preview", _no_previews)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option(
    "--events", metavar="PATH", help="The event export instead of the settings' one: Parquet, a DuckDB file."
)
@click.option("--as-of", type=Day(), metavar="YYYY-MM-DD", help="The day to count at.")
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
    as_of: date | None,
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

    if sql:
        given = {"--base": base != "none", "--band": band, "--calibrate": calibrate}
        _alone([*(name for name in given if given[name]), *(["--format"] if format_ != "text" else [])])
    workspace = audiencesync.load(frame.workspace)
    workspace.sound()
    if sql:
        return _print_sql(frame, workspace, keys, events, sql, as_of)
    pairs = _pairs(frame, workspace, keys, base)
    beside_exports = _calibration(frame, workspace) if calibrate else None
    found = compare_users(frame, workspace, list(pairs.values()), events=events, as_of=as_of, band=band)
    beside = beside_exports(found.estimates) if beside_exports else None
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


def _alone(given: Sequence[str]) -> None:
    """Refuses options that --sql would have to ignore."""
    if given:
        raise UsageError(
            f"--sql only prints the statement, offline, so {' and '.join(given)} cannot stand beside it: "
            "leave out what is not meant"
        )


def _plan(frame: Frame, workspace: Workspace, remote: Property) -> Plan:
    """How the files and what GA4 holds go together; it is only read, so an empty workspace is no danger."""
    owner = workspace.sound().owner
    lives = audiencesync.read(remote)
    return audiencesync.compare(workspace, frame.target, lives, archive_everything=owner)


def _calibration(
    frame: Frame, workspace: Workspace
) -> Callable[[Sequence[Estimate]], tuple[Calibration, ...]]:
    """What sets estimates beside the exports that the property has; none is created for it.

    GA4 is asked here, before anything is counted, and perhaps billed.
    """
    from audiencesync.sql.preview import calibrate

    with audiencesync.connect(workspace, frame.target) as remote:
        actions = _plan(frame, workspace, remote).actions
        exports = list(remote.exports())
    names = {action.key: action.before.name for action in actions if action.before}
    differing = {action.key for action in actions if _differs(action)}
    return partial(calibrate, names=names, exports=exports, differing=differing)


def _differs(action: Action) -> bool:
    """Whether what GA4 holds lets in other users than the file."""
    from audiencesync.canonical import definition_fingerprint

    if not (action.before and action.after):
        return False
    live = action.before.audience
    return live is None or definition_fingerprint(live) != definition_fingerprint(action.after.audience)


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
    return replace(events_at(events), time_zone=known.time_zone, table=known.table), Path()


def _files(frame: Frame, workspace: Workspace) -> dict[str, Audience]:
    """The files' audiences of the target, by key."""
    target = audiencesync.target(workspace, frame.target).name
    return {each.key: each.audience for each in workspace.desired if each.manage.belongs_to(target)}


def _wanted(frame: Frame, workspace: Workspace, keys: tuple[str, ...], known: Iterable[str]) -> list[str]:
    """The keys that were asked for, else all that are known."""
    there = sorted(set(known))
    if unknown := [key for key in keys if key not in there]:
        target = audiencesync.target(workspace, frame.target).name
        raise UsageError(elsewhere(workspace, target, unknown[0]) or _nobody(unknown[0]))
    return list(dict.fromkeys(keys)) or there


def _nobody(key: str) -> str:
    """Why a key is refused that no audience has."""
    if "/" in key or key.endswith(".parquet"):
        way = "it looks like a path, and a shell spells an unquoted glob out: --events 'events/*.parquet'"
    else:
        way = "`preview` without keys counts them all"
    return f"no audience has the key {key!r}: {way}"


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
    audiences = [(key, files[key]) for key in _wanted(frame, workspace, keys, files)]
    if not audiences:
        target = audiencesync.target(workspace, frame.target).name
        raise UsageError(f"no audience file belongs to target {target}, so there is no statement to print")
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

    if base == "live":
        known = _live_pairs(frame, workspace)
    elif base == "none":
        files = _files(frame, workspace)
        known = {key: Comparison(key, None, files[key], before_known=False) for key in files}
    else:
        known = _git_pairs(frame, workspace, base)
    return {key: known[key] for key in _wanted(frame, workspace, keys, known)}


def _live_pairs(frame: Frame, workspace: Workspace) -> dict[str, Comparison]:
    """The files beside what GA4 holds, as the plan pairs them."""
    from audiencesync.sql.preview import paired

    with audiencesync.connect(workspace, frame.target) as remote:
        plan = _plan(frame, workspace, remote)
    return {action.key: paired(action) for action in plan.actions}


def _git_pairs(frame: Frame, workspace: Workspace, revision: str) -> dict[str, Comparison]:
    """The files beside those of a revision, under the keys that they have today."""
    from audiencesync import revision as revisions
    from audiencesync.sql.preview import Comparison

    after = _files(frame, workspace)
    then = revisions.read(workspace.folder, revision)
    before = revisions.definitions(workspace, then, audiencesync.target(workspace, frame.target).name)
    pairs = {}
    for key in {**after, **before}:
        was = before.get(key)
        if isinstance(was, Audience) or was is None:
            pairs[key] = Comparison(key, was, after.get(key))
        else:
            fault = revisions.why(workspace.folder, was, revision)
            pairs[key] = Comparison(key, None, after.get(key), before_fault=fault)
    return pairs


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
