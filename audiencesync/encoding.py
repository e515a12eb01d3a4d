"""What a downloaded table is written in: character set, delimiter, line end; and its records.

GrowingIO's documents say neither whether a byte order mark follows nor which delimiter is used, so both are
found out: byte order mark, zero bytes, strict UTF-8, the character set that was asked for, GB18030. Whatever
is found has to look like text.
"""

from __future__ import annotations

import codecs
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audiencesync.errors import ExportError

_BLOCK = 1 << 20
_SAMPLE = 1 << 16
_BATCH = 10_000
_LONGEST = 1 << 24
"""Characters of the longest line or quoted value that is taken for one."""

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
_NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16LE",
    "utf-16-be": "UTF-16BE",
    "utf-32-le": "UTF-32LE",
    "utf-32-be": "UTF-32BE",
    "gb18030": "GB18030",
}

Record = list[str | None]


@dataclass(frozen=True, slots=True)
class Writing:
    """How a file is written; `encoding` is the name to show, `skip` the length of the byte order mark."""

    encoding: str
    codec: str
    skip: int = 0
    delimiter: str = ","
    line_end: str = "\n"


def sniff(path: Path, asked: str = "") -> Writing:
    """Finds out how a file is written; `asked` is the character set that the server was asked for.

    Raises ExportError where the file is empty, a web page, a JSON answer, or no text at all.
    """
    with path.open("rb") as file:
        sample = file.read(_SAMPLE)
    if not sample:
        raise ExportError("the file is empty: it has not even a header")
    codec, skip = _codec(path, sample, asked)
    text = _decode_start(sample[skip:], codec)
    _refuse_answers(text)
    line_end = "\r" if "\r" in text and "\n" not in text else "\n"
    return Writing(_NAMES.get(codec, codec.upper()), codec, skip, _delimiter(text, line_end), line_end)


def _codec(path: Path, sample: bytes, asked: str) -> tuple[str, int]:
    """The file's character set, and the length of its byte order mark."""
    for mark, codec in _MARKS:
        if sample.startswith(mark):
            return codec, len(mark)
    if wide := _wide(sample):
        return wide, 0
    # A table in UTF-16 has zero bytes, in its line ends at least: without them it is none.
    known = _known(asked)
    for codec in ("utf-8", "" if known.startswith(("utf-16", "utf-32")) else known, "gb18030"):
        if codec and _plausible(sample, codec) and _decodes(path, codec):
            return codec, 0
    tried = ", ".join(dict.fromkeys(name for name in ("UTF-8", asked, "GB18030") if name))
    raise ExportError(f"the file is no text: it cannot be read as any of {tried}")


def _known(name: str) -> str:
    """Python's name of a character set, or "" for one that it does not know or that is not for text."""
    try:
        codec = codecs.lookup(name).name
        "".encode(codec)
    except (LookupError, ValueError):
        return ""
    return codec


def _wide(sample: bytes) -> str:
    """UTF-16 without a mark, told by its zero bytes: a table has line ends, delimiters and digits."""
    sample = sample[: len(sample) & ~1]
    if not (zeros := sample.count(0)):
        return ""
    stray = zeros * 100 < len(sample)
    if stray and _decodes_start(sample, "utf-8"):
        return ""
    # A Chinese character may hold a zero byte too, so it is the structure that decides.
    found = {codec: _structure(sample, codec) for codec in ("utf-16-le", "utf-16-be")}
    best = max(found, key=lambda codec: found[codec])
    return best if found[best] > 0 and _plausible(sample, best) else ""


def _structure(sample: bytes, codec: str) -> int:
    """How much a sample looks like a table when it is decoded so; 0 where it cannot be."""
    if not _decodes_start(sample, codec):
        return 0
    text = _decode_start(sample, codec)
    built = sum(text.count(each) for each in '\r\n\t,"0123456789') - sum(map(_is_strange, text))
    return 10 * built + sum(" " <= each <= "~" for each in text)


def _decode_start(sample: bytes, codec: str) -> str:
    """The text of a file's beginning, which may end in the middle of a character."""
    return codecs.getincrementaldecoder(codec)("replace").decode(sample)


def _decodes_start(sample: bytes, codec: str) -> bool:
    try:
        codecs.getincrementaldecoder(codec)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _decodes(path: Path, codec: str) -> bool:
    """Whether the whole file is valid: the first Chinese character may come after a million digits."""
    try:
        for _ in texts(path, Writing(codec, codec)):
            pass
    except ExportError:
        return False
    return True


def _is_strange(character: str) -> bool:
    return character == "\ufffd" or (
        unicodedata.category(character) in {"Cc", "Cn", "Co", "Cs"} and character not in "\t\r\n"
    )


def _plausible(sample: bytes, codec: str) -> bool:
    """Whether a sample decodes to text: one strange character in a hundred is a blemish of some value."""
    text = _decode_start(sample, codec)
    return sum(map(_is_strange, text)) * 100 <= len(text)


def _refuse_answers(text: str) -> None:
    """Raises for what servers send in place of a file with status 200: sign-in pages and JSON errors."""
    start = text.lstrip("\ufeff \t\r\n")[:200].lower()
    if start.startswith(("<!", "<html", "<?xml", "<head", "<script")):
        raise ExportError("the server sent a web page in place of the file: is the sign-in still valid?")
    if not start.startswith(("{", "[")):
        return
    try:
        json.loads(text)
    except ValueError:
        return
    raise ExportError("the server sent a JSON answer in place of the file")


def _delimiter(text: str, line_end: str) -> str:
    """Comma or tab: the one that splits the header, else the one that gives all records one width."""
    *whole, last = text.split(line_end)
    found = {}
    for delimiter in (",", "\t"):
        widths: list[int] = []
        try:
            beginning = split(whole or [last], delimiter, cut=True)
            widths.extend(len(record) for record in beginning if record != [None])
            even = len(set(widths)) == 1
        except ExportError:
            even = False
        header = widths[0] if widths else 0
        found[delimiter] = (header > 1, even, header)
    return max(found, key=lambda delimiter: found[delimiter])


def texts(path: Path, writing: Writing) -> Iterator[str]:
    """The file's text in pieces; raises ExportError at the first byte that is not valid."""
    decoder = codecs.getincrementaldecoder(writing.codec)()
    with path.open("rb") as file:
        file.seek(writing.skip)
        try:
            while block := file.read(_BLOCK):
                yield decoder.decode(block)
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            place = f"near byte {max(file.tell() - _BLOCK, 0) + error.start}"
            raise ExportError(f"the file is not valid {writing.encoding} {place}: was it cut off?") from error


def _lines(pieces: Iterable[str], line_end: str) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split(line_end)
        yield from whole
        if len(rest) > _LONGEST:
            raise ExportError(f"a line is longer than {_LONGEST} characters: this is no table")
    if rest:
        yield rest


@dataclass(slots=True)
class _Splitter:
    """Splits lines with quotes; a quoted value may go on over the next lines."""

    delimiter: str
    record: Record = field(default_factory=list)
    inside: list[str] | None = None
    length: int = 0

    def feed(self, line: str) -> bool:
        """Takes one line, without its line feed; tells whether the record is complete."""
        place = 0
        while True:
            if self.inside is not None:
                end = line.find('"', place)
                if end < 0:
                    self._keep(line[place:] + "\n")
                    return False
                doubled = line.startswith('""', end)
                self._keep(line[place : end + doubled])
                place = end + 1 + doubled
                if doubled:
                    continue
            elif line.startswith('"', place):
                self.inside, self.length, place = [], 0, place + 1
                continue
            stop = line.find(self.delimiter, place)
            value = line[place:].removesuffix("\r") if stop < 0 else line[place:stop]
            self._close(value)
            if stop < 0:
                return True
            place = stop + len(self.delimiter)

    def _keep(self, text: str) -> None:
        assert self.inside is not None  # noqa: S101 - tells the type checker what feed has just asked
        self.inside.append(text)
        self.length += len(text)
        if self.length > _LONGEST:
            raise ExportError(f"a quoted value does not end within {_LONGEST} characters")

    def _close(self, tail: str) -> None:
        self.record.append((tail or None) if self.inside is None else "".join(self.inside) + tail)
        self.inside = None


def split(lines: Iterable[str], delimiter: str, *, cut: bool = False) -> Iterator[Record]:
    """The records of lines. Nothing between two delimiters is a missing value, `""` an empty text.

    With `cut`, the lines are a file's beginning and may end inside a quoted value.
    """
    open_one: _Splitter | None = None
    for line in lines:
        if open_one is None and '"' not in line:
            record: Record = list(line.removesuffix("\r").split(delimiter))
            yield [value or None for value in record] if "" in record else record
            continue
        splitter = open_one or _Splitter(delimiter)
        open_one = None if splitter.feed(line) else splitter
        if open_one is None:
            yield splitter.record
    if open_one is not None and not cut:
        raise ExportError("the file ends inside a quoted value: it was cut off")


def records(path: Path, writing: Writing) -> Iterator[Record]:
    """All records of a file, the header first; a blank line counts only where there is one column.

    Raises ExportError for a record that is not as wide as the header, and names its number.
    """
    width = 0
    found = split(_lines(texts(path, writing), writing.line_end), writing.delimiter)
    for number, record in enumerate(found, start=1):
        if len(record) == width:
            yield record
        elif record == [None]:
            continue
        elif width:
            raise ExportError(f"record {number} has {len(record)} values and the header {width}")
        else:
            width = len(record)
            yield record


def batches(found: Iterable[Record]) -> Iterator[list[Record]]:
    """Records in lists, for writing."""
    batch: list[Record] = []
    for record in found:
        batch.append(record)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def column_names(header: Sequence[str | None]) -> tuple[str, ...]:
    """The header as names that differ: nameless columns become `column_2`, repeated ones get a number."""
    names: list[str] = []
    for number, title in enumerate(header, start=1):
        wanted = name = (title or "").strip() or f"column_{number}"
        count = 1
        while name in names:
            count += 1
            name = f"{wanted}_{count}"
        names.append(name)
    return tuple(names)
