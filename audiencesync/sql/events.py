"""GA4's field names as expressions over a row of the BigQuery event export, or why there is none.

Source: the event export's schema and the Data API's list of dimensions and metrics; each expression was
checked by an analyser of BigQuery's dialect against the full export schema. dialect.py writes them as SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Status(StrEnum):
    """How well the export answers for a field."""

    EXACT = "exact"
    DERIVED = "derived"
    APPROXIMATE = "approximate"
    REFUSED = "refused"


class Level(StrEnum):
    """What a field is a property of."""

    EVENT = "event"
    SESSION = "session"
    USER = "user"
    ITEM = "item"
    METRIC = "metric"
    NONE = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the event's row; a dotted path leads into a record."""

    path: str


@dataclass(frozen=True, slots=True)
class Param:
    """An event parameter: as text over all its value types, or as a number over the numeric ones."""

    key: str


@dataclass(frozen=True, slots=True)
class UserProperty:
    """A user property at this event, read like an event parameter."""

    key: str


@dataclass(frozen=True, slots=True)
class ItemColumn:
    """A column of the event's items: a condition holds where one item satisfies it."""

    name: str


@dataclass(frozen=True, slots=True)
class ItemParam:
    """A parameter of the event's items."""

    key: str


@dataclass(frozen=True, slots=True)
class Coalesce:
    """The first part that is not NULL; parts whose columns the table lacks are dropped."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Two parts with a text between them; NULL where either is NULL."""

    first: Expression
    separator: str
    second: Expression


@dataclass(frozen=True, slots=True)
class UrlPart:
    """A part of an http or https URL; NULL where there is no such URL.

    Parts: host (no port), path, pathAndQuery (both need a host), afterScheme (all but scheme and fragment).
    """

    of: Expression
    part: str


@dataclass(frozen=True, slots=True)
class Recode:
    """Other words for some values; `otherwise` for all else, None keeps the value."""

    of: Expression
    words: tuple[tuple[str, str], ...]
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Present:
    """One word where the value is set, another where it is NULL."""

    of: Expression
    yes: str
    no: str


@dataclass(frozen=True, slots=True)
class Clock:
    """A part of a microsecond timestamp in the property's time zone: hour, minute, date or dateHour."""

    column: str
    part: str


@dataclass(frozen=True, slots=True)
class DatePart:
    """A part of the event's date: dayOfWeek (Sunday 0), month or year."""

    part: str


@dataclass(frozen=True, slots=True)
class SessionFirst:
    """The first value in the event's session that is not NULL."""

    of: Expression


@dataclass(frozen=True, slots=True)
class LastClick:
    """A value of the session's last-click record; where the record is NULL, `fallback` of the session's
    first collected traffic source.
    """  # noqa: D205 - one sentence that does not fit a line

    of: Expression
    fallback: Expression | None


@dataclass(frozen=True, slots=True)
class Channel:
    """The default channel group by rules over source, medium and campaign columns."""

    source: Column
    medium: Column
    campaign: Column


Expression = (
    Column
    | Param
    | UserProperty
    | ItemColumn
    | ItemParam
    | Coalesce
    | Join
    | UrlPart
    | Recode
    | Present
    | Clock
    | DatePart
    | SessionFirst
    | LastClick
    | Channel
)

RECORD = "session_traffic_source_last_click"
COLLECTED = "collected_traffic_source"


@dataclass(frozen=True, slots=True)
class EventField:
    """One field name: how well, of what, by which expression; `note` is the caveat or the reason."""

    name: str
    status: Status
    level: Level
    expression: Expression | None = None
    note: str = ""


_PAGE = Param("page_location")
_GROUPING = "channel rules over source, medium and campaign stand in for GA4's own grouping"
_COLLECTED_NOTE = "GA4 uses the attributed source of the key event; the export has only the collected one"
_SPELLING = "the export spells the value differently"

_COLUMNS = {
    "eventName": "event_name",
    "country": "geo.country",
    "region": "geo.region",
    "city": "geo.city",
    "continent": "geo.continent",
    "subContinent": "geo.sub_continent",
    "deviceCategory": "device.category",
    "mobileDeviceBranding": "device.mobile_brand_name",
    "mobileDeviceMarketingName": "device.mobile_marketing_name",
    "operatingSystem": "device.operating_system",
    "operatingSystemVersion": "device.operating_system_version",
    "languageCode": "device.language",
    "streamId": "stream_id",
    "appVersion": "app_info.version",
    "firstUserSource": "traffic_source.source",
    "firstUserMedium": "traffic_source.medium",
    "firstUserCampaignName": "traffic_source.name",
    "transactionId": "ecommerce.transaction_id",
    "date": "event_date",
    "adFormat": "publisher.ad_format",
    "adSourceName": "publisher.ad_source_name",
    "mobileDeviceModel": "device.mobile_model_name",
}
_PARAMS = {
    "pageLocation": "page_location",
    "pageTitle": "page_title",
    "pageReferrer": "page_referrer",
    "contentGroup": "content_group",
    "contentId": "content_id",
    "contentType": "content_type",
    "linkUrl": "link_url",
    "linkText": "link_text",
    "linkDomain": "link_domain",
    "linkId": "link_id",
    "linkClasses": "link_classes",
    "outbound": "outbound",
    "fileName": "file_name",
    "fileExtension": "file_extension",
    "searchTerm": "search_term",
    "method": "method",
    "level": "level",
    "character": "character",
    "virtualCurrencyName": "virtual_currency_name",
    "achievementId": "achievement_id",
    "groupId": "group_id",
    "percentScrolled": "percent_scrolled",
    "videoProvider": "video_provider",
    "videoTitle": "video_title",
    "videoUrl": "video_url",
    "visible": "visible",
    "currencyCode": "currency",
    "orderCoupon": "coupon",
    "shippingTier": "shipping_tier",
}
_ITEMS = {
    "itemName": "item_name",
    "itemId": "item_id",
    "itemBrand": "item_brand",
    "itemVariant": "item_variant",
    "itemCategory": "item_category",
    "itemCategory2": "item_category2",
    "itemCategory3": "item_category3",
    "itemCategory4": "item_category4",
    "itemCategory5": "item_category5",
    "itemListName": "item_list_name",
    "itemListId": "item_list_id",
    "itemListPosition": "item_list_index",
    "itemPromotionName": "promotion_name",
    "itemPromotionId": "promotion_id",
    "itemPromotionCreativeName": "creative_name",
    "itemPromotionCreativeSlot": "creative_slot",
    "itemAffiliation": "affiliation",
    "itemLocationID": "location_id",
}
_CROSS = "cross_channel_campaign"
_MANUAL = "manual_campaign"
_ADS = "google_ads_campaign"
# name -> the record's column, and the collected column that answers where the record is NULL
_LAST_CLICK = {
    "sessionCampaignName": (f"{_CROSS}.campaign_name", "manual_campaign_name"),
    "sessionCampaignId": (f"{_CROSS}.campaign_id", "manual_campaign_id"),
    "sessionSourcePlatform": (f"{_CROSS}.source_platform", "manual_source_platform"),
    "sessionDefaultChannelGroup": (f"{_CROSS}.default_channel_group", ""),
    "sessionPrimaryChannelGroup": (f"{_CROSS}.primary_channel_group", ""),
    "sessionManualTerm": (f"{_MANUAL}.term", "manual_term"),
    "sessionManualAdContent": (f"{_MANUAL}.content", "manual_content"),
    "sessionManualCampaignName": (f"{_MANUAL}.campaign_name", "manual_campaign_name"),
    "sessionManualSource": (f"{_MANUAL}.source", "manual_source"),
    "sessionManualMedium": (f"{_MANUAL}.medium", "manual_medium"),
    "sessionManualCreativeFormat": (f"{_MANUAL}.creative_format", "manual_creative_format"),
    "sessionManualMarketingTactic": (f"{_MANUAL}.marketing_tactic", "manual_marketing_tactic"),
    "sessionManualSourcePlatform": (f"{_MANUAL}.source_platform", "manual_source_platform"),
    "sessionGoogleAdsCampaignName": (f"{_ADS}.campaign_name", ""),
    "sessionGoogleAdsCampaignId": (f"{_ADS}.campaign_id", ""),
    "sessionGoogleAdsAdGroupName": (f"{_ADS}.ad_group_name", ""),
    "sessionGoogleAdsAdGroupId": (f"{_ADS}.ad_group_id", ""),
    "sessionGoogleAdsCustomerId": (f"{_ADS}.customer_id", ""),
    "sessionGoogleAdsAccountName": (f"{_ADS}.account_name", ""),
    "sessionSa360CampaignName": ("sa360_campaign.campaign_name", ""),
    "sessionSa360Source": ("sa360_campaign.source", ""),
    "sessionSa360Medium": ("sa360_campaign.medium", ""),
    "sessionSa360AdGroupName": ("sa360_campaign.ad_group_name", ""),
    "sessionDv360CampaignName": ("dv360_campaign.campaign_name", ""),
    "sessionDv360LineItemName": ("dv360_campaign.line_item_name", ""),
    "sessionCm360CampaignName": ("cm360_campaign.campaign_name", ""),
    "sessionCm360PlacementName": ("cm360_campaign.placement_name", ""),
}
_COLLECTED_FIELDS = {
    "source": "manual_source",
    "medium": "manual_medium",
    "campaignName": "manual_campaign_name",
    "campaignId": "manual_campaign_id",
    "manualTerm": "manual_term",
    "manualAdContent": "manual_content",
}
_METRICS = {
    "eventCount": Status.EXACT,
    "eventValue": Status.DERIVED,
    "purchaseRevenue": Status.EXACT,
    "totalRevenue": Status.APPROXIMATE,
    "transactions": Status.APPROXIMATE,
    "ecommercePurchases": Status.EXACT,
    "addToCarts": Status.EXACT,
    "checkouts": Status.EXACT,
    "itemRevenue": Status.EXACT,
    "itemsPurchased": Status.EXACT,
    "refundAmount": Status.EXACT,
    "shippingAmount": Status.EXACT,
    "taxAmount": Status.EXACT,
    "screenPageViews": Status.EXACT,
    "userEngagementDuration": Status.EXACT,
    "sessions": Status.EXACT,
    "engagedSessions": Status.EXACT,
    "scrolledUsers": Status.DERIVED,
    "lifetimeValue": Status.DERIVED,
}
_DEMOGRAPHICS = "Google signals demographics are not exported"
_MEMBERSHIP = "membership is in the users tables of the export, not in its events"
_KEY_EVENTS = "it needs the property's list of key events, which the export does not hold"
_ADS_TRANSFER = "it needs a Google Ads transfer joined on gclid"
_PREDICTIONS = "predictions are in the users tables of the export, not in its events"
_REFUSED = {
    "userAgeBracket": _DEMOGRAPHICS,
    "userGender": _DEMOGRAPHICS,
    "brandingInterest": _DEMOGRAPHICS,
    "audienceId": _MEMBERSHIP,
    "audienceName": _MEMBERSHIP,
    "cohort": "cohorts exist in reports only",
    "screenResolution": "the screen resolution is not exported",
    "isKeyEvent": _KEY_EVENTS,
    "keyEvents": _KEY_EVENTS,
    "googleAdsKeyword": _ADS_TRANSFER,
    "googleAdsQuery": _ADS_TRANSFER,
    "googleAdsAdNetworkType": _ADS_TRANSFER,
    "sessionGoogleAdsKeyword": _ADS_TRANSFER,
    "firstUserGoogleAdsCampaignName": "the first touch's Google Ads ids are not exported",
    "firstUserCampaignId": "traffic_source holds no campaign id",
    "testDataFilterName": "test data is not exported",
    "searchEngine_organicGoogleSearchQuery": "it comes from Search Console, not from events",
    "purchaseProbability": _PREDICTIONS,
    "churnProbability": _PREDICTIONS,
    "predictedRevenue": _PREDICTIONS,
}


def _record(column: str) -> Column:
    return Column(f"{RECORD}.{column}")


def _collected(column: str) -> Column:
    return Column(f"{COLLECTED}.{column}")


def _last_click(name: str) -> LastClick:
    column, fallback = _LAST_CLICK[name]
    return LastClick(_record(column), _collected(fallback) if fallback else None)


_PLATFORMS = (("WEB", "web"), ("IOS", "iOS"))


def _device_fields() -> Iterator[EventField]:
    model = (Column("device.mobile_os_hardware_model"), Column("device.mobile_model_name"))
    system = Join(Column("device.operating_system"), " ", Column("device.operating_system_version"))
    browser = Coalesce((Column("device.web_info.browser"), Column("device.browser")))
    words = Recode(Column("platform"), (*_PLATFORMS, ("ANDROID", "Android")))
    on_device = Join(Recode(Column("platform"), _PLATFORMS, "Android"), " / ", Column("device.category"))
    codes = "GA4 shows names (English), the export has codes (en-us)"
    yield _approximate("deviceModel", Coalesce(model), "which column GA4 uses is undocumented")
    yield _derived("operatingSystemWithVersion", system)
    yield EventField("browser", Status.EXACT, Level.EVENT, browser)
    yield _approximate("language", Column("device.language"), codes)
    yield _derived("platform", words, _SPELLING)
    yield _derived("platformDeviceCategory", on_device, _SPELLING)
    yield _derived("signedInWithUserId", Present(Column("user_id"), "yes", "(not set)"), _SPELLING)


def _page_fields() -> Iterator[EventField]:
    host = Coalesce((Column("device.web_info.hostname"), UrlPart(_PAGE, "host")))
    title, screen, screen_class = (
        Param("page_title"),
        Param("firebase_screen"),
        Param("firebase_screen_class"),
    )
    path, path_query = UrlPart(_PAGE, "path"), UrlPart(_PAGE, "pathAndQuery")
    yield EventField("hostName", Status.EXACT, Level.EVENT, host)
    yield _derived("pagePath", path)
    yield _derived("pagePathPlusQueryString", path_query)
    yield _derived("fullPageUrl", UrlPart(_PAGE, "afterScheme"))
    yield _derived("unifiedScreenName", Coalesce((screen, title)))
    yield _derived("unifiedScreenClass", Coalesce((screen_class, title)))
    yield _derived("unifiedPagePathScreen", Coalesce((path, screen_class)))
    yield _derived("unifiedPageScreen", Coalesce((path_query, screen_class)))
    yield EventField("landingPage", Status.DERIVED, Level.SESSION, SessionFirst(path))
    yield EventField("landingPagePlusQueryString", Status.DERIVED, Level.SESSION, SessionFirst(path_query))


def _user_fields() -> Iterator[EventField]:
    first = Join(Column("traffic_source.source"), " / ", Column("traffic_source.medium"))
    touch = Clock("user_first_touch_timestamp", "date")
    touched = Channel(*(Column(f"traffic_source.{each}") for each in ("source", "medium", "name")))
    yield _derived("firstUserSourceMedium", first)
    yield _derived("newVsReturning", Recode(Param("ga_session_number"), (("1", "new"),), "returning"))
    yield EventField("firstSessionDate", Status.DERIVED, Level.USER, touch)
    yield EventField("firstUserDefaultChannelGroup", Status.APPROXIMATE, Level.USER, touched, _GROUPING)


def _other_fields() -> Iterator[EventField]:
    seen = Channel(*(_collected(f"manual_{each}") for each in ("source", "medium", "campaign_name")))
    unit = "the export has the ad unit's id, or its name; GA4 shows the name"
    yield _approximate("defaultChannelGroup", seen, _GROUPING)
    yield _approximate("adUnitName", Column("publisher.ad_unit_id"), unit)
    for part in ("hour", "minute", "dateHour"):
        yield _derived(part, Clock("event_timestamp", part))
    for part in ("dayOfWeek", "month", "year"):
        yield _derived(part, DatePart(part))


def _derived(name: str, expression: Expression, note: str = "") -> EventField:
    return EventField(name, Status.DERIVED, Level.EVENT, expression, note)


def _approximate(name: str, expression: Expression, note: str) -> EventField:
    return EventField(name, Status.APPROXIMATE, Level.EVENT, expression, note)


def _session_fields() -> Iterator[EventField]:
    exact, session = Status.EXACT, Level.SESSION
    for name, column in (("sessionSource", "source"), ("sessionMedium", "medium")):
        both = Coalesce((_record(f"{_CROSS}.{column}"), _record(f"{_MANUAL}.{column}")))
        yield EventField(name, exact, session, LastClick(both, _collected(f"manual_{column}")))
    pair = Join(_record(f"{_CROSS}.source"), " / ", _record(f"{_CROSS}.medium"))
    collected = Join(_collected("manual_source"), " / ", _collected("manual_medium"))
    yield EventField("sessionSourceMedium", Status.DERIVED, session, LastClick(pair, collected))
    for name in _LAST_CLICK:
        yield EventField(name, exact, session, _last_click(name))


def _all_fields() -> Iterator[EventField]:
    for name, path in _COLUMNS.items():
        yield EventField(name, Status.EXACT, Level.EVENT, Column(path))
    for name, key in _PARAMS.items():
        yield EventField(name, Status.EXACT, Level.EVENT, Param(key))
    for name, column in _ITEMS.items():
        yield EventField(name, Status.EXACT, Level.ITEM, ItemColumn(column))
    for fields in (_device_fields, _page_fields, _session_fields, _user_fields, _other_fields):
        yield from fields()
    for name, column in _COLLECTED_FIELDS.items():
        yield EventField(name, Status.APPROXIMATE, Level.EVENT, _collected(column), _COLLECTED_NOTE)
    for name, status in _METRICS.items():
        note = "" if name == "eventCount" else "metrics other than eventCount have no documented scope rule"
        yield EventField(name, status, Level.METRIC, None, note)
    for name, reason in _REFUSED.items():
        yield EventField(name, Status.REFUSED, Level.NONE, None, reason)


FIELDS: Mapping[str, EventField] = MappingProxyType({field.name: field for field in _all_fields()})
"""Every field name we know, without the custom ones."""

CUSTOM_PREFIXES = ("customEvent:", "customUser:", "customItem:")
NAMES = tuple(sorted(FIELDS))


def custom(name: str) -> EventField | None:
    """A custom dimension by its prefixed name; None where the name is no such thing."""
    prefix, _, key = name.partition(":")
    if not key:
        return None
    match prefix:
        case "customEvent":
            return EventField(name, Status.EXACT, Level.EVENT, Param(key))
        case "customUser":
            return EventField(name, Status.EXACT, Level.EVENT, UserProperty(key))
        case "customItem":
            return EventField(name, Status.EXACT, Level.ITEM, ItemParam(key))
        case _:
            return None


def find(name: str) -> EventField | None:
    """The field of that name at the place of a filter; None where nobody knows it."""
    return FIELDS.get(name) or custom(name)


def find_parameter(name: str) -> EventField:
    """The field of that name inside an event filter: an event parameter by its bare name.

    Custom names keep their prefix, and a known name in camelCase (itemName) means that field: no parameter
    of the export is written so.
    """
    known = FIELDS.get(name)
    if known and name != name.lower():
        return known
    return custom(name) or EventField(name, Status.EXACT, Level.EVENT, Param(name))
