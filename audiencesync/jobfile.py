"""What is kept on disk of an export under way: its state, its lock, and the manifest of what it wrote.

The state is written before each step that cannot be repeated, so a run that is killed leaves behind what the
next one has to know. Neither file holds a member or a token.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from audiencesync import rows
from audiencesync.errors import ExportError, UsageError

VERSION = "1.0"
_LONGEST_NAME = 120


class Stage(StrEnum):
    """How far an export is: about to be sent, taken by the server, written beside its final place."""

    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    WRITTEN = "written"


@dataclass(frozen=True, slots=True)
class State:
    """One export under way.

    `asked` says what was asked for: another question is another job. `output` says how it was to be written,
    `manifest` is set at WRITTEN. Times are UTC, ISO 8601.
    """

    stage: Stage
    asked: Mapping[str, Any]
    started_at: str
    job: str = ""
    output: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as UTC, ISO 8601 with milliseconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes JSON that is whole or absent, mode 0600, on disk when this returns."""
    part = rows.part_of(path)
    with rows.private(part) as file:
        file.write(json.dumps(data, indent=2, ensure_ascii=True).encode() + b"\n")
    rows.place(part, path)


def manifest_of(path: Path) -> Path:
    """Where the manifest of an exported file stands."""
    return path.with_name(path.name + ".manifest.json")


def _safe(name: str) -> str:
    """An export's name as a file name; long ones are cut and told apart by a hash."""
    plain = quote(name, safe=" ").replace(".", "%2E")
    if len(plain) <= _LONGEST_NAME:
        return plain
    return f"{plain[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _read(data: dict[str, Any]) -> State:
    """A state out of its JSON; raises ValueError, TypeError or KeyError for any other."""
    if data.pop("formatVersion") != VERSION or datetime.fromisoformat(data["started_at"]).tzinfo is None:
        raise ValueError
    state = State(**{**data, "stage": Stage(data["stage"])})
    mappings = all(isinstance(data[name], dict) for name in ("asked", "output", "manifest"))
    if not mappings or not isinstance(data["job"], str):
        raise TypeError
    if not state.job and state.stage is not Stage.SUBMITTING:
        raise ValueError
    return state


class JobFile:
    """The state file of one export; `folder` is the workspace's own .audiencesync/."""

    def __init__(self, folder: Path, name: str) -> None:
        self._root, self.folder, self._name = folder, folder / "exports", name
        self.path = self.folder / f"{_safe(name)}.json"
        self._lock = self.folder / f"{_safe(name)}.lock"

    def scratch(self, number: int) -> Path:
        """Where a download stands until it is written in the wanted form."""
        return self.path.with_name(f"{self.path.stem}.{number}.download")

    def sweep(self) -> None:
        """Removes downloads that a killed run left: they hold members."""
        for path in self.folder.glob("*.download"):
            if path.name.removesuffix(".download").rpartition(".")[0] == self.path.stem:
                path.unlink(missing_ok=True)

    def load(self) -> State | None:
        """The state, None where no export is under way.

        Raises ExportError for a file that cannot be read: a job may be under way that nobody knows of.
        """
        try:
            return _read(json.loads(self.path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._damaged() from error

    def _damaged(self) -> ExportError:
        return ExportError(
            f"the state file {self.path} cannot be read, so a job may be under way: "
            "--restart forgets it and asks for a new one"
        )

    def save(self, state: State) -> None:
        """Replaces the state."""
        write_json(self.path, {"formatVersion": VERSION, **asdict(state)})

    def remove(self) -> None:
        """Says that no export is under way."""
        self.path.unlink(missing_ok=True)
        rows.sync_folder(self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the export alone; the system frees it when the process ends, however it ends.

        Raises UsageError where another run has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        ignore = self._root / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _try_lock(handle):
                raise UsageError(f"another run is at work on the export {self._name}: wait for it to end")
            yield
        finally:
            os.close(handle)


if sys.platform == "win32":

    def _try_lock(handle: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(handle: int) -> bool:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
