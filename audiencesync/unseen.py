"""Which characters print nothing, or act on whoever prints them. Pure."""

from __future__ import annotations

import re
import unicodedata

# Letters and marks that print nothing, so that text can hide in them; the two variation selectors that
# choose between emoji and text (U+FE0E, U+FE0F) stay.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\uffa0\ufe00-\ufe0d\U000e0100-\U000e01ef]"
)

LOG_COMMAND = "##["
"""What GitHub's runners obey anywhere in a line."""


def harmless(letter: str) -> bool:
    """Whether a character is seen and does nothing: no control, format or private character, no line end."""
    printed = letter.isprintable() or unicodedata.category(letter) == "Zs"
    return printed and not _INVISIBLE.match(letter)
