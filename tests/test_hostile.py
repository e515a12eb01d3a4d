"""Hostile text, secrets, links and full disks through the whole command line: inert, whole, one sentence."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import audiencesync
from audiencesync import mark as marks
from audiencesync.cli.frame import run
from audiencesync.errors import PlanFileError
from audiencesync.live import read
from audiencesync.local.api import Answer, Api, Call, Switches
from audiencesync.local.server import running
from audiencesync.local.store import Store
from audiencesync.planfile import read_text
from audiencesync.wire import to_api
from tests.conftest import ROOT
from tests.property import Moment
from tests.report.hostile import HOSTILE, offenders
from tests.report.test_hostile import check_html, check_markdown, check_text
from tests.shop import OWNER, PROPERTY, audience
from tests.test_http import Reply, Seen, Serve, refusal, serve
from tests.test_http_credentials import key, write_key

__all__ = ["key", "serve"]  # fixtures

COLLECTION = f"/v1alpha/properties/{PROPERTY}/audiences"
SETTINGS: dict[str, Any] = {
    "owner": OWNER,
    "targets": {"demo": {"property": PROPERTY, "endpoint": "local"}},
    "limits": {"audiences": 400, "destructive": 99},
}
PRINTABLE = [text for text in HOSTILE if text.strip() and "\ud800" not in text and "\0" not in text]


class Shell:
    """A workspace, the command line in it, and the embedded property's own hand."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.out = self.err = ""
        folder.mkdir(parents=True)
        self.settings()

    def settings(self, **target: Any) -> None:
        settings = SETTINGS | ({"targets": {"demo": {"property": PROPERTY, **target}}} if target else {})
        (self.folder / "audiencesync.yaml").write_text(json.dumps(settings))

    def write(self, name: str, **body: Any) -> Path:
        manage = body.pop("manage", None)
        data = to_api(audience(name)) | body | ({"manage": manage} if manage else {})
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(data))
        return path

    def __call__(self, *arguments: str) -> int:
        code = run(["-w", str(self.folder), *arguments])
        self.out, self.err = self.capsys.readouterr()
        assert "Traceback" not in self.err or "-v" in arguments
        assert "audiencesync itself failed" not in self.err
        return code

    @contextmanager
    def property(self) -> Iterator[Callable[..., dict[str, Any]]]:
        """The embedded property as people in the UI use it."""
        store = Store(self.folder / ".audiencesync")
        api = Api(store=store, properties=(PROPERTY,), switches=Switches(audience_limit=400))

        def ask(method: str, path: str, query: str = "", body: object = None) -> dict[str, Any]:
            answer = api.answer(method, path, query, b"" if body is None else json.dumps(body).encode())
            assert answer.status == 200, answer.body[:500]
            return dict(json.loads(answer.body))

        yield ask
        store.close()

    @contextmanager
    def served(self, faults: Callable[[Call, Moment], Answer | None] | None = None) -> Iterator[None]:
        store = Store(self.folder / ".audiencesync")
        try:
            with running(Api(store=store, properties=(PROPERTY,), faults=faults)) as address:
                self.settings(endpoint=address, credentials="anonymous")
                yield
        finally:
            store.close()


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path / "home" / "audiences", capsys)


# ---------------------------------------------------------------- hostile text


def checked(shell: Shell, *arguments: str) -> int:
    """Runs a command in a format and checks that what it prints is inert."""
    code = shell(*arguments)
    form = arguments[arguments.index("--format") + 1] if "--format" in arguments else "text"
    check_text(shell.err)
    if form == "json":
        assert not offenders(shell.out)
        assert isinstance(json.loads(shell.out), dict)
        assert "##[" not in shell.out
    elif form == "markdown":
        check_markdown(shell.out)
    elif form == "html" and shell.out:
        check_html(shell.out)
    else:
        check_text(shell.out)
    return code


EVERY_VIEW = (
    *(("plan", "--format", form) for form in ("text", "json", "markdown", "html")),
    ("plan", "-v"),
    *(("drift", "--format", form) for form in ("text", "json", "markdown")),
    *(("export", "list", "--format", form) for form in ("text", "json")),
    ("explain",),
    ("doctor",),
    ("validate",),
)


def test_hostile_names_are_inert_in_every_command_and_format(shell: Shell) -> None:
    for number, text in enumerate(PRINTABLE):
        shell.write(f"file{number}", displayName=text, description=f"{text} mine")
    shell.write("edited")
    assert checked(shell, "apply", "--yes") == 0
    with shell.property() as ask:
        for text in PRINTABLE:
            ask("POST", COLLECTION, "", to_api(audience(text)) | {"description": f"{text} theirs"})
        mine = next(each for each in ask("GET", COLLECTION, "pageSize=200")["audiences"]
                    if each["displayName"] == "edited")  # fmt: skip
        ask(
            "PATCH",
            f"/v1alpha/{mine['name']}",
            "updateMask=displayName",
            {"displayName": " ".join(PRINTABLE)},
        )
    for number, text in enumerate(PRINTABLE):
        shell.write(f"file{number}", displayName=f"{text} {text}", description=f"new {text}")
    for view in EVERY_VIEW:
        assert checked(shell, *view) in (0, 1, 2), (view, shell.err)
    assert checked(shell, "apply", "--yes", "--format", "json") == 0
    assert checked(shell, "plan", "--detailed-exitcode") == 0


def test_hostile_live_names_become_files_inside_the_folder_and_are_adopted(shell: Shell) -> None:
    names = [
        *PRINTABLE, "../../etc/passwd", "..", ".", "/etc/passwd", "a/b\\c", "C:\\x", "con", ".hidden", "~",
        "x" * 400, "audiencesync", "audiencesync.yaml", "-rf", "$(touch x)", "🙂", "a" * 79 + "/../b",
    ]  # fmt: skip
    with shell.property() as ask:
        for name in names:
            ask("POST", COLLECTION, "", to_api(audience(name)) | {"description": f"{name} theirs"})
    home = shell.folder.parent
    before = {path for path in home.parent.rglob("*") if shell.folder not in path.parents}
    assert checked(shell, "import") == 0
    assert {path for path in home.parent.rglob("*") if shell.folder not in path.parents} == before
    files = [path for path in shell.folder.iterdir() if path.suffix == ".yaml"]
    assert len(files) == len(names) + 1
    assert all(path.is_file() and path.name.isascii() and path.name.islower() for path in files)
    assert checked(shell, "plan", "--format", "json") == 0
    assert {action["verb"] for action in json.loads(shell.out)["actions"]} == {"adopt"}
    assert checked(shell, "apply", "--yes") == 0
    assert checked(shell, "plan", "--detailed-exitcode") == 0
    bytes_before = {path: path.read_bytes() for path in files}
    assert checked(shell, "import") == 0
    assert {path: path.read_bytes() for path in files} == bytes_before


@pytest.mark.parametrize("kind", ["details", "plain text", "html", "huge", "unpaired"])
def test_hostile_api_errors_are_inert_and_short(shell: Shell, kind: str) -> None:
    words = " ".join(HOSTILE)
    violation = {"field": f"audience.display_name{words}", "description": words}
    bad = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation] * 50}
    error = {"code": 400, "message": words, "status": f"INVALID_ARGUMENT{words}", "details": [bad]}
    answer = {
        "details": Answer(400, {}, json.dumps({"error": error}).encode()),
        "plain text": Answer(400, {}, words.encode("utf-8", "replace")),
        "html": Answer(502, {"Content-Type": "text/html"}, b"<html><script>alert(1)</script>\x1b[31m"),
        "huge": Answer(400, {}, json.dumps({"error": error | {"message": "\x1b[31m" * 2_000_000}}).encode()),
        "unpaired": Answer(400, {}, b'{"error": {"code": 400, "message": "\\ud800 \\u0000 \\u202e"}}'),
    }[kind]

    def faults(call: Call, moment: Moment) -> Answer | None:
        return answer if moment == "before" and call.method == "POST" else None

    shell.write("one")
    with shell.served(faults):
        for form in ("text", "json"):
            assert checked(shell, "apply", "--yes", "--format", form) == 1
            assert len(shell.out) + len(shell.err) < 400_000
    if kind != "html":
        with shell.served(
            lambda call, moment: answer if (call.method, moment) == ("GET", "before") else None
        ):
            for view in EVERY_VIEW[:-2]:
                if view[0] != "explain":
                    assert checked(shell, *view) == 1, view
            assert len(shell.out) + len(shell.err) < 400_000


def test_texts_of_ten_megabytes_are_shown_in_part_and_in_time(shell: Shell) -> None:
    huge = ("\x1b[31m" + "<b>*x*" * 30) * 60_000
    shell.write("mine")
    assert shell("apply", "--yes") == 0
    with shell.property() as ask:
        ask("POST", COLLECTION, "", to_api(audience(huge)) | {"description": huge})
        (mine,) = (each for each in ask("GET", COLLECTION)["audiences"] if each["displayName"] == "mine")
        marked = f"{huge}\n{mine['description'].splitlines()[-1]}"
        body = {"displayName": huge, "description": marked}
        ask("PATCH", f"/v1alpha/{mine['name']}", "updateMask=displayName,description", body)
    for view in (*EVERY_VIEW[:4], EVERY_VIEW[5]):
        began = time.monotonic()
        assert shell(*view) in (0, 2), shell.err
        assert time.monotonic() - began < 20
        if "json" not in view:
            assert len(shell.out) < 200_000
            assert not offenders(shell.out)


def test_a_mark_among_much_white_space_is_read_in_time() -> None:
    text = (
        "[audiencesync"
        + " " * 1_000_000
        + "x"
        + "\n" * 1_000_000
        + "[audiencesync a:b g1 abcd]"
        + " " * 10**6
    )
    began = time.monotonic()
    assert marks.strip(f"Hello \n\n{text}") == "Hello"
    body = to_api(audience()) | {"name": f"properties/{PROPERTY}/audiences/1", "description": text}
    assert read(body, PROPERTY).stranger == "it carries several marks"
    assert time.monotonic() - began < 5


# ---------------------------------------------------------------- secrets


def test_a_token_that_the_server_echoes_is_shown_nowhere(
    shell: Shell, serve: Serve, key: str, tmp_path: Path
) -> None:
    token = 'ya29.A/b+c="quoted"-SECRET'

    def echo(seen: Seen) -> Reply:
        if seen.path.endswith("/token"):
            body = {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}
            return Reply(body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        assert seen.headers["Authorization"] == f"Bearer {token}"
        said = f"not you: {seen.headers['Authorization']}"
        violation = {"field": token, "description": said}
        bad = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
        return refusal(400, said, "INVALID_ARGUMENT", details=[bad], errors=[{"reason": token}])

    server = serve(echo)
    path = write_key(tmp_path / "key.json", key, f"{server.base}/token")
    shell.settings(endpoint=server.base, credentials=path)
    shell.write("one")
    log, out = tmp_path / "run.log", tmp_path / "plan.json"
    for arguments in (
        ("plan", "-v", "--log", str(log), "--out", str(out)),
        ("plan", "-v", "--format", "json"),
        ("apply", "-v", "--yes", "--log", str(log), "--format", "json"),
        ("drift", "-v"), ("import", "-v"), ("doctor", "-v"), ("export", "list", "-v"),
        ("forget", "-v", "one"),
    ):  # fmt: skip
        assert shell(*arguments) == 1 or "doctor" in arguments, arguments
        written = "".join(each.read_text() for each in (log, out) if each.exists())
        for secret in ("SECRET", "ya29", "PRIVATE KEY", key.splitlines()[3]):
            assert secret not in shell.out + shell.err + written, arguments
    assert "(credentials)" in shell.err
    assert not out.exists()
    principals = [json.loads(line).get("principal") for line in log.read_text().splitlines()]
    assert "robot@project.iam.gserviceaccount.com" in principals


def test_a_damaged_key_is_not_quoted(shell: Shell, tmp_path: Path, key: str) -> None:
    lines = key.splitlines()
    path = tmp_path / "key.json"
    write_key(path, "\n".join([*lines[:3], "SECRET" + lines[3], *lines[4:]]), "https://127.0.0.1:1/token")
    shell.settings(endpoint="http://127.0.0.1:1", credentials=str(path))
    shell.write("one")
    for arguments in (("plan", "-v"), ("apply", "-v", "--yes", "--format", "json"), ("doctor", "-v")):
        assert shell(*arguments) == 1
        for secret in ("SECRET", "PRIVATE KEY", lines[2]):
            assert secret not in shell.out + shell.err


# ---------------------------------------------------------------- files, links, disks


def test_links_pipes_and_folders_in_the_workspace_are_told_and_never_read(
    shell: Shell, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.txt"
    outside.write_text("password: hunter2\n")
    shell.write("good")
    (shell.folder / "outside.yaml").symlink_to(outside)
    (shell.folder / "loop.yaml").symlink_to("loop.yaml")
    (shell.folder / "dangling.yaml").symlink_to("nowhere.yaml")
    (shell.folder / "zero.yaml").symlink_to("/dev/zero")
    (shell.folder / "memory.yaml").symlink_to("/proc/self/environ")
    os.mkfifo(shell.folder / "pipe.yaml")
    (shell.folder / "inside.yaml").symlink_to("pipe.yaml")
    began = time.monotonic()
    for arguments in (
        ("validate",),
        ("plan",),
        ("plan", "--format", "json"),
        ("apply", "--yes"),
        ("import",),
    ):
        assert shell(*arguments) == 1
        assert "hunter2" not in shell.out + shell.err
    assert time.monotonic() - began < 20
    shell("validate", "--format", "json")
    rules = {(Path(each["path"]).stem, each["rule"]) for each in json.loads(shell.out)["problems"]}
    assert rules == {
        ("outside", "outside-link"), ("zero", "outside-link"), ("memory", "outside-link"),
        ("loop", "unreadable-file"), ("dangling", "unreadable-file"), ("pipe", "unreadable-file"),
        ("inside", "unreadable-file"),
    }  # fmt: skip


def test_a_folder_with_a_files_name_is_a_folder(shell: Shell) -> None:
    (shell.folder / "sub.yaml").mkdir()
    shell.write("sub.yaml/inner")
    shell("plan", "--format", "json")
    assert [action["key"] for action in json.loads(shell.out)["actions"]] == ["inner"]


def test_links_to_folders_are_not_followed(shell: Shell, tmp_path: Path) -> None:
    shell.write("one")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(shell.folder / "one.yaml", elsewhere / "two.yaml")
    (shell.folder / "linked").symlink_to(elsewhere)
    (shell.folder / "circle").symlink_to(shell.folder)
    shell("plan", "--format", "json")
    assert [action["key"] for action in json.loads(shell.out)["actions"]] == ["one"]


@pytest.mark.parametrize(
    "place", [".", "no/such/plan.json", "/dev/full", "/proc/plan.json", "x" * 300, "loop"]
)
def test_a_plan_file_that_cannot_be_written_is_one_sentence(
    shell: Shell, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    shell.write("one")
    before = sorted(tmp_path.iterdir())
    assert shell("plan", "--out", place) == 1
    assert "cannot be written" in shell.err
    assert sorted(tmp_path.iterdir()) == before


def test_devices_are_written_to_and_not_replaced(shell: Shell, tmp_path: Path) -> None:
    shell.write("one")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True)
    assert shell("plan", "--out", str(pipe)) == 0
    text, _ = reader.communicate(timeout=20)
    assert read_text(text).core["actions"][0]["key"] == "one"
    assert pipe.is_fifo()


def test_behind_a_link_the_plan_file_itself_is_written(shell: Shell, tmp_path: Path) -> None:
    shell.write("one")
    (tmp_path / "link").symlink_to("real")
    assert shell("plan", "--out", str(tmp_path / "link")) == 0
    assert (tmp_path / "link").is_symlink()
    assert read_text((tmp_path / "real").read_text()).digest in shell.out


FULL = """
import resource, signal, sys
from audiencesync.cli.frame import run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
sys.exit(run(sys.argv[1:]))
"""


def full_disk(shell: Shell, limit: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process whose files may not grow beyond a limit."""
    command = [sys.executable, "-c", FULL.format(limit=limit), "-w", str(shell.folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)


def test_on_a_full_disk_the_old_plan_file_stays(shell: Shell, tmp_path: Path) -> None:
    for number in range(40):
        shell.write(f"k{number}")
    out = tmp_path / "plan.json"
    with shell.served():
        assert shell("plan", "k0", "--out", str(out)) == 0
        before = out.read_bytes()
        done = full_disk(shell, 4096, "plan", "--out", str(out))
    assert (done.returncode, "cannot be written" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "plan.json"]


def test_a_full_disk_under_the_run_log_stops_nothing(shell: Shell, tmp_path: Path) -> None:
    for number in range(10):
        shell.write(f"k{number}")
    log = tmp_path / "run.log"
    with shell.served():
        done = full_disk(shell, 1024, "apply", "--yes", "--format", "json", "--log", str(log))
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("run.log cannot be written") == 1
        assert json.loads(done.stdout)["summary"]["done"] == 10
        assert shell("plan", "--log", "/dev/full") == 1
        assert "cannot be written" in shell.err


def test_a_full_disk_under_the_embedded_property_is_told_and_heals(shell: Shell) -> None:
    shell.write("first")
    assert shell("apply", "--yes") == 0
    for number in range(40):
        shell.write(f"k{number}", description="x" * 4000)
    size = sum(path.stat().st_size for path in (shell.folder / ".audiencesync").iterdir())
    done = full_disk(shell, size + 64 * 1024, "apply", "--yes", "--format", "json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    codes = {each["error"]["code"] for each in json.loads(done.stdout)["outcomes"] if each["error"]}
    assert codes == {"embedded-store"}
    assert shell("apply", "--yes") == 0
    assert shell("plan", "--detailed-exitcode") == 0


def mounted(path: Path, *options: str) -> bool:
    return subprocess.run(["mount", *options, str(path)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def read_only(shell: Shell) -> Iterator[None]:
    """The workspace on a read-only mount, or a skip where this process may not mount."""
    shell.write("one")
    if not mounted(shell.folder, "--bind", str(shell.folder)):
        pytest.skip("this process may not mount")
    try:
        if not mounted(shell.folder, "-o", "remount,ro,bind"):
            pytest.skip("this process may not mount read-only")
        yield
    finally:
        subprocess.run(["umount", str(shell.folder)], check=True)


@pytest.mark.usefixtures("read_only")
def test_a_read_only_workspace_is_told_where_it_hinders(shell: Shell) -> None:
    assert shell("validate") == 0
    for arguments in (("plan",), ("apply", "--yes", "--format", "json"), ("drift",)):
        assert shell(*arguments) == 1
        assert ".audiencesync cannot hold the embedded property (Read-only file system)" in shell.err
    assert shell("plan", "--out", str(shell.folder / "plan.json")) == 1


# ---------------------------------------------------------------- the embedded database


@pytest.mark.parametrize("kind", ["garbage", "cut", "newer", "foreign", "folder", "pipe"])
def test_a_database_that_cannot_be_used_is_told_and_kept_byte_for_byte(shell: Shell, kind: str) -> None:
    shell.write("one")
    assert shell("apply", "--yes") == 0
    path = shell.folder / ".audiencesync" / "property.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if kind == "newer":
            connection.execute("PRAGMA user_version = 99")
    connection.close()
    raw = path.read_bytes()
    match kind:
        case "garbage":
            path.write_bytes(random.Random(1).randbytes(len(raw)))
        case "cut":
            path.write_bytes(raw[: len(raw) // 2])
        case "foreign":
            path.write_bytes(b"")
            with sqlite3.connect(path) as connection:
                connection.execute("CREATE TABLE notes (text)")
            connection.close()
        case "folder":
            path.unlink()
            path.mkdir()
        case "pipe":
            path.unlink()
            os.mkfifo(path)
    before = path.read_bytes() if path.is_file() else b""
    for arguments in (("plan", "--format", "json"), ("apply", "--yes", "--format", "json")):
        assert shell(*arguments) == 1
        document = json.loads(shell.out)
        codes = {each["error"]["code"] for each in document.get("outcomes", ()) if each["error"]}
        assert (document["error"] or {"code": codes.pop()})["code"] == "embedded-store", document
        assert (path.read_bytes() if path.is_file() else b"") == before


# ---------------------------------------------------------------- plan files


def test_every_edit_of_one_byte_is_detected_or_harmless(shell: Shell, tmp_path: Path) -> None:
    for name in "ab":
        shell.write(name)
    assert shell("apply", "--yes") == 0
    shell.write("a", displayName="Another")
    shell.write("b", membershipDurationDays=60)
    out = tmp_path / "plan.json"
    assert shell("plan", "--out", str(out)) == 0
    text = out.read_text()
    sealed = read_text(text).core
    chance = random.Random(5)
    detected = harmless = 0
    for at in range(len(text)):
        letter = chance.choice('09aZ "{}[],:\\.-\n\x00')
        edited = text[:at] + letter + text[at + 1 :]
        if edited == text:
            continue
        try:
            assert read_text(edited).core == sealed
        except PlanFileError:
            detected += 1
        else:
            harmless += 1
    assert detected > harmless > 0


def moved_live(shell: Shell) -> None:
    with shell.property() as ask:
        (mine,) = (each for each in ask("GET", COLLECTION)["audiences"] if each["displayName"] == "a")
        ask("PATCH", f"/v1alpha/{mine['name']}", "updateMask=displayName", {"displayName": "Edited"})


def other_owner(shell: Shell) -> None:
    settings = SETTINGS | {"owner": "somebody-else"}
    (shell.folder / "audiencesync.yaml").write_text(json.dumps(settings))


def other_property(shell: Shell) -> None:
    targets = {"demo": {"property": "2000", "endpoint": "local"}}
    (shell.folder / "audiencesync.yaml").write_text(json.dumps(SETTINGS | {"targets": targets}))


def new_file(shell: Shell) -> None:
    shell.write("new")


def changed_file(shell: Shell) -> None:
    shell.write("a", displayName="Third")


def taken_back(shell: Shell) -> None:
    shell.write("a")


def deleted_file(shell: Shell) -> None:
    (shell.folder / "a.yaml").unlink()


@pytest.mark.parametrize(
    ("move", "named"),
    [
        (moved_live, "the live audience properties/1000/audiences/"),
        (changed_file, "the file of a changed"),
        (taken_back, "a: the plan file says patch, now it would be keep"),
        (deleted_file, "a: the plan file says patch, now it would be archive"),
        (new_file, "new: the plan file says nothing, now it would be create"),
        (other_owner, "the plan file is for owner acme-web, and this is somebody-else"),
        (other_property, "the plan file is for property 1000, and this is 2000"),
    ],
)
def test_a_plan_is_stale_in_every_direction_and_names_what_moved(
    shell: Shell, tmp_path: Path, move: Callable[[Shell], None], named: str
) -> None:
    shell.write("a")
    shell.write("b")
    assert shell("apply", "--yes") == 0
    shell.write("a", displayName="Another")
    out = tmp_path / "plan.json"
    assert shell("plan", "--out", str(out)) == 0
    move(shell)
    with shell.property() as ask:
        before = ask("GET", COLLECTION)
    assert shell("apply", str(out), "--yes", "--allow-archive", "--format", "json") == 4
    document = json.loads(shell.out)
    assert (document["error"]["code"], document["outcomes"]) == ("stale-plan", [])
    assert named in document["error"]["message"]
    with shell.property() as ask:
        assert ask("GET", COLLECTION) == before


def test_a_plan_file_of_another_target_or_emptied_is_stale(shell: Shell, tmp_path: Path) -> None:
    both = {"demo": SETTINGS["targets"]["demo"], "other": {"property": "2000", "endpoint": "local"}}
    settings = SETTINGS | {"targets": both, "defaultTarget": "demo"}
    (shell.folder / "audiencesync.yaml").write_text(json.dumps(settings))
    shell.write("a")
    out = tmp_path / "plan.json"
    assert shell("plan", "--out", str(out)) == 0
    assert shell("-t", "other", "apply", str(out), "--yes") == 4
    assert "the plan file is for target demo, and this is other" in shell.err
    assert shell("apply", "--yes") == 0
    assert shell("apply", str(out), "--yes") == 4
    assert "a: the plan file says create, now it would be keep" in shell.err


def test_only_reviewed_keys_of_a_plan_file_are_carried_out(shell: Shell, tmp_path: Path) -> None:
    shell.write("a")
    shell.write("b")
    out = tmp_path / "plan.json"
    assert shell("plan", "a", "--out", str(out)) == 0
    assert shell("apply", str(out), "--yes", "--only", "b") == 1
    assert "the plan file does not hold the key 'b', so nobody reviewed it" in shell.err
    assert shell("apply", str(out), "--yes", "--only", "a") == 0


@pytest.mark.parametrize(("version", "code"), [("1.7", 0), ("2.0", 1), ("0.9", 1), ("01.0", 1), ("", 1)])
def test_a_plan_file_of_another_version(shell: Shell, tmp_path: Path, version: str, code: int) -> None:
    shell.write("a")
    out = tmp_path / "plan.json"
    assert shell("plan", "--out", str(out)) == 0
    data = json.loads(out.read_text()) | {"formatVersion": version, "newer": {"x": [1]}}
    data["actions"][0]["newer"] = True
    out.write_text(json.dumps(data))
    assert shell("apply", str(out), "--yes") == code
    assert ("only 1.0 is read here" in shell.err) == bool(code)


def test_expect_refuses_every_other_digest(shell: Shell) -> None:
    shell.write("a")
    assert shell("plan", "--format", "json") == 0
    digest = json.loads(shell.out)["digest"]
    shell.write("b")
    assert shell("apply", "--yes", "--expect", digest) == 4
    assert "moved since it was reviewed" in shell.err
    assert shell("apply", "--yes", "--expect", digest, "--only", "a") == 4
    (shell.folder / "b.yaml").unlink()
    assert shell("apply", "--yes", "--expect", digest) == 0


# ---------------------------------------------------------------- reports


def test_a_key_that_is_held_back_is_in_the_report(shell: Shell) -> None:
    shell.write("a")
    with shell.property() as ask:
        half = marks.attach("What it is for.", marks.Mark(OWNER, "a"), PROPERTY)
        for name in ("one", "two"):
            ask("POST", COLLECTION, "", to_api(audience(name)) | {"description": half})
    shell.write("b", manage={"previousKeys": ["c"]})
    with shell.property() as ask:
        for key_ in "bc":
            half = marks.attach("What it is for.", marks.Mark(OWNER, key_), PROPERTY)
            ask("POST", COLLECTION, "", to_api(audience(key_)) | {"description": half})
    assert shell("apply", "--yes", "--format", "json") == 3
    outcomes = {each["key"]: each["error"]["code"] for each in json.loads(shell.out)["outcomes"]}
    assert outcomes == {"a": "ambiguous-mark", "b": "both-keys-live"}


def test_what_was_done_is_in_the_report_also_where_we_fail(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = audiencesync.carry_out

    def fail(*arguments: Any) -> Iterator[Any]:
        yield from carry_out(*arguments)
        raise ZeroDivisionError

    shell.write("a")
    monkeypatch.setattr(audiencesync, "carry_out", fail)
    code = run(["-w", str(shell.folder), "apply", "--yes", "--format", "json"])
    document = json.loads(shell.capsys.readouterr().out)
    assert (code, document["error"]["code"], document["summary"]["done"]) == (1, "error", 1)
