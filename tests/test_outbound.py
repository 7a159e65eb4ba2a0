"""The one way out, against real sockets: what leaves, what does not, and whether it may have been done."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import trustme

from evenstock.connectors.contract import NotAllowed, NotSent, ReplyCut
from evenstock.outbound import REPLY_BYTES_MAX, Outbound

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """A server that says exactly the bytes it is told to; what it read is kept."""

    def __init__(self) -> None:
        self.port = 0
        self.heads: list[bytes] = []
        self.connections = 0

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/"


@asynccontextmanager
async def server(answer: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    found = Server()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                found.heads.append(head)
                await answer(head, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it left
        finally:
            writer.close()

    listener = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
    found.port = listener.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        listener.close()


def says(text: bytes, *, close: bool = False) -> Serve:
    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        writer.write(text)
        if close:
            writer.close()

    return answer


@asynccontextmanager
async def out(*allow: str, addresses: Sequence[str] = (), **options: object) -> AsyncIterator[Outbound]:
    if addresses:

        async def look_up(host: str, port: int) -> Sequence[str]:  # noqa: ARG001
            return addresses

        options["look_up"] = look_up
    found = Outbound(allow, **options)  # type: ignore[arg-type]
    try:
        yield found
    finally:
        await found.close()


async def test_a_request_is_answered() -> None:
    async with server(says(OK)) as peer, out(f"127.0.0.1:{peer.port}") as http:
        reply = await http.request("POST", peer.url(), headers={"X-Key": "7"}, body=b"{}")
        assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"hi", "text/plain")
        assert b"X-Key: 7\r\n" in peer.heads[0]
        await http.request("GET", peer.url())
        assert peer.connections == 1, "the pool keeps the connection"


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    async with server(says(moved)) as peer, out(f"127.0.0.1:{peer.port}") as http:
        assert (await http.request("GET", peer.url())).status == 302
        assert len(peer.heads) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "http://localhost:{port}/", "https://localhost:{port}/",
        "https://[::1]:{port}/", "https://[::ffff:127.0.0.1]:{port}/", "https://[::ffff:7f00:1]:{port}/", "https://127.1:{port}/",
        "https://2130706433:{port}/", "https://0x7f.0.0.1:{port}/", "https://0177.0.0.1:{port}/", "https://0.0.0.0:{port}/",
        "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https://user:word@example.com/", "/relative", "",
        "https://example.com/\r\nX: y", "https:///nothing",
    ],
)  # fmt: skip
async def test_nothing_leaves_for_where_it_may_not_go(url: str) -> None:
    async with server(says(OK)) as peer, out() as http:
        with pytest.raises(NotSent) as caught:
            await http.request("POST", url.format(port=peer.port), body=b"secret")
        assert (
            isinstance(caught.value, NotAllowed)
            or "127.1" in url
            or "2130706433" in url
            or "0x" in url
            or "0177" in url
        )
        assert peer.connections == 0


async def test_a_host_is_allowed_with_its_port_and_no_other() -> None:
    async with server(says(OK)) as peer, server(says(OK)) as other, out(f"127.0.0.1:{peer.port}") as http:
        await http.request("GET", peer.url())
        with pytest.raises(NotAllowed, match="outbound-allow"):
            await http.request("GET", other.url())
        assert other.connections == 0


@pytest.mark.parametrize(
    "bad", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::ffff:127.0.0.1", "fd00:ec2::254"]
)
async def test_one_bad_address_among_those_of_a_name_refuses_the_name(bad: str) -> None:
    async with server(says(OK)) as peer, out(addresses=["93.184.215.14", bad]) as http:
        with pytest.raises(NotAllowed, match="shop"):
            await http.request("POST", peer.url("shop.example", "https"), body=b"secret")
        assert peer.connections == 0


async def test_an_allowed_name_that_leads_to_the_metadata_service_is_refused() -> None:
    async with out("erp.lan:80", addresses=["169.254.169.254"]) as http:
        with pytest.raises(NotAllowed, match="never"):
            await http.request("GET", "http://erp.lan/")


async def test_a_name_is_looked_up_once_and_the_connection_goes_where_was_looked() -> None:
    """DNS rebinding: the second answer is another address; nobody asks for it."""
    asked: list[str] = []

    async def look_up(host: str, port: int) -> Sequence[str]:  # noqa: ARG001
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with (
        server(says(closing, close=True)) as peer,
        out(f"erp.lan:{peer.port}", look_up=look_up) as http,
    ):
        assert (await http.request("GET", peer.url("erp.lan"))).body == b"hi"
        assert asked == ["erp.lan"]
        assert f"Host: erp.lan:{peer.port}".encode() in peer.heads[0]
        with pytest.raises(NotAllowed):
            await http.request("GET", peer.url("erp.lan"))
        assert (len(asked), peer.connections) == (2, 1), "a new connection is judged anew"


async def test_nobody_there_is_not_sent() -> None:
    async with server(says(OK)) as peer:
        port = peer.port
    async with out(f"127.0.0.1:{port}") as http:
        with pytest.raises(NotSent):
            await http.request("POST", f"http://127.0.0.1:{port}/")


async def test_a_name_that_leads_nowhere_is_not_sent() -> None:
    async def look_up(host: str, port: int) -> Sequence[str]:  # noqa: ARG001
        raise OSError("Name or service not known")

    async with out(look_up=look_up) as http:
        with pytest.raises(NotSent, match="not known"):
            await http.request("POST", "https://nowhere.example/")


async def test_no_time_for_a_connection_is_not_sent() -> None:
    async def look_up(host: str, port: int) -> Sequence[str]:  # noqa: ARG001
        await asyncio.Event().wait()
        return []

    async with out(look_up=look_up, connect_within_s=0.05) as http:
        with pytest.raises(NotSent, match=r"within 0\.05 s"):
            await http.request("POST", "https://slow.example/")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"this is no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_a_reply_that_is_not_whole_may_have_been_done(answer: bytes) -> None:
    async with server(says(answer, close=True)) as peer, out(f"127.0.0.1:{peer.port}") as http:
        with pytest.raises(ReplyCut):
            await http.request("POST", peer.url(), body=b"{}")
        assert len(peer.heads) == 1, "a POST is sent once"


async def test_a_reply_that_takes_too_long_may_have_been_done() -> None:
    async def slowly(head: bytes, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with server(slowly) as peer, out(f"127.0.0.1:{peer.port}") as http:
        with pytest.raises(ReplyCut, match=r"within 0\.2 s"):
            await http.request("POST", peer.url(), timeout_s=0.2)


async def test_a_reply_is_read_to_the_limit_and_no_further() -> None:
    def sized(size: int) -> Serve:
        async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
            for start in range(0, size, 2**20):
                writer.write(b"x" * min(2**20, size - start))
                await writer.drain()

        return answer

    async with server(sized(REPLY_BYTES_MAX)) as peer, out(f"127.0.0.1:{peer.port}") as http:
        assert len((await http.request("GET", peer.url())).body) == REPLY_BYTES_MAX
    async with server(sized(REPLY_BYTES_MAX + 1)) as peer, out(f"127.0.0.1:{peer.port}") as http:
        with pytest.raises(ReplyCut, match="longer"):
            await http.request("POST", peer.url())


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST\r\nX: y", {}),
        ("get", {}),
        ("POST", {"X-Token": "abc\n"}),
        ("POST", {"X-Token": "abc\r\nHost: evil"}),
        ("POST", {"X-Token": "abc\x00"}),
        ("POST", {"X Token": "abc"}),
        ("POST", {"X:Token": "abc"}),
        ("POST", {"Host": "evil.example"}),
        ("POST", {"content-length": "5"}),
        ("POST", {"Transfer-Encoding": "chunked"}),
    ],
)
async def test_a_head_is_a_head_and_nothing_more(method: str, headers: dict[str, str]) -> None:
    async with server(says(OK)) as peer, out(f"127.0.0.1:{peer.port}") as http:
        with pytest.raises(NotAllowed) as caught:
            await http.request(method, peer.url(), headers=headers)
        assert "abc" not in str(caught.value), "a secret is not repeated"
        assert peer.connections == 0


async def test_cookies_are_not_kept() -> None:
    baking = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n")
    async with server(says(baking)) as peer, out(f"shop.lan:{peer.port}", addresses=["127.0.0.1"]) as http:
        for _ in range(2):
            await http.request("GET", peer.url("shop.lan"))
        assert b"Cookie" not in peer.heads[1]


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(says(OK)) as peer, server(says(OK)) as proxy, out(f"127.0.0.1:{peer.port}") as http:
        monkeypatch.setenv("http_proxy", proxy.url())
        await http.request("GET", peer.url())
        assert (len(peer.heads), proxy.connections) == (1, 0)


def _pair(
    authority: trustme.CA, name: str, until: datetime | None = None
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=until).configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return serving, trusting


async def test_a_certificate_is_checked_against_the_name() -> None:
    serving, trusting = _pair(trustme.CA(), "shop.example")
    async with server(says(OK), serving) as peer:
        allow = [f"{name}:{peer.port}" for name in ("shop.example", "other.example")]
        async with out(*allow, addresses=["127.0.0.1"], tls=trusting) as http:
            assert (await http.request("GET", peer.url("shop.example", "https"))).body == b"hi"
            with pytest.raises(NotSent, match="certificate"):
                await http.request("POST", peer.url("other.example", "https"), body=b"secret")
        async with out(*allow, addresses=["127.0.0.1"]) as http:
            with pytest.raises(NotSent, match="certificate"):
                await http.request("POST", peer.url("shop.example", "https"), body=b"secret")
        assert len(peer.heads) == 1


async def test_a_certificate_that_has_expired_is_said_and_nothing_is_sent() -> None:
    serving, trusting = _pair(trustme.CA(), "shop.example", datetime(2020, 1, 1, tzinfo=UTC))
    async with server(says(OK), serving) as peer:
        async with out(f"shop.example:{peer.port}", addresses=["127.0.0.1"], tls=trusting) as http:
            with pytest.raises(NotSent, match="expired"):
                await http.request("POST", peer.url("shop.example", "https"), body=b"secret")
        assert peer.heads == []
