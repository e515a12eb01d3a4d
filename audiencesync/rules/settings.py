"""Rules of the settings file; they take its data and speak only of what the schema found sound."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from audiencesync.rules.policy import compiled
from audiencesync.rules.view import Json
from audiencesync.schema.findings import Finding, listed, shown
from audiencesync.source import Route

Findings = Iterator[Finding]


def _entries(data: Json, name: str) -> Iterator[tuple[str, Json]]:
    found = data.get(name)
    for key, entry in found.items() if isinstance(found, dict) else ():
        if isinstance(entry, dict):
            yield key, entry


def _names(data: Json, name: str) -> list[str]:
    found = data.get(name)
    return list(found) if isinstance(found, dict) else []


def _way(data: Json, name: str) -> str:
    known = _names(data, name)
    return f"known {name}: {listed(known)}" if known else f"there are no {name}"


def unknown_default_target(data: Json) -> Findings:
    """A defaultTarget is one of the targets.

    Passes:
        defaultTarget: demo

    Fails:
        defaultTarget: production
    """
    name = data.get("defaultTarget")
    if isinstance(name, str) and name not in _names(data, "targets"):
        text = f"defaultTarget {shown(name)} is not among the targets"
        yield Finding(("defaultTarget",), "unknown-default-target", text, _way(data, "targets"))


def same_target(data: Json) -> Findings:
    """No two targets have the same property and endpoint.

    Passes:
        targets: {demo: {property: "1000", endpoint: local}, live: {property: "1000"}}

    Fails:
        targets: {demo: {property: "1000", endpoint: local}, other: {property: "1000", endpoint: local}}
    """
    seen: dict[tuple[str, str], str] = {}
    for name, target in _entries(data, "targets"):
        endpoint = str(target.get("endpoint") or "google").rstrip("/").lower()
        place = (str(target.get("property")), endpoint)
        if target.get("property") is None:
            continue
        if place in seen:
            text = f"the targets {shown(seen[place])} and {shown(name)} have the same property and endpoint"
            yield Finding(("targets", name), "same-target", text, "remove one of the two", key=True)
        seen.setdefault(place, name)


def is_loopback(address: str) -> bool:
    """Whether an address leads to this machine alone."""
    try:
        host = urlsplit(address).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def plain_http(data: Json) -> Findings:
    """Credentials travel over https, or stay on this machine.

    Passes:
        targets: {demo: {property: "1000", endpoint: "http://127.0.0.1:8080"}}

    Fails:
        targets: {demo: {property: "1000", endpoint: "http://emulator.example.com"}}
    """
    for name, target in _entries(data, "targets"):
        endpoint = target.get("endpoint")
        if _is_open(endpoint) and (target.get("credentials") or "default") != "anonymous":
            text = f"endpoint {shown(endpoint)} would send credentials over plain http"
            way = "write https://, a loopback address, or `credentials: anonymous`"
            yield Finding(("targets", name, "endpoint"), "plain-http", text, way)
    for name, platform in _entries(data, "growingio"):
        if _is_open(platform.get("url")):
            text = f"url {shown(platform['url'])} would send the token over plain http"
            yield Finding(
                ("growingio", name, "url"), "plain-http", text, "write https://, or a loopback address"
            )


def _is_open(address: object) -> bool:
    return isinstance(address, str) and address.lower().startswith("http://") and not is_loopback(address)


def unknown_platform(data: Json) -> Findings:
    """An export's growingio is one of the platforms.

    Passes:
        growingio: {main: {url: "https://op.example.com", tokenEnv: TOKEN}}
        exports: {buyers: {growingio: main, segment: qgQMXnD3, to: out/buyers.csv}}

    Fails:
        growingio: {main: {url: "https://op.example.com", tokenEnv: TOKEN}}
        exports: {buyers: {growingio: mian, segment: qgQMXnD3, to: out/buyers.csv}}
    """
    for name, export in _entries(data, "exports"):
        platform = export.get("growingio")
        if isinstance(platform, str) and platform not in _names(data, "growingio"):
            text = f"growingio {shown(platform)} is not among the platforms"
            way = _way(data, "growingio")
            yield Finding(("exports", name, "growingio"), "unknown-platform", text, way)


def unknown_export_target(data: Json) -> Findings:
    """An export's target is one of the targets.

    Passes:
        exports: {members: {audience: buyers, target: demo, to: out/members.csv}}

    Fails:
        exports: {members: {audience: buyers, target: production, to: out/members.csv}}
    """
    for name, export in _entries(data, "exports"):
        target = export.get("target")
        if isinstance(target, str) and target not in _names(data, "targets"):
            text = f"target {shown(target)} is not among the targets"
            yield Finding(("exports", name, "target"), "unknown-export-target", text, _way(data, "targets"))


_KINDS = ("audience", "tag", "segment", "analysis")
# Which kinds of export a key is for.
_FOR = {
    "dimensions": {"audience"},
    "target": {"audience"},
    "growingio": {"tag", "segment", "analysis"},
    "project": {"tag", "segment", "analysis"},
    "charset": {"tag", "segment", "analysis"},
    "type": {"analysis"},
    "detail": {"tag"},
    "properties": {"tag", "segment"},
    "tags": {"segment"},
}
_NEEDS = {"tag": ("growingio",), "segment": ("growingio",), "analysis": ("growingio", "type"), "audience": ()}


def export_needs(data: Json) -> Findings:
    """An export of a tag, segment or analysis names its platform, an analysis its type.

    Passes:
        growingio: {main: {url: "https://op.example.com", tokenEnv: TOKEN, project: WlGk4Daj}}
        exports: {checkout: {growingio: main, analysis: klGvyp7E, type: FUNNELS, to: out/checkout.csv}}

    Fails:
        growingio: {main: {url: "https://op.example.com", tokenEnv: TOKEN, project: WlGk4Daj}}
        exports: {checkout: {growingio: main, analysis: klGvyp7E, to: out/checkout.csv}}
    """
    for name, export in _entries(data, "exports"):
        kind = next((one for one in _KINDS if one in export), "")
        for needed in _NEEDS.get(kind, ()):
            if export.get(needed) is None:
                text = f"{needed} is missing; an export of {_a(kind)} needs it"
                way = (
                    "write FUNNELS, CHARTS, RETENTIONS or FREQUENCIES"
                    if needed == "type"
                    else "name the platform"
                )
                yield Finding(("exports", name), "export-needs", text, way, key=True)


def _a(kind: str) -> str:
    return f"an {kind}" if kind.startswith("a") else f"a {kind}"


def export_stranger(data: Json) -> Findings:
    """An export has no key that is for another kind of export.

    Passes:
        exports: {members: {audience: buyers, dimensions: [deviceId], to: out/members.csv}}

    Fails:
        exports: {members: {audience: buyers, detail: true, to: out/members.csv}}
    """
    for name, export in _entries(data, "exports"):
        kind = next((one for one in _KINDS if one in export), "")
        for key in export:
            if kind and kind not in _FOR.get(key, {kind}) and export[key] is not None:
                text = f"{key} is not for the export of {_a(kind)}; it is for {listed(sorted(_FOR[key]))}"
                yield Finding(("exports", name, key), "export-stranger", text, "remove it", key=True)


def hash_without_salt(data: Json) -> Findings:
    """A hash comes with saltEnv: ids without a salt are found again by trying all of them.

    Passes:
        exports: {members: {audience: buyers, hash: sha256, saltEnv: SALT, to: out/members.csv}}

    Fails:
        exports: {members: {audience: buyers, hash: sha256, to: out/members.csv}}
    """
    for name, export in _entries(data, "exports"):
        if export.get("hash") is not None and export.get("saltEnv") is None:
            text = "hash without saltEnv; unsalted ids are found again by trying them all"
            way = "add `saltEnv: NAME`, the environment variable that holds the salt"
            yield Finding(("exports", name, "hash"), "hash-without-salt", text, way, key=True)


def same_export_file(data: Json) -> Findings:
    """No two exports write the same file.

    Passes:
        exports: {a: {audience: buyers, to: out/a.csv}, b: {audience: vips, to: out/b.csv}}

    Fails:
        exports: {a: {audience: buyers, to: out/a.csv}, b: {audience: vips, to: ./out/a.csv}}
    """
    seen: dict[str, str] = {}
    for name, export in _entries(data, "exports"):
        if not isinstance(export.get("to"), str):
            continue
        path = _normal(export["to"])
        if path in seen:
            text = f"the exports {shown(seen[path])} and {shown(name)} write the same file"
            yield Finding(("exports", name, "to"), "same-export-file", text, "choose another path")
        seen.setdefault(path, name)


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def policy_regexp(data: Json) -> Findings:
    """The regular expressions of policy compile.

    Passes:
        policy: {displayName: "[A-Z].*"}

    Fails:
        policy: {displayName: "[A-Z"}
    """
    policy = data.get("policy")
    if not isinstance(policy, dict):
        return
    places: list[tuple[Route, object]] = [(("policy", "displayName"), policy.get("displayName"))]
    values = policy.get("bannedValues")
    if isinstance(values, list):
        places += [(("policy", "bannedValues", index), value) for index, value in enumerate(values)]
    for route, pattern in places:
        if isinstance(pattern, str) and compiled(pattern) is None:
            text = f"{shown(pattern)} is no regular expression: {_reason(pattern)}"
            yield Finding(route, "policy-regexp", text, "correct it")


def _reason(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    return ""


def policy_range(data: Json) -> Findings:
    """A range of policy.membershipDays is not empty.

    Passes:
        policy: {membershipDays: {"*": {minimum: 30, maximum: 30}}}

    Fails:
        policy: {membershipDays: {"*": {minimum: 31, maximum: 30}}}
    """
    policy = data.get("policy")
    for label, entry in _entries(policy, "membershipDays") if isinstance(policy, dict) else ():
        low, high = entry.get("minimum"), entry.get("maximum")
        if isinstance(low, int) and isinstance(high, int) and low > high:
            text = f"no number of days is at least {low} and at most {high}"
            yield Finding(("policy", "membershipDays", label), "policy-range", text, "swap them", key=True)


def unknown_time_zone(data: Json) -> Findings:
    """events.timeZone is a time zone of the IANA database.

    Passes:
        events: {parquet: "events/*.parquet", timeZone: Europe/Berlin}

    Fails:
        events: {parquet: "events/*.parquet", timeZone: Berlin}
    """
    places: list[tuple[Route, Any]] = [(("events",), data.get("events"))]
    places += [
        (("targets", name, "events"), target.get("events")) for name, target in _entries(data, "targets")
    ]
    for route, events in places:
        zone = events.get("timeZone") if isinstance(events, dict) else None
        if isinstance(zone, str) and not _is_zone(zone):
            text = f"timeZone {shown(zone)} is not in the IANA database"
            yield Finding(
                (*route, "timeZone"), "unknown-time-zone", text, "write it such as Europe/Berlin or UTC"
            )


def _is_zone(name: str) -> bool:
    if name == "UTC":
        return True
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
