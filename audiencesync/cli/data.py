"""The commands about users: previews and exports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import click

import audiencesync
from audiencesync.cli.frame import ERROR, OK, Frame, command, global_options, output_format
from audiencesync.errors import UsageError
from audiencesync.settings import Export
from audiencesync.workspace import Workspace

if TYPE_CHECKING:
    from audiencesync.export import Progress, World
    from audiencesync.ga4 import Property
    from audiencesync.growingio import GrowingIO


# ---------------------------------------------------------------- export


@command("run")
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

    frame.document = {"exports": []}
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


@command("list")
@click.option("--platform", default="", metavar="NAME", help="Only this GrowingIO platform.")
@output_format("json")
def _export_list(frame: Frame, platform: str, format_: str) -> int:
    """Shows what can be exported: GA4's audiences and exports, GrowingIO's tags, segments and analyses."""
    from audiencesync.listing import listing
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
        clients = [world.open_growingio(name) for name in platforms]
        found = list(listing(properties, clients, owner=settings.owner))
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
