"""Git as it is installed: the commit, files of a revision, last changes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from audiencesync import git
from audiencesync.errors import UsageError


def run(folder: Path, *arguments: str) -> None:
    own = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *own, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    run(tmp_path, "init", "-q", "-b", "main")
    folder = tmp_path / "audiences"
    (folder / "shop").mkdir(parents=True)
    (folder / "a.yaml").write_bytes(b"one\n")
    (folder / "shop" / "b é.yaml").write_bytes(b"two\r\n\x00")
    (folder / "empty.yaml").write_bytes(b"")
    (tmp_path / "outside.yaml").write_bytes(b"not ours\n")
    run(tmp_path, "add", ".")
    run(tmp_path, "commit", "-q", "-m", "First words")
    return folder


def test_files_come_as_they_were(repository: Path) -> None:
    (repository / "a.yaml").write_text("changed\n")
    assert git.files_at(repository, "HEAD") == {
        str(repository / "a.yaml"): b"one\n",
        str(repository / "empty.yaml"): b"",
        str(repository / "shop" / "b é.yaml"): b"two\r\n\x00",
    }


def test_a_revision_that_is_not_there_is_an_error(repository: Path) -> None:
    with pytest.raises(UsageError, match="no revision 'nope'"):
        git.files_at(repository, "nope")
    with pytest.raises(UsageError, match="no revision '--all'"):
        git.files_at(repository, "--all")


def test_a_shallow_clone_says_what_is_missing(repository: Path, tmp_path: Path) -> None:
    (repository / "a.yaml").write_text("second\n")
    run(repository, "commit", "-q", "-a", "-m", "Second")
    clone = tmp_path / "clone"
    run(tmp_path, "clone", "-q", "--depth", "1", f"file://{tmp_path}", str(clone))
    with pytest.raises(UsageError, match="shallow"):
        git.files_at(clone / "audiences", "HEAD~1")


def test_outside_a_repository_there_are_no_revisions(tmp_path: Path) -> None:
    assert git.commit(tmp_path) == ""
    with pytest.raises(UsageError, match="no git repository"):
        git.files_at(tmp_path, "HEAD")


def test_the_commit_says_whether_files_differ_from_it(repository: Path) -> None:
    clean = git.commit(repository)
    assert len(clean) == 40
    (repository / "a.yaml").write_text("changed\n")
    assert git.commit(repository) == clean + "+"


def test_the_last_change_of_each_file(repository: Path) -> None:
    (repository / "a.yaml").write_text("second\n")
    run(repository, "commit", "-q", "-a", "-m", "Second")
    (repository / "new.yaml").write_text("not committed\n")
    found = git.last_changes(repository)
    assert {name: (change.author, change.subject) for name, change in found.items()} == {
        "a.yaml": ("Ann", "Second"),
        "empty.yaml": ("Ann", "First words"),
        "shop/b é.yaml": ("Ann", "First words"),
    }
