"""What every stage promises to whoever drives it: the Kafka worker, `realname replay`, and the tests.

One object holds the state of one input partition. The driver applies batches in offset order, drains
what has come of them, makes that durable and visible in one transaction, and says so (`committed`).
Until then a drain may be repeated and gives at least the same again, so an aborted transaction loses
nothing and sends nothing twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from streams.records.rejects import Reject


class Batch(NamedTuple):
    """Consecutive records of one partition, as columns of one length.

    Offsets rise but may have gaps (transaction markers). `timestamps_ms` are Kafka's record timestamps.
    """

    offsets: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    timestamps_ms: Sequence[int]


class Output(NamedTuple):
    """One record to produce.

    Attributes:
        topic: Its name in the catalogue, without the prefix.
        key: Kafka key.
        value: None is a tombstone.
        partition: Explicit partition, or None to let the key decide.
        headers: What stands beside key and value.

    """

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes | None]] | None = None


@dataclass(slots=True)
class Drained:
    """What belongs into one transaction beside the offsets.

    Attributes:
        state: Payloads for the state log, in order; each under 900 KB.
        outputs: Records to produce, in order.

    """

    state: list[bytes] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)


class Stage(Protocol):
    """The state of one input partition of match, rate or rollup."""

    def reference_version_needed(self, batch: Batch) -> int:
        """Return the reference version that must be known before `apply`; 0 when any will do."""
        ...

    def apply(self, batch: Batch) -> list[Reject]:
        """Take in a batch; return the records that could not be used.

        Offsets at or before the last applied one are a bug of the driver (AssertionError): a driver
        starts at `next_offset`.
        """
        ...

    @property
    def next_offset(self) -> int:
        """First input offset that has not been applied."""
        ...

    def drain(self, *, publish: bool) -> Drained:
        """Return what the batches since the last `committed` have led to.

        Changes no figure. With `publish`, the current figures of every scope that has changed since
        they were last published go out as well; without, they stay due.
        """
        ...

    def committed(self) -> None:
        """Forget what the last `drain` gave: it is durable now."""
        ...

    def snapshot(self) -> Iterator[bytes]:
        """Yield the whole state as of the last commit in chunks under 900 KB, for the state log."""
        ...

    def restore_snapshot(self, chunks: Sequence[bytes]) -> None:
        """Replace the state with what `snapshot` yielded."""
        ...

    def restore_delta(self, payload: bytes) -> None:
        """Apply one payload of `Drained.state`, in the order in which they were written."""
        ...

    def restored(self) -> None:
        """Say that restoring is over; every scope is due to be published again."""
        ...
