"""When a channel's numbers may leave: once the hub has them, once an ERP's books acknowledged them, or never (D7)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from evenstock.core.errors import Refusal
from evenstock.postgres import confirmations
from evenstock.postgres.database import Connection
from evenstock.postgres.queries import load

SQL: Final = load("policies")
UNSENT: Final = ("observe", "shadow")  # flows in which books are never acknowledged


class Policy(msgspec.Struct, frozen=True):
    """A channel's policy, and whose books release its numbers."""

    channel_id: int
    publish_on: str
    confirmed_by: int | None


async def read(db: Connection, channels: Sequence[str]) -> dict[str, Policy]:
    """The policies of these channels, of those that there are."""
    return {row[0]: Policy(*list(row.values())[1:]) for row in await db.fetch(SQL.policies, list(channels))}


async def kept_books(db: Connection) -> dict[str, str]:
    """Connections that keep books, and their flow."""
    return {row["id"]: row["flow"] for row in await db.fetch(SQL.kept_books)}


def confirmer(
    channel: Mapping[str, Any], connections: Mapping[str, int], books: Mapping[str, str], pointer: str
) -> int | None:
    """The connection whose books release a channel's numbers: the one that it names, or the only one; None: nobody's do.

    Books are of all locations, so those that there are cover the channel's. Raises Refusal `connection.unknown`, `channel.no_books`.
    """
    name: str | None = channel.get("confirmed_by")
    pointer = f"{pointer}/{'publish_on' if name is None else 'confirmed_by'}"
    if name is not None and name not in connections:
        raise Refusal("connection.unknown", f"There is no connection `{name}`.", pointer)
    if channel["publish_on"] != "erp_confirm":
        return None if name is None else connections[name]
    waits = f"`{channel['id']}` waits for an ERP's confirmation"
    if name is None:
        if not books:
            raise Refusal("channel.no_books", f"{waits}, and no connection keeps books.", pointer)
        if len(books) > 1:
            names = ", ".join(books)
            raise Refusal("channel.no_books", f"{waits}, and there are several books: {names}.", pointer)
        (name,) = books
    if name not in books:
        raise Refusal("channel.no_books", f"{waits}, and `{name}` keeps no books.", pointer)
    if books[name] in UNSENT:
        words = f"{waits}, and nothing is posted to `{name}`: its flow is `{books[name]}`."
        raise Refusal("channel.no_books", words, pointer)
    return connections[name]


async def change(db: Connection, before: Mapping[str, Policy], after: Mapping[str, Policy]) -> None:
    """Other policies hold from now on: what is not told yet waits for the books, or waits for them no more.

    In the caller's transaction, which keeps `expose` from deciding meanwhile.
    """
    changed = [policy for name, policy in after.items() if before.get(name) != policy]
    for policy in changed:
        if policy.publish_on == "erp_confirm":
            await db.execute(SQL.begin_confirming, policy.channel_id)
            await confirmations.hold_back(db, policy.channel_id)
    await confirmations.look_again(db, [policy.channel_id for policy in changed])


async def check_kept(db: Connection, connections: Sequence[Mapping[str, Any]]) -> None:
    """Books that a channel waits for stay kept.

    Raises Refusal `channel.no_books`.
    """
    places = {each["id"]: index for index, each in enumerate(connections)}
    for row in await db.fetch(SQL.waiting_for, list(places)):
        place = places[row["connection"]]
        flow = connections[place].get("flow", "live")
        if connections[place].get("books") is None:
            words = f"The channel `{row['channel']}` waits for the books of `{row['connection']}`."
            raise Refusal("channel.no_books", words, f"/connections/{place}/books")
        if flow in UNSENT:
            words = f"The channel `{row['channel']}` waits for `{row['connection']}`, and nothing is posted when its flow is `{flow}`."
            raise Refusal("channel.no_books", words, f"/connections/{place}/flow")
