"""The thread that follows the published topics into a view, read committed, from their beginning.

It belongs to no consumer group and commits nothing, so that any number of replicas sees everything.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import closing
from time import monotonic
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Documented, not re-exported.
    AdminClient,
    TopicDescription,
)

from streams.kafka.errors import TopicMissing, cluster_error
from streams.kafka.following import FollowingThread
from streams.kafka.reading import end_offsets
from streams.records.topics import ALERTS_ACKS, RATES
from streams.serve.rows import Incoming
from streams.serve.view import FOLLOWED, View

LOGGER: Final = logging.getLogger(__name__)

_BATCH_RECORDS: Final = 1_000
_POLL_S: Final = 0.2
_LOOK_S: Final = 10.0
"""How often it is looked whether the topics are still the same, and for new ones and partitions."""
_ANSWER_S: Final = 5.0

_ELSEWHERE: Final = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001 (librdkafka's own codes are public by that name)
        KafkaError.OFFSET_OUT_OF_RANGE,
    }
)
"""Where we were there is nothing: records were deleted, or the topic is another one."""

Place = tuple[str, int]


class _BeginAnewError(Exception):
    """What has been read is not what the topics hold."""


class Follower(FollowingThread):
    """Keeps a view at the end of its topics until it is stopped.

    A cluster that cannot be reached is tried for ever, and the view keeps what it has. A topic that was
    deleted and made again empties the view and is read from its beginning.
    """

    def __init__(self, client: Mapping[str, Any], names: Mapping[str, str], view: View) -> None:
        """Take the client's settings and the topics' full names by their short ones."""
        super().__init__("follower")
        self._client = dict(client)
        self._names = names
        self._short = {names[short]: short for short in (*FOLLOWED, ALERTS_ACKS)}
        self._view = view
        # Kept from one consumer to the next, so that after an outage nothing old is shown again.
        self._topic_ids: dict[str, str] = {}
        self._positions: dict[Place, int] = {}
        self._goals: dict[Place, int] = {}
        self._ends: dict[Place, int] = {}
        self.records: dict[str, int] = dict.fromkeys((*FOLLOWED, ALERTS_ACKS), 0)
        """Records read so far, by topic."""

    @property
    def lag(self) -> Mapping[str, int]:
        """Records and marks behind the position, by topic, as of the last fetch."""
        lag = dict.fromkeys(self.records, 0)
        for place, end in list(self._ends.items()):
            lag[self._short[place[0]]] += max(end - self._positions.get(place, 0), 0)
        return lag

    def _follow(self) -> None:
        try:
            self._read_on()
        except _BeginAnewError:
            LOGGER.warning("the topics are not those that were read; reading all anew")
            self._forget()

    def _forget(self) -> None:
        self.ready = False
        for known in (self._topic_ids, self._positions, self._goals, self._ends):
            known.clear()
        self._view.clear()

    def _read_on(self) -> None:
        admin = AdminClient(dict(self._client))
        assigned: set[Place] = set()
        with closing(self._consumer()) as consumer:
            looked = -_LOOK_S
            while not self._comes_round():
                if monotonic() - looked > _LOOK_S:
                    self._take_on(admin, consumer, assigned)
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
                # Required by the client, and never joined.
                "group.id": f"{self._names[RATES]}.serve",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 100,
            }
        )

    def _take_on(self, admin: AdminClient, consumer: Consumer, assigned: set[Place]) -> None:
        """Assign what is not assigned yet: from where we were, or a new partition's beginning."""
        places = []
        for short in (*FOLLOWED, ALERTS_ACKS):
            topic = self._names[short]
            try:
                found = _described(admin, topic)
            except TopicMissing:
                if short == ALERTS_ACKS:  # A cluster from before there were any.
                    continue
                raise
            topic_id = str(found.topic_id)
            if self._topic_ids.setdefault(topic, topic_id) != topic_id:
                raise _BeginAnewError
            here = {(topic, info.id) for info in found.partitions}
            if new := here - self._goals.keys():
                ends = end_offsets(admin, topic)
                self._goals |= {place: ends.get(place[1], 0) for place in new}
            places += sorted(here - assigned)
        consumer.incremental_assign(
            [
                TopicPartition(
                    topic, partition, self._positions.get((topic, partition), OFFSET_BEGINNING)
                )
                for topic, partition in places
            ]
        )
        assigned.update(places)
        self.trouble = None

    def _reached(self) -> bool:
        return all(self._positions.get(place, 0) >= goal for place, goal in self._goals.items())

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
        if error.code() in _ELSEWHERE:
            raise _BeginAnewError
        found = cluster_error(error, doing="following the topics")
        if error.fatal() or not found.retryable:
            raise found
        self.trouble = str(found)


def _described(admin: AdminClient, topic: str) -> TopicDescription:
    asked = admin.describe_topics(TopicCollection([topic]), request_timeout=_ANSWER_S)
    try:
        found: TopicDescription = asked[topic].result()
    except KafkaException as error:
        raise cluster_error(error.args[0], doing=f"reading {topic}") from error
    return found


def _cached_ends(consumer: Consumer, places: Iterable[Place]) -> Mapping[Place, int]:
    ends = {}
    for topic, partition in places:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
        ends[topic, partition] = end
    return ends


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
