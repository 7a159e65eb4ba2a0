"""Asking a Shopify store: its token, its GraphQL, and the bucket of points that each question is paid from."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from evenstock.connectors.calling import DETAIL_MAX, call, json_of, meaning, not_understood
from evenstock.connectors.contract import (
    Failed,
    Failure,
    JsonObject,
    Rejected,
    RetryLater,
    Unauthorized,
    Unknown,
    World,
)
from evenstock.connectors.shopify import tokens
from evenstock.connectors.shopify.documents import VERSION
from evenstock.connectors.shopify.settings import Settings

CLOSED: Final = {402: "frozen: its bill is unpaid", 404: "not there", 423: "locked"}
WAIT_MIN_S: Final = 0.1
_COSTS: Final = "costs"
T = TypeVar("T")
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


class TokenRefused(Failed):
    """The store does not take our token; another one may do."""


class _Bucket(msgspec.Struct, frozen=True):
    """Points as of the last answer: how many there are, and how many come back each second."""

    available: float
    per_s: float

    def wait_s(self, cost: float) -> float:
        """How long until a question of this cost can be paid."""
        return max(0.0, cost - self.available) / self.per_s if self.per_s > 0 else 0.0


class Shop:
    """One store, for the time of one call of the connector; `patience_s` is how long it may wait for points in all."""

    def __init__(self, settings: Settings, world: World, *, patience_s: float = 0.0) -> None:
        self._settings = settings
        self._world = world
        self._patience_s = patience_s
        self._bucket: _Bucket | None = None
        self._costs: dict[str, float] = world.memory.setdefault(_COSTS, {})

    async def ask(self, document: str, variables: JsonObject, answer: type[T], *, changes: bool = False) -> T:
        """The data of an answer without errors. What we know the bucket cannot pay for is not asked.

        Raises Failed.
        """
        while True:
            try:
                return await self._ask_now(document, variables, answer, changes=changes)
            except Failed as failed:
                wait = _wait_s(failed.outcome)
                if wait is None or wait > self._patience_s:
                    raise
            self._patience_s -= wait
            await asyncio.sleep(wait)
            self._bucket = None  # it has filled up meanwhile; the next answer says how far

    async def _ask_now(self, document: str, variables: JsonObject, answer: type[T], *, changes: bool) -> T:
        self._pay(document)
        body = _encoder.encode({"query": document, "variables": variables})
        token = await tokens.current(self._settings, self._world)
        try:
            data = await self._ask(document, body, token, changes=changes)
        except TokenRefused:
            another = await tokens.another(self._settings, self._world, token)
            if another is None:
                raise
            data = await self._ask(document, body, another, changes=changes)
        try:
            return msgspec.convert(data, answer)
        except msgspec.ValidationError as error:
            raise not_understood(str(error), changes=changes) from error

    async def _ask(self, document: str, body: bytes, token: str, *, changes: bool) -> Any:
        headers = {"Content-Type": "application/json", "X-Shopify-Access-Token": token}
        url = f"{self._settings.url}/admin/api/{VERSION}/graphql.json"
        reply = await call(
            self._world, "POST", url, changes=changes, headers=headers, body=body, takes={*CLOSED, 401}
        )
        if reply.status == 401:
            raise TokenRefused(meaning(reply, changes=changes))
        if reply.status in CLOSED:
            raise Failed(Unauthorized(f"The store is {CLOSED[reply.status]} (it answered {reply.status})."))
        answer = json_of(reply, changes=changes)
        if not isinstance(answer, dict):
            raise not_understood("it is no object", changes=changes)
        cost = self._paid(document, answer)
        if errors := answer.get("errors"):
            raise Failed(self._meaning(errors, cost, changes=changes))
        return answer.get("data")

    def _pay(self, document: str) -> None:
        cost = self._costs.get(document)
        if self._bucket is None or cost is None or (wait := self._bucket.wait_s(cost)) <= 0:
            return
        words = f"The store's bucket holds {self._bucket.available:g} points, and the next question costs {cost:g}."
        raise Failed(RetryLater(words, wait, "rate"))

    def _paid(self, document: str, answer: JsonObject) -> float:
        """Remember what the answer says of the bucket; return what the question was priced at."""
        match answer.get("extensions"):
            case {
                "cost": {
                    "requestedQueryCost": cost,
                    "throttleStatus": {"currentlyAvailable": available, "restoreRate": per_s},
                }
            }:
                self._bucket = _Bucket(float(available), float(per_s))
                self._costs[document] = float(cost)
                return float(cost)
            case _:
                return 0.0

    def _meaning(self, errors: Any, cost: float, *, changes: bool) -> Failure:
        """What errors above the data mean: the whole question was not done, unless the store itself does not know."""
        if not isinstance(errors, list) or not all(isinstance(error, Mapping) for error in errors):
            return Unauthorized(
                f"The store answered: {errors!r}"[:DETAIL_MAX]
            )  # a text: a closed or locked store
        codes = {str((error.get("extensions") or {}).get("code", "")) for error in errors}
        words = "; ".join(str(error.get("message", "")) for error in errors)[:DETAIL_MAX]
        if "THROTTLED" in codes or words == "Throttled":
            wait = self._bucket.wait_s(cost) if self._bucket else None
            return RetryLater(words, wait, "rate")
        if "ACCESS_DENIED" in codes:
            return Unauthorized(words)
        if "INTERNAL_SERVER_ERROR" in codes:
            return Unknown(words) if changes else RetryLater(words)
        return Rejected(words, next(iter(sorted(codes))) or "graphql")


def _wait_s(outcome: Failure) -> float | None:
    """How long until the store has points again, where that is why it was not asked."""
    match outcome:
        case RetryLater(after_s=float(wait), cause="rate"):
            return max(wait, WAIT_MIN_S)
        case _:
            return None
