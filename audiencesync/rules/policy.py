"""The house rules of `policy:` in the settings, each with the place of what breaks it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from audiencesync.fields import MAX_MEMBERSHIP_DAYS
from audiencesync.rules.view import View
from audiencesync.schema.findings import Finding, shown
from audiencesync.settings import Policy
from audiencesync.source import Route

Findings = Iterator[Finding]


def _policy(view: View) -> Policy:
    return view.settings.policy if view.settings else Policy()


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """A regular expression of the settings; None where it is none, which a rule of its own says."""
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


def policy_require(view: View) -> Findings:
    """A manage block says what policy.require asks for.

    Passes:
        settings: {policy: {require: [contact]}}
        manage: {contact: growth-team}

    Fails:
        settings: {policy: {require: [contact]}}
        manage: {labels: [remarketing]}
    """
    for name in _policy(view).require:
        if not view.manage.get(name) and view.whole("manage"):
            text = f"manage.{name} is missing; policy.require asks for it"
            place: Route = ("manage",) if "manage" in view.data else ()
            yield Finding(place, "policy-require", text, f"add:\nmanage:\n  {name}: ...", key=True)


def policy_banned_field(view: View) -> Findings:
    """No filter is on a field that policy.bannedFields names.

    Passes:
        settings: {policy: {bannedFields: [userAgeBracket]}}
        dimensionOrMetricFilter: {fieldName: country, stringFilter: {matchType: EXACT, value: Canada}}

    Fails:
        settings: {policy: {bannedFields: ["user*Bracket"]}}
        dimensionOrMetricFilter: {fieldName: userAgeBracket, stringFilter: {matchType: EXACT, value: x}}
    """
    for pattern in _policy(view).banned_fields:
        expression = re.compile(".*".join(map(re.escape, pattern.split("*"))))
        for leaf in view.leaves:
            name = leaf.data.get("fieldName")
            if isinstance(name, str) and expression.fullmatch(name):
                text = f"fieldName {shown(name)} is banned by policy.bannedFields ({shown(pattern)})"
                yield Finding((*leaf.route, "fieldName"), "policy-banned-field", text, "use another field")


def policy_banned_value(view: View) -> Findings:
    """No compared text holds what policy.bannedValues describes.

    Passes:
        settings: {policy: {bannedValues: ["@"]}}
        dimensionOrMetricFilter: {fieldName: country, stringFilter: {matchType: EXACT, value: Canada}}

    Fails:
        settings: {policy: {bannedValues: ["@"]}}
        dimensionOrMetricFilter: {fieldName: country, stringFilter: {matchType: EXACT, value: a@b.ca}}
    """
    patterns = [one for one in map(compiled, _policy(view).banned_values) if one]
    for place, value in _texts(view) if patterns else ():
        for pattern in patterns:
            if pattern.search(value):
                text = f"the value {shown(value)} is banned by policy.bannedValues ({shown(pattern.pattern)})"
                yield Finding(place, "policy-banned-value", text, "compare with something else")


def _texts(view: View) -> Iterator[tuple[Route, str]]:
    for leaf in view.leaves:
        single, several = leaf.data.get("stringFilter"), leaf.data.get("inListFilter")
        if isinstance(single, dict) and isinstance(single.get("value"), str):
            yield (*leaf.route, "stringFilter", "value"), single["value"]
        if isinstance(several, dict) and isinstance(several.get("values"), list):
            for index, value in enumerate(several["values"]):
                if isinstance(value, str):
                    yield (*leaf.route, "inListFilter", "values", index), value


def policy_membership(view: View) -> Findings:
    """A membershipDurationDays is within policy.membershipDays of every label, and of "*".

    Passes:
        settings: {policy: {membershipDays: {"*": {maximum: 90}}}}
        membershipDurationDays: 90

    Fails:
        settings: {policy: {membershipDays: {"*": {maximum: 90}}}}
        membershipDurationDays: 91
    """
    days = view.data.get("membershipDurationDays")
    if not isinstance(days, int | float) or isinstance(days, bool):
        return
    counted = MAX_MEMBERSHIP_DAYS if days == -1 else days
    labels = view.manage.get("labels")
    own = {"*", *(labels if isinstance(labels, list) else ())}
    for label, low, high in _policy(view).membership_days:
        if label in own and ((low is not None and counted < low) or (high is not None and counted > high)):
            bounds = " and ".join(
                f"{word} {bound}"
                for word, bound in (("at least", low), ("at most", high))
                if bound is not None
            )
            whose = "every audience" if label == "*" else f"the label {shown(label)}"
            text = f"membershipDurationDays is {days}; policy.membershipDays allows {whose} {bounds}"
            yield Finding(("membershipDurationDays",), "policy-membership", text, f"write {bounds}")


def policy_display_name(view: View) -> Findings:
    """A displayName matches policy.displayName as a whole.

    Passes:
        settings: {policy: {displayName: "[A-Z].*"}}
        displayName: Cart abandoners

    Fails:
        settings: {policy: {displayName: "[A-Z].*"}}
        displayName: cart abandoners
    """
    pattern, name = _policy(view).display_name, view.text("displayName")
    expression = compiled(pattern) if pattern else None
    if expression and name and not expression.fullmatch(name):
        text = f"displayName {shown(name)} does not match policy.displayName ({shown(pattern)})"
        yield Finding(("displayName",), "policy-display-name", text, "rename it")
