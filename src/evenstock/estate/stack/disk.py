"""A small disk of our own, in memory, that nobody else sees, and that can be full: a tmpfs in a mount namespace of this process.

A user who is not root gets a user namespace as well, as himself; programs that are started have no powers in it.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

_NEW_MOUNTS: Final = 0x00020000
_NEW_USERS: Final = 0x10000000
_REMOUNT: Final = 32
_DETACH: Final = 2
_PRIVATE: Final = 1 << 18
_RECURSIVE: Final = 16384
ROOM_MB: Final = 2_048  # what may be used while it is not full; memory is taken only for what is


class NoDisk(Exception):  # noqa: N818 - it names what happened
    """No disk of our own is to be had on this machine; the message says why."""


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """From now on not a block more can be written."""
        used = os.statvfs(self.folder)
        blocks = max(1, used.f_blocks - used.f_bfree)
        self._resize(f"size={blocks * used.f_frsize}")

    def empty(self) -> None:
        """There is room again."""
        self._resize(f"size={ROOM_MB}m")

    def take_away(self) -> None:
        """Unmount it, whoever still uses it."""
        _call("umount2", os.fsencode(self.folder), _DETACH)

    def _resize(self, options: str) -> None:
        _call("mount", b"none", os.fsencode(self.folder), None, _REMOUNT, options.encode())


def own_mounts() -> None:
    """From now on what is mounted is seen by this process alone, and by those that it starts.

    To be called once, before there are threads. Raises NoDisk.
    """
    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", _NEW_MOUNTS | (_NEW_USERS if user else 0))
        if user:
            ids = (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1"))
            for name, text in ids:
                Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
        _call("mount", b"none", b"/", None, _PRIVATE | _RECURSIVE, None)
    except OSError as error:
        raise NoDisk(str(error)) from error


def small_disk(folder: Path) -> SmallDisk:
    """Mount one at a folder, after `own_mounts`. Raises NoDisk."""
    try:
        _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={ROOM_MB}m,mode=0700".encode())
    except OSError as error:
        raise NoDisk(str(error)) from error
    return SmallDisk(folder)


def _call(name: str, *arguments: object) -> None:
    """A call of the C library. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        function = getattr(libc, name)
    except AttributeError as error:
        raise OSError(0, f"there is no {name} on this system") from error
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
