"""Which columns an event export has, and which GA4's current one has. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VALUE_TYPES = ("string_value", "int_value", "double_value", "float_value")


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of one export: dotted path -> kind.

    Kinds: text, int, float, bool, date, record, records (a repeated record), other. The fields of a repeated
    record stand below its path like those of a record.
    """

    columns: Mapping[str, str]

    def has(self, path: str) -> bool:
        """Whether the export has this column."""
        return path in self.columns

    def kind(self, path: str) -> str:
        """The kind of a column; "" where it is missing."""
        return self.columns.get(path, "")


def _paths(text: str) -> dict[str, str]:
    """Reads lines of a path, its kind and what lies below it, as "child" (a text) or "child:kind"."""
    columns: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        path, kind, *children = re.split(r"\s+", line)
        columns[path] = kind
        for child in children:
            name, _, of = child.partition(":")
            columns[f"{path}.{name}"] = of or "text"
    return columns


_VALUES = "value.string_value value.int_value:int value.float_value:float value.double_value:float"
_CAMPAIGN = "campaign_name campaign_id source medium"
FULL = Schema(
    _paths(f"""
    event_date text
    event_timestamp int
    event_name text
    event_params records key value:record {_VALUES}
    event_previous_timestamp int
    event_value_in_usd float
    event_bundle_sequence_id int
    event_server_timestamp_offset int
    user_id text
    user_pseudo_id text
    privacy_info record analytics_storage ads_storage uses_transient_token
    user_properties records key value:record {_VALUES} value.set_timestamp_micros:int
    user_first_touch_timestamp int
    user_ltv record revenue:float currency
    device record category mobile_brand_name mobile_model_name mobile_marketing_name mobile_os_hardware_model operating_system operating_system_version vendor_id advertising_id language is_limited_ad_tracking time_zone_offset_seconds:int browser browser_version web_info:record web_info.browser web_info.browser_version web_info.hostname
    geo record city country continent region sub_continent metro
    app_info record id version install_store firebase_app_id install_source
    traffic_source record name medium source
    stream_id text
    platform text
    event_dimensions record hostname
    ecommerce record total_item_quantity:int purchase_revenue_in_usd:float purchase_revenue:float refund_value_in_usd:float refund_value:float shipping_value_in_usd:float shipping_value:float tax_value_in_usd:float tax_value:float unique_items:int transaction_id
    items records item_id item_name item_brand item_variant item_category item_category2 item_category3 item_category4 item_category5 price_in_usd:float price:float quantity:int item_revenue_in_usd:float item_revenue:float item_refund_in_usd:float item_refund:float coupon affiliation location_id item_list_id item_list_name item_list_index promotion_id promotion_name creative_name creative_slot item_params:records item_params.key item_params.value:record item_params.value.string_value item_params.value.int_value:int item_params.value.float_value:float item_params.value.double_value:float
    collected_traffic_source record manual_campaign_id manual_campaign_name manual_source manual_medium manual_term manual_content manual_source_platform manual_creative_format manual_marketing_tactic gclid dclid srsltid
    is_active_user bool
    batch_event_index int
    batch_page_id int
    batch_ordering_id int
    session_traffic_source_last_click record manual_campaign:record google_ads_campaign:record cross_channel_campaign:record sa360_campaign:record cm360_campaign:record dv360_campaign:record
    session_traffic_source_last_click.manual_campaign record campaign_id campaign_name source medium term content source_platform creative_format marketing_tactic
    session_traffic_source_last_click.google_ads_campaign record customer_id account_name campaign_id campaign_name ad_group_id ad_group_name
    session_traffic_source_last_click.cross_channel_campaign record {_CAMPAIGN} source_platform default_channel_group primary_channel_group
    session_traffic_source_last_click.sa360_campaign record {_CAMPAIGN} ad_group_id ad_group_name creative_format engine_account_name engine_account_type manager_account_name
    session_traffic_source_last_click.cm360_campaign record {_CAMPAIGN} account_id account_name advertiser_id advertiser_name creative_id creative_format creative_name creative_type creative_type_id creative_version placement_id placement_cost_structure placement_name rendering_id site_id site_name
    session_traffic_source_last_click.dv360_campaign record {_CAMPAIGN} advertiser_id advertiser_name creative_id creative_format creative_name exchange_id exchange_name insertion_order_id insertion_order_name line_item_id line_item_name partner_id partner_name
    publisher record ad_revenue_in_usd:float ad_format ad_source_name ad_unit_id
    """)  # noqa: E501 - one record a line
)
"""The current daily export, in full (Google's page "BigQuery Export schema")."""
