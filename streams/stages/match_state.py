"""How the match stage's state lies in its state log: columns behind a msgpack header.

A delta names the entries that changed since the last commit, with an empty entry for one that is gone;
a snapshot is a row of deltas that together hold everything. Keys of one flush resemble each other, and
so do entries, so each is a column of its own: the producer's compression does the rest.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec

FORMAT: Final = 1
PAYLOAD_BYTES_MAX: Final = 800_000
"""Where a payload is cut; with its last entry, of 64 KiB at most, it stays under 900 KB."""


class Scalars(msgspec.Struct, array_like=True, frozen=True):
    """The figures of a partition that stand beside its entries.

    Attributes:
        next_offset: First input offset that the state does not hold.
        received_max_ms: Greatest `received_at` so far.
        watermark_ms: That less the disorder allowed.
        version_used: Newest reference version that any record was judged by.
        ratio: `RejectRatio.dump`.

    """

    next_offset: int
    received_max_ms: int
    watermark_ms: int
    version_used: int
    ratio: bytes


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


def encode_delta(
    scalars: Scalars,
    entries: Sequence[tuple[bytes, bytes]],
    *,
    closed: Sequence[tuple[int, int]],
    late: Sequence[tuple[int, int]],
    sources: Sequence[str],
) -> list[bytes]:
    """Return the payloads of one flush, at least one, each under 900 KB."""
    return list(_encode(scalars, entries, closed, late, sources=sources))


def encode_snapshot(
    scalars: Scalars,
    entries: Mapping[bytes, bytes],
    *,
    closed: Mapping[int, int],
    late: Sequence[tuple[int, int]],
    sources: Sequence[str],
) -> Iterator[bytes]:
    """Yield the payloads that hold the whole state, each under 900 KB."""
    return _encode(scalars, entries.items(), closed.items(), late, sources=sources)


_PAIRS_AT_ONCE: Final = 20_000


def _encode(
    scalars: Scalars,
    entries: Iterable[tuple[bytes, bytes]],
    closed: Iterable[tuple[int, int]],
    late: Iterable[tuple[int, int]],
    *,
    sources: Sequence[str],
) -> Iterator[bytes]:
    entry_iterator, closed_iterator, late_iterator = iter(entries), iter(closed), iter(late)
    names = list(sources)
    piece = _take_bytes(entry_iterator)
    closings = list(islice(closed_iterator, _PAIRS_AT_ONCE))
    lates = list(islice(late_iterator, _PAIRS_AT_ONCE))
    while True:
        # What follows is fetched first, so that the last payload knows that it is the last.
        next_piece = _take_bytes(entry_iterator)
        next_closings = list(islice(closed_iterator, _PAIRS_AT_ONCE))
        next_lates = list(islice(late_iterator, _PAIRS_AT_ONCE))
        last = not (next_piece or next_closings or next_lates)
        keys, packed = [key for key, _ in piece], [entry for _, entry in piece]
        yield msgspec.msgpack.encode(
            _Packed(
                FORMAT,
                last,
                scalars,
                names,
                array("B", map(len, keys)).tobytes(),
                b"".join(keys),
                array("H", map(len, packed)).tobytes(),
                b"".join(packed),
                array("Q", [c for c, _ in closings]).tobytes(),
                array("q", [c for _, c in closings]).tobytes(),
                array("Q", [c for c, _ in lates]).tobytes(),
                array("Q", [c for _, c in lates]).tobytes(),
            )
        )
        if last:
            return
        names = []
        piece, closings, lates = next_piece, next_closings, next_lates


def _take_bytes(entries: Iterator[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Take entries for one payload off the iterator."""
    taken = []
    room = PAYLOAD_BYTES_MAX // 2
    for pair in entries:
        taken.append(pair)
        room -= len(pair[0]) + len(pair[1]) + 3
        if room <= 0:
            break
    return taken


_decoder: Final = msgspec.msgpack.Decoder(_Packed)


def decode_delta(payload: bytes) -> Delta:
    """Return what a payload holds. Raises ValueError for another format or damage."""
    try:
        packed = _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        message = f"damaged payload of match.state: {error}"
        raise ValueError(message) from error
    if packed.format != FORMAT:
        message = f"match.state has format {packed.format}, this program reads {FORMAT}"
        raise ValueError(message)
    closed, cells = _column("Q", packed.closed), _column("q", packed.closed_cells)
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
        packed.key_lengths, _column("H", packed.entry_lengths), strict=True
    ):
        key_end, entry_end = key_at + key_length, entry_at + entry_length
        pairs.append((keys[key_at:key_end], entries[entry_at:entry_end]))
        key_at, entry_at = key_end, entry_end
    if key_at != len(keys) or entry_at != len(entries):
        message = "damaged payload of match.state: lengths do not add up"
        raise ValueError(message)
    return pairs
