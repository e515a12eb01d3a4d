"""Estimates of users before and after -> Page and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from audiencesync.action import Reason
from audiencesync.report.documents import Document, head
from audiencesync.report.page import Heading, Page, Span, Spans, Table, Text, Tone, code, counted, line
from audiencesync.sql.preview.records import FEW, REASONS, SENTENCE

if TYPE_CHECKING:
    from audiencesync.sql.preview import Calibration, Estimate

_WHY = "; ".join(REASONS)
DISCLAIMER = f"{SENTENCE} {_WHY[0].upper()}{_WHY[1:]}."


class Report(Protocol):
    """All estimates of one run, as counted or as read back."""

    @property
    def as_of(self) -> object:
        """The date that the users are counted for."""

    @property
    def engine(self) -> str:
        """What counted: duckdb or bigquery."""

    @property
    def window(self) -> Sequence[object] | None:
        """The first and last day of the data, None where nobody said."""

    @property
    def estimates(self) -> Sequence[Estimate]:
        """One for each key."""


def users(estimate: Estimate) -> str:
    """The numbers in words: 1,204 -> 1,377 users (+190, -17), or why there are none."""
    if estimate.not_previewable:
        return f"cannot preview: {estimate.not_previewable}"
    before, after = estimate.before, estimate.after
    if after is None:
        return "no users counted" if before is None else f"{counted(before, 'user')} before"
    shown = counted(after, "user")
    if before is not None:
        gained, lost = estimate.gained or 0, estimate.lost or 0
        shown = f"{before:,} -> {shown} (+{gained:,}, -{lost:,})"
    if estimate.band:
        low, high = estimate.band
        shown += f" ({low:,} to {high:,} over the undocumented readings)"
    return shown


def flag(estimate: Estimate) -> str:
    """What to look at in the number, or ""."""
    if estimate.not_previewable or estimate.after is None or estimate.after >= FEW:
        return ""
    if estimate.after == 0:
        return "0 users: nobody satisfies it"
    return f"fewer than {FEW} users: ad lists may not serve"


def told(estimate: Estimate) -> tuple[Spans, ...]:
    """The numbers of one audience, its flag and its caveats, a line each."""
    tone = Tone.WARNING if estimate.not_previewable else Tone.STRONG
    lines = [line(Span(users(estimate), tone))]
    if flag(estimate):
        lines.append(line(Span(flag(estimate), Tone.WARNING)))
    lines += [line(Span(f"caveat: {caveat}", Tone.DIM)) for caveat in estimate.caveats]
    return tuple(lines)


def basis(report: Report) -> str:
    """What the numbers rest on: the as-of date, the days of the data, the engine."""
    covered = f", events of {' to '.join(map(str, report.window))}" if report.window else ""
    return f"As of {report.as_of}{covered}, counted by {report.engine}."


def page(report: Report) -> Page:
    """All estimates, with what they rest on."""
    rows = []
    for estimate in report.estimates:
        numbers, *notes = told(estimate)
        rows.append((line(code(estimate.key, Tone.STRONG)), numbers))
        rows += [(line(""), note) for note in notes]
    body: Page = (Table(("key", "users"), tuple(rows)),) if rows else (Text((line("No audiences."),)),)
    return (
        Heading(line("Users")),
        *body,
        Text((line(basis(report)), line(DISCLAIMER)), summary=True),
    )


def calibrated(found: Sequence[Calibration]) -> Page:
    """Each estimate beside the rows of GA4's own newest export of the audience."""
    rows = tuple(
        (
            line(code(each.key, Tone.STRONG)),
            line("" if each.estimate is None else f"{each.estimate:,}"),
            line("no export" if each.exported is None else f"{each.exported:,}"),
            line("" if each.ratio is None else f"{each.ratio:.2f}"),
            line(Span(each.created, Tone.DIM)),
        )
        for each in found
    )
    titles = ("key", "estimate", "exported by GA4", "ratio", "export begun")
    notes = tuple(line(code(each.key, Tone.STRONG), f": {each.note}") for each in found if each.note)
    table = Table(titles, rows, numeric=frozenset({1, 2, 3}))
    return (Heading(line("Calibration")), table, *((Text(notes),) if notes else ()))


def calibration(found: Sequence[Calibration]) -> list[Document]:
    """The same as JSON data."""
    return [
        {
            "key": each.key,
            "estimate": each.estimate,
            "exported": each.exported,
            "ratio": each.ratio,
            "begun": each.created or None,
            "note": each.note or None,
        }
        for each in found
    ]


def entry(estimate: Estimate) -> Document:
    """One estimate as JSON data."""
    return {
        "key": estimate.key,
        "before": estimate.before,
        "after": estimate.after,
        "gained": estimate.gained,
        "lost": estimate.lost,
        "band": list(estimate.band) if estimate.band else None,
        "notPreviewable": estimate.not_previewable or None,
        "caveats": list(estimate.caveats),
        "flag": flag(estimate) or None,
    }


def foundation(report: Report) -> Document:
    """What the numbers rest on, as JSON data."""
    return {
        "asOf": str(report.as_of),
        "engine": report.engine,
        "window": [str(day) for day in report.window] if report.window else None,
        "note": DISCLAIMER,
    }


def document(report: Report | None, error: Reason | None = None) -> Document:
    """The estimates as JSON data; none where an error came before them."""
    nothing = dict.fromkeys(("asOf", "engine", "window", "note"))
    return {
        **head(error),
        **(foundation(report) if report else nothing),
        "previews": [entry(estimate) for estimate in report.estimates] if report else [],
    }
