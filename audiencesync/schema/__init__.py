"""The tables of fields as JSON Schema 2020-12, and what a file breaks of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from audiencesync.schema.build import Node, published
from audiencesync.schema.compiled import surely_valid
from audiencesync.schema.examples import SCHEMA_RULES
from audiencesync.schema.findings import QUOTE, Finding, at
from audiencesync.schema.planfile import plan_schema
from audiencesync.source import Document, Problem, parse

__all__ = [
    "SCHEMA_RULES",
    "audience_schema",
    "check",
    "find",
    "plan_schema",
    "schema",
    "text",
    "workspace_schema",
]


def audience_schema() -> Node:
    """The schema of an audience file, for editors and other validators."""
    return published("Audience")


def workspace_schema() -> Node:
    """The schema of the settings file, for editors and other validators."""
    return published("Settings")


def schema(name: str) -> Node:
    """The schema that `schemas/<name>.schema.json` holds: audience, workspace or plan."""
    return {"audience": audience_schema, "workspace": workspace_schema, "plan": plan_schema}[name]()


def text(name: str) -> str:
    """The very text of `schemas/<name>.schema.json`."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


# Nobody reads more of one file, and each place takes time to find in it.
MAX_FINDINGS = 500
# What a file that could not be read whole lacks may stand in the part that was left out.
_CUTTING = {"key-not-text", "merge-key", "alias", "duplicate-key"}


def find(document: Document, message: str = "Audience") -> list[Finding]:
    """What the schema refuses in a file, by route; `message` is "Audience" or "Settings".

    What only follows from a problem that reading found is left out: what stands at its place, and what is
    missing where a part could not be read.
    """
    if document.data is None or surely_valid(message)(document.data):
        return []
    from audiencesync.schema.explain import explain

    found = explain(document.data, message)
    more = len(found) - MAX_FINDINGS
    if more > 0:
        text = f"the file has {len(found):,} problems; the first {MAX_FINDINGS} are shown"
        found = [*found[:MAX_FINDINGS], Finding((), "too-many-problems", text, "mend these first")]
    places = {problem.location for problem in document.problems}
    cut = any(problem.rule in _CUTTING for problem in document.problems)
    return [
        _as_written(document, finding)
        for finding in found
        if not (cut and finding.rule in {"missing-key", "one-of"})
        and (not places or document.locate(finding.route, key=finding.key) not in places)
    ]


def check(document: Document, message: str = "Audience") -> list[Problem]:
    """What the schema refuses in a file, as problems in the order of their places."""
    return sorted(
        (finding.problem(document) for finding in find(document, message)), key=lambda one: one.location
    )


def _as_written(document: Document, finding: Finding) -> Finding:
    """The help to put a value in quotes says it as the file does: 00501 and 1.10 mean no 501 and 1.1."""
    if not finding.help.startswith(QUOTE):
        return finding
    place = document.locate(finding.route)
    word = re.match(r"[-+.\w]+", document.line(place.line)[place.column - 1 :])
    if word is None or parse("", word[0].encode()).data != at(document.data, finding.route):
        return finding  # the place is not the value's own, as in a shorter form of writing
    name = finding.help[len(QUOTE) :].partition(" ")[0]
    return replace(finding, help=f'{QUOTE}{name} "{word[0]}"')
