"""Follows the `reference` topic for a stage.

A plain reader, not a Faust table: it takes the same client settings as everything else, reads
committed, needs no group and no topic of its own, and is read between batches, by the thread that
owns the stage, so that a batch never sees a version come in its middle.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from streams.kafka.errors import KafkaRefused, cluster_error
from streams.kafka.restore import Stopped
from streams.reference.codec import SnapshotError
from streams.reference.history import assemble
from streams.reference.types import ReferenceHistory

LOGGER: Final = logging.getLogger(__name__)

QUIET_S: Final = 10.0
POLL_EVERY_S: Final = 0.2
"""A new version takes effect minutes after it was written: there is time."""


class KafkaReferenceFeed:
    """Keeps a history as new as the topic. For one thread.

    Args:
        client: Settings of a Kafka client.
        topic: The topic, with prefix.
        history: What stages look at.

    """

    def __init__(
        self,
        client: Mapping[str, Any],
        *,
        topic: str,
        history: ReferenceHistory,
    ) -> None:
        self._client = client
        self._topic = topic
        self._history = history
        self._records: dict[bytes, bytes | None] = {}
        self._consumer: Consumer | None = None
        self._polled_s = 0.0

    @property
    def version(self) -> int:
        """The newest version known."""
        return self._history.latest.version

    def load(self, stopping: Callable[[], bool]) -> None:
        """Read the topic to its end, and wait for as long as that takes.

        Raises:
            ClusterError: The topic is missing, refused, or holds what cannot be read.
            Stopped: The worker is to stop.

        """
        self._consumer = Consumer(
            {
                **self._client,
                "group.id": f"{self._topic}.feed",  # Never joined and never committed to.
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
            }
        )
        self._consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
        heard_s = time.monotonic()
        while not self._take(self._consumer, 0.2):
            if stopping():
                raise Stopped
            if time.monotonic() - heard_s > QUIET_S:
                heard_s = time.monotonic()
                LOGGER.warning("waiting for %s", self._topic)

    def poll(self) -> None:
        """Take in what is new, without waiting.

        Raises:
            ClusterError: As `load`.

        """
        assert self._consumer is not None, "poll comes after load"
        now_s = time.monotonic()
        if now_s - self._polled_s >= POLL_EVERY_S:
            self._polled_s = now_s
            self._take(self._consumer, 0)

    def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            self._consumer.close()

    def _take(self, consumer: Consumer, timeout_s: float) -> bool:
        """Take in what comes; return whether the end has been seen."""
        changed = at_end = False
        for message in consumer.consume(100, timeout_s):
            error = message.error()
            if error is None:
                self._records[message.key() or b""] = message.value()
                changed = True
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (a public code)
                at_end = True
            else:
                found = cluster_error(error, doing=f"reading {self._topic}")
                if not found.retryable:
                    raise found
                LOGGER.warning("%s", found)
        if changed:
            try:
                self._history.become(assemble(self._records.items()))
            except SnapshotError as raised:
                raise KafkaRefused(f"{self._topic} cannot be read: {raised}") from raised
            LOGGER.info("reference data is now at version %d", self.version)
        return at_end
