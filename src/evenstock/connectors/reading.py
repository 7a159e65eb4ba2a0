"""What most connectors need to read a message: strict JSON, and words for what is not as it should be."""

from typing import Any, Final, TypeVar

import msgspec

from evenstock.connectors.contract import Message, Untranslatable
from evenstock.core.errors import Refusal
from evenstock.core.exact_json import read_json, repeated_name
from evenstock.core.reading import problem_of

T = TypeVar("T")
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


def typed(value: object, kind: type[T], pointer: str = "") -> T:
    """A JSON value as a record of the vendor's shape; what the record does not name is let be.

    Raises Untranslatable `message.shape`, with where it hurts.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problem = problem_of(error, pointer, "message.shape")
        raise Untranslatable(problem.code, problem.detail, problem.pointer) from None


def untranslatable(refusal: Refusal) -> Untranslatable:
    """A refusal of a rule, as a connector says it."""
    problem = refusal.problem
    return Untranslatable(problem.code, problem.detail, problem.pointer)
