"""What each event may and must carry, read off the events' own types, so that a mapping is checked against them."""

from typing import get_args, get_type_hints

import msgspec

from evenstock.core.events import EVENT_TYPES, ItemRef, Line

ITEM = frozenset(field.name for field in msgspec.structs.fields(ItemRef))  # the ways to name an item
NUMBERS = frozenset({"quantity", "delta"})
TIMES = frozenset({"counted_at", "started_at"})
EVENTS = {str(kind.__struct_config__.tag): kind for kind in EVENT_TYPES}


class Shape(msgspec.Struct, frozen=True):
    """What an event's data and its line may and must carry."""

    fields: frozenset[str]
    fields_required: frozenset[str]
    line: frozenset[str] = frozenset()
    line_required: frozenset[str] = frozenset()


def shape_of(event: str) -> Shape:
    """The shape of an event by its type, such as `SaleRecorded.v1`."""
    data = get_type_hints(EVENTS[event])["data"]
    fields = [field for field in msgspec.structs.fields(data) if field.encode_name != "lines"]
    names = frozenset(field.encode_name for field in fields)
    required = frozenset(field.encode_name for field in fields if field.required)
    if "lines" not in data.__struct_fields__:
        return Shape(names, required)
    line: type[Line] = get_args(get_type_hints(data)["lines"])[0]
    parts = [field for field in msgspec.structs.fields(line) if field.name != "item"]
    return Shape(
        names,
        required,
        frozenset(field.encode_name for field in parts) | ITEM,
        frozenset(field.encode_name for field in parts if field.required) - {"line"},
    )


def least_of(event: str) -> int:
    """The smallest quantity that a line of this event may carry: nothing can be counted, but not sold."""
    return 0 if event == "StockCounted.v1" else 1
