"""Where the time goes: each step of the hot path alone, on the records of a workload, in one process.

CPU time is the thread's; what librdkafka does beside it, in threads of its own, is shown apart. Figures
are microseconds per input record of `shipments`, also for the stages behind `match`, so that they add up.
"""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Final, NoReturn

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench.cluster import PARTITIONS, Scene
from streams.agents.worker import GC_THRESHOLD
from streams.domain.policy import Policy
from streams.kafka.consumer import Fetched, by_partition, consumer_config
from streams.kafka.reference import ReferenceTopic
from streams.kafka.state_log import changes
from streams.kafka.transaction import TransactionalProducer, producer_config
from streams.records import shipments, topics
from streams.stages.match import MatchPartition
from streams.stages.rate import RatePartition
from streams.stages.rollup import RollupPartition
from streams.stages.stage import Batch, Drained, Output, Stage

BATCH_RECORDS: Final = 10_000
RECORDS_MAX: Final = 500_000
FLUSH_BATCHES: Final = 6
"""Batches between two flushes: half a second at 120,000 records a second."""
PUBLISH_FLUSHES: Final = 10
"""Flushes between two that publish: five seconds, as in a catch-up."""


@dataclass(slots=True)
class Timer:
    """CPU time by step: of the calling thread, and of all others of the process."""

    thread_s: dict[str, float] = field(default_factory=dict)
    others_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add what happens inside to a step."""
        process_s, thread_s = time.process_time(), time.thread_time()
        yield
        own_s = time.thread_time() - thread_s
        self.thread_s[name] = self.thread_s.get(name, 0.0) + own_s
        others_s = time.process_time() - process_s - own_s
        self.others_s[name] = self.others_s.get(name, 0.0) + others_s


@dataclass(frozen=True, slots=True)
class Steps:
    """What the steps cost, in CPU microseconds per record of `shipments`."""

    records: int
    thread_us: dict[str, float]
    others_us: dict[str, float]
    state_bytes: float
    counts_bytes: float


def measure(scene: Scene, records_max: int = RECORDS_MAX) -> Steps:
    """Take the first records of a scene through the three stages, step by step."""
    gc.set_threshold(GC_THRESHOLD, 20, 20)  # As a worker does.
    timer = Timer()
    batches = _polled(scene, records_max, timer)
    records = sum(len(fetched.offsets) for fetched in batches)
    with timer.step("decode (alone)"):
        for fetched in batches:
            for value in fetched.values:
                if value is not None:
                    shipments.decode(value)
    history = ReferenceTopic(scene.cluster.client, scene.topics[topics.REFERENCE].name).history()
    policy, sources = Policy(), PARTITIONS[topics.SHIPMENTS]
    targets = PARTITIONS[topics.COUNTS]
    match = {
        p: MatchPartition(p, policy, history, counts_partitions=targets, clock="data")
        for p in range(sources)
    }
    rate = {t: RatePartition(t, policy, history, sources=sources) for t in range(targets)}
    rollup = {0: RollupPartition(policy, history, sources=targets)}
    flow = _Flow(timer, scene)
    try:
        flow.run(batches, match, rate, rollup)
    finally:
        flow.close()
    per_us = 1e6 / records
    return Steps(
        records,
        {name: seconds * per_us for name, seconds in timer.thread_s.items()},
        {name: seconds * per_us for name, seconds in timer.others_s.items()},
        flow.state_bytes / records,
        flow.counts_bytes / records,
    )


def _polled(scene: Scene, records_max: int, timer: Timer) -> list[Fetched]:
    """Read the first records as a worker does."""
    config = consumer_config(scene.cluster.client, group="bench-steps", instance="0")
    with closing(Consumer(config)) as consumer:
        topic = scene.records_topic
        consumer.assign(
            [
                TopicPartition(topic, p, OFFSET_BEGINNING)
                for p in range(PARTITIONS[topics.SHIPMENTS])
            ]
        )
        records_max = min(records_max, scene.truth.records)
        batches: list[Fetched] = []
        got = 0
        while got < records_max:
            with timer.step("poll: consume"):
                messages = consumer.consume(BATCH_RECORDS, 0.05)
            messages = [message for message in messages if message.error() is None]
            with timer.step("poll: columns"):
                fetched = by_partition(messages)
            # A worker forgets the client's own objects after each batch.
            batches += [
                some._replace(messages=(), timestamps_ms=range(len(some.offsets)))
                for some in fetched
            ]
            got += len(messages)
    return batches


class _Flow:
    """The three stages one after the other, with a transaction per flush of each."""

    def __init__(self, timer: Timer, scene: Scene) -> None:
        self._timer = timer
        self._scene = scene
        self._producer = TransactionalProducer(
            producer_config(scene.cluster.client, transactional_id="bench-steps"),
            end_process=_end_process,
        )
        self._producer.init()
        self._offsets = {"rate": 0, "rollup": 0}
        self.state_bytes = self.counts_bytes = 0

    def run(
        self,
        batches: Sequence[Fetched],
        match: dict[int, MatchPartition],
        rate: dict[int, RatePartition],
        rollup: dict[int, RollupPartition],
    ) -> None:
        step = self._timer.step
        for number, fetched in enumerate(batches, start=1):
            stage = match[fetched.partition]
            batch = Batch(fetched.offsets, fetched.keys, fetched.values, fetched.timestamps_ms)
            with step("match: apply"):
                stage.apply(batch)
            if number % FLUSH_BATCHES and number < len(batches):
                continue
            publish = number % (FLUSH_BATCHES * PUBLISH_FLUSHES) == 0 or number == len(batches)
            counts = self._flush("match", match, publish=publish)
            self.counts_bytes += sum(len(o.value or b"") for o in counts)
            self._apply("rate", rate, counts)
            totals = self._flush("rate", rate, publish=publish)
            self._apply("rollup", rollup, totals)
            self._flush("rollup", rollup, publish=publish)

    def close(self) -> None:
        self._producer.close()

    def _apply(self, name: str, stages: Mapping[int, Stage], inputs: Sequence[Output]) -> None:
        for target in stages:
            values = [output.value for output in inputs if output.partition == target]
            begin = self._offsets[name]
            self._offsets[name] += len(values)
            offsets = range(begin, begin + len(values))
            batch = Batch(offsets, [None] * len(values), values, [0] * len(values))
            with self._timer.step(f"{name}: apply"):
                stages[target].reference_version_needed(batch)
                stages[target].apply(batch)

    def _flush(self, name: str, stages: Mapping[int, Stage], *, publish: bool) -> list[Output]:
        """Drain and commit; return what goes to the next stage."""
        drained: dict[int, Drained] = {}
        with self._timer.step(f"{name}: drain{' and publish' if publish else ''}"):
            for partition, stage in stages.items():
                drained[partition] = stage.drain(publish=publish)
        with self._timer.step(f"{name}: commit"):
            self._commit(name, drained)
        with self._timer.step(f"{name}: drain"):
            for stage in stages.values():
                stage.committed()
        if name == "match":
            self.state_bytes += sum(len(s) for d in drained.values() for s in d.state)
        outputs = [output for of in drained.values() for output in of.outputs]
        return [o for o in outputs if o.topic in (topics.COUNTS, topics.TOTALS)]

    def _commit(self, name: str, drained: dict[int, Drained]) -> None:
        producer, named = self._producer, self._scene.topics
        producer.begin()
        for partition, of in drained.items():
            for value in changes(0, 0, of.state):
                producer.produce(named[f"{name}.state"].name, value, partition=partition)
            for topic, key, value_out, target, _ in of.outputs:
                producer.produce(named[topic].name, value_out, key=key, partition=target)
        producer.deliver()
        producer.commit()


def _end_process(reason: str) -> NoReturn:
    raise SystemExit(reason)


def report(steps: Steps) -> str:
    """Return the steps as a Markdown table, with the sums that matter."""
    lines = [
        f"{steps.records:,} records, one process; CPU µs per record.",
        "",
        "| step | its thread | other threads |",
        "| --- | ---: | ---: |",
    ]
    for name, own_us in steps.thread_us.items():
        lines.append(f"| {name} | {own_us:.3f} | {steps.others_us[name]:.3f} |")
    counted = [name for name in steps.thread_us if "alone" not in name]
    own = sum(steps.thread_us[name] for name in counted)
    others = sum(steps.others_us[name] for name in counted)
    lines += [
        f"| **all but decode alone** | {own:.3f} | {others:.3f} |",
        "",
        (
            f"State log {steps.state_bytes:.1f} and changes of counts {steps.counts_bytes:.1f} bytes per "
            "record, before compression."
        ),
    ]
    return "\n".join(lines)
