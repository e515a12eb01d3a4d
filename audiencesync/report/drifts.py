"""What changed outside git -> Page and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from audiencesync.action import Plan, Reason
from audiencesync.drift import Difference, Kind
from audiencesync.report.documents import Document, head
from audiencesync.report.page import Heading, Page, Span, Spans, Text, Tone, code, line

_WORDS = {
    Kind.EDITED: ("edited outside git", Tone.CHANGE),
    Kind.ARCHIVED: ("archived outside git", Tone.REMOVE),
    Kind.CREATED: ("created outside git", Tone.ADD),
    Kind.DIFFERS: ("differs", Tone.WARNING),
    Kind.UNAPPLIED: ("not applied yet", Tone.DIM),
}
_WAYS = {
    Kind.EDITED: "`audiencesync drift --accept` writes it into the file, `audiencesync apply` takes it back",
    Kind.ARCHIVED: "delete the file if that is right; `audiencesync apply` creates it anew, with a new id",
    Kind.CREATED: "`audiencesync import` writes a file for it, or leave it to whoever made it",
    Kind.DIFFERS: "`audiencesync drift --accept` lets GA4's values win, `audiencesync apply` the file's",
}


def _lines(found: Difference) -> tuple[Spans, ...]:
    words, tone = _WORDS[found.kind]
    name = code(found.key or found.display_name, Tone.STRONG)
    first = line(name, "  ", Span(words, tone), "  " if found.name else "", code(found.name, Tone.DIM))
    lines = [first]
    if found.event:
        lines.append(line("    by ", code(found.event.actor or "somebody"), f" at {found.event.when}"))
    if found.is_drift:
        for change in found.changes:
            file, held = (
                code(json.dumps(side, ensure_ascii=False)) for side in (change.after, change.before)
            )
            lines.append(line("    ", code(change.path), ": the file says ", file, ", GA4 holds ", held))
        lines.append(line("    ", Span(_WAYS[found.kind], Tone.DIM)))
    return tuple(lines)


def page(found: Sequence[Difference], *, history: bool) -> Page:
    """The differences for people; nothing at all where there is none."""
    if not found:
        return ()
    blocks = [Text(_lines(each)) for each in found]
    note = () if history else (Text((line(Span(_WHY, Tone.DIM)),)),)
    return (Heading(line("Drift")), *blocks, *note)


_WHY = (
    "The change history could not be read, so nobody can say who did it: it takes the scope analytics.edit "
    "and the account's number."
)


def document(
    found: Sequence[Difference], plan: Plan | None, *, history: bool, error: Reason | None = None
) -> Document:
    """The differences as JSON data; `history` says whether the change history was read."""
    return {
        **head(error),
        "target": plan.policy.target if plan else None,
        "property": plan.policy.property if plan else None,
        "history": history,
        "drift": [_entry(each) for each in found],
        "summary": {kind.value: sum(each.kind is kind for each in found) for kind in Kind},
    }


def _entry(found: Difference) -> Document:
    event = found.event
    return {
        "kind": found.kind.value,
        "key": found.key or None,
        "name": found.name or None,
        "displayName": found.display_name,
        "changes": [
            {"path": change.path, "file": change.after, "live": change.before, "immutable": change.immutable}
            for change in found.changes
        ],
        "actor": event.actor or None if event else None,
        "changeTime": event.when if event else None,
    }
