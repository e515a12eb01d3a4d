"""The numbers of a preview, read back from the JSON that `preview --format json` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audiencesync.errors import UsageError
from audiencesync.sql.preview.records import Estimate


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one run of `preview`, by key."""

    as_of: str = ""
    engine: str = ""
    users: Mapping[str, Estimate] = field(default_factory=dict)
    window: tuple[str, ...] | None = None

    @property
    def estimates(self) -> Sequence[Estimate]:
        """The numbers of all keys."""
        return tuple(self.users.values())


def read(text: str, name: str) -> Numbers:
    """Reads a preview's JSON; `name` is the file's, for messages.

    Errors: UsageError where the text is no such document, or is the report of a failure.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(name, f"it is no JSON: {error}") from error
    if not isinstance(data, dict) or not str(data.get("formatVersion", "")).startswith("1."):
        raise _refusal(name, "it has no formatVersion 1")
    if data.get("error"):
        raise _refusal(name, "it reports an error instead of numbers")
    entries = data.get("previews")
    if not isinstance(entries, list):
        raise _refusal(name, "it has no list of previews")
    found = [_users(entry, name) for entry in entries]
    return Numbers(
        _text(data.get("asOf"), "asOf", name),
        _text(data.get("engine"), "engine", name),
        {each.key: each for each in found},
        _window(data.get("window"), name),
    )


def _window(value: object, name: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - first and last day
        raise _refusal(name, "window is no pair of days")
    return tuple(_text(each, "a day of window", name) for each in value)


def _users(entry: Any, name: str) -> Estimate:  # noqa: ANN401 - JSON
    if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
        raise _refusal(name, "one of its previews has no key")
    band = entry.get("band")
    if band is not None and (not isinstance(band, list) or len(band) != 2):  # noqa: PLR2004 - low and high
        raise _refusal(name, "a band is no pair of numbers")
    caveats = entry.get("caveats") or []
    if not isinstance(caveats, list):
        raise _refusal(name, "caveats is no list")
    low, high = (_count(each, "band", name) for each in band or (None, None))
    before, after, gained, lost = (
        _count(entry.get(each), each, name) for each in ("before", "after", "gained", "lost")
    )
    return Estimate(
        entry["key"],
        before,
        after,
        gained,
        lost,
        (low, high) if low is not None and high is not None else None,
        _text(entry.get("notPreviewable"), "notPreviewable", name) or None,
        tuple(_text(each, "a caveat", name) for each in caveats),
    )


def _count(value: object, what: str, name: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise _refusal(name, f"{what} is {value!r}, which is no number of users")


def _text(value: object, what: str, name: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise _refusal(name, f"{what} is no text")


def _refusal(name: str, reason: str) -> UsageError:
    return UsageError(
        f"{name} holds no preview ({reason}): write one with `audiencesync preview --format json > {name}`"
    )
