"""A batch of `shipments` as columns, and what of each record needs no state settled.

The ordinary records are read by machine code (`scan`), the others by the decoder, which also says what is
wrong with those that are refused.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from streams.domain.category import BATCH_CATEGORIES, EXEMPT_CATEGORIES, Category
from streams.domain.cell import CATEGORY_SHIFT
from streams.records import shipments
from streams.records.instants import INSTANTS
from streams.records.rejects import Refused, Reject
from streams.records.shipments import (
    OLDEST_MS,
    VALUE_BYTES_MAX,
    Collected,
    Heartbeat,
    Parcelled,
    Registered,
)
from streams.stages.columns import Bools, Int64s, Ints
from streams.stages.match.agenda import NEVER_MS
from streams.stages.match.entry import DELAY_MAX_MS, ID_BYTES_MAX
from streams.stages.match.native.entries import Bytes
from streams.stages.match.native.joining import SKIPPED
from streams.stages.match.native.names import numbers_of
from streams.stages.match.native.scan import (
    AGREEMENT,
    CATEGORIES,
    CATEGORY,
    COLLECTED,
    COLUMNS,
    DESTINATION,
    ID,
    KIND,
    MATCHED,
    OUTLET,
    OWN_KEY,
    RECEIVED,
    RECORDED,
    REGISTERED,
    SOURCE,
    TIME,
    UNREAD,
    Matrix,
    scan,
)
from streams.stages.match.waybills import Waybills
from streams.stages.stage import Batch

NONE: Final = -1
"""No category that the short forms hold, or no number of a source."""

_BITS: Final = np.array(
    [
        NONE if Category[name] in EXEMPT_CATEGORIES else Category[name] << CATEGORY_SHIFT
        for name in CATEGORIES
    ],
    np.int64,
)
_BATCH: Final = np.array([Category[name] in BATCH_CATEGORIES for name in CATEGORIES], np.bool_)


class Rows(NamedTuple):
    """A batch as columns of one length, in the order of its offsets.

    Attributes:
        batch: The batch.
        decoded: The records that `scan` has not read, by row.
        text: The values, one behind the other.
        read: What `scan` has read of them.
        hashes: Of the Kafka keys.
        kinds: What each row is to the machine code, as far as the record itself tells; UNREAD where the
            rule must take it, SKIPPED for heartbeats and what has been refused by now.
        skipped: The latter.
        time_ms: When it happened.
        oldest_ms: The least of them, of rows that are not skipped.
        received_ms: When it was received; 0 where that is not known.
        sound: Rows with their own key, and instants that can be.
        collected: Whether a row is a collection.
        placed: Rows read by `scan` that name an outlet.
        placed_otherwise: Outlets of rows that are in `decoded`.
        bits: Category of a collection, at its place in a group.
        sources: Numbers of sources in the partition's table.
        delay_ms: Of a registration, how long after its `recorded_at` it counts as uploaded, ...
        backdated: ... which it does if it has been backdated.
        agreed: Collections that an agreement may cover.
        seen: How many of the records that could be decoded each source has sent.

    """

    batch: Batch
    decoded: Mapping[int, Parcelled]
    text: Bytes
    read: Matrix
    hashes: Int64s
    kinds: Int64s
    skipped: Bools
    time_ms: Int64s
    oldest_ms: int
    received_ms: Int64s
    sound: Bools
    collected: Bools
    placed: Ints
    placed_otherwise: Mapping[int, str]
    bits: Int64s
    sources: Int64s
    delay_ms: Int64s
    backdated: Bools
    agreed: Ints
    seen: Mapping[str, int]

    def record(self, row: int) -> Parcelled:
        """Return the record of a row that is not skipped."""
        if row in self.decoded:
            return self.decoded[row]
        value = self.batch.values[row]
        assert value is not None
        record = shipments.decode(value)
        assert not isinstance(record, Heartbeat)
        return record

    def name(self, column: int, row: int) -> str | None:
        """Return a text that `scan` has found, None for none."""
        start, length = self.read[column, row], self.read[column + 1, row]
        return self.text[start : start + length].tobytes().decode() if length else None

    def outlet(self, row: int) -> str:
        """Return the outlet of a collection that `scan` has read."""
        return self.name(OUTLET, row) or ""

    def destination(self, row: int) -> str | None:
        """Return where it is sent, if it says so."""
        return self.name(DESTINATION, row)

    def agreement(self, row: int) -> str | None:
        """Return the agreement that it names, if any."""
        return self.name(AGREEMENT, row)


class _Reader:
    """Reads one batch; `rejects` are the records that cannot be read."""

    def __init__(self, waybills: Waybills, batch: Batch) -> None:
        self.waybills: Final = waybills
        self.batch: Final = batch
        self.size: Final = len(batch.values)
        self.rejects: list[Reject] = []
        self.skipped: Bools = np.zeros(self.size, np.bool_)
        self.collected: Bools
        self.decoded: dict[int, Parcelled] = {}
        self.read: Matrix = np.empty((COLUMNS, self.size), np.int64)
        self.text: Bytes
        self.received_ms: Int64s

    def scan(self) -> None:
        """Read what is ordinary, then the rest."""
        batch, data_clock = self.batch, self.waybills.clock == "data"
        self.text, ends = _joined(batch.values)
        letters, key_ends = _joined(batch.keys)
        scan(self.text, ends, letters, key_ends, data_clock, self.read)
        if data_clock:
            received_ms = self.read[RECEIVED]
            self.received_ms = np.where(received_ms >= 0, received_ms, self.read[RECORDED])
        else:
            self.received_ms = np.fromiter(batch.timestamps_ms, np.int64, self.size)
        self.collected = self.read[KIND] == COLLECTED
        for row in np.flatnonzero(self.read[KIND] == UNREAD).tolist():
            self._decode(row)

    def _decode(self, row: int) -> None:
        """Read one record by the decoder."""
        value = self.batch.values[row]
        read = self.read
        read[TIME, row] = read[RECORDED, row] = OLDEST_MS
        read[OWN_KEY, row] = 0
        read[SOURCE + 1, row] = read[OUTLET + 1, row] = read[ID + 1, row] = 0
        read[CATEGORY, row] = read[MATCHED, row] = read[AGREEMENT + 1, row] = 0
        record = self._decoded(row, value)
        if record is None:
            self._skip(row)
            return
        try:
            if isinstance(record, Heartbeat):
                self._skip(row)
                self.received_ms[row] = self.waybills.heard(record, self.batch.timestamps_ms[row])
            else:
                self.decoded[row] = record
                self._read(row, record)
        except Refused as refusal:
            source = "" if isinstance(record, Heartbeat) else record.source
            self.rejects.append(Reject(row, refusal.code, refusal.path, source))
            self._skip(row)

    def _skip(self, row: int) -> None:
        self.skipped[row] = True
        self.received_ms[row] = 0

    def _decoded(self, row: int, value: bytes | None) -> shipments.Record | None:
        error: Exception | None = None
        try:
            if value and len(value) <= VALUE_BYTES_MAX:
                return shipments.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as raised:
            error = raised
        self.rejects.append(Reject(row, *shipments.why_refused(value, error)))
        return None

    def _read(self, row: int, record: Parcelled) -> None:
        """Fill the columns of a decoded record; raises Refused."""
        recorded_ms = INSTANTS.parse(record.recorded_at, "$.recorded_at")
        time_ms = INSTANTS.parse(record.time, "$.time")
        if self.waybills.clock == "data":
            self.received_ms[row] = recorded_ms
            if record.received_at is not None:
                self.received_ms[row] = INSTANTS.parse(record.received_at, "$.received_at")
        self.read[TIME, row], self.read[RECORDED, row] = time_ms, recorded_ms
        self.read[OWN_KEY, row] = record.waybill_no.encode() == self.batch.keys[row]
        self.collected[row] = isinstance(record, Collected)

    def sources(self) -> tuple[Int64s, dict[str, int]]:
        """Return the partition's number of each row's source, and how many records each source has sent."""
        known, starts, lengths = (
            self.waybills.known_sources,
            self.read[SOURCE],
            self.read[SOURCE + 1],
        )
        while True:
            found = np.empty(self.size, np.int64)
            numbers_of(known.table, self.text, starts, lengths, NONE, found)
            new = np.flatnonzero((found == NONE) & (lengths > 0))
            if not len(new):
                break
            places = zip(starts[new].tolist(), lengths[new].tolist(), strict=True)
            texts = {self.text[start : start + length].tobytes() for start, length in places}
            known.learn(sorted(text.decode() for text in texts))
        counts = np.bincount(found[lengths > 0], minlength=0).tolist()
        seen = {known.names[number]: count for number, count in enumerate(counts) if count}
        for record in self.decoded.values():
            seen[record.source] = seen.get(record.source, 0) + 1
        numbers = [self.waybills.source_numbers.get(name, NONE) for name in known.names]
        return np.array([*numbers, NONE], np.int64)[found], seen


def read(waybills: Waybills, batch: Batch) -> tuple[Rows, list[Reject]]:
    """Return a batch as columns, and what of it cannot be read; counts neither in any ratio."""
    reader = _Reader(waybills, batch)
    reader.scan()
    columns, skipped, received_ms = reader.read, reader.skipped, reader.received_ms
    time_ms, recorded_ms = columns[TIME], columns[RECORDED]
    latest_ms = received_ms + waybills.policy.clock_skew_ms
    sound = ~skipped & (columns[OWN_KEY] != 0)
    sound &= (time_ms >= OLDEST_MS) & (recorded_ms >= OLDEST_MS)
    sound &= (time_ms <= latest_ms) & (recorded_ms <= latest_ms)

    kinds = columns[KIND].copy()
    kinds[~sound] = UNREAD
    bits = _BITS[columns[CATEGORY]]
    sources, seen = reader.sources()
    short = (columns[ID + 1] <= ID_BYTES_MAX) & (bits != NONE) & (sources != NONE)
    kinds[(kinds == COLLECTED) & ~short] = UNREAD
    delay_ms = received_ms - recorded_ms
    backdated = delay_ms > waybills.policy.backdating_ms
    delay_ms[~backdated] = 0
    short = (columns[MATCHED] != 0) & (delay_ms <= DELAY_MAX_MS)
    kinds[(kinds == REGISTERED) & ~short] = UNREAD
    kinds[skipped] = SKIPPED
    in_batch = (kinds == COLLECTED) & (columns[AGREEMENT + 1] > 0) & _BATCH[columns[CATEGORY]]
    return Rows(
        batch=batch,
        decoded=reader.decoded,
        text=reader.text,
        read=columns,
        hashes=waybills.entries.hashes_of(_all(batch.keys), len(batch.keys)),
        kinds=kinds,
        skipped=skipped,
        time_ms=time_ms,
        oldest_ms=int(time_ms.min(where=~skipped, initial=NEVER_MS)),
        received_ms=received_ms,
        sound=sound,
        collected=reader.collected,
        placed=np.flatnonzero(columns[OUTLET + 1] > 0),
        placed_otherwise={
            row: record.outlet_id
            for row, record in reader.decoded.items()
            if isinstance(record, Collected | Registered)
        },
        bits=bits,
        sources=sources,
        delay_ms=delay_ms,
        backdated=backdated,
        agreed=np.flatnonzero(in_batch),
        seen=seen,
    ), reader.rejects


def _all(texts: Sequence[bytes | None]) -> Sequence[bytes]:
    """Return texts, with empty ones for none."""
    if None in texts:
        return [text or b"" for text in texts]
    return texts  # type: ignore[return-value]  # as has just been seen


def _joined(texts: Sequence[bytes | None]) -> tuple[Bytes, Int64s]:
    """Return texts one behind the other, and where each ends."""
    some = _all(texts)
    lengths = np.fromiter(map(len, some), np.int64, len(some))
    return np.frombuffer(b"".join(some) or b"\0", np.uint8), np.cumsum(lengths)
