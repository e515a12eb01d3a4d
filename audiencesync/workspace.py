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
from audiencesync.rules import stem
from audiencesync.settings import Settings
from audiencesync.source import Document, Location, Problem, Severity
from audiencesync.wire import from_api

STATE = ".audiencesync"
"""The folder for the embedded property, export states and caches; it ignores itself in git."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder of audiences as it was read, with everything that is wrong with it.

    `settings` is None and `desired` lacks an audience where errors stand in the way. `texts` are the files'
    texts by path; `files` counts them, the settings included. Where the folder was only checked, `desired` is
    empty and `texts` holds the files with problems alone.
    """

    folder: Path
    problems: tuple[Problem, ...]
    settings: Settings | None
    desired: tuple[Desired, ...]
    texts: Mapping[str, str]
    files: int

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


def outside_link(path: str) -> Problem:
    """Says of a link that it leads out of the workspace."""
    message = "this link leads out of the workspace, so its target is not read"
    return _problem(path, "outside-link", message, "put the file itself here")


def unreadable(path: str, reason: str) -> Problem:
    """Says of a file why it cannot be read."""
    return _problem(path, "unreadable-file", f"this file cannot be read: {reason}", "correct its rights")


def _read(path: Path, home: Path | None) -> bytes | Problem:
    """A file's bytes, one more than the largest file may have; `home` bounds where links may lead."""
    name = str(path)
    try:
        real = path.resolve(strict=True)
        if home is not None and path.is_symlink() and not real.is_relative_to(home):
            return outside_link(name)
        if not stat.S_ISREG(real.stat().st_mode):
            return _problem(name, "unreadable-file", "this is not a regular file", "put a text file here")
        with real.open("rb") as file:
            return file.read(source.MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:
        return unreadable(name, getattr(error, "strerror", None) or str(error))


_SUFFIXES = (".yaml", ".yml")


def holds_audience(path: str) -> bool:
    """Whether a path from the workspace, parted by /, is an audience file's: none in a hidden folder is."""
    *folders, name = path.split("/")
    hidden = any(folder.startswith(".") for folder in folders)
    return name.endswith(_SUFFIXES) and not hidden and name != settings_.NAME


def audience_files(folder: Path) -> list[Path]:
    """Every audience file below the folder, sorted; hidden folders and linked folders are passed over."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in files if name.endswith(_SUFFIXES)]
    return sorted(path for path in found if path != folder / settings_.NAME)


def load(folder: Path, *, keep: bool = True) -> Workspace:
    """Reads and checks the whole workspace; paths in problems are those that `folder` leads to.

    Without `keep` it is only checked, in memory that does not grow with the number of files.
    """
    home = folder.resolve()
    paths = [folder / settings_.NAME, *audience_files(folder)]
    return _assemble(folder, ((str(path), _read(path, home)) for path in paths), keep=keep)


def load_files(paths: Iterable[Path], folder: Path | None) -> Workspace:
    """Checks single files, beside the settings of `folder` where there is one."""
    found = {str(path): path for path in paths}
    if folder is not None:
        found = {str(folder / settings_.NAME): folder / settings_.NAME} | found
    pairs = ((name, _read(path, None)) for name, path in found.items())
    return _assemble(folder or Path(), pairs, keep=False)


def assemble(folder: Path, files: Mapping[str, bytes | Problem]) -> Workspace:
    """Builds a workspace from files by path, as they are on disk or in another revision."""
    settings_first = sorted(files.items(), key=lambda pair: not _is_settings(pair[0]))
    return _assemble(folder, settings_first, keep=True)


def _assemble(folder: Path, files: Iterable[tuple[str, bytes | Problem]], *, keep: bool) -> Workspace:
    """Reads and checks file by file, the settings first where they are among them."""
    checker = validate.Checker()
    problems: list[Problem] = []
    texts: dict[str, str] = {}
    desired: list[Desired] = []
    settings: Settings | None = None
    count = 0
    for path, raw in files:
        count += 1
        if isinstance(raw, Problem):
            found, text = [raw], ""
        elif _is_settings(path):
            found, text, settings = _settings(path, raw)
            checker = validate.Checker(settings)
        else:
            document, found = _audience(path, raw, checker)
            text = document.text
            if keep and document.data is not None and not any(map(_is_error, found)):
                desired.append(_desired(document))
        problems += found
        if keep or found:
            texts[path] = text
    problems += checker.finish()
    broken = {problem.location.path for problem in problems if _is_error(problem)}
    return Workspace(
        folder,
        tuple(sorted(set(problems), key=lambda each: (each.location, each.rule, each.message))),
        settings,
        tuple(each for each in desired if each.document.path not in broken),
        texts,
        count,
    )


def _is_settings(path: str) -> bool:
    return os.path.basename(path) == settings_.NAME  # noqa: PTH119 - of any revision, not of this disk


def _is_error(problem: Problem) -> bool:
    return problem.severity is Severity.ERROR


def _settings(path: str, raw: bytes) -> tuple[list[Problem], str, Settings | None]:
    document = source.parse(path, raw)
    checked = validate.check_settings(document)
    return [*document.problems, *checked.problems], document.text, checked.settings


def _audience(path: str, raw: bytes, checker: validate.Checker) -> tuple[Document, list[Problem]]:
    """One audience file in GA4's form, whichever form it is written in, and what is wrong with it alone."""
    document = source.parse(path, raw)
    if document.data is None:
        return document, list(document.problems)
    expanded = short.expand(document)
    return expanded, [*expanded.problems, *checker.add(expanded)]


def _manage(data: Mapping[str, Any], path: str) -> Manage:
    adopt = data.get("adopt")
    ids = adopt.items() if isinstance(adopt, dict) else [] if adopt is None else [("", adopt)]
    return Manage(
        key=data.get("key") or stem(path),
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
