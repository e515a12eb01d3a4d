"""A YAML text as a tree that knows its comments: which entry each one speaks about.

The data come from source.parse; this module only finds out where the comments stand. A comment behind
something belongs to it; one on a line of its own belongs to the entry below, or, indented deeper than that
entry, to the end of the list or mapping above. A blank line is kept as "" among the comments.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from audiencesync import syntax


@dataclass(slots=True, eq=False)
class Node:
    """A value: a scalar, or entries; `flow` says that it was written in brackets.

    `start`, `end` and `column` are where it stood in the text it was read from.
    """

    value: Any = None
    entries: list[Entry] | None = None
    keyed: bool = False
    flow: bool = False
    foot: list[str] = field(default_factory=list)
    owner: Entry | None = None
    start: int = 0
    end: int = 0
    column: int = 0

    @property
    def data(self) -> Any:  # noqa: ANN401 - plain data of any shape
        """The plain data."""
        if self.entries is None:
            return self.value
        if self.keyed:
            return {entry.key: entry.node.data for entry in self.entries}
        return [entry.node.data for entry in self.entries]

    @property
    def is_commented(self) -> bool:
        """Whether a comment stands anywhere inside."""
        return any(self.foot) or any(
            any(entry.lead) or entry.trail or entry.node.is_commented for entry in self.entries or ()
        )

    def entry(self, key: str) -> Entry | None:
        """The entry of that key."""
        return next((entry for entry in self.entries or () if entry.key == key), None)

    def comments(self) -> list[str]:
        """Every comment inside, in the order of the text."""
        found: list[str] = []
        for entry in self.entries or ():
            found += [*entry.lead, entry.trail, *entry.node.comments()]
        return [comment for comment in (*found, *self.foot) if comment]


@dataclass(slots=True, eq=False)
class Entry:
    """An item of a list, or a key and its value, with the comments that are about it."""

    node: Node
    key: str = ""
    lead: list[str] = field(default_factory=list)
    trail: str = ""
    container: Node | None = None
    start: int = 0


def plain(data: object) -> Node:
    """The tree of plain data, without comments."""
    if isinstance(data, dict):
        return Node(entries=[Entry(plain(value), key) for key, value in data.items()], keyed=True)
    if isinstance(data, list):
        return Node(entries=[Entry(plain(value)) for value in data])
    return Node(data)


def read(text: str, data: object) -> Node:
    """The tree of a text that source.parse has read without a problem, which gave `data`."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if syntax.looks_like_json(text):
        try:
            list(syntax.json_events(text))
        except syntax.NotJsonError:
            pass
        else:
            return plain(data)  # JSON has no comments, and some escapes that YAML lacks
    return _Reader(text, data).root


class _Reader:
    """Reads one text; `entries` are in the order of their first characters, the outer before the inner."""

    def __init__(self, text: str, data: object) -> None:
        self.text = text
        self.entries: list[Entry] = []
        self.spans: list[tuple[int, int, bool]] = []
        self.events = syntax.parser_class()(text)
        self.lines = syntax.line_starts(text)
        event = self._next()
        while type(event).__name__ in {"StreamStartEvent", "DocumentStartEvent"}:
            event = self._next()
        self.root = self._node(event, data, None)
        self.starts = [entry.start for entry in self.entries]
        for index, comment, block_header in self._comments():
            self._place(index, comment, inline=block_header)
        self._keep_blank_lines()

    def _next(self) -> Any:  # noqa: ANN401 - the two parsers share no typed event
        return self.events.get_event()

    def _node(self, event: Any, data: Any, owner: Entry | None) -> Node:  # noqa: ANN401 - as above
        start: int = event.start_mark.index
        kind = type(event).__name__
        if kind == "ScalarEvent":
            end: int = event.end_mark.index
            self.spans.append((start, end, event.style in {"|", ">"}))
            return Node(data, owner=owner, start=start, end=end)
        keyed = kind == "MappingStartEvent"
        entries: list[Entry] = []
        node = Node(
            entries=entries,
            keyed=keyed,
            flow=bool(event.flow_style),
            owner=owner,
            start=start,
            column=event.start_mark.column,
        )
        values = list(data.items()) if keyed else list(enumerate(data))
        for key, value in values:
            entries.append(self._entry(node, str(key) if keyed else "", value))
        node.end = self._next().end_mark.index
        return node

    def _entry(self, container: Node, key: str, value: object) -> Entry:
        event = self._next()
        entry = Entry(Node(), key, container=container, start=event.start_mark.index)
        self.entries.append(entry)
        if container.keyed:
            self.spans.append((entry.start, event.end_mark.index, False))
            event = self._next()
        entry.node = self._node(event, value, entry)
        return entry

    # ------------------------------------------------------------ comments

    def _comments(self) -> Iterator[tuple[int, str, bool]]:
        """Each comment's index, text, and whether it stands behind the header of a block of text."""
        position = 0
        for start, end, is_block in [*sorted(self.spans), (len(self.text), len(self.text), False)]:
            while (index := self.text.find("#", position, start)) >= 0:
                position = self._line_end(index)
                yield index, self.text[index:position].rstrip(), False
            if is_block and (index := self.text.find("#", start, self._line_end(start))) >= 0:
                yield index, self.text[index : self._line_end(index)].rstrip(), True
            position = max(position, end)

    def _line_end(self, index: int) -> int:
        found = self.text.find("\n", index)
        return len(self.text) if found < 0 else found

    def _line_of(self, index: int) -> int:
        return bisect_right(self.lines, index) - 1

    def _is_blank(self, line: int) -> bool:
        return line >= 0 and not self.text[self.lines[line] : self._line_end(self.lines[line])].strip()

    def _place(self, index: int, comment: str, *, inline: bool) -> None:
        """Gives a comment to the entry or to the list or mapping that it is about."""
        at = bisect_left(self.starts, index)
        before = self.entries[at - 1] if at else None
        line_start = self.lines[self._line_of(index)]
        if inline or not set(self.text[line_start:index]) <= set(" \t-"):
            self._behind(before, index, comment)
            return
        blank = [""] if self._is_blank(self._line_of(index) - 1) else []
        after = self.entries[at] if at < len(self.entries) else None
        self._slot(before, after, index, index - line_start).extend([*blank, comment])

    def _behind(self, entry: Entry | None, index: int, comment: str) -> None:
        while entry and entry.container and entry.container.flow and entry.container.end <= index:
            entry = entry.container.owner
        if entry is None:
            following = next((each for each in self.entries if each.start > index), None)
            (following.lead if following else self.root.foot).append(comment)
        elif entry.trail:
            entry.lead.append(comment)
        else:
            entry.trail = comment

    def _slot(self, before: Entry | None, after: Entry | None, index: int, column: int) -> list[str]:
        """Where a comment on a line of its own belongs."""
        if before is None:
            return after.lead if after else self.root.foot
        value = before.node
        if value.start > index and value.end > value.start and (value.entries is None or value.flow):
            return before.lead
        flow: Node | None = value if value.flow and value.start < index < value.end else None
        flow = flow or _open_flow(before, index)
        if flow:
            return after.lead if after and after.container is flow else flow.foot
        opened = [node for node in _containers(before) if not node.flow]
        if after and (after.container not in opened or column <= _column(after)):
            return after.lead
        deepest = next((node for node in opened if node.column <= column), self.root)
        return after.lead if after and deepest is after.container else deepest.foot

    def _keep_blank_lines(self) -> None:
        seen = -1
        for entry in self.entries:
            line = self._line_of(entry.start)
            first = set(self.text[self.lines[line] : entry.start]) <= set(" \t-")
            if line != seen and first and self._is_blank(line - 1):
                entry.lead.append("")
            seen = line


def _containers(entry: Entry) -> Iterator[Node]:
    """The lists and mappings around an entry, the innermost first."""
    container = entry.container
    while container is not None:
        yield container
        container = container.owner.container if container.owner else None


def _open_flow(entry: Entry, index: int) -> Node | None:
    return next((node for node in _containers(entry) if node.flow and node.end > index), None)


def _column(entry: Entry) -> int:
    return entry.container.column if entry.container else 0
