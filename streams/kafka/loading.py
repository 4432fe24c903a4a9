"""Writes records to `shipments` as producers would: keyed by waybill, idempotent, in order."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from streams.kafka.errors import ClusterError, KafkaUnavailable, cluster_error
from streams.kafka.reading import partitions_of
from streams.records.topics import SHIPMENT_BYTES_MAX

HEARTBEAT: Final = "stream.heartbeat"

DELIVERY_TIMEOUT_MS: Final = 60_000
"""How long the broker may be away before loading ends with an error."""
# A batch with its frame must fit into what a topic takes.
LINE_BYTES_MAX: Final = SHIPMENT_BYTES_MAX - 64 * 1024

_QUEUED_RECORDS_MAX: Final = 200_000
_QUEUED_KIB_MAX: Final = 256 * 1024
_POLL_EVERY: Final = 1_000
_WAIT_S: Final = 0.1


class RefusedLine(NamedTuple):
    """A line that could not be sent. `line` counts from 1; `why` quotes nothing of it."""

    line: int
    why: str


class _Head(msgspec.Struct):
    waybill_no: str | None = None
    type: msgspec.Raw = msgspec.Raw(b"")


_decode: Final = msgspec.json.Decoder(_Head).decode
_HEARTBEAT_RAW: Final = b'"stream.heartbeat"'


def heartbeat_value(received_at: str) -> bytes:
    """Return the value of a heartbeat of a data time, given as RFC 3339."""
    return msgspec.json.encode({"type": HEARTBEAT, "received_at": received_at})


class Loader:
    """Sends lines to one topic. Call `send`, `put` and `beat` in order, then `finish`; one thread.

    Records of one waybill stay in their order. What was sent twice is written twice; stages
    recognise it by source and id.

    Attributes:
        sent: Records given to the client so far, heartbeats not counted.
        heartbeats: Heartbeats given to it.
        refused: Lines that were not.

    """

    def __init__(self, client: Mapping[str, Any], topic: str) -> None:
        """Connect.

        Raises:
            TopicMissing: There is no such topic.
            ClusterError: No answer, or refused.
        """
        self._topic = topic
        self._partitions = partitions_of(AdminClient(dict(client)), topic)
        self._producer = Producer(
            {
                **client,
                "enable.idempotence": True,
                # As Java producers do, so that one waybill has one partition, whoever sends it.
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 50,
                "batch.size": 500_000,
                "queue.buffering.max.messages": _QUEUED_RECORDS_MAX,
                "queue.buffering.max.kbytes": _QUEUED_KIB_MAX,
                "message.max.bytes": SHIPMENT_BYTES_MAX,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "delivery.report.only.error": True,
            }
        )
        self._error: KafkaError | None = None
        self._line = 0
        self.sent = 0
        self.heartbeats = 0
        self.refused: list[RefusedLine] = []

    def send(self, line: bytes) -> None:
        """Send the next line as it stands; blank ones are skipped, a heartbeat goes everywhere.

        Raises:
            ClusterError: The broker refuses, or has been away for too long. Of what was given
                before, an unknown part was written.
        """
        self._line += 1
        value = line.strip()
        if not value:
            return
        if len(value) > LINE_BYTES_MAX:
            self._refuse("longer than a broker takes")
            return
        try:
            head = _decode(value)
        except msgspec.ValidationError:
            self._refuse("no JSON object, or its waybill_no is no text")
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._refuse("no JSON")
            return
        if head.waybill_no:
            self._produce(value, key=head.waybill_no.encode())
            self.sent += 1
        elif bytes(head.type) == _HEARTBEAT_RAW:
            self.beat(value)
        else:
            self._refuse("has no waybill_no")

    def put(self, key: bytes, value: bytes | None) -> None:
        """Send a record with a key of its own, whatever the value is.

        Raises:
            ClusterError: As `send`.
        """
        self._produce(value, key=key)
        self.sent += 1

    def beat(self, value: bytes) -> None:
        """Write a heartbeat into every partition, behind what was sent before.

        Raises:
            ClusterError: As `send`.
        """
        for partition in self._partitions:
            self._produce(value, partition=partition)
            self.heartbeats += 1

    def finish(self) -> None:
        """Return when everything is acknowledged.

        Raises:
            ClusterError: Not all of it was; loading the file again is safe.
        """
        waiting = self._producer.flush(DELIVERY_TIMEOUT_MS / 1000)
        if self._error is not None:
            raise self._failure(self._error)
        if waiting:
            raise KafkaUnavailable(
                f"Kafka has not acknowledged {waiting:,} records; check that it runs, then load "
                "the file again: records that are there already count once"
            )

    def _produce(self, value: bytes | None, **place: Any) -> None:  # noqa: ANN401 - key or partition
        if self._error is not None:
            raise self._failure(self._error)
        while True:
            try:
                self._producer.produce(self._topic, value, on_delivery=self._delivered, **place)
                break
            except BufferError:
                self._producer.poll(_WAIT_S)
                if self._error is not None:
                    raise self._failure(self._error) from None
            except KafkaException as error:
                raise self._failure(error.args[0]) from error
        if (self.sent + self.heartbeats) % _POLL_EVERY == 0:
            self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        del message
        if error is not None and self._error is None:
            self._error = error

    def _failure(self, error: KafkaError) -> ClusterError:
        return cluster_error(error, doing=f"writing to {self._topic}")

    def _refuse(self, why: str) -> None:
        self.refused.append(RefusedLine(self._line, why))
