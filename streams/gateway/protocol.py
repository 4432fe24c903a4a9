"""HTTP as the gateway's server speaks it: nobody holds a connection by sending slowly."""

import asyncio
import hashlib
import ssl
from typing import Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from streams.gateway.guard import CERTIFICATE

HEAD_S: Final = 10.0
"""How long the head of a request may take, from the connection or its first byte on."""
HEAD_BYTES_MAX: Final = 16 * 1024


class GatewayProtocol(H11Protocol):
    """One connection.

    The server's own ends what is idle between two requests only. This one also ends a connection on
    which a request's head does not come to its end, and puts the hash of the client's certificate, if
    it has shown one, into the state of each request.
    """

    head_s: float = HEAD_S
    _head_task: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As theirs.
        """Begin."""
        super().connection_made(transport)
        # Theirs would log paths with their parameters, which may hold anything, to any handler there is.
        self.access_log = False
        self.app_state = {**self.app_state, CERTIFICATE: _certificate_sha256(transport)}
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take in what comes."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_head()  # A part of a head: from its first byte on, whatever follows.
        else:
            self._head_has_come()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._head_has_come()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request, as theirs does."""
        self._head_has_come()
        super().on_response_complete()

    def _await_head(self) -> None:
        if self._head_task is None:
            self._head_task = self.loop.call_later(self.head_s, self.transport.close)

    def _head_has_come(self) -> None:
        if self._head_task is not None:
            self._head_task.cancel()
            self._head_task = None


def _certificate_sha256(transport: asyncio.Transport) -> str | None:
    connection = cast("Any", transport.get_extra_info("ssl_object"))
    if not isinstance(connection, ssl.SSLObject):
        return None
    certificate = connection.getpeercert(binary_form=True)
    return None if certificate is None else hashlib.sha256(certificate).hexdigest()
