"""The state log's payloads: whole, small enough, and refused when damaged."""

from collections.abc import Iterator, Mapping

import msgspec
import pytest

from streams.stages.match import state
from streams.stages.match.native.entries import Columns, Entries, unsigned
from streams.stages.match.state import (
    COLUMN_BYTES_MAX,
    ENTRIES_AT_ONCE,
    Scalars,
    decode_delta,
    encode_delta,
)
from streams.stages.match.waybills import Waybills
from tests.builders import a_history, batch_of, collected
from tests.stages.match import drawn

SCALARS = Scalars(7, 1000, 940, 2, b"ratio")


def pairs_of(columns: Columns) -> Iterator[tuple[bytes, bytes]]:
    keys, entries = columns.keys.tobytes(), columns.entries.tobytes()
    for key_length, length in zip(
        columns.key_lengths.tolist(), columns.lengths.tolist(), strict=True
    ):
        yield keys[:key_length], entries[:length]
        keys, entries = keys[key_length:], entries[length:]


def columns_of(entries: Mapping[bytes, bytes]) -> Iterator[Columns]:
    """Yield entries as the stage does: those that are gone, then the others."""
    map_of = Entries()
    for key, entry in entries.items():
        slot = map_of.put(key, entry or b"-")
        if not entry:
            map_of.take_away(slot, tell=True)
    return map_of.told(ENTRIES_AT_ONCE)


def read(payloads: list[bytes]) -> tuple[dict[bytes, bytes], list[object], list[object], list[str]]:
    deltas = [decode_delta(payload) for payload in payloads]
    return (
        {key: entry for delta in deltas for key, entry in pairs_of(delta.entries)},
        [pair for delta in deltas for pair in zip(*map(unsigned, delta.closed), strict=True)],
        [pair for delta in deltas for pair in delta.late],
        [name for delta in deltas for name in delta.sources],
    )


SIZES = [
    ("nothing", 0, 0, 0, 1),
    ("a few of each", 3, 2, 1, 1),
    ("more entries than one payload takes", 6_001, 0, 0, 2),
    ("more closed ones than entries", 1, 20_001, 10_001, 3),
]


@pytest.mark.parametrize(
    ("entries", "closed", "late", "payloads"), [s[1:] for s in SIZES], ids=[s[0] for s in SIZES]
)
def test_what_is_written_is_read(entries: int, closed: int, late: int, payloads: int) -> None:
    written = {f"W{n}".encode(): bytes([n % 251]) * (n % 40) for n in range(entries)}
    pairs = [(2**64 - 1 - n, 2**62 + n) for n in range(closed)]
    encoded = list(
        encode_delta(
            SCALARS, columns_of(written), closed=pairs, late=pairs[:late], sources=["S", "运"]
        )
    )
    assert len(encoded) == payloads
    assert read(encoded) == (written, pairs, pairs[:late], ["S", "运"])
    assert [decode_delta(each).last for each in encoded] == [False] * (payloads - 1) + [True]
    assert all(decode_delta(each).scalars == SCALARS for each in encoded)


def test_no_payload_is_larger_than_kafka_takes() -> None:
    large = {f"W{n}".encode(): b"x" * 5000 for n in range(500)}
    huge = {b"W": b"x" * (COLUMN_BYTES_MAX + 1)}
    for entries in (large, huge):
        encoded = list(encode_delta(SCALARS, columns_of(entries), closed=[], late=[], sources=[]))
        assert all(len(each) < 900_000 for each in encoded)
        assert read(encoded)[0] == entries
    full = {f"{n:0128d}".encode(): b"x" * 83 for n in range(6000)}
    pairs = [(n, n) for n in range(10_000)]
    encoded = list(
        encode_delta(SCALARS, columns_of(full), closed=pairs, late=pairs, sources=["x" * 128])
    )
    assert all(len(each) < 900_000 for each in encoded)


def test_another_format_and_damage_are_refused() -> None:
    [good] = encode_delta(SCALARS, columns_of({b"W": b"entry"}), closed=[], late=[], sources=[])
    fields = msgspec.msgpack.decode(good)
    newer = msgspec.msgpack.encode([state.FORMAT + 1, *fields[1:]])
    with pytest.raises(
        ValueError, match=f"has format {state.FORMAT + 1}, this program reads {state.FORMAT}"
    ):
        decode_delta(newer)
    with pytest.raises(ValueError, match="damaged payload"):
        decode_delta(good[:-1])
    for place in (5, 7):  # Keys, entries.
        longer = [*fields[:place], fields[place] + b"x", *fields[place + 1 :]]
        with pytest.raises(ValueError, match="lengths do not add up"):
            decode_delta(msgspec.msgpack.encode(longer))


def test_a_full_table_of_sources_costs_space_and_nothing_else() -> None:
    partition = drawn.a_partition(a_history())
    waybills: Waybills = partition._waybills
    waybills.sources += [f"s{n}" for n in range(2**16)]
    partition.apply(batch_of([collected("10:00"), collected("10:30", id="again")]))
    assert waybills.entries[b"W1"][:1] == b"P"
    assert sorted(drawn.by_cell(drawn.rows_in([partition.drain(publish=True)])).values()) == [1, 1]
