"""The one way out to other systems: guarded, because what is written in settings and in the DNS is not ours.

https to public addresses; plain http and the addresses of the house only where the operator named that host and port. The
name is looked up once for each connection, every address found is judged, and the connection goes to one of those.
No redirect, no proxy from the environment, no cookie, no compressed answer, no answer without an end.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from evenstock import __version__
from evenstock.connectors.contract import NotAllowed, NotSent, Reply, ReplyCut
from evenstock.core.addresses import refusal
from evenstock.patience import is_over

CONNECT_WITHIN_S: Final = 5.0  # a place in the pool, the name, the connection and TLS together
TIMEOUT_MAX_S: Final = 120.0  # of one request, whatever a connector asks for
REPLY_BYTES_MAX: Final = 10 * 1024 * 1024
HEADER_BYTES_MAX: Final = 16 * 1024  # of one header of a reply
HEADERS_MAX: Final = 128  # of a reply
CONNECTIONS_MAX: Final = 8  # at a time, for one connection of ours
IDLE_S: Final = (
    15.0  # below what most servers keep an idle connection, so that few requests meet a closing door
)
PIECE_BYTES: Final = 64 * 1024

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

_METHOD: Final = re.compile(r"[A-Z]{3,10}")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8192}")
_OURS: Final = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect",
     "accept-encoding", "proxy-authorization", "proxy-connection", "keep-alive")
)  # fmt: skip


async def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Outbound:
    """HTTP for one connection of ours, with a pool of its own. `allow` are `host:port` that may be in the house."""

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        look_up: Lookup = look_up,
        tls: ssl.SSLContext | None = None,
        connect_within_s: float = CONNECT_WITHIN_S,
    ) -> None:
        self._allow = frozenset(entry.lower() for entry in allow)
        self._look_up = look_up
        self._tls = tls or _tls()
        self._connect_within_s = connect_within_s
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 30.0,
    ) -> Reply:
        """One request, at most once on the wire unless its method may be repeated; the whole answer.

        Raises NotSent, NotAllowed, ReplyCut.
        """
        if is_over():
            raise NotSent("It is too late for this call: another may have it by now.")
        target = self._target(url)
        _check_head(method, headers or {})
        sent: dict[str, bool] = {}
        try:
            async with (
                asyncio.timeout(min(timeout_s, TIMEOUT_MAX_S)),
                self._open().request(
                    method,
                    target,
                    headers=headers,
                    data=body or None,
                    allow_redirects=False,
                    trace_request_ctx=sent,
                ) as answer,
            ):
                found = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status, found, await _whole(answer))
        except NotSent:
            raise
        except TimeoutError as error:
            if not sent:
                raise NotSent(
                    f"No connection to {target.host} within {self._connect_within_s:g} s."
                ) from error
            raise ReplyCut(f"No whole answer from {target.host} within {timeout_s:g} s.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(sent, f"{target.host}: {_words(error)}") from error

    async def close(self) -> None:
        """Let go of the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def is_allowed(self, host: str, port: int) -> bool:
        """Whether the operator named this host and port."""
        name = f"[{host}]" if ":" in host else host
        return f"{name.rstrip('.').lower()}:{port}" in self._allow

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_create_end.append(_mark)
            trace.on_connection_reuseconn.append(_mark)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=_Judging(self),
                    use_dns_cache=False,
                    ssl=self._tls,
                    limit=CONNECTIONS_MAX,
                    keepalive_timeout=IDLE_S,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"evenstock/{__version__}", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_within_s),
                trace_configs=[trace],
                auto_decompress=False,
                max_field_size=HEADER_BYTES_MAX,
                max_headers=HEADERS_MAX,
            )
        return self._session

    def _target(self, url: str) -> URL:
        """The address as it will be used, judged as far as it can be without looking the name up."""
        try:
            target = URL(url)
        except ValueError as error:
            raise NotAllowed(f"That is not the address of a system: {error}") from error
        host, port = target.raw_host, target.port
        if any(not " " < letter < "\x7f" for letter in url) or host is None or port is None:
            raise NotAllowed("That is not the address of a system: https://host/path is.")
        if target.user is not None or target.password is not None:
            raise NotAllowed("Write no user or password into an address.")
        allowed = self.is_allowed(host, port)
        if target.scheme != "https" and not (target.scheme == "http" and allowed):
            raise NotAllowed(
                f"{target.scheme}://{host}:{port} is not https. For a system of the house, the operator may allow plain http: "
                f"--outbound-allow {host}:{port}."
            )
        if ":" in host or re.fullmatch(r"[0-9.]+", host):
            self.judge(host, port, [host])
        return target

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Look a name up, once, and judge all that is found.

        Raises NotAllowed; OSError when the name leads nowhere.
        """
        found = await self._look_up(host, port)
        if not found:
            raise OSError(f"{host} has no address.")
        self.judge(host, port, found)
        return found

    def judge(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """Refuse a host if any of its addresses is one to stay away from: raises NotAllowed."""
        allowed = self.is_allowed(host, port)
        for address in addresses:
            if (why := refusal(address, is_allowed=allowed)) is not None:
                raise NotAllowed(f"{host}: {why} A system of the house: --outbound-allow {host}:{port}.")


class _Judging(AbstractResolver):
    """Where aiohttp asks for addresses: what it gets is what was judged."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        del family  # whatever leads there
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._outbound.addresses(host, port)
        ]

    async def close(self) -> None:
        """There is nothing to close."""


async def _mark(session: aiohttp.ClientSession, context: Any, params: Any) -> None:  # noqa: ARG001 - the signature of a trace
    """From here on bytes may be on the wire."""
    context.trace_request_ctx["begun"] = True


def _failed(sent: Mapping[str, bool], words: str) -> NotSent | ReplyCut:
    return ReplyCut(words) if sent else NotSent(words)


def _words(error: Exception) -> str:
    inner = getattr(error, "os_error", error)  # aiohttp's own words leave the reason out
    return (str(inner) or type(inner).__name__)[:300]


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """All of an answer, which must have an end that we are willing to wait for."""
    coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"identity", ""}:
        raise ReplyCut(f"The answer is compressed ({coding[:40]}), which nobody asked for.")
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.content.iter_chunked(PIECE_BYTES):
        size += len(piece)
        if size > REPLY_BYTES_MAX:
            raise ReplyCut(f"The answer is longer than {REPLY_BYTES_MAX:,} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


def _check_head(method: str, headers: Mapping[str, str]) -> None:
    """Refuse what would be more, or something else, than a method and headers."""
    if not _METHOD.fullmatch(method):
        raise NotAllowed("That is not a method of HTTP.")
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise NotAllowed(f"A connector cannot set the header {name[:40]!r}.")
        if not _VALUE.fullmatch(value):
            raise NotAllowed(
                f"The value of the header {name} holds a line break or another character that no header has; "
                "is there one at the end of a secret?"
            )


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
