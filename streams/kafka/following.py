"""A thread that follows topics for a server, and goes on trying while their cluster is away."""

import logging
from threading import Event, Thread
from time import monotonic
from typing import Final

from streams.kafka.errors import ClusterError

LOGGER: Final = logging.getLogger(__name__)

ALIVE_S: Final = 60.0
"""A thread that has not come round for so long hangs."""
_RETRY_S: Final = 2.0


class FollowingThread:
    """Follows until it is stopped; subclasses say how, in `_follow`. Implements `web.following.Following`.

    Attributes:
        ready: Whether everything that was there at the start has been read.
        trouble: What keeps it from reading, for people; None while nothing does.

    """

    def __init__(self, name: str) -> None:
        """Take the thread's name."""
        self._stopping: Final = Event()
        self._came_round = monotonic()
        self._thread: Final = Thread(target=self._run, name=name, daemon=True)
        self.ready = False
        self.trouble: str | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread makes progress, if only in trying again."""
        return self._thread.is_alive() and monotonic() - self._came_round < ALIVE_S

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop following; returns when the thread has ended, or after `timeout_s`."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _follow(self) -> None:
        """Follow until `_comes_round`, to be asked again and again, says that it is over.

        Raises ClusterError when the cluster is away; it is called again then, and whenever it returns
        before its time.
        """
        raise NotImplementedError

    def _comes_round(self) -> bool:
        """Say that the thread makes progress; return whether it is to stop."""
        self._came_round = monotonic()
        return self._stopping.is_set()

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
