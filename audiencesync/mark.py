"""The ownership mark in a live description: write it, read it, take it away.

    [audiencesync acme-web:cart-abandoners g2 @4711 pz7k]
                  owner    key             generation  own id  check

The tool keeps no state, and GA4 offers no labels: ownership lives on the last line of the description. The
mark names the audience's own id, so that the copy which GA4's "Duplicate" button makes is not ours; the
check covers property, owner, key, generation, id and flags, so an edited or carried-over mark is not ours.
A flag (`keep` for preventArchive) stands before the check. A mark without an id is one that its create has
not bound yet.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

KEEP = "keep"
_ANY = re.compile(r"\[\s*audiencesync\b[^\[\]]*\]?", re.IGNORECASE)
_BLANK = " \t\r\n"
_MARK = re.compile(
    r"\[(?P<text>audiencesync (?P<owner>[a-z0-9-]{1,40}):(?P<key>[A-Za-z0-9][A-Za-z0-9._-]{0,99})"
    r" g(?P<generation>[1-9][0-9]{0,8})(?: @(?P<id>[0-9]{1,20}))?(?P<flags>(?: [a-z]{1,20}){0,8}))"
    r" (?P<check>[a-z2-7]{4})\]"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """Who manages an audience; `id` is the audience's own, "" until the mark is bound."""

    owner: str
    key: str
    generation: int = 1
    id: str = ""
    prevent_archive: bool = False


@dataclass(frozen=True, slots=True)
class NotOurs:
    """Why what stands in a description gives nobody a right to the audience."""

    reason: str


def _check(text: str, property_number: str) -> str:
    digest = hashlib.sha256(f"{property_number}\n{text}".encode()).digest()
    return base64.b32encode(digest)[:4].decode().lower()


def write(mark: Mark, property_number: str) -> str:
    """The mark's line, valid at that property alone."""
    bound = f" @{mark.id}" if mark.id else ""
    flags = f" {KEEP}" if mark.prevent_archive else ""
    text = f"audiencesync {mark.owner}:{mark.key} g{mark.generation}{bound}{flags}"
    return f"[{text} {_check(text, property_number)}]"


def attach(description: str, mark: Mark, property_number: str) -> str:
    """The description as GA4 is to hold it: the text, and the mark on a line of its own."""
    text = description.rstrip()
    return f"{text}\n{write(mark, property_number)}" if text else write(mark, property_number)


def looks_like_mark(text: str) -> bool:
    """Whether a text holds anything that a reader could take for a mark."""
    return _ANY.search(text) is not None


def strip(description: str) -> str:
    """The description without any mark, whoever's it is, and without trailing white space.

    A mark is taken away wherever it stands: people write below it in the UI, and text fields lose newlines.
    """
    if not looks_like_mark(description):
        return description.rstrip()
    # A pattern that begins with white space would take quadratic time where somebody wrote much of it.
    *before, last = _ANY.split(description)
    return "".join((*(text.rstrip(_BLANK) for text in before), last)).rstrip()


def read(description: str, property_number: str, audience_id: str) -> Mark | NotOurs | None:
    """The mark of one live audience: bound to it or not yet bound; None where there is none.

    A mark that is edited, cut, carried over from another property, copied from another audience, doubled or
    of a newer version is NotOurs.
    """
    found = _ANY.findall(description)
    if not found:
        return None
    if len(found) > 1:
        return NotOurs("it carries several marks")
    parts = _MARK.fullmatch(found[0])
    if parts is None or parts["check"] != _check(parts["text"], property_number):
        return NotOurs("its mark was edited, cut, or carried over from another property")
    flags = set(parts["flags"].split())
    if flags - {KEEP}:
        return NotOurs("its mark was written by a newer audiencesync")
    if parts["id"] and parts["id"] != audience_id:
        return NotOurs(f"it is a copy: its mark belongs to audience {parts['id']}")
    return Mark(parts["owner"], parts["key"], int(parts["generation"]), parts["id"] or "", KEEP in flags)
