"""Real processes: killed at every request, interrupted, racing; one more run always converges."""

from __future__ import annotations

import json
import multiprocessing
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from audiencesync import live as lives
from audiencesync import mark as marks
from audiencesync.canonical import fingerprint
from audiencesync.cli.frame import run
from audiencesync.fields import LogCondition
from audiencesync.live import Live, claims
from audiencesync.local.api import Answer, Api, Call
from audiencesync.local.server import running
from audiencesync.local.store import Store
from audiencesync.mark import Mark
from audiencesync.model import Audience, Trigger
from audiencesync.wire import to_api
from tests.conftest import ROOT
from tests.crash_program import APPLY, apply, apply_embedded
from tests.property import Moment
from tests.shop import OWNER, PROPERTY, audience

# A process that starts in 20 ms instead of a second, with a life of its own all the same.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.crash_program"])

COLLECTION = f"/v1alpha/properties/{PROPERTY}/audiences"
Strike = Callable[[Call, Moment, int], Answer | None]


class Shop:
    """A workspace on disk, and the property that its default target names, in this process over HTTP."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / ".audiencesync"
        self.wanted: dict[str, Audience] = {}
        self.strike: Strike | None = None
        self.calls: list[Call] = []
        self.lock = threading.Lock()
        self.address = ""

    def settings(self, endpoint: str) -> None:
        self.folder.mkdir(exist_ok=True)
        target = {"property": PROPERTY, "endpoint": endpoint}
        if endpoint != "local":
            target["credentials"] = "anonymous"
        settings = {"owner": OWNER, "targets": {"demo": target}, "limits": {"destructive": 99}}
        (self.folder / "audiencesync.yaml").write_text(json.dumps(settings))

    def write(self, key: str, what: Audience | None = None, **manage: Any) -> None:
        self.wanted[key] = what or audience(key)
        body = to_api(self.wanted[key]) | {"manage": {"key": key, **manage}}
        (self.folder / f"{key}.yaml").write_text(json.dumps(body))

    def delete(self, key: str) -> None:
        del self.wanted[key]
        (self.folder / f"{key}.yaml").unlink()

    @contextmanager
    def served(self) -> Iterator[None]:
        """The property over HTTP for as long as the block runs; the settings name it.

        When the block ends, what is under way is finished, and what a dead process sent and nobody has read
        yet never arrives: none of it changes the property under the next block.
        """
        store = Store(self.state)
        over = threading.Event()

        def faults(call: Call, moment: Moment) -> Answer | None:
            if over.is_set() and moment == "before":
                raise ConnectionError
            return self._faults(call, moment)

        self.api = Api(store=store, properties=(PROPERTY,), faults=faults)
        try:
            with running(self.api) as self.address:
                self.settings(self.address)
                try:
                    yield
                finally:
                    over.set()
        finally:
            store.close()

    def _faults(self, call: Call, moment: Moment) -> Answer | None:
        with self.lock:
            if moment == "before":
                self.calls.append(call)
            number = len(self.calls)
        return self.strike(call, moment, number) if self.strike else None

    def make(self, body: dict[str, Any]) -> str:
        answer = self.api.answer("POST", COLLECTION, "", json.dumps(body).encode())
        assert answer.status == 200, answer.body
        return str(json.loads(answer.body)["name"])

    def lives(self) -> list[Live]:
        strike, self.strike = self.strike, None
        answer = self.api.answer("GET", COLLECTION, "pageSize=200")
        self.strike = strike
        return [lives.read(raw, PROPERTY) for raw in json.loads(answer.body)["audiences"]]

    def strangers(self, *ours: str) -> dict[str, str]:
        return {
            live.name: json.dumps(live.raw, sort_keys=True)
            for live in self.lives()
            if not live.mark and live.name not in ours
        }

    def apply(self, capsys: pytest.CaptureFixture[str]) -> int:
        """One more run, in this process."""
        code = run(["-w", str(self.folder), *APPLY])
        capsys.readouterr()
        return code

    def converged(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Exactly one live audience a key, equal to its file and bound, and an empty plan."""
        found = claims(self.lives(), OWNER)
        assert sorted(found) == sorted(self.wanted)
        for key, what in self.wanted.items():
            (live,) = found[key].held
            assert not found[key].ambiguous
            assert live.audience
            assert live.mark
            assert live.mark.id == live.id
            assert fingerprint(live.audience) == fingerprint(what)
        code = run(["-w", str(self.folder), "plan", "--detailed-exitcode", "--format", "json"])
        summary = json.loads(capsys.readouterr().out)["summary"]
        assert (code, summary["keep"]) == (0, len(self.wanted)), summary


def prepared(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """A state and files whose apply makes every kind of request."""
    with shop.served():
        for key in ("keep", "patch", "replace", "archive", "old-key"):
            shop.write(key)
        assert shop.apply(capsys) == 0
        shop.make(to_api(audience("stranger")))
        adopted = shop.make(to_api(audience("adopt")))
        copied = next(live for live in shop.lives() if live.mark and live.mark.key == "keep")
        shop.make(to_api(audience("a copy")) | {"description": copied.raw["description"]})
        half = marks.attach("What it is for.", Mark(OWNER, "bind", 1), PROPERTY)
        shop.make(to_api(audience("bind")) | {"description": half})
    shop.delete("archive")
    shop.delete("old-key")
    shop.write("patch", audience("Patched", trigger=Trigger("joined_patch", LogCondition.RENEWED)))
    shop.write("replace", audience("replace", days=60))
    shop.write("adopt", adopt=adopted.rpartition("/")[2])
    shop.write("new-key", audience("old-key"), previousKeys=["old-key"])
    shop.write("bind")
    shop.write("create")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("crash") / "audiences")


@pytest.fixture
def make(template: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[object], Shop]:
    """Gives a shop of its own, by name, with much to do."""
    if not template.folder.exists():
        prepared(template, capsys)

    def copy(name: object) -> Shop:
        shop = Shop(tmp_path / str(name) / "audiences")
        shutil.copytree(template.folder, shop.folder)
        shop.wanted = dict(template.wanted)
        return shop

    return copy


def adopted_name(shop: Shop) -> str:
    return next(live.name for live in shop.lives() if live.display_name == "adopt")


# ---------------------------------------------------------------- SIGKILL


@pytest.mark.parametrize(("moment", "step"), [("after", 1), ("before", 4)])
def test_a_process_killed_at_any_request_converges_with_one_more_run(
    moment: Moment, step: int, make: Callable[[object], Shop], capsys: pytest.CaptureFixture[str]
) -> None:
    # Before a request is after the one before it, but for what other threads have under way.
    struck, number, kills = 1 - step, 1 - step, 0
    while number == struck:
        number += step
        shop = make(number)
        with shop.served():
            adopted = adopted_name(shop)
            foreign = shop.strangers(adopted)
            shop.calls.clear()
            process = PROCESSES.Process(target=apply, args=(str(shop.folder), os.devnull))

            def strike(
                call: Call, when: Moment, count: int, process: Any = process, at: int = number
            ) -> Answer | None:
                nonlocal struck
                del call
                if count < at or (count == at and when != moment):
                    return None
                if struck != at and when == moment:
                    struck = at
                    os.kill(process.pid, signal.SIGKILL)
                    time.sleep(0.02)
                # What its other threads had under way never arrives.
                raise ConnectionError

            shop.strike = strike
            process.start()
            process.join(30)
            assert process.exitcode == (-signal.SIGKILL if struck == number else 0)
            kills += struck == number
        shop.strike = None
        with shop.served():
            assert shop.apply(capsys) == 0
            shop.converged(capsys)
            assert shop.strangers(adopted) == foreign
    with capsys.disabled():
        print(f"\n  killed {moment} {kills} of {struck} requests over HTTP")
    assert struck >= 20


@pytest.mark.parametrize(("moment", "step"), [("after", 2), ("before", 5)])
def test_a_process_killed_with_the_embedded_property_inside_converges(
    moment: Moment, step: int, make: Callable[[object], Shop], capsys: pytest.CaptureFixture[str]
) -> None:
    killed = number = 0
    while number == killed:
        number += step
        shop = make(number)
        shop.settings("local")
        process = PROCESSES.Process(target=apply_embedded, args=(str(shop.folder), number, moment))
        process.start()
        process.join(30)
        killed += step if process.exitcode == -signal.SIGKILL else 0
        shop.settings("local")
        assert shop.apply(capsys) == 0
        with shop.served():
            shop.converged(capsys)
    assert killed >= 20


def test_a_process_killed_at_a_random_moment_converges(
    make: Callable[[object], Shop], capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(7)
    killed = 0
    for number in range(25):
        shop = make(number)
        with shop.served():
            process = PROCESSES.Process(target=apply, args=(str(shop.folder), os.devnull))
            process.start()
            process.join(chance.uniform(0.02, 0.35))
            process.kill()
            process.join()
            killed += process.exitcode == -signal.SIGKILL
        with shop.served():
            assert shop.apply(capsys) == 0
            shop.converged(capsys)
    assert killed >= 5


# ---------------------------------------------------------------- SIGINT


def interrupt(
    shop: Shop, when: Callable[[Call, Moment], Answer | bool | None], *more: str
) -> tuple[int, Any, str]:
    """Ctrl-C at the first request that `when` picks; gives the exit code, the document and stderr."""
    begun = threading.Event()
    holder: list[subprocess.Popen[str]] = []
    errors = shop.folder.parent / "stderr"

    def strike(call: Call, moment: Moment, _number: int) -> Answer | None:
        picked = when(call, moment)
        if picked and not begun.is_set():
            begun.set()
            while not holder:
                time.sleep(0.01)
            holder[0].send_signal(signal.SIGINT)
            while "interrupted" not in errors.read_text() and holder[0].poll() is None:
                time.sleep(0.01)
        return picked if isinstance(picked, Answer) else None

    shop.strike = strike
    command = [sys.executable, "-m", "audiencesync", "-w", str(shop.folder), *APPLY, *more]
    with errors.open("w") as stderr:
        holder.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT))
        out, _ = holder[0].communicate(timeout=60)
    shop.strike = None
    assert "Traceback" not in errors.read_text()
    return holder[0].returncode, json.loads(out), errors.read_text()


def is_create(call: Call, moment: Moment) -> bool:
    return moment == "before" and call.method == "POST" and call.path == COLLECTION


def test_an_interrupt_finishes_the_request_in_flight_and_reports(
    make: Callable[[object], Shop], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = make("shop")
    log = tmp_path / "run.log"
    with shop.served():
        code, document, errors = interrupt(shop, is_create, "--log", str(log))
        assert "interrupted: finishing what is under way; Ctrl-C again ends it at once\n" in errors
        assert code == 1
        status = {each["key"]: each["status"] for each in document["outcomes"]}
        assert sorted(status) == ["adopt", "archive", "bind", "create", "new-key", "patch", "replace"]
        assert status["patch"] == "done"
        assert status["create"] == status["replace"] == status["archive"] == "skipped"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        last = [line for line in lines if line.get("method") == "POST"][-1]
        assert (last["path"], last["status"]) == (COLLECTION, 200)
        assert shop.apply(capsys) == 0
        shop.converged(capsys)


def test_an_interrupt_ends_a_wait_for_the_quota(make: Callable[[object], Shop]) -> None:
    refusal = Answer.of(429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, {"Retry-After": "300"})
    shop = make("shop")
    with shop.served():
        began = time.monotonic()
        code, document, _ = interrupt(shop, lambda call, at: refusal if is_create(call, at) else None)
        assert code == 1
        assert {each["key"]: each["status"] for each in document["outcomes"]}["create"] == "skipped"
        assert time.monotonic() - began < 20


def test_an_interrupt_before_anything_is_written_is_a_report_too(make: Callable[[object], Shop]) -> None:
    shop = make("shop")
    with shop.served():
        before = [live.raw for live in shop.lives()]
        code, document, errors = interrupt(
            shop, lambda call, moment: (call.method, moment) == ("GET", "before")
        )
        assert (code, document["error"]["code"], document["outcomes"]) == (1, "interrupted", [])
        assert "interrupted" in errors
        assert [live.raw for live in shop.lives()] == before


# ---------------------------------------------------------------- a terminal


def typed(shop: Shop, answer: str) -> tuple[int, str]:
    """Applies on a terminal and answers its question; gives the exit code and all that was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "audiencesync", "-w", str(shop.folder), "apply", "--allow-replace"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=environment, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    asked = False
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        shown += piece
        if not asked and b"Carry this out?" in shown:
            asked = True
            os.write(ours, f"{answer}\n".encode())
        if not piece:
            break
    os.close(ours)
    return process.wait(30), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode("utf-8", "replace"))


def test_on_a_terminal_it_asks_and_shows_a_bar_with_the_time_left(make: Callable[[object], Shop]) -> None:
    shop = make("shop")
    with shop.served():
        before = [live.raw for live in shop.lives()]
        code, shown = typed(shop, "n")
        assert (code, "nothing was written" in shown) == (1, True)
        assert [live.raw for live in shop.lives()] == before
        shop.strike = lambda _call, moment, _number: time.sleep(0.1) if moment == "before" else None
        code, shown = typed(shop, "y")
        assert code == 3  # the archive lacks its flag
        assert re.search(r"applying .*\d/7 .*\d:\d\d:\d\d", shown)
        assert "6 done, 1 blocked" in shown


# ---------------------------------------------------------------- races


def test_racing_processes_leave_no_duplicate_unreported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two processes of one workspace; both have read the list before either creates anything."""
    rounds = doubled_rounds = 0
    shop = Shop(tmp_path / "audiences")
    shop.settings("local")
    with shop.served():
        for number in range(40):
            for key in list(shop.wanted):
                shop.delete(key)
            for key in ("a", "b"):
                shop.write(f"{key}{number}")
            if number % 3 == 0 and number:
                # A replacement races, too.
                shop.write("long", audience("long", days=30 + number))
            elif "long" not in shop.wanted:
                shop.write("long", audience("long", days=30 + number - number % 3))
            shop.strike = both_list_first()
            outs = [tmp_path / f"{number}-{each}.json" for each in "xy"]
            processes = [PROCESSES.Process(target=apply, args=(str(shop.folder), str(out))) for out in outs]
            for process in processes:
                process.start()
            for process in processes:
                process.join(30)
                assert process.exitcode in (0, 1, 3)
            shop.strike = None
            held = claims(shop.lives(), OWNER)
            doubled = {key for key, claim in held.items() if len(claim.held) + len(claim.ambiguous) > 1}
            outcomes = [each for out in outs for each in json.loads(out.read_text())["outcomes"]]
            assert doubled <= {each["key"] for each in outcomes if each["status"] != "done"}
            doubled_rounds += any(
                each["verb"] == "archive" and each["key"] in shop.wanted for each in outcomes
            )
            shop.apply(capsys)
            shop.converged(capsys)
            rounds += 1
    with capsys.disabled():
        print(f"\n  {rounds} races of two processes, twins seen in {doubled_rounds}")
    assert doubled_rounds > rounds // 4


def both_list_first() -> Strike:
    """Holds the first two answers to a list back until both processes have asked."""
    gate = threading.Barrier(2)
    passed = threading.Semaphore(2)

    def strike(call: Call, moment: Moment, _number: int) -> None:
        is_list = moment == "after" and call.method == "GET" and call.path == COLLECTION
        if is_list and passed.acquire(blocking=False):
            gate.wait(20)

    return strike
