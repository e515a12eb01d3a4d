"""A page of an audience export, read as it comes: 250,000 rows never stand in memory at once.

Parsed as a whole, such a page takes some 400 MB. Source of its form: Data API v1beta, audienceExports.query.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator

from audiencesync.errors import ServerError

_BATCH = 5_000
_LONGEST = 1 << 24
"""Characters of the longest single value that is waited for."""

_SPACE = re.compile(r"[ \t\r\n]*")


class Page:
    """The answer to one query; `total` (all rows of the export) is known once `batches` is exhausted."""

    def __init__(self, chunks: Iterable[bytes], width: int) -> None:
        self.total: int | None = None
        self._width = width
        self._chunks = iter(chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder()
        self._text, self._place, self._ended = "", 0, False

    def batches(self) -> Iterator[list[list[str]]]:
        """The page's rows in lists; each row has one text a dimension.

        A default value vanishes from JSON, so a missing one is the empty text. Raises ServerError where the
        answer is not what the documents show.
        """
        try:
            yield from self._page()
        except UnicodeDecodeError as error:
            raise _malformed("it is not UTF-8") from error

    def _page(self) -> Iterator[list[list[str]]]:
        self._expect("{")
        if self._next() == "}":
            return
        while True:
            key = self._value()
            self._expect(":")
            if key == "audienceRows" and self._next() == "[":
                yield from self._rows()
            else:
                value = self._value()
                if key == "rowCount":
                    self.total = _whole(value)
            if self._next() != ",":
                break
            self._place += 1
        self._expect("}")

    def _rows(self) -> Iterator[list[list[str]]]:
        self._expect("[")
        batch: list[list[str]] = []
        while self._next() != "]":
            batch.append(self._row(self._value()))
            if len(batch) >= _BATCH:
                yield batch
                batch = []
            if self._next() == ",":
                self._place += 1
        self._place += 1
        if batch:
            yield batch

    def _row(self, row: object) -> list[str]:
        try:
            values = [each.get("value", "") for each in row["dimensionValues"]]  # type: ignore[index]
        except (KeyError, TypeError, AttributeError) as error:
            raise _malformed("a row has no dimensionValues") from error
        if len(values) != self._width:
            raise _malformed(f"a row has {len(values)} values where {self._width} were asked for")
        for value in values:
            if not isinstance(value, str):
                raise _malformed("a value is not a text")
        return values

    def _fill(self) -> bool:
        """Reads on; False where the answer has ended."""
        if self._ended:
            return False
        if len(self._text) - self._place > _LONGEST:
            raise _malformed("a value is too long")
        chunk = next(self._chunks, None)
        self._ended = chunk is None
        self._text = self._text[self._place :] + self._decoder.decode(chunk or b"", final=self._ended)
        self._place = 0
        return True

    def _next(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._place)
            self._place = found.end() if found else self._place
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._fill():
                return ""

    def _expect(self, mark: str) -> None:
        if self._next() != mark:
            raise _malformed("it is not the JSON that is documented")
        self._place += 1

    def _value(self) -> object:
        """The next JSON value; one that touches the end of what has come may go on, so more is read first."""
        self._next()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._place)
            except (json.JSONDecodeError, RecursionError) as error:
                if not self._fill():
                    raise _malformed("it ends early") from error
                continue
            if end < len(self._text) or not self._fill():
                self._place = end
                return value


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _malformed(what: str) -> ServerError:
    return ServerError(f"the page of members cannot be read: {what}", method="POST", status=200)
