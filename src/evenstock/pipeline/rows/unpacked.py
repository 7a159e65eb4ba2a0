"""The bytes of a delivered file: plain, or unpacked from gzip or zip piece by piece, under a cap of size and ratio."""

import io
import zipfile
import zlib
from typing import BinaryIO, Final

from evenstock.core.errors import Refusal

UNPACKED_BYTES_MAX: Final = 64 * 2**30  # of one packed file
UNPACKED_RATIO_MAX: Final = 100  # unpacked to packed bytes, beyond the first RATIO_FREE_BYTES
RATIO_FREE_BYTES: Final = 16 * 2**20  # so much is unpacked whatever its ratio
CHUNK_BYTES: Final = 64 * 1024

_PACKED: Final = {
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7-Zip",
}


def unpacked(counted: "Counted", name: str) -> io.BufferedReader:
    """What a file holds, whatever it is packed with.

    Raises Refusal `file.packing`, `limit.unpacked`; while it is read, too.
    """
    buffered: io.BufferedReader = io.BufferedReader(counted, CHUNK_BYTES)
    start = buffered.peek(6)[:6]
    if start.startswith(b"\x1f\x8b"):
        return io.BufferedReader(_Gunzipped(buffered, counted, name), CHUNK_BYTES)
    if start.startswith(b"PK\x03\x04"):
        return io.BufferedReader(_Unzipped(buffered, name), CHUNK_BYTES)
    if kind := next((kind for magic, kind in _PACKED.items() if start.startswith(magic)), None):
        raise Refusal(
            "file.packing", f"{name} is packed with {kind}. Unpack it, or pack it with gzip or zip."
        )
    return buffered


class Counted(io.RawIOBase):
    """A file that knows how much of it was read."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self.count += len(chunk)
        return len(chunk)

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _Gunzipped(io.RawIOBase):
    """Gzip, member after member, unpacked piece by piece under a cap of size and ratio."""

    def __init__(self, packed: BinaryIO, counted: Counted, name: str) -> None:
        super().__init__()
        self._packed = packed
        self._counted = counted
        self._name = name
        self._member = zlib.decompressobj(wbits=31)
        self._rest = b""
        self._unpacked = 0
        self._inside = False  # of a member

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while True:
            if not self._rest:
                self._rest = self._packed.read(CHUNK_BYTES)
                if not self._rest and self._inside and not self._member.eof:
                    raise Refusal(
                        "file.packing",
                        f"{self._name} ends in the middle. Importing the whole file later books nothing twice.",
                    )
                if not self._rest:
                    return 0
            if chunk := self._piece(len(buffer)):
                buffer[: len(chunk)] = chunk
                return len(chunk)

    def _piece(self, size: int) -> bytes:
        if self._member.eof:
            self._rest = self._rest.lstrip(b"\0")  # padding between members
            if not self._rest:
                return b""
            self._member = zlib.decompressobj(wbits=31)
        self._inside = True
        try:
            chunk = self._member.decompress(self._rest, size)
        except zlib.error as error:
            raise _damaged(self._name, error) from error
        self._rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        self._unpacked += len(chunk)
        allowed = max(RATIO_FREE_BYTES, UNPACKED_RATIO_MAX * self._counted.count)
        if self._unpacked > min(allowed, UNPACKED_BYTES_MAX):
            raise _too_much(self._name)
        return chunk


class _Unzipped(io.RawIOBase):
    """The one file in a zip."""

    def __init__(self, packed: BinaryIO, name: str) -> None:
        super().__init__()
        self._name = name
        self._unpacked = 0
        try:
            archive = zipfile.ZipFile(packed)
            inside = [each for each in archive.infolist() if not each.is_dir()]
            if len(inside) != 1:
                words = f"{name} holds {len(inside):,} files. Pack each file by itself."
                raise Refusal("file.packing", words)
            size = packed.seek(0, io.SEEK_END)
            self._allowed = min(max(RATIO_FREE_BYTES, UNPACKED_RATIO_MAX * size), UNPACKED_BYTES_MAX)
            self._member = archive.open(inside[0])
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
        ) as error:  # RuntimeError: it wants a password
            raise _damaged(name, error) from error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            chunk = self._member.read(len(buffer))
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise _damaged(self._name, error) from error
        self._unpacked += len(chunk)
        if self._unpacked > self._allowed:
            raise _too_much(self._name)
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _damaged(name: str, error: Exception) -> Refusal:
    return Refusal(
        "file.packing", f"{name} is damaged: {error}. Importing the whole file later books nothing twice."
    )


def _too_much(name: str) -> Refusal:
    return Refusal(
        "limit.unpacked",
        f"{name} unpacks to more than {UNPACKED_RATIO_MAX} times its size or {UNPACKED_BYTES_MAX:,} bytes.",
    )
