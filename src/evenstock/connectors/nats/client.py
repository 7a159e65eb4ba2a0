"""Reading a stream by a durable pull consumer, and publishing with the server's confirmation."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from evenstock.connectors.brokered import (
    CONNECT_WITHIN_S,
    HEARD_EVERY_S,
    MESSAGES_MAX,
    UNREACHED,
    Outgoing,
    broker,
    command_of,
    cut_off,
    lost,
    not_sent,
    nowhere,
    number_of,
)
from evenstock.connectors.contract import (
    Arrived,
    Command,
    Done,
    Exposure,
    Keep,
    NotAllowed,
    Outcome,
    Rejected,
    World,
)
from evenstock.connectors.nats.settings import Settings

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

PORT = 4222
ACK_WITHIN_S = 120.0  # then the server sends a message again
HEADERS_MAX = 20


async def listen(settings: Settings, world: World, keep: Keep) -> None:
    """Take the messages of a stream; each is acknowledged once it is kept."""
    async with _connected(settings, world) as client:
        from nats.errors import Error  # noqa: PLC0415 - it is there, or nothing was connected
        from nats.errors import TimeoutError as NothingCame  # noqa: PLC0415
        from nats.js.api import AckPolicy, ConsumerConfig  # noqa: PLC0415

        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WITHIN_S,
            filter_subject=settings.subject,
            max_ack_pending=10 * MESSAGES_MAX,
        )
        try:
            stream = client.jetstream()
            taken = await stream.pull_subscribe(
                settings.subject or "", durable=settings.durable, stream=settings.stream, config=config
            )
            while True:
                try:
                    messages = await taken.fetch(MESSAGES_MAX, timeout=HEARD_EVERY_S)
                except NothingCame:
                    if not client.is_connected:
                        raise ConnectionResetError("NATS closed the connection.") from None
                    messages = []
                try:
                    await keep([_arrived(message) for message in messages])
                except Exception:  # raised again; the messages are to come at once, not after ACK_WITHIN_S
                    for message in messages:
                        await message.nak()
                    raise
                for message in messages:
                    await message.ack()
        except Error as error:
            raise lost(error) from error


def _arrived(message: Any) -> Arrived:
    headers = message.headers or {}
    kept = {name.lower(): text for name, text in list(headers.items())[:HEADERS_MAX]}
    return Arrived(message.data, message.subject, headers.get("Nats-Msg-Id", ""), kept)


async def publish(settings: Settings, world: World, exposures: Sequence[Exposure]) -> list[Outcome]:
    """Tell numbers to a subject."""
    if settings.exposures is None:
        return [nowhere("exposures")] * len(exposures)
    return await _send(
        settings, world, settings.exposures, [number_of(each, each.code) for each in exposures]
    )


async def do(settings: Settings, world: World, command: Command) -> Outcome:
    """Tell a command, and nothing more until it is confirmed."""
    if settings.commands is None:
        return nowhere("commands")
    (outcome,) = await _send(settings, world, settings.commands, [command_of(command)])
    return outcome


async def _send(
    settings: Settings, world: World, subject: str, messages: Sequence[Outgoing]
) -> list[Outcome]:
    """Each confirmed by the stream that keeps it; a key that came before is known to it."""
    try:
        async with _connected(settings, world) as client:
            stream = client.jetstream()
            return list(await asyncio.gather(*(_tell(stream, subject, each) for each in messages)))
    except UNREACHED as error:
        return [not_sent(error)] * len(messages)


async def _tell(stream: "JetStreamContext", subject: str, message: Outgoing) -> Outcome:
    from nats.errors import Error  # noqa: PLC0415
    from nats.js.errors import NoStreamResponseError  # noqa: PLC0415

    try:
        headers = {"Nats-Msg-Id": message.key}
        done = await stream.publish(f"{subject}.{_token(message.place)}", message.body, headers=headers)
    except NoStreamResponseError:
        return Rejected(f"No stream keeps what is sent to {subject}.{message.place}.", "no_stream")
    except (Error, OSError, TimeoutError) as error:
        return cut_off(error)
    return Done(f"{done.stream}/{done.seq}")


def _token(name: str) -> str:
    """A name as one token of a subject."""
    return "".join("_" if letter in ".*> \t\r\n" else letter for letter in name)


@asynccontextmanager
async def _connected(settings: Settings, world: World) -> "AsyncIterator[Client]":
    try:
        import nats  # noqa: PLC0415 - an extra
    except ImportError:
        raise NotAllowed("NATS needs the package nats-py: pip install 'evenstock[nats]'.") from None
    found = await broker(settings, world, PORT, ("tls",))
    host = f"[{found.address}]" if ":" in found.address else found.address
    options: dict[str, Any] = {"user": found.user, "password": found.password} if found.user else {}
    if settings.token is not None and world.secrets is not None:
        options["token"] = await world.secrets.open(settings.token)
    if found.tls:
        options["tls_hostname"] = found.host
    try:
        client = await nats.connect(
            f"{'tls' if found.tls else 'nats'}://{host}:{found.port}",
            name="evenstock",
            allow_reconnect=False,
            connect_timeout=int(CONNECT_WITHIN_S),
            error_cb=_unsaid,
            **options,
        )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise OSError(f"NATS at {found.host}:{found.port}: {str(error) or type(error).__name__}") from error
    try:
        yield client
    finally:
        await client.close()


async def _unsaid(error: Exception) -> None:
    """What goes wrong is told by the call that it befalls."""
