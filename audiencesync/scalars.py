r"""Plain values -> YAML text that every reader of YAML 1.1 and 1.2 takes for the same value.

Quotes stand only where a reader needs them: around what is no text without them (`"1000"`, `"NO"`), and
around what would end early or start something else. A date stays bare, as people write it.
"""

from __future__ import annotations

import json
import re

from audiencesync.source import Route

_NUMBER = re.compile(
    r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+"
    r"|[0-9][0-9_]*(:[0-9_]+)*(\.[0-9_]*)?([eE][-+]?[0-9]+)?"
    r"|\.[0-9_]+([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
)
"""What some reader takes for a number: 1_000 and 1:30 are numbers in YAML 1.1, 0o17 is one in YAML 1.2."""

_WORDS = re.compile(r"~|null|true|false|yes|no|on|off|y|n|=|<<", re.IGNORECASE)
_INDICATORS = frozenset("-?:,[]{}#&*!|>'\"%@`")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_BEYOND_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_FLOW_MARKS = frozenset(",[]{}:")
_FEWEST_COLUMNS = 40
"""A folded text is given at least this many columns, however deep it stands."""


def text_of(value: object, *, flow: bool = False) -> str:
    """One line of YAML for a text, number, true, false or null; `flow` inside brackets."""
    if isinstance(value, str):
        return _text(value, flow=flow)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def _text(value: str, *, flow: bool) -> str:
    if _is_plain(value, flow=flow):
        return value
    if ("\\" in value or '"' in value) and not _UNPRINTABLE.search(value):
        return "'" + value.replace("'", "''") + "'"
    quoted = json.dumps(value, ensure_ascii=False)
    return _BEYOND_JSON.sub(lambda found: f"\\u{ord(found[0]):04X}", quoted)


def _is_plain(value: str, *, flow: bool) -> bool:
    """Whether a text needs no quotes."""
    if not value or value[0] in _INDICATORS or value[0] == " " or value[-1] in " :":
        return False
    if _UNPRINTABLE.search(value) or ": " in value or " #" in value or value.startswith("..."):
        return False
    if flow and not _FLOW_MARKS.isdisjoint(value):
        return False
    return not (_NUMBER.fullmatch(value) or _WORDS.fullmatch(value))


def block_of(value: str, room: int) -> tuple[str, list[str]] | None:
    """A text as a block of lines, header first: `|` with line breaks, `>-` where one line has no room.

    None where one line serves better: the text is short, or a block would not give it back.
    """
    if "\n" in value:
        return _literal(value)
    if len(text_of(value)) <= room or "  " in value or value.strip() != value or _UNPRINTABLE.search(value):
        return None
    lines = [""]
    for word in value.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and len(longer) > max(room, _FEWEST_COLUMNS):
            lines.append(word)
        else:
            lines[-1] = longer
    return (">-", lines) if len(lines) > 1 else None


def _literal(value: str) -> tuple[str, list[str]] | None:
    body = value.removesuffix("\n")
    lines = body.split("\n")
    if not lines[0] or not lines[-1] or lines[0][0] == " ":
        return None
    if any(line != line.rstrip() or _UNPRINTABLE.search(line) for line in lines):
        return None
    return ("|" if value.endswith("\n") else "|-"), lines


def same(one: object, other: object) -> bool:
    """Whether two values are the same data: 1, 1.0 and true are three things; the order of keys is none."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    # Minus zero is another double than zero.
    return repr(one) == repr(other)


def shown(route: Route) -> str:
    """A route as people write it: filterClauses[0].simpleFilter."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in route).lstrip(".")
