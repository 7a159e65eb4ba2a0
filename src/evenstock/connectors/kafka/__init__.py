"""Kafka: messages of topics, numbers and commands to topics."""

from evenstock.connectors.brokered import translate
from evenstock.connectors.contract import Basis, Connector
from evenstock.connectors.kafka.client import do, listen, publish
from evenstock.connectors.kafka.settings import Settings

connector = Connector(
    name="kafka",
    summary="Kafka: messages of topics become events, and numbers and commands go to topics.",
    settings=Settings,
    translate=translate,
    listen=listen,
    listens=lambda settings: bool(settings.topics),
    publish=publish,
    command=do,
    commands=lambda settings: settings.commands is not None,
    basis=Basis(decimals=6),
)
