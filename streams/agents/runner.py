"""Drives one stage against Kafka: poll, apply, flush; restore what comes, finish what goes.

A step polls, has the records applied, and then, with the states at rest, does what is due: start what
was restored, one transaction, a snapshot, heartbeats, back-pressure. All of it happens in the thread
that calls `step`; so nothing needs a lock, and a rebalance, which happens inside the poll, never meets a
half-applied batch.

When the figures go out: at each flush while a partition has been read to its end; each second while
there is a little more; each five seconds in a catch-up, so that thousands of scopes are not written
again and again only to be overtaken. Alerts, changes and state are not subject to it. A partition's
end offset is never committed with something unpublished, so whoever sees it committed may read.
And a stage that is always at the end of its input, because the stage before it is the slow one, must not
spend its time on publishing: after figures took a while to make, the next flush waits ten times as long.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Protocol

from streams.agents.telemetry import PRODUCER_LOST, Telemetry
from streams.kafka.consumer import (
    SESSION_TIMEOUT_MS,
    Fetched,
    GroupConsumer,
    Polled,
    consumer_config,
)
from streams.kafka.crash import CrashPlan
from streams.kafka.dead_letters import DeadLetter, dead_letter
from streams.kafka.errors import ClusterError
from streams.kafka.fencing import end_process
from streams.kafka.heartbeat import Heartbeats
from streams.kafka.membership import await_forgotten
from streams.kafka.restore import StateLogs, Stopped
from streams.kafka.state_log import changes, snapshot
from streams.kafka.transaction import (
    ProducerLost,
    TransactionAborted,
    TransactionalProducer,
    producer_config,
)
from streams.kafka.truncation import Truncation
from streams.records.topics import SHIPMENTS_DLQ
from streams.stages.stage import Batch, Drained, Stage

LOGGER: Final = logging.getLogger(__name__)

POLL_S: Final = 0.05
"""A poll that finds less than a full batch waits as long: the least delay of a record."""
PUBLISH_S: Final = 1.0
PUBLISH_CATCH_UP_S: Final = 5.0
PUBLISH_PAUSE: Final = 10
"""How many times as long as figures took to make the next flush waits, up to `PUBLISH_CATCH_UP_S`."""
CATCH_UP_RECORDS: Final = 50_000
"""From so many records behind on, a partition is catching up."""
SNAPSHOT_BYTES_MIN: Final = 16 * 1024 * 1024
SNAPSHOT_FACTOR: Final = 2
"""A snapshot is due when the log is so many times as large as the state was at the last one."""
RETRY_S: Final = 0.2
RETRY_S_MAX: Final = 5.0
REFERENCE_WAIT_S: Final = 240.0
"""How long a stage waits for reference data that its input was made with; below the time after which
the group takes the partitions away."""
PRODUCER_PAUSE_S: Final = 8.0
"""Between being fenced and making a new producer. If another process has our slot, it has our place
in the group as well, and our consumer is told within a heartbeat: then the process ends instead."""
assert PRODUCER_PAUSE_S * 1_000 > SESSION_TIMEOUT_MS, "or two workers of one slot keep fencing"
INPUT_TRUNCATION_S: Final = 60.0
AHEAD_MS_MAX: Final = 6 * 3_600_000
"""How far a partition may run ahead, in stream time, of the slowest that has records left.

A batch comes from one partition mostly, and 10,000 records of one are hours of a region's stream; a pause
throws away what was fetched. So less would pause and fetch anew with every batch (measured: a seventh of
all CPU), and what waits downstream meanwhile is rows of a quarter of a day at most.
"""
AHEAD_MS_RESUME: Final = 3 * 3_600_000
assert AHEAD_MS_RESUME < AHEAD_MS_MAX, "or a partition pauses and resumes with every batch"


class ReferenceMissing(ClusterError):  # noqa: N818 (what happened, as it is caught)
    """The input was made with reference data that the `reference` topic does not give."""


class ReferenceFeed(Protocol):
    """Where a runner gets reference data from. Called between batches only."""

    def load(self, stopping: Callable[[], bool]) -> None:
        """Read what there is; `stopping` is asked while waiting, True raises Stopped."""
        ...

    def poll(self) -> None:
        """Take in what is new, without waiting."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...

    @property
    def version(self) -> int:
        """The newest version known."""
        ...


class NoReference:
    """The feed of a stage that needs none."""

    version = 0

    def load(self, stopping: Callable[[], bool]) -> None:
        """Do nothing."""

    def poll(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What one runner runs.

    Attributes:
        name: The stage's name: of its consumer group and its state log.
        input: The topic that it reads, without prefix.
        make_stage: Gives an empty state of a partition.
        heartbeats: Whether to write heartbeats into the input.
        truncates: Whether the input is read by this stage alone, and deleted once it is committed.
        paces: Whether partitions wait for each other in stream time.
        prepare: Called before partitions are taken; may take a minute.

    """

    name: str
    input: str
    make_stage: Callable[[int], Stage]
    heartbeats: bool = False
    truncates: bool = False
    paces: bool = False
    prepare: Callable[[], None] = nothing


@dataclass(frozen=True, slots=True)
class RunnerConfig:
    """How runners run, the same for all stages of a worker.

    Attributes:
        client: Settings of a Kafka client.
        prefix: Begins every topic, group and transactional id.
        slot: The worker's place: of two with one name the older is fenced.
        flush_s: Time between two transactions.
        flush_records: Records after which one ends earlier.
        snapshot_bytes_min: A log smaller than this gets no snapshot.
        crash: Where a test ends the process.
        end_process: What a fenced worker does; tests may look on.

    """

    client: Mapping[str, Any]
    prefix: str
    slot: str
    flush_s: float = 0.25
    flush_records: int = 200_000
    snapshot_bytes_min: int = SNAPSHOT_BYTES_MIN
    crash: CrashPlan = field(default_factory=CrashPlan)
    end_process: Callable[[str], NoReturn] = end_process


@dataclass(slots=True)
class Owned:
    """An assigned partition and its state.

    Attributes:
        stage: The state.
        logged: Input offset that the state log has reached.
        position: Input offset that has been reached; behind the last record where marks follow it.
        log_bytes: Bytes of log since the last snapshot.
        snapshot_bytes: Bytes of the last snapshot.
        at_end: Whether the partition has been read to its end.
        unpublished: Whether figures may be due that no flush has published.
        published_s: When the last flush published.
        dead_letters: Refused records since the last commit.

    """

    stage: Stage
    logged: int
    position: int
    log_bytes: int
    snapshot_bytes: int
    at_end: bool = False
    unpublished: bool = True
    published_s: float = 0.0
    dead_letters: list[DeadLetter] = field(default_factory=list)


class PartitionBatch:
    """Records of one partition on their way to its state."""

    __slots__ = ("batch", "fetched", "owned")

    def __init__(self, fetched: Fetched, owned: Owned) -> None:
        self.fetched = fetched
        self.owned = owned
        self.batch = Batch(fetched.offsets, fetched.keys, fetched.values, fetched.timestamps_ms)


class Runner:
    """Runs one stage: all partitions of its input that the group gives to this worker.

    Everything but `stop` is called by one thread.

    Attributes:
        backlog: Records left to read as of the last flush; for any thread.

    """

    def __init__(
        self,
        plan: StagePlan,
        config: RunnerConfig,
        *,
        reference: ReferenceFeed | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._plan = plan
        self._config = config
        self._crash = config.crash
        self._input = config.prefix + plan.input
        self._log = f"{config.prefix}{plan.name}.state"
        self._dead_letters = config.prefix + SHIPMENTS_DLQ
        self._reference = reference or NoReference()
        self._telemetry = telemetry or Telemetry(plan.name)
        self._stopping = False
        self._owned: dict[int, Owned] = {}
        self._assigned: set[int] = set()
        self._paused: set[int] = set()
        self._records = 0
        self.backlog = 0
        self._flushed_s = self._now_s()
        self._published_in_s = 0.0
        self._failures = 0
        self._retry_at_s = 0.0
        self._logs: StateLogs[Stage] = StateLogs(
            config.client,
            stage=plan.name,
            topic=self._log,
            make_state=plan.make_stage,
            stopping=lambda: self._stopping,
            crash=config.crash,
        )
        self._producer = self._new_producer()
        self._producer_back_s: float | None = None
        self._consumer = self._new_consumer()
        self._truncation = Truncation(config.client)
        self._heartbeats = (
            Heartbeats(config.client, topic=self._input, on_clock=self._telemetry.clock)
            if plan.heartbeats
            else None
        )
        self._truncated_s = self._now_s()

    # The life of a runner.

    def start(self) -> None:
        """Read the reference data, end what a predecessor left open, and join the group.

        Blocks until that is done.

        Raises:
            ClusterError: Kafka refuses us.

        """
        self._plan.prepare()
        self._reference.load(lambda: self._stopping)
        self._producer.init()
        await_forgotten(
            self._config.client,
            self._consumer.topics,
            group=self._id(),
            instance=self._config.slot,
            stopping=lambda: self._stopping,
        )
        self._consumer.join()

    def _new_producer(self) -> TransactionalProducer:
        config = self._config
        return TransactionalProducer(
            producer_config(config.client, transactional_id=self._id(config.slot)),
            end_process=config.end_process,
            give_up=lambda: self._stopping,
        )

    def _new_consumer(self) -> GroupConsumer:
        config = self._config
        return GroupConsumer(
            consumer_config(config.client, group=self._id(), instance=config.slot),
            topic=self._input,
            handler=self,
            end_process=config.end_process,
        )

    def step(self, hand_over: Callable[[Sequence[PartitionBatch]], None]) -> None:
        """Do one round. `hand_over` has the batches applied by `apply` before it returns.

        Raises:
            ClusterError: With what an operator can do; the runner must be closed.
            TooManyRejects: Raised by the stage.
            Stopped: `stop` was called; the runner is to be closed.

        """
        polled = self._consumer.poll(POLL_S)
        if self._producer_back_s is None or self._producer_is_back(self._producer_back_s):
            self._work(polled, hand_over)
        self._telemetry.stepped()

    def _work(self, polled: Polled, hand_over: Callable[[Sequence[PartitionBatch]], None]) -> None:
        self._reference.poll()
        batches = [
            PartitionBatch(fetched, self._owned[fetched.partition])
            for fetched in polled.fetched
            if fetched.partition in self._owned
        ]
        if batches:
            self._await_reference(batches)
            hand_over(batches)
            self._crash.passed("after_apply")
        self._note_ends(polled)
        self._pace()
        if self._flush_due():
            self._flush_or_wait()
        if self._heartbeats is not None:
            at_end = [p for p, owned in self._owned.items() if owned.at_end]
            self._heartbeats.beat(at_end, self._now_s())
        self._truncate_input()
        # Last, since it may take long: what is restored is not touched before the next poll has told
        # what the group has decided meanwhile.
        if self._producer_back_s is None:
            self._restore_assigned()

    def apply(self, batches: Sequence[PartitionBatch]) -> None:
        """Apply what `step` handed over; to be called once, before `hand_over` returns."""
        for item in batches:
            owned, fetched = item.owned, item.fetched
            for reject in owned.stage.apply(item.batch):
                message = fetched.messages[reject.index]
                owned.dead_letters.append(dead_letter(message, reject, self._plan.name))
                self._telemetry.rejected(reject)
            owned.position = max(owned.position, owned.stage.next_offset)
            owned.unpublished = True
            self._records += len(fetched.offsets)
            self._telemetry.applied(len(fetched.offsets))

    def stop(self) -> None:
        """Ask restoring and waiting to end; for any thread. `close` is still to be called."""
        self._stopping = True

    def close(self, *, commit: bool = True) -> None:
        """Leave; flush and commit first, unless what was applied is not to be trusted."""
        if not commit:
            self._owned.clear()
        self._consumer.close()
        self._reference.close()

    # What the group gives and takes; called from inside the poll.

    def assigned(self, partitions: Sequence[int]) -> None:
        """Take note; `step` restores them."""
        self._crash.passed("during_assignment")
        self._assigned.update(partitions)
        self._telemetry.assigned(len(self._owned), len(self._assigned))

    def revoked(self, partitions: Sequence[int]) -> None:
        """Flush, then drop. Without a commit nothing is lost: the next owner begins at the last."""
        if any(partition in self._owned for partition in partitions):
            self._crash.passed("during_revocation")
            try:
                self.flush(publish_all=True)
            except TransactionAborted as aborted:
                self._telemetry.aborted(aborted.reason)
                LOGGER.warning("%s: leaving partitions uncommitted: %s", self._plan.name, aborted)
            except ProducerLost as lost:
                self._lose_producer(lost)
        self._drop(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        """Drop: another worker may have them already."""
        LOGGER.warning("%s: the group took partitions %s away", self._plan.name, partitions)
        self._crash.passed("during_loss")
        self._drop(partitions)

    def _lose_producer(self, lost: ProducerLost) -> None:
        """Drop all states without a word to Kafka; go on later from what the state log says."""
        pause_s = PRODUCER_PAUSE_S if lost.fenced else 0.0
        LOGGER.error(
            "%s: the transactional producer is lost, probably to an outage of Kafka; going on from "
            "the state log in %.0f s unless another worker has this slot (%s)",
            self._plan.name,
            pause_s,
            lost,
        )
        self._telemetry.aborted(PRODUCER_LOST)
        self._producer_back_s = self._now_s() + pause_s
        self._consumer.stop_reading(self._owned)
        self._owned.clear()
        self._paused.clear()
        self._records = self._failures = 0
        self._retry_at_s = 0.0
        self._telemetry.assigned(0, len(self._assigned))

    def _producer_is_back(self, back_s: float) -> bool:
        """Make a new producer when it is time to."""
        if self._now_s() < back_s:
            return False
        self._producer.close()
        self._producer = self._new_producer()
        self._producer.init()
        self._producer_back_s = None
        return True

    def _drop(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._assigned.discard(partition)
            self._owned.pop(partition, None)
            self._paused.discard(partition)
            place = self._consumer.place(partition)
            self._telemetry.dropped(place.topic, place.partition, number=partition)
        self._telemetry.assigned(len(self._owned), len(self._assigned))

    def _restore_assigned(self) -> None:
        missing = sorted(self._assigned - self._owned.keys())
        if not missing:
            return
        begun_s = self._now_s()
        LOGGER.info("%s: restoring partitions %s", self._plan.name, missing)
        self._telemetry.restoring()
        restored = self._logs.restore(missing, self._consumer)
        for partition, back in restored.items():
            back.state.restored()
            self._owned[partition] = Owned(
                back.state, back.next_offset, back.next_offset, back.log_bytes, back.snapshot_bytes
            )
        self._consumer.start({p: back.next_offset for p, back in restored.items()})
        self._telemetry.restored(self._now_s() - begun_s)
        self._telemetry.assigned(len(self._owned), len(self._assigned))
        LOGGER.info(
            "%s: restored partitions %s in %.1f s",
            self._plan.name,
            missing,
            self._now_s() - begun_s,
        )

    # Taking in.

    def _note_ends(self, polled: Polled) -> None:
        for fetched in polled.fetched:
            if fetched.partition in self._owned:
                self._owned[fetched.partition].at_end = False
        for partition, end in polled.ends.items():
            owned = self._owned.get(partition)
            if owned is not None and end >= owned.position:
                owned.position, owned.at_end = end, True

    def _await_reference(self, batches: Sequence[PartitionBatch]) -> None:
        needed = max(item.owned.stage.reference_version_needed(item.batch) for item in batches)
        deadline_s = self._now_s() + REFERENCE_WAIT_S
        while self._reference.version < needed:
            if self._stopping:
                raise Stopped
            if self._now_s() > deadline_s:
                raise ReferenceMissing(
                    f"{self._plan.name}: its input was made with version {needed} of the reference "
                    f"data, and the topic gives {self._reference.version}; look with `realname "
                    "doctor`, and apply the reference files again if the topic has lost them"
                )
            time.sleep(POLL_S)
            self._reference.poll()

    def _pace(self) -> None:
        """Pause partitions far ahead of the slowest in stream time, so that less piles up after us."""
        if not self._plan.paces or self._failures:
            return
        times = {p: int(getattr(o.stage, "stream_time_ms", 0)) for p, o in self._owned.items()}
        behind = [t for p, t in times.items() if not self._owned[p].at_end]
        slowest_ms = min(behind, default=None)
        for partition, time_ms in times.items():
            ahead_ms = 0 if slowest_ms is None else time_ms - slowest_ms
            if partition in self._paused and ahead_ms < AHEAD_MS_RESUME:
                self._consumer.resume([partition])
                self._paused.discard(partition)
            elif partition not in self._paused and ahead_ms > AHEAD_MS_MAX:
                self._consumer.pause([partition])
                self._paused.add(partition)

    # Flushing.

    def _flush_due(self) -> bool:
        now_s = self._now_s()
        if now_s < self._retry_at_s:
            return False
        if self._records >= self._config.flush_records:
            return True
        pause_s = min(PUBLISH_PAUSE * self._published_in_s, PUBLISH_CATCH_UP_S)
        return now_s - self._flushed_s >= max(self._config.flush_s, pause_s)

    def _flush_or_wait(self) -> None:
        """Flush; after an abort keep everything, and try again later, reading nothing until then."""
        try:
            self.flush()
            if not self._failures:
                self._snapshot_if_due()
        except ProducerLost as lost:
            self._lose_producer(lost)
            return
        except TransactionAborted as aborted:
            self._failures += 1
            wait_s = min(RETRY_S * 2 ** (self._failures - 1), RETRY_S_MAX)
            self._retry_at_s = self._now_s() + wait_s
            self._telemetry.aborted(aborted.reason)
            LOGGER.warning("%s: trying again in %.1f s: %s", self._plan.name, wait_s, aborted)
            if self._failures == 1:
                self._consumer.pause(self._owned.keys() - self._paused)
            return
        if self._failures:
            LOGGER.info("%s: writing again after %d aborts", self._plan.name, self._failures)
            self._failures = 0
            self._consumer.resume(self._owned.keys() - self._paused)

    def flush(self, *, publish_all: bool = False) -> None:
        """Make everything applied so far durable and visible, in one transaction; nothing if none.

        Raises:
            TransactionAborted: Nothing is; the changes are kept, and a further flush has them.

        """
        begun_s = self._now_s()
        drained: dict[int, Drained] = {}
        published: set[int] = set()
        published_in_s = 0.0
        for partition, owned in self._owned.items():
            publish = owned.unpublished and (
                publish_all or self._may_publish(partition, owned, begun_s)
            )
            if publish or owned.position != owned.logged or owned.dead_letters:
                drain_s = self._now_s()
                drained[partition] = owned.stage.drain(publish=publish)
                if publish:
                    published.add(partition)
                    published_in_s += self._now_s() - drain_s
        self._flushed_s = begun_s
        self._published_in_s = published_in_s
        if not drained:
            return
        log_bytes = self._write(drained)
        for partition in drained:
            owned = self._owned[partition]
            owned.stage.committed()
            owned.logged = owned.position
            owned.log_bytes += log_bytes[partition]
            owned.dead_letters.clear()
            if partition in published:
                owned.unpublished, owned.published_s = False, begun_s
        self._records = 0
        self._telemetry.flushed(self._now_s() - begun_s)
        self._report()

    def _may_publish(self, partition: int, owned: Owned, now_s: float) -> bool:
        # What the last fetch said of the end may be old, but then the end is farther still: a
        # partition that seems to have records left has some.
        end = self._consumer.known_end(partition)
        left = 0 if owned.at_end or end is None else end - owned.position
        if left <= 0:
            return True
        interval_s = PUBLISH_S if left < CATCH_UP_RECORDS else PUBLISH_CATCH_UP_S
        return now_s - owned.published_s >= interval_s

    def _write(self, drained: Mapping[int, Drained]) -> dict[int, int]:
        """Write one transaction; return the bytes of log by partition."""
        producer, crash = self._producer, self._crash
        metadata = self._consumer.group_metadata()
        crash.passed("before_begin")
        producer.begin()
        log_bytes = {p: self._write_state(p, d.state) for p, d in drained.items()}
        crash.passed("after_state_write")
        prefix = self._config.prefix
        for partition, outgoing in drained.items():
            for topic, key, value, target, headers in outgoing.outputs:
                producer.produce(prefix + topic, value, key=key, partition=target, headers=headers)
            for letter in self._owned[partition].dead_letters:
                producer.produce(
                    self._dead_letters, letter.value, key=letter.key, headers=letter.headers
                )
        crash.passed("after_outputs")
        producer.deliver()
        producer.send_offsets(
            [self._consumer.place(p, self._owned[p].position) for p in drained], metadata
        )
        crash.passed("after_offsets_sent")
        crash.passed("before_commit")
        producer.commit()
        crash.passed("after_commit")
        return log_bytes

    def _write_state(self, partition: int, payloads: Sequence[bytes]) -> int:
        owned = self._owned[partition]
        # Of a log that says nothing yet the offset is told even if it has not moved: the group is about
        # to commit it, and a group ahead of its log is refused at the next restore.
        logged = owned.log_bytes or owned.snapshot_bytes
        if logged and not payloads and owned.position == owned.logged:
            return 0
        values = changes(owned.logged, owned.position, payloads)
        for value in values:
            self._producer.produce(self._log, value, partition=partition)
        return sum(map(len, values))

    # Snapshots, and what they and commits make needless.

    def _snapshot_if_due(self) -> None:
        for partition, owned in self._owned.items():
            size = owned.snapshot_bytes + owned.log_bytes
            least = max(self._config.snapshot_bytes_min, SNAPSHOT_FACTOR * owned.snapshot_bytes)
            if size >= least and owned.log_bytes and owned.position == owned.logged:
                try:
                    self._snapshot(partition, owned)
                except TransactionAborted as aborted:
                    self._telemetry.aborted(aborted.reason)
                    LOGGER.warning("%s: no snapshot: %s", self._plan.name, aborted)
                return  # One at a time, so that the others' records do not wait long.

    def _snapshot(self, partition: int, owned: Owned) -> None:
        begun_s = self._now_s()
        values = list(snapshot(owned.logged, list(owned.stage.snapshot())))
        begins: list[int] = []
        metadata = self._consumer.group_metadata()
        self._producer.begin()
        for number, value in enumerate(values):
            self._producer.produce(
                self._log,
                value,
                partition=partition,
                on_offset=begins.append if number == 0 else None,
            )
            self._crash.passed(_snapshot_point(number, len(values)))
        self._producer.deliver()
        # The offset is the committed one. It is sent for its fencing: a worker that lost the
        # partition meanwhile must not write an old state over its successor's.
        self._producer.send_offsets([self._consumer.place(partition, owned.logged)], metadata)
        self._producer.commit()
        owned.log_bytes, owned.snapshot_bytes = 0, sum(map(len, values))
        self._crash.passed("snapshot_delete")
        (begin,) = begins
        self._truncation.delete_before(self._log, {partition: begin})
        self._telemetry.snapshot(self._now_s() - begun_s)
        LOGGER.info(
            "%s: snapshot of partition %d, %d bytes",
            self._plan.name,
            partition,
            owned.snapshot_bytes,
        )

    def _truncate_input(self) -> None:
        now_s = self._now_s()
        if not self._plan.truncates or now_s - self._truncated_s < INPUT_TRUNCATION_S:
            return
        self._truncated_s = now_s
        self._truncation.delete_before(self._input, {p: o.logged for p, o in self._owned.items()})

    # Telling.

    def _report(self) -> None:
        backlog = 0
        for partition, owned in self._owned.items():
            end = self._consumer.known_end(partition)
            lag = 0 if owned.at_end or end is None else max(end - owned.position, 0)
            backlog += lag
            place = self._consumer.place(partition)
            self._telemetry.lag(place.topic, place.partition, lag)
            self._telemetry.log_size(partition, owned.log_bytes + owned.snapshot_bytes)
        self.backlog = backlog
        self._telemetry.states({p: owned.stage for p, owned in self._owned.items()})

    @property
    def partitions(self) -> Collection[int]:
        """The partitions that are restored and running."""
        return self._owned.keys()

    def _id(self, slot: str = "") -> str:
        name = f"{self._config.prefix}{self._plan.name}"
        return f"{name}.{slot}" if slot else name

    def _now_s(self) -> float:
        return time.monotonic()


def _snapshot_point(number: int, count: int) -> str:
    if number == 0:
        return "snapshot_begin"
    return "snapshot_end" if number == count - 1 else "snapshot_chunk"
