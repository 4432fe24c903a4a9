"""What happens to every request: security headers, the check of the host, and its metrics."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.web.problems import ProblemError, answer

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

Answered = Callable[[str, int, float], None]


class Around:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, *, answered: Answered, loopback_only: bool) -> None:
        """Take the inner one.

        Args:
            app: The inner one.
            answered: Told of each answer: its route's pattern, status code, seconds until it began.
            loopback_only: Refuse requests for another host name than this machine's: a page
                elsewhere could otherwise point its own name here and read what is open.

        """
        self._app = app
        self._answered = answered
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = monotonic()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                route = getattr(scope.get("route"), "path", "other")
                self._answered(route, message["status"], monotonic() - began)
            await send(message)

        host = Headers(scope=scope).get("host", "")
        if self._loopback_only and _name_of(host) not in _LOOPBACK_NAMES:
            detail = "this server is for its own machine; ask for it as localhost"
            await answer(ProblemError(421, "Misdirected request", detail))(scope, receive, sending)
            return
        await self._app(scope, receive, sending)


def _name_of(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host
