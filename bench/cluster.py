"""The broker of a measurement and its topics, in a data folder of its own."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from bench.workload import Files, Size, produce, truth_of, write_files
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.clock import now_ms
from streams.kafka.errors import cluster_error
from streams.kafka.reading import committed_offsets, end_offsets
from streams.kafka.reference import ReferenceTopic
from streams.kafka.topics import create_topics
from streams.records import topics
from streams.records.topics import Topic, catalogue
from streams.reference.areas import shipped_areas
from streams.reference.files import read_file
from streams.reference.listing import Kind

PARTITIONS: Final = {topics.SHIPMENTS: 4, topics.COUNTS: 2}
KEPT: Final = (topics.SHIPMENTS, topics.REFERENCE)
STAGES: Final = (
    ("match", topics.SHIPMENTS),
    ("rate", topics.COUNTS),
    ("rollup", topics.TOTALS),
)
HEAP_MB: Final = 1024
GROUP_EMPTY_S: Final = 20.0
"""A worker's place in its group stays for six seconds after it has left."""


class Cluster:
    """A running broker, and the workloads that its topics hold.

    Attributes:
        bootstrap: `host:port`.
        broker_pid: Of its process.
        data_dir: Where everything of the measurement is.

    """

    def __init__(self, broker: EmbeddedBroker, data_dir: Path) -> None:
        status = broker.status()
        assert status.pid is not None
        assert status.bootstrap is not None
        self.bootstrap = status.bootstrap
        self.broker_pid = status.pid
        self.data_dir = data_dir
        self.kafka_dir = broker.data_dir / "kafka"
        self.admin = AdminClient(self.client)

    @property
    def client(self) -> dict[str, Any]:
        """What to give a Kafka client; a new dict each time."""
        return client_config(self.bootstrap, client_id="bench")

    def broker_cpu_s(self) -> float:
        """Return the broker's CPU time since its start."""
        times = psutil.Process(self.broker_pid).cpu_times()
        return float(times.user + times.system)

    def scene(self, size: Size, say: Callable[[str], None]) -> "Scene":
        """Return the scene of a workload, whose records are written first unless they are there."""
        scene = Scene(self, size, write_files(size, self.data_dir / "workloads"))
        scene.prepare(say)
        return scene


class Scene:
    """A workload in Kafka: the topics that this program has with it, and its truth.

    Attributes:
        prefix: Begins the names of its topics and groups.
        topics: By their names without prefix.

    """

    def __init__(self, cluster: Cluster, size: Size, files: Files, *, name: str = "") -> None:
        self.cluster = cluster
        self.size = size
        self.files = files
        self.truth = truth_of(files)
        self.prefix = f"bench-{name or size.name}."
        self.topics: Mapping[str, Topic] = catalogue(self.prefix, PARTITIONS)

    @property
    def records_topic(self) -> str:
        """The full name of the topic with the records."""
        return self.topics[topics.SHIPMENTS].name

    def prepare(self, say: Callable[[str], None]) -> None:
        """Write records and reference data, unless they are there whole."""
        admin = self.cluster.admin
        create_topics(admin, self.topics, replication_factor=1)
        whole = self.truth.records + PARTITIONS[topics.SHIPMENTS]
        written = sum(end_offsets(admin, self.records_topic).values())
        if written == whole:
            return
        if written:
            self._delete([topic.name for topic in self.topics.values()])
            create_topics(admin, self.topics, replication_factor=1)
        say(f"writing {self.truth.records:,} records to {self.records_topic}")
        self._apply_outlets()
        produce(self.size, self.cluster.client, self.records_topic)

    def begin_empty(self) -> None:
        """Have no records, and nothing that workers have made of any."""
        self._delete_groups()
        self._delete([topic.name for topic in self.topics.values()])
        create_topics(self.cluster.admin, self.topics, replication_factor=1)
        self._apply_outlets()

    def _apply_outlets(self) -> None:
        listing = read_file(Kind.OUTLETS, self.files.outlets, shipped_areas())
        reference = ReferenceTopic(self.cluster.client, self.topics[topics.REFERENCE].name)
        reference.apply(listing, now_ms=now_ms())

    def reset(self) -> None:
        """Forget what workers have made of the records, and how far they came."""
        made = {name: topic for name, topic in self.topics.items() if name not in KEPT}
        self._delete_groups()
        self._delete([topic.name for topic in made.values()])
        create_topics(self.cluster.admin, made, replication_factor=1)

    def _delete_groups(self) -> None:
        for stage, _ in STAGES:
            self.delete_group(f"{self.prefix}{stage}")

    def delete_group(self, group: str) -> None:
        """Delete a consumer group once it is empty; do nothing if there is none."""
        deadline = time.monotonic() + GROUP_EMPTY_S
        while True:
            try:
                self.cluster.admin.delete_consumer_groups([group])[group].result()
            except KafkaException as error:
                found = error.args[0]
                if found.code() == KafkaError.GROUP_ID_NOT_FOUND:
                    return
                passing = cluster_error(found, doing=f"deleting group {group}").retryable
                passing = passing or found.code() == KafkaError.NON_EMPTY_GROUP
                if not passing or time.monotonic() > deadline:
                    raise
            else:
                return
            time.sleep(0.2)

    def delete_topics_of(self, group: str) -> None:
        """Delete the topics that an engine has made for a group of its own."""
        listed = self.cluster.admin.list_topics(timeout=10).topics
        self._delete([name for name in listed if name.startswith(group)])

    def left(self, stage: str) -> int:
        """Return how many input records a stage has not committed yet; 0 once all are."""
        input_ = self.topics[dict(STAGES)[stage]].name
        ends = end_offsets(self.cluster.admin, input_)
        committed = committed_offsets(self.cluster.client, f"{self.prefix}{stage}", input_)
        # Nobody has seen yet that a partition without a commit is empty.
        return sum(
            end - reached if (reached := committed[partition]) is not None else end + 1
            for partition, end in ends.items()
        )

    def bytes_on_disk(self, name: str) -> int:
        """Return the bytes that a topic of the catalogue has on the broker's disk, as it packs them."""
        logs = self.cluster.kafka_dir.rglob(f"{self.topics[name].name}-*/*.log")
        return sum(log.stat().st_size for log in logs)

    def _delete(self, names: list[str]) -> None:
        for future in self.cluster.admin.delete_topics(names).values() if names else ():
            with suppress(KafkaException):  # One that is not there.
                future.result()
        while set(names) & self.cluster.admin.list_topics(timeout=10).topics.keys():
            time.sleep(0.1)


@contextmanager
def running_cluster(data_dir: Path, *, port: int, java_home: str | None) -> Iterator[Cluster]:
    """Start the broker of a data folder, and stop it in the end unless it ran before."""
    broker = EmbeddedBroker(data_dir / "broker", port=port, heap_mb=HEAP_MB, java_home=java_home)
    ran = broker.status().running
    broker.start()
    try:
        yield Cluster(broker, data_dir)
    finally:
        if not ran:
            broker.stop()
