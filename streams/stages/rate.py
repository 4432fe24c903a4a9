"""The rate stage: rolling rates and verdicts per outlet, of one partition of `counts`.

What it passes on in `totals` is what roll-ups need: changes of cells by (county, enterprise) instead of
by outlet, and changes of outlets' verdicts.
"""

from collections.abc import Mapping
from itertools import repeat
from typing import Final

import msgspec
import numpy as np

from streams.domain.cell import COUNTERS, PANE_BITS, PANE_MASK, UNIT_SHIFT, Counter
from streams.domain.policy import Policy
from streams.domain.verdict import RANK_TICKET
from streams.domain.window import PANES_PER_DAY, SHANGHAI_OFFSET_PANES, TICK_MS
from streams.records import changes, topics, verdicts
from streams.records.changes import Header, Rows, concatenate, no_rows
from streams.records.verdicts import VerdictChange
from streams.reference.types import Outlet, ReferenceHistory
from streams.stages.columns import Array, Int64s, distinct
from streams.stages.judge import Turns
from streams.stages.scopes import OutletScopes
from streams.stages.stage import Output
from streams.stages.ticked import TICKS_PER_HOUR, TickedStage

TOTALS_PARTITION: Final = 0
UNIT_MASK: Final = (1 << UNIT_SHIFT) - 1

assert len(Counter) == COUNTERS


class RatePartition(TickedStage):
    """The outlets of one partition of `counts`.

    `sources` is the number of partitions of `shipments`: a tick is complete when all have passed it.
    """

    def __init__(
        self, partition: int, policy: Policy, history: ReferenceHistory, *, sources: int
    ) -> None:
        self.outlets: Final = OutletScopes()
        super().__init__(policy, history, self.outlets, sources=sources)
        self._partition: Final = partition
        self._totals: list[Rows] = []
        self._verdicts: list[VerdictChange] = []
        self._sent = (0, 0)  # How many of both the last drain gave.

    def _rows_added(self, rows: Rows) -> None:
        """Note the rows for the roll-ups, under the pair that the outlet belonged to on their day."""
        units = self.outlets.group_units[self.windows.row_groups]
        panes = rows.cells & PANE_MASK
        days = (panes + SHANGHAI_OFFSET_PANES) // PANES_PER_DAY
        pairs = self.outlets.pairs_on(int(days.max()))[units]
        if int(days.min()) < self.outlets.last_move_day:
            for day in distinct(days):
                of_day = days == day
                pairs[of_day] = self.outlets.pairs_on(day)[units[of_day]]
        kind = rows.cells >> PANE_BITS & UNIT_MASK
        cells = (pairs << UNIT_SHIFT | kind) << PANE_BITS | panes
        self._totals.append(Rows(rows.ticks, cells, rows.counters, rows.deltas))

    def _verdicts_made(self, first: int, turns: Turns) -> None:
        """Note the verdicts that have changed; at whole hours also the evidence of the bad ones."""
        self._follow(turns)
        told = turns.take(turns.changed)
        if first % TICKS_PER_HOUR == 0:  # Which is gone through alone.
            told = self._with_bad_ones(told, first)
        if len(told):
            self._verdicts += self._changes_of(told)

    def _with_bad_ones(self, told: Turns, tick: int) -> Turns:
        """Return the present verdicts on these scopes, and on all others that are bad."""
        bad = (self.judge.current.ranks >= RANK_TICKET).nonzero()[0]
        return self.judge.present(np.union1d(told.scopes, bad), tick)

    def _changes_of(self, told: Turns) -> list[VerdictChange]:
        """Return verdicts as they are sent, in order of tick and outlet."""
        numbers = self.outlets.unit_numbers[told.scopes]
        order = np.lexsort((numbers, told.ticks))
        told, numbers = told.take(order), numbers[order]
        found = told.verdicts
        bound_z = np.where(found.ranks == RANK_TICKET, self.policy.z_ticket, self.policy.z_page)
        rows = zip(
            told.ticks.tolist(),
            numbers.tolist(),
            repeat(self.judge.day),
            told.pending.tolist(),
            found.ranks.tolist(),
            found.severities.tolist(),
            found.targets.tolist(),
            found.categories.tolist(),
            self.judge.ids_of(found.periods),
            found.n.astype(np.int64).tolist(),
            found.covered.astype(np.int64).tolist(),
            found.bounds.tolist(),
            bound_z.tolist(),
            found.clear.tolist(),
            strict=False,
        )
        return [VerdictChange(*row) for row in rows]

    def _extra_tick(self, after: int) -> int | None:
        """Return the next whole hour, while a verdict is bad."""
        if not (self.judge.current.ranks >= RANK_TICKET).any():
            return None
        return (after // TICKS_PER_HOUR + 1) * TICKS_PER_HOUR

    def _changes_out(self) -> list[Output]:
        """Return the records of `totals` for what has been applied since the last commit."""
        self._sent = len(self._totals), len(self._verdicts)
        header = Header(
            format=changes.FORMAT,
            source=self._partition,
            reference_version=self.reference.version,
            from_offset=self._committed_offset,
            to_offset=self._next_offset,
            part=0,
            parts=1,
            watermark_ms=(self.tick + 1) * TICK_MS if self.tick else 0,
        )
        rows = summed_quickly(concatenate(self._totals))
        return [
            Output(topics.TOTALS, None, value, TOTALS_PARTITION)
            for value in changes.encode(header, rows, list(verdicts.encode(self._verdicts)))
        ]

    def _forget_changes(self) -> None:
        rows, changed = self._sent
        del self._totals[:rows]
        del self._verdicts[:changed]
        self._sent = (0, 0)

    def _extra_state(self) -> tuple[dict[str, Array], bytes]:
        """Return the outlets, since the reference data may have dropped some."""
        return {}, msgspec.msgpack.encode(self.outlets.seen())

    def _restore_extra(self, arrays: Mapping[str, Array], extra: bytes) -> None:
        del arrays
        self.outlets.remember(msgspec.msgpack.decode(extra, type=list[Outlet]))


def summed_quickly(rows: Rows) -> Rows:
    """Return what `changes.summed` returns up to the order of cells, by sorting one number a row."""
    if not len(rows):
        return no_rows()
    groups, places = np.unique(rows.cells >> PANE_BITS, return_inverse=True)
    panes = rows.cells & PANE_MASK
    first_pane, first_tick = int(panes.min()), int(rows.ticks.min())
    pane_count = int(panes.max()) - first_pane + 1
    keys: Int64s = rows.ticks.astype(np.int64) - first_tick
    for column, size in ((places, len(groups)), (panes - first_pane, pane_count)):
        keys = keys * size + column
    keys = keys * COUNTERS + rows.counters
    order = np.argsort(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    deltas = np.add.reduceat(rows.deltas[order], starts, dtype=np.int64)
    kept = deltas != 0
    at = order[starts[kept]]
    return Rows(rows.ticks[at], rows.cells[at], rows.counters[at], deltas[kept].astype(np.int32))
