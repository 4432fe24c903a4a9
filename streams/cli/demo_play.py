"""The demo's couriers: a thread that plays a scenario into `shipments`."""

from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import Final

from streams.cli.pace import Beat, DueS, paced, with_beats
from streams.cli.simulate import put
from streams.kafka.loading import Loader
from streams.simulate.feed import Feed

LAG_MAX: Final = 8_000
"""Records that may wait, two seconds of a busy hour: with more, the screen would tell of the past."""

_HOLD_S: Final = 0.1


class Player(Thread):
    """Sends the records of a feed when they are due, then says that it is done.

    Attributes:
        sent: Records sent so far.
        now_ms: How far the play is, in data time.
        done: Everything is acknowledged.
        error: What ended it instead.

    """

    def __init__(
        self, loader: Loader, feed: Feed, due_s: DueS, *, lag: Callable[[], int] = lambda: 0
    ) -> None:
        """Nothing is sent yet. While `lag` says that many records wait, time stands still."""
        super().__init__(name="demo-player", daemon=True)
        self._loader: Final = loader
        self._feed: Final = feed
        self._due_s: Final = due_s
        self._lag: Final = lag
        self._held_s = 0.0
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
            for item in paced(items, lambda at_ms: self._due_s(at_ms) + self._held_s):
                if isinstance(item, Beat):
                    self._hold()
                if self._stopping.is_set():
                    break
                put(self._loader, item)
                self.now_ms = max(self.now_ms, item.received_at_ms)
            self._loader.finish()
            self.done = True
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits for the thread
            self.error = error

    def _hold(self) -> None:
        """Wait until the worker has caught up, on a machine that is too slow for the speed."""
        since_s = monotonic()
        while self._lag() > LAG_MAX and not self._stopping.wait(_HOLD_S):
            pass
        self._held_s += monotonic() - since_s

    def stop(self) -> None:
        """End the play early, and wait for the thread."""
        self._stopping.set()
        if self.is_alive():
            self.join()
