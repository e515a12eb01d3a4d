"""Problems -> SARIF 2.1.0, which code scanners show. Source: the OASIS standard, sections 3.11 to 3.52."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from audiencesync.action import Reason
from audiencesync.report.documents import Document
from audiencesync.report.escape import inert
from audiencesync.source import Location, Problem

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


def document(
    problems: Sequence[Problem],
    rules: Iterable[tuple[str, str]],
    version: str,
    error: Reason | None = None,
) -> Document:
    """The problems as a SARIF log with one run.

    `rules` are pairs of id and sentence; a rule that problems name and `rules` lacks is added. `error` is
    what stopped the command as a whole: a notification of the invocation.
    """
    known = dict(rules)
    for problem in problems:
        known.setdefault(problem.rule, "")
    index = {rule: number for number, rule in enumerate(known)}
    invocation: dict[str, Any] = {"executionSuccessful": error is None}
    if error:
        said = {"level": "error", "descriptor": {"id": error.code}, "message": {"text": _told(error.message)}}
        invocation["toolExecutionNotifications"] = [said]
    driver = {
        "name": "audiencesync",
        "semanticVersion": version,
        "rules": [{"id": rule, **_described(words)} for rule, words in known.items()],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "results": [_result(problem, index[problem.rule]) for problem in problems],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _described(words: str) -> dict[str, Any]:
    return {"shortDescription": {"text": words}} if words else {}


def _told(text: str) -> str:
    """Plain text of a message: no control characters, and nothing that reads as a link, `[text](target)`."""
    lines = "\n".join(inert(line) for line in _LINE_ENDS.split(text))
    return lines.replace("](", r"\](")


def _result(problem: Problem, index: int) -> dict[str, Any]:
    words = f"{problem.message}\n{problem.help}" if problem.help else problem.message
    return {
        "ruleId": problem.rule,
        "ruleIndex": index,
        "level": problem.severity.value,
        "message": {"text": _told(words)},
        "locations": [{"physicalLocation": _place(problem.location)}],
    }


def _place(location: Location) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": _uri(location.path)},
        "region": {"startLine": location.line, "startColumn": location.column},
    }


def _uri(path: str) -> str:
    """A relative reference, or a file: URI for an absolute path."""
    pure = PurePath(path)
    plain = quote(pure.as_posix().encode("utf-8", "surrogatepass"), safe="/")
    return f"file://{'' if plain.startswith('/') else '/'}{plain}" if pure.is_absolute() else plain
