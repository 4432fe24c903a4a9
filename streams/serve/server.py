"""Runs the web server over a followed view until it is told to stop."""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
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
from streams.web.server import Server, listening_socket, shown_address

LOGGER: Final = logging.getLogger(__name__)

_GRACE_S: Final = 3
"""How long answers may take to end. Boards end at once, and come back by themselves."""


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


def serve(config: ServeConfig, *, listening: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `listening` is told the address once there is one.

    Raises:
        OSError: The address cannot be listened on; nothing was started.
    """
    with closing(listening_socket(config.host, config.port)) as listener:
        view = View(shipped_areas())
        follower = Follower(config.client, config.topics, view)
        server = _server(config, view, follower)
        follower.start()
        try:
            listening(f"http://{shown_address(listener)}/")
            server.run(sockets=[listener])
        finally:
            follower.stop()


def _server(config: ServeConfig, view: View, follower: Follower) -> Server:
    metrics = ServeMetrics(view, follower, routine_target=config.routine_target)
    servers: list[Server] = []
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
        Server(
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
