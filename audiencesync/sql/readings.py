"""The readings of what GA4's documents leave open, as named switches."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Readings:
    """One choice for each undocumented part of the rules; the defaults are what previews use.

    last_set: a dynamic dimension condition looks at the last event where the field is set, not at the last.
    never: notExpression holds where no event of the scope satisfies the filter, not where one does not.
    reuse: one event may satisfy two steps of a sequence.
    renew_all: every INCLUDE clause has to be completed within the membership, not one of them.
    """

    last_set: bool = False
    never: bool = False
    reuse: bool = False
    renew_all: bool = False


DEFAULT = Readings()
OTHERS: tuple[tuple[str, Readings], ...] = tuple(
    (name, replace(DEFAULT, **{name: True})) for name in ("last_set", "never", "reuse", "renew_all")
)
"""The default with one reading changed, by the switch's name."""
