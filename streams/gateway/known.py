"""The reference data that a gateway checks by, followed in a thread of their own."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from streams.kafka.following import FollowingThread
from streams.kafka.reference_feed import KafkaReferenceFeed
from streams.kafka.restore import Stopped
from streams.reference.types import Reference, ReferenceHistory

_POLL_S: Final = 0.5


class ReferenceThread(FollowingThread):
    """Keeps the reference data new until it is stopped; a cluster that is away is tried for ever."""

    def __init__(self, client: Mapping[str, Any], topic: str) -> None:
        """Take the client's settings and the topic's full name."""
        super().__init__("reference")
        self._client = client
        self._topic = topic
        self._history = ReferenceHistory()

    def at(self, now_ms: Callable[[], int] | None) -> Callable[[], Reference]:
        """Return what gives the version in effect now; without a clock, the newest."""
        if now_ms is None:
            return lambda: self._history.latest
        return lambda: self._history.at(now_ms())

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
