"""Rules about what clauses, steps, groups and filters say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from audiencesync import regexps
from audiencesync.fields import MAX_MEMBERSHIP_DAYS, Scope
from audiencesync.rules.view import Json, Leaf, View, condition_of, number_of
from audiencesync.schema.findings import Finding, at, nearest, shown
from audiencesync.schema.rewrite import lines
from audiencesync.source import Route
from audiencesync.wire import parse_duration

Findings = Iterator[Finding]


_MAX_COMPARED = 500


def _narrow(leaf: Leaf) -> tuple[Route, object]:
    """The first scope in force that is not ACROSS_ALL_SESSIONS."""
    return next((each for each in leaf.scopes if each[1] not in (Scope.ALL_SESSIONS, None)), leaf.scopes[0])


def _window(view: View, name: str, rule: str) -> Findings:
    for leaf in view.leaves:
        value = leaf.data.get(name)
        if leaf.name != "dimensionOrMetricFilter" or not value or leaf.everywhere:
            continue
        route, scope = _narrow(leaf)
        whose = "the step" if "sequenceSteps" in route else str(route[-2])
        text = f"{name} is only allowed {Scope.ALL_SESSIONS}; the scope of {whose} is {scope}"
        both = " (the sequence's and the step's)" if len(leaf.scopes) > 1 else ""
        way = f"remove {name}, or write scope: {Scope.ALL_SESSIONS}{both}"
        yield Finding(
            (*leaf.route, name), rule, text.replace("allowed AUD", "allowed with AUD"), way, key=True
        )


def at_any_point_in_time_scope(view: View) -> Findings:
    """A filter has atAnyPointInTime only where every scope in force is ACROSS_ALL_SESSIONS.

    Passes:
        scope: AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS
        dimensionOrMetricFilter:
          fieldName: eventCount
          atAnyPointInTime: true
          numericFilter: {operation: GREATER_THAN, value: {int64Value: "5"}}

    Fails:
        scope: AUDIENCE_FILTER_SCOPE_WITHIN_SAME_SESSION
        dimensionOrMetricFilter:
          fieldName: eventCount
          atAnyPointInTime: true
          numericFilter: {operation: GREATER_THAN, value: {int64Value: "5"}}
    """
    return _window(view, "atAnyPointInTime", "at-any-point-in-time-scope")


def in_any_n_day_period_scope(view: View) -> Findings:
    """A filter has inAnyNDayPeriod only where every scope in force is ACROSS_ALL_SESSIONS.

    Passes:
        scope: AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS
        dimensionOrMetricFilter:
          fieldName: eventCount
          inAnyNDayPeriod: 7
          numericFilter: {operation: GREATER_THAN, value: {int64Value: "5"}}

    Fails:
        scope: AUDIENCE_FILTER_SCOPE_WITHIN_SAME_EVENT
        dimensionOrMetricFilter:
          fieldName: eventCount
          inAnyNDayPeriod: 7
          numericFilter: {operation: GREATER_THAN, value: {int64Value: "5"}}
    """
    return _window(view, "inAnyNDayPeriod", "in-any-n-day-period-scope")


def full_regexp(view: View) -> Findings:
    """A FULL_REGEXP is a regular expression of RE2.

    Passes:
        dimensionOrMetricFilter:
          fieldName: pagePath
          stringFilter: {matchType: FULL_REGEXP, value: "/shop/(shoes|hats)/.*"}

    Fails:
        dimensionOrMetricFilter:
          fieldName: pagePath
          stringFilter: {matchType: FULL_REGEXP, value: "/shop/(?!sale).*"}
    """
    for leaf in view.leaves:
        inner = leaf.data.get("stringFilter")
        if not isinstance(inner, dict) or inner.get("matchType") != "FULL_REGEXP":
            continue
        value = inner.get("value")
        error = regexps.fault(value) if isinstance(value, str) else ""
        if error:
            text = f"value {shown(value)} is no RE2 regular expression: {error}"
            way = "correct it"
            if re.search(r"\(\?<?[=!]", str(value)):
                way = "RE2 has no look-around: put what must not match under notExpression, or list what may"
            elif re.search(r"\\[1-9]", str(value)):
                way = "RE2 has no back-references: write the repeated part out"
            yield Finding((*leaf.route, "stringFilter", "value"), "full-regexp", text, way)


def exclude_without_mode(view: View) -> Findings:
    """An EXCLUDE clause comes with an exclusionDurationMode; authors report empty audiences without one.

    Passes:
        exclusionDurationMode: EXCLUDE_TEMPORARILY
        filterClauses:
          - clauseType: INCLUDE
            eventFilter: {eventName: add_to_cart}
          - clauseType: EXCLUDE
            eventFilter: {eventName: purchase}

    Fails:
        filterClauses:
          - clauseType: INCLUDE
            eventFilter: {eventName: add_to_cart}
          - clauseType: EXCLUDE
            eventFilter: {eventName: purchase}
    """
    if view.data.get("exclusionDurationMode") is not None or not view.whole("exclusionDurationMode"):
        return
    for route, clause in view.clauses:
        if clause.get("clauseType") == "EXCLUDE":
            text = (
                "an EXCLUDE clause without exclusionDurationMode; such audiences are reported to stay empty"
            )
            way = (
                "add `exclusionDurationMode: EXCLUDE_TEMPORARILY` (or EXCLUDE_PERMANENTLY) at the left margin"
            )
            yield Finding((*route, "clauseType"), "exclude-without-mode", text, way)
            return


def mode_without_exclude(view: View) -> Findings:
    """An exclusionDurationMode comes with an EXCLUDE clause; without one GA4 ignores it.

    Passes:
        exclusionDurationMode: EXCLUDE_PERMANENTLY
        filterClauses:
          - clauseType: INCLUDE
            eventFilter: {eventName: add_to_cart}
          - clauseType: EXCLUDE
            eventFilter: {eventName: purchase}

    Fails:
        exclusionDurationMode: EXCLUDE_PERMANENTLY
        filterClauses:
          - clauseType: INCLUDE
            eventFilter: {eventName: add_to_cart}
    """
    if view.data.get("exclusionDurationMode") is None or view.excludes or not view.whole("filterClauses"):
        return
    text = "exclusionDurationMode is ignored: there is no EXCLUDE clause"
    yield Finding(("exclusionDurationMode",), "mode-without-exclude", text, "remove it", key=True)


def no_include(view: View) -> Findings:
    """At least one clause is an INCLUDE clause.

    Passes:
        filterClauses:
          - clauseType: INCLUDE
            eventFilter: {eventName: add_to_cart}

    Fails:
        exclusionDurationMode: EXCLUDE_TEMPORARILY
        filterClauses:
          - clauseType: EXCLUDE
            eventFilter: {eventName: purchase}
    """
    if not view.clauses or not view.whole("filterClauses"):
        return
    if all(clause.get("clauseType") == "EXCLUDE" for _, clause in view.clauses):
        text = "every clause is an EXCLUDE clause; nothing says whom to let in"
        yield Finding(("filterClauses",), "no-include", text, "add an INCLUDE clause", key=True)


def first_step(view: View) -> Findings:
    """The first step has no constraintDuration or immediatelyFollows: GA4 ignores them there.

    Passes:
        sequenceSteps:
          - eventFilter: {eventName: begin_checkout}
          - constraintDuration: 1800s
            eventFilter: {eventName: purchase}

    Fails:
        sequenceSteps:
          - constraintDuration: 1800s
            eventFilter: {eventName: begin_checkout}
          - eventFilter: {eventName: purchase}
    """
    for route, number, step, _ in view.steps:
        for name in ("constraintDuration", "immediatelyFollows"):
            if number == 0 and step.get(name):
                text = f"{name} is ignored on the first step: there is no step before it"
                yield Finding((*route, name), "first-step", text, "move it to the step it is about", key=True)


def constraint_above_maximum(view: View) -> Findings:
    """A constraintDuration is not longer than the whole sequence may last.

    Passes:
        sequenceMaximumDuration: 3600s
        sequenceSteps:
          - eventFilter: {eventName: begin_checkout}
          - constraintDuration: 3600s
            eventFilter: {eventName: purchase}

    Fails:
        sequenceMaximumDuration: 3600s
        sequenceSteps:
          - eventFilter: {eventName: begin_checkout}
          - constraintDuration: 3601s
            eventFilter: {eventName: purchase}
    """
    for route, number, step, sequence in view.steps:
        own, whole = (
            _seconds(step.get("constraintDuration")),
            _seconds(sequence.get("sequenceMaximumDuration")),
        )
        if number and own is not None and whole is not None and own > whole:
            text = (
                f"constraintDuration {step['constraintDuration']} is longer than "
                f"sequenceMaximumDuration {sequence['sequenceMaximumDuration']}, so it never decides"
            )
            place = (*route, "constraintDuration")
            yield Finding(place, "constraint-above-maximum", text, "shorten it, or lengthen the sequence")


def _seconds(value: object) -> int | None:
    return parse_duration(value) if isinstance(value, str) else None


def event_count_beside_others(view: View) -> Findings:
    """Beside an eventCount filter GA4 evaluates no other parameter filter of the same event.

    Passes:
        eventFilter:
          eventName: purchase
          eventParameterFilterExpression:
            andGroup:
              filterExpressions:
                - dimensionOrMetricFilter:
                    fieldName: eventCount
                    numericFilter: {operation: GREATER_THAN, value: {int64Value: "2"}}

    Fails:
        eventFilter:
          eventName: purchase
          eventParameterFilterExpression:
            andGroup:
              filterExpressions:
                - dimensionOrMetricFilter:
                    fieldName: eventCount
                    numericFilter: {operation: GREATER_THAN, value: {int64Value: "2"}}
                - dimensionOrMetricFilter:
                    fieldName: coupon
                    stringFilter: {matchType: EXACT, value: SUMMER}
    """
    by_event: dict[Route, list[Leaf]] = {}
    for leaf in view.leaves:
        if leaf.inside_event and leaf.name == "dimensionOrMetricFilter":
            by_event.setdefault(leaf.top, []).append(leaf)
    for leaves in by_event.values():
        others = [leaf for leaf in leaves if leaf.data.get("fieldName") != "eventCount"]
        if others and len(others) < len(leaves):
            name = others[0].data.get("fieldName")
            text = f"the filter on {shown(name)} is ignored: beside eventCount GA4 evaluates only eventCount"
            way = "count in one eventFilter, and put the other parameters into another"
            yield Finding((*others[0].route, "fieldName"), "event-count-beside-others", text, way)


def between_reversed(view: View) -> Findings:
    """A between runs from the smaller number to the larger one.

    Passes:
        dimensionOrMetricFilter:
          fieldName: eventCount
          betweenFilter: {fromValue: {int64Value: "2"}, toValue: {int64Value: "2"}}

    Fails:
        dimensionOrMetricFilter:
          fieldName: eventCount
          betweenFilter: {fromValue: {int64Value: "5"}, toValue: {int64Value: "2"}}
    """
    for leaf in view.leaves:
        inner = leaf.data.get("betweenFilter")
        if isinstance(inner, dict):
            low, high = number_of(inner.get("fromValue")), number_of(inner.get("toValue"))
            if low is not None and high is not None and low > high:
                text = f"the range from {low} to {high} is empty: fromValue exceeds toValue"
                yield Finding((*leaf.route, "betweenFilter"), "between-reversed", text, "swap them", key=True)


def same_leaf_twice(view: View) -> Findings:
    """An orGroup holds each filter once.

    Passes:
        orGroup:
          - eventFilter: {eventName: purchase}
          - eventFilter: {eventName: refund}

    Fails:
        orGroup:
          - eventFilter: {eventName: purchase}
          - eventFilter: {eventName: purchase}
    """
    for _, members, _ in view.groups:
        seen: set[str] = set()
        # Most leaves differ in what they are about, which is quick to see.
        if len(members) == 1 or len({_about(one) for _, one in members}) == len(members):
            continue
        for place, member in members:
            text = json.dumps(_plain(member), sort_keys=True)
            if text in seen:
                message = "this filter stands in the orGroup already; saying it twice changes nothing"
                yield Finding(place, "same-leaf-twice", message, "remove one of the two")
            seen.add(text)


def _about(leaf: Json) -> tuple[str, str]:
    """What a leaf is about: equal leaves are about the same."""
    for name, inner in leaf.items():
        if isinstance(inner, dict):
            return name, str(inner.get("eventName", inner.get("fieldName")))
    return "", ""


def _plain(value: object) -> Any:  # noqa: ANN401 - plain data of any shape
    """Data without what says nothing: nulls, defaults, and the kind of a whole number."""
    if isinstance(value, dict):
        inner = {name: _plain(one) for name, one in value.items()}
        return {
            name: str(one) if name == "int64Value" else one
            for name, one in inner.items()
            if one is not None and one is not False
        }
    return [_plain(one) for one in value] if isinstance(value, list) else value


def and_not_or(view: View) -> Findings:
    """INCLUDE clauses are AND'ed: one clause for each value of a field lets in nobody, or few.

    Passes:
        orGroup:
          - dimensionOrMetricFilter: {fieldName: pagePath, stringFilter: {matchType: EXACT, value: /shoes}}
          - dimensionOrMetricFilter: {fieldName: pagePath, stringFilter: {matchType: EXACT, value: /hats}}

    Fails:
        filterClauses:
          - clauseType: INCLUDE
            dimensionOrMetricFilter: {fieldName: pagePath, stringFilter: {matchType: EXACT, value: /shoes}}
          - clauseType: INCLUDE
            dimensionOrMetricFilter: {fieldName: pagePath, stringFilter: {matchType: EXACT, value: /hats}}
    """
    seen: dict[str, tuple[str, Json]] = {}
    for route, members, clause in view.groups:
        kind = at(view.data, ("filterClauses", clause, "clauseType"))
        alone = sum(1 for _, _, other in view.groups if other == clause) == 1
        if kind != "INCLUDE" or not alone or len(members) != 1 or "sequenceSteps" in route:
            continue
        ((place, leaf),) = members
        what, value = _asked(leaf)
        if not what:
            continue
        first = seen.setdefault(what, (value, leaf))
        if first[0] != value:
            text = f"another INCLUDE clause asks {what} for another value; clauses are AND'ed, not OR'ed"
            both = {"orGroup": {"filterExpressions": [first[1], leaf]}}
            way = f"to let in users with either value, write one clause with both:\n{lines(both)}"
            yield Finding(place, "and-not-or", text, way)


def _asked(leaf: Json) -> tuple[str, str]:
    """What a leaf asks for a text, and which; ("", "") where it compares no text."""
    field, event = leaf.get("dimensionOrMetricFilter"), leaf.get("eventFilter")
    if isinstance(field, dict):
        name, condition = condition_of(field)
        if name in {"stringFilter", "inListFilter"}:
            return f"the field {shown(field.get('fieldName'))}", json.dumps(_plain(condition), sort_keys=True)
    if isinstance(event, dict):
        members = at(event, ("eventParameterFilterExpression", "andGroup", "filterExpressions"))
        names = sorted(str(at(one, ("dimensionOrMetricFilter", "fieldName"))) for one in members or ())
        texts = [condition_of(at(one, ("dimensionOrMetricFilter",)) or {})[0] for one in members or ()]
        if names and set(texts) <= {"stringFilter", "inListFilter"}:
            what = f"the event {shown(event.get('eventName'))} ({', '.join(names)})"
            return what, json.dumps(_plain(members), sort_keys=True)
    return "", ""


def near_field_name(view: View) -> Findings:
    """A fieldName is not nearly a documented dimension or metric; inside event parameters any name goes.

    Passes:
        dimensionOrMetricFilter: {fieldName: deviceCategory, stringFilter: {matchType: EXACT, value: mobile}}

    Fails:
        dimensionOrMetricFilter: {fieldName: deviceCategry, stringFilter: {matchType: EXACT, value: mobile}}
    """
    # A file of more leaves is made by a program, and comparing each with all known names would take long.
    for leaf in view.leaves[:_MAX_COMPARED]:
        name = leaf.data.get("fieldName")
        if leaf.name != "dimensionOrMetricFilter" or leaf.inside_event or not isinstance(name, str):
            continue
        guess = _meant(name)
        if guess:
            text = f"fieldName {shown(name)} is not a documented dimension or metric; {guess} is"
            way = f"write {guess}, or a prefix for a custom one: customEvent:, customUser: or customItem:"
            yield Finding((*leaf.route, "fieldName"), "near-field-name", text, way)


@lru_cache(maxsize=4096)
def _meant(name: str) -> str:
    """The documented name that nearly is this one; "" where it is documented, custom, or like none."""
    from audiencesync.known_fields import OTHER_NAMES
    from audiencesync.sql.events import CUSTOM_PREFIXES, NAMES

    if name in NAMES or name in OTHER_NAMES or name.startswith(CUSTOM_PREFIXES):
        return ""
    prefix, colon, rest = name.partition(":")
    if colon:
        guess = nearest(prefix, [one.rstrip(":") for one in CUSTOM_PREFIXES])
        return f"{guess}:{rest}" if guess else ""
    return nearest(name, [*NAMES, *sorted(OTHER_NAMES)], cutoff=0.85)


def membership_minimum(view: View) -> Findings:
    """A membershipDurationDays is at least 1; -1 is read as 540.

    Passes:
        membershipDurationDays: 1

    Fails:
        membershipDurationDays: -1
    """
    days = view.data.get("membershipDurationDays")
    if not isinstance(days, int | float) or isinstance(days, bool) or days >= 1:
        return
    place = ("membershipDurationDays",)
    if days == -1:
        text = f"membershipDurationDays -1 is read as the longest, {MAX_MEMBERSHIP_DAYS}"
        yield Finding(place, "membership-minimum", text, f"write {MAX_MEMBERSHIP_DAYS}")
        return
    text = f"membershipDurationDays is {days}; a membership lasts at least 1 day"
    yield Finding(place, "membership-minimum", text, f"write 1 to {MAX_MEMBERSHIP_DAYS}")
