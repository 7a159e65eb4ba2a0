"""Which connectors there are: the folders beside this file, and what other packages offer as `evenstock.connectors`."""

import importlib
import importlib.util
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import msgspec

from evenstock import connectors
from evenstock.connectors.contract import Connector
from evenstock.core.errors import Refusal
from evenstock.core.exact_json import escape
from evenstock.core.mapping import near
from evenstock.core.reading import problem_of

GROUP = "evenstock.connectors"
WITHOUT_CODE = ("api", "import")  # connections that others speak for: by a key, by a file


@cache
def found() -> dict[str, Connector[Any]]:
    """Connectors by name; a folder is one by being there and naming `connector`.

    Raises TypeError when something offered is no connector, does not say what numbers mean to it, or offers a name that is taken.
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
        if connector.publish is not None and (connector.basis is None or connector.basis.mode != "set"):
            raise TypeError(
                f"{origin} is told numbers and does not say what they mean there: give the connector a basis of mode `set`."
            )
        if connector.name in by_name:
            raise TypeError(f"{origin} offers the connector `{connector.name}`, a name that is taken.")
        by_name[connector.name] = connector
    return by_name


def sandboxes() -> dict[str, Any]:
    """What makes a sandbox, by its connector's name: the folders that have a `sandbox.py`, which names `sandbox`."""
    made = {}
    for name in found():
        module = f"{connectors.__name__}.{name}.sandbox"
        if importlib.util.find_spec(f"{connectors.__name__}.{name}") and importlib.util.find_spec(module):
            made[name] = importlib.import_module(module).sandbox
    return made


def configured(name: str, settings: object, pointer: str = "") -> tuple[Connector[Any], Any] | None:
    """The connector of this name with settings that fit it; None for one that needs neither.

    Raises Refusal `connector.unknown`, `connection.settings`.
    """
    if name in WITHOUT_CODE:
        return None
    connector = found().get(name)
    if connector is None:
        hint = near(name, [*found(), *WITHOUT_CODE])
        raise Refusal(
            "connector.unknown",
            f"There is no connector `{name}`. {hint} They are listed by `evenstock connector list`.",
            f"{pointer}/connector",
        )
    return connector, fitting(connector, settings, f"{pointer}/settings")


def fitting(connector: Connector[Any], settings: object, pointer: str = "") -> Any:
    """Settings as the connector's own record.

    Raises Refusal `connection.settings`.
    """
    if isinstance(settings, dict):
        known = [field.encode_name for field in msgspec.structs.fields(connector.settings)]
        for given in settings:
            if given not in known:
                words = f"The connector `{connector.name}` has no setting `{given}`. {near(given, known)} Its README tells of each."
                raise Refusal("connection.settings", words, f"{pointer}/{escape(given)}")
    try:
        return msgspec.convert(settings, connector.settings)
    except msgspec.ValidationError as error:
        problem = problem_of(error, pointer, "connection.settings")
        raise Refusal("connection.settings", problem.detail, problem.pointer) from None
