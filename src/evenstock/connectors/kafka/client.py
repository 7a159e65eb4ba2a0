"""A consumer group whose offsets are committed once messages are kept, and an idempotent producer; both in threads of the library."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from evenstock.connectors.brokered import (
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
    World,
)
from evenstock.connectors.kafka.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

T = TypeVar("T")
PORT = 9092
LOOK_S = 0.2  # one wait for messages, in a thread
CONFIRM_WITHIN_S = 8.0


async def listen(settings: Settings, world: World, keep: Keep) -> None:
    """Take the messages of all partitions of the topics; their offsets are committed once they are kept.

    One process at a time takes from a connection, so the partitions are assigned and not shared out: nobody waits for a group
    to agree.
    """
    options = await _options(settings, world)
    from confluent_kafka import Consumer, KafkaException  # noqa: PLC0415 - it is there, or there were no options

    more = {"group.id": settings.group, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    consumer = Consumer(options | more)
    known: set[tuple[str, int]] = set()
    looks_at = 0.0
    try:
        while True:
            if time.monotonic() >= looks_at:
                known |= await _finished(_assign, consumer, settings.topics, known)
                await keep([])
                looks_at = time.monotonic() + HEARD_EVERY_S
            if not known:
                await asyncio.sleep(LOOK_S)
                continue
            messages = [
                each for each in await _finished(consumer.consume, MESSAGES_MAX, LOOK_S) if _is_good(each)
            ]
            if messages:
                await keep([_arrived(message) for message in messages])
                await _finished(_commit, consumer)
    except KafkaException as error:
        raise lost(error) from error
    finally:
        await asyncio.to_thread(consumer.close)


def _assign(consumer: "Consumer", topics: Sequence[str], known: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Take partitions that are not known yet, from where the group stands; raises KafkaException when nobody answers."""
    from confluent_kafka import OFFSET_STORED, TopicPartition  # noqa: PLC0415

    found = set()
    for topic in topics:
        about = consumer.list_topics(topic, timeout=CONFIRM_WITHIN_S).topics[topic]
        found |= {(topic, partition) for partition in about.partitions}
    new = sorted(found - known)
    if new:
        consumer.incremental_assign([TopicPartition(*each, OFFSET_STORED) for each in new])
    return set(new)


def _commit(consumer: "Consumer") -> None:
    consumer.commit(asynchronous=False)


async def _finished(work: Callable[..., T], *arguments: Any) -> T:
    """Do it in a thread. Cancelled, it waits for the thread, so that nobody closes a consumer that is being asked."""
    asked = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(asked)
    except asyncio.CancelledError:
        await asyncio.wait({asked})
        raise


def _is_good(message: "Message") -> bool:
    """Whether it is a message; an error that passes by itself is none. Raises KafkaException."""
    from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415

    passing = {KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART}  # noqa: SLF001 - its public name
    error = message.error()
    if error is not None and error.code() not in passing:
        raise KafkaException(error)
    return error is None


def _arrived(message: "Message") -> Arrived:
    where = f"{message.topic()}/{message.partition()}/{message.offset()}"
    return Arrived(message.value() or b"", message.topic() or "", where)


async def publish(settings: Settings, world: World, exposures: Sequence[Exposure]) -> list[Outcome]:
    """Tell numbers to a topic, each under the key CHANNEL/SKU, so that those of one item stay in order."""
    if settings.exposures is None:
        return [nowhere("exposures")] * len(exposures)
    return await _send(settings, world, settings.exposures, [number_of(each, each.sku) for each in exposures])


async def do(settings: Settings, world: World, command: Command) -> Outcome:
    """Tell a command to a topic, under the key LOCATION/RESERVATION, and nothing more until it is confirmed."""
    if settings.commands is None:
        return nowhere("commands")
    (outcome,) = await _send(settings, world, settings.commands, [command_of(command)])
    return outcome


async def _send(settings: Settings, world: World, topic: str, messages: Sequence[Outgoing]) -> list[Outcome]:
    try:
        options = await _options(settings, world)
    except UNREACHED as error:
        return [not_sent(error)] * len(messages)
    return await asyncio.to_thread(_tell, options, topic, messages)


def _tell(options: dict[str, Any], topic: str, messages: Sequence[Outgoing]) -> list[Outcome]:
    from confluent_kafka import KafkaException, Producer  # noqa: PLC0415

    outcomes: list[Outcome] = [cut_off(TimeoutError("no answer in time"))] * len(messages)

    def told(index: int) -> Any:
        def answer(error: Any, message: Any) -> None:
            where = f"{message.topic()}/{message.partition()}/{message.offset()}"
            outcomes[index] = Done(where) if error is None else cut_off(KafkaException(error))

        return answer

    timeout = int(CONFIRM_WITHIN_S * 1000)
    producer = Producer(options | {"enable.idempotence": True, "delivery.timeout.ms": timeout})
    for index, each in enumerate(messages):
        producer.produce(
            topic,
            each.body,
            key=f"{each.place}/{each.thing}".encode(),
            headers={"key": each.key.encode()},
            on_delivery=told(index),
        )
    producer.flush(CONFIRM_WITHIN_S)
    return outcomes


async def _options(settings: Settings, world: World) -> dict[str, Any]:
    try:
        import confluent_kafka  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise NotAllowed("Kafka needs the package confluent-kafka: pip install 'evenstock[kafka]'.") from None
    found = await broker(settings, world, PORT, ("kafkas", "ssl"))
    options: dict[str, Any] = {
        "bootstrap.servers": f"{found.host}:{found.port}",
        "client.id": "evenstock",
        "log_level": 0,
        "security.protocol": "SSL" if found.tls else "PLAINTEXT",
    }
    if found.user is not None:
        options |= {
            "security.protocol": "SASL_SSL" if found.tls else "SASL_PLAINTEXT",
            "sasl.mechanism": settings.sasl,
            "sasl.username": found.user,
            "sasl.password": found.password or "",
        }
    return options
