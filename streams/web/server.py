"""What every web server of ours has in common: where it listens, and how it ends."""

import ipaddress
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

BACKLOG: Final = 128
_PORT_MAX: Final = 65_535


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parsed_address(text: str) -> tuple[str, int] | None:
    """Return host and port of `HOST:PORT`, with the brackets of an IPv6 host taken off; None if none."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > _PORT_MAX:
        return None
    return host, int(port)


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 picks a free one.

    Raises:
        OSError: The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=False)


def shown_address(listener: socket.socket) -> str:
    """Return where a socket listens, as it stands in an address."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Server(uvicorn.Server):
    """Ends in good order on SIGINT and SIGTERM, and lets its caller go on."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take both signals; theirs raises them again at the end, which kills the process."""
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
