"""What became of each export -> Page and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from audiencesync.action import Reason
from audiencesync.errors import AudiencesyncError
from audiencesync.report.documents import Document, error_of, head
from audiencesync.report.page import Page, Span, Spans, Text, Tone, code, line

_TONES = {"done": Tone.ADD, "running": Tone.CHANGE, "failed": Tone.ERROR, "ambiguous": Tone.ERROR}


class Result(Protocol):
    """How one declared export stands."""

    @property
    def name(self) -> str:
        """Its name in the settings."""

    @property
    def status(self) -> str:
        """One of done, running, failed, ambiguous."""

    @property
    def rows(self) -> int | None:
        """How many rows were written."""

    @property
    def path(self) -> object:
        """The file."""

    @property
    def manifest(self) -> object:
        """The manifest beside it."""

    @property
    def job(self) -> str | None:
        """The platform's id of the job."""

    @property
    def error(self) -> AudiencesyncError | None:
        """Why it is not done."""


def _text(path: object) -> str | None:
    return None if path is None else str(path)


def _reason(error: AudiencesyncError | None) -> Reason | None:
    return Reason(error.code, str(error)) if error else None


def _told(result: Result) -> Iterator[Spans]:
    status = str(result.status)
    rows = f"  {result.rows:,} rows" if result.rows is not None else ""
    job = f"  job {result.job}" if result.job else ""
    path = _text(result.path) or ""
    yield line(
        code(result.name, Tone.STRONG),
        "  ",
        Span(status, _TONES.get(status, Tone.PLAIN)),
        rows,
        "  " if path else "",
        code(path),
        Span(job, Tone.DIM),
    )
    if result.error:
        yield line("    ", Span(f"[{result.error.code}]: {result.error}", Tone.ERROR))


def page(results: Sequence[Result]) -> Page:
    """The exports for people."""
    lines = tuple(each for result in results for each in _told(result))
    return (Text(lines or (line("No exports are declared."),)),)


def document(results: Sequence[Result], error: Reason | None = None) -> Document:
    """The exports as JSON data."""
    return {
        **head(error),
        "exports": [
            {
                "name": result.name,
                "status": str(result.status),
                "rows": result.rows,
                "path": _text(result.path),
                "manifest": _text(result.manifest),
                "job": result.job or None,
                "error": error_of(_reason(result.error)),
            }
            for result in results
        ],
    }
