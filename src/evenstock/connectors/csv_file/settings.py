"""What a connection that takes files must be told."""

from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec

from evenstock.connectors.contract import Delivery, SecretRef
from evenstock.core.errors import Refusal
from evenstock.core.mapping import read_mapping

STILL_S_MAX = 86_400.0

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Sftp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An SFTP server, and who we are there."""

    host: Name
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 22
    user: Name
    host_key: Annotated[str, msgspec.Meta(min_length=20, max_length=4_000)]  # as ssh-keyscan shows it
    password: SecretRef | None = None
    key: SecretRef | None = None  # a private key without a passphrase

    def __post_init__(self) -> None:
        if self.password is None and self.key is None:
            raise ValueError("sftp: say how we prove who we are: key or password")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Where files are left, when they are whole, and what they mean."""

    folder: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
    mapping: dict[str, Any]
    sftp: Sftp | None = None
    pattern: Name = "*"
    ready: Literal["still", "marker", "rename"] = "still"
    still_s: Annotated[float, msgspec.Meta(ge=0, le=STILL_S_MAX)] = 10.0
    marker: Name = ".done"

    def __post_init__(self) -> None:
        if "/" in self.pattern + self.marker:
            raise ValueError("pattern and marker are of names in one folder: without a slash")
        try:
            found = self.delivery.mapping
        except Refusal as refusal:
            raise ValueError(refusal.problem.detail) from None
        if found.source:
            raise ValueError("mapping: leave `connection` out; the facts of a file are of this connection")

    @cached_property
    def delivery(self) -> Delivery:
        return Delivery(
            mapping=read_mapping(self.mapping, "mapping"),
            pattern=self.pattern,
            ready=self.ready,
            still_s=self.still_s,
            marker=self.marker,
        )
