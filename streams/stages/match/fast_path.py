"""Takes a batch into a partition: what is ordinary by machine code, the rest by the rule.

A batch is read as columns (`rows`) and cut into runs within which time brings nothing about (`runs`), and
what a run needs beside the state is computed for all of it at once: units, cells, ticks. The loop that is
left is machine code (`joining`), which hands every record that is not ordinary to `Waybills.take`, the rule.
`make bench` shows what each step costs.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from streams.domain.cell import PANE_BITS, UNIT_SHIFT, Counter
from streams.domain.window import PANE_MS, TICK_MS
from streams.records.rejects import Refused, Reject
from streams.stages.columns import Bools, Int64s
from streams.stages.match.agenda import by_pane, enter
from streams.stages.match.entry import AGREED, COLLECTED
from streams.stages.match.native import joining, scan
from streams.stages.match.native.scan import Matrix
from streams.stages.match.rows import Rows, read
from streams.stages.match.runs import Cutter, Run
from streams.stages.match.waybills import Waybills
from streams.stages.stage import Batch

RUN_MIN: Final = 4
"""Shorter runs are left to the rule: preparing the columns costs as much as three records by the rule."""
CHUNK: Final = 1_000
"""Rows that are read at once: their bytes and columns fit the processor's cache beside each other."""

_ELIGIBLE: Final = int(Counter.ELIGIBLE)
_ON_TIME: Final = int(Counter.COVERED_ON_TIME)
_LATE: Final = int(Counter.COVERED_LATE)
_DUPLICATES: Final = int(Counter.DUPLICATES)
_BACKDATED: Final = int(Counter.BACKDATED)
_ENTERED: Final = [joining.QUEUED, joining.CLAIMED, joining.FOUND]


def run(waybills: Waybills, batch: Batch, *, run_min: int = RUN_MIN) -> list[Reject]:
    """Take a batch into a partition; return the records that could not be used, in their order.

    Runs of less than `run_min` records are left to the rule, which leads to the same.
    """
    refused: list[Reject] = []
    for start in range(0, len(batch.values), CHUNK):
        rows, rejects = read(waybills, _part(batch, start, start + CHUNK))
        _Joiner(waybills, rows, rejects).join_all(run_min)
        rejects.sort(key=lambda reject: reject.index)
        waybills.ratio.add(rows.seen, rejects)
        refused += [replace(reject, index=start + reject.index) for reject in rejects]
    return refused


def _part(batch: Batch, start: int, end: int) -> Batch:
    return Batch(
        batch.offsets[start:end],
        batch.keys[start:end],
        batch.values[start:end],
        batch.timestamps_ms[start:end],
    )


class _Joiner:
    """Takes the rows of one batch into a partition, run by run."""

    def __init__(self, waybills: Waybills, rows: Rows, rejects: list[Reject]) -> None:
        self._waybills: Final = waybills
        self._rows: Final = rows
        self._rejects: Final = rejects
        self._cutter: Final = Cutter(waybills, rows)

    def join_all(self, run_min: int) -> None:
        """Take in all rows, in their order."""
        row, end = 0, len(self._rows.kinds)
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
        record, received_ms = rows.record(row), int(rows.received_ms[row])
        when = int(rows.time_ms[row]), int(rows.read[scan.RECORDED, row]), received_ms, now_ms
        try:
            self._waybills.take(record, rows.batch.keys[row], when)
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

    def _plan(self, run: Run) -> joining.Run:
        rows, policy = self._rows, self._waybills.policy
        here, size = slice(run.start, run.end), run.end - run.start
        sure = run.sure[:size]
        now_ms = int(run.now_ms[:size].max(where=sure, initial=0))
        floor = (now_ms - policy.final_close_ms) // PANE_MS
        mature_before = (self._waybills.watermark_ms - policy.grace_alert_ms) // PANE_MS
        plan: Matrix = np.zeros((joining.PLANNED, size), np.int64)
        kinds, panes = plan[joining.KIND], plan[joining.PANE]
        kinds[:] = rows.kinds[here]
        np.floor_divide(rows.time_ms[here], PANE_MS, out=panes)
        collected = kinds == scan.COLLECTED
        fits = sure & (panes >= floor)
        kinds[(kinds == scan.REGISTERED) & ~fits] = scan.UNREAD
        kinds[collected & ~(fits & (panes >= mature_before))] = scan.UNREAD
        plan[joining.FORM] = COLLECTED
        self._plan_agreed(run, plan)
        units = self._cutter.units[here]
        plan[joining.CELL] = (units | rows.bits[here] | self._scopes(run, kinds)) << PANE_BITS
        plan[joining.CELL] |= panes
        plan[joining.SOURCE] = rows.sources[here]
        plan[joining.OUTLET] = units >> UNIT_SHIFT
        plan[joining.DELAY] = rows.delay_ms[here]
        plan[joining.BACKDATED] = rows.backdated[here]
        return joining.Run(rows.text, rows.read, rows.hashes, plan, run.start, floor, mature_before)

    def _plan_agreed(self, run: Run, plan: Matrix) -> None:
        """Plan those that an agreement covers at once; others that name one are left to the rule."""
        rows, lookup = self._rows, self._waybills.lookup
        for row in rows.agreed[slice(*np.searchsorted(rows.agreed, (run.start, run.end)))].tolist():
            if lookup.covers_at_once(rows.agreement(row), int(rows.time_ms[row])):
                plan[joining.FORM, row - run.start] = AGREED
            else:
                plan[joining.KIND, row - run.start] = scan.UNREAD

    def _scopes(self, run: Run, kinds: Int64s) -> Int64s:
        """Return the bits of the destination-scoped periods that each collection falls under."""
        rows, lookup = self._rows, self._waybills.lookup
        scopes: Int64s = np.zeros(len(kinds), np.int64)
        if lookup.scoped:
            for at in np.flatnonzero(kinds == scan.COLLECTED).tolist():
                row = run.start + at
                time_ms = int(rows.time_ms[row])
                scopes[at] = lookup.scope_of(rows.outlet(row), rows.destination(row), time_ms)
        return scopes

    def _loop(self, run: Run, plan: joining.Run) -> int:
        """Join the rows of a run, count what has changed; return the row after the last taken."""
        waybills, size = self._waybills, run.end - run.start
        changes: Matrix = np.empty((joining.CHANGES, size), np.int64)
        counts: Int64s = np.zeros(joining.CHANGES, np.int64)
        row = run.start
        while row < run.end:
            waybills.entries.make_room(run.end - row, (run.end - row) * joining.ROOM)
            row = joining.join(
                waybills.entries.arrays, waybills.closed.table, plan, row, changes, counts
            )
            self._enter(changes, counts)
            if row == run.end:
                break
            row += 1
            if self._take_in_run(run, row - 1):
                break
        self._count(run, plan.plan, changes, counts)
        return row

    def _enter(self, changes: Matrix, counts: Int64s) -> None:
        """Enter in the agenda what has been joined, and take back who is missing no longer."""
        waybills, agenda = self._waybills, self._waybills.agenda
        queued, claimed, found = counts[_ENTERED].tolist()
        for slots, panes, count, queue_of in (
            (joining.QUEUED, joining.QUEUED_PANE, queued, agenda.collected_in),
            (joining.CLAIMED, joining.CLAIMED_PANE, claimed, agenda.uncollected_in),
        ):
            if count:
                for pane, some in by_pane(changes[panes, :count], changes[slots, :count]):
                    enter(queue_of(pane), some)
        if found:
            for key, _ in waybills.entries.pairs(changes[joining.FOUND, :found]):
                waybills.take_back_missing(key)
        counts[_ENTERED] = 0

    def _count(self, run: Run, plan: Matrix, changes: Matrix, counts: Int64s) -> None:
        """Count what has been joined."""
        rows, ledger = self._rows, self._waybills.ledger
        grace_ms = self._waybills.policy.grace_alert_ms
        ticks = -(-run.now_ms // TICK_MS)
        cells = plan[joining.CELL]
        at = changes[joining.NEW, : counts[joining.NEW]] - run.start
        if len(at):
            ledger.add(ticks[at], cells[at], _ELIGIBLE)
            agreed = at[plan[joining.FORM, at] == AGREED]
            if len(agreed):
                ledger.add(ticks[agreed], cells[agreed], _ON_TIME)
        covered = changes[joining.COVERED : joining.COVERED_MS + 1, : counts[joining.COVERED]]
        of, where, collected_ms = covered
        if len(of):
            upload_ms = rows.read[scan.RECORDED, of] + rows.delay_ms[of]
            late = upload_ms > collected_ms + grace_ms
            self._add_covered(ticks[of - run.start], where, late=late, backdated=rows.backdated[of])
        of, upload_ms, backdated = changes[
            joining.MET : joining.MET_BACKDATED + 1, : counts[joining.MET]
        ]
        if len(of):
            at = of - run.start
            ledger.add(ticks[at], cells[at], _ELIGIBLE)
            late = upload_ms > rows.time_ms[of] + grace_ms
            self._add_covered(ticks[at], cells[at], late=late, backdated=backdated != 0)
        of, where = changes[joining.AGAIN : joining.AGAIN_CELL + 1, : counts[joining.AGAIN]]
        if len(of):
            ledger.add(ticks[of - run.start], where, _DUPLICATES)
            self._add_backdated(ticks[of - run.start], where, rows.backdated[of])

    def _add_covered(self, ticks: Int64s, cells: Int64s, *, late: Bools, backdated: Bools) -> None:
        self._waybills.ledger.add(ticks, cells, np.where(late, _LATE, _ON_TIME))
        self._add_backdated(ticks, cells, backdated)

    def _add_backdated(self, ticks: Int64s, cells: Int64s, backdated: Bools) -> None:
        if backdated.any():
            self._waybills.ledger.add(ticks[backdated], cells[backdated], _BACKDATED)
