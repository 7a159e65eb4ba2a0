"""NATS JetStream: messages from a stream, and numbers to a subject."""

from evenstock.connectors.brokered import translate
from evenstock.connectors.contract import Basis, Connector
from evenstock.connectors.nats.client import listen, publish
from evenstock.connectors.nats.settings import Settings

connector = Connector(
    name="nats",
    summary="NATS JetStream: messages from a stream become events, and numbers go to a subject.",
    settings=Settings,
    translate=translate,
    listen=listen,
    listens=lambda settings: settings.stream is not None,
    publish=publish,
    basis=Basis(decimals=6),
)
