"""What the schema's own rules say, each with a passing and a failing example."""

from __future__ import annotations

_FIELD = "dimensionOrMetricFilter: {fieldName: country, "
_MATCH = "stringFilter: {matchType: EXACT, value: Canada}"

SCHEMA_RULES: tuple[tuple[str, str, str, str], ...] = (
    (
        "unknown-key",
        "Every key is one that GA4 or this project knows; nothing is passed over in silence.",
        "displayName: Buyers",
        "dispayName: Buyers",
    ),
    (
        "missing-key",
        "What GA4 requires is there.",
        "eventTrigger: {eventName: joined, logCondition: AUDIENCE_JOINED}",
        "eventTrigger: {eventName: joined}",
    ),
    (
        "wrong-type",
        "A value is text, a number, true or false, a list or a mapping, as its key asks for.",
        "membershipDurationDays: 30",
        'membershipDurationDays: "30"',
    ),
    (
        "unknown-value",
        "A value that is one of a few words is one of those.",
        "dimensionOrMetricFilter: {fieldName: country, stringFilter: {matchType: EXACT, value: Canada}}",
        "dimensionOrMetricFilter: {fieldName: country, stringFilter: {matchType: EQUALS, value: Canada}}",
    ),
    (
        "out-of-range",
        "A number is within its documented bounds.",
        "membershipDurationDays: 540",
        "membershipDurationDays: 541",
    ),
    ("empty-value", "A value that is needed is not left empty.", "displayName: Buyers", 'displayName: ""'),
    (
        "output-only",
        "A file does not set what GA4 sets: name, createTime, adsPersonalizationEnabled.",
        "displayName: Buyers",
        "name: properties/1000/audiences/7",
    ),
    (
        "one-of",
        "Of a union exactly one member is there, and it is not null.",
        f"{_FIELD}{_MATCH}}}",
        f"{_FIELD}inAnyNDayPeriod: 0}}",
    ),
    (
        "bad-format",
        "A duration, day, key, address or number in text is written as such.",
        "manage: {reviewBy: 2027-02-28}",
        "manage: {reviewBy: 2027-02-29}",
    ),
    (
        "nesting",
        "A filterExpression is an andGroup of orGroups of filters; event parameters are an andGroup of them.",
        f"filterExpression:\n  andGroup:\n    - orGroup:\n        - {_FIELD}{_MATCH}}}",
        f"filterExpression:\n  {_FIELD}{_MATCH}}}",
    ),
)
"""Rule id, what it asks for, a passing and a failing example."""
