"""plan(desired, live) -> Plan: what has to happen so that GA4 holds what the files say. Pure.

How a key's situation becomes a verb (ours = a valid mark of this owner, see live.claims):

    the file             at the property                 verb
    equal                ours, one                       keep; patch where the mark is not as it should be
    differs, mutable     ours, one                       patch
    differs, immutable   ours, one                       replace: a new generation, then archive the old one
    any                  ours, several generations       replace: one stays, the others are archived
    any                  ours, several of a generation   archive: the twin of a race
    none                 ours                            archive
    there                nothing of ours, adopt          adopt
    there                nothing of ours, previousKeys   patch: the mark moves
    there                nothing of ours                 create

Whatever stands in the way becomes the action's `blocked`; the rest of the plan is still shown.
Source of the rules: the nine rules of ownership in the README.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from audiencesync.action import Action, Plan, Policy, Reason, Unmanaged, Verb
from audiencesync.canonical import definition_fingerprint, fingerprint
from audiencesync.changes import changes
from audiencesync.errors import UsageError
from audiencesync.guards import budget, names, room
from audiencesync.live import Claim, Live, claims, reason_unmanaged
from audiencesync.mark import Mark
from audiencesync.model import Desired

# ---------------------------------------------------------------- one key


@dataclass(frozen=True, slots=True)
class _Situation:
    """Everything that decides over one key."""

    policy: Policy
    desired: Desired | None
    claim: Claim
    renamed_from: str = ""
    adopted: Live | None = None


def _preference(desired: Desired | None) -> Callable[[Live], tuple[Any, ...]]:
    """Sorts the generations of one key: the one that stays comes last.

    The one that equals the file stays, so that a change taken back in mid-replacement never kills the
    filled audience; then one that a patch can make equal; then the newest generation; of twins the older.
    """

    def rank(live: Live) -> tuple[Any, ...]:
        equal = definition = 0
        if desired and live.audience and not live.hands_off:
            equal = int(fingerprint(live.audience) == fingerprint(desired.audience))
            definition = int(
                definition_fingerprint(live.audience) == definition_fingerprint(desired.audience)
            )
        generation = live.mark.generation if live.mark else 0
        return equal, definition, generation, _older_last(live)

    return rank


def _older_last(live: Live) -> tuple[Any, ...]:
    created, length, number = live.age
    return (tuple(-ord(letter) for letter in created), -length, tuple(-ord(letter) for letter in number))


def _protected(situation: _Situation, lives: Sequence[Live]) -> Reason | None:
    """Why the audience of this key may not go: the live mark says so, or the file does."""
    desired = situation.desired
    kept = any(live.mark and live.mark.prevent_archive for live in lives)
    if not kept and not (desired and desired.manage.prevent_archive):
        return None
    if desired is None:
        way = (
            "put its file back without manage.preventArchive and apply; then delete the file and apply again"
        )
    elif desired.manage.prevent_archive:
        way = "take manage.preventArchive out of the file and apply that alone; then make this change"
    else:
        way = "apply once with the old definition and without manage.preventArchive; then make this change"
    return Reason("prevent-archive", f"manage.preventArchive protects this audience: {way}")


def _protected_leftover(others: Sequence[Live]) -> Reason | None:
    """Why a leftover may not go: its own mark says so; the file speaks for the one that stays."""
    kept = [live.name for live in others if live.mark and live.mark.prevent_archive]
    if not kept:
        return None
    message = f"manage.preventArchive in its mark protects the leftover {kept[0]}: archive that one in GA4"
    return Reason("prevent-archive", message)


def _decide(situation: _Situation) -> Action:
    key, desired = situation.claim.key, situation.desired
    if situation.claim.ambiguous:
        return _ambiguous(situation)
    held = sorted(situation.claim.held, key=_preference(desired))
    if not held:
        return _appear(situation)
    current, others = held[-1], tuple(held[:-1])
    if any(live.hands_off for live in held):
        verb = Verb.REPLACE if desired else Verb.ARCHIVE
        why = next(live.hands_off for live in held if live.hands_off)
        reason = Reason("unrepresentable", f"{why}; change or archive it in GA4, or `forget {key}`")
        return Action(verb, key, current, desired, superseded=others, blocked=reason)
    if desired is None:
        blocked = _protected(situation, held)
        return Action(Verb.ARCHIVE, key, current, superseded=others, blocked=blocked)
    return _settle(situation, desired, current, others)


def _settle(situation: _Situation, desired: Desired, current: Live, others: tuple[Live, ...]) -> Action:
    """The key has a file and at least one live audience."""
    key, mark = situation.claim.key, current.mark
    if current.audience is None or mark is None:
        raise AssertionError(current)
    found = changes(current.audience, desired.audience)
    immutable = any(change.immutable for change in found)
    generation = max(live.mark.generation for live in (current, *others) if live.mark) + immutable
    wanted = Mark(
        situation.policy.owner,
        key,
        generation if immutable else mark.generation,
        "" if immutable else current.id,
        desired.manage.prevent_archive,
    )
    because = ""
    if not mark.id:
        because = "bind"
    elif situation.renamed_from:
        because = "rename"
    elif not immutable and mark != wanted:
        because = "mark"
    verb = Verb.REPLACE if immutable else Verb.PATCH if found or because else Verb.KEEP
    if others and not immutable:
        twins = all(live.mark and live.mark.generation == mark.generation for live in others)
        verb, because = (Verb.ARCHIVE, "twin") if twins else (Verb.REPLACE, "resume")
    blocked = _protected(situation, (current, *others)) if immutable else _protected_leftover(others)
    return Action(verb, key, current, desired, found, wanted, others, because, blocked)


def _ambiguous(situation: _Situation) -> Action:
    claim = situation.claim
    names = ", ".join(live.name for live in claim.ambiguous)
    message = (
        f"{names} carry an unfinished mark of {claim.key} and nobody can say which one is ours: "
        "archive the wrong ones in GA4, or take the last line out of their descriptions"
    )
    held = claim.held[-1] if claim.held else None
    verb = Verb.CREATE if not claim.held and situation.desired else Verb.KEEP
    return Action(verb, claim.key, held, situation.desired, blocked=Reason("ambiguous-mark", message))


def _appear(situation: _Situation) -> Action:
    """The key has a file and nothing of ours yet: adopt or create."""
    key, desired = situation.claim.key, situation.desired
    if desired is None:
        raise AssertionError(key)
    policy = situation.policy
    wanted = Mark(policy.owner, key, 1, "", desired.manage.prevent_archive)
    wish = desired.manage.adopts(policy.target)
    if not wish:
        return Action(Verb.CREATE, key, None, desired, mark=wanted)
    live = situation.adopted
    if live is None:
        message = (
            f"manage.adopt names {wish}, which the property does not have: correct the id or take it out"
        )
        return Action(Verb.ADOPT, key, None, desired, blocked=Reason("adopt-missing", message))
    wanted = replace(wanted, id=live.id)
    blocked = _adoptable(live, policy)
    if blocked or live.audience is None:
        return Action(Verb.ADOPT, key, live, desired, mark=wanted, blocked=blocked)
    found = changes(live.audience, desired.audience)
    action = Action(Verb.ADOPT, key, live, desired, found, wanted, because="adopt")
    if action.immutable and desired.manage.prevent_archive:
        return replace(action, blocked=_protected(situation, ()))
    if action.immutable and not policy.allow_replace:
        message = (
            f"{live.name} differs in what GA4 fixes at creation: make the file equal (`audiencesync import` "
            "writes it), or apply with --allow-replace to replace the live audience by this one"
        )
        return replace(action, blocked=Reason("adopt-differs", message))
    return action


def _adoptable(live: Live, policy: Policy) -> Reason | None:
    if live.mark:
        whose = f"{live.mark.owner}:{live.mark.key}"
        message = f"{live.name} is managed as {whose}: `forget` it there first"
        return Reason("adopt-claimed", message)
    if live.hands_off:
        return Reason("adopt-refused", f"{live.name} cannot be adopted: {live.hands_off}")
    if live.audience is None or not policy.owner:
        raise AssertionError(live)
    return None


# ---------------------------------------------------------------- all keys


def _rename(desired: Desired, found: dict[str, Claim]) -> tuple[Claim, str, Reason | None]:
    """The claim of a key together with what its previous keys still hold."""
    claim = found.get(desired.key, Claim(desired.key))
    earlier = [found[old] for old in desired.manage.previous_keys if old in found]
    if not earlier:
        return claim, "", None
    if claim.held or claim.ambiguous or len(earlier) > 1:
        names = ", ".join(
            each.key for each in (*((claim,) if claim.held or claim.ambiguous else ()), *earlier)
        )
        message = f"several keys of this file are live ({names}): `forget` all but one, then plan again"
        return claim, "", Reason("both-keys-live", message)
    return replace(earlier[0], key=desired.key), earlier[0].key, None


def _situations(desired: Sequence[Desired], lives: Sequence[Live], policy: Policy) -> list[Action]:
    found = claims(lives, policy.owner)
    by_id = {live.id: live for live in lives}
    actions, taken = [], {each.key for each in desired}
    for each in desired:
        claim, old, reason = _rename(each, found)
        taken.update(each.manage.previous_keys)
        adopted = by_id.get(each.manage.adopts(policy.target))
        if reason:
            held = claim.held[-1] if claim.held else None
            actions.append(Action(Verb.KEEP, each.key, held, each, blocked=reason))
        else:
            actions.append(_decide(_Situation(policy, each, claim, old, adopted)))
    # An ambiguous mark without a file is nobody's business: it is listed as unmanaged.
    orphans = [replace(found[key], ambiguous=()) for key in sorted(found.keys() - taken) if found[key].held]
    actions.extend(_decide(_Situation(policy, None, claim)) for claim in orphans)
    return sorted(actions, key=lambda action: action.key)


def plan(desired: Sequence[Desired], lives: Sequence[Live], policy: Policy) -> Plan:
    """Compares what the files say with what GA4 holds.

    `lives` is the whole list of the property: an incomplete read is no plan. Errors: UsageError where no
    file belongs to the target, unless `archive_everything` names the owner, and for unknown selected keys.
    """
    mine = [each for each in desired if each.manage.belongs_to(policy.target)]
    if not mine and policy.archive_everything != policy.owner:
        raise UsageError(
            f"no audience file belongs to target {policy.target}: a plan would archive everything that "
            f"{policy.owner} manages there; if that is meant, say `--archive-everything {policy.owner}`"
        )
    actions = _situations(mine, lives, policy)
    known = {action.key for action in actions} | {each.key for each in desired}
    if unknown := [key for key in policy.selection if key not in known]:
        raise UsageError(
            f"no audience has the key {unknown[0]!r}: `audiencesync plan` without keys lists them all"
        )
    claimed = {live.name for action in actions for live in (action.before, *action.superseded) if live}
    unmanaged = tuple(
        Unmanaged(live.name, live.display_name, reason_unmanaged(live, policy.owner))
        for live in sorted(lives, key=lambda live: live.age)
        if live.name not in claimed
    )
    if policy.selection:
        actions = [action for action in actions if action.key in policy.selection]
    triggers = sum(live.has_trigger for live in lives)
    actions = names(actions, lives, policy)
    actions = room(actions, policy, len(lives), triggers)
    actions = budget(actions, policy)
    return Plan(policy, tuple(actions), unmanaged, len(lives), triggers)
