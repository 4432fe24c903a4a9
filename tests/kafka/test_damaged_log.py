"""A state log that is damaged, cut short or of a newer version: the worker says so, and touches nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.agents.worker import EXIT_UNTRUSTED
from streams.kafka import state_log
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.state_log import Kind, LogRecord
from streams.kafka.topics import create_topics
from streams.records.topics import MATCH_STATE, SHIPMENTS, catalogue
from tests.conftest import FEW_PARTITIONS, NewBroker
from tests.kafka.counting import end_offsets, produce, summed_counts
from tests.kafka.test_runner import KEYS, all_committed, times, wait_for
from tests.kafka.test_worker import Worker

pytestmark = pytest.mark.kafka

PARTITION = 0
FLUSHES = 2
FAR = 1_000_000
BATCH_HEADER_BYTES = 61
LENGTH_AT, ATTRIBUTES_AT = 8, 21
CONTROL = 0x20
"""Where things stand in a record batch of Kafka, and what marks one that ends a transaction."""

Damage = Callable[[EmbeddedBroker, str], None]


@pytest.fixture(scope="module")
def own(new_broker: NewBroker) -> EmbeddedBroker:
    """A broker whose files are written to while it is stopped."""
    broker = new_broker("damaged")
    broker.start()
    return broker


def settings(broker: EmbeddedBroker) -> dict[str, Any]:
    return client_config(broker.bootstrap, client_id="tests")


def append(value: bytes) -> Damage:
    def damage(broker: EmbeddedBroker, topic: str) -> None:
        producer = Producer(settings(broker))
        producer.produce(topic, value, partition=PARTITION)
        producer.flush()

    return damage


def change_at(offset: int) -> bytes:
    return state_log.encode(LogRecord(Kind.CHANGE, offset, offset + 1, 0, 1, b""))


def forget_the_beginning(broker: EmbeddedBroker, topic: str) -> None:
    admin = AdminClient(settings(broker))
    place = TopicPartition(topic, PARTITION, 1)
    for future in admin.delete_records([place]).values():
        future.result(30)


def forget_everything(broker: EmbeddedBroker, topic: str) -> None:
    admin = AdminClient(settings(broker))
    place = TopicPartition(topic, PARTITION, end_offsets(broker.bootstrap, topic)[PARTITION])
    for future in admin.delete_records([place]).values():
        future.result(30)


def flip_a_bit_on_the_disk(broker: EmbeddedBroker, topic: str) -> None:
    broker.stop()
    [segment] = broker.data_dir.rglob(f"{topic}-{PARTITION}/*.log")
    data = bytearray(segment.read_bytes())
    data[next(records_in(data)) + 5] ^= 1
    segment.write_bytes(data)
    broker.start()


def records_in(segment: bytes | bytearray) -> Iterator[int]:
    """Yield where the records of each batch begin, but of those that only end a transaction."""
    at = 0
    while at < len(segment):
        if not segment[at + ATTRIBUTES_AT + 1] & CONTROL:
            yield at + BATCH_HEADER_BYTES
        at += 12 + int.from_bytes(segment[at + LENGTH_AT : at + LENGTH_AT + 4])


NEWER = bytes([state_log.FORMAT + 1]) + b"what nobody knows yet"

DAMAGES: list[tuple[str, Damage, str]] = [
    ("of a newer version", append(NEWER), "run the version that wrote it"),
    ("with a record that is none", append(bytes([state_log.FORMAT]) + b"\xc1"), "no log record"),
    ("with an empty record", append(b""), "an empty record"),
    ("with a gap", append(change_at(FAR)), "a gap"),
    ("without its beginning", forget_the_beginning, "its beginning has been deleted"),
    ("of which nothing is left", forget_everything, "all its records have been deleted"),
    ("with another bit on the disk", flip_a_bit_on_the_disk, "a damaged batch"),
]


@pytest.mark.parametrize(("damage", "said"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_a_worker_refuses_a_log(
    damage: Damage, said: str, own: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    create_topics(
        AdminClient(settings(own)), catalogue(prefix, FEW_PARTITIONS), replication_factor=1
    )
    worker = Worker(own.bootstrap, prefix, tmp_path, "0", "1")
    try:
        for _ in range(FLUSHES):  # Or nothing would be left of a log without its first record.
            produce(own.bootstrap, prefix + SHIPMENTS, KEYS)
            wait_for(lambda: all_committed(own, prefix))
        worker.process.terminate()
        assert worker.process.wait(30) == 0, worker.said()
        damage(own, prefix + MATCH_STATE)
        worker = Worker(own.bootstrap, prefix, tmp_path, "0", "1")
        assert worker.process.wait(60) == EXIT_UNTRUSTED, worker.said()
    finally:
        worker.process.kill()
        worker.process.wait()
    assert said in worker.said()
    assert "realname state rebuild" in worker.said(), "what an operator can do"
    assert "Traceback" not in worker.said()
    assert summed_counts(own.bootstrap, prefix) == times(FLUSHES)
