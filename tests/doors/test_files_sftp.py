"""Files at an SFTP server: a real one, over a real connection, that refuses, forges and falls silent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from doors.delivered import Partner, archived, partner, sales
from doors.door import until
from evenstock.postgres.database import Database


class Server:
    """Serves a folder to the user `hub`, who has a key or a password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.user_key = asyncssh.generate_private_key("ssh-ed25519")
        self.port = 0
        self._listener: Any = None

    async def start(self) -> None:
        keys = asyncssh.import_authorized_keys(self.user_key.export_public_key().decode())
        self._listener = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_host_keys=[self.host_key],
            authorized_client_keys=keys,
            sftp_factory=partial(asyncssh.SFTPServer, chroot=str(self.folder).encode()),
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._listener.close_clients() if hasattr(self._listener, "close_clients") else None
        self._listener.close()
        await self._listener.wait_closed()

    def settings(self, **more: Any) -> dict[str, Any]:
        key = self.host_key.export_public_key().decode().strip()
        return {
            "folder": "/out",
            "sftp": {
                "host": "127.0.0.1",
                "port": self.port,
                "user": "hub",
                "key": "env:SFTP_KEY",
                "host_key": key,
            }
            | more,
        }


@asynccontextmanager
async def serving(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Server, Partner]]:
    folder = tmp_path / "server"
    (folder / "out").mkdir(parents=True)
    server = Server(folder)
    monkeypatch.setenv("SFTP_KEY", server.user_key.export_private_key().decode())
    await server.start()
    allow = [f"127.0.0.1:{server.port}"]
    async with partner(database, tmp_path / "data", configured=False, allow=allow) as one:
        one.folder = folder / "out"
        yield server, one
    await server.stop()


async def failing(one: Partner, words: str) -> None:
    """Wait until the hub says so of the source."""

    async def told() -> bool:
        found = (await one.door.get("/v1/sources")).body["data"]
        return any(words in (source["detail"] or "") for source in found)

    await until(told)


async def test_files_at_a_server_are_booked_archived_and_quarantined_there(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database, tmp_path, monkeypatch) as (server, one):
        for name, content in (
            ("a.csv", sales("T-1", "T-2")),
            ("b.csv", "no,header\n"),
            ("é.csv", sales("T-3")),
        ):
            one.leave(name, content)
        assert (await one.configure(**server.settings())).status == 200
        found = await one.ended("a.csv", "b.csv", "é.csv")
        assert {name: file["status"] for name, file in found.items()} == {
            "a.csv": "done",
            "b.csv": "quarantined",
            "é.csv": "done",
        }
        assert await one.units() == -3
        assert archived(one.folder, "a.csv")[0].read_text() == sales("T-1", "T-2")
        assert (one.folder / "quarantine" / "b.csv.reason.txt").read_text().startswith("file.header")
        one.leave("a.csv", sales("T-1", "T-2"))
        one.leave("b.csv", "no,header\n")
        await one.ended("a.csv", "b.csv")
        assert len(archived(one.folder, "a.csv")) == 2
        await server.stop()
        one.leave("c.csv", sales("T-4"))
        await server.start()
        await one.ended("c.csv")
        assert await one.units() == -4, "it went on when the server was back"


async def test_a_server_with_another_host_key_is_not_talked_to(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(database, tmp_path, monkeypatch) as (server, one):
        one.leave("a.csv", sales("T-1"))
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
        await one.configure(**server.settings(host_key=other))
        await failing(one, "another host key")
        assert (one.folder / "a.csv").exists()
        assert await one.files() == {}
        await one.configure(**server.settings())
        await one.ended("a.csv")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"host": "localhost"}, "--outbound-allow"),
        ({"key": "env:NOT_SET"}, "not set"),
        ({"host_key": "ssh-ed25519 not-a-key-at-all"}, "no public key"),
    ],
)
async def test_what_stands_in_the_way_is_told_in_words(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], words: str
) -> None:
    async with serving(database, tmp_path, monkeypatch) as (server, one):
        await one.configure(**server.settings(**more))
        await failing(one, words)
