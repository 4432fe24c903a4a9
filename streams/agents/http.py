"""The worker's HTTP server: `/live`, `/ready`, `/metrics`. It answers while states are restored."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from aiohttp import web

from streams.metrics import Metrics

LOGGER: Final = logging.getLogger(__name__)

METRICS_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Health(Protocol):
    """What is known of something that runs."""

    @property
    def alive(self) -> bool:
        """Whether it makes progress, or is getting there."""
        ...

    @property
    def ready(self) -> bool:
        """Whether it does what it is for."""
        ...


class HealthServer:
    """Serves what is known of the runners of this process, or of others that run.

    `/live` is 200 while every stage makes progress or is restoring, else 503: restart the worker.
    `/ready` is 200 once every assigned partition is restored, else 503. Both name the stages.
    """

    def __init__(self, telemetries: Mapping[str, Health], metrics: Metrics) -> None:
        self._telemetries = telemetries
        self._metrics = metrics
        app = web.Application()
        app.add_routes(
            [
                web.get("/live", self._live),
                web.get("/ready", self._ready),
                web.get("/metrics", self._expose),
            ]
        )
        self._server = web.AppRunner(app, access_log=None)

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: The port is taken, or the host is not ours.

        """
        await self._server.setup()
        await web.TCPSite(self._server, host, port).start()
        LOGGER.info("http on %s", ", ".join(map(_address, self._server.addresses)))

    @property
    def ports(self) -> Sequence[int]:
        """The ports that it listens on."""
        return [int(address[1]) for address in self._server.addresses]

    async def stop(self) -> None:
        """Stop listening."""
        await self._server.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        return _answer({name: t.alive for name, t in self._telemetries.items()})

    async def _ready(self, _request: web.Request) -> web.Response:
        return _answer({name: t.ready for name, t in self._telemetries.items()})

    async def _expose(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.expose(), headers={"Content-Type": METRICS_CONTENT_TYPE}
        )


def _answer(states: Mapping[str, bool]) -> web.Response:
    status = 200 if all(states.values()) else 503
    return web.Response(
        status=status, text=json.dumps({"stages": states}), content_type="application/json"
    )


def _address(address: Sequence[object]) -> str:
    return f"{address[0]}:{address[1]}"
