"""What a connection to RabbitMQ must be told."""

from evenstock.connectors.brokered import BrokerSettings, Name


class Settings(BrokerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A queue that is read, an exchange that is told numbers, or both; they are made by whoever runs the broker."""

    vhost: str = "/"
    queue: Name | None = None
    exchange: str = ""  # empty: the default one, which sends to the queue of the routing key
    exposures: Name | None = None  # the routing key
    commands: Name | None = None  # the routing key
