"""Estates that are ready to be tried."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from evenstock.estate.box.history import History
from evenstock.estate.box.scenario import Books, Channel, Depot, Faults, Promotion, Scenario, Stores

EVERYTHING: Final = Faults(
    lost=0.02, repeated=0.04, overtaken=0.04, outages_per_store_day=3.0, outage_minutes=20.0, regional=1, swizzles=1,
    crashes=4, brownouts=2, clones=1, reimaged=1, skewed=2, unmapped=1, replays=1,
)  # fmt: skip

CORNER: Final = Scenario(
    name="corner",
    words="three stores, a depot, a web shop and a marketplace, and everything goes wrong in four hours",
    items=12,
    stores=Stores(
        number=3, items=10, level=10, visits_per_hour=12.0, counts_per_hour=2.0, mistakes=0.03, misscans=0.01,
        returns=0.15,
    ),
    depot=Depot(level=40, transfers_per_hour=1.0, short=0.2),
    channels=(
        Channel(id="web", orders_per_hour=12.0),
        Channel(id="market", kind="marketplace", orders_per_hour=6.0, feed_minutes=10, calls_per_s=0.5, numbers_per_call=20),
    ),
    books=Books(refused=0.02, postings_per_call=50),
    faults=EVERYTHING,
    hours=4.0,
)  # fmt: skip

SMALL: Final = Scenario(
    name="small",
    words="twenty stores, a web shop and a marketplace, two hours in which everything goes wrong",
    items=50,
    stores=Stores(number=20, items=30, visits_per_hour=10.0, level=5, mistakes=0.02, misscans=0.01),
    depot=Depot(level=2, transfers_per_hour=0.5, short=0.2),
    channels=(
        Channel(id="web", orders_per_hour=60.0, pickups=0.3),
        Channel(id="market", kind="marketplace", orders_per_hour=30.0, feed_minutes=10, calls_per_s=0.5, numbers_per_call=20),
    ),
    books=Books(refused=0.02),
    faults=msgspec.structs.replace(EVERYTHING, clones=2, reimaged=3, skewed=4, unmapped=2),
    hours=2.0,
)  # fmt: skip

AUTUMN: Final = Scenario(
    name="autumn-night",
    words="six stores, a depot whose files say what the clock on the wall says, and the night in which an hour comes twice",
    items=20,
    stores=Stores(number=6, items=20, visits_per_hour=6.0, opens=6, closes=23, level=8),
    depot=Depot(
        level=60, receipts_per_hour=6.0, transfers_per_hour=1.0, files_at=(1, 2, 4, 6), naive_times=True
    ),
    channels=(Channel(id="web", orders_per_hour=12.0),),
    books=Books(closes=22),
    faults=Faults(outages_per_store_day=1.0, crashes=1),
    opens_at=datetime(2026, 10, 24, 18, tzinfo=UTC),
    hours=12.0,
    settle_hours=26.0,
)

PROMOTION: Final = Scenario(
    name="promotion",
    words="300 stores, a web shop and a marketplace; a promotion in the afternoon, and the ERP is away in the middle of it",
    items=400,
    stores=Stores(number=300, items=120, level=12),
    depot=Depot(level=0.6, receipts_per_hour=6.0, transfers_per_hour=0.3),
    channels=(
        Channel(id="web", orders_per_hour=900.0, pickups=0.3),
        Channel(id="market", kind="marketplace", orders_per_hour=300.0, feed_minutes=5, calls_per_s=2.0),
    ),
    books=Books(closes=15, opens=18),
    faults=Faults(regional=1, crashes=1, brownouts=1),
    promotion=Promotion(begins=5.0, hours=4.0, items=8, factor=8.0),
)

OVERNIGHT: Final = Scenario(
    name="overnight",
    words="400 stores that upload every 15 minutes, and a warehouse that sends its files at night",
    items=400,
    stores=Stores(number=400, items=100, visits_per_hour=15.0, level=8, upload_minutes=15),
    depot=Depot(level=0.6, receipts_per_hour=6.0, transfers_per_hour=0.2, files_at=(2, 4), naive_times=True),
    channels=(Channel(id="web", orders_per_hour=800.0, pickups=0.3),),
    books=Books(closes=22),
    faults=Faults(crashes=1),
    hours=24.0,
    settle_hours=24.0,
)

SECONDS: Final = Scenario(
    name="every-few-seconds",
    words="300 stores whose tills report every few seconds, on a day when the network is bad",
    items=400,
    stores=Stores(number=300, items=120, level=12),
    channels=(Channel(id="web", orders_per_hour=900.0, pickups=0.3),),
    faults=Faults(
        outages_per_store_day=2.0,
        regional=2,
        swizzles=1,
        crashes=2,
        skewed=10,
        reimaged=10,
        clones=3,
        replays=2,
    ),
)

AMAZON: Final = Scenario(
    name="amazon",
    words="180 stores, a site of our own, and a marketplace that tells its orders late and takes few numbers at a time",
    items=300,
    stores=Stores(number=180, items=100, level=12),
    depot=Depot(level=0.8, receipts_per_hour=4.0, transfers_per_hour=0.3),
    channels=(
        Channel(id="site", orders_per_hour=400.0, pickups=0.3),
        Channel(
            id="amazon",
            kind="marketplace",
            orders_per_hour=600.0,
            feed_minutes=15,
            calls_per_s=0.2,
            numbers_per_call=50,
        ),
    ),
    books=Books(closes=23),
    faults=Faults(regional=1, brownouts=2, crashes=1),
    settle_hours=12.0,  # the ERP is back nine hours after the end
)

CLOUD: Final = Scenario(
    name="shopify-3pl",
    words="300 stores, a hosted web shop, two marketplaces, an ERP in the cloud, and a warehouse that somebody else runs",
    items=400,
    stores=Stores(number=300, items=120, level=12),
    depot=Depot(level=0.6, receipts_per_hour=6.0, transfers_per_hour=0.3, short=0.1),
    channels=(
        Channel(id="shopify", orders_per_hour=700.0, pickups=0.3, calls_per_s=2.0, numbers_per_call=250),
        Channel(id="market-a", kind="marketplace", orders_per_hour=250.0, feed_minutes=5, calls_per_s=5.0),
        Channel(
            id="market-b",
            kind="marketplace",
            orders_per_hour=150.0,
            feed_minutes=15,
            calls_per_s=0.5,
            numbers_per_call=50,
        ),
    ),
    books=Books(closes=22, refused=0.01),
    faults=Faults(regional=1, brownouts=3, crashes=2, unmapped=3, replays=1),
    settle_hours=12.0,  # the ERP is back nine hours after the end
)

ESTATES: Final = {
    scenario.name: scenario
    for scenario in (CORNER, SMALL, AUTUMN, PROMOTION, OVERNIGHT, SECONDS, AMAZON, CLOUD)
}

SHRINK: Final = 0.015  # units that vanish, for each that is sold


def again(history: History, *, online: float, cover_days: float) -> Scenario:
    """A retailer's own past as an estate: the customers are those of the history, the rest is as in the estates above.

    `online` is the part of the tickets that is ordered in a web shop in place of a store; orders of the history are in any case.
    """
    days = history.hours / 24
    return Scenario(
        name="history",
        words=(
            f"{history.places:,} places, {history.items:,} items, {len(history.tickets):,} tickets of {days:,.1f} days, "
            f"{online:.0%} of those from stores ordered online"
        ),
        items=history.items,
        stores=Stores(
            number=history.places,
            items=history.items,
            returns=history.returned,
            shrink_per_hour=SHRINK * history.units / (history.hours * history.places),
            cover_days=cover_days,
            delivered_at=5,
        ),
        channels=(Channel(id="web"),),
        history=history,
        online=online,
        hours=float(history.hours),
        opens_at=history.opens_at,
        zone=history.zone,
    )
