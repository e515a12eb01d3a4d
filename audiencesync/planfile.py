"""The plan's JSON: written from a plan, read back from a plan file, and compared with a plan made afresh.

The file carries no bodies: `apply` plans again and compares. The digest covers owner, target, property,
selection, fingerprints and actions, and is computed anew from the file's own content, so an edited file is
refused. What a newer version adds beside the known fields is ignored; another major version is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from audiencesync.action import Plan, Reason, Verb, digest_of, plan_core
from audiencesync.errors import PlanFileError

FORMAT_VERSION = "1.0"
MAX_CHARACTERS = 64 * 1024 * 1024
"""A plan of 1,000 audiences has some 2 MB; what is longer than this is no plan."""

_DEL = "\x7f"
_RUNNER_COMMAND = "##["


def dump(document: Mapping[str, Any]) -> str:
    """JSON in ASCII with every control character escaped, also DEL and what a CI runner acts on."""
    return _escaped(json.dumps(document, indent=2, ensure_ascii=True)) + "\n"


def dump_line(record: Mapping[str, Any]) -> str:
    """The same on one line, for a log."""
    return _escaped(json.dumps(record, ensure_ascii=True, default=str)) + "\n"


def _escaped(text: str) -> str:
    return text.replace(_DEL, "\\u007f").replace(_RUNNER_COMMAND, "\\u0023#[")


def document(plan: Plan | None, error: Reason | None = None) -> dict[str, Any]:
    """The plan as JSON data; the same fields without content where an error came before the plan."""
    top: dict[str, Any] = {
        "formatVersion": FORMAT_VERSION,
        "error": {"code": error.code, "message": error.message} if error else None,
    }
    if plan is None:
        empty: dict[str, Any] = dict.fromkeys(("target", "property", "owner", "digest"))
        lists: dict[str, Any] = {
            "selection": [],
            "fingerprints": {"desired": {}, "live": {}},
            "actions": [],
            "unmanaged": [],
        }
        return {**top, **empty, **lists, "summary": dict.fromkeys((verb.value for verb in Verb), 0)}
    core = plan_core(plan)
    blocked = [action.blocked for action in plan.actions]
    return {
        **top,
        "target": core["target"],
        "property": core["property"],
        "owner": core["owner"],
        "selection": core["selection"],
        "digest": digest_of(core),
        "fingerprints": core["fingerprints"],
        "actions": [
            {**entry, "blocked": {"code": reason.code, "message": reason.message} if reason else None}
            for entry, reason in zip(core["actions"], blocked, strict=True)
        ],
        "unmanaged": [
            {"name": each.name, "displayName": each.display_name, "reason": each.reason}
            for each in plan.unmanaged
        ],
        "summary": plan.summary,
    }


def write_text(plan: Plan) -> str:
    """The text of the plan file."""
    return dump(document(plan))


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan file that was read and whose digest is that of its own content.

    `core` has the shape of action.plan_core.
    """

    core: Mapping[str, Any]
    digest: str

    @property
    def selection(self) -> tuple[str, ...]:
        """The keys that it was asked for; empty means all."""
        return tuple(self.core["selection"])


def read_text(text: str) -> PlanFile:
    """Reads a plan file's text.

    Errors: PlanFileError where it is no plan, of an unknown major version, or edited; never another.
    """
    data = _parsed(text)
    version = _text(data, "formatVersion")
    major = version.partition(".")[0]
    if major != FORMAT_VERSION.partition(".")[0]:
        raise PlanFileError(
            f"the plan file has format version {version[:20]!r} and only {FORMAT_VERSION} is read here: "
            "make it anew with `audiencesync plan --out`"
        )
    if data.get("error") is not None:
        raise PlanFileError(
            "the plan file holds the report of a failed plan: run `audiencesync plan --out` again"
        )
    try:
        core = _core(data)
        digest = digest_of(core)
    except RecursionError:
        _fail("its values nest too deep")
    if _text(data, "digest") != digest:
        raise PlanFileError(
            "the plan file was edited or damaged: its digest does not match its content; "
            "make it anew with `audiencesync plan --out`"
        )
    return PlanFile(core, digest)


def _fail(what: str) -> NoReturn:
    raise PlanFileError(f"this is no plan file: {what}; `audiencesync plan --out FILE` writes one")


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > MAX_CHARACTERS:
        _fail(f"it has {len(text):,} characters, and a plan has at most {MAX_CHARACTERS:,}")

    def refuse(word: str) -> NoReturn:
        _fail(f"{word} is no JSON")

    try:
        data = json.loads(text.removeprefix("\ufeff"), parse_constant=refuse)
    except json.JSONDecodeError as error:
        _fail(f"it is no JSON (line {error.lineno}, column {error.colno})")
    except (ValueError, RecursionError):
        _fail("it holds a number or a nesting beyond reason")
    if not isinstance(data, dict):
        _fail("it holds no JSON object")
    return data


def _text(data: Mapping[str, Any], name: str) -> str:
    found = data.get(name)
    return found if isinstance(found, str) else _fail(f"its {name} is missing or no text")


def _optional(data: Mapping[str, Any], name: str) -> str | None:
    return None if name in data and data[name] is None else _text(data, name)


def _texts(data: Mapping[str, Any], name: str) -> list[str]:
    found = data.get(name)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        _fail(f"its {name} is missing or no list of texts")
    return found


def _map(data: Mapping[str, Any], name: str) -> dict[str, str]:
    found = data.get(name)
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        _fail(f"its {name} is missing or no map of texts")
    return found


def _objects(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = data.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        _fail(f"its {name} is missing or no list of objects")
    return found


def _core(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the digest covers, out of a document that may hold more."""
    prints = data.get("fingerprints")
    if not isinstance(prints, dict):
        _fail("its fingerprints are missing")
    return {
        **{name: _text(data, name) for name in ("owner", "target", "property")},
        "selection": _texts(data, "selection"),
        "fingerprints": {name: _map(prints, name) for name in ("desired", "live")},
        "actions": [_action(each) for each in _objects(data, "actions")],
    }


_VERBS = frozenset(verb.value for verb in Verb)


def _action(data: Mapping[str, Any]) -> dict[str, Any]:
    if _text(data, "verb") not in _VERBS:
        _fail("one of its verbs is unknown")
    return {
        **{name: _text(data, name) for name in ("verb", "key", "displayName")},
        "name": _optional(data, "name"),
        "changes": [_change(each) for each in _objects(data, "changes")],
        "updateMask": _texts(data, "updateMask"),
        "reason": _optional(data, "reason"),
        "archives": _texts(data, "archives"),
    }


def _change(data: Mapping[str, Any]) -> dict[str, Any]:
    if not {"before", "after"} <= data.keys() or not isinstance(data.get("immutable"), bool):
        _fail("one of its changes is incomplete")
    return {
        "path": _text(data, "path"),
        "before": data["before"],
        "after": data["after"],
        "immutable": data["immutable"],
    }


# ---------------------------------------------------------------- what moved


def compare(planfile: PlanFile, plan: Plan) -> list[str]:
    """What moved between the plan file and the plan made now: a sentence each; empty where nothing did."""
    old, new = planfile.core, plan_core(plan)
    if digest_of(new) == planfile.digest:
        return []
    moved = [
        f"the plan file is for {name} {old[name]}, and this is {new[name]}"
        for name in ("owner", "target", "property")
        if old[name] != new[name]
    ]
    if old["selection"] != new["selection"]:
        was, is_now = _selected(old["selection"]), _selected(new["selection"])
        moved.append(f"the plan file is for {was}, and this is for {is_now}")
    keys = _keys_by_name(old) | _keys_by_name(new)
    moved += _moved(
        old["fingerprints"]["desired"],
        new["fingerprints"]["desired"],
        lambda key: f"the file of {key}",
    )
    moved += _moved(
        old["fingerprints"]["live"],
        new["fingerprints"]["live"],
        lambda name: f"the live audience {name} ({keys.get(name, 'no key')})",
    )
    moved += _actions_moved(old["actions"], new["actions"])
    return moved or ["the plan is another one than the file's"]


def _selected(keys: Sequence[str]) -> str:
    return f"the keys {', '.join(keys)}" if keys else "all keys"


def _keys_by_name(core: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for action in core["actions"]:
        for name in (action["name"], *action["archives"]):
            if name:
                found[name] = action["key"]
    return found


def _moved(old: Mapping[str, str], new: Mapping[str, str], what: Callable[[str], str]) -> list[str]:
    words = {
        **dict.fromkeys(old.keys() - new.keys(), "is gone"),
        **dict.fromkeys(new.keys() - old.keys(), "appeared"),
        **{each: "changed" for each in old.keys() & new.keys() if old[each] != new[each]},
    }
    return [f"{what(each)} {words[each]}" for each in sorted(words)]


def _actions_moved(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[str]:
    before, after = ({action["key"]: action for action in actions} for actions in (old, new))
    moved = []
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if one == other:
            continue
        first, second = (each["verb"] if each else "nothing" for each in (one, other))
        way = f"{first} in another way" if first == second else second
        moved.append(f"{key}: the plan file says {first}, now it would be {way}")
    return moved
