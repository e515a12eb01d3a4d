"""The one table of GA4's audience fields: type, limits, mutability, words; every other room reads it.

Source: the Admin API v1alpha discovery document and proto comments (properties.audiences), and the
Data API's naming of dimensions; `manage` is this project's own block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum


class Kind(Enum):
    """What a JSON value of a field is."""

    TEXT = "text"
    BOOL = "true or false"
    INT32 = "whole number"
    INT64 = "whole number, as JSON text"
    DOUBLE = "number"
    DURATION = 'seconds, as in "3.5s"'
    DATE = "date, YYYY-MM-DD"
    TIMESTAMP = "RFC 3339 time"
    ENUM = "one of"
    MESSAGE = "object"
    ID_OR_MAP = "id, or a map from target to id"
    TEXT_MAP = "map from text to text"


class Scope(StrEnum):
    """Where a filter has to hold."""

    SAME_EVENT = "AUDIENCE_FILTER_SCOPE_WITHIN_SAME_EVENT"
    SAME_SESSION = "AUDIENCE_FILTER_SCOPE_WITHIN_SAME_SESSION"
    ALL_SESSIONS = "AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS"


class ClauseType(StrEnum):
    """Whether a clause lets users in or keeps them out."""

    INCLUDE = "INCLUDE"
    EXCLUDE = "EXCLUDE"


class ExclusionMode(StrEnum):
    """How long an EXCLUDE clause keeps a user out."""

    TEMPORARILY = "EXCLUDE_TEMPORARILY"
    PERMANENTLY = "EXCLUDE_PERMANENTLY"


class LogCondition(StrEnum):
    """When the trigger logs its event."""

    JOINED = "AUDIENCE_JOINED"
    RENEWED = "AUDIENCE_MEMBERSHIP_RENEWED"


class MatchType(StrEnum):
    """How a text is compared."""

    EXACT = "EXACT"
    BEGINS_WITH = "BEGINS_WITH"
    ENDS_WITH = "ENDS_WITH"
    CONTAINS = "CONTAINS"
    FULL_REGEXP = "FULL_REGEXP"


class Operation(StrEnum):
    """How a number is compared; GA4 has no "or equal"."""

    EQUAL = "EQUAL"
    LESS_THAN = "LESS_THAN"
    GREATER_THAN = "GREATER_THAN"


@dataclass(frozen=True, slots=True)
class EnumType:
    """An enum on the wire: JSON words with meaning and protobuf number, and the word for "unset"."""

    python: type[StrEnum]
    unspecified: str
    numbers: tuple[int, ...]
    docs: tuple[str, ...]


ENUMS: dict[str, EnumType] = {
    "AudienceFilterScope": EnumType(
        Scope,
        "AUDIENCE_FILTER_SCOPE_UNSPECIFIED",
        (1, 2, 3),
        (
            "One single event has to satisfy the whole filter.",
            "Events of one session have to satisfy the filter together.",
            "Events of any of the user's sessions may satisfy the filter.",
        ),
    ),
    "AudienceClauseType": EnumType(
        ClauseType,
        "AUDIENCE_CLAUSE_TYPE_UNSPECIFIED",
        (1, 2),
        ("Users who satisfy the clause are let in.", "Users who satisfy the clause are kept out."),
    ),
    "AudienceExclusionDurationMode": EnumType(
        ExclusionMode,
        "AUDIENCE_EXCLUSION_DURATION_MODE_UNSPECIFIED",
        (1, 2),
        (
            "Keeps users out only while they satisfy an EXCLUDE clause.",
            "Keeps users out for good once they have satisfied an EXCLUDE clause.",
        ),
    ),
    "LogCondition": EnumType(
        LogCondition,
        "LOG_CONDITION_UNSPECIFIED",
        (1, 2),
        (
            "Logs the event only when a user joins.",
            "Logs the event each time the conditions are met, for members too.",
        ),
    ),
    "MatchType": EnumType(
        MatchType,
        "MATCH_TYPE_UNSPECIFIED",
        (1, 2, 3, 4, 5),
        (
            "The whole value is this text.",
            "The value begins with this text.",
            "The value ends with this text.",
            "The value contains this text.",
            "An RE2 regular expression matches the whole value.",
        ),
    ),
    "Operation": EnumType(
        Operation,
        "OPERATION_UNSPECIFIED",
        (1, 2, 4),
        ("Equal.", "Less than.", "Greater than; write >= N as GREATER_THAN N-1."),
    ),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of one message; `of` names its message or enum, `union` the one-of group it is in.

    `immutable` means that GA4 takes the value only at creation. `minimum` and `maximum` bound the value
    (both inclusive), `nonempty` a text or list. `named` is a map from free names to messages.
    """

    message: str
    name: str
    kind: Kind
    doc: str
    of: str = ""
    repeated: bool = False
    named: bool = False
    required: bool = False
    immutable: bool = False
    output_only: bool = False
    nonempty: bool = False
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""
    union: str = ""
    default: object = None
    examples: tuple[object, ...] = field(default=(), compare=False)


MAX_MEMBERSHIP_DAYS = 540
MAX_WINDOW_DAYS = 60
INT64_MAX = 2**63 - 1

_EXPRESSION = "AudienceFilterExpression"
_LIST = "AudienceFilterExpressionList"
_NUMBER = "NumericValue"
_SCOPE_DOC = "Where the filter has to hold: one event, one session, or all sessions."

FIELDS: tuple[Field, ...] = (
    # Audience
    Field("Audience", "displayName", Kind.TEXT, "The name people see in GA4.", required=True, nonempty=True, examples=("Cart abandoners",)),
    Field("Audience", "description", Kind.TEXT, "What the audience is for; may be empty.", required=True, examples=("Added to cart, did not buy.",)),
    Field("Audience", "membershipDurationDays", Kind.INT32, "How many days a user stays a member after last meeting the conditions.", required=True, immutable=True, maximum=MAX_MEMBERSHIP_DAYS, examples=(30, 540)),
    Field("Audience", "eventTrigger", Kind.MESSAGE, "An event to log when a user joins.", of="AudienceEventTrigger"),
    Field("Audience", "exclusionDurationMode", Kind.ENUM, "How long EXCLUDE clauses keep users out; without an EXCLUDE clause it is ignored.", of="AudienceExclusionDurationMode", immutable=True),
    Field("Audience", "filterClauses", Kind.MESSAGE, "The conditions; every clause has to hold (AND), their order has no meaning.", of="AudienceFilterClause", repeated=True, required=True, immutable=True, nonempty=True),
    Field("Audience", "name", Kind.TEXT, "The resource name that GA4 gave.", output_only=True, examples=("properties/1000/audiences/7",)),
    Field("Audience", "adsPersonalizationEnabled", Kind.BOOL, "Whether GA4 lets ads be personalized with this audience.", output_only=True),
    Field("Audience", "createTime", Kind.TIMESTAMP, "When GA4 created the audience.", output_only=True),
    Field("Audience", "manage", Kind.MESSAGE, "This project's own block; GA4 never sees it.", of="Manage"),
    # AudienceEventTrigger
    Field("AudienceEventTrigger", "eventName", Kind.TEXT, "The event that is logged.", required=True, nonempty=True, examples=("joined_cart_abandoners",)),
    Field("AudienceEventTrigger", "logCondition", Kind.ENUM, "When the event is logged.", of="LogCondition", required=True),
    # AudienceFilterClause
    Field("AudienceFilterClause", "clauseType", Kind.ENUM, "Whether the clause lets users in or keeps them out.", of="AudienceClauseType", required=True),
    Field("AudienceFilterClause", "simpleFilter", Kind.MESSAGE, "Conditions without an order.", of="AudienceSimpleFilter", union="filter"),
    Field("AudienceFilterClause", "sequenceFilter", Kind.MESSAGE, "Conditions to be met one after the other.", of="AudienceSequenceFilter", union="filter"),
    # AudienceSimpleFilter
    Field("AudienceSimpleFilter", "scope", Kind.ENUM, _SCOPE_DOC, of="AudienceFilterScope", required=True),
    Field("AudienceSimpleFilter", "filterExpression", Kind.MESSAGE, "An andGroup of orGroups of filters.", of=_EXPRESSION, required=True),
    # AudienceSequenceFilter
    Field("AudienceSequenceFilter", "scope", Kind.ENUM, "Where the whole sequence has to happen.", of="AudienceFilterScope", required=True),
    Field("AudienceSequenceFilter", "sequenceMaximumDuration", Kind.DURATION, "The longest time from the first step to the last.", examples=("604800s", "3.5s")),
    Field("AudienceSequenceFilter", "sequenceSteps", Kind.MESSAGE, "The steps, in their order.", of="AudienceSequenceStep", repeated=True, required=True, nonempty=True),
    # AudienceSequenceStep
    Field("AudienceSequenceStep", "scope", Kind.ENUM, "Where this step has to hold.", of="AudienceFilterScope", required=True),
    Field("AudienceSequenceStep", "immediatelyFollows", Kind.BOOL, "Whether this step's event is the very next one after the previous step's; ignored on the first step.", default=False),
    Field("AudienceSequenceStep", "constraintDuration", Kind.DURATION, "The longest time since the previous step; ignored on the first step.", examples=("1800s",)),
    Field("AudienceSequenceStep", "filterExpression", Kind.MESSAGE, "An andGroup of orGroups of filters.", of=_EXPRESSION, required=True),
    # AudienceFilterExpression: NESTING says which of the five may stand where
    Field(_EXPRESSION, "andGroup", Kind.MESSAGE, "All of these have to hold.", of=_LIST, union="expr"),
    Field(_EXPRESSION, "orGroup", Kind.MESSAGE, "Any one of these has to hold.", of=_LIST, union="expr"),
    Field(_EXPRESSION, "notExpression", Kind.MESSAGE, "The filter inside must not hold; it may only be a dimensionOrMetricFilter.", of=_EXPRESSION, union="expr"),
    Field(_EXPRESSION, "dimensionOrMetricFilter", Kind.MESSAGE, "A filter on one dimension or metric.", of="AudienceDimensionOrMetricFilter", union="expr"),
    Field(_EXPRESSION, "eventFilter", Kind.MESSAGE, "Matches events of one name.", of="AudienceEventFilter", union="expr"),
    Field(_LIST, "filterExpressions", Kind.MESSAGE, "The expressions of the group.", of=_EXPRESSION, repeated=True, required=True, nonempty=True),
    # AudienceDimensionOrMetricFilter
    Field("AudienceDimensionOrMetricFilter", "fieldName", Kind.TEXT, "A Data API dimension or metric; custom ones begin with customEvent:, customUser: or customItem:. Inside event parameters: the parameter's bare name.", required=True, nonempty=True, examples=("country", "eventCount", "customUser:plan")),
    Field("AudienceDimensionOrMetricFilter", "atAnyPointInTime", Kind.BOOL, "Whether having met the condition once is enough; only across all sessions.", default=False),
    Field("AudienceDimensionOrMetricFilter", "inAnyNDayPeriod", Kind.INT32, "The number of days over which data is evaluated; only across all sessions.", minimum=0, maximum=MAX_WINDOW_DAYS, examples=(7,)),
    Field("AudienceDimensionOrMetricFilter", "stringFilter", Kind.MESSAGE, "Compares a text.", of="StringFilter", union="one_filter"),
    Field("AudienceDimensionOrMetricFilter", "inListFilter", Kind.MESSAGE, "Compares with a list of texts.", of="InListFilter", union="one_filter"),
    Field("AudienceDimensionOrMetricFilter", "numericFilter", Kind.MESSAGE, "Compares a number or date.", of="NumericFilter", union="one_filter"),
    Field("AudienceDimensionOrMetricFilter", "betweenFilter", Kind.MESSAGE, "Compares with a range, both ends included.", of="BetweenFilter", union="one_filter"),
    # the four conditions
    Field("StringFilter", "matchType", Kind.ENUM, "How the text is compared.", of="MatchType", required=True),
    Field("StringFilter", "value", Kind.TEXT, "The text to compare with.", required=True),
    Field("StringFilter", "caseSensitive", Kind.BOOL, "Whether upper and lower case differ.", default=False),
    Field("InListFilter", "values", Kind.TEXT, "The texts, any of which may match.", repeated=True, required=True, nonempty=True, examples=(["CA", "US"],)),
    Field("InListFilter", "caseSensitive", Kind.BOOL, "Whether upper and lower case differ.", default=False),
    Field("NumericFilter", "operation", Kind.ENUM, "How the number is compared.", of="Operation", required=True),
    Field("NumericFilter", "value", Kind.MESSAGE, "The number to compare with.", of=_NUMBER, required=True),
    Field("BetweenFilter", "fromValue", Kind.MESSAGE, "The lower end, included.", of=_NUMBER, required=True),
    Field("BetweenFilter", "toValue", Kind.MESSAGE, "The upper end, included.", of=_NUMBER, required=True),
    Field(_NUMBER, "int64Value", Kind.INT64, "A whole number; JSON carries it as text.", union="one_value", minimum=-INT64_MAX - 1, maximum=INT64_MAX, examples=("5",)),
    Field(_NUMBER, "doubleValue", Kind.DOUBLE, "A number with a fraction.", union="one_value", examples=(9.99,)),
    # AudienceEventFilter
    Field("AudienceEventFilter", "eventName", Kind.TEXT, "The event's exact name.", required=True, nonempty=True, examples=("add_to_cart",)),
    Field("AudienceEventFilter", "eventParameterFilterExpression", Kind.MESSAGE, "Conditions on the event's parameters: one andGroup of filters.", of=_EXPRESSION),
    # what is ours
    Field("Manage", "key", Kind.TEXT, "The identity of this audience in git; the file's stem where it is left out.", pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", examples=("cart-abandoners",)),
    Field("Manage", "contact", Kind.TEXT, "Who answers for the audience.", nonempty=True, examples=("growth-team",)),
    Field("Manage", "labels", Kind.TEXT, "Free words to group and search by.", repeated=True, nonempty=True, examples=(["remarketing"],)),
    Field("Manage", "reviewBy", Kind.DATE, "The day by which somebody looks at the audience again.", examples=("2027-03-31",)),
    Field("Manage", "preventArchive", Kind.BOOL, "Whether the audience is never archived or replaced; kept in the live mark too.", default=False),
    Field("Manage", "adopt", Kind.ID_OR_MAP, "The id of a live audience to take over, or a map from target to id.", examples=("4711", {"production": "4711"})),
    Field("Manage", "previousKeys", Kind.TEXT, "Keys that this audience had before its file was renamed.", repeated=True, nonempty=True, pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", examples=(["abandoners"],)),
    Field("Manage", "targets", Kind.TEXT, "The targets this audience belongs to; all where it is left out.", repeated=True, nonempty=True, examples=(["production"],)),
)  # fmt: skip

LEAVES = ("dimensionOrMetricFilter", "notExpression", "eventFilter")
NESTING: dict[str, tuple[str, ...]] = {
    "filterExpression": ("andGroup",),
    "filterExpression.andGroup": ("orGroup",),
    "filterExpression.andGroup.orGroup": LEAVES,
    "notExpression": ("dimensionOrMetricFilter",),
    "eventParameterFilterExpression": ("andGroup",),
    "eventParameterFilterExpression.andGroup": ("dimensionOrMetricFilter", "notExpression", "orGroup"),
    "eventParameterFilterExpression.andGroup.orGroup": ("dimensionOrMetricFilter", "notExpression"),
}
"""Which of the five a filter expression may hold, by where it stands.

An orGroup inside event parameters holds exactly one leaf: servers return that shape and it equals the flat
one, although the text asks for a flat andGroup.
"""


def fields_of(message: str) -> tuple[Field, ...]:
    """The fields of one message, in the order in which we write them."""
    return tuple(each for each in FIELDS if each.message == message)


MUTABLE = tuple(
    each.name
    for each in fields_of("Audience")
    if not (each.immutable or each.output_only or each.of == "Manage")
)
"""What a patch may change; everything else is a replacement (Google Help: name, description, trigger)."""
