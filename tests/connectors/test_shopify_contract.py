"""The words that Shopify's connector knows are those of the published contract."""

import gzip
from pathlib import Path

import pytest

from evenstock.connectors import shopify

CONTRACT = Path(__file__).parents[3] / "shared" / "specs" / "shopify" / "admin_2026-10.graphql.gz"
pytestmark = pytest.mark.skipif(not CONTRACT.is_file(), reason=f"{CONTRACT} is absent")


def values_of(enum: str) -> set[str]:
    """The values of an enum of the contract, descriptions left out."""
    found: set[str] = set()
    inside = quoted = False
    with gzip.open(CONTRACT, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(f"enum {enum} {{"):
                inside = True
            elif inside and not quoted and line.startswith("}"):
                return found
            elif inside and '"""' in line:
                quoted ^= line.count('"""') % 2 == 1
            elif inside and not quoted and line.strip():
                found.add(line.split("@")[0].strip())
    raise AssertionError(f"the contract has no enum {enum}")


def test_every_restock_type_is_known_but_the_one_that_says_not_where_the_goods_are() -> None:
    known = {word.upper() for word in {shopify.CAME_BACK, *shopify.STAYED}}
    assert values_of("RefundLineItemRestockType") - known == {"LEGACY_RESTOCK"}


def test_every_status_of_a_fulfillment_is_known() -> None:
    known = {word.upper() for word in {shopify.SHIPPED, *shopify.NOT_SHIPPED, shopify.CANCELLED}}
    assert values_of("FulfillmentStatus") == known


def test_every_topic_is_one_that_can_be_subscribed() -> None:
    topics = {topic.upper().replace("/", "_") for topic in {*shopify.READERS, *shopify.SILENT}}
    assert topics <= values_of("WebhookSubscriptionTopic")
