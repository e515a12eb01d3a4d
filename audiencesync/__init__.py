"""Audience-as-code for Google Analytics 4: the public verbs.

    workspace = audiencesync.load("audiences")
    with audiencesync.connect(workspace, "demo") as remote:
        plan = audiencesync.compare(workspace, "demo", audiencesync.read(remote))

Each verb imports what it needs when it is called, so that importing the package costs nothing. No verb has
the name of a module: importing audiencesync.plan would put the module in the function's place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from audiencesync import http
    from audiencesync.action import Outcome, Plan
    from audiencesync.apply import Options
    from audiencesync.ga4 import Property
    from audiencesync.live import Live
    from audiencesync.local.api import Api
    from audiencesync.local.context import Members
    from audiencesync.local.store import Store
    from audiencesync.model import Audience
    from audiencesync.settings import Target
    from audiencesync.workspace import Workspace

__version__ = "0.1.0"

__all__ = ["__version__", "carry_out", "compare", "connect", "embedded", "load", "read", "target"]


def load(folder: str | Path | None = None) -> Workspace:
    """Reads and checks a workspace; without a folder `.` if it has settings, else `./audiences`.

    Errors: UsageError where there is no workspace. What is wrong in the files is in `.problems`.
    """
    from audiencesync import workspace

    return workspace.load(workspace.find(None if folder is None else str(folder)))


def target(workspace: Workspace, name: str = "") -> Target:
    """The target of that name, else the default one.

    Errors: InvalidFilesError for a workspace with errors, UsageError for an unknown target.
    """
    from audiencesync.errors import UsageError

    settings = workspace.sound()
    found = settings.target(name)
    if found is None:
        names = ", ".join(each.name for each in settings.targets)
        wrong = (
            f"there is no target {name!r}"
            if name
            else "no target is named and the settings have no defaultTarget"
        )
        raise UsageError(f"{wrong}: name one of {names} with -t")
    if found.credentials in ("default", "anonymous"):
        return found
    # Paths in the settings are relative to the settings file.
    return replace(found, credentials=str(workspace.folder / found.credentials))


@contextmanager
def connect(
    workspace: Workspace, name: str = "", *, write: bool = False, options: http.Options | None = None
) -> Iterator[Property]:
    """Opens a target's property with the least scope: read only, unless `write`.

    Errors: UsageError for credentials that cannot be used, StoreError for the embedded property's database.
    """
    from audiencesync import ga4, http

    wanted = target(workspace, name)
    if wanted.endpoint == "local":
        from audiencesync.local.store import Store

        unpaced = replace(options or http.Options(), limits=None)
        store = Store(workspace.state)
        try:
            api = embedded(store, (wanted.property,), workspace)
            with http.connect_local(api.answer, unpaced) as both:
                yield ga4.Property(both, both, wanted.property)
        finally:
            store.close()
        return
    paced = options or http.Options(limits=wanted.limits)
    scopes = (ga4.EDIT_SCOPE,) if write else (ga4.READ_SCOPE,)
    with (
        http.connect_google(wanted, ga4.ADMIN_HOST, scopes, paced) as admin,
        http.connect_google(wanted, ga4.DATA_HOST, (ga4.READ_SCOPE,), paced) as data,
    ):
        yield ga4.Property(admin, data, wanted.property)


def embedded(
    store: Store,
    properties: Sequence[str],
    workspace: Workspace | None = None,
    *,
    export_delay: float | None = None,
) -> Api:
    """The embedded property out of a store; the workspace's event export gives its exports their members."""
    from audiencesync.local.api import EXPORT_DELAY, Api

    delay = EXPORT_DELAY if export_delay is None else export_delay
    return Api(store=store, properties=tuple(properties), export_delay=delay, members=_members(workspace))


def _members(workspace: Workspace | None) -> Members | None:
    """Who is in an audience, by the preview's evaluation of the target's own event export."""
    if workspace is None or workspace.settings is None:
        return None
    settings = workspace.settings
    sources = {target.property: target.events for target in settings.targets if target.events}
    if not sources:
        return None

    def members(audience: Audience, number: str) -> Iterable[tuple[str, ...]]:
        from audiencesync.sql.preview import members as evaluate

        source = sources.get(number)
        return evaluate(audience, source, base_dir=workspace.folder) if source else ()

    return members


def read(remote: Property) -> list[Live]:
    """Every audience of the property with its mark; an incomplete read is an error."""
    from audiencesync.live import read as read_one

    return [read_one(raw, remote.number) for raw in remote.audiences()]


def compare(
    workspace: Workspace,
    name: str,
    lives: Sequence[Live],
    *,
    selection: Sequence[str] = (),
    archive_everything: str = "",
    allow_replace: bool = False,
) -> Plan:
    """Compares the workspace with what the property holds.

    Errors: InvalidFilesError, UsageError as in plan.plan.
    """
    from audiencesync.action import Policy
    from audiencesync.plan import plan

    settings, wanted = workspace.sound(), target(workspace, name)
    policy = Policy(
        owner=settings.owner,
        target=wanted.name,
        property=wanted.property,
        limits=wanted.limits,
        selection=tuple(selection),
        archive_everything=archive_everything,
        allow_replace=allow_replace,
    )
    return plan(workspace.desired, lives, policy)


def carry_out(plan: Plan, remote: Property, options: Options | None = None) -> Iterator[Outcome]:
    """Carries a plan out, one outcome an action; see apply.apply."""
    from audiencesync.apply import apply

    return apply(plan, remote, options)
