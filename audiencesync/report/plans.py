"""A plan -> Page and JSON: what would happen to each key, what it costs, and what holds it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from audiencesync import planfile
from audiencesync.action import Action, Plan, Reason, Verb
from audiencesync.model import Audience
from audiencesync.report import previews as numbers
from audiencesync.report.documents import Document
from audiencesync.report.escape import NAME_LIMIT, quoted
from audiencesync.report.explained import compared
from audiencesync.report.page import (
    Code,
    Diff,
    DiffLine,
    Fold,
    Heading,
    Page,
    Span,
    Spans,
    Table,
    Text,
    Tone,
    code,
    counted,
    line,
)
from audiencesync.report.trees import tree, value, whole
from audiencesync.wire import to_api

if TYPE_CHECKING:
    from audiencesync.sql.preview import Estimate

FIRST_UNMANAGED = 10

TONES = {
    Verb.KEEP: Tone.DIM,
    Verb.CREATE: Tone.ADD,
    Verb.PATCH: Tone.CHANGE,
    Verb.REPLACE: Tone.REPLACE,
    Verb.ARCHIVE: Tone.REMOVE,
    Verb.ADOPT: Tone.ADOPT,
}
_BECAUSE = {
    "bind": "completes an interrupted create: the mark gets the audience's id",
    "mark": "the mark in the description changes, the text does not",
    "resume": "completes an interrupted replacement: what is left over is archived",
    "twin": "two runs made it at the same time: the younger one is archived",
    "adopt": "takes over the live audience: the mark is written into its description",
}
COST = (
    "cost: a new id with an empty membership, nothing is retroactive; "
    "the old audience is archived and the Ads list it feeds stops growing"
)
_PERMANENT = "permanent: its id, its members and its Ads lists are gone"


# ---------------------------------------------------------------- one action


def title(action: Action) -> Spans:
    """The first line: sign, key, displayName and GA4's name."""
    tone = TONES[action.verb]
    name = action.before.name if action.before else ""
    return line(
        Span(f"{action.verb.symbol} ", tone),
        code(action.key, Tone.STRONG),
        "  ",
        code(quoted(action.display_name, NAME_LIMIT)),
        "  " if name else "",
        code(name, Tone.DIM),
    )


def _notes(action: Action) -> Iterator[Spans]:
    """Why it happens, what it costs, what holds it back."""
    if action.because == "rename" and action.before and action.before.mark:
        yield line("the mark moves here from the key ", code(action.before.mark.key))
    elif action.because:
        yield line(_BECAUSE.get(action.because, action.because))
    if action.immutable and action.verb in (Verb.REPLACE, Verb.ADOPT):
        yield line(Span(COST, Tone.REPLACE))
    for live in action.archives:
        if live is not action.before or action.verb is Verb.ARCHIVE:
            yield line(Span("archives ", Tone.REMOVE), code(live.name), Span(f": {_PERMANENT}", Tone.REMOVE))
    if action.blocked:
        yield line(Span(f"blocked [{action.blocked.code}]: {action.blocked.message}", Tone.ERROR))


def _created(audience: Audience, *, verbose: bool) -> Diff:
    """What a new audience will be: everything, or its plain fields and the shape of its clauses."""
    body = to_api(audience)
    body.pop("displayName", None)
    if verbose:
        return whole("+", body)
    clauses = body.pop("filterClauses", [])
    kinds = ", ".join(
        " ".join(str(name) for name in (clause["clauseType"], *_kind(clause))) for clause in clauses
    )
    lines = [DiffLine("+", 0, f"{name}: {value(item)}") for name, item in body.items()]
    return Diff((*lines, DiffLine("+", 0, f"filterClauses: {len(clauses)} ({kinds})")))


def _kind(clause: dict[str, object]) -> tuple[str, ...]:
    return tuple(name for name in clause if name != "clauseType")


def _differences(action: Action, *, verbose: bool) -> Iterator[Diff]:
    if action.changes:
        yield tree(action.changes)
    elif action.verb is Verb.CREATE and action.after:
        yield _created(action.after.audience, verbose=verbose)


def _told(action: Action) -> Iterator[Text]:
    """The audience in plain English, with what differs marked."""
    if action.after and (action.changes or action.verb is Verb.CREATE):
        yield from compared(action.before.audience if action.before else None, action.after.audience)


def _fold(action: Action, estimate: Estimate | None, *, words: bool, verbose: bool) -> Fold:
    notes = tuple(_notes(action))
    blocks: list[Heading | Text | Table | Diff | Code] = []
    users, *more = numbers.told(estimate) if estimate else ((),)
    if estimate and estimate.not_previewable:
        users, more = (), [users, *more]
    if more:
        blocks.append(Text(tuple(more)))
    blocks += _differences(action, verbose=verbose)
    if notes:
        blocks.append(Text(notes))
    if words:
        blocks += _told(action)
    return Fold(title(action) + (line("  ") + users if users else ()), tuple(blocks))


# ---------------------------------------------------------------- the whole plan


def projected(plan: Plan) -> tuple[int, int]:
    """How many audiences and event triggers the property holds once the plan is carried out."""
    audiences, triggers = plan.live_count, plan.trigger_count
    for action in plan.actions:
        if action.blocked or action.verb is Verb.KEEP:
            continue
        gone = action.archives
        appears = action.verb is Verb.CREATE or (
            action.immutable and action.verb in (Verb.REPLACE, Verb.ADOPT)
        )
        audiences += appears - len(gone)
        triggers -= sum(live.has_trigger for live in gone)
        if action.after and action.verb is not Verb.ARCHIVE:
            triggers += action.after.audience.trigger is not None
            if action.before and not appears:
                triggers -= action.before.has_trigger
    return audiences, triggers


def summary(plan: Plan) -> str:
    """The plan in one sentence: how many keys each verb has."""
    counts = plan.summary
    kept = counts[Verb.KEEP.value]
    parts = [
        f"{counts[verb.value]:,} to {verb.value}"
        for verb in Verb
        if verb is not Verb.KEEP and counts[verb.value]
    ]
    blocked = f" {len(plan.blocked):,} blocked." if plan.blocked else ""
    if not parts and not blocked:
        return f"No changes: GA4 holds what the files say ({kept:,} unchanged)."
    return f"Plan: {', '.join(parts) or 'nothing to do'}; {kept:,} unchanged.{blocked}"


def _box(plan: Plan) -> Iterator[Text]:
    """What cannot be taken back, and what is held back, set apart for the reader in a hurry."""
    gone = [action for action in plan.actions if action.archives and not action.blocked]
    if gone:
        count = sum(len(action.archives) for action in gone)
        what = f"This archives {counted(count, 'live audience')} for good: "
        lines = [line(what, *_keys(gone), ". Archiving cannot be taken back.")]
        if replaced := [action for action in gone if action.verb is not Verb.ARCHIVE and action.immutable]:
            lines.append(
                line("Of these, replaced by a new id with an empty membership: ", *_keys(replaced), ".")
            )
        yield Text(tuple(lines), box=Tone.ERROR)
    if plan.blocked:
        what = f"{counted(len(plan.blocked), 'action')} blocked by a safety rule: "
        yield Text((line(what, *_keys(plan.blocked), "."),), box=Tone.WARNING)


def _keys(actions: Sequence[Action]) -> Iterator[str | Span]:
    for number, action in enumerate(actions[:FIRST_UNMANAGED]):
        yield ", " if number else ""
        yield code(action.key)
    if len(actions) > FIRST_UNMANAGED:
        yield f" and {len(actions) - FIRST_UNMANAGED:,} more"


def _unmanaged(plan: Plan, *, verbose: bool) -> Iterator[Fold]:
    if not plan.unmanaged:
        return
    shown = plan.unmanaged if verbose else plan.unmanaged[:FIRST_UNMANAGED]
    rows = tuple(
        (line(code(u.name)), line(code(quoted(u.display_name, NAME_LIMIT))), line(u.reason)) for u in shown
    )
    rest = len(plan.unmanaged) - len(shown)
    more = (Text((line(f"… and {rest:,} more; -v lists them all"),)),) if rest else ()
    many = counted(len(plan.unmanaged), "live audience")
    yield Fold(
        line(f"{many} not managed here, left alone"), (Table(("name", "displayName", "reason"), rows), *more)
    )


def _closing(plan: Plan, report: numbers.Report | None, uncounted: str) -> Iterator[Text]:
    audiences, triggers = projected(plan)
    limits = plan.policy.limits
    use = (
        f"After this plan: {audiences:,} of {limits.audiences:,} audiences, "
        f"{triggers:,} of {limits.triggers:,} event triggers."
    )
    lines = [line(use)]
    if report:
        lines += [line(numbers.basis(report)), line(numbers.DISCLAIMER)]
    if uncounted:
        lines.append(line(Span(f"The users could not be counted: {uncounted}", Tone.WARNING)))
    yield Text(tuple(lines), summary=True)
    tone = Tone.STRONG if plan.changed or plan.blocked else Tone.ADD
    yield Text((line(Span(summary(plan), tone)), line("Digest: ", code(plan.digest))), summary=True)


def page(
    plan: Plan,
    *,
    words: bool = False,
    previews: numbers.Report | None = None,
    uncounted: str = "",
    verbose: bool = False,
) -> Page:
    """The plan for people.

    `words` tells each changed audience in plain English too, `previews` puts the users beside it, `uncounted`
    says why they could not be counted, `verbose` lists what is kept, all that is unmanaged, and the whole
    definition of what is created.
    """
    policy = plan.policy
    estimates = {each.key: each for each in previews.estimates} if previews else {}
    heading = line(
        "Plan for ", code(policy.target), ": property ", code(policy.property), ", owner ", code(policy.owner)
    )
    changed = [action for action in plan.actions if action.verb is not Verb.KEEP or action.blocked]
    kept = [action for action in plan.actions if action.verb is Verb.KEEP and not action.blocked]
    listed = (Fold(line(f"{len(kept):,} unchanged"), (Text(tuple(map(title, kept))),)),) if kept else ()
    return (
        Heading(heading),
        *(_fold(action, estimates.get(action.key), words=words, verbose=verbose) for action in changed),
        *(listed if verbose else ()),
        *_unmanaged(plan, verbose=verbose),
        *_box(plan),
        *_closing(plan, previews, uncounted),
    )


def document(
    plan: Plan | None, error: Reason | None = None, previews: numbers.Report | None = None
) -> Document:
    """The plan as JSON data, what the plan file holds; with `previews`, the users beside each action."""
    data = planfile.document(plan, error)
    if previews is not None:
        estimates = {each.key: numbers.entry(each) for each in previews.estimates}
        for entry in data["actions"]:
            entry["preview"] = estimates.get(entry["key"])
        data["preview"] = numbers.foundation(previews)
    return data
