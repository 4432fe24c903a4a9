"""The match stage as a stage: batches in, changes of cells and missing parcels out, state in a log."""

from collections.abc import Iterator, Sequence

from streams.domain.cell import (
    PANE_BITS,
    UNIT_SHIFT,
)
from streams.domain.policy import Policy
from streams.records import changes, topics
from streams.records.rejects import Reject
from streams.reference.types import ReferenceHistory
from streams.stages.match import fast_path
from streams.stages.match.hash_key import UNKEYED, HashKey
from streams.stages.match.state import (
    ENTRIES_AT_ONCE,
    Delta,
    Scalars,
    decode_delta,
    encode_delta,
)
from streams.stages.match.waybills import Clock, Waybills
from streams.stages.stage import Batch, Drained, Output


class MatchPartition:
    """The open parcels of one partition of `shipments`. Implements `stages.stage.Stage`."""

    def __init__(
        self,
        partition: int,
        policy: Policy,
        history: ReferenceHistory,
        *,
        counts_partitions: int,
        clock: Clock,
        key: HashKey = UNKEYED,
    ) -> None:
        """Start empty, at offset 0.

        By `key` closed parcels are remembered, so all workers must share it.
        """
        self._partition = partition
        self._targets = counts_partitions
        self._key = key
        self._waybills = Waybills(partition, policy, history, clock=clock, hash_seed=key.seed)
        self._next_offset = 0
        self._forget_drained()

    def _forget_drained(self) -> None:
        self._waybills.forget_changes()
        self._committed_offset = self._next_offset
        self._committed_sources = len(self._waybills.sources)

    @property
    def next_offset(self) -> int:
        """First offset of `shipments` that has not been applied."""
        return self._next_offset

    @property
    def stream_time_ms(self) -> int:
        """The partition's watermark, in epoch milliseconds; 0 before its first record."""
        return self._waybills.watermark_ms

    @property
    def open_parcels(self) -> int:
        """How many parcels are open."""
        return len(self._waybills.entries)

    @property
    def sources_flagged(self) -> list[str]:
        """Sources of whose latest records more than half were refused."""
        return self._waybills.ratio.flagged

    def reference_version_needed(self, batch: Batch) -> int:
        """Any version will do: the match stage makes the first use of it."""
        del batch
        return 0

    def apply(self, batch: Batch) -> list[Reject]:
        """Join, count and note what changed; see `Stage.apply`.

        Raises TooManyRejects when most sources send what is refused; nothing may be committed then.
        """
        if not batch.offsets:
            return []
        assert batch.offsets[0] >= self._next_offset, "a batch was applied twice"
        waybills = self._waybills
        waybills.note_new_reference()
        rejects = fast_path.run(waybills, batch)
        if rejects:
            waybills.ratio.stop_if_most_are_refused(waybills.policy.reject_share_max)
        self._next_offset = batch.offsets[-1] + 1
        return rejects

    def drain(self, *, publish: bool) -> Drained:
        """Return the changes of cells, missing parcels and changed entries; see `Stage.drain`."""
        del publish  # What this stage sends is all changes, none of it a current figure.
        drained = Drained(outputs=list(self._waybills.outputs))
        if self._next_offset == self._committed_offset:
            return drained
        rows = self._waybills.ledger.rows()
        header = changes.Header(
            format=changes.FORMAT,
            source=self._partition,
            reference_version=self._waybills.lookup.version_used,
            from_offset=self._committed_offset,
            to_offset=self._next_offset,
            part=0,
            parts=0,
            watermark_ms=self._waybills.watermark_ms,
        )
        target_of = (rows.cells >> (PANE_BITS + UNIT_SHIFT)) % self._targets
        for target in range(self._targets):
            mine = rows if self._targets == 1 else rows.take(target_of == target)
            drained.outputs.extend(
                Output(topics.COUNTS, None, value, target) for value in changes.encode(header, mine)
            )
        drained.state = list(
            encode_delta(
                self._scalars(),
                self._waybills.entries.told(ENTRIES_AT_ONCE),
                closed=self._waybills.closed_new,
                late=self._waybills.late_new,
                sources=self._waybills.sources[self._committed_sources :],
            )
        )
        return drained

    def committed(self) -> None:
        """Forget what the last drain gave; see `Stage.committed`."""
        self._forget_drained()

    def _scalars(self) -> Scalars:
        return Scalars(
            next_offset=self._next_offset,
            received_max_ms=self._waybills.received_max_ms,
            watermark_ms=self._waybills.watermark_ms,
            version_used=self._waybills.lookup.version_used,
            ratio=self._waybills.ratio.dump(),
            key_check=self._key.check,
        )

    def snapshot(self) -> Iterator[bytes]:
        """Yield the state in chunks; see `Stage.snapshot`."""
        return encode_delta(
            self._scalars(),
            self._waybills.entries.everything(ENTRIES_AT_ONCE),
            closed=self._waybills.closed.items(),
            late=(
                (closed, seen)
                for closed, ids in self._waybills.late.items()
                for seen in sorted(ids)
            ),
            sources=self._waybills.sources,
        )

    def restore_snapshot(self, chunks: Sequence[bytes]) -> None:
        """Replace the state; see `Stage.restore_snapshot`."""
        self._waybills.entries.clear()
        self._waybills.closed.clear()
        self._waybills.late.clear()
        self._waybills.sources.clear()
        self._waybills.source_numbers.clear()
        for chunk in chunks:
            self._restore(decode_delta(chunk))

    def restore_delta(self, payload: bytes) -> None:
        """Apply one payload of the state log; see `Stage.restore_delta`."""
        self._restore(decode_delta(payload))

    def _restore(self, delta: Delta) -> None:
        scalars = delta.scalars
        self._key.check_is(scalars.key_check)
        self._next_offset = scalars.next_offset
        self._waybills.received_max_ms = scalars.received_max_ms
        self._waybills.lookup.version_used = max(
            self._waybills.lookup.version_used, scalars.version_used
        )
        self._waybills.ratio.load(scalars.ratio)
        for source in delta.sources:
            self._waybills.source_numbers[source] = len(self._waybills.sources)
            self._waybills.sources.append(source)
        self._waybills.entries.put_many(delta.entries)
        self._waybills.closed.set_many(*delta.closed)
        for closed, identity in delta.late:
            self._waybills.late.setdefault(closed, set()).add(identity)
        if delta.last:
            self._waybills.watermark_ms = scalars.watermark_ms

    def restored(self) -> None:
        """Build what the log does not hold; see `Stage.restored`."""
        self._waybills.requeue()
        self._forget_drained()
