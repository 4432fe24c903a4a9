"""The demo's couriers: a thread that plays a scenario into `shipments`."""

from collections.abc import Mapping
from threading import Event, Thread
from typing import Any, Final

from streams.cli.pace import DueS, paced, with_beats
from streams.cli.simulate import put
from streams.kafka.loading import Loader
from streams.simulate.feed import Feed


class Player(Thread):
    """Sends the records of a feed when they are due, then says that it is done.

    Attributes:
        sent: Records sent so far.
        now_ms: How far the play is, in data time.
        done: Everything is acknowledged.
        error: What ended it instead.

    """

    def __init__(
        self, client: Mapping[str, Any], topic: str, feed: Feed, due_s: DueS | None
    ) -> None:
        """Connect; raises ClusterError. Nothing is sent yet."""
        super().__init__(name="demo-player", daemon=True)
        self._loader: Final = Loader(client, topic)
        self._feed: Final = feed
        self._due_s: Final = due_s
        self._stopping: Final = Event()
        self.now_ms = feed.start_ms
        self.done = False
        self.error: Exception | None = None

    @property
    def sent(self) -> int:
        """Records sent so far, heartbeats not counted."""
        return self._loader.sent

    @property
    def heartbeats(self) -> int:
        """Heartbeats sent so far."""
        return self._loader.heartbeats

    def run(self) -> None:
        """Play, until the end or `stop`."""
        feed = self._feed
        items = with_beats(feed.records(), start_ms=feed.start_ms, end_ms=feed.end_ms)
        try:
            for item in paced(items, self._due_s):
                if self._stopping.is_set():
                    break
                put(self._loader, item)
                self.now_ms = max(self.now_ms, item.received_at_ms)
            self._loader.finish()
            self.done = True
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits for the thread
            self.error = error

    def stop(self) -> None:
        """End the play early, and wait for the thread."""
        self._stopping.set()
        if self.is_alive():
            self.join()
