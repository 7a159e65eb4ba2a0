"""What a connection to a system that speaks JSON must be told: what its messages mean, and how it is called."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec

from evenstock.connectors.contract import Hook, HookSettings, SecretRef
from evenstock.connectors.http_json.template import unknown_in
from evenstock.core.errors import Refusal
from evenstock.core.mapping import DocumentMapper, read_mapping

NAMES: Final = (
    "channel", "sku", "code", "quantity", "version", "key", "ledger_seq", "computed_at", "trace_id",
)  # fmt: skip
COMMAND_NAMES: Final = (
    "kind", "reference", "reservation", "order", "channel", "location", "number", "key", "trace_id",
)  # fmt: skip
LINE_NAMES: Final = ("line", "sku", "code", "quantity", "uom", "location")
LINE: Final = {"line": "{line}", "item": "{code}", "quantity": "{quantity}"}  # where nothing else is said
SHOWN_NAMES: Final = ("channel", "sku", "code")
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


class Asking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a system is asked, with `{names}` filled in."""

    knows: ClassVar[Mapping[str, Sequence[str]]] = {}  # the names that may stand in each template

    url: Annotated[str, msgspec.Meta(min_length=8, max_length=2_000)]
    headers: Annotated[dict[Header, Text], msgspec.Meta(max_length=30)] = {}
    secret_headers: Annotated[dict[Header, SecretRef], msgspec.Meta(max_length=10)] = {}
    channels: dict[str, str] = {}
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=8)] = 4.0

    @property
    def ours(self) -> Sequence[str]:
        """Headers that are written beside those of `headers`."""
        return ()

    def __post_init__(self) -> None:
        if not _HOST.match(self.url):
            raise ValueError(
                "url: begins with http:// or https:// and a host without {names}: nobody chooses whom we call"
            )
        named = [*self.headers, *self.secret_headers, *self.ours]
        lower = [name.lower() for name in named]
        if len(set(lower)) < len(lower):
            raise ValueError("headers: a header is named twice")
        if taken := sorted(_RESERVED & set(lower)):
            raise ValueError(f"headers: {taken[0]} is written by the hub itself")
        for name, known in self.knows.items():
            given = getattr(self, name)
            try:
                unknown = unknown_in(list(given.values()) if name == "headers" else given, known)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            if unknown:
                raise ValueError(f"{name}: there is no {{{unknown[0]}}}; there are {', '.join(known)}")


class Calling(Asking, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call that changes something. What is not named in `outcome` means what its status says."""

    body: Any = None
    key_header: Header = "Idempotency-Key"
    outcome: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=50)] = ()
    code: Path = ""
    detail: Path = ""
    document: Path = ""

    @property
    def ours(self) -> Sequence[str]:
        return (self.key_header,)


class Look(Asking, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question for each number that is looked at; `quantity` is where in the answer it stands."""

    knows: ClassVar[Mapping[str, Sequence[str]]] = {"url": SHOWN_NAMES, "headers": SHOWN_NAMES}

    quantity: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Call(Calling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call for each number."""

    knows: ClassVar[Mapping[str, Sequence[str]]] = {"url": NAMES, "headers": NAMES, "body": NAMES}

    method: Literal["PUT", "POST", "PATCH"] = "PUT"


class CommandCall(Calling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call for each command; `{lines}` becomes a list of what `line` makes of each."""

    knows: ClassVar[Mapping[str, Sequence[str]]] = {
        "url": COMMAND_NAMES, "headers": COMMAND_NAMES, "body": (*COMMAND_NAMES, "lines"), "line": LINE_NAMES,
    }  # fmt: skip

    method: Literal["PUT", "POST", "PATCH"] = "POST"
    line: Any = msgspec.field(default_factory=lambda: dict(LINE))
    kinds: dict[Literal["pick", "cancel"], str] = {}
    locations: dict[str, str] = {}


class Settings(HookSettings, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """`mapping` is a mapping with `format = "json"`, as TOML reads it: it takes webhooks. `call`: it is told numbers.

    `look`: it is asked what it shows. `command`: it is told what to do.
    """

    secret: SecretRef | None = None  # type: ignore[assignment]  # asked for where there is a mapping
    mapping: dict[str, Any] | None = None
    hook: Hook = Hook()
    call: Call | None = None
    look: Look | None = None
    command: CommandCall | None = None

    def __post_init__(self) -> None:
        if self.mapping is None and self.call is None and self.command is None:
            raise ValueError(
                "mapping: say what its messages mean (mapping), how it is told numbers (call), or what to do (command)"
            )
        if self.look is not None and self.call is None:
            raise ValueError("look: what is looked at is what it was told: say how (call)")
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
