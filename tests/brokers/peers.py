"""What others do at a broker: a till that sends its sales, and a shop that reads numbers. Each speaks by the vendor's own client."""

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any, Protocol

numbers = count(1)


class Peer(Protocol):
    """One queue of a broker, of its own for each test."""

    settings: dict[str, Any]
    allow: str

    async def open(self) -> None: ...

    async def send(self, bodies: Sequence[bytes]) -> None:
        """As a till does; returns when the broker has them."""
        ...

    async def told(self, number: int) -> list[bytes]:
        """So many numbers that the hub told."""
        ...

    async def commanded(self, number: int) -> list[bytes]:
        """So many commands."""
        ...

    async def close(self) -> None: ...


class NatsPeer:
    def __init__(self, port: int) -> None:
        self.name = f"S{next(numbers)}"
        self.allow = f"127.0.0.1:{port}"
        self.url = f"nats://127.0.0.1:{port}"
        self.settings = {
            "url": self.url,
            "stream": self.name,
            "exposures": f"{self.name}-out",
            "commands": f"{self.name}-out",
        }

    async def open(self) -> None:
        import nats  # noqa: PLC0415

        self._client = await nats.connect(self.url)
        self._stream = self._client.jetstream()
        await self._stream.add_stream(name=self.name, subjects=[f"{self.name}-in.>"])
        await self._stream.add_stream(name=f"{self.name}-out", subjects=[f"{self.name}-out.>"])

    async def send(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            await self._stream.publish(f"{self.name}-in.sales", body)

    async def told(self, number: int) -> list[bytes]:
        taken = await self._stream.pull_subscribe("", "reader", stream=f"{self.name}-out")
        found: list[bytes] = []
        while len(found) < number:
            found += [message.data for message in await taken.fetch(number - len(found), timeout=20)]
        return found

    async def commanded(self, number: int) -> list[bytes]:
        return await self.told(number)

    async def close(self) -> None:
        await self._client.close()


class MqttPeer:
    def __init__(self, port: int) -> None:
        self.name = f"s{next(numbers)}"
        self.allow = f"127.0.0.1:{port}"
        self.port = port
        self.session = f"hub-{self.name}"
        self.settings: dict[str, Any] = {
            "url": f"mqtt://127.0.0.1:{port}",
            "topics": [f"{self.name}/in/#"],
            "session": self.session,
            "exposures": f"{self.name}/out",
            "commands": f"{self.name}/tasks",
        }

    async def open(self) -> None:
        from aiomqtt import Client  # noqa: PLC0415

        # the session begins before anybody sends, as it does where the hub ran before
        async with Client("127.0.0.1", self.port, identifier=self.session, clean_session=False) as session:
            await session.subscribe(f"{self.name}/in/#", qos=1)
        async with Client("127.0.0.1", self.port, identifier=self.name, clean_session=False) as floor:
            await floor.subscribe(f"{self.name}/tasks/#", qos=1)

    async def send(self, bodies: Sequence[bytes]) -> None:
        from aiomqtt import Client  # noqa: PLC0415

        async with Client("127.0.0.1", self.port) as client:
            for body in bodies:
                await client.publish(f"{self.name}/in/sales", body, qos=1)

    async def told(self, number: int) -> list[bytes]:
        from aiomqtt import Client  # noqa: PLC0415

        async with Client("127.0.0.1", self.port) as client:
            await client.subscribe(f"{self.name}/out/#", qos=1)
            return await _payloads(client, number)

    async def commanded(self, number: int) -> list[bytes]:
        from aiomqtt import Client  # noqa: PLC0415

        async with Client("127.0.0.1", self.port, identifier=self.name, clean_session=False) as client:
            return await _payloads(client, number)

    async def close(self) -> None:
        """Nothing is open between calls."""


async def _payloads(client: Any, number: int) -> list[bytes]:
    found: list[bytes] = []
    async with asyncio.timeout(20):
        async for message in client.messages:
            found.append(message.payload)
            if len(found) == number:
                break
    return found


class RabbitPeer:
    def __init__(self, port: int) -> None:
        self.name = f"q{next(numbers)}"
        self.allow = f"127.0.0.1:{port}"
        self.port = port
        self.settings = {
            "url": f"amqp://127.0.0.1:{port}",
            "queue": self.name,
            "exposures": f"{self.name}-out",
            "commands": f"{self.name}-out",
        }

    async def open(self) -> None:
        import aio_pika  # noqa: PLC0415

        self._connection = await aio_pika.connect(f"amqp://127.0.0.1:{self.port}")
        self._channel = await self._connection.channel()
        quorum: Any = {"x-queue-type": "quorum"}
        await self._channel.declare_queue(self.name, durable=True, arguments=quorum)
        self._out = await self._channel.declare_queue(f"{self.name}-out", durable=True, arguments=quorum)

    async def send(self, bodies: Sequence[bytes]) -> None:
        from aio_pika import Message  # noqa: PLC0415

        for body in bodies:
            await self._channel.default_exchange.publish(Message(body), self.name)

    async def told(self, number: int) -> list[bytes]:
        found: list[bytes] = []
        async with asyncio.timeout(20):
            while len(found) < number:
                message = await self._out.get(no_ack=True, fail=False)
                if message is not None:
                    found.append(message.body)
        return found

    async def commanded(self, number: int) -> list[bytes]:
        return await self.told(number)

    async def close(self) -> None:
        await self._connection.close()


class KafkaPeer:
    def __init__(self, port: int) -> None:
        self.name = f"t{next(numbers)}"
        self.allow = f"127.0.0.1:{port}"
        self.servers = f"127.0.0.1:{port}"
        self.settings = {
            "url": f"kafka://127.0.0.1:{port}",
            "topics": [self.name],
            "group": f"hub-{self.name}",
            "exposures": f"{self.name}-out",
            "commands": f"{self.name}-out",
        }

    async def open(self) -> None:
        """The mock cluster makes topics when they are first named."""

    async def send(self, bodies: Sequence[bytes]) -> None:
        from confluent_kafka import Producer  # noqa: PLC0415

        producer = Producer({"bootstrap.servers": self.servers, "log_level": 0})
        for body in bodies:
            producer.produce(self.name, body)
        assert await asyncio.to_thread(producer.flush, 10) == 0

    async def told(self, number: int) -> list[bytes]:
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition  # noqa: PLC0415

        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "shop", "log_level": 0})
        topic = f"{self.name}-out"
        partitions: Any = {}
        while not partitions:  # the hub makes the topic when it first tells a number
            partitions = (await asyncio.to_thread(consumer.list_topics, timeout=10)).topics.get(
                topic, consumer
            )
            partitions = getattr(partitions, "partitions", {})
        consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])
        found: list[bytes] = []
        async with asyncio.timeout(20):
            while len(found) < number:
                for message in await asyncio.to_thread(consumer.consume, number, 0.2):
                    assert message.error() is None, message.error()
                    found.append(message.value() or b"")
        await asyncio.to_thread(consumer.close)
        return found

    async def commanded(self, number: int) -> list[bytes]:
        return await self.told(number)

    async def close(self) -> None:
        """Nothing is open between calls."""


PEERS: dict[str, type[NatsPeer] | type[MqttPeer] | type[RabbitPeer] | type[KafkaPeer]] = {
    "nats": NatsPeer,
    "mqtt": MqttPeer,
    "rabbitmq": RabbitPeer,
    "kafka": KafkaPeer,
}
