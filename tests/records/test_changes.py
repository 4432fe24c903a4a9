"""Changes of cells on the wire: whatever is cut and packed comes back, damage is refused."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.cell import COUNTERS
from streams.records import changes
from streams.records.changes import FORMAT, ROWS_MAX, Header, Rows

HEADER = Header(FORMAT, 3, 7, 100, 200, 0, 0, 1_504_836_000_000)

CHANGES = st.lists(
    st.tuples(
        st.integers(0, 2**31 - 1),
        st.sampled_from([0, 1, 2**62, 2**63 - 1]),
        st.integers(0, COUNTERS - 1),
        st.integers(-3, 3),
    ),
    max_size=30,
)
Change = tuple[int, int, int, int]


def rows_of(listed: list[Change]) -> Rows:
    return Rows(
        np.array([c[0] for c in listed], np.int32),
        np.array([c[1] for c in listed], np.int64),
        np.array([c[2] for c in listed], np.int8),
        np.array([c[3] for c in listed], np.int32),
    )


def listed(rows: Rows) -> list[Change]:
    columns = (rows.ticks, rows.cells, rows.counters, rows.deltas)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def many(number: int) -> Rows:
    return rows_of([(n, n, 0, 1) for n in range(number)])


@given(drawn=CHANGES)
def test_what_is_encoded_is_decoded(drawn: list[Change]) -> None:
    [value] = changes.encode(HEADER, rows_of(drawn))
    decoded = changes.decode(value)
    assert listed(decoded.rows) == drawn
    assert decoded.header == msgspec.structs.replace(HEADER, parts=1)
    assert decoded.extra == b""


def test_without_changes_the_watermark_travels_all_the_same() -> None:
    [value] = changes.encode(HEADER, changes.no_rows())
    assert changes.decode(value).header.watermark_ms == HEADER.watermark_ms
    assert len(changes.decode(value).rows) == 0


EXTRA = b"x" * 850_000
PARTS = [
    ("to the limit, one part", ROWS_MAX, [], [(ROWS_MAX, 0)]),
    ("a row more, two parts", ROWS_MAX + 1, [], [(ROWS_MAX, 0), (1, 0)]),
    ("what is small goes beside the rows", 1, [b"a"], [(1, 1)]),
    ("each with a part of its own", 1, [b"a", b"bc"], [(1, 1), (0, 2)]),
    ("what has no room beside the rows follows them", ROWS_MAX, [b"a"], [(ROWS_MAX, 0), (0, 1)]),
    ("the largest alone", 1, [EXTRA], [(1, 0), (0, len(EXTRA))]),
    ("the largest beside none", 0, [EXTRA], [(0, len(EXTRA))]),
]


@pytest.mark.parametrize(
    ("rows", "extras", "parts"), [p[1:] for p in PARTS], ids=[p[0] for p in PARTS]
)
def test_a_large_flush_is_cut_into_parts(
    rows: int, extras: list[bytes], parts: list[tuple[int, int]]
) -> None:
    values = changes.encode(HEADER, many(rows), extras)
    decoded = [changes.decode(value) for value in values]
    assert [(len(d.rows), len(d.extra)) for d in decoded] == parts
    assert [(d.header.part, d.header.parts) for d in decoded] == [
        (part, len(parts)) for part in range(len(parts))
    ]
    assert listed(changes.concatenate([d.rows for d in decoded])) == listed(many(rows))
    assert [d.extra for d in decoded if d.extra] == extras
    assert all(len(value) < 900_000 for value in values)


@given(parts=st.lists(CHANGES, max_size=4))
def test_summing_keeps_every_sum_and_nothing_else(parts: list[list[Change]]) -> None:
    joined = changes.concatenate([rows_of(part) for part in parts])
    expected: dict[tuple[int, int, int], int] = {}
    for tick, cell, counter, delta in (change for part in parts for change in part):
        expected[tick, cell, counter] = expected.get((tick, cell, counter), 0) + delta
    assert listed(joined) == [change for part in parts for change in part]
    assert listed(changes.summed(joined)) == [(*k, n) for k, n in sorted(expected.items()) if n]


def test_rows_are_taken_by_index_mask_or_slice() -> None:
    rows = many(4)
    for taken in (
        rows.take(slice(1, 3)),
        rows.take(np.array([1, 2])),
        rows.take(rows.cells % 3 > 0),
    ):
        assert listed(taken) == [(1, 1, 0, 1), (2, 2, 0, 1)]


def test_another_format_and_damage_are_refused() -> None:
    [good] = changes.encode(HEADER, many(2))
    with pytest.raises(ValueError, match="damaged record of changes"):
        changes.decode(good[:-1])
    [other] = changes.encode(msgspec.structs.replace(HEADER, format=FORMAT + 1), many(2))
    with pytest.raises(ValueError, match="has format 2, this program reads 1: run the version"):
        changes.decode(other)
    header, ticks, cells, counters, deltas, extra = msgspec.msgpack.decode(good)
    short = msgspec.msgpack.encode([header, ticks, cells, counters, deltas[:4], extra])
    with pytest.raises(ValueError, match="columns of different length"):
        changes.decode(short)
