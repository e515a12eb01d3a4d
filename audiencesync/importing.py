"""Live audiences -> files: one each, stably named, with `manage.adopt` where the audience is not ours yet.

    what GA4 holds                                   what becomes of it
    ours, and its key has a file                     kept: the file is left alone
    ours, without a file                             written back under its own key
    adopted by a file (manage.adopt)                 kept
    another owner's or tool's, a default audience,
    what no file can say, what breaks a rule         skipped, with the reason
    anything else                                    written, with manage.adopt

Nothing is written over, and an audience that a file speaks for is passed over, so a second run changes
nothing. Where the policy requires contact, labels or reviewBy and nobody named them, a stand-in is written
and a note says so: the files validate, and the plan works.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from audiencesync import layout, writing
from audiencesync import workspace as workspaces
from audiencesync.errors import InvalidFilesError, UnrepresentableError, UsageError
from audiencesync.live import Live, claims, read, reason_unmanaged
from audiencesync.settings import NAME, Settings, Target
from audiencesync.source import Severity
from audiencesync.wire import Json, to_api
from audiencesync.workspace import Workspace

MAX_STEM = 80
_RESERVED = frozenset(
    (
        *("con", "prn", "aux", "nul", "conin", "conout", NAME.partition(".")[0]),
        *(f"{device}{number}" for device in ("com", "lpt") for number in range(10)),
    )
)
"""Names that Windows gives to devices, whatever the suffix; and the settings file's own."""
_AUDIENCE = re.compile(r"properties/([0-9]{1,20})/audiences/([A-Za-z0-9_-]{1,128})")
_SCHEMA_LINE = re.compile(r"^# *yaml-language-server: *\$schema=(.*)workspace\.schema\.json *$", re.MULTILINE)
_REVIEW_DAYS = 90


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user says about all imported files; what is empty is filled in where the policy wants it.

    `today` is needed only where the policy requires reviewBy and nobody named a day.
    """

    contact: str = ""
    labels: tuple[str, ...] = ()
    review_by: str = ""
    style: layout.Style = ""
    today: date | None = None


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to write; `adopt` is "" where the audience is ours already."""

    path: Path
    text: str
    key: str
    name: str
    display_name: str
    adopt: str = ""


@dataclass(frozen=True, slots=True)
class Passed:
    """A live audience that gets no file, and why."""

    name: str
    display_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Import:
    """What an import writes, what files speak for already, and what it leaves out."""

    files: tuple[NewFile, ...]
    kept: tuple[Passed, ...]
    skipped: tuple[Passed, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved answer: the property's number ("" where it holds no audience), and the audiences."""

    property: str
    audiences: tuple[Json, ...]
    complete: bool = True


# ---------------------------------------------------------------- a saved answer


def read_saved(path: Path) -> Saved:
    """Reads a saved list answer: a page, several one after the other or in a list, audiences, or one.

    Errors: UsageError that says what the file holds instead.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no saved answer: it is not UTF-8 text") from None
    found: dict[str, Json] = {}
    complete = True
    for number, raw in enumerate(_raw_audiences(path, text), 1):
        if isinstance(raw, _PageEnd):
            complete = raw is _PageEnd.LAST
            continue
        name = raw.get("name") if isinstance(raw, dict) else None
        if not isinstance(name, str) or not _AUDIENCE.fullmatch(name):
            raise UsageError(
                f"{path} is no saved answer of audiences.list: entry {number} has no name of the form "
                "properties/1000/audiences/7"
            )
        found[name] = raw
    numbers = sorted({name.split("/")[1] for name in found})
    if len(numbers) > 1:
        raise UsageError(
            f"{path} holds audiences of several properties ({', '.join(numbers[:5])}): import one at a time"
        )
    return Saved(numbers[0] if numbers else "", tuple(found.values()), complete)


class _PageEnd(Enum):
    """Stands behind the audiences of a page: whether the page says that another follows."""

    MORE = "more"
    LAST = "last"


def _raw_audiences(path: Path, text: str) -> list[Any]:
    found: list[Any] = []
    waiting = _values(path, text)[::-1]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value[::-1]
        elif isinstance(value, dict) and "name" not in value:
            if value.keys() - {"audiences", "nextPageToken"}:
                names = ", ".join(sorted(value)[:5])[:200]
                raise UsageError(f"{path} is no saved answer of audiences.list: it holds {names}")
            members = value.get("audiences")
            if members is not None and not isinstance(members, list):
                raise UsageError(f"{path} is no saved answer of audiences.list: audiences is not a list")
            found += [*(members or ()), _PageEnd.MORE if value.get("nextPageToken") else _PageEnd.LAST]
        else:
            found.append(value)
    return found


def _values(path: Path, text: str) -> list[Any]:
    """The JSON values of a text, one after the other."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    at = 0
    try:
        while True:
            at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
            if at == len(text):
                break
            value, at = decoder.raw_decode(text, at)
            found.append(value)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"{path} is no saved answer: it is not JSON at {where} ({error.msg})") from None
    except (RecursionError, ValueError):
        raise UsageError(
            f"{path} is no saved answer: its brackets nest too deep, or a number is too long"
        ) from None
    if not found:
        raise UsageError(f"{path} is no saved answer: it is empty")
    return found


def target_of(saved: Saved, settings: Settings, wanted: Target) -> tuple[Target, str]:
    """The target whose property a saved answer belongs to, and a note where there is none."""
    others = (wanted, *settings.targets)
    found = next((each for each in others if each.property == saved.property), None)
    if found or not saved.property:
        return found or wanted, ""
    note = (
        f"these audiences belong to property {saved.property}, which no target names; "
        f"target {wanted.name} is property {wanted.property}, so a plan there will not find them"
    )
    return wanted, note


# ---------------------------------------------------------------- live audiences -> files


def import_audiences(
    raws: Iterable[Mapping[str, Any]],
    workspace: Workspace,
    target: Target,
    *,
    number: str = "",
    choices: Choices | None = None,
) -> Import:
    """Decides what becomes of each live audience of a property; writes nothing.

    `raws` is the whole list as the server answers it, `number` the property's number where it is not the
    target's. Errors: InvalidFilesError where the workspace has errors, since then nobody knows which
    audiences its files speak for.
    """
    settings = workspace.sound()
    choices = choices or Choices()
    lives = sorted((read(raw, number or target.property) for raw in raws), key=lambda live: live.age)
    wanted, kept, skipped = _sort(lives, workspace, target)
    notes = _fill_in_notes(settings, choices) if wanted else []
    stems = _stems([*wanted], workspace)
    files: list[NewFile] = []
    for live, stem in zip(wanted, stems, strict=True):
        made = _file(live, stem, workspace, target, choices)
        if isinstance(made, Passed):
            skipped.append(made)
        else:
            files.append(made)
    files, refused = _valid(files, workspace)
    return Import(tuple(files), tuple(kept), (*skipped, *refused), tuple(notes))


def write(found: Import) -> None:
    """Writes the files of an import; one that fails leaves those before it.

    Errors: UsageError where a file cannot be written, as in a read-only workspace.
    """
    for file in found.files:
        writing.create(file.path, file.text)


def _passed(live: Live, reason: str) -> Passed:
    return Passed(live.name, live.display_name, reason)


def _sort(
    lives: Sequence[Live], workspace: Workspace, target: Target
) -> tuple[list[Live], list[Passed], list[Passed]]:
    """Which live audiences get a file, which have one, and which are left out."""
    owner = workspace.sound().owner
    keys = {key for each in workspace.desired for key in (each.key, *each.manage.previous_keys)}
    adopted = {each.manage.adopts(target.name): each.key for each in workspace.desired}
    newest = {
        max(claim.held, key=lambda live: (live.mark.generation if live.mark else 0, live.age)).name
        for claim in claims(lives, owner).values()
        if claim.held
    }
    ours = {live.name for claim in claims(lives, owner).values() for live in claim.held}
    wanted: list[Live] = []
    kept: list[Passed] = []
    skipped: list[Passed] = []
    for live in lives:
        if live.name in ours and live.mark and live.mark.key in keys:
            kept.append(_passed(live, f"managed as {live.mark.key}"))
        elif live.id in adopted and not live.mark:
            kept.append(_passed(live, f"adopted by {adopted[live.id]}"))
        elif live.hands_off or live.audience is None or (live.mark and live.name not in ours):
            skipped.append(_passed(live, reason_unmanaged(live, owner)))
        elif live.name in ours and live.name not in newest:
            skipped.append(_passed(live, "it is an older generation of an audience that is written back"))
        else:
            wanted.append(live)
    return wanted, kept, skipped


def slug(display_name: str) -> str:
    """A name as a file's stem: lower-case ASCII letters, digits and hyphens; "" where none is left."""
    plain = unicodedata.normalize("NFKD", display_name[:1000]).casefold().encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_STEM].strip("-")


def _stems(lives: Sequence[Live], workspace: Workspace) -> list[str]:
    """A stem for each audience, unique whatever the file system thinks of upper case.

    Where several would have the same, or a file has it, each of them gets its id, so that no name depends
    on the order of the list.
    """
    wishes = [slug(live.mark.key if live.mark else live.display_name) for live in lives]
    taken = {Path(path).stem.lower() for path in workspace.texts}
    taken |= {key.lower() for each in workspace.desired for key in (each.key, *each.manage.previous_keys)}
    shared = Counter(wishes)
    stems: list[str] = []
    for live, wish in zip(lives, wishes, strict=True):
        number = slug(live.id) or "0"
        stem = wish or f"audience-{number}"
        if shared[wish] > 1 or wish in taken or wish in _RESERVED:
            stem = f"{(wish or 'audience')[: MAX_STEM - 1 - len(number)].strip('-')}-{number}"[:MAX_STEM]
        plain, count = stem, 1
        while stem in taken:
            count += 1
            stem = f"{plain[: MAX_STEM - 4]}-{count}"
        taken.add(stem)
        stems.append(stem)
    return stems


def _file(live: Live, stem: str, workspace: Workspace, target: Target, choices: Choices) -> NewFile | Passed:
    if live.audience is None:
        raise AssertionError(live)
    settings = workspace.sound()
    manage = _manage(live, stem, settings, target, choices)
    path = workspace.folder / f"{stem}.yaml"
    try:
        text = layout.new_text(to_api(live.audience), manage, _schema(workspace), style=choices.style)
    except (InvalidFilesError, UnrepresentableError) as error:
        first = error.problems[0].message if isinstance(error, InvalidFilesError) else str(error)
        return _passed(live, f"no file can hold it: {first}")
    adopt = "" if live.mark else live.id
    return NewFile(path, text, manage["key"], live.name, live.display_name, adopt)


def _manage(live: Live, stem: str, settings: Settings, target: Target, choices: Choices) -> Json:
    require = settings.policy.require
    contact = choices.contact or ("unassigned" if "contact" in require else "")
    labels = list(choices.labels) or (["imported"] if "labels" in require else [])
    review_by = choices.review_by or (_review_day(choices) if "reviewBy" in require else "")
    block: Json = {"key": live.mark.key if live.mark else stem}
    block |= {"contact": contact} if contact else {}
    block |= {"labels": labels} if labels else {}
    block |= {"reviewBy": review_by} if review_by else {}
    if live.mark:
        return block | ({"preventArchive": True} if live.mark.prevent_archive else {})
    # Another property may have an audience of the same id.
    elsewhere = any(each.property != target.property for each in settings.targets)
    return block | {"adopt": {target.name: live.id} if elsewhere else live.id}


def _review_day(choices: Choices) -> str:
    if choices.today is None:
        raise UsageError("the policy requires manage.reviewBy: name a day with --review-by YYYY-MM-DD")
    return (choices.today + timedelta(days=_REVIEW_DAYS)).isoformat()


def _fill_in_notes(settings: Settings, choices: Choices) -> list[str]:
    require = settings.policy.require
    found = []
    if "contact" in require and not choices.contact:
        found.append(
            "the policy requires manage.contact, so the files say `contact: unassigned`: --contact NAME"
        )
    if "labels" in require and not choices.labels:
        found.append("the policy requires manage.labels, so the files say `labels: [imported]`: --label NAME")
    if "reviewBy" in require and not choices.review_by:
        found.append(
            f"the policy requires manage.reviewBy, so the files name a day {_REVIEW_DAYS} days from now: "
            "--review-by YYYY-MM-DD"
        )
    return found


def _schema(workspace: Workspace) -> str:
    """Where a new file finds its schema: beside the one that the settings name; "" where they name none."""
    text = workspace.texts.get(str(workspace.folder / NAME), "")
    found = _SCHEMA_LINE.search(text)
    return f"{found[1].strip()}audience.schema.json" if found else ""


def _valid(files: list[NewFile], workspace: Workspace) -> tuple[list[NewFile], list[Passed]]:
    """Takes out what would not validate, until all the rest does."""
    refused: list[Passed] = []
    while files:
        texts = {path: text.encode("utf-8") for path, text in workspace.texts.items()}
        texts |= {str(file.path): file.text.encode("utf-8") for file in files}
        checked = workspaces.assemble(workspace.folder, texts)
        wrong = {
            each.location.path: each.message
            for each in reversed(checked.problems)
            if each.severity is Severity.ERROR
        }
        bad = [file for file in files if str(file.path) in wrong]
        if not bad:
            break
        refused += [
            Passed(file.name, file.display_name, f"it breaks a rule: {wrong[str(file.path)]}") for file in bad
        ]
        files = [file for file in files if file not in bad]
    return files, refused
