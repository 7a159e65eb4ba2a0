"""A new connector's folder: small, whole, and good by the kit, so that it can be changed one step at a time."""

from pathlib import Path
from typing import Final

CODE: Final = '''"""TITLE: what it sends us, as events."""

import msgspec

from evenstock.connectors.contract import Connector, Hook, HookSettings, JsonObject, Message
from evenstock.connectors.reading import json_of, typed


class Settings(HookSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`secret` and `previous_secret` are there already; add what else a connection must be told, and explain it in README.md."""


class Line(msgspec.Struct, frozen=True):
    """A line of a ticket, as the vendor writes it."""

    sku: str
    qty: int


class Ticket(msgspec.Struct, frozen=True):
    """A ticket; what is not named here is let be."""

    number: str
    store: str
    closed_at: str
    lines: list[Line]


def translate(settings: Settings, message: Message) -> list[JsonObject]:  # noqa: ARG001 - nothing is set yet
    """One ticket is one sale."""
    ticket = typed(json_of(message), Ticket)
    lines = [
        {"line": str(number), "item": {"sku": line.sku}, "quantity": line.qty}
        for number, line in enumerate(ticket.lines, 1)
    ]
    return [
        {
            "id": f"{ticket.store}/{ticket.number}",  # the vendor's own identity of the fact, unique for ever
            "type": "SaleRecorded.v1",
            "time": ticket.closed_at,
            "data": {"location": ticket.store, "ticket": ticket.number, "lines": lines},
        }
    ]


connector = Connector(
    name="NAME",
    summary="Tickets of TITLE become sales.",
    settings=Settings,
    translate=translate,
    hook=Hook(),  # Standard Webhooks; a vendor with a scheme of its own says so here
)
'''

README: Final = """# NAME

Tickets of TITLE become sales. Point its webhooks at `POST /v1/hooks/CONNECTION`.

| setting | default | meaning |
|---|---|---|
| `secret` | required | Where the signing secret is: `env:NAME` or `secret:NAME`. |
| `previous_secret` | none | The one before, while the vendor changes over. |

`fixtures/` holds messages as TITLE sends them, and the events they become.
"""

TICKET: Final = """{
  "number": "88213",
  "store": "0107",
  "closed_at": "2026-11-20T14:08:12+01:00",
  "lines": [{"sku": "TSH-BLK-M", "qty": 1}, {"sku": "CAP-RED", "qty": 2}]
}
"""

EVENTS: Final = """[
  {
    "data": {
      "lines": [
        {"item": {"sku": "TSH-BLK-M"}, "line": "1", "quantity": 1},
        {"item": {"sku": "CAP-RED"}, "line": "2", "quantity": 2}
      ],
      "location": "0107",
      "ticket": "88213"
    },
    "id": "0107/88213",
    "time": "2026-11-20T14:08:12+01:00",
    "type": "SaleRecorded.v1"
  }
]
"""

TEST: Final = '''"""The kit, on this connector."""

from pathlib import Path

import pytest

from evenstock.connectors.testing import Case, cases


@pytest.mark.parametrize("case", cases(Path(__file__).parent / "NAME"), ids=str)
def test_NAME(case: Case) -> None:
    case()
'''

PROJECT: Final = """[project]
name = "evenstock-NAME"
version = "0.1.0"
dependencies = ["evenstock"]

[project.entry-points."evenstock.connectors"]
NAME = "NAME:connector"

[build-system]
requires = ["setuptools>=69"]
build-backend = "setuptools.build_meta"

[tool.setuptools]
packages = ["NAME"]

[tool.setuptools.package-data]
NAME = ["README.md", "fixtures/*"]
"""


def files_of(name: str) -> dict[Path, str]:
    """The files of a new connector, by their place: its folder, and what makes a package of it."""
    folder = Path(name)
    texts = {
        folder / "__init__.py": CODE,
        folder / "README.md": README,
        folder / "fixtures" / "settings.json": '{"secret": "env:SECRET_OF_NAME"}\n'.replace(
            "NAME", name.upper()
        ),
        folder / "fixtures" / "sale.json": TICKET,
        folder / "fixtures" / "sale.events.json": EVENTS,
        Path(f"test_{name}.py"): TEST,
        Path("pyproject.toml"): PROJECT,
    }
    title = name.replace("_", " ").title()
    return {
        path: text if path.name == "settings.json" else _named(text, name, title)
        for path, text in texts.items()
    }


def _named(text: str, name: str, title: str) -> str:
    kept = text.replace("env:NAME", "env:\0").replace("secret:NAME", "secret:\0")
    return kept.replace("NAME", name).replace("TITLE", title).replace("\0", "NAME")
