"""The system parameter `fields`: a partial answer, as "audiences(name,displayName),nextPageToken" asks for.

Source: the "Partial responses" section of Google's API guides: commas, a/b, a(b,c) and *.
"""

from __future__ import annotations

import re
from typing import Any

from audiencesync.local.context import Json
from audiencesync.local.refusals import RefusedError, invalid_field

_TOKEN = re.compile(r"[@\w.-]+|[*/(),]")
_MAX = 2000
_Tree = dict[str, "_Tree"]


def select(data: Json, selector: str) -> Json:
    """The parts of an answer that a selector names; names that are not there are passed over.

    Errors: RefusedError 400 where the selector cannot be read.
    """
    words = _TOKEN.findall(selector)
    if "".join(words) != selector or len(selector) > _MAX:
        raise _unreadable(selector)
    words.reverse()
    tree = _list(words, selector)
    if words:
        raise _unreadable(selector)
    picked = _pick(data, tree)
    return picked if isinstance(picked, dict) else {}


def _unreadable(selector: str) -> RefusedError:
    return invalid_field("fields", f"Invalid field selection {selector[:100]}")


def _list(words: list[str], selector: str) -> _Tree:
    tree: _Tree = {}
    while True:
        if not words or words[-1] in "/(),":
            raise _unreadable(selector)
        path, below = [words.pop()], _Tree()
        while words and words[-1] == "/":
            words.pop()
            if not words or words[-1] in "/(),":
                raise _unreadable(selector)
            path.append(words.pop())
        if words and words[-1] == "(":
            words.pop()
            below = _list(words, selector)
            if not words or words.pop() != ")":
                raise _unreadable(selector)
        node = tree
        for name in path:
            node = node.setdefault(name, {})
        node.update(below)
        if not words or words[-1] != ",":
            return tree
        words.pop()


def _pick(data: Any, tree: _Tree) -> Any:  # noqa: ANN401 - any JSON
    if not tree:
        return data
    if isinstance(data, list):
        return [_pick(item, tree) for item in data]
    if not isinstance(data, dict):
        return data
    return {
        name: _pick(value, tree[name] if name in tree else tree["*"])
        for name, value in data.items()
        if name in tree or "*" in tree
    }
