"""RabbitMQ: messages of a queue, and numbers to an exchange."""

from evenstock.connectors.brokered import translate
from evenstock.connectors.contract import Basis, Connector
from evenstock.connectors.rabbitmq.client import listen, publish
from evenstock.connectors.rabbitmq.settings import Settings

connector = Connector(
    name="rabbitmq",
    summary="RabbitMQ: messages of a queue become events, and numbers go to an exchange.",
    settings=Settings,
    translate=translate,
    listen=listen,
    listens=lambda settings: settings.queue is not None,
    publish=publish,
    basis=Basis(decimals=6),
)
