"""The address that a door listens on, taken before anything else is started."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


class AddressTaken(Exception):  # noqa: N818 - it names what is wrong
    """We cannot listen where we were told to; the message says why, and what to do."""


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket on this address, closed at the end; port 0 lets the system choose.

    Raises AddressTaken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise taken(host, port, error) from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise taken(host, port, error) from error
        yield listener


def taken(host: str, port: int, error: OSError) -> AddressTaken:
    """Why we cannot listen, for whoever started us."""
    return AddressTaken(
        f"We cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}. "
        "Stop what listens there, or choose another address: --port N (0 lets the system choose), --host ADDRESS."
    )


def url_of(listener: socket.socket) -> str:
    """`http://127.0.0.1:8080`, of a socket that is bound."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
