"""The match stage: joins the records of each waybill and counts, per cell, what has changed.

Everything here is a function of one partition's log. A record's *tick* is the minute at or after
max(its `received_at`, the watermark before it); what time brings about (a pane matures, a parcel closes,
new reference data takes effect) happens at its own tick when the watermark passes it, and a record
received at or after its parcel's final close is late even if the watermark has not got there. So counts do
not depend on the order in which records less than `disorder_ms` apart arrive.

The loop in `apply` and the two methods it calls for nine records of ten (`_collected`, `_registered`)
are the hot path of the whole program: they read and write packed entries. Everything else goes through
`domain.parcel.Parcel` in `_fact`, which is the rule that the hot path is tested against.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
from xxhash import xxh3_64_intdigest

from streams.domain import parcel as parcels
from streams.domain.category import BATCH_CATEGORIES, EXEMPT_CATEGORIES, Category
from streams.domain.cell import (
    CATEGORY_SHIFT,
    COUNTERS,
    PANE_BITS,
    PANE_MASK,
    UNIT_SHIFT,
    Counter,
)
from streams.domain.parcel import Collection, Parcel, Registration
from streams.domain.period import EventPeriod, code_matches
from streams.domain.policy import Policy
from streams.domain.window import (
    PANE_MS,
    TICK_MS,
    instant_text,
    pane_end_ms,
    pane_of,
    tick_at_or_after,
)
from streams.records import changes, shipments, topics
from streams.records.missing import MissingParcel
from streams.records.missing import encode as encode_missing
from streams.records.rejects import Reject, RejectCode
from streams.records.shipments import (
    OLDEST_MS,
    VALUE_BYTES_MAX,
    Collected,
    Heartbeat,
    Parcelled,
    Refused,
    Registered,
    Revoked,
    Scanned,
    Voided,
)
from streams.reference.types import Outlet, Reference, ReferenceHistory
from streams.stages import entry as packed
from streams.stages.entry import (
    AGREED,
    BOTH,
    BOTH_LAYOUT,
    COLLECTED,
    COLLECTED_LAYOUT,
    GENERAL,
    ID_BYTES_MAX,
    REGISTERED,
    REGISTERED_LAYOUT,
    SOURCES_MAX,
    UPLOAD_DELAY_MAX_MS,
)
from streams.stages.match_state import Delta, Scalars, decode_delta, encode_delta, encode_snapshot
from streams.stages.reject_ratio import RejectRatio
from streams.stages.stage import Batch, Drained, Output

Clock = Literal["wall", "data"]
"""Whether `received_at` is the broker's time stamp of the record, or the record's own field."""

_CATEGORY: Final = {category.name: category for category in Category}
_BATCH: Final = frozenset(category.name for category in BATCH_CATEGORIES)
_EXEMPT: Final = frozenset(category.name for category in EXEMPT_CATEGORIES)
_ELIGIBLE: Final = int(Counter.ELIGIBLE)
_ON_TIME: Final = int(Counter.COVERED_ON_TIME)
_LATE: Final = int(Counter.COVERED_LATE)
_SCOPES_REMEMBERED_MAX: Final = 100_000

# What time brings about at one instant, in this order.
_REFERENCE, _MATURE, _CLOSE, _EXPIRE = range(4)


_When = tuple[int, int, int, int]
"""Instants of a record, in milliseconds: time, recorded_at, received_at, and max(received_at, watermark)."""


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
        hash_seed: int = 0,
    ) -> None:
        """Start empty, at offset 0.

        `hash_seed` keys the hash by which closed parcels are remembered; all workers must share it.
        """
        self._partition = partition
        self._policy = policy
        # The hot path reads plain attributes.
        self._grace_ms = policy.grace_alert_ms
        self._final_close_ms = policy.final_close_ms
        self._disorder_ms = policy.disorder_ms
        self._backdating_ms = policy.backdating_ms
        self._clock_skew_ms = policy.clock_skew_ms
        self._history = history
        self._targets = counts_partitions
        self._clock = clock
        self._hash_seed = hash_seed

        self._entries: dict[bytes, bytes] = {}
        self._panes: defaultdict[int, list[bytes]] = defaultdict(list)
        self._waiting: defaultdict[int, list[bytes]] = defaultdict(list)
        self._filings_awaited: defaultdict[str, set[bytes]] = defaultdict(set)
        self._closed: dict[int, int] = {}
        self._closed_in: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))
        self._late: dict[int, set[int]] = {}
        self._sources: list[str] = []
        self._source_numbers: dict[str, int] = {}
        self._ratio = RejectRatio()
        self._received_max_ms = 0
        self._watermark_ms = 0
        self._next_offset = 0

        self._due: list[tuple[int, int, int]] = []
        self._instants = shipments.Instants()
        self._reference_known = 0
        self._reference_from_ms = 0
        self._reference_to_ms = 0
        self._version_used = 0
        self._reference: Reference | None = None
        self._use_reference(history.at(0))
        self._forget_drained()

    # What is due to be sent with the next commit.

    def _forget_drained(self) -> None:
        self._committed_offset = self._next_offset
        self._committed_watermark_ms = self._watermark_ms
        self._committed_sources = len(self._sources)
        self._dirty: dict[bytes, None] = {}
        self._closed_new: list[tuple[int, int]] = []
        self._late_new: list[tuple[int, int]] = []
        self._outputs: list[Output] = []
        self._ticks = array("i")
        self._cells = array("q")
        self._counters = array("b")
        self._deltas = array("i")

    @property
    def next_offset(self) -> int:
        """First offset of `shipments` that has not been applied."""
        return self._next_offset

    @property
    def stream_time_ms(self) -> int:
        """The partition's watermark, in epoch milliseconds; 0 before its first record."""
        return self._watermark_ms

    @property
    def open_parcels(self) -> int:
        """How many parcels are open."""
        return len(self._entries)

    @property
    def sources_flagged(self) -> list[str]:
        """Sources of whose latest records more than half were refused."""
        return self._ratio.flagged

    def reference_version_needed(self, batch: Batch) -> int:
        """Any version will do: the match stage makes the first use of it."""
        del batch
        return 0

    # The way of one record.

    def apply(self, batch: Batch) -> list[Reject]:
        """Join, count and note what changed; see `Stage.apply`."""
        rejects: list[Reject] = []
        if not batch.offsets:
            return rejects
        assert batch.offsets[0] >= self._next_offset, "a batch was applied twice"
        self._note_new_reference()
        decode, take = shipments.decode, self._take
        records_of: defaultdict[str, int] = defaultdict(int)
        stamps: Sequence[int | None] = batch.timestamps_ms
        if self._clock == "data":
            stamps = [None] * len(batch.offsets)
        for index, value in enumerate(batch.values):
            if not value or len(value) > VALUE_BYTES_MAX:
                rejects.append(Reject(index, *shipments.why_refused(value, None)))
                continue
            try:
                record = decode(value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                rejects.append(Reject(index, *shipments.why_refused(value, error)))
                continue
            try:
                if record.__class__ is Heartbeat:
                    received_ms = self._heard(record, stamps[index])
                else:
                    records_of[record.source] += 1
                    received_ms = take(record, batch.keys[index], stamps[index])
            except Refused as refusal:
                source = "" if isinstance(record, Heartbeat) else record.source
                rejects.append(Reject(index, refusal.code, refusal.path, source))
                continue
            if received_ms > self._received_max_ms:
                self._received_max_ms = received_ms
                self._watermark_ms = watermark_ms = received_ms - self._disorder_ms
                if self._due and self._due[0][0] <= watermark_ms:
                    self._advance()
        self._next_offset = batch.offsets[-1] + 1
        self._ratio.add(records_of, rejects)
        return rejects

    def _heard(self, beat: Heartbeat, stamp_ms: int | None) -> int:
        """Return when a heartbeat was received; one without a time says nothing and moves nothing."""
        if stamp_ms is not None:
            return stamp_ms
        if beat.received_at is None:
            return 0
        return self._instants.parse(beat.received_at, "$.received_at")

    def _take(self, record: Parcelled, key: bytes | None, stamp_ms: int | None) -> int:
        """Take in one record; return its `received_at`. Raises Refused, having changed nothing."""
        instants = self._instants
        heads, tails = instants.heads, instants.tails
        text = record.recorded_at
        try:
            recorded_ms = heads[text[:19]] + tails[text[19:]]
        except KeyError:
            recorded_ms = instants.parse(text, "$.recorded_at")
        text = record.time
        try:
            time_ms = heads[text[:19]] + tails[text[19:]]
        except KeyError:
            time_ms = instants.parse(text, "$.time")
        if stamp_ms is not None:
            received_ms = stamp_ms
        elif record.received_at is None:
            received_ms = recorded_ms
        else:
            text = record.received_at
            try:
                received_ms = heads[text[:19]] + tails[text[19:]]
            except KeyError:
                received_ms = instants.parse(text, "$.received_at")

        if key != record.waybill_no.encode():
            raise Refused(RejectCode.KEY_MISMATCH, "$.waybill_no")
        watermark_ms = self._watermark_ms
        now_ms = received_ms if received_ms > watermark_ms else watermark_ms
        if not self._reference_from_ms < now_ms <= self._reference_to_ms:
            self._look_up_reference(now_ms)
        if time_ms < OLDEST_MS or recorded_ms < OLDEST_MS or received_ms < OLDEST_MS:
            self._known_outlet(record)
            raise Refused(RejectCode.TOO_OLD, "$.time" if time_ms < OLDEST_MS else "$.recorded_at")
        latest_ms = received_ms + self._clock_skew_ms
        if time_ms > latest_ms or recorded_ms > latest_ms:
            self._known_outlet(record)
            late_field = "$.time" if time_ms > latest_ms else "$.recorded_at"
            raise Refused(RejectCode.FROM_THE_FUTURE, late_field)

        when = (time_ms, recorded_ms, received_ms, now_ms)
        entry = self._entries.get(key)
        kind = record.__class__
        if kind is Registered:
            self._registered(key, entry, record, when)  # type: ignore[arg-type]  # by `kind`
        elif kind is Collected:
            self._collected(key, entry, record, when)  # type: ignore[arg-type]  # by `kind`
        else:
            self._fact(key, entry, record, when)
        return received_ms

    def _known_outlet(self, record: Parcelled) -> int:
        """Return the unit of the outlet that a record names; raises Refused(UNKNOWN_OUTLET)."""
        if isinstance(record, Collected | Registered):
            unit = self._units.get(record.outlet_id)
            if unit is None:
                raise Refused(RejectCode.UNKNOWN_OUTLET, "$.outlet_id")
            return unit
        return 0

    # Nine records of ten.

    def _collected(
        self, key: bytes, entry: bytes | None, record: Collected, when: _When
    ) -> None:
        """Take in a collection: the first fact of its waybill, or the second after a registration."""
        unit = self._units.get(record.outlet_id)
        if unit is None:
            raise Refused(RejectCode.UNKNOWN_OUTLET, "$.outlet_id")
        time_ms, now_ms = when[0], when[3]
        category = record.parcel_category
        source = self._source_numbers.get(record.source)
        pane, in_pane_ms = divmod(time_ms, PANE_MS)
        record_id = record.id.encode()
        if (
            category in _EXEMPT
            or (record.agreement_id is not None and category in _BATCH)
            or source is None
            or len(record_id) > ID_BYTES_MAX
            or pane < (now_ms - self._final_close_ms) // PANE_MS
            or (self._closed and entry is None and self._hash(key) in self._closed)
        ):
            self._fact(key, entry, record, when)
            return
        scope = self._scope_of(record, time_ms) if self._scoped_periods else 0
        cell = (unit | _CATEGORY[category] << CATEGORY_SHIFT | scope) << PANE_BITS | pane
        if entry is None:
            entry = COLLECTED_LAYOUT.pack(COLLECTED, cell, in_pane_ms, source) + record_id
            covered = None
        elif entry[0] == REGISTERED:
            _, first_ms, _, decided_ms, delay_ms, backdated = REGISTERED_LAYOUT.unpack_from(entry)
            if first_ms // PANE_MS < (now_ms - self._final_close_ms) // PANE_MS:
                self._fact(key, entry, record, when)
                return
            entry = (
                BOTH_LAYOUT.pack(
                    BOTH, cell, in_pane_ms, source, decided_ms, delay_ms, backdated, len(record_id)
                )
                + record_id
                + entry[REGISTERED_LAYOUT.size :]
            )
            covered = _LATE if decided_ms + delay_ms > time_ms + self._grace_ms else _ON_TIME
            if backdated:
                self._count(-(-now_ms // TICK_MS), cell, int(Counter.BACKDATED), 1)
        else:
            self._fact(key, entry, record, when)
            return
        self._entries[key] = entry
        self._dirty[key] = None
        tick = -(-now_ms // TICK_MS)
        self._count(tick, cell, _ELIGIBLE, 1)
        if covered is not None:
            self._count(tick, cell, covered, 1)
        self._wait_in(pane, key)
        if covered is None and pane_end_ms(pane) + self._grace_ms <= self._watermark_ms:
            self._report_missing(key, cell, time_ms)

    def _registered(
        self, key: bytes, entry: bytes | None, record: Registered, when: _When
    ) -> None:
        """Take in a registration: the second fact of a collected parcel, or the first of all."""
        unit = self._units.get(record.outlet_id)
        if unit is None:
            raise Refused(RejectCode.UNKNOWN_OUTLET, "$.outlet_id")
        time_ms, decided_ms, received_ms, now_ms = when
        delay_ms = received_ms - decided_ms
        backdated = 1
        if delay_ms <= self._backdating_ms:
            delay_ms = backdated = 0
        if record.verification_result != "MATCHED" or delay_ms > UPLOAD_DELAY_MAX_MS:
            self._fact(key, entry, record, when)
            return
        open_from = (now_ms - self._final_close_ms) // PANE_MS
        if entry is None:
            if time_ms // PANE_MS < open_from or (
                self._closed and self._hash(key) in self._closed
            ):
                self._fact(key, entry, record, when)
                return
            self._entries[key] = (
                REGISTERED_LAYOUT.pack(
                    REGISTERED, time_ms, unit >> UNIT_SHIFT, decided_ms, delay_ms, backdated
                )
                + record.registration_id.encode()
            )
            self._dirty[key] = None
            self._wait_uncollected(time_ms // PANE_MS, key)
            return
        if entry[0] != COLLECTED:
            self._fact(key, entry, record, when)
            return
        _, cell, in_pane_ms, source = COLLECTED_LAYOUT.unpack_from(entry)
        pane = cell & PANE_MASK
        if pane < open_from:
            self._fact(key, entry, record, when)
            return
        record_id = entry[COLLECTED_LAYOUT.size :]
        self._entries[key] = (
            BOTH_LAYOUT.pack(
                BOTH, cell, in_pane_ms, source, decided_ms, delay_ms, backdated, len(record_id)
            )
            + record_id
            + record.registration_id.encode()
        )
        self._dirty[key] = None
        tick = -(-now_ms // TICK_MS)
        collected_ms = pane * PANE_MS + in_pane_ms
        late = decided_ms + delay_ms > collected_ms + self._grace_ms
        self._count(tick, cell, _LATE if late else _ON_TIME, 1)
        if backdated:
            self._count(tick, cell, int(Counter.BACKDATED), 1)
        if pane_end_ms(pane) + self._grace_ms <= self._watermark_ms:
            self._take_back_missing(key)

    def _count(self, tick: int, cell: int, counter: int, delta: int) -> None:
        self._ticks.append(tick)
        self._cells.append(cell)
        self._counters.append(counter)
        self._deltas.append(delta)

    # Every record: the rule that the two methods above abbreviate.

    def _fact(self, key: bytes, entry: bytes | None, record: Parcelled, when: _When) -> None:
        """Take in a fact of any kind, in any state of its parcel. Raises Refused, having changed nothing."""
        unit = self._known_outlet(record)
        time_ms, now_ms = when[0], when[3]
        parcel = None if entry is None else packed.unpack(entry, self._sources)
        if parcel is not None and self._close_at(parcel) <= now_ms:
            self._close(key, parcel)
            parcel = None
        if parcel is None:
            closed = self._hash(key)
            if closed in self._closed:
                self._count_late(closed, record, now_ms)
                return
            if isinstance(record, Collected) and (
                pane_end_ms(pane_of(time_ms)) + self._final_close_ms <= now_ms
            ):
                raise Refused(RejectCode.TOO_LATE, "$.time")
            parcel = Parcel(first_ms=time_ms)
        before = self._standing(parcel)
        if isinstance(record, Collected):
            self._collect(parcel, record, unit, time_ms)
        elif isinstance(record, Registered):
            parcel.register(_registration(record, unit, when, self._backdating_ms))
        elif isinstance(record, Revoked):
            parcel.revoke(record.registration_id, time_ms)
        elif isinstance(record, Voided):
            parcel.void(time_ms)
        elif isinstance(record, Scanned):
            parcel.scan(time_ms)
        self._changed(key, parcel, before, -(-now_ms // TICK_MS))
        if self._close_at(parcel) <= now_ms:
            self._close(key, parcel)

    def _collect(self, parcel: Parcel, record: Collected, unit: int, time_ms: int) -> None:
        waits = record.parcel_category in _BATCH and record.agreement_id is not None
        collection = Collection(
            time_ms=time_ms,
            source=record.source,
            id=record.id,
            outlet=unit >> UNIT_SHIFT,
            category=_CATEGORY[record.parcel_category],
            scope=self._scope_of(record, time_ms) if self._scoped_periods else 0,
            agreement_id=(record.agreement_id or "") if waits else "",
            cover_ms=None,
        )
        collection.cover_ms = self._cover_by_agreement(collection)
        parcel.collect(collection)

    def _cover_by_agreement(self, collection: Collection) -> int | None:
        """Return the upload time of a collection's cover by a filed agreement, or None."""
        filings = self._reference.agreements.get(collection.agreement_id, ())
        return min(
            (
                max(collection.time_ms, filing.recorded_at_ms)
                for filing in filings
                if filing.org_code_present
                and filing.responsible_id_present
                and filing.valid_from_ms <= collection.time_ms <= filing.valid_to_ms
            ),
            default=None,
        )

    def _standing(self, parcel: Parcel) -> "_Standing":
        owner = parcel.owner
        if owner is None:
            return _Standing(None, parcels.counts(parcel, grace_ms=self._grace_ms), missing=False)
        mature = pane_end_ms(pane_of(owner.time_ms)) + self._grace_ms <= self._watermark_ms
        figures = parcels.counts(parcel, grace_ms=self._grace_ms)
        return _Standing(owner.cell, figures, missing=mature and parcel.missing)

    def _changed(self, key: bytes, parcel: Parcel, before: "_Standing", tick: int) -> None:
        """Keep a changed parcel; count the difference that it makes."""
        after = self._standing(parcel)
        if before.cell == after.cell:
            if after.cell is not None:
                self._count_difference(tick, after.cell, before.figures, after.figures)
        else:
            nothing = [0] * COUNTERS
            if before.cell is not None:
                self._count_difference(tick, before.cell, before.figures, nothing)
            if after.cell is not None:
                self._count_difference(tick, after.cell, nothing, after.figures)
        self._keep(key, parcel)
        owner = parcel.owner
        if after.missing and owner is not None:
            if not before.missing or before.cell != after.cell:
                self._report_missing(key, owner.cell, owner.time_ms)
        elif before.missing:
            self._take_back_missing(key)

    def _count_difference(
        self, tick: int, cell: int, before: Sequence[int], after: Sequence[int]
    ) -> None:
        for counter in range(COUNTERS):
            delta = after[counter] - before[counter]
            if delta:
                self._count(tick, cell, counter, delta)

    def _keep(self, key: bytes, parcel: Parcel) -> None:
        self._entries[key] = packed.pack(parcel, self._number_of_source)
        self._dirty[key] = None
        self._queue(key, parcel)

    def _queue(self, key: bytes, parcel: Parcel) -> None:
        """Enter a parcel wherever time or a filing will look for it; stale entries there are harmless."""
        owner = parcel.owner
        if owner is None:
            self._wait_uncollected(pane_of(parcels.closing_ms(parcel)), key)
            return
        self._wait_in(pane_of(owner.time_ms), key)
        if owner.agreement_id and owner.cover_ms is None:
            self._filings_awaited[owner.agreement_id].add(key)

    def _count_late(self, closed: int, record: Parcelled, now_ms: int) -> None:
        """Count a record of a closed parcel, each (source, id) once."""
        identity = xxh3_64_intdigest(f"{record.source}\0{record.id}", self._hash_seed)
        seen = self._late.setdefault(closed, set())
        if identity not in seen:
            seen.add(identity)
            self._late_new.append((closed, identity))
            self._count(
                -(-now_ms // TICK_MS), self._closed[closed], int(Counter.AFTER_CLOSE), 1
            )

    # Missing parcels.

    def _report_missing(self, key: bytes, cell: int, time_ms: int) -> None:
        outlet = self._outlet(cell >> PANE_BITS >> UNIT_SHIFT)
        record = MissingParcel(
            waybill_no=key.decode(),
            outlet_id=outlet.outlet_id,
            enterprise_id=outlet.enterprise_id,
            county_code=outlet.county_code,
            parcel_category=Category(cell >> PANE_BITS >> CATEGORY_SHIFT & 15).name,
            collected_at=instant_text(time_ms),
            missing_since=instant_text(pane_end_ms(cell & PANE_MASK) + self._grace_ms),
        )
        value = encode_missing(record)
        self._outputs.append(Output(topics.PARCELS_MISSING, key, value, self._partition))

    def _take_back_missing(self, key: bytes) -> None:
        self._outputs.append(Output(topics.PARCELS_MISSING, key, None, self._partition))

    # What time brings about.

    def _wait_in(self, pane: int, key: bytes) -> None:
        """Have a collected parcel looked at when its pane matures and when it closes."""
        keys = self._panes[pane]
        if not keys:
            end_ms = pane_end_ms(pane)
            heappush(self._due, (end_ms + self._grace_ms, _MATURE, pane))
            heappush(self._due, (end_ms + self._final_close_ms, _CLOSE, pane))
        keys.append(key)

    def _wait_uncollected(self, pane: int, key: bytes) -> None:
        """Have a parcel without a collection looked at when it is to be given up."""
        keys = self._waiting[pane]
        if not keys:
            heappush(self._due, (pane_end_ms(pane) + self._final_close_ms, _CLOSE, pane))
        keys.append(key)

    def _advance(self) -> None:
        """Do what is due at or before the watermark, in order of time."""
        due = self._due
        while due and due[0][0] <= self._watermark_ms:
            due_ms, what, subject = heappop(due)
            if what == _MATURE:
                self._mature(subject)
            elif what == _CLOSE:
                self._close_pane(subject)
            elif what == _EXPIRE:
                for closed in self._closed_in.pop(subject, ()):
                    self._closed.pop(closed, None)
                    self._late.pop(closed, None)
            elif what == _REFERENCE:
                self._cover_awaiting(due_ms)

    def _mature(self, pane: int) -> None:
        """Report the parcels of a pane that are missing as it matures."""
        for key in dict.fromkeys(self._panes.get(pane, ())):
            entry = self._entries.get(key)
            if entry is None or entry[0] in (AGREED, BOTH, REGISTERED):
                continue
            if entry[0] == COLLECTED:
                _, cell, in_pane_ms, _ = COLLECTED_LAYOUT.unpack_from(entry)
                if cell & PANE_MASK == pane:
                    self._report_missing(key, cell, pane * PANE_MS + in_pane_ms)
                continue
            parcel = packed.unpack(entry, self._sources)
            owner = parcel.owner
            if parcel.missing and owner is not None and pane_of(owner.time_ms) == pane:
                self._report_missing(key, owner.cell, owner.time_ms)

    def _close_pane(self, pane: int) -> None:
        """Close the parcels of a pane, and give up those of it that were never collected."""
        for key in self._panes.pop(pane, ()):
            entry = self._entries.get(key)
            if entry is None:
                continue
            if entry[0] in (COLLECTED, AGREED, BOTH):
                cell = packed.cell_in(entry)
                if cell is not None and cell & PANE_MASK == pane:
                    self._remember_closed(key, cell)
            elif entry[0] == GENERAL:
                self._close_if_of(key, entry, pane)
        for key in self._waiting.pop(pane, ()):
            entry = self._entries.get(key)
            if entry is not None and entry[0] in (REGISTERED, GENERAL):
                self._close_if_of(key, entry, pane)

    def _close_if_of(self, key: bytes, entry: bytes, pane: int) -> None:
        parcel = packed.unpack(entry, self._sources)
        if pane_of(parcels.closing_ms(parcel)) == pane:
            self._close(key, parcel)

    def _close_at(self, parcel: Parcel) -> int:
        """Return the instant of a parcel's final close."""
        return pane_end_ms(pane_of(parcels.closing_ms(parcel))) + self._final_close_ms

    def _close(self, key: bytes, parcel: Parcel) -> None:
        """Close a parcel; count it as an orphan if it was registered and never collected."""
        if parcel.owner is not None:
            self._remember_closed(key, parcel.owner.cell)
            return
        cell = parcels.orphan_cell(parcel)
        if cell is None:
            del self._entries[key]
            self._dirty[key] = None
            return
        self._count(self._close_at(parcel) // TICK_MS, cell, int(Counter.ORPHANS), 1)
        self._remember_closed(key, cell)

    def _remember_closed(self, key: bytes, cell: int) -> None:
        self._entries.pop(key, None)
        closed = self._hash(key)
        if key in self._dirty:
            # The state log's reader closes by itself what did not change since the last commit; of
            # this parcel it does not know the state in which it closed.
            self._closed_new.append((closed, cell))
        self._enter_closed(closed, cell)

    def _enter_closed(self, closed: int, cell: int) -> None:
        pane = cell & PANE_MASK
        hashes = self._closed_in[pane]
        if not hashes:
            heappush(self._due, (pane_end_ms(pane) + self._policy.closed_kept_ms, _EXPIRE, pane))
        hashes.append(closed)
        self._closed[closed] = cell

    def _hash(self, key: bytes) -> int:
        return xxh3_64_intdigest(key, self._hash_seed)

    # Reference data.

    def _note_new_reference(self) -> None:
        """Take notice of versions that have arrived since the last batch."""
        latest = self._history.latest
        if latest.version > self._reference_known:
            self._reference_known = latest.version
            self._reference_to_ms = 0  # Look again, whatever is in use.
            self._by_number: dict[int, Outlet] = {}
            # One that came too late to take effect at its own tick does so at the next.
            soonest_ms = tick_at_or_after(self._watermark_ms + 1)
            first_ms = self._history.next_change_after(self._committed_watermark_ms)
            if first_ms is not None or latest.effective_at_ms:
                heappush(self._due, (max(first_ms or 0, soonest_ms), _REFERENCE, 0))

    def _look_up_reference(self, now_ms: int) -> None:
        """Use the version that is in effect at the tick of `now_ms`."""
        tick_ms = -(-now_ms // TICK_MS) * TICK_MS
        reference = self._history.at(tick_ms)
        until_ms = self._history.next_change_after(tick_ms)
        self._use_reference(reference)
        # A version that takes effect at tick E is for the instants after E - 1 min.
        self._reference_from_ms = (
            reference.effective_at_ms - TICK_MS if reference.effective_at_ms else -1
        )
        self._reference_to_ms = until_ms - TICK_MS if until_ms is not None else 1 << 62

    def _use_reference(self, reference: Reference) -> None:
        if reference is self._reference:
            return
        self._reference = reference
        self._version_used = max(self._version_used, reference.version)
        self._units = {
            outlet_id: outlet.number << UNIT_SHIFT for outlet_id, outlet in reference.outlets.items()
        }
        self._scoped_periods = [p for p in reference.periods if p.scope_bit is not None]
        self._scopes_between: dict[tuple[str, str], list[EventPeriod]] = {}

    def _scope_of(self, record: Collected, time_ms: int) -> int:
        """Return the bits of the destination-scoped periods that a collection falls under."""
        outlet_id, destination = record.outlet_id, record.destination_code or ""
        periods = self._scopes_between.get((outlet_id, destination))
        if periods is None:
            county = self._reference.outlets[outlet_id].county_code
            periods = [
                period
                for period in self._scoped_periods
                if code_matches(county, period.origin_codes)
                and destination
                and code_matches(destination, period.destination_codes)
            ]
            if len(self._scopes_between) >= _SCOPES_REMEMBERED_MAX:
                self._scopes_between.clear()
            self._scopes_between[outlet_id, destination] = periods
        scope = 0
        for period in periods:
            if period.start_ms <= time_ms < period.end_ms:
                assert period.scope_bit is not None
                scope |= 1 << period.scope_bit
        return scope

    def _outlet(self, number: int) -> Outlet:
        if number not in self._by_number:
            latest = self._history.latest
            for outlets in (latest.retired, latest.outlets):
                self._by_number.update({o.number: o for o in outlets.values()})
        return self._by_number[number]

    def _cover_awaiting(self, effective_ms: int) -> None:
        """Cover the parcels that wait for a filing which has just taken effect."""
        self._look_up_reference(effective_ms)
        next_ms = self._history.next_change_after(effective_ms)
        if next_ms is not None:
            heappush(self._due, (next_ms, _REFERENCE, 0))
        for agreement_id in sorted(self._filings_awaited.keys() & self._reference.agreements.keys()):
            waiting = self._filings_awaited.pop(agreement_id)
            for key in sorted(waiting):
                entry = self._entries.get(key)
                if entry is None:
                    continue
                parcel = packed.unpack(entry, self._sources)
                owner = parcel.owner
                if owner is None or owner.agreement_id != agreement_id or owner.cover_ms is not None:
                    continue
                before = self._standing(parcel)
                owner.cover_ms = self._cover_by_agreement(owner)
                if owner.cover_ms is None:
                    self._filings_awaited[agreement_id].add(key)
                else:
                    self._changed(key, parcel, before, effective_ms // TICK_MS)

    def _number_of_source(self, source: str) -> int | None:
        """Return a source's number in the partition's table, or None when the table is full."""
        number = self._source_numbers.get(source)
        if number is None and len(self._sources) < SOURCES_MAX:
            number = self._source_numbers[source] = len(self._sources)
            self._sources.append(source)
        return number

    # What a transaction carries.

    def drain(self, *, publish: bool) -> Drained:
        """Return the changes of cells, missing parcels and changed entries; see `Stage.drain`."""
        del publish  # What this stage sends is all changes, none of it a current figure.
        drained = Drained(outputs=list(self._outputs))
        if self._next_offset == self._committed_offset:
            return drained
        rows = changes.Rows(
            np.array(self._ticks, np.int32),
            np.array(self._cells, np.int64),
            np.array(self._counters, np.int8),
            np.array(self._deltas, np.int32),
        )
        header = changes.Header(
            format=changes.FORMAT,
            source=self._partition,
            reference_version=self._version_used,
            from_offset=self._committed_offset,
            to_offset=self._next_offset,
            part=0,
            parts=0,
            watermark_ms=self._watermark_ms,
        )
        target_of = (rows.cells >> (PANE_BITS + UNIT_SHIFT)) % self._targets
        for target in range(self._targets):
            mine = rows if self._targets == 1 else rows.take(target_of == target)
            drained.outputs.extend(
                Output(topics.COUNTS, None, value, target) for value in changes.encode(header, mine)
            )
        entries = self._entries
        drained.state = encode_delta(
            self._scalars(),
            [(key, entries.get(key, b"")) for key in self._dirty],
            closed=self._closed_new,
            late=self._late_new,
            sources=self._sources[self._committed_sources :],
        )
        return drained

    def committed(self) -> None:
        """Forget what the last drain gave; see `Stage.committed`."""
        self._forget_drained()

    def _scalars(self) -> Scalars:
        return Scalars(
            next_offset=self._next_offset,
            received_max_ms=self._received_max_ms,
            watermark_ms=self._watermark_ms,
            version_used=self._version_used,
            ratio=self._ratio.dump(),
        )

    def snapshot(self) -> Iterator[bytes]:
        """Yield the state in chunks; see `Stage.snapshot`."""
        late = [(closed, seen) for closed, ids in self._late.items() for seen in sorted(ids)]
        return encode_snapshot(
            self._scalars(), self._entries, closed=self._closed, late=late, sources=self._sources
        )

    def restore_snapshot(self, chunks: Sequence[bytes]) -> None:
        """Replace the state; see `Stage.restore_snapshot`."""
        self._entries.clear()
        self._closed.clear()
        self._closed_in.clear()
        self._late.clear()
        self._sources.clear()
        for chunk in chunks:
            self._restore(decode_delta(chunk))

    def restore_delta(self, payload: bytes) -> None:
        """Apply one payload of the state log; see `Stage.restore_delta`."""
        self._restore(decode_delta(payload))

    def _restore(self, delta: Delta) -> None:
        scalars = delta.scalars
        self._next_offset = scalars.next_offset
        self._received_max_ms = scalars.received_max_ms
        self._version_used = max(self._version_used, scalars.version_used)
        self._ratio.load(scalars.ratio)
        for source in delta.sources:
            self._source_numbers[source] = len(self._sources)
            self._sources.append(source)
        for key, entry in delta.entries:
            if entry:
                self._entries[key] = entry
            else:
                self._entries.pop(key, None)
        for closed, cell in delta.closed:
            self._closed[closed] = cell
        for closed, identity in delta.late:
            self._late.setdefault(closed, set()).add(identity)
        if delta.last:
            self._watermark_ms = scalars.watermark_ms

    def restored(self) -> None:
        """Rebuild the queues, then let time do what it had done; see `Stage.restored`."""
        self._due.clear()
        self._panes.clear()
        self._waiting.clear()
        self._filings_awaited.clear()
        self._closed_in.clear()
        self._reference_known = 0
        closed, self._closed = self._closed, {}
        for hashed, cell in closed.items():
            self._enter_closed(hashed, cell)
        for key, entry in self._entries.items():
            if entry[0] in (COLLECTED, AGREED, BOTH):
                self._wait_in(int.from_bytes(entry[1:9], "little") & PANE_MASK, key)
            elif entry[0] == REGISTERED:
                self._wait_uncollected(REGISTERED_LAYOUT.unpack_from(entry)[1] // PANE_MS, key)
            else:
                self._queue(key, packed.unpack(entry, self._sources))
        self._note_new_reference()
        self._advance()
        self._forget_drained()


class _Standing(NamedTuple):
    """What a parcel counts as at one moment: in which cell, how much, and whether it is missing."""

    cell: int | None
    figures: parcels.Counts
    missing: bool


def _registration(record: Registered, unit: int, when: _When, backdating_ms: int) -> Registration:
    time_ms, recorded_ms, received_ms, _ = when
    backdated = received_ms - recorded_ms > backdating_ms
    matched = record.verification_result == "MATCHED"
    upload_ms = received_ms if backdated else recorded_ms
    return Registration(
        registration_id=record.registration_id,
        time_ms=time_ms,
        outlet=unit >> UNIT_SHIFT,
        decided_ms=recorded_ms,
        matched=matched,
        upload_ms=upload_ms if matched else None,
        backdated=matched and backdated,
    )
