"""A queue is read with a bounded prefetch, and acknowledged once kept; what is published is confirmed, and must be routed."""

import asyncio
import ssl
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
from evenstock.connectors.rabbitmq.settings import Settings

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection, AbstractExchange, AbstractIncomingMessage

PORT = 5672
CONFIRM_WITHIN_S = 8.0


async def listen(settings: Settings, world: World, keep: Keep) -> None:
    """Take the messages of a queue; they are acknowledged once they are kept."""
    async with _connected(settings, world) as connection:
        from aiormq.exceptions import AMQPError  # noqa: PLC0415 - it is there, or nothing was connected

        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        gone = asyncio.Event()
        try:
            channel = await connection.channel()
            channel.close_callbacks.add(lambda *_: gone.set())
            await channel.set_qos(prefetch_count=2 * MESSAGES_MAX)
            queue = await channel.get_queue(settings.queue or "", ensure=True)
            await queue.consume(arrived.put)
            while True:
                batch = await _next(arrived, gone)
                await keep([_arrived(message) for message in batch])
                if batch:
                    await batch[-1].ack(multiple=True)  # all before it came before it
        except AMQPError as error:
            raise lost(error) from error


async def _next(
    arrived: "asyncio.Queue[AbstractIncomingMessage]", gone: asyncio.Event
) -> "list[AbstractIncomingMessage]":
    """What came, in its order; nothing after a while without any."""
    first = asyncio.create_task(arrived.get())
    ended = asyncio.create_task(gone.wait())
    try:
        await asyncio.wait((first, ended), timeout=HEARD_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            if gone.is_set():
                raise ConnectionResetError("RabbitMQ closed the channel.")
            return []
        batch = [first.result()]
    finally:
        first.cancel()
        ended.cancel()
    while len(batch) < MESSAGES_MAX and not arrived.empty():
        batch.append(arrived.get_nowait())
    return batch


def _arrived(message: "AbstractIncomingMessage") -> Arrived:
    return Arrived(message.body, message.routing_key or "", message.message_id or "")


async def publish(settings: Settings, world: World, exposures: Sequence[Exposure]) -> list[Outcome]:
    """Tell numbers to an exchange."""
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


async def _send(settings: Settings, world: World, key: str, messages: Sequence[Outgoing]) -> list[Outcome]:
    """Each confirmed, and routed to a queue at least."""
    try:
        async with _connected(settings, world) as connection:
            from aiormq.exceptions import AMQPError  # noqa: PLC0415

            try:
                channel = await connection.channel(publisher_confirms=True)
                exchange = channel.default_exchange
                if settings.exchange:
                    exchange = await channel.get_exchange(settings.exchange, ensure=True)
            except AMQPError as error:
                return [not_sent(error)] * len(messages)
            return list(await asyncio.gather(*(_tell(exchange, key, each) for each in messages)))
    except UNREACHED as error:
        return [not_sent(error)] * len(messages)


async def _tell(exchange: "AbstractExchange", routing_key: str, given: Outgoing) -> Outcome:
    from aio_pika import DeliveryMode, Message  # noqa: PLC0415
    from aio_pika.exceptions import DeliveryError  # noqa: PLC0415
    from aiormq.exceptions import AMQPError  # noqa: PLC0415

    message = Message(
        given.body,
        delivery_mode=DeliveryMode.PERSISTENT,
        content_type="application/json",
        message_id=given.key,
    )
    try:
        await exchange.publish(message, routing_key, mandatory=True, timeout=CONFIRM_WITHIN_S)
    except DeliveryError:
        return Rejected(f"No queue takes what is sent to {routing_key}.", "unroutable")
    except (AMQPError, OSError, TimeoutError) as error:
        return cut_off(error)
    return Done()


@asynccontextmanager
async def _connected(settings: Settings, world: World) -> "AsyncIterator[AbstractConnection]":
    try:
        import aio_pika  # noqa: PLC0415 - an extra
    except ImportError:
        raise NotAllowed("RabbitMQ needs the package aio-pika: pip install 'evenstock[rabbitmq]'.") from None
    found = await broker(settings, world, PORT, ("amqps",))
    options: dict[str, Any] = {"ssl": True, "ssl_context": ssl.create_default_context()} if found.tls else {}
    try:
        connection = await aio_pika.connect(
            host=found.host if found.tls else found.address,
            port=found.port,
            login=found.user or "guest",
            password=found.password or "guest",
            virtualhost=settings.vhost,
            timeout=CONNECT_WITHIN_S,
            **options,
        )
    except (aio_pika.exceptions.AMQPError, OSError, TimeoutError) as error:
        raise OSError(
            f"RabbitMQ at {found.host}:{found.port}: {str(error) or type(error).__name__}"
        ) from error
    try:
        yield connection
    finally:
        await connection.close()
