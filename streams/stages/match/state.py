"""How the match stage's state lies in its state log: columns behind a msgpack header.

A delta names the entries that changed since the last commit, with an empty entry for one that is gone;
a snapshot is a row of deltas that together hold everything. Keys of one flush resemble each other, and
so do entries, so each is a column of its own: the producer's compression does the rest.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Final

import msgspec
import numpy as np

from streams.stages.columns import Int64s
from streams.stages.match.native.entries import Columns

FORMAT: Final = 4
FORMATS_READ: Final = frozenset({2, 3, FORMAT})
"""In format 2 no scalars tell of a key: there was none. Before 4 no entry has form D."""
COLUMN_BYTES_MAX: Final = 500_000
"""Bytes of keys and entries in one payload, which with its other columns stays under 900 KB."""
ENTRIES_AT_ONCE: Final = 6_000
_PAIRS_AT_ONCE: Final = 10_000


class Scalars(msgspec.Struct, array_like=True, frozen=True):
    """The figures of a partition that stand beside its entries.

    Attributes:
        next_offset: First input offset that the state does not hold.
        received_max_ms: Greatest `received_at` so far.
        watermark_ms: That less the disorder allowed.
        version_used: Newest reference version that any record was judged by.
        ratio: `RejectRatio.dump`.
        key_check: Of the key that the hashes of closed parcels were made with.

    """

    next_offset: int
    received_max_ms: int
    watermark_ms: int
    version_used: int
    ratio: bytes
    key_check: int = 0


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    format: int
    last: bool
    scalars: Scalars
    sources: list[str]
    key_lengths: bytes
    keys: bytes
    entry_lengths: bytes
    entries: bytes
    closed: bytes
    closed_cells: bytes
    late: bytes
    late_ids: bytes


@dataclass(frozen=True, slots=True)
class Delta:
    """One decoded payload.

    Attributes:
        last: Whether it is the last payload of its flush or snapshot; only then its watermark counts.
        entries: Keys and packed entries; one without length means that the key is gone.
        closed: Hashes, with signs, and cells of parcels that closed.
        late: Hash of the parcel and of the record, for records that came after the close.
        sources: Names to append to the partition's table.

    """

    last: bool
    scalars: Scalars
    entries: Columns
    closed: tuple[Int64s, Int64s]
    late: Iterable[tuple[int, int]]
    sources: Sequence[str]


_Columns = tuple[
    tuple[bytes, bytes, bytes, bytes] | None, tuple[bytes, bytes] | None, tuple[bytes, bytes] | None
]


def encode_delta(
    scalars: Scalars,
    entries: Iterable[Columns],
    *,
    closed: Iterable[tuple[int, int]],
    late: Iterable[tuple[int, int]],
    sources: Sequence[str],
) -> Iterator[bytes]:
    """Yield the payloads that hold a flush or, of all entries, the whole state: at least one.

    Each is under 900 KB if each of `entries` has at most `ENTRIES_AT_ONCE` ones.
    """
    pieces: Iterator[_Columns] = zip_longest(
        _entry_columns(entries), _pair_columns(closed), _pair_columns(late)
    )
    names = list(sources)
    nothing: _Columns = (None, None, None)
    columns: _Columns | None = next(pieces, nothing)
    while columns is not None:
        # What follows is fetched first, so that the last payload knows that it is the last.
        following = next(pieces, None)
        of_entries, of_closed, of_late = columns
        yield msgspec.msgpack.encode(
            _Packed(
                FORMAT,
                following is None,
                scalars,
                names,
                *(of_entries or (b"", b"", b"", b"")),
                *(of_closed or (b"", b"")),
                *(of_late or (b"", b"")),
            )
        )
        names = []
        columns = following


def _entry_columns(entries: Iterable[Columns]) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Yield lengths and contents of keys and entries, a payload's worth at a time."""
    for columns in entries:
        for piece in _cut(columns):
            key_lengths, keys, lengths, packed = (column.tobytes() for column in piece)
            yield key_lengths, keys, lengths, packed


def _cut(columns: Columns) -> Iterator[Columns]:
    """Yield these columns, in halves of halves where they are too large together."""
    count = len(columns.key_lengths)
    if len(columns.keys) + len(columns.entries) <= COLUMN_BYTES_MAX or count == 1:
        yield columns
        return
    middle = count // 2
    key_lengths, keys, lengths, entries = columns
    keys_at, at = int(key_lengths[:middle].sum(dtype=np.int64)), int(lengths[:middle].sum())
    yield from _cut(Columns(key_lengths[:middle], keys[:keys_at], lengths[:middle], entries[:at]))
    yield from _cut(Columns(key_lengths[middle:], keys[keys_at:], lengths[middle:], entries[at:]))


def _pair_columns(pairs: Iterable[tuple[int, int]]) -> Iterator[tuple[bytes, bytes]]:
    iterator = iter(pairs)
    while some := list(islice(iterator, _PAIRS_AT_ONCE)):
        first = array("Q", [one for one, _ in some])
        yield first.tobytes(), array("Q", [other for _, other in some]).tobytes()


_decoder: Final = msgspec.msgpack.Decoder(_Packed)


def decode_delta(payload: bytes) -> Delta:
    """Return what a payload holds. Raises ValueError for another format or damage."""
    try:
        packed = _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        message = f"damaged payload of match.state: {error}"
        raise ValueError(message) from error
    if packed.format not in FORMATS_READ:
        message = f"match.state has format {packed.format}, this program reads {FORMAT}"
        raise ValueError(message)
    closed, cells = np.frombuffer(packed.closed, "<i8"), np.frombuffer(packed.closed_cells, "<i8")
    if len(closed) != len(cells):
        raise ValueError(_UNEQUAL)
    late, ids = _column("Q", packed.late), _column("Q", packed.late_ids)
    return Delta(
        last=packed.last,
        scalars=packed.scalars,
        entries=_columns_of(packed),
        closed=(closed, cells),
        late=list(zip(late, ids, strict=True)),
        sources=packed.sources,
    )


def _column(typecode: str, data: bytes) -> "array[int]":
    column: array[int] = array(typecode)
    column.frombytes(data)
    return column


_UNEQUAL: Final = "damaged payload of match.state: lengths do not add up"


def _columns_of(packed: _Packed) -> Columns:
    columns = Columns(
        np.frombuffer(packed.key_lengths, np.uint8),
        np.frombuffer(packed.keys, np.uint8),
        np.frombuffer(packed.entry_lengths, "<u4"),
        np.frombuffer(packed.entries, np.uint8),
    )
    key_lengths, keys, lengths, entries = columns
    whole = len(key_lengths) == len(lengths)
    whole &= key_lengths.sum(dtype=np.int64) == len(keys)
    if not whole or lengths.sum(dtype=np.int64) != len(entries):
        raise ValueError(_UNEQUAL)
    return columns
