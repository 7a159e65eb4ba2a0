"""The line to the hub: HTTP with a key. It is down when it is down; whether a request left us is told apart."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from evenstock import __version__
from evenstock.connectors.contract import NotSent, Reply, ReplyCut
from evenstock.edge.offset import Offset

CONNECT_WITHIN_S: Final = 10.0
ANSWER_WITHIN_S: Final = 60.0
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
KEY_BYTES_MAX: Final = 4_096
_BEFORE_IT_LEFT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class NoKey(Exception):  # noqa: N818 - it names what is wrong
    """The key for the hub cannot be read; the message says why, and what to do."""


def read_key(path: Path) -> str:
    """A key out of a file.

    Raises NoKey.
    """
    try:
        with path.open("rb") as file:
            text = file.read(KEY_BYTES_MAX).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise NoKey(
            f"The key file {path} cannot be read: {reason}. Put the key that `evenstock keys create` printed into it."
        ) from None
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise NoKey(
            f"The key file {path} does not hold one key. Put what `evenstock keys create` printed into it."
        )
    return text


class Line:
    """Requests to one hub, one at a time."""

    def __init__(self, session: aiohttp.ClientSession, hub: str, key: str | Path) -> None:
        self._session = session
        self._hub = hub.rstrip("/")
        self._key = key

    @classmethod
    @asynccontextmanager
    async def to(cls, hub: str, key: str | Path, name: str) -> AsyncIterator["Line"]:
        """A line to the hub at a URL, with a key or the file that holds it; `name` is what the hub calls this agent."""
        headers = {
            "User-Agent": f"evenstock-edge/{__version__}",
            "Accept": "application/json, application/problem+json",
            "Evenstock-Agent": name,
        }
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S, connect=CONNECT_WITHIN_S),
            headers=headers,
            trust_env=True,  # a shop's way out may be a proxy
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            yield cls(session, hub, key)

    async def report(self, bodies: Sequence[bytes], offset: Offset | None) -> Reply:
        """POST /v1/events.

        Raises NotSent, ReplyCut, NoKey.
        """
        key = self._key if isinstance(self._key, str) else await asyncio.to_thread(read_key, self._key)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents-batch+json"}
        if offset is not None:
            headers["Evenstock-Clock-Offset"] = f"{offset.seconds:.3f}"
        return await self._ask("POST", "/v1/events", headers, b"[" + b",".join(bodies) + b"]")

    async def greet(self) -> Reply:
        """GET /healthz: whether it is there, and what its clock says.

        Raises NotSent, ReplyCut.
        """
        return await self._ask("GET", "/healthz", {}, b"")

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        try:
            async with self._session.request(
                method, self._hub + path, data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                chunks = b""
                async for chunk in answer.content.iter_any():
                    chunks += chunk
                    if len(chunks) > ANSWER_BYTES_MAX:
                        raise ReplyCut("The answer is longer than any of a hub.")
                told = {name.lower(): text for name, text in answer.headers.items()}
                return Reply(answer.status, told, chunks)
        except (*_BEFORE_IT_LEFT, ssl.SSLError) as error:
            raise NotSent(_words(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ReplyCut(_words(error)) from error


def _words(error: BaseException) -> str:
    return f"The hub does not answer: {str(error)[:300] or type(error).__name__}."
