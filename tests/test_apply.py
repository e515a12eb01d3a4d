"""Applying: safe order, honest outcomes, and convergence after any fault at any request."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import requests

import audiencesync
from audiencesync import mark as marks
from audiencesync.action import Outcome, Status, Verb
from audiencesync.apply import Options, forget
from audiencesync.canonical import fingerprint
from audiencesync.errors import UsageError
from audiencesync.fields import LogCondition
from audiencesync.guards import permit
from audiencesync.live import claims
from audiencesync.local.api import Answer, Call, Switches
from audiencesync.mark import Mark
from audiencesync.model import Desired, Trigger
from audiencesync.wire import to_api
from tests.property import KilledError, Moment, World
from tests.shop import OWNER, PROPERTY, audience, desired


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / ".audiencesync")
    yield made
    made.close()


def by_key(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {outcome.action.key: outcome for outcome in outcomes}


def converged(world: World, wanted: list[Desired]) -> None:
    """Exactly one live audience a key, equal to its file and bound, and an empty plan."""
    found = claims(world.lives(), OWNER)
    assert sorted(found) == sorted(each.key for each in wanted)
    for each in wanted:
        (live,) = found[each.key].held
        assert not found[each.key].ambiguous
        assert live.audience
        assert live.mark
        assert live.mark.id == live.id
        assert fingerprint(live.audience) == fingerprint(each.audience)
    again = world.plan(wanted)
    assert not again.changed
    assert not again.blocked


# ---------------------------------------------------------------- what each verb does


def test_a_create_binds_its_mark(world: World) -> None:
    (outcome,) = world.apply([desired("a")])
    assert outcome.status is Status.DONE
    assert outcome.live
    assert outcome.live.mark == Mark(OWNER, "a", 1, outcome.live.id)
    converged(world, [desired("a")])


def test_a_patch_sends_exactly_what_changed(world: World) -> None:
    world.apply([desired("a")])
    world.calls.clear()
    world.apply([desired("a", replace(audience("a"), display_name="B"))])
    (patch,) = [call for call in world.calls if call.method == "PATCH"]
    assert patch.query == {"updateMask": "display_name"}
    assert json.loads(patch.body) == {"displayName": "B"}


def test_a_trigger_can_be_taken_away(world: World) -> None:
    trigger = Trigger("joined_a", LogCondition.RENEWED)
    world.apply([desired("a", audience("a", trigger=trigger))])
    world.apply([desired("a")])
    converged(world, [desired("a")])


def test_a_replacement_creates_reads_back_and_only_then_archives(world: World) -> None:
    world.apply([desired("a")])
    (old,) = claims(world.lives(), OWNER)["a"].held
    world.calls.clear()
    (outcome,) = world.apply([desired("a", audience("a", days=60))])
    assert outcome.status is Status.DONE
    steps = [(call.method, call.path.rpartition("/")[2]) for call in world.calls]
    new = outcome.live.id if outcome.live else ""
    create, archive = steps.index(("POST", "audiences")), steps.index(("POST", f"{old.id}:archive"))
    assert create < steps.index(("PATCH", new)) < archive
    assert ("GET", new) in steps[create:archive]
    assert steps[archive - 1] == ("GET", old.id)
    converged(world, [desired("a", audience("a", days=60))])


def test_a_second_equal_name_that_is_refused_makes_the_old_one_step_aside(tmp_path: Path) -> None:
    world = World(tmp_path / "state", Switches(equal_names="refuse"))
    world.apply([desired("a")])
    wanted = [desired("a", audience("a", days=60))]
    assert [outcome.status for outcome in world.apply(wanted)] == [Status.DONE]
    converged(world, wanted)
    world.close()


@pytest.mark.parametrize("minus_one", [-1, 540])
def test_the_longest_membership_is_one_value_however_it_is_echoed(tmp_path: Path, minus_one: int) -> None:
    world = World(tmp_path / "state", Switches(minus_one=minus_one))  # type: ignore[arg-type]
    for days in (-1, 540):
        wanted = [desired("a", audience("a", days=days))]
        world.apply(wanted)
        converged(world, wanted)
    world.close()


def test_adopting_leaves_everything_but_the_mark(world: World) -> None:
    name = world.make(to_api(audience("a")))
    before = world.raw(name)
    wanted = [desired("a", adopt=(("", name.rpartition("/")[2]),))]
    (outcome,) = world.apply(wanted)
    assert (outcome.action.verb, outcome.status) == (Verb.ADOPT, Status.DONE)
    after = world.raw(name)
    assert marks.strip(after.pop("description")) == before.pop("description")
    assert after == before
    converged(world, wanted)


def test_adopting_what_differs_replaces_it_where_that_is_allowed(world: World) -> None:
    name = world.make(to_api(audience("a")))
    wanted = [desired("a", audience("a", days=60), adopt=(("", name.rpartition("/")[2]),))]
    assert [outcome.status for outcome in world.apply(wanted)] == [Status.DONE]
    assert name not in {live.name for live in world.lives()}
    converged(world, wanted)


def test_a_renamed_file_keeps_its_audience(world: World) -> None:
    world.apply([desired("a")])
    (old,) = claims(world.lives(), OWNER)["a"].held
    wanted = [desired("b", audience("a"), previous_keys=("a",))]
    world.apply(wanted)
    converged(world, wanted)
    assert claims(world.lives(), OWNER)["b"].held[0].id == old.id


def test_a_rename_with_a_replacement_converges(world: World) -> None:
    world.apply([desired("a")])
    wanted = [desired("b", audience("a", days=60), previous_keys=("a",))]
    world.apply(wanted)
    converged(world, wanted)


def test_forget_leaves_the_files_text(world: World) -> None:
    wanted = desired("a", audience("a", description="Two lines\nof text."))
    world.apply([wanted])
    (outcome,) = forget("a", OWNER, world.lives(), world.remote())
    assert outcome.status is Status.DONE
    assert outcome.live
    assert world.raw(outcome.live.name)["description"] == "Two lines\nof text."
    with pytest.raises(UsageError, match="nothing with the key"):
        forget("a", OWNER, world.lives(), world.remote())


def test_a_refusal_names_the_place_in_the_file(tmp_path: Path) -> None:
    world = World(tmp_path / "state", Switches(max_description=40))
    long = desired("a", audience("a", description="x" * 41))
    short = desired("b", audience("b", description=""))
    found = by_key(world.apply([long, replace(short, document=long.document)]))
    assert found["a"].status is Status.FAILED
    assert found["a"].error
    assert "audiences/a.yaml:1:1" in found["a"].error.message
    world.close()


def test_a_failure_stops_only_what_depends_on_it(world: World) -> None:
    def refuse(call: Call, moment: Moment, _number: int) -> Answer | None:
        broken = (
            moment == "before"
            and call.method == "POST"
            and b'"displayName":"b"' in call.body.replace(b" ", b"")
        )
        return (
            Answer.of(400, {"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}})
            if broken
            else None
        )

    world.strike = refuse
    found = by_key(world.apply([desired(key) for key in "abc"]))
    assert {key: outcome.status for key, outcome in found.items()} == {
        "a": Status.DONE,
        "b": Status.FAILED,
        "c": Status.DONE,
    }


# ---------------------------------------------------------------- the world moves meanwhile


def moved(world: World, wanted: list[Desired], path: str, edit: Callable[[], None]) -> list[Outcome]:
    """Applies while somebody edits just before the first request at a path that ends so."""
    done = threading.Event()

    def strike(call: Call, moment: Moment, _number: int) -> None:
        if moment == "before" and not done.is_set() and call.path.endswith(path) and call.method == "GET":
            done.set()
            edit()

    world.strike = strike
    try:
        return world.apply(wanted)
    finally:
        world.strike = None
        assert done.is_set()


@pytest.mark.parametrize(
    "wanted",
    [[desired("a", audience("B"))], [desired("a", audience("a", days=60))], [desired("z")]],
)
def test_an_edit_between_plan_and_write_is_never_overwritten(world: World, wanted: list[Desired]) -> None:
    world.apply([desired("a")])
    (live,) = claims(world.lives(), OWNER)["a"].held
    outcomes = moved(world, wanted, live.id, lambda: world.edit(live.name, displayName="Edited in the UI"))
    outcome = by_key(outcomes)["a"]
    assert outcome.status is Status.BLOCKED
    assert outcome.error
    assert outcome.error.code == "changed-meanwhile"
    assert world.raw(live.name)["displayName"] == "Edited in the UI"
    world.apply(wanted)
    converged(world, wanted)


def test_an_edit_between_create_and_bind_is_reported_and_healed(world: World) -> None:
    wanted = [desired("a")]

    def strike(call: Call, moment: Moment, _number: int) -> None:
        if moment == "after" and call.method == "POST" and call.answer:
            world.strike = None
            world.edit(json.loads(call.answer.body)["name"], displayName="Edited in the UI")

    world.strike = strike
    (outcome,) = world.apply(wanted)
    assert outcome.status is Status.BLOCKED
    world.apply(wanted)
    converged(world, wanted)


def test_a_stop_lets_the_request_in_flight_finish(world: World) -> None:
    asked = threading.Event()
    world.strike = lambda call, moment, _n: (
        asked.set() if (call.method, moment) == ("POST", "after") else None
    )
    found = world.plan([desired(key) for key in "abc"])
    outcomes = by_key(
        list(audiencesync.carry_out(found, world.remote(), Options(stop=asked.is_set, workers=1)))
    )
    assert [outcome.status for outcome in outcomes.values()] == [Status.SKIPPED] * 3
    assert {outcome.error.code for outcome in outcomes.values() if outcome.error} == {"interrupted"}
    world.strike = None
    world.apply([desired(key) for key in "abc"])
    converged(world, [desired(key) for key in "abc"])


def race(world: World, wanted: list[Desired], other: Callable[[], None]) -> list[Outcome]:
    """Applies while another whole run happens after our list and before our first create."""
    done = threading.Event()

    def strike(call: Call, moment: Moment, _number: int) -> None:
        if moment == "before" and call.method == "POST" and not done.is_set():
            done.set()
            other()

    world.strike = strike
    try:
        return world.apply(wanted)
    finally:
        world.strike = None


def test_the_twin_of_a_race_is_archived_where_that_is_allowed(world: World) -> None:
    wanted = [desired("a")]
    outcomes = race(world, wanted, lambda: world.dying(wanted))
    assert [(outcome.action.verb, outcome.status) for outcome in outcomes] == [
        (Verb.CREATE, Status.DONE),
        (Verb.ARCHIVE, Status.DONE),
    ]
    converged(world, wanted)


def test_the_twin_of_a_race_is_reported_where_archiving_is_not_allowed(world: World) -> None:
    wanted = [desired("a")]
    found = world.plan(wanted)
    world.dying(wanted)
    outcomes = list(
        audiencesync.carry_out(permit(found, allow_replace=False, allow_archive=False), world.remote())
    )
    assert [(outcome.action.verb, outcome.status) for outcome in outcomes] == [
        (Verb.CREATE, Status.DONE),
        (Verb.ARCHIVE, Status.BLOCKED),
    ]
    assert len(claims(world.lives(), OWNER)["a"].held) == 2
    world.apply(wanted)
    converged(world, wanted)


# ---------------------------------------------------------------- the fault matrix


def _refusal(code: int, status: str, **more: object) -> tuple[int, dict[str, object]]:
    return code, {"error": {"code": code, "message": "not now", "status": status, **more}}


REFUSAL = {
    "403 rate": _refusal(403, "PERMISSION_DENIED", errors=[{"reason": "rateLimitExceeded"}]),
    "429": _refusal(429, "RESOURCE_EXHAUSTED"),
    "500": _refusal(500, "INTERNAL"),
    "503": _refusal(503, "UNAVAILABLE"),
}


def _kill(_call: Call) -> Answer:
    raise KilledError


def _lose(_call: Call) -> Answer:
    raise requests.exceptions.ConnectionError("the line went dead")


def _time_out(_call: Call) -> Answer:
    raise requests.exceptions.ReadTimeout("no answer in time")


def _refuse(kind: str) -> Callable[[Call], Answer]:
    return lambda _call: Answer.of(*REFUSAL[kind])


FAULTS: dict[str, tuple[Moment, Callable[[Call], Answer]]] = {
    "killed before": ("before", _kill),
    "killed after": ("after", _kill),
    "lost before": ("before", _lose),
    "reply lost": ("after", _lose),
    "timeout": ("after", _time_out),
    "403 rate": ("before", _refuse("403 rate")),
    "429": ("before", _refuse("429")),
    "500 before": ("before", _refuse("500")),
    "500 after": ("after", _refuse("500")),
    "503 after": ("after", _refuse("503")),
    "malformed body": (
        "after",
        lambda _call: Answer(200, {"Content-Type": "application/json"}, b'{"name": '),
    ),
    "html body": ("after", lambda _call: Answer(200, {"Content-Type": "text/html"}, b"<html>sign in</html>")),
}


class Mixed:
    """A run with every kind of request, and strangers that none may touch."""

    def __init__(self, folder: Path, template: Path) -> None:
        shutil.copytree(template, folder)
        self.world = World(folder)
        # The copy's clock goes on where the template's ended.
        self.world.clock.now += 1000
        names = {str(live.raw["displayName"]): live for live in self.world.lives()}
        self.adopted = names["adopt"].name
        self.wanted = [
            desired("keep"),
            desired("patch", audience("Patched", days=30)),
            desired("replace", audience("replace", days=60)),
            desired("adopt", adopt=(("", names["adopt"].id),)),
            desired("new-key", audience("old-key"), previous_keys=("old-key",)),
            desired("bind"),
            desired("create"),
        ]
        self.foreign = self.strangers()
        self.world.calls.clear()

    def strangers(self) -> dict[str, str]:
        """What nobody but its owner may touch, as GA4 answers it."""
        lives = self.world.lives()
        return {
            live.name: json.dumps(self.world.raw(live.name), sort_keys=True)
            for live in lives
            if live.mark is None and live.name != self.adopted
        }

    def check(self) -> None:
        converged(self.world, self.wanted)
        assert self.strangers() == self.foreign


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state that each run of the matrix starts from."""
    folder = tmp_path_factory.mktemp("matrix") / "state"
    world = World(folder)
    world.apply([desired(key) for key in ("keep", "patch", "replace", "archive", "old-key")])
    world.make(to_api(audience("adopt")))
    world.make(to_api(audience("stranger")))
    copied = next(live for live in world.lives() if live.mark and live.mark.key == "keep")
    world.make(to_api(audience("a copy")) | {"description": copied.raw["description"]})
    half = marks.attach("What it is for.", Mark(OWNER, "bind", 1), PROPERTY)
    world.make(to_api(audience("bind")) | {"description": half})
    world.close()
    return folder


def _requests(folder: Path, template: Path) -> int:
    """How many requests the run makes where nothing goes wrong."""
    mixed = Mixed(folder, template)
    mixed.world.apply(mixed.wanted)
    count = len(mixed.world.calls)
    mixed.check()
    mixed.world.close()
    return count


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_request_converges_with_one_more_run(
    fault: str, tmp_path: Path, template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moment, what = FAULTS[fault]
    requests_ = _requests(tmp_path / "clean", template)
    struck = number = 0
    while number == struck:
        number += 1
        mixed = Mixed(tmp_path / f"{number}", template)
        world = mixed.world

        def strike(call: Call, when: Moment, count: int, at: int = number) -> Answer | None:
            nonlocal struck
            if count == at and when == moment:
                struck = at
                return what(call)
            return None

        world.strike = strike
        world.dying(mixed.wanted)
        world.strike = None
        world.apply(mixed.wanted)
        mixed.check()
        world.close()
    with capsys.disabled():
        print(f"\n  fault matrix: {fault!r} struck each of {struck} requests")
    assert struck >= requests_ >= 20


def test_racing_runs_leave_no_duplicate_unreported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two applies of the same workspace from two threads, many times, whatever the interleaving."""
    wanted = [desired(key) for key in ("a", "b")]
    rounds, twins = 200, 0
    for number in range(rounds):
        world = World(tmp_path / f"{number}")
        start = threading.Barrier(2)
        results: list[Outcome] = []

        def run(
            world: World = world, start: threading.Barrier = start, results: list[Outcome] = results
        ) -> None:
            start.wait()
            with suppress(audiencesync.errors.AudiencesyncError):
                results.extend(world.apply(wanted))

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        held = claims(world.lives(), OWNER)
        doubled = {key for key, claim in held.items() if len(claim.held) + len(claim.ambiguous) > 1}
        reported = {outcome.action.key for outcome in results if outcome.status is not Status.DONE}
        twins += sum(outcome.action.because == "twin" for outcome in results)
        assert doubled <= reported
        world.apply(wanted)
        converged(world, wanted)
        world.close()
    with capsys.disabled():
        print(f"\n  {rounds} races, {twins} twins found")
