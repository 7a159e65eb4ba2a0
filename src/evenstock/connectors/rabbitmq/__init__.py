"""RabbitMQ: messages of a queue, numbers and commands to an exchange."""

from evenstock.connectors.brokered import translate
from evenstock.connectors.contract import Basis, Connector
from evenstock.connectors.rabbitmq.client import do, listen, publish
from evenstock.connectors.rabbitmq.settings import Settings

connector = Connector(
    name="rabbitmq",
    summary="RabbitMQ: messages of a queue become events, and numbers and commands go to an exchange.",
    settings=Settings,
    translate=translate,
    listen=listen,
    listens=lambda settings: settings.queue is not None,
    publish=publish,
    command=do,
    commands=lambda settings: settings.commands is not None,
    basis=Basis(decimals=6),
)
