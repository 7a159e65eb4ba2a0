"""The first bytes of PostgreSQL's protocol: knock at a server's door and hear how it is, without logging in."""

import socket
import struct
from pathlib import Path
from typing import Final, Literal

PROTOCOL: Final = 196608  # 3.0
CANNOT_CONNECT_NOW: Final = b"C57P03\0"  # starting up, recovering or shutting down
ANSWER_WITHIN_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 4096


def answer(door: Path, *, user: str, database: str) -> Literal["ready", "starting", "silent"]:
    """Whether the server behind a Unix socket takes sessions now."""
    body = struct.pack("!i", PROTOCOL) + f"user\0{user}\0database\0{database}\0\0".encode()
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ANSWER_WITHIN_S)
            line.connect(str(door))
            line.sendall(struct.pack("!i", len(body) + 4) + body)
            said = line.recv(ANSWER_BYTES_MAX)
    except (FileNotFoundError, ConnectionError, TimeoutError, BlockingIOError):
        return "silent"
    if said[:1] == b"R":  # it asks for the password
        return "ready"
    if said[:1] == b"E" and CANNOT_CONNECT_NOW not in said:  # it refuses this session, but it is there
        return "ready"
    return "starting" if said else "silent"
