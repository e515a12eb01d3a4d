"""Random histories of UI edits, copies, file moves, applies and crashes: all converges, strangers stay."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from audiencesync import mark as marks
from audiencesync.action import Status
from audiencesync.canonical import fingerprint
from audiencesync.errors import AudiencesyncError
from audiencesync.live import claims
from audiencesync.local.api import Answer, Call
from audiencesync.model import Audience, Desired
from audiencesync.wire import to_api
from tests.property import KilledError, Moment, World
from tests.shop import OWNER, audience, desired

KEYS = st.sampled_from(["a", "b", "c", "d"])
COUNTS = {"histories": 0, "steps": 0, "applies": 0, "crashes": 0, "blocked": 0}


def variants(key: str) -> st.SearchStrategy[Audience]:
    """A few definitions of one key, some a patch apart, some a replacement."""
    return st.builds(
        lambda name, days: audience(name, days=days),
        st.sampled_from([key, f"{key}2"]),
        st.sampled_from([30, 60]),
    )


class History(RuleBasedStateMachine):
    """What people and programs do to one property."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name) / "state")
        self.files: dict[str, Desired] = {}
        self.foreign: dict[str, str] = {}
        COUNTS["histories"] += 1

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()
            self.folder.cleanup()

    # ------------------------------------------------------------ files

    @rule(key=KEYS, data=st.data(), keep=st.sampled_from([False, False, False, True]))
    def write_file(self, key: str, data: st.DataObject, *, keep: bool) -> None:
        self.files[key] = desired(key, data.draw(variants(key)), prevent_archive=keep)

    @rule(key=KEYS)
    def delete_file(self, key: str) -> None:
        self.files.pop(key, None)

    @rule(old=KEYS, new=KEYS)
    def rename_file(self, old: str, new: str) -> None:
        if old in self.files and new not in self.files:
            moved = self.files.pop(old)
            self.files[new] = desired(new, moved.audience, previous_keys=(old,))

    # ------------------------------------------------------------ people in the UI

    def _pick(self, number: int) -> str | None:
        names = sorted(live.name for live in self.world.lives() if live.audience)
        return names[number % len(names)] if names else None

    def _touched(self, name: str) -> None:
        """A foreign audience that its owner changed has a new state that nobody else may change."""
        live = next(live for live in self.world.lives() if live.name == name)
        if live.mark is None or name in self.foreign:
            self.foreign[name] = json.dumps(self.world.raw(name), sort_keys=True)

    @rule(number=st.integers(0, 20), text=st.sampled_from(["Edited", "Edited again", "a", "b"]))
    def edit_name(self, number: int, text: str) -> None:
        if name := self._pick(number):
            self.world.edit(name, displayName=text)
            self._touched(name)

    @rule(number=st.integers(0, 20), how=st.sampled_from(["strip", "cut", "below", "other key"]))
    def edit_description(self, number: int, how: str) -> None:
        if name := self._pick(number):
            text = str(self.world.raw(name).get("description") or "")
            changed = {
                "strip": marks.strip(text),
                "cut": text[:-3],
                "below": f"{text}\nmore",
                "other key": text.replace(f"{OWNER}:a ", f"{OWNER}:b "),
            }[how]
            self.world.edit(name, description=changed)
            self._touched(name)

    @rule(number=st.integers(0, 20))
    def duplicate(self, number: int) -> None:
        if name := self._pick(number):
            body = self.world.raw(name)
            made = self.world.make(body | {"displayName": f"{body.get('displayName', '')} (copy)"})
            # A copied mark that was not bound yet looks like our own interrupted create: nobody can tell.
            self._touched(made)

    @rule(key=KEYS)
    def create_stranger(self, key: str) -> None:
        name = self.world.make(to_api(audience(key)))
        self._touched(name)

    @rule(number=st.integers(0, 20))
    def archive(self, number: int) -> None:
        if name := self._pick(number):
            self.world.api.answer("POST", f"/v1alpha/{name}:archive", "", b"{}", {})
            self.foreign.pop(name, None)

    # ------------------------------------------------------------ applies

    @rule(at=st.integers(1, 12), moment=st.sampled_from(["before", "after"]))
    def crash(self, at: int, moment: Moment) -> None:
        if not self.files:
            return
        self.world.calls.clear()

        def strike(_call: Call, when: Moment, count: int) -> Answer | None:
            if (count, when) == (at, moment):
                COUNTS["crashes"] += 1
                raise KilledError
            return None

        self.world.strike = strike
        self.world.dying(list(self.files.values()))
        self.world.strike = None

    @rule()
    def apply(self) -> None:
        wanted = list(self.files.values())
        if not wanted:
            with pytest.raises(AudiencesyncError):
                self.world.apply(wanted)
            return
        COUNTS["applies"] += 1
        outcomes = self.world.apply(wanted)
        assert {outcome.status for outcome in outcomes} <= {Status.DONE, Status.BLOCKED}
        blocked = {outcome.action.key for outcome in outcomes if outcome.status is Status.BLOCKED}
        COUNTS["blocked"] += len(blocked)
        held = claims(self.world.lives(), OWNER)
        for key in self.files.keys() - blocked:
            (live,) = held[key].held
            assert live.audience
            assert fingerprint(live.audience) == fingerprint(self.files[key].audience)
        for key in held.keys() - self.files.keys() - blocked:
            assert not held[key].held
        again = self.world.plan(wanted)
        assert all(action.blocked or action.verb.value == "keep" for action in again.actions)

    @invariant()
    def nothing_foreign_is_touched(self) -> None:
        if not hasattr(self, "world"):
            return
        COUNTS["steps"] += 1
        for name, state in self.foreign.items():
            assert json.dumps(self.world.raw(name), sort_keys=True) == state


def test_random_histories_converge(capsys: pytest.CaptureFixture[str]) -> None:
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=120,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    with capsys.disabled():
        print(f"\n  random histories: {COUNTS}")
    assert COUNTS["steps"] >= 3000
