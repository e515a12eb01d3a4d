"""Git as it is installed: the commit, files of a revision, last changes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from audiencesync import git
from audiencesync.errors import UsageError
from audiencesync.source import Problem


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


def test_links_lead_to_what_they_led_to_then(repository: Path) -> None:
    (repository / "link.yaml").symlink_to("shop/../a.yaml")
    (repository / "shop" / "way").symlink_to("../shop")
    (repository / "over.yaml").symlink_to("shop/way/b é.yaml")
    (repository / "folder.yaml").symlink_to("shop")
    (repository / "out.yaml").symlink_to("../outside.yaml")
    (repository / "far.yaml").symlink_to("/etc/hostname")
    (repository / "nowhere.yaml").symlink_to("absent")
    (repository / "through.yaml").symlink_to("a.yaml/x")
    (repository / "round.yaml").symlink_to("round.yaml")
    (repository / "odd\nlink.yaml").symlink_to("a.yaml")
    run(repository, "add", ".")
    run(repository, "commit", "-q", "-m", "Links")
    (repository / "a.yaml").write_text("changed\n")
    found = {Path(path).name: each for path, each in git.files_at(repository, "HEAD").items()}
    assert found["link.yaml"] == b"one\n"
    assert found["over.yaml"] == b"two\r\n\x00"
    assert not found.keys() & {"folder.yaml", "way"}
    told = {name: (each.rule, each.message) for name, each in found.items() if isinstance(each, Problem)}
    assert sorted(told) == [
        "far.yaml", "nowhere.yaml", "odd\nlink.yaml", "out.yaml", "round.yaml", "through.yaml",
    ]  # fmt: skip
    assert told["out.yaml"][0] == told["far.yaml"][0] == "outside-link"
    assert "leads to no file" in told["nowhere.yaml"][1]
    assert "leads to no file" in told["through.yaml"][1]
    assert "leads to itself" in told["round.yaml"][1]
    assert "line end" in told["odd\nlink.yaml"][1]


def test_a_name_may_hold_a_line_end(repository: Path) -> None:
    (repository / "odd\nname.yaml").write_bytes(b"three\n")
    (repository / "odd.yaml").write_bytes(b"four\n")
    run(repository, "add", ".")
    run(repository, "commit", "-q", "-m", "Odd")
    found = git.files_at(repository, "HEAD", lambda path: path.startswith("odd"))
    assert found == {
        str(repository / "odd\nname.yaml"): b"three\n",
        str(repository / "odd.yaml"): b"four\n",
    }


def test_a_folder_that_was_not_there_yet_had_no_files(repository: Path) -> None:
    (repository / "later").mkdir()
    assert git.files_at(repository / "later", "HEAD") == {}


def test_content_that_the_repository_lacks_is_a_problem(repository: Path) -> None:
    blob = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD:./a.yaml"], check=True, capture_output=True
    ).stdout.decode().strip()  # fmt: skip
    (repository.parent / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    found = git.files_at(repository, "HEAD")
    missing = found.pop(str(repository / "a.yaml"))
    assert isinstance(missing, Problem)
    assert "lacks its content" in missing.message
    assert len(found) == 2


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


def test_a_repository_of_another_user_is_told_with_gits_own_way_out(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    with pytest.raises(UsageError, match="another user owns it, so nobody can say who changed a file last"):
        git.last_changes(repository)
    with pytest.raises(UsageError, match="another user owns it") as raised:
        git.files_at(repository, "HEAD")
    assert f"git config --global --add safe.directory {repository.parent}`" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_machine_without_git_says_so(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(UsageError, match=r"no git on the PATH.*: install git"):
        git.files_at(repository, "HEAD")


def test_any_other_refusal_is_told_in_gits_own_words(repository: Path) -> None:
    (repository.parent / ".git" / "config").write_text("[core\n")
    with pytest.raises(UsageError, match=r"git cannot read the repository .*bad config"):
        git.files_at(repository, "HEAD")


def test_the_commit_says_whether_files_differ_from_it(repository: Path) -> None:
    clean = git.commit(repository)
    assert len(clean) == 40
    (repository / "a.yaml").write_text("changed\n")
    assert git.commit(repository) == clean + "+"


def test_before_the_first_commit_nothing_was_changed(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q")
    assert git.last_changes(tmp_path) == {}


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
