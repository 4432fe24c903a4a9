"""The reference data that a gateway checks by, followed in a thread of their own."""

import logging
from collections.abc import Callable, Mapping
from threading import Event, Thread
from time import monotonic
from typing import Any, Final

from streams.kafka.errors import ClusterError
from streams.kafka.reference_feed import KafkaReferenceFeed
from streams.kafka.restore import Stopped
from streams.reference.types import Reference, ReferenceHistory

LOGGER: Final = logging.getLogger(__name__)

ALIVE_S: Final = 60.0
"""A thread that has not come round for so long hangs."""
_POLL_S: Final = 0.5
_RETRY_S: Final = 2.0


class ReferenceThread:
    """Keeps the reference data new until it is stopped; a cluster that is away is tried for ever.

    Attributes:
        ready: Whether they have been read to their end once.
        trouble: What keeps it from reading, for people; None while nothing does.

    """

    def __init__(self, client: Mapping[str, Any], topic: str) -> None:
        """Take the client's settings and the topic's full name."""
        self._client = client
        self._topic = topic
        self._history = ReferenceHistory()
        self._stopping = Event()
        self._came_round = monotonic()
        self._thread = Thread(target=self._run, name="reference", daemon=True)
        self.ready = False
        self.trouble: str | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread makes progress, if only in trying again."""
        return self._thread.is_alive() and monotonic() - self._came_round < ALIVE_S

    def at(self, now_ms: Callable[[], int] | None) -> Callable[[], Reference]:
        """Return what gives the version in effect now; without a clock, the newest."""
        if now_ms is None:
            return lambda: self._history.latest
        return lambda: self._history.at(now_ms())

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop following; returns when the thread has ended, or after `timeout_s`."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except ClusterError as error:
                if self.trouble is None:
                    LOGGER.warning("%s; trying again", error)
                self.trouble = str(error)
            self._came_round = monotonic()
            self._stopping.wait(_RETRY_S)

    def _follow(self) -> None:
        feed = KafkaReferenceFeed(self._client, topic=self._topic, history=self._history)
        try:
            feed.load(self._comes_round)
            self.ready, self.trouble = True, None
            while not self._comes_round():
                feed.poll()
                self._stopping.wait(_POLL_S)
        except Stopped:
            return
        finally:
            feed.close()

    def _comes_round(self) -> bool:
        self._came_round = monotonic()
        return self._stopping.is_set()
