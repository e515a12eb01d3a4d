"""Applying where Google's documents are silent, and where two runs or people meet at the worst moment."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import audiencesync
from audiencesync import mark as marks
from audiencesync.action import Outcome, Status, Verb
from audiencesync.apply import Options
from audiencesync.fields import LogCondition
from audiencesync.guards import permit
from audiencesync.live import claims
from audiencesync.local.api import Answer, Call, Switches
from audiencesync.mark import Mark
from audiencesync.model import Desired, Trigger
from audiencesync.wire import to_api
from tests.property import KilledError, Moment, World
from tests.shop import OWNER, PROPERTY, audience, desired
from tests.test_apply import FAULTS, by_key, converged

OTHER_ANSWERS = {
    "equal names refused": Switches(equal_names="refuse"),
    "immutable fields in a mask ignored": Switches(immutable_in_mask="ignore"),
    "-1 echoed as 540": Switches(minus_one=540),
    "refusals without details": Switches(equal_names="refuse", details=False),
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "state")
    yield made
    made.close()


# ---------------------------------------------------------------- what Google leaves undocumented


def before_and_after(world: World) -> list[Desired]:
    """Prepares a property, and gives files whose apply makes every kind of request."""
    first = [desired(key) for key in ("patch", "replace", "archive")]
    world.apply([*first, desired("longest", audience("longest", days=-1))])
    trigger = Trigger("joined_it", LogCondition.RENEWED)
    adopted = next((live for live in world.lives() if live.display_name == "adopt"), None)
    name = adopted.name if adopted else world.make(to_api(audience("adopt")))
    half = marks.attach("What it is for.", Mark(OWNER, "bind", 1), PROPERTY)
    world.make(to_api(audience("bind")) | {"description": half})
    return [
        desired("patch", audience("Patched", trigger=trigger)),
        desired("replace", audience("replace", days=-1)),
        desired("longest", audience("longest", days=540)),
        desired("adopt", audience("adopt", days=-1), adopt=(("", name.rpartition("/")[2]),)),
        desired("bind"),
        desired("create", audience("create", days=-1)),
    ]


@pytest.mark.parametrize("fault", ["killed before", "reply lost", "malformed body"])
@pytest.mark.parametrize("answer", OTHER_ANSWERS)
def test_whatever_google_answers_a_fault_at_any_request_converges(
    answer: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moment, what = FAULTS[fault]
    template = World(tmp_path / "template", OTHER_ANSWERS[answer])
    wanted = before_and_after(template)
    template.close()
    struck = number = 0
    # Each third request, another one for each fault.
    first = 1 + sorted(FAULTS).index(fault) % 3
    while number == struck:
        number = number + 3 if number else first
        shutil.copytree(tmp_path / "template", tmp_path / f"{number}")
        world = World(tmp_path / f"{number}", OTHER_ANSWERS[answer])
        world.clock.now += 1000

        def strike(call: Call, when: Moment, count: int, at: int = number) -> Answer | None:
            nonlocal struck
            if count == at and when == moment:
                struck = at
                return what(call)
            return None

        world.strike = strike
        world.dying(wanted)
        world.strike = None
        world.apply(wanted)
        converged(world, wanted)
        world.close()
        shutil.rmtree(tmp_path / f"{number}")
    with capsys.disabled():
        print(f"\n  {answer}, {fault!r}: struck every third of {struck} requests")
    assert struck >= 20


def test_an_immutable_field_never_stands_in_a_mask(world: World) -> None:
    wanted = before_and_after(world)
    world.calls.clear()
    world.apply(wanted)
    masks = {field for call in world.calls for field in call.query.get("updateMask", "").split(",") if field}
    assert masks == {"display_name", "description", "event_trigger"}


# ---------------------------------------------------------------- twins


def twins(world: World, more: int = 1) -> tuple[list[Desired], list[str]]:
    """One bound audience of ours, and so many younger ones of the same key and generation; their names."""
    wanted = [desired("a")]
    world.apply(wanted)
    names = [claims(world.lives(), OWNER)["a"].held[0].name]
    for _ in range(more):
        name = world.make(to_api(audience("a")))
        mark = Mark(OWNER, "a", 1, name.rpartition("/")[2])
        world.edit(name, description=marks.attach("What it is for.", mark, PROPERTY))
        names.append(name)
    return wanted, names


def racing(world: World, meanwhile: object, **options: bool | int) -> list[Outcome]:
    """A create, while somebody else does something right after it."""
    wanted = [desired("a")]
    found = world.plan(wanted, destructive=int(options.pop("destructive", 99)))
    done = False

    def strike(call: Call, moment: Moment, _number: int) -> None:
        nonlocal done
        if moment == "after" and call.method == "PATCH" and not done:
            done = True
            strike_, world.strike = world.strike, None
            assert callable(meanwhile)
            meanwhile()
            world.strike = strike_

    world.strike = strike
    try:
        run = Options(allow_archive=bool(options.get("allow_archive", True)), workers=1)
        return list(audiencesync.carry_out(found, world.remote(), run))
    finally:
        world.strike = None


def another(world: World, *, bound: bool = True, keep: bool = False, days: int = 30) -> str:
    """What a racing run makes of the same key and generation."""
    text = marks.attach("What it is for.", Mark(OWNER, "a", prevent_archive=keep), PROPERTY)
    name = world.make(to_api(audience("a", days=days)) | {"description": text})
    if bound:
        mark = Mark(OWNER, "a", 1, name.rpartition("/")[2], keep)
        world.edit(name, description=marks.attach("What it is for.", mark, PROPERTY))
    return name


def names(world: World) -> set[str]:
    return {live.name for live in world.lives() if live.mark}


def test_the_younger_twin_goes_and_the_older_stays(world: World) -> None:
    outcomes = racing(world, lambda: another(world))
    assert [(each.action.verb, each.status) for each in outcomes] == [
        (Verb.CREATE, Status.DONE),
        (Verb.ARCHIVE, Status.DONE),
    ]
    assert outcomes[0].live
    assert names(world) == {outcomes[0].live.name}


@pytest.mark.parametrize(
    "how",
    [{"bound": False}, {"keep": True}, {"days": 60}],
    ids=["unbound", "protected", "another definition"],
)
def test_a_twin_that_is_not_surely_superfluous_is_reported_and_stays(
    world: World, how: dict[str, bool | int]
) -> None:
    outcomes = racing(world, lambda: another(world, **how))  # type: ignore[arg-type]
    assert [each.status for each in outcomes] == [Status.DONE, Status.BLOCKED]
    assert outcomes[1].error
    assert outcomes[1].error.code == "twin"
    assert len(names(world)) == 2


def test_without_the_flag_no_twin_goes(world: World) -> None:
    outcomes = racing(world, lambda: another(world), allow_archive=False)
    assert [each.status for each in outcomes] == [Status.DONE, Status.BLOCKED]
    assert len(names(world)) == 2


def test_twins_count_against_the_destructive_budget(world: World) -> None:
    outcomes = racing(world, lambda: [another(world) for _ in range(3)], destructive=2)
    assert [each.status for each in outcomes] == [Status.DONE, Status.DONE, Status.DONE, Status.BLOCKED]
    assert len(names(world)) == 2


def test_planned_archives_count_before_twins(world: World) -> None:
    world.apply([desired("a"), desired("gone")])
    world.api.answer("POST", f"/v1alpha/{claims(world.lives(), OWNER)['a'].held[0].name}:archive", "", b"{}")
    found = world.plan([desired("a")], destructive=1)
    done = False

    def strike(call: Call, moment: Moment, _number: int) -> None:
        nonlocal done
        if moment == "after" and call.method == "PATCH" and not done:
            done, world.strike = True, None
            another(world)

    world.strike = strike
    outcomes = list(audiencesync.carry_out(found, world.remote(), Options(allow_archive=True, workers=1)))
    status = [(each.action.key, each.action.verb, each.status) for each in outcomes]
    assert status == [
        ("a", Verb.CREATE, Status.DONE),
        ("a", Verb.ARCHIVE, Status.BLOCKED),
        ("gone", Verb.ARCHIVE, Status.DONE),
    ]


def test_where_ours_is_gone_from_the_list_nothing_is_archived(world: World) -> None:
    """Somebody archived what we just made: the other one is all that is left."""

    def meanwhile() -> None:
        (mine,) = names(world)
        another(world)
        world.api.answer("POST", f"/v1alpha/{mine}:archive", "", b"{}")

    outcomes = racing(world, meanwhile)
    assert [each.status for each in outcomes] == [Status.DONE, Status.BLOCKED]
    assert len(names(world)) == 1
    world.apply([desired("a")])
    converged(world, [desired("a")])


def gone_before_the_archive(world: World, stays: str) -> None:
    """Somebody archives the one that stays just before its twin is looked at for the last time."""
    listed = False

    def strike(call: Call, moment: Moment, _number: int) -> None:
        nonlocal listed
        if moment == "after" and call.method == "GET" and call.path.endswith("/audiences"):
            if listed:
                world.strike = None
                world.api.answer("POST", f"/v1alpha/{stays}:archive", "", b"{}")
            listed = True

    world.strike = strike


def test_a_twin_stays_where_the_older_one_went_after_the_list(world: World) -> None:
    found = world.plan([desired("a")])
    first = another(world)
    gone_before_the_archive(world, first)
    assert world.strike
    world.strike(Call("GET", "/audiences", {}, b"", {}), "after", 0)
    outcomes = list(audiencesync.carry_out(found, world.remote(), Options(allow_archive=True, workers=1)))
    assert [each.status for each in outcomes] == [Status.DONE, Status.BLOCKED]
    assert len(names(world)) == 1


def test_a_planned_twin_stays_where_the_older_one_went_after_the_list(world: World) -> None:
    wanted, (older, younger) = twins(world)
    found = permit(world.plan(wanted), allow_replace=True, allow_archive=True)
    assert [(each.verb, each.because) for each in found.actions] == [(Verb.ARCHIVE, "twin")]
    world.api.answer("POST", f"/v1alpha/{older}:archive", "", b"{}")
    (outcome,) = audiencesync.carry_out(found, world.remote(), Options(allow_archive=True))
    assert outcome.status is Status.BLOCKED
    assert names(world) == {younger}
    world.apply(wanted)
    converged(world, wanted)


# ---------------------------------------------------------------- lost creates


def test_a_lost_create_among_several_is_nobodys(world: World) -> None:
    """The reply is lost, and the list shows two unfinished marks: neither is bound, and it is said."""

    def strike(call: Call, moment: Moment, _number: int) -> Answer | None:
        if moment == "after" and call.method == "POST":
            world.strike = None
            another(world, bound=False)
            return Answer(500, {}, b"")
        return None

    found = world.plan([desired("a")])
    world.strike = strike
    (outcome,) = audiencesync.carry_out(found, world.remote())
    assert outcome.status is Status.FAILED
    assert outcome.error
    assert outcome.error.code == "create-unknown"
    assert "several audiences carry its mark" in outcome.error.message
    assert [live.mark.id for live in world.lives() if live.mark] == ["", ""]


def test_a_create_that_never_left_is_not_looked_for(world: World) -> None:
    import requests
    import urllib3

    def strike(call: Call, moment: Moment, _number: int) -> Answer | None:
        if moment == "before" and call.method == "POST":
            raise requests.exceptions.ConnectTimeout(urllib3.exceptions.ConnectTimeoutError())
        return None

    found = world.plan([desired("a")])
    world.calls.clear()
    world.strike = strike
    (outcome,) = audiencesync.carry_out(found, world.remote())
    assert outcome.error
    assert (outcome.status, outcome.error.code) == (Status.FAILED, "connection")
    assert {call.method for call in world.calls} == {"POST"}


def test_a_list_that_fails_after_creates_is_an_error_of_its_own(world: World) -> None:
    def strike(call: Call, moment: Moment, _number: int) -> Answer | None:
        broken = moment == "before" and call.path.endswith("/audiences") and call.method == "GET"
        return Answer(403, {}, b"{}") if broken else None

    found = world.plan([desired("a")])
    world.strike = strike
    outcomes = list(audiencesync.carry_out(found, world.remote()))
    assert [each.status for each in outcomes] == [Status.DONE, Status.FAILED]
    assert outcomes[1].error
    assert outcomes[1].error.code == "twins-unknown"


# ---------------------------------------------------------------- the world moves


def test_what_ga4_made_otherwise_than_sent_is_a_failure_and_the_old_one_stays(world: World) -> None:
    """A server that takes a request and keeps something else: nothing is archived for it."""
    world.apply([desired("a")])
    (old,) = names(world)

    def strike(call: Call, moment: Moment, _number: int) -> None:
        if moment == "after" and call.method == "POST" and call.answer and not call.path.endswith("archive"):
            made = json.loads(call.answer.body)
            with world.store.write() as store:
                stored = store.audience(PROPERTY, int(made["name"].rpartition("/")[2]))
                assert stored
                store.change_audience(stored.id, stored.body | {"membershipDurationDays": 7})

    world.strike = strike
    outcome = by_key(world.apply([desired("a", audience("a", days=60))]))["a"]
    world.strike = None
    assert outcome.status in (Status.FAILED, Status.BLOCKED)
    assert old in names(world)


@pytest.mark.parametrize("verb", ["patch", "replace", "archive"])
def test_an_edit_right_before_each_write_stops_it(world: World, verb: str) -> None:
    """The audience changes after the list, before the first request about it."""
    world.apply([desired("a"), desired("b")])
    (live,) = claims(world.lives(), OWNER)["a"].held
    wanted = {
        "patch": [desired("a", audience("B")), desired("b")],
        "replace": [desired("a", audience("a", days=60)), desired("b")],
        "archive": [desired("b")],
    }[verb]
    found = permit(world.plan(wanted), allow_replace=True, allow_archive=True)
    world.edit(live.name, description=str(live.raw["description"]).replace("What", "That"))
    world.calls.clear()
    (outcome,) = audiencesync.carry_out(found, world.remote(), Options(allow_archive=True))
    assert outcome.error
    assert (outcome.status, outcome.error.code) == (Status.BLOCKED, "changed-meanwhile")
    assert live.name in names(world)
    assert not any(call.path == f"/v1alpha/{live.name}:archive" for call in world.calls)


def test_a_patch_that_ga4_answers_otherwise_is_a_failure(world: World) -> None:
    world.apply([desired("a")])

    def strike(call: Call, moment: Moment, _number: int) -> Answer | None:
        if moment == "after" and call.method == "PATCH" and call.answer:
            return Answer.of(200, json.loads(call.answer.body) | {"displayName": "Something else"})
        return None

    world.strike = strike
    (outcome,) = world.apply([desired("a", audience("B"))])
    assert outcome.error
    assert (outcome.status, outcome.error.code) == (Status.FAILED, "not-as-sent")


def test_an_edit_of_the_new_one_before_the_old_one_goes_stops_the_archive(world: World) -> None:
    world.apply([desired("a")])
    (old,) = names(world)

    def strike(call: Call, moment: Moment, _number: int) -> None:
        if moment == "after" and call.method == "PATCH" and old not in call.path:
            world.strike = None
            world.edit(call.path.removeprefix("/v1alpha/"), displayName="Edited")

    world.strike = strike
    (outcome,) = world.apply([desired("a", audience("a", days=60))])
    assert outcome.status is Status.BLOCKED
    assert old in names(world)


def test_what_replaces_an_adopted_audience_is_the_next_generation(world: World) -> None:
    name = world.make(to_api(audience("a")))
    (outcome,) = world.apply([desired("a", audience("a", days=60), adopt=(("", name.rpartition("/")[2]),))])
    assert outcome.live
    assert outcome.live.mark == Mark(OWNER, "a", 2, outcome.live.id)


def test_the_twin_of_a_racing_replacement_is_found(world: World) -> None:
    world.apply([desired("a")])
    (old,) = names(world)
    made: list[str] = []

    def strike(call: Call, moment: Moment, _number: int) -> None:
        if moment == "after" and call.method == "PATCH" and old not in call.path:
            world.strike = None
            made.append(another(world, days=60))
            mark = Mark(OWNER, "a", 2, made[0].rpartition("/")[2])
            world.edit(made[0], description=marks.attach("What it is for.", mark, PROPERTY))

    world.strike = strike
    outcomes = world.apply([desired("a", audience("a", days=60))])
    assert [(each.action.verb, each.status) for each in outcomes] == [
        (Verb.REPLACE, Status.DONE),
        (Verb.ARCHIVE, Status.DONE),
    ]
    assert made[0] not in names(world)
    converged(world, [desired("a", audience("a", days=60))])


def test_a_run_that_is_stopped_asks_nothing_more(world: World) -> None:
    wanted = before_and_after(world)
    found = permit(world.plan(wanted, allow_replace=True), allow_replace=True, allow_archive=True)
    world.calls.clear()
    outcomes = list(audiencesync.carry_out(found, world.remote(), Options(stop=lambda: True)))
    assert {each.status for each in outcomes} == {Status.SKIPPED}
    assert {each.error.code for each in outcomes if each.error} == {"interrupted"}
    assert world.calls == []


def test_a_key_that_a_rule_holds_back_has_an_outcome(world: World) -> None:
    for key in "ab":
        another_key = marks.attach("What it is for.", Mark(OWNER, key), PROPERTY)
        world.make(to_api(audience(key)) | {"description": another_key})
    (outcome,) = world.apply([desired("b", previous_keys=("a",))])
    assert outcome.error
    assert (outcome.action.verb, outcome.status) == (Verb.KEEP, Status.BLOCKED)
    assert outcome.error.code == "both-keys-live"


def test_an_unbound_leftover_is_bound_before_it_is_archived(world: World) -> None:
    """A replacement that died after its create, and was taken back: nothing goes without a bound mark."""
    world.apply([desired("a")])
    text = marks.attach("What it is for.", Mark(OWNER, "a", 2), PROPERTY)
    name = world.make(to_api(audience("a", days=60)) | {"description": text})
    world.calls.clear()
    outcomes = world.apply([desired("a")])
    assert [each.status for each in outcomes] == [Status.DONE]
    steps = [(call.method, call.path) for call in world.calls if call.method != "GET"]
    assert steps == [("PATCH", f"/v1alpha/{name}"), ("POST", f"/v1alpha/{name}:archive")]
    converged(world, [desired("a")])


def test_a_renamed_file_of_another_definition_keeps_the_old_one_findable(world: World) -> None:
    """Killed after the new one is there: the old one already carries the new key, so nothing is orphaned."""
    world.apply([desired("old")])
    wanted = [desired("new", audience("old", days=60), previous_keys=("old",))]

    def strike(call: Call, moment: Moment, _number: int) -> None:
        if moment == "after" and call.method == "POST":
            raise KilledError

    world.strike = strike
    world.dying(wanted)
    world.strike = None
    assert sorted(claims(world.lives(), OWNER)) == ["new"]
    # The file forgets its previous key before the next run.
    without = [replace(wanted[0], manage=replace(wanted[0].manage, previous_keys=()))]
    world.apply(without)
    converged(world, without)
