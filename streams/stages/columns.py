"""Columns that grow, and how they are packed into a snapshot.

State is kept in numpy arrays whose last axis is a dense numbering of what has been seen. The numbering
follows from the order of ticks alone, so that the same input gives the same state in any batching.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.intp]
Int64s: TypeAlias = npt.NDArray[np.int64]
Int32s: TypeAlias = npt.NDArray[np.int32]
Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Array: TypeAlias = npt.NDArray[
    Any
]  # An array of whatever kind, on its way in or out of a snapshot.

SNAPSHOT_FORMAT: Final = 1
CHUNK_BYTES: Final = 850_000  # Under the 900 KB that one record of the state log may have.
CAPACITY_MIN: Final = 256
HASH_FACTORS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93))
"""Odd, with bits as if by chance; the first is 2^64 by the golden ratio, Knuth's."""

TABLE_BITS_MIN: Final = 8
TABLE_ROOM: Final = 8
"""Least places in a table for each key."""


class Index:
    """A dense numbering of int64 keys: the next number for each new key, for ever.

    Columns of keys are looked up in a table by hash, in a few numpy calls whatever their length. What
    another key keeps out of it is in a second table; what finds no place there either is looked up alone.
    """

    def __init__(self, keys: Int64s | None = None) -> None:
        """Number `keys`, which are distinct, in their order."""
        self.keys: Int64s = np.empty(0, np.int64)
        self._numbers: dict[int, int] = {}
        self._make_tables(TABLE_BITS_MIN)
        if keys is not None:
            self._extend(keys.tolist())

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, wanted: Int64s, when: Array) -> Ints:
        """Return the numbers of `wanted`.

        New keys are numbered in the order of `when`, which must rise, and in rising order at the same
        time.
        """
        if not len(wanted):
            return np.empty(0, np.intp)
        if not len(self.keys):
            self._extend([int(wanted[when == when[0]].min())])
        numbers = self._looked_up(0, wanted)
        missed = (self.keys[numbers] != wanted).nonzero()[0]
        if len(missed):
            rest = wanted[missed]
            numbers[missed] = self._looked_up(1, rest)
            missed = missed[self.keys[numbers[missed]] != rest]
        if len(missed):
            numbers[missed] = self._find_alone(wanted[missed].tolist(), when[missed].tolist())
        return numbers

    def _find_alone(self, wanted: list[int], when: list[int]) -> list[int]:
        new: dict[int, int] = {}
        for key, time in zip(wanted, when, strict=True):
            if key not in self._numbers:
                new.setdefault(key, time)
        self._extend(sorted(new, key=lambda key: (new[key], key)))
        return [self._numbers[key] for key in wanted]

    def _looked_up(self, table: int, keys: Int64s) -> Ints:
        """Return what a table has for keys, which may be another key's number."""
        return self._tables[table][self._places(table, keys)].astype(np.intp)

    def _places(self, table: int, keys: Int64s) -> Ints:
        return (keys.astype(np.uint64) * HASH_FACTORS[table] >> self._shift).astype(np.intp)

    def _extend(self, new: Sequence[int]) -> None:
        """Number distinct new keys in their order."""
        if not new:
            return
        first = len(self.keys)
        self.keys = np.concatenate([self.keys, np.array(new, np.int64)])
        self._numbers.update(zip(new, range(first, len(self.keys)), strict=True))
        if len(self.keys) * TABLE_ROOM > 1 << self._bits:
            self._make_tables((len(self.keys) * TABLE_ROOM).bit_length())
            first = 0
        # From the last to the first: early keys are the busy ones, so they had better be in a table.
        numbers = np.arange(len(self.keys) - 1, first - 1, -1)
        for at, table in enumerate(self._tables):
            places = self._places(at, self.keys[numbers])
            free = table[places] == 0
            table[places[free]] = numbers[free]
            numbers = numbers[table[places] != numbers]

    def _make_tables(self, bits: int) -> None:
        """Make empty tables, all of which mean key 0: whoever is not that finds so."""
        self._bits: int = bits
        self._shift = np.uint64(64 - bits)
        self._tables = [np.zeros(1 << bits, np.int32) for _ in HASH_FACTORS]


def distinct(numbers: Array) -> list[int]:
    """Return the distinct values, in rising order, of numbers that lie close together."""
    if not len(numbers):
        return []
    first = int(numbers.min())
    found: list[int] = (np.flatnonzero(np.bincount(numbers - first)) + first).tolist()
    return found


def capacity_for(count: int, capacity: int) -> int:
    """Return a capacity of at least `count`: the present one, or as often twice that as it takes."""
    capacity = max(capacity, CAPACITY_MIN)
    while capacity < count:
        capacity *= 2
    return capacity


def widened(array: Array, capacity: int) -> Array:
    """Return a copy whose last axis is `capacity` long, filled up with zeros."""
    wide = np.zeros((*array.shape[:-1], capacity), array.dtype)
    wide[..., : array.shape[-1]] = array
    return wide


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    dtype: str
    shape: list[int]
    at: bytes  # Where the values stand; empty when all are given.
    values: bytes


class _Chunk(msgspec.Struct, array_like=True, frozen=True):
    format: int
    number: int
    count: int
    piece: bytes


def pack(arrays: Mapping[str, Array], plain: object) -> Iterator[bytes]:
    """Yield the chunks of a snapshot of arrays and of one plain value (numbers, texts, lists, dicts)."""
    packed = {name: _pack_array(array) for name, array in arrays.items()}
    blob = zlib.compress(msgspec.msgpack.encode((packed, msgspec.msgpack.encode(plain))), level=1)
    count = -(-len(blob) // CHUNK_BYTES)
    for number in range(count):
        piece = blob[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
        yield msgspec.msgpack.encode(_Chunk(SNAPSHOT_FORMAT, number, count, piece))


def unpack(chunks: Sequence[bytes]) -> tuple[dict[str, Array], bytes]:
    """Return the arrays of a snapshot, and its plain value still as msgpack.

    Raises ValueError when chunks are missing, or written by a program with another format.
    """
    parts = [msgspec.msgpack.decode(chunk, type=_Chunk) for chunk in chunks]
    for part in parts:
        if part.format != SNAPSHOT_FORMAT:
            raise ValueError(
                f"snapshot has format {part.format}, this program reads {SNAPSHOT_FORMAT}: "
                "run the version that wrote it, or rebuild the state"
            )
    if [p.number for p in parts] != list(range(parts[0].count if parts else 1)):
        raise ValueError("snapshot is incomplete: rebuild the state")
    blob = zlib.decompress(b"".join(part.piece for part in parts))
    packed, plain = msgspec.msgpack.decode(blob, type=tuple[dict[str, _Packed], bytes])
    return {name: _unpack_array(array) for name, array in packed.items()}, plain


def _pack_array(array: Array) -> _Packed:
    flat = np.ascontiguousarray(array).reshape(-1)
    dtype, shape = array.dtype.str, list(array.shape)
    at = np.flatnonzero(flat)
    if 3 * len(at) < len(flat):  # Worth the places: panes are mostly empty.
        return _Packed(dtype, shape, at.astype("<i8").tobytes(), flat[at].tobytes())
    return _Packed(dtype, shape, b"", flat.tobytes())


def _unpack_array(packed: _Packed) -> Array:
    values = np.frombuffer(packed.values, packed.dtype)
    size = int(np.prod(packed.shape))
    if len(values) == size:
        return values.reshape(packed.shape).copy()
    flat = np.zeros(size, packed.dtype)
    flat[np.frombuffer(packed.at, "<i8")] = values
    return flat.reshape(packed.shape)
