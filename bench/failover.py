"""How long the partitions of a worker that is killed stand still: a survivor takes them, or it comes back.

Two workers share the partitions of the match stage, records come at a steady rate. One worker is killed, at a
random instant or in the middle of a transaction (all of it written, offsets sent, nothing committed). The
clock runs until somebody has committed further on every partition that it had.
"""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from bench.chaos.slot import ROOT
from bench.cluster import PARTITIONS, Cluster, Scene
from bench.latency import FLUSH_MS, OUTLETS, RATE_PER_S, feed
from bench.workload import Size, write_files
from streams.records import topics

STAGE: Final = "match"
SLOTS: Final = ("a", "b")
TRIES: Final = 5
BACK_S: Final = 1.0
"""So long after its death the same slot has a worker again."""
IN_TRANSACTION: Final = "after_offsets_sent"
PASSES: Final = 80
"""Transactions before the one that it dies in; both workers have their partitions by then."""
SNAPSHOT_BYTES_MIN: Final = 16 * 1024 * 1024
LOOK_S: Final = 0.03
BURST_S: Final = 0.1
SETTLED_S: Final = 90.0
ENDS_MS: Final = 1 << 50
"""Of a feed that goes on for longer than anybody measures."""
ASK_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Case:
    """A way to die, and whether it comes back.

    Attributes:
        name: In words.
        in_transaction: Whether it dies in the middle of one.
        comes_back: Whether its slot has a worker again, after `BACK_S`; the clock runs from then on.
        goal_s: What is aimed at.

    """

    name: str
    in_transaction: bool
    comes_back: bool
    goal_s: float


CASES: Final = (
    Case("a survivor goes on", in_transaction=False, comes_back=False, goal_s=10.0),
    Case("the same, killed in a transaction", in_transaction=True, comes_back=False, goal_s=10.0),
    Case("its slot goes on, after the restart", in_transaction=False, comes_back=True, goal_s=4.0),
    Case("the same, killed in a transaction", in_transaction=True, comes_back=True, goal_s=4.0),
)


def measure(
    cluster: Cluster, *, tries: int, seed: int, say: Callable[[str], None]
) -> Mapping[Case, Sequence[float]]:
    """Return the seconds of each try, by case."""
    size = Size(1_000)
    scene = Scene(cluster, size, write_files(size, cluster.data_dir / "workloads"), name="failover")
    scene.begin_empty()
    rng = random.Random(seed)
    found: dict[Case, list[float]] = {case: [] for case in CASES}
    with _feeding(scene), closing(_Group(scene)) as group, _workers(scene) as workers:
        for number in range(tries):
            for case in CASES:
                found[case].append(_try(workers, group, case, rng))
                say(f"try {number + 1}: {case.name}: {found[case][-1]:.1f} s")
    return found


def report(found: Mapping[Case, Sequence[float]]) -> str:
    """Return the table."""
    lines = [
        "| a worker is killed | tries | least | median | most | goal |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {case.name} | {len(took)} | {min(took):.1f} s | {median(took):.1f} s | {max(took):.1f} s "
        f"| {case.goal_s:.0f} s |"
        for case, took in found.items()
    ]
    return "\n".join(lines)


class _Group:
    """What is known of the stage's consumer group."""

    def __init__(self, scene: Scene) -> None:
        self._admin = scene.cluster.admin
        self._name = f"{scene.prefix}{STAGE}"
        self._topic = scene.records_topic
        # Read uncommitted: what a transaction is about to commit is neither told nor waited for.
        self._consumer = Consumer(
            {
                **scene.cluster.client,
                "group.id": self._name,
                "isolation.level": "read_uncommitted",
                "enable.auto.commit": False,
            }
        )

    def owned(self) -> dict[str, set[int]]:
        """Return each slot's partitions."""
        try:
            described = self._admin.describe_consumer_groups([self._name])[self._name].result()
        except KafkaException:
            return {}
        return {
            member.group_instance_id: {
                place.partition for place in member.assignment.topic_partitions
            }
            for member in described.members
        }

    def committed(self) -> dict[int, int]:
        """Return each partition's committed offset, negative where there is none."""
        places = [TopicPartition(self._topic, p) for p in range(PARTITIONS[topics.SHIPMENTS])]
        return {
            place.partition: place.offset
            for place in self._consumer.committed(places, ASK_TIMEOUT_S)
        }

    def await_further(self, than: Mapping[int, int]) -> None:
        """Wait until partitions have been committed beyond these offsets."""
        deadline_s = time.monotonic() + SETTLED_S
        while True:
            now = self.committed()
            if all(now[partition] > offset for partition, offset in than.items()):
                return
            assert time.monotonic() < deadline_s, f"nobody goes on: {dict(than)}, {now}"
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


class _Workers:
    """A worker in each slot."""

    def __init__(self, scene: Scene) -> None:
        folder = scene.cluster.data_dir
        self._config = folder / "failover.toml"
        self._log = folder / "failover.log"
        lines = [
            f'bootstrap = "{scene.cluster.bootstrap}"',
            f'prefix = "{scene.prefix}"',
            f'data_dir = "{folder}"',
            'clock = "data"',
            'agents = "match,rate,rollup"',
            f"flush_ms = {FLUSH_MS}",
            "[partitions]",
            *(f"{name} = {count}" for name, count in PARTITIONS.items()),
        ]
        self._config.write_text("\n".join(lines), "utf8")
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, slot: str, *crash: str) -> None:
        """Start one."""
        command = [sys.executable, "-m", "bench.chaos.worker", str(self._config), slot]
        with self._log.open("ab") as log:
            self._running[slot] = subprocess.Popen(
                [*command, str(SNAPSHOT_BYTES_MIN), "0", *crash],
                cwd=self._config.parent,
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )

    def kill(self, slot: str) -> None:
        """Kill one."""
        self._running[slot].kill()
        self._running[slot].wait()

    def await_death(self, slot: str) -> None:
        """Wait until one has killed itself."""
        code = self._running[slot].wait(SETTLED_S)
        assert code == -signal.SIGKILL, f"it ended with {code}; its log is {self._log}"

    def stop(self) -> None:
        """Stop all."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _workers(scene: Scene) -> Iterator[_Workers]:
    workers = _Workers(scene)
    try:
        for slot in SLOTS:
            workers.start(slot)
        yield workers
    finally:
        workers.stop()


@contextmanager
def _feeding(scene: Scene) -> Iterator[None]:
    """Send records at a steady rate, to all partitions."""
    lines = scene.files.outlets.read_text("utf8").splitlines()[1 : OUTLETS + 1]
    records = feed([line.partition(",")[0] for line in lines], ENDS_MS)
    producer = Producer(
        {**scene.cluster.client, "partitioner": "murmur2_random", "compression.type": "lz4"}
    )
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(BURST_S):
            for record in islice(records, int(RATE_PER_S * BURST_S)):
                producer.produce(scene.records_topic, record.value, record.key)
            producer.poll(0)

    thread = threading.Thread(target=send, name="feed", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        producer.flush(10)


def _try(workers: _Workers, group: _Group, case: Case, rng: random.Random) -> float:
    """Kill the first slot's worker; return how many seconds its partitions stood still."""
    slot = SLOTS[0]
    lost = _settled(group)[slot]
    if case.in_transaction:
        workers.kill(slot)
        workers.start(slot, STAGE, f"{IN_TRANSACTION}:{PASSES}")
        lost = _settled(group)[slot]
        workers.await_death(slot)
    else:
        time.sleep(rng.uniform(0, 1))
        workers.kill(slot)
    died_s = time.monotonic()
    time.sleep(BACK_S)  # What was committed before its death is there by then, and nothing else.
    before = group.committed()
    if case.comes_back:
        died_s = time.monotonic()
        workers.start(slot)
    group.await_further({partition: before[partition] for partition in lost})
    took_s = time.monotonic() - died_s
    if not case.comes_back:
        workers.start(slot)
    return took_s


def _settled(group: _Group) -> Mapping[str, set[int]]:
    """Wait until both workers have partitions and all of them go on; return whose is what."""
    deadline_s = time.monotonic() + SETTLED_S
    while True:
        owned = group.owned()
        if all(owned.get(slot) for slot in SLOTS):
            group.await_further(group.committed())
            if group.owned() == owned:
                return owned
        assert time.monotonic() < deadline_s, f"the workers do not come to share: {owned}"
        time.sleep(LOOK_S)
