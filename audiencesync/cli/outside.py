"""The command that looks for what changed outside git."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import audiencesync
from audiencesync.action import Plan
from audiencesync.cli.frame import CHANGES, OK, Frame, command, output_format
from audiencesync.errors import ApiError, UsageError
from audiencesync.workspace import Workspace

if TYPE_CHECKING:
    from audiencesync.drift import Difference, Event
    from audiencesync.ga4 import Property


def _no_drift() -> dict[str, Any]:
    from audiencesync.report import drifts

    return drifts.document((), None, history=False)


@command("drift", _no_drift)
@click.option("--accept", is_flag=True, help="Writes GA4's values into the files; comments are kept.")
@click.option(
    "--since", default=90, show_default=True, type=click.IntRange(1), help="Days of change history."
)
@output_format("json", "markdown")
def drift_command(frame: Frame, since: int, format_: str, *, accept: bool) -> int:
    """Shows what changed outside git, and by whom where the change history can be read."""
    from audiencesync.drift import drift
    from audiencesync.report import documents, drifts, markdown

    workspace = audiencesync.load(frame.workspace)
    workspace.sound()
    with audiencesync.connect(workspace, frame.target, write=True) as remote:
        plan = audiencesync.compare(workspace, frame.target, audiencesync.read(remote))
        history = _history(frame, workspace, remote, since)
    found = drift(plan, history)
    if accept:
        _accept(frame, plan, found)
    if format_ == "json":
        frame.answer(documents.dump(drifts.document(found, plan, history=history is not None)))
    elif page := drifts.page(found, history=history is not None):
        if format_ == "markdown":
            frame.answer(markdown.render(page))
        else:
            frame.page(page)
    return CHANGES if any(each.is_drift for each in found) else OK


def _history(frame: Frame, workspace: Workspace, remote: Property, since: int) -> list[Event] | None:
    """The change history, or None where the scope, the role or the account is missing."""
    from audiencesync.drift import events

    target = audiencesync.target(workspace, frame.target)
    try:
        account = target.account or remote.account()
        if not account:
            return None
        start = datetime.now(UTC) - timedelta(days=since)
        return events(remote.change_history(account, start), remote.number)
    except ApiError as error:
        frame.note(f"the change history cannot be read: {error}")
        return None


def _accept(frame: Frame, plan: Plan, found: Sequence[Difference]) -> None:
    """Writes the live values of what was edited into its file; the next plan keeps them."""
    from audiencesync import layout, writing
    from audiencesync.wire import to_api

    documents = {action.key: action.after.document for action in plan.actions if action.after}
    for each in found:
        live = each.live.audience if each.live else None
        if not each.is_drift or each.key not in documents or live is None:
            continue
        path = Path(documents[each.key].path)
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
        writing.overwrite(path, layout.updated_text(str(path), text, to_api(live)))
        frame.note(f"{path} now says what GA4 holds")
