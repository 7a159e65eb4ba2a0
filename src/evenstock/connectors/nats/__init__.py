"""NATS JetStream: messages from a stream, numbers and commands to subjects."""

from evenstock.connectors.brokered import translate
from evenstock.connectors.contract import Basis, Connector
from evenstock.connectors.nats.client import do, listen, publish
from evenstock.connectors.nats.settings import Settings

connector = Connector(
    name="nats",
    summary="NATS JetStream: messages from a stream become events, and numbers and commands go to subjects.",
    settings=Settings,
    translate=translate,
    listen=listen,
    listens=lambda settings: settings.stream is not None,
    publish=publish,
    command=do,
    commands=lambda settings: settings.commands is not None,
    basis=Basis(decimals=6),
)
