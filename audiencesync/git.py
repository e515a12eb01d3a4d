"""Git, asked through its own program: the commit, files as of a revision, a file's last change."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audiencesync.errors import UsageError

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class LastChange:
    """The newest commit that touched a file; `when` is RFC 3339."""

    commit: str
    author: str
    when: str
    subject: str


def _run(folder: Path, *arguments: str, given: bytes = b"") -> bytes | None:
    """What git prints, `given` on its standard input; None where it refuses or is not there."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words and a revision behind --end-of-options
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            check=False,
            timeout=_TIMEOUT,
            input=given,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def commit(folder: Path) -> str:
    """The commit that is checked out, with "+" where files differ from it; "" outside a repository."""
    head = _run(folder, "rev-parse", "HEAD")
    if head is None:
        return ""
    dirty = _run(folder, "status", "--porcelain", "--", ".")
    return head.decode().strip() + ("+" if dirty else "")


def files_at(folder: Path, revision: str) -> dict[str, bytes]:
    """The files below `folder` as of a revision, by their paths on disk.

    Errors: UsageError where the folder is in no repository, or the revision is not there, as in a shallow
    clone.
    """
    top = _run(folder, "rev-parse", "--show-toplevel")
    if top is None:
        raise UsageError(f"{folder} is in no git repository, so there are no files as of {revision}")
    found = _run(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found is None:
        shallow = (_run(folder, "rev-parse", "--is-shallow-repository") or b"").strip() == b"true"
        way = (
            "this clone is shallow: fetch the revision first, as with `fetch-depth: 0`"
            if shallow
            else "name one"
        )
        raise UsageError(f"git knows no revision {revision!r} here: {way}")
    name = found.decode().strip()
    listed = (_run(folder, "ls-tree", "-r", "-z", "--name-only", name, "--", ".") or b"").split(b"\0")
    return dict(zip(_paths(folder, listed), _blobs(folder, name, listed), strict=True))


def _paths(folder: Path, listed: list[bytes]) -> list[str]:
    return [str(folder / raw.decode("utf-8", "surrogateescape")) for raw in listed if raw]


def _blobs(folder: Path, commit_: str, listed: list[bytes]) -> list[bytes]:
    """The files' contents, out of one process; a submodule or a name with a newline is empty."""
    wanted = b"".join(commit_.encode() + b":./" + raw.replace(b"\n", b"") + b"\n" for raw in listed if raw)
    answer = _run(folder, "cat-file", "--batch", given=wanted) or b""
    found = []
    at = 0
    for raw in listed:
        if not raw:
            continue
        end = answer.find(b"\n", at)
        head = answer[at:end].split(b" ")
        at = end + 1
        if head[1:2] == [b"blob"]:
            size = int(head[2])
            found.append(answer[at : at + size])
            at += size + 1
        else:
            found.append(b"")
    return found


_COMMIT = re.compile("\x01([0-9a-f]{40,64})")


def last_changes(folder: Path) -> dict[str, LastChange]:
    """The newest commit of each file below a folder, by its path from there; empty outside a repository.

    One walk over the history, where asking for each file alone would be one walk a file.
    """
    form = "%x01%H%x00%an%x00%aI%x00%s"
    log = ("log", "-z", "--no-show-signature", f"--format={form}", "--name-only", "--relative")
    text = _run(folder, *log, "--", ".")
    found: dict[str, LastChange] = {}
    for change, path in _changes(iter((text or b"").decode("utf-8", "surrogateescape").split("\0"))):
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
