"""An audience in plain English: a golden text a construct, complete for all, and honest about changes."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiencesync.canonical import fingerprint
from audiencesync.fields import ENUMS, ClauseType, ExclusionMode, LogCondition, MatchType, Operation, Scope
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
from audiencesync.wire import from_api
from audiencesync.words import Description, Kind, Sentence, Span, compare, duration, plain, words
from tests.strategies import audiences, messy

SECOND = 10**9


def text(value: str, match: MatchType = MatchType.EXACT, *, case: bool = False) -> Condition:
    return StringFilter(match, value, case)


def simple(*leaves: Leaf | AnyOf, scope: Scope = Scope.ALL_SESSIONS, out: bool = False) -> Clause:
    groups = tuple(leaf if isinstance(leaf, AnyOf) else AnyOf((leaf,)) for leaf in leaves)
    return Clause(ClauseType.EXCLUDE if out else ClauseType.INCLUDE, SimpleFilter(scope, groups))


def audience(
    *clauses: Clause, mode: ExclusionMode | None = None, trigger: Trigger | None = None, days: int = 30
) -> Audience:
    return Audience("Cart abandoners", "Added to cart.", days, clauses, trigger, mode)


def more_than(count: float, days: int = 0, *, ever: bool = False) -> FieldFilter:
    return FieldFilter("eventCount", NumericFilter(Operation.GREATER_THAN, count), ever, days)


def step(
    name: str, *, scope: Scope = Scope.SAME_EVENT, within: int | None = None, next_: bool = False
) -> Step:
    return Step(scope, (AnyOf((EventFilter(name),)),), next_, within)


def sequence(*steps: Step, within: int | None = None, scope: Scope = Scope.ALL_SESSIONS) -> Clause:
    return Clause(ClauseType.INCLUDE, SequenceFilter(scope, steps, within))


ADD, BUY = EventFilter("add_to_cart"), EventFilter("purchase")
COUNTRY = FieldFilter("country", text("US"))
PRICE = FieldFilter("value", NumericFilter(Operation.GREATER_THAN, 249.99))

CONSTRUCTS: dict[str, Audience] = {
    "scope-event": audience(simple(BUY, COUNTRY, scope=Scope.SAME_EVENT)),
    "scope-session": audience(simple(BUY, COUNTRY, scope=Scope.SAME_SESSION)),
    "scope-all-sessions": audience(simple(BUY, COUNTRY)),
    "one-leaf": audience(simple(ADD)),
    "any-of": audience(simple(AnyOf((ADD, BUY)))),
    "all-of-any-of": audience(simple(AnyOf((ADD, BUY)), COUNTRY)),
    "not": audience(simple(Not(COUNTRY), scope=Scope.SAME_EVENT)),
    "text-begins": audience(simple(FieldFilter("pagePath", text("/sale", MatchType.BEGINS_WITH)))),
    "text-ends": audience(simple(FieldFilter("pagePath", text(".pdf", MatchType.ENDS_WITH)))),
    "text-contains": audience(simple(Not(FieldFilter("pagePath", text("shoe", MatchType.CONTAINS))))),
    "text-regular-expression": audience(
        simple(FieldFilter("pagePath", text("/(sale|outlet)/[a-z]{2}", MatchType.FULL_REGEXP)))
    ),
    "text-case": audience(simple(FieldFilter("coupon", text("SPRING", case=True)))),
    "text-empty": audience(simple(FieldFilter("coupon", text("")))),
    "list": audience(simple(FieldFilter("country", InListFilter(("CA", "US", "MX"))))),
    "list-not": audience(simple(Not(FieldFilter("country", InListFilter(("CA", "US"), True))))),
    "list-of-one": audience(simple(FieldFilter("country", InListFilter(("CA",))))),
    "number-equal": audience(simple(FieldFilter("level", NumericFilter(Operation.EQUAL, 7)))),
    "number-less": audience(simple(FieldFilter("level", NumericFilter(Operation.LESS_THAN, -7)))),
    "number-not-greater": audience(simple(Not(PRICE))),
    "between": audience(simple(FieldFilter("value", BetweenFilter(30, 59.5)))),
    "between-not": audience(simple(Not(FieldFilter("value", BetweenFilter(30, 59))))),
    "name-with-spaces": audience(simple(EventFilter("my event", (FieldFilter("a b", text("c")),)))),
    "custom-dimensions": audience(
        simple(FieldFilter("customUser:tier", text("gold")), FieldFilter("customEvent:paid_by", text("card")))
    ),
    "parameters": audience(
        simple(EventFilter("purchase", (PRICE, Not(FieldFilter("coupon", text("")))))),
    ),
    "parameters-one-event": audience(simple(EventFilter("purchase", (PRICE,)), scope=Scope.SAME_EVENT)),
    "window": audience(simple(FieldFilter("country", text("US"), in_any_n_day_period=1))),
    "ever": audience(simple(FieldFilter("country", text("US"), at_any_point_in_time=True))),
    "ever-window": audience(
        simple(FieldFilter("country", text("US"), at_any_point_in_time=True, in_any_n_day_period=7))
    ),
    "count": audience(simple(EventFilter("purchase", (more_than(2),)))),
    "count-once": audience(simple(EventFilter("purchase", (more_than(1),)))),
    "count-window": audience(simple(EventFilter("purchase", (more_than(2, 60),)))),
    "count-ever": audience(simple(EventFilter("purchase", (more_than(2, ever=True),)))),
    "count-ever-window": audience(simple(EventFilter("purchase", (more_than(9, 7, ever=True),)))),
    "count-fewer": audience(
        simple(
            EventFilter(
                "login", (FieldFilter("eventCount", NumericFilter(Operation.LESS_THAN, 3), False, 14),)
            )
        )
    ),
    "count-exactly": audience(
        simple(EventFilter("login", (FieldFilter("eventCount", NumericFilter(Operation.EQUAL, 3)),)))
    ),
    "count-between": audience(
        simple(EventFilter("login", (FieldFilter("eventCount", BetweenFilter(3, 5)),)))
    ),
    "count-not": audience(simple(EventFilter("purchase", (Not(more_than(2, 60)),)))),
    "count-beside-others": audience(simple(EventFilter("purchase", (more_than(2), PRICE)))),
    "sequence": audience(sequence(step("view_item"), step("add_to_cart"), step("purchase"))),
    "sequence-one-step": audience(sequence(step("view_item"), scope=Scope.SAME_SESSION)),
    "sequence-limits": audience(
        sequence(
            step("view_item"),
            step("add_to_cart", within=5400 * SECOND, next_=True),
            step("purchase", scope=Scope.SAME_SESSION, within=3_500_000_000),
            within=604_800 * SECOND,
        )
    ),
    "sequence-first-step-limits": audience(
        sequence(step("view_item", within=60 * SECOND, next_=True), step("purchase"))
    ),
    "sequence-groups": audience(
        sequence(step("view_item"), Step(Scope.SAME_SESSION, (AnyOf((ADD, COUNTRY)), AnyOf((BUY,)))))
    ),
    "two-includes": audience(
        simple(COUNTRY, scope=Scope.SAME_EVENT), sequence(step("view_item"), step("purchase"))
    ),
    "exclude-temporarily": audience(simple(ADD), simple(BUY, out=True), mode=ExclusionMode.TEMPORARILY),
    "exclude-permanently": audience(simple(ADD), simple(BUY, out=True), mode=ExclusionMode.PERMANENTLY),
    "exclude-without-mode": audience(simple(ADD), simple(BUY, out=True)),
    "exclude-two": audience(
        simple(ADD),
        simple(BUY, out=True),
        simple(COUNTRY, COUNTRY, out=True),
        mode=ExclusionMode.TEMPORARILY,
    ),
    "exclude-only": audience(simple(BUY, out=True), mode=ExclusionMode.PERMANENTLY),
    "mode-without-exclude": audience(simple(ADD), mode=ExclusionMode.TEMPORARILY),
    "membership-one-day": audience(simple(ADD), days=1),
    "membership-longest": audience(simple(ADD), days=-1),
    "no-description": Audience("Cart abandoners", "", 540, (simple(ADD),)),
    "trigger-joined": audience(simple(ADD), trigger=Trigger("cart_left", LogCondition.JOINED)),
    "trigger-renewed": audience(simple(ADD), trigger=Trigger("cart_left", LogCondition.RENEWED)),
}


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_every_construct_has_its_sentence(construct: str, golden: Callable[[str, str], None]) -> None:
    golden(f"words/{construct}.txt", plain(words(CONSTRUCTS[construct])))


@pytest.mark.parametrize(
    ("nanoseconds", "said"),
    [
        (0, "0 seconds"),
        (1, "0.000000001 seconds"),
        (SECOND, "1 second"),
        (3_500_000_000, "3.5 seconds"),
        (60 * SECOND, "1 minute"),
        (5400 * SECOND, "1 hour 30 minutes"),
        (90_500_000_000, "1 minute 30.5 seconds"),
        (604_800 * SECOND, "7 days"),
        (86_401 * SECOND + 1, "1 day 1.000000001 seconds"),
    ],
)
def test_durations_are_exact(nanoseconds: int, said: str) -> None:
    assert duration(nanoseconds) == said


def values(found: Audience) -> Iterator[str]:
    """Every value of a definition, as a reader expects to see it."""
    yield found.display_name
    yield found.description
    yield str(found.membership_duration_days)
    if found.trigger:
        yield found.trigger.event_name
    for clause in found.clauses:
        match clause.filter:
            case SimpleFilter(_, groups):
                yield from leaf_values(groups)
            case SequenceFilter(_, steps, maximum):
                yield from [] if maximum is None else [duration(maximum)]
                for each in steps:
                    yield from (
                        [] if each.constraint_duration is None else [duration(each.constraint_duration)]
                    )
                    yield from leaf_values(each.groups)


def leaf_values(groups: tuple[AnyOf, ...]) -> Iterator[str]:
    for leaf in (leaf for group in groups for leaf in group.leaves):
        if isinstance(leaf, EventFilter):
            yield leaf.event_name
            for parameter in leaf.parameters:
                yield from field_values(parameter)
        else:
            yield from field_values(leaf)


def field_values(leaf: FieldFilter | Not) -> Iterator[str]:
    found = leaf.filter if isinstance(leaf, Not) else leaf
    if found.field_name != "eventCount":  # a count is said as "3 times"
        yield found.field_name
    yield from [f"{found.in_any_n_day_period} day"] if found.in_any_n_day_period else []
    match found.condition:
        case StringFilter(_, value):
            yield value
        case InListFilter(items):
            yield from items
        case NumericFilter(_, number):
            yield str(number)
        case BetweenFilter(low, high):
            yield from (str(low), str(high))


ENUM_WORDS = [word.value for kind in ENUMS.values() for word in kind.python]


@given(audiences())
@settings(max_examples=60)
def test_every_value_occurs_and_no_word_of_the_wire(found: Audience) -> None:
    said = plain(words(found))
    for value in values(found):
        assert value in said
    # The user's own texts may hold anything; what we add to them may not.
    ours = "".join(span.text for span in spans(words(found)) if span.kind is Kind.PLAIN)
    assert not re.search(r"[{}\[\]]", ours)
    assert not [word for word in ENUM_WORDS if word in ours]


def spans(description: Description) -> Iterator[Span]:
    for sentence in description:
        yield from sentence.spans
        yield from spans(sentence.children)


@given(audiences(), audiences(), st.data())
@settings(max_examples=50)
def test_a_difference_is_never_silent(one: Audience, other: Audience, data: st.DataObject) -> None:
    """Two audiences that differ to GA4 differ in words: one part of one is put into the other."""
    part = data.draw(st.sampled_from(("membership_duration_days", "clauses", "trigger", "exclusion_mode")))
    changed = replace(one, **{part: getattr(other, part)})
    if fingerprint(one) != fingerprint(changed):
        before, after = compare(one, changed)
        assert any(span.changed for side in (before, after) for span in spans(side))


@given(audiences(), st.data())
@settings(max_examples=50)
def test_what_means_the_same_has_no_marked_word(found: Audience, data: st.DataObject) -> None:
    shuffled = shuffle(found, data)
    before, after = compare(shuffled, found)
    assert not [span for side in (before, after) for span in spans(side) if span.changed]
    assert plain(before) == plain(after) == plain(words(found))


T = TypeVar("T")


def shuffle(found: Audience, data: st.DataObject) -> Audience:
    """The same audience with everything whose order has no meaning in another order."""

    def mixed(items: Iterable[T]) -> tuple[T, ...]:
        return tuple(data.draw(st.permutations(tuple(items))))

    def leaf(item: Leaf) -> Leaf:
        match item:
            case EventFilter(name, parameters):
                return EventFilter(name, mixed(parameters))
            case FieldFilter(_, InListFilter(items, case)):
                return replace(item, condition=InListFilter(mixed(items), case))
            case _:
                return item

    def groups(items: AllOf) -> AllOf:
        return mixed(AnyOf(mixed(map(leaf, item.leaves))) for item in items)

    def clause(item: Clause) -> Clause:
        match item.filter:
            case SimpleFilter(scope, inside):
                return Clause(item.type, SimpleFilter(scope, groups(inside)))
            case SequenceFilter(scope, steps, maximum):
                ordered = tuple(replace(each, groups=groups(each.groups)) for each in steps)
                return Clause(item.type, SequenceFilter(scope, ordered, maximum))

    return replace(found, clauses=mixed(map(clause, found.clauses)))


def test_a_changed_value_is_marked_and_nothing_else() -> None:
    before, after = compare(
        audience(simple(EventFilter("purchase", (PRICE,)))),
        audience(
            simple(
                EventFilter("purchase", (replace(PRICE, condition=NumericFilter(Operation.LESS_THAN, 5)),))
            )
        ),
    )
    marked = [[span.text.strip() for span in spans(side) if span.changed] for side in (before, after)]
    assert marked == [["greater", "249.99"], ["less", "5"]]
    _, longer = compare(audience(simple(ADD)), audience(simple(ADD), simple(COUNTRY, scope=Scope.SAME_EVENT)))
    assert not [span for span in spans(longer) if span.text == "add_to_cart" and span.changed]


def test_an_added_clause_is_marked_whole() -> None:
    before, after = compare(
        audience(simple(ADD)), audience(simple(ADD), simple(BUY, out=True), mode=ExclusionMode.TEMPORARILY)
    )
    assert not [span for span in spans(before) if span.changed]
    added = [sentence for sentence in after if all(span.changed for span in sentence.spans)]
    assert [sentence.text for sentence in added] == [
        "A user is kept out when, across all sessions, the event purchase occurs.",
        "The user is kept out only while this holds, and may come back afterwards.",
    ]


def test_a_condition_that_moves_from_letting_in_to_keeping_out_is_marked() -> None:
    other = simple(COUNTRY, out=True)
    before, after = compare(
        audience(simple(AnyOf((ADD, BUY))), other), audience(simple(AnyOf((ADD, BUY)), out=True), other)
    )
    assert any(span.changed and span.text == "add_to_cart" for span in spans(before))
    assert any(span.changed and span.text == "add_to_cart" for span in spans(after))


def test_the_other_side_is_said_in_the_same_order() -> None:
    before = audience(simple(FieldFilter("country", InListFilter(("US", "CA", "MX")))), simple(BUY))
    after = audience(simple(BUY), simple(FieldFilter("country", InListFilter(("CA", "US")))))
    said, _ = compare(before, after)
    assert "is one of “CA”, “US” or “MX”" in plain(said)
    assert plain(said).index("purchase") < plain(said).index("country")


def test_long_audiences_are_compared_in_good_time() -> None:
    many = tuple(AnyOf(tuple(FieldFilter(f"f{i}", text(f"v{i} {j}")) for j in range(20))) for i in range(50))
    clause = Clause(ClauseType.INCLUDE, SimpleFilter(Scope.SAME_EVENT, many))
    other = Clause(ClauseType.INCLUDE, SimpleFilter(Scope.ALL_SESSIONS, many[::-1]))
    before, after = compare(audience(clause), audience(other))
    assert any(span.changed for side in (before, after) for span in spans(side))


@given(audiences().flatmap(messy))
@settings(max_examples=30)
def test_words_end_each_sentence(data: dict[str, object]) -> None:
    first, *others = words(from_api(data))
    assert isinstance(first, Sentence)
    for sentence in others:
        assert sentence.text.endswith(":" if sentence.children else ".")
