"""The entries of a partition's open parcels: a map from waybill to packed entry that lies in flat arrays.

Machine code reads and writes it (`joining`), and it takes a hundred bytes a parcel where a dictionary of
bytes takes five hundred. Keys and entries lie one behind the other in the *arena*, each behind a head; what
is removed, or moved because it has grown, leaves a hole there, and when holes are a quarter of the arena it
is pushed together. An entry is known by its *slot*, a number that stays the same while it is there; slots of
removed entries are given to new ones. The *buckets* hold slots by the hash of their keys.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from streams.stages.match.native.compiled import compiled

Bytes = npt.NDArray[Any]
Slots = npt.NDArray[Any]
Int64s = npt.NDArray[Any]
Number = TypeVar("Number", bound=np.generic)

# An entry in the arena: slot (4 bytes), whether it has changed (1), length of the key (1) and of the entry
# (4); then the key, then the entry.
HEAD: Final = 10
_CHANGED_AT: Final = 4
_KEY_LENGTH_AT: Final = 5
_LENGTH_AT: Final = 6

# The figures that machine code changes.
SLOTS: Final = 0
"""Slots that are or have been in use."""
FREE: Final = 1
"""First free one among these, plus one; its place holds the next in the same way, less a sign. 0 for none."""
END: Final = 2
"""Where the arena's holes and entries end."""
HOLES: Final = 3
CHANGED: Final = 4
"""Length of the list of changed slots."""
OPEN: Final = 5
"""Number of entries."""
_FIGURES: Final = 6

NONE: Final = -1
_SLOTS_MIN: Final = 1024
_ARENA_MIN: Final = 1 << 16
_HOLES_SHARE: Final = 4
"""Holes are closed when they are one byte in so many."""
_GROWTH: Final = 1.25
"""Large arrays grow in place, and every page that is added is memory used."""


class Arrays(NamedTuple):
    """What machine code works on.

    Attributes:
        buckets: A slot plus one by hash, 0 for none; a power of two long.
        slots: By slot, where its entry lies in the arena, less than 0 for a free one; and the key's hash.
        arena: Heads, keys and entries.
        changed: Slots that have changed since the last commit, in the order in which they did.
        figures: See above.

    """

    buckets: Slots
    slots: Int64s
    arena: Bytes
    changed: Slots
    figures: Int64s


@compiled
def _read(arena: Bytes, at: int, size: int) -> int:
    found = 0
    for place in range(size):
        found |= np.int64(arena[at + place]) << (8 * place)
    return found


@compiled
def _write(arena: Bytes, at: int, size: int, value: int) -> None:
    for place in range(size):
        arena[at + place] = value >> (8 * place) & 0xFF


@compiled
def read4(arena: Bytes, at: int) -> int:
    """Return four bytes as a number without sign."""
    return _read(arena, at, 4)


@compiled
def read8(arena: Bytes, at: int) -> int:
    """Return eight bytes as a number with a sign."""
    return _read(arena, at, 8)


@compiled
def write4(arena: Bytes, at: int, value: int) -> None:
    """Write a number in four bytes."""
    _write(arena, at, 4, value)


@compiled
def write8(arena: Bytes, at: int, value: int) -> None:
    """Write a number in eight bytes."""
    _write(arena, at, 8, value)


@compiled
def copy(source: Bytes, start: int, length: int, target: Bytes, at: int) -> None:
    """Copy bytes."""
    for place in range(length):
        target[at + place] = source[start + place]


@compiled
def same(text: Bytes, at: int, other: Bytes, place: int, length: int) -> bool:
    """Return whether so many bytes are the same in two places."""
    # Without a sign, since a place before the beginning would count from the end.
    start, beside = np.uint64(at), np.uint64(place)
    for letter in range(np.uint64(length)):
        if text[start + letter] != other[beside + letter]:
            return False
    return True


@compiled
def entry_at(arrays: Arrays, slot: int) -> int:
    """Return where in the arena the entry of a slot begins, behind its key."""
    place = arrays.slots[slot, 0]
    return place + HEAD + np.int64(arrays.arena[place + _KEY_LENGTH_AT])


@compiled
def length_of(arrays: Arrays, slot: int) -> int:
    """Return the length of the entry of a slot."""
    return read4(arrays.arena, arrays.slots[slot, 0] + _LENGTH_AT)


@compiled
def find(arrays: Arrays, hashed: int, text: Bytes, at: int, length: int) -> int:
    """Return the slot of a key, which lies in `text`, or NONE."""
    buckets, arena = arrays.buckets, arrays.arena
    mask = len(buckets) - 1
    bucket = hashed & mask
    while buckets[bucket]:
        slot = np.int64(buckets[bucket]) - 1
        if arrays.slots[slot, 1] == hashed:
            place = arrays.slots[slot, 0]
            of_length = arena[place + _KEY_LENGTH_AT] == length
            if of_length and same(arena, place + HEAD, text, at, length):
                return slot
        bucket = (bucket + 1) & mask
    return NONE


@compiled
def is_changed(arrays: Arrays, slot: int) -> bool:
    """Return whether an entry has changed since the last commit."""
    return arrays.arena[arrays.slots[slot, 0] + _CHANGED_AT] != 0


@compiled
def note_changed(arrays: Arrays, slot: int) -> None:
    """Have the entry of a slot written with the next commit."""
    at = arrays.slots[slot, 0] + _CHANGED_AT
    if not arrays.arena[at]:
        arrays.arena[at] = 1
        arrays.changed[arrays.figures[CHANGED]] = slot
        arrays.figures[CHANGED] += 1


@compiled
def add(arrays: Arrays, hashed: int, text: Bytes, at: int, key_length: int, length: int) -> int:
    """Make room for the entry of a new key, and return its slot. The caller writes the entry."""
    figures, arena = arrays.figures, arrays.arena
    slot = figures[FREE] - 1
    if slot >= 0:
        figures[FREE] = -arrays.slots[slot, 0] - 1
    else:
        slot = figures[SLOTS]
        figures[SLOTS] += 1
    place = figures[END]
    figures[END] += HEAD + key_length + length
    write4(arena, place, slot)
    arena[place + _CHANGED_AT] = 0
    arena[place + _KEY_LENGTH_AT] = key_length
    write4(arena, place + _LENGTH_AT, length)
    copy(text, at, key_length, arena, place + HEAD)
    arrays.slots[slot, 0] = place
    arrays.slots[slot, 1] = hashed
    figures[OPEN] += 1
    mask = len(arrays.buckets) - 1
    bucket = hashed & mask
    while arrays.buckets[bucket]:
        bucket = (bucket + 1) & mask
    arrays.buckets[bucket] = slot + 1
    return slot


@compiled
def resized(arrays: Arrays, slot: int, length: int) -> int:
    """Give an entry `length` bytes, and return where it begins, which may be elsewhere than before."""
    figures, arena = arrays.figures, arrays.arena
    old, place = arrays.slots[slot, 0], figures[END]
    before = HEAD + np.int64(arena[old + _KEY_LENGTH_AT])
    old_length = read4(arena, old + _LENGTH_AT)
    if length == old_length:
        return old + before
    figures[END] += before + length
    figures[HOLES] += before + old_length
    copy(arena, old, before + min(length, old_length), arena, place)
    write4(arena, place + _LENGTH_AT, length)
    arrays.slots[slot, 0] = place
    return place + before


@compiled
def remove(arrays: Arrays, slot: int) -> None:
    """Take an entry away."""
    figures, buckets = arrays.figures, arrays.buckets
    mask = len(buckets) - 1
    bucket = arrays.slots[slot, 1] & mask
    while np.int64(buckets[bucket]) != slot + 1:
        bucket = (bucket + 1) & mask
    # Whoever has been kept from its own bucket moves up, so that no search ends too early.
    gap, bucket = bucket, (bucket + 1) & mask
    while buckets[bucket]:
        own = arrays.slots[np.int64(buckets[bucket]) - 1, 1] & mask
        if (bucket - own) & mask >= (bucket - gap) & mask:
            buckets[gap] = buckets[bucket]
            gap = bucket
        bucket = (bucket + 1) & mask
    buckets[gap] = 0
    place = arrays.slots[slot, 0]
    key_length = np.int64(arrays.arena[place + _KEY_LENGTH_AT])
    figures[HOLES] += HEAD + key_length + read4(arrays.arena, place + _LENGTH_AT)
    arrays.slots[slot, 0] = -figures[FREE] - 1
    figures[FREE] = slot + 1
    figures[OPEN] -= 1


@compiled
def _fill_buckets(arrays: Arrays) -> None:
    mask = len(arrays.buckets) - 1
    for slot in range(arrays.figures[SLOTS]):
        if arrays.slots[slot, 0] >= 0:
            bucket = arrays.slots[slot, 1] & mask
            while arrays.buckets[bucket]:
                bucket = (bucket + 1) & mask
            arrays.buckets[bucket] = slot + 1


@compiled
def _close_holes(arrays: Arrays) -> None:
    arena, slots = arrays.arena, arrays.slots
    place = free = 0
    while place < arrays.figures[END]:
        slot = read4(arena, place)
        size = HEAD + np.int64(arena[place + _KEY_LENGTH_AT]) + read4(arena, place + _LENGTH_AT)
        if slots[slot, 0] == place:
            if place > free:
                copy(arena, place, size, arena, free)
                slots[slot, 0] = free
            free += size
        place += size
    arrays.figures[END] = free
    arrays.figures[HOLES] = 0


@compiled
def _put(arrays: Arrays, hashed: int, text: Bytes, key_length: int) -> int:
    """Set the entry of the key with which `text` begins to what follows it there, and return its slot.

    NONE where there is no room for it.
    """
    figures, length = arrays.figures, len(text) - key_length
    room = figures[END] + HEAD + len(text) <= len(arrays.arena)
    room &= figures[SLOTS] < len(arrays.slots) and figures[CHANGED] < len(arrays.changed)
    if not room or figures[OPEN] * 3 >= len(arrays.buckets) * 2:
        return NONE
    slot = find(arrays, hashed, text, 0, key_length)
    if slot == NONE:
        slot = add(arrays, hashed, text, 0, key_length, length)
    entry = resized(arrays, slot, length)
    copy(text, key_length, length, arrays.arena, entry)
    note_changed(arrays, slot)
    return slot


@compiled
def _get(arrays: Arrays, hashed: int, key: Bytes, entry: Bytes) -> int:
    """Copy the entry of a key, as far as there is room for it; return its length, NONE for no entry."""
    slot = find(arrays, hashed, key, 0, len(key))
    if slot == NONE:
        return NONE
    length = length_of(arrays, slot)
    copy(arrays.arena, entry_at(arrays, slot), min(length, len(entry)), entry, 0)
    return length


@compiled
def _put_many(
    arrays: Arrays,
    hashes: Int64s,
    key_lengths: Bytes,
    keys: Bytes,
    lengths: Slots,
    entries: Bytes,
) -> None:
    """Set the entries of many keys; one of no length takes its key away."""
    key_at = at = 0
    for number in range(len(hashes)):
        key_length, length = np.int64(key_lengths[number]), np.int64(lengths[number])
        slot = find(arrays, hashes[number], keys, key_at, key_length)
        if length:
            if slot == NONE:
                slot = add(arrays, hashes[number], keys, key_at, key_length, length)
            copy(entries, at, length, arrays.arena, resized(arrays, slot, length))
        elif slot != NONE:
            remove(arrays, slot)
        key_at += key_length
        at += length


_LISTED: Final = 1
_GIVEN: Final = 2


@compiled
def _changed_once(arrays: Arrays, slots: Int64s) -> int:
    """Write the changed slots, each once, into `slots`; return how many there are."""
    count = 0
    for number in range(arrays.figures[CHANGED]):
        slot = arrays.changed[number]
        place = arrays.slots[slot, 0]
        # A slot may have been emptied, and filled anew, and be listed twice then.
        if place >= 0 and arrays.arena[place + _CHANGED_AT] == _LISTED:
            arrays.arena[place + _CHANGED_AT] = _GIVEN
            slots[count] = slot
            count += 1
    for number in range(count):
        arrays.arena[arrays.slots[slots[number], 0] + _CHANGED_AT] = _LISTED
    return count


@compiled
def _forget_changed(arrays: Arrays) -> None:
    for number in range(arrays.figures[CHANGED]):
        place = arrays.slots[arrays.changed[number], 0]
        if place >= 0:
            arrays.arena[place + _CHANGED_AT] = 0
    arrays.figures[CHANGED] = 0


@compiled
def _slots_in_use(arrays: Arrays, slots: Int64s) -> None:
    count = 0
    for slot in range(arrays.figures[SLOTS]):
        if arrays.slots[slot, 0] >= 0:
            slots[count] = slot
            count += 1


@compiled
def _measure(arrays: Arrays, slots: Int64s, key_lengths: Bytes, lengths: Slots) -> None:
    for number in range(len(slots)):
        place = arrays.slots[slots[number], 0]
        key_lengths[number] = arrays.arena[place + _KEY_LENGTH_AT]
        lengths[number] = read4(arrays.arena, place + _LENGTH_AT)


@compiled
def _gather(arrays: Arrays, slots: Int64s, keys: Bytes, entries: Bytes) -> None:
    key_at = at = 0
    for number in range(len(slots)):
        slot = slots[number]
        place = arrays.slots[slot, 0] + HEAD
        entry, length = entry_at(arrays, slot), length_of(arrays, slot)
        copy(arrays.arena, place, entry - place, keys, key_at)
        copy(arrays.arena, entry, length, entries, at)
        key_at += entry - place
        at += length


class Columns(NamedTuple):
    """Keys and entries of some slots, one behind the other, and how long each is."""

    key_lengths: Bytes
    keys: Bytes
    lengths: Slots
    entries: Bytes


class Entries(Mapping[bytes, bytes]):
    """A map of bytes to bytes, by waybill.

    Attributes:
        arrays: What machine code works on. Whoever adds to it or makes entries longer calls `make_room`
            before; both replace it.
        gone: Keys that have been taken away since the last commit, as far as a commit must tell.

    """

    def __init__(self, seed: int = 0) -> None:
        """Start empty. `seed` keys the hashes."""
        self._seed = seed
        self._scratch = np.zeros(256, np.uint8)
        self.clear()

    def clear(self) -> None:
        """Take everything away, changes too."""
        self.gone: dict[bytes, None] = {}
        self.arrays = Arrays(
            buckets=np.zeros(2 * _SLOTS_MIN, np.uint32),
            slots=np.zeros((_SLOTS_MIN, 2), np.int64),
            arena=np.zeros(_ARENA_MIN, np.uint8),
            changed=np.zeros(_SLOTS_MIN, np.uint32),
            figures=np.zeros(_FIGURES, np.int64),
        )

    def make_room(self, more: int, more_bytes: int) -> None:
        """Have room for so many more keys, changes of keys, and bytes of the arena."""
        arrays, figures = self.arrays, self.arrays.figures
        if figures[HOLES] * _HOLES_SHARE > max(figures[END], _ARENA_MIN):
            _close_holes(arrays)
        if figures[SLOTS] + more > len(arrays.slots):
            size = _grown(len(arrays.slots), int(figures[SLOTS]) + more)
            arrays = arrays._replace(slots=_resized(arrays.slots, size))
        if figures[END] + more_bytes > len(arrays.arena):
            size = _grown(len(arrays.arena), int(figures[END]) + more_bytes)
            arrays = arrays._replace(arena=_resized(arrays.arena, size))
        if figures[CHANGED] + more > len(arrays.changed):
            size = _grown(len(arrays.changed), int(figures[CHANGED]) + more)
            arrays = arrays._replace(changed=_resized(arrays.changed, size))
        wanted = (int(figures[OPEN]) + more) * 3 // 2
        if wanted > len(arrays.buckets):
            arrays = arrays._replace(buckets=np.zeros(1 << wanted.bit_length(), np.uint32))
            _fill_buckets(arrays)
        self.arrays = arrays

    def hash_of(self, key: bytes) -> int:
        """Return the hash of a key: 64 bits without sign."""
        return xxh3_64_intdigest(key, self._seed)

    def hashes_of(self, keys: Iterable[bytes], count: int) -> Int64s:
        """Return the hashes of so many keys, with signs."""
        # A seed given by name would cost as much as four hashes.
        hashes = map(xxh3_64_intdigest, keys, repeat(self._seed))
        return np.fromiter(hashes, np.uint64, count).view(np.int64)

    # One by one, for the rule.

    def __len__(self) -> int:
        """Return the number of open parcels."""
        return int(self.arrays.figures[OPEN])

    def __getitem__(self, key: bytes) -> bytes:
        """Return the entry of a key."""
        entry = self.get(key)
        if entry is None:
            raise KeyError
        return entry

    def get(self, key: bytes, default: Any = None) -> Any:  # noqa: ANN401 - as Mapping has it
        """Return the entry of a key, or the default; without an exception on its way."""
        text, hashed = np.frombuffer(key, np.uint8), signed(self.hash_of(key))
        length = int(_get(self.arrays, hashed, text, self._scratch))
        if length == NONE:
            return default
        if length > len(self._scratch):
            self._scratch = np.zeros(length, np.uint8)
            return self.get(key)
        return self._scratch[:length].tobytes()

    def slot_of(self, key: bytes) -> int:
        """Return the slot of a key, or NONE."""
        text = np.frombuffer(key, np.uint8)
        return int(find(self.arrays, signed(self.hash_of(key)), text, 0, len(key)))

    def entry(self, slot: int) -> bytes:
        """Return the entry of a slot that is in use."""
        start = int(entry_at(self.arrays, slot))
        return self.arrays.arena[start : start + int(length_of(self.arrays, slot))].tobytes()

    def key(self, slot: int) -> bytes:
        """Return the key of a slot that is in use."""
        start = int(self.arrays.slots[slot, 0]) + HEAD
        return self.arrays.arena[start : int(entry_at(self.arrays, slot))].tobytes()

    def is_in_use(self, slot: int) -> bool:
        """Return whether a slot has an entry."""
        return bool(self.arrays.slots[slot, 0] >= 0)

    def put(self, key: bytes, entry: bytes) -> int:
        """Set the entry of a key, to be told with the next commit; return its slot."""
        text, hashed = np.frombuffer(key + entry, np.uint8), signed(self.hash_of(key))
        slot = int(_put(self.arrays, hashed, text, len(key)))
        if slot == NONE:
            self.make_room(1, HEAD + len(text))
            slot = int(_put(self.arrays, hashed, text, len(key)))
        return slot

    def take_away(self, slot: int, *, tell: bool = False) -> bool:
        """Remove a slot's entry, and return whether the next commit tells of it.

        It does if the entry has changed since the last commit, or on demand: what closes by itself
        without a change, whoever reads the log sees by himself.
        """
        told = tell or bool(is_changed(self.arrays, slot))
        if told:
            self.gone[self.key(slot)] = None
        remove(self.arrays, slot)
        return told

    def __iter__(self) -> Iterator[bytes]:
        """Yield keys, in the order of their slots."""
        return (key for key, _ in self.pairs(self.slots()))

    def pairs(self, slots: Int64s) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and entries of slots that are in use."""
        columns = self.columns(slots)
        keys, entries = columns.keys.tobytes(), columns.entries.tobytes()
        key_at = at = 0
        for key_length, length in zip(
            columns.key_lengths.tolist(), columns.lengths.tolist(), strict=True
        ):
            key_end, end = key_at + key_length, at + length
            yield keys[key_at:key_end], entries[at:end]
            key_at, at = key_end, end

    def changes(self) -> dict[bytes, bytes]:
        """Return what the next commit tells: keys and their entries, b"" for those that are gone."""
        told = dict.fromkeys(self.gone, b"")
        told.update(self.pairs(self.changed()))
        return told

    # Many at once, for the state log.

    def slots(self) -> Int64s:
        """Return the slots that are in use, rising."""
        found = np.zeros(len(self), np.int64)
        _slots_in_use(self.arrays, found)
        return found

    def changed(self) -> Int64s:
        """Return the slots whose entries have changed since the last commit, in that order."""
        found = np.zeros(int(self.arrays.figures[CHANGED]), np.int64)
        return found[: int(_changed_once(self.arrays, found))]

    def forget_changes(self) -> None:
        """Start anew to note what changes."""
        _forget_changed(self.arrays)
        self.gone = {}

    def told(self, at_once: int) -> Iterator[Columns]:
        """Yield what the next commit tells, at most so many entries at once; see `changes`."""
        gone = [key for key in self.gone if self.slot_of(key) == NONE]
        slots = self.changed()
        while len(gone) > at_once:
            yield _without_entries(gone[:at_once])
            gone = gone[at_once:]
        room = at_once - len(gone)
        if gone or len(slots):
            first, second = _without_entries(gone), self.columns(slots[:room])
            yield Columns._make(map(np.concatenate, zip(first, second, strict=True)))
        for some in _parts(slots[room:], at_once):
            yield self.columns(some)

    def everything(self, at_once: int) -> Iterator[Columns]:
        """Yield all entries, at most so many at once."""
        for slots in _parts(self.slots(), at_once):
            yield self.columns(slots)

    def columns(self, slots: Int64s) -> Columns:
        """Return keys and entries of some slots."""
        key_lengths, lengths = np.zeros(len(slots), np.uint8), np.zeros(len(slots), np.uint32)
        _measure(self.arrays, slots, key_lengths, lengths)
        keys = np.zeros(int(key_lengths.sum()), np.uint8)
        entries = np.zeros(int(lengths.sum()), np.uint8)
        _gather(self.arrays, slots, keys, entries)
        return Columns(key_lengths, keys, lengths, entries)

    def put_many(self, columns: Columns) -> None:
        """Set entries as they were told by a commit, which is not told again; no length removes one."""
        key_lengths, keys, lengths, entries = columns
        count = len(key_lengths)
        self.make_room(count, count * HEAD + len(keys) + len(entries))
        ends = np.cumsum(key_lengths, dtype=np.int64).tolist()
        text = keys.tobytes()
        starts = [0, *ends][:count]
        split = (text[start:end] for start, end in zip(starts, ends, strict=True))
        hashes = self.hashes_of(split, count)
        _put_many(self.arrays, hashes, key_lengths, keys, lengths, entries)


def signed(hashed: int) -> int:
    """Return the same 64 bits as a number with a sign, as machine code has it."""
    return hashed - (1 << 64) if hashed >> 63 else hashed


def unsigned(hashes: Int64s) -> list[int]:
    """Return the same the other way round."""
    found: list[int] = hashes.view(np.uint64).tolist()
    return found


def _without_entries(keys: Sequence[bytes]) -> Columns:
    return Columns(
        np.fromiter(map(len, keys), np.uint8, len(keys)),
        np.frombuffer(b"".join(keys), np.uint8),
        np.zeros(len(keys), np.uint32),
        np.zeros(0, np.uint8),
    )


def _parts(slots: Int64s, length: int) -> Iterator[Int64s]:
    return (slots[at : at + length] for at in range(0, len(slots), length))


def _grown(size: int, least: int) -> int:
    return max(least, int(size * _GROWTH) if size > 1 << 20 else 2 * size)


def _resized(array: npt.NDArray[Number], size: int) -> npt.NDArray[Number]:
    """Return the array with a longer axis: the same memory, grown where it lies if there is room."""
    array.resize((size, *array.shape[1:]), refcheck=False)
    return array
