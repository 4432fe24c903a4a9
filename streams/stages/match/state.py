"""How the match stage's state lies in its state log: columns behind a msgpack header.

A delta names the entries that changed since the last commit, with an empty entry for one that is gone;
a snapshot is a row of deltas that together hold everything. Keys of one flush resemble each other, and
so do entries, so each is a column of its own: the producer's compression does the rest.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Final

import msgspec

FORMAT: Final = 3
FORMATS_READ: Final = frozenset({2, FORMAT})
"""In format 2 no scalars tell of a key: there was none."""
COLUMN_BYTES_MAX: Final = 500_000
"""Bytes of keys and entries in one payload, which with its other columns stays under 900 KB."""
_ENTRIES_AT_ONCE: Final = 6_000
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
        entries: Key and packed entry; an empty entry means that the key is gone.
        closed: Hash and cell of parcels that closed.
        late: Hash of the parcel and of the record, for records that came after the close.
        sources: Names to append to the partition's table.

    """

    last: bool
    scalars: Scalars
    entries: Iterable[tuple[bytes, bytes]]
    closed: Iterable[tuple[int, int]]
    late: Iterable[tuple[int, int]]
    sources: Sequence[str]


_Columns = tuple[
    tuple[bytes, bytes, bytes, bytes] | None, tuple[bytes, bytes] | None, tuple[bytes, bytes] | None
]


def encode_delta(
    scalars: Scalars,
    entries: Mapping[bytes, bytes],
    *,
    closed: Iterable[tuple[int, int]],
    late: Iterable[tuple[int, int]],
    sources: Sequence[str],
) -> Iterator[bytes]:
    """Yield the payloads that hold a flush or, of all entries, the whole state: at least one.

    Each is under 900 KB. `entries` must not change while this runs.
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


def _entry_columns(entries: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Yield lengths and contents of keys and entries, a payload's worth at a time."""
    keys, values = iter(entries), iter(entries.values())
    while some := list(islice(keys, _ENTRIES_AT_ONCE)):
        packed = list(islice(values, _ENTRIES_AT_ONCE))
        yield from _cut(some, packed)


def _cut(keys: list[bytes], packed: list[bytes]) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Yield the columns of these entries, in halves of halves where they are too large together."""
    joined_keys, joined = b"".join(keys), b"".join(packed)
    if len(joined_keys) + len(joined) > COLUMN_BYTES_MAX and len(keys) > 1:
        middle = len(keys) // 2
        yield from _cut(keys[:middle], packed[:middle])
        yield from _cut(keys[middle:], packed[middle:])
        return
    lengths = array("B", map(len, keys)).tobytes()
    yield lengths, joined_keys, array("I", map(len, packed)).tobytes(), joined


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
    closed, cells = _column("Q", packed.closed), _column("Q", packed.closed_cells)
    late, ids = _column("Q", packed.late), _column("Q", packed.late_ids)
    return Delta(
        last=packed.last,
        scalars=packed.scalars,
        entries=_pairs(packed),
        closed=list(zip(closed, cells, strict=True)),
        late=list(zip(late, ids, strict=True)),
        sources=packed.sources,
    )


def _column(typecode: str, data: bytes) -> "array[int]":
    column: array[int] = array(typecode)
    column.frombytes(data)
    return column


def _pairs(packed: _Packed) -> list[tuple[bytes, bytes]]:
    pairs = []
    keys, entries = packed.keys, packed.entries
    key_at = entry_at = 0
    for key_length, entry_length in zip(
        packed.key_lengths, _column("I", packed.entry_lengths), strict=True
    ):
        key_end, entry_end = key_at + key_length, entry_at + entry_length
        pairs.append((keys[key_at:key_end], entries[entry_at:entry_end]))
        key_at, entry_at = key_end, entry_end
    if key_at != len(keys) or entry_at != len(entries):
        message = "damaged payload of match.state: lengths do not add up"
        raise ValueError(message)
    return pairs
