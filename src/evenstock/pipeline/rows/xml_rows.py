"""The records of an XML file, one after another, in constant memory: no DTD, no entity, nothing fetched.

An element is an object: attributes are `@name`, elements stand under their names without namespaces, those of one name are a list,
and an element that holds only text is that text (beside attributes: `#text`).
"""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from evenstock.core.errors import Refusal
from evenstock.core.mapping import FileForm, steps_of
from evenstock.pipeline.rows.json_rows import HEADER, row_of
from evenstock.pipeline.rows.source import SourceRow
from evenstock.pipeline.rows.unpacked import Counted, unpacked

RECORD_BYTES_MAX: Final = 16 * 2**20  # of one record, and of what lies between two
DEPTH_MAX: Final = 32


class XmlRows:
    """The records of one document: the elements at the path `records`, the root's name included."""

    def __init__(self, file: BinaryIO, form: FileForm, name: str) -> None:
        self._bytes = Counted(file)
        self._plain = Counted(unpacked(self._bytes, name))
        self._form = form
        self._name = name
        self._path = list(steps_of(form.records))
        self.header = HEADER

    def __iter__(self) -> Iterator[SourceRow]:
        try:
            yield from self._rows()
        except (ParseError, DefusedXmlException) as error:
            words = str(error) if isinstance(error, ParseError) else f"it has {type(error).__name__}"
            raise Refusal("file.malformed", f"{self._name} is no XML that we read: {words}.") from None

    def _rows(self) -> Iterator[SourceRow]:
        number, began_at = 0, 0
        open_elements: list[Element] = []
        names: list[str] = []
        for event, element in iterparse(self._plain, events=("start", "end"), forbid_dtd=True):
            if self._plain.count - began_at > RECORD_BYTES_MAX:
                words = f"{self._name} has no record within {RECORD_BYTES_MAX:,} bytes; is {self._form.records!r} the path to them?"
                raise Refusal("limit.row", words)
            if event == "start":
                open_elements.append(element)
                names.append(_plain(element.tag))
                if len(names) > DEPTH_MAX:
                    raise Refusal("limit.depth", f"{self._name} nests deeper than {DEPTH_MAX} levels.")
                continue
            is_record = names == self._path
            open_elements.pop()
            names.pop()
            if is_record:
                number += 1
                value = self._value(element)
                yield row_of(number, number, self._bytes.count, value, f"/{number - 1}", self._form)
            if is_record or len(names) < len(self._path):
                began_at = self._plain.count
                element.clear()
                if open_elements:
                    open_elements[-1].remove(element)

    def _value(self, element: Element) -> Any:
        value = _value_of(element)
        if self._form.lines is not None and isinstance(value, dict):
            _as_list(value, steps_of(self._form.lines))
        return value if isinstance(value, dict) else {"#text": value}


def _value_of(element: Element) -> Any:
    found: dict[str, Any] = {f"@{_plain(name)}": text for name, text in element.attrib.items()}
    for child in element:
        name, value = _plain(child.tag), _value_of(child)
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    text = element.text or ""
    if not found:
        return text
    if text.strip():
        found["#text"] = text
    return found


def _as_list(value: dict[str, Any], steps: tuple[str, ...]) -> None:
    """One line is a list of one, and none is an empty one."""
    for step in steps[:-1]:
        inner = value.setdefault(step, {})
        if not isinstance(inner, dict):
            inner = value[step] = {}
        value = inner
    last = steps[-1] if steps else ""
    found = value.get(last, [])
    value[last] = found if isinstance(found, list) else [found]


def _plain(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]
