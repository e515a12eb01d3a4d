"""Git, asked through its own program: the commit, files as of a revision, a file's last change."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from audiencesync.errors import UsageError
from audiencesync.source import Problem
from audiencesync.workspace import outside_link, unreadable

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class LastChange:
    """The newest commit that touched a file; `when` is RFC 3339."""

    commit: str
    author: str
    when: str
    subject: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """What git printed, None where it refused or is not there, and why."""

    out: bytes | None
    why: str = ""


def _ask(folder: Path, *arguments: str, given: bytes = b"") -> _Answer:
    """Git's answer, `given` on its standard input; its complaints are in English."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words and a revision behind --end-of-options
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            check=False,
            timeout=_TIMEOUT,
            input=given,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return _Answer(None, _NO_GIT)
    except subprocess.TimeoutExpired:
        return _Answer(None, f"git gave no answer within {_TIMEOUT:.0f} s")
    except OSError as error:
        return _Answer(None, f"git cannot be run: {error.strerror or error}")
    return _Answer(done.stdout if done.returncode == 0 else None, done.stderr.decode("utf-8", "replace"))


def _run(folder: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it refuses or is not there."""
    return _ask(folder, *arguments).out


def commit(folder: Path) -> str:
    """The commit that is checked out, with "+" where files differ from it; "" outside a repository."""
    head = _run(folder, "rev-parse", "HEAD")
    if head is None:
        return ""
    dirty = _run(folder, "status", "--porcelain", "--", ".")
    return head.decode().strip() + ("+" if dirty else "")


def files_at(
    folder: Path, revision: str, wanted: Callable[[str], bool] = lambda _path: True
) -> dict[str, bytes | Problem]:
    """The files below `folder` as of a revision, by their paths on disk.

    `wanted` chooses by the path from `folder`. A link stands for the file that it leads to; what cannot be
    read is a problem, what is no file is left out. Errors: UsageError where the folder is in no repository
    that git reads, or the revision is not there, as in a shallow clone.
    """
    top = _ask(folder, "rev-parse", "--show-toplevel")
    if top.out is None:
        raise _refusal(folder, top.why, _no_files(revision))
    found = _run(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found is None:
        shallow = (_run(folder, "rev-parse", "--is-shallow-repository") or b"").strip() == b"true"
        way = (
            "this clone is shallow: fetch the revision first, as with `fetch-depth: 0`"
            if shallow
            else "name one"
        )
        raise UsageError(f"git knows no revision {revision!r} here: {way}")
    tree = _run(folder, "rev-parse", "--verify", "--quiet", f"{found.decode().strip()}:./")
    if tree is None:  # the folder was not there yet
        return {}
    name = tree.strip()
    entries = [each for each in _entries(folder, name.decode(), revision) if wanted(each.path)]
    read = _contents(folder, entries, name, revision)
    return {
        str(folder / each.path): _read(str(folder / each.path), raw)
        for each, raw in zip(entries, read, strict=True)
        if raw is not None
    }


_NO_GIT = "there is no git on the PATH"
_OUTSIDE = "not a git repository"
_EMPTY = "does not have any commits yet"
_TRUST = re.compile(r"git config --global --add safe\.directory .+")


def _no_files(revision: str) -> str:
    return f"there are no files as of {revision}"


def _refusal(folder: Path, why: str, so: str) -> UsageError:
    """Why git reads nothing there and what follows, with the way out where there is one."""
    if why == _NO_GIT:
        fact, way = why, ": install git"
    elif _OUTSIDE in why:
        fact, way = f"{folder} is in no git repository", ""
    elif advice := _TRUST.search(why):
        fact = f"git refuses the repository of {folder}, since another user owns it"
        way = f": trust it with `{advice[0].strip()}`"
    else:
        said = next((line for line in why.splitlines() if line.strip()), "it gives no reason")
        fact, way = f"git cannot read the repository of {folder} ({said.removeprefix('fatal: ').strip()})", ""
    return UsageError(f"{fact}, so {so}{way}")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One blob of a tree, by its path from there; a link's blob is the text of the link."""

    raw: bytes
    blob: bytes
    link: bool

    @property
    def path(self) -> str:
        """The path as Python names it."""
        return self.raw.decode("utf-8", "surrogateescape")


def _entries(folder: Path, tree: str, revision: str) -> list[_Entry]:
    """The blobs of a tree; a submodule is none."""
    listed = _ask(folder, "ls-tree", "-r", "-z", "--full-tree", tree)
    if listed.out is None:
        raise _refusal(folder, listed.why, _no_files(revision))
    found = []
    for record in listed.out.split(b"\0")[:-1]:
        head, _, raw = record.partition(b"\t")
        mode, kind, blob = head.split(b" ")
        if kind == b"blob":
            found.append(_Entry(raw, blob, link=mode == b"120000"))
    return found


_OBJECT = re.compile(rb"[0-9a-f]{40,64} (?P<kind>[a-z]+) (?P<size>[0-9]+)")
_ASTRAY = re.compile(rb"(?P<kind>symlink|dangling|loop|notdir) (?P<size>[0-9]+)")
_FAULTS = {
    b"symlink": "outside",
    b"dangling": "this link leads to no file",
    b"notdir": "this link leads to no file",
    b"loop": "this link leads to itself",
}
_MISSING = "the repository lacks its content"
_LINE_END = "its name holds a line end, so git cannot follow the link"


def _contents(
    folder: Path, entries: Sequence[_Entry], tree: bytes, revision: str
) -> list[bytes | str | None]:
    """The blobs' contents out of one process: a text says why one cannot be read, None is a linked folder.

    Git follows a link inside the tree alone, so one that leads out of the folder is told apart.
    """
    asked = [each for each in entries if not (each.link and b"\n" in each.raw)]
    given = b"".join((tree + b":" + each.raw if each.link else each.blob) + b"\n" for each in asked)
    answer = _ask(folder, "cat-file", "--batch", "--follow-symlinks", given=given)
    if answer.out is None:
        raise _refusal(folder, answer.why, _no_files(revision))
    answers = _answers(answer.out)
    return [_LINE_END if each.link and b"\n" in each.raw else next(answers, _MISSING) for each in entries]


def _answers(out: bytes) -> Iterator[bytes | str | None]:
    """The answers of `git cat-file --batch`, one after the other."""
    at = 0
    while at < len(out):
        end = out.index(b"\n", at)
        line, at = out[at:end], end + 1
        found = _OBJECT.fullmatch(line) or _ASTRAY.fullmatch(line)
        if found is None:
            yield _MISSING
            continue
        size = int(found["size"])
        body, at = out[at : at + size], at + size + 1
        yield body if found["kind"] == b"blob" else _FAULTS.get(found["kind"])


def _read(path: str, found: bytes | str) -> bytes | Problem:
    if isinstance(found, bytes):
        return found
    return outside_link(path) if found == _FAULTS[b"symlink"] else unreadable(path, found)


_COMMIT = re.compile("\x01([0-9a-f]{40,64})")


def last_changes(folder: Path) -> dict[str, LastChange]:
    """The newest commit of each file below a folder, by its path from there; empty outside a repository.

    One walk over the history, where asking for each file alone would be one walk a file. Errors: UsageError
    where git reads nothing of the repository.
    """
    form = "%x01%H%x00%an%x00%aI%x00%s"
    log = ("log", "-z", "--no-show-signature", f"--format={form}", "--name-only", "--relative")
    answer = _ask(folder, *log, "--", ".")
    if answer.out is None and not (_OUTSIDE in answer.why or _EMPTY in answer.why):
        raise _refusal(folder, answer.why, "nobody can say who changed a file last")
    found: dict[str, LastChange] = {}
    for change, path in _changes(iter((answer.out or b"").decode("utf-8", "surrogateescape").split("\0"))):
        found.setdefault(path, change)
    return found


def _changes(tokens: Iterator[str]) -> Iterator[tuple[LastChange, str]]:
    """Each commit with each of its files; a commit's first file comes behind a line end."""
    change = None
    for token in tokens:
        if head := _COMMIT.fullmatch(token):
            author, when, subject = (next(tokens, "") for _ in range(3))
            change = LastChange(head[1], author, when, subject)
        elif change is not None and token.removeprefix("\n"):
            yield change, token.removeprefix("\n")
