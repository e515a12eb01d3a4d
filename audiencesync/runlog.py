"""The run log: JSON lines that say who did what, for the people who are asked afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from audiencesync.errors import UsageError


@contextmanager
def opened(path: Path, first: str, warn: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Opens a log, writes its first line, and gives what appends lines; mode 0600 where it is new.

    Each line is written at once and whole. One that cannot be written later, as on a disk that fills up, does
    not stop the work: `warn` hears of it once. Errors: UsageError where the first line cannot be written,
    before anything else happens.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(_failure(path, error)) from error
    broken = False

    def write(line: str) -> None:
        nonlocal broken
        try:
            os.write(descriptor, _line(line))
        except OSError as error:
            if not broken:
                warn(f"{_failure(path, error)}; the run goes on without it")
            broken = True

    try:
        try:
            os.write(descriptor, _line(first))
        except OSError as error:
            raise UsageError(_failure(path, error)) from error
        yield write
    finally:
        os.close(descriptor)


def _line(text: str) -> bytes:
    return (text.rstrip("\n") + "\n").encode("utf-8", "backslashreplace")


def _failure(path: Path, error: OSError) -> str:
    return f"the log {path} cannot be written: {error.strerror or error}"
