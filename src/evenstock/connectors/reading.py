"""What most connectors need to read a message: strict JSON, and words for what is not as it should be."""

from typing import Any, Final

from evenstock.connectors.contract import Message, Untranslatable
from evenstock.core.errors import Refusal
from evenstock.core.reading import read_json, repeated_name

EVENTS_MAX: Final = 1_000  # of one message


def json_of(message: Message) -> Any:
    """The message as JSON: numbers as int or Decimal, exactly.

    Raises Untranslatable `json.malformed`, `json.repeated_name`, `limit.depth`.
    """
    try:
        value = read_json(message.body)
    except Refusal as refusal:
        raise untranslatable(refusal) from None
    if (found := repeated_name(value)) is not None:
        words = f"The name `{found[1]}` stands twice in one object."
        raise Untranslatable("json.repeated_name", words, found[0])
    return value


def untranslatable(refusal: Refusal) -> Untranslatable:
    """A refusal of a rule, as a connector says it."""
    problem = refusal.problem
    return Untranslatable(problem.code, problem.detail, problem.pointer)
