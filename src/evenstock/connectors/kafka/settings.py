"""What a connection to a Kafka cluster must be told."""

from typing import Literal

from evenstock.connectors.brokered import BrokerSettings, Name


class Settings(BrokerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Topics that are read, a topic that is told numbers, or both. `url` is of one broker; it names the others."""

    topics: tuple[Name, ...] = ()
    group: Name = "evenstock"
    sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"  # with user and password
    exposures: Name | None = None
    commands: Name | None = None
