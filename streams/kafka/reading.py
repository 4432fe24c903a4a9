"""Reads a topic to its end, once, for a person: no group, nothing committed, read committed.

What was committed before the call is read; what comes meanwhile may be, too.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Documented, not re-exported.
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
)

from streams.kafka.errors import ClusterError, KafkaUnavailable, TopicMissing, cluster_error

Answer = TypeVar("Answer")

TIMEOUT_S: Final = 15.0
"""How long a broker may say nothing before a person is told."""

_POLL_S: Final = 0.2
# Who reads to the end wants to know at once that it is reached; who reads on need not ask often. The
# client takes its whole time whenever there are fewer records than a batch.
_TO_END_WAIT_MS: Final = 10
_TO_END_POLL_S: Final = 0.02
_ON_WAIT_MS: Final = 500
_BATCH_RECORDS: Final = 10_000

_NO_OFFSET: Final = 0  # Committed offsets below it are librdkafka's marks for "none".


def partitions_of(admin: AdminClient | Consumer, topic: str) -> list[int]:
    """Return the numbers of a topic's partitions.

    Raises:
        TopicMissing: There is no such topic.
        ClusterError: No answer within `TIMEOUT_S`, or refused.
    """
    try:
        # All topics, since asking for one by name would create it on some clusters.
        found = admin.list_topics(timeout=TIMEOUT_S).topics.get(topic)
    except KafkaException as error:
        raise cluster_error(error.args[0], doing="listing the topics") from error
    if found is None:
        raise TopicMissing(f"topic {topic} does not exist; run `realname topics create`")
    return sorted(found.partitions)


def end_offsets(admin: AdminClient, topic: str) -> dict[int, int]:
    """Return, by partition, the offset behind everything written so far, committed or not.

    Raises:
        ClusterError: As `partitions_of`.
    """
    return _offsets(admin, topic, OffsetSpec.latest())  # type: ignore[no-untyped-call]  # Theirs.


def begin_offsets(admin: AdminClient, topic: str) -> dict[int, int]:
    """Return, by partition, the first offset that is still there.

    Raises:
        ClusterError: As `partitions_of`.
    """
    return _offsets(admin, topic, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # Theirs.


def newest_timestamp_ms(admin: AdminClient, topic: str) -> int | None:
    """Return the highest timestamp of a topic's records, None if it is empty.

    Raises:
        ClusterError: As `partitions_of`.
    """
    newest = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]  # Theirs.
    stamps = [found.timestamp for found in _listed(admin, topic, newest).values()]
    return max((stamp for stamp in stamps if stamp >= 0), default=None)


def committed_offsets(client: Mapping[str, Any], group: str, topic: str) -> dict[int, int | None]:
    """Return a group's committed offset by partition, None where it has none.

    Waits out transactions that are about to commit offsets.

    Raises:
        ClusterError: As `partitions_of`.
    """
    # Asked by a consumer that never joins. The administrator's request for the same ends the process
    # with a segmentation fault when the answer is that the coordinator is another broker, as the
    # first answer of a new cluster is (librdkafka issue 5040, still so in 2.16).
    settings = {**client, "group.id": group, "enable.auto.commit": False}
    with closing(Consumer({**settings, "isolation.level": "read_committed"})) as consumer:
        places = [TopicPartition(topic, p) for p in _all(consumer, topic)]
        answer = patiently(
            lambda: consumer.committed(places, TIMEOUT_S),
            doing=f"reading the offsets of group {group}",
        )
    for place in answer:
        if place.error is not None:
            raise cluster_error(place.error, doing=f"reading the offsets of group {group}")
    return {
        place.partition: place.offset if place.offset >= _NO_OFFSET else None for place in answer
    }


def members(admin: AdminClient, group: str) -> int:
    """Return how many members a group has now; 0 when there is no such group.

    A worker that was killed counts for up to its session time-out, six seconds.

    Raises:
        ClusterError: No answer within `TIMEOUT_S`, or refused.
    """

    def ask() -> int:
        futures = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)
        try:
            return len(futures[group].result().members)
        except KafkaException as raised:
            if raised.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return 0
            raise

    return patiently(ask, doing=f"looking at group {group}")


def read_to_end(
    client: Mapping[str, Any], topic: str, partitions: Collection[int] | None = None
) -> Iterator[Message]:
    """Return every record from the beginning to the end as of the call; in order per partition.

    `partitions` are those to read, None all.

    Raises:
        TopicMissing: There is no such topic.
        ClusterError: The broker says nothing for `TIMEOUT_S`, or refuses.
    """
    admin = AdminClient(dict(client))
    begins, ends = begin_offsets(admin, topic), end_offsets(admin, topic)
    wanted = {
        p: end
        for p, end in ends.items()
        if end > begins[p] and (partitions is None or p in partitions)
    }
    if not wanted:
        return
    with closing(_consumer(client, topic, _TO_END_WAIT_MS)) as consumer:
        consumer.assign([TopicPartition(topic, p, begins[p]) for p in sorted(wanted)])
        yield from _until_read(consumer, topic, wanted)


def follow_from(
    client: Mapping[str, Any], topic: str, offsets: Mapping[int, int]
) -> Iterator[Message]:
    """Return every committed record from these offsets on, as it comes, without an end.

    A partition that is not named is read from its beginning.

    Raises:
        ClusterError: As `partitions_of`, or refused. A broker that goes away is waited for.
    """
    with closing(_consumer(client, topic, _ON_WAIT_MS)) as consumer:
        partitions = _all(consumer, topic)
        consumer.assign(
            [TopicPartition(topic, p, offsets.get(p, OFFSET_BEGINNING)) for p in partitions]
        )
        while True:
            for message in consumer.consume(_BATCH_RECORDS, _POLL_S):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 (a public code)
                    passing(error, topic)


def latest_values(
    client: Mapping[str, Any],
    topic: str,
    *,
    wanted: Callable[[bytes], bool] = lambda _: True,
) -> dict[bytes, bytes]:
    """Return the latest value of each wanted key of a compacted topic, without those taken back.

    Only wanted ones are held in memory.

    Raises:
        ClusterError: As `read_to_end`.
    """
    latest: dict[bytes, bytes] = {}
    for message in read_to_end(client, topic):
        key, value = _bytes(message.key() or b""), message.value()
        if value is None:
            latest.pop(key, None)
        elif wanted(key):
            latest[key] = _bytes(value)
    return latest


def patiently(ask: Callable[[], Answer], *, doing: str) -> Answer:
    """Return what `ask` does, called again while a new topic or a moved leader is not known everywhere.

    `doing` is what is asked, as a gerund. What `ask` changes may be changed more than once.

    Raises:
        ClusterError: Refused, or there was no answer within `TIMEOUT_S`.
    """
    deadline = monotonic() + TIMEOUT_S
    while True:
        try:
            return ask()
        except ClusterError as raised:
            error = raised
        except KafkaException as raised:
            error = cluster_error(raised.args[0], doing=doing)
            error.__cause__ = raised
        if not error.retryable or monotonic() > deadline:
            raise error
        sleep(_POLL_S)


def _consumer(client: Mapping[str, Any], topic: str, wait_ms: int) -> Consumer:
    """Make a reader. A broker holds an empty answer, which tells the end, back for `wait_ms`."""
    return Consumer(
        {
            **client,
            "group.id": f"{topic}-reader",  # Required by the client, and never committed to.
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": wait_ms,
            "allow.auto.create.topics": False,
        }
    )


def _until_read(consumer: Consumer, topic: str, wanted: dict[int, int]) -> Iterator[Message]:
    """Read until each partition has reached the offset wanted of it, which empties `wanted`.

    What is told as a partition's end is where its first open transaction begins. Behind that there
    may be records that were committed before the call, so it counts only from `wanted` on.
    """
    deadline = monotonic() + TIMEOUT_S
    trouble: ClusterError | None = None
    while wanted:
        for message in consumer.consume(_BATCH_RECORDS, _TO_END_POLL_S):
            found = message.error()
            if found is None:
                yield message
            elif found.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                partition, end = message.partition() or 0, message.offset() or 0
                if end >= wanted.get(partition, end + 1):
                    del wanted[partition]
            else:
                trouble = passing(found, topic)
                continue
            deadline = monotonic() + TIMEOUT_S
        if wanted and monotonic() > deadline:
            silence = KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001
            raise trouble or cluster_error(silence, doing=f"reading {topic}")


def _offsets(admin: AdminClient, topic: str, spec: OffsetSpec) -> dict[int, int]:
    return {partition: found.offset for partition, found in _listed(admin, topic, spec).items()}


def _listed(admin: AdminClient, topic: str, spec: OffsetSpec) -> dict[int, ListOffsetsResultInfo]:
    def ask() -> dict[int, ListOffsetsResultInfo]:
        places = {TopicPartition(topic, p): spec for p in _all(admin, topic)}
        futures = admin.list_offsets(places, request_timeout=TIMEOUT_S)
        return {place.partition: future.result() for place, future in futures.items()}

    return patiently(ask, doing=f"asking for the offsets of {topic}")


def passing(error: KafkaError, topic: str) -> ClusterError:
    """Return what the client met in reading a topic and gets over by itself; raise what it does not."""
    trouble = cluster_error(error, doing=f"reading {topic}")
    if not trouble.retryable:
        raise trouble
    return trouble


def _all(admin: AdminClient | Consumer, topic: str) -> Collection[int]:
    partitions = partitions_of(admin, topic)
    if not partitions:
        raise KafkaUnavailable(f"topic {topic} is being made or removed; try again in a moment")
    return partitions


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
