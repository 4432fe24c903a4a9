"""Server-sent events that keep boards up to date, and the summary that they and the API share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from threading import Lock
from time import monotonic
from typing import Final

import msgspec
import orjson

from streams.kafka.clock import now_ms
from streams.serve.access import Access
from streams.serve.summary import Summarist

STREAMS_MAX: Final = 200
"""Boards at one time. Each costs a look a second; a wall needs one."""

STALE_AFTER_MS: Final = 10 * 60_000
"""Figures older than this are shown as stale. The region's change at least every five minutes, when a
pane leaves the trailing 24 hours, even at night."""

LOOK_S: Final = 0.25
SUMMARY_S: Final = 1.0
"""Between two summaries for one board; figures change many times a second while a backlog is read."""
TIME_S: Final = 5.0
"""Between two signs of life. A board that hears nothing for three of them says so."""

_Key = tuple[str | None, str | None]


class Summaries:
    """Summaries as JSON, made once for all who may see the same. For any thread."""

    def __init__(self, summarist: Summarist) -> None:
        """Take who makes them."""
        self._summarist = summarist
        self._lock = Lock()
        self._made: dict[_Key, tuple[int, bytes]] = {}

    def body(self, access: Access) -> bytes:
        """Return the present summary for somebody."""
        key = access.city_code, access.enterprise_id
        with self._lock:
            # Read before it is made: what changes meanwhile is in the next one at the latest.
            revision = self._summarist.view.revision
            known = self._made.get(key)
            if known is None or known[0] != revision:
                known = revision, msgspec.json.encode(self._summarist.summary(access))
                self._made[key] = known
            return known[1]

    @property
    def revision(self) -> int:
        """Changes whenever a summary may."""
        return self._summarist.view.revision


class BoardStreams:
    """The boards that are connected. For one event loop."""

    def __init__(
        self, summaries: Summaries, *, ready: Callable[[], bool], stopping: Callable[[], bool]
    ) -> None:
        """Take what to send, whether it is complete yet, and whether the server is ending."""
        self._summaries = summaries
        self._ready = ready
        self._stopping = stopping
        self.count = 0
        """How many there are."""

    @property
    def full(self) -> bool:
        """Whether no more are taken."""
        return self.count >= STREAMS_MAX

    async def events(self, access: Access) -> AsyncIterator[bytes]:
        """Send `summary` whenever it has changed, and `time` every `TIME_S`, until it is cancelled."""
        self.count += 1
        try:
            sent, seen, looked, told, was_ready = b"", -1, 0.0, 0.0, False
            while not self._stopping():
                ready = self._ready()
                if monotonic() - told >= TIME_S or ready != was_ready:
                    told, was_ready = monotonic(), ready
                    yield self._time(ready=ready)
                changed = ready and self._summaries.revision != seen
                if changed and monotonic() - looked >= SUMMARY_S:
                    looked, seen = monotonic(), self._summaries.revision
                    body = await asyncio.to_thread(self._summaries.body, access)
                    if body != sent:
                        sent = body
                        yield b"event: summary\ndata: %b\n\n" % body
                await asyncio.sleep(LOOK_S)
        finally:
            self.count -= 1

    def _time(self, *, ready: bool) -> bytes:
        told = {"now_ms": now_ms(), "ready": ready, "stale_after_ms": STALE_AFTER_MS}
        return b"event: time\nretry: 2000\ndata: %b\n\n" % orjson.dumps(told)
