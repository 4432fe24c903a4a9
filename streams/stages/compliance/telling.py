"""What every teller of the compliance stage is: from the records of one partition to events.

A teller remembers what it has told, so that a record that says nothing new makes no event; and what it
tells depends on the records of its partition alone, in their order, whatever batches they came in.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from streams.records.cloudevents import CloudEvent, headers
from streams.records.topics import compliance_topic
from streams.stages.stage import Output


class Entry(NamedTuple):
    """One input record.

    Attributes:
        offset: Its place in the partition.
        key: Its key.
        value: None is a tombstone.
        timestamp_ms: Kafka's.

    """

    offset: int
    key: bytes
    value: bytes | None
    timestamp_ms: int


class Told(NamedTuple):
    """An event, and the enterprise that gets it."""

    enterprise_id: str
    event: CloudEvent


class Teller(Protocol):
    """Turns the records of one input partition into events."""

    def take(self, entry: Entry) -> Iterator[Told]:
        """Take in the next record, and give what is to be told. To be used up at once."""
        ...

    def beat(self, now_ms: int) -> Iterator[Told]:
        """Learn the wall time while nothing comes, and give what is to be told; else change nothing.

        A worker's clock may be wrong, so nothing may rest on it that a record does not bear out later.
        """
        ...

    def snapshot(self) -> bytes:
        """Return all that it remembers."""
        ...

    def restore(self, state: bytes) -> None:
        """Take back what `snapshot` returned."""
        ...


def output(told: Told) -> Output:
    """Return an event as a record to produce."""
    event = told.event
    topic = compliance_topic(told.enterprise_id)
    return Output(topic, event.key.encode(), event.data, None, headers(event))
