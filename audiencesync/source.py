r"""YAML text -> Document: plain data, and where each value stands.

What is read is YAML 1.2 with the core schema, less what has no use in a file that stands for one thing:
anchors, aliases, tags, merge keys, several documents and keys that are not text are problems. `NO`, `on`,
`1:30`, `1_000` and `2027-03-31` are text; `0777` is the number 777, `0o777` the number 511. JSON is YAML: a
file that starts with a bracket is tried by JSON's rules first, since YAML would refuse `"\ud83d\ude00"`.

Reading costs bounded time and memory whatever the bytes are: it ends at 1 MiB, 64 levels or 100 problems.
Source: YAML 1.2.2 (sections 5.1, 5.4, 10.3), RFC 8259.
"""

from __future__ import annotations

import codecs
import re
import sys
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias, cast

import yaml

from audiencesync import syntax

Route: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_PROBLEMS = 100
# Aliases are problems, yet are followed so that nothing else is reported because of them: this many values.
_MAX_COPIES = 10_000
# A number of more digits fits no field of any API, and Python refuses to print one beyond 4,300.
_MAX_DIGITS = 100

READING_RULES: tuple[tuple[str, str], ...] = (
    ("file-size", "A file has at most 1 MiB."),
    ("not-utf-8", "A file is UTF-8 text; a byte-order mark at its start is allowed."),
    ("control-character", "Control characters and invisible line ends stand in a file only as escapes."),
    ("empty-file", "A file holds something beside comments and white space."),
    ("several-documents", 'A file holds one YAML document, so "---" stands at most once, at its start.'),
    ("nesting-depth", "Lists and mappings nest at most 64 deep."),
    ("duplicate-key", "A mapping has each key once."),
    ("key-not-text", "A key is text: not a number, true, false, null, a list or a mapping."),
    ("anchor", "Anchors (&name) are not used."),
    ("alias", "Aliases (*name) are not used."),
    ("merge-key", "The merge key (<<) is not used."),
    ("tag", "Tags (!name) are not used."),
    (
        "directive",
        "The only directive is %YAML 1.1 or %YAML 1.2; the file is read as YAML 1.2 in either case.",
    ),
    ("number-range", "A number has at most 100 characters and fits a double."),
    ("tab", "YAML is indented with spaces."),
    ("unclosed", "Each quote and bracket is closed."),
    ("escape", "Each escape in a quoted text names a character."),
    ("syntax", "The file is YAML."),
    ("too-many-problems", "Reading a file stops at its 100th problem."),
)


class Severity(StrEnum):
    """How much a problem weighs: an error stops before the network, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file; line and column count from 1, a column is one character (code point)."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """A user's mistake: where it is, which rule it breaks, what is wrong in one line, and the way out.

    `help` holds the lines to write instead, or says what to do; it may have several lines.
    """

    location: Location
    rule: str
    message: str
    severity: Severity = Severity.ERROR
    help: str = ""


# Where the values stand, as a tree beside the data. A leaf is the index of a value's first character; a list
# is (its index, None, its items' nodes); a mapping is (its index, its keys, and for each of them in turn the
# key's index and the value's node).
_Node: TypeAlias = "int | tuple[int, tuple[str, ...] | None, list[Any]]"


@dataclass(frozen=True)
class Document:
    """A file that was read: its text without byte-order mark, its data, and what the reading found.

    `data` is made of dict, list, str, int, float, bool and None; it is None when the file cannot be read.
    Lines of `text` end with CR LF, LF or CR.
    """

    path: str
    text: str
    data: Any
    problems: tuple[Problem, ...] = ()
    _positions: _Node = field(default=0, repr=False, compare=False)

    @cached_property
    def _line_starts(self) -> list[int]:
        return syntax.line_starts(self.text)

    def locate(self, route: Route, *, key: bool = False) -> Location:
        """Give the place of the value at `route`, or with `key` of the mapping key that leads to it.

        An empty value (`name:`) has the place of its key, a block list or mapping that of its first dash or
        key. An item of a list has no key, so `key` gives the item's own place. A route that does not exist is
        cut to its part that does.
        """
        node = self._positions
        key_index: int | None = None
        for step in route:
            if isinstance(node, int):
                break
            _, names, places = node
            if names is None:
                if not isinstance(step, int) or not 0 <= step < len(places):
                    break
                key_index, node = None, places[step]
            else:
                if step not in names:
                    break
                at = 2 * names.index(str(step))
                key_index, node = places[at : at + 2]
        index = node if isinstance(node, int) else node[0]
        return _location(self.path, self._line_starts, key_index if key and key_index is not None else index)

    def line(self, number: int) -> str:
        """Give a line of the text, from 1, without its end; "" where there is none."""
        if not 1 <= number <= len(self._line_starts):
            return ""
        ends = [*self._line_starts[number : number + 1], len(self.text)]
        return self.text[self._line_starts[number - 1] : ends[0]].rstrip("\r\n")


def parse(path: str, raw: bytes) -> Document:
    """Read the bytes of a YAML or JSON file; what is wrong with them is in the document's problems.

    Every problem is found in one run, except behind one that makes the rest unreadable: then `data` is None.
    For a duplicate key the first value stays, a key that is not text is left out.
    """
    if len(raw) > MAX_BYTES:
        findings = _Findings(path, "")
        message = f"the file has {len(raw):,} bytes; at most {MAX_BYTES:,} (1 MiB) are read"
        findings.add(0, "file-size", message, "an audience has a few KiB: is this the right file?")
        return findings.document()
    text = raw.decode("utf-8-sig", "replace")
    findings = _Findings(path, text)
    try:
        _check_characters(findings, raw)
        builder = _read(findings)
        return findings.document(builder.data, builder.positions)
    except _UnreadableError:
        return findings.document()


class _UnreadableError(Exception):
    """Stops the reading; what is wrong stands in the findings."""


class _Findings:
    """The problems of one text, collected by the index of the character at fault."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.found: list[syntax.Complaint] = []

    def add(self, index: int, rule: str, message: str, way_out: str) -> None:
        """Note a problem; the last one that fits ends the reading."""
        self.found.append(syntax.Complaint(index, rule, message, way_out))
        if len(self.found) == MAX_PROBLEMS:
            message = f"reading stopped here, after {MAX_PROBLEMS} problems"
            self.fail(index, "too-many-problems", message, "mend these first")

    def fail(self, index: int, rule: str, message: str, way_out: str) -> None:
        """Note a problem that makes the rest unreadable; raises _UnreadableError."""
        self.found.append(syntax.Complaint(index, rule, message, way_out))
        raise _UnreadableError

    def line(self, index: int) -> int:
        """Give the line of a character, from 1."""
        return bisect_right(self.line_starts, index)

    @cached_property
    def line_starts(self) -> list[int]:
        """The index of the first character of each line."""
        return syntax.line_starts(self.text)

    def document(self, data: object = None, positions: _Node = 0) -> Document:
        """Give the document, its problems in the order of their places."""
        problems = tuple(
            Problem(
                _location(self.path, self.line_starts, each.offset), each.rule, each.message, help=each.help
            )
            for each in sorted(self.found, key=lambda each: each.offset)
        )
        return Document(self.path, self.text, data, problems, positions)


def _location(path: str, line_starts: list[int], index: int) -> Location:
    line = bisect_right(line_starts, index)
    return Location(path, line, index - line_starts[line - 1] + 1)


_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
# Parsers disagree whether these end a line, and editors show nothing: what follows could be unseen data.
_UNSEEN = re.compile("[\x85\u2028\u2029\ufeff]")
_PLAIN_ASCII = b"\t\n\r" + bytes(range(0x20, 0x7F))
_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_SAVE_AS = "save the file as UTF-8"


def _check_characters(findings: _Findings, raw: bytes) -> None:
    """Refuse what is not UTF-8 text, naming the first character at fault."""
    if raw.isascii() and not raw.translate(None, _PLAIN_ASCII):
        return  # most files: ten times faster than the search below
    for mark, encoding in _OTHER_ENCODINGS:
        if raw.startswith(mark):
            findings.fail(0, "not-utf-8", f"the file is {encoding}, not UTF-8", _SAVE_AS)
    try:
        raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        # The decoder counts from behind a byte-order mark, and so does the text.
        index = len(error.object[: error.start].decode("utf-8"))
        findings.fail(index, "not-utf-8", f"byte 0x{byte:02X} is not UTF-8", _SAVE_AS)
    first = _CONTROL.search(findings.text)
    if first is None:
        return
    if findings.text[:4:2] == "\0\0" or findings.text[1:4:2] == "\0\0":
        findings.fail(first.start(), "not-utf-8", "the file looks like UTF-16, not UTF-8", _SAVE_AS)
    others = sum(1 for _ in _CONTROL.finditer(findings.text)) - 1
    more = f" (and {others:,} more)" if others else ""
    message = f"control character U+{ord(first[0]):04X} is not allowed{more}"
    way_out = f'remove it, or write "\\x{ord(first[0]):02X}" in double quotes'
    findings.fail(first.start(), "control-character", message, way_out)


def _read(findings: _Findings) -> _Builder:
    """Read the text as JSON if it is JSON, else as YAML."""
    text = findings.text
    if not syntax.looks_like_json(text):
        return _read_yaml(findings)
    attempt = _Findings(findings.path, text)
    try:
        builder = _read_json(attempt)
    except syntax.NotJsonError as refusal:
        complaint = refusal.complaint
    except _UnreadableError:
        findings.found = attempt.found
        raise
    else:
        findings.found = attempt.found
        return builder
    try:
        return _read_yaml(findings)
    except _UnreadableError:
        if _meant_as_json(findings, complaint):
            findings.found = [*attempt.found, complaint]
        raise


_SYNTAX_RULES = {"syntax", "escape", "tab", "unclosed", "file-size"}


def _meant_as_json(findings: _Findings, complaint: syntax.Complaint) -> bool:
    """Say of a text that neither JSON nor YAML can read whether JSON's complaint is the one to show.

    It is when JSON's rules carried as far as YAML's, or on the same line to a character that JSON knows.
    """
    last = findings.found[-1]
    if last.rule not in _SYNTAX_RULES or complaint.offset >= last.offset:
        return last.rule in _SYNTAX_RULES
    known = findings.text[complaint.offset : complaint.offset + 1] in set('"{}[],:')
    return known and findings.line(complaint.offset) == findings.line(last.offset)


def _read_json(findings: _Findings) -> _Builder:
    builder = _Builder(findings)
    for event in syntax.json_events(findings.text):
        if event.lone >= 0:
            message = "half of a surrogate pair is no character"
            findings.add(event.lone, "escape", message, "write both halves, or the character itself")
        match event.kind:
            case "{" | "[":
                builder.open(event.offset, mapping=event.kind == "{")
            case "end":
                builder.close()
            case "key":
                builder.key(event.value, event.offset)
            case "text":
                builder.put(event.value, event.offset)
            case _:
                builder.put(builder.plain(event.value, event.offset), event.offset)
    return builder


def _read_yaml(findings: _Findings) -> _Builder:
    """Build the data from a YAML parser's events, as they come."""
    text = findings.text
    if not text.isascii() and (unseen := _UNSEEN.search(text)):
        code = f"U+{ord(unseen[0]):04X}"
        way_out = f'remove it, or write "\\u{ord(unseen[0]):04X}" in double quotes'
        findings.fail(
            unseen.start(), "control-character", f"the invisible character {code} is not allowed", way_out
        )
    builder = _EventBuilder(findings)
    handlers = builder.handlers
    try:
        get_event = syntax.parser_class()(text).get_event
        while (event := get_event()) is not None:
            handlers[type(event)](event)
    except _SecondDocumentError:
        pass  # the first document's data stands
    except yaml.YAMLError as error:
        findings.fail(*syntax.explain(error, text))
    if builder.data is None and not findings.found:
        message = "the file is empty" if not text.strip() else "the file holds no data"
        findings.add(0, "empty-file", message, "write the fields here, or delete the file")
    return builder


# What the next node is to the frame that is open: an item of a list; in a mapping a key, a key that cannot be
# one, a value to leave out or one to merge; else `state` is the name of the key whose value it is.
_ITEM, _KEY, _NO_KEY, _LEFT_OUT, _MERGED = object(), object(), object(), object(), object()


class _Frame:
    """A list or mapping that is still open."""

    __slots__ = ("anchor", "data", "index", "merges", "places", "state")

    def __init__(self, index: int, *, mapping: bool, anchor: str | None = None) -> None:
        self.index = index
        self.anchor = anchor
        self.data: Any = {} if mapping else []
        self.places: list[Any] = []
        self.state: object = _KEY if mapping else _ITEM
        self.merges: list[tuple[Any, _Node]] = []


class _Builder:
    """Data and positions, built from the opening, the closing, the keys and the values of a text in turn."""

    def __init__(self, findings: _Findings) -> None:
        self.findings = findings
        self.root = self.top = _Frame(0, mapping=False)
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, _Node]] = {}

    @property
    def data(self) -> Any:  # noqa: ANN401 - plain data of any shape
        """The first document's data; None where there is none."""
        return self.root.data[0] if self.root.data else None

    @property
    def positions(self) -> _Node:
        """The tree of positions beside the data."""
        node: _Node = self.root.places[0] if self.root.places else 0
        return node

    def open(self, index: int, *, mapping: bool, anchor: str | None = None) -> None:
        """Open a list or mapping."""
        if self.top.state is _KEY:
            self.refuse_key(index, "a list or mapping cannot be a key")
            self.top.state = _NO_KEY
        self.stack.append(self.top)
        if len(self.stack) > MAX_DEPTH:
            message = f"lists and mappings nest deeper than {MAX_DEPTH} levels here"
            self.findings.fail(
                index, "nesting-depth", message, "an audience needs fewer than 20: is a bracket left open?"
            )
        self.top = _Frame(index, mapping=mapping, anchor=anchor)

    def close(self) -> None:
        """Close the list or mapping that was opened last."""
        frame = self.top
        for value, node in frame.merges:
            _merge(frame, value, node)
        self.top = self.stack.pop()
        node = (frame.index, None if frame.state is _ITEM else tuple(frame.data), frame.places)
        self.put(frame.data, node)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (frame.data, node)

    def put(self, value: object, node: _Node) -> None:
        """Put a value where it belongs."""
        frame = self.top
        state = frame.state
        if state is _ITEM:
            frame.data.append(value)
            frame.places.append(node)
            return
        frame.state = _LEFT_OUT if state is _NO_KEY else _KEY
        if state is _MERGED:
            frame.merges.append((value, node))
        elif isinstance(state, str):
            frame.data[state] = value
            frame.places.append(node)

    def key(self, name: str, index: int) -> None:
        """Take a key of the open mapping; the value of one that is there already is left out."""
        frame = self.top
        if name in frame.data:
            first = self.findings.line(frame.places[2 * list(frame.data).index(name)])
            message = (
                f"key {_shown(name)} in line {self.findings.line(index)} was given in line {first} already"
            )
            self.findings.add(
                index, "duplicate-key", message, "remove one of the two; only the first is read"
            )
            frame.state = _LEFT_OUT
            return
        frame.places.append(index)
        frame.state = sys.intern(name)

    def refuse_key(self, index: int, message: str) -> None:
        """Leave out a key that cannot be one, and its value."""
        self.findings.add(
            index, "key-not-text", message, 'write the key as text: in quotes ("1") if it must be'
        )
        self.top.state = _LEFT_OUT

    def plain(self, text: str, index: int) -> Any:  # noqa: ANN401 - any scalar
        """Give what an unquoted scalar means in YAML 1.2's core schema; None for a number out of range."""
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        try:
            return _number(text)
        except OverflowError as error:
            self.findings.add(
                index, "number-range", str(error), "to mean the digits as text, put them in quotes"
            )
            return None


class _EventBuilder(_Builder):
    """A builder that takes PyYAML's events, and finds what YAML has and our files may not."""

    def __init__(self, findings: _Findings) -> None:
        super().__init__(findings)
        self.documents = 0
        self.copies_left = _MAX_COPIES
        self.handlers: dict[type[yaml.Event], Callable[[Any], None]] = {
            yaml.StreamStartEvent: self.ignore,
            yaml.StreamEndEvent: self.ignore,
            yaml.DocumentStartEvent: self.document,
            yaml.DocumentEndEvent: self.ignore,
            yaml.MappingStartEvent: self.collection,
            yaml.SequenceStartEvent: self.collection,
            yaml.MappingEndEvent: self.end,
            yaml.SequenceEndEvent: self.end,
            yaml.ScalarEvent: self.scalar,
            yaml.AliasEvent: self.alias,
        }

    def ignore(self, _event: yaml.Event) -> None:
        """Take an event that says nothing about the data."""

    def document(self, event: yaml.DocumentStartEvent) -> None:
        """Start the document; a second one ends the reading."""
        index = _start(event)
        self.documents += 1
        if self.documents > 1:
            way_out = 'remove the "---", or move what follows it into a file of its own'
            self.findings.add(index, "several-documents", "a second YAML document starts here", way_out)
            raise _SecondDocumentError
        # Both parsers give the directives' place as the document's; the version is a pair.
        if event.version and event.version not in {(1, 1), (1, 2)}:
            message = "this directive cannot be read: only %YAML 1.1 and %YAML 1.2 are"
            self.findings.fail(index, "directive", message, "leave the line out")
        if event.tags:
            start = max(index, self.findings.text.find("%TAG", index))
            message = "the directive %TAG is not allowed"
            self.findings.add(start, "directive", message, "leave the line out: a file may hold no tags")

    def collection(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        """Open a list or mapping."""
        index = _start(event)
        if event.anchor is not None or event.tag is not None:
            self.properties(event)
        self.open(index, mapping=type(event) is yaml.MappingStartEvent, anchor=event.anchor)

    def end(self, _event: yaml.Event) -> None:
        """Close a list or mapping."""
        self.close()

    def scalar(self, event: Any) -> None:  # noqa: ANN401 - the two parsers share no typed event
        """Take a key or a value."""
        text = event.value
        index: int = event.start_mark.index
        plain = not event.style
        if event.anchor is not None or event.tag is not None:
            self.properties(event)
            plain = plain and event.tag not in _TEXT_TAGS
        if self.top.state is _KEY:
            # Most keys are words; only what is no text in YAML, or merges, needs a closer look.
            if plain and (text[:1] in _FIRST_CHARACTERS or text == "<<"):
                self.odd_key(text, index)
            else:
                self.key(text, index)
            return
        value = self.plain(text, index) if plain and text[:1] in _FIRST_CHARACTERS else text
        if not text and not event.style:
            index = self.place_of_nothing(index)
        self.put(value, index)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, index)

    def odd_key(self, text: str, index: int) -> None:
        """Take an unquoted key that may be more than text; `<<` and what is no text are refused."""
        if text == "<<":
            way_out = 'write the fields out here; to mean the text, put it in quotes: "<<"'
            self.findings.add(index, "merge-key", "the merge key << is not allowed", way_out)
            self.top.state = _MERGED
        elif not text:
            self.refuse_key(index, "the key before this colon is missing")
        elif not isinstance(self.plain(text, index), str):
            self.refuse_key(index, f"{_shown(text)} is not text, so it cannot be a key")
        else:
            self.key(text, index)

    def place_of_nothing(self, index: int) -> int:
        """Give the place that stands for an empty value: its key's, or its dash's."""
        frame = self.top
        if isinstance(frame.state, str):
            return int(frame.places[-1])
        return index - 1 if self.findings.text[index - 1 : index] == "-" else index

    def properties(self, event: Any) -> None:  # noqa: ANN401 - the three events with an anchor and a tag
        """Refuse an anchor and a tag, each where it stands."""
        index = _start(event)
        text = self.findings.text
        if event.anchor is not None:
            name = _shown("&" + event.anchor)
            way_out = f"remove the anchor; to mean the text, put it in quotes: {name}"
            start = max(index, text.find("&", index))
            self.findings.add(start, "anchor", f"the anchor {name} is not allowed", way_out)
        if event.tag is not None:
            start = max(index, text.find("!", index))
            way_out = 'remove the tag; text that starts with "!" goes in quotes'
            self.findings.add(
                start, "tag", f"the tag {_shown(text[start:].split(None, 1)[0])} is not allowed", way_out
            )

    def alias(self, event: Any) -> None:  # noqa: ANN401 - a stub that lets the name be None
        """Refuse an alias, and follow it, so that the value it stands for is not reported as missing."""
        index = _start(event)
        merged = self.top.state is _MERGED or (self.stack and self.stack[-1].state is _MERGED)
        if not merged:
            name = _shown("*" + event.anchor)
            way_out = f"write the value itself; to mean the text, put it in quotes: {name}"
            self.findings.add(index, "alias", f"the alias {name} is not allowed", way_out)
        if self.top.state is _KEY:
            self.top.state = _LEFT_OUT
            return
        value, node = self.anchors.get(event.anchor, (None, index))
        self.copies_left -= _size(value, self.copies_left)
        if self.copies_left <= 0:
            value, node = None, index
        self.put(value, index if isinstance(node, int) else (index, *node[1:]))


def _start(event: Any) -> int:  # noqa: ANN401 - the two parsers share no typed event
    index: int = event.start_mark.index
    return index


class _SecondDocumentError(Exception):
    """Ends the reading with the first document's data."""


def _merge(frame: _Frame, value: object, node: _Node) -> None:
    """Give a mapping the keys that it lacks from a merged one, or from a list of them."""
    if isinstance(node, int):
        return
    _, names, places = node
    if names is None:
        for item, child in zip(cast("list[object]", value), places, strict=True):
            if isinstance(item, dict):
                _merge(frame, item, child)
        return
    merged = cast("dict[str, object]", value)
    for at, name in enumerate(names):
        if name not in frame.data:
            frame.data[name] = merged[name]
            frame.places += places[2 * at : 2 * at + 2]


def _size(value: object, limit: int) -> int:
    """Count the values within a value, itself included, until the limit is reached."""
    count = 0
    waiting = [value]
    while waiting and count < limit:
        count += 1
        match waiting.pop():
            case dict() as mapping:
                waiting.extend(mapping.values())
            case list() as items:
                waiting.extend(items)
            case _:
                pass
    return count


_TEXT_TAGS = {"!", "tag:yaml.org,2002:str"}
_FIRST_CHARACTERS = "~nNtTfF+-.0123456789"  # "" is in it too
_INFINITIES = {
    sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")
}
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **_INFINITIES,
}
_NUMBER = re.compile(
    r"(?P<decimal>[-+]?[0-9]+)|0o(?P<octal>[0-7]+)|0x(?P<hexadecimal>[0-9a-fA-F]+)"
    r"|(?P<float>[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
)


def _number(text: str) -> int | float | str:
    """Read a number of YAML's core schema; other text stays. Raises OverflowError for one out of range."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if len(text) > _MAX_DIGITS:
        raise OverflowError(f"the number has {len(text):,} characters; at most {_MAX_DIGITS} are read")
    if match["decimal"]:
        return int(text)
    if match["octal"]:
        return int(match["octal"], 8)
    if match["hexadecimal"]:
        return int(match["hexadecimal"], 16)
    value = float(text)
    if abs(value) == float("inf"):
        raise OverflowError(f"the number {_shown(text)} is beyond the range of a double")
    return value


_MAX_SHOWN = 40


def _shown(text: str) -> str:
    """Put text from the file in quotes, on one line, cut to 40 characters, with nothing unprintable."""
    short = text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
    safe = (each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in short)
    return '"' + "".join(safe) + '"'
