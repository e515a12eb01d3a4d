"""The one layout of our files: text -> text with every comment kept, and audience -> text.

Keys stand in the field table's order with `manage` last, levels are indented by two spaces, lists too.
A list of plain values and a condition (stringFilter and its kin; in the short form what a field or parameter
has to be) stand on one line where it has room, everything else in block style. Text is quoted where some
reader would take it for something else, folded where its line would be too long. The settings keep their
order and their brackets. JSON in a YAML file is written as YAML; line ends stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any, Literal

from audiencesync import commented, scalars, short, source
from audiencesync.canonical import canonical_bytes, fingerprint
from audiencesync.commented import Entry, Node
from audiencesync.errors import InvalidFilesError, UnrepresentableError
from audiencesync.fields import MAX_MEMBERSHIP_DAYS, fields_of
from audiencesync.settings import NAME
from audiencesync.source import Location, Problem
from audiencesync.wire import from_api, parse_duration, to_api

Style = Literal["", "short", "full"]
Path = tuple[str, ...]
"""The keys that lead to a value; an item of a list is ""."""

WIDTH = 110
"""A value that fits within this many columns may stand on one line."""

LAYOUT_RULES: tuple[tuple[str, str], ...] = (
    ("layout", "fmt writes a file only where that changes neither its data nor its comments."),
)

_CONDITIONS = ("stringFilter", "inListFilter", "numericFilter", "betweenFilter")
_IN_BRACKETS = frozenset((*_CONDITIONS, "adopt"))
_SHORT = ("include", "exclude")
_FULL = "filterClauses"
_SHORT_BLOCKS = {*_SHORT, "", "all", "any", "sequence", "steps"}
_UNKNOWN = 1000.0
"""The rank of a key that the table does not know: behind those it knows, at the top before `manage`."""


# ---------------------------------------------------------------- the four ways in


def format_text(path: str, text: str, style: Style = "") -> str:
    """The same file in canonical layout, every comment kept; `style` turns the conditions' form as well.

    The settings file is known by its name. Turned to the other form, comments inside a clause stand above
    it. Errors: InvalidFilesError where the file cannot be read, its conditions cannot be turned, or writing
    would change what it says; the file is then to be left alone.
    """
    document = _parsed(path, text)
    if not isinstance(document.data, dict):
        return text
    tree = commented.read(document.text, document.data)
    settings = path.replace("\\", "/").rpartition("/")[2] == NAME
    if style and not settings:
        _turn(tree, document, style)
    wanted = tree.data
    made = _with_line_ends(_write(tree, settings=settings), text)
    _check_same(path, made, wanted, commented.read(document.text, document.data).comments())
    return made


def new_text(
    audience: Mapping[str, Any], manage: Mapping[str, Any], schema_path: str = "", *, style: Style = ""
) -> str:
    """A new audience file out of GA4's JSON and our block, with the line that editors read the schema from.

    Errors: InvalidFilesError where the values cannot stand in a file, as half a surrogate pair cannot.
    """
    data = _readable(dict(audience)) | ({"manage": dict(manage)} if manage else {})
    body = short.to_short(data) if style == "short" else data
    head = [f"# yaml-language-server: $schema={schema_path}"] if schema_path else []
    made = _write(commented.plain(body), head=head)
    _check_same("", made, body, head)
    return made


def updated_text(path: str, text: str, audience: Mapping[str, Any]) -> str:
    """The file with GA4's JSON of an audience in the place of its own values, comments and form kept.

    What means the same already is left as it is written, and so are `manage` and output-only fields. A
    comment on a value that goes moves to what follows. Errors: as format_text, and UnrepresentableError for
    an audience that our records cannot say.
    """
    document = _parsed(path, text)
    if not isinstance(document.data, dict):
        raise InvalidFilesError(_problems(path, "the file holds no audience"))
    tree = commented.read(document.text, document.data)
    plain = _readable(to_api(from_api(audience)))
    new = short.to_short(plain) if short.is_short(document.data) else plain
    kept = {name: value for name, value in document.data.items() if name not in _audience_keys()}
    if _means_the_same(document, audience):
        definition = (_FULL, *_SHORT)
        new = {name: value for name, value in new.items() if name not in definition}
        kept |= {name: document.data[name] for name in definition if name in document.data}
    _merge(tree, new | kept)
    made = _with_line_ends(_write(tree), text)
    _check_same(path, made, tree.data, commented.read(document.text, document.data).comments())
    return made


def _readable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """GA4's JSON with its whole numbers as numbers: JSON carries them as text, people do not."""
    if isinstance(value, dict):
        return {
            key: int(inner) if key == "int64Value" and isinstance(inner, str) else _readable(inner)
            for key, inner in value.items()
        }
    return [_readable(item) for item in value] if isinstance(value, list) else value


def _audience_keys() -> set[str]:
    own = {field.name for field in fields_of("Audience") if not field.output_only and field.name != "manage"}
    return own | set(_SHORT)


def _means_the_same(document: source.Document, audience: Mapping[str, Any]) -> bool:
    """Whether the file's conditions are those of the new audience already."""
    try:
        old = from_api(short.to_full(document.data)).clauses
        new = from_api(audience).clauses
        probe = from_api(audience)
    except UnrepresentableError:
        return False
    return fingerprint(replace(probe, clauses=old)) == fingerprint(replace(probe, clauses=new))


# ---------------------------------------------------------------- safety


def _parsed(path: str, text: str) -> source.Document:
    document = source.parse(path, text.encode("utf-8", "surrogatepass"))
    if document.problems:
        raise InvalidFilesError(document.problems)
    return document


def _problems(path: str, message: str, way: str = "") -> tuple[Problem, ...]:
    return (Problem(Location(path, 1, 1), "layout", message, help=way),)


def _check_same(path: str, made: str, data: object, comments: list[str]) -> None:
    """Refuses a text that would say something else: the last line of defence of a user's file."""
    try:
        again = source.parse(path, made.encode())
    except UnicodeEncodeError:
        raise InvalidFilesError(
            _problems(path, "a text holds half a surrogate pair, which is no character")
        ) from None
    if again.problems:
        raise InvalidFilesError(again.problems)
    if not scalars.same(again.data, data):
        message = "this file cannot be laid out without changing what it says, so it was left alone"
        raise InvalidFilesError(_problems(path, message, "simplify its keys and quoted texts"))
    if sorted(commented.read(again.text, again.data).comments()) != sorted(comments):
        message = "this file cannot be laid out with all its comments, so it was left alone"
        raise InvalidFilesError(_problems(path, message, "put the comments on lines of their own"))


def _with_line_ends(made: str, original: str) -> str:
    """Files of Windows keep their line ends."""
    first = original.find("\n")
    return made.replace("\n", "\r\n") if first > 0 and original[first - 1] == "\r" else made


# ---------------------------------------------------------------- the two forms


def _turn(tree: Node, document: source.Document, style: Style) -> None:
    """Turns the conditions into the other form; comments inside a clause move above it."""
    data = document.data
    if short.is_short(data) == (style == "short"):
        return
    try:
        turned = short.to_short(data) if style == "short" else short.to_full(data)
    except UnrepresentableError as error:
        place = document.locate(error.route)
        message = f"the conditions cannot be written in the {style} form: {error.reason}"
        raise InvalidFilesError([Problem(place, "layout", message)]) from None
    entries = tree.entries or []
    old = [entry for entry in entries if entry.key in (_FULL, *_SHORT)]
    if not old or all(entry.key not in turned and entry.node.data is None for entry in old):
        return
    made = [Entry(commented.plain(turned[name]), name) for name in (_FULL, *_SHORT) if name in turned]
    if not made:
        return
    _move_clause_comments(old, made)
    first = entries.index(old[0])
    entries[first:first] = made
    tree.entries = [entry for entry in entries if entry not in old]


def _move_clause_comments(old: list[Entry], made: list[Entry]) -> None:
    """Gives the comments of each clause to the clause that it became; the rest to the list."""
    waiting: dict[str, list[Entry]] = {}
    for entry in made:
        for item in entry.node.entries or ():
            kind = entry.key if entry.key in _SHORT else str(item.node.data.get("clauseType", "")).lower()
            waiting.setdefault(kind, []).append(item)
    made[0].lead += [comment for entry in old for comment in (*entry.lead, entry.trail) if comment]
    for entry in old:
        for item in entry.node.entries or ():
            data = item.node.data
            said = data.get("clauseType") if entry.key == _FULL and isinstance(data, dict) else entry.key
            partners = waiting.get(str(said).lower()) or []
            comments = [comment for comment in (*item.lead, item.trail, *item.node.comments()) if comment]
            (partners.pop(0) if partners else made[0]).lead += comments
        made[-1].node.foot += [comment for comment in entry.node.foot if comment]


# ---------------------------------------------------------------- new values in an old tree


def _merge(node: Node, new: Any) -> None:  # noqa: ANN401 - JSON
    """Writes new data into a node, leaving alone what has the same meaning."""
    if isinstance(new, dict) and node.keyed and node.entries is not None:
        _merge_mapping(node, new)
    elif isinstance(new, list) and node.entries is not None and not node.keyed:
        _merge_list(node, new)
    else:
        comments = node.comments()
        fresh = commented.plain(new)
        node.value, node.entries, node.keyed, node.flow = fresh.value, fresh.entries, fresh.keyed, False
        node.foot = comments if node.entries else []
        if comments and not node.entries and node.owner:
            node.owner.lead += comments


def _merge_mapping(node: Node, new: dict[str, Any]) -> None:
    kept: list[Entry] = []
    homeless: list[str] = []
    for entry in node.entries or ():
        if entry.key in new or _is_unset(entry.node.data):
            entry.lead = homeless + entry.lead
            homeless = []
            if entry.key in new and not _is_equal(entry.key, entry.node.data, new[entry.key]):
                entry.node.owner = entry
                _merge(entry.node, new[entry.key])
            kept.append(entry)
        else:
            homeless += _all_comments(entry)
    known = {entry.key for entry in kept}
    kept += [Entry(commented.plain(value), key) for key, value in new.items() if key not in known]
    node.entries = kept
    node.foot = homeless + node.foot


def _merge_list(node: Node, new: list[Any]) -> None:
    """Pairs equal items first, in their order; the others between two pairs one by one."""
    old = node.entries or []
    before = [canonical_bytes(entry.node.data) for entry in old]
    after = [canonical_bytes(item) for item in new]
    kept: list[Entry] = []
    homeless: list[str] = []
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for _, start, end, first, last in matcher.get_opcodes():
        paired = min(end - start, last - first)
        for entry, value in zip(old[start : start + paired], new[first : first + paired], strict=True):
            entry.lead = homeless + entry.lead
            homeless = []
            entry.node.owner = entry
            if not scalars.same(entry.node.data, value):
                _merge(entry.node, value)
            kept.append(entry)
        kept += [Entry(commented.plain(value)) for value in new[first + paired : last]]
        for entry in old[start + paired : end]:
            homeless += _all_comments(entry)
    node.entries = kept
    node.foot = homeless + node.foot


def _all_comments(entry: Entry) -> list[str]:
    return [comment for comment in (*entry.lead, entry.trail, *entry.node.comments()) if comment]


def _is_unset(value: object) -> bool:
    """Whether a value that GA4 does not answer says nothing."""
    return value is None or value is False or value in ({}, [])


def _is_equal(key: str, old: object, new: object) -> bool:
    """Whether two values of a field mean the same, however they are written."""
    if scalars.same(old, new):
        return True
    if key in {"int64Value", "doubleValue"} and isinstance(old, str | int | float):
        try:
            return float(old) == float(str(new)) and str(old).lstrip("+") == str(new)
        except ValueError:
            return False
    if key in {"constraintDuration", "sequenceMaximumDuration"}:
        return parse_duration(str(old)) == parse_duration(str(new))
    if key == "description":
        return str(old or "").rstrip() == str(new or "").rstrip()
    if key == "membershipDurationDays":
        longest = ("-1", str(MAX_MEMBERSHIP_DAYS))
        return str(old) == str(new) or (str(old) in longest and str(new) in longest)
    return _is_unset(old) and _is_unset(new)


# ---------------------------------------------------------------- writing


def _write(tree: Node, *, settings: bool = False, head: list[str] | None = None) -> str:
    """The text of a whole file."""
    writer = _Writer(settings=settings)
    entries = tree.entries or []
    header = [*(head or []), *_header(entries)]
    writer.arrange(tree, ())
    if not entries:
        return "\n".join([*_tidy(header), "{}", *_tidy(tree.foot)]) + "\n"
    lines = _tidy([*header, *writer.block(tree, 0, ())])
    return "\n".join(lines).rstrip("\n") + "\n"


def _header(entries: list[Entry]) -> list[str]:
    """Takes the comments that stay at the top whatever key comes first: to the last blank line, else all."""
    if not entries:
        return []
    lead = entries[0].lead
    cut = max((index for index, line in enumerate(lead[:-1]) if not line), default=len(lead))
    entries[0].lead = lead[cut:]
    return lead[:cut]


def _tidy(lines: list[str]) -> list[str]:
    """Lines with no blank one at the start, and no two together."""
    found: list[str] = []
    for line in lines:
        if line or (found and found[-1]):
            found.append(line)
    return found


class _Writer:
    """Turns a tree into lines."""

    def __init__(self, *, settings: bool) -> None:
        self.settings = settings

    # ------------------------------------------------------------ order

    def arrange(self, node: Node, path: Path, message: str = "Audience") -> None:
        """Sorts the keys, and lifts what stands above an item's first key above the item."""
        order = {} if self.settings or not node.keyed else _order(path, message)
        if order:
            node.entries = sorted(node.entries or (), key=lambda entry: order.get(entry.key, _UNKNOWN))
        kinds = {field.name: field.of for field in fields_of(message)} if message else {}
        for entry in node.entries or ():
            inner = kinds.get(entry.key, "") if node.keyed else message
            self.arrange(entry.node, (*path, entry.key), inner)
            first = next(iter(entry.node.entries or ()), None)
            if not node.keyed and first:
                entry.lead += first.lead
                first.lead = []

    # ------------------------------------------------------------ lines

    def block(self, node: Node, indent: int, path: Path) -> list[str]:
        """The lines of a list or mapping in block style."""
        margin = " " * indent
        lines: list[str] = []
        for index, entry in enumerate(node.entries or ()):
            inside = (*path, entry.key)
            lead = list(entry.lead)
            if node.keyed:
                body = self._pair(margin + scalars.text_of(entry.key) + ":", entry, indent, inside)
            else:
                above, body = self._item(entry, indent, inside)
                lead += above
            if index == 0 and path:
                lead = _tidy(lead)
            lines += [*_margined(lead, margin), *body]
        return [*lines, *_margined(node.foot, margin)]

    def _pair(self, prefix: str, entry: Entry, indent: int, path: Path) -> list[str]:
        trail = f"  {entry.trail}" if entry.trail else ""
        line = self._line(entry.node, path, WIDTH - len(prefix) - 1)
        if line is not None:
            return [f"{prefix} {line}{trail}"]
        if entry.node.entries is None:
            header, lines = scalars.block_of(entry.node.value, WIDTH - indent - 2) or ("", [])
            return [f"{prefix} {header}{trail}", *_margined(lines, " " * (indent + 2))]
        return [prefix + trail, *self.block(entry.node, indent + 2, path)]

    def _item(self, entry: Entry, indent: int, path: Path) -> tuple[list[str], list[str]]:
        """The comments that come to stand above an item, and its lines."""
        line = self._line(entry.node, path, WIDTH - indent - 2)
        if line is not None or not entry.node.entries:
            return [], self._pair(" " * indent + "-", entry, indent, path)
        lines = self.block(entry.node, indent + 2, path)
        count = next(index for index, each in enumerate(lines) if each and each.lstrip()[0] != "#")
        above = [entry.trail] * bool(entry.trail) + [each.strip() for each in lines[:count]]
        return above, [f"{' ' * indent}- {lines[count][indent + 2 :]}", *lines[count + 1 :]]

    def _line(self, node: Node, path: Path, room: int) -> str | None:
        """A value on one line; None where it takes several."""
        if node.entries is None:
            value = node.value
            if isinstance(value, str) and scalars.block_of(value, room):
                return None
            return scalars.text_of(value)
        if node.is_commented:
            return None
        line = _flow(node)
        if not node.entries:
            return line
        return line if self._may_flow(node, path) and len(line) <= room else None

    def _may_flow(self, node: Node, path: Path) -> bool:
        """Whether a list or mapping may stand in brackets here."""
        entries = node.entries or []
        if not node.keyed and all(entry.node.entries is None for entry in entries):
            return True
        if self.settings:
            return node.flow
        if path[0] not in _SHORT:
            return not _IN_BRACKETS.isdisjoint(path)
        # Each of several parameters reads best on its own line.
        return path[-1] not in _SHORT_BLOCKS and not (path[-1] == "where" and len(entries) > 1)


def _order(path: Path, message: str) -> dict[str, float]:
    """The rank of each key of a mapping."""
    if path and path[0] in _SHORT:
        return {"scope": 0.0} if path[-1] != "where" else {}
    names: list[str] = []
    for field in fields_of(message) if message else ():
        names += [field.name, *(_SHORT if field.name == _FULL else ())]
    order = {name: float(rank) for rank, name in enumerate(names)}
    return order if path else order | {"manage": _UNKNOWN + 1}


def _margined(lines: list[str], margin: str) -> list[str]:
    return [margin + line if line else "" for line in lines]


def _flow(node: Node) -> str:
    """A value in brackets, on one line."""
    if node.entries is None:
        return scalars.text_of(node.value, flow=True)
    if not node.keyed:
        return "[" + ", ".join(_flow(entry.node) for entry in node.entries) + "]"
    pairs = (f"{scalars.text_of(entry.key, flow=True)}: {_flow(entry.node)}" for entry in node.entries)
    return "{" + ", ".join(pairs) + "}"
