"""What is around the workers: a TCP proxy between each place and the broker, and an Alertmanager."""

import asyncio
import socket
import struct
import threading
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Final

from bench.chaos.plan import Line
from streams.kafka.broker import free_port
from streams.kafka.embedded_config import HOST
from tests.notify.fake_alertmanager import FakeAlertmanager, serving

READ_BYTES: Final = 256 * 1024
RESET: Final = struct.pack("ii", 1, 0)
"""What makes the kernel send RST instead of FIN."""


class Proxy:
    """Passes connections on to a port of this machine. For one event loop.

    Attributes:
        port: Where it listens.
        upstream: The port that it passes on to.

    """

    def __init__(self) -> None:
        self.port = 0
        self.upstream = free_port()
        self._line: Line = "open"
        self._flows = asyncio.Event()
        self._flows.set()
        self._links: set[_Link] = set()

    async def serve(self, stack: AsyncExitStack) -> None:
        """Listen until the stack is closed."""
        server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        stack.callback(self.set, "reset")
        stack.callback(server.close)

    def set(self, line: Line) -> None:
        """Make the network like this from now on."""
        self._line = line
        if line == "hold":
            self._flows.clear()
        else:
            self._flows.set()
        for link in list(self._links):
            if line == "reset":
                link.reset()
            elif line == "swallow":
                link.swallows = True

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        with suppress(OSError):
            if self._line == "swallow":
                await _swallow(reader)
            elif self._line != "reset":
                await self._pass_on(reader, link)
        link.reset()
        self._links.discard(link)

    async def _pass_on(self, reader: asyncio.StreamReader, link: "_Link") -> None:
        await self._flows.wait()
        answers, link.upstream = await asyncio.open_connection(HOST, self.upstream)
        ends = (
            asyncio.ensure_future(self._pump(reader, link.upstream, link)),
            asyncio.ensure_future(self._pump(answers, link.client, link)),
        )
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if link.swallows:
            await asyncio.wait(ends)  # One end has gone, and the other does not hear of it.
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: "_Link"
    ) -> None:
        while True:
            data = await reader.read(READ_BYTES)
            await self._flows.wait()
            if not data:
                return
            if not link.swallows:
                writer.write(data)
                await writer.drain()


async def _swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(READ_BYTES):
        pass


class _Link:
    """A connection of a client, and the one that it is passed on by."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.upstream: asyncio.StreamWriter | None = None
        self.swallows = False

    def reset(self) -> None:
        for writer in (self.client, self.upstream):
            if writer is not None and not writer.is_closing():
                end: socket.socket = writer.get_extra_info("socket")
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()


class Network:
    """The proxies of places, and an Alertmanager that `notify` tells; in a thread of its own.

    Attributes:
        alertmanager: Takes everything, and remembers it.

    """

    def __init__(self, places: Collection[str]) -> None:
        self.alertmanager = FakeAlertmanager()
        self._loop = asyncio.new_event_loop()
        self._proxies: dict[str, Proxy] = {}
        self._stack = AsyncExitStack()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(places), self._loop).result()

    @property
    def ports(self) -> Mapping[int, int]:
        """By the proxies' ports those that the broker must listen on."""
        return {proxy.port: proxy.upstream for proxy in self._proxies.values()}

    def bootstrap(self, place: str) -> str:
        """Return where a place's worker finds the broker."""
        return f"{HOST}:{self._proxies[place].port}"

    def set(self, place: str, line: Line) -> None:
        """Make a place's network like this from now on."""
        self._loop.call_soon_threadsafe(self._proxies[place].set, line)

    def close(self) -> None:
        """Reset all connections, and listen no more."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        await self._stack.aclose()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self, places: Collection[str]) -> None:
        await self._stack.enter_async_context(serving(self.alertmanager))
        for place in places:
            self._proxies[place] = Proxy()
            await self._proxies[place].serve(self._stack)
