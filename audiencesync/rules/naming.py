"""Rules about names and texts: what they promise, and how GA4 reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from audiencesync import mark
from audiencesync.rules.view import Leaf, View, condition_of, number_of
from audiencesync.rules.workspace import stem
from audiencesync.schema.findings import Finding, shown

Findings = Iterator[Finding]

_NEGATION = re.compile(r"\b(did not|didn['\u2019]?t|without|never)\b", re.IGNORECASE)
_SESSIONS = re.compile(
    r"\b(?:two|three|four|five|[2-9]|[1-9][0-9]+|multiple|several|many|repeat(?:ed)?)\+?"
    r"(?: or more| plus)? (?:sessions|visits)\b|\breturning (?:users|visitors)\b",
    re.IGNORECASE,
)
_DAYS = re.compile(
    r"\b(?:last|past|previous|within|in) (?:the )?(?:last |past )?([0-9]{1,3})[ -]days?\b", re.IGNORECASE
)
_WORDS = {
    _NEGATION: ("did", "without", "never"),
    _SESSIONS: ("sessions", "visits", "returning"),
    _DAYS: ("day",),
}
MAX_EVENT_NAME = 40
_EVENT_NAME = re.compile(r"[^\W\d_]\w*")
RESERVED_PREFIXES = ("ga_", "google_", "firebase_")
_AUTOMATIC = (
    "ad_activeview ad_click ad_exposure ad_impression ad_query ad_reward adunit_exposure app_background "
    "app_clear_data app_exception app_install app_remove app_store_refund app_store_subscription_cancel "
    "app_store_subscription_convert app_store_subscription_renew app_update app_upgrade click "
    "dynamic_link_app_open dynamic_link_app_update dynamic_link_first_open error file_download "
    "firebase_campaign firebase_in_app_message_action firebase_in_app_message_dismiss "
    "firebase_in_app_message_impression "
    "first_open first_visit form_start form_submit in_app_purchase notification_dismiss "
    "notification_foreground notification_open notification_receive notification_send os_update page_view "
    "screen_view scroll session_start session_start_with_rollout user_engagement video_complete "
    "video_progress video_start view_complete view_search_results"
)
AUTOMATIC_EVENTS = frozenset(_AUTOMATIC.split())
"""Google Help, "Automatically collected events", "Enhanced measurement events" and "Event naming rules"."""


def mark_in_description(view: View) -> Findings:
    """A description holds nothing that looks like the ownership mark, which is written by apply alone.

    Passes:
        description: Kept by the growth team.

    Fails:
        description: "Kept by us. [audiencesync acme-web:cart g1 @4711 pz7k]"
    """
    if mark.looks_like_mark(view.text("description")):
        text = "the description holds what looks like an ownership mark; apply writes the mark itself"
        yield Finding(
            ("description",), "mark-in-description", text, "remove [audiencesync ...] from the text"
        )


def description_length(view: View) -> Findings:
    """A description and its mark fit into limits.description, where the settings have one.

    Passes:
        settings: {limits: {description: 100}}
        description: Short.

    Fails:
        settings: {limits: {description: 100}}
        description: A text that is not long in itself, yet with the mark behind it it is.
    """
    if view.settings is None or not view.whole("description"):
        return
    own = view.manage
    key = own.get("key") if isinstance(own.get("key"), str) else stem(view.path)
    widest = mark.Mark(view.settings.owner, str(key), 10, "9" * 12, bool(own.get("preventArchive")))
    length = len(mark.attach(view.text("description"), widest, ""))
    limits = [target.limits.description for target in view.settings.targets if _belongs(view, target.name)]
    limit = min((one for one in limits if one is not None), default=None)
    if limit is not None and length > limit:
        text = f"the description has {length} characters with its mark; limits.description allows {limit}"
        way = f"shorten the text by {length - limit} characters"
        yield Finding(("description",), "description-length", text, way)


def _belongs(view: View, target: str) -> bool:
    wanted = view.manage.get("targets")
    return not isinstance(wanted, list) or target in wanted


def negation_without_exclusion(view: View) -> Findings:
    """An audience that says "did not", "didn't", "without" or "never" takes something away.

    Passes:
        displayName: Added to cart, never bought
        exclusionDurationMode: EXCLUDE_PERMANENTLY
        filterClauses:
          - clauseType: INCLUDE
            eventFilter: {eventName: add_to_cart}
          - clauseType: EXCLUDE
            eventFilter: {eventName: purchase}

    Fails:
        displayName: Added to cart, never bought
        filterClauses:
          - clauseType: INCLUDE
            eventFilter: {eventName: add_to_cart}
    """
    said = _said(view, _NEGATION)
    if not said or not view.clauses or not view.whole("filterClauses"):
        return
    if not view.excludes and not any(map(_takes_away, view.leaves)):
        name, found = said
        text = f"{name} says {shown(found[0])}, yet nothing is excluded, negated or counted down"
        way = "add an EXCLUDE clause for what they did not do, or change the text"
        yield Finding((name,), "negation-without-exclusion", text, way)


def _said(view: View, pattern: re.Pattern[str]) -> tuple[str, re.Match[str]] | None:
    """The first of displayName and description in which a pattern is found, and what it found."""
    for name in ("displayName", "description"):
        text = view.text(name)
        # The patterns are slow on text that has none of their words, and most text has none.
        if any(word in text.lower() for word in _WORDS[pattern]) and (found := pattern.search(text)):
            return name, found
    return None


def _takes_away(leaf: Leaf) -> bool:
    name, inner = condition_of(leaf.data)
    if leaf.negated:
        return True
    if name == "numericFilter":
        counted = inner.get("operation") == "EQUAL" and number_of(inner.get("value")) == 0
        return inner.get("operation") == "LESS_THAN" or counted
    return name == "betweenFilter" and number_of(inner.get("fromValue")) == 0


def several_sessions_as_one(view: View) -> Findings:
    """An audience of users with several sessions counts session_start; one session_start is one session.

    Passes:
        displayName: Two or more sessions
        eventFilter:
          eventName: session_start
          eventParameterFilterExpression:
            andGroup:
              filterExpressions:
                - dimensionOrMetricFilter:
                    fieldName: eventCount
                    numericFilter: {operation: GREATER_THAN, value: {int64Value: "1"}}

    Fails:
        displayName: Two or more sessions
        eventFilter: {eventName: session_start}
    """
    said = _said(view, _SESSIONS)
    if not said or view.steps or not view.whole("filterClauses"):
        return
    events = [leaf for leaf in view.leaves if leaf.name == "eventFilter"]
    lone = [leaf for leaf in events if leaf.data.get("eventName") == "session_start"]
    counted = any(leaf.data.get("fieldName") in {"eventCount", "sessions"} for leaf in view.leaves)
    if len(lone) != 1 or counted:
        return
    text = f"{said[0]} speaks of several sessions; one session_start is met by the first session"
    way = "count it: in the event's parameters, a filter on eventCount with GREATER_THAN 1"
    yield Finding((*lone[0].route, "eventName"), "several-sessions-as-one", text, way)


def window_only_in_membership(view: View) -> Findings:
    """A window of N days is an inAnyNDayPeriod; membershipDurationDays only says how long users stay.

    Passes:
        displayName: Bought in the last 7 days
        membershipDurationDays: 7
        dimensionOrMetricFilter:
          fieldName: ecommercePurchases
          inAnyNDayPeriod: 7
          numericFilter: {operation: GREATER_THAN, value: {int64Value: "1"}}

    Fails:
        displayName: Three purchases in 7 days
        membershipDurationDays: 7
        dimensionOrMetricFilter:
          fieldName: ecommercePurchases
          numericFilter: {operation: GREATER_THAN, value: {int64Value: "2"}}
    """
    said = _said(view, _DAYS)
    if not said or view.data.get("membershipDurationDays") != int(said[1][1]):
        return
    counts = {"numericFilter", "betweenFilter"}
    counted = any(condition_of(leaf.data)[0] in counts for leaf in view.leaves)
    windows = any(leaf.data.get("inAnyNDayPeriod") for leaf in view.leaves)
    if counted and not windows and view.whole("filterClauses"):
        name, found = said
        text = f"{name} speaks of {found[1]} days; membershipDurationDays is no window for counting"
        way = f"add `inAnyNDayPeriod: {found[1]}` to the filter that counts"
        yield Finding(("membershipDurationDays",), "window-only-in-membership", text, way)


def _trigger_name(view: View) -> str:
    trigger = view.data.get("eventTrigger")
    name = trigger.get("eventName") if isinstance(trigger, dict) else None
    return name if isinstance(name, str) else ""


def automatic_event_name(view: View) -> Findings:
    """A trigger's event is not named like one that Google Analytics collects by itself.

    Passes:
        eventTrigger: {eventName: became_buyer, logCondition: AUDIENCE_JOINED}

    Fails:
        eventTrigger: {eventName: session_start, logCondition: AUDIENCE_JOINED}
    """
    name = _trigger_name(view)
    if name in AUTOMATIC_EVENTS:
        text = f"the trigger is named {shown(name)}, like an event that Google Analytics collects by itself"
        way = "choose a name of its own, such as joined_my_audience"
        yield Finding(("eventTrigger", "eventName"), "automatic-event-name", text, way)


def event_name_rules(view: View) -> Findings:
    """A trigger's event name keeps Google's rules: letters, digits, _, at most 40, no reserved prefix.

    Passes:
        eventTrigger: {eventName: became_buyer, logCondition: AUDIENCE_JOINED}

    Fails:
        eventTrigger: {eventName: became-buyer, logCondition: AUDIENCE_JOINED}
    """
    name = _trigger_name(view)
    if not name or name in AUTOMATIC_EVENTS:
        return
    place = ("eventTrigger", "eventName")
    prefix = next((one for one in RESERVED_PREFIXES if name.startswith(one)), "")
    if len(name) > MAX_EVENT_NAME:
        text = (
            f"the trigger's eventName has {len(name)} characters; an event name has at most {MAX_EVENT_NAME}"
        )
        yield Finding(place, "event-name-rules", text, "shorten it")
    elif prefix:
        text = f"the trigger's eventName begins with {prefix}, which Google reserves"
        yield Finding(place, "event-name-rules", text, "choose another beginning")
    elif not _EVENT_NAME.fullmatch(name):
        text = f"the trigger's eventName is {shown(name)}; a letter, then letters, digits and _ are allowed"
        way = re.sub(r"\W+", "_", name).strip("_0123456789")
        yield Finding(place, "event-name-rules", text, f"write {way}" if way else "choose another name")
