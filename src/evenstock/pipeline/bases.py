"""What a number means to each kind of system we talk to, as the connectors say it (D9)."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from evenstock.connectors.contract import Connector
from evenstock.connectors.found import found
from evenstock.postgres.exposures import BasisRow


@cache
def bases() -> tuple[BasisRow, ...]:
    """One for each connector there is that can be told numbers."""
    return bases_of(found())


def bases_of(connectors: Mapping[str, Connector[Any]]) -> tuple[BasisRow, ...]:
    """One for each of these that can be told numbers."""
    return tuple(
        BasisRow(
            name, connector.basis.buckets, connector.basis.subtracts_own_orders, connector.basis.decimals
        )
        for name, connector in sorted(connectors.items())
        if connector.basis is not None
    )
