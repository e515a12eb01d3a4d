"""What holds a wanted action back: a taken name, the property's room, the destructive budget, a flag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from audiencesync.action import Action, Plan, Policy, Reason, Verb
from audiencesync.live import Live

_RUN_ORDER = (Verb.PATCH, Verb.ADOPT, Verb.CREATE, Verb.REPLACE, Verb.ARCHIVE, Verb.KEEP)


def names(actions: list[Action], lives: Sequence[Live], policy: Policy) -> list[Action]:
    """A displayName that a stranger has blocks that one create, not the run."""
    strangers = {
        live.display_name.strip(): live
        for live in lives
        if not (live.mark and live.mark.owner == policy.owner)
    }

    def judge(action: Action) -> Action:
        stranger = strangers.get(action.display_name.strip())
        if action.verb is not Verb.CREATE or action.blocked or stranger is None:
            return action
        message = (
            f"{stranger.name} has this displayName and is not managed here: take it over with "
            f'`manage: {{adopt: "{stranger.id}"}}`, or rename one of the two'
        )
        return replace(action, blocked=Reason("name-taken", message))

    return [judge(action) for action in actions]


def room(actions: list[Action], policy: Policy, count: int, triggers: int) -> list[Action]:
    """The property's limits: what would go over them is blocked, in the order of the run.

    Patches come first, then creates, then replacements, which need one place more until the old audience is
    archived; archives come last, so they make room only for the next run.
    """
    limits, judged = policy.limits, {action.key: action for action in actions}

    def block(action: Action, code: str, what: str, number: int, limit: int) -> None:
        way = "archive one first (delete its file and apply), then apply this; or raise it in `limits`"
        message = f"the property would hold {number} {what} and its limit is {limit}: {way}"
        judged[action.key] = replace(action, blocked=Reason(code, message))

    for action in sorted(actions, key=lambda action: (_RUN_ORDER.index(action.verb), action.key)):
        if action.blocked or action.after is None:
            continue
        appears = action.verb is Verb.CREATE or action.immutable
        trigger = int(action.after.audience.trigger is not None)
        had = int(action.before is not None and action.before.has_trigger)
        more = trigger if appears else max(trigger - had, 0)
        if appears and count + 1 > limits.audiences:
            block(action, "audience-limit", "audiences", count + 1, limits.audiences)
        elif more and triggers + more > limits.triggers:
            block(action, "trigger-limit", "event triggers", triggers + more, limits.triggers)
        else:
            count += action.verb is Verb.CREATE
            triggers += trigger - had
    return [judged[action.key] for action in actions]


def budget(actions: list[Action], policy: Policy) -> list[Action]:
    """Over the destructive budget every destructive action is blocked and the rest proceeds."""
    wanted = sum(len(action.archives) for action in actions if not action.blocked)
    if wanted <= policy.limits.destructive:
        return actions
    reason = Reason(
        "destructive-budget",
        f"this run would archive {wanted} audiences, limits.destructive allows {policy.limits.destructive}: "
        "take fewer at once (`apply --only KEY`), or raise limits.destructive in the settings",
    )
    return [
        replace(action, blocked=reason) if action.archives and not action.blocked else action
        for action in actions
    ]


def permit(plan: Plan, *, allow_replace: bool, allow_archive: bool) -> Plan:
    """The plan with everything blocked that needs a flag which was not given."""

    def judge(action: Action) -> Action:
        if action.blocked or not action.archives:
            return action
        if action.verb is Verb.ARCHIVE and not allow_archive:
            what = "archiving is permanent: the id, its members and its ad lists are gone"
            return replace(
                action, blocked=Reason("needs-allow-archive", f"{what}; allow it with --allow-archive")
            )
        if action.verb is not Verb.ARCHIVE and not allow_replace:
            what = "a replacement gives a new id with an empty membership, and archives the old audience"
            return replace(
                action, blocked=Reason("needs-allow-replace", f"{what}; allow it with --allow-replace")
            )
        return action

    return replace(plan, actions=tuple(judge(action) for action in plan.actions))
