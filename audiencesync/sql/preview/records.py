"""What a preview is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from audiencesync.action import Action
from audiencesync.model import Audience
from audiencesync.sql.columns import Schema
from audiencesync.sql.compile import Export, Statement

SENTENCE = "An estimate from the event export, not GA4's own membership."
REASONS = (
    "an audience fills only from its creation on",
    "reporting identity merges devices of one user",
    "users without consent are modelled by GA4 and absent from the export",
)
"""Why GA4 will list another number."""
FEW = 100
"""Below this many users ad lists may not serve."""

Progress = Callable[[str], None]
Row = Mapping[str, int | str | None]


def silent(message: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One key's definitions; `before_known` False where there is nothing to compare with.

    None is: no such audience. A base that cannot be read says why in `before_fault`.
    """

    key: str
    before: Audience | None
    after: Audience | None
    before_known: bool = True
    before_fault: str = ""


_UNSETTLED = {"ambiguous-mark", "both-keys-live", "adopt-missing"}
"""What blocks an action because nobody can say which live audience is the key's."""


def paired(action: Action) -> Comparison:
    """What the plan compares for one key: what GA4 holds with what the file says."""
    live, blocked = action.before, action.blocked
    fault = ""
    if live and live.audience is None:
        fault = live.hands_off
    elif live is None and blocked and blocked.code in _UNSETTLED:
        fault = blocked.message
    return Comparison(
        action.key,
        live.audience if live else None,
        action.after.audience if action.after else None,
        before_fault=fault,
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What was counted for one key; None where there is no such number."""

    key: str
    before: int | None = None
    after: int | None = None
    gained: int | None = None
    lost: int | None = None
    band: tuple[int, int] | None = None
    not_previewable: str | None = None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All estimates of one run.

    `window` is the first and last day of the data; `rows` the events of the source (None in BigQuery);
    `bytes_billed` BigQuery's own figure, None elsewhere.
    """

    as_of: date
    engine: str
    window: tuple[date, date]
    estimates: tuple[Estimate, ...]
    rows: int | None = None
    bytes_billed: int | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """The days of a source that have events, in order, at least one; `rows` is None in BigQuery."""

    days: tuple[date, ...]
    rows: int | None

    @property
    def first(self) -> date:
        """The oldest day."""
        return self.days[0]

    @property
    def last(self) -> date:
        """The newest day."""
        return self.days[-1]


class Engine(Protocol):
    """One open source of events."""

    name: str

    @property
    def schema(self) -> Schema:
        """The columns that are there."""

    @property
    def extent(self) -> Extent:
        """The days that are there."""

    @property
    def bytes_billed(self) -> int | None:
        """What was billed so far."""

    def source(self, as_of: date) -> str:
        """What stands after FROM."""

    def prepare(self, statement: Callable[[Export], Statement], export: Export) -> Statement:
        """The statement over the source, or over something faster that holds the same."""

    def count(self, statement: Statement) -> Sequence[Row]:
        """The rows of a compiled statement; PreviewError where it fails."""

    def run(self, sql: str) -> Sequence[Row]:
        """The rows of a query; PreviewError where it fails."""

    def close(self) -> None:
        """Gives the source back."""
