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
CAPACITY_MIN: Final = 64


class Index:
    """A dense numbering of int64 keys: the next number for each new key, for ever."""

    def __init__(self, keys: Int64s | None = None) -> None:
        """Number `keys`, which are distinct, in their order."""
        self.keys: Int64s = np.empty(0, np.int64) if keys is None else keys
        self._order: Ints = np.argsort(self.keys, kind="stable")
        self._sorted: Int64s = self.keys[self._order]

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, wanted: Int64s, when: Array) -> Ints:
        """Return the numbers of `wanted`.

        New keys are numbered in the order of `when`, which must rise, and in rising order at the same
        time.
        """
        at, strange = self._places(wanted)
        if not strange.any():
            return self._order[at]
        new, first = np.unique(wanted[strange], return_index=True)
        self.extend(new[np.argsort(when[strange][first], kind="stable")])
        at, strange = self._places(wanted)
        assert not strange.any(), "all wanted keys have just been added"
        return self._order[at]

    def known(self, wanted: Int64s) -> Bools:
        """Return which of `wanted` have numbers."""
        return ~self._places(wanted)[1]

    def numbers(self, wanted: Int64s) -> Ints:
        """Return the numbers of keys that are known."""
        at, strange = self._places(wanted)
        assert not strange.any(), "somebody asks for numbers of keys that have none"
        return self._order[at]

    def _places(self, wanted: Int64s) -> tuple[Ints, Bools]:
        """Return places in the sorted keys, and which of the wanted keys are not there."""
        if not len(self._sorted):
            return np.zeros(len(wanted), np.intp), np.ones(len(wanted), np.bool_)
        at = np.searchsorted(self._sorted, wanted)
        np.minimum(at, len(self._sorted) - 1, out=at)
        return at, self._sorted[at] != wanted

    def extend(self, new: Int64s) -> None:
        """Number distinct new keys in their order."""
        order = np.argsort(new)
        at = np.searchsorted(self._sorted, new[order])
        numbers = np.arange(len(self.keys), len(self.keys) + len(new), dtype=np.intp)
        self._sorted = np.insert(self._sorted, at, new[order])
        self._order = np.insert(self._order, at, numbers[order])
        self.keys = np.concatenate([self.keys, new])


def distinct(numbers: Array) -> list[int]:
    """Return the distinct values, in rising order, of numbers that lie close together."""
    if not len(numbers):
        return []
    first = int(numbers.min())
    found: list[int] = (np.flatnonzero(np.bincount(numbers - first)) + first).tolist()
    return found


def capacity_for(count: int, capacity: int) -> int:
    """Return a capacity of at least `count`: the present one, or half as much again."""
    if count <= capacity:
        return capacity
    return max(count, capacity + capacity // 2, CAPACITY_MIN)


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
