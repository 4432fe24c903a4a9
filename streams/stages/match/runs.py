"""Where a batch is cut: what lies between two cuts may be joined as if no time passed.

Time brings something about when the watermark passes what the agenda has next, or the end of a pane; and
another version of the reference data may take effect.
"""

from typing import Final, NamedTuple

import numpy as np

from streams.domain.window import PANE_MS
from streams.stages.columns import Bools, Int64s
from streams.stages.match.lookup import UNKNOWN
from streams.stages.match.native.names import numbers_of
from streams.stages.match.native.scan import OUTLET
from streams.stages.match.rows import Rows
from streams.stages.match.waybills import Waybills


class Run(NamedTuple):
    """Consecutive rows in one version of the reference data, between which time brings nothing about.

    Attributes:
        start: First row.
        end: Row after the last.
        sure: Rows that no rule refuses: they alone let time go on before it is known what becomes of
            the others.
        received_max_ms: Greatest `received_ms` before each row, and behind the last.
        watermarks_ms: The watermark before each row.
        now_ms: The later of watermark and receipt, by row.
        due_ms: When something may be due next.

    """

    start: int
    end: int
    sure: Bools
    received_max_ms: Int64s
    watermarks_ms: Int64s
    now_ms: Int64s
    due_ms: int


class Cutter:
    """Cuts one batch into runs. The state may change between two cuts, and `units` with it.

    `units` has the number of each row's outlet, at its place in a group, in the version of the reference
    data that was in use for the last run; 0 for rows that name none.
    """

    def __init__(self, waybills: Waybills, rows: Rows) -> None:
        """Take a batch."""
        self._waybills: Final = waybills
        self._rows: Final = rows
        self.units: Int64s = np.zeros(len(rows.kinds), np.int64)
        self._units_of: object = None
        self._sure: Bools = rows.sound

    def run_from(self, start: int) -> Run:
        """Return the run that begins with row `start`, which is not skipped."""
        rows, waybills, policy = self._rows, self._waybills, self._waybills.policy
        received_ms = rows.received_ms[start:]
        lookup = waybills.lookup
        first_ms = max(waybills.watermark_ms, int(received_ms[0]))
        if not lookup.after_ms < first_ms <= lookup.until_ms:
            lookup.use_at(first_ms)
        self._place_units()
        sure = self._sure[start:]
        latest_ms, watermarks_ms = self._times(received_ms, sure)
        now_ms = np.maximum(watermarks_ms, received_ms)
        latest_now_ms = int(now_ms.max())
        if waybills.closing_of(rows.oldest_ms) <= latest_now_ms:
            closing_ms = (rows.time_ms[start:] // PANE_MS + 1) * PANE_MS + policy.final_close_ms
            sure = sure & ~(rows.collected[start:] & (closing_ms <= now_ms))
            latest_ms, watermarks_ms = self._times(received_ms, sure)
            now_ms = np.maximum(watermarks_ms, received_ms)
        due_ms = min(waybills.agenda.next_ms, (waybills.watermark_ms // PANE_MS + 1) * PANE_MS)
        size = _first_passing(latest_ms, due_ms + policy.disorder_ms)
        if latest_now_ms > lookup.until_ms or int(now_ms.min()) <= lookup.after_ms:
            outside = sure & ~((now_ms > lookup.after_ms) & (now_ms <= lookup.until_ms))
            outside &= ~rows.skipped[start:]
            if outside.any():
                size = min(size, int(outside.argmax()))
        end = start + min(size, len(received_ms))
        return Run(start, end, sure, latest_ms, watermarks_ms, now_ms, due_ms)

    def _place_units(self) -> None:
        """Look up the outlets in the version of the reference data that is in use."""
        lookup = self._waybills.lookup
        if lookup.units is self._units_of:
            return
        self._units_of = lookup.units
        rows, placed = self._rows, self._rows.placed
        found = np.empty(len(placed), np.int64)
        starts, lengths = rows.read[OUTLET, placed], rows.read[OUTLET + 1, placed]
        numbers_of(lookup.names, rows.text, starts, lengths, UNKNOWN, found)
        self.units[placed] = found
        for row, outlet_id in rows.placed_otherwise.items():
            self.units[row] = lookup.units[outlet_id]
        self._sure = rows.skipped | (rows.sound & (self.units != UNKNOWN))

    def _times(self, received_ms: Int64s, sure: Bools) -> tuple[Int64s, Int64s]:
        """Return the latest receipt before each row and behind the last, and the watermarks."""
        waybills = self._waybills
        latest_ms = np.empty(len(received_ms) + 1, np.int64)
        latest_ms[0] = waybills.received_max_ms
        latest_ms[1:] = np.where(sure, received_ms, 0)
        np.maximum.accumulate(latest_ms, out=latest_ms)
        before_ms = latest_ms[:-1] - waybills.policy.disorder_ms
        return latest_ms, np.maximum(before_ms, waybills.watermark_ms)


def _first_passing(latest_ms: Int64s, bound_ms: int) -> int:
    """Return the number of rows up to the first that lets time go on to `bound_ms` or farther."""
    size = int(latest_ms.searchsorted(bound_ms))
    if size:
        return size
    # It has been passed already: what is due is done as soon as time goes on at all.
    return int(latest_ms.searchsorted(latest_ms[0], side="right"))
