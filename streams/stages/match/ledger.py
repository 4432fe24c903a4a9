"""Changes of cells on their way to the next commit, as columns that grow."""

from array import array

import numpy as np
import numpy.typing as npt

from streams.records.changes import Rows, concatenate


class Ledger:
    """Rows (tick in minutes, cell, counter, delta), noted one by one or many at once."""

    def __init__(self) -> None:
        """Start empty."""
        self._ticks = array("i")
        self._cells = array("q")
        self._counters = array("b")
        self._deltas = array("i")
        self._many: list[Rows] = []

    def count(self, tick: int, cell: int, counter: int, delta: int) -> None:
        """Note that a counter of a cell has changed by `delta` at a tick."""
        self._ticks.append(tick)
        self._cells.append(cell)
        self._counters.append(counter)
        self._deltas.append(delta)

    def add(
        self,
        ticks: npt.NDArray[np.int64],
        cells: npt.NDArray[np.int64],
        counters: npt.NDArray[np.int64] | int,
    ) -> None:
        """Note for each row that a counter of a cell has gone up by one at a tick."""
        size = len(ticks)
        self._many.append(
            Rows(
                ticks.astype(np.int32),
                cells,
                np.full(size, counters, np.int8),
                np.ones(size, np.int32),
            )
        )

    def rows(self) -> Rows:
        """Return a copy of all rows."""
        singles = Rows(
            np.array(self._ticks, np.int32),
            np.array(self._cells, np.int64),
            np.array(self._counters, np.int8),
            np.array(self._deltas, np.int32),
        )
        return concatenate([*self._many, singles])
