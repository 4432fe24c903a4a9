"""Windows: skipping over ticks, limits, and spans."""

import msgspec
import pytest
from hypothesis import given, settings

from streams.domain.cell import Counter
from streams.domain.policy import Policy
from streams.domain.window import TICK_MS, pane_of
from streams.stages.columns import unpack
from streams.stages.windows import DAYS_BEHIND, PaneError, Windows
from tests.stages.feeds import (
    MIDNIGHT_TICK,
    SHORT,
    Feed,
    Sender,
    a_cell,
    a_rate,
    a_reference,
    a_row,
    columns,
    parcels,
    records,
    run_rate,
    streams_of_rows,
)
from tests.stages.plain import Row

DAY_TICKS = 1_440


@given(rows=streams_of_rows())
@settings(max_examples=10, deadline=None)
def test_a_long_silence_passed_in_one_step_is_as_passed_tick_by_tick(rows: list[Row]) -> None:
    until = MIDNIGHT_TICK + 2_000
    reference = a_reference()
    at_once = run_rate(reference, rows, until=until).commit(publish=True)

    feed, sender = Feed(a_rate(reference)), Sender()
    stepwise = []
    for tick in range(MIDNIGHT_TICK - 210, until + 1, 7):
        mine = [row for row in rows if tick - 7 < row[0] <= tick]
        feed.apply(sender.records(mine, until=tick))
        stepwise += feed.commit()
    feed.apply(sender.records([], until=until))
    stepwise += feed.commit(publish=True)

    assert records(stepwise, "days") == records(at_once, "days")
    assert records(stepwise, "rates") == records(at_once, "rates")


def test_months_without_a_record_pass_at_once_and_leave_nothing_rolling() -> None:
    feed, sender = Feed(a_rate(a_reference())), Sender()
    feed.apply(sender.records(parcels(0, at=0, count=5), until=MIDNIGHT_TICK + 10))
    feed.commit()
    feed.apply(sender.records([], until=MIDNIGHT_TICK + 100 * DAY_TICKS))
    record = records(feed.commit(publish=True), "rates")["OUTLET|O-000"]
    assert record["trailing_7d"]["eligible"] == record["trailing_24h"]["eligible"] == 0
    assert record["date"] == "2017-12-17"


def test_the_seven_days_are_today_and_six_before() -> None:
    feed, sender = Feed(a_rate(a_reference())), Sender()
    feed.apply(sender.records(parcels(0, at=0, count=5), until=MIDNIGHT_TICK + 7 * DAY_TICKS - 1))
    on_sixth = records(feed.commit(publish=True), "rates")["OUTLET|O-000"]
    feed.apply(sender.records([], until=MIDNIGHT_TICK + 7 * DAY_TICKS))
    on_seventh = records(feed.commit(publish=True), "rates")["OUTLET|O-000"]
    assert (on_sixth["trailing_7d"]["eligible"], on_seventh["trailing_7d"]["eligible"]) == (5, 0)


def test_a_change_of_a_day_no_longer_kept_is_dropped_and_counted() -> None:
    feed, sender = Feed(a_rate(a_reference())), Sender()
    late = (DAYS_BEHIND + 1) * DAY_TICKS
    feed.apply(sender.records(parcels(0, at=0, count=5), until=MIDNIGHT_TICK + 10))
    feed.commit(publish=True)
    rows = [
        a_row(late, a_cell(0, 0), Counter.ORPHANS),
        a_row(late, a_cell(0, late - 1), Counter.ELIGIBLE),
    ]
    feed.apply(sender.records(rows, until=MIDNIGHT_TICK + late))
    days = records(feed.commit(publish=True), "days")
    assert feed.stage.windows.rows_dropped == 1
    assert "OUTLET|O-000|2017-09-08" not in days


def test_what_comes_after_the_final_close_is_counted_on_its_day() -> None:
    feed, sender = Feed(a_rate(a_reference())), Sender()
    late = 6 * DAY_TICKS
    rows = [
        *parcels(0, at=0, count=5, covered=5),
        a_row(late, a_cell(0, 0), Counter.AFTER_CLOSE),
    ]
    feed.apply(sender.records(rows, until=MIDNIGHT_TICK + late))
    day = records(feed.commit(publish=True), "days")["OUTLET|O-000|2017-09-08"]
    assert (day["eligible"], day["after_close"], day["day_status"]) == (5, 1, "FINAL")


def test_a_pane_ahead_of_any_clock_is_an_error() -> None:
    feed = Feed(a_rate(a_reference()))
    rows = [a_row(0, a_cell(0, 60), Counter.ELIGIBLE)]
    with pytest.raises(PaneError, match="stop its sender"):
        feed.apply(Sender().records(rows, until=MIDNIGHT_TICK))


def move_to(windows: Windows, tick: int) -> None:
    while (due := windows.next_tick()) is not None and due < tick:
        windows.move_to(due)
    windows.move_to(tick)


def test_a_new_span_begins_with_the_days_and_panes_that_are_kept() -> None:
    windows = Windows(SHORT)
    days = [-3 * DAY_TICKS, -DAY_TICKS - 60, -60, -30]
    for minute in days:
        move_to(windows, MIDNIGHT_TICK + minute + 1)
        windows.add(columns(parcels(0, at=minute, count=10)))
    move_to(windows, MIDNIGHT_TICK + 5)

    def pane(minute: int) -> int:
        return pane_of((MIDNIGHT_TICK + minute) * TICK_MS)

    spans = {
        "whole days": ((pane(-3 * DAY_TICKS), pane(0)), 40),
        "from within the last day": ((pane(-45), pane(0)), 10),
        "from within an old day": ((pane(-2 * DAY_TICKS + 60), pane(0)), 20),
        "nothing mature yet": ((pane(-5), pane(60)), 0),
    }
    windows.keep_spans([span for span, _ in spans.values()])
    for case, (span, eligible) in spans.items():
        assert windows.spans[span][0].sum() == eligible, case
    windows.keep_spans([])
    assert windows.spans == {}


def test_a_snapshot_that_is_incomplete_or_of_another_format_is_refused() -> None:
    feed = run_rate(a_reference(), parcels(0, at=0, count=5), until=MIDNIGHT_TICK + 10)
    feed.commit()
    chunks = list(feed.stage.snapshot())
    other = msgspec.msgpack.encode([99, *msgspec.msgpack.decode(chunks[0])[1:]])
    for damaged, message in (
        ([], "incomplete"),
        (chunks * 2, "incomplete"),
        ([other], "format 99"),
    ):
        with pytest.raises(ValueError, match=message):
            unpack(damaged)


def test_a_snapshot_made_with_other_graces_is_refused() -> None:
    feed = run_rate(a_reference(), parcels(0, at=0, count=5), until=MIDNIGHT_TICK + 10)
    feed.commit()
    with pytest.raises(ValueError, match="other graces"):
        a_rate(a_reference(), Policy()).restore_snapshot(list(feed.stage.snapshot()))
