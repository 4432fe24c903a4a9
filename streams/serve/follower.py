"""The thread that follows the published topics into a view, read committed, from their beginning.

It belongs to no consumer group and commits nothing, so that any number of replicas sees everything.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import closing
from threading import Event, Thread
from time import monotonic
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka.errors import ClusterError, TopicMissing, cluster_error
from streams.kafka.reading import end_offsets, partitions_of
from streams.records.topics import ALERTS_ACKS
from streams.serve.rows import Incoming
from streams.serve.view import FOLLOWED, View

LOGGER: Final = logging.getLogger(__name__)

ALIVE_S: Final = 60.0
"""A thread that has not come round for so long hangs."""

_BATCH_RECORDS: Final = 1_000
_POLL_S: Final = 0.2
_RETRY_S: Final = 2.0
_LOOK_S: Final = 30.0
"""How often new topics and partitions are looked for."""

_BEGIN_ANEW: Final = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001 (librdkafka's own codes are public by that name)
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.OFFSET_OUT_OF_RANGE,
    }
)
"""What a topic that was deleted, or made anew, looks like to who follows it."""

Place = tuple[str, int]


class _MadeAnewError(Exception):
    """A followed topic is not the one that it was."""


class Follower:
    """Keeps a view at the end of its topics until it is stopped.

    A cluster that cannot be reached is tried for ever, and the view keeps what it has. A topic that was
    deleted and made again empties the view and is read from its beginning.
    """

    def __init__(self, client: Mapping[str, Any], names: Mapping[str, str], view: View) -> None:
        """Take the client's settings and the topics' full names by their short ones."""
        self._client = dict(client)
        self._names = names
        self._short = {names[short]: short for short in (*FOLLOWED, ALERTS_ACKS)}
        self._view = view
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="follower", daemon=True)
        self._positions: dict[Place, int] = {}
        self._goals: dict[Place, int] = {}
        self._ends: dict[Place, int] = {}
        self._came_round = monotonic()
        self.ready = False
        """Whether everything that was there at the start has been read. It stays so."""
        self.trouble: str | None = None
        """What keeps it from reading, for people; None while nothing does."""
        self.records: dict[str, int] = dict.fromkeys((*FOLLOWED, ALERTS_ACKS), 0)
        """Records read so far, by topic."""

    @property
    def alive(self) -> bool:
        """Whether the thread makes progress, if only in trying again."""
        return self._thread.is_alive() and monotonic() - self._came_round < ALIVE_S

    @property
    def lag(self) -> Mapping[str, int]:
        """Records and marks behind the position, by topic, as of the last fetch."""
        lag = dict.fromkeys(self.records, 0)
        for place, end in list(self._ends.items()):
            lag[self._short[place[0]]] += max(end - self._positions.get(place, 0), 0)
        return lag

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
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
            except _MadeAnewError:
                LOGGER.warning("a topic was deleted or made again; reading all anew")
                self._view.clear()
            self._came_round = monotonic()
            self._stopping.wait(_RETRY_S)

    def _follow(self) -> None:
        admin = AdminClient(dict(self._client))
        self._positions.clear()
        self._goals.clear()
        self._ends.clear()
        with closing(self._consumer()) as consumer:
            self._take_on(admin, consumer)
            looked = monotonic()
            while not self._stopping.is_set():
                self._came_round = monotonic()
                if monotonic() - looked > _LOOK_S:
                    self._take_on(admin, consumer)
                    self._ends |= _cached_ends(consumer, self._positions)
                    looked = monotonic()
                self._take_in(consumer.consume(_BATCH_RECORDS, _POLL_S))
                if not self.ready and self._reached():
                    self.ready = True
                    LOGGER.info("read to the end: %s", self.records)

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **self._client,
                "group.id": "realname-serve",  # Required by the client, and never joined.
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 100,
            }
        )

    def _take_on(self, admin: AdminClient, consumer: Consumer) -> None:
        """Follow partitions that are not followed yet, to their present ends at least."""
        added = []
        for short in (*FOLLOWED, ALERTS_ACKS):
            topic = self._names[short]
            try:
                partitions = partitions_of(admin, topic)
            except TopicMissing:
                if short == ALERTS_ACKS:
                    continue
                raise
            new = [p for p in partitions if (topic, p) not in self._positions]
            if not new:
                continue
            ends = end_offsets(admin, topic)
            for partition in new:
                self._positions[topic, partition] = 0
                self._goals[topic, partition] = ends.get(partition, 0)
                added.append(TopicPartition(topic, partition, OFFSET_BEGINNING))
        if added:
            consumer.incremental_assign(added)
        self.trouble = None

    def _reached(self) -> bool:
        return all(self._positions[place] >= goal for place, goal in self._goals.items())

    def _take_in(self, messages: Iterable[Message]) -> None:
        records = []
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                self._suffer(error)
                continue
            assert topic is not None
            assert partition is not None
            assert offset is not None
            self._positions[topic, partition] = offset if error else offset + 1
            if error is None:
                short = self._short[topic]
                self.records[short] += 1
                records.append(
                    Incoming(
                        short,
                        _bytes(message.key()) or b"",
                        _bytes(message.value()),
                        message.timestamp()[1],
                    )
                )
        if records:
            self.trouble = None
            self._view.apply(records)

    def _suffer(self, error: KafkaError) -> None:
        """Take an error of the client: note what passes by itself, raise what does not."""
        if error.code() in _BEGIN_ANEW:
            raise _MadeAnewError
        found = cluster_error(error, doing="following the topics")
        if error.fatal() or not found.retryable:
            raise found
        self.trouble = str(found)


def _cached_ends(consumer: Consumer, places: Iterable[Place]) -> Mapping[Place, int]:
    ends = {}
    for topic, partition in places:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
        ends[topic, partition] = end
    return ends


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
