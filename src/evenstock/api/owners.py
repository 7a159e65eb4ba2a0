"""GET /v1/owners and POST /v1/owners:batch: which system is right about what (D8)."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from evenstock.api.masters import check_number
from evenstock.api.operation import Call, Operation, query, read_body, respond
from evenstock.core.errors import Refusal
from evenstock.core.events import Identifier
from evenstock.core.owning import (
    EVERYWHERE,
    HUB,
    REST,
    SCOPED_BY,
    Dispute,
    Domain,
    disputes,
    is_only_ours,
)
from evenstock.pipeline.hub import Hub
from evenstock.postgres import masters, owners
from evenstock.postgres.owners import Owner


class OwnerInput(msgspec.Struct, frozen=True, kw_only=True):
    """Who is right: `owner` is a connection, or `evenstock`; null says nobody.

    `scope` is `everywhere`, `default` (where nothing else is said), a location (store_sales) or a channel (availability).
    """

    domain: Domain
    scope: Identifier = EVERYWHERE
    owner: Identifier | None


class OwnerBatch(msgspec.Struct, frozen=True):
    owners: Annotated[list[OwnerInput], msgspec.Meta(max_length=1_000)]


class OwnersNow(msgspec.Struct, frozen=True):
    """All owners, and what several systems claim: nothing is done about that."""

    data: list[Owner]
    disputed: list[Dispute]


class OwnersMade(msgspec.Struct, frozen=True):
    """How many owners were said or taken away, how many held lines were booked because of it, and what is disputed now."""

    upserted: int
    released: int
    disputed: list[Dispute]


async def get_owners(call: Call) -> Response:
    query(call)
    async with call.hub.pool.acquire() as db:
        rows = await owners.every(db)
    claims = {(each.domain, each.scope): each.owner for each in rows}
    return respond(OwnersNow(rows, disputes(claims)))


async def post_owners(call: Call) -> Response:
    return respond(await make_owners(call.hub, read_body(call, OwnerBatch)))


async def make_owners(hub: Hub, batch: OwnerBatch) -> OwnersMade:
    """Say who is right, or that nobody is, and book what waited for it. Raises Refusal `ownership.ours`, `connection.unknown`."""
    check_number(len(batch.owners))
    async with hub.pool.acquire() as db:
        known = await masters.connections(db)
        seen: set[tuple[str, str]] = set()
        for index, each in enumerate(batch.owners):
            _check(each, known, seen, f"/owners/{index}")
            seen.add((each.domain, each.scope))
        rows = [
            (each.domain, each.scope, known.get(each.owner or ""), each.owner is not None)
            for each in batch.owners
        ]
        await owners.claim(db, rows, hub.now())
        waiting = await owners.held_for(db, sorted({each.domain for each in batch.owners}))
        claims = await owners.claims(db)
    return OwnersMade(len(rows), await hub.writer.release(waiting), disputes(claims))


def _check(claim: OwnerInput, known: dict[str, int], seen: set[tuple[str, str]], pointer: str) -> None:
    if (claim.domain, claim.scope) in seen:
        raise Refusal("request.malformed", "This scope stands twice in this batch.", f"{pointer}/scope")
    if claim.scope not in {EVERYWHERE, REST} and claim.domain not in SCOPED_BY:
        words = f"{claim.domain} is owned as a whole: {EVERYWHERE} or {REST}."
        raise Refusal("request.malformed", words, f"{pointer}/scope")
    if claim.owner in {None, HUB}:
        return
    if is_only_ours(claim.domain, claim.scope):
        words = f"{claim.domain} is what the hub is for; it cannot be left to {claim.owner}."
        raise Refusal("ownership.ours", words, f"{pointer}/owner")
    if claim.owner not in known:
        raise Refusal("connection.unknown", f"There is no connection `{claim.owner}`.", f"{pointer}/owner")


OPERATIONS = (
    Operation(
        "GET", "/v1/owners", get_owners, "Which system is right about what", "connections:read", {200: OwnersNow},
    ),
    Operation(
        "POST", "/v1/owners:batch", post_owners, "Say which system is right about what", "connections:write", {200: OwnersMade},
        body=OwnerBatch, refusals=("limit.batch", "ownership.ours", "connection.unknown", "hub.memory_away"),
        description="Upserts by domain and scope, all or none. It holds from now on: what waited for its owner is booked or sent.",
    ),
)  # fmt: skip
