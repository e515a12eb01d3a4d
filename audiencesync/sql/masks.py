"""Conditions as bits of masks: columns of whole numbers that an engine unites by BIT_OR."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

WORD = 62
"""Bits of one column: they stay positive in a signed 64-bit number."""


@dataclass(frozen=True, slots=True)
class Bit:
    """One bit of the events' masks."""

    word: int
    value: int


@dataclass(slots=True)
class Flags:
    """Conditions that are packed as bits into columns of one query; `prefix` names the columns."""

    prefix: str
    known: dict[str, Bit] = field(default_factory=dict)

    def add(self, sql: str) -> Bit:
        """The bit of a condition; equal conditions share one."""
        count = len(self.known)
        return self.known.setdefault(sql, Bit(count // WORD, 1 << count % WORD))

    def columns(self, write: str = "{}") -> list[str]:
        """`expression AS name` for each word; `write` wraps the expression."""
        words: dict[int, list[str]] = {}
        for sql, bit in self.known.items():
            words.setdefault(bit.word, []).append(f"CASE WHEN {sql} THEN {bit.value} ELSE 0 END")
        return [f"{write.format(' + '.join(cases))} AS {self.prefix}{word}" for word, cases in words.items()]

    def names(self) -> list[str]:
        """The names of the columns."""
        return [f"{self.prefix}{word}" for word in sorted({bit.word for bit in self.known.values()})]


Words = tuple[tuple[int, int], ...]
"""Bits by their word: (word, value of all its bits)."""


def some(prefix: str, bits: Iterable[Bit]) -> str:
    """Whether one of the bits is set in the masks of that prefix."""
    return held(prefix, words_of(bits))


def held(prefix: str, words: Words) -> str:
    """The same for bits that are united by word already."""
    return " OR ".join(f"({prefix}{word} & {value}) <> 0" for word, value in words) or "FALSE"


def every(prefix: str, bits: Iterable[Bit]) -> str:
    """Whether all of the bits are set."""
    return " AND ".join(f"({prefix}{word} & {value}) = {value}" for word, value in words_of(bits)) or "TRUE"


def words_of(bits: Iterable[Bit]) -> Words:
    """The bits united by word."""
    words: dict[int, int] = {}
    for bit in bits:
        words[bit.word] = words.get(bit.word, 0) | bit.value
    return tuple(sorted(words.items()))
