"""What can be exported, and which audience a text means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from audiencesync import errors
from audiencesync.ga4 import Property
from audiencesync.growingio import GrowingIO, Item
from audiencesync.live import Live, claims, newest, read
from audiencesync.settings import ANALYSES


@dataclass(frozen=True, slots=True)
class Listed:
    """One thing that can be exported, or why a list cannot be had (`error`).

    `kind` is audience, export, project, tag, segment or analysis; `where` is the target or the platform, with
    the project's id behind a slash. `key` is ours for audiences, and the tag's own for tags.
    """

    kind: str
    where: str
    id: str = ""
    key: str = ""
    name: str = ""
    detail: str = ""
    error: str = ""


def find_audience(lives: Sequence[Live], owner: str, text: str) -> str:
    """The resource name of the audience that a text means: our key, else its id, else its only displayName.

    Raises UsageError where there is none, or more than one.
    """
    claim = claims(lives, owner).get(text)
    if claim and (live := newest(claim)):
        return live.name
    if by_id := [live for live in lives if text in (live.id, live.name)]:
        return by_id[0].name
    named = [live for live in lives if live.display_name == text]
    if len(named) == 1:
        return named[0].name
    if named:
        ids = ", ".join(live.id for live in named)
        raise errors.UsageError(
            f"{len(named)} audiences have the displayName {text!r}: name one by id ({ids})"
        )
    raise errors.UsageError(
        f"no audience has the key, id or displayName {text!r}: `audiencesync export list` shows what there is"
    )


def listing(
    properties: Mapping[str, Property], platforms: Sequence[GrowingIO], *, owner: str
) -> Iterator[Listed]:
    """Everything that can be exported, by target and platform; a list that fails does not stop the others."""
    for target, remote in properties.items():
        yield from _tried("audience", target, partial(_audiences, target, remote, owner))
        yield from _tried("export", target, partial(_exports, target, remote))
    for client in platforms:
        yield from _platform(client)


def _tried(kind: str, where: str, find: Callable[[], Iterable[Listed]], detail: str = "") -> Iterator[Listed]:
    try:
        yield from find()
    except errors.AudiencesyncError as error:
        yield Listed(kind, where, detail=detail, error=str(error))


def _audiences(target: str, remote: Property, owner: str) -> list[Listed]:
    lives = [read(raw, remote.number) for raw in remote.audiences()]
    keys = {live.name: claim.key for claim in claims(lives, owner).values() for live in claim.held}
    return [
        Listed("audience", target, id=live.id, key=keys.get(live.name, ""), name=live.display_name)
        for live in lives
    ]


def _exports(target: str, remote: Property) -> list[Listed]:
    return [
        Listed(
            "export",
            target,
            id=each.name.rpartition("/")[2],
            name=each.audience,
            detail=" ".join(filter(None, (each.state.value, ",".join(each.dimensions), each.begun))),
        )
        for each in sorted(remote.exports(), key=lambda each: each.begun, reverse=True)
    ]


def _platform(client: GrowingIO) -> Iterator[Listed]:
    name = client.platform.name
    projects = list(_tried("project", name, partial(_items, "project", name, client.projects)))
    yield from projects
    chosen = [client.platform.project] if client.platform.project else [each.id for each in projects]
    keys: set[str] = set()
    for project in filter(None, chosen):
        where = f"{name}/{project}"
        for tag in _tried("tag", where, partial(_items, "tag", where, partial(client.tags, project))):
            keys.add(tag.key)
            yield tag
        segments = partial(client.segments, project)
        yield from _tried("segment", where, partial(_items, "segment", where, segments))
        for kind in ANALYSES:
            analyses = partial(client.analyses, project, kind)
            yield from _tried("analysis", where, partial(_items, "analysis", where, analyses, kind), kind)
    for tag in _tried("tag", name, partial(_items, "tag", name, client.data_center_tags)):
        if tag.error or tag.key not in keys:
            yield tag


def _items(kind: str, where: str, find: Callable[[], Sequence[Item]], detail: str = "") -> list[Listed]:
    return [Listed(kind, where, id=each.id, key=each.key, name=each.name, detail=detail) for each in find()]
