"""Any system that speaks JSON: a mapping says what its messages mean, a template how it is told its numbers and what to do."""

from evenstock.connectors.contract import Basis, Connector, Hook, JsonObject, Message, Untranslatable
from evenstock.connectors.http_json.command import do, is_commanded
from evenstock.connectors.http_json.observe import observe
from evenstock.connectors.http_json.publish import EXPOSURES_MAX, publish
from evenstock.connectors.http_json.settings import Settings
from evenstock.connectors.reading import json_of, untranslatable
from evenstock.core.errors import Refusal


def translate(settings: Settings, message: Message) -> list[JsonObject]:
    """The events of a document, as the mapping says."""
    if settings.mapping is None:
        raise Untranslatable(
            "message.unsupported", "This connection has no mapping, so it reads no messages."
        )
    document = json_of(message)
    try:
        return settings.mapper.events_of(document)
    except Refusal as refusal:
        raise untranslatable(refusal) from None


def hook_of(settings: Settings) -> Hook | None:
    """How its messages are signed, where it sends any."""
    return None if settings.mapping is None else settings.hook


connector = Connector(
    name="http_json",
    summary="Any system that speaks JSON: a mapping reads it, a template tells it numbers and what to do.",
    settings=Settings,
    translate=translate,
    hook=hook_of,
    publish=publish,
    basis=Basis(decimals=6),
    observe=observe,
    exposures_max=EXPOSURES_MAX,
    command=do,
    commands=is_commanded,
)
