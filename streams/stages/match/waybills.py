"""The waybills of one partition: all that is known of them, and the rule by which a record changes it.

Everything here is a function of one partition's log. A record's *tick* is the minute at or after
max(its `received_at`, the watermark before it). What time brings about (a pane matures, a parcel closes,
new reference data takes effect) happens at its own tick when the watermark passes it; and a record that
was received at or after its parcel's final close is late even if the watermark has not got there. So
counts do not depend on the order in which records less than `disorder_ms` apart arrive, unless the final
close of their parcel lies between them.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from streams.domain import parcel as parcels
from streams.domain.category import BATCH_CATEGORIES, Category
from streams.domain.cell import (
    CATEGORY_MASK,
    CATEGORY_SHIFT,
    COUNTERS,
    PANE_BITS,
    PANE_MASK,
    UNIT_SHIFT,
    Counter,
)
from streams.domain.parcel import Collection, Parcel, Registration
from streams.domain.policy import Policy
from streams.domain.window import (
    PANE_MS,
    TICK_MS,
    instant_text,
    pane_end_ms,
    pane_of,
    tick_at_or_after,
)
from streams.records import topics
from streams.records.instants import INSTANTS
from streams.records.missing import MissingParcel
from streams.records.missing import encode as encode_missing
from streams.records.rejects import Refused, RejectCode
from streams.records.shipments import (
    OLDEST_MS,
    Collected,
    Heartbeat,
    Parcelled,
    Registered,
    Revoked,
    Scanned,
    Voided,
)
from streams.reference.types import ReferenceHistory
from streams.stages.match import entry as packed
from streams.stages.match.agenda import Agenda, Due, by_pane, enter, queued
from streams.stages.match.entry import COLLECTED, PLACE_AT, PLACE_LAYOUT, SOURCES_MAX
from streams.stages.match.ledger import Ledger
from streams.stages.match.lookup import Lookup
from streams.stages.match.native import joining
from streams.stages.match.native.closed import Closed
from streams.stages.match.native.entries import NONE, Entries, signed, unsigned
from streams.stages.match.native.names import KnownSources
from streams.stages.match.reject_ratio import RejectRatio
from streams.stages.stage import Output

Clock = Literal["wall", "data"]
"""Whether `received_at` is the broker's time stamp of the record, or the record's own field."""

When = tuple[int, int, int, int]
"""A record's time, recorded_at and received_at, and max(received_at, watermark); milliseconds."""

_CATEGORIES: Final = {int(category): category.name for category in Category}
_BATCH: Final = frozenset(category.name for category in BATCH_CATEGORIES)


class Waybills:
    """Open and closed parcels, and what has changed since the last commit.

    `hash_of` gives the hash by which a waybill is found, and remembered once its
    parcel has closed.

    The attributes without an underscore are for `fast_path`, which does the same faster, and for
    `partition`, which keeps them.
    """

    def __init__(
        self,
        partition: int,
        policy: Policy,
        history: ReferenceHistory,
        *,
        clock: Clock,
        hash_seed: int,
    ) -> None:
        """Start with none. `hash_seed` keys the hash by which closed parcels are remembered."""
        self.policy = policy
        self.clock = clock
        self.instants = INSTANTS
        self.lookup = Lookup(history)
        self.ratio = RejectRatio()
        self.entries = Entries(hash_seed)
        self.hash_of = self.entries.hash_of
        self.closed = Closed()
        self.late: dict[int, set[int]] = {}
        self.sources: list[str] = []
        self.source_numbers: dict[str, int] = {}
        self.known_sources = KnownSources()
        self.received_max_ms = 0
        self.watermark_ms = 0
        self._partition = partition
        self._history = history
        self._grace_ms = policy.grace_alert_ms
        self._final_close_ms = policy.final_close_ms
        self.forget_queues()
        self.forget_changes()

    def forget_queues(self) -> None:
        """Drop what `requeue` builds anew."""
        self.agenda = Agenda(self.policy)
        self._filings_awaited: dict[str, set[bytes]] = {}
        self._reference_known = 0

    def requeue(self) -> None:
        """Build the queues from what is open and closed, then let time do what it has done."""
        self.forget_queues()
        hashes, cells = self.closed.columns()
        for pane, some in by_pane(cells & PANE_MASK, hashes):
            if self._forget_at(pane) > self.watermark_ms:
                enter(self.agenda.closed_in(pane), some)
            else:
                self.closed.forget(some, pane)  # The log does not say who was forgotten.
        slots = self.entries.slots()
        panes = np.empty(len(slots), np.int64)
        joining.survey(self.entries.arrays, slots, panes)
        collected, general = panes >= 0, panes == NONE
        for pane, some in by_pane(panes[collected], slots[collected]):
            enter(self.agenda.collected_in(pane), some)
        uncollected = ~collected & ~general
        for pane, some in by_pane(-2 - panes[uncollected], slots[uncollected]):
            enter(self.agenda.uncollected_in(pane), some)
        for slot in slots[general].tolist():
            parcel = packed.unpack(self.entries.entry(slot), self.sources)
            self._queue(slot, self.entries.key(slot), parcel)
        self.note_new_reference()
        self.agenda.forget_matured(self.watermark_ms)
        self.advance(self.watermark_ms)
        for closed in [closed for closed in self.late if closed not in self.closed]:
            del self.late[closed]

    def forget_changes(self) -> None:
        """Start anew to note what changes: all up to here is durable."""
        self.entries.forget_changes()
        self.ledger = Ledger()
        self.outputs: list[Output] = []
        self.closed_new: list[tuple[int, int]] = []
        self.late_new: list[tuple[int, int]] = []

    def heard(self, beat: Heartbeat, stamp_ms: int) -> int:
        """Return when a heartbeat was received; one that does not say moves nothing."""
        if self.clock == "wall":
            return stamp_ms
        if beat.received_at is None:
            return 0
        return self.instants.parse(beat.received_at, "$.received_at")

    # The way of one record.

    def take(self, record: Parcelled, key: bytes | None, when: When) -> None:
        """Take in a record of any kind, in any state of its parcel.

        Raises Refused, having changed nothing but what time would have. `lookup` is in use at the
        record's tick.
        """
        unit = self._check(record, key, when)
        assert key is not None
        time_ms, _, received_ms, now_ms = when
        parcel = self._open(key, now_ms)
        if parcel is None and self._is_closed(closed := self.hash_of(key), now_ms):
            self._count_late(closed, record, now_ms)
            return
        if isinstance(record, Collected):
            # Even where an open parcel could take it in: a closed day must not change, nor may it
            # matter which of the two came first.
            if self.closing_of(time_ms) <= now_ms:
                raise Refused(RejectCode.TOO_LATE, "$.time")
        elif self.closing_of(time_ms) <= received_ms:
            # A fact uploaded so late waits for its collection from then on, like any other.
            time_ms = received_ms
        parcel = parcel or Parcel(first_ms=time_ms)
        before = self._standing(parcel)
        if isinstance(record, Collected):
            self._collect(parcel, record, unit, time_ms)
        elif isinstance(record, Registered):
            parcel.register(self._registration(record, unit, time_ms, when))
        else:
            _amend(parcel, record, time_ms)
        self._changed(key, parcel, before, -(-now_ms // TICK_MS))
        if self._close_at(parcel) <= now_ms:
            self._close(key, parcel)

    def _open(self, key: bytes, now_ms: int) -> Parcel | None:
        """Return the parcel of a waybill, or None; one whose final close has come is closed first."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        parcel = packed.unpack(entry, self.sources)
        if self._close_at(parcel) > now_ms:
            return parcel
        # Ahead of the watermark, so the state log's reader would not close it by itself.
        self._close(key, self._caught_up(key, parcel, now_ms), tell=True)
        return None

    def _caught_up(self, key: bytes, parcel: Parcel, now_ms: int) -> Parcel:
        """Do to a parcel that closes ahead of the watermark what time has yet to do, and return it."""
        owner = parcel.owner
        if owner is None:
            return parcel
        if owner.agreement_id:
            close_ms = self._close_at(parcel)
            self.lookup.use_at(close_ms)
            self._cover(key, owner.agreement_id, close_ms)
            self.lookup.use_at(now_ms)
            parcel = packed.unpack(self.entries[key], self.sources)
        if parcel.missing and not self._is_mature(owner.time_ms):
            self.report_missing(key, owner.cell, owner.time_ms)
        return parcel

    def _is_closed(self, closed: int, now_ms: int) -> bool:
        """Return whether a parcel is closed, and not yet to be forgotten.

        It is forgotten when the watermark gets there, not ahead of it: the state log does not say so.
        """
        cell = self.closed.get(closed)
        return cell is not None and self._forget_at(cell) > now_ms

    def _forget_at(self, cell: int) -> int:
        """Return until when a parcel that closed in a cell is recognised, or in a pane, which will do."""
        return pane_end_ms(cell & PANE_MASK) + self.policy.closed_kept_ms

    def _check(self, record: Parcelled, key: bytes | None, when: When) -> int:
        """Return the number of the outlet that a record names, shifted; raises Refused."""
        time_ms, recorded_ms, received_ms, _ = when
        if key != record.waybill_no.encode():
            raise Refused(RejectCode.KEY_MISMATCH, "$.waybill_no")
        unit = 0
        if isinstance(record, Collected | Registered):
            found = self.lookup.units.get(record.outlet_id)
            if found is None:
                raise Refused(RejectCode.UNKNOWN_OUTLET, "$.outlet_id")
            unit = found
        for instant_ms, path in ((time_ms, "$.time"), (recorded_ms, "$.recorded_at")):
            if instant_ms < OLDEST_MS:
                raise Refused(RejectCode.TOO_OLD, path)
        for instant_ms, path in ((time_ms, "$.time"), (recorded_ms, "$.recorded_at")):
            if instant_ms > received_ms + self.policy.clock_skew_ms:
                raise Refused(RejectCode.FROM_THE_FUTURE, path)
        return unit

    def _collect(self, parcel: Parcel, record: Collected, unit: int, time_ms: int) -> None:
        waits = record.parcel_category in _BATCH and record.agreement_id is not None
        collection = Collection(
            time_ms=time_ms,
            source=record.source,
            id=record.id,
            outlet=unit >> UNIT_SHIFT,
            category=Category[record.parcel_category],
            scope=self._scope_of(record, time_ms),
            agreement_id=(record.agreement_id or "") if waits else "",
            cover_ms=None,
        )
        collection.cover_ms = self.lookup.cover_by_agreement(collection)
        parcel.collect(collection)

    def _scope_of(self, record: Collected, time_ms: int) -> int:
        lookup = self.lookup
        if not lookup.scoped:
            return 0
        return lookup.scope_of(record.outlet_id, record.destination_code, time_ms)

    def _registration(
        self, record: Registered, unit: int, time_ms: int, when: When
    ) -> Registration:
        _, recorded_ms, received_ms, _ = when
        backdated = received_ms - recorded_ms > self.policy.backdating_ms
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

    def _standing(self, parcel: Parcel) -> "_Standing":
        owner = parcel.owner
        if owner is None:
            figures = parcels.counts(parcel, grace_ms=self._grace_ms)
            return _Standing(None, 0, figures, missing=False)
        figures = parcels.counts(parcel, grace_ms=self._grace_ms)
        missing = parcel.missing and self._is_mature(owner.time_ms)
        return _Standing(owner.cell, owner.time_ms, figures, missing)

    def _is_mature(self, time_ms: int) -> bool:
        return pane_end_ms(pane_of(time_ms)) + self._grace_ms <= self.watermark_ms

    def _changed(self, key: bytes, parcel: Parcel, before: "_Standing", tick: int) -> None:
        """Keep a changed parcel; count the difference that it makes."""
        after = self._standing(parcel)
        if after.cell is not None:  # Once collected, it stays so.
            nothing = [0] * COUNTERS
            moved = before.cell != after.cell
            if moved and before.cell is not None:
                self._count_difference(tick, before.cell, before.figures, nothing)
            figures = nothing if moved else before.figures
            self._count_difference(tick, after.cell, figures, after.figures)
        self._keep(key, parcel)
        owner = parcel.owner
        if after.missing and owner is not None:
            if not before.missing or (before.cell, before.time_ms) != (after.cell, after.time_ms):
                self.report_missing(key, owner.cell, owner.time_ms)
        elif before.missing:
            self.take_back_missing(key)

    def _count_difference(
        self, tick: int, cell: int, before: Sequence[int], after: Sequence[int]
    ) -> None:
        for counter in range(COUNTERS):
            delta = after[counter] - before[counter]
            if delta:
                self.ledger.count(tick, cell, counter, delta)

    def _keep(self, key: bytes, parcel: Parcel) -> None:
        slot = self.entries.put(key, packed.pack(parcel, self._number_of_source))
        self._queue(slot, key, parcel)

    def _queue(self, slot: int, key: bytes, parcel: Parcel) -> None:
        """Enter a parcel wherever time or a filing will look for it; stale entries there are harmless."""
        owner = parcel.owner
        if owner is None:
            self.agenda.uncollected_in(pane_of(parcels.closing_ms(parcel))).append(slot)
            return
        self.agenda.collected_in(pane_of(owner.time_ms)).append(slot)
        if owner.agreement_id and owner.cover_ms is None:
            self._filings_awaited.setdefault(owner.agreement_id, set()).add(key)

    def _count_late(self, closed: int, record: Parcelled, now_ms: int) -> None:
        """Count a record of a closed parcel, each (source, id) once."""
        cell = self.closed[closed]
        # The cell makes it another record once the waybill has been used anew and closed again.
        text = f"{record.source}\0{record.id}\0{cell}"
        identity = self.hash_of(text.encode())
        seen = self.late.setdefault(closed, set())
        if identity not in seen:
            seen.add(identity)
            self.late_new.append((closed, identity))
            self.ledger.count(-(-now_ms // TICK_MS), cell, int(Counter.AFTER_CLOSE), 1)

    # Missing parcels.

    def report_missing(self, key: bytes, cell: int, time_ms: int) -> None:
        """Publish that a mature parcel is not covered."""
        outlet = self.lookup.outlet(cell >> PANE_BITS >> UNIT_SHIFT)
        record = MissingParcel(
            waybill_no=key.decode(),
            outlet_id=outlet.outlet_id,
            enterprise_id=outlet.enterprise_id,
            county_code=outlet.county_code,
            parcel_category=_CATEGORIES[cell >> PANE_BITS >> CATEGORY_SHIFT & CATEGORY_MASK],
            collected_at=instant_text(time_ms),
            missing_since=instant_text(pane_end_ms(cell & PANE_MASK) + self._grace_ms),
        )
        value = encode_missing(record)
        self.outputs.append(Output(topics.PARCELS_MISSING, key, value, self._partition))

    def take_back_missing(self, key: bytes) -> None:
        """Publish that a parcel is missing no longer."""
        self.outputs.append(Output(topics.PARCELS_MISSING, key, None, self._partition))

    # What time brings about.

    def advance(self, until_ms: int) -> None:
        """Let the watermark go on, past one thing that is due after the other."""
        while event := self.agenda.pop(until_ms):
            self.watermark_ms = max(self.watermark_ms, event.due_ms)
            if event.what is Due.MATURE:
                self._mature(event.pane)
            elif event.what is Due.CLOSE:
                self._close_pane(event.pane)
            elif event.what is Due.FORGET:
                self._forget_closed(event.pane)
            else:
                self._cover_awaiting(event.due_ms)
        self.watermark_ms = until_ms

    def _forget_closed(self, pane: int) -> None:
        """Recognise the closed parcels of a pane no more; what comes of their waybills begins anew."""
        hashes = self.closed.forget(queued(self.agenda.closed.pop(pane, None)), pane)
        if self.late:
            for closed in unsigned(hashes):
                self.late.pop(closed, None)

    def _mature(self, pane: int) -> None:
        """Report the parcels of a pane that are missing as it matures."""
        entries, slots = self.entries, queued(self.agenda.collected.get(pane))
        found = np.empty(len(slots), np.int64)
        count = joining.uncovered(entries.arrays, slots, pane, found)
        # A parcel may be entered twice.
        once = np.array(list(dict.fromkeys(found[:count].tolist())), np.int64)
        for key, entry in entries.pairs(once):
            if entry[0] == COLLECTED:
                cell, in_pane_ms = PLACE_LAYOUT.unpack_from(entry, PLACE_AT)
                self.report_missing(key, cell, pane * PANE_MS + in_pane_ms)
                continue
            parcel = packed.unpack(entry, self.sources)
            owner = parcel.owner
            if parcel.missing and owner is not None and pane_of(owner.time_ms) == pane:
                self.report_missing(key, owner.cell, owner.time_ms)

    def _close_pane(self, pane: int) -> None:
        """Close the parcels of a pane, and give up those of it that were never collected."""
        slots = queued(self.agenda.collected.pop(pane, None))
        hashes, cells, left = (np.empty(len(slots), np.int64) for _ in range(3))
        count, rest = joining.close(self.entries.arrays, slots, pane, hashes, cells, left)
        if count:
            self.closed.set_many(hashes[:count], cells[:count])
            enter(self.agenda.closed_in(pane), hashes[:count])
        for slot in left[:rest].tolist():
            self._close_if_of(slot, pane)
        for slot in queued(self.agenda.uncollected.pop(pane, None)).tolist():
            self._close_if_of(slot, pane)

    def _close_if_of(self, slot: int, pane: int) -> None:
        """Close the parcel that is in a slot now, if that is the pane of its close."""
        if self.entries.is_in_use(slot):
            parcel = packed.unpack(self.entries.entry(slot), self.sources)
            if pane_of(parcels.closing_ms(parcel)) == pane:
                self._close(self.entries.key(slot), parcel)

    def _close_at(self, parcel: Parcel) -> int:
        """Return the instant of a parcel's final close."""
        return self.closing_of(parcels.closing_ms(parcel))

    def closing_of(self, time_ms: int) -> int:
        """Return the instant of the final close of what happened at `time_ms`: with its whole pane."""
        return pane_end_ms(pane_of(time_ms)) + self._final_close_ms

    def _close(self, key: bytes, parcel: Parcel, *, tell: bool = False) -> None:
        """Close a parcel; count it as an orphan if it was registered and never collected.

        With `tell` the state log says so even if the parcel has not changed since the last commit.
        """
        owner = parcel.owner
        if owner is not None:
            self._remember_closed(key, owner.cell, tell=tell)
            return
        cell = parcels.orphan_cell(parcel)
        if cell is None:
            self.entries.take_away(self.entries.slot_of(key), tell=True)
            return
        # At the tick of its close; but one whose close had passed when it came, at the next tick.
        closed_ms = max(self._close_at(parcel), tick_at_or_after(self.watermark_ms))
        self.ledger.count(closed_ms // TICK_MS, cell, int(Counter.ORPHANS), 1)
        self._remember_closed(key, cell, tell=tell)

    def _remember_closed(self, key: bytes, cell: int, *, tell: bool) -> None:
        closed = self.hash_of(key)
        if self.entries.take_away(self.entries.slot_of(key), tell=tell):
            # The state log's reader closes by itself what did not change since the last commit; of
            # this parcel it does not know the state in which it closed.
            self.closed_new.append((closed, cell))
        self.closed[closed] = cell
        self.agenda.closed_in(cell & PANE_MASK).append(signed(closed))

    # Reference data.

    def note_new_reference(self) -> None:
        """Take notice of versions that have arrived since the last batch."""
        latest = self._history.latest
        if latest.version > self._reference_known:
            self._reference_known = latest.version
            self.lookup.renew()
            # A version that came too late to take effect at its own tick does so at the next.
            soonest_ms = tick_at_or_after(self.watermark_ms + 1)
            self.agenda.enter(
                max(self._history.at(soonest_ms).effective_at_ms, soonest_ms), Due.REFERENCE
            )

    def _cover_awaiting(self, effective_ms: int) -> None:
        """Cover the parcels that wait for a filing which has just taken effect."""
        next_ms = self._history.next_change_after(effective_ms)
        if next_ms is not None:
            self.agenda.enter(next_ms, Due.REFERENCE)
        self.lookup.use_at(effective_ms)
        for agreement_id in self.lookup.filed(self._filings_awaited):
            for key in sorted(self._filings_awaited.pop(agreement_id)):
                self._cover(key, agreement_id, effective_ms)

    def _cover(self, key: bytes, agreement_id: str, effective_ms: int) -> None:
        entry = self.entries.get(key)
        parcel = None if entry is None else packed.unpack(entry, self.sources)
        owner = None if parcel is None else parcel.owner
        if parcel is None or owner is None or owner.agreement_id != agreement_id or owner.cover_ms:
            return
        before = self._standing(parcel)
        owner.cover_ms = self.lookup.cover_awaited(owner, max(self.received_max_ms, effective_ms))
        if owner.cover_ms is None:
            self._filings_awaited.setdefault(agreement_id, set()).add(key)
        else:
            self._changed(key, parcel, before, effective_ms // TICK_MS)

    def _number_of_source(self, source: str) -> int | None:
        """Return a source's number in the partition's table, or None when the table is full."""
        number = self.source_numbers.get(source)
        if number is None and len(self.sources) < SOURCES_MAX:
            number = self.source_numbers[source] = len(self.sources)
            self.sources.append(source)
        return number


def _amend(parcel: Parcel, record: Revoked | Voided | Scanned, time_ms: int) -> None:
    """Take in a fact that needs no reference data."""
    if isinstance(record, Revoked):
        parcel.revoke(record.registration_id, time_ms)
    elif isinstance(record, Voided):
        parcel.void(time_ms)
    else:
        parcel.scan(time_ms)


class _Standing(NamedTuple):
    """What a parcel counts as at one moment: in which cell, since when, how much; is it missing?"""

    cell: int | None
    time_ms: int
    figures: parcels.Counts
    missing: bool
