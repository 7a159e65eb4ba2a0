"""A mapping file's content becomes frozen records, or is refused in words: file, place, why, and what to write instead."""

import re
from collections.abc import Iterator

import msgspec
from msgspec import inspect

from evenstock.core.mapping.checks import check
from evenstock.core.mapping.form import Mapping
from evenstock.core.mapping.misfit import Misfit, Place, malformed, near


def read_mapping(content: object, file: str) -> Mapping:
    """The mapping that a TOML file's content means. Raises Refusal `mapping.malformed`, naming file, place and remedy."""
    try:
        _refuse_unknown(content, inspect.type_info(Mapping), [])
        mapping = msgspec.convert(content, Mapping)
        check(mapping)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        steps: Place = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]`]+", path)]
        raise malformed(file, steps, f"{what[:1].lower()}{what[1:]}.") from error
    except Misfit as error:
        raise malformed(file, error.place, error.why) from error
    return mapping


def _refuse_unknown(content: object, info: inspect.Type, place: Place) -> None:
    for value, kind, step in _parts_of(content, info, place):
        _refuse_unknown(value, kind, step)
    if isinstance(content, float) and isinstance(info, inspect.StrType):
        raise Misfit(place, f'write "{content}" as a text, so that it stays exact.')


def _parts_of(
    content: object, info: inspect.Type, place: Place
) -> Iterator[tuple[object, inspect.Type, Place]]:
    """What stands inside a part of the file, with the type it should have and its place."""
    match info, content:
        case inspect.StructType(), dict():
            fields = {field.encode_name: field.type for field in info.fields}
            for name, value in content.items():
                if name not in fields:
                    raise Misfit(place, f"there is no key {name} here. {near(name, fields)}")
                yield value, fields[name], [*place, name]
        case inspect.VarTupleType(), list():
            yield from ((value, info.item_type, [*place, index]) for index, value in enumerate(content))
        case inspect.DictType(), dict():
            yield from ((value, info.value_type, [*place, name]) for name, value in content.items())
        case inspect.UnionType(), _:
            yield from ((content, each, place) for each in info.types)
        case _:
            pass
