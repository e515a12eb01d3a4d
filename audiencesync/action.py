"""A plan as frozen records: what happens to each key, what it rests on, and the digest that seals it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from audiencesync.canonical import canonical_bytes, fingerprint
from audiencesync.changes import Change
from audiencesync.live import Live
from audiencesync.mark import Mark
from audiencesync.model import Desired
from audiencesync.settings import Limits


class Verb(StrEnum):
    """What happens to one key; the value is the word in the JSON."""

    KEEP = "keep"
    CREATE = "create"
    PATCH = "patch"
    REPLACE = "replace"
    ARCHIVE = "archive"
    ADOPT = "adopt"

    @property
    def symbol(self) -> str:
        """The sign before the key in a text plan."""
        return _SYMBOLS[self]


_SYMBOLS = {
    Verb.KEEP: " ",
    Verb.CREATE: "+",
    Verb.PATCH: "~",
    Verb.REPLACE: "±",
    Verb.ARCHIVE: "-",
    Verb.ADOPT: "→",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an action may not be carried out: a code for scripts, a sentence with the way out for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to one key.

    `before` is the live audience that stays or goes, `after` the file's; `mark` is what the live one shall
    carry in the end. `superseded` are further audiences of ours under this key, to be archived.
    `because` says why a keep became more: bind, rename, mark, resume, twin; it never drives a decision.
    """

    verb: Verb
    key: str
    before: Live | None = None
    after: Desired | None = None
    changes: tuple[Change, ...] = ()
    mark: Mark | None = None
    superseded: tuple[Live, ...] = ()
    because: str = ""
    blocked: Reason | None = None

    @property
    def display_name(self) -> str:
        """The name that people know: the file's, else the live one's."""
        return (
            self.after.audience.display_name
            if self.after
            else self.before.display_name
            if self.before
            else ""
        )

    @property
    def immutable(self) -> bool:
        """Whether a change is among those that GA4 takes only at creation."""
        return any(change.immutable for change in self.changes)

    @property
    def update_mask(self) -> tuple[str, ...]:
        """The fields that a patch names; the description whenever the mark has to change."""
        if self.verb not in (Verb.PATCH, Verb.ADOPT) or self.immutable:
            return ()
        names = {str(change.route[0]) for change in self.changes}
        if self.because:
            names.add("description")
        return tuple(sorted(names))

    @property
    def archives(self) -> tuple[Live, ...]:
        """The audiences that this action archives."""
        gone = (self.before,) if self.before and self._before_goes else ()
        return gone + self.superseded

    @property
    def _before_goes(self) -> bool:
        if self.verb in (Verb.REPLACE, Verb.ADOPT):
            return self.immutable
        return self.verb is Verb.ARCHIVE and self.after is None


class Status(StrEnum):
    """How an action ended; the value is the word in the JSON."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one action ended; `live` is what the property holds for the key now, as far as it is known."""

    action: Action
    status: Status
    live: Live | None = None
    error: Reason | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Whose plan it is and what it may reach.

    `selection` empty = every key; `archive_everything` names the owner where an empty workspace is meant;
    `allow_replace` lets an adoption replace what differs.
    """

    owner: str
    target: str
    property: str
    limits: Limits = field(default_factory=Limits)
    selection: tuple[str, ...] = ()
    archive_everything: str = ""
    allow_replace: bool = False


@dataclass(frozen=True, slots=True)
class Unmanaged:
    """A live audience that we leave alone, and why."""

    name: str
    display_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to each key, in the order of the keys; `live_count` audiences are active before."""

    policy: Policy
    actions: tuple[Action, ...]
    unmanaged: tuple[Unmanaged, ...] = ()
    live_count: int = 0
    trigger_count: int = 0

    @property
    def summary(self) -> dict[str, int]:
        """How many keys each verb has, every verb named."""
        return {verb.value: sum(action.verb is verb for action in self.actions) for verb in Verb}

    @property
    def blocked(self) -> tuple[Action, ...]:
        """The actions that a safety rule holds back."""
        return tuple(action for action in self.actions if action.blocked)

    @property
    def changed(self) -> bool:
        """Whether anything would be written."""
        return any(action.verb is not Verb.KEEP for action in self.actions)

    @property
    def fingerprints(self) -> dict[str, dict[str, str]]:
        """What the plan rests on: each file's audience with its block, and each live audience touched."""
        desired = {a.key: _desired_fingerprint(a.after) for a in self.actions if a.after}
        touched = [live for a in self.actions for live in (a.before, *a.superseded) if live]
        return {"desired": desired, "live": {live.name: live.fingerprint for live in touched}}

    @property
    def digest(self) -> str:
        """SHA-256 of owner, property, selection, fingerprints and actions; limits and flags do not count."""
        return digest_of(plan_core(self))


def _desired_fingerprint(desired: Desired) -> str:
    block = desired.manage
    own = [
        fingerprint(desired.audience),
        block.prevent_archive,
        sorted(block.adopt),
        sorted(block.previous_keys),
    ]
    return hashlib.sha256(canonical_bytes(own)).hexdigest()


def plan_core(plan: Plan) -> dict[str, Any]:
    """The part of the plan's JSON that the digest covers."""
    return {
        "owner": plan.policy.owner,
        "target": plan.policy.target,
        "property": plan.policy.property,
        "selection": sorted(plan.policy.selection),
        "fingerprints": plan.fingerprints,
        "actions": [
            {
                "verb": action.verb.value,
                "key": action.key,
                "displayName": action.display_name,
                "name": action.before.name if action.before else None,
                "changes": [
                    {"path": c.path, "before": c.before, "after": c.after, "immutable": c.immutable}
                    for c in action.changes
                ],
                "updateMask": list(action.update_mask),
                "reason": action.because or None,
                "archives": [live.name for live in action.archives],
            }
            for action in plan.actions
        ],
    }


def digest_of(core: dict[str, Any]) -> str:
    """The digest of a plan's core, as it stands in the plan's JSON."""
    return hashlib.sha256(canonical_bytes(core)).hexdigest()
