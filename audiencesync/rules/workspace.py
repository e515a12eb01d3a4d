"""Rules over all audience files at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audiencesync.rules.view import Json, View
from audiencesync.schema.findings import Finding, listed, shown
from audiencesync.settings import Settings
from audiencesync.source import Document, Location, Problem, Route, Severity

Findings = Iterator[tuple["File", Finding]]


@dataclass(frozen=True, slots=True)
class File:
    """What the rules over all files know of one: little, so that thousands of files take little memory."""

    path: str
    key: str
    display_name: str
    triggers: bool
    manage: Json
    places: dict[Route, Location]

    @property
    def key_route(self) -> Route:
        """Where the key stands; the file's start where it is the file's stem."""
        return ("manage", "key") if isinstance(self.manage.get("key"), str) else ()

    def texts(self, name: str) -> list[str]:
        """A list of texts of the manage block."""
        found = self.manage.get(name)
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []

    def belongs_to(self, target: str) -> bool:
        """Whether the audience is meant for a target."""
        wanted = self.manage.get("targets")
        return not isinstance(wanted, list) or target in wanted

    def problem(self, finding: Finding, severity: Severity) -> Problem:
        """A finding as a problem of this file."""
        return Problem(self.places[finding.route], finding.rule, finding.message, severity, finding.help)

    def adoptions(self) -> list[tuple[str, str, Route]]:
        """Each id to adopt with its target, "" for all of them, and its place."""
        adopt = self.manage.get("adopt")
        if isinstance(adopt, dict):
            return [(target, str(number), ("manage", "adopt", target)) for target, number in adopt.items()]
        return [] if adopt is None else [("", str(adopt), ("manage", "adopt"))]


def stem(path: str) -> str:
    """The key of a file that does not say one: its name without folder and suffix."""
    return path.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]


def file_of(document: Document, view: View) -> File:
    """What the rules over all files need of one; the key is the file's stem where it does not say one."""
    manage = view.manage
    key = manage.get("key")
    routes: list[Route] = [(), ("displayName",), ("eventTrigger",), ("manage", "key"), ("manage", "adopt")]
    for name in ("targets", "previousKeys", "adopt"):
        inner = manage.get(name)
        steps = inner if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ()
        routes += [("manage", name, step) for step in steps]
    named: set[Route] = {("eventTrigger",), *(route for route in routes if route[1:2] == ("adopt",))}
    named.discard(("manage", "adopt"))
    return File(
        document.path,
        key if isinstance(key, str) else stem(document.path),
        view.text("displayName").strip(),
        bool(view.data.get("eventTrigger")),
        manage,
        {route: document.locate(route, key=route in named) for route in routes},
    )


@dataclass(frozen=True, slots=True)
class Files:
    """All audience files, and the settings where they are sound."""

    files: Sequence[File]
    settings: Settings | None = None

    def __iter__(self) -> Iterator[File]:
        return iter(self.files)


def same_key(files: Files) -> Findings:
    """No two files have the same key.

    Passes:
        a.yaml: {manage: {key: buyers}}
        b.yaml: {manage: {key: vips}, displayName: B}

    Fails:
        a.yaml: {manage: {key: buyers}}
        b.yaml: {manage: {key: buyers}, displayName: B}
    """
    seen: dict[str, File] = {}
    for file in files:
        if file.key in seen:
            text = f"the key {shown(file.key)} belongs to {seen[file.key].path} already"
            way = "give one of them another manage.key"
            yield file, Finding(file.key_route, "same-key", text, way)
        seen.setdefault(file.key, file)


def key_case(files: Files) -> Findings:
    """No two keys differ only in upper and lower case.

    Passes:
        a.yaml: {manage: {key: buyers}}
        b.yaml: {manage: {key: vips}, displayName: B}

    Fails:
        a.yaml: {manage: {key: buyers}}
        b.yaml: {manage: {key: Buyers}, displayName: B}
    """
    seen: dict[str, File] = {}
    for file in files:
        first = seen.setdefault(file.key.lower(), file)
        if first.key != file.key:
            other = f"{shown(first.key)} of {first.path}"
            text = f"the key {shown(file.key)} differs only in case from {other}"
            yield file, Finding(file.key_route, "key-case", text, "give one of them another manage.key")


def previous_key_in_use(files: Files) -> Findings:
    """A key in previousKeys has no file any more.

    Passes:
        a.yaml: {manage: {key: buyers, previousKeys: [purchasers]}}

    Fails:
        a.yaml: {manage: {key: buyers, previousKeys: [vips]}}
        b.yaml: {manage: {key: vips}, displayName: B}
    """
    keys = {file.key: file for file in files}
    for file in files:
        for index, name in enumerate(file.texts("previousKeys")):
            if name in keys:
                text = f"the previous key {shown(name)} is the key of {keys[name].path}"
                place = ("manage", "previousKeys", index)
                yield file, Finding(place, "previous-key-in-use", text, "remove it, or delete that file")


def previous_key_twice(files: Files) -> Findings:
    """A previous key is claimed by one file alone.

    Passes:
        a.yaml: {manage: {key: buyers, previousKeys: [purchasers]}}
        b.yaml: {manage: {key: vips, previousKeys: [best]}, displayName: B}

    Fails:
        a.yaml: {manage: {key: buyers, previousKeys: [purchasers]}}
        b.yaml: {manage: {key: vips, previousKeys: [purchasers]}, displayName: B}
    """
    seen: dict[str, File] = {}
    for file in files:
        for index, name in enumerate(file.texts("previousKeys")):
            if name in seen:
                text = f"the previous key {shown(name)} is claimed by {seen[name].path} already"
                place = ("manage", "previousKeys", index)
                yield file, Finding(place, "previous-key-twice", text, "leave it to one of the two")
            seen.setdefault(name, file)


def unknown_target(files: Files) -> Findings:
    """manage.targets and manage.adopt name targets of the settings.

    Passes:
        a.yaml: {manage: {targets: [demo]}}

    Fails:
        a.yaml: {manage: {targets: [production]}}
    """
    known = [target.name for target in files.settings.targets] if files.settings else []
    for file in files if files.settings else ():
        places: list[tuple[str, Route]] = [
            (name, ("manage", "targets", index)) for index, name in enumerate(file.texts("targets"))
        ]
        places += [(target, route) for target, _, route in file.adoptions() if route[-1] == target]
        for name, place in places:
            if name not in known:
                text = f"the target {shown(name)} is not in the settings"
                way = f"known targets: {listed(known)}"
                yield file, Finding(place, "unknown-target", text, way)


def same_adoption(files: Files) -> Findings:
    """No two files adopt the same live audience.

    Passes:
        a.yaml: {manage: {adopt: "1"}}
        b.yaml: {manage: {adopt: "2"}, displayName: B}

    Fails:
        a.yaml: {manage: {adopt: "1"}}
        b.yaml: {manage: {adopt: "1"}, displayName: B}
    """
    seen: dict[tuple[str, str], File] = {}
    for file in files:
        for target, number, place in file.adoptions():
            rivals = [seen.get((one, number)) for one in (target, "")] + (
                [found for (_, other), found in seen.items() if other == number] if not target else []
            )
            first = next((one for one in rivals if one is not None and one is not file), None)
            if first is not None:
                text = f"the id {shown(number)} is adopted by {first.path} already"
                yield file, Finding(place, "same-adoption", text, "leave it to one of the two")
            seen.setdefault((target, number), file)


def same_display_name(files: Files) -> Findings:
    """No two audiences of a target have the same displayName.

    Passes:
        a.yaml: {displayName: A}
        b.yaml: {displayName: B}

    Fails:
        a.yaml: {displayName: A}
        b.yaml: {displayName: A}
    """
    seen: dict[str, list[File]] = {}
    for file in files:
        name = file.display_name
        if not name:
            continue
        first = next((one for one in seen.get(name, ()) if _meet(one, file)), None)
        if first is not None:
            text = f"displayName {shown(name)} is that of {first.path} too"
            way = "give each audience a name of its own: people tell them apart by it"
            yield file, Finding(("displayName",), "same-display-name", text, way)
        seen.setdefault(name, []).append(file)


def _meet(one: File, other: File) -> bool:
    left, right = one.manage.get("targets"), other.manage.get("targets")
    if not isinstance(left, list) or not isinstance(right, list):
        return True
    return bool(set(map(str, left)) & set(map(str, right)))


def _over(files: Files, limit_name: str, rule: str, what: str) -> Findings:
    for target in files.settings.targets if files.settings else ():
        limit = getattr(target.limits, limit_name)
        own = [file for file in files if file.belongs_to(target.name)]
        if limit_name == "triggers":
            own = [file for file in own if file.triggers]
        if len(own) > limit:
            text = (
                f"{len(own)} {what} belong to the target {shown(target.name)}; limits.{limit_name} is {limit}"
            )
            way = "keep some out with manage.targets, or raise the limit if the property takes more"
            place: Route = ("eventTrigger",) if limit_name == "triggers" else ()
            yield own[limit], Finding(place, rule, text, way)


def too_many_audiences(files: Files) -> Findings:
    """A target has no more audiences than limits.audiences.

    Passes:
        settings: {limits: {audiences: 2}}
        a.yaml: {displayName: A}
        b.yaml: {displayName: B}

    Fails:
        settings: {limits: {audiences: 1}}
        a.yaml: {displayName: A}
        b.yaml: {displayName: B}
    """
    return _over(files, "audiences", "too-many-audiences", "audiences")


def too_many_triggers(files: Files) -> Findings:
    """A target has no more audiences with a trigger than limits.triggers.

    Passes:
        settings: {limits: {triggers: 1}}
        a.yaml: {eventTrigger: {eventName: became_buyer, logCondition: AUDIENCE_JOINED}}

    Fails:
        settings: {limits: {triggers: 0}}
        a.yaml: {eventTrigger: {eventName: became_buyer, logCondition: AUDIENCE_JOINED}}
    """
    return _over(files, "triggers", "too-many-triggers", "audiences with a trigger")
