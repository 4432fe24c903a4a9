"""Runs the web server over a followed view until it is told to stop."""

import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import uvicorn

from streams.reference.areas import shipped_areas
from streams.serve.access import Tokens
from streams.serve.api import Service, build_app
from streams.serve.follower import Follower
from streams.serve.metrics import ServeMetrics
from streams.serve.stream import Summaries
from streams.serve.summary import Summarist
from streams.serve.view import View

LOGGER: Final = logging.getLogger(__name__)

_GRACE_S: Final = 3
"""How long answers may take to end. Boards end at once, and come back by themselves."""
_BACKLOG: Final = 128


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """How to serve.

    Attributes:
        client: Settings of a Kafka client.
        topics: Full names of the followed topics, by short name.
        host: Where to listen.
        port: The same; 0 picks a free one.
        tokens: Who may see what; None lets everybody see everything.
        loopback_only: Answer only to this machine's own names.
        routine_target: The policy's target outside event periods.

    """

    client: Mapping[str, Any]
    topics: Mapping[str, str]
    host: str
    port: int
    tokens: Tokens | None
    loopback_only: bool
    routine_target: float


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(config: ServeConfig, *, listening: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `listening` is told the address once there is one.

    Raises:
        OSError: The address cannot be listened on; nothing was started.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.create_server(
        (config.host, config.port), family=family, backlog=_BACKLOG, reuse_port=False
    )
    with closing(listener):
        view = View(shipped_areas())
        follower = Follower(config.client, config.topics, view)
        server = _server(config, view, follower)
        follower.start()
        try:
            shown = f"[{config.host}]" if ":" in config.host else config.host
            listening(f"http://{shown}:{listener.getsockname()[1]}/")
            server.run(sockets=[listener])
        finally:
            follower.stop()


class _Server(uvicorn.Server):
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


def _server(config: ServeConfig, view: View, follower: Follower) -> _Server:
    metrics = ServeMetrics(view, follower, routine_target=config.routine_target)
    servers: list[_Server] = []
    service = Service(
        view=view,
        feed=follower,
        summaries=Summaries(Summarist(view, config.routine_target)),
        observer=metrics,
        tokens=config.tokens,
        # Streams never end by themselves, and the server waits for answers to end.
        stopping=lambda: servers[0].should_exit,
    )
    servers.append(
        _Server(
            uvicorn.Config(
                build_app(service, loopback_only=config.loopback_only),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
    )
    return servers[0]
