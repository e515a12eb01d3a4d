"""The plan's JSON as JSON Schema 2020-12: what `plan --format json` prints and `--out` writes."""

from __future__ import annotations

from audiencesync.schema.build import DIALECT, HOME, Node

VERBS = ("keep", "create", "patch", "replace", "archive", "adopt")
_DOCS = {
    "keep": "Live and file are equal; nothing is written.",
    "create": "The file has no live audience.",
    "patch": "Only what GA4 can change in place differs.",
    "replace": "Something differs that GA4 takes only at creation: a new audience; the old is archived.",
    "archive": "The live audience is ours, and its file is gone.",
    "adopt": "A live audience gets our mark.",
}


def _object(properties: Node, *optional: str, **more: object) -> Node:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


def _text(description: str, *, null: bool = False) -> Node:
    return {"type": ["string", "null"] if null else "string", "description": description}


def _count(description: str) -> Node:
    return {"type": "integer", "minimum": 0, "description": description}


def _reason(description: str) -> Node:
    inner = {"code": _text("A word for scripts."), "message": _text("A sentence for people.")}
    return _object(inner) | {"type": ["object", "null"], "description": description}


def _change() -> Node:
    anything = "absent where there is none"
    return _object(
        {
            "path": _text("The field, dotted, as in the file."),
            "before": {"description": f"The live value; {anything}, or null."},
            "after": {"description": f"The file's value; {anything}, or null."},
            "immutable": {"type": "boolean", "description": "Whether GA4 takes the field only at creation."},
        },
        "before",
        "after",
    )


def _action() -> Node:
    verbs = [{"const": verb, "description": _DOCS[verb]} for verb in VERBS]
    return _object(
        {
            "verb": {"anyOf": verbs, "description": "What is to be done."},
            "key": _text("Our identity of the audience."),
            "displayName": _text("The name people see in GA4."),
            "name": _text("GA4's resource name of the live audience.", null=True),
            "changes": {"type": "array", "items": _change(), "description": "What differs."},
            "updateMask": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The fields that a patch sends.",
            },
            "blocked": _reason("Why the action will not be carried out."),
        }
    )


def plan_schema() -> Node:
    """The schema of the plan's JSON; further keys may come with later versions."""
    stranger = _object(
        {
            "name": _text("GA4's resource name."),
            "displayName": _text("The name people see in GA4."),
            "reason": _text("Why the audience is left alone."),
        }
    )
    counts = {verb: _count(_DOCS[verb]) for verb in VERBS}
    body = _object(
        {
            "formatVersion": {
                "type": "string",
                "pattern": "^1\\.",
                "description": "The version of this form.",
            },
            "target": _text("The target's name in the settings.", null=True),
            "property": _text("The property's number.", null=True),
            "digest": _text("Names this plan: `apply --expect DIGEST`.", null=True),
            "actions": {"type": "array", "items": _action(), "description": "One action for every key."},
            "unmanaged": {"type": "array", "items": stranger, "description": "What is left alone."},
            "summary": _object(counts) | {"description": "How many actions of each verb."},
            "error": _reason("What stopped the command as a whole."),
        },
        "error",
    )
    head = {
        "$schema": DIALECT,
        "$id": f"{HOME}plan-schema",
        "title": "A plan",
        "description": "What apply would do, as `audiencesync plan --format json` says it.",
    }
    return head | body
