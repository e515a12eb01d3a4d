"""Characters in, parser events out: PyYAML's two parsers made equal, and their complaints in plain words.

`parser_class()` picks libyaml's parser, or PyYAML's own where libyaml is missing; `explain(error, text)`
turns what either of them raises into a `Complaint`. `json_events(text)` reads JSON, whose strings YAML would
misread (the two halves of a surrogate pair are two characters that YAML refuses).
Source: YAML 1.2.2, RFC 8259, libyaml 0.2.5 (scanner.c, parser.c).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, cast

import yaml
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner, ScannerError

# PyYAML's own parser takes some 30 microseconds an event: this keeps the worst file at a few seconds. A file
# of 1 MiB that holds audiences has some 150,000.
MAX_PURE_EVENTS = 200_000
_TOO_MANY = "too many events"


class Complaint(NamedTuple):
    """What is wrong at a character of the text: a rule's id, one line for the user, and the way out."""

    offset: int
    rule: str
    message: str
    help: str


class EventParser(Protocol):
    """The part of a PyYAML parser that the reader uses; None ends the events."""

    def __init__(self, text: str) -> None: ...

    def get_event(self) -> Any:  # noqa: ANN401 - the two parsers share no typed event
        """Give the next event."""


class PureParser(Reader, Scanner, Parser):
    """PyYAML's own parser, with libyaml's answers where the two differ."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        self.events_left = MAX_PURE_EVENTS

    def get_event(self) -> Any:  # noqa: ANN401 - PyYAML's events are untyped
        """Give the next event, while the budget lasts."""
        self.events_left -= 1
        if self.events_left < 0:
            raise ScannerError(None, None, _TOO_MANY, self.get_mark())
        return super().get_event()  # type: ignore[no-untyped-call]

    def scan_to_next_token(self) -> None:
        """Skip what separates tokens; tabs do where libyaml lets them (between brackets, after a key)."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> list[str] | None:  # noqa: ANN401 - untyped in PyYAML
        """Read the white space within an unquoted text; a tab belongs to it."""
        length = 0
        while self.peek(length) in {" ", "\t"}:
            length += 1
        space = self.prefix(length)
        if "\t" in space:
            self.forward(length)
            if self.peek() not in {"\r", "\n"}:
                return [space]
        chunks: list[str] | None = super().scan_plain_spaces(indent, start_mark)
        return chunks

    def scan_directive(self) -> Any:  # noqa: ANN401 - PyYAML's tokens are untyped
        """Read a directive; refuse a name that YAML does not know."""
        token = super().scan_directive()
        if token.name not in {"YAML", "TAG"}:
            raise ScannerError(None, None, "found unknown directive name", token.start_mark)
        return token

    def scan_flow_scalar(self, style: str) -> Any:  # noqa: ANN401 - PyYAML's tokens are untyped
        """Read a quoted text; refuse an escape that names no character."""
        start = self.get_mark()
        try:
            token = super().scan_flow_scalar(style)
        except (ValueError, OverflowError):
            token = None
        if token is None or _SURROGATE.search(token.value):
            problem = "found invalid Unicode character escape code"
            raise ScannerError("while parsing a quoted scalar", start, problem, start)
        return token


def parser_class() -> type[EventParser]:
    """Pick libyaml's parser, or PyYAML's own where libyaml is missing."""
    try:
        from yaml._yaml import CParser
    except ImportError:
        return PureParser
    return cast("type[EventParser]", CParser)


_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATES = range(0xD800, 0xE000)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.)", re.DOTALL)
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_JSON_ESCAPE = re.compile(rf"{_PAIR.pattern}|\\(?:(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{{2}})|.)", re.DOTALL)
_LINE_END = re.compile(r"\r\n|\r|\n")
_LAST_CHARACTER = 0x10FFFF

_QUOTE_IT = 'text that holds ": " or starts with a special character goes in quotes: name: "a: b"'
_ALIGN = "start the keys of one mapping in the same column, and each list item with its own dash"


class _Saying(NamedTuple):
    """What either parser says, and what we say instead; `{opened}` is where the construct at fault began."""

    pattern: str
    rule: str
    message: str
    help: str
    blame: str = (
        "here"  # or "start" (of the construct), "escape" (in the text), "bracket" (when never closed)
    )


_TAB = _Saying(
    r"tab character",
    "tab",
    "a tab cannot indent YAML",
    "indent with spaces (two a level)",
)
# The first match of "context: problem" counts.
_SAYINGS = (
    _Saying(
        _TOO_MANY,
        "file-size",
        f"without libyaml at most {MAX_PURE_EVENTS:,} keys, values and brackets are read",
        "install PyYAML with libyaml, or divide the file",
    ),
    _TAB,
    _Saying(
        r"quoted scalar: found unexpected (end of stream|document (indicator|separator))",
        "unclosed",
        "this quote is never closed",
        "end the text with the same quote; inside '...' a quote is written '', inside \"...\" it is \\\"",
        "start",
    ),
    _Saying(
        r"found unknown escape character",
        "escape",
        "this backslash starts no escape that YAML knows",
        "in '...' a backslash is a plain character, in \"...\" it is written \\\\",
        "escape",
    ),
    _Saying(
        r"hexdecimal|hexadecimal|Unicode character escape",
        "escape",
        "this escape names no character",
        "write the character itself, \\uXXXX (four hexadecimal digits) or \\UXXXXXXXX (eight)",
        "escape",
    ),
    _Saying(
        r"expected ',' or '\]'",
        "syntax",
        'expected "," or "]" in the list opened at {opened}',
        'put "," between the items and "]" after the last',
        "bracket",
    ),
    _Saying(
        r"expected ',' or '\}'",
        "syntax",
        'expected "," or a closing brace in the mapping opened at {opened}',
        'put "," between the pairs and "}" after the last',
        "bracket",
    ),
    _Saying(
        r"mapping values are not allowed",
        "syntax",
        "a colon cannot stand here: the line already has a value, or it is indented too far",
        f"{_QUOTE_IT}\n{_ALIGN}",
    ),
    _Saying(
        r"simple key: could not find expected ':'",
        "syntax",
        'expected "key: value" here, but no colon follows',
        'write a colon and a space after the key, or "- " before a list item',
        "start",
    ),
    _Saying(
        r"sequence entries are not allowed",
        "syntax",
        "a list cannot start in the middle of a line",
        'put the first "- " on a line of its own below the key',
    ),
    _Saying(
        r"found unexpected ':'",
        "syntax",
        "a text with a colon needs quotes between brackets",
        _QUOTE_IT,
    ),
    _Saying(
        r"mapping keys are not allowed",
        "syntax",
        'a "?" cannot stand here',
        _QUOTE_IT,
    ),
    _Saying(
        r"block mapping: .*expected (key|<block end>)",
        "syntax",
        "expected another key of the mapping that starts at {opened}, or its end",
        f"{_ALIGN}\nnothing may follow a quoted text on its line",
    ),
    _Saying(
        r"block (collection|sequence): .*expected ('-' indicator|<block end>)",
        "syntax",
        'expected "- " for another item of the list that starts at {opened}, or its end',
        _ALIGN,
    ),
    _Saying(
        r"node content",
        "syntax",
        "expected a value here",
        f'write a value, or "" for an empty text\n{_QUOTE_IT}',
    ),
    _Saying(
        r"<document start>",
        "syntax",
        "this does not continue what stands above it",
        f"{_ALIGN}\nnothing may follow a closing bracket or a quoted text on its line",
    ),
    _Saying(
        r"scanning an? (alias|anchor)",
        "syntax",
        'a value cannot start with "*" or "&"',
        "to mean the text, put the whole value in quotes",
        "start",
    ),
    _Saying(
        r"directive|incompatible YAML",
        "directive",
        "this directive cannot be read: only %YAML 1.1 and %YAML 1.2 are",
        "leave the line out",
        "start",
    ),
    _Saying(
        r"\btag",
        "tag",
        "this tag cannot be read, and a file may hold none",
        'leave the tag out; text that starts with "!" goes in quotes',
        "start",
    ),
    _Saying(
        r"block scalar",
        "syntax",
        'only an indicator such as "-" or a comment may follow "|" or ">"',
        "start the text on the next line, indented",
    ),
)


def explain(error: yaml.YAMLError, text: str) -> Complaint:
    """Say in plain words what a parser complained about, and where."""
    problem = str(getattr(error, "problem", None) or "this cannot be read as YAML")
    context = str(getattr(error, "context", None) or "")
    here = _index(error, "problem_mark", text)
    start = _index(error, "context_mark", text, here)
    if "cannot start any token" in problem:
        return _misfit(text, here)
    said = f"{context}: {problem}"
    saying = next((each for each in _SAYINGS if re.search(each.pattern, said)), None)
    if saying is None:
        return Complaint(here, "syntax", f"{problem} {context}".strip(), _QUOTE_IT)
    if saying.blame == "bracket" and not text[here:].strip():
        return unclosed(text, start)
    if saying.blame == "escape":
        return _bad_escape(saying, text, start, here)
    line, column = place(text, start)
    message = saying.message.format(opened=f"line {line}, column {column}")
    return Complaint(start if saying.blame == "start" else here, saying.rule, message, saying.help)


def unclosed(text: str, index: int) -> Complaint:
    """Say that the bracket at `index` is never closed."""
    bracket = text[index : index + 1]
    closing = "]" if bracket == "[" else "}"
    message = f'this "{bracket}" is never closed'
    return Complaint(index, "unclosed", message, f'write "{closing}" after the last item')


def place(text: str, index: int) -> tuple[int, int]:
    """Give line and column of a character, both from 1; a line ends with CR LF, LF or CR."""
    starts = line_starts(text[:index])
    return len(starts), index - starts[-1] + 1


def line_starts(text: str) -> list[int]:
    """Give the index of the first character of each line."""
    return [0, *(match.end() for match in _LINE_END.finditer(text))]


def _index(error: yaml.YAMLError, name: str, text: str, default: int = 0) -> int:
    mark = getattr(error, name, None)
    return default if mark is None else min(len(text), int(mark.index))


def _misfit(text: str, index: int) -> Complaint:
    """Say why a character cannot stand where a value or a key starts."""
    character = text[index : index + 1]
    if character == "\t":
        return Complaint(index, "tab", _TAB.message, _TAB.help)
    message = f'text cannot start with "{character}"'
    return Complaint(index, "syntax", message, f'put it in quotes: "{character}..."')


def _bad_escape(saying: _Saying, text: str, start: int, here: int) -> Complaint:
    """Find the escape that names no character; libyaml's mark points into it, the pure parser's before it."""
    index, way_out = here, saying.help
    for match in _ESCAPE.finditer(text, start):
        number = int(match[1] or match[2] or "0", 16)
        if number in _SURROGATES or number > _LAST_CHARACTER:
            index = match.start()
            break
        if here > start and match.end() >= here:
            index = min(match.start(), here)
            break
    if pair := _PAIR.match(text, index):
        whole = ord(json.loads(f'"{pair[0]}"'))
        way_out = f"write the character itself, or \\U{whole:08X}"
    return Complaint(index, saying.rule, saying.message, way_out)


class JsonEvent(NamedTuple):
    """One step through a JSON text: what it is, its text, where it stands, a lone surrogate's place."""

    kind: str  # "{", "[", "end", "key", "text", or "plain" for a number, true, false and null
    value: str
    offset: int
    lone: int = -1


class NotJsonError(Exception):
    """Says where a text stops being JSON."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.message)
        self.complaint = complaint


_JSON_SPACE = re.compile(r"[ \t\r\n]*")
_JSON_TOKEN = re.compile(
    r"(?P<mark>[{}\[\],:])"
    r'|(?P<text>"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*")'
    r"|(?P<plain>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null)"
)
# (what is expected, what is found) -> the event it gives ("" for none), what is expected next. "after" is
# told apart by the bracket around it.
_VALUES = {
    "{": ("{", "first key"),
    "[": ("[", "first item"),
    "text": ("text", "after"),
    "plain": ("plain", "after"),
}
_JSON_STEPS = {
    **{("value", found): step for found, step in _VALUES.items()},
    **{("first item", found): step for found, step in _VALUES.items()},
    ("first item", "]"): ("end", "after"),
    ("first key", "text"): ("key", "colon"),
    ("first key", "}"): ("end", "after"),
    ("key", "text"): ("key", "colon"),
    ("colon", ":"): ("", "value"),
    ("after{", ","): ("", "key"),
    ("after{", "}"): ("end", "after"),
    ("after[", ","): ("", "value"),
    ("after[", "]"): ("end", "after"),
}
_EXPECTED = {
    "value": "a value",
    "first item": 'a value or "]"',
    "first key": 'a key in double quotes or "}"',
    "key": "a key in double quotes",
    "colon": '":" after the key',
    "after{": '"," or "}" after the value',
    "after[": '"," or "]" after the value',
    "after": "nothing after the last bracket",
}


def looks_like_json(text: str) -> bool:
    """Say whether the first character that counts opens a JSON object or list."""
    index = _skip(text, 0)
    return text[index : index + 1] in {"{", "["}


def json_events(text: str) -> Iterator[JsonEvent]:
    """Walk through a JSON text, without recursion; raises NotJsonError where it stops being JSON."""
    opened: list[int] = []
    expected = "value"
    index = _skip(text, 0)
    while index < len(text):
        match = _JSON_TOKEN.match(text, index)
        found = (match["mark"] or match.lastgroup or "") if match else ""
        kind, expected_next = _JSON_STEPS.get((expected, found), ("", ""))
        if match is None or not expected_next:
            raise NotJsonError(_json_complaint(text, index, expected, opened))
        if kind in {"key", "text"}:
            yield _json_text(kind, match[0], index)
        elif kind:
            yield JsonEvent(kind, match[0], index)
        if kind in {"{", "["}:
            opened.append(index)
        elif kind == "end":
            opened.pop()
        expected = expected_next
        if expected == "after" and opened:
            expected += text[opened[-1]]
        index = _skip(text, match.end())
    if expected != "after":
        raise NotJsonError(_json_complaint(text, index, expected, opened))


def _skip(text: str, index: int) -> int:
    match = _JSON_SPACE.match(text, index)
    return match.end() if match else index


def _json_complaint(text: str, index: int, expected: str, opened: list[int]) -> Complaint:
    if index == len(text) and opened:
        return unclosed(text, opened[-1])
    message = f"expected {_EXPECTED[expected]}"
    return Complaint(
        index, "syntax", message, "JSON needs double quotes around text, and commas between items"
    )


def _json_text(kind: str, token: str, index: int) -> JsonEvent:
    """Decode a JSON string; a surrogate without partner becomes U+FFFD and is pointed at."""
    if "\\" not in token:
        return JsonEvent(kind, token[1:-1], index)
    try:
        value = str(json.loads(token))
    except json.JSONDecodeError as error:
        message = "this backslash starts no escape that JSON knows"
        complaint = Complaint(index + error.pos, "escape", message, 'write a backslash as "\\\\"')
        raise NotJsonError(complaint) from None
    if not _SURROGATE.search(value):
        return JsonEvent(kind, value, index)
    lone = next(match.start() for match in _JSON_ESCAPE.finditer(token) if match["lone"])
    return JsonEvent(kind, _SURROGATE.sub("\ufffd", value), index, index + lone)
