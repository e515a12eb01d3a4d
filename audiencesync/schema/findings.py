"""What a check found: the mistake by its route, and the texts that messages are made of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from audiencesync.source import Document, Problem, Route, Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake at the value of `route`, or with `key` at the key that leads to it."""

    route: Route
    rule: str
    message: str
    help: str = ""
    key: bool = False

    def problem(self, document: Document, severity: Severity = Severity.ERROR) -> Problem:
        """The finding as a problem of a file."""
        place = document.locate(self.route, key=self.key)
        return Problem(place, self.rule, self.message, severity, self.help)


QUOTE = "to mean the text, put it in quotes: "
_MAX_SHOWN = 60
_UNSEEN = re.compile(
    r"[^\x20-\x7e\u00a1-\ud7ff\uf900-\ufffd\U00010000-\U0010ffff]|[\u2028-\u202e\u2066-\u2069]"
)


def shown(value: object) -> str:
    """A value on one line, in quotes if it is text, cut to 60 characters, with nothing unprintable."""
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "no value"
        case str():
            short = value if len(value) <= _MAX_SHOWN else value[: _MAX_SHOWN - 1] + "…"
            return _UNSEEN.sub(_escaped, json.dumps(short, ensure_ascii=False))
        case _:
            text = json.dumps(value) if not isinstance(value, float) else repr(value)
            return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def listed(words: list[str] | tuple[str, ...], last: str = "or") -> str:
    """Words as a list in prose: `a`, `a or b`, `a, b or c`."""
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def nearest(name: str, known: list[str], cutoff: float = 0.75) -> str:
    """The known name that somebody who wrote `name` surely meant, or ""."""
    folded = {_folded(one): one for one in known}
    own = _folded(name)
    if own in folded:
        return folded[own]
    close = get_close_matches(own, folded, n=1, cutoff=cutoff)
    return folded[close[0]] if close else ""


def at(data: Any, route: Route) -> Any:  # noqa: ANN401 - plain data of any shape
    """The value at a route; None where it does not exist."""
    for step in route:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data):
            data = data[step]
        else:
            return None
    return data


def named(route: Route) -> str:
    """How a message calls the value at a route: its key, or its place in a list."""
    if not route:
        return "the file"
    last = route[-1]
    return f"item {last + 1} of {named(route[:-1])}" if isinstance(last, int) else last
