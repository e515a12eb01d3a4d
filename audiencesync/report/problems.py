"""Problems -> text with source line and caret, and JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from audiencesync.action import Reason
from audiencesync.report.documents import Document, head
from audiencesync.report.escape import cells, inert, without_commands
from audiencesync.report.page import Tone, counted
from audiencesync.report.text import Painter, painter
from audiencesync.source import Problem, Severity

_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_BEFORE, _AFTER = 100, 60
"""So many characters of a long source line are shown before and behind the place."""


def _counts(problems: Sequence[Problem]) -> tuple[int, int]:
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    return errors, len(problems) - errors


def summary(problems: Sequence[Problem], files: int) -> str:
    """One sentence: how many problems in how many files."""
    errors, warnings = _counts(problems)
    if not problems:
        return f"{counted(files, 'file')}: no problems"
    found = [counted(number, what) for number, what in ((errors, "error"), (warnings, "warning")) if number]
    places = len({problem.location.path for problem in problems})
    return f"{' and '.join(found)} in {places:,} of {counted(files, 'file')}"


def text(problems: Sequence[Problem], sources: Mapping[str, str], *, colour: bool) -> str:
    """Each problem as `path:line:column: message [rule]`, its source line with a caret, and its help.

    `sources` maps paths to the files' texts; a file that is missing shows no source line. A warning says so
    behind its rule. Empty where there are no problems.
    """
    paint = painter(colour=colour)
    lines: dict[str, list[str]] = {}
    blocks = []
    for problem in problems:
        path = problem.location.path
        if path not in lines:
            lines[path] = _LINE_ENDS.split(sources[path]) if path in sources else []
        blocks.append("\n".join(_block(problem, lines[path], paint)))
    return without_commands("".join(f"{block}\n\n" for block in blocks))[:-1]


def rules_text(rules: Iterable[tuple[str, str]]) -> str:
    """The rules, one a line: id and sentence."""
    rows = list(rules)
    width = max((cells(rule) for rule, _ in rows), default=0)
    return "".join(f"{rule:<{width}}  {sentence}\n" for rule, sentence in rows)


def _block(problem: Problem, lines: Sequence[str], paint: Painter) -> Iterator[str]:
    place = problem.location
    warning = problem.severity is Severity.WARNING
    tone = Tone.WARNING if warning else Tone.ERROR
    where = paint(f"{inert(place.path)}:{place.line}:{place.column}:", Tone.STRONG)
    rule = paint(f"[{inert(problem.rule)}]", Tone.DIM) + (" (warning)" if warning else "")
    yield f"{where} {paint(inert(problem.message), tone)} {rule}"
    if 1 <= place.line <= len(lines) and lines[place.line - 1].strip():
        gutter = f"{place.line:>5} | "
        before, behind = _excerpt(lines[place.line - 1], place.column - 1)
        yield paint(gutter, Tone.DIM) + before + behind
        yield paint(" " * 5 + " | ", Tone.DIM) + " " * cells(before) + paint("^", tone)
    for each in _LINE_ENDS.split(problem.help) if problem.help else ():
        yield f"        {inert(each)}".rstrip()


def _excerpt(source: str, index: int) -> tuple[str, str]:
    """What is shown of the line before and from the place on."""
    index = max(0, min(index, len(source)))
    start = max(0, index - _BEFORE)
    before = ("…" if start else "") + _shown(source[start:index])
    behind = _shown(source[index : index + _AFTER]) + ("…" if len(source) > index + _AFTER else "")
    return before, behind.rstrip()


def _shown(part: str) -> str:
    return "    ".join(inert(piece) for piece in part.split("\t"))


def document(problems: Sequence[Problem], files: int, error: Reason | None = None) -> Document:
    """The problems as JSON data; `files` were read."""
    errors, warnings = _counts(problems)
    return {
        **head(error),
        "problems": [
            {
                "path": problem.location.path,
                "line": problem.location.line,
                "column": problem.location.column,
                "rule": problem.rule,
                "severity": problem.severity.value,
                "message": problem.message,
                "help": problem.help,
            }
            for problem in problems
        ],
        "summary": {"files": files, "errors": errors, "warnings": warnings},
    }
