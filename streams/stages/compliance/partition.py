"""The compliance stage: a state machine for each partition of what it reads.

Its inputs are numbered through, as if they were partitions of one topic: `records.topics.compliance_place`
says which is which. The state log holds the input itself, since the same records give the same state; so
a restore cannot disagree with the code that made it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from streams.domain.policy import Policy
from streams.records.rejects import Reject
from streams.records.topics import ALERTS, DAYS, PARCELS_MISSING, RATES, SHIPMENTS_DLQ
from streams.reference.types import ReferenceHistory
from streams.stages.compliance.alerts import AlertsTeller
from streams.stages.compliance.days import DaysTeller
from streams.stages.compliance.parcels import ParcelsTeller
from streams.stages.compliance.rates import RatesTeller
from streams.stages.compliance.refusals import RefusalsTeller
from streams.stages.compliance.telling import Entry, Teller, output
from streams.stages.stage import Batch, Drained, Output

CHUNK_BYTES: Final = 800_000
"""Of a snapshot, and about which a payload of the state log ends; the limit is 900 KB."""

BEAT: Final = b""
"""The key of a beat in the state log: no tombstone is without one."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Entry]).decode


class CompliancePartition:
    """The state of one input partition; implements `streams.stages.stage.Stage`."""

    def __init__(self, teller: Teller) -> None:
        """Start with nothing taken in."""
        self._teller: Final = teller
        self._next_offset = 0
        self._entries: list[Entry] = []
        self._outputs: list[Output] = []

    def reference_version_needed(self, batch: Batch) -> int:
        """Return 0: versions are chosen by time, and are known before they take effect."""
        del batch
        return 0

    def apply(self, batch: Batch) -> list[Reject]:
        """Take in a batch; nothing of what other stages have written is refused."""
        assert batch.offsets[0] >= self._next_offset, "a record was given twice"
        for offset, key, value, timestamp_ms in zip(*batch[:4], strict=True):
            entry = Entry(offset, key or b"", value, timestamp_ms)
            self._outputs += map(output, self._teller.take(entry))
            self._entries.append(entry)
        self._next_offset = batch.offsets[-1] + 1
        return []

    def beat(self, now_ms: int) -> bool:
        """Learn the wall time, and return whether there is anything to be written because of it.

        The beat is logged like a record, so what was told because of it stays told after a crash.
        """
        told = [output(told) for told in self._teller.beat(now_ms)]
        if told:
            self._outputs += told
            self._entries.append(Entry(self._next_offset - 1, BEAT, None, now_ms))
        return bool(told)

    @property
    def next_offset(self) -> int:
        """First input offset that has not been applied."""
        return self._next_offset

    def drain(self, *, publish: bool) -> Drained:
        """Return what is to be written; all of it, whether or not figures are to be published."""
        del publish
        return Drained(list(_payloads(self._entries)), list(self._outputs))

    def committed(self) -> None:
        """Forget what the last `drain` gave."""
        self._entries.clear()
        self._outputs.clear()

    def snapshot(self) -> Iterator[bytes]:
        """Yield the state in chunks; nothing may have been applied since the last commit."""
        assert not self._entries, "a snapshot is of what is committed"
        state = self._teller.snapshot()
        yield _encode(self._next_offset)
        for begin in range(0, len(state), CHUNK_BYTES):
            yield state[begin : begin + CHUNK_BYTES]

    def restore_snapshot(self, chunks: Sequence[bytes]) -> None:
        """Replace the state with what `snapshot` yielded."""
        self._next_offset = msgspec.msgpack.decode(chunks[0], type=int)
        self._teller.restore(b"".join(chunks[1:]))

    def restore_delta(self, payload: bytes) -> None:
        """Take in the records of one payload again; what was told of them is told."""
        for entry in _decode(payload):
            beat = entry.key == BEAT and entry.value is None
            told = self._teller.beat(entry.timestamp_ms) if beat else self._teller.take(entry)
            for _ in told:
                pass
            self._next_offset = entry.offset + 1

    def restored(self) -> None:
        """Have nothing to tell again: what was told is state here."""


def make_teller(
    topic: str, policy: Policy, history: ReferenceHistory, *, share: int, shares: int
) -> Teller:
    """Return the teller of an input; `share` and `shares` number its partitions."""
    if topic == RATES:
        return RatesTeller(policy, history)
    if topic == DAYS:
        return DaysTeller()
    if topic == ALERTS:
        return AlertsTeller()
    if topic == PARCELS_MISSING:
        return ParcelsTeller()
    assert topic == SHIPMENTS_DLQ, topic
    return RefusalsTeller(history, share=share, shares=shares)


def _payloads(entries: Sequence[Entry]) -> Iterator[bytes]:
    begin, size = 0, 0
    for index, entry in enumerate(entries):
        size += len(entry.key) + len(entry.value or b"") + 32
        if size >= CHUNK_BYTES:
            yield _encode(entries[begin : index + 1])
            begin, size = index + 1, 0
    if begin < len(entries):
        yield _encode(entries[begin:])
