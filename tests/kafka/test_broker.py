"""The embedded broker: it comes up, says where, survives, and never harms a stranger."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka.broker import BrokerError, EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.embedded_java import KAFKA_VERSION
from streams.kafka.topics import check_topics, create_topics
from streams.records.topics import SHIPMENTS, Topic, catalogue
from tests.conftest import FEW_PARTITIONS, NewBroker

pytestmark = pytest.mark.kafka

START = """
import sys
from pathlib import Path
from streams.kafka.broker import EmbeddedBroker
EmbeddedBroker(Path(sys.argv[1]), port=0, java_home=sys.argv[2] or None).start()
"""


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({**client_config(bootstrap, client_id="tests"), "acks": "all"})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0


def read(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer(
        {
            **client_config(bootstrap, client_id="tests"),
            "group.id": "tests",
            "isolation.level": "read_committed",
        },
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    values = [message.value() for message in consumer.consume(count, timeout=30)]
    consumer.close()
    return values


@pytest.fixture(scope="module")
def own(new_broker: NewBroker) -> EmbeddedBroker:
    """A broker for tests that stop and kill; the first start is by a process that then ends."""
    own = new_broker("own")
    arguments = [str(own.data_dir), os.environ.get("JAVA_HOME", "")]
    subprocess.run([sys.executable, "-c", START, *arguments], check=True, timeout=120)
    return own


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Some process that has nothing to do with Kafka."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def test_broker_outlives_the_process_that_started_it_and_is_found_by_another(
    own: EmbeddedBroker,
) -> None:
    status = own.status()
    assert status.running
    assert status.pid is not None
    assert psutil.pid_exists(status.pid)
    assert status.bootstrap == own.bootstrap == f"127.0.0.1:{own.port}"
    assert status.version == KAFKA_VERSION


def test_starting_a_running_broker_changes_nothing(own: EmbeddedBroker) -> None:
    before = own.status()
    steps: list[str] = []
    own.start(steps.append)
    assert own.status() == before
    assert steps == []


def test_two_brokers_live_side_by_side(own: EmbeddedBroker, broker: EmbeddedBroker) -> None:
    clusters = set()
    for each in (own, broker):
        admin = AdminClient(client_config(each.bootstrap, client_id="tests"))
        clusters.add(admin.describe_cluster(request_timeout=10).result().cluster_id)
    assert len(clusters) == 2


def test_everything_it_writes_is_in_its_folder(own: EmbeddedBroker) -> None:
    pid = own.status().pid
    written = {Path(file.path) for file in psutil.Process(pid).open_files() if file.mode != "r"}
    assert written
    assert all(path.is_relative_to(own.data_dir) for path in written), written


def test_another_port_than_the_running_brokers_is_refused(own: EmbeddedBroker) -> None:
    with pytest.raises(BrokerError, match=f"runs already, on port {own.port}"):
        EmbeddedBroker(own.data_dir, port=own.port + 1).start()


def test_a_taken_port_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        broker = EmbeddedBroker(tmp_path, port=port)
        with pytest.raises(BrokerError, match=rf"port {port} .* in use .* another port"):
            broker.start()
    assert not broker.status().running


def test_records_and_port_survive_a_kill_and_a_stop(own: EmbeddedBroker) -> None:
    topics = catalogue("survivor.", FEW_PARTITIONS)
    admin = AdminClient(client_config(own.bootstrap, client_id="tests"))
    create_topics(admin, topics, replication_factor=1)
    port = own.port
    produce(own.bootstrap, topics[SHIPMENTS].name, [b"before the kill"])

    own.kill()
    assert not own.status().running
    own.start()
    produce(own.bootstrap, topics[SHIPMENTS].name, [b"after the kill"])

    own.stop()
    assert not own.status().running
    own.stop()
    own.start()

    assert own.port == port
    assert check_topics(admin, topics) == []
    assert read(own.bootstrap, topics[SHIPMENTS].name, 2) == [b"before the kill", b"after the kill"]


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_transactions_work_with_every_compression(
    broker: EmbeddedBroker,
    topics: dict[str, Topic],
    prefix: str,
    compression: str,
) -> None:
    producer = Producer(
        {
            **client_config(broker.bootstrap, client_id="tests"),
            "transactional.id": prefix,
            "compression.type": compression,
        },
    )
    producer.init_transactions(30)
    for value, commit in ((b"aborted " * 99, False), (b"committed " * 99, True)):
        producer.begin_transaction()
        producer.produce(topics[SHIPMENTS].name, value, partition=0)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.flush(30)
            producer.abort_transaction(30)
    assert read(broker.bootstrap, topics[SHIPMENTS].name, 1) == [b"committed " * 99]


def test_a_failed_start_shows_the_log_and_the_remedy_and_leaves_no_process(
    tmp_path: Path,
) -> None:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "meta.properties").write_text("cluster.id=spoilt\n")
    broker = EmbeddedBroker(tmp_path, port=0, java_home=os.environ.get("JAVA_HOME"))
    with pytest.raises(BrokerError, match=r"(?s)ERROR .* node ID not found .* delete /") as raised:
        broker.start()
    assert str(tmp_path) in str(raised.value)
    assert not broker.status().running


def test_a_transaction_that_a_crash_left_open_is_ended_and_holds_no_reader_up(
    own: EmbeddedBroker,
) -> None:
    own.start()
    topics = catalogue("open.", FEW_PARTITIONS)
    admin = AdminClient(client_config(own.bootstrap, client_id="tests"))
    create_topics(admin, topics, replication_factor=1)
    topic = topics[SHIPMENTS].name
    producer = Producer(
        {
            **client_config(own.bootstrap, client_id="tests"),
            "transactional.id": "open",
            "transaction.timeout.ms": 1_000,
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"never committed", partition=0)
    assert producer.flush(30) == 0
    own.kill()
    log = own.data_dir / "logs/server.log"
    begin = log.stat().st_size
    own.start()
    produce(own.bootstrap, topic, [b"after the kill"])
    assert read(own.bootstrap, topic, 1) == [b"after the kill"]
    # Whether Kafka drops the marks otherwise is a race: that nothing runs before it is what counts.
    said = log.read_text("utf8")[begin:]
    assert said.index("Fencing broker") < said.index("Elected as the txn coordinator")


def test_a_stranger_with_the_brokers_old_pid_is_not_killed(
    sleeper: subprocess.Popen[bytes],
    tmp_path: Path,
) -> None:
    started_at_s = psutil.Process(sleeper.pid).create_time()
    record = {"pid": sleeper.pid, "started_at_s": started_at_s, "port": 1, "controller_port": 2}
    (tmp_path / "broker.json").write_text(json.dumps(record))
    broker = EmbeddedBroker(tmp_path)
    assert not broker.status().running
    broker.stop()
    broker.kill()
    assert sleeper.poll() is None


def test_a_broker_that_ignores_the_request_to_stop_is_killed(own: EmbeddedBroker) -> None:
    pid = own.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    own.stop(timeout_s=0.2)
    assert not own.status().running
