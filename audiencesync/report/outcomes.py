"""What became of each action -> Page and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audiencesync.action import Action, Outcome, Reason, Status, Verb
from audiencesync.report.documents import Document, error_of, head
from audiencesync.report.page import Heading, Page, Span, Spans, Text, Tone, code, line
from audiencesync.report.plans import TONES

_TONES = {
    Status.DONE: Tone.ADD,
    Status.FAILED: Tone.ERROR,
    Status.SKIPPED: Tone.DIM,
    Status.BLOCKED: Tone.WARNING,
}


def _name(outcome: Outcome) -> str | None:
    before = outcome.action.before
    return outcome.live.name if outcome.live else before.name if before else None


def _told(outcome: Outcome) -> Iterator[Spans]:
    action, tone = outcome.action, _TONES[outcome.status]
    name = _name(outcome) or ""
    yield line(
        Span(f"{action.verb.symbol} ", TONES[action.verb]),
        code(action.key, Tone.STRONG),
        f"  {_verb(action)}  ",
        Span(outcome.status.value, tone),
        "  " if name else "",
        code(name, Tone.DIM),
    )
    if outcome.error:
        yield line("    ", Span(f"[{outcome.error.code}]: {outcome.error.message}", tone))


def _verb(action: Action) -> str:
    return action.verb.value


def summary(outcomes: Sequence[Outcome]) -> str:
    """One sentence: how many actions ended in which way; what was only kept does not count."""
    if not _shown(outcomes):
        return "Nothing to do: GA4 holds what the files say."
    counts = _counts(_shown(outcomes))
    return f"Apply: {', '.join(f'{count:,} {status}' for status, count in counts.items() if count)}."


def _shown(outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    return tuple(each for each in outcomes if each.action.verb is not Verb.KEEP or each.error)


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return {status.value: sum(each.status is status for each in outcomes) for status in Status}


def page(outcomes: Sequence[Outcome]) -> Page:
    """The outcomes for people; kept audiences are not listed."""
    lines = tuple(each for outcome in _shown(outcomes) for each in _told(outcome))
    tone = Tone.ERROR if any(each.status is Status.FAILED for each in outcomes) else Tone.STRONG
    return (
        Heading(line("Apply")),
        *((Text(lines),) if lines else ()),
        Text((line(Span(summary(outcomes), tone)),), summary=True),
    )


def document(outcomes: Sequence[Outcome], error: Reason | None = None) -> Document:
    """The outcomes as JSON data, kept audiences too; the summary counts each status."""
    return {
        **head(error),
        "outcomes": [
            {
                "verb": outcome.action.verb.value,
                "key": outcome.action.key,
                "name": _name(outcome),
                "status": outcome.status.value,
                "error": error_of(outcome.error),
            }
            for outcome in outcomes
        ],
        "summary": _counts(outcomes),
    }
