"""A batch of `shipments` as columns: decoded, its instants read, and what needs no state settled.

Whatever is the same for many records is done for all of them at once, since a loop over records in Python
is what the match stage spends its time on.
"""

from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from streams.domain.category import BATCH_CATEGORIES, EXEMPT_CATEGORIES, Category
from streams.domain.cell import CATEGORY_SHIFT
from streams.records import shipments
from streams.records.instants import INSTANTS, column
from streams.records.rejects import Refused, Reject
from streams.records.shipments import (
    OLDEST_MS,
    VALUE_BYTES_MAX,
    Collected,
    Heartbeat,
    Parcelled,
    Record,
    Registered,
    Revoked,
    Scanned,
    Voided,
)
from streams.stages.columns import Bools, Int64s, Ints
from streams.stages.match.entry import DELAY_MAX_MS, ID_BYTES_MAX, UPLOAD_DTYPE
from streams.stages.match.waybills import Waybills
from streams.stages.stage import Batch

NONE: Final = -1
"""No category that the short forms hold, or no number of a source."""

_OTHER: Final = 0
_SCANNED: Final = 1
_PLACED: Final = 2
"""From here on kinds name an outlet."""
_COLLECTED: Final = 2
_REGISTERED: Final = 3
_KINDS: Final[dict[type, int]] = {
    Collected: _COLLECTED,
    Registered: _REGISTERED,
    Scanned: _SCANNED,
    Revoked: _OTHER,
    Voided: _OTHER,
}
_NONE_TYPE: Final = type(None)
_CATEGORY_BITS: Final = {
    c.name: NONE if c in EXEMPT_CATEGORIES else c << CATEGORY_SHIFT for c in Category
}
_BATCH: Final = frozenset(category.name for category in BATCH_CATEGORIES)


class Collections(NamedTuple):
    """The first collections that the short forms can hold, as far as the records themselves tell.

    Attributes:
        rows: Their places in the batch, rising.
        records: The records.
        ids: The ends of their entries, and
        id_lengths: how long these are.
        bits: Category, at its place in a group.
        sources: Numbers of their sources.
        agreed: Places in these columns of those that an agreement may cover.

    """

    rows: Ints
    records: Sequence[Collected]
    ids: Sequence[bytes]
    id_lengths: Int64s
    bits: Int64s
    sources: Int64s
    agreed: Ints


class Registrations(NamedTuple):
    """The registrations that the short forms can hold, as far as the records themselves tell.

    Attributes:
        rows: Their places in the batch, rising.
        records: The records.
        ends: The ends of their entries: upload and id.
        upload_ms: When they were uploaded, as the grace counts it.
        backdated: Whether that is not when they say.

    """

    rows: Ints
    records: Sequence[Registered]
    ends: Sequence[bytes]
    upload_ms: Int64s
    backdated: Bools


class Rows(NamedTuple):
    """A batch as columns of one length, in the order of its offsets.

    Attributes:
        records: Of a row that is `skipped`, another row's stands in its place.
        keys: Kafka keys.
        skipped: Heartbeats, and what has been refused by now.
        time_ms: When it happened.
        oldest_ms: The least of them.
        recorded_ms: When it was uploaded, as it says.
        received_ms: When it was received; 0 where that is not known.
        sound: Rows with their own key, and instants that can be.
        placed: Rows that name an outlet,
        outlets: and the ids of these.
        collected: Whether a row is a collection.
        sources: How many of the records that could be decoded each source has sent.
        collections: What of them the fast path knows.
        registrations: The same.
        scans: Places of hubs' scans.

    """

    records: Sequence[Parcelled]
    keys: Sequence[bytes | None]
    skipped: Bools
    time_ms: Int64s
    oldest_ms: int
    recorded_ms: Int64s
    received_ms: Int64s
    sound: Bools
    placed: Ints
    outlets: Sequence[str]
    collected: Bools
    sources: Mapping[str, int]
    collections: Collections
    registrations: Registrations
    scans: Ints


class _Reader:
    """Reads one batch; `rejects` are the records that cannot be read."""

    def __init__(self, waybills: Waybills, batch: Batch) -> None:
        self.waybills: Final = waybills
        self.batch: Final = batch
        self.rejects: list[Reject] = []
        self.skipped: Bools = np.zeros(len(batch.values), np.bool_)
        self.heard_ms: dict[int, int] = {}
        self.sources: Mapping[str, int] = {}

    def records(self) -> list[Parcelled]:
        """Return the decoded records, with a stand-in for what has no parcel."""
        decoded = self._decoded()
        types = list(map(type, decoded))
        if Heartbeat not in types and _NONE_TYPE not in types:
            parcelled: list[Parcelled] = decoded  # type: ignore[assignment]  # as has just been seen
            self.sources = Counts([record.source for record in parcelled])
            return parcelled
        known = [r for r in decoded if r is not None and not isinstance(r, Heartbeat)]
        self.sources = Counts([record.source for record in known])
        stand_in = known[0] if known else _NOTHING
        parcelled = []
        for row, record in enumerate(decoded):
            if isinstance(record, Heartbeat):
                self._hear(row, record)
            if record is None or isinstance(record, Heartbeat):
                self.skipped[row] = True
                parcelled.append(stand_in)
            else:
                parcelled.append(record)
        return parcelled

    def _decoded(self) -> list[Record | None]:
        values = self.batch.values
        decoded: list[Record | None] = []
        source = map(shipments.decode, values)  # type: ignore[arg-type]  # None is refused below
        while True:
            try:
                decoded.extend(source)  # What comes before an error is kept; it goes on after it.
                break
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
                self._refuse_value(len(decoded), error)
                decoded.append(None)
        if any(value is not None and len(value) > VALUE_BYTES_MAX for value in values):
            self._refuse_oversized(decoded)
        return decoded

    def _refuse_oversized(self, decoded: list[Record | None]) -> None:
        for row, value in enumerate(self.batch.values):
            if value is not None and len(value) > VALUE_BYTES_MAX and decoded[row] is not None:
                decoded[row] = None
                self._refuse_value(row, None)

    def _refuse_value(self, row: int, error: Exception | None) -> None:
        value = self.batch.values[row]
        self.rejects.append(Reject(row, *shipments.why_refused(value, error)))

    def _hear(self, row: int, beat: Heartbeat) -> None:
        try:
            self.heard_ms[row] = self.waybills.heard(beat, self.batch.timestamps_ms[row])
        except Refused as refusal:
            self.rejects.append(Reject(row, refusal.code, refusal.path, ""))

    def instants(
        self, rows: Sequence[int], texts: Sequence[str], records: Sequence[Parcelled], path: str
    ) -> Int64s:
        """Return the instants of a field of some rows; where it is none the row is refused and skipped."""
        found = column(texts)
        if found is not None:
            return found
        found = np.zeros(len(texts), np.int64)
        for at, row in enumerate(rows):
            if self.skipped[row]:
                continue
            try:
                found[at] = INSTANTS.parse(texts[at], path)
            except Refused as refusal:
                self.rejects.append(Reject(row, refusal.code, refusal.path, records[row].source))
                self.skipped[row] = True
        return found

    def received(self, records: Sequence[Parcelled], recorded_ms: Int64s) -> Int64s:
        """Return when each was received; of heartbeats too, and 0 of what has been refused."""
        if self.waybills.clock == "wall":
            stamps_ms = self.batch.timestamps_ms
            found = np.fromiter(stamps_ms, np.int64, len(stamps_ms))
        else:
            texts = [record.received_at for record in records]
            found = recorded_ms.copy()
            if texts.count(None) < len(texts):
                own = {row: text for row, text in enumerate(texts) if text is not None}
                rows = list(own)
                found[rows] = self.instants(rows, list(own.values()), records, "$.received_at")
        found[self.skipped] = 0
        for row, heard_ms in self.heard_ms.items():
            found[row] = heard_ms
        return found


def read(waybills: Waybills, batch: Batch) -> tuple[Rows, list[Reject]]:
    """Return a batch as columns, and what of it cannot be read; counts neither in any ratio."""
    reader = _Reader(waybills, batch)
    records = reader.records()
    every = range(len(records))
    recorded_ms = reader.instants(every, [r.recorded_at for r in records], records, "$.recorded_at")
    time_ms = reader.instants(every, [r.time for r in records], records, "$.time")
    received_ms = reader.received(records, recorded_ms)
    latest_ms = received_ms + waybills.policy.clock_skew_ms
    sound = ~reader.skipped & (time_ms >= OLDEST_MS) & (recorded_ms >= OLDEST_MS)
    sound &= (time_ms <= latest_ms) & (recorded_ms <= latest_ms)
    sound &= _keys_are_waybills(batch.keys, records)
    kinds = np.fromiter(map(_KINDS.__getitem__, map(type, records)), np.uint8, len(records))
    kinds[reader.skipped] = _OTHER
    placed = np.flatnonzero(kinds >= _PLACED)
    return Rows(
        records=records,
        keys=batch.keys,
        skipped=reader.skipped,
        time_ms=time_ms,
        oldest_ms=int(time_ms.min()),
        recorded_ms=recorded_ms,
        received_ms=received_ms,
        sound=sound,
        placed=placed,
        outlets=[records[row].outlet_id for row in placed.tolist()],  # type: ignore[union-attr]  # they do
        collected=kinds == _COLLECTED,
        sources=reader.sources,
        collections=_collections(waybills, records, np.flatnonzero(sound & (kinds == _COLLECTED))),
        registrations=_registrations(
            waybills,
            records,
            np.flatnonzero(sound & (kinds == _REGISTERED)),
            recorded_ms=recorded_ms,
            received_ms=received_ms,
        ),
        scans=np.flatnonzero(sound & (kinds == _SCANNED)),
    ), reader.rejects


def _keys_are_waybills(keys: Sequence[bytes | None], records: Sequence[Parcelled]) -> Bools:
    waybills = [record.waybill_no for record in records]
    own = list(map(str.encode, waybills))
    if own == list(keys):
        return np.ones(len(own), np.bool_)
    return np.array([one == key for one, key in zip(own, keys, strict=True)], np.bool_)


def _collections(waybills: Waybills, records: Sequence[Parcelled], rows: Ints) -> Collections:
    found: list[Collected] = [records[row] for row in rows.tolist()]
    ids = [record.id.encode() for record in found]
    id_lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    categories = [record.parcel_category for record in found]
    bits = np.fromiter(map(_CATEGORY_BITS.__getitem__, categories), np.int64, len(ids))
    number = waybills.source_numbers.get
    sources = np.array([number(record.source, NONE) for record in found], np.int64)
    agreed = [
        at
        for at, record in enumerate(found)
        if record.agreement_id is not None and record.parcel_category in _BATCH
    ]
    fits = (id_lengths <= ID_BYTES_MAX) & (bits != NONE) & (sources != NONE)
    if fits.all():
        return Collections(rows, found, ids, id_lengths, bits, sources, np.array(agreed, np.intp))
    kept = np.flatnonzero(fits)
    return Collections(
        rows[kept],
        [found[at] for at in kept],
        [ids[at] for at in kept],
        id_lengths[kept],
        bits[kept],
        sources[kept],
        np.searchsorted(kept, [at for at in agreed if fits[at]]),
    )


def _registrations(
    waybills: Waybills,
    records: Sequence[Parcelled],
    rows: Ints,
    *,
    recorded_ms: Int64s,
    received_ms: Int64s,
) -> Registrations:
    delay_ms = received_ms[rows] - recorded_ms[rows]
    backdated = delay_ms > waybills.policy.backdating_ms
    delay_ms[~backdated] = 0
    found: list[Registered] = [records[row] for row in rows.tolist()]
    results = [record.verification_result for record in found]
    if results.count("MATCHED") < len(results) or (delay_ms > DELAY_MAX_MS).any():
        fits = np.array([result == "MATCHED" for result in results]) & (delay_ms <= DELAY_MAX_MS)
        rows, delay_ms, backdated = rows[fits], delay_ms[fits], backdated[fits]
        found = [record for record, fit in zip(found, fits.tolist(), strict=True) if fit]
    upload = np.empty(len(rows), UPLOAD_DTYPE)
    upload["recorded_ms"] = recorded_ms[rows]
    upload["delay_ms"] = delay_ms
    upload["backdated"] = backdated
    heads = upload.view(f"V{UPLOAD_DTYPE.itemsize}").tolist()
    ends = [
        head + record.registration_id.encode() for head, record in zip(heads, found, strict=True)
    ]
    return Registrations(rows, found, ends, recorded_ms[rows] + delay_ms, backdated)


_NOTHING: Final = Scanned(
    time="2000-01-01T00:00:00Z",
    id="-",
    source="-",
    recorded_at="2000-01-01T00:00:00Z",
    waybill_no="-",
    hub_id="-",
)
"""Stands in for what has no parcel where nothing else has one."""
