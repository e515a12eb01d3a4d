"""Names that the Data API documents beside those which the event export answers for (sql/events.py).

They are here so that a right name is never taken for a slip of another. Source: the Data API's
"Dimensions & Metrics" page; the list is not closed, so an unknown name is no mistake.
"""

from __future__ import annotations

_TIME = (
    "cohortNthDay cohortNthMonth cohortNthWeek dateHourMinute day dayOfWeekName isoWeek isoYear "
    "isoYearIsoWeek nthDay nthHour nthMinute nthMonth nthWeek nthYear week yearMonth yearWeek"
)
_PLACE = "cityId continentId countryId streamName testDataFilterId"
_TRAFFIC = (
    "manualCampaignId manualCampaignName manualCreativeFormat manualMarketingTactic manualMedium "
    "manualSource manualSourceMedium manualSourcePlatform primaryChannelGroup sourceMedium "
    "sourcePlatform campaignId campaignName defaultChannelGroup manualAdContent manualTerm"
)
_ADS = (
    "AccountName AdGroupId AdGroupName AdNetworkType CampaignId CampaignName CampaignType CreativeId "
    "CustomerId Keyword Query"
)
_SA360 = (
    "AdGroupId AdGroupName CampaignId CampaignName CreativeFormat EngineAccountId EngineAccountName "
    "EngineAccountType Keyword KeywordText ManagerAccountId ManagerAccountName Medium Query Source "
    "SourceMedium"
)
_CM360 = (
    "AccountId AccountName AdvertiserId AdvertiserName CampaignId CampaignName CreativeFormat "
    "CreativeId CreativeName CreativeType CreativeTypeId CreativeVersion Medium PlacementCostStructure "
    "PlacementId PlacementName RenderingId SiteId SiteName Source SourceMedium"
)
_DV360 = (
    "AdvertiserId AdvertiserName CampaignId CampaignName CreativeFormat CreativeId CreativeName "
    "ExchangeId ExchangeName InsertionOrderId InsertionOrderName LineItemId LineItemName Medium "
    "PartnerId PartnerName Source SourceMedium"
)
_OTHERS = (
    "achievementId brandingInterest contentGroup "
    "currencyCode dateHour defaultChannelGroup eventName firstSessionDate isConversionEvent isKeyEvent "
    "landingPage organicGoogleSearchClicks pagePath "
    "screenResolution searchTerm signedInWithUserId transactionId"
)
_METRICS = (
    "active1DayUsers active28DayUsers active7DayUsers activeUsers adUnitExposure advertiserAdClicks "
    "advertiserAdCost advertiserAdCostPerClick "
    "advertiserAdCostPerKeyEvent advertiserAdImpressions averagePurchaseRevenue "
    "averagePurchaseRevenuePerPayingUser averagePurchaseRevenuePerUser averageRevenuePerUser "
    "averageSessionDuration bounceRate cartToViewRate cohortActiveUsers cohortTotalUsers conversions "
    "crashAffectedUsers crashFreeUsersRate dauPerMau dauPerWau engagementRate eventCountPerUser "
    "eventsPerSession firstTimePurchaserConversionRate firstTimePurchasers "
    "firstTimePurchasersPerNewUser grossItemRevenue grossPurchaseRevenue itemDiscountAmount "
    "itemListClickEvents itemListClickThroughRate itemListViewEvents itemPromotionClickThroughRate "
    "itemRefundAmount itemsAddedToCart itemsCheckedOut itemsClickedInList itemsClickedInPromotion "
    "itemsViewed itemsViewedInList itemsViewedInPromotion itemViewEvents newUsers promotionClicks "
    "promotionViews publisherAdClicks publisherAdImpressions purchaserConversionRate purchaserRate "
    "purchaseToViewRate returnOnAdSpend screenPageViewsPerSession screenPageViewsPerUser "
    "sessionConversionRate sessionKeyEventRate sessionsPerUser totalAdRevenue totalPurchasers "
    "totalUsers transactionsPerPurchaser userConversionRate userKeyEventRate wauPerMau"
)


def _prefixed(word: str, names: str) -> list[str]:
    """A source's names, as they stand alone, for the session and for the user's first visit."""
    inner = [f"{word[0].upper()}{word[1:]}{name}" for name in names.split()]
    return [f"{word}{name}" for name in names.split()] + [
        f"{level}{name}" for level in ("session", "firstUser") for name in inner
    ]


def _levels(names: str) -> list[str]:
    inner = [f"{name[0].upper()}{name[1:]}" for name in names.split()]
    return [*names.split(), *(f"{level}{name}" for level in ("session", "firstUser") for name in inner)]


OTHER_NAMES: frozenset[str] = frozenset(
    [
        *_TIME.split(),
        *_PLACE.split(),
        *_OTHERS.split(),
        *_METRICS.split(),
        *_levels(_TRAFFIC),
        *_prefixed("googleAds", _ADS),
        *_prefixed("sa360", _SA360),
        *_prefixed("cm360", _CM360),
        *_prefixed("dv360", _DV360),
    ]
)
