"""One row of the plan's truth table a test; then the laws and the safety rules."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiencesync import live as lives
from audiencesync import mark as marks
from audiencesync.action import Action, Plan, Verb
from audiencesync.errors import UsageError
from audiencesync.fields import ClauseType, ExclusionMode, LogCondition
from audiencesync.guards import permit
from audiencesync.live import Live
from audiencesync.mark import Mark
from audiencesync.model import Audience, Desired, Trigger
from audiencesync.plan import plan
from tests import strategies
from tests.shop import OWNER, PROPERTY, audience, clause, desired, ours, policy, raw, stranger


def only(found: Plan) -> Action:
    """The plan's one action."""
    (action,) = found.actions
    return action


def code(action: Action) -> str:
    return action.blocked.code if action.blocked else ""


# ---------------------------------------------------------------- verbs


def test_an_equal_audience_of_ours_is_kept() -> None:
    action = only(plan([desired("a")], [ours(7, "a")], policy()))
    assert (action.verb, action.changes, action.update_mask) == (Verb.KEEP, (), ())


def test_nothing_there_is_a_create() -> None:
    action = only(plan([desired("a")], [], policy()))
    assert action.verb is Verb.CREATE
    assert action.mark == Mark(OWNER, "a", 1)


def test_a_mutable_change_is_a_patch_of_exactly_that_field() -> None:
    trigger = Trigger("joined_a", LogCondition.JOINED)
    wanted = replace(audience("a"), display_name="B", trigger=trigger)
    action = only(plan([desired("a", wanted)], [ours(7, "a")], policy()))
    assert action.verb is Verb.PATCH
    assert action.update_mask == ("displayName", "eventTrigger")
    assert [(change.path, change.before, change.after, change.immutable) for change in action.changes] == [
        ("displayName", "a", "B", False),
        ("eventTrigger", None, {"eventName": "joined_a", "logCondition": "AUDIENCE_JOINED"}, False),
    ]


def test_a_trigger_taken_away_is_a_patch() -> None:
    held = audience("a", trigger=Trigger("joined_a", LogCondition.JOINED))
    action = only(plan([desired("a")], [ours(7, "a", held)], policy()))
    assert (action.verb, action.update_mask) == (Verb.PATCH, ("eventTrigger",))


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        (audience("a", days=31), "membershipDurationDays"),
        (audience("a", event="refund"), "filterClauses[0]"),
        (replace(audience("a"), clauses=(clause("purchase"), clause("refund"))), "filterClauses[1]"),
        (
            replace(
                audience("a"),
                clauses=(clause("purchase"), clause("refund", ClauseType.EXCLUDE)),
                exclusion_mode=ExclusionMode.PERMANENTLY,
            ),
            "exclusionDurationMode",
        ),
    ],
)
def test_an_immutable_change_is_a_replacement_that_names_the_field(wanted: Audience, path: str) -> None:
    action = only(plan([desired("a", wanted)], [ours(7, "a")], policy()))
    assert action.verb is Verb.REPLACE
    assert any(change.path.startswith(path) and change.immutable for change in action.changes)
    assert action.mark == Mark(OWNER, "a", 2)
    assert [live.id for live in action.archives] == ["7"]


def test_a_deleted_file_is_an_archive() -> None:
    action = next(a for a in plan([desired("b")], [ours(7, "a")], policy()).actions if a.key == "a")
    assert action.verb is Verb.ARCHIVE
    assert [live.id for live in action.archives] == ["7"]


def test_minus_one_day_and_540_are_the_same() -> None:
    action = only(
        plan([desired("a", audience("a", days=540))], [ours(7, "a", audience("a", days=-1))], policy())
    )
    assert action.verb is Verb.KEEP


def test_a_mode_without_an_exclude_clause_makes_no_difference() -> None:
    held = audience("a", exclusion_mode=ExclusionMode.PERMANENTLY)
    assert only(plan([desired("a")], [ours(7, "a", held)], policy())).verb is Verb.KEEP


def test_keys_that_are_not_named_are_left_alone() -> None:
    found = plan([desired("a"), desired("b")], [ours(7, "gone")], policy(selection=("b",)))
    assert [(action.key, action.verb) for action in found.actions] == [("b", Verb.CREATE)]


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(UsageError, match="'nope'"):
        plan([desired("a")], [], policy(selection=("nope",)))


def test_files_of_other_targets_are_not_planned() -> None:
    found = plan([desired("a"), desired("b", targets=("production",))], [ours(7, "b")], policy())
    assert [(action.key, action.verb) for action in found.actions] == [
        ("a", Verb.CREATE),
        ("b", Verb.ARCHIVE),
    ]


def test_the_summary_counts_every_verb() -> None:
    found = plan([desired("a"), desired("b")], [ours(7, "a")], policy())
    assert found.summary == {"keep": 1, "create": 1, "patch": 0, "replace": 0, "archive": 0, "adopt": 0}


# ---------------------------------------------------------------- ownership


def test_an_interrupted_create_is_bound() -> None:
    action = only(plan([desired("a")], [ours(7, "a", id="")], policy()))
    assert (action.verb, action.because, action.update_mask) == (Verb.PATCH, "bind", ("description",))


def test_two_unbound_marks_block_the_key() -> None:
    action = only(plan([desired("a")], [ours(7, "a", id=""), ours(8, "a", id="")], policy()))
    assert code(action) == "ambiguous-mark"


def test_a_duplicate_made_in_the_ui_is_a_stranger_and_nothing_happens_to_it() -> None:
    copy = lives.read(raw(8, audience("a copy"), Mark(OWNER, "a", 1, "7")), PROPERTY)
    found = plan([desired("a")], [ours(7, "a"), copy], policy())
    assert only(found).verb is Verb.KEEP
    assert [(each.name[-1], "copy" in each.reason) for each in found.unmanaged] == [("8", True)]


def test_an_interrupted_replacement_is_finished() -> None:
    wanted = audience("a", days=60)
    found = [ours(7, "a"), ours(8, "a", wanted, generation=2)]
    action = only(plan([desired("a", wanted)], found, policy()))
    assert (action.verb, action.because) == (Verb.REPLACE, "resume")
    assert action.before is found[1]
    assert action.archives == (found[0],)


def test_a_change_taken_back_in_mid_replacement_keeps_the_filled_audience() -> None:
    found = [ours(7, "a"), ours(8, "a", audience("a", days=60), generation=2)]
    action = only(plan([desired("a")], found, policy()))
    assert action.before is found[0]
    assert action.archives == (found[1],)


def test_of_two_equal_generations_the_newest_stays() -> None:
    found = [ours(7, "a"), ours(8, "a", generation=2)]
    assert only(plan([desired("a")], found, policy())).before is found[1]


def test_a_generation_that_a_patch_makes_equal_stays() -> None:
    found = [ours(7, "a"), ours(8, "a", audience("a", days=60), generation=2)]
    action = only(plan([desired("a", audience("New name"))], found, policy()))
    assert (action.before, action.archives) == (found[0], (found[1],))
    assert [change.path for change in action.changes] == ["displayName"]


def test_a_leftover_whose_own_mark_protects_it_stays() -> None:
    wanted = audience("a", days=60)
    found = [ours(7, "a", keep=True), ours(8, "a", wanted, generation=2)]
    action = only(plan([desired("a", wanted)], found, policy()))
    assert code(action) == "prevent-archive"
    assert action.blocked
    assert found[0].name in action.blocked.message


def test_the_older_twin_of_a_race_stays() -> None:
    found = [ours(7, "a"), ours(8, "a")]
    action = only(plan([desired("a")], found, policy()))
    assert (action.verb, action.because, action.before, action.archives) == (
        Verb.ARCHIVE,
        "twin",
        found[0],
        (found[1],),
    )


def test_a_stranger_with_our_name_blocks_that_one_create() -> None:
    found = plan([desired("a"), desired("b")], [stranger(7, audience("a"))], policy())
    assert [(action.key, code(action)) for action in found.actions] == [("a", "name-taken"), ("b", "")]
    assert 'adopt: "7"' in found.actions[0].blocked.message  # type: ignore[union-attr]


def test_adopting_an_equal_audience_patches_the_description_alone() -> None:
    action = only(plan([desired("a", adopt=(("", "7"),))], [stranger(7, audience("a"))], policy()))
    assert (action.verb, action.update_mask, code(action)) == (Verb.ADOPT, ("description",), "")


def test_adopting_a_different_name_patches_that_too() -> None:
    action = only(plan([desired("a", adopt=(("demo", "7"),))], [stranger(7, audience("Old"))], policy()))
    assert (action.verb, action.update_mask) == (Verb.ADOPT, ("description", "displayName"))


@pytest.mark.parametrize(("allowed", "blocked"), [(False, "adopt-differs"), (True, "")])
def test_adopting_what_differs_for_good_needs_a_replacement(*, allowed: bool, blocked: str) -> None:
    wanted = desired("a", audience("a", days=60), adopt=(("", "7"),))
    action = only(plan([wanted], [stranger(7, audience("a"))], policy(allow_replace=allowed)))
    assert (action.verb, code(action)) == (Verb.ADOPT, blocked)
    assert [live.id for live in action.archives] == ["7"]


def test_adopting_an_id_that_is_not_there_is_never_a_create() -> None:
    action = only(plan([desired("a", adopt=(("", "99"),))], [], policy()))
    assert (action.verb, code(action)) == (Verb.ADOPT, "adopt-missing")


def test_adopting_what_another_mark_claims_is_refused() -> None:
    for owner, key in (("shop-app", "x"), (OWNER, "b")):
        other = lives.read(raw(7, audience("a"), Mark(owner, key, 1, "own")), PROPERTY)
        found = plan([desired("a", adopt=(("", "7"),)), desired("b")], [other], policy())
        assert code(found.actions[0]) == "adopt-claimed"


def test_adopt_is_ignored_once_the_key_is_bound() -> None:
    assert only(plan([desired("a", adopt=(("", "99"),))], [ours(7, "a")], policy())).verb is Verb.KEEP


def test_adopt_at_another_target_does_not_count() -> None:
    action = only(plan([desired("a", adopt=(("production", "7"),))], [], policy()))
    assert action.verb is Verb.CREATE


def test_a_renamed_file_carries_its_mark_over() -> None:
    action = only(plan([desired("b", audience("a"), previous_keys=("a",))], [ours(7, "a")], policy()))
    assert (action.verb, action.because, action.update_mask) == (Verb.PATCH, "rename", ("description",))
    assert action.mark == Mark(OWNER, "b", 1, "7")


def test_both_keys_live_is_blocked() -> None:
    found = plan([desired("b", previous_keys=("a",))], [ours(7, "a"), ours(8, "b")], policy())
    assert [(action.key, code(action)) for action in found.actions] == [("b", "both-keys-live")]


def test_two_previous_keys_that_are_live_are_blocked() -> None:
    found = [ours(7, "a"), ours(8, "b")]
    assert code(only(plan([desired("c", previous_keys=("a", "b"))], found, policy()))) == "both-keys-live"


def test_an_adoption_never_replaces_what_the_file_protects() -> None:
    wanted = desired("a", audience("a", days=60), adopt=(("", "7"),), prevent_archive=True)
    action = only(plan([wanted], [stranger(7, audience("a"))], policy(allow_replace=True)))
    assert code(action) == "prevent-archive"


def test_what_we_cannot_say_is_blocked_never_replaced() -> None:
    data = raw(7, audience("a"), Mark(OWNER, "a", 1, "own"))
    data["filterClauses"][0]["simpleFilter"]["newKnob"] = 3
    action = only(plan([desired("a", audience("a", days=60))], [lives.read(data, PROPERTY)], policy()))
    assert code(action) == "unrepresentable"


# ---------------------------------------------------------------- protection and limits


@pytest.mark.parametrize("wanted", [[desired("b")], [desired("b"), desired("a", audience("a", days=60))]])
def test_a_kept_audience_is_neither_archived_nor_replaced(wanted: list[Desired]) -> None:
    found = plan(wanted, [ours(7, "a", keep=True)], policy())
    assert {action.key: code(action) for action in found.actions} == {"a": "prevent-archive", "b": ""}


def test_taking_prevent_archive_away_is_a_patch_of_the_mark() -> None:
    action = only(plan([desired("a")], [ours(7, "a", keep=True)], policy()))
    assert (action.verb, action.because) == (Verb.PATCH, "mark")


def test_over_the_destructive_budget_all_of_them_are_blocked_and_the_rest_proceeds() -> None:
    held = [ours(number, f"gone{number}") for number in range(4)]
    found = plan([desired("new")], held, policy())
    assert {code(action) for action in found.actions if action.verb is Verb.ARCHIVE} == {"destructive-budget"}
    assert not next(action for action in found.actions if action.key == "new").blocked
    assert not plan([desired("new")], held[:3], policy()).blocked


def test_a_full_property_blocks_the_creates_that_do_not_fit() -> None:
    found = plan([desired("a"), desired("b")], [stranger(7, audience("x"))], policy(audiences=2))
    assert [(action.key, code(action)) for action in found.actions] == [("a", ""), ("b", "audience-limit")]


def test_a_replacement_needs_a_free_place() -> None:
    wanted = [desired("a", audience("a", days=60))]
    assert code(only(plan(wanted, [ours(7, "a")], policy(audiences=1)))) == "audience-limit"
    assert not plan(wanted, [ours(7, "a")], policy(audiences=2)).blocked


def test_triggers_are_counted_over_the_whole_property() -> None:
    trigger = Trigger("joined_a", LogCondition.JOINED)
    held = [stranger(7, audience("x", trigger=trigger))]
    wanted = [desired("a", audience("a", trigger=trigger))]
    assert code(only(plan(wanted, held, policy(triggers=1)))) == "trigger-limit"
    assert not plan(wanted, held, policy(triggers=2)).blocked


def test_triggers_of_one_plan_add_up() -> None:
    wanted = [
        desired(key, audience(key, trigger=Trigger(f"joined_{key}", LogCondition.JOINED))) for key in "ab"
    ]
    found = plan(wanted, [], policy(triggers=1))
    assert [code(action) for action in found.actions] == ["", "trigger-limit"]


def test_the_budget_counts_audiences_not_keys() -> None:
    found = [ours(7, "a"), ours(8, "a", generation=2), ours(9, "a", generation=3)]
    assert code(only(plan([desired("a")], found, policy(destructive=1)))) == "destructive-budget"
    assert code(only(plan([desired("a")], found, policy(destructive=2)))) == ""


def test_what_is_blocked_anyway_takes_nothing_of_the_budget() -> None:
    found = plan([desired("z")], [ours(7, "a", keep=True), ours(8, "b")], policy(destructive=1))
    assert [code(action) for action in found.actions] == ["prevent-archive", "", ""]


def test_an_adoption_that_replaces_needs_the_flag_when_it_is_applied_too() -> None:
    wanted = desired("a", audience("a", days=60), adopt=(("", "7"),))
    found = plan([wanted], [stranger(7, audience("a"))], policy(allow_replace=True))
    assert code(only(found)) == ""
    assert code(only(permit(found, allow_replace=False, allow_archive=True))) == "needs-allow-replace"
    assert code(only(permit(found, allow_replace=True, allow_archive=False))) == ""


def test_an_empty_workspace_is_an_error_unless_it_is_meant() -> None:
    with pytest.raises(UsageError, match="archive-everything acme-web"):
        plan([], [ours(7, "a")], policy())
    with pytest.raises(UsageError):
        plan([], [ours(7, "a")], policy(archive_everything="someone-else"))
    assert only(plan([], [ours(7, "a")], policy(archive_everything=OWNER))).verb is Verb.ARCHIVE


def test_destructive_actions_need_their_flags() -> None:
    found = plan([desired("a", audience("a", days=60))], [ours(7, "a"), ours(8, "gone")], policy())
    codes = {
        (replace_, archive): [
            code(a) for a in permit(found, allow_replace=replace_, allow_archive=archive).actions
        ]
        for replace_ in (False, True)
        for archive in (False, True)
    }
    assert codes == {
        (False, False): ["needs-allow-replace", "needs-allow-archive"],
        (True, False): ["", "needs-allow-archive"],
        (False, True): ["needs-allow-replace", ""],
        (True, True): ["", ""],
    }


# ---------------------------------------------------------------- the digest


def test_the_digest_is_about_what_would_be_written() -> None:
    first = plan([desired("a")], [ours(7, "a", audience("a", days=60))], policy())
    assert first.digest == plan([desired("a")], [ours(7, "a", audience("a", days=60))], policy()).digest
    same_with_strangers = [ours(7, "a", audience("a", days=60)), stranger(9, audience("New"))]
    assert first.digest == plan([desired("a")], same_with_strangers, policy(destructive=0)).digest
    others = [
        plan([desired("a", audience("a", days=61))], [ours(7, "a", audience("a", days=60))], policy()),
        plan([desired("a")], [ours(7, "a", audience("a", days=59))], policy()),
        plan([desired("a")], [ours(7, "a", audience("a", days=60))], policy(selection=("a",))),
        plan([desired("a")], [ours(7, "a", audience("a", days=60))], replace(policy(), property="2000")),
    ]
    assert len({first.digest, *(each.digest for each in others)}) == 5


# ---------------------------------------------------------------- laws


@st.composite
def _messy_ours(draw: st.DrawFn) -> tuple[Audience, Live]:
    wanted = draw(strategies.audiences())
    body = draw(strategies.messy(wanted))
    line = marks.attach(str(body.get("description") or ""), Mark(OWNER, "a", 1, "7"), PROPERTY)
    return wanted, lives.read(
        {**body, "name": f"properties/{PROPERTY}/audiences/7", "description": line}, PROPERTY
    )


@given(_messy_ours())
def test_however_ga4_writes_it_an_equal_audience_is_kept(case: tuple[Audience, Live]) -> None:
    wanted, live = case
    action = only(plan([desired("a", wanted)], [live], policy()))
    assert (action.verb, action.changes) == (Verb.KEEP, ())


@given(strategies.audiences(), strategies.audiences())
def test_a_plan_is_empty_exactly_for_equal_audiences(before: Audience, after: Audience) -> None:
    from audiencesync.canonical import canonical

    action = only(plan([desired("a", after)], [ours(7, "a", before)], policy()))
    assert (action.verb is Verb.KEEP) == (canonical(before) == canonical(after))
    assert bool(action.changes) == (action.verb is not Verb.KEEP)
    json.dumps([[change.path, change.before, change.after] for change in action.changes])
