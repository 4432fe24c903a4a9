"""Writes batches to `shipments` and says when Kafka has them: on all replicas in sync, in order, once.

Partitioned as `realname load` and Java producers do it, so that a waybill has one partition, whoever
sends its records. A batch that is sent again is written again; stages know its records by source and
id.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from threading import Event, Lock, Thread
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.kafka.errors import cluster_error
from streams.records.topics import SHIPMENT_BYTES_MAX

LOGGER: Final = logging.getLogger(__name__)

DELIVERY_S: Final = 10.0
"""How long Kafka may take to acknowledge a record before its batch is given up."""
ACKNOWLEDGED_S: Final = DELIVERY_S + 5.0
"""The same, seen from the request that waits: a margin, should the client not keep its word."""
QUEUED_RECORDS_MAX: Final = 200_000
QUEUED_KIB_MAX: Final = 128 * 1024
LINGER_MS: Final = 10
_POLL_S: Final = 0.1
_FLUSH_S: Final = 5.0


class NotAcknowledged(Exception):  # noqa: N818 (what has happened)
    """Kafka has not acknowledged a batch: some of it may be written. Sending it again is harmless.

    Attributes:
        reason: The error's name, of a small set: fit for a metric label.

    """

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.reason = reason


class _Batch:
    """What is not acknowledged yet of one batch. Made by one thread and told by another."""

    __slots__ = ("_error", "_future", "_left", "_lock", "_loop")

    def __init__(self, left: int, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[KafkaError | None] = loop.create_future()
        self._lock = Lock()
        self._left = left
        self._error: KafkaError | None = None

    def delivered(self, error: KafkaError | None, _: Message | None) -> None:
        self.failed(error, 1)

    def failed(self, error: KafkaError | None, count: int) -> None:
        with self._lock:
            self._left -= count
            self._error = self._error or error
            done = self._left == 0
        if done:
            self._loop.call_soon_threadsafe(self._finish)

    async def outcome(self) -> KafkaError | None:
        return await self._future

    def _finish(self) -> None:
        if not self._future.done():  # Nobody waits for it any more.
            self._future.set_result(self._error)


class Writer:
    """Writes to one topic. `write` is for one event loop; `start` and `stop` frame its life.

    Attributes:
        waiting: Batches that are not acknowledged yet.
        trouble: What the last batch failed of, for people; None once one has succeeded.

    """

    def __init__(self, client: Mapping[str, Any], topic: str) -> None:
        """Take the client's settings; nothing is connected yet."""
        self._topic = topic
        self._config = {
            **client,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": LINGER_MS,
            "batch.size": 500_000,
            "queue.buffering.max.messages": QUEUED_RECORDS_MAX,
            "queue.buffering.max.kbytes": QUEUED_KIB_MAX,
            "message.max.bytes": SHIPMENT_BYTES_MAX,
            "delivery.timeout.ms": int(DELIVERY_S * 1000),
            "allow.auto.create.topics": False,
        }
        self._producer = Producer(self._config)
        self._stopping = Event()
        self._thread = Thread(target=self._poll, name="writer", daemon=True)
        self.waiting = 0
        self.trouble: str | None = None

    def start(self) -> None:
        """Begin to take acknowledgements."""
        self._thread.start()

    def stop(self) -> None:
        """Wait a moment for what is under way, then end."""
        self._producer.flush(_FLUSH_S)
        self._stopping.set()
        self._thread.join(_FLUSH_S)

    @property
    def away(self) -> bool:
        """Whether Kafka failed last, and whether it is back is being found out with one batch."""
        return self.trouble is not None and self.waiting > 0

    async def write(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Return when Kafka has all of a batch.

        Raises:
            NotAcknowledged: It has not, after `DELIVERY_S`; or there was no room to queue it.
        """
        if not keys:
            return
        self.waiting += 1
        try:
            batch = _Batch(len(keys), asyncio.get_running_loop())
            self._produce(batch, keys, values)
            async with asyncio.timeout(ACKNOWLEDGED_S):
                error = await batch.outcome()
        except TimeoutError:
            error = KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001 (a public code)
        finally:
            self.waiting -= 1
        if error is None:
            self.trouble = None
            return
        if self.trouble is None:
            LOGGER.warning("%s", cluster_error(error, doing=f"writing to {self._topic}"))
        self.trouble = f"Kafka did not acknowledge ({error.name()})"
        if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001 (a public code)
            # An idempotent producer that has lost its place is of no more use.
            LOGGER.warning("beginning a new producer after %s", error.name())
            self._producer = Producer(self._config)
        raise NotAcknowledged(error.name())

    def _produce(self, batch: _Batch, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        produce, topic, delivered = self._producer.produce, self._topic, batch.delivered
        done = 0
        try:
            for key, value in zip(keys, values, strict=True):
                produce(topic, value, key, on_delivery=delivered)
                done += 1
        except BufferError:
            full = KafkaError(KafkaError._QUEUE_FULL)  # noqa: SLF001 (a public code)
            batch.failed(full, len(keys) - done)
        except KafkaException as raised:
            batch.failed(raised.args[0], len(keys) - done)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            # The name is looked up each time: a producer may be replaced.
            self._producer.poll(_POLL_S)
