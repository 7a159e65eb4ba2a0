"""Who and what there is: the stores, warehouse and items of Tulip & Co, a clothing chain that does not exist."""

from typing import Any, Final

import msgspec

WAREHOUSE: Final = "dc-tilburg"
STORES: Final = (
    ("0107", "Amsterdam Kalverstraat"),
    ("0118", "Rotterdam Lijnbaan"),
    ("0103", "Utrecht Oudegracht"),
    ("0121", "Den Haag Spuistraat"),
    ("0130", "Eindhoven Demer"),
    ("0134", "Groningen Herestraat"),
    ("0142", "Maastricht Wyck"),
    ("0145", "Haarlem Barteljorisstraat"),
    ("0151", "Leiden Haarlemmerstraat"),
    ("0156", "Nijmegen Broerstraat"),
    ("0163", "Breda Karrestraat"),
    ("0170", "Zwolle Diezerstraat"),
)
HERO: Final = "TSH-BLK-M"  # the item that most of the story is about
LAST: Final = "CAP-RED-ONE"  # the item of which there is little
STORY: Final = frozenset({HERO, LAST})
HOME_DELIVERY: Final = "web-shop"  # the channel that sells what lies in the warehouse
COLLECT: Final = "click-collect"  # the channel that sells what lies in a few stores, to be picked up there
COLLECT_STORES: Final = 2
COLLECT_SAFETY: Final = 2  # units of each item that each of them keeps back
RECORDER: Final = "web-recorder"
BOOKS: Final = "erp"  # the system that keeps the books
RECORDER_FILE: Final = "told.jsonl"
STYLES: Final = (
    ("TSH", "T-shirt", ("BLK", "WHT", "NVY"), ("S", "M", "L", "XL")),
    ("HDY", "Hoodie", ("GRY", "GRN", "BLK"), ("S", "M", "L", "XL")),
    ("JNS", "Jeans", ("BLU", "BLK"), ("28", "30", "32", "34", "36")),
    ("SNK", "Sneakers", ("WHT", "BLK"), ("38", "40", "41", "42", "43", "44")),
    ("DRS", "Dress", ("RED", "BLU"), ("34", "36", "38", "40")),
    ("JKT", "Jacket", ("BLK", "OLV"), ("S", "M", "L")),
    ("SCK", "Socks", ("BLK", "WHT", "MIX"), ("39-42", "43-46")),
    ("CAP", "Cap", ("BLK", "RED"), ("ONE",)),
)


class Cast(msgspec.Struct, frozen=True):
    """Whom a world is played with."""

    stores: tuple[str, ...] = tuple(id_ for id_, _ in STORES)
    skus: tuple[str, ...] = tuple(
        f"{style}-{colour}-{size}"
        for style, _, colours, sizes in STYLES
        for colour in colours
        for size in sizes
    )
    registers: int = 3  # of each store

    @property
    def locations(self) -> tuple[str, ...]:
        return (WAREHOUSE, *self.stores)

    @property
    def collect_stores(self) -> tuple[str, ...]:
        return self.stores[:COLLECT_STORES]

    def popularity(self, sku: str) -> float:
        """How often an item is wanted, beside others; the hero most of all."""
        return 9.0 if sku == HERO else 10.0 / (1 + self.skus.index(sku)) + 0.4


def item_master(skus: tuple[str, ...] | list[str]) -> list[dict[str, Any]]:
    """The items as POST /v1/items:batch takes them."""
    names = {style: name for style, name, _, _ in STYLES}
    return [{"sku": sku, "name": f"{names.get(sku[:3], 'Novelty')} {sku[4:]}"} for sku in skus]


def location_master(cast: Cast) -> list[dict[str, Any]]:
    """The locations as POST /v1/locations:batch takes them."""
    names = dict(STORES)
    stores = [
        {"id": id_, "name": names.get(id_, id_), "type": "store", "timezone": "Europe/Amsterdam"}
        for id_ in cast.stores
    ]
    return [
        *stores,
        {"id": WAREHOUSE, "name": "DC Tilburg", "type": "warehouse", "timezone": "Europe/Amsterdam"},
    ]


def connection_master() -> list[dict[str, Any]]:
    """The web shop's system as POST /v1/connections:batch takes it: it writes down what it is told."""
    return [{"id": RECORDER, "connector": "recorder", "settings": {"path": RECORDER_FILE}}]


def channel_master(cast: Cast) -> list[dict[str, Any]]:
    """Where the web shop sells, as POST /v1/channels:batch takes it."""
    return [
        {
            "id": HOME_DELIVERY,
            "name": "Web shop, sent home",
            "locations": [WAREHOUSE],
            "connection": RECORDER,
        },
        {
            "id": COLLECT,
            "name": "Web shop, picked up in a store",
            "locations": list(cast.collect_stores),
            "safety_stock": COLLECT_SAFETY,
            "connection": RECORDER,
        },
    ]
