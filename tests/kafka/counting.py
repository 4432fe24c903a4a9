"""A stage that counts records per key, and what tests need to look at it from outside.

It writes two outputs: `counts`, the change of each flush, whose sum must be exact; and `rates`, a
key's count, of which the last must be.

Run as a script it is a worker of its own, to be killed:
    counting.py BOOTSTRAP PREFIX SLOT [CRASH_PLAN] [SNAPSHOT_BYTES_MIN]
"""

import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.agents.runner import Runner, RunnerConfig, StagePlan
from streams.kafka import reading
from streams.kafka.client import client_config
from streams.kafka.crash import CrashPlan
from streams.kafka.dead_letters import headers_of
from streams.records.rejects import Reject, RejectCode
from streams.records.topics import COUNTS, RATES, SHIPMENTS
from streams.stages.stage import Batch, Drained, Output

CHUNK_KEYS = 1_000


class CountingStage:
    """Implements `streams.stages.stage.Stage`."""

    def __init__(self, partition: int, counts_partitions: int = 2) -> None:
        self.partition = partition
        self.counts: dict[str, int] = {}
        self.restorations = 0
        self._counts_partitions = counts_partitions
        self._changed: Counter[str] = Counter()
        self._unpublished: set[str] = set()
        self._published = False
        self._next_offset = 0

    def reference_version_needed(self, batch: Batch) -> int:
        return max((int(v[4:]) for v in batch.values if v and v.startswith(b"ref ")), default=0)

    def apply(self, batch: Batch) -> list[Reject]:
        assert batch.offsets[0] >= self._next_offset, "applied twice"
        rejects = []
        for index, (key, value) in enumerate(zip(batch.keys, batch.values, strict=True)):
            if value == b"bad":
                rejects.append(Reject(index, RejectCode.NOT_JSON, "$", ""))
            elif key is not None:
                self._changed[key.decode()] += 1
        self._next_offset = batch.offsets[-1] + 1
        return rejects

    @property
    def next_offset(self) -> int:
        return self._next_offset

    def drain(self, *, publish: bool) -> Drained:
        self._published = publish
        drained = Drained()
        if self._changed:
            payload = msgspec.msgpack.encode(self._changed)
            drained.state.append(payload)
            target = self.partition % self._counts_partitions
            drained.outputs.append(Output(COUNTS, None, payload, target))
        if publish:
            for key in self._unpublished | self._changed.keys():
                count = self.counts.get(key, 0) + self._changed[key]
                drained.outputs.append(Output(RATES, key.encode(), str(count).encode()))
        return drained

    def committed(self) -> None:
        for key, count in self._changed.items():
            self.counts[key] = self.counts.get(key, 0) + count
        if self._published:
            self._unpublished.clear()
        else:
            self._unpublished |= self._changed.keys()
        self._changed = Counter()

    def snapshot(self) -> Iterator[bytes]:
        for chunk in _batched(list(self.counts.items()), CHUNK_KEYS):
            yield msgspec.msgpack.encode(dict(chunk))

    def restore_snapshot(self, chunks: Sequence[bytes]) -> None:
        self.counts = {}
        for chunk in chunks:
            self.counts |= msgspec.msgpack.decode(chunk, type=dict[str, int])

    def restore_delta(self, payload: bytes) -> None:
        for key, count in msgspec.msgpack.decode(payload, type=dict[str, int]).items():
            self.counts[key] = self.counts.get(key, 0) + count

    def restored(self) -> None:
        self.restorations += 1
        self._unpublished |= self.counts.keys()


def _batched(items: Sequence[tuple[str, int]], size: int) -> Iterator[Sequence[tuple[str, int]]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


COUNTING = StagePlan(name="match", input=SHIPMENTS, make_stage=CountingStage)


class LookedOnError(Exception):
    """Raised instead of ending the process."""


def runner_config(bootstrap: str, prefix: str, slot: str = "0", **more: object) -> RunnerConfig:
    client = client_config(bootstrap, client_id=f"tests-{slot}")
    return RunnerConfig(client=client, prefix=prefix, slot=slot, flush_s=0.05, **more)  # type: ignore[arg-type]  # passed through


def run_until(runner: Runner, done: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Step until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "timed out"
        runner.step(runner.apply)


def produce(bootstrap: str, topic: str, records: Mapping[str, int], partitions: int = 2) -> None:
    """Write so many records of each key, spread over partitions by key, interleaved."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50})
    left = dict(records)
    while left:
        for key in list(left):
            partition = sum(key.encode()) % partitions
            producer.produce(topic, b"{}", key.encode(), partition)
            left[key] -= 1
            if not left[key]:
                del left[key]
        producer.poll(0)
    assert producer.flush(30) == 0


Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]


def read_all(bootstrap: str, topic: str) -> list[Record]:
    """Return everything that is committed in a topic, from its beginning to its end as of the call."""
    messages = reading.read_to_end({"bootstrap.servers": bootstrap}, topic)
    return [
        (
            message.key(),
            message.value(),
            [(n, v) for n, v in headers_of(message) if isinstance(v, bytes)],
        )
        for message in messages
    ]


def summed_counts(bootstrap: str, prefix: str) -> dict[str, int]:
    """Return the sums of the changes that have been written."""
    total: Counter[str] = Counter()
    for _, value, _ in read_all(bootstrap, prefix + COUNTS):
        assert value is not None
        total.update(msgspec.msgpack.decode(value, type=dict[str, int]))
    return dict(total)


def last_rates(bootstrap: str, prefix: str) -> dict[str, int]:
    """Return the last published count of each key."""
    records = read_all(bootstrap, prefix + RATES)
    return {key.decode(): int(value) for key, value, _ in records if key and value}


def committed_offsets(bootstrap: str, group: str, topic: str) -> dict[int, int | None]:
    """Return what a group has committed, None where nothing."""
    return reading.committed_offsets({"bootstrap.servers": bootstrap}, group, topic)


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Return the offset behind each partition's last record, committed or not."""
    return reading.end_offsets(AdminClient({"bootstrap.servers": bootstrap}), topic)


def main(bootstrap: str, prefix: str, slot: str, crash: str = "", snapshot: str = "") -> None:
    logging.basicConfig(level=logging.INFO)
    config = runner_config(
        bootstrap,
        prefix,
        slot,
        crash=CrashPlan(crash),
        snapshot_bytes_min=int(snapshot or 16 * 1024 * 1024),
    )
    runner = Runner(COUNTING, config)
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
    runner.start()
    while not stopping:
        runner.step(runner.apply)
    runner.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
