"""A shelf at an SFTP server. Its host key is written in the settings: a server that shows another is not talked to."""

import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from evenstock.connectors.contract import FileSeen, NotAllowed, World, Writing
from evenstock.connectors.csv_file.settings import Settings, Sftp

if TYPE_CHECKING:
    from asyncssh import SFTPClient

CONNECT_WITHIN_S: Final = 15.0
KEEPALIVE_S: Final = 15.0  # a server that says nothing to three of these is gone
PIECE_BYTES: Final = 256 * 1024


@asynccontextmanager
async def opened(settings: Settings, sftp: Sftp, world: World) -> AsyncIterator["SftpShelf"]:
    """The folder of these settings, at the server.

    Raises NotAllowed, OSError, Refusal of a code `secret.…`.
    """
    try:
        import asyncssh  # noqa: PLC0415 - an extra: who takes no files by SFTP does without
    except ImportError:
        raise NotAllowed("SFTP needs the package asyncssh: pip install 'evenstock[sftp]'.") from None
    with _as_os_errors():
        async with (
            asyncssh.connect(**await _options(asyncssh, sftp, world)) as connection,
            connection.start_sftp_client() as client,
        ):
            yield SftpShelf(client, settings.folder.rstrip("/") or "/")


async def _options(asyncssh: Any, sftp: Sftp, world: World) -> dict[str, Any]:
    """How to connect: to an address that was judged, with nothing taken from the machine's own settings or agent."""
    if world.addresses is None or world.secrets is None:
        raise NotAllowed("SFTP is for a running hub only.")
    addresses = await world.addresses(sftp.host, sftp.port)
    try:
        host_key = asyncssh.import_public_key(sftp.host_key)
    except asyncssh.KeyImportError:
        raise NotAllowed(
            "host_key is no public key: write it as ssh-keyscan shows it, `ssh-ed25519 AAAA…`."
        ) from None
    options: dict[str, Any] = {
        "host": addresses[0],
        "port": sftp.port,
        "username": sftp.user,
        "known_hosts": ([host_key], [], []),
        "server_host_key_algs": "default",
        "client_keys": None,
        "agent_path": None,
        "config": None,
        "connect_timeout": CONNECT_WITHIN_S,
        "login_timeout": CONNECT_WITHIN_S,
        "keepalive_interval": KEEPALIVE_S,
    }
    if sftp.key is not None:
        try:
            options["client_keys"] = [asyncssh.import_private_key(await world.secrets.open(sftp.key))]
        except asyncssh.KeyImportError:
            raise NotAllowed(f"What {sftp.key} holds is no private key without a passphrase.") from None
    if sftp.password is not None:
        options["password"] = await world.secrets.open(sftp.password)
    return options


class SftpShelf:
    """Files by the calls of SFTP, which are the operating system's by other names."""

    def __init__(self, client: "SFTPClient", path: str) -> None:
        self._client = client
        self._path = path

    async def prepare(self, folders: Sequence[str]) -> None:
        with _as_os_errors():
            for folder in folders:
                await self._client.makedirs(self._at(folder), exist_ok=True)

    async def seen(self, folder: str = "") -> list[FileSeen]:
        found = []
        with _as_os_errors():
            for entry in await self._client.readdir(self._at(folder)):
                about = entry.attrs
                if about.permissions is None or not stat.S_ISREG(about.permissions):
                    continue
                raw = entry.filename
                name = raw if isinstance(raw, str) else raw.decode("utf-8", "surrogateescape")
                found.append(FileSeen(name, about.size or 0, float(about.mtime or 0)))
        return found

    async def fetch(self, folder: str, name: str, to: Writing) -> None:
        with _as_os_errors():
            async with self._client.open(self._at(folder, name), "rb") as opened_file:
                file: Any = opened_file
                while piece := await file.read(PIECE_BYTES):
                    to.write(piece)

    async def move(self, folder: str, name: str, to_folder: str, to_name: str) -> None:
        with _as_os_errors():
            await self._client.rename(self._at(folder, name), self._at(to_folder, to_name))

    async def put(self, folder: str, name: str, content: bytes) -> None:
        unfinished = self._at(folder, f".{name}.part")
        with _as_os_errors():
            async with self._client.open(unfinished, "wb") as file:
                await file.write(content)
        await self.remove(folder, name)
        with _as_os_errors():
            await self._client.rename(unfinished, self._at(folder, name))

    async def remove(self, folder: str, name: str) -> None:
        try:
            with _as_os_errors():
                await self._client.remove(self._at(folder, name))
        except FileNotFoundError:
            return

    def _at(self, *parts: str) -> bytes:
        return "/".join([self._path, *(part for part in parts if part)]).encode("utf-8", "surrogateescape")


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """What the library raises, as the calls of a shelf may."""
    import asyncssh  # noqa: PLC0415 - it is there, or nothing was opened

    try:
        yield
    except asyncssh.SFTPNoSuchFile as error:
        raise FileNotFoundError(f"The server has no such file: {error.reason}") from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise OSError(f"The server shows another host key than `host_key` says: {error.reason}") from error
    except asyncssh.Error as error:
        raise OSError(f"SFTP: {error.reason or type(error).__name__}") from error
