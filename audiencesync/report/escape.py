r"""Makes text from outside inert: what cannot be seen, or would act on a terminal or page, is written out.

Inert means: no control character, no newline, no bidi or zero-width or other invisible character, no lone
surrogate; each of them stands as a visible escape (\x1b, \u202e, \U000e0001), and so does the `##[` that
GitHub's runners obey anywhere in what they print. Long text is cut with a note. What Markdown or HTML would
read as markup is their renderers' matter: this comes first, for all.
"""

from __future__ import annotations

import re
import unicodedata

from audiencesync import unseen

NAME_LIMIT = 200
VALUE_LIMIT = 1000

LOG_COMMAND = (unseen.LOG_COMMAND, r"\x23#[")
"""What GitHub's runners obey anywhere in a line, and what is shown instead."""

_MAX_REMEMBERED = 4096


def _visible(letter: str) -> str:
    """The letter itself where it is harmless, else its escape."""
    return letter if unseen.harmless(letter) else letter.encode("unicode_escape").decode("ascii")


class _Table(dict[int, str]):
    """Code point -> what is shown; remembers what it was asked, up to a bound."""

    def __missing__(self, code: int) -> str:
        shown = _visible(chr(code))
        if len(self) < _MAX_REMEMBERED:
            self[code] = shown
        return shown


_TABLE = _Table()


def cut(text: str, limit: int) -> str:
    """The text, or its first `limit` characters and a note of how many there are."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def inert(text: str, limit: int = VALUE_LIMIT) -> str:
    """One line that shows the text and does nothing; a backslash of the text stays as it is."""
    return cut(text, limit).translate(_TABLE).replace(*LOG_COMMAND)


def quoted(text: str, limit: int = VALUE_LIMIT) -> str:
    """The inert text in double quotes, those inside escaped."""
    shown = inert(text[:limit].replace('"', '\\"'), 2 * limit)
    return f'"{shown}"' if len(text) <= limit else f'"{shown}"… ({len(text):,} characters)'


_COMMAND = re.compile(r"^([ \t]*):(?=:)", re.MULTILINE)


def without_commands(lines: str) -> str:
    """The lines, none of which GitHub's runners obey when they print them.

    No line begins with `::name::`; and where two pieces of inert text meet, no `##[` comes about.
    """
    return _COMMAND.sub(r"\1\\x3a", lines).replace(*LOG_COMMAND)


def cells(text: str) -> int:
    """How many columns of a terminal the text takes: wide characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(letter) for letter in text)


def _cells_of(letter: str) -> int:
    if unicodedata.category(letter) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1
