"""A partner that leaves files in a folder, and a hub that takes them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from doors.door import Answer, Door, opened, until
from evenstock.postgres.database import Database

MAPPING: dict[str, Any] = {
    "time": {"column": "at", "formats": ["iso"]},
    "key": {"parts": ["ticket", "line"]},
    "fields": {"location": {"column": "store"}},
    "line": {"sku": {"column": "sku"}, "quantity": {"column": "qty", "absolute": True}},
    "rule": [
        {"name": "back", "when": [{"column": "qty", "negative": True}], "event": "ReturnReceived.v1"},
        {"name": "sold", "event": "SaleRecorded.v1"},
    ],
}
HEADER = "ticket,line,store,at,sku,qty\n"
SETTINGS: dict[str, Any] = {"folder": "pos", "mapping": MAPPING, "ready": "rename"}


def sold(ticket: str, sku: str = "A", qty: object = 1, line: int = 1) -> str:
    return f"{ticket},{line},0107,2026-01-20T14:08:12+01:00,{sku},{qty}\n"


def sales(*tickets: str, sku: str = "A") -> str:
    return HEADER + "".join(sold(ticket, sku) for ticket in tickets)


class Partner:
    """Leaves files, and looks what became of them."""

    def __init__(self, door: Door, folder: Path, connection: str = "partner") -> None:
        self.door = door
        self.folder = folder
        self.connection = connection

    def leave(self, name: str, content: str | bytes) -> None:
        """A whole file, as those do who rename."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".{name}.part"
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        unfinished.rename(self.folder / name)

    async def configure(self, **settings: Any) -> Answer:
        one = {"id": self.connection, "connector": "csv_file", "settings": SETTINGS | settings}
        return await self.door.post("/v1/connections:batch", {"connections": [one]})

    async def files(self) -> dict[str, dict[str, Any]]:
        """What the hub says of the files, by name."""
        found = (await self.door.get("/v1/files", connection=self.connection)).body["data"]
        return {file["name"]: file for file in reversed(found)}

    async def ended(self, *names: str) -> dict[str, dict[str, Any]]:
        """Wait until these files have left the folder, and what the hub says of all."""

        async def away() -> bool:
            found = await self.files()
            return all(
                found.get(name, {"status": "reading"})["status"] != "reading"
                and not (self.folder / name).exists()
                and not (self.folder / "working" / name).exists()
                for name in names
            )

        await until(away)
        return await self.files()

    async def units(self, sku: str = "A") -> Any:
        return (await self.door.get(f"/v1/availability/{sku}")).body["on_hand"]

    async def exceptions(self, code: str) -> list[dict[str, Any]]:
        found = (await self.door.get("/v1/exceptions", code=code)).body["data"]
        return [each for each in found if each.get("closed_at") is None]

    async def none(self, code: str) -> None:
        """Wait until nothing is open under a code."""

        async def closed() -> bool:
            return not await self.exceptions(code)

        await until(closed)


@asynccontextmanager
async def partner(
    database: Database, data: Path, *, configured: bool = True, allow: Sequence[str] = (), **settings: Any
) -> AsyncIterator[Partner]:
    """A hub with a data folder, and a partner whose files it takes."""
    async with opened(database, data=data, outbound_allow=allow) as door:
        one = Partner(door, data / "files" / "pos")
        await door.know("A", "B")
        if configured:
            assert (await one.configure(**settings)).status == 200
        yield one


def archived(folder: Path, name: str) -> list[Path]:
    return sorted((folder / "archive").glob(f"*/{name}*"))


def there(*paths: Path) -> Callable[[], Any]:
    async def exist() -> bool:
        return all(path.exists() for path in paths)

    return exist
