"""What all JSON reports share: the head, the error, and text in ASCII without control characters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audiencesync.action import Reason
from audiencesync.planfile import FORMAT_VERSION, dump, dump_line

__all__ = ["Document", "dump", "dump_line", "error_of", "head"]

Document = dict[str, Any]


def head(error: Reason | None) -> Document:
    """The beginning of every report: its version, and what stopped the command as a whole."""
    return {"formatVersion": FORMAT_VERSION, "error": error_of(error)}


def error_of(error: Reason | None) -> Mapping[str, str] | None:
    """A reason as JSON."""
    return {"code": error.code, "message": error.message} if error else None
