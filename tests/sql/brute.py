"""Members by trying everything: an evaluator of audiences that shares no code with the compiler.

It reads GA4's JSON of an audience and plain rows of the event export (nested dicts), walks all chains of a
sequence, and knows only the fields that the random cases use. It is slow and meant to be obvious.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
Json = dict[str, Any]


@dataclass(frozen=True)
class Rules:
    """The undocumented readings, by the same words as the product's switches."""

    last_set: bool = False
    never: bool = False
    reuse: bool = False
    renew_all: bool = False


def value_of(record: Row, *names: str) -> Any:
    for name in names:
        if record["value"].get(name) is not None:
            return record["value"][name]
    return None


def record_of(records: list[Row] | None, key: str) -> Row | None:
    return next((each for each in records or [] if each["key"] == key), None)


def as_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def parameter(records: list[Row] | None, key: str, *, number: bool) -> Any:
    record = record_of(records, key)
    if record is None:
        return None
    if number:
        found = value_of(record, "int_value", "double_value", "float_value")
        return None if found is None else float(found)
    return as_text(value_of(record, "string_value", "int_value", "double_value", "float_value"))


def session_of(row: Row) -> int | None:
    record = record_of(row["event_params"], "ga_session_id")
    if record is None:
        return None
    if record["value"].get("int_value") is not None:
        return int(record["value"]["int_value"])
    text = record["value"].get("string_value")
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else None


def order_of(row: Row) -> tuple[Any, ...]:
    low = -(2**63)
    batch = [row.get(name) for name in ("batch_page_id", "batch_ordering_id", "batch_event_index")]
    return (row["event_timestamp"], *(low if each is None else each for each in batch), row["event_name"])


class User:
    """One user's events up to the as-of day, in order."""

    def __init__(self, rows: list[Row], as_of: date) -> None:
        self.as_of = as_of
        until = as_of.strftime("%Y%m%d")
        self.rows = sorted((row for row in rows if row["event_date"] <= until), key=order_of)
        self.sessions = [session_of(row) for row in self.rows]
        self.days = [
            date(int(row["event_date"][:4]), int(row["event_date"][4:6]), int(row["event_date"][6:]))
            for row in self.rows
        ]
        self.times = [row["event_timestamp"] for row in self.rows]

    def within(self, index: int, days: int, until: date | None = None) -> bool:
        end = until or self.as_of
        return end - timedelta(days=days) < self.days[index] <= end

    # fields
    def value(self, index: int, name: str, *, number: bool, inside: bool) -> Any:  # noqa: PLR0911
        row = self.rows[index]
        match name:
            case "eventName":
                return row["event_name"]
            case "country":
                return (row["geo"] or {}).get("country")
            case "deviceCategory":
                return (row["device"] or {}).get("category")
            case "date":
                return row["event_date"]
            case "pagePath":
                found = re.match(r"^https?://[^/?#]+([^?#]*)", self.page(index) or "")
                return found[1] if found else None
            case "landingPage":
                return self.landing(index)
            case "sessionSource":
                return self.source(index)
            case "signedInWithUserId":
                return "yes" if row["user_id"] is not None else "(not set)"
        prefix, _, key = name.partition(":")
        if prefix == "customUser":
            return parameter(row["user_properties"], key, number=number)
        if prefix == "customEvent":
            return parameter(row["event_params"], key, number=number)
        assert inside or name == "method", name
        return parameter(row["event_params"], name, number=number)

    def page(self, index: int) -> Any:
        return parameter(self.rows[index]["event_params"], "page_location", number=False)

    def landing(self, index: int) -> str | None:
        session = self.sessions[index]
        if session is None:
            return None
        for other, row_session in enumerate(self.sessions):
            found = re.match(r"^https?://[^/?#]+([^?#]*)", self.page(other) or "")
            if row_session == session and found:
                return found[1]
        return None

    def source(self, index: int) -> Any:
        record = self.rows[index]["session_traffic_source_last_click"]
        if record is not None:
            cross, manual = record["cross_channel_campaign"] or {}, record["manual_campaign"] or {}
            return cross.get("source") or manual.get("source")
        if self.sessions[index] is None:
            return None
        for other, session in enumerate(self.sessions):
            collected = self.rows[other]["collected_traffic_source"]
            if session == self.sessions[index] and collected is not None:
                return collected["manual_source"]
        return None

    def items(self, index: int, name: str, *, number: bool) -> list[Any]:
        rows = self.rows[index]["items"] or []
        if name.startswith("customItem:"):
            key = name.partition(":")[2]
            return [parameter(item["item_params"], key, number=number) for item in rows]
        column = {"itemName": "item_name", "itemCategory": "item_category"}[name]
        return [item[column] for item in rows]

    # leaves
    def leaf(self, index: int, leaf: Json, *, inside: bool = False) -> bool:
        if "notExpression" in leaf:
            return not self.leaf(index, leaf["notExpression"], inside=inside)
        if "eventFilter" in leaf:
            found = leaf["eventFilter"]
            parameters = found.get("eventParameterFilterExpression", {}).get("andGroup", {})
            return self.rows[index]["event_name"] == found["eventName"] and all(
                self.leaf(index, each, inside=True) for each in parameters.get("filterExpressions", [])
            )
        plain = leaf["dimensionOrMetricFilter"]
        number = "numericFilter" in plain or "betweenFilter" in plain
        name = plain["fieldName"]
        if name.startswith(("item", "customItem:")):
            return any(compare(value, plain) for value in self.items(index, name, number=number))
        return compare(self.value(index, name, number=number, inside=inside), plain)

    def is_set(self, index: int, plain: Json) -> bool:
        number = "numericFilter" in plain or "betweenFilter" in plain
        if plain["fieldName"].startswith(("item", "customItem:")):
            return any(v is not None for v in self.items(index, plain["fieldName"], number=False))
        return self.value(index, plain["fieldName"], number=number, inside=False) is not None


def number_of(data: Json) -> Fraction:
    return Fraction(data["int64Value"]) if "int64Value" in data else Fraction(data["doubleValue"])


def as_number(value: Any) -> Fraction | None:
    try:
        return Fraction(value)
    except ValueError:
        return None


def compare(value: Any, plain: Json) -> bool:
    if value is None:
        return False
    if "numericFilter" in plain or "betweenFilter" in plain:
        return (number := as_number(value)) is not None and compare_number(number, plain)
    found = plain.get("stringFilter") or plain["inListFilter"]
    fold: Callable[[str], str] = (lambda text: text) if found.get("caseSensitive") else str.lower
    if "inListFilter" in plain:
        return fold(value) in {fold(each) for each in found["values"]}
    have, want = fold(value), fold(found["value"])
    match found["matchType"]:
        case "EXACT":
            return have == want
        case "BEGINS_WITH":
            return have.startswith(want)
        case "ENDS_WITH":
            return have.endswith(want)
        case "CONTAINS":
            return want in have
    flags = 0 if found.get("caseSensitive") else re.IGNORECASE
    return re.fullmatch(found["value"], value, flags) is not None


def compare_number(number: Fraction | int, plain: Json) -> bool:
    if "betweenFilter" in plain:
        ends = plain["betweenFilter"]
        return number_of(ends["fromValue"]) <= number <= number_of(ends["toValue"])
    wanted = number_of(plain["numericFilter"]["value"])
    match plain["numericFilter"]["operation"]:
        case "EQUAL":
            return number == wanted
        case "LESS_THAN":
            return number < wanted
    return number > wanted


def nanoseconds(text: str) -> Fraction:
    return Fraction(text[:-1]) * 10**9


@dataclass
class Result:
    holds: bool
    completions: list[int]
    dynamic: bool = False
    counted: bool = False


def groups_of(expression: Json) -> list[list[Json]]:
    return [each["orGroup"]["filterExpressions"] for each in expression["andGroup"]["filterExpressions"]]


def event_count(leaf: Json) -> tuple[str | None, Json, bool] | None:
    """The name, filter and negation of an eventCount leaf."""
    if "eventFilter" in leaf:
        inner = leaf["eventFilter"].get("eventParameterFilterExpression", {}).get("andGroup", {})
        for each in inner.get("filterExpressions", []):
            if found := event_count(each):
                return (leaf["eventFilter"]["eventName"], found[1], found[2])
        return None
    negated = "notExpression" in leaf
    plain = (leaf["notExpression"] if negated else leaf)["dimensionOrMetricFilter"]
    return (None, plain, negated) if plain["fieldName"] == "eventCount" else None


class Evaluator:
    def __init__(self, user: User, rules: Rules) -> None:
        self.user, self.rules = user, rules
        self.all = range(len(user.rows))

    def member(self, audience: Json) -> bool:
        user = self.user
        clauses = [(each["clauseType"], self.clause(each)) for each in audience["filterClauses"]]
        includes = [result for kind, result in clauses if kind == "INCLUDE"]
        if not includes or not all(result.holds for result in includes):
            return False
        days = audience["membershipDurationDays"]
        ends = [max(result.completions) for result in includes if result.completions]
        if not ends:
            return False
        fresh = [user.within(end, days) for end in ends]
        if self.rules.renew_all:
            if len(ends) < len(includes) or not all(fresh):
                return False
        elif not user.within(max(ends), days):
            return False
        latest = max(user.times[end] for end in ends)
        for result in (result for kind, result in clauses if kind == "EXCLUDE"):
            if audience["exclusionDurationMode"] == "EXCLUDE_PERMANENTLY" or result.dynamic or result.counted:
                out = result.holds
            else:
                out = result.holds and max(user.times[end] for end in result.completions) >= latest
            if out:
                return False
        return True

    def clause(self, clause: Json) -> Result:
        if "sequenceFilter" in clause:
            return self.sequence(clause["sequenceFilter"])
        found = clause["simpleFilter"]
        groups = groups_of(found["filterExpression"])
        scope = found["scope"]
        if scope.endswith("SAME_EVENT"):
            ends = [i for i in self.all if all(any(self.user.leaf(i, leaf) for leaf in g) for g in groups)]
            return Result(bool(ends), ends)
        if scope.endswith("SAME_SESSION"):
            return self.one_session(groups)
        return self.across(groups)

    def one_session(self, groups: list[list[Json]]) -> Result:
        user, ends = self.user, []
        for session in {each for each in user.sessions if each is not None}:
            inside = [i for i in self.all if user.sessions[i] == session]
            if all(any(self.in_scope(inside, leaf) for leaf in group) for group in groups):
                ends += [i for i in inside if any(user.leaf(i, leaf) for group in groups for leaf in group)]
                # With "never", a session may satisfy all groups without an event that satisfies one.
        return Result(bool(ends) if not self.rules.never else self.some_session(groups), ends)

    def some_session(self, groups: list[list[Json]]) -> bool:
        user = self.user
        return any(
            all(
                any(self.in_scope([i for i in self.all if user.sessions[i] == s], leaf) for leaf in group)
                for group in groups
            )
            for s in set(user.sessions) - {None}
        )

    def in_scope(self, inside: list[int], leaf: Json) -> bool:
        if self.rules.never and "notExpression" in leaf:
            return not any(self.user.leaf(i, leaf["notExpression"]) for i in inside)
        return any(self.user.leaf(i, leaf) for i in inside)

    def across(self, groups: list[list[Json]]) -> Result:
        result = Result(holds=True, completions=[])
        for group in groups:
            held = [self.atom(leaf, result) for leaf in group]
            result.holds = result.holds and any(held)
        return result

    def atom(self, leaf: Json, result: Result) -> bool:
        user = self.user
        if count := event_count(leaf):
            return self.count(*count, result)
        result.completions += [i for i in self.all if user.leaf(i, leaf)]
        if "eventFilter" in leaf:
            return self.in_scope(list(self.all), leaf)
        negated = "notExpression" in leaf
        plain = (leaf["notExpression"] if negated else leaf)["dimensionOrMetricFilter"]
        if plain.get("atAnyPointInTime"):
            return self.in_scope(list(self.all), leaf)
        result.dynamic = True
        days = plain.get("inAnyNDayPeriod")
        recent = [i for i in self.all if not days or user.within(i, days)]
        if not recent:
            return False
        if self.rules.last_set:
            recent = [i for i in recent if user.is_set(i, plain)]
            if not recent:
                return negated
        return user.leaf(recent[-1], leaf)

    def count(self, name: str | None, plain: Json, negated: bool, result: Result) -> bool:
        user = self.user
        named = [i for i in self.all if name is None or user.rows[i]["event_name"] == name]
        result.completions += named
        days = plain.get("inAnyNDayPeriod")
        if not plain.get("atAnyPointInTime"):
            result.dynamic = True
            total = sum(1 for i in named if not days or user.within(i, days))
            return compare_number(total, plain) != negated
        result.counted = True
        if days:
            totals = [sum(1 for i in named if user.within(i, days, day)) for day in set(user.days)]
        else:
            totals = [sum(1 for i in named if i <= last) for last in self.all]
        if self.rules.never and negated:
            return not any(compare_number(total, plain) for total in totals)
        return any(compare_number(total, plain) != negated for total in totals)

    # sequences
    def sequence(self, sequence: Json) -> Result:
        if sequence["scope"].endswith("SAME_SESSION"):
            parts = [
                [i for i in self.all if self.user.sessions[i] == session]
                for session in {each for each in self.user.sessions if each is not None}
            ]
        else:
            parts = [list(self.all)]
        ends = sorted({end for part in parts for end in self.chains(sequence, part)})
        return Result(bool(ends), ends)

    def chains(self, sequence: Json, part: list[int]) -> Iterator[int]:
        """The last events of all chains among the events of `part`."""
        user, steps = self.user, sequence["sequenceSteps"]
        states: set[tuple[int, int]] = set()
        for number, step in enumerate(steps):
            if number == 0:
                states = {(end, end) for end in self.ends(sequence, step, part, None)}
                continue
            gap = step.get("constraintDuration")
            following: set[tuple[int, int]] = set()
            for start, before in states:
                for end in self.ends(sequence, step, part, before):
                    if gap and (user.times[end] - user.times[before]) * 1000 > nanoseconds(gap):
                        continue
                    if step.get("immediatelyFollows") and part.index(end) != part.index(before) + 1:
                        continue
                    following.add((start, end))
            states = following
        longest = sequence.get("sequenceMaximumDuration")
        for start, end in states:
            if not longest or (user.times[end] - user.times[start]) * 1000 <= nanoseconds(longest):
                yield end

    def ends(self, sequence: Json, step: Json, part: list[int], before: int | None) -> set[int]:
        """The events at which a step can be completed: one event for each group, after the step before."""
        user = self.user
        groups = groups_of(step["filterExpression"])
        one_event = any(each["scope"].endswith("SAME_EVENT") for each in (step, sequence))
        in_session = any(each["scope"].endswith("SAME_SESSION") for each in (step, sequence))
        reuse = self.rules.reuse and not step.get("immediatelyFollows")
        after = [i for i in part if before is None or i > before or (reuse and i == before)]
        matching = [[i for i in after if any(user.leaf(i, leaf) for leaf in group)] for group in groups]
        found = set()
        for chosen in itertools.product(*matching):
            sessions = {user.sessions[i] for i in chosen}
            if one_event and len(set(chosen)) > 1:
                continue
            if in_session and (len(sessions) > 1 or None in sessions):
                continue
            found.add(max(chosen))
        return found


def users_of(rows: list[Row], as_of: date) -> dict[str, User]:
    """The users of the export by user_pseudo_id; rows without one belong to nobody."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["user_pseudo_id"] is not None:
            found.setdefault(row["user_pseudo_id"], []).append(row)
    return {name: User(own, as_of) for name, own in found.items()}


def members(audience: Json, users: dict[str, User], rules: Rules | None = None) -> set[str]:
    """The user_pseudo_ids that are members on the as-of day."""
    return {name for name, user in users.items() if Evaluator(user, rules or Rules()).member(audience)}
