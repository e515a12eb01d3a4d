"""How fast requests go out: token buckets, the pause after a refusal, backoff. Pure: time and chance come in.

Google counts requests and writes a minute and does not say how (a fixed minute, a sliding one, a bucket). So
the buckets start full, and what the server counts is learnt from its refusals: one closes the lane for
everyone, one request tries the door again, and only after it got through do the others follow.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

MINUTE = 60.0

# An answer that says "retry at once" again and again must not become a busy loop.
_SHORTEST_PAUSE = 0.25
# Google counts by the minute, so longer pauses would only let part of the next minute pass unused.
_LONGEST_PROBE = 16.0
_POLL = 0.25
_MOST_POLLS = 240


def backoff(attempt: int, chance: Callable[[], float], *, base: float = 0.5, cap: float = 32.0) -> float:
    """Give the seconds to wait before another try: full jitter up to `base`, doubled with each attempt.

    attempt counts from 0; chance gives numbers in [0, 1). Source: AWS, "Exponential Backoff And Jitter".
    """
    return chance() * min(cap, base * 2.0 ** min(attempt, 30))


def retry_after(value: str, now: float) -> float | None:
    """Read a Retry-After header as seconds from now; None where it cannot be read.

    now is seconds since the epoch. Both forms of RFC 9110, 10.2.3 are read: a number of seconds, and an HTTP
    date (one in the past is 0).
    """
    from email.utils import parsedate_to_datetime

    text = value.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    if not re.match(r"[A-Za-z]{3,9},? ", text):
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())


class Bucket:
    """Holds at most `size` tokens, starts full, refills at `size` a minute; its owner holds a lock."""

    def __init__(self, size: int, now: float) -> None:
        self.size = size
        self._tokens, self._at = float(size), now

    def _refill(self, now: float) -> None:
        gained = max(0.0, now - self._at) * self.size / MINUTE
        self._tokens, self._at = min(float(self.size), self._tokens + gained), max(now, self._at)

    def take(self, now: float) -> float:
        """Take a token, in advance where there is none, and give the seconds until it is there."""
        self._refill(now)
        self._tokens -= 1.0
        return max(0.0, -self._tokens * MINUTE / self.size)

    def drain(self, now: float) -> None:
        """Pour out what is left; what was taken in advance stays owed."""
        self._refill(now)
        self._tokens = min(self._tokens, 0.0)


@dataclass(frozen=True, slots=True)
class Pace:
    """What a lane needs of the world: monotonic seconds, a way to wait, chance, and whom to tell of waits."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    chance: Callable[[], float]
    on_wait: Callable[[float, str], None] | None = None

    def wait(self, seconds: float, why: str) -> float:
        """Wait, tell of it where it is a second or more, and give the seconds back."""
        if seconds <= 0:
            return 0.0
        if self.on_wait is not None and seconds >= 1:
            self.on_wait(seconds, why)
        self.sleep(seconds)
        return seconds


@dataclass(frozen=True, slots=True)
class Ticket:
    """Lets one request through; `epoch` counts the refusals so far, `probe` marks who tries the door."""

    epoch: int
    probe: bool
    waited: float


class Lane:
    """Lets requests of one kind through at `limit` a minute (None: unlimited); a quota refusal closes it.

    Safe between threads. Each ticket is to be given back once: granted, refused or dropped.
    """

    def __init__(self, limit: int | None, pace: Pace, what: str) -> None:
        self._pace, self._what = pace, what
        self._bucket = None if limit is None else Bucket(limit, pace.clock())
        self._grants: deque[float] = deque(maxlen=limit or 1)
        self._lock = threading.Lock()
        self._epoch = 0  # refusals that closed the lane
        self._row = 0  # of them, those since something last got through
        self._since = 0.0  # when the first of these was
        self._opens = pace.clock()
        self._probing = False

    def enter(self) -> Ticket:
        """Wait for a token and for an open lane."""
        with self._lock:
            pause = self._bucket.take(self._pace.clock()) if self._bucket else 0.0
        waited = self._pace.wait(pause, f"the quota of {self._what} a minute is used up")
        served = -1
        for _ in range(_MOST_POLLS):
            with self._lock:
                pause, why = self._opens - self._pace.clock(), f"the server refused more {self._what} for now"
                if pause <= 0 or served == self._epoch:
                    if self._row == 0 or not self._probing:
                        self._probing = self._row > 0
                        return Ticket(self._epoch, self._probing, waited)
                    # One request tries the door; the others look again in a moment.
                    pause, why = _POLL, ""
                else:
                    served = self._epoch
            waited += self._pace.wait(pause, why)
        # Whoever tries the door has waited for an answer for a minute: no reason for all to wait longer.
        return Ticket(self._epoch, probe=False, waited=waited)

    def granted(self, ticket: Ticket) -> None:
        """Take a ticket back whose request was let in, whatever came of it."""
        with self._lock:
            self._return(ticket)
            self._grants.append(self._pace.clock())
            if ticket.epoch == self._epoch:
                self._row = 0

    def dropped(self, ticket: Ticket) -> None:
        """Take a ticket back whose request got no answer."""
        with self._lock:
            self._return(ticket)

    def refused(self, ticket: Ticket, after: float | None) -> float:
        """Take a ticket back whose request met the quota; give the seconds from first refusal to next try.

        after is what the server asked to wait, None where it did not say. Refusals of one burst count as one,
        and once something gets through, the next refusal is a first one again.
        """
        with self._lock:
            self._return(ticket)
            now = self._pace.clock()
            if ticket.epoch == self._epoch or after is not None:
                fresh = ticket.epoch == self._epoch
                pause = self._pause(now) if after is None else max(after, _SHORTEST_PAUSE)
                self._opens = max(self._opens, now + pause)
                if fresh:
                    if self._row == 0:
                        self._since = now
                        # Once a row: what refills while the lane is closed is there when it opens.
                        if self._bucket:
                            self._bucket.drain(now)
                    self._epoch, self._row = self._epoch + 1, self._row + 1
            return max(now, self._opens) - self._since

    def _pause(self, now: float) -> float:
        """Guess when the door opens: a minute after the last minute's oldest grant at the latest."""
        guess = backoff(self._row, self._pace.chance, base=1.0, cap=_LONGEST_PROBE)
        known = next((grant + MINUTE - now for grant in self._grants if grant + MINUTE > now), None)
        return max(_SHORTEST_PAUSE, guess if known is None else min(guess, known))

    def _return(self, ticket: Ticket) -> None:
        if ticket.probe:
            self._probing = False
