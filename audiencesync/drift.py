"""What differs between the files' last applied state and GA4, and who made it so. Pure.

Without state of our own, GA4's change history is what tells an edit in the UI from a commit that was not
applied yet: the file's definition stands somewhere in the audience's history and others came after it, or it
stands nowhere. Where the history cannot be read, or does not reach back far enough, a difference is said to
differ and nobody guesses.

Source: accounts.searchChangeHistoryEvents, ChangeHistoryEvent (Admin API v1alpha).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from audiencesync import live as lives
from audiencesync.action import Action, Plan, Unmanaged, Verb
from audiencesync.canonical import fingerprint
from audiencesync.changes import Change
from audiencesync.live import Live
from audiencesync.mark import Mark


class Kind(StrEnum):
    """What a difference is; all but `unapplied` are drift."""

    EDITED = "edited"
    ARCHIVED = "archived"
    CREATED = "created"
    DIFFERS = "differs"
    UNAPPLIED = "unapplied"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one audience; `before` and `after` are None where it was created or archived."""

    when: str
    actor: str
    name: str
    before: Live | None
    after: Live | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One audience that is not as the files say; `live` is what GA4 holds, `event` the change that did it."""

    kind: Kind
    key: str
    name: str
    display_name: str
    changes: tuple[Change, ...] = ()
    live: Live | None = None
    event: Event | None = None

    @property
    def is_drift(self) -> bool:
        """Whether it came from outside git, or may have."""
        return self.kind is not Kind.UNAPPLIED


def events(history: Iterable[Mapping[str, Any]], property_number: str) -> list[Event]:
    """Reads change history events liberally, oldest first; what is about no audience is passed over."""
    found = []
    for entry in history:
        changes = entry.get("changes")
        for change in changes if isinstance(changes, list) else ():
            if isinstance(change, dict):
                name = str(change.get("resource") or "")
                before, after = (_snapshot(change.get(side), name, property_number) for side in _SIDES)
                if "/audiences/" in name and (before or after):
                    when, actor = str(entry.get("changeTime") or ""), str(entry.get("userActorEmail") or "")
                    found.append(Event(when, actor, name, before, after))
    return sorted(found, key=lambda event: event.when)


_SIDES = ("resourceBeforeChange", "resourceAfterChange")


def _snapshot(side: object, name: str, property_number: str) -> Live | None:
    body = side.get("audience") if isinstance(side, dict) else None
    return lives.read({**body, "name": name}, property_number) if isinstance(body, dict) else None


def drift(plan: Plan, history: Sequence[Event] | None) -> tuple[Difference, ...]:
    """The differences of a plan, in the order of their keys; `history` None where it cannot be read."""
    found = [
        difference
        for action in plan.actions
        if action.verb is not Verb.KEEP or action.blocked
        for difference in (_difference(action, plan, history),)
    ]
    explained = {each.name for each in found if each.event}
    made = [_created(each, history or ()) for each in plan.unmanaged if each.name not in explained]
    strangers = sorted((each for each in made if each), key=lambda each: each.name)
    return (*found, *strangers)


def _difference(action: Action, plan: Plan, history: Sequence[Event] | None) -> Difference:
    live = action.before
    name = live.name if live else ""
    base = Difference(Kind.DIFFERS, action.key, name, action.display_name, action.changes, live)
    if history is None:
        return base
    if live is None:
        return _vanished(base, action, plan, history)
    own = [event for event in history if event.name == name]
    if not own:
        return base
    if action.after is None:
        return _as(base, Kind.UNAPPLIED)
    wanted = fingerprint(action.after.audience)
    seen = [_says(event.after, wanted) for event in own]
    # The first event's other side counts too: the history may begin with the edit.
    if any(seen[:-1]) or _says(own[0].before, wanted):
        return _as(base, Kind.EDITED, own[-1]) if not seen[-1] else _as(base, Kind.UNAPPLIED)
    return _as(base, Kind.UNAPPLIED)


def _vanished(base: Difference, action: Action, plan: Plan, history: Sequence[Event]) -> Difference:
    """A file without a live audience: archived outside, its mark taken off, or never applied."""
    owner, key = plan.policy.owner, action.key

    def was_ours(live: Live | None) -> bool:
        mark: Mark | None = live.mark if live else None
        return bool(mark and mark.id and (mark.owner, mark.key) == (owner, key))

    lost = [event for event in history if was_ours(event.before) and not was_ours(event.after)]
    if not lost:
        return _as(base, Kind.UNAPPLIED)
    event = lost[-1]
    kind = Kind.ARCHIVED if event.after is None else Kind.EDITED
    return Difference(kind, base.key, event.name, base.display_name, (), event.after, event)


def _created(stranger: Unmanaged, history: Sequence[Event]) -> Difference | None:
    """A stranger that somebody made while the history was watching."""
    event = next((each for each in history if each.name == stranger.name and each.before is None), None)
    if event is None:
        return None
    return Difference(Kind.CREATED, "", stranger.name, stranger.display_name, (), event.after, event)


def _says(live: Live | None, wanted: str) -> bool:
    return live is not None and live.audience is not None and fingerprint(live.audience) == wanted


def _as(base: Difference, kind: Kind, event: Event | None = None) -> Difference:
    return Difference(kind, base.key, base.name, base.display_name, base.changes, base.live, event)
