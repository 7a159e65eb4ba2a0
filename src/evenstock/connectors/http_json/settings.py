"""What a connection to a system that speaks JSON must be told: what its messages mean, and how it is called."""

import re
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import msgspec

from evenstock.connectors.contract import Hook, HookSettings, SecretRef
from evenstock.connectors.http_json.template import unknown_in
from evenstock.core.errors import Refusal
from evenstock.core.mapping import DocumentMapper, read_mapping

NAMES: Final = (
    "channel", "sku", "code", "quantity", "version", "key", "ledger_seq", "computed_at", "trace_id",
)  # fmt: skip
_HOST: Final = re.compile(r"https?://[^{}/?#\s]+(?=[/?]|$)")
_RESERVED: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "traceparent"})

Header = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
Text = Annotated[str, msgspec.Meta(max_length=2_000)]
Path = Annotated[str, msgspec.Meta(max_length=500)]
Means = Literal["done", "retry", "rejected", "unauthorized", "unknown"]
Status = Annotated[int, msgspec.Meta(ge=100, le=599)]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reply means: of these statuses (all, where none is named) and with this value at `field`, where one is named."""

    means: Means
    status: tuple[Status, ...] = ()
    field: Path = ""
    equals: str | int | bool | None = None

    def __post_init__(self) -> None:
        if not self.status and not self.field:
            raise ValueError(
                "outcome: name a status or a field; all other replies mean what their status says"
            )
        if self.equals is not None and not self.field:
            raise ValueError("equals: name the field")


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call for each number. `{names}` are filled in; what is not named in `outcome` means what its status says."""

    url: Annotated[str, msgspec.Meta(min_length=8, max_length=2_000)]
    method: Literal["PUT", "POST", "PATCH"] = "PUT"
    headers: Annotated[dict[Header, Text], msgspec.Meta(max_length=30)] = {}
    secret_headers: Annotated[dict[Header, SecretRef], msgspec.Meta(max_length=10)] = {}
    body: Any = None
    key_header: Header = "Idempotency-Key"
    channels: dict[str, str] = {}
    outcome: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=50)] = ()
    code: Path = ""
    detail: Path = ""
    document: Path = ""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=8)] = 4.0

    def __post_init__(self) -> None:
        if not _HOST.match(self.url):
            raise ValueError(
                "url: begins with http:// or https:// and a host without {names}: nobody chooses whom we call"
            )
        named = [*self.headers, *self.secret_headers, self.key_header]
        lower = [name.lower() for name in named]
        if len(set(lower)) < len(lower):
            raise ValueError("headers: a header is named twice")
        if taken := sorted(_RESERVED & set(lower)):
            raise ValueError(f"headers: {taken[0]} is written by the hub itself")
        for name, template in (
            ("url", self.url),
            ("headers", list(self.headers.values())),
            ("body", self.body),
        ):
            try:
                unknown = unknown_in(template, NAMES)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            if unknown:
                raise ValueError(f"{name}: there is no {{{unknown[0]}}}; there are {', '.join(NAMES)}")


class Settings(HookSettings, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """`mapping` is a mapping with `format = "json"`, as TOML reads it: it takes webhooks. `call`: it is told numbers."""

    secret: SecretRef | None = None  # type: ignore[assignment]  # asked for where there is a mapping
    mapping: dict[str, Any] | None = None
    hook: Hook = Hook()
    call: Call | None = None

    def __post_init__(self) -> None:
        if self.mapping is None and self.call is None:
            raise ValueError(
                "mapping: say what its messages mean (mapping), or how it is told numbers (call)"
            )
        if self.mapping is None:
            return
        if self.secret is None:
            raise ValueError("with a mapping, give the secret that its messages are signed with")
        try:
            mapper = self.mapper
        except Refusal as refusal:
            raise ValueError(refusal.problem.detail) from None
        if mapper.mapping.file.format != "json":
            raise ValueError('mapping: say format = "json" under [file]')

    @cached_property
    def mapper(self) -> DocumentMapper:
        return DocumentMapper(read_mapping(self.mapping or {}, "mapping"))
