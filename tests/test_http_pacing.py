"""Buckets, lanes, backoff and Retry-After, and what they reach together on a simulated clock."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync.http.pacing import Bucket, Lane, Pace, Ticket, backoff, retry_after
from tests.bench.quota import LIMIT, Result, Way, simulate

NOON = 1_795_262_400.0  # Sat, 21 Nov 2026 12:00:00 GMT


class FakeTime:
    """A clock that only moves when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def pace(self, chance: float = 0.5) -> Pace:
        return Pace(self.clock, self.sleep, lambda: chance)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0.01, 5), st.floats(0.01, 100))
def test_backoff_stays_between_nothing_and_its_cap(
    attempt: int, chance: float, base: float, cap: float
) -> None:
    pause = backoff(attempt, lambda: chance, base=base, cap=cap)
    assert 0 <= pause <= min(cap, base * 2.0 ** min(attempt, 60))


def test_backoff_doubles() -> None:
    assert [backoff(n, lambda: 0.5, base=2.0, cap=30) for n in range(6)] == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Saturday, 21-Nov-26 12:01:00 GMT", 60.0),
        ("Sat Nov 21 12:00:05 2026", 5.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e9", None),
        ("9" * 400, None),
        ("Sat, 99 Nov 2026 12:00:30 GMT", None),
        ("Sat, 21 Nov 99999 12:00:30 GMT", None),
    ],
)
def test_retry_after_has_two_forms(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOON) == seconds


@given(st.text(max_size=60))
def test_retry_after_reads_anything(value: str) -> None:
    seconds = retry_after(value, NOON)
    assert seconds is None or seconds >= 0


def test_a_bucket_starts_full_and_refills() -> None:
    bucket = Bucket(60, 0.0)
    assert [bucket.take(0.0) for _ in range(60)] == [0.0] * 60
    assert [bucket.take(0.0) for _ in range(3)] == pytest.approx([1.0, 2.0, 3.0])
    assert bucket.take(4.0) == 0.0
    assert bucket.take(10_000.0) == 0.0
    assert [bucket.take(10_000.0) for _ in range(60)][-2:] == pytest.approx([0.0, 1.0])


@given(st.lists(st.floats(0, 5), max_size=300))
def test_a_bucket_never_lets_more_through_than_its_size_and_its_rate(pauses: list[float]) -> None:
    bucket, now, out = Bucket(10, 0.0), 0.0, []
    for pause in pauses:
        now += pause
        out.append(now + bucket.take(now))
    for index, moment in enumerate(out):
        assert index + 1 <= 10 + moment * 10 / 60 + 1e-6


def test_draining_keeps_what_is_owed() -> None:
    bucket = Bucket(60, 0.0)
    bucket.drain(0.0)
    assert [bucket.take(0.0) for _ in range(2)] == pytest.approx([1.0, 2.0])
    bucket.drain(0.0)
    assert bucket.take(0.0) == pytest.approx(3.0)


def test_a_refusal_closes_the_lane_for_everyone() -> None:
    time = FakeTime()
    lane = Lane(600, time.pace(), "requests")
    first, second = lane.enter(), lane.enter()
    assert lane.refused(first, 30.0) == pytest.approx(30.0)
    assert lane.refused(second, None) == pytest.approx(30.0)  # of the same burst
    probe = lane.enter()
    assert time.now >= 130.0
    assert probe.probe
    lane.granted(probe)
    waits = len(time.waits)
    assert not lane.enter().probe
    assert time.waits[waits:] == []


def test_a_refusal_ends_the_burst() -> None:
    time = FakeTime()
    lane = Lane(60, time.pace(), "writes")
    lane.refused(lane.enter(), 1.0)
    before = time.now
    for _ in range(5):
        lane.granted(lane.enter())
    assert time.now - before == pytest.approx(5.0)


def test_one_request_tries_the_door_and_the_others_wait_for_it() -> None:
    time = FakeTime()
    lane = Lane(600, time.pace(), "requests")
    lane.refused(lane.enter(), 5.0)
    probe = lane.enter()
    assert probe.probe
    before = time.now
    other = lane.enter()  # nobody ever says what came of the probe, so it goes on after a while
    assert not other.probe
    assert time.now - before == pytest.approx(60.0, abs=1.0)


def test_a_probe_without_an_answer_leaves_the_door_to_the_next() -> None:
    time = FakeTime()
    lane = Lane(600, time.pace(), "requests")
    lane.refused(lane.enter(), 5.0)
    lane.dropped(lane.enter())
    assert lane.enter().probe


def test_without_a_hint_the_door_is_tried_no_later_than_a_minute_after_the_first_grant() -> None:
    time = FakeTime()
    lane = Lane(2, time.pace(chance=0.999), "writes")
    lane.granted(lane.enter())
    ticket: Ticket = lane.enter()
    time.now += 57.0
    assert lane.refused(ticket, None) <= 3.0


def test_a_lane_does_not_hang_where_time_stands_still() -> None:
    pace = Pace(lambda: 0.0, lambda _: None, lambda: 0.5)
    lane = Lane(1, pace, "writes")
    for _ in range(5):
        lane.refused(lane.enter(), 60.0)
    assert lane.enter().waited > 60.0


def test_long_waits_are_told() -> None:
    time = FakeTime()
    told: list[tuple[float, str]] = []
    pace = Pace(time.clock, time.sleep, lambda: 0.5, lambda seconds, why: told.append((seconds, why)))
    lane = Lane(2, pace, "writes")
    for _ in range(3):
        lane.granted(lane.enter())
    ((seconds, why),) = told
    assert seconds == pytest.approx(30.0)
    assert why == "the quota of writes a minute is used up"


WAYS = [
    Way("bucket"),
    *(Way("fixed", status, after) for status in (403, 429) for after in (True, False)),
    *(Way("sliding", 429, after) for after in (True, False)),
    Way("fixed", 403, retry_after=False, phase=37.0),
]


@pytest.mark.parametrize(
    "way", WAYS, ids=lambda way: "-".join(str(each) for each in dataclasses.astuple(way))
)
def test_1000_creates_reach_the_allowed_rate(way: Way) -> None:
    result = simulate(way)
    assert_all_created_once(result, 1000)
    assert result.of_allowed() >= 0.95


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("workers", [1, 3])
def test_the_rate_does_not_hang_on_chance_or_workers(seed: int, workers: int) -> None:
    result = simulate(Way("sliding", 403, retry_after=False), creates=600, workers=workers, seed=seed)
    assert_all_created_once(result, 600)
    assert result.of_allowed() >= 0.95


def test_a_server_that_counts_refusals_as_well_is_not_hammered() -> None:
    result = simulate(Way("sliding", retry_after=False, refusals_count=True), creates=600)
    assert_all_created_once(result, 600)
    assert result.refused < 100
    assert result.of_allowed() >= 0.85


def assert_all_created_once(result: Result, creates: int) -> None:
    assert result.failed == ()
    assert sorted(result.created) == sorted(f"a{n}" for n in range(creates))


def test_the_simulated_server_holds_its_quota() -> None:
    """The simulation would prove nothing if its server let everything through."""
    for kind in ("fixed", "sliding"):
        result = simulate(Way(kind), creates=LIMIT + 1)
        assert result.seconds >= 59.0
        assert result.refused > 0
