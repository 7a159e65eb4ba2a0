"""What every reader of files gives, and how bytes become text for those that read lines."""

import codecs
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, Final, Protocol

import msgspec

from evenstock.core.errors import Problem
from evenstock.pipeline.rows.unpacked import CHUNK_BYTES, Counted, unpacked

ROW_LENGTH_MAX: Final = 1_000_000  # characters, line breaks within quotes included
COLUMNS_MAX: Final = 2_000
SHOWN_MAX: Final = 10_000  # characters kept of a row that could not be read, for the reject file
UNDECODABLE: Final = (
    "\udcff"  # stands for bytes that the encoding does not have; no file can contain it itself
)
codecs.register_error("evenstock_mark", lambda error: (UNDECODABLE, getattr(error, "end", 0)))


class SourceRow(msgspec.Struct, frozen=True):
    """One row, or why it is none."""

    number: int  # 1 is the first below the header
    line: int  # of the file, where it starts, as an editor counts
    progress: int  # bytes of the file that were read so far, packed ones when it is packed
    cells: tuple[str, ...]  # as they came
    values: Mapping[str, str]  # column → text; empty when there is a problem
    problem: Problem | None = None


class Rows(Protocol):
    """The rows of one file, once. `header` names what stands in the cells of each, for the reject file."""

    @property
    def header(self) -> Sequence[str]: ...

    def __iter__(self) -> Iterator[SourceRow]:
        """Raises Refusal for what concerns the whole file."""
        ...


def digest_of(file: BinaryIO) -> str:
    """The sha256 of what is left to read."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def text_of(counted: Counted, encoding: str, name: str) -> io.TextIOBase:
    """A file as text; a byte that is none in this encoding becomes UNDECODABLE."""
    plain = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(unpacked(counted, name), plain, errors="evenstock_mark", newline="")


def shown(text: str) -> str:
    """A row as it is shown to people."""
    plain = text.rstrip("\r\n").replace(UNDECODABLE, "\ufffd").replace("\0", "\ufffd")
    return plain if len(plain) <= SHOWN_MAX else plain[:SHOWN_MAX] + "…"
