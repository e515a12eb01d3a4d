"""Carries a plan out in safe order: patches and adoptions, creates, replacements, archives last.

    patch      read again, patch exactly the changed fields, check the answer
    create     create with an unbound mark, read again, bind the mark to the id, check the answer
    replace    create the next generation as above, read it back, only then archive the old one
    archive    read again, archive

There is no etag: just before each write the audience is read again and compared with what the plan saw. No
create is ever sent twice: where its answer is lost, the list tells whether it ran. After creates the list is
read once more, for the twin that a racing run may have made. A run that dies anywhere leaves a state from
which the next plan goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from audiencesync import live as lives
from audiencesync import mark as marks
from audiencesync.action import Action, Outcome, Plan, Policy, Reason, Status, Verb
from audiencesync.canonical import definition_fingerprint, fingerprint
from audiencesync.errors import (
    ApiError,
    AudiencesyncError,
    ConflictError,
    InvalidArgumentError,
    NoAnswerError,
    NotFoundError,
    RequestError,
    ServerError,
    StoppedError,
    UsageError,
)
from audiencesync.ga4 import violation_route
from audiencesync.live import Live
from audiencesync.mark import Mark
from audiencesync.model import Desired
from audiencesync.wire import Json, to_api


class Property(Protocol):
    """What applying needs of ga4.Property."""

    number: str

    def audiences(self) -> list[Json]:
        """Every audience of the property."""

    def audience(self, name: str) -> Json:
        """One audience."""

    def create(self, body: Json) -> Json:
        """Creates an audience; never sent twice."""

    def patch(self, name: str, body: Json, mask: Sequence[str]) -> Json:
        """Changes the fields that `mask` names."""

    def archive(self, name: str) -> None:
        """Archives an audience, for good."""


class _HeldError(Exception):
    """An action that stops before its write; `status` says how it is reported."""

    def __init__(self, status: Status, code: str, message: str) -> None:
        self.status, self.reason = status, Reason(code, message)
        super().__init__(message)


def _changed(live: Live, what: str) -> _HeldError:
    message = f"{live.name} {what} since it was planned, and was left alone: plan again"
    return _HeldError(Status.BLOCKED, "changed-meanwhile", message)


@dataclass(frozen=True, slots=True)
class Options:
    """How a plan is carried out; `stop` is asked before each request, `workers` carry out creates at once.

    `progress` hears of each outcome as it happens, from any worker's thread.
    """

    stop: Callable[[], bool] = lambda: False
    workers: int = 4
    allow_archive: bool = False
    progress: Callable[[Outcome], None] = lambda _outcome: None


@dataclass(slots=True)
class _Run:
    """One run over one property."""

    plan: Plan
    remote: Property
    options: Options
    spent: int = 0  # of the destructive budget

    # ------------------------------------------------------------ requests

    def _pause(self) -> None:
        if self.options.stop():
            raise StoppedError("the run was interrupted before this was finished")

    def _read(self, raw: Json) -> Live:
        return lives.read(raw, self.remote.number)

    def _all(self) -> list[Live]:
        self._pause()
        return [self._read(raw) for raw in self.remote.audiences()]

    def _get(self, name: str) -> Live:
        self._pause()
        return self._read(self.remote.audience(name))

    def _fresh(self, seen: Live) -> Live:
        """The audience as it is now, which has to be what the plan saw."""
        try:
            now = self._get(seen.name)
        except NotFoundError as error:
            raise _changed(seen, "was archived") from error
        if now.fingerprint != seen.fingerprint:
            raise _changed(seen, "was changed")
        return now

    def _patch(self, seen: Live, body: Json, mask: Sequence[str]) -> Live:
        self._fresh(seen)
        self._pause()
        return self._read(self.remote.patch(seen.name, body, mask))

    def _archive(self, seen: Live) -> None:
        """Archives exactly what was seen; one that is gone already is archived."""
        try:
            now = self._get(seen.name)
            if now.fingerprint != seen.fingerprint:
                raise _changed(seen, "was changed")
            bound = self._bound(now)
            self._pause()
            self.remote.archive(bound.name)
        except NotFoundError:
            return

    def _bound(self, live: Live, key: str = "", owner: str = "") -> Live:
        """The audience with a mark bound to it: nothing is archived without one."""
        mark = live.mark or Mark(owner, key)
        wanted = replace(mark, key=key or mark.key, id=live.id)
        if mark == wanted and live.mark:
            return live
        text = marks.attach(marks.strip(str(live.raw.get("description") or "")), wanted, self.remote.number)
        return self._patch(live, {"description": text}, ["description"])

    # ------------------------------------------------------------ patch

    def patch(self, action: Action) -> Live:
        """Brings the mutable fields and the mark of `before` to what the file says."""
        seen, desired = _both(action)
        mask = sorted({str(change.route[0]) for change in action.changes})
        if action.mark and seen.mark != action.mark and "description" not in mask:
            mask.append("description")
        if not mask:
            return seen
        body = {name: value for name, value in to_api(desired.audience).items() if name in mask}
        if "description" in mask and action.mark:
            body["description"] = marks.attach(desired.audience.description, action.mark, self.remote.number)
        return self._verified(self._patch(seen, body, mask), desired)

    def _verified(self, live: Live, desired: Desired) -> Live:
        """What GA4 answers has to mean what the file says."""
        if live.audience and fingerprint(live.audience) == fingerprint(desired.audience):
            return live
        message = (
            f"GA4 took the request, but {live.name} is not what was sent: plan again to see what differs"
        )
        raise _HeldError(Status.FAILED, "not-as-sent", message)

    # ------------------------------------------------------------ create

    def create(self, desired: Desired, mark: Mark) -> Live:
        """Creates one generation of a key and binds its mark."""
        unbound = replace(mark, id="")
        text = marks.attach(desired.audience.description, unbound, self.remote.number)
        self._pause()
        try:
            made = self._read(self.remote.create(to_api(desired.audience) | {"description": text}))
        except (NoAnswerError, ServerError) as error:
            made = self._lost(unbound, error)
        bound = marks.attach(desired.audience.description, replace(mark, id=made.id), self.remote.number)
        return self._verified(self._patch(made, {"description": bound}, ["description"]), desired)

    def _lost(self, mark: Mark, error: RequestError) -> Live:
        """The audience whose create got no answer, found by its unbound mark; it is not sent again."""
        if isinstance(error, NoAnswerError) and not error.sent:
            raise error
        found = [live for live in self._all() if live.mark == mark]
        if len(found) == 1:
            return found[0]
        many = "several audiences carry its mark" if found else "the property does not show it"
        message = (
            f"nobody can say whether the create ran ({error}); {many}. It was not sent again: plan again"
        )
        raise _HeldError(Status.FAILED, "create-unknown", message) from error

    # ------------------------------------------------------------ replace

    def replace(self, action: Action) -> Live:
        """Creates the next generation, reads it back, and only then archives what it replaces."""
        seen, desired = _both(action)
        owner = self.plan.policy.owner
        if not action.immutable:
            stays = self.patch(action)
        else:
            generation = seen.mark.generation if seen.mark else 1
            mark = action.mark or Mark(owner, action.key)
            mark = replace(mark, generation=max(mark.generation, generation + 1), id="")
            old = self._bound(seen, action.key, owner)
            stays, seen = self._next_generation(desired, mark, old)
        again = self._get(stays.name)
        if again.fingerprint != stays.fingerprint:
            raise _changed(again, "was changed")
        for gone in ((seen,) if action.immutable else ()) + action.superseded:
            self._archive(gone)
        return again

    def _next_generation(self, desired: Desired, mark: Mark, old: Live) -> tuple[Live, Live]:
        """The new audience, and the old one: renamed where GA4 refuses a second equal displayName."""
        try:
            return self.create(desired, mark), old
        except (ConflictError, InvalidArgumentError) as error:
            if old.display_name != desired.audience.display_name or not _about_name(error):
                raise
        name = f"{old.display_name} (until generation {mark.generation} is there)"
        old = self._patch(old, {"displayName": name}, ["displayName"])
        return self.create(desired, mark), old

    # ------------------------------------------------------------ one action

    def carry_out(self, action: Action) -> Live | None:
        """Carries one action out; what stands in the way is raised."""
        match action.verb:
            case Verb.CREATE if action.after and action.mark:
                return self.create(action.after, action.mark)
            case Verb.PATCH:
                return self.patch(action)
            case Verb.ADOPT if not action.immutable:
                return self.patch(action)
            case Verb.ADOPT | Verb.REPLACE:
                return self.replace(action)
            case Verb.ARCHIVE:
                stays = self._fresh(self.patch(action)) if action.after else None
                for gone in action.archives:
                    self._archive(gone)
                return stays
            case _:
                raise AssertionError(action)

    def outcome(self, action: Action) -> Outcome:
        """Carries one action out and says how it ended."""
        outcome = self._outcome(action)
        self.options.progress(outcome)
        return outcome

    def _outcome(self, action: Action) -> Outcome:
        if action.blocked:
            return Outcome(action, Status.BLOCKED, action.before, action.blocked)
        try:
            return Outcome(action, Status.DONE, self.carry_out(action))
        except _HeldError as held:
            return Outcome(action, held.status, action.before, held.reason)
        except StoppedError as error:
            return Outcome(action, Status.SKIPPED, action.before, Reason(error.code, str(error)))
        except AudiencesyncError as error:
            return Outcome(action, Status.FAILED, action.before, _reason(error, action.after))

    def forget(self, key: str, live: Live) -> Outcome:
        """Takes the mark off one audience; what people wrote in its description stays."""
        action = Action(Verb.PATCH, key, live, because="forget")
        try:
            text = marks.strip(str(live.raw.get("description") or ""))
            return Outcome(action, Status.DONE, self._patch(live, {"description": text}, ["description"]))
        except _HeldError as held:
            return Outcome(action, held.status, live, held.reason)
        except AudiencesyncError as error:
            return Outcome(action, Status.FAILED, live, _reason(error, None))

    # ------------------------------------------------------------ all actions

    def phase(self, verbs: tuple[Verb, ...], workers: int) -> Iterator[Outcome]:
        """Carries out the actions of some verbs, in the order of their keys."""
        actions = [action for action in self.plan.actions if action.verb in verbs]
        if workers < 2 or len(actions) < 2:  # noqa: PLR2004 - one worker or one action needs no pool
            yield from map(self.outcome, actions)
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="apply") as pool:
            yield from pool.map(self.outcome, actions)

    def settle(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Reads the list after creates, and reports or archives what a racing run made of the same key."""
        made = {
            outcome.action.key: outcome
            for outcome in outcomes
            if outcome.status is Status.DONE and outcome.live and outcome.live.mark
        }
        if not made:
            return outcomes
        try:
            now = self._all()
        except (AudiencesyncError, _HeldError) as error:
            return [*outcomes, *self._unchecked(outcomes, str(error))]
        settled = []
        for outcome in outcomes:
            settled.extend(self._twins(outcome, now) if outcome.action.key in made else [outcome])
        return settled

    def _unchecked(self, outcomes: list[Outcome], why: str) -> list[Outcome]:
        """The creates are done, but nobody looked for twins: that is an error of its own."""
        last = outcomes[-1].action
        message = f"the list could not be read after the creates, so twins of a racing run may exist: {why}"
        return [Outcome(last, Status.FAILED, outcomes[-1].live, Reason("twins-unknown", message))]

    def _twins(self, outcome: Outcome, now: list[Live]) -> list[Outcome]:
        mine = outcome.live
        if mine is None or mine.mark is None:
            raise AssertionError(outcome)
        place = mine.mark.owner, mine.mark.key, mine.mark.generation
        same = [
            each
            for each in now
            if each.mark and (each.mark.owner, each.mark.key, each.mark.generation) == place
        ]
        others = [each for each in same if each.name != mine.name]
        if not others:
            return [outcome]
        if len(others) == len(same):
            # Ours was archived meanwhile, or the list is late: nobody knows whether there are two.
            return [outcome, *(self._reported(outcome, mine, other) for other in others)]
        oldest, *twins = sorted(same, key=_age)
        return [replace(outcome, live=oldest), *(self._twin(outcome, oldest, twin) for twin in twins)]

    def _twin(self, outcome: Outcome, oldest: Live, twin: Live) -> Outcome:
        """Archives the younger of two equal creates where that is allowed, else reports it."""
        mark = twin.mark
        bound = mark is not None and bool(mark.id)
        equal = (
            oldest.audience is not None
            and twin.audience is not None
            and definition_fingerprint(oldest.audience) == definition_fingerprint(twin.audience)
        )
        protected = mark is not None and mark.prevent_archive
        room = self.spent < self.plan.policy.limits.destructive
        allowed = bound and equal and room and not protected and self.options.allow_archive
        if not allowed or not self._stands(oldest):
            return self._reported(outcome, oldest, twin)
        archived = self.outcome(Action(Verb.ARCHIVE, outcome.action.key, twin, because="twin"))
        self.spent += archived.status is Status.DONE
        return archived

    def _stands(self, live: Live) -> bool:
        """Whether an audience is still there as it was listed."""
        try:
            self._fresh(live)
        except (AudiencesyncError, _HeldError):
            return False
        return True

    def _reported(self, outcome: Outcome, stays: Live, twin: Live) -> Outcome:
        action = Action(Verb.ARCHIVE, outcome.action.key, twin, because="twin")
        message = (
            f"a racing run made {twin.name} for the same key as {stays.name}: run "
            "`apply --allow-archive` once no other run is going, which archives the younger one"
        )
        return Outcome(action, Status.BLOCKED, twin, Reason("twin", message))


def _age(live: Live) -> tuple[str, int, str]:
    return live.age


def _both(action: Action) -> tuple[Live, Desired]:
    if action.before is None or action.after is None:
        raise AssertionError(action)
    return action.before, action.after


def _about_name(error: ApiError) -> bool:
    """Whether a refusal speaks of the displayName; that GA4 ever refuses a second equal one is unknown."""
    fields = {violation_route(violation.field)[-1:] for violation in error.violations}
    return ("displayName",) in fields or (isinstance(error, ConflictError) and not fields)


def _reason(error: AudiencesyncError, desired: Desired | None) -> Reason:
    """An error as a reason, with the places in the file that the server's violations mean."""
    message = str(error)
    if isinstance(error, ApiError) and desired is not None:
        for violation in error.violations:
            place = desired.document.locate(violation_route(violation.field))
            message += f"; {place}: {violation.description}"
    return Reason(error.code, message)


def apply(plan: Plan, remote: Property, options: Options | None = None) -> Iterator[Outcome]:
    """Carries a plan out and yields one outcome an action; twins of a race get their own.

    What is only kept has no outcome, unless a safety rule holds the key back. A failure stops only what
    depends on it. Nothing is raised for what the server says.
    """
    spent = sum(len(action.archives) for action in plan.actions if not action.blocked)
    run = _Run(plan, remote, options or Options(), spent)
    yield from (run.outcome(each) for each in plan.actions if each.verb is Verb.KEEP and each.blocked)
    yield from run.phase((Verb.PATCH, Verb.ADOPT), run.options.workers)
    yield from run.settle(list(run.phase((Verb.CREATE,), run.options.workers)))
    # One at a time: each replacement needs a free place, and gives it back with the archive of the old one.
    yield from run.settle(list(run.phase((Verb.REPLACE,), 1)))
    yield from run.phase((Verb.ARCHIVE,), 1)


def forget(key: str, owner: str, found: Sequence[Live], remote: Property) -> list[Outcome]:
    """Takes our mark off every live audience of a key and leaves the audiences.

    Errors: UsageError where nothing live carries the key.
    """
    claim = lives.claims(found, owner).get(key)
    if claim is None:
        raise UsageError(f"{owner} manages nothing with the key {key!r} there, so there is nothing to forget")
    run = _Run(Plan(Policy(owner, "", remote.number), ()), remote, Options())
    return [run.forget(key, live) for live in (*claim.held, *claim.ambiguous)]
