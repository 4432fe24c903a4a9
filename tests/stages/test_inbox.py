"""Sources in sequence, watermarks, and what waits."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.cell import Counter
from streams.domain.window import TICK_MS
from streams.records import changes
from streams.records.changes import Changes, Header, summed
from streams.stages import inbox
from streams.stages.inbox import GapError, Inbox
from tests.stages.feeds import MIDNIGHT_TICK, a_cell, a_row, columns
from tests.stages.plain import Row

START = MIDNIGHT_TICK


def a_record(
    source: int = 0,
    *,
    offsets: tuple[int, int] = (0, 10),
    part: int = 0,
    parts: int = 1,
    passed: int = START,
    rows: Sequence[Row] = (),
) -> Changes:
    """Return a record that says that all ticks up to and with `passed` are complete."""
    watermark_ms = (passed + 1) * TICK_MS
    header = Header(changes.FORMAT, source, 1, *offsets, part, parts, watermark_ms)
    return Changes(header, columns(rows), b"")


@pytest.mark.parametrize(
    ("case", "records"),
    [
        ("a record is missing", [a_record(offsets=(0, 10)), a_record(offsets=(11, 20))]),
        ("a record comes again", [a_record(offsets=(0, 10)), a_record(offsets=(0, 10))]),
        ("a part is missing", [a_record(parts=3), a_record(part=2, parts=3)]),
        ("a part comes again", [a_record(parts=2), a_record(part=0, parts=2)]),
        ("a last part never came", [a_record(parts=2), a_record(offsets=(10, 20))]),
        ("the first record is a second part", [a_record(part=1, parts=2)]),
        ("the watermark went back", [a_record(), a_record(offsets=(10, 20), passed=START - 1)]),
        ("an unknown source", [a_record(2)]),
        (
            "a change of a complete tick",
            [
                a_record(passed=START + 5),
                a_record(
                    offsets=(10, 20),
                    passed=START + 6,
                    rows=[a_row(5, a_cell(0, 0), Counter.ELIGIBLE)],
                ),
            ],
        ),
    ],
)
def test_what_is_not_the_next_is_an_error(case: str, records: list[Changes]) -> None:
    box = Inbox(2)
    for record in records[:-1]:
        box.take(record)
    before = box.snapshot()
    with pytest.raises(GapError):
        box.take(records[-1])
    assert box.snapshot()[1] == before[1], case
    assert len(box.snapshot()[0]) == len(before[0]), case


def test_the_error_says_which_record_and_what_was_expected() -> None:
    box = Inbox(1)
    box.take(a_record(offsets=(0, 10)))
    with pytest.raises(
        GapError, match=r"source 0, offsets 11 to 20, part 1 of 1.*expected offset 10"
    ):
        box.take(a_record(offsets=(11, 20)))


def test_a_tick_has_passed_when_the_slowest_source_has_passed_it() -> None:
    box = Inbox(2)
    box.take(a_record(0, passed=START + 9))
    assert box.passed_tick is None  # A source never heard of holds everything back.
    box.take(a_record(1, passed=START + 3))
    assert box.passed_tick == START + 3


def test_a_tick_on_the_watermark_itself_may_still_have_changes() -> None:
    box = Inbox(1)
    header = Header(changes.FORMAT, 0, 1, 0, 10, 0, 1, START * TICK_MS)
    box.take(Changes(header, columns([]), b""))
    assert box.passed_tick == START - 1
    box.take(a_record(offsets=(10, 20), rows=[a_row(0, a_cell(0, 0), Counter.ELIGIBLE)]))
    assert box.passed_tick == START


def test_only_the_last_part_moves_the_watermark() -> None:
    box = Inbox(1)
    box.take(a_record(parts=2, passed=START + 3))
    assert box.passed_tick is None
    box.take(a_record(part=1, parts=2, passed=START + 3))
    assert box.passed_tick == START + 3


def test_rows_wait_for_their_tick_and_come_in_its_order() -> None:
    box = Inbox(1)
    rows = [a_row(minute, a_cell(0, 0), Counter.ELIGIBLE, minute) for minute in (9, 3, 7)]
    box.take(a_record(rows=rows))
    assert box.release(START + 7).ticks.tolist() == [START + 3, START + 7]
    assert box.release(START + 20).ticks.tolist() == [START + 9]
    assert box.release(START + 30).ticks.tolist() == []


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(-5, 5)), max_size=60))
def test_summing_what_waits_loses_nothing(drawn: list[tuple[int, int, int]]) -> None:
    rows = [a_row(minute, a_cell(unit, 0), Counter.ELIGIBLE, by) for minute, unit, by in drawn]
    box = Inbox(1)
    box._sum_at = 7
    for at, row in enumerate(rows):
        box.take(a_record(offsets=(at * 10, at * 10 + 10), passed=START, rows=[row]))
    found, expected = summed(box.release(START + 9)), summed(columns(rows))
    assert found.cells.tolist() == expected.cells.tolist()
    assert found.deltas.tolist() == expected.deltas.tolist()
    assert inbox.SUM_ROWS > 1
