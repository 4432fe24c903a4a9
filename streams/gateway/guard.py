"""Around every request: what one parser of HTTP takes for two requests and another for one is refused.

A proxy in front and this server must agree on where a request ends, or what the one lets pass as a
body is a request to the other. So whatever two parsers may measure differently is refused, and that ends
the connection: nothing behind it is ever parsed.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.web.problems import ProblemError, answer

LOGGER: Final = logging.getLogger(__name__)

REQUEST_S: Final = 60.0
"""How long a request may take in all, its answer included: longer than all that it waits for."""
CERTIFICATE: Final = "certificate_sha256"
"""In a request's state: the hash of the certificate that its client has shown, None for none."""

DRAINED_BYTES_MAX: Final = 8 * 1024 * 1024
"""How much of a body is read, for nothing, before a refusal ends the connection: whoever is still sending
would be cut off, and never see the answer."""
DRAINED_S: Final = 2.0

_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

Answered = Callable[[str, int, float], None]


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, *, answered: Answered) -> None:
        """Take the inner one; `answered` is told each answer's route, status code and seconds."""
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = monotonic()
        begun = False
        body = _Body(scope, receive)

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if not body.at_end and headers.get("Connection") != "close":
                    await body.drain()
                if not body.at_end:
                    headers["Connection"] = "close"
                route = getattr(scope.get("route"), "path", "other")
                self._answered(route, message["status"], monotonic() - began)
            await send(message)

        mistake = _ambiguous(scope)
        if mistake is not None:
            problem = ProblemError(400, "Bad request", mistake, {"Connection": "close"})
            await answer(problem)(scope, body.receive, sending)
            return
        try:
            async with asyncio.timeout(REQUEST_S):
                await self._app(scope, body.receive, sending)
        except TimeoutError:
            LOGGER.warning("a request took more than %.0f seconds, so it was ended", REQUEST_S)
            if begun:
                raise  # A client that does not read: the server ends the connection.
            problem = ProblemError(503, "Service unavailable", "it took too long; send again later")
            await answer(problem)(scope, body.receive, sending)


class _Body:
    """A request's body on its way."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.at_end = not _has_body(scope)

    async def receive(self) -> Message:
        message = await self._receive()
        self.at_end = self.at_end or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read on to the end, but not for long."""
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAINED_S):
                while not self.at_end and size <= DRAINED_BYTES_MAX:
                    size += len((await self.receive()).get("body", b""))


def _ambiguous(scope: Scope) -> str | None:
    """Return what another parser may take for another request; None for nothing."""
    if scope["http_version"] not in ("1.0", "1.1"):
        return "HTTP 1.1 is spoken here"
    names = [name for name, _ in scope["headers"]]
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            return "a request has Content-Length or Transfer-Encoding, not both"
        if scope["http_version"] != "1.1":
            return "Transfer-Encoding is of HTTP 1.1"
    for single in (b"content-length", b"transfer-encoding", b"host", b"content-type"):
        if names.count(single) > 1:
            return f"{single.decode()} stands there twice"
    return None


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
