"""Small audiences and live answers, built by hand, for the tests of planning and applying."""

from __future__ import annotations

from typing import Any

from audiencesync import live as lives
from audiencesync import mark as marks
from audiencesync.action import Policy
from audiencesync.fields import ClauseType, Scope
from audiencesync.live import Live
from audiencesync.mark import Mark
from audiencesync.model import AnyOf, Audience, Clause, Desired, EventFilter, Manage, SimpleFilter
from audiencesync.settings import Limits
from audiencesync.source import parse
from audiencesync.wire import to_api

OWNER = "acme-web"
PROPERTY = "1000"


def clause(event: str, kind: ClauseType = ClauseType.INCLUDE, scope: Scope = Scope.ALL_SESSIONS) -> Clause:
    """A clause that one event satisfies."""
    return Clause(kind, SimpleFilter(scope, (AnyOf((EventFilter(event),)),)))


def audience(name: str = "Buyers", event: str = "purchase", days: int = 30, **more: Any) -> Audience:
    """Users with one event."""
    return Audience(name, more.pop("description", "What it is for."), days, (clause(event),), **more)


def desired(key: str, what: Audience | None = None, **block: Any) -> Desired:
    """An audience file."""
    document = parse(f"audiences/{key}.yaml", b"displayName: x\n")
    return Desired(what or audience(key), Manage(key, **block), document)


def raw(number: int, what: Audience, mark: Mark | None = None, **more: Any) -> dict[str, Any]:
    """GA4's answer for one audience; a mark is bound to it where its id is "own"."""
    body = to_api(what)
    if mark:
        own = Mark(mark.owner, mark.key, mark.generation, str(number) if mark.id == "own" else mark.id,
                   mark.prevent_archive)  # fmt: skip
        body["description"] = marks.attach(what.description, own, PROPERTY)
    created = f"2026-01-01T00:{number % 3600 // 60:02d}:{number % 60:02d}Z"
    return {"name": f"properties/{PROPERTY}/audiences/{number}", "createTime": created, **body, **more}


def ours(number: int, key: str, what: Audience | None = None, generation: int = 1, **more: Any) -> Live:
    """A live audience that carries our mark, bound to it."""
    keep = bool(more.pop("keep", False))
    mark = Mark(OWNER, key, generation, more.pop("id", "own"), keep)
    return lives.read(raw(number, what or audience(key), mark, **more), PROPERTY)


def stranger(number: int, what: Audience, **more: Any) -> Live:
    """A live audience without a mark."""
    return lives.read(raw(number, what, **more), PROPERTY)


def policy(**more: Any) -> Policy:
    """The policy of a plan at the demo target; `limits` fields may be given by name."""
    limits = {name: more.pop(name) for name in ("audiences", "triggers", "destructive") if name in more}
    return Policy(OWNER, "demo", PROPERTY, limits=Limits(**limits), **more)
