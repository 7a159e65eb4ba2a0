"""Writes every number and command that it is told as a line of JSON into a file: a channel, or a floor, to try with and look at."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from evenstock.connectors.contract import (
    Basis,
    Command,
    Connector,
    Done,
    Exposure,
    NotSent,
    Outcome,
    RetryLater,
    World,
)

NAME_MAX: Final = 128
PLAIN: Final = rf"^[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{NAME_MAX - 1}}}$"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`path` is a plain file name; the file lies in the connection's own folder under the data folder."""

    path: Annotated[str, msgspec.Meta(pattern=PLAIN)] = "exposures.jsonl"


_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def _line(given: Exposure | Command) -> bytes:
    told = msgspec.to_builtins(given, builtin_types=(Decimal, datetime))
    del told["again"]
    return _encoder.encode(told)


def _mark(given: Exposure | Command) -> bytes:
    """What a line of this number or command holds, and no other."""
    return b'"key":' + msgspec.json.encode(given.key)


async def publish(settings: Settings, world: World, exposures: Sequence[Exposure]) -> list[Outcome]:
    """Append the numbers, in their order. One whose line may be there already is looked up by its key first."""
    marks = [_mark(exposure) for exposure in exposures if exposure.again]
    there = await world.files.holds(settings.path, marks) if marks else set()
    new = [exposure for exposure in exposures if not (exposure.again and _mark(exposure) in there)]
    if new:
        try:
            await world.files.append(settings.path, [_line(exposure) for exposure in new])
        except NotSent as error:
            return [RetryLater(str(error))] * len(exposures)
    return [Done(exposure.key) for exposure in exposures]


async def do(settings: Settings, world: World, command: Command) -> Outcome:
    """Append the command. One whose line may be there already is looked up by its key first."""
    if command.again and await world.files.holds(settings.path, [_mark(command)]):
        return Done(command.key)
    try:
        await world.files.append(settings.path, [_line(command)])
    except NotSent as error:
        return RetryLater(str(error))
    return Done(command.key)


connector = Connector(
    name="recorder",
    summary="Writes the numbers and commands it is told into a file of JSON lines.",
    settings=Settings,
    publish=publish,
    command=do,
    basis=Basis(buckets=("sellable",), subtracts_own_orders=False, mode="set", decimals=6),
    exposures_max=500,
)
