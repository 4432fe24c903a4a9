"""Names of outlets and sources to numbers, for machine code that has them as bytes within a text."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from streams.stages.match.native.compiled import compiled
from streams.stages.match.native.entries import Bytes, Int64s, read8, same

_ROOM: Final = 2
"""Least places for each name."""
_SOURCES_MAX: Final = 4_096
"""From so many known sources on, they are forgotten for further ones."""


class Names(NamedTuple):
    """Numbers of names, found by hash.

    Attributes:
        buckets: Which name, plus one; 0 for none. A power of two long.
        starts: Where each name begins among the letters; at the end, where the last one ends.
        letters: All names, one behind the other.
        numbers: By name.

    """

    buckets: Int64s
    starts: Int64s
    letters: Bytes
    numbers: Int64s


@compiled
def _hashed(text: Bytes, at: int, length: int) -> int:
    """Return a hash of the first and the last eight letters: no name that is configured is an attack."""
    if length >= 8:
        first, last = read8(text, at), read8(text, at + length - 8)
    else:
        first = last = 0
        for place in range(length):
            first = first << 8 | np.int64(text[at + place])
    mixed = first ^ first >> 29 ^ last << 7 ^ last >> 31 ^ length
    return (mixed & 0x7FFF_FFFF) * 0x9E37_79B1 >> 20


@compiled
def number_of(names: Names, text: Bytes, at: int, length: int, unknown: int) -> int:
    """Return the number of a name, which lies in `text`; or `unknown`."""
    mask = len(names.buckets) - 1
    bucket = _hashed(text, at, length) & mask
    while names.buckets[bucket]:
        name = names.buckets[bucket] - 1
        start = names.starts[name]
        of_length = names.starts[name + 1] - start == length
        if of_length and same(names.letters, start, text, at, length):
            return names.numbers[name]
        bucket = (bucket + 1) & mask
    return unknown


@compiled
def numbers_of(
    names: Names, text: Bytes, starts: Int64s, lengths: Int64s, unknown: int, found: Int64s
) -> None:
    """Write the numbers of names that lie in `text`; `unknown` for those that are not known."""
    last = last_length = number = 0
    for row in range(len(starts)):
        start, length = starts[row], lengths[row]
        # Often it is the one before.
        if length != last_length or not same(text, start, text, last, length):
            last, last_length = start, length
            number = number_of(names, text, start, length, unknown)
        found[row] = number if length else unknown


@compiled
def _fill(names: Names) -> None:
    mask = len(names.buckets) - 1
    for name in range(len(names.numbers)):
        start = names.starts[name]
        bucket = _hashed(names.letters, start, names.starts[name + 1] - start) & mask
        while names.buckets[bucket]:
            bucket = (bucket + 1) & mask
        names.buckets[bucket] = name + 1


def table_of(numbers: Mapping[str, int]) -> Names:
    """Return a table of names."""
    encoded = [name.encode() for name in numbers]
    lengths = [len(name) for name in encoded]
    names = Names(
        buckets=np.zeros(1 << (len(encoded) * _ROOM).bit_length(), np.int64),
        starts=np.cumsum([0, *lengths], dtype=np.int64),
        letters=np.frombuffer(b"".join(encoded) or b"\0", np.uint8),
        numbers=np.fromiter(numbers.values(), np.int64, len(encoded)),
    )
    _fill(names)
    return names


class KnownSources:
    """Sources that records have named, as machine code looks them up. Not part of any state.

    Attributes:
        names: By number.
        table: The same the other way round.

    """

    def __init__(self) -> None:
        """Know none."""
        self._take([])

    def _take(self, names: list[str]) -> None:
        self.names = names
        self.table = table_of({name: number for number, name in enumerate(names)})

    def learn(self, new: list[str]) -> None:
        """Know further names; forget all others when there are too many, as of somebody who makes them up."""
        known = self.names if len(self.names) < _SOURCES_MAX else []
        self._take(known + new)
