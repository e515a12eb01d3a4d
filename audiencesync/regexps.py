"""RE2, the language of GA4's FULL_REGEXP: what it refuses, and what all its engines read alike. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

_PART = re.compile(
    r"""
    \\Q .*? (?P<end> \\E | \Z)
    | \\.
    | \[ \^? \]? (?: \\. | \[:\^?\w+:\] | [^\]\\] )* \]
    | (?P<named> \(\?< )
    """,
    re.VERBOSE | re.DOTALL,
)
"""What has to be told apart: quoted text, an escape, a class, and the start of a named group."""


@lru_cache(maxsize=4096)
def fault(pattern: str) -> str:
    """What RE2 has against a pattern; "" where it compiles, or where RE2 is not installed."""
    try:
        import re2  # type: ignore[import-untyped]
    except ImportError:
        return ""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it does not compile"
        return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    except UnicodeEncodeError:
        return "it holds half of a surrogate pair"
    return ""


def portable(pattern: str) -> str:
    r"""The same pattern for older releases of RE2, and fit to stand inside another one.

    A named group is (?P<name>...), which every release knows, and a \Q that quotes to the end gets its \E.
    """
    return _PART.sub(_written, pattern)


def _written(found: re.Match[str]) -> str:
    if found["named"]:
        return "(?P<"
    return found[0] + ("\\E" if found["end"] == "" else "")
