"""What a connection to an MQTT broker must be told."""

from evenstock.connectors.brokered import BrokerSettings, Name


class Settings(BrokerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Topics that are read, a topic below which numbers are told, or both."""

    topics: tuple[Name, ...] = ()
    session: Name = "evenstock"  # the client's id, under which the broker keeps what we have not acknowledged
    exposures: Name | None = None
    commands: Name | None = None
