"""The `reference` topic: read whole, and written one apply at a time."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from streams.kafka.errors import ClusterError, KafkaRefused, KafkaUnavailable, cluster_error
from streams.kafka.reading import passing, patiently
from streams.records.topics import MESSAGE_BYTES_MAX
from streams.reference.codec import Snapshot, SnapshotError
from streams.reference.history import (
    Apply,
    Records,
    assemble,
    latest_values,
    newest_snapshots,
    plan_all,
    plan_apply,
)
from streams.reference.listing import AnyListing, Kind
from streams.reference.types import ReferenceHistory

TIMEOUT_S: Final = 15.0
"""How long a broker may say nothing before a person is told."""

APPLY_ATTEMPTS_MAX: Final = 5
"""Each one lost means that somebody else applied something inside the same few milliseconds."""

_POLL_S: Final = 0.5
_PARTITION: Final = 0


@dataclass(frozen=True, slots=True)
class Content:
    """All that is in the topic. `end_offset` is where the next record will be."""

    records: Records
    end_offset: int


class ReferenceTopic:
    """The topic with one partition that holds the reference data."""

    def __init__(self, client: Mapping[str, object], name: str) -> None:
        """Connect with these client settings, at each call anew. `name` has the prefix."""
        self._client = dict(client)
        self._name = name

    def read(self) -> Content:
        """Return the topic's records as of now.

        Raises:
            ClusterError: No answer within `TIMEOUT_S`, no such topic, or refused.
        """
        settings = {
            **self._client,
            "group.id": f"{self._name}-reader",  # Required by the client, and never committed to.
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # The end is told only when a fetch comes back empty.
        }
        with closing(_consumer(settings)) as consumer:
            self._require(consumer)
            consumer.assign([TopicPartition(self._name, _PARTITION, OFFSET_BEGINNING)])
            found: list[tuple[bytes, bytes | None]] = []
            deadline = time.monotonic() + TIMEOUT_S
            trouble: ClusterError | None = None
            while time.monotonic() < deadline:
                message = consumer.poll(_POLL_S)
                if message is None:
                    continue
                error = message.error()
                if error is None:
                    found.append((message.key() or b"", message.value()))
                    deadline = time.monotonic() + TIMEOUT_S
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    end_offset = message.offset()
                    assert end_offset is not None, "the end of a partition has an offset"
                    return Content(latest_values(found), end_offset)
                else:
                    trouble = passing(error, self._name)
        raise trouble or cluster_error(
            KafkaError(KafkaError._TIMED_OUT),  # noqa: SLF001
            doing=f"reading {self._name}",
        )

    def _require(self, consumer: Consumer) -> None:
        """Ask for the topic by name: a consumer of one that is missing only waits for it."""

        def ask() -> None:
            found = consumer.list_topics(self._name, timeout=TIMEOUT_S).topics[self._name]
            if found.error is not None:
                raise KafkaException(found.error)

        patiently(ask, doing=f"reading {self._name}")

    def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> int:
        """Write records in this order, and return the offset of the first.

        Raises:
            ClusterError: Not all were acknowledged within `TIMEOUT_S`. Some may have been written;
                writing them again does no harm.
        """
        settings = {
            **self._client,
            "enable.idempotence": True,
            "acks": "all",
            "message.max.bytes": MESSAGE_BYTES_MAX,
            "delivery.timeout.ms": int(TIMEOUT_S * 1000),
        }
        offsets: list[int] = []
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                errors.append(error)
            elif (offset := message.offset()) is not None:
                offsets.append(offset)

        producer = Producer(settings)
        for key, value in records:
            producer.produce(self._name, value, key, partition=_PARTITION, on_delivery=delivered)
        waiting = producer.flush(TIMEOUT_S + _POLL_S)
        if errors:
            raise cluster_error(errors[0], doing=f"writing to {self._name}")
        if waiting:
            raise KafkaUnavailable(
                f"no answer from Kafka for writing to {self._name}; check that it runs, "
                "then apply the file again"
            )
        return min(offsets)

    def history(self) -> ReferenceHistory:
        """Return the versions that are known now.

        Raises:
            ClusterError: As `read`; or a record cannot be read by this program.
        """
        content = self.read()
        with _readable():
            return assemble(content.records.items())

    def newest(self) -> Mapping[Kind, Snapshot]:
        """Return the newest apply of each kind that has one, in effect yet or not.

        Raises:
            ClusterError: As `history`.
        """
        content = self.read()
        with _readable():
            return newest_snapshots(content.records.items())

    def plan(
        self,
        listings: Iterable[AnyListing],
        *,
        now_ms: int,
        effective_at_ms: int | None = None,
    ) -> Sequence[Apply]:
        """Return what applying these in turn would write now, and write nothing.

        Raises:
            ReferenceFileError: With the mistakes of all listings.
            ClusterError: As `history`.
        """
        content = self.read()
        with _readable():
            return plan_all(
                content.records, listings, now_ms=now_ms, effective_at_ms=effective_at_ms
            )

    def apply(
        self, listing: AnyListing, *, now_ms: int, effective_at_ms: int | None = None
    ) -> Apply | None:
        """Write the version that a listing makes, and return what was written; None for no change.

        Idempotent: the same listing again changes nothing. Where somebody else applies at the same
        time, whoever wrote later takes the record back and follows the other's version, so that
        versions keep their order. Of two who apply one kind at once, the later wins.

        Args:
            listing: What to apply.
            now_ms: The wall time.
            effective_at_ms: From when it is used; see `plan_apply`.

        Raises:
            ReferenceFileError: The listing contradicts what is known; nothing was written.
            ClusterError: As `read` and `write`.

        """
        for _ in range(APPLY_ATTEMPTS_MAX):
            content = self.read()
            with _readable():
                made = plan_apply(
                    content.records, listing, now_ms=now_ms, effective_at_ms=effective_at_ms
                )
            if made is None:
                return None
            tombstones = [(key, None) for key in made.superseded_keys]
            if self.write([(made.key, made.value), *tombstones]) == content.end_offset:
                return made
            self.write([(made.key, None)])
        raise KafkaUnavailable(
            f"others keep writing to {self._name} at the same moment; apply the file again"
        )


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except SnapshotError as error:
        raise KafkaRefused(str(error)) from error


def _consumer(settings: Mapping[str, object]) -> Consumer:
    try:
        return Consumer(dict(settings))
    except KafkaException as error:
        raise cluster_error(error.args[0], doing="starting a consumer") from error
