"""The tables that machine code works on are maps, whatever collides, grows, shrinks or moves."""

import random
from collections.abc import Iterable

import numpy as np
import pytest
from xxhash import xxh3_64_intdigest

from streams.domain.cell import PANE_MASK
from streams.stages.match.native.closed import Closed
from streams.stages.match.native.entries import Columns, Entries, Int64s, signed
from streams.stages.match.native.names import KnownSources, number_of, numbers_of, table_of


class Colliding(Entries):
    """Entries by a hash of which there are few, at both ends of what 64 bits hold."""

    def hash_of(self, key: bytes) -> int:
        return (xxh3_64_intdigest(key) & 7) * ((1 << 64) // 7)

    def hashes_of(self, keys: Iterable[bytes], count: int) -> Int64s:
        return np.fromiter(map(self.hash_of, keys), np.uint64, count).view(np.int64)


HASHES = [("a good hash", Entries, 20_000), ("one that collides", Colliding, 2_000)]


@pytest.mark.parametrize(
    ("made", "steps"), [case[1:] for case in HASHES], ids=[case[0] for case in HASHES]
)
def test_entries_are_a_map_that_tells_what_has_changed(made: type[Entries], steps: int) -> None:
    rng = random.Random(7)
    entries, plain = made(), dict[bytes, bytes]()
    committed, told = dict[bytes, bytes](), made()
    for step in range(steps):
        key = f"W{rng.randrange(steps // 4)}".encode()
        if rng.random() < 0.6:
            entry = rng.randbytes(rng.choice([1, 20, 20, 60, 400]))
            entries.put(key, entry)
            plain[key] = entry
        elif key in plain:
            entries.take_away(entries.slot_of(key), tell=True)
            del plain[key]
        assert entries.get(key) == plain.get(key)
        if step % 500 == 499:
            changed = {k: e for k, e in plain.items() if committed.get(k) != e}
            gone = {k: b"" for k in committed if k not in plain}
            # What was written anew as it was, and what came and went, may be told without need.
            assert (changed | gone).items() <= entries.changes().items()
            for columns in entries.told(100):
                assert len(columns.key_lengths) <= 100
                told.put_many(columns)
            entries.forget_changes()
            assert entries.changes() == {}
            committed = dict(plain)
            assert told == plain
    assert entries == plain
    assert len(entries) == len(plain)
    again = made()
    for columns in entries.everything(1_000):
        again.put_many(columns)
    assert again == plain
    assert again.changes() == {}
    assert len(entries.arrays.arena) < 3 * sum(len(k) + len(e) + 10 for k, e in plain.items()) + (
        1 << 17
    ), "holes are closed"


def test_an_entry_without_a_change_is_taken_away_without_a_word() -> None:
    entries = Entries()
    entries.put(b"W", b"entry")
    assert entries.take_away(entries.slot_of(b"W")), "it has changed, so the log must say"
    entries.put(b"V", b"entry")
    entries.forget_changes()
    assert not entries.take_away(entries.slot_of(b"V"))
    assert entries.changes() == {}


def test_columns_without_a_length_take_keys_away() -> None:
    entries = Entries()
    entries.put(b"W", b"entry")
    nothing = np.zeros(0, np.uint8)
    key = np.frombuffer(b"WV", np.uint8)
    gone = Columns(np.ones(2, np.uint8), key, np.zeros(2, np.uint32), nothing)
    entries.put_many(gone)
    assert dict(entries) == {}


@pytest.mark.parametrize("bits", [64, 3])
def test_closed_parcels_are_a_map(bits: int) -> None:
    rng = random.Random(7)
    closed, plain = Closed(), dict[int, int]()
    for _ in range(400):
        hashes = [rng.getrandbits(bits) << (64 - bits) for _ in range(20)]
        cells = [rng.randrange(1 << 35) << 27 | rng.randrange(3) for _ in hashes]
        if rng.random() < 0.5:
            closed.set_many(*(np.array(of, np.int64) for of in (list(map(signed, hashes)), cells)))
            plain.update(zip(hashes, cells, strict=True))
        else:
            closed[hashes[0]] = plain[hashes[0]] = cells[0]
        pane = rng.randrange(3)
        some = rng.sample(sorted(plain), min(len(plain), 9))
        expected = [of for of in some if plain[of] & PANE_MASK == pane]
        forgotten = closed.forget(np.array(list(map(signed, some)), np.int64), pane)
        assert forgotten.tolist() == list(map(signed, expected))
        for of in expected:
            del plain[of]
        assert all((of in closed) == (of in plain) for of in hashes)
    assert closed == plain


def test_names_have_their_numbers() -> None:
    numbers = {f"{n % 7}-{n:05d}": n * 3 for n in range(3_000)} | {
        "运": -5,
        "x": 8,
        "longer " * 9: 1,
    }
    table = table_of(numbers)
    wanted = [*numbers, "x", "y", "", "0-0000", "longer " * 8 + "longex "]
    text = np.frombuffer("".join(wanted).encode(), np.uint8)
    lengths = np.array([len(name.encode()) for name in wanted])
    found = np.empty(len(wanted), np.int64)
    numbers_of(table, text, np.cumsum(lengths) - lengths, lengths, -1, found)
    assert found.tolist() == [numbers.get(name, -1) for name in wanted]
    assert number_of(table_of({}), text, 0, 5, -1) == -1


def test_too_many_sources_are_forgotten() -> None:
    known = KnownSources()
    for n in range(3):
        known.learn([f"{n}-{m}" for m in range(2_000)])
    assert len(known.names) == 6_000
    known.learn(["S"])
    assert known.names == ["S"]
