"""RecordChannel: batches of Kafka records as the events of a Faust channel.

A thread polls Kafka, waits until the agent takes what came, and applies it before it polls again, so a
rebalance, which happens inside a poll, never meets a half-applied batch. Nothing is acknowledged
through Faust: offsets are committed by whoever drives the poll, together with what they led to.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from faust import App
from faust.types import ChannelT
from mode import Service

from streams.kafka.restore import Stopped

LOGGER: Final = logging.getLogger(__name__)

CLOSE_TIMEOUT_S: Final = 9.0
"""A worker is to leave within ten seconds. Whoever has not by then is left behind: what it has not
committed comes again."""

SUBSCRIBE_S: Final = 0.01

Batch = TypeVar("Batch")


class Abandoned(Exception):  # noqa: N818 (it states what has happened)
    """A batch was handed over and nobody has taken it: the process is ending."""


class Driver(Protocol[Batch]):
    """Who polls, applies and commits. Its methods but `stop` run in one thread."""

    def start(self) -> None:
        """Get ready; may block."""
        ...

    def step(self, hand_over: Callable[[Batch], None]) -> None:
        """Poll once, have what came handed over and applied, and do what is due."""
        ...

    def apply(self, batch: Batch) -> None:
        """Apply what was handed over."""
        ...

    def stop(self) -> None:
        """Ask what blocks to end."""
        ...

    def close(self, *, commit: bool) -> None:
        """Leave; commit first what has been applied, or leave it to come again."""
        ...


class Delivery:
    """A batch that waits for its agent: once taken, the thread that has polled it applies it.

    Not the event loop's thread: what one core has read another would have to read again, a fifteenth
    of the whole cost of a record (measured), and probes would wait for the batch.
    """

    def __init__(self) -> None:
        self._taken = threading.Event()

    def take(self) -> None:
        """Let the batch be applied. The next one is not delivered before it has been."""
        self._taken.set()

    def wait(self, abandoned: Callable[[], bool]) -> None:
        """Wait until it has been taken; raise Abandoned if nobody will."""
        while not self._taken.wait(1.0):
            if abandoned():
                raise Abandoned


class RecordChannel(Service, Generic[Batch]):
    """Feeds a Faust channel from a driver's polls.

    Args:
        app: The Faust app.
        name: The stage's name, for logs and threads.
        driver: Who polls and commits.
        on_end: Called in the event loop when the driver has ended: with what it raised, or None
            after a stop.

    Attributes:
        deliveries: The channel; its events are `Delivery` objects, each to be taken once.

    """

    def __init__(
        self,
        app: App,
        name: str,
        driver: Driver[Batch],
        *,
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        super().__init__()
        self.deliveries: ChannelT[Any] = app.channel(maxsize=1)
        self._name = name
        self._driver = driver
        self._on_end = on_end
        self._stop_asked = threading.Event()
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"poll-{name}", daemon=True)

    async def on_start(self) -> None:
        """Start polling."""
        self._events = asyncio.get_running_loop()
        self._thread.start()

    async def on_stop(self) -> None:
        """Flush, commit and leave; the agent must still be running. Returns within ten seconds."""
        self._stop_asked.set()
        self._driver.stop()
        await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            self._abandoned = True
            LOGGER.error(
                "%s: left without committing the last records; they come again", self._name
            )

    def _run(self) -> None:
        raised: BaseException | None = None
        try:
            self._driver.start()
            while not self._stop_asked.is_set():
                self._driver.step(self._hand_over)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 (the worker reports it and ends)
            raised = error
        try:
            # After an error a batch may be half applied: it must not be committed.
            self._driver.close(commit=raised is None)
        except BaseException as error:  # noqa: BLE001 (the same)
            raised = raised or error
        if not self._events.is_closed():
            self._events.call_soon_threadsafe(self._on_end, raised)

    def _hand_over(self, batch: Batch) -> None:
        delivery = Delivery()
        asyncio.run_coroutine_threadsafe(self._put(delivery), self._events)
        delivery.wait(lambda: self._abandoned)
        self._driver.apply(batch)

    async def _put(self, delivery: Delivery) -> None:
        # What is put before the agent's stream has subscribed would go nowhere.
        while not self.deliveries.subscriber_count:  # noqa: ASYNC110 (Faust has no event for it)
            await asyncio.sleep(SUBSCRIBE_S)
        await self.deliveries.put(cast("Any", delivery))  # Streams take values that are no events.
