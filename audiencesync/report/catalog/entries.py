"""What the catalog says of each audience beside its definition: relatives, warnings, dates, limits left."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import PurePath

from audiencesync.canonical import canonical, canonical_bytes, definition_fingerprint
from audiencesync.fields import ClauseType
from audiencesync.git import LastChange
from audiencesync.model import Audience, Desired, SequenceFilter
from audiencesync.report.catalog.numbers import Numbers
from audiencesync.settings import Settings
from audiencesync.source import Problem
from audiencesync.sql.preview.records import Estimate
from audiencesync.wire import to_api
from audiencesync.words import Description, Kind, Sentence, words


@dataclass(frozen=True, slots=True)
class Inputs:
    """A workspace without errors, and what is known about it beside its files.

    `texts` maps paths to the files' texts; `changes` maps paths below `folder` to their newest commits.
    Without `as_of` no review is called overdue.
    """

    settings: Settings
    desired: Sequence[Desired]
    folder: str
    texts: Mapping[str, str]
    problems: Sequence[Problem] = ()
    changes: Mapping[str, LastChange] = field(default_factory=dict)
    numbers: Numbers | None = None
    as_of: date | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One audience of the catalog; `same` and `near` are other entries' keys.

    `same` have the same definition; `near` have the same conditions, and differ in how long members stay or
    in how exclusion lasts.
    """

    desired: Desired
    page: str
    path: str
    words: Description
    targets: tuple[str, ...]
    text: str
    warnings: tuple[Problem, ...] = ()
    change: LastChange | None = None
    users: Estimate | None = None
    overdue: bool = False
    same: tuple[str, ...] = ()
    near: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Our identity of the audience."""
        return self.desired.key

    @property
    def audience(self) -> Audience:
        """The definition."""
        return self.desired.audience

    @property
    def has_exclusion(self) -> bool:
        """Whether a clause keeps users out."""
        return any(clause.type is ClauseType.EXCLUDE for clause in self.audience.clauses)

    @property
    def has_sequence(self) -> bool:
        """Whether a clause asks for an order."""
        return any(isinstance(clause.filter, SequenceFilter) for clause in self.audience.clauses)


@dataclass(frozen=True, slots=True)
class Room:
    """How much of a target's limits the files take."""

    name: str
    property: str
    audiences: int
    most_audiences: int
    triggers: int
    most_triggers: int


_SAFE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_UNSAFE = re.compile(r"[^a-z0-9]+")
INDEX = "index.html"


def page_name(key: str) -> str:
    """The file name of a key's page: never a path, and another one for each key.

    A key in lower case stands in it as it is. Any other is spelt with what is safe of it and a digest, since
    there are file systems to which A and a are one.
    """
    if _SAFE.fullmatch(key):
        return f"audience-{key}.html"
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    slug = _UNSAFE.sub("-", key.lower())[:40].strip("-")
    return f"audience_{slug}_{digest}.html"


def entries(inputs: Inputs) -> list[Entry]:
    """One entry for each audience, sorted by displayName."""
    warnings = defaultdict(list)
    for problem in inputs.problems:
        warnings[problem.location.path].append(problem)
    targets = [target.name for target in inputs.settings.targets]
    found = [
        Entry(
            desired=each,
            page=page_name(each.key),
            path=below(each.document.path, inputs.folder),
            words=words(each.audience),
            targets=tuple(name for name in targets if each.manage.belongs_to(name)),
            text=inputs.texts.get(each.document.path, ""),
            warnings=tuple(warnings[each.document.path]),
            change=inputs.changes.get(below(each.document.path, inputs.folder)),
            users=inputs.numbers.users.get(each.key) if inputs.numbers else None,
            overdue=_overdue(each.manage.review_by, inputs.as_of),
        )
        for each in inputs.desired
    ]
    return sorted(_related(found), key=lambda entry: (entry.audience.display_name.casefold(), entry.key))


def below(path: str, folder: str) -> str:
    """The path from the folder on, with slashes."""
    whole, start = PurePath(path), PurePath(folder)
    return (whole.relative_to(start) if whole.is_relative_to(start) else whole).as_posix()


def _overdue(review_by: str, as_of: date | None) -> bool:
    return bool(review_by) and as_of is not None and review_by < as_of.isoformat()


def _related(found: Sequence[Entry]) -> list[Entry]:
    """The entries with the keys of those that say the same, or nearly."""
    same, near = defaultdict(set), defaultdict(set)
    prints = []
    for entry in found:
        clauses = to_api(canonical(entry.audience))["filterClauses"]
        pair = definition_fingerprint(entry.audience), canonical_bytes(clauses)
        prints.append(pair)
        same[pair[0]].add(entry.key)
        near[pair[1]].add(entry.key)
    return [
        replace(
            entry,
            same=tuple(sorted(same[whole] - {entry.key})),
            near=tuple(sorted(near[clauses] - same[whole])),
        )
        for entry, (whole, clauses) in zip(found, prints, strict=True)
    ]


def rooms(inputs: Inputs) -> list[Room]:
    """What the files take of each target's limits."""
    return [
        Room(
            target.name,
            target.property,
            len(own),
            target.limits.audiences,
            sum(each.audience.trigger is not None for each in own),
            target.limits.triggers,
        )
        for target in inputs.settings.targets
        for own in [[each for each in inputs.desired if each.manage.belongs_to(target.name)]]
    ]


_MOST_TERMS = 400


def terms(entry: Entry) -> str:
    """What the definition is about, to search by: its names and values, each once."""
    found = dict.fromkeys(_marked(entry.words[1:]))
    seen = f"{entry.audience.display_name} {entry.audience.description}".casefold()
    return " ".join(term for term in found if term.casefold() not in seen)[:_MOST_TERMS]


def _marked(sentences: Iterable[Sentence]) -> Iterable[str]:
    for sentence in sentences:
        for span in sentence.spans:
            if span.kind is not Kind.PLAIN and span.text not in _OURS:
                yield span.text.strip("“”")
        yield from _marked(sentence.children)


_OURS = {"let in", "kept out", "lets"}
