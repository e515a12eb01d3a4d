"""What is sent, and how: one request, and the options of a connection."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from audiencesync.settings import Limits


class Resend(Enum):
    """Whether a request may be sent again where nobody knows if it ran."""

    SAFE = "safe"
    ONCE = "once"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `path` begins with a slash and is already encoded.

    `body` is sent as JSON, `form` as a form. `timeout` is (connect, read) in seconds. `vanishes` says that
    what the path names is gone once the request ran: where an earlier try may have run, a 404 is success.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    write: bool = False
    resend: Resend = Resend.SAFE
    timeout: tuple[float, float] = (10.0, 60.0)
    vanishes: bool = False

    def __post_init__(self) -> None:
        """Hold that the path cannot continue the host's name."""
        if not self.path.startswith("/"):
            raise ValueError(f"the path {self.path[:100]!r} does not begin with a slash")

    @property
    def place(self) -> str:
        """The path without a query, which may hold what is nobody's business."""
        return self.path.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Options:
    """How a connection paces, waits and tells.

    `limits` None means no pacing (the embedded property needs none). `clock` is monotonic, `now` counts from
    the epoch, both in seconds. `log` gets one mapping a try, never two at a time; `on_wait` gets the seconds
    and the reason.
    """

    limits: Limits | None = field(default_factory=Limits)
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    log: Callable[[Mapping[str, object]], None] | None = None
    on_wait: Callable[[float, str], None] | None = None
    workers: int = 8
