"""Any system that posts JSON: a mapping says which documents are which events."""

from functools import cached_property
from typing import Any

from evenstock.connectors.contract import Connector, Hook, HookSettings, JsonObject, Message
from evenstock.connectors.reading import json_of, untranslatable
from evenstock.core.errors import Refusal
from evenstock.core.mapping import DocumentMapper, read_mapping


class Settings(HookSettings, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """`mapping` is a mapping with `format = "json"`, as TOML reads it."""

    mapping: dict[str, Any]
    hook: Hook = Hook()

    def __post_init__(self) -> None:
        try:
            mapper = self.mapper
        except Refusal as refusal:
            raise ValueError(refusal.problem.detail) from None
        if mapper.mapping.file.format != "json":
            raise ValueError('mapping: say format = "json" under [file]')

    @cached_property
    def mapper(self) -> DocumentMapper:
        return DocumentMapper(read_mapping(self.mapping, "mapping"))


def translate(settings: Settings, message: Message) -> list[JsonObject]:
    """The events of a document, as the mapping says."""
    document = json_of(message)
    try:
        return settings.mapper.events_of(document)
    except Refusal as refusal:
        raise untranslatable(refusal) from None


connector = Connector(
    name="http_json",
    summary="Any system that posts JSON: a mapping says what it means.",
    settings=Settings,
    translate=translate,
    hook=lambda settings: settings.hook,
)
