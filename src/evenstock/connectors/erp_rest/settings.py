"""What a connection to an ERP must be told."""

from typing import Annotated, Literal

import msgspec

from evenstock.connectors.contract import SecretRef

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s?#]{1,500}$")]
Kind = Literal["sales", "returns", "receipts", "transfers", "adjustments"]
Path = Annotated[str, msgspec.Meta(pattern=r"^/[A-Za-z0-9._~/-]{0,200}$")]
Header = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paths lie below `url`; what `locations` and `types` do not name goes by our own name."""

    url: Url
    token: SecretRef
    documents: Path = "/documents"
    jobs: Path = "/jobs"
    stock: Path = "/stock"
    key_header: Header = "Idempotency-Key"
    locations: dict[str, str] = {}
    types: dict[Kind, str] = {}

    def __post_init__(self) -> None:
        if len(set(self.locations.values())) < len(self.locations):
            raise ValueError("locations: two of our locations are one of the ERP's")
