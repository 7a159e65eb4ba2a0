"""A persistent session with quality of service 1, acknowledged by hand: the broker keeps what we have not."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenstock.connectors.brokered import (
    CONNECT_WITHIN_S,
    HEARD_EVERY_S,
    MESSAGES_MAX,
    UNREACHED,
    Broker,
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
    World,
)
from evenstock.connectors.mqtt.settings import Settings

if TYPE_CHECKING:
    from aiomqtt import Client, Message

PORT = 1883
CONFIRM_WITHIN_S = 8.0


async def listen(settings: Settings, world: World, keep: Keep) -> None:
    """Take the messages of the topics; each is acknowledged once it is kept."""
    client = await _client(settings, world, session=settings.session)
    from aiomqtt import MqttError  # noqa: PLC0415 - it is there, or there would be no client

    client._client.manual_ack_set(True)  # noqa: SLF001 - paho's own, which the wrapper does not pass on
    try:
        async with client:
            await client.subscribe([(topic, 1) for topic in settings.topics])
            messages = aiter(client.messages)
            waiting = asyncio.ensure_future(anext(messages))
            try:
                while True:
                    await asyncio.wait({waiting}, timeout=HEARD_EVERY_S)
                    batch: list[Message] = []
                    if waiting.done():
                        batch.append(waiting.result())
                        while len(batch) < MESSAGES_MAX and len(client.messages):
                            batch.append(await anext(messages))
                        waiting = asyncio.ensure_future(anext(messages))
                    await keep([_arrived(message) for message in batch])
                    for message in batch:
                        client._client.ack(message.mid, message.qos)  # noqa: SLF001
            finally:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
    except MqttError as error:
        raise lost(error) from error


def _arrived(message: "Message") -> Arrived:
    payload: Any = message.payload  # bytes, as MQTT 3.1.1 has nothing else
    return Arrived(bytes(payload), str(message.topic))


async def publish(settings: Settings, world: World, exposures: Sequence[Exposure]) -> list[Outcome]:
    """Tell numbers to topics, kept there as the last of each item: `exposures/CHANNEL/CODE`."""
    if settings.exposures is None:
        return [nowhere("exposures")] * len(exposures)
    return await _send(
        settings, world, settings.exposures, [number_of(each, each.code) for each in exposures]
    )


async def do(settings: Settings, world: World, command: Command) -> Outcome:
    """Tell a command to `commands/LOCATION/RESERVATION`, and nothing more until it is confirmed."""
    if settings.commands is None:
        return nowhere("commands")
    (outcome,) = await _send(settings, world, settings.commands, [command_of(command)])
    return outcome


async def _send(settings: Settings, world: World, topic: str, messages: Sequence[Outgoing]) -> list[Outcome]:
    try:
        client = await _client(settings, world, session=None)
    except UNREACHED as error:
        return [not_sent(error)] * len(messages)
    from aiomqtt import MqttError  # noqa: PLC0415

    outcomes: list[Outcome] = []
    try:
        async with client:
            for each in messages:
                where = "/".join((topic, _level(each.place), _level(each.thing)))
                try:
                    await client.publish(
                        where, each.body, qos=1, retain=each.is_state, timeout=CONFIRM_WITHIN_S
                    )
                    outcomes.append(Done())
                except (MqttError, ValueError) as error:
                    outcomes.append(cut_off(error))
    except MqttError as error:
        outcomes += [not_sent(error)] * (len(messages) - len(outcomes))
    return outcomes


def _level(name: str) -> str:
    """A name as one level of a topic."""
    return "".join("_" if letter in "/+#\0" else letter for letter in name)


async def _client(settings: Settings, world: World, session: str | None) -> "Client":
    try:
        from aiomqtt import Client  # noqa: PLC0415 - an extra
    except ImportError:
        raise NotAllowed("MQTT needs the package aiomqtt: pip install 'evenstock[mqtt]'.") from None
    found = await broker(settings, world, PORT, ("mqtts", "ssl"))
    options: dict[str, Any] = {"identifier": session, "clean_session": False} if session else {}
    return Client(
        _host(found),
        found.port,
        username=found.user,
        password=found.password,
        tls_context=ssl.create_default_context() if found.tls else None,
        timeout=CONNECT_WITHIN_S,
        **options,
    )


def _host(found: Broker) -> str:
    """The address that was judged; with TLS the name, which the certificate is of."""
    return found.host if found.tls else found.address
