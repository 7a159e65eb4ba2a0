"""Which connectors there are: the folders beside this file, and what other packages offer as `evenstock.connectors`."""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from evenstock import connectors
from evenstock.connectors.contract import Connector

GROUP = "evenstock.connectors"


@cache
def found() -> dict[str, Connector[Any]]:
    """Connectors by name; a folder is one by being there and naming `connector`.

    Raises TypeError when something offered is no connector, or offers a name that is taken.
    """
    offered = [
        (
            f"{connectors.__name__}.{module.name}",
            importlib.import_module(f"{connectors.__name__}.{module.name}").connector,
        )
        for module in pkgutil.iter_modules(connectors.__path__)
        if module.ispkg
    ]
    offered += [(entry.value, entry.load()) for entry in entry_points(group=GROUP)]
    by_name: dict[str, Connector[Any]] = {}
    for origin, connector in offered:
        if not isinstance(connector, Connector):
            raise TypeError(
                f"{origin} offers {connector!r}, which is no Connector; see connectors/contract.py."
            )
        if connector.name in by_name:
            raise TypeError(f"{origin} offers the connector `{connector.name}`, a name that is taken.")
        by_name[connector.name] = connector
    return by_name
