"""What stands on the topics that leave the system, read committed, by one reader that stays at their end."""

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka.dead_letters import headers_of
from streams.kafka.reading import end_offsets
from streams.records.topics import ALERTS, DAYS, PARCELS_MISSING, RATES, SHIPMENTS_DLQ
from tests.scenarios.worker import Cluster

OUTPUTS: Final = (ALERTS, RATES, DAYS, PARCELS_MISSING, SHIPMENTS_DLQ)
PATIENCE_S: Final = 30.0


class Read(NamedTuple):
    """One record. Of headers with one name the last."""

    key: bytes
    value: bytes | None
    headers: Mapping[str, bytes]


class Outputs:
    """Every record of each topic so far, in order per partition; `read` brings it up to date."""

    def __init__(self, cluster: Cluster) -> None:
        self._names = {cluster.topics[name].name: name for name in OUTPUTS}
        self._admin = AdminClient(cluster.client)
        self._consumer = Consumer(
            {
                **cluster.client,
                "group.id": f"{cluster.prefix}outputs",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
            }
        )
        self._assigned = False
        self._at: dict[tuple[str, int], int] = {}
        self.records: dict[str, list[Read]] = {name: [] for name in OUTPUTS}

    def read(self) -> None:
        """Read everything that was written, and has been committed, before the call."""
        ends = {
            (topic, partition): end
            for topic in self._names
            for partition, end in end_offsets(self._admin, topic).items()
        }
        if not self._assigned:
            self._consumer.assign([TopicPartition(topic, p, 0) for topic, p in ends])
            self._assigned = True
        deadline = time.monotonic() + PATIENCE_S
        while any(self._at.get(place, 0) < end for place, end in ends.items()):
            assert time.monotonic() < deadline, "the outputs cannot be read to their end"
            self._take()

    def _take(self) -> None:
        for message in self._consumer.consume(10_000, 0.1):
            topic, error = message.topic(), message.error()
            partition, offset = message.partition(), message.offset()
            assert topic is not None
            assert partition is not None
            assert offset is not None
            if error is None:
                headers = {name: _bytes(value) for name, value in headers_of(message)}
                read = Read(_bytes(message.key()), message.value(), headers)
                self.records[self._names[topic]].append(read)
                self._at[topic, partition] = offset + 1
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                self._at[topic, partition] = offset

    def latest(self, name: str) -> dict[bytes, bytes]:
        """Return each key's latest value, without those that were taken back."""
        latest = {record.key: record.value for record in self.records[name]}
        return {key: value for key, value in latest.items() if value is not None}

    def close(self) -> None:
        self._consumer.close()


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
