"""Applying within a quota: nothing lost, nothing doubled, and hardly slower than allowed; a full property."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal

import pytest

import audiencesync
from audiencesync import http
from audiencesync.action import Outcome, Status, Verb
from audiencesync.apply import Options
from audiencesync.ga4 import Property
from audiencesync.guards import permit
from audiencesync.live import claims
from audiencesync.local.api import Answer, Api, Call, Quota, Switches
from audiencesync.local.store import Store
from audiencesync.plan import plan
from audiencesync.settings import Limits
from tests.property import Moment, World
from tests.shop import OWNER, PROPERTY, audience, desired, policy

CREATES, WRITES, MINUTE = 1000, 180, 60.0


class VirtualClock:
    """Time that passes only while every thread that is at work waits.

    A thread is at work from its first request of an action until that action's outcome is told.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._lock, self._order = threading.Lock(), count()
        self._at_work: set[int] = set()
        self._running = 0
        self._waiting: list[tuple[float, int, threading.Event]] = []

    def __call__(self) -> float:
        return self.now

    def begin(self) -> bool:
        with self._lock:
            if threading.get_ident() not in self._at_work:
                self._at_work.add(threading.get_ident())
                self._running += 1
        return False

    def end(self, _outcome: Outcome) -> None:
        with self._lock:
            if threading.get_ident() in self._at_work:
                self._at_work.remove(threading.get_ident())
                self._running -= 1
                self._advance()

    def sleep(self, seconds: float) -> None:
        event = threading.Event()
        counted = threading.get_ident() in self._at_work
        with self._lock:
            heapq.heappush(self._waiting, (self.now + max(0.0, seconds), next(self._order), event))
            self._running -= counted
            self._advance()
        event.wait()
        if not counted:
            with self._lock:
                self._running -= 1

    def _advance(self) -> None:
        if self._running or not self._waiting:
            return
        self.now = max(self.now, self._waiting[0][0])
        while self._waiting and self._waiting[0][0] <= self.now:
            self._running += 1
            heapq.heappop(self._waiting)[2].set()


class Slow:
    """The embedded property behind a line that takes a fifth of a second, within Google's quota."""

    def __init__(self, folder: Path, quota: Quota, latency: float = 0.2) -> None:
        self.clock, self.latency = VirtualClock(), latency
        self.store = Store(folder)
        self.written = self.refused = 0
        self.last = 0.0
        self.lock = threading.Lock()
        self.in_flight = self.most = 0
        switches = Switches(quota=quota, audience_limit=2 * CREATES)
        self.api = Api(
            store=self.store,
            properties=(PROPERTY,),
            clock=self.clock,
            chance=lambda: 0.5,
            switches=switches,
            faults=self._seen,
        )

    def _seen(self, call: Call, moment: Moment) -> Answer | None:
        if moment == "before":
            with self.lock:
                self.in_flight += 1
                self.most = max(self.most, self.in_flight)
            self.clock.sleep(self.latency)
            with self.lock:
                self.in_flight -= 1
        elif call.method != "GET" and call.answer:
            with self.lock:
                ran = call.answer.status == 200
                self.written += ran
                self.refused += not ran
                self.last = self.clock.now
        return None

    def remote(self) -> Property:
        options = http.Options(
            limits=Limits(), clock=self.clock, now=self.clock, sleep=self.clock.sleep, random=lambda: 0.5
        )
        both = http.connect_local(self.api.answer, options)
        return Property(both, both, PROPERTY)


@pytest.mark.parametrize("retry_after", [True, False])
@pytest.mark.parametrize("status", [403, 429])
def test_a_thousand_creates_within_the_quota(
    status: Literal[403, 429], retry_after: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The server's minutes let in a few writes less than we believe, so that it refuses now and then.
    quota = Quota(writes=WRITES - 4, status=status, retry_after=retry_after)
    slow = Slow(tmp_path / "state", quota)
    wanted = [desired(f"k{number}") for number in range(CREATES)]
    remote = slow.remote()
    found = plan(wanted, audiencesync.read(remote), policy(audiences=2 * CREATES))
    told: list[Outcome] = []

    def progress(outcome: Outcome) -> None:
        told.append(outcome)
        slow.clock.end(outcome)

    options = Options(stop=slow.clock.begin, progress=progress)
    began = slow.clock.now
    outcomes = list(audiencesync.carry_out(found, remote, options))
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * CREATES
    assert sorted(each.action.key for each in told) == sorted(each.key for each in wanted)
    assert (slow.written, slow.refused > 0) == (2 * CREATES, True)
    with slow.store.read() as store:
        assert store.counts(PROPERTY)[0] == CREATES + 2
    rate = slow.written / ((slow.last - began) / MINUTE)
    with capsys.disabled():
        share = f"{rate / quota.writes:.1%} of the rate, {slow.refused} refusals"
        print(f"\n  {CREATES} creates ({status}, Retry-After {retry_after}): {share}")
    assert rate >= 0.95 * quota.writes
    assert slow.most >= options.workers
    slow.store.close()


def test_workers_carry_out_creates_and_patches_at_once(tmp_path: Path) -> None:
    world = World(tmp_path / "state")
    meeting = threading.Barrier(4)

    def strike(call: Call, moment: Moment, _number: int) -> None:
        if moment == "before" and call.method in ("POST", "PATCH"):
            meeting.wait(10)

    wanted = [desired(key) for key in "abcd"]
    for name in ("", "2"):
        changed = [desired(key, audience(key + name)) for key in "abcd"]
        found = permit(world.plan(changed), allow_replace=False, allow_archive=False)
        world.strike = strike
        outcomes = list(audiencesync.carry_out(found, world.remote(), Options(workers=4)))
        world.strike = None
        assert [outcome.status for outcome in outcomes] == [Status.DONE] * len(wanted)
    world.close()


def test_a_full_property_is_no_quota_and_fails_at_once(tmp_path: Path) -> None:
    """The server knows a lower limit than the settings: nobody waits for what waiting does not cure."""
    world = World(tmp_path / "state", Switches(audience_limit=3))
    before = world.clock.now
    outcomes = {outcome.action.key: outcome for outcome in world.apply([desired("a"), desired("b")])}
    assert (outcomes["a"].status, outcomes["b"].status) == (Status.DONE, Status.FAILED)
    assert outcomes["b"].error
    assert outcomes["b"].error.code == "quota-exhausted"
    assert world.clock.now - before < 30
    world.close()


# ---------------------------------------------------------------- 100 of 100 audiences


@pytest.fixture
def full(tmp_path: Path) -> Iterator[World]:
    """98 audiences of ours beside GA4's own two."""
    world = World(tmp_path / "state", workers=4)
    world.apply([desired(f"k{number}") for number in range(98)])
    assert len(world.lives()) == 100
    yield world
    world.close()


def test_at_100_of_100_a_replacement_is_blocked_and_the_two_steps_lead_out(full: World) -> None:
    wanted = [desired(f"k{number}") for number in range(98)]
    wanted[0] = desired("k0", audience("k0", days=60))
    full.calls.clear()
    (outcome,) = full.apply(wanted)
    assert (outcome.action.verb, outcome.status) == (Verb.REPLACE, Status.BLOCKED)
    assert outcome.error
    assert outcome.error.code == "audience-limit"
    assert "archive one first (delete its file and apply), then apply this" in outcome.error.message
    assert {call.method for call in full.calls} == {"GET"}
    # Step one, although the replacement is pending: another file goes.
    first = {each.action.key: each.status for each in full.apply(wanted[:-1])}
    assert first == {"k0": Status.BLOCKED, "k97": Status.DONE}
    # Step two.
    second = {each.action.key: each.status for each in full.apply(wanted[:-1])}
    assert second == {"k0": Status.DONE}
    assert len(claims(full.lives(), OWNER)) == 97


def test_at_100_of_100_patches_and_archives_go_on_and_a_create_waits(full: World) -> None:
    wanted = [desired(f"k{number}") for number in range(97)]
    wanted[0] = desired("k0", audience("renamed"))
    status = {each.action.key: each.status for each in full.apply([*wanted, desired("new")])}
    assert status == {"k0": Status.DONE, "k97": Status.DONE, "new": Status.BLOCKED}
    assert [each.status for each in full.apply([*wanted, desired("new")])] == [Status.DONE]
