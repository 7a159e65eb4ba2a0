"""What a connection to NATS must be told."""

from evenstock.connectors.brokered import BrokerSettings, Name
from evenstock.connectors.contract import SecretRef


class Settings(BrokerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream that is read, a subject that is told numbers, or both."""

    token: SecretRef | None = None
    stream: Name | None = None
    subject: Name | None = None  # of the stream: only these
    durable: Name = "evenstock"
    exposures: Name | None = None
    commands: Name | None = None
