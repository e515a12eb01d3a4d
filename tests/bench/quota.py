"""Measures the share of a quota that 1,000 creates reach: `python tests/bench/quota.py`.

The clock is simulated, the servers count in several ways. Two ratios a line: to 180 writes a minute, and to
the fastest that the server would have let anybody be (a full start included).
"""

from __future__ import annotations

import heapq
import json
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from audiencesync import errors, ga4
from audiencesync.http import Options, connect_local

LIMIT, MINUTE = 180, 60.0


class VirtualClock:
    """Time that passes only while every worker waits; each thread that waits must be one of the workers."""

    def __init__(self, workers: int) -> None:
        self._now, self._running = 0.0, workers
        self._lock, self._order = threading.Lock(), count()
        self._waiting: list[tuple[float, int, threading.Event]] = []

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        event = threading.Event()
        with self._lock:
            heapq.heappush(self._waiting, (self._now + max(0.0, seconds), next(self._order), event))
            self._running -= 1
            self._advance()
        event.wait()

    def leave(self) -> None:
        with self._lock:
            self._running -= 1
            self._advance()

    def _advance(self) -> None:
        if self._running or not self._waiting:
            return
        self._now = max(self._now, self._waiting[0][0])
        while self._waiting and self._waiting[0][0] <= self._now:
            self._running += 1
            heapq.heappop(self._waiting)[2].set()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, as connect_local takes it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Way:
    """How a server counts and refuses."""

    counts: str = "fixed"  # or "sliding", "bucket"
    status: int = 429
    retry_after: bool = True
    phase: float = 0.0  # seconds into its minute at the start
    refusals_count: bool = False
    latency: float = 0.2


@dataclass(slots=True)
class Server:
    """Creates audiences within a quota."""

    way: Way
    clock: VirtualClock
    created: list[str] = field(default_factory=list)
    refused: int = 0
    last: float = 0.0
    _times: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        del method, path, query, headers
        self.clock.sleep(self.way.latency / 2)
        with self._lock:
            reply = self._count(json.loads(body)["displayName"])
        self.clock.sleep(self.way.latency / 2)
        return reply

    def _count(self, name: str) -> Reply:
        now = self.clock.now()
        wait = self._wait(now)
        if wait <= 0 or self.way.refusals_count:
            self._times.append(now)
        if wait > 0:
            self.refused += 1
            headers = {"Retry-After": str(int(wait) + 1)} if self.way.retry_after else {}
            reason = {"errors": [{"reason": "rateLimitExceeded"}], "message": "Quota exceeded: per minute."}
            return Reply(self.way.status, headers, json.dumps({"error": reason}).encode())
        self.created.append(name)
        self.last = now
        return Reply(200, {}, json.dumps({"name": f"properties/1/audiences/{len(self.created)}"}).encode())

    def _wait(self, now: float) -> float:
        """Give the seconds until one more is let in, by forgetting what no longer counts."""
        times, phase = self._times, self.way.phase
        if self.way.counts == "bucket":
            # A bucket's level, from the times of what it let in.
            level, at = float(LIMIT), 0.0
            for each in times:
                level, at = min(LIMIT, level + (each - at) * LIMIT / MINUTE) - 1, each
            level = min(LIMIT, level + (now - at) * LIMIT / MINUTE)
            return max(0.0, (1 - level) * MINUTE / LIMIT - 1e-9)
        opened = now - MINUTE if self.way.counts == "sliding" else (now + phase) // MINUTE * MINUTE - phase
        while times and (times[0] <= opened if self.way.counts == "sliding" else times[0] < opened):
            times.popleft()
        if len(times) < LIMIT:
            return 0.0
        return times[-LIMIT] + MINUTE - now if self.way.counts == "sliding" else opened + MINUTE - now


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it: seconds on the simulated clock, names in the order of creation, requests refused."""

    seconds: float
    created: tuple[str, ...]
    refused: int
    failed: tuple[str, ...]

    def of_allowed(self) -> float:
        return len(self.created) / (self.seconds / MINUTE * LIMIT)


def simulate(way: Way, creates: int = 1000, workers: int = 8, seed: int = 1) -> Result:
    clock = VirtualClock(workers)
    server = Server(way, clock)
    chance = random.Random(seed)
    options = Options(clock=clock.now, now=clock.now, sleep=clock.sleep, random=chance.random)
    connection = connect_local(server.answer, options)
    target = ga4.Property(connection, connection, "1")
    names, failed, lock = iter([f"a{n}" for n in range(creates)]), [], threading.Lock()

    def work(_: int) -> None:
        try:
            while True:
                with lock:
                    name = next(names, None)
                if name is None:
                    return
                try:
                    target.create({"displayName": name})
                except errors.RequestError as error:
                    failed.append(f"{name}: {error}")
        finally:
            clock.leave()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    return Result(server.last, tuple(server.created), server.refused, tuple(failed))


def best(way: Way, creates: int) -> float:
    """Give the fewest seconds in which such a server lets so many in."""
    if way.counts == "bucket":
        return max(0.0, (creates - LIMIT) * MINUTE / LIMIT)
    full = (creates - 1) // LIMIT * MINUTE
    return full - way.phase if way.counts == "fixed" else full


WAYS = (
    Way("bucket"),
    *(Way("fixed", status, after) for status in (403, 429) for after in (True, False)),
    *(Way("sliding", status, after) for status in (403, 429) for after in (True, False)),
    Way("fixed", 429, retry_after=False, phase=37.0),
    Way("sliding", 429, retry_after=False, refusals_count=True),
    Way("sliding", 429, retry_after=False, latency=1.0),
)


def main() -> None:
    print("counts   status  Retry-After  workers  minutes  refused  to 180/min  to the fastest")
    print("(one worker alone cannot be faster than its latency; + marks a server that counts refusals too)")
    for way in WAYS:
        for workers in (1, 8):
            began = time.perf_counter()
            result = simulate(way, workers=workers)
            spent = time.perf_counter() - began
            kinds = len(set(result.created))
            lost, doubled = 1000 - kinds, len(result.created) - kinds
            fastest = best(way, 1000) / result.seconds
            counts = way.counts + "+" * way.refusals_count
            print(
                f"{counts:8} {way.status:6}  {way.retry_after!s:11} {workers:8}"
                f" {result.seconds / 60:8.2f} {result.refused:8} {result.of_allowed():11.3f} {fastest:15.3f}"
                f"  latency {way.latency:.1f} s, lost {lost}, doubled {doubled},"
                f" failed {len(result.failed)} ({spent:.1f} s)"
            )


if __name__ == "__main__":
    main()
