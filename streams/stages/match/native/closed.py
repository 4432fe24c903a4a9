"""Closed parcels: a map from the hash of a waybill to the cell that its parcel was counted in.

Two flat arrays, which machine code reads; tens of millions of closed parcels take some thirty bytes each.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

import numpy as np

from streams.domain.cell import PANE_MASK
from streams.stages.match.native.compiled import compiled
from streams.stages.match.native.entries import Int64s, signed, unsigned

_FREE: Final = -1
"""No cell, in a place that holds no parcel."""
_PLACES_MIN: Final = 1024


class Table(NamedTuple):
    """Hashes and, at the same places, cells; a power of two long."""

    hashes: Int64s
    cells: Int64s


@compiled
def place_of(table: Table, hashed: int) -> int:
    """Return the place of a hash, or the free one that it would have."""
    mask = len(table.hashes) - 1
    place = hashed & mask
    while table.cells[place] != _FREE and table.hashes[place] != hashed:
        place = (place + 1) & mask
    return place


@compiled
def holds(table: Table, hashed: int) -> bool:
    """Return whether a parcel of this hash has closed."""
    return table.cells[place_of(table, hashed)] != _FREE


@compiled
def _set(table: Table, hashed: int, cell: int) -> bool:
    place = place_of(table, hashed)
    new = table.cells[place] == _FREE
    table.hashes[place] = hashed
    table.cells[place] = cell
    return new


@compiled
def _remove(table: Table, gap: int) -> None:
    mask = len(table.hashes) - 1
    table.cells[gap] = _FREE
    place = (gap + 1) & mask
    # Whoever has been kept from its own place moves up, so that no search ends too early.
    while table.cells[place] != _FREE:
        if (place - (table.hashes[place] & mask)) & mask >= (place - gap) & mask:
            table.hashes[gap], table.cells[gap] = table.hashes[place], table.cells[place]
            table.cells[place] = _FREE
            gap = place
        place = (place + 1) & mask


@compiled
def _forget(table: Table, hashes: Int64s, pane: int, forgotten: Int64s) -> int:
    count = 0
    for number in range(len(hashes)):
        place = place_of(table, hashes[number])
        if table.cells[place] != _FREE and table.cells[place] & PANE_MASK == pane:
            _remove(table, place)
            forgotten[count] = hashes[number]
            count += 1
    return count


@compiled
def _set_many(table: Table, hashes: Int64s, cells: Int64s) -> int:
    new = 0
    for number in range(len(hashes)):
        new += _set(table, hashes[number], cells[number])
    return new


class Closed(Mapping[int, int]):
    """A map of hashes, 64 bits without sign, to cells.

    Attributes:
        table: For machine code, which only reads it. Replaced when it grows.

    """

    def __init__(self) -> None:
        """Start empty."""
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._size = 0
        self.table = _empty(_PLACES_MIN)

    def __len__(self) -> int:
        """Return how many there are."""
        return self._size

    def __getitem__(self, hashed: int) -> int:
        """Return the cell of a closed parcel."""
        cell = self.get(hashed)
        if cell is None:
            raise KeyError(hashed)
        return int(cell)

    def get(self, hashed: int, default: Any = None) -> Any:  # noqa: ANN401 - as Mapping has it
        """Return the cell of a closed parcel, or the default; without an exception on its way."""
        cell = int(self.table.cells[place_of(self.table, signed(hashed))])
        return default if cell == _FREE else cell

    def __contains__(self, hashed: object) -> bool:
        """Return whether a parcel of this hash has closed."""
        return self.get(cast("int", hashed)) is not None

    def __setitem__(self, hashed: int, cell: int) -> None:
        """Remember a closed parcel."""
        self.make_room(1)
        self._size += bool(_set(self.table, signed(hashed), cell))

    def set_many(self, hashes: Int64s, cells: Int64s) -> None:
        """Remember closed parcels, whose hashes are given with signs."""
        self.make_room(len(hashes))
        self._size += int(_set_many(self.table, hashes, cells))

    def forget(self, hashes: Int64s, pane: int) -> Int64s:
        """Forget those of some hashes, with signs, that closed in a pane; return them."""
        forgotten = np.zeros(len(hashes), np.int64)
        count = int(_forget(self.table, hashes, pane, forgotten))
        self._size -= count
        return forgotten[:count]

    def __iter__(self) -> Iterator[int]:
        """Yield hashes, in no order."""
        return iter(unsigned(self.columns()[0]))

    def columns(self) -> tuple[Int64s, Int64s]:
        """Return hashes, with signs, and cells."""
        used = self.table.cells != _FREE
        return self.table.hashes[used], self.table.cells[used]

    def make_room(self, more: int) -> None:
        """Have room for so many more."""
        wanted = (self._size + more) * 3 // 2
        if wanted > len(self.table.hashes):
            hashes, cells = self.columns()
            self.table = _empty(1 << wanted.bit_length())
            _set_many(self.table, hashes, cells)


def _empty(places: int) -> Table:
    return Table(np.zeros(places, np.int64), np.full(places, _FREE, np.int64))
