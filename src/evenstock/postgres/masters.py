"""Items, locations and connections: read into `Masters` as batches need them, changed by upserts."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from evenstock.core.errors import Refusal
from evenstock.core.events import ItemRef
from evenstock.core.exact_json import escape
from evenstock.core.masters import Item, Location, Masters, canonical_gtin
from evenstock.core.quantity import Factor
from evenstock.postgres.database import Connection, Record
from evenstock.postgres.queries import load
from evenstock.postgres.rows import tuples

SQL: Final = load("masters")


async def version(db: Connection) -> int:
    """The version of the masters; any change raises it."""
    return int(await db.fetchval(SQL.version))


async def lock_version(db: Connection) -> int:
    """The version, held still until the transaction ends."""
    return int(await db.fetchval(SQL.lock_version))


async def read_missing(
    db: Connection, masters: Masters, refs: Iterable[tuple[int, ItemRef]], locations: Iterable[str]
) -> None:
    """Read the items and locations that `masters` does not have yet."""
    if unknown := sorted({name for name in locations if name not in masters.locations}):
        for row in await db.fetch(SQL.locations_by_id, unknown):
            masters.locations[row["id"]] = Location(
                row["location_id"], row["id"], row["count_policy"], row["type"]
            )
    missing = {
        (connection_id, ref) for connection_id, ref in refs if masters.item(ref, connection_id) is None
    }
    if missing:
        await _read_items(db, masters, missing)


async def _read_items(db: Connection, masters: Masters, missing: set[tuple[int, ItemRef]]) -> None:
    skus = sorted({ref.sku for _, ref in missing if ref.sku is not None})
    gtins = sorted({canonical_gtin(ref.gtin) for _, ref in missing if ref.gtin is not None})
    codes = sorted({(connection_id, ref.id) for connection_id, ref in missing if ref.id is not None})
    by_sku = await db.fetch(SQL.items_by_sku, skus) if skus else []
    by_gtin = await db.fetch(SQL.items_by_gtin, gtins) if gtins else []
    by_code = await db.fetch(SQL.items_by_code, [c for c, _ in codes], [k for _, k in codes]) if codes else []
    found = sorted({row["item_id"] for row in (*by_sku, *by_gtin, *by_code)})
    uoms: dict[int, dict[str, Factor]] = {}
    for row in await db.fetch(SQL.uoms_of, found) if found else []:
        uoms.setdefault(row["item_id"], {})[row["uom"]] = Factor(row["numerator"], row["denominator"])

    def item(row: Record) -> Item:
        return Item(row["item_id"], row["sku"], row["base_uom"], row["scale"], uoms.get(row["item_id"], {}))

    masters.items_by_sku.update((row["sku"], item(row)) for row in by_sku)
    masters.items_by_gtin.update((row["gtin"], item(row)) for row in by_gtin)
    masters.items_by_code.update(((row["connection_id"], row["code"]), item(row)) for row in by_code)


async def connections(db: Connection) -> dict[str, int]:
    """All connections: connection_id by the id they are known by."""
    return {row["id"]: row["connection_id"] for row in await db.fetch(SQL.connections)}


async def add_connections(db: Connection, ids: Sequence[str], connector: str, now: datetime) -> None:
    """Make connections that are missing."""
    async with db.transaction():
        await db.execute(SQL.raise_version)
        await db.execute(SQL.add_connections, list(ids), connector, now)


async def upsert_items(db: Connection, items: Sequence[dict[str, Any]], now: datetime) -> list[str]:
    """Make or change items in one transaction; return the subjects under which lines may have waited for them.

    Each item: sku, name, base_uom, scale, gtins, codes (by connection), uoms (Factor by name), value (amount, currency) or None.
    Raises Refusal `item.scale_changed`, `item.code_taken`.
    """
    by_sku = {item["sku"]: item for item in items}
    async with db.transaction():
        await db.execute(SQL.raise_version)
        for row in await db.fetch(SQL.lock_items, sorted(by_sku)):
            item = by_sku[row["sku"]]
            if row["used"] and (item["scale"], item["base_uom"]) != (row["scale"], row["base_uom"]):
                raise Refusal(
                    "item.scale_changed",
                    f"{row['sku']} has stock kept in {row['base_uom']} with scale {row['scale']}; it stays so.",
                    f"/items/{list(by_sku).index(row['sku'])}",
                )
        rows = tuples(
            ("s", "n", "u", "d", "v", "c"),
            (
                (i["sku"], i["name"], i["base_uom"], i["scale"], *(i["value"] or (None, None)))
                for i in by_sku.values()
            ),
        )
        ids = {row["sku"]: row["item_id"] for row in await db.fetch(SQL.upsert_items, rows, now)}
        uoms = [
            (ids[i["sku"]], uom, factor.numerator, factor.denominator)
            for i in by_sku.values()
            for uom, factor in i["uoms"].items()
        ]
        if uoms:
            await db.execute(SQL.set_uoms, tuples(("i", "u", "n", "d"), uoms))
        await _add_gtins(db, by_sku, ids)
        await _add_codes(db, by_sku, ids)
    return [subject for item in by_sku.values() for subject in _subjects(item)]


def _subjects(item: dict[str, Any]) -> list[str]:
    sku = item["sku"]
    return [
        f"sku:{sku}",
        *(f"gtin:{variant}" for gtin in item["gtins"] for variant in _gtin_variants(gtin)),
        *(f"code:{source}:{code}" for source, code in item["codes"].items()),
        *(f"uom:{sku}:{uom}" for uom in item["uoms"]),
    ]


def _gtin_variants(gtin: str) -> set[str]:
    """A barcode with and without leading zeros, as sources may have sent it."""
    bare = canonical_gtin(gtin).lstrip("0")
    return {gtin, *(bare.zfill(length) for length in (8, 12, 13, 14) if length >= len(bare))}


async def _add_gtins(db: Connection, items: dict[str, dict[str, Any]], ids: dict[str, int]) -> None:
    owners = {canonical_gtin(gtin): sku for sku, item in items.items() for gtin in item["gtins"]}
    if not owners:
        return
    await db.execute(
        SQL.add_gtins, tuples(("g", "i"), ((gtin, ids[sku]) for gtin, sku in sorted(owners.items())))
    )
    for row in await db.fetch(SQL.gtin_owners, list(owners)):
        _refuse_taken(items, owners[row["gtin"]], row["sku"], f"The barcode {row['gtin']}")


async def _add_codes(db: Connection, items: dict[str, dict[str, Any]], ids: dict[str, int]) -> None:
    wanted = {(source, code): sku for sku, item in items.items() for source, code in item["codes"].items()}
    if not wanted:
        return
    sources = sorted({source for source, _ in wanted})
    known = await connections(db)
    for source in sources:
        if source not in known:
            index = next(index for index, item in enumerate(items.values()) if source in item["codes"])
            raise Refusal(
                "request.malformed",
                f"There is no connection `{source}`.",
                f"/items/{index}/codes/{escape(source)}",
            )
    owners = {(known[source], code): sku for (source, code), sku in sorted(wanted.items())}
    rows = tuples(("c", "k", "i"), ((*key, ids[sku]) for key, sku in owners.items()))
    await db.execute(SQL.add_codes, rows)
    for row in await db.fetch(SQL.code_owners, [c for c, _ in owners], [k for _, k in owners]):
        _refuse_taken(items, owners[row["connection_id"], row["code"]], row["sku"], f"The code {row['code']}")


def _refuse_taken(items: dict[str, dict[str, Any]], wanted: str, owner: str, what: str) -> None:
    if wanted != owner:
        raise Refusal("item.code_taken", f"{what} belongs to {owner}.", f"/items/{list(items).index(wanted)}")


async def upsert_locations(db: Connection, locations: Sequence[dict[str, Any]], now: datetime) -> list[str]:
    """Make or change locations; return the subjects under which lines may have waited for them."""
    async with db.transaction():
        await db.execute(SQL.raise_version)
        rows = tuples(
            ("i", "n", "t", "z", "r", "p"),
            (
                (x["id"], x["name"], x["type"], x["timezone"], x["region"], x["count_policy"])
                for x in locations
            ),
        )
        await db.execute(SQL.upsert_locations, rows, now)
    return [f"location:{location['id']}" for location in locations]


async def waited_for(db: Connection, subjects: Sequence[str]) -> list[str]:
    """Which of these subjects lines wait for."""
    return [row["subject"] for row in await db.fetch(SQL.held_subjects, list(subjects))]
