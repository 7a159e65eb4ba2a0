"""Texts and documents with `{names}` in them, filled with what an exposure says. There is nothing to compute in them."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

_PART: Final = re.compile(r"\{\{|\}\}|\{(?P<name>[a-z_]+)\}|[{}]")
_WHOLE: Final = re.compile(r"\{(?P<name>[a-z_]+)\}")
DEPTH_MAX: Final = 16  # of a document


def names_in(template: Any, depth: int = 0) -> set[str]:
    """The names that a text or a document asks for.

    Raises ValueError for a brace that begins no name, and for a document nested too deeply.
    """
    if depth > DEPTH_MAX:
        raise ValueError(f"nested more than {DEPTH_MAX} levels deep")
    match template:
        case str():
            found = set()
            for part in _PART.finditer(template):
                if part[0] in {"{", "}"}:
                    words = (
                        f"{template[:60]!r} has a brace that begins no name; write {{{{ or }}}} for a brace"
                    )
                    raise ValueError(words)
                if part["name"]:
                    found.add(part["name"])
            return found
        case Mapping():
            return set().union(*(names_in(each, depth + 1) for pair in template.items() for each in pair))
        case list() | tuple():
            return set().union(*(names_in(each, depth + 1) for each in template))
        case _:
            return set()


def unknown_in(template: Any, known: Collection[str]) -> list[str]:
    """The names that it asks for and nobody knows. Raises ValueError."""
    return sorted(names_in(template) - set(known))


def text_of(template: str, values: Mapping[str, str]) -> str:
    """A text with its names filled in."""
    return _PART.sub(lambda part: values[part["name"]] if part["name"] else part[0][0], template)


def document_of(template: Any, values: Mapping[str, Any], texts: Mapping[str, str]) -> Any:
    """A document with its names filled in; a text that is nothing but a name becomes the value itself, a number a number."""
    match template:
        case str():
            whole = _WHOLE.fullmatch(template)
            return values[whole["name"]] if whole else text_of(template, texts)
        case Mapping():
            return {text_of(name, texts): document_of(each, values, texts) for name, each in template.items()}
        case list() | tuple():
            return [document_of(each, values, texts) for each in template]
        case _:
            return template
