"""The run log: JSON lines that say who did what, for the people who are asked afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from audiencesync.errors import UsageError


@contextmanager
def opened(path: Path) -> Iterator[Callable[[str], None]]:
    """Opens a log to append lines to, each written at once and whole; mode 0600 where it is new.

    Errors: UsageError where it cannot be written, before anything else happens.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"the log {path} cannot be written: {error.strerror or error}") from error
    try:

        def write(line: str) -> None:
            os.write(descriptor, (line.rstrip("\n") + "\n").encode("utf-8", "backslashreplace"))

        yield write
    finally:
        os.close(descriptor)
