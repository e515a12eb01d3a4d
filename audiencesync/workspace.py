"""The audiences/ folder and its settings: found, read, checked, and turned into what a plan starts from."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audiencesync import settings as settings_
from audiencesync import short, source, validate
from audiencesync.errors import InvalidFilesError, UsageError
from audiencesync.model import Desired, Manage
from audiencesync.settings import Settings
from audiencesync.source import Document, Location, Problem, Severity
from audiencesync.wire import from_api

STATE = ".audiencesync"
"""The folder for the embedded property, export states and caches; it ignores itself in git."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder of audiences as it was read, with everything that is wrong with it.

    `documents` hold GA4's form of each audience file, whichever form it is written in. `settings` is None
    and `desired` lacks an audience where errors stand in the way.
    """

    folder: Path
    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]
    settings: Settings | None
    desired: tuple[Desired, ...]
    texts: Mapping[str, str]

    @property
    def files(self) -> int:
        """How many files were read, the settings included."""
        return len(self.texts)

    @property
    def state(self) -> Path:
        """The folder for what is not in git."""
        return self.folder / STATE

    def sound(self) -> Settings:
        """The settings of a workspace without errors; else InvalidFilesError with all of them."""
        errors = [problem for problem in self.problems if problem.severity is Severity.ERROR]
        if errors or self.settings is None:
            raise InvalidFilesError(errors)
        return self.settings


def find(wish: str | None) -> Path:
    """The workspace's folder: the wish, else `.` if it has the settings file, else `./audiences`."""
    if wish is not None:
        folder = Path(wish)
    else:
        folder = Path() if Path(settings_.NAME).is_file() else Path("audiences")
    if not (folder / settings_.NAME).is_file():
        raise UsageError(
            f"{folder} is no workspace, since it has no {settings_.NAME}: name one with -w, or make one "
            "with `audiencesync init`"
        )
    return folder


def _problem(path: str, rule: str, message: str, way: str) -> Problem:
    return Problem(Location(path, 1, 1), rule, message, help=way)


def _read(path: Path, home: Path | None) -> bytes | Problem:
    """A file's bytes, one more than the largest file may have; `home` bounds where links may lead."""
    name = str(path)
    try:
        real = path.resolve(strict=True)
        if home is not None and path.is_symlink() and not real.is_relative_to(home):
            message = "this link leads out of the workspace, so its target is not read"
            return _problem(name, "outside-link", message, "put the file itself here")
        if not stat.S_ISREG(real.stat().st_mode):
            return _problem(name, "unreadable-file", "this is not a regular file", "put a text file here")
        with real.open("rb") as file:
            return file.read(source.MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return _problem(name, "unreadable-file", f"this file cannot be read: {reason}", "correct its rights")


def audience_files(folder: Path) -> list[Path]:
    """Every audience file below the folder, sorted; hidden folders and linked folders are passed over."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in files if name.endswith((".yaml", ".yml"))]
    return sorted(path for path in found if path != folder / settings_.NAME)


def load(folder: Path) -> Workspace:
    """Reads and checks the whole workspace; paths in problems are those that `folder` leads to."""
    home = folder.resolve()
    paths = [folder / settings_.NAME, *audience_files(folder)]
    return assemble(folder, {str(path): _read(path, home) for path in paths})


def load_files(paths: Iterable[Path], folder: Path | None) -> Workspace:
    """Reads and checks single files, beside the settings of `folder` where there is one."""
    found = {str(path): _read(path, None) for path in paths}
    if folder is not None:
        found = {str(folder / settings_.NAME): _read(folder / settings_.NAME, None)} | found
    return assemble(folder or Path(), found)


def assemble(folder: Path, files: Mapping[str, bytes | Problem]) -> Workspace:
    """Builds a workspace from files by path, as they are on disk or in another revision."""
    problems: list[Problem] = []
    texts: dict[str, str] = {}
    audiences: list[Document] = []
    settings_document: Document | None = None
    for path, raw in files.items():
        if isinstance(raw, Problem):
            problems.append(raw)
            texts[path] = ""
            continue
        document = source.parse(path, raw)
        texts[path] = document.text
        problems += document.problems
        if os.path.basename(path) == settings_.NAME:  # noqa: PTH119 - a path of any revision, not of this disk
            settings_document = document
        elif document.data is not None:
            expanded = short.expand(document)
            problems += expanded.problems[len(document.problems) :]
            audiences.append(expanded)
    checked = validate.check(settings_document, audiences)
    problems += checked.problems
    broken = {problem.location.path for problem in problems if problem.severity is Severity.ERROR}
    return Workspace(
        folder,
        tuple(audiences),
        tuple(sorted(set(problems), key=lambda problem: (problem.location, problem.rule, problem.message))),
        None if settings_document and settings_document.path in broken else checked.settings,
        tuple(_desired(document) for document in audiences if document.path not in broken),
        texts,
    )


def _manage(data: Mapping[str, Any], path: str) -> Manage:
    adopt = data.get("adopt")
    ids = adopt.items() if isinstance(adopt, dict) else [] if adopt is None else [("", adopt)]
    return Manage(
        key=data.get("key") or validate.stem(path),
        contact=data.get("contact") or "",
        labels=tuple(data.get("labels") or ()),
        review_by=data.get("reviewBy") or "",
        prevent_archive=bool(data.get("preventArchive")),
        adopt=tuple((target, str(number)) for target, number in ids),
        previous_keys=tuple(data.get("previousKeys") or ()),
        targets=tuple(data.get("targets") or ()),
    )


def _desired(document: Document) -> Desired:
    """One audience file that has no errors, as what a plan starts from."""
    data = {name: value for name, value in document.data.items() if name != "manage"}
    audience = from_api(data)
    block = _manage(document.data.get("manage") or {}, document.path)
    return Desired(replace(audience, description=audience.description.rstrip()), block, document)
