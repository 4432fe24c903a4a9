"""The records of `counts` and `totals`: columns of cell changes, packed.

A stage sends, per flush and target partition, what has changed as rows (tick, cell, counter, delta).
Rows add up, so their order inside a tick does not matter; a flush that is too large for one record is
cut into parts, of which only the last carries the source's watermark. The payload is four little-endian
columns behind a msgpack header; compression is the producer's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

FORMAT: Final = 1
ROWS_MAX: Final = 50_000
ROW_BYTES: Final = 17
"""So that a part stays under 900 KB."""

PART_BYTES: Final = ROWS_MAX * ROW_BYTES
"""Rows and extra of one part together."""


class Header(msgspec.Struct, array_like=True, frozen=True):
    """What a record of changes says about itself.

    Attributes:
        format: Version of this layout.
        source: Partition of the stage's input that the changes come from.
        reference_version: The newest reference data that they were made with.
        from_offset: First input offset that they cover.
        to_offset: First input offset that they do not cover.
        part: Number of this part, from 0.
        parts: How many parts the flush has for this target.
        watermark_ms: All changes of the source with a tick before this have been sent. Meant only in
            the last part.

    """

    format: int
    source: int
    reference_version: int
    from_offset: int
    to_offset: int
    part: int
    parts: int
    watermark_ms: int


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    header: Header
    ticks: bytes
    cells: bytes
    counters: bytes
    deltas: bytes
    extra: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Changes of cells, as columns of one length.

    Attributes:
        ticks: Tick of each change, in minutes since the epoch, int32.
        cells: `domain.cell.cell_of`, int64.
        counters: `domain.cell.Counter`, int8.
        deltas: What to add, int32.

    """

    ticks: npt.NDArray[np.int32]
    cells: npt.NDArray[np.int64]
    counters: npt.NDArray[np.int8]
    deltas: npt.NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of changes."""
        return len(self.cells)

    def take(self, index: "npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice") -> "Rows":
        """Return the rows at an index, a mask or a slice."""
        return Rows(self.ticks[index], self.cells[index], self.counters[index], self.deltas[index])


def no_rows() -> Rows:
    """Return columns of length zero."""
    return Rows(
        np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int32)
    )


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts, in their order."""
    if not parts:
        return no_rows()
    if len(parts) == 1:
        return parts[0]
    return Rows(
        np.concatenate([p.ticks for p in parts]),
        np.concatenate([p.cells for p in parts]),
        np.concatenate([p.counters for p in parts]),
        np.concatenate([p.deltas for p in parts]),
    )


def summed(rows: Rows) -> Rows:
    """Return one row per (tick, cell, counter) with the sum of its deltas, zeros left out, in that order."""
    if not len(rows):
        return rows
    order = np.lexsort((rows.counters, rows.cells, rows.ticks))
    ticks, cells, counters = rows.ticks[order], rows.cells[order], rows.counters[order]
    first = np.empty(len(order), np.bool_)
    first[0] = True
    first[1:] = (
        (ticks[1:] != ticks[:-1]) | (cells[1:] != cells[:-1]) | (counters[1:] != counters[:-1])
    )
    starts = np.flatnonzero(first)
    deltas = np.add.reduceat(rows.deltas[order], starts)
    kept = deltas != 0
    starts = starts[kept]
    return Rows(ticks[starts], cells[starts], counters[starts], deltas[kept].astype(np.int32))


@dataclass(frozen=True, slots=True)
class Changes:
    """One decoded record: its header, its rows and whatever else the sender put beside them."""

    header: Header
    rows: Rows
    extra: bytes


def encode(header: Header, rows: Rows, extras: Sequence[bytes] = ()) -> list[bytes]:
    """Return the record values that carry `rows`; at least one, so that the watermark always travels.

    `part` and `parts` of the header are filled in. Each of `extras`, which must be under 850 KB and be
    understood alone, goes with one part.
    """
    pieces = [rows.take(slice(at, at + ROWS_MAX)) for at in range(0, max(1, len(rows)), ROWS_MAX)]
    beside = [b""] * len(pieces)
    for extra in extras:
        if beside[-1] or len(pieces[-1]) * ROW_BYTES + len(extra) > PART_BYTES:
            pieces.append(no_rows())
            beside.append(b"")
        beside[-1] = extra
    values = []
    for part, (piece, extra) in enumerate(zip(pieces, beside, strict=True)):
        packed = _Packed(
            msgspec.structs.replace(header, part=part, parts=len(pieces)),
            piece.ticks.astype("<i4").tobytes(),
            piece.cells.astype("<i8").tobytes(),
            piece.counters.tobytes(),
            piece.deltas.astype("<i4").tobytes(),
            extra,
        )
        values.append(msgspec.msgpack.encode(packed))
    return values


_decoder: Final = msgspec.msgpack.Decoder(_Packed)


def decode(value: bytes) -> Changes:
    """Return what `encode` packed. Raises ValueError for another format or a damaged record."""
    try:
        packed = _decoder.decode(value)
    except msgspec.MsgspecError as error:
        message = f"damaged record of changes: {error}"
        raise ValueError(message) from error
    if packed.header.format != FORMAT:
        message = (
            f"record of changes has format {packed.header.format}, this program reads {FORMAT}: "
            "run the version that wrote it until its topic is empty"
        )
        raise ValueError(message)
    rows = Rows(
        np.frombuffer(packed.ticks, "<i4"),
        np.frombuffer(packed.cells, "<i8"),
        np.frombuffer(packed.counters, np.int8),
        np.frombuffer(packed.deltas, "<i4"),
    )
    if not len(rows.ticks) == len(rows.cells) == len(rows.counters) == len(rows.deltas):
        message = "damaged record of changes: columns of different length"
        raise ValueError(message)
    return Changes(packed.header, rows, packed.extra)
