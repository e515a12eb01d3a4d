"""A folder of pages that belongs to this program: written page by page, and cleared of what is gone.

A marker file lists the pages. Without it a folder that holds anything is not touched; with it, only what it
lists is ever removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from audiencesync.errors import UsageError

MARKER = ".audiencesync-catalog"
_HEAD = "audiencesync catalog 1"
_NAME = re.compile(r"(index|audience[-_][a-z0-9._-]{1,120})\.html")
_MOST = 16 * 1024 * 1024


def write(folder: Path, pages: Mapping[str, str]) -> None:
    """Makes the folder hold these pages, by file name; pages of an earlier run that are gone are removed.

    Each page is written whole, and not at all where it is there already. A run that is cut short leaves a
    folder that the next run completes.

    Errors: UsageError where the folder holds something else, or cannot be written.
    """
    wrong = [name for name in pages if not _NAME.fullmatch(name)]
    if wrong:
        raise ValueError(f"no names for pages: {wrong}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = _listed(folder)
        _put(folder / MARKER, _marker(earlier | pages.keys()))
        for name, text in pages.items():
            _put(folder / name, text)
        for name in sorted(earlier - pages.keys()):
            (folder / name).unlink(missing_ok=True)
        _put(folder / MARKER, _marker(pages.keys()))
    except OSError as error:
        where = error.filename or folder
        raise UsageError(f"{where} cannot be written: {error.strerror or error}") from error


def _listed(folder: Path) -> set[str]:
    """The pages that an earlier run wrote into the folder; none where it is empty."""
    marker = folder / MARKER
    if marker.is_symlink() or (marker.exists() and not marker.is_file()):
        raise UsageError(f"{marker} is no file of ours: choose another folder for --out")
    if not marker.exists():
        if any(folder.iterdir()):
            raise UsageError(
                f"{folder} holds something that is no catalog, so nothing is written there: name an empty "
                "or a new folder with --out"
            )
        return set()
    with marker.open("rb") as file:
        head, *names = file.read(_MOST).decode("utf-8", "replace").splitlines() or [""]
    if head != _HEAD:
        raise UsageError(f"{marker} is from another version of this program: name a new folder with --out")
    return {name for name in names if _NAME.fullmatch(name)}


def _marker(names: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in [_HEAD, *sorted(names)])


def _put(path: Path, text: str) -> None:
    """Writes a file whole, beside its place first; one that holds the text already stays as it is.

    A link in its place is replaced, not followed.
    """
    raw = text.encode()
    if not path.is_symlink() and path.is_file() and path.read_bytes() == raw:
        return
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            file.write(raw)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
