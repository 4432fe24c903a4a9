"""Changes of cells on their way to the next commit, as columns that grow."""

from array import array

import numpy as np

from streams.records.changes import Rows


class Ledger:
    """Rows (tick in minutes, cell, counter, delta). The hot path appends to the columns itself."""

    def __init__(self) -> None:
        """Start empty."""
        self.ticks = array("i")
        self.cells = array("q")
        self.counters = array("b")
        self.deltas = array("i")

    def count(self, tick: int, cell: int, counter: int, delta: int) -> None:
        """Note that a counter of a cell has changed by `delta` at a tick."""
        self.ticks.append(tick)
        self.cells.append(cell)
        self.counters.append(counter)
        self.deltas.append(delta)

    def rows(self) -> Rows:
        """Return a copy of all rows."""
        return Rows(
            np.array(self.ticks, np.int32),
            np.array(self.cells, np.int64),
            np.array(self.counters, np.int8),
            np.array(self.deltas, np.int32),
        )
