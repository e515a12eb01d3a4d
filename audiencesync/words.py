"""An audience in plain English: exact, complete, and marked up so that text, Markdown and HTML can print it.

Every value of the definition occurs in the words; enum names, braces and field names of the JSON do not.
What the sentences promise is what the Admin API's comments on properties.audiences say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import StrEnum

from audiencesync.alignment import like
from audiencesync.fields import (
    MAX_MEMBERSHIP_DAYS,
    ClauseType,
    ExclusionMode,
    LogCondition,
    MatchType,
    Operation,
    Scope,
)
from audiencesync.model import (
    AllOf,
    AnyOf,
    Audience,
    BetweenFilter,
    Clause,
    Condition,
    EventFilter,
    FieldFilter,
    InListFilter,
    Leaf,
    Not,
    NumericFilter,
    SequenceFilter,
    SimpleFilter,
    Step,
    StringFilter,
    Trigger,
)


class Kind(StrEnum):
    """What a span is, for the printer to choose a style by."""

    PLAIN = "plain"
    VALUE = "value"
    STRONG = "strong"


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text; `changed` where `compare` found it on one side only. Values come with their quotes."""

    text: str
    kind: Kind = Kind.PLAIN
    changed: bool = False


Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, and the bullets below it; `numbered` where the bullets' order has a meaning."""

    spans: Spans
    children: tuple[Sentence, ...] = ()
    numbered: bool = False

    @property
    def text(self) -> str:
        """The sentence itself without marks and bullets."""
        return "".join(span.text for span in self.spans)


Description = tuple[Sentence, ...]


def words(audience: Audience) -> Description:
    """Says an audience in plain English.

    In turn: its name and description, who is let in, who is kept out and for how long, how long members stay,
    and what is logged.
    """
    return tuple(_sentences(audience))


def plain(description: Description) -> str:
    """Gives the words as text, one sentence or bullet a line, bullets indented; ends with a line end."""
    return "".join(f"{line}\n" for line in _lines(description, 0, numbered=False))


def _lines(sentences: Sequence[Sentence], depth: int, *, numbered: bool) -> Iterator[str]:
    for number, sentence in enumerate(sentences, 1):
        bullet = "" if not depth else f"{number}. " if numbered else "- "
        yield "  " * max(depth - 1, 0) + bullet + sentence.text
        yield from _lines(sentence.children, depth + 1, numbered=sentence.numbered)


def duration(nanoseconds: int) -> str:
    """Says a duration exactly, as in "1 hour 30 minutes" or "3.5 seconds"."""
    whole, rest = divmod(nanoseconds, 10**9)
    parts = []
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(_count(count, unit))
    if rest:
        parts.append(f"{whole}.{rest:09d}".rstrip("0") + " seconds")
    elif whole or not parts:
        parts.append(_count(whole, "second"))
    return " ".join(parts)


def _count(number: float, unit: str) -> str:
    return f"{number} {unit}" if number == 1 and isinstance(number, int) else f"{number} {unit}s"


# Words are put together from texts (plain), spans, and tuples of both.
Part = str | Span | Iterable["Part"]


def _spans(*parts: Part) -> Spans:
    found: list[Span] = []
    for part in parts:
        for span in (
            (Span(part),) if isinstance(part, str) else (part,) if isinstance(part, Span) else _spans(*part)
        ):
            if not span.text:
                continue
            if found and found[-1].kind is span.kind is Kind.PLAIN:
                found[-1] = Span(found[-1].text + span.text)
            else:
                found.append(span)
    return tuple(found)


_PLAIN_NAME = re.compile(r"[A-Za-z0-9_:./-]+")


def _name(name: str) -> Span:
    """A field's or event's name; in quotes only where it does not look like one."""
    return Span(name if _PLAIN_NAME.fullmatch(name) else f"“{name}”", Kind.STRONG)


def _quoted(text: str) -> Span:
    return Span(f"“{text}”", Kind.VALUE)


def _value(value: object) -> Span:
    return Span(str(value), Kind.VALUE)


def _listed(items: Sequence[Part], word: str) -> list[Part]:
    """The items with commas between them, and `word` before the last one."""
    found: list[Part] = []
    for index, item in enumerate(items):
        if index:
            found.append(f" {word} " if index == len(items) - 1 else ", ")
        found.append(item)
    return found


_LET_IN, _KEPT_OUT = Span("let in", Kind.STRONG), Span("kept out", Kind.STRONG)


def _sentences(audience: Audience) -> Iterator[Sentence]:
    name = Span(f"“{audience.display_name}”", Kind.STRONG)
    if audience.description:
        yield Sentence(_spans(name, ": ", _quoted(audience.description)))
    else:
        yield Sentence(_spans(name, ", without a description."))
    includes = [clause for clause in audience.clauses if clause.type is ClauseType.INCLUDE]
    excludes = [clause for clause in audience.clauses if clause.type is ClauseType.EXCLUDE]
    if includes:
        yield _clauses(includes, ("A user is ", _LET_IN, " when"), " all of this holds:")
    else:
        yield Sentence(_spans("No condition ", Span("lets", Kind.STRONG), " users in."))
    if excludes:
        yield _clauses(excludes, ("A user is ", _KEPT_OUT, " when"), " any of this holds:")
    yield from _coming_back(audience.exclusion_mode, excludes=bool(excludes))
    yield _membership(audience.membership_duration_days)
    if audience.trigger:
        yield _trigger(audience.trigger)


def _coming_back(mode: ExclusionMode | None, *, excludes: bool) -> Iterator[Sentence]:
    """What an exclusion means for coming back."""
    if not excludes:
        if mode is not None:
            lasting = "for a while" if mode is ExclusionMode.TEMPORARILY else "for good"
            yield Sentence(
                _spans(f"Being kept out would last {lasting}, but nothing keeps users out: GA4 ignores this.")
            )
        return
    yield Sentence(_spans(_BACK[mode]))


_BACK = {
    None: "The definition does not say how long a user is kept out: GA4 may leave the audience empty.",
    ExclusionMode.TEMPORARILY: "The user is kept out only while this holds, and may come back afterwards.",
    ExclusionMode.PERMANENTLY: "Whoever has met this once is kept out for good and never comes back.",
}


def _membership(days: int) -> Sentence:
    if days == -1:
        longest = Span(f"{MAX_MEMBERSHIP_DAYS} days", Kind.VALUE)
        return Sentence(
            _spans("A member stays for as long as GA4 allows, ", longest, " (written as ", _value(days), ").")
        )
    stay = Span(_count(days, "day"), Kind.VALUE)
    return Sentence(_spans("A member stays for ", stay, " after last meeting the conditions."))


def _trigger(trigger: Trigger) -> Sentence:
    logged: Part = (" the event ", _name(trigger.event_name), " is logged.")
    match trigger.log_condition:
        case LogCondition.JOINED:
            return Sentence(_spans("When a user joins,", logged))
        case LogCondition.RENEWED:
            return Sentence(_spans("Each time the conditions are met, by members too,", logged))


def _clauses(clauses: Sequence[Clause], head: Part, together: str) -> Sentence:
    """One sentence for one clause; for several, a bullet each."""
    if len(clauses) == 1:
        return _ended(_clause(clauses[0], (head, ", ")))
    return Sentence(_spans(head, together), tuple(_clause(clause, ()) for clause in clauses))


def _ended(sentence: Sentence) -> Sentence:
    return sentence if sentence.children else replace(sentence, spans=_spans(sentence.spans, "."))


_WITHIN = {
    Scope.SAME_EVENT: "within one and the same event",
    Scope.SAME_SESSION: "within one session",
    Scope.ALL_SESSIONS: "across all sessions",
}


def _clause(clause: Clause, head: Part) -> Sentence:
    match clause.filter:
        case SimpleFilter(scope, groups):
            return _groups((head, _WITHIN[scope], ", "), groups, scope)
        case SequenceFilter(scope, steps, maximum):
            order = "these steps follow one another" if len(steps) > 1 else "this step happens"
            limit: Part = (
                ()
                if maximum is None
                else (", at most ", Span(duration(maximum), Kind.VALUE), " from the first step to the last")
            )
            spans = _spans(head, _WITHIN[scope], ", ", order, limit, ":")
            return Sentence(
                spans, tuple(_step(step, first=not i) for i, step in enumerate(steps)), numbered=True
            )


def _step(step: Step, *, first: bool) -> Sentence:
    bonds: list[Part] = []
    if step.constraint_duration is not None:
        limit = Span(duration(step.constraint_duration), Kind.VALUE)
        bonds.append(("within ", limit, " of the previous step"))
    if step.immediately_follows:
        bonds.append("as the very next event")
    if not first:
        head: Part = ("then, ", *((bond, ", ") for bond in bonds))
    elif bonds:
        head = ("first (ignored on a first step: ", *_listed(bonds, "and"), "), ")
    else:
        head = "first, "
    return _groups((head, _WITHIN[step.scope], ", "), step.groups, step.scope)


def _groups(head: Part, groups: AllOf, scope: Scope) -> Sentence:
    """All of the groups: one inline, several as bullets."""
    if len(groups) == 1:
        return _group(head, groups[0], scope)
    return Sentence(_spans(head, "all of this holds:"), tuple(_group((), group, scope) for group in groups))


def _group(head: Part, group: AnyOf, scope: Scope) -> Sentence:
    """Any of the leaves: one inline, several as bullets."""
    if len(group.leaves) == 1:
        return Sentence(_spans(head, _leaf(group.leaves[0], scope)))
    bullets = tuple(Sentence(_spans(_leaf(leaf, scope))) for leaf in group.leaves)
    return Sentence(_spans(head, "any of this holds:"), bullets)


def phrase(leaf: Leaf, scope: Scope) -> Spans:
    """Says one leaf of a filter with that scope, as in "the event purchase occurs"; for the diagram."""
    return _spans(_leaf(leaf, scope))


def within(scope: Scope) -> str:
    """Says a scope, as in "across all sessions"."""
    return _WITHIN[scope]


def _leaf(leaf: Leaf, scope: Scope) -> Part:
    match leaf:
        case EventFilter():
            return _event(leaf, scope)
        case _:
            return _field(leaf, "as of now" if scope is Scope.ALL_SESSIONS else "")


def _event(event: EventFilter, scope: Scope) -> Part:
    name = _name(event.event_name)
    found: Part = ("the event is ", name) if scope is Scope.SAME_EVENT else ("the event ", name, " occurs")
    if not event.parameters:
        return found
    counts = [leaf for leaf in event.parameters if _filter(leaf).field_name == "eventCount"]
    if counts and scope is not Scope.SAME_EVENT and len(event.parameters) == 1:
        times = _times(event.parameters[0])
        if times is not None:
            return (found, " ", times)
    conditions = [
        _field(leaf, "counted over all time" if leaf in counts else "") for leaf in event.parameters
    ]
    alone = len(event.parameters) > len(counts) > 0
    note = " (GA4 looks at eventCount alone and ignores the rest)" if alone else ""
    together: list[Part] = []
    for condition in conditions:
        together += [", and " if together else ", where ", condition]
    return (found, *together, note)


def _filter(leaf: FieldFilter | Not) -> FieldFilter:
    return leaf.filter if isinstance(leaf, Not) else leaf


_TIMES = {
    Operation.EQUAL: "exactly ",
    Operation.LESS_THAN: "fewer than ",
    Operation.GREATER_THAN: "more than ",
}


def _times(leaf: FieldFilter | Not) -> Part | None:
    """A count in words, as in "more than 2 times in the last 60 days"; None where it is no plain count."""
    if isinstance(leaf, Not):
        return None
    window = (" in the last ", _days(leaf)) if _is_moving(leaf) else _window(leaf, "counted over all time")
    match leaf.condition:
        case NumericFilter(operation, value):
            return (_TIMES[operation], Span(_count(value, "time"), Kind.VALUE), window)
        case BetweenFilter(low, high):
            return ("from ", _value(low), " to ", Span(_count(high, "time"), Kind.VALUE), window)
        case _:
            return None


def _window(leaf: FieldFilter, otherwise: str) -> Part:
    """Over which time a filter is evaluated; `otherwise` where it says nothing of it."""
    if _is_moving(leaf):
        return (", in the last ", _days(leaf))
    if leaf.at_any_point_in_time:
        days = (", in any ", _days(leaf)) if leaf.in_any_n_day_period else ()
        return (days, ", at any point in time")
    return f", {otherwise}" if otherwise else ""


def _is_moving(leaf: FieldFilter) -> bool:
    return leaf.in_any_n_day_period != 0 and not leaf.at_any_point_in_time


def _days(leaf: FieldFilter) -> Span:
    return Span(_count(leaf.in_any_n_day_period, "day"), Kind.VALUE)


def _field(leaf: FieldFilter | Not, otherwise: str) -> Part:
    field = _filter(leaf)
    condition = _condition(field.condition, negated=isinstance(leaf, Not))
    return (_name(field.field_name), " ", condition, _window(field, otherwise))


_MATCHES = {
    MatchType.EXACT: ("is", "is not"),
    MatchType.BEGINS_WITH: ("begins with", "does not begin with"),
    MatchType.ENDS_WITH: ("ends with", "does not end with"),
    MatchType.CONTAINS: ("contains", "does not contain"),
    MatchType.FULL_REGEXP: (
        "as a whole matches the regular expression",
        "as a whole does not match the regular expression",
    ),
}
_COMPARES = {
    Operation.EQUAL: ("equals", "does not equal"),
    Operation.LESS_THAN: ("is less than", "is not less than"),
    Operation.GREATER_THAN: ("is greater than", "is not greater than"),
}


def _condition(condition: Condition, *, negated: bool) -> Part:
    match condition:
        case StringFilter(match_type, value, case_sensitive):
            return (_MATCHES[match_type][negated], " ", _quoted(value), _case(case_sensitive=case_sensitive))
        case InListFilter(values, case_sensitive):
            members = _listed([_quoted(value) for value in values], "or")
            which = "is none of " if negated else "is one of "
            return (which, *members, _case(case_sensitive=case_sensitive))
        case NumericFilter(operation, number):
            return (_COMPARES[operation][negated], " ", _value(number))
        case BetweenFilter(low, high):
            which = "is not from " if negated else "is from "
            return (which, _value(low), " to ", _value(high), ", both included")


def _case(*, case_sensitive: bool) -> str:
    return " (upper and lower case differ)" if case_sensitive else ""


def compare(before: Audience, after: Audience) -> tuple[Description, Description]:
    """Says both audiences, with the words that only one side has marked as changed.

    Where the two differ in an order that means nothing to GA4, both are said in the order of `after`.
    """
    old, new = words(like(before, after)), words(after)
    old_lines, new_lines = list(_flat(old)), list(_flat(new))
    marked_old, marked_new = list(old_lines), list(new_lines)
    keys = [[(place, line.spans) for place, line in side] for side in (old_lines, new_lines)]
    matcher = SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    for verb, i1, i2, j1, j2 in matcher.get_opcodes():
        if verb != "equal":
            marked_old[i1:i2], marked_new[j1:j2] = _marked(old_lines[i1:i2], new_lines[j1:j2])
    return _rebuilt(old, iter(marked_old)), _rebuilt(new, iter(marked_new))


_Placed = tuple[str, Sentence]


def _flat(sentences: Sequence[Sentence], place: str = "") -> Iterator[_Placed]:
    """The sentences in their order, each with "let in" or "kept out" where it is about that."""
    for sentence in sentences:
        own = place or next((span.text for span in sentence.spans if span in (_LET_IN, _KEPT_OUT)), "")
        yield own, sentence
        yield from _flat(sentence.children, own)


def _rebuilt(sentences: Sequence[Sentence], marked: Iterator[_Placed]) -> Description:
    """The same tree with the spans of `marked`, which come in the tree's order."""
    found = []
    for sentence in sentences:
        _, line = next(marked)
        found.append(replace(line, children=_rebuilt(sentence.children, marked)))
    return tuple(found)


_WORDS = re.compile(r"\s*\S+|\s+")
_MOST_WORDS = 4_000_000
"""Beyond this product of both sides' words a block counts as wholly changed: difflib takes its time."""


def _marked(old: Sequence[_Placed], new: Sequence[_Placed]) -> tuple[list[_Placed], list[_Placed]]:
    """Both blocks, with the words that only one of them has marked."""
    old_words, new_words = _words_of(old), _words_of(new)
    kept_old, kept_new = set[int](), set[int]()
    if len(old_words) * len(new_words) <= _MOST_WORDS:
        # The same word about letting in and about keeping out is not the same.
        old_keys = [(old[index][0], word.text.strip()) for index, word in old_words]
        new_keys = [(new[index][0], word.text.strip()) for index, word in new_words]
        for i, j, size in SequenceMatcher(None, old_keys, new_keys, autojunk=False).get_matching_blocks():
            kept_old.update(range(i, i + size))
            kept_new.update(range(j, j + size))
    return _joined(old, old_words, kept_old), _joined(new, new_words, kept_new)


def _words_of(lines: Sequence[_Placed]) -> list[tuple[int, Span]]:
    """The words of all sentences, each with its sentence's index; a value is one word."""
    return [
        (index, word)
        for index, (_, sentence) in enumerate(lines)
        for span in sentence.spans
        for word in (
            [Span(text) for text in _WORDS.findall(span.text)] if span.kind is Kind.PLAIN else [span]
        )
    ]


def _joined(lines: Sequence[_Placed], found: Sequence[tuple[int, Span]], kept: set[int]) -> list[_Placed]:
    spans: list[list[Span]] = [[] for _ in lines]
    for position, (index, word) in enumerate(found):
        changed = position not in kept
        last = spans[index][-1] if spans[index] else None
        if last and last.kind is word.kind is Kind.PLAIN and last.changed is changed:
            spans[index][-1] = Span(last.text + word.text, Kind.PLAIN, changed)
        else:
            spans[index].append(replace(word, changed=changed))
    return [
        (place, replace(sentence, spans=tuple(own)))
        for (place, sentence), own in zip(lines, spans, strict=True)
    ]
