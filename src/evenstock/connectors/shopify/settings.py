"""What a connection to a Shopify store must be told."""

from datetime import datetime
from typing import Annotated

import msgspec

from evenstock.connectors.contract import HookSettings, SecretRef

Shop = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,252}$")]
Number = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}$")]
Callback = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s]{1,500}$")]
Address = Annotated[str, msgspec.Meta(pattern=r"^https?://[A-Za-z0-9.:\[\]-]{1,260}$")]


class Settings(HookSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`locations` says which of our locations each of Shopify's is, by its gid or the number at its end; `shows` which of
    Shopify's shows a channel's numbers, by that number; `sells` which of our channels its orders are of.
    """

    shop: Shop | None = None
    locations: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    promised: bool = False
    sells: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    inspect: bool = True
    shows: dict[str, Number] = {}  # noqa: RUF012 - msgspec copies it
    token: SecretRef | None = None
    client_id: str | None = None
    refresh_token: SecretRef | None = None
    reason: str = "correction"
    address: Address | None = None
    callback: Callback | None = None
    poll_every_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 300.0
    poll_overlap_s: Annotated[float, msgspec.Meta(ge=60, le=86_400)] = 600.0
    poll_from: Annotated[datetime, msgspec.Meta(tz=True)] | None = None

    def __post_init__(self) -> None:
        if len(set(self.shows.values())) < len(self.shows):
            raise ValueError("shows: two channels show their numbers at one location")
        if self.shows and not (self.shop or self.address):
            raise ValueError("shop: to tell a shop numbers, name it")
        if self.shows and (self.token is None) == (self.client_id is None):
            raise ValueError("token: to tell a shop numbers, give either token or client_id")
        if self.refresh_token is not None and self.client_id is None:
            raise ValueError("refresh_token: it renews the tokens of an app; give its client_id")
        if self.refresh_token is not None and not self.refresh_token.startswith("secret:"):
            raise ValueError("refresh_token: Shopify replaces it, so it is where it can be: secret:NAME")
        if self.callback is not None and not self.is_asked:
            raise ValueError(
                "callback: to subscribe its webhooks, name the shop, and give token or client_id"
            )
        if 0 < self.poll_every_s < 1:
            raise ValueError("poll_every_s: at least 1 second, or 0 to ask for nothing")

    @property
    def is_promised(self) -> bool:
        """Whether the shop's orders are reservations here, by whoever's doing."""
        return self.promised or self.sells is not None

    @property
    def is_asked(self) -> bool:
        """Whether we can ask the shop at all: it is named, and we have something to show at its door."""
        return bool(self.shop or self.address) and (self.token is None) != (self.client_id is None)

    @property
    def url(self) -> str:
        """Where the shop's API is."""
        return self.address or f"https://{self.shop}"
