"""MQTT: messages of topics, numbers and commands to topics, with quality of service 1."""

from evenstock.connectors.brokered import translate
from evenstock.connectors.contract import Basis, Connector
from evenstock.connectors.mqtt.client import do, listen, publish
from evenstock.connectors.mqtt.settings import Settings

connector = Connector(
    name="mqtt",
    summary="MQTT: messages of topics become events, and numbers and commands go to topics.",
    settings=Settings,
    translate=translate,
    listen=listen,
    listens=lambda settings: bool(settings.topics),
    publish=publish,
    command=do,
    commands=lambda settings: settings.commands is not None,
    basis=Basis(decimals=6),
)
