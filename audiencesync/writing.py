"""Text files, written whole or not at all: beside their place first, then moved into it."""

from __future__ import annotations

import os
from pathlib import Path

from audiencesync.errors import UsageError


def create(path: Path, text: str) -> None:
    """Writes a new file, with its folders; one that is there already is never touched.

    Errors: UsageError where it is there, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _beside(path, text)
    except OSError as error:
        raise _failure(path, error) from error
    try:
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:
            # Some file systems know no links; there, two programs at once could still meet.
            if path.exists() or path.is_symlink():
                raise FileExistsError(17, "it exists already") from None
            part.replace(path)
    except OSError as error:
        raise _failure(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def overwrite(path: Path, text: str) -> None:
    """Writes an existing file anew and keeps its rights; behind a link, the file that it leads to.

    Errors: UsageError where it cannot be written; what was there stays.
    """
    part = None
    try:
        real = path.resolve(strict=True)
        part = _beside(real, text)
        part.chmod(real.stat().st_mode & 0o7777)
        part.replace(real)
    except OSError as error:
        if part is not None:
            part.unlink(missing_ok=True)
        raise _failure(path, error) from error


def put(path: Path, text: str) -> None:
    """Writes the file that a command was told to write, new or old; behind a link, the file that it leads to.

    What is no file, as /dev/stdout, is written to and never replaced. Errors: UsageError where it cannot be
    written, as on a full disk; what was there stays.
    """
    part = None
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            return
        real = path.resolve()
        part = _beside(real, text)
        part.replace(real)
    except (OSError, RuntimeError) as error:
        if part is not None:
            part.unlink(missing_ok=True)
        raise _failure(path, error) from error


def _beside(path: Path, text: str) -> Path:
    # A name has 255 bytes at most, and a letter up to four.
    part = path.with_name(f".{path.name[:40]}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return part


def _failure(path: Path, error: OSError | RuntimeError) -> UsageError:
    return UsageError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}")
