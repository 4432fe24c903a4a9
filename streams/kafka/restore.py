"""Brings the states of newly assigned partitions back from their state logs.

The log is the truth. The group's committed offset is only compared with it: a group that is ahead of
the log would mean that records are counted whose counts are nowhere.
"""

import ctypes
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.kafka.crash import CrashPlan
from streams.kafka.errors import ClusterError, cluster_error
from streams.kafka.state_log import LogReader, Restorable, StateDamaged

LOGGER: Final = logging.getLogger(__name__)

CALL_TIMEOUT_S: Final = 5.0
RETRY_S: Final = 0.5
CATCH_UP_S: Final = 60.0
"""How long a log may stay behind its group before the partition is refused. In a healthy cluster it
never is: both are written by one transaction."""
QUIET_S: Final = 30.0
"""After so long without a record of a log that has more, the wait is said in the log."""
CHUNK_RECORDS: Final = 200
"""Records of one read: up to 900 KB each."""


class StateRefused(ClusterError):  # noqa: N818 (what happened, as it is caught)
    """A partition's state cannot be brought back, so its records are not touched.

    Trying again gives the same. The message names the partition and what an operator can do.
    """


class Stopped(Exception):  # noqa: N818 (it states what has happened)
    """The worker is to stop; restoring has been given up."""


def _give_back() -> None:
    """Have glibc return freed memory to the system: what the log took on its way, as much as a state of it.

    Elsewhere there is nothing of that name, and nothing is done.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Offsets(Protocol):
    """What restoring asks of the group's consumer."""

    def committed(self, partition: int, timeout_s: float) -> int | None:
        """Return the group's stable committed offset, or None."""
        ...

    def low_watermark(self, partition: int, timeout_s: float) -> int:
        """Return the first offset that the input partition still has."""
        ...


State = TypeVar("State", bound=Restorable)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Restored(Generic[State]):
    """A state that is back.

    Attributes:
        state: It.
        next_offset: Where to go on in the input.
        log_bytes: Bytes of log since the last snapshot.
        snapshot_bytes: Bytes of the last snapshot; 0 without one.

    """

    state: State
    next_offset: int
    log_bytes: int
    snapshot_bytes: int


class StateLogs(Generic[State]):
    """Restores the states of one stage.

    Args:
        client: Settings of a Kafka client.
        stage: The stage's name, for messages.
        topic: Its state log, with prefix.
        make_state: Gives an empty state of a partition.
        stopping: Asked now and then; True raises Stopped.
        crash: Where a test ends the process.

    """

    def __init__(
        self,
        client: Mapping[str, Any],
        *,
        stage: str,
        topic: str,
        make_state: Callable[[int], State],
        stopping: Callable[[], bool] = lambda: False,
        crash: CrashPlan | None = None,
    ) -> None:
        self._client = client
        self._stage = stage
        self._topic = topic
        self._make_state = make_state
        self._stopping = stopping
        self._crash = crash or CrashPlan()

    def restore(self, partitions: Collection[int], offsets: Offsets) -> dict[int, Restored[State]]:
        """Return the state of each partition. Blocks until all are back; writes nothing.

        Raises:
            StateRefused: One cannot be brought back.
            Stopped: The worker is to stop.
            ClusterError: Kafka refuses us. A broker that does not answer is waited for.

        """
        restored: dict[int, Restored[State]] = {}
        deadline = time.monotonic() + CATCH_UP_S
        while missing := [p for p in partitions if p not in restored]:
            # In this order: a commit that comes between would else look like a group ahead.
            committed = {p: self._patiently(offsets.committed, p) for p in missing}
            logs = self._read(missing)
            _give_back()
            for partition in missing:
                state, log = logs[partition]
                group = committed[partition]
                if group is None or (log.next_offset is not None and log.next_offset >= group):
                    restored[partition] = self._begin(partition, state, log, offsets)
                elif time.monotonic() > deadline:
                    raise self._refused(
                        partition,
                        f"it ends at input offset {log.next_offset}, while the group has committed "
                        f"{group}; going on would count records twice",
                    )
                else:
                    LOGGER.warning(
                        "%s: the state log of partition %d is behind its group; reading it again",
                        self._stage,
                        partition,
                    )
            if len(restored) < len(partitions):
                self._sleep(RETRY_S)
        return restored

    def _begin(
        self, partition: int, state: State, log: LogReader, offsets: Offsets
    ) -> Restored[State]:
        low = self._patiently(offsets.low_watermark, partition)
        begin = low if log.next_offset is None else log.next_offset
        if low > begin:
            raise self._refused(
                partition,
                f"it goes on at input offset {begin}, but the input now begins at {low}: "
                f"{low - begin} records were deleted before they were counted",
            )
        return Restored(state, begin, log.bytes_since_snapshot, log.snapshot_bytes)

    def _read(self, partitions: Collection[int]) -> dict[int, tuple[State, LogReader]]:
        bounds = self._bounds(partitions)
        logs = {}
        for partition, (low, high) in bounds.items():
            if low == high > 0:
                raise self._refused(partition, "all its records have been deleted")
            state = self._make_state(partition)
            logs[partition] = state, LogReader(state, truncated=low > 0)
        wanted = {p: bound for p, bound in bounds.items() if bound[1] > bound[0]}
        if not wanted:
            return logs
        consumer = Consumer(self._config("read_committed"))
        try:
            consumer.assign([TopicPartition(self._topic, p, low) for p, (low, _) in wanted.items()])
            self._read_to_end(consumer, {p: high for p, (_, high) in wanted.items()}, logs)
        finally:
            consumer.close()
        return logs

    def _read_to_end(
        self,
        consumer: Consumer,
        wanted: dict[int, int],
        logs: Mapping[int, tuple[State, LogReader]],
    ) -> None:
        """Read until each partition has reached the offset wanted of it, which empties `wanted`."""
        heard_s = time.monotonic()
        while wanted:
            self._check_stopping()
            for message in consumer.consume(CHUNK_RECORDS, 0.2):
                heard_s = time.monotonic()
                partition, offset, error = message.partition(), message.offset(), message.error()
                if error is not None and error.code() == KafkaError._BAD_MSG:  # noqa: SLF001
                    assert partition is not None
                    raise self._refused(partition, f"a damaged batch ({error.str()})")
                if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                    self._note(cluster_error(error, doing=f"reading {self._topic}"))
                    continue
                assert partition is not None
                assert offset is not None
                if error is None:
                    self._take(partition, logs[partition][1], message.value())
                    offset += 1
                # The end of a read-committed partition is where the first open transaction begins:
                # it is the end we want only when it has got as far.
                if offset >= wanted.get(partition, offset + 1):
                    self._finish(partition, logs[partition][1])
                    del wanted[partition]
            if time.monotonic() - heard_s > QUIET_S:
                heard_s = time.monotonic()
                LOGGER.warning(
                    "%s: waiting for %s, partitions %s: a transaction is open, or no broker answers; if "
                    "this stays so, look with `kafka-transactions.sh find-hanging`",
                    self._stage,
                    self._topic,
                    sorted(wanted),
                )

    def _take(self, partition: int, log: LogReader, value: bytes | None) -> None:
        self._crash.passed("during_restore")
        try:
            log.take(value)
        except StateDamaged as damage:
            raise self._refused(partition, str(damage)) from damage
        except ValueError as refusal:  # The log itself may well be sound.
            raise self._refused(partition, str(refusal), look="") from refusal

    def _finish(self, partition: int, log: LogReader) -> None:
        try:
            log.finish()
        except StateDamaged as damage:
            raise self._refused(partition, str(damage)) from damage

    def _bounds(self, partitions: Collection[int]) -> dict[int, tuple[int, int]]:
        # A read-committed consumer would name the last stable offset as the end, which with a
        # transaction open lies before records that are about to be committed.
        consumer = Consumer(self._config("read_uncommitted"))

        def bounds(partition: int, timeout_s: float) -> tuple[int, int]:
            place = TopicPartition(self._topic, partition)
            try:
                return consumer.get_watermark_offsets(place, timeout_s)
            except KafkaException as raised:
                raise cluster_error(
                    raised.args[0], doing=f"asking for the ends of {self._topic}"
                ) from raised

        try:
            return {partition: self._patiently(bounds, partition) for partition in partitions}
        finally:
            consumer.close()

    def _config(self, isolation: str) -> dict[str, Any]:
        return {
            **self._client,
            # Never joined and never committed to; the client asks for a name.
            "group.id": f"{self._topic}.restore",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            # Without it, what a disk has changed is handed over, and may even look like a state.
            "check.crcs": True,
            # The end of a partition is told by an empty answer, which a broker holds back so long.
            "fetch.wait.max.ms": 10,
        }

    def _patiently(self, ask: Callable[[int, float], Answer], partition: int) -> Answer:
        while True:
            self._check_stopping()
            try:
                return ask(partition, CALL_TIMEOUT_S)
            except ClusterError as error:
                self._note(error)
                self._sleep(RETRY_S)

    def _note(self, error: ClusterError) -> None:
        if not error.retryable:
            raise error
        LOGGER.warning("%s: restoring waits: %s", self._stage, error)

    def _sleep(self, seconds: float) -> None:
        self._check_stopping()
        time.sleep(seconds)

    def _check_stopping(self) -> None:
        if self._stopping():
            raise Stopped

    def _refused(self, partition: int, why: str, look: str | None = None) -> StateRefused:
        if look is None:
            look = (
                f"Look with `realname state verify --stage {self._stage} --partition {partition}`; "
            )
        return StateRefused(
            f"the state of {self._stage}, partition {partition}, cannot be brought back from "
            f"{self._topic}: {why}. {look}`realname state rebuild` builds all states anew from the "
            "input, if that still reaches back far enough"
        )
