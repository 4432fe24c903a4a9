"""Follows `alerts` and `alerts.acks`: to their ends, then on. A thread of its own; read committed, no group.

There is nothing to commit: the topics are compacted, so reading them whole is the state.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka.errors import AuthorizationFailed, ClusterError, TopicMissing, cluster_error
from streams.kafka.reading import end_offsets

LOGGER: Final = logging.getLogger(__name__)

BATCH_RECORDS: Final = 10_000
POLL_S: Final = 0.2
HEARD_EVERY_S: Final = 20.0
"""Between two questions whether Kafka is still there, when no record comes."""
ASK_S: Final = 5.0


Place = tuple[str, int]
"""A topic and a partition of it."""


class Written(NamedTuple):
    """A record of one of the topics.

    Attributes:
        topic: Which, with prefix.
        key: Its key.
        value: Its value, None for a tombstone.
        written_ms: When it was written, by the clock of whoever wrote it.

    """

    topic: str
    key: bytes
    value: bytes | None
    written_ms: int


@dataclass(frozen=True, slots=True)
class FeedEvents:
    """What a feed tells; called in its thread.

    Attributes:
        loaded: Once: the newest record of each key of each topic, as of the topics' ends.
        changed: What came then, in order per key; between topics in none.
        heard: Kafka is there.
        ended: The feed has ended, with the error if it was one.

    """

    loaded: Callable[[Sequence[Written]], object]
    changed: Callable[[Sequence[Written]], object]
    heard: Callable[[], object]
    ended: Callable[[Exception | None], object]


class AlertFeed(threading.Thread):
    """Reads until `stop`. Waits for a Kafka that is not there; ends at one that refuses.

    Args:
        client: Settings of a Kafka client.
        topic: `alerts`, with prefix.
        acks: `alerts.acks`, with prefix; where it is missing or forbidden, done without.
        events: Whom to tell.
        between: Called between two polls, in this thread.

    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        events: FeedEvents,
        *,
        acks: str,
        between: Callable[[], None],
    ) -> None:
        super().__init__(name="alert-feed", daemon=True)
        self._client: Final = dict(client)
        self._topic: Final = topic
        self._acks: Final = acks
        self._events: Final = events
        self._between: Final = between
        self._stopping: Final = threading.Event()
        self._latest: dict[tuple[str, bytes], Written] | None = {}
        self._missing: dict[Place, int] = {}  # The offsets to read to.
        self._heard_s = 0.0

    @property
    def stopping(self) -> bool:
        """Whether it has been told to stop."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Tell it to end; it does within seconds."""
        self._stopping.set()

    def run(self) -> None:
        """Read. Not to be called: `start` does."""
        raised: Exception | None = None
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 (whatever it is, the service must know)
            raised = error
        # A loop that has ended in the meantime needs no word.
        with suppress(RuntimeError):
            self._events.ended(raised)

    def _read(self) -> None:
        ends = self._ends()
        consumer = Consumer(
            {
                **self._client,
                "group.id": f"{self._topic}.notify",  # Never joined and never committed to.
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
            }
        )
        try:
            self._missing = {place: end for place, end in ends.items() if end > 0}
            consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in sorted(ends)])
            while not self.stopping:
                self._take(consumer.consume(BATCH_RECORDS, POLL_S))
                self._ask(consumer)
                self._between()
        finally:
            consumer.close()

    def _ends(self) -> Mapping[Place, int]:
        """Return where the topics end, waiting for a Kafka that is not there."""
        admin = AdminClient(self._client)
        while True:
            try:
                ends = _ends_of(admin, self._topic)
                with suppress(TopicMissing, AuthorizationFailed):
                    ends |= _ends_of(admin, self._acks)
                return ends
            except ClusterError as error:
                if not error.retryable or self.stopping:
                    raise
                LOGGER.warning("%s; waiting", error)

    def _take(self, messages: Sequence[Message]) -> None:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(_written(message))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (a public code)
                place = (message.topic() or "", message.partition() or 0)
                end = message.offset() or 0
                if end >= self._missing.get(place, end + 1):
                    del self._missing[place]
            else:
                found = cluster_error(error, doing=f"reading {self._topic}")
                if not found.retryable:
                    raise found
                LOGGER.warning("%s; the client goes on trying", found)
        if records:
            self._hear()
        if self._latest is None:
            if records:
                self._events.changed(records)
            return
        # Of a key only the last word counts: what was raised and has ended was never a page.
        self._latest.update(((record.topic, record.key), record) for record in records)
        if not self._missing:
            self._events.loaded(list(self._latest.values()))
            self._latest = None
            self._hear()

    def _ask(self, consumer: Consumer) -> None:
        """Ask whether Kafka is there, now and then: a quiet topic and a dead broker look the same."""
        if time.monotonic() - self._heard_s < HEARD_EVERY_S:
            return
        place = TopicPartition(self._topic, 0)
        # The error says nothing that the client does not log. It is asked again at the next turn.
        with suppress(Exception):
            consumer.get_watermark_offsets(place, timeout=ASK_S)
            self._hear()

    def _hear(self) -> None:
        self._heard_s = time.monotonic()
        self._events.heard()


def _ends_of(admin: AdminClient, topic: str) -> dict[Place, int]:
    return {(topic, partition): end for partition, end in end_offsets(admin, topic).items()}


def _written(message: Message) -> Written:
    topic, written_ms = message.topic() or "", message.timestamp()[1]
    return Written(topic, message.key() or b"", message.value(), written_ms)
