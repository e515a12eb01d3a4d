"""State, lock and manifest of an export under way."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync import errors, jobfile
from audiencesync.jobfile import JobFile, Stage, State
from tests.conftest import ROOT

STATE = State(Stage.SUBMITTED, {"tag": "标签"}, "2026-11-21T10:00:00.000Z", job="x")


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    file = JobFile(tmp_path / ".audiencesync", "a")
    with file.locked():
        assert file.load() is None
        file.save(STATE)
        assert file.load() == STATE
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
        file.remove()
        assert file.load() is None
        file.remove()


@pytest.mark.parametrize(
    "change",
    [
        {"formatVersion": "2.0"},
        {"stage": "dreaming"},
        {"job": ""},
        {"unknown": 1},
        {"started_at": None},
        {"started_at": "yesterday"},
        {"started_at": "2026-11-21"},
        {"asked": None},
        {"manifest": []},
        {"job": 7},
    ],
)
def test_a_state_that_is_not_ours_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    file = JobFile(tmp_path, "a")
    with file.locked():
        file.save(STATE)
        data = {**json.loads(file.path.read_bytes()), **change}
        file.path.write_text(json.dumps(data))
        with pytest.raises(errors.ExportError, match="--restart"):
            file.load()


def test_an_intent_has_no_job_yet(tmp_path: Path) -> None:
    file = JobFile(tmp_path, "a")
    intent = State(Stage.SUBMITTING, {}, STATE.started_at)
    with file.locked():
        file.save(intent)
        assert file.load() == intent


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_a_name_becomes_one_file_in_the_folder(name: str) -> None:
    file = JobFile(Path("/w/.audiencesync"), name)
    for path in (file.path, file.scratch(7)):
        assert path.parent == Path("/w/.audiencesync/exports")
        assert len(path.name.encode()) < 200


def test_names_that_look_alike_have_files_of_their_own() -> None:
    names = ["a", "a.b", "a/b", "a%2Fb", "..", ".", "x" * 200, "x" * 201]
    assert len({JobFile(Path(), name).path for name in names}) == len(names)


def test_only_ones_own_downloads_are_swept(tmp_path: Path) -> None:
    files = [JobFile(tmp_path, name) for name in ("a", "a.0", "b")]
    with files[0].locked():
        for file in files:
            file.scratch(0).write_text("members")
        files[0].sweep()
    assert [file.scratch(0).exists() for file in files] == [False, True, True]


def test_a_lock_is_held_alone_and_freed_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from audiencesync.jobfile import JobFile\n"
        "with JobFile(Path(sys.argv[1]), 'a').locked():\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(errors.UsageError, match="another run"), JobFile(tmp_path, "a").locked():
            pass
        with JobFile(tmp_path, "b").locked():
            pass
        other.kill()
    with JobFile(tmp_path, "a").locked():
        pass


def test_json_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.json"
    jobfile.write_json(path, {"a": "标签"})
    assert json.loads(path.read_bytes()) == {"a": "标签"}

    def fail(_part: Path, _path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("audiencesync.rows.place", fail)
    with pytest.raises(OSError, match="No space"):
        jobfile.write_json(path, {"a": 2})
    assert json.loads(path.read_bytes()) == {"a": "标签"}


def test_times_are_utc() -> None:
    assert jobfile.timestamp(0.0) == "1970-01-01T00:00:00.000Z"
