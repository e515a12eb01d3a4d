"""What GA4 holds: each live audience with its mark, and which of them are ours, by which key."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from audiencesync import mark as marks
from audiencesync.canonical import canonical_bytes, fingerprint
from audiencesync.errors import UnrepresentableError
from audiencesync.mark import Mark, NotOurs
from audiencesync.model import Audience, FieldFilter, Leaf, Not, SequenceFilter, StringFilter
from audiencesync.wire import from_api

_OTHER_TOOLS = ("created_by_",)
"""How other robots sign inside the filter: Site Kit writes groupId EXACT created_by_googlesitekit:..."""


@dataclass(frozen=True, slots=True)
class Live:
    """One audience that GA4 holds.

    `audience` is None where GA4 holds something that we cannot say; its description is without the mark.
    `mark` is a valid one, bound or not yet bound. `hands_off` says why nobody may touch the audience,
    `stranger` why its mark gives us no right to it.
    """

    name: str
    audience: Audience | None
    mark: Mark | None
    create_time: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    hands_off: str = ""
    stranger: str = ""

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def display_name(self) -> str:
        """The name that people see."""
        return str(self.raw.get("displayName") or "")

    @property
    def has_trigger(self) -> bool:
        """Whether it counts against the property's triggers."""
        return bool(self.raw.get("eventTrigger"))

    @property
    def age(self) -> tuple[str, int, str]:
        """Sorts older before younger."""
        return self.create_time, len(self.id), self.id

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that a person or a tool can change; equal fingerprints, nothing moved.

        The server may answer groups in any order: a representable audience is compared by its canonical
        form, anything else by its raw JSON. The mark counts.
        """
        body = fingerprint(self.audience) if self.audience else canonical_bytes(dict(self.raw)).hex()
        description = str(self.raw.get("description") or "").rstrip()
        return hashlib.sha256(
            f"{self.name}\n{description}\n{body}".encode("utf-8", "surrogatepass")
        ).hexdigest()


def _leaves(audience: Audience) -> Iterable[Leaf]:
    for clause in audience.clauses:
        parts = clause.filter.steps if isinstance(clause.filter, SequenceFilter) else (clause.filter,)
        for part in parts:
            for group in part.groups:
                yield from group.leaves


def _other_tool(audience: Audience) -> str:
    """The signature of another tool inside the filter, or ""."""
    for leaf in _leaves(audience):
        plain = leaf.filter if isinstance(leaf, Not) else leaf
        if isinstance(plain, FieldFilter) and plain.field_name == "groupId":
            condition = plain.condition
            if isinstance(condition, StringFilter) and condition.value.startswith(_OTHER_TOOLS):
                return condition.value
    return ""


def read(raw: Mapping[str, Any], property_number: str) -> Live:
    """Reads one audience as GA4 answers it; never raises for what the answer holds."""
    name = str(raw.get("name") or "")
    description = raw.get("description")
    text = description if isinstance(description, str) else ""
    found = marks.read(text, property_number, name.rpartition("/")[2])
    audience, hands_off = None, ""
    try:
        audience = replace(from_api(raw), description=marks.strip(text))
    except UnrepresentableError as error:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.route).lstrip(
            "."
        )
        hands_off = f"it holds what cannot be written in a file: {error.reason} (at {where or 'the top'})"
    if not raw.get("filterClauses"):
        audience, hands_off = None, "it is one of GA4's default audiences (no filterClauses)"
    elif audience and (tool := _other_tool(audience)):
        hands_off = f"it carries another tool's mark ({tool})"
    return Live(
        name=name,
        audience=audience,
        mark=found if isinstance(found, Mark) else None,
        create_time=str(raw.get("createTime") or ""),
        raw=raw,
        hands_off=hands_off,
        stranger=found.reason if isinstance(found, NotOurs) else "" if found else "it carries no mark",
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """What one key of ours has at the property: all its generations, and those whose mark is ambiguous."""

    key: str
    held: tuple[Live, ...] = ()
    ambiguous: tuple[Live, ...] = ()


def claims(lives: Sequence[Live], owner: str) -> dict[str, Claim]:
    """Which audiences are ours, by key.

    An unbound mark is our own interrupted create: ours if it is alone for its key and generation and
    nothing bound has them; else ambiguous (a duplicate made in the UI before it was bound, or a race).
    """
    by_place: dict[tuple[str, int], list[Live]] = defaultdict(list)
    for live in lives:
        if live.mark and live.mark.owner == owner:
            by_place[live.mark.key, live.mark.generation].append(live)
    found: dict[str, Claim] = {}
    for (key, _generation), members in sorted(by_place.items()):
        bound = tuple(live for live in members if live.mark and live.mark.id)
        unbound = tuple(live for live in members if live.mark and not live.mark.id)
        claim = found.get(key, Claim(key))
        if len(unbound) == 1 and not bound:
            bound, unbound = unbound, ()
        found[key] = Claim(key, claim.held + bound, claim.ambiguous + unbound)
    return found


def newest(claim: Claim) -> Live | None:
    """The audience of the newest generation that a key holds."""
    return max(
        claim.held, key=lambda live: (live.mark.generation if live.mark else 0, live.age), default=None
    )


def reason_unmanaged(live: Live, owner: str) -> str:
    """Why we leave an audience alone."""
    if live.mark and live.mark.owner != owner:
        return f"it belongs to owner {live.mark.owner}"
    return live.hands_off or live.stranger or "its mark is ambiguous: another audience carries the same one"
