"""A Shopify store: goods that move there become facts, and it is told what it may sell at each of its locations."""

from typing import Final

from evenstock.connectors.contract import Basis, Connector, Hook
from evenstock.connectors.shopify.poll import poll, streams
from evenstock.connectors.shopify.publish import observe, publish
from evenstock.connectors.shopify.settings import Settings
from evenstock.connectors.shopify.stock import pages
from evenstock.connectors.shopify.translate import translate

HOOK: Final = Hook(
    scheme="body",
    signature="x-shopify-hmac-sha256",
    id="x-shopify-webhook-id",
    kind="x-shopify-topic",
    keep=("x-shopify-shop-domain", "x-shopify-api-version", "x-shopify-event-id", "x-shopify-triggered-at"),
)

connector = Connector(
    name="shopify",
    summary="Shopify: fulfilments and refunds become facts; the shop is told what it may sell.",
    settings=Settings,
    translate=translate,
    hook=HOOK,
    publish=publish,
    basis=Basis(buckets=("sellable",), subtracts_own_orders=True, mode="set", decimals=0),
    observe=observe,
    snapshot=pages,
    poll=poll,
    streams=streams,
    exposures_max=100,
)
