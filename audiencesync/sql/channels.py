"""The default channel group as rules over source, medium and campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_PAID = r"^(.*cp.*|ppc|retargeting|paid.*)$"
_SHOPPING = (
    r"^(alibaba|aliexpress|amazon|ebay|etsy|google shopping|mercadolibre|shopify|shopping|stripe|walmart)"
)
_SHOP = r"^(.*(([^a-df-z]|^)shop|shopping).*)$"
_SEARCH = (
    r"(^|\.)(google|bing|yahoo|baidu|duckduckgo|ecosia|ask|aol|naver|yandex|qwant|seznam|sogou|so|daum)(\.|$)"
)
_SOCIAL = (
    r"facebook|instagram|twitter|^t\.co$|linkedin|lnkd\.in|pinterest|reddit|tiktok|quora|tumblr|snapchat|"
    r"whatsapp|weibo|vk\.com|threads|messenger|mastodon|^x\.com$|^fb$|^ig$"
)
_VIDEO = r"youtube|vimeo|dailymotion|twitch|netflix|hulu|disneyplus|wistia|youku"
_CHANNELS: tuple[tuple[str, tuple[tuple[tuple[str, str], ...], ...]], ...] = (
    ("Direct", ((("source", r"^\(direct\)$"), ("medium", r"^\((none|not set)\)$")),)),
    ("Cross-network", ((("campaign", "cross-network"),),)),
    ("Paid Shopping", ((("source", _SHOPPING), ("medium", _PAID)), (("campaign", _SHOP), ("medium", _PAID)))),
    ("Paid Search", ((("source", _SEARCH), ("medium", _PAID)),)),
    ("Paid Social", ((("source", _SOCIAL), ("medium", _PAID)),)),
    ("Paid Video", ((("source", _VIDEO), ("medium", _PAID)),)),
    ("Display", ((("medium", "^(display|banner|expandable|interstitial|cpm)$"),),)),
    ("Paid Other", ((("medium", _PAID),),)),
    ("Organic Shopping", ((("source", _SHOPPING),), (("campaign", _SHOP),))),
    (
        "Organic Social",
        (
            (("source", _SOCIAL),),
            (("medium", "^(social|social-network|social-media|sm|social network|social media)$"),),
        ),
    ),
    ("Organic Video", ((("source", _VIDEO),), (("medium", "video"),))),
    ("Organic Search", ((("source", _SEARCH),), (("medium", "^organic$"),))),
    ("Referral", ((("medium", "^(referral|app|link)$"),),)),
    ("Email", ((("source", "e[-_ ]?mail"),), (("medium", "e[-_ ]?mail"),))),
    ("Affiliates", ((("medium", "^affiliate$"),),)),
    ("Audio", ((("medium", "^audio$"),),)),
    ("SMS", ((("source", "^sms$"),), (("medium", "^sms$"),))),
    ("Mobile Push Notifications", ((("medium", "push$|mobile|notification"),), (("source", "^firebase$"),))),
)


def channel_rules(search: Callable[[str, str], str]) -> Iterator[tuple[str, str]]:
    """The default channel group's name and condition, in the order in which they are asked.

    `search` writes the condition that source, medium or campaign matches a regular expression. Source:
    Google's help page "Default channel group"; its lists of sites are cut down to the large ones.
    """
    for group, ways in _CHANNELS:
        parts = [" AND ".join(search(which, pattern) for which, pattern in way) for way in ways]
        yield group, parts[0] if len(parts) == 1 else " OR ".join(f"({part})" for part in parts)
