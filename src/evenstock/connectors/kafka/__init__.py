"""Kafka: messages of topics, and numbers to a topic."""

from evenstock.connectors.brokered import translate
from evenstock.connectors.contract import Basis, Connector
from evenstock.connectors.kafka.client import listen, publish
from evenstock.connectors.kafka.settings import Settings

connector = Connector(
    name="kafka",
    summary="Kafka: messages of topics become events, and numbers go to a topic.",
    settings=Settings,
    translate=translate,
    listen=listen,
    listens=lambda settings: bool(settings.topics),
    publish=publish,
    basis=Basis(decimals=6),
)
