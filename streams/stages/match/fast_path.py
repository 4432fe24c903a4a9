"""The hot path of the whole program: nine records of ten, joined without an object for their parcel.

A batch is read as columns (`rows`) and cut into runs within which time brings nothing about (`runs`), and
what a run needs beside the state is computed for all of it at once: units, cells, ticks, packed entries.
What is left is one loop with a dictionary look-up and a few bytes put together per record. It knows six
cases: a first collection, covered by an agreement or not, a first registration, each of them after the
other, and a hub's scan of what was collected. Whatever else a record may be, and whatever else may be known
of its waybill, is left to `Waybills.take`, which is the rule; a property test holds the two together.
`make bench` shows what each step costs.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from streams.domain.cell import PANE_BITS, PANE_MASK, UNIT_SHIFT, Counter
from streams.domain.window import PANE_MS, TICK_MS
from streams.records.rejects import Refused, Reject
from streams.stages.columns import Array, Int64s
from streams.stages.match.entry import (
    AGREED,
    BOTH,
    CLAIM_END,
    CLAIM_LAYOUT,
    COLLECTED,
    COLLECTED_DTYPE,
    DELAY_MAX_MS,
    HUB_AT,
    HUB_END,
    HUB_LAYOUT,
    PLACE_AT,
    PLACE_LAYOUT,
    REGISTERED,
    UPLOAD_LAYOUT,
)
from streams.stages.match.rows import Rows, read
from streams.stages.match.runs import Cutter, Run
from streams.stages.match.waybills import Waybills
from streams.stages.stage import Batch

RUN_MIN: Final = 24
"""Shorter runs are left to the rule: preparing the columns costs as much as some twenty records."""
CHUNK: Final = 1_000
"""Rows that are read at once: their records and columns fit the processor's cache beside each other."""

_ELIGIBLE: Final = int(Counter.ELIGIBLE)
_ON_TIME: Final = int(Counter.COVERED_ON_TIME)
_LATE: Final = int(Counter.COVERED_LATE)
_BACKDATED: Final = int(Counter.BACKDATED)
_OWNED: Final = frozenset({COLLECTED, AGREED, BOTH})
_BOTH: Final = bytes([BOTH])

# What a row is to the loop.
_SKIPPED: Final = 0
_COLLECTION: Final = 1
_REGISTRATION: Final = 2
_SCAN: Final = 3
_OTHER: Final = 4


def run(waybills: Waybills, batch: Batch, *, run_min: int = RUN_MIN) -> list[Reject]:
    """Take a batch into a partition; return the records that could not be used, in their order.

    Runs of less than `run_min` records are left to the rule, which leads to the same.
    """
    refused: list[Reject] = []
    for start in range(0, len(batch.values), CHUNK):
        rows, rejects = read(waybills, _part(batch, start, start + CHUNK))
        _Joiner(waybills, rows, rejects).join_all(run_min)
        rejects.sort(key=lambda reject: reject.index)
        waybills.ratio.add(rows.sources, rejects)
        refused += [replace(reject, index=start + reject.index) for reject in rejects]
    return refused


def _part(batch: Batch, start: int, end: int) -> Batch:
    return Batch(
        batch.offsets[start:end],
        batch.keys[start:end],
        batch.values[start:end],
        batch.timestamps_ms[start:end],
    )


class _Plan(NamedTuple):
    """What the loop wants to know of each row of a run.

    Attributes:
        kinds: What it is to the loop.
        parts: A collection's whole entry, a registration's end of one.
        panes: A collection's pane.
        cells: A collection's cell.
        floor: First pane of which no parcel may have closed.
        mature_before: First pane that is not mature.

    """

    kinds: Array
    parts: list[bytes]
    panes: Int64s
    cells: Int64s
    floor: int
    mature_before: int


class _Joiner:
    """Takes the rows of one batch into a partition, run by run."""

    def __init__(self, waybills: Waybills, rows: Rows, rejects: list[Reject]) -> None:
        self._waybills: Final = waybills
        self._rows: Final = rows
        self._rejects: Final = rejects
        self._cutter: Final = Cutter(waybills, rows)

    def join_all(self, run_min: int) -> None:
        """Take in all rows, in their order."""
        row, end = 0, len(self._rows.keys)
        while row < end:
            if self._rows.skipped[row]:
                row = self._join_plainly(row, row + 1)
            elif end - row < run_min:
                row = self._join_plainly(row, end)
            else:
                run = self._cutter.run_from(row)
                few = run.end - run.start < run_min
                row = self._join_plainly(run.start, run.end) if few else self._join(run)

    # By the rule.

    def _join_plainly(self, start: int, end: int) -> int:
        """Take rows one after the other; return the row after them."""
        rows, waybills = self._rows, self._waybills
        for row in range(start, end):
            received_ms = int(rows.received_ms[row])
            now_ms = max(waybills.watermark_ms, received_ms)
            if not rows.skipped[row] and not self._take(row, now_ms):
                continue
            if received_ms > waybills.received_max_ms:
                waybills.received_max_ms = received_ms
                waybills.advance(received_ms - waybills.policy.disorder_ms)
        return end

    def _take(self, row: int, now_ms: int) -> bool:
        """Take one row by the rule; return whether it was not refused."""
        rows, lookup = self._rows, self._waybills.lookup
        if not lookup.after_ms < now_ms <= lookup.until_ms:
            lookup.use_at(now_ms)
        record, received_ms = rows.records[row], int(rows.received_ms[row])
        when = int(rows.time_ms[row]), int(rows.recorded_ms[row]), received_ms, now_ms
        try:
            self._waybills.take(record, rows.keys[row], when)
        except Refused as refusal:
            self._rejects.append(Reject(row, refusal.code, refusal.path, record.source))
            return False
        return True

    def _take_in_run(self, run: Run, row: int) -> bool:
        """Take one row of a run by the rule; return whether the run must end with it."""
        waybills, at = self._waybills, row - run.start
        waybills.watermark_ms = int(run.watermarks_ms[at])
        waybills.received_max_ms = int(run.received_max_ms[at])
        if not self._take(row, int(run.now_ms[at])):
            return False
        received_ms = int(self._rows.received_ms[row])
        if received_ms > run.received_max_ms[at + 1]:
            run.received_max_ms[at + 1] = received_ms  # Nobody was sure that it would be accepted.
            return True
        return waybills.agenda.next_ms < run.due_ms

    # Many at once.

    def _join(self, run: Run) -> int:
        """Take the rows of a run; return the row after the last that was taken."""
        waybills = self._waybills
        unmoved = waybills.received_max_ms, waybills.watermark_ms
        end = self._loop(run, self._plan(run))
        before_ms, latest_ms = run.received_max_ms[end - run.start - 1 :][:2].tolist()
        if latest_ms == unmoved[0]:
            waybills.received_max_ms, waybills.watermark_ms = unmoved
            return end
        waybills.received_max_ms = latest_ms
        watermark_ms = latest_ms - waybills.policy.disorder_ms
        if latest_ms > before_ms:
            waybills.advance(watermark_ms)
        else:  # What fell due in the past by the last row waits until time goes on.
            waybills.watermark_ms = watermark_ms
        return end

    def _plan(self, run: Run) -> _Plan:
        rows, policy = self._rows, self._waybills.policy
        start, size = run.start, run.end - run.start
        kinds = np.full(size, _OTHER, np.uint8)
        kinds[rows.skipped[start : run.end]] = _SKIPPED
        sure = run.sure[:size]
        now_ms = int(run.now_ms[:size].max(where=sure, initial=0))
        floor = (now_ms - policy.final_close_ms) // PANE_MS
        mature_before = (self._waybills.watermark_ms - policy.grace_alert_ms) // PANE_MS
        panes = rows.time_ms[start : run.end] // PANE_MS
        parts = [b""] * size

        scans = rows.scans[slice(*np.searchsorted(rows.scans, (start, run.end)))] - start
        kinds[scans] = _SCAN
        some = rows.registrations
        first, behind = np.searchsorted(some.rows, (start, run.end))
        places = some.rows[first:behind] - start
        kinds[places[sure[places] & (panes[places] >= floor)]] = _REGISTRATION
        for place, end in zip(places.tolist(), some.ends[first:behind], strict=True):
            parts[place] = end
        plan = _Plan(kinds, parts, panes, np.zeros(size, np.int64), floor, mature_before)
        self._plan_collections(run, plan)
        return plan

    def _plan_collections(self, run: Run, plan: _Plan) -> None:
        some, waybills = self._rows.collections, self._waybills
        first, behind = np.searchsorted(some.rows, (run.start, run.end))
        here = some.rows[first:behind]
        places = here - run.start
        panes = plan.panes[places]
        fits = run.sure[places] & (panes >= max(plan.floor, plan.mature_before))
        forms = np.full(len(places), COLLECTED, np.uint8)
        lookup, records = waybills.lookup, some.records
        for at in some.agreed[slice(*np.searchsorted(some.agreed, (first, behind)))].tolist():
            time_ms = int(self._rows.time_ms[some.rows[at]])
            if lookup.covers_at_once(records[at].agreement_id, time_ms):
                forms[at - first] = AGREED
            else:
                fits[at - first] = False
        groups = self._cutter.units[here] | some.bits[first:behind]
        if lookup.scoped:
            for at in np.flatnonzero(fits).tolist():
                time_ms = int(self._rows.time_ms[here[at]])
                groups[at] |= lookup.scope_of(records[first + at], time_ms)
        cells = plan.cells[places] = groups << PANE_BITS | panes
        heads = np.zeros(len(places), COLLECTED_DTYPE)
        heads["form"] = forms
        heads["cell"] = cells
        heads["in_pane_ms"] = self._rows.time_ms[here] % PANE_MS
        heads["source"] = some.sources[first:behind]
        heads["id_length"] = some.id_lengths[first:behind]
        plan.kinds[places[fits]] = _COLLECTION
        packed = heads.view(f"V{COLLECTED_DTYPE.itemsize}").tolist()
        for place, head, end in zip(places.tolist(), packed, some.ids[first:behind], strict=True):
            plan.parts[place] = head + end

    def _loop(self, run: Run, plan: _Plan) -> int:  # noqa: C901, PLR0912, PLR0915 - one loop on purpose, see above
        """Join the rows of a run, count what has changed; return the row after the last taken."""
        waybills, agenda = self._waybills, self._waybills.agenda
        entries, dirty, closed = waybills.entries, waybills.dirty, waybills.closed
        find, place_of = entries.get, PLACE_LAYOUT.unpack_from
        floor, mature_before = plan.floor, plan.mature_before
        changes = _Changes()
        count_new, count_covered = changes.new.append, changes.covered.append
        note_cell, note_ms = changes.cells.append, changes.collected_ms.append
        queue: list[bytes] = []
        queue_pane = -1

        kinds, panes = plan.kinds.tolist(), plan.panes.tolist()
        keys: Sequence[bytes] = self._rows.keys[run.start : run.end]  # type: ignore[assignment]  # None is of _OTHER
        behind = run.end
        columns = zip(range(run.start, run.end), kinds, keys, plan.parts, panes, strict=True)
        for row, kind, key, part, pane in columns:
            if kind == _REGISTRATION:
                entry = find(key)
                if entry is None:
                    if not (closed and waybills.hash_of(key) in closed):
                        claim = (
                            int(self._rows.time_ms[row]),
                            int(self._cutter.units[row]) >> UNIT_SHIFT,
                        )
                        entries[key] = dirty[key] = CLAIM_LAYOUT.pack(REGISTERED, *claim) + part
                        agenda.enter_uncollected(pane, key)
                        continue
                elif entry[0] == COLLECTED:
                    cell, in_pane_ms = place_of(entry, PLACE_AT)
                    of = cell & PANE_MASK
                    if of >= floor:
                        entries[key] = dirty[key] = _BOTH + entry[1:] + part
                        count_covered(row)
                        note_cell(cell)
                        note_ms(of * PANE_MS + in_pane_ms)
                        if of < mature_before:
                            waybills.take_back_missing(key)
                        continue
            elif kind == _COLLECTION:
                entry = find(key)
                if entry is None:
                    if not (closed and waybills.hash_of(key) in closed):
                        entries[key] = dirty[key] = part
                        count_new(row)
                        if pane != queue_pane:
                            queue, queue_pane = agenda.queue_of(pane), pane
                        queue.append(key)
                        continue
                elif entry[0] == REGISTERED and part[0] == COLLECTED:
                    _, first_ms, _ = CLAIM_LAYOUT.unpack_from(entry)
                    if first_ms // PANE_MS >= floor:
                        entries[key] = dirty[key] = _BOTH + part[1:] + entry[CLAIM_END:]
                        changes.met.append(row)
                        changes.uploads.append(UPLOAD_LAYOUT.unpack_from(entry, CLAIM_END))
                        agenda.enter_collected(pane, key)
                        continue
            elif kind == _SKIPPED:
                continue
            elif kind == _SCAN:
                entry = find(key)
                if entry is not None and entry[0] in _OWNED:
                    scanned = self._scanned(entry, row, floor)
                    if scanned is not None:
                        if scanned is not entry:
                            entries[key] = dirty[key] = scanned
                        continue
            if self._take_in_run(run, row):
                behind = row + 1
                break
        self._count(run, plan, changes)
        return behind

    def _scanned(self, entry: bytes, row: int, floor: int) -> bytes | None:
        """Return a collected parcel's entry after a hub's scan; None where the rule must see to it."""
        cell, in_pane_ms = PLACE_LAYOUT.unpack_from(entry, PLACE_AT)
        pane = cell & PANE_MASK
        delay = int(self._rows.time_ms[row]) - pane * PANE_MS - in_pane_ms + 1
        if pane < floor or not 0 < delay <= DELAY_MAX_MS:
            return None
        (hub,) = HUB_LAYOUT.unpack_from(entry, HUB_AT)
        if hub and hub <= delay:
            return entry
        return entry[:HUB_AT] + HUB_LAYOUT.pack(delay) + entry[HUB_END:]

    def _count(self, run: Run, plan: _Plan, changes: "_Changes") -> None:
        """Count what the loop has changed."""
        rows, ledger = self._rows, self._waybills.ledger
        grace_ms = self._waybills.policy.grace_alert_ms
        ticks = -(-run.now_ms // TICK_MS)
        new = np.array(changes.new)
        if len(new):
            at = new - run.start
            cells = plan.cells[at]
            ledger.add(ticks[at], cells, _ELIGIBLE)
            agreed = np.array([plan.parts[place][0] == AGREED for place in at.tolist()], np.bool_)
            if agreed.any():
                ledger.add(ticks[at[agreed]], cells[agreed], _ON_TIME)
        covered = np.array(changes.covered)
        if len(covered):
            cells = np.array(changes.cells)
            some = rows.registrations
            of = np.searchsorted(some.rows, covered)
            on_time = some.upload_ms[of] <= np.array(changes.collected_ms) + grace_ms
            ledger.add(ticks[covered - run.start], cells, np.where(on_time, _ON_TIME, _LATE))
            backdated = some.backdated[of]
            if backdated.any():
                ledger.add(ticks[covered - run.start][backdated], cells[backdated], _BACKDATED)
        met = np.array(changes.met, np.intp)
        if len(met):
            at = met - run.start
            uploads = np.array(changes.uploads, np.int64)
            on_time = uploads[:, 0] + uploads[:, 1] <= rows.time_ms[met] + grace_ms
            ledger.add(ticks[at], plan.cells[at], _ELIGIBLE)
            ledger.add(ticks[at], plan.cells[at], np.where(on_time, _ON_TIME, _LATE))
            backdated = uploads[:, 2] > 0
            if backdated.any():
                ledger.add(ticks[at[backdated]], plan.cells[at[backdated]], _BACKDATED)


class _Changes:
    """What a run has changed of the short forms, by row.

    Attributes:
        new: First collections.
        covered: First registrations of what had been collected, and
        cells, collected_ms: the cell of each collection and when it was.
        met: Collections of what had been registered, and
        uploads: recorded_at, delay and backdated of each registration.

    """

    __slots__ = ("cells", "collected_ms", "covered", "met", "new", "uploads")

    def __init__(self) -> None:
        self.new = array("q")
        self.covered = array("q")
        self.cells = array("q")
        self.collected_ms = array("q")
        self.met: list[int] = []
        self.uploads: list[tuple[int, int, int]] = []
