"""A seeded generator of event histories: whole users of a shop and of a publisher, as GA4 exports them.

The shares of event names, devices, systems, languages, countries, first sources and session numbers follow
Google's public sample of a merchandise shop's export (24,219 rows of 92 days): 31 % page_view, 24 %
user_engagement, 11 % scroll, 8.7 % view_item, 8 % session_start; 58 % desktop; 45 % United States; two thirds
of all events in a first session. What that sample lacks (whole histories, a publisher, subscriptions,
loyalty tiers) is made up so that the example audiences have members. Nobody in it is real.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from audiencesync.sql.dialect import DUCKDB
from audiencesync.sql.preview.duck import write_parquet

COUNTRIES = (
    ("United States", "Americas", "Northern America", "New York", 38.0),
    ("Germany", "Europe", "Western Europe", "Berlin", 8.0),
    ("India", "Asia", "Southern Asia", "Mumbai", 8.0),
    ("Canada", "Americas", "Northern America", "Toronto", 7.0),
    ("Austria", "Europe", "Western Europe", "Vienna", 3.0),
    ("Switzerland", "Europe", "Western Europe", "Zurich", 3.0),
    ("United Kingdom", "Europe", "Northern Europe", "London", 3.0),
    ("France", "Europe", "Western Europe", "Paris", 2.0),
    ("Spain", "Europe", "Southern Europe", "Madrid", 1.8),
    ("Japan", "Asia", "Eastern Asia", "Tokyo", 1.3),
    ("Turkey", "Asia", "Western Asia", "Istanbul", 1.0),
)
DEVICES = (
    ("desktop", "Windows", "Chrome", 40.0),
    ("mobile", "iOS", "Safari", 19.0),
    ("mobile", "Android", "Chrome", 21.0),
    ("desktop", "Macintosh", "Safari", 9.0),
    ("desktop", "Macintosh", "Chrome", 7.0),
    ("desktop", "Windows", "Edge", 2.0),
    ("tablet", "iOS", "Safari", 2.0),
)
SOURCES = (
    ("google", "organic", "(organic)", "Organic Search", 36.0),
    ("(direct)", "(none)", "(direct)", "Direct", 28.0),
    ("blog.example", "referral", "(referral)", "Referral", 14.0),
    ("google", "cpc", "spring-sale", "Paid Search", 8.0),
    ("newsletter", "email", "weekly", "Email", 9.0),
    ("affiliate-network", "affiliate", "partners", "Affiliates", 5.0),
)
LANGUAGES = (("en-us", 0.6), ("en-gb", 0.1), ("de-de", 0.15), ("fr", 0.05), ("es-es", 0.05), ("zh", 0.05))
PRODUCTS = (
    ("p1", "Trail Runner", "Acme", "Shoes", 89.0),
    ("p2", "City Sneaker", "Acme Kids", "Shoes", 49.0),
    ("p3", "Zip Hoodie", "Acme", "Apparel", 48.0),
    ("p4", "Crew Socks", "Acme", "Apparel", 13.0),
    ("p5", "Camp Mug", "Acme", "Drinkware", 12.0),
    ("p6", "Rain Jacket", "Northway", "Apparel", 139.0),
    ("p7", "Sticker Sheet", "Northway", "Accessories", 4.0),
    ("p8", "Travel Backpack", "Northway", "Accessories", 119.0),
)
SECTIONS = ("politics", "economy", "football", "tennis", "cycling", "culture")
MICROS = 1_000_000
PAYWALL = 3
_MOST_SESSIONS = 60

_TEXT = (
    *("page_location", "page_title", "page_referrer", "content_group", "section", "currency", "coupon"),
    *("delivery_type", "method", "search_term", "video_title", "offer", "item_type", "session_engaged"),
)
_INT = (
    *("ga_session_id", "ga_session_number", "percent_scrolled", "articles_this_month"),
    "engagement_time_msec",
)
_DOUBLE = ("value",)
_VALUE = "STRUCT(string_value VARCHAR, int_value BIGINT, float_value DOUBLE, double_value DOUBLE)"
_KINDS = {
    **dict.fromkeys(_TEXT, "VARCHAR"),
    **dict.fromkeys(_INT, "BIGINT"),
    **dict.fromkeys(_DOUBLE, "DOUBLE"),
}
_OWN = dict.fromkeys(("t", "i", "w", "v"), "BIGINT") | dict.fromkeys(("d", "e", "items"), "VARCHAR")


@dataclass(slots=True)
class _User:
    """One user while the history is made up."""

    number: int
    chance: random.Random
    shop: bool
    known: dict[str, Any] = field(default_factory=dict)
    signed_in: bool = False
    tier: str | None = None
    subscription: str | None = None
    cart: list[int] = field(default_factory=list)
    articles: int = 0

    def happens(self, share: float) -> bool:
        """Whether something that happens to this share of people happens now."""
        return self.chance.random() < share


def write_demo_events(path: Path, *, users: int, days: int, seed: int, last_day: date) -> None:
    """Writes one Parquet file in the export's nested schema: `users` users over `days` days up to `last_day`.

    Two thirds visit the shop, one third the publisher. Equal arguments give equal rows, in equal order.
    """
    everybody: list[dict[str, Any]] = []
    visits: list[dict[str, Any]] = []

    def events() -> Iterator[dict[str, Any]]:
        for number in range(users):
            user = _user(number, random.Random(f"{seed}:{number}"))  # noqa: S311 - made-up people
            yield from _history(user, days, last_day, visits)
            user.known |= {"tier": user.tier, "subscription": user.subscription}
            everybody.append(user.known)

    rows = list(events())
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = {
        "people": (everybody, _PEOPLE),
        "visits": (visits, _VISITS),
        "happened": (rows, {**_OWN, **_KINDS}),
    }
    write_parquet(path, tables, _QUERY)


def _pick(chance: random.Random, table: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    return chance.choices(table, weights=[row[-1] for row in table])[0]


def _user(number: int, chance: random.Random) -> _User:
    country, device, source = (_pick(chance, table) for table in (COUNTRIES, DEVICES, SOURCES))
    user = _User(number, chance, shop=number % 3 != 0)
    user.signed_in = user.happens(0.18)
    if user.shop and user.signed_in:
        user.tier = chance.choices(("silver", "gold", "platinum"), weights=(6, 3, 1))[0]
    if not user.shop:
        user.subscription = chance.choices((None, "active", "cancelled"), weights=(80, 17, 3))[0]
    user.known = {
        "w": number,
        "id": f"{chance.randrange(10**7, 10**8)}.{chance.randrange(10**9, 10**10)}",
        "user_id": f"member-{number}" if user.signed_in else None,
        "country": country[0],
        "continent": country[1],
        "sub_continent": country[2],
        "city": country[3],
        "category": device[0],
        "system": device[1],
        "browser": device[2],
        "language": _pick(chance, LANGUAGES)[0],
        "source": source[0],
        "medium": source[1],
        "campaign": source[2],
        "limited": "Yes" if user.happens(0.2) else "No",
        "host": "shop.example" if user.shop else "news.example",
    }
    return user


def _history(
    user: _User, days: int, last_day: date, visits: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The user's sessions: most users have one, a few come back for weeks."""
    chance = user.chance
    count = 1
    while count < _MOST_SESSIONS and user.happens(0.24 if count == 1 else 0.7):
        count += 1
    until = last_day.strftime("%Y%m%d")
    midnight = datetime(last_day.year, last_day.month, last_day.day, tzinfo=UTC)
    start = midnight - timedelta(days=chance.randrange(days), seconds=-chance.randrange(80_000))
    for number in range(1, count + 1):
        if start.date() > last_day:
            return
        visit = len(visits)
        session = int(start.timestamp())
        source = _pick(chance, SOURCES) if number > 1 else None
        own = user.known
        named = source[:4] if source else (own["source"], own["medium"], own["campaign"], "")
        visits.append(
            {"v": visit, "source": named[0], "medium": named[1], "campaign": named[2], "channel": named[3]}
        )
        visited = _Visit(user, visit, session, number)
        for row in visited.events(start):
            if row["d"] > until:
                return
            yield row
        start += timedelta(days=chance.expovariate(0.25), seconds=visited.length)


@dataclass(slots=True)
class _Visit:
    """One session; every event moves its clock on."""

    user: _User
    number: int
    session: int
    count: int
    time: int = 0
    index: int = 0
    length: int = 1800

    def events(self, start: datetime) -> Iterator[dict[str, Any]]:
        """The session's events in order."""
        self.time = int(start.timestamp()) * MICROS
        site = "https://" + self.user.known["host"]
        landing = {"page_location": site + "/", "page_title": "Home"}
        if self.count == 1:
            yield self._event("first_visit", 0, landing)
        yield self._event("session_start", 0, landing)
        yield self._event("page_view", 0, landing)
        yield from self._shop(site) if self.user.shop else self._news(site)
        self.length = max(self.time // MICROS - self.session, 0) + 1800

    def _event(
        self, name: str, seconds: float, *facts: Mapping[str, object], items: Sequence[int] = ()
    ) -> dict[str, Any]:
        """One event, some seconds after the last one on average; 0 for the same moment."""
        if seconds:
            self.time += int(self.user.chance.expovariate(1 / seconds) * MICROS) + MICROS
            self.index = 0
        self.index += 1
        moment = datetime.fromtimestamp(self.time // MICROS, tz=UTC)
        row = {"t": self.time, "i": self.index, "d": moment.strftime("%Y%m%d"), "e": name}
        row |= {"w": self.user.number, "v": self.number, "ga_session_id": self.session}
        row |= {"ga_session_number": self.count, "session_engaged": "1" if self.index > 1 else "0"}
        for each in facts:
            row |= each
        if items:
            row["items"] = ",".join(map(str, items))
        return row

    def _engaged(self, page: dict[str, Any], share: float = 0.42) -> Iterator[dict[str, Any]]:
        chance = self.user.chance
        if self.user.happens(share):
            yield self._event("scroll", 12, page, {"percent_scrolled": 90})
        if self.user.happens(0.8):
            yield self._event(
                "user_engagement", 8, page, {"engagement_time_msec": chance.randrange(500, 60_000)}
            )

    # the shop
    def _shop(self, site: str) -> Iterator[dict[str, Any]]:
        chance = self.user.chance
        if self.user.happens(0.2):
            yield self._event("view_promotion", 5, {"page_location": f"{site}/", "page_title": "Home"})
        if self.user.signed_in and self.user.happens(0.4):
            yield self._event("sign_up" if self.count == 1 else "login", 15, {"method": "password"})
        if self.user.happens(0.08):
            yield self._event(
                "view_search_results", 10, {"search_term": "shoes", "page_location": f"{site}/search"}
            )
        for _ in range(min(int(chance.expovariate(0.55)), 14)):
            yield from self._product(site)
        if self.user.cart:
            yield from self._checkout(site)

    def _product(self, site: str) -> Iterator[dict[str, Any]]:
        product = self.user.chance.randrange(len(PRODUCTS))
        folder = "sale" if self.user.happens(0.12) else PRODUCTS[product][3].lower()
        page = {
            "page_location": f"{site}/{folder}/{PRODUCTS[product][0]}",
            "page_title": PRODUCTS[product][1],
        }
        price = {"value": PRODUCTS[product][4], "currency": "EUR"}
        yield self._event("page_view", 25, page)
        yield from self._engaged(page)
        if self.user.happens(0.75):
            yield self._event("view_item", 2, page, price, items=(product,))
            if self.user.happens(0.14):
                self.user.cart.append(product)
                yield self._event("add_to_cart", 30, page, price, items=(product,))
            elif self.user.happens(0.05):
                yield self._event("add_to_wishlist", 30, page, price, items=(product,))

    def _checkout(self, site: str) -> Iterator[dict[str, Any]]:
        chance, cart = self.user.chance, tuple(self.user.cart)
        money = {"value": float(sum(PRODUCTS[each][4] for each in cart)), "currency": "EUR"}
        page = {"page_location": f"{site}/basket", "page_title": "Basket"}
        yield self._event("page_view", 20, page)
        yield self._event("view_cart", 3, page, money, items=cart)
        if not self.user.happens(0.62):
            return
        yield self._event("begin_checkout", 25, page, money, items=cart)
        yield self._event("add_shipping_info", 40, page, money, items=cart)
        if not self.user.happens(0.7):
            return
        yield self._event("add_payment_info", 40, page, money, items=cart)
        delivery = chance.choices(("home", "pickup_point"), weights=(3, 1))[0]
        coupon = "SPRING10" if self.user.happens(0.2) else None
        yield self._event(
            "purchase", 30, page, money, {"delivery_type": delivery, "coupon": coupon}, items=cart
        )
        self.user.cart.clear()
        if self.user.happens(0.05):
            yield self._event("refund", 900, money, items=cart)

    # the publisher
    def _news(self, site: str) -> Iterator[dict[str, Any]]:
        chance = self.user.chance
        for _ in range(1 + min(int(chance.expovariate(0.35)), 15)):
            yield from self._article(site)
        if self.user.happens(0.03):
            yield self._event("sign_up", 20, {"method": "newsletter"})
        if self.user.subscription is None and self.user.articles >= PAYWALL:
            yield from self._paywall(site)

    def _article(self, site: str) -> Iterator[dict[str, Any]]:
        chance, section = self.user.chance, self.user.chance.choice(SECTIONS)
        sport = section in {"football", "tennis", "cycling"}
        title = f"{section.title()} report {chance.randrange(200)}"
        page = {
            "page_location": f"{site}/{section}/{chance.randrange(200)}",
            "page_title": "Live ticker" if self.user.happens(0.05) else title,
            "content_group": f"Sports/{section}" if sport else section.title(),
            "section": section,
        }
        self.user.articles += 1
        yield self._event("page_view", 60, page)
        yield from self._engaged(page, 0.5)
        if sport and self.user.happens(0.1):
            yield self._event("video_complete", 90, page, {"video_title": f"{section} match of the week"})

    def _paywall(self, site: str) -> Iterator[dict[str, Any]]:
        page = {"page_location": f"{site}/subscribe", "page_title": "Subscribe"}
        yield self._event("paywall_view", 10, page, {"articles_this_month": min(self.user.articles, 3)})
        if self.user.happens(0.2):
            yield self._event("generate_lead", 60, page, {"offer": "4-week trial"})
            yield self._event("page_view", 20, page)
            if self.user.happens(0.6):
                self.user.subscription = "active"
                yield self._event(
                    "purchase", 60, page, {"item_type": "subscription", "value": 9.9, "currency": "EUR"}
                )


_PERSON = (
    *("id", "user_id", "country", "continent", "sub_continent", "city", "category", "system", "browser"),
    *("language", "source", "medium", "campaign", "limited", "host", "tier", "subscription"),
)
_PEOPLE = {"w": "BIGINT", **dict.fromkeys(_PERSON, "VARCHAR")}
_VISITS = {"v": "BIGINT", **dict.fromkeys(("source", "medium", "campaign", "channel"), "VARCHAR")}


def _value(kind: str, sql: str) -> str:
    filled = {"VARCHAR": "string_value", "BIGINT": "int_value", "DOUBLE": "double_value"}[kind]
    names = ("string_value", "int_value", "float_value", "double_value")
    return "{" + ", ".join(f"{name}: {sql if name == filled else 'NULL'}" for name in names) + "}"


def _entry(key: str, kind: str, sql: str) -> str:
    """A parameter or property, NULL where it is not set."""
    return f"CASE WHEN {sql} IS NOT NULL THEN {{key: {DUCKDB.text(key)}, value: {_value(kind, sql)}}} END"


def _set(entries: Iterable[str]) -> str:
    return (
        f"list_filter([{', '.join(entries)}]::STRUCT(key VARCHAR, value {_VALUE})[], lambda p: p IS NOT NULL)"
    )


def _items() -> str:
    text = DUCKDB.text
    structs = ", ".join(
        f"{{item_id: {text(row[0])}, item_name: {text(row[1])}, item_brand: {text(row[2])}, "
        f"item_category: {text(row[3])}, price: {row[4]}::DOUBLE, quantity: 1::BIGINT}}"
        for row in PRODUCTS
    )
    chosen = f"lambda n: ([{structs}])[n::INTEGER + 1]"
    return f"CASE WHEN e.items IS NULL THEN [] ELSE list_transform(string_split(e.items, ','), {chosen}) END"


_CAMPAIGN = "campaign_name: v.campaign, source: v.source, medium: v.medium"
_QUERY = f"""
SELECT e.d AS event_date, e.t AS event_timestamp, e.e AS event_name,
  {_set(_entry(key, kind, f"e.{key}") for key, kind in _KINDS.items())} AS event_params,
  u.user_id AS user_id, u.id AS user_pseudo_id,
  {{analytics_storage: 'Yes', ads_storage: CASE WHEN u.limited = 'Yes' THEN 'No' ELSE 'Yes' END,
    uses_transient_token: 'No'}} AS privacy_info,
  {_set((_entry("loyalty_tier", "VARCHAR", "u.tier"), _entry("subscription", "VARCHAR", "u.subscription")))}
    AS user_properties,
  MIN(e.t) OVER (PARTITION BY e.w) AS user_first_touch_timestamp,
  {{category: u.category, mobile_brand_name: NULL::VARCHAR, mobile_model_name: NULL::VARCHAR,
    operating_system: u.system, operating_system_version: NULL::VARCHAR, language: u.language,
    is_limited_ad_tracking: u.limited,
    web_info: {{browser: u.browser, browser_version: NULL::VARCHAR, hostname: u.host}}}} AS device,
  {{continent: u.continent, sub_continent: u.sub_continent, country: u.country, region: NULL::VARCHAR,
    city: u.city, metro: NULL::VARCHAR}} AS geo,
  {{name: u.campaign, medium: u.medium, source: u.source}} AS traffic_source,
  CASE u.host WHEN 'shop.example' THEN '1001' ELSE '1002' END AS stream_id, 'WEB' AS platform,
  {{purchase_revenue: CASE WHEN e.e = 'purchase' THEN e.value END,
    transaction_id: CASE WHEN e.e = 'purchase' THEN 't' || e.t END}} AS ecommerce,
  {_items()} AS items,
  {{manual_source: v.source, manual_medium: v.medium, manual_campaign_name: v.campaign}}
    AS collected_traffic_source,
  true AS is_active_user, e.i AS batch_event_index, e.t AS batch_page_id, 1::BIGINT AS batch_ordering_id,
  {{manual_campaign: {{{_CAMPAIGN}}}, cross_channel_campaign: {{{_CAMPAIGN},
    default_channel_group: v.channel, primary_channel_group: v.channel}}}}
    AS session_traffic_source_last_click
FROM happened AS e JOIN people AS u ON u.w = e.w JOIN visits AS v ON v.v = e.v
ORDER BY e.t, e.w, e.i, e.e
"""
