"""The rate stage: rolling rates and verdicts per outlet, of one partition of `counts`.

What it passes on in `totals` is what roll-ups need: changes of cells by (county, enterprise) instead of
by outlet, and changes of outlets' verdicts.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Final

import msgspec
import numpy as np

from streams.domain.cell import COUNTERS, PANE_BITS, PANE_MASK, UNIT_SHIFT, Counter
from streams.domain.policy import Policy
from streams.domain.verdict import RANK_TICKET
from streams.domain.window import PANES_PER_DAY, SHANGHAI_OFFSET_PANES, TICK_MS
from streams.records import changes, topics, verdicts
from streams.records.changes import Header, Rows, concatenate, no_rows, summed
from streams.records.verdicts import VerdictChange
from streams.reference.types import Outlet, ReferenceHistory
from streams.stages.bench import Turns
from streams.stages.columns import Array, Int64s, distinct
from streams.stages.scopes import OutletScopes
from streams.stages.stage import Output
from streams.stages.ticked import TICKS_PER_HOUR, TickedStage

TOTALS_PARTITION: Final = 0
UNIT_MASK: Final = (1 << UNIT_SHIFT) - 1
INT64_MAX: Final = (1 << 63) - 1

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
            bad = (self.judge.current.ranks >= RANK_TICKET).nonzero()[0]
            told = self.judge.present(np.union1d(told.scopes, bad), first)
        if len(told):
            self._verdicts += self._changes_of(told)

    def _changes_of(self, told: Turns) -> Iterator[VerdictChange]:
        """Return verdicts as they are sent, in order of tick and outlet."""
        numbers = self.outlets.unit_numbers[told.scopes]
        order = np.lexsort((numbers, told.ticks))
        told = told.take(order)
        found = told.verdicts
        return map(
            VerdictChange,
            told.ticks.tolist(),
            numbers[order].tolist(),
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
            found.bound_zs(self.policy).tolist(),
            found.clear.tolist(),
        )

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
    """Return what `changes.summed` returns, by sorting one number a row where one number holds it."""
    if not len(rows):
        return no_rows()
    columns: tuple[Array, ...] = (rows.ticks, rows.cells >> PANE_BITS, rows.cells & PANE_MASK)
    firsts = [int(column.min()) for column in columns]
    sizes = [int(column.max()) - first + 1 for column, first in zip(columns, firsts, strict=True)]
    if math.prod(sizes) * COUNTERS > INT64_MAX:
        return summed(rows)
    keys: Int64s = np.zeros(len(rows), np.int64)
    for column, first, size in zip(columns, firsts, sizes, strict=True):
        keys = keys * size + (column - first)
    keys = keys * COUNTERS + rows.counters
    order = np.argsort(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    deltas = np.add.reduceat(rows.deltas[order], starts, dtype=np.int64)
    kept = deltas != 0
    at = order[starts[kept]]
    return Rows(rows.ticks[at], rows.cells[at], rows.counters[at], deltas[kept].astype(np.int32))
