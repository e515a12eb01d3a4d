"""Problems -> GitHub's workflow commands, which a runner shows as annotations on the changed lines."""

from __future__ import annotations

import re
from collections.abc import Iterable

from audiencesync.report.escape import inert
from audiencesync.source import Problem

_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


def _escaped(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(letter, letter) for letter in text)


def _lines(text: str) -> str:
    return "\n".join(inert(line) for line in _LINE_ENDS.split(text))


def text(problems: Iterable[Problem]) -> str:
    """One command a problem; the help follows the message. Source: GitHub's workflow commands."""
    return "".join(f"{_command(problem)}\n" for problem in problems)


def _command(problem: Problem) -> str:
    place = problem.location
    words = "\n".join(filter(None, (inert(problem.message), _lines(problem.help))))
    path, rule = (_escaped(inert(each), _PROPERTY) for each in (place.path, problem.rule))
    where = f"file={path},line={place.line},col={place.column},title={rule}"
    return f"::{problem.severity.value} {where}::{_escaped(words, _DATA)}"
