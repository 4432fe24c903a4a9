"""A member of a consumer group that owns its partitions' place in the log itself.

librdkafka's own idea of where to begin is not used: a partition that the group assigns is only noted,
and fetched from once its owner knows the offset (`start`). Everything happens in the thread that calls
`poll`, rebalances too; what a rebalance handler raises comes out of `poll`.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, NoReturn, Protocol, overload

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streams.kafka.errors import KafkaRefused, cluster_error
from streams.kafka.fencing import is_fenced

LOGGER: Final = logging.getLogger(__name__)

SESSION_TIMEOUT_MS: Final = 6_000
"""The least that a broker takes by default: a dead worker's partitions move after it."""
HEARTBEAT_MS: Final = 2_000
REBALANCE_TIMEOUT_MS: Final = 300_000
"""How long the group waits for a member that is busy, as in restoring a large state."""
POLL_RECORDS_MAX: Final = 10_000

# What the client says while it is looking for a broker, and what a rebalance leaves behind: it goes
# on trying by itself.
_PASSING: Final = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001 (librdkafka's own codes are public by that name)
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001 (`lost` has been or will be called)
    }
)


class Fetched(NamedTuple):
    """Consecutive records of one partition, as columns of one length, in the order of their offsets.

    `messages` are the same records as the client gave them, for what is rarely needed.
    """

    partition: int
    offsets: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    timestamps_ms: Sequence[int]
    messages: Sequence[Message]


class Polled(NamedTuple):
    """What one poll gave.

    Attributes:
        fetched: At most one entry per partition.
        ends: Partitions that have been read to their end, with the offset after it. It may lie
            behind the last record: transactions leave marks in a log.

    """

    fetched: list[Fetched]
    ends: dict[int, int]


class RebalanceHandler(Protocol):
    """Is told what the group gives and takes, from inside `poll` and `close`."""

    def assigned(self, partitions: Sequence[int]) -> None:
        """Take note of new partitions. Nothing is read from them before `GroupConsumer.start`."""
        ...

    def revoked(self, partitions: Sequence[int]) -> None:
        """Finish partitions that go to another member: after this returns it may begin."""
        ...

    def lost(self, partitions: Sequence[int]) -> None:
        """Drop partitions that another member may have already: nothing may be written."""
        ...


def consumer_config(client: Mapping[str, Any], *, group: str, instance: str) -> dict[str, Any]:
    """Return the settings of a group's member, on top of those of the client."""
    return {
        **client,
        "group.id": group,
        "group.instance.id": instance,
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": HEARTBEAT_MS,
        "max.poll.interval.ms": REBALANCE_TIMEOUT_MS,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        # The end of a partition is told by an empty answer, which a broker holds back so long.
        "fetch.wait.max.ms": 100,
        # The default waits a second whenever the queue is full, which starves a fast reader.
        "fetch.queue.backoff.ms": 10,
        "queued.min.messages": 200_000,
        "queued.max.messages.kbytes": 131_072,
    }


class GroupConsumer:
    """A static member of a group, reading one topic. For one thread.

    Args:
        config: See `consumer_config`.
        topic: What to read, with its prefix.
        handler: Who owns the partitions.
        end_process: Called with the reason when another process has our place in the group. It may
            not return.

    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        topic: str,
        handler: RebalanceHandler,
        end_process: Callable[[str], NoReturn],
    ) -> None:
        self._topic = topic
        self._handler = handler
        self._end_process = end_process
        self._member_id = ""
        self._started: set[int] = set()
        self._raised: BaseException | None = None
        self._fenced: KafkaError | None = None
        self._consumer = Consumer({**config, "error_cb": self._on_error})

    # What tells a partition's number from its place; a consumer of several topics has its own.

    @property
    def topics(self) -> Sequence[str]:
        """What is read, with prefix."""
        return [self._topic]

    def place(self, number: int, offset: int = OFFSET_INVALID) -> TopicPartition:
        """Return a partition, and an offset in it, as Kafka knows them."""
        return TopicPartition(self._topic, number, offset)

    def number(self, topic: str, partition: int) -> int:
        """Return the number by which the owner knows a partition."""
        del topic
        return partition

    def _columns(self, messages: Sequence[Message]) -> list[Fetched]:
        return by_partition(messages)

    def _numbers(self, places: Iterable[TopicPartition]) -> list[int]:
        return [self.number(place.topic, place.partition) for place in places]

    def _number_of(self, message: Message) -> int:
        topic, partition = message.topic(), message.partition()
        assert topic is not None
        assert partition is not None
        return self.number(topic, partition)

    def join(self) -> None:
        """Join the group. From now on `poll` must be called, and `close` at the end."""
        self._consumer.subscribe(
            list(self.topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self, timeout_s: float) -> Polled:
        """Return up to `POLL_RECORDS_MAX` records; rebalances are handled meanwhile.

        Returns when there are as many or the time is over.

        Raises:
            ClusterError: The topic or a wanted offset is not there, or we may not read it.
            BaseException: Whatever the handler raised.

        """
        try:
            messages = self._consumer.consume(POLL_RECORDS_MAX, timeout_s)
        except KafkaException as raised:
            messages = []
            self._check(raised.args[0])
        self._raise_what_callbacks_met()
        ends: dict[int, int] = {}
        if any(map(_ERROR, messages)):
            messages = self._take_events(messages, ends)
        started = self._started
        fetched = [f for f in self._columns(messages) if f.partition in started] if messages else []
        return Polled(fetched, ends)

    def start(self, offsets: Mapping[int, int]) -> None:
        """Begin to read assigned partitions, each at its offset."""
        self._consumer.incremental_assign(
            [self.place(partition, offset) for partition, offset in offsets.items()]
        )
        self._started |= offsets.keys()

    def stop_reading(self, partitions: Iterable[int]) -> None:
        """Read no more from partitions that stay assigned, until they are started again."""
        self._unassign([p for p in partitions if p in self._started])

    def pause(self, partitions: Iterable[int]) -> None:
        """Read nothing more from partitions until `resume`; what they have is fetched again then."""
        self._consumer.pause([self.place(partition) for partition in partitions])

    def resume(self, partitions: Iterable[int]) -> None:
        """Read from paused partitions again, where they stopped."""
        self._consumer.resume([self.place(partition) for partition in partitions])

    def known_end(self, partition: int) -> int | None:
        """Return the partition's end offset as of the last fetch, without asking; None if unknown."""
        _, high = self._consumer.get_watermark_offsets(self.place(partition), cached=True)
        return high if high >= 0 else None

    def committed(self, partition: int, timeout_s: float) -> int | None:
        """Return the group's stable committed offset, None if there is none.

        Raises:
            ClusterError: Retryable after a broker's restart or while a transaction is open.

        """
        try:
            (answer,) = self._consumer.committed([self.place(partition)], timeout_s)
        except KafkaException as raised:
            raise cluster_error(raised.args[0], doing="reading the group's offsets") from raised
        if answer.error is not None:
            raise cluster_error(answer.error, doing="reading the group's offsets")
        return answer.offset if answer.offset >= 0 else None

    def low_watermark(self, partition: int, timeout_s: float) -> int:
        """Return the offset of the first record that the input partition still has.

        Raises:
            ClusterError: Kafka did not answer.

        """
        try:
            low, _ = self._consumer.get_watermark_offsets(self.place(partition), timeout_s)
        except KafkaException as raised:
            raise cluster_error(
                raised.args[0], doing="asking for a partition's first offset"
            ) from raised
        return low

    def group_metadata(self) -> object:
        """Return what a transaction needs to commit offsets as this member.

        Ends the process when the member id is not the one that got the partitions: a process that
        was paused through a rebalance rejoins under a new id, with valid metadata and an old state.
        """
        if self._consumer.memberid() != self._member_id:
            self._end_process("the group has given this worker's membership a new id")
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leave; `revoked` is called for what is still owned.

        A static member's place stays reserved until its session times out, so a worker that comes
        back within it finds its partitions.
        """
        self._consumer.close()
        self._raise_what_callbacks_met()

    def _take_events(self, messages: list[Message], ends: dict[int, int]) -> list[Message]:
        records = []
        for message in messages:
            error, offset = message.error(), message.offset()
            if error is None:
                # What follows an end shows that it is none any more.
                ends.pop(self._number_of(message), None)
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (a public code)
                assert offset is not None
                ends[self._number_of(message)] = offset
            else:
                self._check(error)
        return records

    def _check(self, error: KafkaError) -> None:
        if is_fenced(error):
            self._end_process(f"another worker has its place ({error.name()}: {error.str()})")
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):  # noqa: SLF001
            raise KafkaRefused(
                f"{self._topic} no longer has the records that are wanted next ({error.str()}); "
                "see `realname state verify`"
            )
        if error.code() in _PASSING or error.retriable():
            LOGGER.warning("consumer of %s: %s", self._topic, error.str())
            return
        found = cluster_error(error, doing=f"reading {self._topic}")
        if not found.retryable:
            raise found
        LOGGER.warning("%s", found)

    def _raise_what_callbacks_met(self) -> None:
        if self._fenced is not None:
            self._check(self._fenced)
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    # An exception in a callback would surface as a SystemError somewhere else: each one is caught,
    # kept and raised by `poll`. Each callback must answer with an (un)assign of its own, or the
    # client assigns by itself, at an offset that nobody chose.

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        try:
            self._member_id = consumer.memberid() or ""
            consumer.incremental_assign([])
            self._handler.assigned(self._numbers(places))
        except BaseException as raised:  # noqa: BLE001 (raised again by `poll`)
            self._raised = raised

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if consumer.memberid() != self._member_id:
            # The client has rejoined under a new id before this was called, and says no more that
            # the partitions are lost; they are.
            self._on_lost(consumer, places)
            return
        try:
            self._handler.revoked(self._numbers(places))
        except BaseException as raised:  # noqa: BLE001 (raised again by `poll`)
            self._raised = raised
        self._stop(places)

    def _on_lost(self, _consumer: Consumer, places: list[TopicPartition]) -> None:
        try:
            self._handler.lost(self._numbers(places))
        except BaseException as raised:  # noqa: BLE001 (raised again by `poll`)
            self._raised = raised
        self._stop(places)

    def _stop(self, places: list[TopicPartition]) -> None:
        try:
            self._unassign([p for p in self._numbers(places) if p in self._started])
        except BaseException as raised:  # noqa: BLE001 (raised again by `poll`)
            self._raised = self._raised or raised

    def _unassign(self, partitions: Sequence[int]) -> None:
        # The client remembers that a partition was paused, even when it comes back later, and
        # resuming it just after it was started would make the client forget its offset.
        self.resume(partitions)
        self._started -= set(partitions)
        self._consumer.incremental_unassign([self.place(partition) for partition in partitions])

    def _on_error(self, error: KafkaError) -> None:
        if is_fenced(error):
            self._fenced = error
        else:
            LOGGER.warning("consumer of %s: %s", self._topic, error.str())


_ERROR: Final = Message.error
_PARTITION: Final = Message.partition


def by_partition(messages: Sequence[Message]) -> list[Fetched]:
    """Return records as columns per partition, without an error among them.

    The hot path: one call per record and column, in C loops. A poll gives runs of records of one
    partition, since each fetched chunk is queued as a whole.
    """
    runs: dict[int, list[Message]] = {}
    for partition, run in groupby(messages, _PARTITION):
        assert partition is not None
        if partition in runs:
            runs[partition].extend(run)
        else:
            runs[partition] = list(run)
    return [fetched_of(partition, run) for partition, run in runs.items()]


def fetched_of(partition: int, run: list[Message]) -> Fetched:
    """Return records of one partition as columns."""
    first, last = run[0].offset(), run[-1].offset()
    assert first is not None
    assert last is not None
    offsets: Sequence[int] = range(first, last + 1)
    if len(offsets) > len(run):  # Transactions leave marks between records.
        offsets = list(map(Message.offset, run))  # type: ignore[arg-type]  # only None before delivery
    return Fetched(
        partition,
        offsets,
        list(map(Message.key, run)),
        list(map(Message.value, run)),
        Timestamps(run),
        run,
    )


class Timestamps(Sequence[int]):
    """The records' time stamps, in milliseconds, taken out of them as they are asked for.

    With `clock = data` nobody asks: a tenth of what it costs to make columns of a poll.
    """

    __slots__ = ("_messages",)

    def __init__(self, messages: Sequence[Message]) -> None:
        """Take the records."""
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[int]:
        return iter([timestamp for _, timestamp in map(Message.timestamp, self._messages)])

    @overload
    def __getitem__(self, at: int) -> int: ...

    @overload
    def __getitem__(self, at: slice) -> "Timestamps": ...

    def __getitem__(self, at: int | slice) -> "int | Timestamps":
        if isinstance(at, slice):
            return Timestamps(self._messages[at])
        _, timestamp = self._messages[at].timestamp()
        return timestamp
