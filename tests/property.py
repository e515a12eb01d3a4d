"""The embedded property as tests of applying need it: faults at any request, a clock that sleeping moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import audiencesync
import audiencesync.errors
from audiencesync import http
from audiencesync.action import Outcome, Plan
from audiencesync.apply import Options
from audiencesync.ga4 import Property
from audiencesync.guards import permit
from audiencesync.live import Live
from audiencesync.local.api import Answer, Api, Call, Switches
from audiencesync.local.store import Store
from audiencesync.model import Desired
from audiencesync.plan import plan
from tests.shop import PROPERTY, policy

Moment = Literal["before", "after"]


class KilledError(BaseException):
    """The process dies here: nothing in the product may catch it."""


@dataclass
class Clock:
    """A clock that only sleeping moves."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class World:
    """One property, what the files say, and a fault that strikes at some request."""

    folder: Path
    switches: Switches = field(default_factory=Switches)
    workers: int = 1

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.calls: list[Call] = []
        self.strike: Callable[[Call, Moment, int], Answer | None] | None = None
        self.store = Store(self.folder)
        self.api = Api(
            store=self.store,
            properties=(PROPERTY,),
            clock=self.clock,
            chance=lambda: 0.5,
            switches=self.switches,
            faults=self._faults,
        )

    def close(self) -> None:
        self.store.close()

    def _faults(self, call: Call, moment: Moment) -> Answer | None:
        if moment == "before":
            self.calls.append(call)
            # Each request takes a moment, so that createTime tells older from younger.
            self.clock.now += 1
        return self.strike(call, moment, len(self.calls)) if self.strike else None

    def remote(self) -> Property:
        """A client of its own, as each run has one."""
        options = http.Options(
            limits=None, clock=self.clock, now=self.clock, sleep=self.clock.sleep, random=lambda: 1
        )
        both = http.connect_local(self.api.answer, options)
        return Property(both, both, PROPERTY)

    def lives(self) -> list[Live]:
        """What the property holds, read past any fault."""
        strike, self.strike = self.strike, None
        try:
            return audiencesync.read(self.remote())
        finally:
            self.strike = strike

    def plan(self, desired: list[Desired], **more: Any) -> Plan:
        return plan(desired, audiencesync.read(self.remote()), policy(**{"destructive": 99, **more}))

    def apply(self, desired: list[Desired], **more: Any) -> list[Outcome]:
        """One `apply --yes --allow-replace --allow-archive`."""
        found = self.plan(desired, allow_replace=True, **more)
        allowed = permit(found, allow_replace=True, allow_archive=True)
        options = Options(workers=self.workers, allow_archive=True)
        return list(audiencesync.carry_out(allowed, self.remote(), options))

    def dying(self, desired: list[Desired]) -> None:
        """An apply that a strike may kill or stop."""
        with suppress(KilledError, audiencesync.errors.AudiencesyncError):
            self.apply(desired)

    def edit(self, name: str, **fields: Any) -> None:
        """Somebody edits an audience in the UI."""
        body = json.dumps(fields).encode()
        answer = self.api.answer("PATCH", f"/v1alpha/{name}", f"updateMask={','.join(fields)}", body, {})
        assert answer.status == 200, answer.body

    def make(self, body: dict[str, Any]) -> str:
        """Somebody creates an audience in the UI; gives its name."""
        path = f"/v1alpha/properties/{PROPERTY}/audiences"
        answer = self.api.answer("POST", path, "", json.dumps(body).encode(), {})
        assert answer.status == 200, answer.body
        return str(json.loads(answer.body)["name"])

    def raw(self, name: str) -> dict[str, Any]:
        """One audience as the property answers it."""
        return dict(json.loads(self.api.answer("GET", f"/v1alpha/{name}").body))
